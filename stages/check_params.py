"""Refuse a params.yaml with an unknown key or a value out of range, before anything runs.

    python -m stages.check_params data/params_checked.txt

Every stage checks the sections it reads, but one late in the pipeline would do so after hours of
training, and a section whose name is misspelt would be read by none. All stages come after this
one; since it always writes the same, none of them runs again because of it.

Reads  params.yaml
Writes params_checked.txt  one line
"""

import argparse
from pathlib import Path
from typing import Any

from src.analysis.params import ErrorsParams
from src.base.files import write_text
from src.base.params import MEMBER_SECTIONS, check_sections, load_keys, load_params
from src.base.running import run_stage
from src.bundles.params import BundleParams
from src.data_pages.params import DataReportParams
from src.duplicates.params import FindDuplicatesParams
from src.exporting.params import ExportParams
from src.folds.fold_table import SplitFoldsParams
from src.judging.params import EvaluateParams
from src.label_errors.params import LabelErrorsParams
from src.label_maps.distances import WeightMapParams
from src.likeness.params import ValidateSplitParams
from src.losses.params import LossParams
from src.merging.params import EnsembleParams, StudentParams
from src.merging.soups import SoupsParams, soup_members, soup_names
from src.merging.sources import merged_sources
from src.networks.params import ModelParams
from src.objects.params import PostprocessParams
from src.outlines.params import OutlinesParams
from src.parallel.workers import WorkersParams
from src.planning.params import PlanParams
from src.predicting.allowed_views import ViewsParams
from src.predicting.params import PredictParams
from src.preparing.params import PrepareMasksParams
from src.pseudo_labelling.params import PseudoLabelParams
from src.reading.params import DatasetParams, ImagesParams
from src.reporting.params import ReportParams
from src.sample.params import SampleParams
from src.scoring.params import RescoreParams
from src.searching.params import SearchParams, searched_values
from src.training.launching import LauncherParams
from src.training.params import (
    AugmentParams,
    TrainParams,
    checked_training,
)
from src.training.trackers import TrackersParams

SECTIONS = {
    "sample": SampleParams,
    "workers": WorkersParams,
    "launcher": LauncherParams,
    "trackers": TrackersParams,
    "dataset": DatasetParams,
    "images": ImagesParams,
    "views": ViewsParams,
    "prepare_masks": PrepareMasksParams,
    "find_duplicates": FindDuplicatesParams,
    "validate_split": ValidateSplitParams,
    "split_folds": SplitFoldsParams,
    "plan": PlanParams,
    "weight_maps": WeightMapParams,
    "model": ModelParams,
    "loss": LossParams,
    "augment": AugmentParams,
    "train": TrainParams,
    "soups": SoupsParams,
    "pseudo_label": PseudoLabelParams,
    "student": StudentParams,
    "predict": PredictParams,
    "ensemble": EnsembleParams,
    "search": SearchParams,
    "postprocess": PostprocessParams,
    "rescore": RescoreParams,
    "outlines": OutlinesParams,
    "evaluate": EvaluateParams,
    "errors": ErrorsParams,
    "label_errors": LabelErrorsParams,
    "bundle": BundleParams,
    "export": ExportParams,
    "data_report": DataReportParams,
    "report": ReportParams,
}
CHECKED = "Every section and key of params.yaml is known, and every value is in its range.\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("checked", type=Path, help="file to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    check_sections(args.params, [*SECTIONS, "members"])
    read: dict[str, Any] = {  # each by its own model
        section: load_params(args.params, section, model) for section, model in SECTIONS.items()
    }
    members = load_keys(args.params, "members")
    for member in members:
        _check_training(args.params, member, read)
    _check_merging(args.params, members, read)
    searched_values(args.params, read["search"], read["postprocess"])
    write_text(args.checked, CHECKED)
    print(f"{args.params}: {len(read)} sections and {len(members)} members are in order")


def _check_training(path: Path, member: str, read: dict[str, Any]) -> None:
    """Make sure that the sections that train one member go together."""
    own: dict[str, Any] = {
        section: load_params(path, section, SECTIONS[section], member=member)
        for section in sorted(MEMBER_SECTIONS)
    }
    allowed, max_distance = read["views"].allowed, read["weight_maps"].max_distance
    checked_training(**own, allowed=allowed, max_distance=max_distance)


def _check_merging(path: Path, members: list[str], read: dict[str, Any]) -> None:
    """Make sure that the members, soups and students that are merged exist and have one name."""
    soups = read["soups"]
    for soup in soup_names(path, soups, members):
        soup_members(path, soups, soup, members)
    merged_sources(
        path,
        members=members,
        soups=soups,
        student=read["student"],
        ensemble=read["ensemble"],
        folds=read["split_folds"].folds,
    )


if __name__ == "__main__":
    run_stage(main)
