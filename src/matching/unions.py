"""The union of many masks."""

from collections.abc import Sequence
from typing import Any, cast

from pycocotools import mask as coco_mask

TOGETHER = 8  # masks that are merged at a time


def union_of(rles: Sequence[Any]) -> Any:
    """Merge the masks of one image, in a time that grows no faster than their runs by much.

    pycocotools merges one mask after the other into a union that grows all the while: 60,000 masks
    take it many minutes. A few at a time, and then their unions, come to the same run lengths.

    Parameters
    ----------
    rles : sequence of compressed RLEs
        At least one; all of one size.

    Returns
    -------
    union : compressed RLE
        What pycocotools' `merge` of all gives.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not len(rles):
        raise ValueError("no mask to merge")
    unions = list(rles)
    while len(unions) > TOGETHER:
        parts = [unions[n : n + TOGETHER] for n in range(0, len(unions), TOGETHER)]
        unions = [coco_mask.merge(cast("Any", part)) for part in parts]
    return coco_mask.merge(cast("Any", unions))
