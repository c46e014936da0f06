"""Merge the probability maps of all members, soups, students and folds into one map per image.

    python -m stages.ensemble data/folds.csv data/probabilities data/student_probabilities \
        data/ensemble

A training image has one map per member, soup or student from each trained fold that left it out:
one, or one for each division into folds; an image of val or test has one per fold of each, or with
`ensemble.networks: as_oof` of one fold of each division, so that its maps are like those. A head
is merged over the networks that have it. The student of a member M goes by the name student_M.

How far folds disagree is not written: a training image has few of them or one, so a model fitted on
training images could not use it. The two spreads mean the same in every split.

Reads  folds.csv, probabilities/<member or soup>/fold<k>/ and, if there are students,
       student_probabilities/<member>/fold<k>/  as predict writes them
Writes maps of oof, val and test as in src/maps/map_folder.py: the mask, uint8 (H, W), and
       heads that a network has       merged over the networks that have them
       <split>_view_spread.zip        mean of those of the networks, where every network has one
       <split>_member_spread.zip      uint8 (H, W): standard deviation * 510 over members, soups and
                                      students, each the plain mean of its folds, where there are
                                      several
       maps.json                      {"heads": [...], "spreads": [...]}: which there are
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from src.base.files import new_folder
from src.base.params import load_keys, load_params
from src.base.running import run_stage
from src.folds.fold_table import SplitFoldsParams, read_folds
from src.formats.archive import ImageArchive
from src.maps.map_folder import (
    HEADS,
    SPLITS,
    MapFolder,
    open_maps,
    read_empty,
    read_map_folder,
    write_empty,
    write_list,
    write_maps,
)
from src.maps.merge_rules import merge_of
from src.maps.probability_maps import merge_maps, merge_probabilities, spread_of_maps
from src.merging.params import EnsembleParams, StudentParams
from src.merging.soups import SoupsParams
from src.merging.sources import Source, folds_of_new_images, merged_sources


class Network(NamedTuple):
    """What one network predicted."""

    name: str  # of the member, soup or student
    fold: int  # that it left out
    weight: float
    maps: MapFolder


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folds", type=Path)
    parser.add_argument("probabilities", type=Path)
    parser.add_argument("student_probabilities", type=Path, help="read if there are students")
    parser.add_argument("ensemble", type=Path, help="folder to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "ensemble", EnsembleParams)
    split_folds = load_params(args.params, "split_folds", SplitFoldsParams)
    folds = split_folds.folds
    sources = merged_sources(
        args.params,
        members=load_keys(args.params, "members"),
        soups=load_params(args.params, "soups", SoupsParams),
        student=load_params(args.params, "student", StudentParams),
        ensemble=params,
        folds=folds,
    )
    folds_of = _folds_of(args.folds, folds)
    networks = [_network(args, source, fold) for source in sources for fold in folds]
    by_kind = _by_kind(networks)
    of_new = set(folds_of_new_images(split_folds, params))
    several = len(sources) > 1
    with new_folder(args.ensemble) as folder:
        for split in SPLITS:
            left_out = folds_of if split == "oof" else None
            for kind, networks_of_kind in by_kind.items():
                of_kind = _counting(networks_of_kind, split, of_new)
                merge = merge_of(kind, params.merge)
                if kind == "empty":
                    write_empty(folder, split, *_merged_numbers(of_kind, split, left_out, merge))
                else:
                    maps = _merged_maps(of_kind, split, kind, left_out, merge)
                    write_maps(folder, split, kind, maps)
            if several:
                maps = _member_spreads(_counting(networks, split, of_new), split, left_out)
                write_maps(folder, split, "member_spread", maps)
        heads = [head for head in HEADS if head in by_kind]
        write_list(folder, heads, ["view"] * ("view_spread" in by_kind) + ["member"] * several)
    names = ", ".join(source.name for source in sources)
    print(f"{names} x {len(folds)} folds -> {args.ensemble}")


def _network(args, source: Source, fold: int) -> Network:
    root = args.student_probabilities if source.is_student else args.probabilities
    maps = read_map_folder(root / source.folder / f"fold{fold}", "predict")
    return Network(source.name, fold, source.weight, maps)


def _counting(networks: list[Network], split: str, of_new: set[int]) -> list[Network]:
    """Return the networks that may count for an image of a split."""
    return [one for one in networks if split == "oof" or one.fold in of_new]


def _by_kind(networks: list[Network]) -> dict[str, list[Network]]:
    """Return the networks that have each kind of map, of view spreads only if all have them."""
    by_kind = {head: [one for one in networks if head in one.maps.heads] for head in HEADS}
    if all("view" in network.maps.spreads for network in networks):
        by_kind["view_spread"] = networks
    return {kind: of_kind for kind, of_kind in by_kind.items() if of_kind}


def _folds_of(path: Path, folds: list[int]) -> dict[str, set[int]]:
    """Return the trained folds that each image is in, by name in order."""
    table = read_folds(path)
    table = table[table["fold"].isin(folds)]
    found = table.groupby("name", sort=True)["fold"].agg(set)
    return {str(name): of_name for name, of_name in found.items()}


def _merged_maps(
    networks: list[Network], split: str, kind: str, folds_of: dict | None, merge: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and merged map; `folds_of` gives each image's folds if only those count."""
    archives = [open_maps(network.maps, split, kind) for network in networks]
    for name in tqdm(_names(archives[0], folds_of), f"ensemble {split} {kind}", unit="image"):
        used = _used(networks, name, folds_of)
        maps = [archives[index].read(name) for index in used]
        yield name, merge_maps(maps, merge, [networks[index].weight for index in used])


def _member_spreads(
    networks: list[Network], split: str, folds_of: dict | None
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and how far members, soups and students disagree, each the mean of its folds."""
    archives = [open_maps(network.maps, split, "mask") for network in networks]
    for name in tqdm(_names(archives[0], folds_of), f"spread {split}", unit="image"):
        groups = {}
        for index in _used(networks, name, folds_of):
            groups.setdefault(networks[index].name, []).append(archives[index].read(name))
        yield name, spread_of_maps(list(groups.values()))


def _merged_numbers(
    networks: list[Network], split: str, folds_of: dict | None, merge: str
) -> tuple[list[str], list[float]]:
    """Return the names of all images and their merged probabilities."""
    names = _names(open_maps(networks[0].maps, split, "mask"), folds_of)
    used = {name: _used(networks, name, folds_of) for name in names}
    numbers = {name: [] for name in names}
    for index, network in enumerate(networks):
        asked = [name for name in names if index in used[name]]
        for name, number in zip(asked, read_empty(network.maps, split, asked), strict=True):
            numbers[name].append(number)
    merged = [
        float(
            merge_probabilities(
                np.array(numbers[name]), merge, [networks[i].weight for i in used[name]]
            )
        )
        for name in names
    ]
    return names, merged


def _names(archive: ImageArchive, folds_of: dict | None) -> list[str]:
    return archive.names if folds_of is None else list(folds_of)


def _used(networks: list[Network], name: str, folds_of: dict | None) -> list[int]:
    """Return the indices of the networks that count for an image."""
    every = enumerate(networks)
    return [i for i, network in every if folds_of is None or network.fold in folds_of[name]]


if __name__ == "__main__":
    run_stage(main)
