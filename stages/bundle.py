"""Pack all that finds objects into one file, which goes without data and params to other images.

    python -m stages.bundle data/prepared data/models data/soups data/students data/plan \
        data/search data/predictions data/evaluation reports/metrics.json data/bundle

It holds the networks that ensemble merges, what val and test are post-processed, scored and
accepted by, and what this is worth. It is read again as a stranger's would be, and used once: the
picture shows what it finds in an image of val, or of test where there is none.

Reads  prepared/train/images.csv, labels/train/truth.json   sizes of images; categories
       prepared/geotransforms/train.csv, recognised.json    pixel size; range of values
       prepared/{val,test}/images.csv, images.zip           an image for the picture
       models, soups, students/<name>/fold<k>/  model.json and model.safetensors
       plan/postprocess.json, search/chosen.json
       predictions/learnt.json, operating_point.json, second_level/final.txt
       evaluation/metrics.csv, metrics.json     scores with intervals; fingerprint of the data
Writes bundle/<name>.maskline.zip   see docs/data.md
       bundle/README.txt            in its place with bundle.networks none: that there is none
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from src.acceptance.operating_point import read_operating_point
from src.applying.objects import apply_to_image
from src.applying.picture import centre_of, outlined
from src.base.errors import InputError
from src.base.files import new_folder, read_json, write_text
from src.base.params import load_keys, load_params
from src.base.running import run_stage
from src.bundles.manifest import (
    CALIBRATION,
    PICTURE,
    SECOND_LEVEL,
    Description,
    first_problem,
)
from src.bundles.params import BundleParams
from src.bundles.pixel_size import median_pixel_size
from src.bundles.reading import read_bundle
from src.bundles.writing import json_part, write_bundle
from src.folds.fold_table import SplitFoldsParams
from src.formats.archive import encode_png
from src.formats.prepared import open_photos, read_images, read_picture, read_recognised, read_truth
from src.formats.tables import read_table
from src.image_files.geotransforms import read_geotransforms
from src.merging.params import EnsembleParams, StudentParams
from src.merging.soups import SoupsParams, soup_names
from src.merging.sources import Source, folds_of_new_images, merged_sources
from src.objects.chosen_values import read_chosen
from src.objects.params import PostprocessParams, load_postprocess, searched_keys, with_chosen
from src.predicting.allowed_views import ViewsParams, limited_views
from src.predicting.params import PredictParams
from src.reading.params import ImagesParams
from src.scoring.learnt_file import calibrator_lists, read_learnt

NONE = "bundle.networks is none in params.yaml, so no bundle was packed.\n"
UNUSED_THRESHOLD = 0.5  # in the place of auto: the method layers has thresholds of its own


def main(argv: list[str] | None = None) -> None:
    args = _arguments(argv)
    params = load_params(args.params, "bundle", BundleParams)
    with new_folder(args.bundle) as folder:
        if params.networks == "none":
            write_text(folder / "README.txt", NONE)
            print(NONE.strip())
            return
        _refuse_bands(load_params(args.params, "images", ImagesParams), args.params)
        told, parts = _scoring(args)
        networks, weights = _networks(args)
        told |= {
            "name": params.name,
            "date": _stated(params.date),
            "licence": _stated(params.licence),
            "categories": read_truth(args.prepared, "train")["categories"],
            "data": _fingerprint(args.metrics),
            "scores": _scores(args.evaluation / "metrics.csv"),
            "expected": _expected(args),
            "predict": _predict_params(args.params).model_dump(),
            "merge": load_params(args.params, "ensemble", EnsembleParams).merge,
            "postprocess": _postprocess(args).model_dump(),
            "networks": networks,
        }
        parts |= weights
        path = folder / f"{params.name}.maskline.zip"
        write_bundle(path, told, parts)
        picture = _picture(args.prepared, path)
        if picture is not None:
            write_bundle(path, told, parts | {PICTURE: picture})
        size = path.stat().st_size / 1e6
    print(f"{len(networks)} networks, {size:.1f} MB -> {args.bundle / path.name}")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    paths = "prepared models soups students plan search predictions evaluation metrics"
    for name in paths.split():
        parser.add_argument(name, type=Path)
    parser.add_argument("bundle", type=Path, help="folder to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    return parser.parse_args(argv)


def _refuse_bands(images: ImagesParams, path: Path) -> None:
    """Answer that networks of bands stay with their data set, before anything is packed."""
    if images.as_bands:
        raise InputError(
            f"{path}: images.keep {images.keep}, images.bands {images.bands}: networks of bands "
            "cannot go into a bundle, since only the stages read their images; set "
            "bundle.networks to none"
        )


def _stated(text: str) -> str | None:
    return None if text == "none" else text


def _scoring(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what the manifest tells of scores and their use, and the parts that hold the rest."""
    learnt = read_learnt(args.predictions / "learnt.json")
    if learnt.params.score == "random_forest":
        raise InputError(
            f"{args.params}: rescore.score random_forest has no format that is safe to read, so it "
            "cannot go into a bundle; set it to lightgbm, or bundle.networks to none"
        )
    point = read_operating_point(args.predictions / "operating_point.json")
    parts, second_level = {}, None
    if learnt.features is not None:
        path = args.predictions / "second_level/final.txt"
        if not path.is_file():
            raise InputError(f"{path}: no such file; run rescore")
        parts[SECOND_LEVEL] = path.read_bytes()
        second_level = {"trees": learnt.trees, "features": learnt.features}
    if learnt.calibrator is not None:
        parts[CALIBRATION] = json_part(calibrator_lists(learnt.calibrator))
    told = {
        "rescore": learnt.params.model_copy(
            update={"operating_point": float(point.all.score)}
        ).model_dump(),
        "acceptance": {"metric": point.metric, **point.all._asdict()},
        "second_level": second_level,
    }
    return told, parts


