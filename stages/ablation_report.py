"""Make the report: one page with scores, curves, what was found and missed, and the ablations.

    python -m stages.ablation_report data/prepared data/weight_maps.zip data/models \
        data/ensemble data/predictions data/evaluation data/errors data/label_errors data/search \
        reports/metrics.json reports/ablation.csv reports --events .tensorboard

Reads  prepared/            {train,val,test}/images.csv and images.zip, {train,val}/truth.json,
                            rejected.csv
       weight_maps.zip      uint8 (H, W, 3): d1, d2 in quarter pixels, sqrt(area)
       models/<member>/fold<k>/curve.csv  of every member and fold in the params
       ensemble/{oof,val,test}.zip  uint8 (H, W): probability * 255
       predictions/{oof,val,test}.json, reliability.csv, second_level/importance.csv and
                            operating_point.json if there are such
       evaluation/, metrics.json, errors/       what `evaluate` and `analyse_errors` wrote
       label_errors/objects.csv  what find_label_errors listed
       search/chosen.json   the values of postprocess that were auto
       ablation.csv         experiment,changes,data, then one column per metric, intervals behind
                            them; shown are the rows of the data that metrics.json names
Writes index.html           self-contained: needs neither network nor other files, but the folder
                            below where report.images is beside
       figures/*.png        its pictures as files, uint8 RGB; images/*.webp beside them likewise:
                            <n>.webp and <n>_map.webp of the n-th image that is explored
       results.md, ablation.md                  its tables
       curves.csv          what DVC draws of all members and folds: network, epoch, losses, Dice
Keeps  made.txt            when, where and from which commit the page was made, and how long
                           training took where --events holds what was written for TensorBoard by
                           the training of these models; no output of DVC, as it differs each time
"""

import argparse
import base64
from pathlib import Path
from typing import Any, cast

from src.acceptance.operating_point import read_operating_point
from src.base.files import new_folder, read_json, write_text
from src.base.params import load_keys, load_params
from src.base.running import run_stage
from src.folds.fold_table import SplitFoldsParams
from src.formats.archive import ImageArchive
from src.formats.prepared import SPLITS, open_photos, read_images, read_picture
from src.formats.tables import read_table, write_table
from src.maps.map_folder import file_of
from src.objects.chosen_values import read_chosen
from src.pages.pages import render_page
from src.reading.params import DatasetParams
from src.reporting.ablations import NO_BASELINE, NO_INTERVAL, ablation_markdown, read_ablations
from src.reporting.error_figures import KINDS, draw_errors
from src.reporting.forest import forests
from src.reporting.galleries import SPLIT_OF, draw_close_ups, read_judged
from src.reporting.image_sets import set_rows
from src.reporting.label_error_pictures import LABEL_ERRORS, draw_label_errors, read_suspects
from src.reporting.operating_points import operating_sentence
from src.reporting.overlays import COLOURS
from src.reporting.page_data import PageSet, judged_set, page_data, unjudged_set
from src.reporting.params import ReportParams
from src.reporting.provenance import data_set_name, made_text, provenance
from src.reporting.score_figures import draw_scores
from src.reporting.scores import JUDGES, headline_markdown, read_scores, title_of
from src.reporting.shown_copies import map_copy, photo_copy, place_copies
from src.reporting.training_figures import draw_training, joined_curves
from src.reporting.weight_pictures import draw_weight_map

HEAVY = 60  # MB of a page


