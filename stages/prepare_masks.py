"""Check a dataset and paint its annotations into label maps, the training target.

    python -m stages.prepare_masks data/sample data/prepared --params params.yaml

Reads  train/, val/, test_images/  images and COCO annotations, laid out as docs/data.md says
       metadata.csv                numbers per image, where dataset.metadata names columns of it
Writes images.zip     <name>.png or .jpg  the image files as they are
       instances.zip  <name>.png          uint16 (H, W), 0 = background, 65535 = ignore
       images.csv     one row per image: size, objects, ignored regions, coverage, group,
                      and its numbers in the columns of dataset.metadata
       truth_train.json, truth_val.json   COCO, every annotated object whole, as compressed RLE
       geotransforms.csv                  where images lie on the map, of those that say so
       rejected.csv   file,reason
"""

import argparse
import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal, TextIO

from joblib import Parallel, delayed
from pydantic import Field, field_validator
from tqdm import tqdm

from src.archive import write_archive
from src.coco_dataset import CocoDataset, prepare_image, read_dataset, write_truth
from src.errors import InputError
from src.geotransforms import COLUMNS as PLACE
from src.geotransforms import read_geotransform
from src.metadata import read_metadata
from src.new_folder import new_folder
from src.params import Params, load_params
from src.photos import as_png_or_jpeg

COLUMNS = ["name", "split", "image_id", "file_name", "height", "width"]
COLUMNS += ["objects", "ignored", "coverage", "group"]
TRUTH = {"train": "truth_train.json", "val": "truth_val.json"}
OUTPUTS = {"images.zip", "instances.zip", "images.csv", "geotransforms.csv", "rejected.csv"}
OUTPUTS |= set(TRUTH.values())


class DatasetParams(Params):
    root: str  # this stage gets it as an argument, from the same key
    layout: Literal["coco"]
    category_id: int = Field(ge=0)
    metadata: list[str]  # columns of metadata.csv

    @field_validator("metadata")
    @classmethod
    def _name_new_columns_once(cls, metadata: list[str]) -> list[str]:
        taken = [column for column in metadata if column in COLUMNS]
        if taken:
            raise ValueError(f"images.csv has a column '{taken[0]}' of its own, rename yours")
        if len(set(metadata)) < len(metadata):
            raise ValueError("name each column once")
        return metadata


class PrepareMasksParams(Params):
    edge_objects: Literal["ignore", "drop", "keep"]
    edge_width: int = Field(ge=0)  # px
    erode: int = Field(ge=0)  # px
    dilate: int = Field(ge=0)  # px
    small_area: int = Field(ge=0)  # px
    max_rejected: int = Field(ge=0)  # images


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    dataset_params = load_params(args.params, "dataset", DatasetParams)
    params = load_params(args.params, "prepare_masks", PrepareMasksParams)

    _check_output(args.prepared)
    dataset = read_dataset(args.root, dataset_params.category_id)
    names = [record.name for record in dataset.records]
    metadata = read_metadata(args.root / "metadata.csv", dataset_params.metadata, names)
    with new_folder(args.prepared) as folder:
        counts, rows = _write_all(dataset, args.root, folder, params)
        _write_table(folder / "geotransforms.csv", ["name", *PLACE], _places(rows))
        rows = [row | metadata[row["name"]] for row in rows]
        _write_table(folder / "images.csv", COLUMNS + dataset_params.metadata, rows)
    print(f"{args.prepared}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))


def _check_output(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but this stage's outputs."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, not a folder to write to; give another name")
    foreign = {entry.name for entry in folder.iterdir()} - OUTPUTS if folder.exists() else set()
    if foreign:
        raise InputError(
            f"{folder}: would be replaced, but holds '{min(foreign)}', which is none of this "
            "stage's outputs; move that away or give another folder"
        )


def _write_all(
    dataset: CocoDataset, root: Path, folder: Path, params: PrepareMasksParams
) -> tuple[dict, list[dict]]:
    """Write all but images.csv into the folder; return the counts to tell and that table's rows."""
    painting = params.model_dump(exclude={"max_rejected"})
    results = Parallel(n_jobs=-1, return_as="generator")(
        delayed(prepare_image)(record, dataset.category["id"], **painting)
        for record in dataset.records
    )
    results = tqdm(results, total=len(dataset.records), desc="label maps", unit="image")
    rows, rejected, losses = [], [], Counter()
    with ExitStack() as stack:
        truth = {s: stack.enter_context(TemporaryFile("w+", dir=folder)) for s in TRUTH}
        results = zip(dataset.records, results, strict=True)
        maps = _label_maps(results, root, truth, rows, rejected, losses)
        write_archive(folder / "instances.zip", maps)
        _check_enough(rows, rejected, root, params.max_rejected)
        for split, annotations in truth.items():
            annotations.seek(0)
            of_split = [row for row in rows if row["split"] == split]
            write_truth(folder / TRUTH[split], of_split, dataset.category, annotations)
    _write_table(folder / "rejected.csv", ["file", "reason"], rejected)
    files = ((row["name"], as_png_or_jpeg(row["path"].read_bytes())) for row in rows)
    write_archive(folder / "images.zip", tqdm(files, total=len(rows), desc="images", unit="image"))
    counts = {
        **Counter(f"{row['split']} images" for row in rows),
        "objects": sum(row["objects"] or 0 for row in rows),
        "ignored": sum(row["ignored"] or 0 for row in rows),
        **losses,
        "images rejected": len(rejected),
        "files not listed": dataset.unlisted,
    }
    return counts, rows


def _label_maps(
    results: Iterable,
    root: Path,
    truth: dict[str, TextIO],
    rows: list[dict],
    rejected: list[dict],
    losses: Counter,
) -> Iterator[tuple[str, bytes]]:
    """Yield the label maps, and put by on the way what else is known of each image."""
    for record, prepared in results:
        if isinstance(prepared, str):
            file = record.path.relative_to(root).as_posix()
            rejected.append({"file": file, "reason": prepared})
            continue
        known = {**record._asdict(), **prepared._asdict()}
        rows.append({key: known[key] for key in (*COLUMNS, "path")})
        if record.split in truth:
            truth[record.split].writelines(json.dumps(entry) + "\n" for entry in prepared.truth)
            losses.update(prepared.losses)
            yield record.name, prepared.instances


def _check_enough(rows: list[dict], rejected: list[dict], root: Path, max_rejected: int) -> None:
    if len(rejected) > max_rejected:
        first = rejected[0]
        raise InputError(
            f"{root}: {len(rejected)} images rejected, more than {max_rejected}, the first "
            f"{first['file']}: {first['reason']}; mend them or raise prepare_masks.max_rejected"
        )
    if not any(row["objects"] for row in rows if row["split"] == "train"):
        raise InputError(
            f"{root}/train: no object is left to learn from ({len(rejected)} images rejected); "
            "check the annotations, dataset.category_id and prepare_masks.edge_objects"
        )


def _places(rows: list[dict]) -> list[dict]:
    """Return name and geotransform of the images that have one."""
    found = [(row["name"], read_geotransform(row["path"])) for row in rows]
    return [{"name": name} | dict(zip(PLACE, place, strict=True)) for name, place in found if place]


def _write_table(path: Path, columns: list[str], rows: list[dict]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
