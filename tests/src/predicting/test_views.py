import pytest
import torch

from src.predicting.views import VIEWS, undo_view, view


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
