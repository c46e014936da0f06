"""Pictures of what was found and missed, and of the maps behind the loss weights."""

import cv2
import numpy as np

COLOURS = {  # RGB, told apart with every common kind of colour blindness
    "tp": (86, 180, 233),  # sky blue
    "fp": (213, 94, 0),  # vermilion
    "fn": (240, 228, 66),  # yellow
    "ignored": (187, 187, 187),  # grey
}
OUTLINE = 3  # px of the finished picture
TINT = {"tp": 0.0, "fp": 0.3, "fn": 0.3, "ignored": 0.3}  # share of the colour inside it
SHADE = 0.4  # brightness of the pixel beside the outline, which parts it from a like photo
LONGEST_SIDE = 1200  # px; a larger picture only makes the page heavy


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


def list_outcomes(
    annotations: list[dict], detections: list[dict], predictions: list[dict]
) -> list[tuple[str, dict]]:
    """Tell which masks of one image are shown, and as what.

    Parameters
    ----------
    annotations : list of dict
        The image's truth: id, iscrowd, segmentation.
    detections : list of dict
        The image's judged detections: detection (position in `predictions`), tp, ignored,
        truth_id.
    predictions : list of dict
        All predictions of the split.

    Returns
    -------
    outcomes : list of (outcome, segmentation)
        Crowd regions and ignored detections, then the missed objects, the wrong detections and
        the right ones (as predicted). The order is the order of drawing.
    """
    found = {row["truth_id"] for row in detections if row["tp"]}
    shown = {outcome: [] for outcome in ("ignored", "fn", "fp", "tp")}
    for annotation in annotations:
        if annotation["iscrowd"]:
            shown["ignored"].append(annotation["segmentation"])
        elif annotation["id"] not in found:
            shown["fn"].append(annotation["segmentation"])
    for row in detections:
        outcome = "tp" if row["tp"] else "ignored" if row["ignored"] else "fp"
        shown[outcome].append(predictions[row["detection"]]["segmentation"])
    return [(outcome, rle) for outcome, rles in shown.items() for rle in rles]


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
        truth_id) as `src.analysis.error_analysis` judges them.
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


def colour_plane(plane: np.ndarray, highest: float, scale: int) -> np.ndarray:
    """Colour a plane of numbers: 0 is dark, `highest` and above bright yellow.

    Parameters
    ----------
    plane : ndarray, shape (H, W)
        Numbers from 0.
    highest : float
        Positive.
    scale : int
        Enlargement; see `enlarge`.

    Returns
    -------
    picture : ndarray of uint8, shape (H', W', 3)
        RGB.

    Raises
    ------
    ValueError
        If `highest` is not positive.
    """
    if highest <= 0:
        raise ValueError(f"highest must be positive, got {highest}")
    levels = np.rint(255 * np.clip(plane / highest, 0, 1)).astype(np.uint8)
    coloured = cv2.applyColorMap(enlarge(levels, scale), cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(coloured[..., ::-1])


def colour_bar() -> np.ndarray:
    """Return the colours of `colour_plane` from 0 to `highest`: uint8 (12, 256, 3) RGB."""
    return colour_plane(np.tile(np.arange(256), (12, 1)), highest=255, scale=1)


def encode_picture(picture: np.ndarray) -> bytes:
    """Encode a picture, uint8 (H, W, 3) RGB, as PNG bytes: small rather than fast."""
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 6]
    return cv2.imencode(".png", picture[..., ::-1], settings)[1].tobytes()


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Repeat every pixel `scale` times in both directions, as far as LONGEST_SIDE allows.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, 3)
        Any image or mask.
    scale : int
        At least 1; reduced where the picture would exceed LONGEST_SIDE. An image that exceeds
        it by itself is thinned out to every second, third, ... pixel.

    Returns
    -------
    picture : ndarray
        A copy of the same dtype.

    Raises
    ------
    ValueError
        If `scale` is below 1.
    """
    if scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")
    side = max(image.shape[:2])
    step = -(-side // LONGEST_SIDE)  # 1 for all but huge images
    times = 1 if step > 1 else max(1, min(scale, LONGEST_SIDE // side))
    return image[::step, ::step].repeat(times, axis=0).repeat(times, axis=1)


def _shrink(mask: np.ndarray, width: int) -> np.ndarray:
    """Take a rim off a uint8 mask, also where it meets the image edge."""
    kernel = np.ones((3, 3), np.uint8)
    edge = {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
    return cv2.erode(mask, kernel, iterations=width, **edge)
