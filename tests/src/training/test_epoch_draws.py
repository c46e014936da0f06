import numpy as np
import pytest

from src.training import epoch_draws as drawing
from tests.sections import phase, section

ALL = {"fraction": 1.0, "batch_size": 4, "seed": 0, "epoch": 1}


def epoch_draws(images, *, fraction, batch_size, seed, **options):
    train = section("train", batch_size=batch_size, seed=seed)
    return drawing.epoch_draws(images, phase(fraction=fraction), train, **options)


def indices(images, **changes):
    return [index for index, _ in epoch_draws(images, **ALL | changes)]


def test_an_epoch_shows_every_image_once_in_another_order_each_time():
    first, second = indices(40), indices(40, epoch=2)
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second


def test_seeds_of_the_augmentation_differ_between_images_and_epochs():
    seeds = [s for epoch in (1, 2) for _, s in epoch_draws(40, **ALL | {"epoch": epoch})]
    assert len(set(seeds)) == 80


def test_one_seed_and_epoch_gives_one_result():
    assert epoch_draws(9, **ALL) == epoch_draws(9, **ALL)
    assert epoch_draws(9, **ALL) != epoch_draws(9, **ALL | {"seed": 1})


@pytest.mark.parametrize(("images", "shown"), [(1, 1), (3, 3), (4, 4), (7, 4), (8, 8), (11, 8)])
def test_a_partial_batch_is_left_out_unless_it_is_the_only_one(images, shown):
    assert len(indices(images)) == shown


def test_a_fraction_is_the_same_images_in_every_epoch():
    seen = [set(indices(40, fraction=0.2, epoch=epoch)) for epoch in range(5)]
    assert all(part == seen[0] for part in seen)
    assert len(seen[0]) == 8
    assert len(indices(40, fraction=0.001)) == 1


def test_without_weights_the_draws_are_these():
    draws = epoch_draws(5, **ALL | {"seed": 3, "epoch": 7, "batch_size": 2})
    rng = np.random.default_rng([3, 7])
    order = rng.permutation(np.random.default_rng(3).permutation(5))
    assert draws == list(zip(order.tolist(), rng.integers(2**31, size=5).tolist(), strict=True))[:4]


def test_weighted_draws_repeat_what_weighs_much_and_skip_what_weighs_little():
    weights = np.array([1e-9, 1.0, 1.0, 8.0])
    seen = [i for epoch in range(100) for i in indices(4, weights=weights, epoch=epoch)]
    assert len(seen) == 400
    assert [seen.count(i) for i in range(4)] == pytest.approx([0, 40, 40, 320], abs=30)


def test_equal_draws_of_one_image_get_different_seeds():
    draws = epoch_draws(8, **ALL, weights=np.array([1e-9] * 7 + [1.0]))
    assert {index for index, _ in draws} == {7}
    assert len({seed for _, seed in draws}) == 8


def test_weights_draw_from_the_fraction_alone():
    part = set(indices(40, fraction=0.2))
    weighted = [set(indices(40, fraction=0.2, weights=np.ones(40), epoch=e)) for e in range(30)]
    assert set().union(*weighted) == part


def test_weighted_draws_depend_on_seed_and_epoch_alone():
    weights = np.arange(1.0, 10.0)
    assert epoch_draws(9, **ALL, weights=weights) == epoch_draws(9, **ALL, weights=weights)
    assert indices(9, weights=weights) != indices(9, weights=weights, epoch=2)


@pytest.mark.parametrize("bad", [[1.0, 1.0], [1.0, 0.0, 1.0], [1.0, -1.0, 1.0], [np.nan, 1.0, 1.0]])
def test_weights_that_are_not_a_positive_number_per_image_are_refused(bad):
    with pytest.raises(ValueError, match="weights must be 3 positive numbers"):
        epoch_draws(3, **ALL, weights=np.array(bad))
