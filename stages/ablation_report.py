"""Make the report: one page with scores, curves, what was found and missed, and the ablations.

    python -m stages.ablation_report data/prepared data/weight_maps.zip data/models \
        data/predictions data/evaluation data/errors data/search \
        reports/metrics.json reports/ablation.csv reports

Reads  prepared/            images.zip, images.csv, rejected.csv, truth_{train,val}.json
       weight_maps.zip      uint8 (H, W, 3): d1, d2 in quarter pixels, sqrt(area)
       models/<member>/fold<k>/curve.csv  of every member and fold in the params
       predictions/{oof,val}.json, reliability.csv, second_level/importance.csv if there is one
       evaluation/, metrics.json, errors/       what `evaluate` and `analyse_errors` wrote
       search/chosen.json   the values of postprocess that were auto
       ablation.csv         experiment,changes, then one column per metric, intervals behind them
Writes index.html           self-contained: needs neither network nor other files
       figures/*.png        its pictures as files, uint8 RGB
       results.md, ablation.md                  its tables
"""

import argparse
import base64
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field

from src.base.errors import InputError
from src.base.files import new_folder, read_json, write_text
from src.base.params import Params, load_params
from src.folds.fold_table import SplitFoldsParams
from src.formats.archive import PHOTO, ImageArchive
from src.formats.rle import decode
from src.pages.pages import render_page
from src.reporting.figures import (
    error_fixes,
    feature_importance,
    learning_curves,
    precision_recall,
    rates_by_bin,
    reliability,
    score_histograms,
)
from src.reporting.overlays import (
    COLOURS,
    colour_bar,
    colour_plane,
    count_gap_pixels,
    draw_outcomes,
    encode_picture,
    enlarge,
    list_error,
    list_outcomes,
    two_distances,
    window_around,
)
from src.reporting.report_tables import (
    NO_INTERVAL,
    UNDEFINED,
    ablation_markdown,
    ablation_rows,
    headline_markdown,
    headline_rows,
    interval_rows,
    metric_columns,
    pick_images,
    set_rows,
)

TRUTH = {"oof": "truth_train.json", "val": "truth_val.json"}
CURVE_COLUMNS = {"phase", "lr", "train_loss", "fold_loss", "fold_dice"}
IMAGE_COLUMNS = {"name", "split", "file_name", "height", "width", "objects", "coverage"}
GAP = 10  # px, d1 + d2 between close neighbours
CROWDED = 32  # images with most objects; the one of them with most close neighbours is shown
FARTHEST = 40  # px, end of the colour bar of d1 + d2
WINDOW = 96  # px, around an error shown close up
KINDS = {  # of errors, in the order of the page
    "missed": "Missed objects",
    "merged": "Merged objects",
    "split": "Split objects",
    "poor_outline": "Poor outlines",
    "duplicate": "Duplicates",
    "spurious": "Spurious detections",
    "score_order": "Order of the scores",
}
RATES = {  # table, question -> title
    ("recall", "size"): "Recall by size (square root of the area)",
    ("recall", "neighbour_distance"): "Recall by distance to the nearest neighbour",
    ("recall", "neighbour_size"): "Recall by size of that neighbour",
    ("recall", "small_object"): "Recall of objects below 14 px in size",
    ("recall", "at_edge"): "Recall at the image's edge",
    ("precision", "size"): "Precision by size of the detection",
}


class MembersParams(Params):
    model_config = ConfigDict(extra="allow")  # names are free; train checks what is inside


