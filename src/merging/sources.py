"""Whose maps are merged: members, soups and students, each with its weight."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from src.base.errors import InputError
from src.folds.fold_table import SplitFoldsParams
from src.merging.params import EnsembleParams, StudentParams
from src.merging.soups import SoupsParams, soup_names


class Source(NamedTuple):
    """The networks of one name, one of them for each fold."""

    name: str  # of the member or soup; of the student of a member M, student_M
    folder: str  # that holds their maps, among those of students or of all others
    is_student: bool
    weight: float  # above 0


def merged_sources(
    path: Path,
    *,
    members: Sequence[str],
    soups: SoupsParams,
    student: StudentParams,
    ensemble: EnsembleParams,
    folds: Sequence[int],
) -> list[Source]:
    """Return what is merged: members, then soups, then students.

    Parameters
    ----------
    path : Path
        Of the params file, for the message.
    members : sequence of str
        Names of all members.
    soups, student, ensemble
        The sections of these names.
    folds : sequence of int
        Those that are trained.

    Returns
    -------
    sources : list of Source
        At least one. Without those of weight 0, and those that `student.predictions` leaves out.

    Raises
    ------
    InputError
        If two go by one name, a weight is of none of them, nothing is left, or students are merged
        and lack a fold.
    """
    every = [
        Source(name, name, False, 1.0) for name in [*members, *soup_names(path, soups, members)]
    ]
    known = [source.name for source in every]
    students = [Source(f"student_{name}", name, True, 1.0) for name in members if student.folds]
    for source in students:
        if source.name in known:
            raise InputError(f"{path}: '{source.name}' is the name of a student; rename the other")
    every += students
    if students and student.predictions != "teacher" and set(student.folds) != set(folds):
        raise InputError(
            f"{path}: student.folds {student.folds} must be split_folds.folds {list(folds)} where "
            f"student.predictions is {student.predictions}, since every training image is merged "
            "from networks that left it out; name them all or merge teacher alone"
        )
    known = [source.name for source in every]
    unknown = [name for name in ensemble.weights if name not in known]
    if unknown:
        raise InputError(
            f"{path}: ensemble.weights.{unknown[0]}: no such member or soup; known: "
            f"{', '.join(known)}"
        )
    merged = [source for source in every if _takes_part(source, student)]
    weights = [ensemble.weights.get(source.name, 1.0) for source in merged]
    if not any(weights):
        raise InputError(
            f"{path}: ensemble.weights {ensemble.weights} leaves nothing to merge; give one of "
            f"{', '.join(source.name for source in merged)} a weight above 0"
        )
    pairs = zip(merged, weights, strict=True)
    return [source._replace(weight=weight) for source, weight in pairs if weight]


def folds_of_new_images(folds: SplitFoldsParams, ensemble: EnsembleParams) -> list[int]:
    """Return the folds whose networks are merged for images that none has learnt from.

    Parameters
    ----------
    folds : SplitFoldsParams
        `folds`, those that are trained, `k` and `repeats`.
    ensemble : EnsembleParams
        `networks`: "all" are all that are trained. A map merged of several networks is smoother
        than that of one, which is all that an image of train has of each division; a second level
        learns from these. "as_oof" are as many: those of the first trained fold of each division.
    """
    if ensemble.networks == "all":
        return folds.folds
    first: dict[int, int] = {}
    for fold in folds.folds:
        first.setdefault(fold // folds.k if folds.repeats > 1 else 0, fold)
    return list(first.values())


def _takes_part(source: Source, student: StudentParams) -> bool:
    wanted = student.predictions if student.folds else "teacher"
    return wanted in ("both", "student" if source.is_student else "teacher")
