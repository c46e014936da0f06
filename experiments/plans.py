"""From the name of a recipe or an ablation to the params of its experiments and their overrides.

A recipe (recipes/NAME.yaml) is one experiment. An ablation (ablations/NAME.yaml) is one for each of
its variants. A data set (datasets/NAME.yaml) is what either runs on.
"""

import copy
import math
import re
import shlex
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from src.base.errors import InputError
from src.base.params import AUTO

FOLDER = Path("experiments")
REQUIRED = {  # the keys of a file in each folder
    "recipes": ("title", "overrides"),
    "ablations": ("title", "question", "base", "variants"),
    "datasets": ("overrides", "largest_crop"),
}
OPTIONAL = {"recipes": ("source", "reported", "remarks"), "ablations": (), "datasets": ("remarks",)}
SEEDS_APART = 1000  # so that no member of one run has the seed of another member of the next
NAMED_FREELY = ("members", "soups", "ensemble.weights")  # maps of params.yaml without fixed keys
BARE = re.compile(r"[A-Za-z_][\w./-]*")  # strings that DVC takes for strings without quotes ...
NOT_BARE = {"true", "false", "null", "nan", "inf"}  # ... but for these


Layers = list[tuple[str, dict]]  # overrides, each with the file that they stand in


class Experiment(NamedTuple):
    """One experiment to run."""

    name: str
    params: dict  # all of params.yaml as the experiment has it
    arguments: list[str]  # of `dvc`
    base: str = ""  # name of the one that it is compared with under the same seed

    @property
    def command(self) -> str:
        """The command line, to paste into a shell."""
        return shlex.join(["dvc", *self.arguments])


class Equal(NamedTuple):
    """What all experiments are trained for alike: so many minutes, or steps where those are 0."""

    minutes: float  # of all trainings of an experiment together

    @property
    def name(self) -> str:
        """As it stands in the names of experiments."""
        return f"equal_{self.minutes:g}min" if self.minutes else "equal_steps"


def plan(
    names: list[str],
    on: str,
    budget: Fraction,
    no_download: bool,
    seeds: int = 0,
    equal: Equal | None = None,
) -> list[Experiment]:
    """Work out the experiments that names, data set, budget and flags ask for.

    Parameters
    ----------
    names : list of str
        Recipes and ablations.
    on : str
        Data set.
    budget : Fraction
    no_download : bool
    seeds : int
        With 0 every experiment has the seeds that params.yaml and its own file give. Else each is
        there so many times, NAME-s1, NAME-s2, ..., and before it what it is compared with:
        `defaults`, or `ABLATION-base` where all variants share overrides.
    equal : Equal, optional
        What all are trained for alike; see `equalise`.

    Raises
    ------
    InputError
        If the budget or the seeds are out of range, an experiment has a length of its own where all
        are to be alike, a name is unknown or given twice, a file has a
        missing, unknown or mistyped key, or overrides a param that params.yaml does not have.
    """
    if not 0 < budget <= 1:
        raise InputError(f"--budget {float(budget):g}: must lie above 0 and be at most 1")
    if seeds < 0:
        raise InputError(f"--seeds {seeds}: must be a number from 1, or left out")
    if len(set(names)) < len(names):
        raise InputError(f"{' '.join(names)}: give each name once")
    base, dataset = read_yaml(Path("params.yaml")), read_file("datasets", on)
    suffix = "" if on == "sample" else f"-{on}"
    suffix += "" if budget == 1 else f"-{float(budget):g}"
    suffix += "-no_download" if no_download else ""
    suffix += f"-{equal.name}" if equal else ""
    named = [experiment for given in names for experiment in _expand(given, bool(seeds))]
    once = {name: (name, layers, against) for name, layers, against in named}.values()
    experiments = []
    for (name, layers, against), seed in product(once, range(1, seeds + 1) or [0]):
        params = base
        for source, overrides in [(f"{FOLDER}/datasets/{on}.yaml", dataset["overrides"]), *layers]:
            params = merge(params, overrides, source)
        params = equalise(params, equal, base["plan"]["steps"], name) if equal else params
        params = shorten(fit(params, dataset["largest_crop"]), budget)
        params = without_download(params) if no_download else params
        params = with_seed(params, seed) if seed else params
        options = [word for path in _not_in_git(params) for word in ("-C", path)]
        options += [word for text in override_texts(base, params) for word in ("-S", text)]
        end = suffix + f"-s{seed}" * bool(seed)
        arguments = ["exp", "run", "--temp", "-n", name + end, *options]
        experiments.append(Experiment(name + end, params, arguments, against and against + end))
    return experiments


