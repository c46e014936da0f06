"""Image files walked through from part to part: whole to the last, and of what size."""

import re
import struct
import zlib
from typing import NamedTuple

from src.base.errors import InputError

PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_PART = struct.Struct(">I4s")  # length and kind, before the content; a checksum follows it
PNG_HEADER = struct.Struct(">IIBB")
PNG_BANDS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by the type of colours; a palette has three
JPEG_START = b"\xff\xd8\xff"
JPEG_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")  # not those without content, nor data
JPEG_END = 0xD9
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # kinds of the part that tells the size
JPEG_FRAME = struct.Struct(">BHHB")
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
TIFF_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
TIFF_BYTES |= {16: 8, 17: 8, 18: 8}  # of a value, by its type
WIDTH, HEIGHT, ORIENTATION = 256, 257, 274  # tags of TIFF
SUBFILE, SAMPLES = 254, 277
NO_PAGE = 1 | 4  # bits of the first: a reduced page, a mask of another
GIF_EXTENSION, GIF_IMAGE, GIF_END = b"!,;"
JPEG2000_TILE, JPEG2000_END = b"\xff\x90\0\n", b"\xff\xd9"
TRUNCATED = "damaged image (truncated: its end is missing)"
NO_IMAGE = "not a readable image"


class ImageHeader(NamedTuple):
    """What a file says of its pixels before they are decoded."""

    height: int
    width: int
    bits: int  # per value; 0 where not looked up
    bands: int  # 0 where not looked up
    orientation: int  # tag of TIFF, 1 to 8; 1 for others
    pages: tuple[tuple[int, int], ...] = ((1, 1),)  # of TIFF: number among all, bands; no overviews


def png_header(content: bytes) -> ImageHeader:
    """Walk through a PNG file, checksums included.

    Parameters
    ----------
    content : bytes
        That begin with `PNG_START`; what follows the end is not looked at.

    Returns
    -------
    header : ImageHeader
        Bands: 1 for grey, 2 with alpha, 3 for colour or a palette, 4 with alpha.

    Raises
    ------
    InputError
        If the file is cut off, changed, or does not begin with a header.
    """
    view, at, header = memoryview(content), len(PNG_START), None
    while at + PNG_PART.size + 4 <= len(content):
        length, kind = PNG_PART.unpack_from(content, at)
        end = at + PNG_PART.size + length
        if end + 4 > len(content):
            break
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise InputError("damaged image (a checksum is wrong)")
        if header is None:
            if kind != b"IHDR" or length != 13:
                raise InputError(NO_IMAGE)
            width, height, bits, colours = PNG_HEADER.unpack_from(content, at + PNG_PART.size)
            header = ImageHeader(height, width, bits, PNG_BANDS.get(colours, 0), 1)
        if kind == b"IEND":
            return header
        at = end + 4
    raise InputError(TRUNCATED)


def jpeg_header(content: bytes) -> ImageHeader:
    """Walk through a JPEG file from marker to marker, past previews inside metadata.

    Parameters
    ----------
    content : bytes
        That begin with `JPEG_START`; what follows the end is not looked at.

    Returns
    -------
    header : ImageHeader
        Bands: 1 for grey, 3 for colour, 4 for print colours.

    Raises
    ------
    InputError
        If the file is cut off, or ends before it told its size.
    """
    at, header = 2, None
    while found := JPEG_MARKER.search(content, at):
        at, kind = found.end(), content[found.end() - 1]
        if kind == JPEG_END:
            if header is None:
                raise InputError(NO_IMAGE)
            return header
        if kind in JPEG_FRAMES and header is None and at + 2 + JPEG_FRAME.size <= len(content):
            bits, height, width, bands = JPEG_FRAME.unpack_from(content, at + 2)
            header = ImageHeader(height, width, bits, bands, 1)
        at += int.from_bytes(content[at : at + 2], "big")
    raise InputError(TRUNCATED)


def tiff_header(content: bytes) -> ImageHeader:
    """Walk through the tags of all pages of a TIFF file, their values included.

    Parameters
    ----------
    content : bytes
        That begin with one of `TIFF_STARTS`.

    Returns
    -------
    header : ImageHeader
        Size and orientation of the first page; 0 px where it has no tag of its size. Of `pages`
        overviews and masks are none, but the first always is one.

    Raises
    ------
    InputError
        If a page or a value would lie beyond the end of the file, or there is no page.
    """
    order = "<" if content[:2] == b"II" else ">"
    large = content[2:4] in (b"+\0", b"\0+")
    counter, entry, place = ("Q", "HHQ8s", "Q") if large else ("H", "HHI4s", "I")
    counter, entry, place = (struct.Struct(order + form) for form in (counter, entry, place))
    pages, at, first, shown = set(), 8 if large else 4, {}, []
    try:
        while page := place.unpack_from(content, at)[0]:
            if page in pages:
                raise InputError("damaged image (its pages go round in a circle)")
            pages.add(page)
            start = page + counter.size
            at = start + counter.unpack_from(content, page)[0] * entry.size
            place.unpack_from(content, at)  # before so many entries are walked through
            tags = [entry.unpack_from(content, at) for at in range(start, at, entry.size)]
            if any(_values_end(kind, n, at, place) > len(content) for _, kind, n, at in tags):
                raise InputError(TRUNCATED)
            known = {tag: _value(kind, value, order) for tag, kind, _, value in tags}
            if len(pages) == 1:
                first = known
            if len(pages) == 1 or not known.get(SUBFILE, 0) & NO_PAGE:
                shown.append((len(pages), known.get(SAMPLES, 1)))
    except (struct.error, OverflowError):
        raise InputError(TRUNCATED) from None
    if not pages:
        raise InputError(NO_IMAGE)
    size = first.get(HEIGHT, 0), first.get(WIDTH, 0)
    return ImageHeader(*size, 0, 0, first.get(ORIENTATION, 1), tuple(shown))


def check_gif(content: bytes) -> None:
    """Walk through all frames of a GIF file.

    Raises
    ------
    InputError
        If it is cut off, or holds something else between its parts.
    """
    try:
        at = 13 + _palette_bytes(content[10])
        while content[at] != GIF_END:
            if content[at] == GIF_IMAGE:
                at += 11 + _palette_bytes(content[at + 9])
            elif content[at] == GIF_EXTENSION:
                at += 2
            else:
                raise InputError("damaged image (its parts do not follow each other)")
            while content[at]:  # blocks of up to 255 bytes, the last of none
                at += 1 + content[at]
            at += 1
    except IndexError:
        raise InputError(TRUNCATED) from None


def check_jpeg2000(content: bytes) -> None:
    """Look for the end after the first tile of a JPEG 2000 image; tiles never contain its bytes.

    Raises
    ------
    InputError
        If there is no tile, or no end.
    """
    tile = content.find(JPEG2000_TILE)
    if tile < 0 or content.rfind(JPEG2000_END) < tile:
        raise InputError(TRUNCATED)


def _palette_bytes(flags: int) -> int:
    return 3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0


def _values_end(kind: int, count: int, value: bytes, place: struct.Struct) -> int:
    """Return where in the file the values of a tag end, 0 if they stand beside it."""
    size = TIFF_BYTES.get(kind, 0) * count
    return 0 if size <= len(value) else place.unpack(value)[0] + size


def _value(kind: int, value: bytes, order: str) -> int:
    """Return the whole number that stands beside a tag; 0 where it is something else."""
    size = TIFF_BYTES.get(kind, 0)
    whole = kind in (1, 3, 4, 16) and size <= len(value)
    return int.from_bytes(value[:size], "little" if order == "<" else "big") if whole else 0
