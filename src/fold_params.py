"""The section `split_folds` of params.yaml, for stages that ask which folds are trained."""

from src.params import Params


class SplitFoldsParams(Params):
    """The keys of the section; what they may be is checked by split_folds, where they act."""

    method: str
    balance: str
    column: str
    k: int
    repeats: int
    folds: list[int]
    seed: int
