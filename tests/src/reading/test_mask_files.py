import io
import warnings
import zlib
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from rasterio.io import MemoryFile
from scipy import ndimage

from src.base.errors import InputError
from src.reading.mask_files import (
    component_regions,
    label_regions,
    number_objects,
    read_binary_mask,
    read_object_ids,
)
from src.reading.records import ImageRecord
from src.reading.segmentations import compress

# pycocotools' own decoding asks numpy for something that numpy 2 will drop
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MASK = np.zeros((9, 13), bool)
MASK[2:5, 3:7] = MASK[6:, 10:] = MASK[0, 12] = True
GREY = MASK.astype(np.uint8) * 255
RED = np.dstack([GREY, GREY * 0, GREY * 0])
IDS = MASK * np.arange(1, 14)  # a value for each column


def pillow(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def encode(array, form="PNG", mode=None, **options):
    image = Image.fromarray(array)
    return pillow(image.convert(mode) if mode else image, form, **options)


def with_palette(indices, colours, form="PNG", **options):
    image = Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())
    image.putpalette([value for colour in colours for value in colour])
    return pillow(image, form, **options)


def tiff(array, **options):
    bands = array if array.ndim == 3 else array[None]
    count, height, width = bands.shape
    size = {"count": count, "height": height, "width": width}
    with warnings.catch_warnings(action="ignore"), MemoryFile() as memory:  # it lies nowhere
        with memory.open(driver="GTiff", dtype=bands.dtype, **size, **options) as file:
            file.write(bands)
        return memory.read()


def write(tmp_path, content):
    path = tmp_path / "mask"
    path.write_bytes(content)
    return path


BLACK, WHITE, BLUE = (0, 0, 0), (255, 255, 255), (0, 0, 1)
BINARY = {
    "0 and 255": encode(GREY),
    "0 and 1": encode(GREY // 255),
    "1 bit": encode(GREY, mode="1"),
    "16 bits": encode(GREY.astype(np.uint16) * 257),
    "a colour": encode(RED),
    "all transparent": encode(np.dstack([RED, GREY * 0])),
    "grey and alpha": encode(np.dstack([GREY, 255 - GREY])),
    "palette": with_palette(MASK, [BLACK, WHITE]),
    "palette, white first": with_palette(~MASK, [WHITE, BLACK]),
    "palette, black twice": with_palette(MASK * 2 + (IDS == 0)[::-1], [BLACK, BLACK, WHITE, WHITE]),
    "palette, nearly black": with_palette(MASK, [BLACK, BLUE]),
    "palette, transparent": with_palette(MASK, [BLACK, WHITE], transparency=0),
    "GIF": with_palette(MASK, [BLACK, WHITE], "GIF"),
    "GIF, white first": with_palette(~MASK, [WHITE, BLACK], "GIF"),
    "GIF of two pictures": pillow(
        Image.fromarray(GREY), "GIF", save_all=True, append_images=[Image.fromarray(255 - GREY)]
    ),
    "BMP": encode(GREY, "BMP"),
    "BMP, colour": encode(RED, "BMP"),
    "BMP, 1 bit": encode(GREY, "BMP", "1"),
    "TIFF": encode(GREY, "TIFF"),
    "TIFF, compressed": encode(GREY, "TIFF", compression="tiff_lzw"),
    "TIFF, 1 bit": encode(GREY, "TIFF", "1", compression="group4"),
    "TIFF, 0 is white": encode(GREY, "TIFF", "1", tiffinfo={262: 0}),
    "TIFF, palette": with_palette(~MASK, [WHITE, BLACK], "TIFF"),
    "TIFF, colour": tiff(np.moveaxis(RED, -1, 0)),
    "TIFF, colour and alpha": tiff(np.stack([*np.moveaxis(RED, -1, 0), 255 - GREY])),
    "TIFF, grey and alpha": tiff(np.stack([GREY, 255 - GREY])),
    "TIFF, -1": tiff(-MASK.astype(np.int16)),
    "TIFF, floating point": tiff(MASK.astype(np.float32)),
    "TIFF, 0 is no data": tiff(GREY, nodata=0),
    "BigTIFF": tiff(GREY, BIGTIFF="YES"),
    "JPEG": encode(GREY, "JPEG", quality=50),
    "JPEG, colour": encode(np.dstack([GREY] * 3), "JPEG", quality=90, subsampling=0),
}


@pytest.mark.parametrize("content", BINARY.values(), ids=BINARY)
def test_a_mask_of_two_values_is_read_to_the_pixel(tmp_path, content):
    mask = read_binary_mask(write(tmp_path, content), *MASK.shape)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, MASK)


