"""Small scenes of objects for the tests of writers."""

import numpy as np

from src.exporting.delivery import Delivery
from src.exporting.object_file import batches, object_rows, write_objects
from src.mosaics.image_objects import SceneObject
from src.mosaics.runs import mask_runs

UTM = (400_000.0, 0.5, 0.0, 600_000.0, 0.0, -0.5, "EPSG:32630")  # Accra


def delivery(tmp_path, masks, *, name="scene", place=UTM, simplify=0.5, first=1, scores=None):
    """Write the objects of masks, bool (H, W), as a delivery of them."""
    scores = scores or [0.9 - 0.1 * number for number in range(len(masks))]
    objects = [
        SceneObject(mask_runs(mask), score, (10.0, 20.5, 30.123))
        for mask, score in zip(masks, scores, strict=True)
    ]
    height, width = masks[0].shape if masks else (40, 60)
    options = {"height": height, "simplify": simplify, "right_angles": False}
    path = tmp_path / f"{name.replace('/', '_')}.parquet"
    write_objects(path, (object_rows(*some, **options) for some in batches([objects])))
    return Delivery(name, height, width, place, path, first)


def box(top, bottom, left, right, shape=(40, 60)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def ragged(seed, shape=(200, 300)):
    """Blobs with holes, corners that touch and parts inside holes."""
    import cv2

    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=shape), (0, 0), 2.0)
    labels = cv2.connectedComponents((noise > 0).astype(np.uint8), connectivity=8)[1]
    return [labels == label for label in range(1, min(labels.max(), 40) + 1)]
