import io
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image, ImageOps
from pydantic import ValidationError
from rasterio.io import MemoryFile

from src.base.errors import InputError
from src.formats.archive import PHOTO, decode_image
from src.formats.stored_bands import decode_photo, decode_picture
from src.preparing.image_bands import MAX_PIXELS
from src.preparing.photos import MAX_BYTES, read_photo
from src.reading.params import ImagesParams

SHARED = Path(__file__).parents[4] / "shared" / "data"
PLAIN = {
    "bands": [],
    "stretch": "none",
    "low": 0.0,
    "high": 0.0,
    "no_data": "none",
    "orientation": "ignore",
    "keep": "8bit",
    "shown": [],
}
RNG = np.random.default_rng(0)
COLOUR = cv2.GaussianBlur(RNG.integers(0, 256, (48, 64, 3), np.uint8), (5, 5), 2)
RGBA = RNG.integers(0, 256, (6, 7, 4), np.uint8)
RGBA[0, 0, 3], RGBA[..., 1:, 3] = 0, RGBA[..., 1:, 3] | 1


def encode(extension, array=COLOUR, *options):
    return cv2.imencode(extension, array, options)[1].tobytes()


def saved(image, form, **options):
    """The bytes of a Pillow image, or of an array, in a format of Pillow's."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def tiff(values, mask=None, **options):
    """The bytes of a GeoTIFF of (H, W) or (H, W, bands)."""
    values = np.atleast_3d(values)
    height, width, count = values.shape
    shape = {"height": height, "width": width, "count": count, "dtype": values.dtype}
    with MemoryFile() as memory:
        with created(memory, **shape, **options) as dataset:
            dataset.write(np.moveaxis(values, -1, 0))
            if mask is not None:
                dataset.write_mask(mask)
        return memory.read()


def sparse_tiff(**shape):
    """The bytes of a GeoTIFF without a single pixel, of whatever size."""
    with MemoryFile() as memory:
        created(memory, dtype=np.uint8, sparse_ok=True, tiled=True, **shape).close()
        return memory.read()


def created(memory, **options):
    with warnings.catch_warnings(action="ignore"):
        return memory.open(driver="GTiff", **options)


def png(height, width, bits=8, colours=0, rows=b"", parts=()):
    """A PNG file made by hand."""
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    parts = [(b"IHDR", header), *parts, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def images(**changes):
    """The section `images`; whole numbers stand for real ones."""
    numbers = {k: float(v) for k, v in changes.items() if isinstance(v, int | np.number)}
    return ImagesParams.model_validate(PLAIN | changes | numbers)


def read(tmp_path, content, size=None, **changes):
    path = tmp_path / "photo.jpg"  # whatever it is
    path.write_bytes(content)
    return read_photo(path, images(**changes), size)


def pixels(photo):
    """What everyone will see of it."""
    decoded = decode_image(photo.content, PHOTO, "photo")
    assert decoded.shape == (photo.height, photo.width, 3)
    return decoded


# what is kept as it is


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 9)])
@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_an_intact_png_or_jpeg_comes_with_its_bytes_and_size(tmp_path, extension, shape):
    content = encode(extension, np.full((*shape, 3), 90, np.uint8))
    photo = read(tmp_path, content, shape)
    assert photo[:7] == (content, *shape, True, 0.0, 0.0, None)


PALETTE = Image.fromarray(COLOUR).quantize(9)
KEPT = {
    "grey": encode(".png", COLOUR[..., 0]),
    "grey and alpha": saved(Image.fromarray(np.ascontiguousarray(RGBA[..., :2]), "LA"), "PNG"),
    "rgba": saved(RGBA, "PNG"),
    "palette": saved(PALETTE, "PNG"),
    "transparent palette": saved(PALETTE, "PNG", transparency=3),
    "1 bit": saved(COLOUR[..., 0] > 120, "PNG"),
    "2 bits": png(1, 4, 2, 0, b"\0\x1b"),
    "interlaced": saved(COLOUR, "PNG", interlace=1),
    "grey jpeg": encode(".jpg", COLOUR[..., 0]),
    "progressive jpeg": encode(".jpg", COLOUR, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "cmyk jpeg": saved(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", quality=95),
}


@pytest.mark.parametrize("kind", KEPT)
def test_any_png_or_jpeg_of_8_bits_is_kept_to_the_byte(tmp_path, kind):
    photo = read(tmp_path, KEPT[kind])
    assert photo.content == KEPT[kind]
    opened = Image.open(io.BytesIO(KEPT[kind]))
    expected = np.array(opened.convert("RGBA").convert("RGB"))  # alpha dropped, never blended
    tolerance = 2 if "jpeg" in kind else 0
    assert np.abs(pixels(photo).astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("bands", [[1], [1, 2, 3]])
def test_bands_that_are_the_first_anyway_change_nothing(tmp_path, bands):
    content = encode(".jpg", COLOUR if len(bands) == 3 else COLOUR[..., 0])
    assert read(tmp_path, content, bands=bands) == read(tmp_path, content)


def test_a_photo_is_turned_only_if_asked_for(tmp_path):
    tagged = with_orientation(encode(".jpg"), 6)
    assert cv2.imdecode(np.frombuffer(tagged, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3)
    assert read(tmp_path, tagged, (48, 64)).content == tagged
    assert read(tmp_path, tagged, (64, 48), orientation="apply").content != tagged


# what becomes PNG

OTHERS = {
    "bmp": encode(".bmp"),
    "gif": saved(PALETTE, "GIF"),
    "webp": saved(COLOUR, "WEBP", lossless=True),
    "ppm": encode(".ppm"),
    "jpeg 2000": saved(COLOUR, "JPEG2000"),
    "tiff": saved(COLOUR, "TIFF"),
    "palette tiff": saved(PALETTE, "TIFF"),
    "1-bit tiff": saved(COLOUR[..., 0] > 120, "TIFF", compression="group4"),
    "1-bit bmp": saved(COLOUR[..., 0] > 120, "BMP"),
    "inverted tiff": saved(255 - COLOUR[..., 0], "TIFF", tiffinfo={262: 0}),
    "ycbcr tiff": saved(Image.fromarray(COLOUR).convert("YCbCr"), "TIFF"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_formats_become_png_of_the_same_pixels(tmp_path, kind):
    photo = read(tmp_path, OTHERS[kind], (48, 64))
    assert photo.content.startswith(b"\x89PNG")
    expected = np.array(Image.open(io.BytesIO(OTHERS[kind])).convert("RGB"))
    assert np.abs(pixels(photo).astype(int) - expected).max() <= (2 if "ycbcr" in kind else 0)


def test_the_first_of_several_pages_or_frames_counts(tmp_path):
    frames = [Image.fromarray(np.full((4, 5), grey, np.uint8)) for grey in (40, 90, 130)]
    for form in ("GIF", "TIFF", "WEBP"):
        more = {"save_all": True, "append_images": frames[1:]}
        more |= {"lossless": True} if form == "WEBP" else {}
        assert np.all(pixels(read(tmp_path, saved(frames[0], form, **more))) == 40), form


@pytest.mark.parametrize("options", [{}, {"interleave": "pixel"}, {"blockysize": 1}])
@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "packbits", "zstd"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8])
def test_geotiffs_of_every_layout_give_their_bands(tmp_path, options, compress, count):
    values = RNG.integers(0, 256, (6, 7, count), np.uint8)
    photo = read(tmp_path, tiff(values, compress=compress, photometric="minisblack", **options))
    first = values[..., :3] if count > 2 else values[..., :1].repeat(3, axis=2)
    assert np.array_equal(pixels(photo), first)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_a_tiled_geotiff_is_put_together(tmp_path, interleave):
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    content = tiff(COLOUR, compress="deflate", interleave=interleave, **tiles)
    assert np.array_equal(pixels(read(tmp_path, content)), COLOUR)


def test_a_geotiff_of_jpeg_tiles_is_nearly_the_same(tmp_path):
    smooth = cv2.GaussianBlur(COLOUR, (9, 9), 4)
    options = {"compress": "jpeg", "photometric": "ycbcr", "interleave": "pixel"}
    found = pixels(read(tmp_path, tiff(smooth, **options)))
    assert np.abs(found.astype(int) - smooth).max() < 25


# bands, stretches, no data


@pytest.mark.parametrize("bands", [[1], [4], [3, 2, 1], [4, 1, 4], [2, 2, 2]])
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_bands_are_chosen_by_number(tmp_path, bands, kind):
    opaque = RGBA.copy()
    opaque[..., 3] |= 128
    opaque[..., :3] |= 1  # nothing that WebP might clear
    content = {
        "png": saved(opaque, "PNG"),
        "tiff": tiff(opaque, photometric="minisblack", alpha="unspecified"),
        "webp": saved(opaque, "WEBP", lossless=True),
    }[kind]
    found = pixels(read(tmp_path, content, bands=bands))
    assert np.array_equal(found, opaque[..., [b - 1 for b in (bands * 3)[:3]]])


def test_grey_and_alpha_are_two_bands(tmp_path):
    found = pixels(read(tmp_path, KEPT["grey and alpha"], bands=[2]))
    assert np.array_equal(found[..., 0], RGBA[..., 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("bands", [[], [2], [3, 1, 2]])
def test_a_range_is_spread_over_8_bits(tmp_path, dtype, bands):
    steps = np.array([0, 10, 20, 30, 40, 110, 120])  # 20 to 120: 2.55 levels a step
    values = np.stack([steps, steps[::-1], np.full(7, 70)], axis=-1)[None].astype(dtype)
    rising = [0, 0, 0, 26, 51, 230, 255]  # 25.5 goes to the even neighbour, as 229.5 does
    expected = np.stack([rising, rising[::-1], np.full(7, 128)], axis=-1)[None]
    found = read(tmp_path, tiff(values), bands=bands, stretch="range", low=20, high=120)
    chosen = [b - 1 for b in (bands * 3)[:3]] or [0, 1, 2]
    assert np.array_equal(pixels(found), expected[..., chosen])


def test_percentiles_are_those_of_each_band(tmp_path):
    hundred = np.arange(1, 101).reshape(10, 10)
    values = np.stack([hundred * 7, hundred - 50, np.full((10, 10), 9)], axis=-1)
    photo = read(tmp_path, tiff(values.astype(np.int16)), stretch="percentile", low=2, high=98)
    level = np.rint((hundred - 2).clip(0, 96) / 96 * 255)  # the 2nd and the 98th of a hundred
    assert np.array_equal(pixels(photo), np.stack([level, level, 0 * level], axis=-1))


def test_percentiles_are_those_of_the_valid_pixels(tmp_path):
    values = np.arange(100, dtype=np.float32).reshape(10, 10)
    values[0] = [np.nan, np.inf, -np.inf, *[-9999] * 7]
    photo = read(tmp_path, tiff(values), stretch="percentile", low=0, high=100, no_data=-9999)
    expected = np.rint((np.arange(100) - 10).clip(0) / 89 * 255).reshape(10, 10)
    assert np.array_equal(pixels(photo)[..., 0], expected)
    assert photo.no_data == pytest.approx(0.1)


def test_16_bits_give_their_upper_eight(tmp_path):
    values = np.array([[0, 255, 256, 511, 0x1234, 0xFEFF, 0xFFFF]], np.uint16)
    colours = np.dstack([values, values[:, ::-1], values])
    for array in (values, colours):
        for content in (encode(".png", array), tiff(array[..., ::-1] if array.ndim > 2 else array)):
            photo = read(tmp_path, content)
            assert np.array_equal(pixels(photo)[..., 0], values >> 8)
            assert photo.content != content
            seen = cv2.imdecode(np.frombuffer(content, np.uint8), PHOTO)[..., 0]
            assert np.array_equal(seen, values >> 8)


def test_a_16_bit_pgm_gives_its_upper_eight(tmp_path):
    content = b"P5\n2 1\n65535\n" + bytes([0x12, 0x34, 0xFF, 0xFF])
    assert pixels(read(tmp_path, content))[0, :, 0].tolist() == [0x12, 0xFF]


def test_12_bits_in_16_give_their_upper_eight(tmp_path):
    values = np.array([[0, 15, 16, 0x123, 0xFFF]], np.uint16)
    assert pixels(read(tmp_path, tiff(values, nbits=12)))[0, :, 0].tolist() == [0, 0, 1, 18, 255]


def test_4_bits_reach_from_black_to_white(tmp_path):
    values = np.array([[0, 1, 7, 15]], np.uint8)
    assert pixels(read(tmp_path, tiff(values, nbits=4)))[0, :, 0].tolist() == [0, 17, 119, 255]


def test_a_16_bit_png_is_stretched_in_its_own_values(tmp_path):
    values = np.array([[1000, 1100, 1200]], np.uint16)
    photo = read(tmp_path, encode(".png", values), stretch="range", low=1000, high=1200)
    assert pixels(photo)[0, :, 0].tolist() == [0, 128, 255]


def test_a_jpeg_is_stretched_too(tmp_path):
    content = encode(".jpg", np.full((8, 8), 60, np.uint8))
    assert np.all(pixels(read(tmp_path, content, stretch="range", low=50, high=75)) == 102)


def test_a_no_data_value_counts_where_all_bands_have_it(tmp_path):
    values = np.full((2, 4, 3), 200, np.uint8)
    values[0, 0], values[0, 1, 0], values[1, 3] = 255, 255, 255
    expected = values.copy()
    expected[0, 0] = expected[1, 3] = 0
    for content in (tiff(values), saved(values, "PNG")):
        photo = read(tmp_path, content, no_data=255)
        assert np.array_equal(pixels(photo), expected)
        assert photo.no_data == 0.25
    assert read(tmp_path, tiff(values), no_data=255, bands=[1]).no_data == 3 / 8


def test_a_no_data_value_that_is_0_already_keeps_the_file(tmp_path):
    values = np.full((2, 4, 3), 200, np.uint8)
    values[0, 0] = 0
    photo = read(tmp_path, saved(values, "PNG"), no_data=0)
    assert photo.content == saved(values, "PNG")
    assert photo.no_data == 1 / 8


def test_a_geotiff_tells_its_own_no_data_value(tmp_path):
    values = np.array([[[5, 5], [5, 7], [8, 9]]], np.uint8)
    for bands, share, expected in ([1], 2 / 3, [0, 0, 8]), ([2], 1 / 3, [0, 7, 9]):
        photo = read(tmp_path, tiff(values, nodata=5), bands=bands)
        assert photo.no_data == pytest.approx(share)
        assert pixels(photo)[0, :, 0].tolist() == expected
    three = np.dstack([values, values[..., :1]])
    assert read(tmp_path, tiff(three, nodata=5)).no_data == pytest.approx(1 / 3)


def test_a_geotiff_has_a_mask(tmp_path):
    values = np.full((4, 5, 3), 80, np.uint8)
    mask = np.full((4, 5), 255, np.uint8)
    mask[1:3, 2] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        photo = read(tmp_path, tiff(values, mask))
    assert photo.no_data == pytest.approx(0.1)
    assert np.array_equal(pixels(photo)[..., 0] == 0, mask == 0)


def test_transparent_pixels_hold_no_data(tmp_path):
    share = np.mean(RGBA[..., 3] == 0)
    assert 0 < share < 0.2
    for content in (saved(RGBA, "PNG"), saved(RGBA, "WEBP", lossless=True)):
        assert read(tmp_path, content).no_data == pytest.approx(share)
    photo = read(tmp_path, tiff(RGBA, photometric="rgb", alpha="yes"))
    assert photo.no_data == pytest.approx(share)
    assert not pixels(photo)[RGBA[..., 3] == 0].any()


def test_a_no_data_value_goes_before_alpha(tmp_path):
    values = np.full((2, 5, 4), 90, np.uint8)
    values[0, :2, 3], values[1, 1, :3] = 0, 7
    photo = read(tmp_path, tiff(values, photometric="rgb", alpha="yes", nodata=7))
    assert photo.no_data == 1 / 10


def test_transparent_colours_of_palettes_hold_no_data(tmp_path):
    share = np.mean(np.asarray(PALETTE) == 3)
    for form in ("PNG", "GIF"):
        photo = read(tmp_path, saved(PALETTE, form, transparency=3))
        assert photo.no_data == pytest.approx(share)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_no_number_becomes_0(tmp_path, bad, dtype):
    values = np.full((2, 4, 3), 9, dtype)
    values[0, 1, 2] = bad
    photo = read(tmp_path, tiff(values), stretch="range", low=0, high=10)
    assert photo.no_data == 1 / 8
    found = pixels(photo)
    assert found[0, 1].tolist() == [0, 0, 0]
    assert found[1, 1].tolist() == [230, 230, 230]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_widest_numbers_are_spread_without_overflow(tmp_path, dtype):
    most = np.finfo(dtype).max
    values = np.array([[-most, 0, most]], dtype)
    photo = read(tmp_path, tiff(values), stretch="percentile", low=0, high=100)
    assert pixels(photo)[0, :, 0].tolist() == [0, 128, 255]
    assert read(tmp_path, tiff(values), stretch="range", low=0, high=1, no_data=1e39).no_data == 0


def test_an_image_without_any_data_is_black(tmp_path):
    content = tiff(np.full((3, 4), np.nan, np.float32))
    photo = read(tmp_path, content, stretch="percentile", low=2, high=98)
    assert photo[1:7] == (3, 4, True, 1.0, 1.0, None)
    assert not pixels(photo).any()


def test_a_signalling_nan_is_no_data_like_any_other(tmp_path):
    values = np.full((3, 4), 7, np.float32)
    values.view(np.uint32)[1, 2] = 0x7FA00001
    photo = read(tmp_path, tiff(values), stretch="range", low=0, high=7)
    assert photo.no_data == 1 / 12
    assert pixels(photo)[1, 2].tolist() == [0, 0, 0]
    assert pixels(photo)[0, 0].tolist() == [255, 255, 255]


# what the pixels are like


@pytest.mark.parametrize(("range_", "blank"), [(0, True), (2, True), (3, False), (200, False)])
def test_an_image_is_blank_if_no_band_varies(tmp_path, range_, blank):
    values = np.full((5, 6, 3), 20, np.uint8)
    values[2, 3, 1] += range_
    for content in (saved(values, "PNG"), saved(values[..., 1], "PNG"), tiff(values)):
        assert read(tmp_path, content).blank is blank


def test_saturated_are_pixels_at_the_ends_in_every_band(tmp_path):
    values = np.full((4, 5, 3), 128, np.uint8)
    values[0, :4] = [[0, 0, 0], [255, 255, 255], [255, 0, 255], [255, 255, 254]]
    for content in (saved(values, "PNG"), tiff(values)):
        assert read(tmp_path, content).saturated == pytest.approx(3 / 20)
    assert read(tmp_path, saved(values[..., 2], "PNG")).saturated == pytest.approx(3 / 20)
    assert read(tmp_path, encode(".png", np.full((3, 3), 7, np.uint8))).saturated == 0


# orientation


def with_orientation(content, tag):
    """The same JPEG with an orientation tag."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1" + struct.pack(">H", tag) + b"\0" * 6
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_upright(tmp_path, form, tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    options = {"lossless": True} if form == "WEBP" else {}
    if form == "TIFF":
        content = saved(COLOUR, form, tiffinfo={274: tag})
    else:
        content = saved(COLOUR, form, exif=exif, **options)
    expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    size = (48, 64) if tag < 5 else (64, 48)
    photo = read(tmp_path, content, size, orientation="apply")
    assert np.abs(pixels(photo).astype(int) - expected).max() <= (2 if form == "JPEG" else 0)
    if form in ("PNG", "JPEG"):
        assert (photo.content == content) == (tag == 1)


@pytest.mark.parametrize("tag", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(tmp_path, tag):
    content = with_orientation(encode(".jpg"), tag)
    assert read(tmp_path, content, orientation="apply").content == content


@pytest.mark.parametrize("orientation", ["ignore", "apply"])
def test_odd_metadata_is_no_damage(tmp_path, orientation):
    for exif in (b"Exif\0\0MM\0*\0\0\0\x08\0\x09", b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff"):
        part = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
        content = encode(".jpg")[:2] + part + encode(".jpg")[2:]
        photo = read(tmp_path, content, (48, 64), orientation=orientation)
        assert photo.content == content


def test_what_lies_on_the_map_is_not_turned(tmp_path):
    (tmp_path / "photo.jgw").write_text("1 0 0 -1 5 6")
    content = with_orientation(encode(".jpg"), 6)
    assert read(tmp_path, content).content == content
    with pytest.raises(InputError, match="orientation tag .6., but lies on the map"):
        read(tmp_path, content, orientation="apply")


# what is refused


def test_a_file_that_is_absent_or_empty_says_so(tmp_path):
    with pytest.raises(InputError, match="^no such file$"):
        read_photo(tmp_path / "absent.png", images())
    with pytest.raises(InputError, match="^no such file$"):
        read_photo(tmp_path, images())
    with pytest.raises(InputError, match="^cannot be opened: File name too long$"):
        read_photo(tmp_path / ("x" * 300), images())
    with pytest.raises(InputError, match="^the file is empty .0 bytes.$"):
        read(tmp_path, b"")


def test_a_file_too_large_to_read_is_refused_unread(tmp_path):
    with open(tmp_path / "large.png", "wb") as file:
        file.truncate(MAX_BYTES + 1)  # without taking room on the disk
    with pytest.raises(InputError, match="^a file of more than 2 GiB; cut the image into tiles$"):
        read_photo(tmp_path / "large.png", images())


def tiff_with(content, tag, value):
    """The same little-endian TIFF with another number (LONG) at a tag of its first page."""
    content = bytearray(content)
    page = struct.unpack_from("<I", content, 4)[0]
    for at in range(page + 2, page + 2 + 12 * struct.unpack_from("<H", content, page)[0], 12):
        if struct.unpack_from("<H", content, at)[0] == tag:
            struct.pack_into("<HII", content, at + 2, 4, 1, value)
    return bytes(content)


def tiff_of_tags(*tags):
    """A TIFF without pixels, of numbers (tag, value) in the order given."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


def changed(content, at, new):
    return content[:at] + new + content[at + len(new) :]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n9 9 lineto\n%%EOF\n"
VRT = b'<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand band="1"/></VRTDataset>'
RAW = saved(COLOUR, "TIFF")
JPEG = encode(".jpg")
FRAME = JPEG.index(b"\xff\xc0")
FLOAT = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
TRUNCATED = "damaged image (truncated: its end is missing)"
GDAL = "damaged image (GDAL cannot read this TIFF file)"
BOMB = f"more than {MAX_PIXELS} pixels; cut the image into tiles"
NO_IMAGE = "not a readable image"
RANGE = "do not say which of them is black or white; set images.stretch to range or percentile"
THREE = {"bands": [1, 2, 3]}

REFUSED = {
    "text": (b"text", {}, NO_IMAGE),
    "a program": (EPS, {}, NO_IMAGE),
    "a list of other files": (VRT, {}, NO_IMAGE),
    "an svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', {}, NO_IMAGE),
    "png start": (b"\x89PNG\r\n\x1a\n", {}, TRUNCATED),
    "png without header": (b"\x89PNG\r\n\x1a\n" + png(1, 1)[33:], {}, NO_IMAGE),
    "half a png": (encode(".png")[:2000], {}, TRUNCATED),
    "png without its end": (encode(".png")[:-12], {}, TRUNCATED),
    "png of changed bytes": (
        changed(encode(".png"), 900, b"????"),
        {},
        "damaged image (a checksum is wrong)",
    ),
    "png without pixels": (png(0, 5), {}, "has no pixels (0x5, height x width)"),
    "png of few rows": (png(9, 9, rows=b"\0" * 50), {}, NO_IMAGE),
    "png of odd bits": (png(1, 1, 3, rows=b"\0\0"), {}, NO_IMAGE),
    "png bomb": (png(14000, 14000), {}, BOMB),
    "png of all numbers": (png(2**31 - 1, 2**31 - 1), {}, BOMB),
    "jpeg start": (b"\xff\xd8\xff", {}, TRUNCATED),
    "half a jpeg": (JPEG[: len(JPEG) // 2], {}, TRUNCATED),
    "jpeg without its end": (JPEG[:-2], {}, TRUNCATED),
    "jpeg without frame": (JPEG[:FRAME] + b"\xff\xd9", {}, NO_IMAGE),
    "jpeg of headers": (JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9", {}, NO_IMAGE),
    "jpeg bomb": (changed(JPEG, FRAME + 5, b"\xff\xff\xff\xff"), {}, BOMB),
    "jpeg without pixels": (
        changed(JPEG, FRAME + 5, b"\0\0"),
        {},
        "has no pixels (0x64, height x width)",
    ),
    "12-bit jpeg": (
        changed(JPEG, FRAME + 4, b"\x0c"),
        {},
        "a JPEG image of 12 bits; save it as PNG or TIFF",
    ),
    "lossless jpeg": (changed(JPEG, FRAME + 1, b"\xc3"), {}, NO_IMAGE),
    "tiff start": (b"II*\0", {}, TRUNCATED),
    "tiff without page": (b"II*\0\0\0\0\0", {}, NO_IMAGE),
    "tiff in a circle": (
        b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        {},
        "damaged image (its pages go round in a circle)",
    ),
    "half a tiff": (RAW[: len(RAW) // 2], {}, GDAL),
    "tiff of lost tags": (RAW[:100], {}, TRUNCATED),
    "tiff of lost pixels": (tiff(COLOUR)[:-1], {}, GDAL),
    "tiff bomb": (tiff_with(tiff_with(RAW, 256, 14000), 257, 14000), {}, BOMB),
    "tiff of all numbers": (tiff_with(tiff_with(RAW, 256, 2**31 - 1), 257, 2**31 - 1), {}, BOMB),
    "tiff of two sizes": (
        tiff_of_tags((256, 14000), (256, 7), (257, 14000), (257, 7), (262, 1), (273, 8), (279, 49)),
        {},
        BOMB,
    ),
    "tiff without pixels": (tiff_with(RAW, 257, 0), {}, "has no pixels (0x64, height x width)"),
    "tiff of too many bands": (
        sparse_tiff(count=40, width=9000, height=9000),
        {},
        "unpacks to more than 2 GiB; cut it into tiles",
    ),
    "unknown compression": (tiff_with(RAW, 259, 12345), {}, GDAL),
    "half a bmp": (
        encode(".bmp")[:900],
        {},
        "damaged image (image file is truncated (78 bytes not processed))",
    ),
    "bmp bomb": (changed(encode(".bmp"), 18, b"\0\0\1\0" * 2), {}, BOMB),
    "half a gif": (saved(PALETTE, "GIF")[:900], {}, TRUNCATED),
    "jpeg 2000 without a tile": (
        OTHERS["jpeg 2000"][: OTHERS["jpeg 2000"].index(b"\xff\x90\0\n")],
        {},
        TRUNCATED,
    ),
    "odd gif": (
        saved(PALETTE, "GIF")[:-1] + b"?",
        {},
        "damaged image (its parts do not follow each other)",
    ),
    "half a webp": (
        saved(COLOUR, "WEBP")[:300],
        {},
        "damaged image (could not create decoder object)",
    ),
    "another size": (
        encode(".png"),
        {"size": (64, 48)},
        "the file is 48x64 px (height x width), the annotations say 64x48",
    ),
    "another size when turned": (
        with_orientation(JPEG, 6),
        {"size": (48, 64), "orientation": "apply"},
        "the file is 64x48 px (height x width), the annotations say 48x64, as it is before it is "
        "turned by its orientation tag (6); set images.orientation to ignore",
    ),
    "no third band": (
        encode(".png", COLOUR[..., 0]),
        THREE,
        "has 1 band, but images.bands asks for band 3",
    ),
    "no third band in a tiff": (
        tiff(COLOUR[..., :2]),
        THREE,
        "has 2 bands, but images.bands asks for band 3",
    ),
    "no fourth band in a jpeg": (
        JPEG,
        {"bands": [4]},
        "has 3 bands, but images.bands asks for band 4",
    ),
    "no ninth band": (
        tiff(np.zeros((2, 2, 8), np.uint8)),
        {"bands": [9]},
        "has 8 bands, but images.bands asks for band 9",
    ),
    "float32 without range": (tiff(FLOAT), {}, f"values of type float32 {RANGE}"),
    "float64 without range": (tiff(FLOAT.astype(float)), {}, f"values of type float64 {RANGE}"),
    "int16 without range": (tiff(FLOAT.astype(np.int16)), {}, f"values of type int16 {RANGE}"),
    "uint32 without range": (tiff(FLOAT.astype(np.uint32)), {}, f"values of type uint32 {RANGE}"),
    "pfm without range": (
        b"Pf\n2 1\n-1.0\n" + bytes(8),
        {},
        f"values of type float32 {RANGE}",
    ),
    "complex": (tiff(FLOAT.astype(np.complex64)), {}, "holds complex numbers, which are no image"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_used_is_refused_in_a_sentence(tmp_path, kind):
    content, arguments, sentence = REFUSED[kind]
    with pytest.raises(InputError) as refusal:
        read(tmp_path, content, **arguments)
    assert str(refusal.value) == sentence


WHOLE = {
    **{kind: content for kind, content in KEPT.items() if len(content) < 9000},
    "jpeg": JPEG,
    "bmp": OTHERS["bmp"],
    "webp": OTHERS["webp"],
    "jpeg 2000": OTHERS["jpeg 2000"],
    "ppm": OTHERS["ppm"],
    "gif": OTHERS["gif"],
    "animated gif": saved(PALETTE, "GIF", save_all=True, append_images=[Image.fromarray(COLOUR)]),
    "tiff of pillow": saved(COLOUR[:9, :9], "TIFF"),
    "palette tiff": saved(PALETTE, "TIFF", compression="tiff_lzw"),
    "tiff of gdal": tiff(COLOUR[:9, :9], compress="deflate"),
    "jpeg in tiff": tiff(COLOUR[:9, :9], compress="jpeg", photometric="ycbcr"),
    "masked tiff": tiff(COLOUR[:9, :9], nodata=3),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_nothing_truncated_passes(tmp_path, kind):
    content = WHOLE[kind]
    read(tmp_path, content)
    lengths = sorted({1, 4, 9, len(content) - 2, *np.linspace(1, len(content) - 3, 40).astype(int)})
    for length in lengths:
        with pytest.raises(InputError, match="damaged image|not a readable image"):
            read(tmp_path, content[:length])


def test_a_preview_does_not_stand_for_the_photo(tmp_path):
    preview = encode(".jpg", COLOUR[:16, :16])
    whole = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview + JPEG[2:]
    assert read(tmp_path, whole, (48, 64)).content == whole
    with pytest.raises(InputError, match="truncated: its end is missing"):
        read(tmp_path, whole[: len(preview) + 400])


def test_what_follows_the_end_is_no_damage(tmp_path):
    for content in (encode(".png"), JPEG):
        assert read(tmp_path, content + JPEG[:300]).content == content + JPEG[:300]


@pytest.mark.parametrize(
    "wrong",
    [
        {"bands": [1, 2] * 9},
        {"bands": [0]},
        {"orientation": "turn"},
        {"stretch": "linear"},
        {"stretch": "range", "low": 5.0, "high": 5.0},
        {"stretch": "percentile", "low": 2.0, "high": 101.0},
    ],
)
def test_wrong_arguments_are_the_programmers_mistake(tmp_path, wrong):
    with pytest.raises(ValueError, match="bands|orientation|stretch|low|percentiles"):
        read(tmp_path, encode(".png"), **wrong)


# where it runs


def test_files_beside_a_tiff_and_the_environment_change_nothing(tmp_path, monkeypatch):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    expected = read(tmp_path, tiff(values))
    (tmp_path / "photo.jpg.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><NoDataValue>5</NoDataValue>"
        "</PAMRasterBand></PAMDataset>"
    )
    (tmp_path / "photo.jpg.msk").write_bytes(tiff(np.zeros((3, 4), np.uint8)))
    monkeypatch.setenv("GTIFF_IGNORE_READ_ERRORS", "YES")
    before = sorted(tmp_path.iterdir())
    assert read(tmp_path, tiff(values)) == expected
    with pytest.raises(InputError, match="GDAL cannot read this TIFF file"):
        read(tmp_path, tiff(values)[:-1])
    assert sorted(tmp_path.iterdir()) == before


def test_threads_read_the_same(tmp_path):
    contents = [tiff(COLOUR), saved(PALETTE, "GIF"), encode(".png"), JPEG] * 12
    paths = [tmp_path / f"{number}.tif" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    filters = list(warnings.filters)
    start = threading.Barrier(8)

    def work(path):
        if path in paths[:8]:
            start.wait()
        return read_photo(path, images())

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, paths))
    assert found == [read_photo(path, images()) for path in paths]
    assert warnings.filters == filters


def real(*parts):
    folder = SHARED.joinpath(*parts)
    if not folder.is_dir():
        pytest.skip("the real data lies beside the repository, and is absent")
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("dataset", ["oam_buildings", "nuclei", "tile_defects", "accra_buildings"])
def test_real_photos_are_kept_whatever_their_name_says(dataset):
    paths = [path for path in real(dataset) if path.suffix in (".png", ".jpg")]
    for path in paths[:: max(1, len(paths) // 40)]:
        photo = read_photo(path, images())
        assert photo.content == path.read_bytes()
        pixels(photo)


def test_real_files_hold_what_is_known_of_them():
    starts = {path.read_bytes()[:3] for path in real("oam_buildings", "train", "images")[:60]}
    assert b"\xff\xd8\xff" in starts  # JPEG inside files named .png
    nuclei = [path for path in real("nuclei") if path.parent.name == "images"]
    photo = read_photo(nuclei[0], images(bands=[4]))
    assert photo.blank  # its alpha is the same everywhere
    defects = [path for path in real("tile_defects") if path.suffix == ".jpg"]
    grey = pixels(read_photo(defects[0], images()))
    assert np.array_equal(grey[..., 0], grey[..., 2])
    with pytest.raises(InputError, match="has 1 band"):
        read_photo(defects[0], images(bands=[3, 2, 1]))


@pytest.mark.parametrize(
    ("bits", "dtype", "greys"),
    [  # of the stored values 0, 1 and the last but one
        (1, np.uint8, [255, 0, None]),
        (2, np.uint8, [255, 170, 85]),
        (4, np.uint8, [255, 238, 17]),
        (8, np.uint8, [255, 254, 1]),
        (12, np.uint16, [255, 255, 0]),
        (16, np.uint16, [255, 255, 0]),
    ],
)
def test_where_a_tiff_says_that_0_is_white_it_is(tmp_path, bits, dtype, greys):
    stored = [0, 1, 2**bits - 2][: 2 if bits == 1 else 3]
    content = tiff(np.array([stored], dtype), photometric="MINISWHITE", nbits=bits)
    found = pixels(read(tmp_path, content))[0, :, 0].tolist()
    assert found == greys[: len(stored)]


@pytest.mark.parametrize(("dtype", "lowest"), [(np.int16, -501), (np.float32, -500)])
def test_signed_and_real_values_whose_least_is_white_are_turned_round_too(tmp_path, dtype, lowest):
    content = tiff(np.array([[-100, 0, 500]], dtype), photometric="MINISWHITE")
    photo = read(tmp_path, content, stretch="range", low=lowest, high=lowest + 510)
    assert pixels(photo)[0, :, 0].tolist()[0] == 255
    assert pixels(photo)[0, 2, 0] == 0


def test_pillow_and_opencv_show_the_same_of_a_tiff_whose_0_is_white(tmp_path):
    ramp = np.tile(np.arange(0, 250, 25, dtype=np.uint8), (3, 1))
    for content in (
        tiff(255 - ramp, photometric="MINISWHITE"),
        saved(ramp, "TIFF", tiffinfo={262: 0}),
    ):
        assert np.array_equal(np.array(Image.open(io.BytesIO(content))), ramp)
        assert np.array_equal(pixels(read(tmp_path, content))[..., 0], ramp)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_print_colours_become_rgb_at_any_depth(tmp_path, dtype):
    inks = np.array([[[200, 10, 0, 30], [0, 0, 0, 255], [0, 0, 0, 0]]], np.uint8)
    content = tiff(inks.astype(dtype) * (257 if dtype == np.uint16 else 1), photometric="CMYK")
    # (255 - ink) * (255 - black) / 255, on paper
    expected = [[49, 216, 225], [0, 0, 0], [255, 255, 255]]
    assert np.abs(pixels(read(tmp_path, content))[0].astype(int) - expected).max() <= 1


def pages(*arrays, **options):
    first, *others = (Image.fromarray(array) for array in arrays)
    return saved(first, "TIFF", save_all=True, append_images=others, **options)


def test_bands_are_numbered_through_the_pages_of_a_tiff(tmp_path):
    greys = [np.full((4, 5), grey, np.uint8) for grey in (40, 90, 130, 200)]
    content = pages(*greys)
    photo = read(tmp_path, content)
    assert (pixels(photo)[0, 0].tolist(), photo.pages) == ([40] * 3, 4)
    photo = read(tmp_path, content, bands=[4, 1, 3])
    assert (pixels(photo)[0, 0].tolist(), photo.pages) == ([200, 40, 130], 1)
    assert pixels(read(tmp_path, content, bands=[2]))[0, 0].tolist() == [90] * 3
    colour = np.full((4, 5, 3), (1, 2, 3), np.uint8)
    assert pixels(read(tmp_path, pages(colour, greys[1]), bands=[4, 2, 1]))[0, 0].tolist() == [
        90,
        2,
        1,
    ]
    with pytest.raises(
        InputError, match="^has 4 bands in 4 pages, but images.bands asks for band 5"
    ):
        read(tmp_path, content, bands=[1, 2, 5])
    with pytest.raises(
        InputError, match=r"^its pages with the bands \[1, 2, 3\] differ in size or"
    ):
        read(tmp_path, pages(greys[0], greys[1], greys[2][1:]), bands=[1, 2, 3])


def test_overviews_and_masks_are_no_pages(tmp_path):
    content = tiff(COLOUR, mask=COLOUR[..., 0] > 90)
    path = tmp_path / "overviews.tif"
    path.write_bytes(content)
    with warnings.catch_warnings(action="ignore"), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4])
    assert len(path.read_bytes()) > len(content)
    assert read_photo(path, images()).pages == 1


def test_frames_are_counted(tmp_path):
    frames = [Image.fromarray(np.full((4, 5), grey, np.uint8)) for grey in (40, 90, 130)]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read(tmp_path, content).pages == 3
    assert read(tmp_path, saved(frames[0], "GIF")).pages == 1


def test_a_size_that_turning_would_mend_names_the_orientation(tmp_path):
    tagged = with_orientation(encode(".jpg"), 6)
    with pytest.raises(
        InputError, match=r"after it is turned .* \(6\); set images.orient.* to apply"
    ):
        read(tmp_path, tagged, (64, 48))
    with pytest.raises(InputError, match=r"before it is turned .* set images.orient.* to ignore"):
        read(tmp_path, tagged, (48, 64), orientation="apply")
    for content, size in ((tagged, (64, 47)), (encode(".jpg"), (64, 48))):
        with pytest.raises(InputError, match="annotations say 64x4[78]$"):
            read(tmp_path, content, size)


# bands and 16 bits


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_16_bits_are_kept_as_they_are(tmp_path, kind):
    values = np.random.default_rng(5).integers(0, 200, (5, 6, 4)).astype(kind)
    values[0, 0] = 0, 3, 1, np.iinfo(kind).max
    photo = read(tmp_path, tiff(values), keep="16bit", bands=[4, 2])
    found = decode_photo(photo.content, "x")
    assert found.dtype == np.uint16
    assert np.array_equal(found, values[..., [3, 1]])
    assert (photo.height, photo.width, photo.few_levels, photo.blank) == (5, 6, None, False)


def test_real_numbers_of_16_bits_need_a_range(tmp_path):
    values = np.linspace(-1, 1, 30, dtype=np.float32).reshape(5, 6, 1)
    values[0, 0] = np.nan
    content = tiff(values)
    with pytest.raises(InputError, match="float32, of which 16 bits cannot be kept .* to range"):
        read(tmp_path, content, keep="16bit", bands=[1])
    given = {"keep": "16bit", "bands": [1], "stretch": "range", "low": -1.0, "high": 1.0}
    found = decode_photo(read(tmp_path, content, **given).content, "x")
    expected = np.rint((values.astype(np.float64) + 1) / 2 * 65535)
    expected[0, 0] = 0
    assert np.array_equal(found, expected)


def test_more_than_three_bands_of_8_bits_are_stored_each(tmp_path):
    values = np.random.default_rng(5).integers(0, 255, (5, 6, 5)).astype(np.uint8)
    found = decode_photo(read(tmp_path, tiff(values), bands=[1, 2, 3, 4, 5]).content, "x")
    assert found.dtype == np.uint8
    assert np.array_equal(found, values)
    shown = read(tmp_path, tiff(values), bands=[5, 4, 2, 1], shown=[1, 4, 5]).content
    assert np.array_equal(decode_picture(shown, "x"), values[..., [0, 3, 4]])
    dark = read(tmp_path, tiff(values * 0), bands=[1, 2])
    assert (dark.blank, dark.saturated) == (True, 1.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"keep": "16bit"}, "name the bands where keep is 16bit"),
        ({"bands": list(range(1, 18))}, "at most 16"),
        ({"bands": [1, 2, 3, 4], "shown": [5]}, "one or three of images.bands"),
        ({"bands": [1, 2, 3, 4], "shown": [1, 2]}, "one or three of images.bands"),
        ({"shown": [1]}, "one or three of images.bands"),
    ],
)
def test_bands_that_cannot_be_are_refused(given, words):
    with pytest.raises(ValidationError, match=words):
        images(**given)
