"""The whole pipeline on a small sample: its figures, its second run, and what each edit reruns."""

import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from ruamel.yaml import YAML

from src.base.errors import InputError
from src.parallel import workers
from tests.small_repository import (
    dvc,
    dvc_run,
    read_params,
    small_repository,
    write_params,
)

ROOT = Path(__file__).parents[1]
EXPECTED = json.loads((Path(__file__).parent / "pipeline_metrics.json").read_text())
# Float arithmetic differs between processors, and training carries the difference on.
TOLERANCE = {"ap50": 0.15, "f1_50": 0.15, "dice_mean": 0.08}
CHECK = "data/dvc.yaml:check_params"
TRAINING = {"train@main-0", "train@main-1"}
PREDICTION = {"predict@main-0", "predict@main-1"}
AFTER_PREDICTION = {"ensemble", "search_postprocess", "postprocess", "rescore", "evaluate"}
AFTER_PREDICTION |= {"analyse_errors", "find_label_errors", "export", "bundle"}
AFTER_PREDICTION |= {"ablation_report"}
READ_FOLDS = {"split_folds", "ensemble", "search_postprocess", "postprocess", "rescore"}
READ_FOLDS |= {"evaluate", "analyse_errors", "find_label_errors", "ablation_report", "plan"}
READ_FOLDS |= {"bundle"}
PARALLEL = {"data/dvc.yaml:make_sample", "prepare_masks", "find_duplicates", "validate_split"}
PARALLEL |= {"compute_weight_maps", "search_postprocess", "postprocess", "evaluate"}
PARALLEL |= {"analyse_errors", "find_label_errors", "export", "plan"}
OF_IMAGES = PARALLEL - {"data/dvc.yaml:make_sample", "search_postprocess"}  # nothing to search
JUDGING = {"rescore", "evaluate", "analyse_errors"}
PLANNING = {"plan"}
MAPS = {"search_postprocess", "postprocess"}
BUNDLE = {"bundle"}  # does what a network, maps and candidates go through
DATA = {"prepare_masks", "find_duplicates", "validate_split", "split_folds"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A copy of the repository with a small sample, reproduced once."""
    root = small_repository(tmp_path_factory.mktemp("repository"))
    dvc(root, "repro")
    return root


def set_param(params, key, value):
    *sections, name = key.split(".")
    for section in sections:
        params = params[section]
    assert params.get(name) != value
    params[name] = value


@pytest.fixture
def edit(repository):
    """Function that edits a param or a source file; undone afterwards."""
    kept = {}

    def edit(target, value=None):
        path = repository / (target if target.endswith(".py") else "params.yaml")
        kept.setdefault(path, path.read_text())
        if target.endswith(".py"):
            path.write_text(path.read_text() + "\n# an edit\n")
        else:
            params = read_params(repository)
            set_param(params, target, value)
            write_params(repository, params)

    yield edit
    for path, text in kept.items():
        path.write_text(text)


def stages_run(output):
    return set(re.findall(r"Running stage '([^']+)'", output))


def stages_changed(root):
    """Stages that would run, but for the check of all params, which nothing follows."""
    return set(json.loads(dvc(root, "status", "--json"))) - {CHECK}


def test_the_figures_are_those_stored(repository):
    metrics = json.loads((repository / "reports/metrics.json").read_text())
    for key, expected in EXPECTED.items():
        assert metrics[key] == pytest.approx(expected, abs=TOLERANCE[key.split(".")[1]]), key


def test_every_tile_is_predicted_and_reported(repository):
    metrics = json.loads((repository / "reports/metrics.json").read_text())
    assert (metrics["oof.images"], metrics["val.images"]) == (40, 12)
    assert len(json.loads((repository / "data/predictions/test.json").read_text())) > 0
    assert "oof" in (repository / "reports/results.md").read_text()
    assert (repository / "reports/index.html").stat().st_size > 50_000


def test_a_second_run_does_nothing(repository):
    assert "Data and pipelines are up to date" in dvc(repository, "repro")


@pytest.mark.parametrize(
    ("key", "value", "stages"),
    [
        ("sample.seed", 5, {"data/dvc.yaml:make_sample"}),
        ("dataset.category_id", 7, {"prepare_masks", "export", "ablation_report"}),
        ("prepare_masks.edge_width", 3, {"prepare_masks"}),
        ("images.orientation", "apply", {"prepare_masks", "bundle"}),
        ("workers.scheduler", "tcp://localhost:8786", PARALLEL),
        ("find_duplicates.distance", 3, {"find_duplicates"}),
        ("validate_split.trees", 50, {"validate_split"}),
        ("split_folds.seed", 5, READ_FOLDS),
        ("data_report.clusters", 2, {"data_report"}),
        ("pseudo_label.low", 0.1, set()),
        ("trackers.project", "other", set()),  # who is told changes no network
        ("student.weight", 0.5, {"ensemble", "bundle"}),
        ("weight_maps.max_distance", 20, {"compute_weight_maps"} | TRAINING),
        ("views.allowed", "d2", TRAINING | PREDICTION | BUNDLE),
        ("plan.steps", 100, PLANNING),
        ("model.resize", 2.0, TRAINING | PLANNING),
        ("loss.sigma", 7.0, TRAINING | PLANNING),
        ("augment.rotate", 5.0, TRAINING),
        ("train.weight_decay", 0.02, TRAINING | PLANNING),
        (
            "members.main.loss",
            {"sigma": 9.0},
            TRAINING | PLANNING | {"ensemble", "ablation_report", "bundle"},
        ),
        ("predict.views", "d4", PREDICTION | BUNDLE),
        ("ensemble.merge", "gmean", {"ensemble", "bundle"}),
        ("search.metric", "f1_50", {"search_postprocess"}),
        ("postprocess.min_area", 9, {"search_postprocess", "postprocess", "bundle"}),
        ("rescore.score", "constant", {"rescore"}),
        ("evaluate.max_detections", 10, {"evaluate"}),
        ("errors.gallery", 2, {"analyse_errors"}),
        ("outlines.simplify", 1.0, {"evaluate", "export"}),
        ("label_errors.least", 0.4, {"find_label_errors"}),
        ("bundle.licence", "CC0", {"bundle"}),
        ("report.scale", 1, {"ablation_report"}),
    ],
)
def test_a_param_reaches_exactly_the_stages_that_read_it(repository, edit, key, value, stages):
    edit(key, value)
    assert stages_changed(repository) == stages


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        ("src/parallel/workers.py", PARALLEL),
        ("src/sample/footprints.py", {"data/dvc.yaml:make_sample"}),
        ("src/image_files/geotiff.py", {"prepare_masks", "find_duplicates", "export", "bundle"}),
        ("src/preparing/instances.py", {"prepare_masks"}),
        ("src/reading/segmentations.py", {"prepare_masks"}),
        ("src/duplicates/perceptual_hash.py", {"find_duplicates"}),
        ("src/likeness/split_classifier.py", {"validate_split"}),
        ("src/dividing/assignment.py", {"split_folds"}),
        (
            "src/label_maps/distances.py",
            {"compute_weight_maps", "data_report"} | TRAINING | PLANNING,
        ),
        ("src/planning/choices.py", PLANNING),
        ("src/losses/mask_loss.py", TRAINING),
        ("src/training/loop.py", TRAINING),
        ("src/networks/network_input.py", TRAINING | PREDICTION | PLANNING | BUNDLE),
        ("src/predicting/views.py", TRAINING | PREDICTION | BUNDLE),
        ("src/networks/model.py", TRAINING | PREDICTION | PLANNING | BUNDLE),
        ("src/maps/probability_maps.py", PREDICTION | {"ensemble", "bundle"}),
        (
            "src/maps/map_folder.py",
            PREDICTION | {"ensemble", "ablation_report", "find_label_errors"} | MAPS | BUNDLE,
        ),
        ("src/merging/sources.py", {"ensemble", "bundle"}),
        ("src/searching/combinations.py", {"search_postprocess"}),
        ("src/objects/objects.py", {"search_postprocess", "postprocess", "bundle"}),
        ("src/candidates/candidate_features.py", {"postprocess", "bundle"}),
        ("src/scoring/second_level.py", {"rescore", "bundle"}),
        ("src/scoring/scores.py", {"rescore", "bundle"}),
        ("src/scoring/selection.py", {"rescore", "bundle"}),
        ("src/judging/coco_evaluation.py", {"evaluate"}),
        ("src/judging/bootstrap.py", {"evaluate"}),
        ("src/judging/group_draws.py", {"evaluate", "validate_split", "rescore", "bundle"}),
        ("src/parts/image_parts.py", MAPS | {"rescore", "bundle"}),
        (
            "src/matching/matching.py",
            JUDGING | {"search_postprocess", "bundle", "find_label_errors"},
        ),
        ("src/analysis/outcomes.py", {"analyse_errors"}),
        ("src/outlines/polygons.py", {"evaluate", "export"}),
        ("src/label_errors/disagreement.py", {"find_label_errors"}),
        ("src/bundles/reading.py", {"bundle"}),
        ("src/reporting/figures.py", {"ablation_report"}),
    ],
)
def test_a_module_reaches_exactly_the_stages_that_import_it(repository, edit, module, stages):
    edit(module)
    assert stages_changed(repository) == stages


@pytest.fixture(scope="module")
def own_data(repository, tmp_path_factory):
    """Another copy of the repository, with the sample as data of one's own."""
    root = tmp_path_factory.mktemp("own") / "repository"
    shutil.copytree(repository, root, symlinks=True)
    shutil.copytree(root / "data/sample", root / "data/raw/mine")
    params = read_params(root)
    params["dataset"]["root"] = "data/raw/mine"
    write_params(root, params)
    assert stages_run(dvc(root, "repro", "train")) == {CHECK, "prepare_masks"}
    return root


def annotation_of(root, split):
    return json.loads((root / f"data/raw/mine/{split}/annotation.json").read_text())


def write_annotation(root, split, document):
    (root / f"data/raw/mine/{split}/annotation.json").write_text(json.dumps(document))


def add_image(root, split):
    """Add a turned copy of an image, with an object where there are labels."""
    folder = root / "data/raw/mine" / ("test_images" if split == "test" else f"{split}/images")
    image = cv2.imread(str(folder / "000001.jpg"))
    cv2.imwrite(str(folder / "900000.jpg"), image[::-1, ::-1] // 2)
    if split != "test":
        document = annotation_of(root, split)
        twin = next(one for one in document["images"] if one["file_name"] == "000001.jpg")
        document["images"].append(twin | {"id": 900, "file_name": "900000.jpg", "group": "new"})
        square = {"segmentation": [[40, 40, 60, 40, 60, 60, 40, 60]], "area": 400, "iscrowd": 0}
        square |= {"id": 90_000, "image_id": 900, "bbox": [40, 40, 20, 20], "category_id": 100}
        document["annotations"].append(square)
        write_annotation(root, split, document)


def change_image(root, split):
    folder = root / "data/raw/mine" / ("test_images" if split == "test" else f"{split}/images")
    image = cv2.imread(str(folder / "000002.jpg"))
    cv2.imwrite(str(folder / "000002.jpg"), 255 - image)


def remove_image(root, split):
    folder = root / "data/raw/mine" / ("test_images" if split == "test" else f"{split}/images")
    (folder / "000003.jpg").unlink()
    if split != "test":
        document = annotation_of(root, split)
        gone = next(one for one in document["images"] if one["file_name"] == "000003.jpg")["id"]
        document["images"] = [one for one in document["images"] if one["id"] != gone]
        kept = [one for one in document["annotations"] if one["image_id"] != gone]
        write_annotation(root, split, document | {"annotations": kept})


@pytest.mark.parametrize("how", [add_image, change_image, remove_image])
@pytest.mark.parametrize("split", ["test", "val"])
def test_an_image_of_another_split_trains_nothing(own_data, split, how):
    how(own_data, split)
    ran = stages_run(dvc(own_data, "repro", "train"))
    assert {"prepare_masks", "find_duplicates"} <= ran <= DATA
    assert stages_changed(own_data) >= PREDICTION
    assert stages_changed(own_data).isdisjoint(TRAINING | {"compute_weight_maps"})


@pytest.mark.parametrize("how", [add_image, change_image, remove_image])
def test_an_image_of_train_trains_every_network(own_data, how):
    how(own_data, "train")
    ran = stages_run(dvc(own_data, "repro", "split_folds"))
    assert {"prepare_masks", "find_duplicates"} <= ran <= DATA
    assert stages_changed(own_data) >= TRAINING | PREDICTION


def test_an_edit_without_effect_reruns_its_stage_and_nothing_after_it(repository, edit):
    edit("src/judging/bootstrap.py")
    assert stages_run(dvc(repository, "repro")) == {"evaluate"}


def test_a_plan_with_the_same_values_reruns_nothing_but_the_page_of_its_reasons(repository, edit):
    dvc(repository, "repro")  # takes back what the tests before edited
    before = (repository / "data/plan/plan.json").read_text()
    edit("plan.steps", 401)  # the reason names it, but as many epochs come of it
    assert stages_run(dvc(repository, "repro", "plan")) == {"plan", CHECK}
    assert (repository / "data/plan/plan.json").read_text() != before
    assert stages_changed(repository) == {"data_report"}


def test_another_value_of_the_plan_reruns_those_that_read_its_section(repository, edit):
    dvc(repository, "repro")  # takes back what the tests before edited
    edit("loss.sigma", 9.0)  # so that distances are measured further
    dvc(repository, "repro", "plan")
    assert stages_changed(repository) == TRAINING | {"compute_weight_maps", "data_report"}


def test_a_postprocessing_param_trains_nothing(repository, edit):
    edit("postprocess.min_area", 40)
    ran = stages_run(dvc(repository, "repro"))
    assert ran == AFTER_PREDICTION - {"ensemble"} | {CHECK}


def test_a_loss_param_reruns_training_and_what_follows_and_nothing_before(repository, edit):
    edit("loss.dice_weight", 5.0)
    ran = stages_run(dvc(repository, "repro"))
    # The plan reads this section too, for sigma; nothing before it runs.
    assert ran == TRAINING | PREDICTION | AFTER_PREDICTION | {CHECK, "plan"}


def test_a_wrong_param_stops_with_one_sentence(repository, edit):
    edit("postprocess.treshold", 0.4)
    paths = ["data/folds.csv", "data/ensemble", "data/plan", "data/search", "data/candidates"]
    command = [sys.executable, "-m", "stages.postprocess", *paths]
    run = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.strip() == (
        "params.yaml: postprocess.treshold: unknown key; did you mean threshold?"
    )


@pytest.mark.parametrize("stage", sorted(OF_IMAGES))
def test_an_image_that_memory_has_no_room_for_is_refused_by_each_stage(
    repository, monkeypatch, stage
):
    command = YAML(typ="safe").load((repository / "dvc.lock").read_text())["stages"][stage]["cmd"]
    module, *arguments = shlex.split(command)[2:]
    monkeypatch.chdir(repository)
    monkeypatch.setattr(workers, "available_memory", lambda: 1000)  # bytes
    with pytest.raises(InputError, match=r"^one of the images takes 0\.0 GB .*cut the image into"):
        importlib.import_module(module).main(arguments)
    assert not list(repository.rglob("*.partial"))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("postprocess.treshold", 0.4, "postprocess.treshold: unknown key; did you mean threshold?"),
        ("rescore.skore", "mean", "rescore.skore: unknown key; did you mean score?"),
        ("evaluate.resamples", 5, "evaluate.resamples: "),
        ("los", {"w0": 5.0}, "los: unknown section; did you mean loss?"),
        ("loss.boundary_kernel", 4, "loss.boundary_kernel: "),
    ],
)
def test_a_wrong_param_of_a_late_stage_stops_before_anything_runs(
    repository, edit, key, value, words
):
    edit("sample.seed", 9)  # so that everything would run
    edit(key, value)
    run = dvc_run(repository, "repro")
    assert run.returncode != 0
    assert f"params.yaml: {words}" in run.stdout + run.stderr
    assert stages_run(run.stdout) == {CHECK}
