"""The files that preparing a dataset gives, split by split, written image by image."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

from src.formats.archive import write_archive
from src.formats.prepared import IMAGE_TYPES, LABELLED, RECOGNISED, SPLITS
from src.image_files.geotransforms import COLUMNS as PLACE_COLUMNS
from src.preparing.prepared_image import PreparedImage
from src.reading.recognition import Choice
from src.reading.records import Dataset, ImageRecord

TABLES = {  # of the whole dataset
    "warnings.csv": ("name", "file", "kind", "detail"),
    "rejected.csv": ("file", "reason"),
}
FILES = {*TABLES, RECOGNISED} | {
    f"{split}/{name}" for split in SPLITS for name in ("images.zip", "images.csv")
}
FILES |= {f"geotransforms/{split}.csv" for split in SPLITS}
FILES |= {
    f"labels/{split}/{name}" for split in LABELLED for name in ("instances.zip", "truth.json")
}
TRUTH_KEYS = ("name", "file_name", "height", "width")  # of an image, beside its id


class Written(NamedTuple):
    """What `write_prepared` has written."""

    images: Counter  # by split
    objects: Counter  # labels in the label maps, by split
    losses: Counter  # ignored regions, and objects for each of LOSSES
    warnings: Counter  # images for each of KINDS that there is
    rejected: list[str]  # "file: reason"
    placed: Counter  # images that lie on the map, by split


class _SplitFiles(NamedTuple):
    """Open files of a split: tables, and those without a name in which something waits."""

    images: csv.DictWriter
    places: csv.DictWriter
    truth: dict[str, IO[str]]  # JSON lines of images and annotations
    maps: IO[bytes]
    sizes: dict[str, int]  # bytes of the map of each image


def write_prepared(
    folder: Path,
    root: Path,
    dataset: Dataset,
    results: Iterable[PreparedImage | str],
    metadata: dict[str, dict[str, float]],
    choices: Iterable[Choice],
) -> Written:
    """Write all FILES, holding one image at a time.

    Label maps and truth wait in nameless files in the folder until all images of their split are
    written.

    Parameters
    ----------
    folder : Path
        There and empty.
    root : Path
        Of the dataset; tables name files relative to it.
    dataset : Dataset
        With the records that are prepared, by name.
    results : iterable of PreparedImage or str
        What `prepare_image` makes of each record, in their order.
    metadata : dict of str to dict
        By name of the image its further columns of images.csv, the same for all.
    choices : iterable of Choice
        What was found where params say `auto`.

    Returns
    -------
    written : Written
        Where a split has no image, or every one is rejected, its archives are empty.
    """
    written = Written(Counter(), Counter(), Counter(), Counter(), [], Counter())
    found = json.dumps([choice._asdict() for choice in choices], indent=1)
    (folder / RECOGNISED).write_text(found + "\n", encoding="utf-8")
    columns = (*IMAGE_TYPES, *next(iter(metadata.values()), ()))
    with ExitStack() as stack:
        tables = {name: _table(stack, folder / name, names) for name, names in TABLES.items()}
        kept = _kept(zip(dataset.records, results, strict=True), root, tables, written)
        absent: set[str] = set(SPLITS)
        for split, images in groupby(kept, key=lambda pair: pair[0].split):
            absent.remove(split)
            _write_split(folder, split, dataset.category, images, columns, metadata, written)
        for split in absent:
            _write_split(folder, split, dataset.category, (), columns, metadata, written)
    return written


def _kept(
    pairs: Iterable[tuple[ImageRecord, PreparedImage | str]],
    root: Path,
    tables: dict[str, csv.DictWriter],
    written: Written,
) -> Iterator[tuple[ImageRecord, PreparedImage]]:
    """Yield the images that are not rejected; on the way note those that are, and warnings."""
    for record, result in pairs:
        file = record.path.relative_to(root).as_posix()
        if isinstance(result, str):
            tables["rejected.csv"].writerow({"file": file, "reason": result})
            written.rejected.append(f"{file}: {result}")
            continue
        for kind, detail in result.warnings:
            warning = {"name": record.name, "file": file, "kind": kind, "detail": detail}
            tables["warnings.csv"].writerow(warning)
            written.warnings[kind] += 1
        yield record, result


def _write_split(
    folder: Path,
    split: str,
    category: dict,
    images: Iterable[tuple[ImageRecord, PreparedImage]],
    columns: tuple[str, ...],
    metadata: dict[str, dict[str, float]],
    written: Written,
) -> None:
    """Write the files of one split."""
    of_split, labels, places = folder / split, folder / "labels" / split, folder / "geotransforms"
    of_split.mkdir()
    places.mkdir(exist_ok=True)
    with ExitStack() as stack:
        waiting: dict[str, IO[str]] = {
            part: stack.enter_context(TemporaryFile("w+", encoding="utf-8", dir=folder))
            for part in ("images", "annotations")
        }
        files = _SplitFiles(
            _table(stack, of_split / "images.csv", columns),
            _table(stack, places / f"{split}.csv", ("name", *PLACE_COLUMNS)),
            waiting,
            stack.enter_context(TemporaryFile(dir=folder)),
            {},
        )
        write_archive(of_split / "images.zip", _images(images, metadata, files, written))
        if split in LABELLED:
            files.maps.seek(0)
            maps = ((name, files.maps.read(size)) for name, size in files.sizes.items())
            write_archive(labels / "instances.zip", maps)
            _write_truth(labels / "truth.json", category, *files.truth.values())


def _images(
    images: Iterable[tuple[ImageRecord, PreparedImage]],
    metadata: dict[str, dict[str, float]],
    files: _SplitFiles,
    written: Written,
) -> Iterator[tuple[str, bytes]]:
    """Yield the images; on the way write what else is known of each, and the sizes of maps."""
    for record, result in images:
        row = {**record._asdict(), **result._asdict(), **metadata[record.name]}
        files.images.writerow(row)
        if result.place:
            place = dict(zip(PLACE_COLUMNS, result.place, strict=True))
            files.places.writerow({"name": record.name, **place})
            written.placed[record.split] += 1
        written.images[record.split] += 1
        if record.split in LABELLED:
            written.objects[record.split] += result.objects or 0
            written.losses.update({"ignored": result.ignored, **result.losses})
            files.sizes[record.name] = files.maps.write(result.instances)
            image = {"id": record.image_id, **{key: row[key] for key in TRUTH_KEYS}}
            files.truth["images"].write(json.dumps(image) + "\n")
            lines = (json.dumps(annotation) + "\n" for annotation in result.truth)
            files.truth["annotations"].writelines(lines)
        yield record.name, result.content


def _table(stack: ExitStack, path: Path, columns: Iterable[str]) -> csv.DictWriter:
    """Open a table to be written row by row; cells of other columns are left out."""
    file = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
    table = csv.DictWriter(file, list(columns), extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    return table


def _write_truth(path: Path, category: dict, images: IO[str], annotations: IO[str]) -> None:
    """Write a COCO ground truth file of the JSON of images and annotations, one a line."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'{{"categories": {json.dumps([category])},\n"images": [')
        images.seek(0)
        for number, line in enumerate(images):
            file.write((", " if number else "") + line.rstrip("\n"))
        file.write('],\n"annotations": [')
        annotations.seek(0)
        for number, line in enumerate(annotations):
            file.write((",\n" if number else "\n") + line.rstrip("\n"))
        file.write("\n]}\n")
