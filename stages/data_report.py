"""Show what is in the data: quality, near-duplicates, folds, and how the splits differ.

    python -m stages.data_report data/prepared data/plan data/groups data/split \
        data/fold_summary.csv reports/leakage.json reports/split.json reports/data.html

Reads  prepared/<split>/images.zip, images.csv; prepared/labels/<split>/instances.zip
       prepared/rejected.csv, warnings.csv, recognised.json
       plan/plan.json       the values chosen by the data, and their reasons
       groups/groups.csv (name,cluster and others), groups/pairs.csv (name_a,name_b,...)
       split/likeness.csv, split/features.csv, fold_summary.csv, leakage.json, split.json
Writes data.html  self-contained: needs neither network nor other files
"""

import argparse
import base64
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from src.base.files import read_json, write_text
from src.base.params import load_params
from src.base.running import run_stage
from src.data_pages.annotated import annotated_names, annotated_picture
from src.data_pages.histograms import histograms, measure_images
from src.data_pages.params import DataReportParams
from src.data_pages.thumbnails import thumbnail
from src.formats.archive import ImageArchive
from src.formats.prepared import (
    LABELLED,
    SPLITS,
    open_photos,
    read_images,
    read_picture,
    read_recognised,
)
from src.formats.tables import read_table
from src.pages.pages import render_page
from src.planning.plan_folder import read_plan

LISTED = 200  # rejected images named at most
FEATURES = 8  # that tell two splits apart


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    paths = "prepared plan groups split fold_summary leakage split_figures page"
    for name in paths.split():
        parser.add_argument(name, type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "data_report", DataReportParams)

    images = read_images(args.prepared, *SPLITS)
    groups = read_table(args.groups / "groups.csv", "find_duplicates", ["name", "cluster"])
    shown = {
        "warnings": _warnings(args.prepared / "warnings.csv", set(images["name"]), params.examples),
        "clusters": _clusters(groups, params),
        "leaks": _leaks(args.groups / "pairs.csv", images, params.examples),
        "likeness": _likeness(args.split / "likeness.csv", params.examples),
    }
    rejected = read_table(args.prepared / "rejected.csv", "prepare_masks", ["file", "reason"])
    names = sorted(set(_names_in(shown)))
    photos = open_photos(args.prepared, *SPLITS)
    pictures = {name: thumbnail(read_picture(photos, name), params.thumbnail) for name in names}
    measured = measure_images(args.prepared, photos, images, params.measured)
    page = render_page(
        "data_pages/data_report.html.jinja",
        recognised=read_recognised(args.prepared),
        sets=images.groupby("split").size().to_dict(),
        rejected=rejected[["file", "reason"]][:LISTED].to_numpy().tolist(),
        rejected_count=len(rejected),
        choices=read_plan(args.plan),
        leakage=read_json(args.leakage),
        split_figures=read_json(args.split_figures),
        features=_features(args.split / "features.csv"),
        folds=read_table(args.fold_summary, "split_folds").to_dict("split"),
        annotated=_annotated(args.prepared, photos, images, params),
        measured=measured,
        histograms=histograms(measured),
        pictures={name: base64.b64encode(png).decode() for name, png in pictures.items()},
        **shown,
    )
    write_text(args.page, page)
    print(f"{len(pictures)} pictures -> {args.page}")


def _annotated(
    prepared: Path, photos: dict[str, ImageArchive], images: pd.DataFrame, params: DataReportParams
) -> dict[str, list[tuple[str, int, str]]]:
    """Return name, number of objects and picture of some images of each labelled split."""
    shown = {}
    for split in LABELLED:
        rows = images[images["split"] == split]
        if rows.empty:
            continue
        objects = rows.set_index("name")["objects"]
        labels = ImageArchive(prepared / "labels" / split / "instances.zip")
        shown[split] = []
        for name in annotated_names(rows, params.examples):
            photo, outlined = read_picture(photos, name), labels.read(name)
            webp = annotated_picture(photo, outlined, 2 * params.thumbnail)
            shown[split].append((name, int(objects[name]), base64.b64encode(webp).decode()))
    return shown


def _warnings(path: Path, known: set[str], examples: int) -> list[dict]:
    """Return for each kind of warning its count and its first examples that have a picture."""
    table = read_table(path, "prepare_masks", ["name", "kind", "detail"])
    table["pictured"] = table["name"].isin(known)  # one may be rejected besides
    return [
        {
            "kind": kind,
            "count": len(rows),
            "rows": rows[rows["pictured"]][:examples].to_dict("records"),
        }
        for kind, rows in table.groupby("kind")
    ]


def _clusters(groups: pd.DataFrame, params: DataReportParams) -> list[dict]:
    """Return the largest clusters of near-duplicates with their first images."""
    clusters = groups[groups["cluster"] != ""].groupby("cluster")["name"].apply(list)
    ranked = sorted(clusters, key=lambda names: (-len(names), names))[: params.clusters]
    return [{"size": len(names), "names": names[: params.examples]} for names in ranked]


def _leaks(path: Path, images: pd.DataFrame, examples: int) -> list[dict]:
    """Return pairs of which one image is in train and the other is not."""
    pairs = read_table(path, "find_duplicates", ["name_a", "name_b", "difference"])
    split_of = images.set_index("name")["split"]
    in_train = pairs[["name_a", "name_b"]].map(lambda name: split_of[name] == "train")
    return pairs[in_train.sum(axis=1) == 1][:examples].to_dict("records")


def _likeness(path: Path, examples: int) -> dict[str, list[dict]]:
    """Return the training images least and most like test."""
    table = read_table(path, "validate_split", ["name", "test_likeness"])
    table = table[table["test_likeness"] != ""]
    order = pd.to_numeric(table["test_likeness"]).sort_values(kind="stable").index
    ranked = table.loc[order, ["name", "test_likeness"]].to_dict("records")
    few = min(examples, len(ranked) // 2)
    return {"least": ranked[:few], "most": ranked[::-1][:few]}


def _features(path: Path) -> dict[str, list[dict]]:
    columns = {"against": str, "feature": str, "gain": float}
    table = read_table(path, "validate_split", columns)
    ranked = table.sort_values("gain", ascending=False, kind="stable")
    of_kinds = ranked.groupby("against")
    return {str(kind): rows[:FEATURES].to_dict("records") for kind, rows in of_kinds}


def _names_in(shown: dict) -> Iterable[str]:
    """Yield the images that the page shows."""
    for warning in shown["warnings"]:
        yield from (row["name"] for row in warning["rows"])
    for cluster in shown["clusters"]:
        yield from cluster["names"]
    for pair in shown["leaks"]:
        yield from (pair["name_a"], pair["name_b"])
    for rows in shown["likeness"].values():
        yield from (row["name"] for row in rows)


if __name__ == "__main__":
    run_stage(main)
