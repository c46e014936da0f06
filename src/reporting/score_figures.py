"""Charts of the scores, from the tables that `evaluate` and `rescore` wrote."""

from pathlib import Path

from src.formats.tables import read_parquet, read_table
from src.reporting.figures import (
    feature_importance,
    precision_recall,
    reliability,
    score_histograms,
)

CURVE = {"recall": float, "precision": float}
COUNTS = {"tp": int, "fp": int, "fn": int}
BINS = {"split": str, "count": int, "mean_score": float, "hit_rate": float}
GAINS = {"feature": str, "gain": float}


def draw_scores(evaluation: Path, predictions: Path, splits: list[str]) -> dict[str, bytes]:
    """Draw precision against recall, the scores, and what they promise.

    Parameters
    ----------
    evaluation, predictions : Path
        Folders of `evaluate` and `rescore`.
    splits : list of {"oof", "val"}
        At least one.

    Returns
    -------
    pictures : dict
        File name -> PNG. Without reliability.png where no score is a probability, without
        feature_importance.png where none was learnt.

    Raises
    ------
    InputError
        If a table is absent or not as its stage writes it.
    """
    curves, points, scores, promised = {}, {}, {}, {}
    bins = read_table(predictions / "reliability.csv", "rescore", BINS)
    for split in splits:
        table = read_table(evaluation / f"precision_recall_{split}.csv", "evaluate", CURVE)
        curves[split] = (table["recall"].to_numpy(), table["precision"].to_numpy())
        table = read_table(evaluation / f"images_{split}.csv", "evaluate", COUNTS)
        tp, fp, fn = table[list(COUNTS)].sum()
        if tp:
            points[split] = tp / (tp + fn), tp / (tp + fp)
        path = evaluation / f"detections_{split}.parquet"
        table = read_parquet(path, "evaluate", ("score", "tp", "ignored"))
        wrong = ~table["tp"] & ~table["ignored"]
        scores[split] = (table["score"][table["tp"]].to_numpy(), table["score"][wrong].to_numpy())
        table = bins[(bins["split"] == split) & (bins["count"] > 0)]
        if len(table):
            columns = table[["mean_score", "hit_rate", "count"]].to_numpy(float)
            promised[split] = tuple(columns.T)
    pictures = {
        "precision_recall.png": precision_recall(curves, points),
        "scores.png": score_histograms(scores),
    }
    if promised:
        pictures["reliability.png"] = reliability(promised)
    gains = predictions / "second_level" / "importance.csv"
    if gains.is_file():
        table = read_table(gains, "rescore", GAINS)
        shares = dict(zip(table["feature"], table["gain"], strict=True))
        pictures["feature_importance.png"] = feature_importance(shares)
    return pictures
