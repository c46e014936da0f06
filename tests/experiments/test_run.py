import copy
import os
import re
import shlex
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from experiments import run
from experiments.plans import Equal, fit, merge, override_texts, plan, shorten, without_download
from src.base.errors import InputError

PHASE = {"epochs": 10, "lr": 0.001, "cycle_epochs": 3, "loss": {}}
PARAMS = {
    "dataset": {"root": "data/sample", "metadata": []},
    "split_folds": {"k": 5, "folds": [0, 1, 2, 3, 4]},
    "plan": {"steps": 1500},
    "model": {
        "encoder": "resnet18",
        "encoder_weights": "none",
        "extra_channels": [],
        "depth_column": "none",
    },
    "train": {"seed": 0, "crop_size": 128, "phases": [PHASE]},
    "members": {"main": {}},
    "soups": {},
    "student": {"folds": [], "teachers": "data/probabilities"},
    "ensemble": {"merge": "mean", "networks": "all", "weights": {}},
}


def changed(**sections):
    return {**copy.deepcopy(PARAMS), **sections}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Function (path, content) that writes YAML into a folder with params.yaml to run in."""
    monkeypatch.chdir(tmp_path)

    def write(path, content):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        YAML().dump(content, path)

    write("params.yaml", PARAMS)
    write("experiments/datasets/sample.yaml", {"overrides": {}, "largest_crop": 128})
    write("experiments/recipes/deep.yaml", recipe({"model": {"encoder": "resnet50"}}))
    return write


def recipe(overrides):
    return {"title": "A recipe", "overrides": overrides}


def names(experiments):
    return [experiment.name for experiment in experiments]


@pytest.mark.parametrize(
    ("budget", "epochs", "cycle", "crop", "k", "folds"),
    [
        (1, 10, 3, 256, 5, [0, 1, 2, 3, 4]),
        ("1/2", 5, 2, 192, 3, [0, 1, 2]),  # 256 x 0.7071 is 181.0, 6 x 32 is nearest
        (0.25, 3, 1, 128, 2, [0, 1]),
        ("0.1", 1, 1, 96, 2, [0, 1]),  # 256 x 0.3162 is 81.0
        ("0.01", 1, 1, 64, 2, [0, 1]),
    ],
)
def test_a_budget_goes_into_epochs_crops_and_folds(budget, epochs, cycle, crop, k, folds):
    short = shorten(changed(train={"crop_size": 256, "phases": [PHASE]}), Fraction(budget))
    assert short["train"]["phases"] == [PHASE | {"epochs": epochs, "cycle_epochs": cycle}]
    assert short["train"]["crop_size"] == crop
    assert short["split_folds"] == {"k": k, "folds": folds}


def test_a_budget_is_an_exact_fraction():
    # 70 x 0.1 is 7.000000000000001 in floating point, whose ceiling is 8
    params = changed(train={"crop_size": 128, "phases": [PHASE | {"epochs": 70}]})
    assert shorten(params, Fraction("0.1"))["train"]["phases"][0]["epochs"] == 7


def test_a_budget_shortens_what_the_plan_counts_epochs_by_and_leaves_its_crops():
    phase = PHASE | {"epochs": "auto"}
    train = {"crop_size": "auto", "phases": [phase]}
    params = changed(train=train, plan={"steps": 1001})
    short = shorten(params, Fraction("0.1"))
    assert short["plan"] == {"steps": 101}
    assert short["train"] == {"crop_size": "auto", "phases": [phase | {"cycle_epochs": 1}]}
    assert fit(params, 96)["train"] == train


def test_a_budget_leaves_one_fold_one_and_small_crops_as_they_are():
    params = changed(split_folds={"k": 10, "folds": [3]}, train={"crop_size": 32, "phases": []})
    short = shorten(params, Fraction("0.25"))
    assert short["split_folds"] == {"k": 3, "folds": [0]}
    assert short["train"]["crop_size"] == 32


@pytest.mark.parametrize(
    ("budget", "trained", "students", "kept"),
    [
        (1, [0, 1], [1, 0], [1, 0]),
        ("1/2", [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2]),
        ("1/2", [0, 1, 2, 3, 4], [], []),
        ("1/2", [4, 1, 2, 3], [2, 4], [0]),  # 4 and 1 become 0 and 1
        ("1/2", [3], [3], [0]),
    ],
)
def test_a_budget_leaves_students_to_the_folds_that_are_still_trained(
    budget, trained, students, kept
):
    student = PARAMS["student"] | {"folds": students}
    params = changed(split_folds={"k": 5, "folds": trained}, student=student)
    assert shorten(params, Fraction(budget))["student"]["folds"] == kept
    assert params["student"]["folds"] == students


def test_a_budget_goes_into_what_members_override_too_and_changes_no_argument():
    member = {"train": {"crop_size": 256, "phases": [PHASE | {"epochs": 8}]}}
    params = changed(members={"main": {}, "large": member})
    before = copy.deepcopy(params)
    short = shorten(params, Fraction("0.25"))["members"]["large"]["train"]
    assert (short["crop_size"], short["phases"][0]["epochs"]) == (128, 2)
    assert params == before


def test_crops_are_limited_to_the_data_set_in_members_too():
    params = changed(members={"a": {"train": {"crop_size": 512}}, "b": {}})
    fitted = fit(params, 96)
    assert fitted["train"]["crop_size"] == 96
    assert fitted["members"] == {"a": {"train": {"crop_size": 96}}, "b": {}}
    assert fit(params, 256)["train"]["crop_size"] == 128


def test_a_depth_channel_stays_only_where_the_data_set_brings_the_column():
    model = PARAMS["model"] | {"extra_channels": ["depth", "coordinates"], "depth_column": "z"}
    assert fit(changed(model=model), 128)["model"]["extra_channels"] == ["coordinates"]
    with_depth = changed(model=model, dataset={"root": "x", "metadata": ["z"]})
    assert fit(with_depth, 128)["model"]["extra_channels"] == ["depth", "coordinates"]


@pytest.mark.parametrize("weights", ["packaged", "own.safetensors", "none"])
def test_without_download_weights_that_are_here_stay(weights):
    params = changed(model=PARAMS["model"] | {"encoder_weights": weights})
    assert without_download(params) == params


def test_without_download_no_encoder_is_pretrained():
    members = {"a": {"model": {"encoder_weights": "imagenet"}}, "b": {"model": {"encoder": "x"}}}
    model = PARAMS["model"] | {"encoder_weights": "imagenet"}
    random = without_download(changed(model=model, members=members))
    assert random["model"]["encoder_weights"] == "none"
    assert random["members"]["a"]["model"]["encoder_weights"] == "none"
    assert random["members"]["b"] == {"model": {"encoder": "x"}}


def test_values_replace_key_by_key_but_lists_and_named_maps_whole():
    overrides = {
        "model": {"encoder": "resnet50"},
        "split_folds": {"folds": [0]},
        "members": {"a": {"model": {"encoder": "x"}}},
        "ensemble": {"weights": {"a": 2.0}},
    }
    merged = merge(PARAMS, overrides, "here")
    assert merged["model"] == PARAMS["model"] | {"encoder": "resnet50"}
    assert merged["split_folds"] == {"k": 5, "folds": [0]}
    assert merged["members"] == {"a": {"model": {"encoder": "x"}}}
    assert merged["ensemble"] == PARAMS["ensemble"] | {"weights": {"a": 2.0}}


def test_overrides_name_only_what_differs_in_the_words_of_dvc():
    params = changed(
        dataset={"root": "data/raw/my tiles", "metadata": ["z"]},
        model=PARAMS["model"] | {"encoder": "tu-x.y", "encoder_weights": "1e-4"},
        train={"crop_size": 64, "phases": [PHASE | {"lr": 1e-05, "loss": {"a": True}}]},
        members={"a": {"model": {"encoder": "null"}}, "b": {}},
        soups={"both": ["a", "b"]},
    )
    assert override_texts(PARAMS, params) == [
        "dataset.root='data/raw/my tiles'",
        "dataset.metadata=[z]",
        "model.encoder=tu-x.y",
        "model.encoder_weights='1e-4'",
        "train.crop_size=64",
        "train.phases=[{epochs:10,lr:1e-05,cycle_epochs:3,loss:{a:true}}]",
        "~members.main",
        "+members.a={model:{encoder:'null'}}",
        "+members.b={}",
        "+soups.both=[a,b]",
    ]


def test_a_recipe_is_one_experiment_and_an_ablation_one_for_each_variant(write):
    variants = {"low": {"train": {"crop_size": 64}}, "high": {}}
    ablation = {"title": "", "question": "", "base": {"split_folds": {"k": 3}}}
    write("experiments/ablations/crop.yaml", ablation | {"variants": variants})
    experiments = plan(["deep", "crop"], "sample", Fraction(1), False)
    assert names(experiments) == ["deep", "crop-low", "crop-high"]
    assert experiments[1].params["split_folds"]["k"] == 3
    assert [experiment.params["train"]["crop_size"] for experiment in experiments] == [128, 64, 128]


def test_the_name_tells_the_data_set_the_budget_and_the_flag(write):
    tiles = {"overrides": {"dataset": {"root": "data/raw/tiles"}}, "largest_crop": 64}
    write("experiments/datasets/tiles.yaml", tiles)
    [experiment] = plan(["deep"], "tiles", Fraction("0.25"), True)
    assert experiment.name == "deep-tiles-0.25-no_download"
    assert experiment.params["train"]["crop_size"] == 64


def test_data_that_git_does_not_know_is_copied_into_the_folder_of_the_experiment(write, tmp_path):
    overrides = {"dataset": {"root": "data/raw/tiles"}}
    write("experiments/datasets/tiles.yaml", {"overrides": overrides, "largest_crop": 64})
    (tmp_path / "data/encoder_weights").mkdir(parents=True)
    (tmp_path / "data/encoder_weights/own.safetensors").touch()
    words = shlex.split(plan(["deep"], "tiles", Fraction(1), False)[0].command)
    copied = [words[i + 1] for i, word in enumerate(words) if word == "-C"]
    assert copied == ["data/encoder_weights/own.safetensors", "data/raw/tiles"]
    (tmp_path / "data/raw").mkdir()
    (tmp_path / "data/raw/tiles.dvc").touch()  # dvc add: DVC brings it
    assert "data/raw/tiles" not in plan(["deep"], "tiles", Fraction(1), False)[0].arguments


def test_maps_of_an_earlier_round_are_copied_where_students_learn_from_them(write):
    student = {"folds": [], "teachers": "data/raw/round1"}
    write("experiments/recipes/none.yaml", recipe({"student": student}))
    write("experiments/recipes/some.yaml", recipe({"student": student | {"folds": [0]}}))
    copied = ["-C" in it.arguments for it in plan(["none", "some"], "sample", Fraction(1), False)]
    assert copied == [False, True]
    arguments = plan(["some"], "sample", Fraction(1), False)[0].arguments
    assert arguments[arguments.index("-C") + 1] == "data/raw/round1"


def test_seeds_run_every_experiment_beside_what_it_is_compared_with(write):
    variants = {"a": {"train": {"crop_size": 64}}, "b": {"model": {"encoder": "vgg11"}}}
    ablation = {"title": "x", "question": "y", "base": {}, "variants": variants}
    write("experiments/ablations/plain.yaml", ablation)
    shared = ablation | {"base": {"plan": {"steps": 9}}}
    write("experiments/ablations/shared.yaml", shared)
    found = plan(["plain", "deep", "shared"], "sample", Fraction(1), False, seeds=2)
    ones = ["defaults", "plain-a", "plain-b", "deep", "shared-base", "shared-a", "shared-b"]
    assert names(found) == [f"{name}-s{seed}" for name in ones for seed in (1, 2)]
    bases = dict(zip(names(found), [one.base for one in found], strict=True))
    assert bases["plain-a-s1"] == bases["deep-s1"] == "defaults-s1"
    assert bases["shared-b-s2"] == "shared-base-s2"
    assert bases["defaults-s1"] == bases["shared-base-s2"] == ""
    commands = {one.name: one.command for one in found}
    assert commands["defaults-s2"] == "dvc exp run --temp -n defaults-s2 -S train.seed=2000"
    assert commands["plain-a-s1"].endswith("-S train.seed=1000 -S train.crop_size=64")
    assert commands["shared-base-s1"].endswith("-S plan.steps=9 -S train.seed=1000")


def test_members_keep_seeds_that_differ(write):
    members = {"one": {}, "two": {"train": {"seed": 1}}, "three": {"train": {"crop_size": 64}}}
    write("experiments/recipes/three.yaml", recipe({"members": members}))
    params = {one.name: one.params for one in plan(["three"], "sample", Fraction(1), False, 1)}
    trained = params["three-s1"]
    assert trained["train"]["seed"] == 1000
    assert trained["members"]["two"] == {"train": {"seed": 1001}}
    assert trained["members"]["three"] == {"train": {"crop_size": 64}}


def test_seeds_below_none_are_refused(write):
    with pytest.raises(InputError, match="^--seeds -1: must be a number from 1, or left out$"):
        run.main(["deep", "--seeds=-1"])


def test_printing_needs_neither_git_nor_data(write, capsys):
    run.main(["deep", "--print"])
    expected = "dvc exp run --temp -n deep -S model.encoder=resnet50\n"
    assert capsys.readouterr().out == expected


def test_the_table_shows_the_scores_there_are_and_what_they_cost():
    first = {"val.ap50": 0.5, "val.f1_50": 0.25, "oof.ap50": 1}
    rows = [
        {"experiment": "a", "steps": "420", "minutes": "1.5", **first},
        {"experiment": "b", "steps": "", "minutes": "", "val.dice_mean": 0.12345},
    ]
    assert run.table(rows) == (
        "| experiment | val AP50 | F1 | Dice | oof AP50 | steps | minutes |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| a | 0.5000 | 0.2500 |  | 1.0000 | 420 | 1.5 |\n"
        "| b |  |  | 0.1235 |  |  |  |\n"
    )


AUTO_PHASES = {"train": {"phases": [PHASE | {"epochs": "auto"}]}}


def planned(write, equal, budget=1, **overrides):
    write("params.yaml", changed(plan={"steps": 1500, "minutes": 3.0}))
    write("experiments/recipes/deep.yaml", recipe(AUTO_PHASES | overrides))
    [one] = plan(["deep"], "sample", Fraction(budget), False, equal=equal)
    return one


def test_equal_steps_are_those_of_params_yaml_whatever_a_file_says(write):
    one = planned(write, Equal(0.0), "1/2", plan={"steps": 9})
    assert one.params["plan"] == {"steps": 750, "minutes": 0}
    assert one.name == "deep-0.5-equal_steps"


def test_equal_minutes_are_those_given_and_go_with_the_budget(write):
    one = planned(write, Equal(20.0), "1/4")
    assert one.params["plan"] == {"steps": 375, "minutes": 5.0}
    assert one.name == "deep-0.25-equal_20min"
    assert planned(write, None).params["plan"] == {"steps": 1500, "minutes": 3.0}


def test_epochs_by_number_cannot_be_made_equal(write):
    by_number = {"train": {"phases": [PHASE]}}
    for overrides in (by_number, {"members": {"a": by_number}}):
        with pytest.raises(InputError, match="deep: train.phases gives 10 epochs by number"):
            planned(write, Equal(0.0), **overrides)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--equal", "minutes"], "--minutes goes with --equal minutes"),
        (["--minutes", "3"], "--minutes goes with --equal minutes"),
        (["--equal", "steps", "--minutes", "3"], "--minutes goes with --equal minutes"),
        (["--equal", "minutes", "--minutes", "0"], "--minutes 0: must be above 0"),
    ],
)
def test_minutes_are_given_where_they_are_to_be_equal(write, options, words):
    with pytest.raises(InputError, match=words):
        run.main(["deep", *options])


@pytest.mark.parametrize("budget", ["0", "-1", "1.01", "2"])
def test_a_budget_out_of_range_is_refused(write, budget):
    with pytest.raises(InputError, match=r"--budget .*: must lie above 0 and be at most 1"):
        run.main(["deep", f"--budget={budget}"])


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("recipes/r", recipe({}) | {"base": "deep"}, "r.yaml: base: unknown key; known: title, ov"),
        ("recipes/r", {"title": "x"}, "r.yaml: overrides: missing; a file here has title"),
        ("recipes/r", recipe([]), r"r.yaml: overrides: must be a map, got \[\]"),
        ("recipes/r", ["x"], "r.yaml: must be a map of keys to values"),
        ("recipes/r", recipe({"los": {}}), "r.yaml: los: unknown key; params.yaml has dataset, "),
        ("recipes/r", recipe({"train": {"lr": 1}}), "r.yaml: train.lr: unknown key; .* crop_size"),
        ("recipes/r", recipe({"train": 5}), "r.yaml: train: must be a map, got 5"),
        ("recipes/r", recipe({"members": ["a"]}), "r.yaml: members: must be a map, got"),
        (
            "ablations/r",
            {"title": "", "question": "", "base": {}, "variants": {"a": {"x": 1}}},
            "ablations/r.yaml: x: unknown key",
        ),
        ("ablations/r", {"title": "", "base": {}, "variants": {}}, "r.yaml: question: missing"),
        ("datasets/sample", {"overrides": {}, "largest_crop": 100}, "multiple of 32 px, got 100"),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence(write, path, content, message):
    write(f"experiments/{path}.yaml", content)
    with pytest.raises(InputError, match=message) as caught:
        plan(["r" if path[-1] == "r" else "deep"], "sample", Fraction(1), False)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_yaml_is_refused(write, tmp_path):
    (tmp_path / "experiments/recipes/r.yaml").write_text("a: [1")
    with pytest.raises(InputError, match="r.yaml: not valid YAML") as caught:
        plan(["r"], "sample", Fraction(1), False)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_answered_with_the_known(write):
    with pytest.raises(InputError, match="dep: no such recipe or ablation; recipes: deep; abl"):
        plan(["dep"], "sample", Fraction(1), False)
    with pytest.raises(InputError, match="tiles.yaml: no such file; known datasets: sample"):
        plan(["deep"], "tiles", Fraction(1), False)
    with pytest.raises(InputError, match="deep deep: give each name once"):
        plan(["deep", "deep"], "sample", Fraction(1), False)


def test_outside_the_repository_it_says_where_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="params.yaml: no such file; run this in the repository"):
        plan(["deep"], "sample", Fraction(1), False)


SCORE = """
import json, sys
from pathlib import Path
from ruamel.yaml import YAML
params = YAML(typ="safe").load(Path("params.yaml"))
if params["model"]["encoder"] == "broken":
    sys.exit("broken by itself")
