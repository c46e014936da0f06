import numpy as np
import pytest
import torch

from src.losses.embedding_losses import PULL_MARGIN, PUSH_MARGIN, embedding_loss
from src.predicting.embedding_affinity import neighbour_affinity, resampled_affinity
from src.predicting.views import VIEWS, undo_view, view

UNIT_KINDS = ["contrastive", "triplet", "centre", "arcface", "cosface"]


def test_the_affinity_falls_with_the_distance_to_the_right_and_to_the_lower_neighbour():
    values = torch.tensor([[0.0, 1.0, 7.0], [3.0, 1.0, 2.5]])
    embedding = torch.stack([values * 0.6, values * 0.8])  # distances are those of the values
    right, lower = neighbour_affinity(embedding, kind="discriminative")
    torch.testing.assert_close(right, torch.tensor([[2 / 3, 0, 0], [1 / 3, 0.5, 0]]))
    torch.testing.assert_close(lower, torch.tensor([[0, 1, 0], [0, 0, 0.0]]))


def test_half_is_half_way_between_what_the_loss_leaves_in_one_object_and_between_two():
    farthest_in_one = 2 * PULL_MARGIN
    nearest_of_two = 2 * PUSH_MARGIN - 2 * PULL_MARGIN
    line = torch.tensor([0, farthest_in_one, farthest_in_one + nearest_of_two])
    instances = torch.tensor([[[1, 1, 2, 2]]])
    embedding = torch.cat([line, line[-1:] + farthest_in_one])[None, None, None]
    loss = embedding_loss(embedding, instances, kind="discriminative")
    lengths = (embedding[..., :2].mean() + embedding[..., 2:].mean()) / 2
    assert loss.item() == pytest.approx(0.001 * lengths.item())  # nothing but their lengths
    same, other, _, _ = neighbour_affinity(embedding[0], kind="discriminative")[0, 0]
    assert (same + other).item() / 2 == pytest.approx(0.5)
    assert same > 0.5 > other


@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_losses_of_directions_are_measured_between_directions(kind):
    angles = torch.deg2rad(torch.tensor([0.0, 20.0, 80.0, 200.0]))
    lengths = torch.tensor([1.0, 5.0, 0.1, 3.0])
    embedding = (torch.stack([angles.cos(), angles.sin()]) * lengths)[:, None]
    chord = 2 * torch.sin(torch.deg2rad(torch.tensor(20.0)) / 2)
    found = neighbour_affinity(embedding, kind=kind)
    torch.testing.assert_close(found[0, 0], torch.tensor([1 - chord, 0, 0, 0]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["discriminative", "arcface"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1), (4, 4), (3, 6)])
def test_affinities_after_undoing_a_view_are_those_of_the_image(kind, shape):
    embedding = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    expected = neighbour_affinity(embedding, kind=kind)
    assert expected.shape == (2, *shape)
    assert (expected[0, :, -1] == 0).all()
    assert (expected[1, -1] == 0).all()
    for turns, mirrored in VIEWS["d4"]:
        undone = undo_view(view(embedding, turns, mirrored), turns, mirrored)
        assert torch.equal(neighbour_affinity(undone, kind=kind), expected)


def test_several_images_are_compared_each_by_itself():
    embeddings = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    both = neighbour_affinity(embeddings.bfloat16(), kind="discriminative")
    assert both.dtype == torch.float32
    for embedding, found in zip(embeddings.bfloat16(), both, strict=True):
        assert torch.equal(neighbour_affinity(embedding, kind="discriminative"), found)


@pytest.mark.parametrize("kind", ["discriminative", "triplet"])
def test_no_number_stays_none(kind):
    embedding = torch.ones(2, 1, 4)
    embedding[0, 0, 3] = torch.nan
    found = neighbour_affinity(embedding, kind=kind)[0, 0]
    assert found.isnan().tolist() == [False, False, True, False]


def test_an_unknown_loss_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'hinge' is unknown; known: discriminative, contrastive"):
        neighbour_affinity(torch.zeros(1, 1, 1), kind="hinge")


def linear(size):
    """Affinities that depend on where in the image the line between two pixels lies, in [0, 1]."""
    rows, columns = (torch.arange(length) / length for length in size)
    height, width = 1 / size[0], 1 / size[1]
    right = (rows[:, None] + height / 2) * 0.3 + (columns + width) * 0.5
    lower = (rows[:, None] + height) * 0.5 + (columns + width / 2) * 0.3
    right[:, -1] = 0
    lower[-1] = 0
    return torch.stack([right, lower])


@pytest.mark.parametrize("factor", [0.5, 2, 3])
def test_resampling_does_not_move_a_line(factor):
    small = (int(12 * factor), int(16 * factor))
    found, expected = resampled_affinity(linear(small), (12, 16)), linear((12, 16))
    # Beyond the last middles and lines of the resized image it is constant, not linear.
    inner = slice(2, -2)
    torch.testing.assert_close(found[:, inner, inner], expected[:, inner, inner])
    assert (found[0, :, -1] == 0).all()
    assert (found[1, -1] == 0).all()


def test_one_line_of_no_affinity_between_two_objects_is_found_at_twice_the_size():
    embedding = torch.zeros(1, 4, 12)
    embedding[..., 6:] = 9.0  # between the columns 2 and 3 of the image
    affinity = neighbour_affinity(embedding, kind="discriminative")
    right, lower = resampled_affinity(affinity, (2, 6))
    np.testing.assert_allclose(right.numpy(), [[1, 1, 0, 1, 1, 0]] * 2, atol=1e-6)
    np.testing.assert_allclose(lower.numpy(), [[1] * 6, [0] * 6])


def test_where_a_resized_image_has_one_pixel_nothing_is_apart():
    right, lower = resampled_affinity(torch.zeros(2, 1, 3), (2, 5))
    assert lower.tolist() == [[1] * 5, [0] * 5]
    assert right.tolist() == [[0] * 5] * 2
