"""Turn sure predictions on test images into labels that the student of one fold learns from.

    python -m stages.pseudo_label data/prepared data/plan data/groups data/folds.csv \
        data/probabilities data/pseudo/fold0 --fold 0

Only networks that left fold k out label for the student of fold k, which their oof.zip proves: no
label of that fold reaches the student through its teachers, so what it predicts there is out of
fold. Images that share a group with one of val or of the fold are not taken. The surest images are
often those without objects; min_expected_iou above 0 leaves them out. An IoU predicted by rescore
would be no criterion: rescore follows ensemble, which reads what the students predict.

Reads  prepared/{train,val,test}/images.csv, groups/groups.csv, folds.csv
       plan/weight_maps.json        the values of weight_maps that are auto
       teachers/<member>/fold<k>/   maps of oof and test of all members, with their view spreads,
                                    as predict writes them; maps are merged by their mean
Writes images.csv                   name,certain,spread,expected_iou,taken of every test image; see
                                    src/pseudo_labelling/sureness.py
       and of the images taken
       instances.zip                uint16 (H, W): 0 background, 1..N objects, 65535 uncertain
       weight_maps.zip              uint8 (H, W, 3) as compute_weight_maps writes them
       soft.zip                     uint8 (H, W): probability * 255; with targets soft alone
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_keys, load_params
from src.base.running import run_stage
from src.folds.fold_images import fold_images
from src.formats.archive import ImageArchive, decode_image, write_archive
from src.formats.prepared import SPLITS
from src.formats.tables import read_table, write_table
from src.label_maps.distances import WeightMapParams, weight_planes
from src.maps.map_folder import MapFolder, open_maps, read_map_folder
from src.maps.probability_maps import merge_maps
from src.parallel.memory import largest
from src.parallel.workers import WorkersParams, in_order
from src.pseudo_labelling.choice import choose_images, unlabelled_images
from src.pseudo_labelling.params import PseudoLabelParams
from src.pseudo_labelling.sureness import Sureness, pseudo_instances, sureness

BYTES, BYTES_OF_MAP = 32, 16  # of memory that a pixel takes at most, and for each map of it


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("plan", type=Path)
    parser.add_argument("groups", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("teachers", type=Path, help="folder of the members' maps")
    parser.add_argument("pseudo", type=Path, help="folder to write")
    parser.add_argument("--fold", type=int, required=True, help="the fold the student leaves out")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "pseudo_label", PseudoLabelParams)
    weight_maps = load_params(args.params, "weight_maps", WeightMapParams, plan=args.plan)
    max_distance = weight_maps.max_distance
    scheduler = load_params(args.params, "workers", WorkersParams).scheduler
    images = fold_images(args.prepared, args.folds, args.fold, SPLITS)
    training_images = int(images["in_train"].sum())
    table = unlabelled_images(images, _groups(args.groups / "groups.csv"))
    left_out = set(images["name"][images["left_out"]])
    maps, view_spreads = _teachers(args, load_keys(args.params, "members"), left_out)

    limits = {"low": params.low, "high": params.high}
    sizes = list(table[["height", "width"]].itertuples(index=False, name=None))
    archives = maps + view_spreads
    memory = (BYTES + BYTES_OF_MAP * len(archives)) * largest(sizes)
    place = {"scheduler": scheduler, "memory": memory}
    fixed = limits | {"networks": len(maps)} | place
    found = _each(_judge, table["name"], archives, sizes, desc="judge", **fixed)
    table = table.join(pd.DataFrame(found, index=table.index))
    table["taken"] = choose_images(table, params, training_images=training_images)
    _refuse_few(args.params, table, params.min_share, training_images)
    taken = table["name"][table["taken"]].tolist()
    with new_folder(args.pseudo) as folder:
        write_table(folder / "images.csv", _rounded(table))

        def write(file, function, archives, **fixed):
            arrays = _each(function, taken, archives, desc=file, **fixed, **place)
            write_archive(folder / file, zip(taken, arrays, strict=True))

        write("instances.zip", _instances, maps, **limits)
        instances = [ImageArchive(folder / "instances.zip")]
        write("weight_maps.zip", _weight_map, instances, max_distance=max_distance)
        if params.targets == "soft":
            write("soft.zip", _merged, maps)
    print(f"{len(taken)} of {len(table)} test images taken -> {args.pseudo}")


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Return what is told of every image, measures to a millionth."""
    measures = {name: table[name].map("{:.6f}".format) for name in Sureness._fields}
    return table[["name"]].assign(**measures, taken=table["taken"])


