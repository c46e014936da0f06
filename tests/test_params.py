"""params.yaml must fit what the stages accept, member by member."""

import importlib
import inspect
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from src.base.params import MEMBER_SECTIONS, Params, load_params

ROOT = Path(__file__).parents[1]
PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
MODELS = {
    "sample": "make_sample.SampleParams",
    "dataset": "prepare_masks.DatasetParams",
    "images": "prepare_masks.ImagesParams",
    "workers": "prepare_masks.WorkersParams",
    "find_duplicates": "find_duplicates.FindDuplicatesParams",
    "validate_split": "validate_split.ValidateSplitParams",
    "pseudo_label": "src.pseudo_labelling.params.PseudoLabelParams",
    "student": "src.merging.params.StudentParams",
    "data_report": "data_report.DataReportParams",
    "views": "src.formats.allowed_views.ViewsParams",
    "prepare_masks": "prepare_masks.PrepareMasksParams",
    "split_folds": "split_folds.SplitFoldsParams",
    "weight_maps": "compute_weight_maps.WeightMapParams",
    "model": "train.ModelParams",
    "loss": "train.LossParams",
    "augment": "train.AugmentParams",
    "train": "train.TrainParams",
    "predict": "src.predicting.params.PredictParams",
    "ensemble": "src.merging.params.EnsembleParams",
    "search": "src.searching.params.SearchParams",
    "postprocess": "src.objects.params.PostprocessParams",
    "rescore": "src.scoring.params.RescoreParams",
    "evaluate": "src.judging.params.EvaluateParams",
    "errors": "src.analysis.params.ErrorsParams",
    "export": "src.exporting.params.ExportParams",
    "report": "src.reporting.params.ReportParams",
}


def model_of(section):
    module, name = MODELS[section].rsplit(".", 1)
    return getattr(importlib.import_module(module if "." in module else f"stages.{module}"), name)


@pytest.mark.parametrize("section", MODELS)
def test_the_default_of_every_section_is_accepted(section):
    load_params(ROOT / "params.yaml", section, model_of(section))


def test_every_section_belongs_to_a_stage():
    assert set(PARAMS) == set(MODELS) | {"members", "soups"}


@pytest.mark.parametrize("member", PARAMS["members"])
@pytest.mark.parametrize("section", sorted(MEMBER_SECTIONS))
def test_every_member_is_accepted(member, section):
    load_params(ROOT / "params.yaml", section, model_of(section), member=member)


def test_every_line_of_params_says_what_it_is():
    lines = (ROOT / "params.yaml").read_text().splitlines()
    knobs = [n for n in lines if ":" in n and not n.rstrip().endswith(":") and n.startswith("  ")]
    bare = [n for n in knobs if "#" not in n and "{}" not in n]
    known = ("freeze_encoder", "epochs", "lr", "seed", "optimiser")  # plain words
    assert [n for n in bare if n.split(":")[0].strip(" -") not in known] == []


@pytest.mark.parametrize("section", MODELS)
def test_no_knob_has_a_default_in_code(section):
    model = model_of(section)
    assert [n for n, field in model.model_fields.items() if not field.is_required()] == []


def test_every_params_model_of_the_stages_is_listed_or_a_part_of_one():
    named = {model_of(section) for section in MODELS}
    parts = {"FoldParams", "SplitFoldsParams", "MembersParams", "SoupsParams", "Phase"}
    parts |= {"ViewsParams", "WeightMapParams"}  # of stages that read them beside their owner
    for script in (ROOT / "stages").glob("*.py"):
        module = importlib.import_module(f"stages.{script.stem}")
        for name, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, Params) and value is not Params and name not in parts:
                assert value in named, name
