"""Measure, for every pixel, what the loss weights are made of.

    python -m stages.compute_weight_maps data/prepared/labels/train/instances.zip data/plan \
        data/weight_maps.zip

Reads  instances.zip    <name>.png  uint16 (H, W), 0 background, 1..N objects, 65535 ignore
       plan/weight_maps.json  the values of weight_maps that are auto
Writes weight_maps.zip  <name>.png  uint8 (H, W, 3): d1 and d2, the distances to the nearest and to
                        the second nearest object in quarter pixels; sqrt(object area) in pixels

Ignored pixels belong to no object: they have distances like the background, and size 0.
"""

import argparse
from pathlib import Path

import cv2
from tqdm import tqdm

from src.base.errors import InputError
from src.base.params import load_params
from src.base.running import run_stage
from src.formats.archive import ImageArchive, decode_image, encode_png, write_archive
from src.label_maps.distances import WeightMapParams, weight_planes
from src.parallel.memory import most_pixels
from src.parallel.workers import WorkersParams, in_order

BYTES = 31  # of memory that a pixel takes at most


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("instances", type=Path)
    parser.add_argument("plan", type=Path)
    parser.add_argument("weight_maps", type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "weight_maps", WeightMapParams, plan=args.plan)
    scheduler = load_params(args.params, "workers", WorkersParams).scheduler

    archive = ImageArchive(args.instances)
    if not archive.names:
        raise InputError(f"{args.instances}: holds no instance maps; prepare a labelled split")
    encoded = ((archive.read_bytes(name), f"{args.instances}: {name}") for name in archive.names)
    memory = BYTES * most_pixels(archive.read_bytes(name) for name in archive.names)
    fixed = {"scheduler": scheduler, "memory": memory, "max_distance": params.max_distance}
    maps = in_order(weight_map, encoded, **fixed)
    maps = tqdm(maps, total=len(archive.names), desc="weight maps", unit="image")
    count = write_archive(args.weight_maps, zip(archive.names, maps, strict=True))
    print(f"{count} weight maps -> {args.weight_maps}")


def weight_map(encoded: bytes, origin: str, max_distance: int) -> bytes:
    """Return the three planes, uint8 (H, W, 3) as PNG, of an encoded instance map."""
    instances = decode_image(encoded, cv2.IMREAD_UNCHANGED, origin)
    return encode_png(weight_planes(instances, max_distance))


if __name__ == "__main__":
    run_stage(main)