def main(argv: list[str] | None = None) -> None:
    args = _arguments(argv)
    params = load_params(args.params, "report", ReportParams)
    data_set = data_set_name(load_params(args.params, "dataset", DatasetParams).root)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds
    members = load_keys(args.params, "members")

    images = read_images(args.prepared, *SPLITS)
    photos = open_photos(args.prepared, *SPLITS)
    rejected = read_table(args.prepared / "rejected.csv", "prepare_masks", ("file", "reason"))
    scores = read_scores(args.metrics, args.evaluation / "metrics.csv")
    limits = read_table(args.evaluation / "detection_limit.csv", "evaluate", ("warning",))
    point = args.predictions / "operating_point.json"
    points = read_operating_point(point) if point.exists() else None
    ablations = read_ablations(args.ablation, scores.data)
    splits = [split for split in scores.splits if split in SPLIT_OF]

    pictures = draw_scores(args.evaluation, args.predictions, splits)
    pictures |= draw_errors(args.errors, splits)
    minutes, drawn = draw_training(args.models, args.events, members, folds)
    pictures |= drawn
    crowded, drawn = draw_weight_map(images, photos, args.weight_maps, params.scale)
    pictures |= drawn
    folders = (args.prepared, args.predictions, args.evaluation, args.errors)
    judged = [read_judged(split, *folders) for split in reversed(splits)]  # val before oof
    close_ups, close_ups_of = {}, ""
    for one in judged:
        if not close_ups:  # of val if there is one
            close_ups_of = one.split
            close_ups, drawn = draw_close_ups(one, photos, params)
            pictures |= drawn
    suspects = read_suspects(args.label_errors / "objects.csv")
    labels = {}
    for one in judged:
        if one.split == "oof":
            labels, drawn = draw_label_errors(suspects, one, photos, params)
            pictures |= drawn

    of_test = images[images["split"] == "test"]
    sets = [judged_set(one, images, points) for one in judged]
    sets.append(unjudged_set(args.predictions / "test.json", of_test, points))
    title = title_of(data_set, scores)
    data = page_data(title, cast("dict", read_json(args.metrics)), sets, images)
    copies = _copies(sets, photos, args.ensemble, params.side)

    context: dict[str, Any] = dict(
        title=title,
        data_set=data_set,
        scores=scores,
        judges=JUDGES,
        operating_point=operating_sentence(points) if points else "",
        warnings=[warning for warning in limits["warning"] if warning],
        contents=set_rows(images),
        rejected=len(rejected),
        members=members,
        crowded=crowded,
        close_ups=close_ups,
        close_ups_of=close_ups_of,
        kinds=KINDS,
        labels=labels,
        label_errors=LABEL_ERRORS,
        suspects=len(suspects),
        chosen=read_chosen(args.search / "chosen.json"),
        file_names=dict(zip(images["name"], images["file_name"], strict=True)),
        colours={name: "rgb" + str(colour) for name, colour in COLOURS.items()},
        ablations=ablations,
        forests=forests(ablations),
        data=data,
        no_baseline=NO_BASELINE,
        no_interval=NO_INTERVAL,
        embedded={name: base64.b64encode(png).decode() for name, png in pictures.items()},
    )
    texts = {
        "results.md": headline_markdown(scores.splits, scores.headline),
        "ablation.md": ablation_markdown(ablations),
    }
    page = _write(args.reports, pictures, copies, context, texts, params)
    write_table(args.reports / "curves.csv", joined_curves(args.models, members, folds))
    write_text(args.reports / "made.txt", made_text(provenance(), page, minutes))
    _tell_size(args.reports / "index.html", len(pictures), len(copies))


def _tell_size(page: Path, pictures: int, images: int) -> None:
    size = page.stat().st_size / 1e6
    print(f"{pictures} pictures, {images} images -> {page}, {size:.1f} MB")
    if size > HEAVY:
        print("browsers open so large a page slowly; report.images: beside makes it small")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    paths = "prepared weight_maps models ensemble predictions evaluation errors label_errors search"
    paths += " metrics ablation"
    for name in [*paths.split(), "reports"]:
        parser.add_argument(name, type=Path)
    parser.add_argument("--events", type=Path, help="folder of TensorBoard events, may be absent")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    return parser.parse_args(argv)


def _copies(
    sets: list[PageSet], photos: dict[str, ImageArchive], ensemble: Path, side: int
) -> list[tuple[bytes, bytes]]:
    """Encode the photo and the map of every image of the sets, in their order."""
    copies = []
    for one in sets:
        if one.images:
            maps = ImageArchive(ensemble / file_of(one.record["name"], "mask"))
            names = [image["name"] for image in one.images]
            copies += [
                (photo_copy(read_picture(photos, name), side), map_copy(maps.read(name), side))
                for name in names
            ]
    return copies


def _write(
    reports: Path,
    pictures: dict[str, bytes],
    copies: list[tuple[bytes, bytes]],
    context: dict,
    texts: dict[str, str],
    params: ReportParams,
) -> str:
    """Write the pictures, then the page, which tells where the copies are, and the tables.

    The page is returned.
    """
    with new_folder(reports / "figures") as folder:
        for name, png in pictures.items():
            (folder / name).write_bytes(png)
        beside = params.images == "beside"
        if beside:
            (folder / "images").mkdir()
        told = place_copies(copies, folder / "images" if beside else None)
        shown = {"folder": "figures/images" if beside else None, "copies": told}
        page = render_page("reporting/report.html.jinja", shown_pictures=shown, **context)
    for name, text in {"index.html": page, **texts}.items():
        write_text(reports / name, text)
    return page


if __name__ == "__main__":
    run_stage(main)
