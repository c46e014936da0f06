import pytest

from src.epoch_draws import epoch_draws

ALL = {"fraction": 1.0, "batch_size": 4, "seed": 0, "epoch": 1}


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
