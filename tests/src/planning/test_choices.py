import math

import pytest

from src.base.params import PLANNED
from src.planning.choices import choose, coarse
from src.planning.fingerprint import Fingerprint
from tests.sections import PARAMS, section

TYPICAL = Fingerprint(
    images=100,
    short_side=256,
    long_side=256,
    objects=900,
    most_objects=40,
    diameters=(8, 20, 50),
    large=60,
    small_area=40,
    near=0.5,
    touching=0.09,
    gap=8.2,
    holes=0.0,
    harmless_hole=math.inf,
    cornered=0.0,
)
NONE = TYPICAL._replace(
    objects=0,
    most_objects=0,
    diameters=(math.nan,) * 3,
    **dict.fromkeys(
        ("large", "small_area", "near", "touching", "gap", "holes", "cornered"), math.nan
    ),
)
EPOCHS = [PARAMS["train"]["phases"][0] | {"epochs": "auto"}]
LOSS = {"sigma": "auto", "contact_width": 6.0, "boundary_distance_weight": "auto"}
AUTO = {"crop_size": "auto", "batch_size": "auto", "phases": EPOCHS}


def chosen(found=TYPICAL, *, steps=1200, learnt=0.5, resize="auto", losses=({},), **train):
    choices = choose(
        found,
        steps=steps,
        learnt=learnt,
        model=section("model", resize=resize),
        train=section("train", **AUTO | train),
        losses=[section("loss", **LOSS | one) for one in losses],
    )
    assert all(choice.reason for choice in choices)
    return {choice.key: choice.value for choice in choices}


def reason(key, found=TYPICAL, steps=1200):
    parts = {"model": section("model", resize="auto"), "train": section("train", **AUTO)}
    choices = choose(found, steps=steps, learnt=0.5, losses=[section("loss")], **parts)
    return next(choice.reason for choice in choices if choice.key == key)


def test_a_typical_set_is_seen_whole_and_as_it_is():
    assert chosen() == {
        "resize": 1.0,
        "encoder_depth": 5,
        "crop_size": 256,
        "batch_size": 8,
        "epochs": 200,  # 50 images are 6 batches of 8
        "sigma": 8.0,
        "boundary_distance_weight": 0.0,
        "seeds": "mask",
        "max_distance": 24,
        "min_area": 20,
        "max_hole": 100,
        "connectivity": 4,
        "dilate": 0,
        "max_detections": 100,
    }


def test_every_plan_has_the_values_that_stages_ask_for():
    everything = chosen(NONE, resize=1.0, losses=({"sigma": 3.0},), crop_size=64, batch_size=2)
    asked = {key for keys in PLANNED.values() for key in keys}
    assert asked <= everything.keys()


def test_a_few_images_more_or_less_change_no_value():
    more = TYPICAL._replace(images=101, gap=8.3, small_area=41, diameters=(8, 20.2, 50.3))
    assert chosen(more) == chosen()
    assert reason("sigma", more) != reason("sigma")


def test_without_objects_there_is_an_answer_all_the_same():
    found = chosen(NONE)
    assert (found["resize"], found["crop_size"], found["sigma"]) == (1.0, 256, 5.0)
    assert (found["min_area"], found["max_hole"], found["connectivity"]) == (12, 8, 4)
    assert (found["boundary_distance_weight"], found["seeds"]) == (0.0, "mask")
    assert reason("min_area", NONE) == "there is no object to go by"
    assert chosen(NONE._replace(short_side=2000, long_side=3000))["crop_size"] == 384


@pytest.mark.parametrize(
    ("large", "median", "short_side", "resize"),
    [
        (200, 40, 1000, 1.0),
        (201, 40, 1000, 0.75),
        (300, 40, 1000, 0.5),
        (390, 40, 1000, 0.4),
        (640, 40, 1000, 0.25),
        (5000, 40, 1000, 0.25),
        (640, 40, 150, 0.5),  # 0.4 would leave 60 px
        (640, 40, 50, 1.0),
        (20, 8.9, 1000, 2.0),
        (20, 9.0, 1000, 1.0),
    ],
)
def test_objects_are_brought_to_a_size_that_a_network_oversees(large, median, short_side, resize):
    found = TYPICAL._replace(large=large, diameters=(4, median, 60), short_side=short_side)
    assert chosen(found)["resize"] == resize


@pytest.mark.parametrize(
    ("short", "long", "large", "crop"),
    [
        (200, 300, 40, 320),  # whole
        (101, 101, 40, 128),
        (800, 900, 10, 128),
        (800, 900, 40, 256),  # 6 objects are 240 px
        (800, 900, 150, 384),
        (150, 900, 150, 160),  # as high as the image
    ],
)
def test_crops_show_the_whole_image_or_several_objects(short, long, large, crop):
    found = TYPICAL._replace(short_side=short, long_side=long, large=large)
    assert chosen(found)["crop_size"] == crop


def test_what_is_given_decides_what_depends_on_it():
    found = chosen(resize=0.5, batch_size=4)
    assert (found["resize"], found["crop_size"], found["encoder_depth"]) == (1.0, 128, 4)
    assert (found["batch_size"], found["epochs"]) == (8, 100)  # 12 batches of 4
    assert chosen(crop_size=512)["batch_size"] == 2


