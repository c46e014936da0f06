"""Write the accepted objects in formats that other programs read.

    python -m stages.export data/prepared data/predictions data/exports --params params.yaml

Reads  recognised.json                     names of the columns, where params say auto
       {train,val,test}/images.csv         name, image_id, height, width
       {train,val,test}/images.zip         for the colours of objects
       geotransforms/{train,val,test}.csv  where images lie on which map, of those that say so
       export.submission_list              in dataset.root, where it names a file: the ids of test
       {oof,val,test}.json                 COCO results; those with `accepted` false are left out
Writes, per split that has images and by the formats asked for
       submission_<split>.csv    id (file name without extension), rle_mask: all objects united,
                                 or a row for each; columns and way of counting as in dataset
       label_maps_<split>.zip    <name>.png, uint16 (H, W), 0 = background, 1 = best score, 2 ...
       polygons_<split>.geojson  a feature per object of images on a map: longitude and latitude
                                 in WGS 84, as RFC 7946 has it; one file for each coordinate
                                 system of the images, such as polygons_val_EPSG_32737.geojson
       polygons_<split>_px.geojson  of images on no known map, in px from the upper left corner
       objects_<split>.gpkg      of images on a map, in its coordinate system
       objects_<split>.csv       a row per object with its measurements
Every image of val and test is listed; of oof those with an object, since others may belong to
folds that were not trained. In the last four, images that touch or overlap on the ground are put
together to one, which bears the name of the first, and each object counts once. Without a cap on
objects; outlines are drawn as the section outlines says.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyogrio
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import AUTO, load_params
from src.base.running import run_stage
from src.exporting.delivery import crs_of
from src.exporting.label_maps import paint_objects
from src.exporting.official_list import (
    OfficialList,
    answered,
    list_sentences,
    read_official_list,
)
from src.exporting.params import ExportParams
from src.exporting.placed_objects import store_objects
from src.exporting.plain_files import write_measurements
from src.exporting.predicted_objects import ImageObjects, read_image_objects
from src.exporting.submissions import encode_submission
from src.exporting.vector_files import write_geojson, write_geopackage, write_pixel_geojson
from src.formats.archive import ImageArchive, encode_png, write_archive
from src.formats.prepared import open_photos, read_recognised
from src.formats.tables import write_table
from src.image_files.geotransforms import read_geotransforms
from src.matching.unions import union_of
from src.mosaics.placing import Place
from src.objects.rle import crop_mask
from src.outlines.params import OutlinesParams
from src.parallel.memory import largest
from src.parallel.workers import WorkersParams, in_order
from src.reading.params import DatasetParams

SPLITS = {"oof": "train", "val": "val", "test": "test"}
OUTLINED = ("geojson", "gpkg", "csv")
BYTES = 8  # of memory that a pixel takes at most
NO_DATE = "1970-01-01T00:00:00.000Z"  # written as that of a change, so that equal files are equal


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    for name in ("prepared", "predictions", "exports"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "export", ExportParams)
    outlines = load_params(args.params, "outlines", OutlinesParams)
    scheduler = load_params(args.params, "workers", WorkersParams).scheduler

    source = load_params(args.params, "dataset", DatasetParams)
    columns = _columns(source, args.prepared)
    official = None
    if params.official_list:
        official = read_official_list(Path(source.root) / params.official_list, *columns)
    dialect = {"order": source.rle_order, "first": source.rle_first, "starts": source.rle_starts}
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": NO_DATE})
    with new_folder(args.exports) as folder:
        for split, source in SPLITS.items():
            results = args.predictions / f"{split}.json"
            images = read_image_objects(results, args.prepared, source)
            images = [image for image in images if split != "oof" or image.rles]
            if images and "submission" in params.formats:
                path = folder / f"submission_{split}.csv"
                texts = _submission_texts(path, images, params, dialect, scheduler)
                if official is None or split != "test":
                    _write_submission(path, images, texts, params, columns)
                else:
                    _write_answers(path, images, texts, official, params.submission_list)
            if images and "label_maps" in params.formats:
                _write_label_maps(folder / f"label_maps_{split}.zip", images, scheduler)
            if images and {*params.formats} & {*OUTLINED}:
                places = read_geotransforms(args.prepared / f"geotransforms/{source}.csv")
                photos = open_photos(args.prepared, source)
                how = (params, outlines, scheduler)
                _write_outlines(folder, split, images, (places, photos), *how)
            print(f"{split}: {sum(len(i.rles) for i in images)} objects in {len(images)} images")


def _columns(source: DatasetParams, prepared: Path) -> tuple[str, str]:
    """Return the names of the columns that the data set has, or Kaggle's usual ones."""
    found = {one["key"]: str(one["value"]) for one in read_recognised(prepared)}
    given = {"id_column": "id", "rle_column": "rle_mask"}
    for key, usual in given.items():
        named = getattr(source, key)
        given[key] = found.get(f"dataset.{key}", usual) if named == AUTO else named
    return given["id_column"], given["rle_column"]


