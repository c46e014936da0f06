"""Which objects are found and which detections are right, by what may make them hard."""

import numpy as np

SIDES = (7, 14, 20, 32, 48, 64, 96)  # px, square roots of areas
DISTANCES = (2, 4, 8, 16, 32)  # px to the nearest neighbour; 1 is side by side
SMALL = 14  # px, side of an object that counts as small beside a neighbour
NEAR = 8  # px to the neighbour that a small object is beside
ALONE = ("none",)  # bin of an object without a neighbour


def recall_by_bin(objects: dict[str, np.ndarray], groups: list[str]) -> list[dict]:
    """Share of the objects found, by what may make an object hard to find.

    Parameters
    ----------
    objects : dict of columns
        Of all images, as `src.analysis.outcomes.analyse_image` returns them, and group (str).
    groups : list of str
        The groups to tell apart.

    Returns
    -------
    rows : list of dict
        question, bin, objects, found, recall (None without an object). Questions: size (SIDES
        of the square root of the area), neighbour_distance (DISTANCES), neighbour_size (SIDES),
        at_edge, small_object (sides below SMALL: whether the nearest neighbour is within NEAR
        and larger than they are), group.
    """
    side, distance = np.sqrt(objects["area"]), objects["neighbour_distance"]
    beside = (distance <= NEAR) & (objects["neighbour_area"] > objects["area"])
    small = np.select([side >= SMALL, beside], [-1, 1], 0)
    near = f"a larger neighbour within {NEAR} px"
    questions = {
        "size": _binned(side, SIDES),
        "neighbour_distance": _binned(distance, DISTANCES, ALONE),
        "neighbour_size": _binned(np.sqrt(objects["neighbour_area"]), SIDES, ALONE),
        "at_edge": _yes_or_no(objects["at_edge"]),
        "small_object": (small, ["none such", near]),
        "group": _grouped(objects["group"], groups),
    }
    return _rates(questions, objects["found"], ("objects", "found", "recall"))


def precision_by_bin(detections: dict[str, np.ndarray], groups: list[str]) -> list[dict]:
    """Share of the detections that are right, by the questions size, at_edge and group.

    Parameters
    ----------
    detections : dict of columns
        Of all images, as `src.analysis.outcomes.analyse_image` returns them, and group (str).
    groups : list of str
        The groups to tell apart.

    Returns
    -------
    rows : list of dict
        question, bin, detections, right, precision (None without a detection).
    """
    questions = {
        "size": _binned(np.sqrt(detections["area"]), SIDES),
        "at_edge": _yes_or_no(detections["at_edge"]),
        "group": _grouped(detections["group"], groups),
    }
    right = detections["kind"] == "right"
    return _rates(questions, right, ("detections", "right", "precision"))


def _binned(
    values: np.ndarray, edges: tuple[int, ...], last: tuple[str, ...] = ()
) -> tuple[np.ndarray, list[str]]:
    """Bin of every value and all labels; a bin holds its lower edge; NaN goes into the last."""
    between = [f"{low} to {high} px" for low, high in zip(edges, edges[1:], strict=False)]
    labels = [f"below {edges[0]} px", *between, f"from {edges[-1]} px", *last]
    known = np.digitize(np.nan_to_num(values), edges)
    return np.where(np.isnan(values), len(labels) - 1, known), labels


def _yes_or_no(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    return values.astype(np.int64), ["no", "yes"]


def _grouped(values: np.ndarray, groups: list[str]) -> tuple[np.ndarray, list[str]]:
    number = {group: place for place, group in enumerate(groups)}
    return np.array([number.get(value, -1) for value in values], np.int64), groups


def _rates(questions: dict, hits: np.ndarray, columns: tuple[str, str, str]) -> list[dict]:
    """Count all and hits in every bin (-1 is none) and divide."""
    rows = []
    for question, (bins, labels) in questions.items():
        all_of = np.bincount(bins[bins >= 0], minlength=len(labels))
        hits_of = np.bincount(bins[(bins >= 0) & hits], minlength=len(labels))
        for label, total, hit in zip(labels, all_of.tolist(), hits_of.tolist(), strict=True):
            numbers = (total, hit, hit / total if total else None)
            rows.append(
                {"question": question, "bin": label, **dict(zip(columns, numbers, strict=True))}
            )
    return rows
