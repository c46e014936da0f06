"""Images with the outlines of what is annotated in them."""

import cv2
import numpy as np
import pandas as pd

from src.label_maps.labels import IGNORE

OBJECT, IGNORED = (240, 228, 66), (187, 187, 187)  # RGB of outlines
QUALITY = 90  # of WebP, 0 to 100
SHADE = 0.45  # brightness of the pixel inside them, which parts them from a like photo


def annotated_names(images: pd.DataFrame, count: int) -> list[str]:
    """Choose images from the emptiest to the most crowded.

    Parameters
    ----------
    images : DataFrame
        name and objects, those of one split.
    count : int
        At least 1.

    Returns
    -------
    names : list of str
        At most `count`, evenly spaced in the order of the number of objects, then of the name.
    """
    ordered = images.sort_values(["objects", "name"], kind="stable")["name"].tolist()
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    return [ordered[place] for place in places]


def annotated_picture(photo: np.ndarray, labels: np.ndarray, side: int) -> bytes:
    """Outline objects on a photograph.

    Parameters
    ----------
    photo : ndarray of uint8, shape (H, W, 3)
        RGB.
    labels : ndarray of uint16, shape (H, W)
        0 background, 1..N objects, 65535 ignored.
    side : int
        px, of the longest side of the picture, larger or smaller than the photo's.

    Returns
    -------
    webp : bytes
        Outlines of objects yellow, of ignored regions grey, both inside of what they outline; as
        wide as can be seen where the page shows the picture at a third of its size.
    """
    height, width = labels.shape
    factor = side / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    shrinks = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    picture = cv2.resize(photo, size, interpolation=shrinks)
    drawn = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    width = max(1, round(side / 100))
    rim, wider = (_rim(drawn, one) for one in (width, width + 1))
    picture[wider] = (SHADE * picture[wider]).astype(np.uint8)
    picture[rim] = np.where((drawn == IGNORE)[..., None], IGNORED, OBJECT)[rim]
    bgr = np.ascontiguousarray(picture[..., ::-1])
    return cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1].tobytes()


def _rim(labels: np.ndarray, width: int) -> np.ndarray:
    """Tell which labelled pixels are at most `width` px from another label, the edge or none."""
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    padded = cv2.copyMakeBorder(labels, width, width, width, width, cv2.BORDER_CONSTANT, value=(0,))
    differs = cv2.dilate(padded, kernel) != cv2.erode(padded, kernel)
    return differs[width:-width, width:-width] & (labels > 0)
