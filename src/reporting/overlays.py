"""Pictures of what was found and missed."""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np

from src.reporting.pictures import enlarge, enlargement

COLOURS = {  # RGB, told apart with every common kind of colour blindness
    "tp": (86, 180, 233),  # sky blue
    "fp": (213, 94, 0),  # vermilion
    "fn": (240, 228, 66),  # yellow
    "ignored": (187, 187, 187),  # grey
}
OUTLINE = 3  # px of the finished picture
TINT = {"tp": 0.0, "fp": 0.3, "fn": 0.3, "ignored": 0.3}  # share of the colour inside it
SHADE = 0.4  # brightness of the pixel beside the outline, which parts it from a like photo


class Shown(NamedTuple):
    """An object to be drawn, as what it is and where."""

    outcome: str  # key of COLOURS
    mask: np.ndarray  # bool (h, w), all of the object that lies in the photo
    x: int  # column of its upper left pixel
    y: int  # row


def draw_outcomes(photo: np.ndarray, shown: Iterable[Shown], scale: int) -> np.ndarray:
    """Outline objects in the colour of their outcome on an enlarged photograph.

    Parameters
    ----------
    photo : ndarray of uint8, shape (H, W, 3)
        RGB.
    shown : iterable of Shown
        Later ones are drawn on top.
    scale : int
        Enlargement; see `enlarge`.

    Returns
    -------
    picture : ndarray of uint8, shape (H', W', 3)
        RGB. The outline lies inside the mask, also where the mask meets the image edge.

    Raises
    ------
    ValueError
        If an outcome is unknown or a mask does not lie in the photo.
    """
    picture = enlarge(photo, scale)
    step, times = enlargement(photo.shape, scale)
    for outcome, mask, x, y in shown:
        if outcome not in COLOURS:
            raise ValueError(f"outcome '{outcome}' is unknown; known: {', '.join(COLOURS)}")
        bottom, right = y + mask.shape[0], x + mask.shape[1]
        inside = min(x, y) >= 0 and bottom <= photo.shape[0] and right <= photo.shape[1]
        if not inside or mask.dtype != bool:
            raise ValueError(
                f"mask of {mask.dtype} {mask.shape} at {(x, y)} on a photo of {photo.shape}"
            )
        thinned = mask[-y % step :: step, -x % step :: step].view(np.uint8)
        if not thinned.size:
            continue
        whole = thinned.repeat(times, axis=0).repeat(times, axis=1)
        top, left = -(-y // step) * times, -(-x // step) * times
        part = picture[top : top + whole.shape[0], left : left + whole.shape[1]]  # a view
        inner = _shrink(whole, OUTLINE)
        core = _shrink(inner, 1)
        colour = np.array(COLOURS[outcome], np.float32)
        tinted = (1 - TINT[outcome]) * part + TINT[outcome] * colour
        part[core > 0] = np.rint(tinted[core > 0]).astype(np.uint8)
        part[inner > core] = (SHADE * part[inner > core]).astype(np.uint8)
        part[whole > inner] = COLOURS[outcome]
    return picture


def list_error(
    kind: str,
    objects: list[dict],
    detections: list[dict],
    annotations: dict[int, dict],
    predictions: list[dict],
) -> list[tuple[str, dict]]:
    """Tell which masks of one image show one kind of error.

    Parameters
    ----------
    kind : str
        merged, split, poor_outline, missed, duplicate or spurious.
    objects, detections : list of dict
        The image's objects (truth_id, outcome, detection) and wrong detections (detection, kind,
        truth_id) as `src.analysis.outcomes` judges them.
    annotations : dict
        The image's truth by its id.
    predictions : list of dict
        All predictions of the split.

    Returns
    -------
    outcomes : list of (outcome, segmentation)
        The detections that err as "fp", then the objects they stand for or that are missed as
        "fn", those that are found (by another detection) as "tp". The order is that of drawing.
    """
    hit = [row for row in objects if row["outcome"] == kind]
    wrong = [row for row in detections if row["kind"] == kind.replace("split", "split_part")]
    shown = {row["detection"] for row in [*hit, *wrong]} - {-1}
    doubled = {row["truth_id"] for row in wrong} if kind == "duplicate" else set()
    masks = [("fp", predictions[position]) for position in sorted(shown)]
    masks += [("fn", annotations[row["truth_id"]]) for row in hit]
    masks += [("tp", annotations[number]) for number in sorted(doubled)]
    return [(outcome, record["segmentation"]) for outcome, record in masks]


def window_around(shown: Shown, shape: tuple[int, ...], side: int) -> tuple[slice, slice]:
    """Cut out the surroundings of an object.

    Parameters
    ----------
    shown : Shown
        With at least one pixel in the outermost rows and columns of its mask.
    shape : (H, W, ...)
        Of the image.
    side : int
        Height and width of the window in px. It is larger where the mask with a quarter of that
        around it does not fit, and smaller where the image is.

    Returns
    -------
    window : (slice, slice)
        Of rows and columns, as nearly as the image allows with the mask in the middle.
    """
    spans = []
    for low, held, length in zip((shown.y, shown.x), shown.mask.shape, shape[:2], strict=True):
        extent = min(max(side, held + side // 2), length)
        start = min(max((2 * low + held - extent) // 2, 0), length - extent)
        spans.append(slice(start, start + extent))
    return spans[0], spans[1]


def in_window(shown: Shown, window: tuple[slice, slice]) -> Shown | None:
    """Return what of an object lies in a window, placed in that; None where nothing does."""
    rows, columns = window
    height, width = shown.mask.shape
    top, left = max(shown.y, rows.start), max(shown.x, columns.start)
    bottom, right = min(shown.y + height, rows.stop), min(shown.x + width, columns.stop)
    if top >= bottom or left >= right:
        return None
    mask = shown.mask[top - shown.y : bottom - shown.y, left - shown.x : right - shown.x]
    mask = np.ascontiguousarray(mask)
    return Shown(shown.outcome, mask, left - columns.start, top - rows.start)


def _shrink(mask: np.ndarray, width: int) -> np.ndarray:
    """Take a rim off a uint8 mask, also where it meets the image edge."""
    kernel = np.ones((3, 3), np.uint8)
    edge = cv2.BORDER_CONSTANT
    return cv2.erode(mask, kernel, iterations=width, borderType=edge, borderValue=(0,))
