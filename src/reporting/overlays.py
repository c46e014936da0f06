"""Pictures of what was found and missed."""

import cv2
import numpy as np

from src.reporting.pictures import enlarge

COLOURS = {  # RGB, told apart with every common kind of colour blindness
    "tp": (86, 180, 233),  # sky blue
    "fp": (213, 94, 0),  # vermilion
    "fn": (240, 228, 66),  # yellow
    "ignored": (187, 187, 187),  # grey
}
OUTLINE = 3  # px of the finished picture
TINT = {"tp": 0.0, "fp": 0.3, "fn": 0.3, "ignored": 0.3}  # share of the colour inside it
SHADE = 0.4  # brightness of the pixel beside the outline, which parts it from a like photo


def draw_outcomes(
    photo: np.ndarray, outcomes: list[tuple[str, np.ndarray]], scale: int
) -> np.ndarray:
    """Outline objects in the colour of their outcome on an enlarged photograph.

    Parameters
    ----------
    photo : ndarray of uint8, shape (H, W, 3)
        RGB.
    outcomes : list of (outcome, mask)
        outcome is a key of COLOURS; mask is bool (H, W). Later ones are drawn on top.
    scale : int
        Enlargement; see `enlarge`.

    Returns
    -------
    picture : ndarray of uint8, shape (H', W', 3)
        RGB. The outline lies inside the mask, also where the mask meets the image edge.

    Raises
    ------
    ValueError
        If an outcome is unknown or a mask has another shape than the photo.
    """
    picture = enlarge(photo, scale)
    for outcome, mask in outcomes:
        if outcome not in COLOURS:
            raise ValueError(f"outcome '{outcome}' is unknown; known: {', '.join(COLOURS)}")
        if mask.shape != photo.shape[:2] or mask.dtype != bool:
            raise ValueError(f"mask of {mask.dtype} {mask.shape} on a photo of {photo.shape}")
        whole = enlarge(mask.view(np.uint8), scale)
        inner = _shrink(whole, OUTLINE)
        core = _shrink(inner, 1)
        colour = np.array(COLOURS[outcome], np.float32)
        tinted = (1 - TINT[outcome]) * picture + TINT[outcome] * colour
        picture[core > 0] = np.rint(tinted[core > 0]).astype(np.uint8)
        picture[inner > core] = (SHADE * picture[inner > core]).astype(np.uint8)
        picture[whole > inner] = COLOURS[outcome]
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


def window_around(mask: np.ndarray, side: int) -> tuple[slice, slice]:
    """Cut out the surroundings of a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        With at least one pixel.
    side : int
        Height and width of the window in px. It is larger where the mask with a quarter of that
        around it does not fit, and smaller where the image is.

    Returns
    -------
    window : (slice, slice)
        Of rows and columns, as nearly as the image allows with the mask in the middle.
    """
    spans = []
    for axis, length in enumerate(mask.shape):
        held = np.flatnonzero(mask.any(axis=1 - axis))
        low, high = int(held[0]), int(held[-1]) + 1
        extent = min(max(side, high - low + side // 2), length)
        start = min(max((low + high - extent) // 2, 0), length - extent)
        spans.append(slice(start, start + extent))
    return spans[0], spans[1]


def _shrink(mask: np.ndarray, width: int) -> np.ndarray:
    """Take a rim off a uint8 mask, also where it meets the image edge."""
    kernel = np.ones((3, 3), np.uint8)
    edge = cv2.BORDER_CONSTANT
    return cv2.erode(mask, kernel, iterations=width, borderType=edge, borderValue=(0,))
