import math

import pytest
import torch

from src.predicting.views import VIEWS, merge_scales, merge_views, undo_view, view

MERGES = ["mean", "gmean", "hmean", "logit_mean", "tsharpen", "max"]


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (3, 5)])
def test_undoing_a_view_gives_back_the_image(shape):
    image = torch.arange(shape[0] * shape[1]).view(1, *shape)
    for turns, mirrored in VIEWS["d4"]:
        assert torch.equal(undo_view(view(image, turns, mirrored), turns, mirrored), image)


def test_the_eight_views_are_all_different():
    image = torch.arange(9).view(3, 3)
    seen = {tuple(view(image, *v).flatten().tolist()) for v in VIEWS["d4"]}
    assert len(seen) == 8


def test_d2_is_the_views_that_mirror_left_right_and_up_down():
    image = torch.tensor([[1, 2], [3, 4]])
    seen = {tuple(view(image, *v).flatten().tolist()) for v in VIEWS["d2"]}
    assert seen == {(1, 2, 3, 4), (2, 1, 4, 3), (3, 4, 1, 2), (4, 3, 2, 1)}


def test_hflip_is_the_image_and_its_mirror_image():
    image = torch.tensor([[1, 2, 3]])
    assert [view(image, *v).tolist() for v in VIEWS["hflip"]] == [[[1, 2, 3]], [[3, 2, 1]]]


BY_HAND = {
    "mean": 0.5,
    "gmean": (0.9 * 0.1) ** 0.5,
    "hmean": 2 / (1 / 0.9 + 1 / 0.1),
    "logit_mean": 0.5,
    "tsharpen": (0.9**0.5 + 0.1**0.5) / 2,
    "max": 0.9,
}


@pytest.mark.parametrize(("merge", "expected"), BY_HAND.items())
def test_merges_of_two_views_and_of_two_scales_by_hand(merge, expected):
    probability = torch.tensor([[0.9], [0.1]])
    expected = torch.tensor([expected])
    torch.testing.assert_close(merge_views(torch.logit(probability), merge), expected)
    if merge == "tsharpen":  # scales come with the roots drawn
        probability = probability.sqrt()
    torch.testing.assert_close(merge_scales(probability, merge), expected)


def test_logit_mean_is_not_the_mean_of_probabilities():
    logits = torch.tensor([[0.0], [6.0]])
    assert merge_views(logits, "logit_mean").item() == pytest.approx(0.952574, abs=1e-6)
    assert merge_views(logits, "mean").item() == pytest.approx(0.748764, abs=1e-6)


@pytest.mark.parametrize("merge", MERGES)
def test_one_view_is_its_sigmoid_and_extreme_logits_stay_finite(merge):
    logits = torch.tensor([[-200.0, math.log(0.25 / 0.75), 200.0]])
    middle = 0.5 if merge == "tsharpen" else 0.25
    assert merge_views(logits, merge).tolist() == pytest.approx([0, middle, 1], abs=1e-7)


@pytest.mark.parametrize("merge", MERGES)
def test_extreme_disagreement_stays_a_probability(merge):
    merged = merge_views(torch.tensor([[-1e4, 1e4], [1e4, 1e4]]), merge)
    assert merged[0].item() == {"gmean": 0, "hmean": 0, "max": 1}.get(merge, 0.5)
    assert merged[1].item() == 1
    merged = merge_scales(torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]), merge)
    wanted = [{"gmean": 0, "hmean": 0, "max": 1}.get(merge, 0.5), 1, 0]
    assert merged.tolist() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("merge", MERGES)
def test_merging_scale_by_scale_is_merging_all_views_at_once(merge):
    logits = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0)) * 4
    scales = torch.stack([merge_views(views, merge) for views in logits])
    torch.testing.assert_close(
        merge_scales(scales, merge), merge_views(logits.flatten(0, 1), merge)
    )


@pytest.mark.parametrize("merge", MERGES)
def test_one_scale_comes_back_to_the_bit(merge):
    probability = torch.tensor([[0.0, 1e-12, 0.3, 1 - 2**-24, 1.0]])
    assert torch.equal(merge_scales(probability, merge), probability[0])


@pytest.mark.parametrize("merged", [merge_views, merge_scales])
def test_an_unknown_merge_is_answered_with_the_known_ones(merged):
    with pytest.raises(ValueError, match="'median' is unknown; known: mean, gmean, hmean, logit"):
        merged(torch.zeros(1, 1), "median")
