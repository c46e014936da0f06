"""The images that hold the largest share of the errors."""

import numpy as np

from src.analysis.outcomes import OUTCOMES

ERRORS = ("missed", "merged", "split", "poor_outline", "duplicate", "spurious")


def worst_images(
    objects: dict[str, np.ndarray], detections: dict[str, np.ndarray], count: int
) -> list[dict]:
    """Name the images that hold the largest share of the errors, and of each kind of error.

    Parameters
    ----------
    objects, detections : dict of columns
        As `src.analysis.outcomes.analyse_image` returns them, and name (str), of all images.
    count : int
        Images to name at most, of each kind.

    Returns
    -------
    rows : list of dict
        kind, place (from 1), name, errors (in that image), share (of the errors of that kind in
        all images). Kinds: all (objects not found and wrong detections), then ERRORS, of which the
        first four are outcomes of objects and the others kinds of detections. An image without
        such an error is not named; equal ones are ordered by name.
    """
    wrong, lost = detections["kind"] != "right", ~objects["found"]
    names = {"all": np.append(objects["name"][lost], detections["name"][wrong])}
    for kind in ERRORS:
        column, table = ("outcome", objects) if kind in OUTCOMES else ("kind", detections)
        names[kind] = table["name"][table[column] == kind]
    rows = []
    for kind, places in names.items():
        name, errors = np.unique(places.astype(str), return_counts=True)
        for place, index in enumerate(np.argsort(-errors, kind="stable")[:count], start=1):
            row = {"kind": kind, "place": place, "name": str(name[index])}
            number = int(errors[index])
            rows.append(row | {"errors": number, "share": number / len(places)})
    return rows
