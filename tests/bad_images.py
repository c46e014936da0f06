"""Image files that are damaged, odd or none at all, each with what is said of it."""

import functools
import io
import struct
import zlib

import cv2
import numpy as np
import rasterio
from PIL import Image

from src.image_files.silence import without_warnings

SIDE = 40  # px


def picture(bands=3, dtype=np.uint8, side=SIDE):
    """Return a smooth picture with some noise, (side, side, bands)."""
    rows, columns = np.mgrid[:side, :side]
    values = (rows * 3 + columns)[..., None] + np.arange(bands) * 5
    values = values + np.random.default_rng(0).integers(0, 9, values.shape)
    return values.astype(dtype)


def png(image=None):
    return cv2.imencode(".png", picture() if image is None else image)[1].tobytes()


def jpeg():
    return cv2.imencode(".jpg", picture())[1].tobytes()


def pillow(kind, image=None, **options):
    file = io.BytesIO()
    Image.fromarray(picture() if image is None else image).save(file, kind, **options)
    return file.getvalue()


def tiff(values=None, **options):
    """Return the bytes of a TIFF file of values (h, w, bands)."""
    values = picture() if values is None else values
    given = {"driver": "GTiff", "count": values.shape[2], "dtype": str(values.dtype), **options}
    with rasterio.MemoryFile() as memory:
        with (
            without_warnings(),
            memory.open(height=values.shape[0], width=values.shape[1], **given) as file,
        ):
            file.write(np.moveaxis(values, -1, 0))
        return memory.read()


