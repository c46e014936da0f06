"""LightGBM's text of a model, checked line by line before its C++ code sees any of it.

Only what is checked is handed over: the head and the trees. The parameters of the training that
stand behind them are left out, since no prediction depends on them.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import lightgbm
import numpy as np

from src.base.errors import InputError

HEAD = {  # key -> what it must say; None is checked by itself
    "version": "v4",
    "num_class": "1",
    "num_tree_per_iteration": "1",
    "label_index": "0",
    "max_feature_idx": None,
    "objective": "cross_entropy",
    "feature_names": None,
    "feature_infos": None,
    "tree_sizes": None,
}
OF_SPLITS = ("split_feature", "split_gain", "threshold", "decision_type", "left_child",
             "right_child", "internal_value", "internal_weight", "internal_count")  # fmt: skip
OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
NEEDED = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
SINGLE = {"num_cat": "0", "is_linear": "0"}  # no categories, no linear leaves
MOST_LEAVES = 1 << 16
PLAIN_SPLITS = {2 * default | missing << 2 for default in (0, 1) for missing in (0, 1, 2)}
END = "end of trees\n"
FORMS: dict[Any, re.Pattern[str]] = {  # C++ and Python read no more than these in the same way
    int: re.compile(r"-?[0-9]{1,18}"),
    float: re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?(e[-+]?[0-9]{1,3})?"),
}
T = TypeVar("T", int, float)


def checked_booster(text: str, features: Sequence[str], trees: int) -> lightgbm.Booster:
    """Make a model of the text that LightGBM wrote of it.

    Parameters
    ----------
    text : str
        From `src.scoring.second_level.model_text`.
    features : sequence of str
        Names of the features it was fitted on, in their order.
    trees : int
        How many it has.

    Returns
    -------
    booster : lightgbm.Booster

    Raises
    ------
    InputError
        With the reason alone, if it is cut off, of other features, of another number of trees, or
        a tree is none that predictions could walk through.
    """
    head, separator, body = text.partition("\n\n")
    lines = head.split("\n")
    if lines[0] != "tree" or not separator:
        raise InputError("not LightGBM's text of a model")
    sizes = _tree_sizes(lines[1:], features)
    if len(sizes) != trees:
        raise InputError(f"has {len(sizes)} trees, not {trees}")
    content, place = body.encode(), 0
    for number, size in enumerate(sizes):
        tree = content[place : place + size].decode(errors="replace")
        _check_tree(tree, number, len(features))
        place += size
    if not content[place:].startswith(END.encode()):
        raise InputError("its trees are cut off")
    whole = head + separator + content[:place].decode() + END
    try:
        booster = lightgbm.Booster(model_str=whole)
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise InputError(f"LightGBM refuses it ({error})") from None
    if booster.num_trees() != trees or booster.feature_name() != list(features):
        raise InputError("LightGBM reads other trees or features")
    return booster


def _tree_sizes(lines: list[str], features: Sequence[str]) -> list[int]:
    """Check the head and return the bytes of each tree."""
    found = _pairs(lines)
    if found.keys() != HEAD.keys():
        raise InputError(f"its head has not the keys {', '.join(HEAD)}")
    for key, wanted in HEAD.items():
        if wanted is not None and found[key] != wanted:
            raise InputError(f"{key} is {found[key]!r:.60}, not {wanted}")
    if found["feature_names"].split(" ") != list(features):
        raise InputError("its feature_names are not those that candidates are measured by")
    count = len(features)
    infos = found["feature_infos"].split(" ")
    if found["max_feature_idx"] != str(count - 1) or len(infos) != count:
        raise InputError(f"max_feature_idx and feature_infos are not those of {count} features")
    for info in infos:
        ends = info[1:-1].split(":") if info[:1] + info[-1:] == "[]" else []
        if info != "none" and (len(ends) != 2 or not all(map(FORMS[float].fullmatch, ends))):
            raise InputError(f"feature_infos has {info!r:.60}")
    sizes = _numbers(found["tree_sizes"], int, "tree_sizes")
    if min(sizes, default=1) < 1:
        raise InputError("tree_sizes has a size below 1")
    return sizes


def _check_tree(text: str, number: int, features: int) -> None:
    """Refuse a tree whose walk could leave it, or never end."""
    lines = text.rstrip("\n").split("\n")
    if lines[0] != f"Tree={number}":
        raise InputError(f"tree {number} does not lie where tree_sizes says")
    found, of_tree = _pairs(lines[1:]), f"of tree {number}"
    known = {"num_leaves", "shrinkage", *SINGLE, *OF_SPLITS, *OF_LEAVES}
    if not {"num_leaves", "leaf_value", *SINGLE} <= found.keys() <= known:
        raise InputError(f"keys {of_tree} are not those of a tree")
    for key, wanted in SINGLE.items():
        if found[key] != wanted:
            raise InputError(f"{key} {of_tree} is {found[key]!r:.60}, not {wanted}")
    [leaves] = _numbers(found["num_leaves"], int, f"num_leaves {of_tree}", count=1)
    if not 1 <= leaves <= MOST_LEAVES:
        raise InputError(f"num_leaves {of_tree} is {leaves}")
    if leaves > 1 and not set(NEEDED) <= found.keys():
        raise InputError(f"keys {of_tree} are not those of a tree")
    for key in ("shrinkage", *OF_SPLITS, *OF_LEAVES):
        if key in found:
            count = {"shrinkage": 1}.get(key, leaves - (key in OF_SPLITS))
            if found[key] or leaves > 1:  # of a single leaf some lines are empty
                _numbers(found[key], float, f"{key} {of_tree}", count=count)
    if leaves == 1:
        _numbers(found["leaf_value"], float, f"leaf_value {of_tree}", count=1)
        return
    whole = {
        key: np.array(_numbers(found[key], int, f"{key} {of_tree}", count=leaves - 1))
        for key in NEEDED
        if key != "threshold"
    }
    if not ((whole["split_feature"] >= 0) & (whole["split_feature"] < features)).all():
        raise InputError(f"split_feature {of_tree} names a feature that is not there")
    if not set(whole["decision_type"].tolist()) <= PLAIN_SPLITS:
        raise InputError(f"decision_type {of_tree} is none of numbers")
    own = np.arange(leaves - 1)
    for key in ("left_child", "right_child"):
        child = whole[key]  # from 0 on splits, each made after its parent; -1 - leaf
        inside = (child >= -leaves) & (child < leaves - 1)
        if not (inside & ((child < 0) | (child > own))).all():
            raise InputError(f"{key} {of_tree} leads out of the tree")


def _pairs(lines: list[str]) -> dict[str, str]:
    split = [line.partition("=") for line in lines]
    found = {key: value for key, _, value in split}
    if len(found) < len(lines) or not all(equals for _, equals, _ in split):
        raise InputError("not LightGBM's text of a model (a line is no single key=value)")
    return found


def _numbers(text: str, kind: Callable[[str], T], what: str, count: int | None = None) -> list[T]:
    words = text.split(" ") if text else []
    if count is not None and len(words) != count:
        raise InputError(f"{what} has {len(words)} numbers, not {count}")
    if not all(FORMS[kind].fullmatch(word) for word in words):
        raise InputError(f"{what} has something that is no finite number")
    numbers = [kind(word) for word in words]
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"{what} has something that is no finite number")
    return numbers