def _groups(path: Path) -> pd.Series:
    """Return the group of every image, by name."""
    table = read_table(path, "find_duplicates", ("name", "group"))
    return table.set_index("name")["group"]


def _teachers(args, members: list[str], left_out: set[str]) -> tuple[list, list]:
    """Return archives of the members' maps, and of their view spreads if all have them."""
    folders = []
    for member in members:
        maps = read_map_folder(args.teachers / member / f"fold{args.fold}", "predict")
        _refuse_learnt(maps, left_out, args.fold)
        folders.append(maps)
    spread = all("view" in maps.spreads for maps in folders)
    view_spreads = [open_maps(maps, "test", "view_spread") for maps in folders if spread]
    return [open_maps(maps, "test", "mask") for maps in folders], view_spreads


def _refuse_learnt(maps: MapFolder, left_out: set[str], fold: int) -> None:
    """Answer a network that may have learnt from the fold with one sentence."""
    archive = open_maps(maps, "oof", "mask")
    learnt = sorted(left_out - set(archive.names))
    if learnt:
        raise InputError(
            f"{archive.path}: lacks '{learnt[0]}' of fold {fold}, so this network "
            "may have learnt from it; take teachers that were trained with these folds"
        )


def _each(function: Callable, names, archives: list, *more, desc: str, **fixed) -> Iterable:
    """Yield what a function returns for each name, its bytes in all archives and what is more."""
    arguments = (
        (name, [one.read_bytes(name) for one in archives], *others)
        for name, *others in zip(names, *more, strict=True)
    )
    results = in_order(function, arguments, **fixed)
    return tqdm(results, desc, total=len(names), unit="image")


def _judge(
    name: str, encoded: list[bytes], size: tuple, *, networks: int, low: float, high: float
) -> Sureness:
    arrays = _decoded(name, encoded)
    for shape in (one.shape for one in arrays):
        if shape != size:
            raise InputError(
                f"{name}: a map is {shape[0]} x {shape[1]} px and the image {size[0]} x {size[1]}; "
                "predict again"
            )
    return sureness(arrays[:networks], arrays[networks:], low=low, high=high)


def _instances(name: str, encoded: list[bytes], *, low: float, high: float) -> np.ndarray:
    try:
        return pseudo_instances(_merged(name, encoded), low=low, high=high)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _weight_map(name: str, encoded: list[bytes], *, max_distance: int) -> np.ndarray:
    return weight_planes(_decoded(name, encoded)[0], max_distance)


def _merged(name: str, encoded: list[bytes]) -> np.ndarray:
    return merge_maps(_decoded(name, encoded), "mean")


def _decoded(name: str, encoded: list[bytes]) -> list[np.ndarray]:
    return [decode_image(one, cv2.IMREAD_UNCHANGED, name) for one in encoded]


def _refuse_few(path: Path, table: pd.DataFrame, min_share: float, training_images: int) -> None:
    """Answer too few images taken with one sentence."""
    taken, allowed = int(table["taken"].sum()), int(table["allowed"].sum())
    if taken and taken / training_images >= min_share:
        return
    least = f"min_share {min_share} of {training_images} training images" if taken else "one"
    raise InputError(
        f"{path}: pseudo_label takes {taken} of {len(table)} test images ({allowed} share no group "
        f"with val or the fold), fewer than {least}; lower min_certain, min_expected_iou or "
        "min_share, or raise max_spread"
    )


if __name__ == "__main__":
    run_stage(main)
