"""Make the report: one page with scores, curves, what was found and missed, and the ablations.

    python -m stages.ablation_report data/prepared data/weight_maps.zip data/models \
        data/predictions data/evaluation reports/metrics.json reports/ablation.csv reports

Reads  prepared/            images.zip, images.csv, rejected.csv, truth_{train,val}.json
       weight_maps.zip      uint8 (H, W, 3): d1, d2 in quarter pixels, sqrt(area)
       models/<member>/fold<k>/curve.csv  of every member and fold in the params
       predictions/{oof,val}.json, evaluation/  what `evaluate` read and wrote
       metrics.json, ablation.csv               experiment,changes, then one column per metric
Writes index.html           self-contained: needs neither network nor other files
       figures/*.png        its pictures as files, uint8 RGB
       results.md, ablation.md                  its tables
"""

import argparse
import base64
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field

from src.archive import PHOTO, ImageArchive
from src.errors import InputError
from src.figures import learning_curves, precision_recall, score_histograms
from src.json_files import read_json
from src.new_folder import new_folder, write_text
from src.overlays import (
    COLOURS,
    colour_bar,
    colour_plane,
    count_gap_pixels,
    draw_outcomes,
    encode_picture,
    enlarge,
    list_outcomes,
    two_distances,
)
from src.params import Params, load_params
from src.report_tables import (
    NO_INTERVAL,
    ablation_markdown,
    ablation_rows,
    headline_markdown,
    headline_rows,
    pick_images,
    set_rows,
)
from src.rle import decode

TEMPLATE = Path(__file__).parents[1] / "src" / "report.html.jinja"
TRUTH = {"oof": "truth_train.json", "val": "truth_val.json"}
CURVE_COLUMNS = {"phase", "lr", "train_loss", "fold_loss", "fold_dice"}
IMAGE_COLUMNS = {"name", "split", "file_name", "height", "width", "objects", "coverage"}
GAP = 10  # px, d1 + d2 between close neighbours
CROWDED = 32  # images with most objects; the one of them with most close neighbours is shown
FARTHEST = 40  # px, end of the colour bar of d1 + d2


class SplitFoldsParams(Params):
    k: int = Field(ge=2)
    folds: list[int] = Field(min_length=1)
    seed: int


class MembersParams(Params):
    model_config = ConfigDict(extra="allow")  # names are free; train checks what is inside


class ReportParams(Params):
    overlays: int = Field(ge=1)  # images each of best, median and worst
    scale: int = Field(ge=1)  # enlargement of the pictures


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    paths = "prepared weight_maps models predictions evaluation metrics ablation reports"
    for name in paths.split():
        parser.add_argument(name, type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "report", ReportParams)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds
    members = load_params(args.params, "members", MembersParams).model_extra

    images = _read_csv(args.prepared / "images.csv", IMAGE_COLUMNS)
    photos = ImageArchive(args.prepared / "images.zip")
    splits, headline = headline_rows(read_json(args.metrics))
    columns, ablation = _read_ablation(args.ablation)
    curves = {member: _read_curves(args.models / member, folds) for member in members}
    judged = [split for split in splits if split in TRUTH]
    pictures = _score_figures(args.evaluation, judged)
    for member in members:
        pictures[f"learning_curves_{member}.png"] = learning_curves(curves[member])
    crowded, drawn = _draw_weight_map(images, photos, args.weight_maps, params.scale)
    pictures |= drawn
    overlays = {}
    for split in reversed(judged):  # val before oof
        overlays[split], drawn = _draw_overlays(args, split, photos, params)
        pictures |= drawn
    page = _render(
        splits=splits,
        headline=headline,
        contents=set_rows(images.astype(object).where(images.notna(), None).to_dict("records")),
        rejected=len(_read_csv(args.prepared / "rejected.csv", {"file", "reason"})),
        members=list(members),
        crowded=crowded,
        overlays=overlays,
        file_names=dict(zip(images["name"], images["file_name"], strict=True)),
        colours={name: "rgb" + str(colour) for name, colour in COLOURS.items()},
        columns=columns,
        ablation=ablation,
        no_interval=NO_INTERVAL,
        embedded={name: base64.b64encode(png).decode() for name, png in pictures.items()},
    )
    texts = {
        "index.html": page,
        "results.md": headline_markdown(splits, headline),
        "ablation.md": ablation_markdown(columns, ablation),
    }
    _write(args.reports, pictures, texts)
    print(f"{len(pictures)} pictures -> {args.reports / 'index.html'}")


