import math

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from src.networks.positions import positions_of
from src.networks.resizing import resized_tensor
from src.predicting.embedding_affinity import neighbour_affinity, resampled_affinity
from src.predicting.params import PredictParams
from src.predicting.prediction import predict_image, window_starts

SETTINGS = {
    "views": "none",
    "scales": [1.0],
    "merge": "mean",
    "padding": "replicate",
    "margin": 0,
    "gammas": [1.0],
    "max_size": 64,
    "overlap": 8,
    "precision": "float32",
}
NETWORK = {"stride": 4, "resize": 1.0}


def brightness(images):
    """Logits that depend on each pixel alone: every view, window and padding must agree."""
    return {"mask": torch.logit((images[:, 0].float() + 1) / 257)}


def column(images):
    """Logits that grow along the width, so that views disagree."""
    ramp = torch.linspace(-2, 2, images.shape[-1])
    return {"mask": ramp.expand(len(images), images.shape[-2], -1)}


def picture(height, width):
    return torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )


def predict(forward, image, **changes):
    params = PredictParams(
        **SETTINGS | {key: changes.pop(key) for key in SETTINGS.keys() & changes.keys()}
    )
    return predict_image(forward, image, params, **NETWORK | changes)


def seen_by_the_network(image, **changes):
    """Return the batches that reach the network."""
    seen = []

    def forward(images):
        seen.append(images)
        return brightness(images)

    predict(forward, image, **changes)
    return seen


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 9), (7, 5), (64, 64), (65, 64), (200, 33), (130, 170)]
)
@pytest.mark.parametrize("views", ["none", "hflip", "d2", "d4"])
@pytest.mark.parametrize("padding", ["replicate", "reflect"])
def test_any_size_and_view_gives_back_what_a_pixelwise_network_says(size, views, padding):
    image = picture(*size)
    probability = predict(brightness, image, views=views, padding=padding)["mask"]
    assert probability.shape == size
    torch.testing.assert_close(probability, (image[0].float() + 1) / 257)


def test_the_network_only_sees_multiples_of_its_stride():
    seen = seen_by_the_network(picture(5, 11), views="d4")
    assert sorted(tuple(images.shape[-2:]) for images in seen) == [(8, 12), (12, 8)]


def test_padding_repeats_the_edge_half_on_each_side():
    image = picture(5, 6)
    (seen,) = seen_by_the_network(image)
    padded = np.pad(image.numpy(), ((0, 0), (1, 2), (1, 1)), mode="edge")
    np.testing.assert_array_equal(seen[0].numpy(), padded)


def test_padding_reflects_the_image_half_on_each_side():
    image = picture(5, 6)
    (seen,) = seen_by_the_network(image, padding="reflect")
    padded = np.pad(image.numpy(), ((0, 0), (1, 2), (1, 1)), mode="reflect")
    np.testing.assert_array_equal(seen[0].numpy(), padded)


@pytest.mark.parametrize("padding", ["replicate", "reflect"])
def test_a_margin_is_padded_on_every_side_and_cut_off(padding):
    image = picture(5, 6)
    seen = seen_by_the_network(image, margin=3, padding=padding)[0]
    mode = {"replicate": "edge", "reflect": "reflect"}[padding]
    # 5 + 6 rows and 6 + 6 columns: one more row to a multiple of 4, below
    wanted = np.pad(image.numpy(), ((0, 0), (3, 3), (3, 3)), mode=mode)
    wanted = np.pad(wanted, ((0, 0), (0, 1), (0, 0)), mode=mode)
    np.testing.assert_array_equal(seen[0], wanted)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 64), (130, 170)])
@pytest.mark.parametrize("changes", [{"views": "d4"}, {"scales": [1.0, 1.0]}, {"max_size": 48}])
def test_a_margin_keeps_pixels_in_their_place(size, changes):
    image = picture(*size)
    probability = predict(brightness, image, margin=9, **changes)["mask"]
    torch.testing.assert_close(probability, (image[0].float() + 1) / 257)


def test_a_margin_is_of_the_resized_image_and_positions_repeat_their_edge():
    seen = []

    def forward(images):
        seen.append(images)
        return brightness(images)

    predict(forward, picture(8, 8), margin=4, resize=0.5, positions=True)
    rows, columns = positions_of(seen[0][:, 3:])[0]
    assert rows.shape == (12, 12)
    assert (rows[:4] == rows[4]).all()
    assert rows[4:8, 0].tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1], abs=1e-3)
    assert (columns[:, 8:] == columns[:, 7:8]).all()


