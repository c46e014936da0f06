"""The eight mirrored and turned views of an image."""

import torch

# (quarter turns, mirrored first): the dihedral group of the square, each view once
VIEWS = {
    "none": [(0, False)],
    "hflip": [(0, False), (0, True)],
    "d2": [(0, False), (0, True), (2, False), (2, True)],
    "d4": [(turns, mirrored) for turns in range(4) for mirrored in (False, True)],
}


def view(images: torch.Tensor, turns: int, mirrored: bool) -> torch.Tensor:
    """Mirror left to right if asked, then turn by quarter turns; exact, shape (..., H, W)."""
    return torch.rot90(images.flip(-1) if mirrored else images, turns, (-2, -1))


def undo_view(images: torch.Tensor, turns: int, mirrored: bool) -> torch.Tensor:
    """Invert `view` of the same arguments."""
    images = torch.rot90(images, -turns, (-2, -1))
    return images.flip(-1) if mirrored else images