def test_the_encoder_is_deep_for_large_crops_or_objects():
    small = {"short_side": 128, "long_side": 128}
    assert chosen(TYPICAL._replace(**small))["encoder_depth"] == 4
    assert chosen(TYPICAL._replace(large=65, **small))["encoder_depth"] == 5


def test_batches_hold_a_million_pixels_at_most():
    of_crops = {size: chosen(crop_size=size)["batch_size"] for size in (352, 384, 704, 2048)}
    assert of_crops == {352: 8, 384: 4, 704: 2, 2048: 1}


@pytest.mark.parametrize(
    ("images", "learnt", "steps", "epochs"),
    [(100, 0.8, 1000, 100), (3, 0.5, 100, 100), (100_000, 0.5, 1500, 1), (1000, 0.5, 1500, 30)],
)
def test_epochs_follow_from_steps(images, learnt, steps, epochs):
    found = TYPICAL._replace(images=images)
    assert chosen(found, learnt=learnt, steps=steps)["epochs"] == epochs


def test_where_images_would_be_seen_rarely_up_to_twice_the_batches_are_taken():
    def epochs(batches):  # of 100 steps
        return chosen(TYPICAL._replace(images=8 * batches), learnt=1.0, steps=100)["epochs"]

    assert [epochs(batches) for batches in (5, 6, 8, 10, 100)] == [30, 30, 25, 20, 2]
    words = "; as those see an image rarely, up to 2 times as many are taken"
    assert words in reason("epochs", steps=10)
    assert words not in reason("epochs", steps=1000)


def test_a_time_that_is_given_is_not_exceeded():
    found = choose(
        TYPICAL,
        steps=30,
        learnt=0.5,
        model=section("model"),
        train=section("train", **AUTO),
        losses=[section("loss")],
        timed="plan.minutes 1 have room for 30 steps",
    )
    epochs = next(choice for choice in found if choice.key == "epochs")
    assert epochs.value == 5  # 50 images are 6 batches of 8
    assert epochs.reason.endswith("6 batches an epoch, and plan.minutes 1 have room for 30 steps")


def test_phases_that_leave_their_epochs_to_the_plan_share_the_steps():
    number = EPOCHS[0] | {"epochs": 3}
    assert chosen(phases=[*EPOCHS, number, *EPOCHS])["epochs"] == 100
    assert chosen(repeat=4)["epochs"] == 50
    assert chosen(phases=[number])["epochs"] == 200


@pytest.mark.parametrize(
    ("near", "gap", "sigma"),
    [(0.5, 1.0, 3.0), (0.5, 7.2, 7.0), (0.5, 30.0, 10.0), (0.0, math.nan, 5.0)],
)
def test_sigma_is_a_typical_gap_within_bounds(near, gap, sigma):
    found = chosen(TYPICAL._replace(near=near, gap=gap))
    assert (found["sigma"], found["max_distance"]) == (sigma, max(math.ceil(3 * sigma), 7))


@pytest.mark.parametrize(
    ("touching", "losses", "weight", "seeds"),
    [
        (0.09, [{}], 0.0, "mask"),
        (0.1, [{}], 0.5, "distance"),
        (0.1, [{"boundary_distance_weight": 0.0}], 0.5, "mask"),  # what is given is obeyed
        (0.0, [{"boundary_distance_weight": 1.0}], 0.0, "distance"),
        (0.1, [{}, {"boundary_distance_weight": 0.0}], 0.5, "mask"),  # one member lacks the head
    ],
)
def test_objects_that_touch_are_parted_by_a_head_of_all_networks(touching, losses, weight, seeds):
    found = chosen(TYPICAL._replace(touching=touching), losses=losses)
    assert (found["boundary_distance_weight"], found["seeds"]) == (weight, seeds)


@pytest.mark.parametrize(
    ("losses", "distance"),
    [
        ([{}], 24),
        ([{"contact_width": 30.5}], 31),
        ([{"sigma": 2.0}], 7),
        ([{"sigma": 2.0}, {"sigma": 10.0}], 30),
        ([{"sigma": 50.0}], 63),
    ],
)
def test_distances_are_measured_as_far_as_any_member_needs(losses, distance):
    assert chosen(losses=losses)["max_distance"] == distance


def test_holes_are_filled_up_to_those_that_are_real():
    assert chosen(TYPICAL._replace(holes=0.2, harmless_hole=9))["max_hole"] == 9
    assert chosen(TYPICAL._replace(holes=0.2, harmless_hole=900))["max_hole"] == 100


def test_corners_join_parts_where_more_than_a_few_objects_need_it():
    assert chosen(TYPICAL._replace(cornered=0.009))["connectivity"] == 4
    assert chosen(TYPICAL._replace(cornered=0.01))["connectivity"] == 8


@pytest.mark.parametrize(("most", "limit"), [(60, 100), (61, 200), (100, 200), (131, 300)])
def test_crowded_images_raise_the_limit_of_detections(most, limit):
    assert chosen(TYPICAL._replace(most_objects=most))["max_detections"] == limit


def test_coarse_values_are_those_a_person_would_write():
    numbers = {0.4: 0, 7.6: 8, 19.4: 19, 23: 25, 97.6: 100, 123: 120, 1275: 1300}
    assert {value: coarse(value) for value in numbers} == numbers
