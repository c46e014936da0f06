import copy

import pandas as pd

from experiments.training_steps import planned_steps

FOLDS = pd.DataFrame(
    {"fold": [0] * 10 + [1] * 21, "repeat": 0, "copy": [0] * 25 + [1] * 6}
)  # networks of fold 0 learn from 21 images, those of fold 1 from 10
PLAN = {"epochs": 7, "batch_size": 4, "crop_size": 64}
PARAMS = {
    "split_folds": {"k": 2, "folds": [0, 1]},
    "members": {"main": {}},
    "train": {"batch_size": "auto", "dedupe": "keep", "holdout": 0.0, "repeat": 1}
    | {"phases": [{"epochs": "auto", "fraction": 1.0}]},
}


def steps(**train):
    params = copy.deepcopy(PARAMS)
    params["train"] |= train
    return planned_steps(params, PLAN, FOLDS)


def test_full_batches_of_all_epochs_are_counted_fold_by_fold():
    assert steps() == round((7 * 5 + 7 * 2) / 2)


def test_every_key_of_the_length_counts():
    assert steps(repeat=2) == 49
    assert steps(batch_size=21) == 7  # the only batch of an epoch, whole or not
    assert steps(holdout=0.2) == round((7 * 4 + 7 * 2) / 2)  # of 17 and 8 images
    assert steps(dedupe="drop") == round((7 * 3 + 7 * 2) / 2)  # of 15 and 10
    phases = [{"epochs": 3, "fraction": 0.5}, {"epochs": "auto", "fraction": 1.0}]
    assert steps(phases=phases) == round((3 * 2 + 35 + 3 * 1 + 14) / 2)


def test_members_are_averaged_and_folds_are_of_their_repeat():
    params = copy.deepcopy(PARAMS)
    params["members"] = {"a": None, "b": {"train": {"batch_size": 2}}}
    params["split_folds"]["folds"] = [0]
    assert planned_steps(params, PLAN, FOLDS) == round((35 + 70) / 2)
    params["split_folds"]["folds"] = [2]
    again = FOLDS.assign(repeat=1, fold=2).iloc[:8]
    again.loc[again.index[:3], "fold"] = 3
    params["members"] = {"a": None}
    assert planned_steps(params, PLAN, pd.concat([FOLDS, again])) == 7  # of 3 images