def _submission_texts(
    path: Path, images: list[ImageObjects], params: ExportParams, dialect: dict, scheduler: str
) -> list[list[str]]:
    """Return the cells of each image's rows."""
    texts = in_order(
        _texts_of,
        ((image,) for image in images),
        scheduler=scheduler,
        memory=_memory(images),
        united=params.submission_rows == "image",
        dialect=dialect,
    )
    return list(_shown(texts, path, images))


def _write_submission(
    path: Path,
    images: list[ImageObjects],
    texts: list[list[str]],
    params: ExportParams,
    columns: tuple[str, str],
) -> None:
    named = params.submission_ids == "file_name"
    rows = [
        (image.file_name if named else image.name.split("/", 1)[1], text)
        for image, of_image in zip(images, texts, strict=True)
        for text in of_image
    ]
    write_table(path, pd.DataFrame(rows, columns=pd.Index(columns)))


def _write_answers(
    path: Path,
    images: list[ImageObjects],
    texts: list[list[str]],
    official: OfficialList,
    name: str,
) -> None:
    """Write a row for each id of an official list, in its order, and say what does not fit."""
    names = [(image.name.split("/", 1)[1], image.file_name) for image in images]
    found = answered(official, names, texts)
    for sentence in list_sentences(name, found, len(images)):
        print(sentence)
    write_table(path, found.table)


def _write_label_maps(path: Path, images: list[ImageObjects], scheduler: str) -> None:
    fixed = {"scheduler": scheduler, "memory": _memory(images)}
    maps = in_order(_label_map, ((image,) for image in images), **fixed)
    names = [image.name for image in images]
    write_archive(path, zip(names, _shown(maps, path, images), strict=True))


def _write_outlines(
    folder: Path,
    split: str,
    images: list[ImageObjects],
    around: tuple[dict[str, Place], dict[str, ImageArchive]],
    params: ExportParams,
    outlines: OutlinesParams,
    scheduler: str,
) -> None:
    """Write what is drawn and measured on the ground, or in px where that is not known."""
    with TemporaryDirectory(dir=folder) as scratch:
        found = store_objects(images, *around, Path(scratch), outlines, scheduler)
        deliveries = list(tqdm(found, f"objects_{split}", unit="image"))
        nowhere = [one for one in deliveries if not crs_of(one)]
        somewhere = len(nowhere) < len(deliveries)
        if "csv" in params.formats:
            write_measurements(folder / f"objects_{split}.csv", deliveries)
        if "gpkg" in params.formats and somewhere:
            write_geopackage(folder / f"objects_{split}.gpkg", deliveries)
        if "geojson" in params.formats:
            write_geojson(folder / f"polygons_{split}.geojson", deliveries)
            if nowhere:
                write_pixel_geojson(folder / f"polygons_{split}_px.geojson", nowhere)


def _memory(images: list[ImageObjects]) -> int:
    return BYTES * largest((image.height, image.width) for image in images)


def _shown(results: Iterable, path: Path, images: list[ImageObjects]) -> Iterable:
    """Show on the way how many of the images are done."""
    return tqdm(results, path.stem, total=len(images), unit="image")


def _texts_of(image: ImageObjects, *, united: bool, dialect: dict) -> list[str]:
    """Return the run lengths of all objects together, or of each; "" where there are none."""
    rles: list[Any] = [union_of(image.rles)] if united and image.rles else image.rles
    size = image.height, image.width
    return [encode_submission(*crop_mask(rle), size, **dialect) for rle in rles] or [""]


def _label_map(image: ImageObjects) -> bytes:
    try:
        objects = [crop_mask(rle) for rle in image.rles]
        return encode_png(paint_objects(objects, image.height, image.width))
    except InputError as error:
        raise InputError(f"{image.name}: {error}") from None


if __name__ == "__main__":
    run_stage(main)
