import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from src.likeness.split_classifier import _aucs, look_alikes, tell_apart

SETTINGS = {"k": 5, "trees": 60, "resamples": 300, "seed": 0}


def table(seed, train=100, other=50, features=6):
    """Images of two splits that differ in nothing, each a group of its own."""
    rng = np.random.default_rng(seed)
    is_other = np.arange(train + other) >= train
    return rng.normal(size=(train + other, features)), is_other, np.arange(train + other)


def compare(features, other, groups, used=None, **settings):
    used = np.ones(len(other), bool) if used is None else used
    return tell_apart(features, other, groups, used, **SETTINGS | settings)


def test_splits_of_one_distribution_are_not_told_apart():
    for seed in range(4):
        found = compare(*table(seed))
        assert found.low < 0.5 < found.high
        assert found.high - found.low < 0.3
        assert found.gains.sum() == pytest.approx(1)


def test_a_planted_shift_is_found_with_its_feature_and_its_train_images():
    features, other, groups = table(0)
    shifted = other | (groups < 20)  # and twenty of the train images too
    features[shifted, 3] += 6
    found = compare(features, other, groups)
    assert found.auc > 0.85
    assert found.low > 0.75
    assert found.gains.argmax() == 3
    assert found.gains[3] > 0.5
    train = found.likeness[:100]
    assert train[:20].mean() > 0.6
    assert train[20:].mean() < 0.25


def test_splits_without_a_shared_image_are_told_apart_without_error():
    features, other, groups = table(1, features=1)
    features[other] += 20
    found = compare(features, other, groups)
    assert (found.auc, found.low, found.high) == (1, 1, 1)
    assert ((found.likeness > 0) & (found.likeness < 1)).all()


def test_likeness_does_not_depend_on_how_many_images_the_other_split_has():
    """Half of train looks like test, which is small: by Bayes 2 / 3 at equal priors."""
    other = np.arange(900) >= 800
    like = other | (np.arange(900) % 2 == 0)
    found = compare(like.astype(float)[:, None], other, np.arange(900))
    assert found.likeness[:800][like[:800]].mean() == pytest.approx(2 / 3, abs=0.03)
    assert found.likeness[:800][~like[:800]].mean() < 0.1


def test_no_image_is_classified_by_what_has_seen_its_group():
    """Images of a group are the same, and nothing else tells the splits apart."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    features = rng.normal(size=(40, 6))[groups]
    other = groups >= 26
    assert abs(compare(features, other, groups).auc - 0.5) < 0.2
    assert compare(features, other, np.arange(200)).auc > 0.9  # where the groups are not known


def test_a_group_of_both_splits_is_left_out_whole():
    features, other, _ = table(0, train=40, other=40)
    features[40:] = features[:40]
    found = compare(features, other, np.tile(np.arange(40), 2))
    np.testing.assert_array_equal(found.likeness[:40], found.likeness[40:])
    assert found.auc == 0.5


@pytest.mark.parametrize(("train", "other"), [(23, 7), (21, 9), (22, 7)])
def test_images_all_alike_give_half(train, other):
    count = train + other  # folds differ in their priors, which must leave no trace
    found = compare(np.ones((count, 4)), np.arange(count) >= train, np.arange(count))
    assert (found.auc, found.low, found.high) == (0.5, 0.5, 0.5)
    assert (found.likeness == 0.5).all()
    assert (found.gains == 0).all()


def test_images_that_are_not_used_get_a_likeness_and_change_no_other():
    features, other, groups = table(2)
    features[other, 1] += 2
    used = np.ones(150, bool)
    used[:30] = False
    found = compare(features, other, groups, used)
    alone = compare(features[30:], other[30:], groups[30:])
    np.testing.assert_array_equal(found.likeness[30:], alone.likeness)
    assert found[1:4] == alone[1:4]
    assert (found.likeness[:30] > 0).all()
    again = features.copy()
    again[:30] = features[120]  # now they look as test does
    assert compare(again, other, groups, used).likeness[:30].min() > 0.7


def test_an_image_that_is_not_used_is_classified_by_what_left_out_its_group():
    features, other, groups = table(3)
    features[0] = features[140] = 9.0, 9.0, 9.0, 9.0, 9.0, 9.0
    groups[140] = groups[0]
    used = np.ones(150, bool)
    used[0] = False
    found = compare(features, other, groups, used)
    assert found.likeness[0] == found.likeness[140]


@pytest.mark.parametrize(
    "groups", [[0] * 6 + [1] * 6, [*range(6), *[6] * 6], [0] * 6 + [*range(6)]]
)
def test_a_split_of_a_single_group_cannot_be_compared(groups):
    features, other, _ = table(0, train=6, other=6)
    groups = np.array(groups)
    assert (len(set(groups[other])) == 1) or (len(set(groups[~other])) == 1)
    assert compare(features, other, groups) is None


def test_a_split_of_two_groups_is_compared_in_two_folds():
    features, other, _ = table(0, train=60, other=40, features=1)
    features[:] = other[:, None]
    groups = np.where(other, 100 + np.arange(100) % 2, np.arange(100))
    assert compare(features, other, groups).auc == 1


def test_the_same_seed_gives_the_same_to_the_bit_and_another_an_other():
    found = [compare(*table(0), seed=seed) for seed in (1, 1, 2)]
    assert found[0].likeness.tobytes() == found[1].likeness.tobytes()
    assert found[0][1:4] == found[1][1:4]
    assert (found[0].likeness != found[2].likeness).any()


@pytest.mark.parametrize("seed", range(3))
def test_auc_is_that_of_the_images_repeated_as_often_as_their_groups_are_drawn(seed):
    rng = np.random.default_rng(seed)
    scores, positive = rng.integers(0, 6, 30) / 5, rng.random(30) < 0.4
    groups, weights = rng.integers(0, 8, 30), rng.integers(0, 4, (60, 8))
    weights[0] = np.where(np.isin(np.arange(8), groups[positive]), 0, 1)  # without a positive
    found = _aucs(scores, positive, groups, weights)
    assert np.isnan(found[0])
    for auc, times in zip(found[1:], weights[1:], strict=True):
        repeated = np.repeat(np.arange(30), times[groups])
        assert auc == pytest.approx(roc_auc_score(positive[repeated], scores[repeated]))


def test_look_alikes_are_grouped_whatever_the_unit_of_a_feature():
    rng = np.random.default_rng(0)
    of = rng.permutation(np.repeat(np.arange(4), 5))
    centres = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [9, 9, 0]])
    features = (centres[of] + rng.normal(size=(20, 3)) * [1, 1, 0]) * [1, 1000, 1]
    found = look_alikes(features, 4)
    assert len({(one, other) for one, other in zip(of, found, strict=True)}) == 4
    assert set(found) == {0, 1, 2, 3}


@pytest.mark.parametrize("images", [0, 1, 3])
def test_as_many_groups_as_images_are_the_images(images):
    assert look_alikes(np.zeros((images, 2)), 3).tolist() == list(range(images))
