import math

import numpy as np
import pytest
import torch

from src.formats.merge_rules import MERGES
from src.formats.probability_maps import WEIGHTED, merge_probabilities
from src.predicting.merges import OF_LOGITS, OF_SCALES, merge_scales, merge_views

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


def test_every_rule_is_obeyed_where_networks_answer_and_where_maps_are_stored():
    assert list(OF_LOGITS) == list(OF_SCALES) == list(WEIGHTED) == list(MERGES)


@pytest.mark.parametrize("merge", MERGES)
def test_views_are_merged_as_stored_maps_are(merge):
    probability = np.random.default_rng(0).uniform(0.002, 0.998, (5, 200))
    wanted = merge_probabilities(probability, merge)
    logits = torch.from_numpy(np.log(probability / (1 - probability)))
    np.testing.assert_allclose(merge_views(logits, merge), wanted, atol=1e-6)
    if merge == "tsharpen":  # scales come with the roots drawn
        probability = np.sqrt(probability)
    found = merge_scales(torch.from_numpy(probability.astype(np.float32)), merge)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
