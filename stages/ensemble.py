"""Merge the probability maps of all members and folds into one map per image.

    python -m stages.ensemble data/folds.csv data/probabilities data/ensemble

A training image has one map per member, from the fold that left it out; an image of val or test
has one per member and fold.

Reads  folds.csv, probabilities/<member>/fold<k>/{oof,val,test}.zip   uint8 (H, W)
Writes oof.zip, val.zip, test.zip                                     uint8 (H, W)
"""

import argparse
from pathlib import Path
from typing import Literal

import pandas as pd
from tqdm import tqdm

from src.archive import ImageArchive, write_archive
from src.errors import InputError
from src.new_folder import new_folder
from src.params import Params, load_keys, load_params
from src.probability_maps import merge_maps


class EnsembleParams(Params):
    merge: Literal["mean", "gmean", "logit_mean"]


class FoldParams(Params):
    k: int
    folds: list[int]
    seed: int


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folds", type=Path)
    parser.add_argument("probabilities", type=Path)
    parser.add_argument("ensemble", type=Path, help="folder to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    merge = load_params(args.params, "ensemble", EnsembleParams).merge
    folds = load_params(args.params, "split_folds", FoldParams).folds
    members = load_keys(args.params, "members")

    fold_of = pd.read_csv(args.folds).set_index("name")["fold"]
    with new_folder(args.ensemble) as folder:
        for split in ("oof", "val", "test"):
            archives = {
                (member, fold): ImageArchive(
                    args.probabilities / member / f"fold{fold}" / f"{split}.zip"
                )
                for member in members
                for fold in folds
            }
            if split == "oof":
                names = sorted(fold_of.index[fold_of.isin(folds)])
                sources = {n: [archives[m, fold_of[n]] for m in members] for n in names}
            else:
                names = archives[members[0], folds[0]].names
                sources = {name: list(archives.values()) for name in names}
            merged = (
                (name, merge_maps([source.read(name) for source in sources[name]], merge))
                for name in tqdm(names, desc=f"ensemble {split}", unit="image")
            )
            write_archive(folder / f"{split}.zip", merged)
    print(f"{len(members)} members x {len(folds)} folds -> {args.ensemble}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
