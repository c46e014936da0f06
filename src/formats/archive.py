"""One ZIP of images per stage output: same content, same bytes; any zip viewer shows it."""

import os
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from src.base.changes import expect_file
from src.base.errors import InputError
from src.base.files import is_inside, new_file

SIGNATURES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}
PHOTO = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION  # 8-bit RGB, as the annotator saw it
EPOCH = (1980, 1, 1, 0, 0, 0)  # a fixed date: DVC compares bytes
LOCAL_HEADER = struct.Struct("<26xHH")  # of its 30 bytes only the two lengths matter


def write_archive(path: Path, items: Iterable[tuple[str, np.ndarray | bytes]]) -> int:
    """Write images into one stored (not compressed again) ZIP, atomically.

    Parameters
    ----------
    path : Path
        Written under a temporary name and renamed when complete; folders are made.
    items : iterable of (name, content)
        Names are relative paths without extension, in strictly increasing order. Content is an
        array, uint8 or uint16 of shape (H, W) or uint8 RGB (H, W, 3), stored as PNG, or the
        bytes of a PNG or JPEG file, stored as they are.

    Returns
    -------
    count : int
        Images written; 0 gives a valid empty archive.

    Raises
    ------
    ValueError
        If a name repeats, is out of order or leaves the archive's folder, or content is neither.
    """
    count, previous = 0, ""
    with new_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name, content in items:
            if not is_inside(name):
                raise ValueError(f"{name}: an image name must stay inside its folder")
            if count and name <= previous:
                raise ValueError(f"{path}: '{name}' after '{previous}'; names must increase")
            encoded = encode_png(content) if isinstance(content, np.ndarray) else content
            entry = zipfile.ZipInfo(name + suffix_of(encoded, name), EPOCH)
            entry.create_system = 3  # Unix, whatever wrote it
            archive.writestr(entry, encoded)
            count, previous = count + 1, name
    return count


class ImageArchive:
    """Images of a ZIP written by `write_archive`, read by name.

    Entries are read with one positioned read each, no lock and no shared file position, so data
    loader workers forked from one process can share the object.

    Attributes
    ----------
    names : list of str
        Names without extension, sorted.

    Raises
    ------
    InputError
        If the file is absent or not such a ZIP.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{path}: no such archive; run the stage that writes it")
        expect_file(self.path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                infos = archive.infolist()
        except zipfile.BadZipFile:
            raise InputError(f"{path}: not a ZIP archive") from None
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
            raise InputError(f"{path}: compressed entries; write it with src.formats.archive")
        self._places = {
            str(PurePosixPath(info.filename).with_suffix("")): (info.header_offset, info.file_size)
            for info in infos
        }
        self._file = os.open(self.path, os.O_RDONLY)
        self.names = sorted(self._places)

    def __del__(self):
        if hasattr(self, "_file"):
            os.close(self._file)

    def read_bytes(self, name: str) -> bytes:
        """Return the image file `name` as stored. Raises InputError if there is none."""
        if name not in self._places:
            raise InputError(f"{self.path}: holds no '{name}'")
        offset, size = self._places[name]
        lengths = LOCAL_HEADER.unpack(os.pread(self._file, LOCAL_HEADER.size, offset))
        return os.pread(self._file, size, offset + LOCAL_HEADER.size + sum(lengths))

    def read(self, name: str, flags: int = cv2.IMREAD_UNCHANGED) -> np.ndarray:
        """Return the image `name` as an array; see `decode_image`."""
        return decode_image(self.read_bytes(name), flags, f"{self.path}: {name}")


def encode_png(array: np.ndarray) -> bytes:
    """Encode uint8 or uint16 (H, W), or uint8 RGB (H, W, 3), as PNG bytes without loss.

    Raises
    ------
    ValueError
        If shape or dtype is another, or there is no pixel.
    """
    grey = array.ndim == 2 and array.dtype in (np.dtype(np.uint8), np.dtype(np.uint16))
    colour = array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8
    if not array.size or not (grey or colour):
        raise ValueError(f"cannot store an image of {array.dtype} {array.shape} as PNG")
    return cv2.imencode(".png", array[..., ::-1] if colour else array)[1].tobytes()


def decode_image(encoded: bytes, flags: int, origin: str) -> np.ndarray:
    """Decode PNG or JPEG bytes; colours come as RGB or RGBA (H, W, 3 or 4), one plane as (H, W).

    Parameters
    ----------
    encoded : bytes
        A whole image file.
    flags : int
        `cv2.IMREAD_UNCHANGED` for maps, `PHOTO` for photographs (alpha dropped, grey made RGB).
    origin : str
        Where the bytes come from, for the message.

    Raises
    ------
    InputError
        If the bytes are no image.
    """
    array = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    if array is None:
        raise InputError(f"{origin}: not a readable image")
    if array.ndim == 2:
        return array
    return cv2.cvtColor(array, cv2.COLOR_BGRA2RGBA if array.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def suffix_of(encoded: bytes, origin: str) -> str:
    """Return '.png' or '.jpg' by the first bytes, whatever the file was called.

    Raises
    ------
    InputError
        If they are neither.
    """
    for signature, suffix in SIGNATURES.items():
        if encoded.startswith(signature):
            return suffix
    raise InputError(f"{origin}: neither a PNG nor a JPEG image")
