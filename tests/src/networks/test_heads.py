import pytest
import torch

from src.networks.heads import head_outputs, map_channels

MAPS = torch.arange(2 * 6 * 3 * 4.0).view(2, 6, 3, 4)


def test_each_head_gets_its_own_channels():
    heads = ["mask", "boundary_distance", "embedding", "contact"]
    outputs = head_outputs(MAPS, heads, 3)
    assert list(outputs) == heads
    assert torch.equal(outputs["mask"], MAPS[:, 0])
    assert torch.equal(outputs["boundary_distance"], MAPS[:, 1])
    assert torch.equal(outputs["embedding"], MAPS[:, 2:5])
    assert torch.equal(outputs["contact"], MAPS[:, 5])


def test_an_embedding_of_one_channel_keeps_its_axis():
    assert head_outputs(MAPS[:, :2], ["mask", "embedding"], 1)["embedding"].shape == (2, 1, 3, 4)


def test_the_empty_head_is_one_number_per_image_wherever_it_is_named():
    numbers = torch.tensor([[1.0], [2.0]])
    outputs = head_outputs((MAPS[:, :2], numbers), ["mask", "empty", "border"], 8)
    assert list(outputs) == ["mask", "empty", "border"]
    assert outputs["empty"].tolist() == [1.0, 2.0]
    assert torch.equal(outputs["border"], MAPS[:, 1])


def test_channels_are_counted_without_the_empty_head():
    heads = ["mask", "border", "embedding", "empty"]
    assert map_channels(heads, 8) == {"mask": 1, "border": 1, "embedding": 8}


@pytest.mark.parametrize(
    "heads", [[], ["border", "mask"], ["mask", "mask"], ["mask", "edge"], ["empty"]]
)
def test_heads_that_are_not_known_first_or_single_are_refused(heads):
    with pytest.raises(ValueError, match="want 'mask' first.*boundary_distance, embedding, empty"):
        map_channels(heads, 8)


def test_an_output_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="6 channels are not those of"):
        head_outputs(MAPS, ["mask", "border"], 8)