class ReportParams(Params):
    overlays: int = Field(ge=1)  # images each of best, median and worst
    scale: int = Field(ge=1)  # enlargement of the pictures


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    paths = "prepared weight_maps models predictions evaluation errors search metrics ablation"
    for name in [*paths.split(), "reports"]:
        parser.add_argument(name, type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "report", ReportParams)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds
    members = load_params(args.params, "members", MembersParams).model_extra

    images = _read_csv(args.prepared / "images.csv", IMAGE_COLUMNS)
    photos = ImageArchive(args.prepared / "images.zip")
    splits, headline, further = _read_metrics(args.metrics, args.evaluation / "metrics.csv")
    columns, ablation = _read_ablation(args.ablation)
    chosen = read_json(args.search / "chosen.json")
    curves = {member: _read_curves(args.models / member, folds) for member in members}
    judged = [split for split in reversed(splits) if split in TRUTH]  # val before oof
    pictures = _score_figures(args.evaluation, args.predictions, splits)
    for member in members:
        pictures[f"learning_curves_{member}.png"] = learning_curves(curves[member])
    crowded, drawn = _draw_weight_map(images, photos, args.weight_maps, params.scale)
    pictures |= drawn | _error_figures(args.errors, judged[::-1])
    overlays, gallery, gallery_of = {}, {}, ""
    for split in judged:
        tables = _read_tables(args, split)
        overlays[split], drawn = _draw_overlays(split, tables, photos, params)
        pictures |= drawn
        if not gallery:  # of val if there is one
            gallery_of = split
            gallery, drawn = _draw_errors(split, tables, photos, params)
            pictures |= drawn
    page = render_page(
        "reporting/report.html.jinja",
        splits=splits,
        headline=headline,
        further=further,
        contents=set_rows(images.astype(object).where(images.notna(), None).to_dict("records")),
        rejected=len(_read_csv(args.prepared / "rejected.csv", {"file", "reason"})),
        members=list(members),
        crowded=crowded,
        overlays=overlays,
        gallery=gallery,
        gallery_of=gallery_of,
        kinds=KINDS,
        chosen=chosen,
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


def _read_metrics(metrics: Path, table: Path) -> tuple[list[str], list, list]:
    """Return splits, rows of the headline, and rows of all other metrics, with intervals."""
    splits, headline = headline_rows(read_json(metrics))
    columns = {"split", "images", "metric", "value", "low", "high"}
    rows = _read_csv(table, columns, dtype=str, na_values=[]).to_dict("records")
    texts = {}
    for images, behind in (("all", ""), ("clean", "_clean")):
        known, told = interval_rows(rows, images)
        for name, words, of_splits in told:
            texts[name + behind] = words, dict(zip(known, of_splits, strict=True))
    shown = []
    for name, words, plain in headline:
        told = texts.get(name, (words, {}))[1]
        pairs = zip(splits, plain, strict=True)
        known = [told.get(s, text) if text != UNDEFINED else text for s, text in pairs]
        shown.append((name, words, known))
    listed = {name for name, _, _ in headline}
    further = [
        (name, words, [told.get(split, UNDEFINED) for split in splits])
        for name, (words, told) in texts.items()
        if name not in listed and not name.endswith("_clean")
    ]
    return splits, shown, further


def _score_figures(evaluation: Path, predictions: Path, splits: list[str]) -> dict[str, bytes]:
    splits = [split for split in splits if split in TRUTH]
    curves, scores, promised = {}, {}, {}
    columns = {"split", "count", "mean_score", "hit_rate"}
    bins = _read_csv(predictions / "reliability.csv", columns)
    for split in splits:
        path = evaluation / f"precision_recall_{split}.csv"
        table = _read_csv(path, {"recall", "precision"})
        curves[split] = (table["recall"].to_numpy(float), table["precision"].to_numpy(float))
        table = _read_parquet(evaluation / f"detections_{split}.parquet")
        wrong = ~table["tp"] & ~table["ignored"]
        scores[split] = (table["score"][table["tp"]].to_numpy(), table["score"][wrong].to_numpy())
        table = bins[(bins["split"] == split) & (bins["count"] > 0)]
        if len(table):
            columns = table[["mean_score", "hit_rate", "count"]].to_numpy(float)
            promised[split] = tuple(columns.T)
    pictures = {
        "precision_recall.png": precision_recall(curves),
        "scores.png": score_histograms(scores),
    }
    if promised:
        pictures["reliability.png"] = reliability(promised)
    gains = predictions / "second_level" / "importance.csv"
    if gains.is_file():
        table = _read_csv(gains, {"feature", "gain"})
        shares = dict(zip(table["feature"], table["gain"].astype(float), strict=True))
        pictures["feature_importance.png"] = feature_importance(shares)
    return pictures


def _error_figures(errors: Path, splits: list[str]) -> dict[str, bytes]:
    fixes, rates = {}, {title: {} for title in RATES.values()}
    for split in splits:
        table = _read_csv(errors / f"fixes_{split}.csv", {"kind", "count", "regained"})
        table = table.set_index("kind").loc[list(KINDS)]
        if table["regained"].notna().all():  # else there is no object, or no loss
            numbers = zip(KINDS.values(), table["count"], table["regained"], strict=True)
            fixes[split] = [(words, int(count), float(share)) for words, count, share in numbers]
        for (name, question), title in RATES.items():
            table = _read_csv(errors / f"{name}_{split}.csv", {"question", "bin", name})
            rows = table[table["question"] == question].iloc[:, 1:].to_numpy(object)
            rates[title][split] = [
                (label, int(count), float(rate)) for label, count, _, rate in rows
            ]
    pictures = {"rates.png": rates_by_bin(rates)} if splits else {}
    return pictures | ({"fixes.png": error_fixes(fixes)} if fixes else {})


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


def _read_tables(args: argparse.Namespace, split: str) -> dict:
    """Read what the pictures of one split are drawn from."""
    columns = {"name", "image_id", "tp", "fp", "fn", "f1_50", "dice"}
    judged = {"name", "detection", "kind", "truth_id"}
    return {
        "images": _read_csv(args.evaluation / f"images_{split}.csv", columns),
        "truth": read_json(args.prepared / TRUTH[split])["annotations"],
        "predictions": read_json(args.predictions / f"{split}.json"),
        "matches": _read_parquet(args.evaluation / f"detections_{split}.parquet"),
        "worst": _read_csv(args.errors / f"worst_{split}.csv", {"kind", "name", "errors", "share"}),
        "objects": _read_csv(args.errors / f"objects_{split}.csv", {"name", "truth_id", "outcome"}),
        "wrong": _read_csv(args.errors / f"detections_{split}.csv", judged),
    }


def _draw_overlays(
    split: str, tables: dict, photos: ImageArchive, params: ReportParams
) -> tuple[dict[str, list], dict[str, bytes]]:
    """Return kind -> [(file, row of the image)] and the pictures of one split."""
    images = tables["images"].to_dict("records")
    picked = pick_images(images, params.overlays)
    worst = tables["worst"]
    errors = worst[worst["kind"] == "all"].set_index("name")["errors"].to_dict()
    told = {row["name"]: row for row in images}
    picked["most errors"] = [told[name] for name in errors]
    shown, pictures = {}, {}
    for kind, rows in picked.items():
        shown[kind] = []
        for place, row in enumerate(rows, start=1):
            annotations = [a for a in tables["truth"] if a["image_id"] == row["image_id"]]
            found = tables["matches"]
            found = found[found["image_id"] == row["image_id"]].to_dict("records")
            outcomes = [
                (outcome, decode(rle))
                for outcome, rle in list_outcomes(annotations, found, tables["predictions"])
            ]
            picture = draw_outcomes(photos.read(row["name"], PHOTO), outcomes, params.scale)
            file = f"overlay_{split}_{kind.replace(' ', '_')}_{place}.png"
            pictures[file] = encode_picture(picture)
            shown[kind].append((file, row))
    return shown, pictures


def _draw_errors(
    split: str, tables: dict, photos: ImageArchive, params: ReportParams
) -> tuple[dict[str, list], dict[str, bytes]]:
    """Show of each kind of error the largest one in the images that have most of that kind."""
    truth = {annotation["id"]: annotation for annotation in tables["truth"]}
    shown, pictures = {}, {}
    for row in tables["worst"].to_dict("records"):
        kind, name = row["kind"], row["name"]
        if kind not in KINDS or row["place"] > 2 * params.overlays:
            continue
        objects, wrong = (
            tables[table][tables[table]["name"] == name].to_dict("records")
            for table in ("objects", "wrong")
        )
        listed = list_error(kind, objects, wrong, truth, tables["predictions"])
        outcomes = [(outcome, decode(rle)) for outcome, rle in listed]
        around = [mask for outcome, mask in outcomes if outcome == "fn"]
        around = around or [mask for outcome, mask in outcomes if outcome == "fp"]
        window = window_around(max(around, key=np.count_nonzero), WINDOW)
        photo = photos.read(name, PHOTO)[window]
        outcomes = [(outcome, np.ascontiguousarray(mask[window])) for outcome, mask in outcomes]
        picture = draw_outcomes(np.ascontiguousarray(photo), outcomes, params.scale)
        file = f"error_{split}_{kind}_{row['place']}.png"
        pictures[file] = encode_picture(picture)
        shown.setdefault(kind, []).append((file, row))
    return shown, pictures


def _read_curves(folder: Path, folds: list[int]) -> dict[int, dict[str, np.ndarray]]:
    curves = {}
    for fold in folds:
        table = _read_csv(folder / f"fold{fold}" / "curve.csv", CURVE_COLUMNS)
        curves[fold] = {name: table[name].to_numpy() for name in sorted(CURVE_COLUMNS)}
    return curves


def _read_ablation(path: Path) -> tuple[list[str], list]:
    table = _read_csv(path, {"experiment", "changes"}, dtype=str, na_values=[])
    columns = metric_columns(list(table.columns))
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
