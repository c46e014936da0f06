"""Right, wrong and missed objects and the Dice of every image, and of all images together."""

from collections import defaultdict

from pycocotools import mask as coco_mask

from src.coco_evaluation import Matches

IMAGE_COLUMNS = ["name", "image_id", "objects", "detections", "tp", "fp", "fn", "f1_50", "dice"]


def score_images(
    images: list[dict], annotations: list[dict], predictions: list[dict], matches: Matches
) -> list[dict]:
    """Count and score the objects of every image.

    Parameters
    ----------
    images, annotations : list of dict
        COCO records: images with id and name, annotations with compressed RLE.
    predictions : list of dict
        The list that was judged.
    matches : Matches
        What `src.coco_evaluation` says of it. Detections it does not list count nowhere.

    Returns
    -------
    rows : list of dict
        Keys IMAGE_COLUMNS, one row per image, sorted by name. objects = tp + fn and
        detections = tp + fp: crowd regions and detections matched with one are not counted.
        dice compares the union of the detections with the union of the objects, crowd pixels
        left out of both.
    """
    objects, crowd, found = defaultdict(list), defaultdict(list), defaultdict(list)
    for annotation in annotations:
        kind = crowd if annotation["iscrowd"] else objects
        kind[annotation["image_id"]].append(annotation["segmentation"])
    right, wrong = defaultdict(int), defaultdict(int)
    for place, image, tp, ignored in zip(
        matches.detection, matches.image_id, matches.tp, matches.ignored, strict=True
    ):
        found[image].append(predictions[place]["segmentation"])
        right[image] += int(tp)
        wrong[image] += int(not tp and not ignored)
    rows = []
    for image in sorted(images, key=lambda image: image["name"]):
        key = image["id"]
        tp, fp, fn = right[key], wrong[key], len(objects[key]) - right[key]
        counts = (image["name"], key, tp + fn, tp + fp, tp, fp, fn)
        scores = (f1_score(tp, fp, fn), dice(found[key], objects[key], crowd[key]))
        rows.append(dict(zip(IMAGE_COLUMNS, counts + scores, strict=True)))
    return rows


def score_together(rows: list[dict]) -> dict[str, float | int | None]:
    """Score all images together: objects are summed before dividing, the Dice is a mean.

    Parameters
    ----------
    rows : list of dict
        From `score_images`.

    Returns
    -------
    scores : dict
        f1_50, precision_50 (None without a detection), recall_50 (None without an object),
        dice_mean, and the counts images, objects, detections.

    Raises
    ------
    ValueError
        If there is no row.
    """
    if not rows:
        raise ValueError("no image to score")
    tp, fp, fn = (sum(row[key] for row in rows) for key in ("tp", "fp", "fn"))
    return {
        "f1_50": f1_score(tp, fp, fn),
        "precision_50": precision(tp, fp),
        "recall_50": recall(tp, fn),
        "dice_mean": sum(row["dice"] for row in rows) / len(rows),
        "images": len(rows),
        "objects": tp + fn,
        "detections": tp + fp,
    }


def f1_score(tp: int, fp: int, fn: int) -> float:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), in [0, 1].

    1 where there is neither truth nor a detection: nothing to find, nothing found.
    """
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0


def precision(tp: int, fp: int) -> float | None:
    """Return the fraction of detections that are right; None without a detection."""
    return tp / (tp + fp) if tp + fp else None


def recall(tp: int, fn: int) -> float | None:
    """Return the fraction of objects that are found; None without an object."""
    return tp / (tp + fn) if tp + fn else None


def dice(predicted: list[dict], truth: list[dict], ignored: list[dict]) -> float:
    """Overlap of two unions of masks, 2 |A and B| / (|A| + |B|), without the ignored pixels.

    The masks are never decoded, so it costs the same however large the image is.

    Parameters
    ----------
    predicted, truth, ignored : list of dict
        Compressed RLEs of one size; any list may be empty. The pixels of `ignored` are left out
        of both unions.

    Returns
    -------
    dice : float
        In [0, 1]; 1 if both unions are empty, 0 if one is.

    Raises
    ------
    ValueError
        If the masks are of different sizes.
    """
    sizes = {tuple(rle["size"]) for rle in [*predicted, *truth, *ignored]}
    if len(sizes) > 1:
        raise ValueError(f"masks of one image must have one size, got {sorted(sizes)}")
    unions = [[coco_mask.merge(rles)] if rles else [] for rles in (predicted, truth)]
    both = [coco_mask.merge(unions[0] + unions[1], intersect=True)] if all(unions) else []
    areas = [_area_outside(union, ignored) for union in unions]
    return 2 * _area_outside(both, ignored) / sum(areas) if sum(areas) else 1.0


def _area_outside(union: list[dict], ignored: list[dict]) -> int:
    """Pixels of a mask (a list of one RLE, or of none) outside all ignored ones."""
    if not union:
        return 0
    area = int(coco_mask.area(union[0]))
    if not ignored:
        return area
    inside = coco_mask.merge([*union, coco_mask.merge(ignored)], intersect=True)
    return area - int(coco_mask.area(inside))
