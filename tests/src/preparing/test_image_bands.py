import io
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image
from rasterio.io import MemoryFile

from src.base.errors import InputError
from src.preparing.image_bands import read_bands, read_orientation

RGBA = np.random.default_rng(0).integers(1, 256, (5, 6, 4), np.uint8)
RGBA[0, 0, 3] = 0


def saved(form, mode="RGBA", **options):
    stream = io.BytesIO()
    Image.fromarray(RGBA).convert(mode).save(stream, form, **options)
    return stream.getvalue()


def tiff(values, **options):
    height, width, count = values.shape
    with MemoryFile() as memory, warnings.catch_warnings(action="ignore"):
        shape = {"height": height, "width": width, "count": count, "dtype": values.dtype}
        with memory.open(driver="GTiff", **shape, **options) as dataset:
            dataset.write(np.moveaxis(values, -1, 0))
        return memory.read()


def test_only_unchanged_bands_of_png_and_jpeg_are_as_stored():
    assert read_bands(saved("PNG"), []).as_stored
    assert read_bands(saved("PNG"), [1, 2, 3]).as_stored
    assert read_bands(saved("PNG", "L"), [1]).as_stored
    assert read_bands(saved("JPEG", "L"), []).as_stored
    assert not read_bands(saved("PNG"), [3, 2, 1]).as_stored
    assert not read_bands(saved("PNG"), [1]).as_stored
    assert not read_bands(saved("BMP", "RGB"), []).as_stored
    sixteen = cv2.imencode(".png", RGBA.astype(np.uint16))[1].tobytes()
    assert not read_bands(sixteen, []).as_stored


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
def test_values_keep_their_type(dtype):
    values = RGBA.astype(dtype) * dtype(3)
    found = read_bands(tiff(values, photometric="minisblack", alpha="unspecified"), [4, 2, 1])
    assert found.values.dtype == dtype
    assert np.array_equal(found.values, values[..., [3, 1, 0]])
    assert (found.bits, found.invalid, found.as_stored) == (None, None, False)


def test_bits_are_told_where_the_type_has_more():
    assert read_bands(tiff((RGBA % 16)[..., :1], nbits=4), []).bits == 4


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_transparent_pixels_are_told(form):
    found = read_bands(saved(form, lossless=True) if form == "WEBP" else saved(form), [])
    assert np.array_equal(found.invalid, RGBA[..., 3] == 0)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_opaque_images_have_no_mask(form):
    assert read_bands(saved(form, "RGB"), []).invalid is None


def test_a_palette_has_three_bands_of_colour():
    with pytest.raises(InputError, match="has 3 bands, but images.bands asks for band 4"):
        read_bands(saved("TIFF", "P"), [4])
    with pytest.raises(InputError, match="has 3 bands, but images.bands asks for band 4"):
        read_bands(saved("GIF", "P"), [4])


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_the_orientation_tag_is_found(form):
    exif = Image.Exif()
    exif[0x0112] = 8
    assert read_orientation(saved(form, "RGB", exif=exif)) == 8
    assert read_orientation(saved(form, "RGB")) == 1
    exif[0x0112] = 77
    assert read_orientation(saved(form, "RGB", exif=exif)) == 1
