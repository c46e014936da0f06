import re

import lightgbm
import numpy as np
import pytest

from src.base.errors import InputError
from src.bundles.boosted_trees import checked_booster
from src.candidates.candidate_table import MEASURED
from src.scoring.second_level import fit, model_text
from tests import tiny_bundle
from tests.plain_rescore import params

NAMES = list(MEASURED)


@pytest.fixture
def text():
    return tiny_bundle.trees()


def with_tree(text, number, change):
    """Change a tree and let tree_sizes say where it ends then."""
    head, _, body = text.partition("\n\n")
    sizes = [int(size) for size in re.search(r"tree_sizes=(.*)", head)[1].split()]
    starts = np.cumsum([0, *sizes])
    trees = [body[a:b] for a, b in zip(starts, starts[1:], strict=False)]
    rest = body[starts[-1] :]
    trees[number] = change(trees[number])
    told = " ".join(str(len(tree)) for tree in trees)
    return re.sub(r"tree_sizes=.*", f"tree_sizes={told}", head) + "\n\n" + "".join(trees) + rest


def line(key, number, value):
    """Return a change of a tree: one number of a line, or all of it where number is None."""

    def change(tree):
        lines = tree.split("\n")
        [place] = [i for i, one in enumerate(lines) if one.startswith(f"{key}=")]
        words = lines[place].partition("=")[2].split(" ")
        if number is not None:
            words[number] = value
        lines[place] = f"{key}=" + (value if number is None else " ".join(words))
        return "\n".join(lines)

    return change


def test_a_model_scores_as_what_it_was_written_from(text):
    features = np.random.default_rng(2).random((300, len(NAMES)))
    held = checked_booster(text, NAMES, 3)
    assert (held.predict(features) == lightgbm.Booster(model_str=text).predict(features)).all()
    assert held.num_trees() == 3


def test_a_model_of_single_leaves_is_taken():
    features = np.random.default_rng(0).random((5, len(NAMES)))
    model = fit(features, np.ones(5), NAMES, params(score="lightgbm", trees=2), threads=1)
    written = model_text(model)
    assert "num_leaves=1\n" in written
    held = checked_booster(written, NAMES, model.num_trees())
    assert (held.predict(features) == model.predict(features)).all()


def test_what_stands_behind_the_trees_is_never_handed_over(text):
    spoilt = text.partition("end of trees\n")[0] + "end of trees\n[num_threads: 99999999999999]"
    assert checked_booster(spoilt, NAMES, 3).num_trees() == 3


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.1, 0.3, 0.5])
def test_a_truncated_text_is_refused(text, share):
    whole = text.partition("end of trees\n")[0]
    with pytest.raises(InputError):
        checked_booster(whole[: int(share * len(whole))], NAMES, 3)


def test_trees_that_end_too_early_are_said_to_be_cut_off(text):
    with pytest.raises(InputError, match="its trees are cut off"):
        checked_booster(text.partition("end of trees\n")[0], NAMES, 3)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("tree\n", "forest\n", "not LightGBM's text"),
        ("version=v4", "version=v9", "version is 'v9', not v4"),
        ("num_class=1", "num_class=3", "num_class is '3', not 1"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=0", "num_tree_per_iteration is '0'"),
        ("max_feature_idx=20", "max_feature_idx=900000", "max_feature_idx and feature_infos"),
        ("objective=cross_entropy", "objective=lambdarank", "objective is 'lambdarank'"),
        ("label_index=0", "label_index=0\nmore=1", "its head has not the keys"),
        ("label_index=0\n", "", "its head has not the keys"),
        ("label_index=0", "label_index", "a line is no single key=value"),
        ("version=v4", "version=v4\nversion=v4", "a line is no single key=value"),
        ("feature_names=area", "feature_names=size", "feature_names are not those"),
        ("feature_names=area threshold", "feature_names=threshold area", "feature_names are not"),
        ("feature_infos=[", "feature_infos=[x", "feature_infos has '[x"),
        ("feature_infos=", "feature_infos=none ", "feature_infos are not those of 21"),
        ("tree_sizes=", "tree_sizes=9 ", "has 4 trees, not 3"),
        ("tree_sizes=", "tree_sizes=-", "tree_sizes has a size below 1"),
        ("Tree=1", "Tree=7", "tree 1 does not lie where tree_sizes says"),
    ],
)
def test_another_head_is_refused(text, old, new, words):
    assert old in text
    with pytest.raises(InputError, match=words.replace("[", r"\[")):
        checked_booster(text.replace(old, new, 1), NAMES, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (line("num_leaves", None, "1000000000"), "num_leaves of tree 1 is 1000000000"),
        (line("num_leaves", None, "-3"), "num_leaves of tree 1 is -3"),
        (line("num_leaves", None, "3"), "numbers, not"),
        (line("num_cat", None, "1"), "num_cat of tree 1 is '1', not 0"),
        (line("is_linear", None, "1"), "is_linear of tree 1 is '1', not 0"),
        (line("split_feature", 0, "21"), "split_feature of tree 1 names a feature"),
        (line("split_feature", 0, "-1"), "split_feature of tree 1 names a feature"),
        (line("split_feature", 0, "1.5"), "split_feature of tree 1 has something"),
        (line("split_feature", 0, "1_0"), "split_feature of tree 1 has something"),
        (line("left_child", 0, "500"), "left_child of tree 1 leads out of the tree"),
        (line("left_child", 0, "-500"), "left_child of tree 1 leads out of the tree"),
        (line("right_child", 1, "0"), "right_child of tree 1 leads out of the tree"),  # a circle
        (line("right_child", 1, "1"), "right_child of tree 1 leads out of the tree"),
        (line("decision_type", 0, "1"), "decision_type of tree 1 is none of numbers"),
        (line("decision_type", 0, "64"), "decision_type of tree 1 is none of numbers"),
        (line("threshold", 0, "nan"), "threshold of tree 1 has something"),
        (line("threshold", 0, "1e999"), "threshold of tree 1 has something"),
        (line("leaf_value", 0, "inf"), "leaf_value of tree 1 has something"),
        (line("leaf_value", None, "1"), "leaf_value of tree 1 has 1 numbers"),
        (line("leaf_value", None, ""), "leaf_value of tree 1 has 0 numbers"),
        (lambda tree: tree.replace("threshold=", "cutoff=", 1), "keys of tree 1 are not those"),
        (lambda tree: tree.replace("leaf_value=", "leaf=", 1), "keys of tree 1 are not those"),
        (lambda tree: tree.rstrip("\n") + "\ncat_threshold=1\n\n\n", "keys of tree 1 are not"),
    ],
)
def test_a_tree_that_cannot_be_walked_is_refused(text, change, words):
    with pytest.raises(InputError, match=words):
        checked_booster(with_tree(text, 1, change), NAMES, 3)