@pytest.mark.parametrize(("gamma", "expected"), [(2.0, [0, 64, 255]), (0.5, [0, 181, 255])])
def test_a_gamma_is_a_power_of_colours_in_the_unit_interval(gamma, expected):
    image = torch.tensor([[[0, 128, 255]]] * 3, dtype=torch.uint8)
    seen = seen_by_the_network(image, gammas=[gamma])[0]
    assert seen[0, 0, 0, :3].tolist() == expected
    deep = torch.tensor([[[0, 32768, 65535]]] * 3, dtype=torch.int32)
    seen = seen_by_the_network(deep, gammas=[2.0])[0]
    assert seen[0, 0, 0, :3].tolist() == [0, 16384, 65535]


def test_two_gammas_are_the_average_of_the_two_made_by_hand_with_their_spread():
    image = picture(6, 7)
    both = predict(brightness, image, gammas=[1.0, 2.0], scales=[1.0, 1.5])
    single = [
        predict(brightness, image, gammas=[gamma], scales=[scale])["mask"]
        for gamma in (1.0, 2.0)
        for scale in (1.0, 1.5)
    ]
    torch.testing.assert_close(both["mask"], torch.stack(single).mean(0))
    spread = torch.stack(single).std(0, correction=0)
    torch.testing.assert_close(both["view_spread"], spread, atol=1e-4, rtol=1e-3)


def test_hflip_averages_the_two_directions():
    merged = predict(column, picture(4, 8), views="hflip")["mask"]
    once = predict(column, picture(4, 8))["mask"]
    torch.testing.assert_close(merged, (once + once.flip(-1)) / 2)


def test_the_merge_is_that_of_the_views():
    once = predict(column, picture(4, 8))["mask"]
    merged = predict(column, picture(4, 8), views="hflip", merge="max")["mask"]
    torch.testing.assert_close(merged, torch.maximum(once, once.flip(-1)))


def test_windows_are_blended_without_a_seam():
    probability = predict(column, picture(4, 120), max_size=64, overlap=32)["mask"]
    steps = probability[0].diff().abs()
    assert steps.max() < 0.08  # two windows side by side would jump by 0.76


def test_resize_is_undone_to_the_exact_size():
    image = torch.full((3, 7, 9), 100, dtype=torch.uint8)
    (seen,) = seen_by_the_network(image, resize=2.0)
    assert tuple(seen.shape[-2:]) == (16, 20)
    probability = predict(brightness, image, resize=2.0)["mask"]
    torch.testing.assert_close(probability, torch.full((7, 9), 101 / 257))


def at_scale(image, scale):
    """The map of one scale made by hand, brought back to the size of the image."""
    probability = (resized_tensor(image, scale)[None, :1] + 1) / 257
    return interpolate(probability, image.shape[-2:], mode="bilinear")[0, 0]


def test_two_scales_are_the_average_of_the_two_made_by_hand():
    image = picture(10, 14)
    found = predict(brightness, image, scales=[1.0, 1.5])["mask"]
    torch.testing.assert_close(found, (at_scale(image, 1.0) + at_scale(image, 1.5)) / 2)
    found = predict(brightness, image, scales=[0.5, 1.5], merge="gmean")["mask"]
    torch.testing.assert_close(found, (at_scale(image, 0.5) * at_scale(image, 1.5)).sqrt())


def test_scales_come_on_top_of_resize():
    seen = seen_by_the_network(picture(10, 14), scales=[1.0, 2.0], resize=2.0)
    assert [tuple(images.shape[-2:]) for images in seen] == [(20, 28), (40, 56)]


def test_one_scale_of_one_and_the_same_scale_twice_change_nothing():
    image = picture(33, 70)
    once = predict(column, image, views="d4")["mask"]
    by_hand = torch.full((33, 70), 0.5)  # the ramps of mirrored views cancel out
    torch.testing.assert_close(once, by_hand)
    assert torch.equal(predict(column, image, views="d4", scales=[1.0, 1.0])["mask"], once)


def ramps(images):
    """Every kind of head: a map of logits, one of values, a number; none symmetric."""
    ramp = torch.linspace(-0.5, 1.1, images.shape[-1]).expand(len(images), images.shape[-2], -1)
    empty = torch.logit((images[:, 0, 0, 0].float() + 1) / 257)
    return {"mask": ramp * 3, "boundary_distance": ramp, "empty": empty}


def test_every_head_is_predicted_and_values_are_averaged_then_clipped():
    found = predict(ramps, picture(4, 8), views="hflip", merge="max")
    ramp = torch.linspace(-0.5, 1.1, 8).expand(4, -1)
    torch.testing.assert_close(found["mask"], torch.maximum(ramp * 3, ramp.flip(-1) * 3).sigmoid())
    torch.testing.assert_close(found["boundary_distance"], (ramp + ramp.flip(-1)) / 2)
    found = predict(ramps, picture(4, 8))
    torch.testing.assert_close(found["boundary_distance"], ramp.clamp(0, 1))


