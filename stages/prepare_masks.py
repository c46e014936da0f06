"""Check a dataset and paint its annotations into label maps, the training target.

    python -m stages.prepare_masks data/sample data/prepared --params params.yaml

Reads  the dataset, in one of the formats of docs/data.md: images, and what tells their objects
Writes a folder for each split, train, val and test, with no image where the dataset lacks it:
         images.zip         <name>.png or .jpg  8 bits, three bands; where that suffices, the files
                                                as they are
         images.csv         one row per image: size, objects, ignored regions, coverage, group,
                            and its numbers in the columns of dataset.metadata
         geotransforms.csv  where images lie on the map, of those that say so
       and, for train and val,
         instances.zip      <name>.png          uint16 (H, W), 0 = background, 65535 = ignore
         truth.json         COCO, every annotated object whole, as compressed RLE
       warnings.csv         name,file,kind,detail  what is odd about an image or its objects
       rejected.csv         file,reason
       recognised.json      [{key, value, reason}] what was found where params say auto
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_params
from src.base.running import run_stage
from src.parallel.memory import largest
from src.parallel.workers import WorkersParams, in_order
from src.preparing.levels import choose_levels
from src.preparing.params import PrepareMasksParams
from src.preparing.prepared_folder import FILES, Written, write_prepared
from src.preparing.prepared_image import CROWDS, LOSSES, prepare_image
from src.reading.datasets import find_records
from src.reading.metadata import read_metadata
from src.reading.params import DatasetParams, ImagesParams
from src.reading.recognition import recognise, with_category
from src.reading.records import Dataset

BYTES, BYTES_OF_BAND = 16, 8  # of memory that a pixel takes at most, and for each band named


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    source = load_params(args.params, "dataset", DatasetParams)
    images = load_params(args.params, "images", ImagesParams)
    params = load_params(args.params, "prepare_masks", PrepareMasksParams)
    scheduler = load_params(args.params, "workers", WorkersParams).scheduler

    _check_output(args.prepared)
    source, choices = recognise(args.root, source)
    dataset = find_records(args.root, source)
    source, category = with_category(source, dataset)
    images, levels = choose_levels(dataset.records, images)
    choices += category + levels
    print("".join(f"{choice.sentence}\n" for choice in choices), end="", flush=True)
    names = [record.name for record in dataset.records]
    metadata = read_metadata(args.root / source.metadata_file, source.metadata, names)
    results = in_order(
        prepare_image,
        ((record,) for record in dataset.records),
        scheduler=scheduler,
        memory=(BYTES + BYTES_OF_BAND * len(images.bands))
        * largest(record.size for record in dataset.records if record.size),
        dataset=source,
        images=images,
        params=params,
    )
    results = tqdm(results, total=len(dataset.records), desc="prepare", unit="image")
    with new_folder(args.prepared) as folder:
        written = write_prepared(folder, args.root, dataset, results, metadata, choices)
        _check_enough(written, args.root, params.max_rejected)
    print(f"{args.prepared}: {_summary(written, dataset)}")


def _check_output(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but this stage's outputs."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, not a folder to write to; give another name")
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    foreign = held - FILES
    if foreign:
        raise InputError(
            f"{folder}: would be replaced, but holds '{min(foreign)}', which is none of this "
            "stage's outputs; move that away or give another folder"
        )


def _check_enough(written: Written, root: Path, max_rejected: int) -> None:
    rejected = written.rejected
    if len(rejected) > max_rejected:
        raise InputError(
            f"{root}: {len(rejected)} images rejected, more than {max_rejected}, the first "
            f"{rejected[0]}; mend them or raise prepare_masks.max_rejected"
        )
    if not written.objects["train"]:
        crowds = written.losses[CROWDS]
        reason = f"; {crowds} annotations have iscrowd 1, set dataset.crowd to objects to take them"
        raise InputError(
            f"{root}/train: no object is left to learn from ({len(rejected)} images rejected); "
            "check the annotations, dataset.category_id and prepare_masks.edge_objects"
            + reason
            * bool(crowds)
        )


def _summary(written: Written, dataset: Dataset) -> str:
    counts = {f"{split} images": count for split, count in written.images.items()}
    counts["objects"] = written.objects.total()
    counts |= {what: written.losses[what] for what in ("ignored", *LOSSES)}
    counts |= {"images rejected": len(written.rejected), "files not listed": dataset.unlisted}
    counts |= {"annotations of other categories": dataset.of_others} if dataset.of_others else {}
    counts |= dict(dataset.further)
    if dataset.unmarked:
        counts["images without masks, taken as empty"] = dataset.unmarked
    nowhere = written.images.total() - written.placed.total()
    if written.placed and nowhere:
        counts["images without a place on the map, which others have"] = nowhere
    text = ", ".join(f"{count} {what}" for what, count in counts.items())
    odd = ", ".join(f"{kind} {count}" for kind, count in sorted(written.warnings.items()))
    return text + f"; images with warnings: {odd}" * bool(odd)


if __name__ == "__main__":
    run_stage(main)
