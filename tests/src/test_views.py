import pytest
import torch

from src.views import VIEWS, merge_views, undo_view, view


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


@pytest.mark.parametrize(
    ("merge", "expected"),
    [("mean", 0.5), ("gmean", (0.8 * 0.2) ** 0.5), ("logit_mean", 0.5)],
)
def test_merges_of_two_views_by_hand(merge, expected):
    logits = torch.logit(torch.tensor([[0.8], [0.2]]))
    torch.testing.assert_close(merge_views(logits, merge), torch.tensor([expected]))


def test_logit_mean_is_not_the_mean_of_probabilities():
    logits = torch.tensor([[0.0], [6.0]])
    assert merge_views(logits, "logit_mean").item() == pytest.approx(0.952574, abs=1e-6)
    assert merge_views(logits, "mean").item() == pytest.approx(0.748764, abs=1e-6)


@pytest.mark.parametrize("merge", ["mean", "gmean", "logit_mean"])
def test_one_view_is_its_sigmoid_and_extreme_logits_stay_finite(merge):
    logits = torch.tensor([[-200.0, 0.0, 200.0]])
    assert merge_views(logits, merge).tolist() == [0, 0.5, 1]


def test_an_unknown_merge_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'median' is unknown; known: mean, gmean, logit_mean"):
        merge_views(torch.zeros(1, 1), "median")
