"""What data set a figure is of, in twelve characters."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

NUMBERS = ("id", "image_id")  # of records, which say nothing of what is shown
SIZE = ("name", "height", "width")
LENGTH = 12  # characters


def data_fingerprint(truths: Iterable[Mapping[str, list[dict[str, Any]]]]) -> str:
    """Digest the ground truth of the splits that figures are told of.

    Two data sets with the same fingerprint ask for the same objects in images of the same names.
    It changes with the category, with an image added, left out, renamed or of another size, and
    with any annotation: its mask, area, category or whether it is a crowd. It does not change
    with the order of images and annotations in a file nor with their ids, with folds and which of
    them are trained, with predictions, or with what the pixels of the images are.

    Parameters
    ----------
    truths : iterable of mapping
        COCO ground truth of each split: categories, images and annotations as
        `src.formats.prepared.read_truth` returns them, always in the same order of splits. A split
        may be without images.

    Returns
    -------
    fingerprint : str
        12 hexadecimal digits, the start of a SHA-256.
    """
    digest = hashlib.sha256()
    for truth in truths:
        names = {image["id"]: image["name"] for image in truth["images"]}
        annotations = [
            {key: value for key, value in one.items() if key not in NUMBERS}
            | {"image": names[one["image_id"]]}
            for one in truth["annotations"]
        ]
        parts: dict[str, list[dict[str, Any]]] = {
            "categories": truth["categories"],
            "images": [{key: image[key] for key in SIZE} for image in truth["images"]],
            "annotations": annotations,
        }
        for kind, records in parts.items():
            lines = sorted(json.dumps(record, sort_keys=True) for record in records)
            digest.update("\n".join([kind, *lines, ""]).encode())
    return digest.hexdigest()[:LENGTH]