def _networks(args: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Return what the manifest tells of the networks that ensemble merges, and their weights."""
    split_folds = load_params(args.params, "split_folds", SplitFoldsParams)
    ensemble = load_params(args.params, "ensemble", EnsembleParams)
    members = load_keys(args.params, "members")
    soups = load_params(args.params, "soups", SoupsParams)
    sources = merged_sources(
        args.params,
        members=members,
        soups=soups,
        student=load_params(args.params, "student", StudentParams),
        ensemble=ensemble,
        folds=split_folds.folds,
    )
    of_soups = soup_names(args.params, soups, members)
    told, parts = [], {}
    for source in sources:
        for fold in folds_of_new_images(split_folds, ensemble):
            folder = _root(args, source, of_soups) / source.folder / f"fold{fold}"
            one = {"member": source.name, "fold": fold, "weight": source.weight}
            told.append(one | {"description": _description(folder / "model.json")})
            weights = folder / "model.safetensors"
            if not weights.is_file():
                raise InputError(f"{weights}: no such file; run the train stage")
            parts[f"networks/{source.name}/fold{fold}.safetensors"] = weights.read_bytes()
    return told, parts


def _root(args: argparse.Namespace, source: Source, of_soups: list[str]) -> Path:
    if source.is_student:
        return args.students
    return args.soups if source.name in of_soups else args.models


def _description(path: Path) -> dict[str, Any]:
    found = read_json(path)
    try:
        Description.model_validate(found)
    except ValidationError as error:
        raise InputError(
            f"{path}: {first_problem(error)}, so the network cannot go into a bundle; train "
            "another, or set bundle.networks to none"
        ) from None
    assert isinstance(found, dict)
    return found


def _fingerprint(path: Path) -> str:
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("data"), str):
        raise InputError(f"{path}: names no data; run evaluate")
    return found["data"]


def _scores(path: Path) -> list[dict[str, Any]]:
    """Return the figures of all images, with intervals."""
    types = {"split": str, "images": str, "metric": str}
    types |= dict.fromkeys(("value", "low", "high"), float)
    table = read_table(path, "evaluate", types)
    rows = table[table["images"] == "all"].drop(columns="images")
    rows = rows[["split", "metric", "value", "low", "high"]].to_dict("records")
    return [
        {str(key): None if isinstance(v, float) and np.isnan(v) else v for key, v in row.items()}
        for row in rows
    ]


def _expected(args: argparse.Namespace) -> dict[str, Any]:
    """Return what images the networks have learnt from, and how these were read."""
    read = load_params(args.params, "images", ImagesParams)
    if read.stretch == "auto":
        found = {one["key"]: one["value"] for one in read_recognised(args.prepared)}
        levels = {key: float(found.get(f"images.{key}", 0.0)) for key in ("low", "high")}
        read = read.model_copy(update=levels)
    images = read_images(args.prepared, "train")
    places = read_geotransforms(args.prepared / "geotransforms/train.csv")
    return {
        "read": read.model_dump(),
        "height": round(float(images["height"].median())),
        "width": round(float(images["width"].median())),
        "pixel_size": median_pixel_size(places.values()),
    }


def _predict_params(path: Path) -> PredictParams:
    params = load_params(path, "predict", PredictParams)
    allowed = load_params(path, "views", ViewsParams).allowed
    return params.model_copy(update={"views": limited_views(params.views, allowed)})


def _postprocess(args: argparse.Namespace) -> PostprocessParams:
    """Return the params of val and test, with a value for each key."""
    params = load_postprocess(args.params, args.plan)
    if searched_keys(params):
        path = args.search / "chosen.json"
        params = with_chosen(params, read_chosen(path).all, str(path))
    if params.method == "layers":
        params = params.model_copy(update={"threshold": UNUSED_THRESHOLD})
    return params


def _picture(prepared: Path, path: Path) -> bytes | None:
    """Return a PNG of what the bundle finds in one image; None where there is none to show."""
    bundle = read_bundle(path)
    for split in ("val", "test"):
        table = read_images(prepared, split)
        if len(table):
            ranked = table.sort_values(["objects", "name"])["name"]
            name = str(ranked.iloc[len(table) // 2])
            image = centre_of(read_picture(open_photos(prepared, split), name))
            found = apply_to_image(bundle, image)
            print(f"{len(found.objects)} objects in {name}, of which the picture is")
            return encode_png(outlined(image, found.labels))
    return None


if __name__ == "__main__":
    run_stage(main)
