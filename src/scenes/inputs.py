"""The images that somebody names: files, folders and patterns, and how large each is."""

import glob
import os
from pathlib import Path, PurePosixPath

from PIL import Image, UnidentifiedImageError

from src.base.errors import InputError
from src.image_files.geotransforms import read_geotransform
from src.image_files.image_headers import (
    JPEG_START,
    NO_IMAGE,
    PNG_START,
    TIFF_STARTS,
    jpeg_header,
    png_header,
)
from src.image_files.silence import without_warnings
from src.mosaics.runs import Area
from src.preparing.image_bands import FORMATS
from src.reading.image_folders import IMAGE_SUFFIXES, files_below, is_image
from src.scenes.scene import Scene, Tile, open_scene

PATTERN = frozenset("*?[")


def find_files(named: list[str]) -> dict[str, Path]:
    """Find the image files that are meant.

    Parameters
    ----------
    named : list of str
        Each a file, a folder (all images in it and below; told by their extension, so that world
        files and the like are left alone) or a pattern such as tiles/*.tif.

    Returns
    -------
    files : dict of str to Path
        By the names that outputs bear: the path without extension, within the folder named, or the
        file name alone. Where two would be alike, `_2` and so on is put behind the later. In the
        order named, those of a folder or a pattern sorted; a file counts once.

    Raises
    ------
    InputError
        If there is no such file or folder, or no image in a folder or by a pattern.
    """
    found: dict[str, Path] = {}
    seen: set[str] = set()
    for one in named:
        try:
            files = _files(one)
        except OSError as error:  # such as that a name is too long
            raise InputError(f"{one:.200}: {error.strerror}; correct it") from None
        for name, path in files:
            real = os.path.realpath(path)  # which links in a circle do not stop
            if real not in seen:
                seen.add(real)
                found[_free_name(name, found)] = path
    return found


def printable(text: str) -> str:
    """Return a text that can be written in UTF-8, as not all names of files are."""
    return text.encode("utf-8", "replace").decode()


def is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith(TIFF_STARTS)


def open_image(path: Path, name: str) -> Scene:
    """Read size and place of an image of any format that the workflow reads, not its pixels.

    Raises
    ------
    InputError
        If it is no image, or damaged as far as that shows; it names the file.
    """
    try:
        if printable(str(path)) != str(path):
            raise InputError(f"{path}: its name, or that of a folder, is not UTF-8; rename it")
        if not path.is_file():  # nor a pipe, which would be waited for
            raise InputError("no such file, or a link to none")
        if is_tiff(path):
            return open_scene(path, name)
        height, width = _size(path)
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror}") from None
    except MemoryError:
        raise InputError(f"{path}: needs more memory than there is; cut it into tiles") from None
    tile = Tile(path, Area(0, height, 0, width))
    return Scene(name, height, width, (tile,), read_geotransform(path))


def _files(named: str) -> list[tuple[str, Path]]:
    path = Path(named)
    if path.is_dir():
        names = [name for name in files_below(path) if is_image(name)]
        if not names:
            known = " ".join(sorted(IMAGE_SUFFIXES))
            raise InputError(f"{path}: holds no images ({known})")
        return [(PurePosixPath(name).with_suffix("").as_posix(), path / name) for name in names]
    if path.is_file():
        return [(path.stem, path)]
    if PATTERN & set(named):
        paths = sorted(Path(one) for one in glob.glob(named, recursive=True))
        paths = [one for one in paths if one.is_file() and is_image(one.name)]
        if paths:
            return [(one.stem, one) for one in paths]
        raise InputError(f"{named}: no image has such a name")
    raise InputError(f"{named}: no such file or folder")


def _free_name(name: str, taken: dict[str, Path]) -> str:
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _size(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        start = file.read(len(PNG_START))
    if not start:
        raise InputError("the file is empty (0 bytes)")
    for known, walk in ((PNG_START, png_header), (JPEG_START, jpeg_header)):
        if start.startswith(known):
            header = walk(path.read_bytes())
            return header.height, header.width
    try:
        with without_warnings(), Image.open(path, formats=FORMATS) as image:
            return image.height, image.width
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise InputError(NO_IMAGE) from None
    except MemoryError:
        raise
    except Exception as error:  # whatever a decoder chokes on
        if isinstance(error, OSError) and error.errno:
            raise
        raise InputError(f"damaged image ({error})") from None
