"""Images found by the folders they lie in, in data sets without a list of them."""

import os
from pathlib import Path, PurePosixPath

from src.base.errors import InputError
from src.reading.records import ImageRecord, check_file_name, check_unique, record_name

IMAGE_SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".webp",
    ".jp2", ".j2k", ".jpx", ".jpc", ".j2c", ".pbm", ".pgm", ".ppm", ".pnm", ".btf", ".tf8",
}  # fmt: skip
SYSTEM_FOLDERS = {"@eaDir", "__MACOSX", "$RECYCLE.BIN", "System Volume Information"}  # thumbnails


def is_image(file_name: str) -> bool:
    """Tell by the extension, in lower or upper case, whether a file should be an image."""
    return PurePosixPath(file_name).suffix.lower() in IMAGE_SUFFIXES


def files_below(folder: Path) -> list[str]:
    """List the files in a folder and its subfolders.

    Parameters
    ----------
    folder : Path
        May be a link, as may be files in it; links to folders in it are not followed.

    Returns
    -------
    file_names : list of str
        Relative paths with "/" between their parts, sorted; nothing hidden or in a folder that an
        operating system or a file server makes, or below it.

    Raises
    ------
    InputError
        If there is no such folder, or it cannot be listed.
    """
    found = []
    for parent, folders, file_names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if _counts(name)]
        inside = PurePosixPath(Path(parent).relative_to(folder).as_posix())
        found += [(inside / name).as_posix() for name in file_names if not name.startswith(".")]
    return sorted(found)


def folders_in(folder: Path) -> list[str]:
    """List the names of the folders directly in a folder, linked ones too, sorted.

    Raises
    ------
    InputError
        If there is no such folder, or it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir() and _counts(e.name))
    except OSError as error:
        raise _refusal(error) from None


def find_images(folder: Path, split: str) -> tuple[list[ImageRecord], int]:
    """Make records of all images in a folder and its subfolders.

    Parameters
    ----------
    folder : Path
        What is an image is told by the extension.
    split : {"train", "val", "test"}
        It belongs to.

    Returns
    -------
    records : list of ImageRecord
        Sorted by name, numbered from 1; no size, no objects, each its own group.
    others : int
        Files that are not images.

    Raises
    ------
    InputError
        If the folder is absent or holds no image, or a file name is unfit or there twice but for
        the extension.
    """
    file_names = files_below(folder)
    images = [file_name for file_name in file_names if is_image(file_name)]
    if not images:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"{folder}: holds no images; put the images there ({known})")
    images.sort(key=lambda file_name: record_name(split, file_name))
    return _numbered(images, folder, split), len(file_names) - len(images)


def read_unlabelled(folder: Path) -> tuple[list[ImageRecord], int]:
    """Make records of the images of test, which no file lists.

    Parameters
    ----------
    folder : Path
        What is an image is told by the extension; subfolders hold none.

    Returns
    -------
    records : list of ImageRecord
        Sorted by file name and numbered from 1; no size, no objects, each its own group.
    others : int
        Files that are not images, or lie in subfolders.

    Raises
    ------
    InputError
        If the folder is absent or holds no image, or a file name is unfit or there twice but for
        the extension.
    """
    file_names = files_below(folder)
    images = [name for name in file_names if "/" not in name and is_image(name)]
    if not images:
        found = f" but other files ({len(file_names)}, those in subfolders too)" * bool(file_names)
        raise InputError(f"{folder}: holds no images{found}; put them there or remove the folder")
    return _numbered(images, folder, "test"), len(file_names) - len(images)


def image_record(name: str, image_id: int, file_name: str, path: Path) -> ImageRecord:
    """Make a record without size and objects of an image that is its own group."""
    return ImageRecord(name, name.split("/")[0], image_id, file_name, path, name, None, ())


def _numbered(images: list[str], folder: Path, split: str) -> list[ImageRecord]:
    """Make a record of each file name, numbered from 1 in their order."""
    for file_name in images:
        check_file_name(file_name, str(folder))
    records = [
        image_record(record_name(split, file_name), image_id, file_name, folder / file_name)
        for image_id, file_name in enumerate(images, start=1)
    ]
    check_unique(records, folder)
    return records


def _counts(folder_name: str) -> bool:
    return not folder_name.startswith(".") and folder_name not in SYSTEM_FOLDERS


def _refuse(error: OSError) -> None:
    raise _refusal(error) from None


def _refusal(error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return InputError(f"{error.filename}: no such folder; see docs/data.md for the layout")
    return InputError(f"{error.filename}: the folder cannot be read: {error.strerror}")
