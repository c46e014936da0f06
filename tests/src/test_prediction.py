import pytest
import torch

from src.prediction import predict_image, window_starts

SETTINGS = {
    "views": "none",
    "merge": "mean",
    "stride": 4,
    "resize": 1.0,
    "max_size": 64,
    "overlap": 8,
}


def brightness(images):
    """Logits that depend on each pixel alone: every view, window and padding must agree."""
    return torch.logit((images[:, :1].float() + 1) / 257)


def column(images):
    """Logits that grow along the width, so that views disagree."""
    ramp = torch.linspace(-2, 2, images.shape[-1])
    return ramp.expand(len(images), 1, images.shape[-2], -1)


def picture(height, width):
    return torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 9), (7, 5), (64, 64), (65, 64), (200, 33), (130, 170)]
)
@pytest.mark.parametrize("views", ["none", "hflip", "d2", "d4"])
def test_any_size_and_view_gives_back_what_a_pixelwise_network_says(size, views):
    image = picture(*size)
    probability = predict_image(brightness, image, **SETTINGS | {"views": views})
    assert probability.shape == size
    torch.testing.assert_close(probability, (image[0].float() + 1) / 257)


def test_the_network_only_sees_multiples_of_its_stride():
    seen = []

    def forward(images):
        seen.append(images.shape[-2:])
        return brightness(images)

    predict_image(forward, picture(5, 11), **SETTINGS | {"views": "d4"})
    assert sorted(map(tuple, seen)) == [(8, 12), (12, 8)]


def test_padding_repeats_the_edge():
    def forward(images):
        assert (images[..., 5:] == images[..., 4:5]).all()
        return brightness(images)

    predict_image(forward, picture(4, 5), **SETTINGS)


def test_hflip_averages_the_two_directions():
    merged = predict_image(column, picture(4, 8), **SETTINGS | {"views": "hflip"})
    once = predict_image(column, picture(4, 8), **SETTINGS)
    torch.testing.assert_close(merged, (once + once.flip(-1)) / 2)


def test_windows_are_blended_without_a_seam():
    probability = predict_image(
        column, picture(4, 120), **SETTINGS | {"max_size": 64, "overlap": 32}
    )
    steps = probability[0].diff().abs()
    assert steps.max() < 0.08  # two windows side by side would jump by 0.76


def test_resize_is_undone_to_the_exact_size():
    image = torch.full((3, 7, 9), 100, dtype=torch.uint8)
    sizes = []

    def forward(images):
        sizes.append(tuple(images.shape[-2:]))
        return brightness(images)

    probability = predict_image(forward, image, **SETTINGS | {"resize": 2.0})
    assert sizes == [(16, 20)]
    torch.testing.assert_close(probability, torch.full((7, 9), 101 / 257))


def test_an_unknown_view_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'d8' is unknown; known: none, hflip, d2, d4"):
        predict_image(brightness, picture(4, 4), **SETTINGS | {"views": "d8"})


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
