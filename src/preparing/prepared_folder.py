"""The files that preparing a dataset gives, written image by image."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

from src.formats.archive import write_archive
from src.image_files.geotransforms import COLUMNS as PLACE_COLUMNS
from src.preparing.prepared_image import PreparedImage
from src.reading.params import IMAGE_COLUMNS
from src.reading.records import Dataset, ImageRecord

TABLES = {
    "images.csv": IMAGE_COLUMNS,
    "geotransforms.csv": ("name", *PLACE_COLUMNS),
    "warnings.csv": ("name", "file", "kind", "detail"),
    "rejected.csv": ("file", "reason"),
}
TRUTH = {"train": "truth_train.json", "val": "truth_val.json"}
FILES = {"images.zip", "instances.zip", *TABLES, *TRUTH.values()}
TRUTH_KEYS = ("name", "file_name", "height", "width")  # of an image, beside its id


class Written(NamedTuple):
    """What `write_prepared` has written."""

    images: Counter  # by split
    objects: Counter  # labels in the label maps, by split
    losses: Counter  # ignored regions, and objects for each of LOSSES
    warnings: Counter  # images for each of KINDS that there is
    rejected: list[str]  # "file: reason"


class _Files(NamedTuple):
    """Open files: tables, and those in which something waits for its turn, without a name."""

    tables: dict[str, csv.DictWriter]
    truth: dict[tuple[str, str], IO[str]]  # JSON lines by part (images, annotations) and split
    maps: IO[bytes]


def write_prepared(
    folder: Path,
    root: Path,
    dataset: Dataset,
    results: Iterable[PreparedImage | str],
    metadata: dict[str, dict[str, float]],
) -> Written:
    """Write all FILES, holding one image at a time.

    Label maps and truth wait in nameless files in the folder until all images are written.

    Parameters
    ----------
    folder : Path
        There and empty.
    root : Path
        Of the dataset; tables name files relative to it.
    dataset : Dataset
        With the records that are prepared.
    results : iterable of PreparedImage or str
        What `prepare_image` makes of each record, in their order.
    metadata : dict of str to dict
        By name of the image its further columns of images.csv, the same for all.

    Returns
    -------
    written : Written
        Where every image is rejected the archives are empty.
    """
    written, sizes = Written(Counter(), Counter(), Counter(), Counter(), []), {}
    with _opened(folder, tuple(next(iter(metadata.values()), ()))) as files:
        images = _images(dataset.records, results, root, metadata, files, written, sizes)
        write_archive(folder / "images.zip", images)
        files.maps.seek(0)
        maps = ((name, files.maps.read(size)) for name, size in sizes.items())
        write_archive(folder / "instances.zip", maps)
        for split, name in TRUTH.items():
            parts = (files.truth[part, split] for part in ("images", "annotations"))
            _write_truth(folder / name, dataset.category, *parts)
    return written


@contextmanager
def _opened(folder: Path, further: tuple[str, ...]) -> Iterator[_Files]:
    """Open all but the archives; `further` are the columns of metadata."""
    tables, waiting = {}, {}
    with ExitStack() as stack:
        for name, columns in TABLES.items():
            file = stack.enter_context(open(folder / name, "w", encoding="utf-8", newline=""))
            columns += further if name == "images.csv" else ()
            table = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
            table.writeheader()
            tables[name] = table
        for key in [(part, split) for part in ("images", "annotations") for split in TRUTH]:
            file = stack.enter_context(TemporaryFile("w+", encoding="utf-8", dir=folder))
            waiting[key] = file
        yield _Files(tables, waiting, stack.enter_context(TemporaryFile(dir=folder)))


def _images(
    records: list[ImageRecord],
    results: Iterable[PreparedImage | str],
    root: Path,
    metadata: dict,
    files: _Files,
    written: Written,
    sizes: dict[str, int],
) -> Iterator[tuple[str, bytes]]:
    """Yield the images; on the way write what else is known of each, and the sizes of maps."""
    for record, result in zip(records, results, strict=True):
        file = record.path.relative_to(root).as_posix()
        if isinstance(result, str):
            files.tables["rejected.csv"].writerow({"file": file, "reason": result})
            written.rejected.append(f"{file}: {result}")
            continue
        row = {**record._asdict(), **result._asdict(), **metadata[record.name]}
        files.tables["images.csv"].writerow(row)
        if result.place:
            place = dict(zip(PLACE_COLUMNS, result.place, strict=True))
            files.tables["geotransforms.csv"].writerow({"name": record.name, **place})
        for kind, detail in result.warnings:
            warning = {"name": record.name, "file": file, "kind": kind, "detail": detail}
            files.tables["warnings.csv"].writerow(warning)
            written.warnings[kind] += 1
        written.images[record.split] += 1
        if record.split in TRUTH:
            written.objects[record.split] += result.objects or 0
            written.losses.update({"ignored": result.ignored, **result.losses})
            sizes[record.name] = files.maps.write(result.instances)
            image = {"id": record.image_id, **{key: row[key] for key in TRUTH_KEYS}}
            files.truth["images", record.split].write(json.dumps(image) + "\n")
            lines = (json.dumps(annotation) + "\n" for annotation in result.truth)
            files.truth["annotations", record.split].writelines(lines)
        yield record.name, result.content


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
