"""Merge the probability maps of all members, soups, students and folds into one map per image.

    python -m stages.ensemble data/folds.csv data/probabilities data/student_probabilities \
        data/ensemble

A training image has one map per member, soup or student from each trained fold that left it out:
one, or one for each division into folds; an image of val or test has one per fold of each. A head
is merged over the networks that have it. The student of a member M goes by the name student_M.

How far folds disagree is not written: a training image has few of them or one, so a model fitted on
training images could not use it. The two spreads mean the same in every split.

Reads  folds.csv, probabilities/<member or soup>/fold<k>/ and, if there are students,
       student_probabilities/<member>/fold<k>/  as predict writes them
Writes oof.zip, val.zip, test.zip   uint8 (H, W), and where a network has these heads
       <split>_<head>.zip, <split>_empty.csv  as predict does
       <split>_view_spread.zip      mean of those of the networks, where every network has one
       <split>_member_spread.zip    uint8 (H, W): standard deviation * 510 over members, soups and
                                    students, each the plain mean of its folds, where there are
                                    several
       maps.json                    {"heads": [...], "spreads": [...]}: which there are
"""

import argparse
import json
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder, read_json
from src.base.params import Params, load_keys, load_params
from src.folds.fold_table import SplitFoldsParams, read_folds
from src.formats.archive import ImageArchive, write_archive
from src.formats.probability_maps import Merge, merge_maps, merge_probabilities, spread_of_maps

HEADS = ("mask", "border", "contact", "boundary_distance", "embedding", "empty")
LINEAR = ("boundary_distance", "embedding", "view_spread")  # averaged whatever merge is


class EnsembleParams(Params):
    merge: Merge
    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]


class StudentParams(Params):
    folds: list[int]
    teachers: str
    weight: float = Field(ge=0, allow_inf_nan=False)
    predictions: Literal["both", "teacher", "student"]


class SoupsParams(Params):
    model_config = ConfigDict(extra="allow")  # names are free
    __pydantic_extra__: dict[Annotated[str, Field(pattern=r"^\w+$")], list[str]]


