import numpy as np
import pytest

from src.training.holdout import hold_out_groups


def test_nothing_is_held_out_by_default():
    assert not hold_out_groups(["a", "b"], fraction=0.0, seed=0).any()


@pytest.mark.parametrize("seed", range(10))
def test_groups_are_held_out_whole_and_not_more_than_needed(seed):
    groups = np.array(list("aabbbccccd"))
    held = hold_out_groups(groups.tolist(), fraction=0.3, seed=seed)
    assert held.sum() >= 3
    for group in set(groups):
        assert len(set(held[groups == group])) == 1
    chosen = set(groups[held])
    assert any(held.sum() - (groups == group).sum() < 3 for group in chosen)


def test_another_seed_holds_out_other_groups():
    groups = [str(i) for i in range(50)]
    first, second = (hold_out_groups(groups, fraction=0.2, seed=s) for s in (0, 1))
    assert first.sum() == second.sum() == 10
    assert (first != second).any()
