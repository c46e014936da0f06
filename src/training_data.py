"""Images with their target and weight maps, cut to one size for training."""

import random

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from src.archive import PHOTO, ImageArchive
from src.labels import IGNORE, IGNORED


class TrainingCrops(Dataset):
    """Crops of fixed size, each a function of its (index, seed) alone.

    So neither the number of loader workers nor the order of loading changes what is trained on.

    Parameters
    ----------
    images, instances, weight_maps : ImageArchive
        uint8 RGB (H, W, 3), uint16 (H, W), uint8 (H, W, 3) under the same names.
    names : list of str
        The images to use.
    resize : float
        Factor on height and width before cropping; positive.
    crop_size : int
        Smaller images are padded: the image repeats its edge, the target is "ignored" there.
    transform : albumentations.Compose
        Takes `image` and `mask`, returns them `crop_size` high and wide.
    """

    def __init__(
        self,
        images: ImageArchive,
        instances: ImageArchive,
        weight_maps: ImageArchive,
        names: list[str],
        *,
        resize: float,
        crop_size: int,
        transform,
    ):
        self.images, self.instances, self.weight_maps = images, instances, weight_maps
        self.names, self.resize, self.crop_size = names, resize, crop_size
        self.transform = transform

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, draw: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return image uint8 (3, S, S) and planes uint8 (4, S, S): target, d1, d2, sqrt(area)."""
        index, seed = draw
        name = self.names[index]
        image = self.images.read(name, PHOTO)
        target = training_target(self.instances.read(name))
        planes = np.dstack([target, self.weight_maps.read(name)])
        image, planes = resized(image, planes, self.resize)
        image, planes = padded(image, planes, self.crop_size)
        # One generator for all steps: set_random_seed would seed each alike and couple their draws.
        self.transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        crop = self.transform(image=image, mask=planes)
        image, planes = (
            np.ascontiguousarray(crop[k].transpose(2, 0, 1)) for k in ("image", "mask")
        )
        return torch.from_numpy(image), torch.from_numpy(planes)


def training_target(instances: np.ndarray) -> np.ndarray:
    """Turn instances, uint16 (H, W), into 0 background, 1 object, 255 ignored, uint8 (H, W)."""
    target = (instances > 0).astype(np.uint8)
    target[instances == IGNORE] = IGNORED
    return target


def resized(image: np.ndarray, planes: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Scale an image smoothly and its planes by nearest neighbour, so that no value is made up.

    Distances and sizes keep the unit of the original pixels.
    """
    if factor == 1:
        return image, planes
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    smooth = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(image, (width, height), interpolation=smooth)
    return scaled, cv2.resize(planes, (width, height), interpolation=cv2.INTER_NEAREST)


def padded(image: np.ndarray, planes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad both to at least `size` x `size`, centred: edge repeated, planes 255 (ignored)."""
    height, width = image.shape[:2]
    down, right = max(0, size - height), max(0, size - width)
    if not down and not right:
        return image, planes
    sides = (down // 2, down - down // 2, right // 2, right - right // 2)
    image = cv2.copyMakeBorder(image, *sides, cv2.BORDER_REPLICATE)
    return image, cv2.copyMakeBorder(planes, *sides, cv2.BORDER_CONSTANT, value=(IGNORED,) * 4)
