"""Charts of the errors, from the tables that `analyse_errors` wrote."""

from pathlib import Path

from src.base.errors import InputError
from src.formats.tables import read_table
from src.reporting.figures import error_fixes, rates_by_bin

KINDS = {  # of errors, in the order of the page
    "missed": "Missed objects",
    "merged": "Merged objects",
    "split": "Split objects",
    "poor_outline": "Poor outlines",
    "duplicate": "Duplicates",
    "spurious": "Spurious detections",
    "score_order": "Order of the scores",
}
RATES = {  # table, question -> title
    ("recall", "size"): "Recall by size (square root of the area)",
    ("recall", "neighbour_distance"): "Recall by distance to the nearest neighbour",
    ("recall", "neighbour_size"): "Recall by size of that neighbour",
    ("recall", "small_object"): "Recall of objects below 14 px in size",
    ("recall", "at_edge"): "Recall at the image's edge",
    ("precision", "size"): "Precision by size of the detection",
}
COUNTED = {"recall": "objects", "precision": "detections"}  # rate -> what is in a bin
FIXES = {"kind": str, "count": int, "regained": float}


def draw_errors(errors: Path, splits: list[str]) -> dict[str, bytes]:
    """Draw what undoing each kind of error would gain, and rates by size, neighbours and place.

    Parameters
    ----------
    errors : Path
        Folder of `analyse_errors`.
    splits : list of {"oof", "val"}
        May be empty.

    Returns
    -------
    pictures : dict
        File name -> PNG. Without fixes.png where no split has an object or a loss; none without
        splits.

    Raises
    ------
    InputError
        If a table is absent or not as `analyse_errors` writes it.
    """
    fixes = {split: _fixes(errors / f"fixes_{split}.csv") for split in splits}
    fixes = {split: rows for split, rows in fixes.items() if rows}
    rates = {title: {} for title in RATES.values()}
    for split in splits:
        for (rate, question), title in RATES.items():
            rates[title][split] = _rates(errors / f"{rate}_{split}.csv", rate, question)
    pictures = {"rates.png": rates_by_bin(rates)} if splits else {}
    return pictures | ({"fixes.png": error_fixes(fixes)} if fixes else {})


def _fixes(path: Path) -> list[tuple[str, int, float]]:
    """Return (plain words, errors, share regained) of each kind; none without object or loss."""
    table = read_table(path, "analyse_errors", FIXES).set_index("kind")
    missing = [kind for kind in KINDS if kind not in table.index]
    if missing:
        raise InputError(f"{path}: has no row {missing[0]}; run analyse_errors again")
    table = table.loc[list(KINDS)]
    if table["regained"].isna().any():
        return []
    return list(zip(KINDS.values(), table["count"], table["regained"], strict=True))


def _rates(path: Path, rate: str, question: str) -> list[tuple[str, int, float]]:
    """Return (bin, how many, rate) of each bin of one question."""
    types = {"question": str, "bin": str, COUNTED[rate]: int, rate: float}
    table = read_table(path, "analyse_errors", types)
    table = table[table["question"] == question]
    return list(zip(table["bin"], table[COUNTED[rate]], table[rate], strict=True))