class Network(NamedTuple):
    """What one network predicted."""

    name: str  # of the member, soup or student
    folder: Path
    fold: int  # that it left out
    weight: float
    heads: list[str]
    spreads: list[str]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folds", type=Path)
    parser.add_argument("probabilities", type=Path)
    parser.add_argument("student_probabilities", type=Path, help="read if there are students")
    parser.add_argument("ensemble", type=Path, help="folder to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "ensemble", EnsembleParams)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds
    folders = _folders(args, folds)
    weights = _weights(args.params, folders, params.weights)
    folds_of = _folds_of(args.folds, folds)
    networks = [
        _network(name, folders[name] / f"fold{fold}", fold, weight)
        for name, weight in weights.items()
        for fold in folds
    ]
    heads = [head for head in HEADS if any(head in network.heads for network in networks)]
    spreads = ["view"] if all("view" in network.spreads for network in networks) else []
    spreads += ["member"] if len(weights) > 1 else []
    sources = {head: [network for network in networks if head in network.heads] for head in heads}
    sources |= {"view_spread": networks} if "view" in spreads else {}
    with new_folder(args.ensemble) as folder:
        for split in ("oof", "val", "test"):
            left_out = folds_of if split == "oof" else None
            for kind, of_kind in sources.items():
                merge = "mean" if kind in LINEAR else params.merge
                if kind == "empty":
                    table = _merged_numbers(of_kind, f"{split}_empty.csv", left_out, merge)
                    table.to_csv(folder / f"{split}_empty.csv", index=False, float_format="%.6f")
                else:
                    file = f"{split}.zip" if kind == "mask" else f"{split}_{kind}.zip"
                    write_archive(folder / file, _merged_maps(of_kind, file, left_out, merge))
            if "member" in spreads:
                maps = _member_spreads(networks, f"{split}.zip", left_out)
                write_archive(folder / f"{split}_member_spread.zip", maps)
        (folder / "maps.json").write_text(json.dumps({"heads": heads, "spreads": spreads}) + "\n")
    print(f"{', '.join(weights)} x {len(folds)} folds -> {args.ensemble}")


def _folders(args, folds: list[int]) -> dict[str, Path | None]:
    """Return the folders of all members, soups and students, None of those that are not merged."""
    members = load_keys(args.params, "members")
    soups = load_params(args.params, "soups", SoupsParams).model_extra
    student = load_params(args.params, "student", StudentParams)
    for name in soups:
        if name in members:
            raise InputError(
                f"{args.params}: soups.{name}: there is a member '{name}'; rename the soup"
            )
    teachers = {name: args.probabilities / name for name in [*members, *soups]}
    if not student.folds:
        return teachers
    students = {f"student_{name}": args.student_probabilities / name for name in members}
    for name in students:
        if name in teachers:
            raise InputError(f"{args.params}: '{name}' is the name of a student; rename the other")
    if student.predictions == "teacher":
        return teachers | dict.fromkeys(students)
    if set(student.folds) != set(folds):
        raise InputError(
            f"{args.params}: student.folds {student.folds} must be split_folds.folds {folds} where "
            f"student.predictions is {student.predictions}, since every training image is merged "
            "from networks that left it out; name them all or merge teacher alone"
        )
    return (teachers if student.predictions == "both" else dict.fromkeys(teachers)) | students


def _weights(path: Path, folders: dict, given: dict[str, float]) -> dict[str, float]:
    """Return the weights, above 0, of what takes part, by name."""
    unknown = [name for name in given if name not in folders]
    if unknown:
        raise InputError(
            f"{path}: ensemble.weights.{unknown[0]}: no such member or soup; known: "
            f"{', '.join(folders)}"
        )
    merged = [name for name, folder in folders.items() if folder]
    weights = {name: given.get(name, 1.0) for name in merged}
    if not any(weights.values()):
        raise InputError(
            f"{path}: ensemble.weights {given} leaves nothing to merge; give one of "
            f"{', '.join(merged)} a weight above 0"
        )
    return {name: weight for name, weight in weights.items() if weight}


def _folds_of(path: Path, folds: list[int]) -> dict[str, set[int]]:
    """Return the trained folds that each image is in, by name in order."""
    table = read_folds(path)
    table = table[table["fold"].isin(folds)]
    return table.groupby("name", sort=True)["fold"].agg(set).to_dict()


def _network(name: str, folder: Path, fold: int, weight: float) -> Network:
    maps = read_json(folder / "maps.json")
    return Network(name, folder, fold, weight, maps["heads"], maps.get("spreads", []))


def _merged_maps(networks: list[Network], file: str, folds_of: dict | None, merge: str):
    """Yield name and merged map; `folds_of` gives each image's folds if only those count."""
    archives = [ImageArchive(network.folder / file) for network in networks]
    for name in tqdm(_names(archives, folds_of), f"ensemble {file}", unit="image"):
        used = _used(networks, name, folds_of)
        maps = [archives[index].read(name) for index in used]
        yield name, merge_maps(maps, merge, [networks[index].weight for index in used])


def _member_spreads(networks: list[Network], file: str, folds_of: dict | None):
    """Yield name and how far members, soups and students disagree, each the mean of its folds."""
    archives = [ImageArchive(network.folder / file) for network in networks]
    for name in tqdm(_names(archives, folds_of), f"spread {file}", unit="image"):
        groups = {}
        for index in _used(networks, name, folds_of):
            groups.setdefault(networks[index].name, []).append(archives[index].read(name))
        yield name, spread_of_maps(list(groups.values()))


def _merged_numbers(
    networks: list[Network], file: str, folds_of: dict | None, merge: str
) -> pd.DataFrame:
    """Return name and merged probability of every image."""
    tables = [_read_numbers(network.folder / file) for network in networks]
    merged = {}
    for name in tables[0] if folds_of is None else folds_of:
        used = _used(networks, name, folds_of)
        numbers = np.array([tables[index][name] for index in used])
        merged[name] = merge_probabilities(numbers, merge, [networks[i].weight for i in used])
    return pd.DataFrame({"name": list(merged), "probability": np.array(list(merged.values()))})


def _read_numbers(path: Path) -> dict[str, float]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; run predict")
    return pd.read_csv(path).set_index("name")["probability"].to_dict()


def _names(archives: list[ImageArchive], folds_of: dict | None) -> list[str]:
    return archives[0].names if folds_of is None else list(folds_of)


def _used(networks: list[Network], name: str, folds_of: dict | None) -> list[int]:
    """Return the indices of the networks that count for an image."""
    every = enumerate(networks)
    return [i for i, network in every if folds_of is None or network.fold in folds_of[name]]


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