def png_of_size(height, width, colours=2, bits=8):
    """Return a small PNG file that claims a size, with no more data than of a pixel."""

    def part(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    data = part(b"IDAT", zlib.compress(b"\0" * 4))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + data + part(b"IEND", b"")


def tag_place(content, tag):
    """Return where the entry of a tag of a little-endian TIFF file lies."""
    [page] = struct.unpack_from("<I", content, 4)
    [count] = struct.unpack_from("<H", content, page)
    places = [page + 2 + 12 * number for number in range(count)]
    return next(at for at in places if struct.unpack_from("<H", content, at)[0] == tag)


def with_tag(content, tag, value):
    """Change the number that stands beside a tag."""
    at = tag_place(content, tag) + 8
    return content[:at] + struct.pack("<I", value) + content[at + 4 :]


def with_wrong_offsets(content, tag=273):
    """Have all strips or tiles lie beyond the end of the file."""
    at = tag_place(content, tag)
    kind, count, place = struct.unpack_from("<HII", content, at + 2)
    assert kind == 4
    if count == 1:
        return with_tag(content, tag, 1 << 30)
    return content[:place] + struct.pack("<I", 1 << 30) * count + content[place + 4 * count :]


@functools.cache
def cases():
    """Return file name, content and words of the reason of every file that is left out."""
    whole_png, whole_jpeg, plain = png(), jpeg(), tiff()
    deflated = tiff(compress="deflate")
    tiled = tiff(picture(side=64), tiled=True, blockxsize=16, blockysize=16)
    cut = "truncated"
    found = [
        ("empty.png", b"", "the file is empty"),
        ("empty.tif", b"", "the file is empty"),
        ("empty.jpg", b"", "the file is empty"),
        ("empty.gif", b"", "the file is empty"),
        ("one_byte.png", b"\x89", "not a readable image"),
        ("signature.png", whole_png[:8], cut),
        ("text.png", b"a letter, no picture\n" * 9, "not a readable image"),
        ("text.tif", b"a letter, no picture\n" * 9, "not a readable image"),
        ("page.jpg", b"<!DOCTYPE html><html></html>", "not a readable image"),
        ("archive.png", b"PK\3\4" + bytes(60), "not a readable image"),
        ("zeros.jpg", bytes(500), "not a readable image"),
        ("svg.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a readable image"),
        ("program.png", b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a readable image"),
        ("frameless.gif", b"GIF89a\x04\0\x04\0\0\0\0;", ""),
        ("cut.gif", pillow("GIF")[:-40], ""),
        ("cut.bmp", pillow("BMP")[:-400], ""),
        ("cut.webp", pillow("WEBP")[:-30], ""),
        ("cut.ppm", pillow("PPM")[:-400], ""),
        ("cut.jp2", pillow("JPEG2000")[:-100], cut),
        ("huge.bmp", pillow("BMP")[:18] + struct.pack("<ii", 1 << 20, 1 << 20)
         + pillow("BMP")[26:], "not a readable image"),
        ("huge.png", png_of_size(100_000, 100_000), "pixels; cut the image into tiles"),
        ("endless.png", png_of_size(1 << 31, 1 << 31), "pixels; cut the image into tiles"),
        ("unfilled.png", png_of_size(300, 300), ""),
        ("no_size.png", png_of_size(0, 9), "has no pixels"),
        ("odd_colours.png", png_of_size(9, 9, colours=5), "not a readable image"),
        ("odd_bits.png", png_of_size(9, 9, bits=7), "not a readable image"),
        ("flipped.png", whole_png[:60] + bytes([whole_png[60] ^ 255]) + whole_png[61:],
         "a checksum is wrong"),
        ("no_start.jpg", whole_jpeg[2:], "not a readable image"),
        ("header.tif", plain[:8], ""),
        ("order.tif", b"MM" + plain[2:], ""),
        ("loop.tif", b"II*\0\x08\0\0\0" + struct.pack("<HI", 0, 8), "damaged image"),
        ("wide.tif", with_tag(plain, 256, 1 << 30), ""),
        ("no_width.tif", with_tag(plain, 256, 0), ""),
        ("compression.tif", with_tag(plain, 259, 9999), "damaged image"),
        ("strips.tif", with_wrong_offsets(plain), "damaged image"),
        ("deflated_strips.tif", with_wrong_offsets(deflated), "damaged image"),
        ("tiles.tif", with_wrong_offsets(tiled, 324), "damaged image"),
        ("noise.tif", deflated[:300] + bytes(900) + deflated[1200:], "damaged image"),
        ("two_bits.tif", with_tag(plain, 277, 60000), ""),
        ("complex.tif", tiff(picture(1, np.complex64)), "complex numbers"),
        ("complex_integers.tif", tiff(picture(1, np.complex64), dtype="complex_int16"), "complex"),
        ("float.tif", tiff(picture(3, np.float32)), "values of type float32"),
        ("double.tif", tiff(picture(1, np.float64)), "values of type float64"),
        ("signed.tif", tiff(picture(1, np.int16)), "values of type int16"),
        ("long.tif", tiff(picture(1, np.uint32)), "values of type uint32"),
        ("longer.tif", tiff(picture(1, np.int64)), "values of type int64"),
        ("nan.tif", tiff(np.full((9, 9, 1), np.nan, np.float32)), "values of type float32"),
        ("sixteen.png", png(picture(3, np.uint16)), "values of type uint16"),
        ("sixteen.tif", tiff(picture(3, np.uint16)), "values of type uint16"),
        ("turned_over.jpg", whole_jpeg[::-1], "not a readable image"),
    ]  # fmt: skip
    for name, content in (("png", whole_png), ("jpg", whole_jpeg)):
        found += [
            (f"cut{part}.{name}", content[: len(content) * part // 10], cut)
            for part in (1, 3, 5, 7, 9)
        ]
    found += [(f"cut{part}.tif", plain[: len(plain) * part // 10], "") for part in (1, 5, 9)]
    found += [(f"cut{part}_.tif", deflated[: len(deflated) * part // 10], "") for part in (3, 8)]
    return found


@functools.cache
def odd_cases():
    """Return file name and content of files that are unusual, but images."""
    grey = picture(1)
    return [
        ("one.png", png(picture(side=1))),
        ("one.tif", tiff(picture(side=1))),
        ("row.png", png(np.zeros((1, 5000, 3), np.uint8))),
        ("column.png", png(np.zeros((5000, 1, 3), np.uint8))),
        ("row.tif", tiff(np.ones((1, 5000, 3), np.uint8))),
        ("grey.png", png(grey)),
        ("two.tif", tiff(picture(2))),
        ("five.tif", tiff(picture(5))),
        ("six.tif", tiff(picture(6))),
        ("alpha.png", png(picture(4))),
        ("bits.tif", tiff(picture(1) & 1, nbits=1)),
        ("blank.tif", tiff(np.zeros((SIDE, SIDE, 3), np.uint8), nodata=0)),
        ("palette.gif", pillow("GIF")),
        ("as_text.txt.png", png()),
        ("UPPER.PNG", png()),
        ("wrong_name.jpg", png()),
        ("a b'c\"d;$(e)&.png", png()),
        ("umlaut \u00e4\u4e2d.png", png()),
    ]
