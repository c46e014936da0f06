"""Draw a small data set of aerial tiles with every building annotated, in the CrowdAI layout.

    python -m stages.make_sample data/sample --params params.yaml

Writes data/sample/{train,val}/images/<id>.jpg  uint8 RGB (tile_size, tile_size)
       data/sample/{train,val}/annotation.json  COCO: polygons, compressed and uncompressed RLE;
                                                 every image record has the `group` it comes from
       data/sample/test_images/<id>.jpg          unlabelled
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_params
from src.base.running import run_stage
from src.parallel.workers import WorkersParams, in_order
from src.sample.params import SampleParams
from src.sample.tiles import Tile, coco_records, draw_tiles, turn_tile
from src.sample.zones import ZONES

CATEGORY = {"id": 100, "name": "building", "supercategory": "building"}
COPY_VIEWS = (0, 1, 4, 2, 5, 3, 6, 7)  # as it is, turned, mirrored, ...: see turn_image
GROUP = "scene_{:03d}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("sample", type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "sample", SampleParams)
    scheduler = load_params(args.params, "workers", WorkersParams).scheduler

    if args.sample.exists():
        raise InputError(f"{args.sample}: exists already; remove it to draw the sample anew")
    sizes = {"train": params.train, "val": params.val, "test": params.test}
    splits = _draw_splits(params, sizes, scheduler)
    with new_folder(args.sample) as folder:
        _write(folder, splits, params.jpeg_quality)
    buildings = sum(len(tile.footprints) for name in ("train", "val") for tile in splits[name])
    print(f"{sum(sizes.values())} tiles, {buildings} annotated buildings -> {args.sample}")


def _draw_splits(
    params: SampleParams, sizes: dict[str, int], scheduler: str
) -> dict[str, list[Tile]]:
    """Draw every split's scenes, cut them up, and put copies of train tiles among the tiles."""
    copies = {split: round(size * params.duplicates) for split, size in sizes.items()}
    own = {split: sizes[split] - copies[split] for split in sizes}
    scenes = {split: math.ceil(own[split] / params.scene_tiles**2) for split in sizes}
    kinds = [list(ZONES)[i % len(ZONES)] for count in scenes.values() for i in range(count)]
    cut: dict[str, Any] = {"size": params.tile_size, "per_side": params.scene_tiles}
    cut |= {"min_area": params.min_area, "rle": params.rle}
    calls = (
        (np.random.default_rng([params.seed, number]), kind, GROUP.format(number))
        for number, kind in enumerate(kinds)
    )
    drawn = in_order(draw_tiles, calls, scheduler=scheduler, **cut)
    drawn = iter(tqdm(drawn, total=len(kinds), desc="draw", unit="scene"))
    splits = {}
    for split, count in scenes.items():
        tiles = [tile for _ in range(count) for tile in next(drawn)]
        splits[split] = tiles[: own[split]]
    return _mix_in_copies(splits, copies, len(kinds), params.seed)


def _mix_in_copies(
    splits: dict[str, list[Tile]], copies: dict[str, int], number: int, seed: int
) -> dict[str, list[Tile]]:
    """Add turned and mirrored train tiles to each split as scenes of their own, and shuffle."""
    rng = np.random.default_rng([seed, number])
    built = [tile for tile in splits["train"] if tile.footprints]
    if sum(copies.values()) > len(built):
        raise InputError(
            f"sample.duplicates: asks for {sum(copies.values())} copies, but only {len(built)} "
            "train tiles show a building; lower it"
        )
    originals = iter(rng.permutation(len(built)))
    mixed = {}
    for split, tiles in splits.items():
        mixed[split] = list(tiles)
        for i in range(copies[split]):
            original, view = built[next(originals)], COPY_VIEWS[i % len(COPY_VIEWS)]
            mixed[split].append(turn_tile(original, view, GROUP.format(number)))
            number += 1
        mixed[split] = [mixed[split][i] for i in rng.permutation(len(mixed[split]))]
    return mixed


def _write(folder: Path, splits: dict[str, list[Tile]], quality: int) -> None:
    for split, tiles in splits.items():
        images = folder / "test_images" if split == "test" else folder / split / "images"
        images.mkdir(parents=True)
        names = [f"{i:06d}.jpg" for i in range(len(tiles))]
        for name, tile in zip(names, tiles, strict=True):
            setting = [cv2.IMWRITE_JPEG_QUALITY, quality]
            encoded = cv2.imencode(".jpg", tile.image[..., ::-1], setting)[1]
            (images / name).write_bytes(encoded.tobytes())
        if split != "test":
            records = coco_records(tiles, names, CATEGORY)
            (folder / split / "annotation.json").write_text(json.dumps(records))


if __name__ == "__main__":
    run_stage(main)