def test_values_are_averaged_over_scales_too():
    once = [predict(ramps, picture(8, 8), scales=[scale]) for scale in (1.0, 2.0)]
    both = predict(ramps, picture(8, 8), scales=[1.0, 2.0], merge="max")
    ramp = torch.linspace(-0.5, 1.1, 16).expand(8, -1)
    ramp = interpolate(ramp[None, None], (8, 8), mode="bilinear")[0, 0]
    wanted = (torch.linspace(-0.5, 1.1, 8) + ramp) / 2
    torch.testing.assert_close(both["boundary_distance"], wanted.clamp(0, 1))
    torch.testing.assert_close(both["mask"], torch.maximum(once[0]["mask"], once[1]["mask"]))


def test_the_number_of_an_image_is_merged_over_views_and_scales():
    image = picture(4, 4)
    corners = image[0][[0, 0, -1, -1], [0, -1, 0, -1]].float()
    found = predict(ramps, image, views="d2")["empty"]
    assert isinstance(found, float)
    assert found == pytest.approx(((corners + 1) / 257).mean().item(), abs=1e-6)
    at_two = predict(ramps, image, views="d2", scales=[2.0])["empty"]
    both = predict(ramps, image, views="d2", scales=[1.0, 2.0])["empty"]
    assert both == pytest.approx((found + at_two) / 2, abs=1e-6)


def test_an_image_is_as_empty_as_its_least_empty_window():
    image = torch.full((3, 64, 128), 200, dtype=torch.uint8)
    image[:, :, 64:] = 50
    assert predict(ramps, image, overlap=0)["empty"] == pytest.approx(51 / 257, abs=1e-6)


def test_one_view_of_one_scale_has_no_spread():
    assert predict(ramps, picture(4, 8)).keys() == {"mask", "boundary_distance", "empty"}


@pytest.mark.parametrize("merge", ["mean", "max", "tsharpen"])
def test_the_spread_over_two_views_is_half_their_difference_whatever_the_merge(merge):
    once = predict(column, picture(5, 10))["mask"]
    found = predict(column, picture(5, 10), views="hflip", merge=merge)["view_spread"]
    torch.testing.assert_close(found, (once - once.flip(-1)).abs() / 2)


def test_the_spread_over_views_and_scales_is_that_of_all_of_them():
    def forward(images):
        level = 0.2 if images.shape[-1] == 8 else 0.7
        sides = level + torch.linspace(-1, 1, images.shape[-1]).sign() * 0.1
        return {"mask": torch.logit(sides).expand(len(images), images.shape[-2], -1)}

    found = predict(forward, picture(8, 8), views="hflip", scales=[1.0, 2.0], merge="gmean")
    wanted = np.std([0.1, 0.3, 0.6, 0.8])  # in the middle the two sides of a resized map mix
    ends = found["view_spread"][:, [0, 1, 6, 7]]
    torch.testing.assert_close(ends, torch.full((8, 4), wanted, dtype=torch.float32))
    found = predict(forward, picture(8, 8), scales=[1.0, 2.0])["view_spread"]
    torch.testing.assert_close(found, torch.full((8, 8), 0.25))


def test_certain_views_that_disagree_have_the_largest_spread_and_equal_ones_none():
    def certain(images):
        left = torch.arange(images.shape[-1]) < images.shape[-1] / 2
        logits = torch.where(left, 200.0, -200.0)
        return {"mask": logits.expand(len(images), images.shape[-2], -1)}

    assert (predict(certain, picture(4, 8), views="hflip")["view_spread"] == 0.5).all()
    assert predict(brightness, picture(9, 8), views="d4")["view_spread"].max() < 1e-6


def test_the_spread_is_blended_over_windows_as_a_variance():
    def by_brightness(images):
        width = images.shape[-1]
        side = torch.where(torch.arange(width) < width / 2, 1.0, -1.0)
        logits = side * images[:, 0].amin((1, 2))[:, None] / 50
        return {"mask": logits[:, None].expand(-1, images.shape[-2], -1)}

    image = torch.full((3, 8, 96), 50, dtype=torch.uint8)
    image[:, :, 32:] = 100  # the first window has pixels of 50, the second has none
    found = predict(by_brightness, image, views="hflip", overlap=32)["view_spread"]
    spreads = [1 / (1 + math.exp(-logit)) - 0.5 for logit in (1, 2)]
    torch.testing.assert_close(found[:, :32], torch.full((8, 32), spreads[0]))
    torch.testing.assert_close(found[:, 64:], torch.full((8, 32), spreads[1]))
    kernel = torch.hann_window(66, periodic=False)[1:-1] + 1e-3
    share = kernel[:32] / (kernel[:32] + kernel[32:])  # of the second window
    blended = ((1 - share) * spreads[0] ** 2 + share * spreads[1] ** 2).sqrt()
    torch.testing.assert_close(found[:, 32:64], blended.expand(8, -1))