def _score_figures(evaluation: Path, splits: list[str]) -> dict[str, bytes]:
    curves, scores = {}, {}
    for split in splits:
        path = evaluation / f"precision_recall_{split}.csv"
        table = _read_csv(path, {"recall", "precision"})
        curves[split] = (table["recall"].to_numpy(float), table["precision"].to_numpy(float))
        table = _read_parquet(evaluation / f"detections_{split}.parquet")
        wrong = ~table["tp"] & ~table["ignored"]
        scores[split] = (table["score"][table["tp"]].to_numpy(), table["score"][wrong].to_numpy())
    return {
        "precision_recall.png": precision_recall(curves),
        "scores.png": score_histograms(scores),
    }


def _draw_weight_map(
    images: pd.DataFrame, photos: ImageArchive, path: Path, scale: int
) -> tuple[dict | None, dict[str, bytes]]:
    """Show what the loss weights of a crowded image are made of; None without any object."""
    maps = ImageArchive(path)
    known = images[images["name"].isin(maps.names) & (images["objects"] > 0)]
    known = known.sort_values(["objects", "name"], ascending=[False, True])[:CROWDED]
    if known.empty:
        return None, {}
    name = max(known["name"], key=lambda name: count_gap_pixels(maps.read(name), GAP))
    weight_map = maps.read(name)
    side = int(weight_map[..., 2].max())
    pictures = {
        "weight_map_photo.png": enlarge(photos.read(name, PHOTO), scale),
        "weight_map_distance.png": colour_plane(two_distances(weight_map), FARTHEST, scale),
        "weight_map_size.png": colour_plane(weight_map[..., 2], side, scale),
        "colour_bar.png": colour_bar(),
    }
    record = {"name": name, "farthest": FARTHEST, "side": side}
    return record, {file: encode_picture(picture) for file, picture in pictures.items()}


def _draw_overlays(
    args: argparse.Namespace, split: str, photos: ImageArchive, params: ReportParams
) -> tuple[dict[str, list], dict[str, bytes]]:
    """Return kind -> [(file, row of the image)] and the pictures of one split."""
    columns = {"name", "image_id", "tp", "fp", "fn", "f1_50", "dice"}
    table = _read_csv(args.evaluation / f"images_{split}.csv", columns)
    picked = pick_images(table.to_dict("records"), params.overlays)
    truth = read_json(args.prepared / TRUTH[split])["annotations"]
    predictions = read_json(args.predictions / f"{split}.json")
    matches = _read_parquet(args.evaluation / f"detections_{split}.parquet")
    shown, pictures = {}, {}
    for kind, rows in picked.items():
        shown[kind] = []
        for place, row in enumerate(rows, start=1):
            annotations = [a for a in truth if a["image_id"] == row["image_id"]]
            found = matches[matches["image_id"] == row["image_id"]].to_dict("records")
            outcomes = [
                (outcome, decode(rle))
                for outcome, rle in list_outcomes(annotations, found, predictions)
            ]
            picture = draw_outcomes(photos.read(row["name"], PHOTO), outcomes, params.scale)
            file = f"overlay_{split}_{kind}_{place}.png"
            pictures[file] = encode_picture(picture)
            shown[kind].append((file, row))
    return shown, pictures


def _read_curves(folder: Path, folds: list[int]) -> dict[int, dict[str, np.ndarray]]:
    curves = {}
    for fold in folds:
        table = _read_csv(folder / f"fold{fold}" / "curve.csv", CURVE_COLUMNS)
        curves[fold] = {name: table[name].to_numpy() for name in sorted(CURVE_COLUMNS)}
    return curves


def _read_ablation(path: Path) -> tuple[list[str], list]:
    table = _read_csv(path, {"experiment", "changes"}, dtype=str, na_values=[])
    columns = [name for name in table.columns if name not in ("experiment", "changes")]
    try:
        return columns, ablation_rows(table.to_dict("records"), columns)
    except ValueError as error:
        raise InputError(f"{path}: {error}; collect the experiments again") from None


def _read_csv(path: Path, columns: set[str], **options) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path}: no such file; run the stage that writes it")
    table = pd.read_csv(path, **({"keep_default_na": False, "na_values": [""]} | options))
    if not columns <= set(table.columns):
        missing = ", ".join(sorted(columns - set(table.columns)))
        raise InputError(f"{path}: has no column {missing}; run the stage that writes it again")
    return table


def _read_parquet(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path}: no such file; run evaluate")
    return pd.read_parquet(path)


def _render(**context) -> str:
    loader = jinja2.FileSystemLoader(TEMPLATE.parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template(TEMPLATE.name).render(context)


def _write(reports: Path, pictures: dict[str, bytes], texts: dict[str, str]) -> None:
    with new_folder(reports / "figures") as folder:
        for name, png in pictures.items():
            (folder / name).write_bytes(png)
    for name, text in texts.items():
        write_text(reports / name, text)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
