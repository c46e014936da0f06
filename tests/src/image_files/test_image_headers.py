import io
import struct

import numpy as np
import pytest
from PIL import Image

from src.base.errors import InputError
from src.image_files.image_headers import (
    ImageHeader,
    check_gif,
    check_jpeg2000,
    jpeg_header,
    png_header,
    tiff_header,
)

GREYS = np.arange(35, dtype=np.uint8).reshape(5, 7)


def saved(form, mode="L", **options):
    stream = io.BytesIO()
    Image.fromarray(GREYS).convert(mode).save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("mode", "bits", "bands"),
    [("1", 1, 1), ("L", 8, 1), ("LA", 8, 2), ("P", 8, 3), ("RGB", 8, 3), ("RGBA", 8, 4)],
)
def test_a_png_tells_bits_and_bands(mode, bits, bands):
    assert png_header(saved("PNG", mode)) == ImageHeader(5, 7, bits, bands, 1)


@pytest.mark.parametrize(("mode", "bands"), [("L", 1), ("RGB", 3), ("CMYK", 4)])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_tells_its_bands(mode, bands, progressive):
    content = saved("JPEG", mode, progressive=progressive)
    assert jpeg_header(content) == ImageHeader(5, 7, 8, bands, 1)


def big_tiff(tags, order="<"):
    """A BigTIFF of nothing but tags {number: (type, count, value)}."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HHHQ", 43, 8, 0, 16)
    entries = b"".join(struct.pack(order + "HHQQ", number, *tag) for number, tag in tags.items())
    return head + struct.pack(order + "Q", len(tags)) + entries + struct.pack(order + "Q", 0)


def test_a_tiff_tells_its_size_and_orientation():
    assert tiff_header(saved("TIFF", tiffinfo={274: 6})) == ImageHeader(5, 7, 0, 0, 6)
    assert tiff_header(saved("TIFF", "RGB")) == ImageHeader(5, 7, 0, 0, 1, ((1, 3),))


@pytest.mark.parametrize("order", "<>")
def test_a_large_tiff_is_walked_in_both_byte_orders(order):
    wide = 7 if order == "<" else 7 << 32  # LONG at the front of eight bytes
    content = big_tiff({256: (4, 1, wide), 257: (16, 1, 5)}, order)
    assert tiff_header(content) == ImageHeader(5, 7, 0, 0, 1)
    with pytest.raises(InputError, match="truncated"):
        tiff_header(content[:-1])
    with pytest.raises(InputError, match="truncated"):
        tiff_header(big_tiff({256: (4, 1, wide), 700: (1, 2**64 - 1, 2**64 - 1)}, order))


def test_a_tiff_of_endless_tags_is_refused_at_once():
    content = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**63)
    with pytest.raises(InputError, match="truncated"):
        tiff_header(content + bytes(100))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "JPEG2000"])
def test_whatever_is_cut_off_is_missed(form):
    walk = {
        "PNG": png_header,
        "JPEG": jpeg_header,
        "GIF": check_gif,
        "JPEG2000": check_jpeg2000,
    }[form]
    content = saved(form)
    walk(content)
    for length in range(10, len(content)):
        with pytest.raises(InputError, match="truncated"):
            walk(content[:length])


def test_later_pages_are_walked_too():
    more = {"save_all": True, "append_images": [Image.fromarray(GREYS)] * 2}
    content = saved("TIFF", **more)
    assert tiff_header(content).height == 5
    with pytest.raises(InputError, match="truncated"):
        tiff_header(content[: len(content) * 2 // 3])  # without the tags of the third page
    check_gif(saved("GIF", **more))


def test_marks_inside_metadata_are_no_end():
    comment = b"\xff\xd9\xff\xc0" * 9
    content = saved("JPEG")
    part = b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
    with_comment = content[:2] + part + content[2:]
    assert jpeg_header(with_comment) == ImageHeader(5, 7, 8, 1, 1)
    with pytest.raises(InputError, match="truncated"):
        jpeg_header(with_comment[:-2])


def test_a_gif_whose_parts_do_not_follow_each_other_is_damaged():
    with pytest.raises(InputError, match="its parts do not follow each other"):
        check_gif(saved("GIF")[:-1] + b"?")
