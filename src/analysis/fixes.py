"""What each kind of error costs in AP50."""

import numpy as np

from src.matching.average_precision import average_precision

FIXES = ("missed", "merged", "split", "poor_outline", "duplicate", "spurious", "score_order")


def fix_each_kind(objects: dict[str, np.ndarray], detections: dict[str, np.ndarray]) -> list[dict]:
    """Tell what AP50 of these detections would be if one kind of error were undone.

    All else stays as it is.

    missed: every missed object is found, ranked before all detections.
    merged: the wrong detections that merge give way to the merged objects, each found with the
        score of the best detection that merges it.
    split: the parts give way to the objects, each found with the score of its best part.
    poor_outline: the best scored detection of each object of that outcome finds it; others that
        overlap the same object stay wrong.
    duplicate, spurious: those detections are gone.
    score_order: every right detection is ranked before every wrong one.

    Parameters
    ----------
    objects, detections : dict of columns
        Of all images, as `src.analysis.outcomes.analyse_image` returns them, detections ordered by
        image and position.

    Returns
    -------
    rows : list of dict
        kind ("none" for the AP50 as it is, then FIXES), count (objects, or wrong detections for
        duplicate, spurious and score_order), ap50_if_fixed, regained (share of the loss
        1 - AP50; None where there is no loss). Without an object AP50 is None as well. The
        shares do not add up to 1.
    """
    kind, outcome, total = detections["kind"], objects["outcome"], len(objects["outcome"])
    scores, tp = detections["score"], kind == "right"
    score_of = dict(zip(detections["detection"].tolist(), scores.tolist(), strict=True))

    def blamed(name: str) -> np.ndarray:
        positions = objects["detection"][outcome == name].tolist()
        return np.array([score_of[position] for position in positions], np.float64)

    def fixed(gone: np.ndarray, added: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hits = np.append(tp[~gone], np.ones(added.size, bool))
        return np.append(scores[~gone], added), hits

    nothing, none = np.zeros(len(kind), bool), np.empty(0)
    missed = int((outcome == "missed").sum())
    outlined = np.isin(detections["detection"], objects["detection"][outcome == "poor_outline"])
    cases: dict[str, tuple[int, tuple[np.ndarray, np.ndarray]]] = {
        "none": (0, (scores, tp)),
        "missed": (missed, fixed(nothing, np.full(missed, np.inf))),
        "merged": (blamed("merged").size, fixed(kind == "merged", blamed("merged"))),
        "split": (blamed("split").size, fixed(kind == "split_part", blamed("split"))),
        "poor_outline": (blamed("poor_outline").size, (scores, tp | outlined)),
        "duplicate": ((kind == "duplicate").sum(), fixed(kind == "duplicate", none)),
        "spurious": ((kind == "spurious").sum(), fixed(kind == "spurious", none)),
        "score_order": ((~tp).sum(), (tp.astype(np.float64), tp)),
    }
    before, rows = average_precision_50(scores, tp, total), []
    for name, (count, (ranking, hits)) in cases.items():
        ap50, share = average_precision_50(ranking, hits, total), None
        if before is not None and ap50 is not None and before < 1:
            share = (ap50 - before) / (1 - before)
        row = {"kind": name, "count": int(count), "ap50_if_fixed": ap50, "regained": share}
        rows.append(row)
    return rows


def average_precision_50(scores: np.ndarray, tp: np.ndarray, objects: int) -> float | None:
    """COCO's average precision at one IoU: the mean precision at 101 recalls.

    Parameters
    ----------
    scores : ndarray of float64, shape (N,)
        Of the judged detections, ignored ones left out, ordered by image and position: equal
        scores keep that order.
    tp : ndarray of bool, shape (N,)
        Which of them find an object.
    objects : int
        Number of objects there are.

    Returns
    -------
    ap : float or None
        In [0, 1]; None without an object.
    """
    if not objects:
        return None
    return average_precision(tp[np.argsort(-scores, kind="stable")], objects)