sizes = [len(text) for text in Path(sys.argv[1]).read_text().split()]
Path("reports").mkdir(exist_ok=True)
metrics = {"val.ap50": sum(sizes) / params["train"]["crop_size"], "oof.ap50": 0.5}
Path("reports/metrics.json").write_text(json.dumps(metrics))
"""
PIPELINE = {
    "stages": {
        "score": {
            "cmd": "python score.py ${dataset.root}/words",
            "deps": ["${dataset.root}", "score.py"],
            "params": ["dataset", "model", "train", "members", "soups", "ensemble", "split_folds"],
            "metrics": [{"reports/metrics.json": {"cache": False}}],
        }
    }
}


@pytest.fixture
def repository(write, tmp_path, monkeypatch):
    """A repository of one stage, which scores the words of a data set that git ignores."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path.parent / "dvc-site"))
    dataset = {"dataset": {"root": "data/raw/words"}}
    write("experiments/datasets/words.yaml", {"overrides": dataset, "largest_crop": 64})
    write("experiments/recipes/broken.yaml", recipe({"model": {"encoder": "broken"}}))
    write("experiments/recipes/small.yaml", recipe({"train": {"crop_size": 32}}))
    write("dvc.yaml", PIPELINE)
    (tmp_path / "score.py").write_text(SCORE)
    (tmp_path / ".gitignore").write_text("/data/raw/*\n")
    (tmp_path / "data/raw/words").mkdir(parents=True)
    (tmp_path / "data/raw/words/words").write_text("of six letters")
    for command in (
        ["git", "init", "-q"],
        ["git", "config", "user.email", "a@example.org"],
        ["git", "config", "user.name", "A"],
        [sys.executable, "-m", "dvc", "init", "-q"],
        ["git", "add", "."],
        ["git", "commit", "-q", "-m", "all"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return tmp_path


def test_uncommitted_changes_are_refused(repository):
    (repository / "experiments/recipes/mine.yaml").write_text("title: mine\noverrides: {}\n")
    with pytest.raises(InputError, match="recipes/mine.yaml: not committed; commit or stash"):
        run.main(["small", "--on", "words"])


def test_data_that_is_not_there_is_refused(repository):
    (repository / "data/raw/words").rename(repository / "data/raw/other")
    with pytest.raises(InputError, match="data/raw/words: no such folder; put the data set there"):
        run.main(["small", "--on", "words"])


@pytest.mark.slow
def test_experiments_are_run_tabled_kept_and_stopped_at_the_first_failure(repository, capfd):
    (repository.parent / "out").mkdir()
    file = repository.parent / "out/table.md"
    run.main(["small", "deep", "--on", "words", "--table", str(file)])
    rows = [line.split(" | ") for line in file.read_text().splitlines()[2:]]
    assert [row[:2] for row in rows] == [["| small-words", "0.3750"], ["| deep-words", "0.1875"]]
    assert all(re.fullmatch(r"\d+\.\d", row[-1].strip("| ")) for row in rows)  # minutes
    printed = capfd.readouterr().out
    assert "dvc exp run --temp -n small-words -C data/raw/words -S dataset.root=" in printed
    assert file.read_text() in printed
    status = ["git", "status", "--porcelain"]
    assert subprocess.run(status, capture_output=True, text=True).stdout == ""
    assert YAML(typ="safe").load(repository / "params.yaml") == PARAMS

    with pytest.raises(InputError, match="broken-words failed, see above; to repeat it: dvc exp"):
        run.main(["small", "broken", "deep", "--on", "words"])
    printed = capfd.readouterr().out
    assert "small-words exists; `dvc exp remove small-words` to run it again" in printed
    assert "| small-words | 0.3750 |  |  | 0.5000 |  |" in printed
    assert "| deep-words" not in printed

    other = ["dvc", "exp", "run", "--temp", "-n", "deep", "-C", "data/raw/words"]
    other += ["-S", "dataset.root=data/raw/words"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-m", *other], check=True, env=environment)
    with pytest.raises(InputError, match="deep: an experiment of that name with other params"):
        run.main(["deep"])