@pytest.mark.parametrize("content", [encode(GREY * 0), encode(GREY * 0, "JPEG"), tiff(GREY * 0)])
def test_a_mask_of_zeros_is_all_background(tmp_path, content):
    assert not read_binary_mask(write(tmp_path, content), *MASK.shape).any()


@pytest.mark.parametrize("content", [encode(GREY * 0 + 7), encode(GREY * 0 + 255, "JPEG")])
def test_a_mask_of_one_other_value_is_all_object(tmp_path, content):
    assert read_binary_mask(write(tmp_path, content), *MASK.shape).all()


def test_a_jpeg_is_cut_at_grey_level_128(tmp_path):
    flat = np.full((8, 16), 127, np.uint8)
    flat[:, 8:] = 128  # blocks of 8 pixels of one grey level are kept exactly
    mask = read_binary_mask(write(tmp_path, encode(flat, "JPEG", quality=100)), 8, 16)
    np.testing.assert_array_equal(mask, flat == 128)


COLOURS = [(7 * i, 3, 3) for i in range(14)]
CODED = np.dstack([IDS % 4, IDS // 4, IDS * 0 + 1 * MASK]).astype(np.uint8)
NUMBERED = {
    "8 bits": (encode(IDS.astype(np.uint8)), IDS),
    "16 bits": (encode((IDS * 5000).astype(np.uint16)), IDS * 5000),
    "palette": (with_palette(IDS, COLOURS), IDS),
    "palette of one colour": (with_palette(IDS, [BLACK] * 14), IDS),
    "GIF": (with_palette(IDS % 4 + MASK, COLOURS, "GIF"), IDS % 4 + MASK),
    "colours": (encode(CODED), IDS % 4 + IDS // 4 * 256 + MASK * 65536),
    "BMP": (encode(CODED, "BMP"), IDS % 4 + IDS // 4 * 256 + MASK * 65536),
    "TIFF, colours": (tiff(np.moveaxis(CODED, -1, 0)), IDS % 4 + IDS // 4 * 256 + MASK * 65536),
    "TIFF, palette": (with_palette(IDS, COLOURS, "TIFF"), IDS),
    "TIFF, 16 bits": (tiff((IDS * 5000).astype(np.uint16)), IDS * 5000),
    "TIFF, 32 bits": (tiff((IDS * 300_000_000).astype(np.uint32)), IDS * 300_000_000),
    "TIFF, signed": (tiff(IDS.astype(np.int32)), IDS),
    "TIFF, floating point": (tiff(IDS.astype(np.float64)), IDS),
    "1 bit": (encode(GREY, mode="1"), MASK * 1),
}


@pytest.mark.parametrize(("content", "expected"), NUMBERED.values(), ids=NUMBERED)
def test_ids_are_read_as_they_are_stored(tmp_path, content, expected):
    ids = read_object_ids(write(tmp_path, content), *MASK.shape)
    assert ids.dtype.kind == "u"
    np.testing.assert_array_equal(ids, expected)


PNG, JPEG, TIFF, GIF = encode(GREY), encode(GREY, "JPEG"), tiff(GREY), BINARY["GIF"]
BROKEN = [
    (b"", "^the file is empty \\(0 bytes\\)$"),
    (b"masks", "^neither a PNG, GIF, BMP, JPEG nor TIFF image$"),
    (b"\0" * 1000, "neither a PNG"),
    (PNG[:30], "damaged image|neither a PNG"),
    (PNG[:24] + b"\x10", "damaged image|neither a PNG"),  # its header ends with the depth
    (PNG[:-30], "damaged image"),
    (JPEG[:-20], "damaged image"),
    (GIF[:-10], "damaged image"),
    (TIFF[:60], "^damaged TIFF image$"),
    (TIFF[:-40], "^damaged TIFF image$"),
    (b"II*\0", "^damaged TIFF image$"),
    (b"II*\0" + b"\1" * 100, "^damaged TIFF image$"),
    (encode(GREY[:-1]), r"^the mask is 8x13 px \(height x width\), the image 9x13$"),
    (tiff(GREY[:, :-1]), r"^the mask is 9x12 px \(height x width\), the image 9x13$"),
    (encode(GREY.T), "the mask is 13x9 px"),
    (tiff(np.stack([GREY] * 5)), "^a TIFF mask of uint8, number of bands 5; store numbers in one"),
    (tiff(np.stack([GREY] * 3).astype(np.uint16)), "a TIFF mask of uint16, number of bands 3"),
    (tiff(GREY.astype(np.complex64)), "a TIFF mask of complex64, number of bands 1"),
    (tiff(np.where(MASK, np.nan, 0).astype(np.float32)), "^a mask with the value nan$"),
    (tiff(np.where(MASK, np.inf, 0)), "^a mask with the value inf$"),
]


@pytest.mark.parametrize("read", [read_binary_mask, read_object_ids])
@pytest.mark.parametrize(("content", "words"), BROKEN)
def test_a_broken_mask_is_refused_with_the_reason_alone(tmp_path, read, content, words):
    with pytest.raises(InputError, match=words) as caught:
        read(write(tmp_path, content), *MASK.shape)
    assert "vsimem" not in str(caught.value)  # a random name, other in each run
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("read", [read_binary_mask, read_object_ids])
def test_a_png_that_would_be_read_with_half_its_bits_is_refused(tmp_path, read):
    content = bytearray(encode(RED))
    content[24] = 16
    with pytest.raises(InputError, match="several channels of 16 bits; store one channel"):
        read(write(tmp_path, bytes(content)), *MASK.shape)


def resized_png(content, height, width):
    header = content[12:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + content[24:29]
    return content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]


def resized_bmp(content, height, width):
    return content[:18] + width.to_bytes(4, "little") + height.to_bytes(4, "little") + content[26:]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (resized_png(encode(GREY), 40_000, 40_000), "too many pixels, the image has 9x13"),
        (resized_bmp(encode(GREY, "BMP"), 40_000, 40_000), "too many pixels, the image has 9x13"),
        (resized_png(encode(GREY), 13_000, 13_000), "the mask is 13000x13000 px"),
    ],
)
def test_a_mask_that_would_fill_the_memory_is_not_unpacked(tmp_path, content, words):
    with pytest.raises(InputError, match=words):  # unpacked they would be called damaged
        read_binary_mask(write(tmp_path, content), *MASK.shape)


@pytest.mark.parametrize("read", [read_binary_mask, read_object_ids])
def test_an_absent_mask_is_refused(tmp_path, read):
    with pytest.raises(InputError, match="^no such file$"):
        read(tmp_path / "absent.png", 1, 1)
    with pytest.raises(InputError, match="^no such file$"):
        read(tmp_path, 1, 1)


ramp = np.arange(117, dtype=np.uint8).reshape(9, 13)
NOT_BINARY = [
    (encode(ramp), "^a mask with the values 1 and 2 beside the background's 0, not one for all"),
    (encode(np.where(MASK, 255, 3).astype(np.uint8)), "values 3 and 255 beside"),
    (encode(np.where(MASK[..., None], WHITE, BLUE).astype(np.uint8)), r"\(0, 0, 1\) and \(255, 2"),
    (with_palette(IDS, COLOURS), r"values \(0, 3, 3\) and \(91, 3, 3\) beside"),
    (with_palette(MASK, [BLACK, BLACK]), "palette shows the indices 0 and 1 in one colour"),
    (with_palette(~MASK, [WHITE, WHITE], "GIF"), "palette shows the indices 0 and 1 in one colour"),
    (tiff(np.where(MASK, 1, -1).astype(np.int16)), "values -1 and 1 beside"),
    (tiff(np.linspace(0, 1, 117, dtype=np.float32).reshape(9, 13)), "values 0.008.* and 0.01"),
    (encode(GREY // 255, "JPEG"), "^a JPEG mask no brighter than 1, objects begin at 128"),
]


@pytest.mark.parametrize(("content", "words"), NOT_BINARY)
def test_a_mask_of_other_than_two_values_is_refused(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        read_binary_mask(write(tmp_path, content), *MASK.shape)


def test_an_index_that_the_palette_lacks_is_refused(tmp_path):
    content = with_palette(IDS, COLOURS)
    at = content.index(b"PLTE")
    palette = b"PLTE" + content[at + 4 : at + 4 + 6]  # two colours of the fourteen
    palette = (6).to_bytes(4, "big") + palette + zlib.crc32(palette).to_bytes(4, "big")
    content = content[: at - 4] + palette + content[at + 8 + 3 * 14 :]
    with pytest.raises(InputError, match="^a mask with index 13 in a palette of 2$"):
        read_binary_mask(write(tmp_path, content), *MASK.shape)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (JPEG, "^a JPEG mask, which does not keep object ids; store it as PNG or TIFF$"),
        (tiff(-IDS.astype(np.int16)), "^a mask with the id -13, less than 0$"),
        (tiff(-IDS.astype(np.float32)), "^a mask with the id -13, less than 0$"),
        (tiff(IDS.astype(np.float32) / 2), "^a mask with the id 6.5, not a whole number$"),
        (tiff(IDS * 1e300), "^a mask with the id 1.3.*e.301, not a whole number$"),
    ],
)
def test_what_cannot_be_an_id_is_refused(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        read_object_ids(write(tmp_path, content), *MASK.shape)


def check(region, mask):
    """Compare runs, area, box and RLE of a region with what numpy and pycocotools say."""
    height, width = mask.shape
    flat = np.zeros(mask.size, bool)
    for start, stop in region.runs.tolist():
        assert start < stop
        flat[start:stop] = True
    np.testing.assert_array_equal(flat.reshape(width, height).T, mask)
    assert all(stop < start for (_, stop), (start, _) in pairwise(region.runs.tolist()))
    assert region.runs.dtype == np.int64
    assert region.area == mask.sum()
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    assert region.bbox == tuple(coco_mask.toBbox(rle).astype(int).tolist())
    assert all(type(value) is int for value in (region.area, *region.bbox))
    assert compress(region, height, width) == {
        "size": [height, width], "counts": rle["counts"].decode(),
    }  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 5), (40, 31)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int64])
def test_regions_of_a_label_map_are_those_of_each_label(shape, dtype):
    rng = np.random.default_rng(3)
    labels = rng.choice(np.array([0, 0, 1, 2, 9, 200], dtype), shape)
    present = [value for value in np.unique(labels) if value]
    regions = label_regions(labels)
    assert len(regions) == len(present)
    for region, value in zip(regions, present, strict=True):
        check(region, labels == value)


def test_a_run_goes_on_from_the_bottom_of_a_column_to_the_top_of_the_next():
    labels = np.zeros((3, 4), np.uint8)
    labels[2, 1] = labels[0, 2] = 5
    (region,) = label_regions(labels)
    assert region.runs.tolist() == [[5, 7]]
    assert region.bbox == (1, 0, 2, 3)


def test_a_map_of_zeros_has_no_regions():
    assert label_regions(np.zeros((3, 4), np.uint8)) == []
    assert component_regions(np.zeros((3, 4), bool)) == []


def test_parts_that_touch_at_a_corner_are_one_and_come_row_for_row():
    mask = np.array(
        [[0, 0, 0, 0, 1],
         [1, 0, 1, 0, 0],
         [0, 1, 0, 0, 0],
         [0, 0, 0, 1, 1]], bool,
    )  # fmt: skip
    regions = component_regions(mask)
    assert [region.bbox for region in regions] == [(4, 0, 1, 1), (0, 1, 3, 2), (3, 3, 2, 1)]
    assert [region.area for region in regions] == [1, 3, 2]


@pytest.mark.parametrize("share", [0.1, 0.35, 0.6, 1.0])
def test_parts_of_random_masks_are_those_that_scipy_finds(share):
    mask = np.random.default_rng(5).random((37, 53)) < share
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    parts = sorted((labels == k for k in range(1, count + 1)), key=lambda part: part.argmax())
    regions = component_regions(mask)
    assert len(regions) == count
    for region, part in zip(regions, parts, strict=True):
        check(region, part)


def test_more_objects_than_labels_are_refused():
    record = ImageRecord("train/a", "train", 3, "a.png", None, "train/a", None, ())
    labels = np.arange(65536).reshape(256, 256)
    words = "^65535 objects in one image, more than 65534; cut it into tiles$"
    with pytest.raises(InputError, match=words):
        label_regions(labels)
    dots = np.zeros((512, 512), bool)
    dots[::2, ::2] = True
    with pytest.raises(InputError, match="^65536 objects in one image"):
        component_regions(dots)
    with pytest.raises(InputError, match=words):
        number_objects(record, [None] * 65535)
    labels[0, 1] = 0
    regions = label_regions(labels)
    objects = number_objects(record, regions)
    assert [objects[0][:2], objects[-1][:2]] == [(1, 3 * 65536 + 1), (65534, 3 * 65536 + 65534)]
    assert (objects[0].crowd, objects[0].area, objects[0].repaired) == (False, None, False)
    assert objects[7].region is regions[7]


@pytest.mark.parametrize(
    ("bits", "dtype"), [(1, "uint8"), (2, "uint8"), (8, "uint8"), (16, "uint16")]
)
def test_of_a_mask_in_which_0_is_white_what_it_shows_counts(tmp_path, bits, dtype):
    full = 2**bits - 1
    content = tiff((~MASK * full).astype(dtype), photometric="MINISWHITE", nbits=bits)
    (tmp_path / "m.tif").write_bytes(content)
    assert np.array_equal(read_binary_mask(tmp_path / "m.tif", *MASK.shape), MASK)


def test_of_ids_in_a_file_in_which_0_is_white_the_numbers_count(tmp_path):
    (tmp_path / "m.tif").write_bytes(tiff(IDS.astype(np.uint16), photometric="MINISWHITE"))
    assert np.array_equal(read_object_ids(tmp_path / "m.tif", *MASK.shape), IDS)


def test_a_mask_of_several_pages_is_refused(tmp_path):
    pages = [Image.fromarray(GREY)] * 3
    content = pillow(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    (tmp_path / "m.tif").write_bytes(content)
    for read in (read_binary_mask, read_object_ids):
        with pytest.raises(InputError, match="^a TIFF mask of 3 pages; store the masks of each"):
            read(tmp_path / "m.tif", *MASK.shape)


def test_a_mask_drawn_in_its_alpha_alone_is_refused(tmp_path):
    black = np.dstack([GREY * 0, GREY * 0, GREY * 0, GREY])
    (tmp_path / "m.png").write_bytes(encode(black))
    with pytest.raises(InputError, match="^a mask that is black all over and differs in its alpha"):
        read_binary_mask(tmp_path / "m.png", *MASK.shape)
