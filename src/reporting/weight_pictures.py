"""Pictures of the maps that the loss weights are made of."""

from pathlib import Path

import numpy as np
import pandas as pd

from src.formats.archive import ImageArchive
from src.formats.prepared import read_picture
from src.reporting.pictures import colour_bar, colour_plane, encode_picture, enlarge

GAP = 10  # px, d1 + d2 between close neighbours
CROWDED = 32  # images with most objects; the one of them with most close neighbours is shown
FARTHEST = 40  # px, end of the colour bar of d1 + d2


def draw_weight_map(
    images: pd.DataFrame, photos: dict[str, ImageArchive], path: Path, scale: int
) -> tuple[dict | None, dict[str, bytes]]:
    """Show what the loss weights of a crowded image are made of.

    Parameters
    ----------
    images : DataFrame
        Columns name and objects.
    photos : dict
        As `src.formats.prepared.open_photos` gives them, of all splits that have maps.
    path : Path
        weight_maps.zip: uint8 (H, W, 3), d1 and d2 in quarter pixels, the square root of the area.
    scale : int
        Enlargement; see `src.reporting.pictures.enlarge`.

    Returns
    -------
    shown : dict or None
        `name` of the image, ends of the colour bars in px: `farthest` of d1 + d2, `side` of the
        size. None if no image with a map has an object.
    pictures : dict
        File name -> PNG; none without such an image.
    """
    maps = ImageArchive(path)
    known = images[images["name"].isin(maps.names) & (images["objects"] > 0)]
    known = known.sort_values(["objects", "name"], ascending=[False, True])[:CROWDED]
    if known.empty:
        return None, {}
    name = max(known["name"], key=lambda name: count_gap_pixels(maps.read(name), GAP))
    weight_map = maps.read(name)
    side = int(weight_map[..., 2].max())
    pictures = {
        "weight_map_photo.png": enlarge(read_picture(photos, name), scale),
        "weight_map_distance.png": colour_plane(two_distances(weight_map), FARTHEST, scale),
        "weight_map_size.png": colour_plane(weight_map[..., 2], side, scale),
        "colour_bar.png": colour_bar(),
    }
    shown = {"name": name, "farthest": FARTHEST, "side": side}
    return shown, {file: encode_picture(picture) for file, picture in pictures.items()}


def count_gap_pixels(weight_map: np.ndarray, distance: float) -> int:
    """Count background pixels in narrow gaps between two objects.

    Parameters
    ----------
    weight_map : ndarray of uint8, shape (H, W, 3)
        d1 and d2, the distances to the two nearest objects, in quarter pixels; square root of
        the area of the object at the pixel, 0 on background.
    distance : float
        A gap is where d1 + d2 is below it, in px.
    """
    return int(np.count_nonzero((two_distances(weight_map) < distance) & (weight_map[..., 2] == 0)))


def two_distances(weight_map: np.ndarray) -> np.ndarray:
    """Return d1 + d2 in px, float64 (H, W), of a weight map (see `count_gap_pixels`)."""
    return (weight_map[..., 0].astype(float) + weight_map[..., 1]) / 4