def read_file(kind: str, name: str) -> dict:
    """Read a recipe, an ablation or a data set by its name and check its keys.

    Raises
    ------
    InputError
        If there is no such file, or a key is missing, unknown or of the wrong type.
    """
    path = FOLDER / kind / f"{name}.yaml"
    if name not in known(kind):
        raise InputError(f"{path}: no such file; known {kind}: {', '.join(known(kind))}")
    content = read_yaml(path)
    keys = REQUIRED[kind] + OPTIONAL[kind]
    missing = [key for key in REQUIRED[kind] if key not in content]
    if missing:
        raise InputError(f"{path}: {missing[0]}: missing; a file here has {', '.join(keys)}")
    for key, value in content.items():
        if key not in keys:
            raise InputError(f"{path}: {key}: unknown key; known: {', '.join(keys)}")
        if key in ("overrides", "base", "variants") and not isinstance(value, dict):
            raise InputError(f"{path}: {key}: must be a map, got {value!r}; {{}} is an empty one")
    crop = content.get("largest_crop", 32)
    if not isinstance(crop, int) or crop < 32 or crop % 32:
        raise InputError(f"{path}: largest_crop: must be a multiple of 32 px, got {crop!r}")
    return content


def known(kind: str) -> list[str]:
    """Return the names of all recipes, ablations or data sets."""
    return sorted(path.stem for path in (FOLDER / kind).glob("*.yaml"))


def base_of(name: str) -> str:
    """Return the name of what an experiment is compared with under the same seeds.

    Parameters
    ----------
    name : str
        As `plan` gives it, without what tells the seed.

    Returns
    -------
    base : str
        With the same data set and budget in its name; "defaults" for a name that no recipe or
        ablation has, "" for what is a base itself.
    """
    told = {"defaults": ""}
    for kind in ("recipes", "ablations"):
        for stem in known(kind):
            against, variants = "defaults", {stem}
            if kind == "ablations":
                content = read_file(kind, stem)
                against = f"{stem}-base" if content["base"] else against
                variants = {f"{stem}-{key}" for key in content["variants"]}
            told |= dict.fromkeys(variants, against) | {against: ""}
    fitting = [stem for stem in told if name == stem or name.startswith(f"{stem}-")]
    if not fitting:
        return "defaults"
    stem = max(fitting, key=len)
    return told[stem] and told[stem] + name[len(stem) :]


def merge(params: dict, overrides: dict, source: str, prefix: str = "") -> dict:
    """Return params with values replaced: maps key by key, all else whole.

    The maps NAMED_FREELY are replaced whole too: a recipe gives its members in full.

    Raises
    ------
    InputError
        If a key is not in params, or a map is overridden by something else.
    """
    merged = dict(params)
    for key, value in overrides.items():
        path = prefix + str(key)
        if key not in params:
            raise InputError(f"{source}: {path}: unknown key; params.yaml has {', '.join(params)}")
        if isinstance(params[key], dict) and not isinstance(value, dict):
            raise InputError(f"{source}: {path}: must be a map, got {value!r}")
        if isinstance(params[key], dict) and path not in NAMED_FREELY:
            value = merge(params[key], value, source, path + ".")
        merged[key] = value
    return merged


def fit(params: dict, largest_crop: int) -> dict:
    """Limit crops to what the images fill, and input channels to what the data set brings."""
    params = copy.deepcopy(params)
    for train in _sections(params, "train"):
        if train.get("crop_size", AUTO) != AUTO:  # the plan fits its own to the images
            train["crop_size"] = min(train["crop_size"], largest_crop)
    for model in _sections(params, "model"):
        column = model.get("depth_column", params["model"]["depth_column"])
        if "extra_channels" in model and column not in params["dataset"]["metadata"]:
            model["extra_channels"] = [name for name in model["extra_channels"] if name != "depth"]
    return params


def shorten(params: dict, budget: Fraction) -> dict:
    """Bring the cost of params down to about the budget, a fraction of 1, for a quick look.

    Epochs and cycles go with the budget, rounded up, and so do the steps by which the plan
    counts epochs that are `auto`. Crops go with its root, to the nearest multiple of 32, and
    not below 64 px; those that are `auto` stay. The number of folds and of those trained go with
    it too, rounded up, and not below 2 (but one trained fold stays one); the first ones are
    trained, and have students where those they stand for had.
    """
    if budget == 1:
        return params
    params = copy.deepcopy(params)
    for train in _sections(params, "train"):
        if train.get("crop_size", AUTO) != AUTO:
            crop = 32 * round(train["crop_size"] * math.sqrt(budget) / 32)
            train["crop_size"] = min(train["crop_size"], max(crop, 64))
        for phase in train.get("phases", []):
            lengths = {key: phase[key] for key in ("epochs", "cycle_epochs") if key in phase}
            lengths = {key: length for key, length in lengths.items() if length != AUTO}
            phase.update({key: math.ceil(length * budget) for key, length in lengths.items()})
    params["plan"]["steps"] = math.ceil(params["plan"]["steps"] * budget)
    if params["plan"].get("minutes"):
        params["plan"]["minutes"] = float(params["plan"]["minutes"] * budget)
    folds = params["split_folds"]
    trained, students = folds["folds"], params["student"]["folds"]
    folds["k"] = max(math.ceil(folds["k"] * budget), 2)
    folds["folds"] = list(range(max(math.ceil(len(trained) * budget), min(len(trained), 2))))
    kept = zip(folds["folds"], trained, strict=False)
    params["student"]["folds"] = [fold for fold, before in kept if before in students]
    return params


