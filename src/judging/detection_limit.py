"""What a limit on the detections of an image keeps from average precision and recall."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from src.formats.prepared import Annotation, ImageRecord
from src.judging.coco_evaluation import Matches


class BeyondLimit(NamedTuple):
    """What is beyond the limit in the images of one split."""

    images_above: int  # images with more objects than the limit
    most_objects: int  # in one image
    images_cut: int  # images with more accepted detections than the limit
    detections_cut: int  # accepted ones that are not ranked
    needed: int  # least limit at which none of this happens


def beyond_limit(
    images: list[ImageRecord],
    annotations: list[Annotation],
    matches: Matches,
    max_detections: int,
) -> BeyondLimit:
    """Count objects and accepted detections that a limit leaves no place for.

    COCO's limit is one of each image and category; all are counted here as if of one category, as
    those of a prepared data set are.

    Parameters
    ----------
    images, annotations : list of ImageRecord, of Annotation
        Annotations of other images are left out, and so are crowd regions.
    matches : Matches
        From `evaluate_detections` with this limit.
    max_detections : int

    Returns
    -------
    beyond : BeyondLimit
        All 0 but `needed`, which is at least 1, where there is neither truth nor a detection.
    """
    judged = {image["id"] for image in images}
    objects = Counter(
        one["image_id"]
        for one in annotations
        if one["image_id"] in judged and not one.get("iscrowd", 0)
    )
    accepted = np.unique(matches.image_id[matches.accepted], return_counts=True)[1]
    cut = matches.accepted & ~matches.ranked
    return BeyondLimit(
        images_above=sum(count > max_detections for count in objects.values()),
        most_objects=max(objects.values(), default=0),
        images_cut=len(np.unique(matches.image_id[cut])),
        detections_cut=int(np.count_nonzero(cut)),
        needed=max([1, *objects.values(), *accepted.tolist()]),
    )


def limit_warning(split: str, max_detections: int, beyond: BeyondLimit) -> str:
    """Say in a sentence what a limit costs and what to set; "" where it costs nothing."""
    problems: list[str] = []
    if beyond.images_above:
        problems.append(
            f"is below the objects of {_images(beyond.images_above)} (up to {beyond.most_objects})"
        )
    if beyond.detections_cut:
        problems.append(
            f"keeps {beyond.detections_cut:,} accepted detections of {_images(beyond.images_cut)} "
            "out of AP and AR"
        )
    if not problems:
        return ""
    return (
        f"{split}: evaluate.max_detections {max_detections} {' and '.join(problems)}; "
        f"set it to {beyond.needed} or more"
    )


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"