def colours(images):
    """An embedding of each pixel alone; neighbours of unlike colour are unlike."""
    return {"mask": torch.zeros(images[:, 0].shape), "embedding": images.float() / 100}


def affinity(image, **changes):
    settings = {"embedding_loss": "discriminative"} | changes
    return predict(colours, image, **settings)["embedding"]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 5), (32, 32), (33, 32), (100, 33), (65, 85)])
@pytest.mark.parametrize("views", ["none", "hflip", "d4"])
@pytest.mark.parametrize("kind", ["discriminative", "arcface"])
def test_affinities_are_those_of_the_image_in_any_size_and_view(size, views, kind):
    image = picture(*size)
    found = affinity(image, views=views, max_size=32, overlap=1, embedding_loss=kind)
    expected = neighbour_affinity(image.float() / 100, kind=kind)
    assert ((expected > 0) & (expected < 1)).any() or size == (1, 1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert (found[0, :, -1] == 0).all()
    assert (found[1, -1] == 0).all()


def test_affinities_are_averaged_over_views():
    def across(images):
        ramp = torch.linspace(0, 1, images.shape[-1]) ** 2 * 9
        return {
            "mask": torch.zeros(images[:, 0].shape),
            "embedding": ramp.expand(len(images), 1, 4, 8),
        }

    settings = {"embedding_loss": "discriminative", "merge": "max"}
    right = predict(across, picture(4, 8), **settings)["embedding"][0]
    both = predict(across, picture(4, 8), views="hflip", **settings)["embedding"][0]
    mirrored = right[:, :-1].flip(-1)
    torch.testing.assert_close(both[:, :-1], (right[:, :-1] + mirrored) / 2)


def test_affinities_of_resized_images_keep_their_place():
    image = picture(12, 20)
    at_sizes = [
        resampled_affinity(
            neighbour_affinity(resized_tensor(image, factor).float() / 100, kind="discriminative"),
            (12, 20),
        )
        for factor in (0.5, 2.0)
    ]
    torch.testing.assert_close(affinity(image, resize=2.0), at_sizes[1])
    both = affinity(image, scales=[0.5, 2.0], merge="max", views="d4")
    torch.testing.assert_close(both, (at_sizes[0] + at_sizes[1]) / 2)


@pytest.mark.parametrize("head", ["mask", "empty", "embedding"])
def test_no_number_is_never_hidden(head):
    def forward(images):
        answers = ramps(images) | {"embedding": images.float()}
        if (images == 0).any():
            answers[head] = answers[head] * torch.nan
        return answers

    image = torch.ones(3, 64, 128, dtype=torch.uint8)
    image[:, 0, 0] = 0
    for merge in ("mean", "gmean", "hmean", "logit_mean", "tsharpen", "max"):
        settings = {"merge": merge, "views": "d2", "scales": [1.0, 0.5]}
        found = predict(forward, image, embedding_loss="discriminative", **settings)
        assert torch.as_tensor(found[head]).isnan().any(), merge
        assert found["view_spread"].isnan().any() == (head == "mask")


@pytest.mark.parametrize(
    ("length", "window", "overlap"), [(65, 64, 8), (1000, 64, 63), (130, 64, 0)]
)
def test_windows_cover_the_length_and_overlap_enough(length, window, overlap):
    starts = window_starts(length, window, overlap)
    assert starts[0] == 0
    assert starts[-1] == length - window
    assert all(b - a <= window - overlap for a, b in zip(starts, starts[1:], strict=False))


def test_one_window_where_one_is_enough():
    assert window_starts(64, 64, 8) == [0]
    assert window_starts(128, 64, 0) == [0, 64]


def rows(images):
    """Logits that are three times the row's position, which each pixel brings along."""
    return {"mask": positions_of(images[:, 3:])[:, 0] * 3}


@pytest.mark.parametrize("views", ["none", "d4"])
@pytest.mark.parametrize("size", [(64, 64), (101, 30), (256, 70), (1, 9)])
@pytest.mark.parametrize("stride", [4, 32])
def test_positions_are_those_in_the_whole_image(size, views, stride):
    found = predict(rows, picture(*size), views=views, stride=stride, positions=True)["mask"]
    expected = torch.linspace(-1, 1, size[0]) if size[0] > 1 else torch.zeros(1)
    expected = (3 * expected).sigmoid()[:, None].expand(size)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_positions_of_a_resized_image_are_those_of_its_own_rows():
    found = predict(rows, picture(100, 20), resize=0.5, positions=True)["mask"][:, 0]
    logits = torch.logit(found) / 3
    assert logits[0].item() == pytest.approx(-1, abs=0.02)
    assert logits[-1].item() == pytest.approx(1, abs=0.02)
    assert logits[49:51].mean().item() == pytest.approx(0, abs=0.001)