def equalise(params: dict, equal: Equal, steps: int, name: str) -> dict:
    """Let the plan give every experiment as many steps, or as many minutes.

    Parameters
    ----------
    params : dict
        All of params.yaml as the experiment has it.
    equal : Equal
    steps : int
        Batches that every network is trained on, where minutes are not given.
    name : str
        Of the experiment, for the message.

    Raises
    ------
    InputError
        If a phase has a number of epochs, which no plan changes.
    """
    params = copy.deepcopy(params)
    for train in _sections(params, "train"):
        numbers = [one["epochs"] for one in train.get("phases", []) if one["epochs"] != AUTO]
        if numbers:
            raise InputError(
                f"{name}: train.phases gives {numbers[0]} epochs by number, which no plan makes "
                "equal; say auto there, or leave out --equal and look at the steps in the table"
            )
    params["plan"] |= {"steps": steps, "minutes": equal.minutes}
    return params


def with_seed(params: dict, number: int) -> dict:
    """Let all networks be trained by other seeds; those of members stay different of each other."""
    params = copy.deepcopy(params)
    for train in _sections(params, "train"):
        if "seed" in train:
            train["seed"] += SEEDS_APART * number
    return params


def without_download(params: dict) -> dict:
    """Start every encoder from random weights instead of a set that is downloaded."""
    params = copy.deepcopy(params)
    for model in _sections(params, "model"):
        weights = str(model.get("encoder_weights", "packaged"))  # or those of the section model
        if weights != "packaged" and not weights.endswith(".safetensors"):
            model["encoder_weights"] = "none"
    return params


def override_texts(base: dict, params: dict, prefix: str = "") -> list[str]:
    """Return what `dvc exp run -S` needs, one text each, to turn base into params.

    Only what differs is named. A map NAMED_FREELY is emptied and filled again, since `-S` merges
    maps and refuses keys it does not know without a `+`.
    """
    texts = []
    for key, value in params.items():
        path = prefix + key
        if value == base[key]:
            continue
        if path in NAMED_FREELY:
            texts += [f"~{path}.{name}" for name in base[key]]
            texts += [f"+{path}.{name}={_text(item)}" for name, item in value.items()]
        elif isinstance(value, dict):
            texts += override_texts(base[key], value, path + ".")
        else:
            texts.append(f"{path}={_text(value)}")
    return texts


def read_yaml(path: Path) -> dict:
    """Read a YAML file that holds a map (YAML 1.2: 1e-05 is a number).

    Raises
    ------
    InputError
        If there is no such file, or it holds anything else.
    """
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run this in the repository's folder") from None
    except YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a map of keys to values")
    return content


def _expand(name: str, with_base: bool) -> list[tuple[str, Layers, str]]:
    """Return the experiments behind a name: its own, its overrides with their file, its base's.

    The base itself comes first, without one, if asked for.
    """
    defaults: list[tuple[str, Layers, str]] = [("defaults", [], "")] if with_base else []
    if name in known("recipes"):
        path = f"{FOLDER}/recipes/{name}.yaml"
        return [*defaults, (name, [(path, read_file("recipes", name)["overrides"])], "defaults")]
    if name not in known("ablations"):
        raise InputError(
            f"{name}: no such recipe or ablation; recipes: {', '.join(known('recipes'))}; "
            f"ablations: {', '.join(known('ablations'))}"
        )
    path, content = f"{FOLDER}/ablations/{name}.yaml", read_file("ablations", name)
    base = (path, content["base"])
    against = f"{name}-base" if content["base"] else "defaults"
    bases = [(against, [base], "")] if with_base and content["base"] else defaults
    variants = content["variants"].items()
    return [*bases, *((f"{name}-{key}", [base, (path, it)], against) for key, it in variants)]


def _sections(params: dict, section: str) -> list[dict]:
    """Return the section and what the members override of it."""
    members = (member or {} for member in params["members"].values())
    return [params[section], *(member[section] for member in members if member.get(section))]


def _text(value) -> str:
    """Write a value in the grammar of DVC's overrides (Hydra's)."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return repr(value)
    if BARE.fullmatch(value) and value.lower() not in NOT_BARE:
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _not_in_git(params: dict) -> list[str]:
    """Return what an experiment reads that neither git nor DVC brings into its folder."""
    weights = sorted(Path("data/encoder_weights").glob("*.safetensors"))
    paths = [path.as_posix() for path in weights]
    raw = [params["dataset"]["root"]]
    raw += [params["student"]["teachers"]] if params["student"]["folds"] else []
    paths += [path for path in raw if path.startswith("data/raw/")]
    return [path for path in paths if not Path(path + ".dvc").exists()]
