"""Write the accepted objects in formats that other programs read.

    python -m stages.export data/prepared data/predictions data/exports --params params.yaml

Reads  {train,val,test}/images.csv         name, image_id, height, width
       {train,val,test}/geotransforms.csv  where images lie on which map, of those that say so
       {oof,val,test}.json                 COCO results; those with `accepted` false are left out
Writes, per split that has images and by the formats asked for
       submission_<split>.csv    id (file name without extension), rle_mask: all objects united
       label_maps_<split>.zip    <name>.png, uint16 (H, W), 0 = background, 1 = best score, 2 ...
       polygons_<split>.geojson  a feature per object; in px from the upper left corner of the
                                 image, in map coordinates where it is known to lie on the map
       polygons_<split>_<crs>.geojson  such as polygons_val_EPSG_32737.geojson: where images of
                                 a split lie in several coordinate systems, one file for each
Every image of val and test is listed; of oof those with an object, since others may belong to
folds that were not trained.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pandas as pd
from pycocotools import mask as coco_mask
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_params
from src.base.running import run_stage
from src.exporting.geojson import END, collection_start, object_feature
from src.exporting.label_maps import paint_objects
from src.exporting.params import ExportParams
from src.exporting.polygons import simplify_polygon, trace_polygons
from src.exporting.predicted_objects import ImageObjects, read_image_objects
from src.exporting.right_angles import square_polygon
from src.exporting.submissions import encode_submission
from src.formats.archive import encode_png, write_archive
from src.formats.tables import write_table
from src.image_files.geotransforms import read_geotransforms
from src.objects.rle import crop_mask, decode
from src.parallel.workers import WorkersParams, in_order

SPLITS = {"oof": "train", "val": "val", "test": "test"}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    for name in ("prepared", "predictions", "exports"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "export", ExportParams)
    scheduler = load_params(args.params, "workers", WorkersParams).scheduler

    with new_folder(args.exports) as folder:
        for split, source in SPLITS.items():
            results = args.predictions / f"{split}.json"
            images = read_image_objects(results, args.prepared, source)
            images = [image for image in images if split != "oof" or image.rles]
            if images and "submission" in params.formats:
                _write_submission(folder / f"submission_{split}.csv", images, scheduler)
            if images and "label_maps" in params.formats:
                _write_label_maps(folder / f"label_maps_{split}.zip", images, scheduler)
            if images and "geojson" in params.formats:
                places = read_geotransforms(args.prepared / f"geotransforms/{source}.csv")
                for crs, path, of_crs in _coordinate_systems(folder, split, images, places):
                    _write_geojson(path, crs, of_crs, places, params, scheduler)
            print(f"{split}: {sum(len(i.rles) for i in images)} objects in {len(images)} images")


def _write_submission(path: Path, images: list[ImageObjects], scheduler: str) -> None:
    texts = in_order(_submission_text, ((image,) for image in images), scheduler=scheduler)
    ids = [image.name.split("/", 1)[1] for image in images]
    write_table(path, pd.DataFrame({"id": ids, "rle_mask": list(_shown(texts, path, images))}))


def _write_label_maps(path: Path, images: list[ImageObjects], scheduler: str) -> None:
    maps = in_order(_label_map, ((image,) for image in images), scheduler=scheduler)
    names = [image.name for image in images]
    write_archive(path, zip(names, _shown(maps, path, images), strict=True))


def _coordinate_systems(
    folder: Path, split: str, images: list[ImageObjects], places: dict
) -> Iterator[tuple[str, Path, list[ImageObjects]]]:
    """Part the images by coordinate system, since a file can have but one; "" is not known."""
    parts, others = {}, 0
    for image in images:
        crs = places[image.name][-1] if image.name in places else ""
        parts.setdefault(crs, []).append(image)
    for crs in sorted(parts):
        ending = ""
        if crs and len(parts) > 1:
            others += not crs.startswith("EPSG:")
            ending = crs.replace(":", "_") if crs.startswith("EPSG:") else f"WKT_{others}"
        yield crs, folder / f"polygons_{split}{'_' * bool(ending)}{ending}.geojson", parts[crs]


def _write_geojson(
    path: Path,
    crs: str,
    images: list[ImageObjects],
    places: dict,
    params: ExportParams,
    scheduler: str,
) -> None:
    calls = ((image, places.get(image.name)) for image in images)
    features = in_order(_features, calls, scheduler=scheduler, params=params)
    lines = (line for of_image in _shown(features, path, images) for line in of_image)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(collection_start(crs))
        file.writelines("," * (number > 0) + "\n" + line for number, line in enumerate(lines))
        file.write(END)


def _shown(results: Iterable, path: Path, images: list[ImageObjects]) -> Iterable:
    """Show on the way how many of the images are done."""
    return tqdm(results, path.stem, total=len(images), unit="image")


def _submission_text(image: ImageObjects) -> str:
    if not image.rles:
        return ""
    return encode_submission(decode(cast("Any", coco_mask.merge(cast("Any", image.rles)))))


def _label_map(image: ImageObjects) -> bytes:
    try:
        objects = [crop_mask(rle) for rle in image.rles]
        return encode_png(paint_objects(objects, image.height, image.width))
    except InputError as error:
        raise InputError(f"{image.name}: {error}") from None


def _features(
    image: ImageObjects, place: tuple[float | str, ...] | None, params: ExportParams
) -> list[str]:
    """Return one line of GeoJSON per object."""
    shape = square_polygon if params.right_angles else simplify_polygon
    units = "px" if place is None else "map"
    lines = []
    for rle, score in zip(image.rles, image.scores, strict=True):
        mask, x, y = crop_mask(rle)
        polygons = [shape(rings, params.simplify) for rings in trace_polygons(mask)]
        polygons = [[ring + [x, y] for ring in rings] for rings in polygons]
        known = {"image": image.name, "score": score, "area": int(mask.sum()), "units": units}
        lines.append(object_feature(polygons, known, place))
    return lines


if __name__ == "__main__":
    run_stage(main)
