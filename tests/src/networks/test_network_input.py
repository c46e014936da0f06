import pytest
import torch

from src.networks.network_input import input_channels, network_input
from src.networks.positions import position_bytes, positions_of

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
RGB = {"image_channels": "rgb", "extra_channels": [], "mean": MEAN, "std": STD}
IMAGES = torch.randint(0, 256, (2, 3, 5, 4), generator=torch.Generator().manual_seed(0)).to(
    torch.uint8
)
DEPTH = torch.tensor([0.25, -3.0])


def test_colours_by_hand():
    image = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    seen = network_input(image, DEPTH[:1], **RGB | {"mean": [0.5, 0.5, 0.1], "std": [0.5, 0.25, 1]})
    torch.testing.assert_close(seen.flatten(), torch.tensor([-1.0, 2.0, 0.1]))


def test_colours_are_computed_to_the_bit_as_ever():
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    seen = network_input(IMAGES, DEPTH, **RGB)
    assert torch.equal(seen, (IMAGES.float() / 255 - mean) / std)


def test_grey_by_hand():
    image = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    grey = RGB | {"image_channels": "grey", "mean": [0.1, 0.2, 0.3], "std": [0.2, 0.2, 0.4]}
    seen = network_input(image, DEPTH[:1], **grey)
    luma = 0.587 + 0.2 * 0.114
    mean = 0.1 * 0.299 + 0.2 * 0.587 + 0.3 * 0.114
    std = 0.2 * 0.299 + 0.2 * 0.587 + 0.4 * 0.114
    assert seen.shape == (1, 1, 1, 1)
    assert seen.item() == pytest.approx((luma - mean) / std, rel=1e-6)


def test_depth_is_a_constant_plane_of_each_image():
    seen = network_input(IMAGES, DEPTH, **RGB | {"extra_channels": ["depth"]})
    assert seen.shape == (2, 4, 5, 4)
    assert (seen[0, 3] == 0.25).all()
    assert (seen[1, 3] == -3).all()
    assert torch.equal(seen[:, :3], network_input(IMAGES, DEPTH, **RGB))


def test_coordinates_are_rows_then_columns_from_minus_one_to_one():
    seen = network_input(IMAGES, DEPTH, **RGB | {"extra_channels": ["coordinates"]})
    rows, columns = torch.tensor([-1, -0.5, 0, 0.5, 1]), torch.tensor([-1, -1 / 3, 1 / 3, 1])
    for image in seen:
        close = {"atol": 2**-15, "rtol": 0}
        torch.testing.assert_close(image[3], rows[:, None].expand(5, 4), **close)
        torch.testing.assert_close(image[4], columns[None].expand(5, 4), **close)


def test_the_row_gradient_is_the_luma_times_the_row():
    seen = network_input(IMAGES, DEPTH, **RGB | {"extra_channels": ["row_gradient"]})
    red, green, blue = (IMAGES[:, i].double() / 255 for i in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    expected = luma * torch.arange(5.0).div(4).view(5, 1)
    torch.testing.assert_close(seen[:, 3], expected.float(), atol=2**-15, rtol=0)


def test_extra_channels_come_in_the_order_they_are_named():
    several = {"extra_channels": ["row_gradient", "depth", "coordinates"]}
    seen = network_input(IMAGES, DEPTH, **RGB | several)
    alone = [
        network_input(IMAGES, DEPTH, **RGB | {"extra_channels": [name]})[:, 3:]
        for name in several["extra_channels"]
    ]
    assert torch.equal(seen[:, 3:], torch.cat(alone, dim=1))


def test_one_pixel_lies_in_the_middle():
    extra = {"extra_channels": ["coordinates", "row_gradient"]}
    white = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    seen = network_input(white, DEPTH[:1], **RGB | extra)
    torch.testing.assert_close(seen[0, 3:].flatten(), torch.tensor([0, 0, 0.5]))


def test_a_part_of_an_image_keeps_the_positions_that_it_has_in_the_whole():
    extra = RGB | {"extra_channels": ["coordinates", "row_gradient"]}
    where = torch.from_numpy(position_bytes(5, 4)).permute(2, 0, 1).expand(2, -1, -1, -1)
    carried = torch.cat([IMAGES, where], dim=1)
    whole = network_input(IMAGES, DEPTH, **extra)
    part = network_input(carried[..., 1:4, 2:].flip(3), DEPTH, **extra)
    assert torch.equal(part, whole[..., 1:4, 2:].flip(3))


@pytest.mark.parametrize("side", [2, 3, 101, 256, 5000])
def test_positions_are_even_steps_from_minus_one_to_one(side):
    where = torch.from_numpy(position_bytes(side, 1)).permute(2, 0, 1)[None]
    rows, columns = positions_of(where)[0, :, :, 0]
    expected = torch.linspace(-1, 1, side)
    torch.testing.assert_close(rows, expected, atol=2**-15, rtol=0)
    assert (rows[0], rows[-1]) == (-1, 1)
    assert (columns == 0).all()


@pytest.mark.parametrize("image_channels", ["rgb", "grey"])
@pytest.mark.parametrize("extra", [[], ["depth"], ["depth", "coordinates", "row_gradient"]])
def test_the_count_and_the_layout_are_those_of_the_planes(image_channels, extra):
    options = RGB | {"image_channels": image_channels, "extra_channels": extra}
    seen = network_input(IMAGES, DEPTH, **options)
    assert seen.shape == (2, input_channels(image_channels, extra), 5, 4)
    assert seen.dtype == torch.float32
    assert seen.is_contiguous(memory_format=torch.channels_last)


def test_counts_by_hand():
    assert input_channels("rgb", []) == 3
    assert input_channels("grey", ["coordinates"]) == 3
    assert input_channels("grey", ["depth", "row_gradient"]) == 3
    assert input_channels("rgb", ["depth", "coordinates", "row_gradient"]) == 7


@pytest.mark.parametrize("change", [{"image_channels": "bgr"}, {"extra_channels": ["height"]}])
def test_unknown_channels_are_refused(change):
    with pytest.raises(ValueError, match="are unknown; known: rgb, grey, bands; depth, coord"):
        network_input(IMAGES, DEPTH, **RGB | change)


def test_bands_are_normalised_each_by_its_own():
    values = torch.tensor([[0, 65535], [13107, 6553]], dtype=torch.int32).view(1, 2, 1, 2)
    options = {"image_channels": "bands", "extra_channels": []}
    found = network_input(values, torch.zeros(1), mean=[0.0, 0.1], std=[0.5, 0.05], **options)
    assert found.flatten().tolist() == pytest.approx([0, 2, 2, -2e-4], abs=2e-4)
    low = network_input(
        values.clamp(max=255).byte(), torch.zeros(1), mean=[0.0, 0.1], std=[0.5, 0.05], **options
    )
    assert low.flatten().tolist() == pytest.approx([0, 2, 18, 18])
    assert input_channels("bands", ["coordinates"], [0.1] * 5) == 7


def test_bands_keep_their_positions_apart():
    where = torch.from_numpy(position_bytes(3, 2)).permute(2, 0, 1)[None]
    image = torch.full((1, 5, 3, 2), 4000, dtype=torch.int32)
    options = {"image_channels": "bands", "mean": [0.0] * 5, "std": [1.0] * 5}
    given = torch.cat([image, where.int()], dim=1)
    found = network_input(given, torch.zeros(1), extra_channels=["coordinates"], **options)
    alone = network_input(image, torch.zeros(1), extra_channels=["coordinates"], **options)
    assert found.shape == (1, 7, 3, 2)
    assert torch.equal(found, alone)
