"""Strict reading of params.yaml: one section, one frozen pydantic model."""

import json
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    field_validator,
)
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from src.base.changes import expect
from src.base.errors import InputError

LARGEST = 1 << 20  # characters of a params file; ours has 2 % of that
DEEPEST = 50  # brackets inside each other, which the parser takes quadratic time for
MOST = 100_000  # values, those that aliases repeat counted each time
SHOWN = 200  # characters of a value in a message
MEMBER_SECTIONS = {"model", "loss", "augment", "train"}  # what a member may override


class Params(BaseModel):
    """Base of every stage's parameters: no unknown keys, no silent coercion, no mutation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _take_no_truth_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true for 1 and false for 0 where the choice is among numbers."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        choices = get_args(annotation) if get_origin(annotation) is Literal else ()
        if isinstance(value, bool) and not any(value is choice for choice in choices) and choices:
            raise ValueError(f"must be one of {', '.join(map(repr, choices))}")
        return value


def _number_or_auto(value: Any, as_number: Callable[[Any], Any]) -> Any:
    return value if value == "auto" else as_number(value)


AUTO = "auto"
PLANNED = {  # keys that every plan has a value for; others may stay `auto`
    "evaluate": {"max_detections"},
    "loss": {"boundary_distance_weight", "sigma"},
    "model": {"encoder_depth", "resize"},
    "train": {"batch_size", "crop_size", "epochs"},
    "weight_maps": {"max_distance"},
}
Auto = WrapValidator(_number_or_auto)  # of a field that may say `auto` in place of its value
P = TypeVar("P", bound=Params)


def load_params(
    path: Path,
    section: str,
    model: type[P],
    *,
    member: str | None = None,
    plan: Path | None = None,
) -> P:
    """Read one section of a params file (YAML 1.2, as DVC writes it: 1e-05 is a float).

    Parameters
    ----------
    path : Path
        A YAML file of sections.
    section : str
        Name of a top-level section, or a dotted path to a nested one.
    model : type of Params
        The keys, types and ranges the section must have.
    member : str, optional
        Name of an ensemble member under `members`: its overrides of this section are merged in,
        maps key by key, everything else (lists too) replaced whole.
    plan : Path, optional
        Folder that the stage plan wrote: a key of the section that says `auto` takes the value
        that plan/<section>.json has for it, wherever in the section the key stands. Keys that it
        does not have stay `auto`, but for those PLANNED, as do all without a plan.

    Raises
    ------
    InputError
        If the file is not YAML, the section or member is absent, a key is unknown, missing,
        mistyped or out of range, or there is no plan of the section; the message names the file,
        the key and the value.
    """
    document = read_yaml(path)
    node = _map(_section(document, section))
    _expect(path, section)
    if node is None:
        raise InputError(f"{path}: no section '{section}'; add it or restore it from git")
    overrides: dict[str, Any] = {}
    if member is not None:
        _expect(path, f"members.{member}")
        overrides = _member_overrides(document, member, path).get(section) or {}
        node = _merge(node, overrides)
    if plan is not None:
        planned = plan / f"{section}.json"
        values = _read_plan(planned)
        lacking = sorted((_autos(node) & PLANNED.get(section, set())) - set(values))
        if lacking:
            raise InputError(f"{planned}: holds no value for '{lacking[0]}'; run the stage plan")
        node = _planned(node, values)
    try:
        return model.model_validate(node)
    except ValidationError as error:
        problems = [
            _problem(f"members.{member}." * (e["loc"][0] in overrides) + section, e, model)
            for e in error.errors()
        ]
        raise InputError(f"{path}: " + "; ".join(problems)) from None


def load_keys(path: Path, section: str) -> list[str]:
    """Return the names in a section of free names, such as the members, in their order.

    Raises
    ------
    InputError
        If the section is absent, empty or no map, or a name could not serve as a folder name.
    """
    found = _section(read_yaml(path), section)
    _expect(path, section)
    node = _map(found)
    if not node:
        raise InputError(f"{path}: {section} must name at least one entry, got {_shown(found)}")
    for name in node:
        if not (isinstance(name, str) and name.replace("_", "").isalnum()):
            raise InputError(
                f"{path}: {section}.{name}: use letters, digits and underscores for the name"
            )
    return list(node)


def check_sections(path: Path, known: Iterable[str]) -> None:
    """Refuse a params file with sections that no stage reads.

    Parameters
    ----------
    path : Path
        A YAML file of sections.
    known : iterable of str
        Their names.

    Raises
    ------
    InputError
        If the file is not YAML of sections, or has one of another name.
    """
    document, known = _map(read_yaml(path)), list(known)
    expect(str(path), lambda: Path(path).read_bytes())
    if document is None:
        raise InputError(f"{path}: holds no sections; restore it from git")
    for name in document:
        if name not in known:
            raise InputError(f"{path}: {name}: unknown section; {nearest_name(name, known)}")


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Say which of the known names a wrong one may mean, or all where none is near."""
    known = list(known)
    near = get_close_matches(str(name), known, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def read_yaml(path: Path) -> Any:
    """Read a YAML file, one that was made to exhaust its reader too.

    Raises
    ------
    InputError
        If there is no such file, or it is not YAML in UTF-8 of a bearable size and depth.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such params file")
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; save it as such") from None
    except YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f" at line {place.line + 1}" if place else ""
        raise InputError(f"{path}: not valid YAML{line}; correct the syntax") from None
    except RecursionError:
        raise InputError(
            f"{path}: too large, too deeply nested or full of aliases for params; restore it"
        ) from None


def _depth(text: str) -> int:
    """Return how many brackets are open at most, those in texts and comments counted too."""
    depths = accumulate({"[": 1, "{": 1, "]": -1, "}": -1}.get(character, 0) for character in text)
    return max(depths, default=0)


def _exceeds(document: Any, most: int) -> bool:
    """Tell whether a document holds more values, walking no further than that."""
    waiting, seen = [document], 0
    while waiting and seen <= most:
        node, seen = waiting.pop(), seen + 1
        if isinstance(node, dict):
            waiting += cast("dict[Any, Any]", node).values()
        elif isinstance(node, list):
            waiting += cast("list[Any]", node)
    return seen > most


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."


def _expect(path: Path, section: str) -> None:
    """Hold the stage to a section as it is read; DVC looks at the others no more than it does."""
    expect(f"{path}: {section}", lambda: _section(read_yaml(path), section))


@lru_cache(maxsize=1)
def _parse(text: str) -> Any:
    """Parse a text once, though a stage reads several sections of it; nobody changes the result.

    Raises
    ------
    YAMLError
    RecursionError
        If it is no text of params, however long it would take to find that out.
    """
    if len(text) > LARGEST or _depth(text) > DEEPEST:
        raise RecursionError
    yaml: Any = YAML(typ="safe")  # whose load has no type
    document = yaml.load(text)
    if _exceeds(document, MOST):
        raise RecursionError
    return document


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        found = _map(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        found = None
    if found is None:
        raise InputError(f"{path}: holds no values planned; run the stage plan")
    return found


def _planned(node: Any, values: dict[str, Any]) -> Any:
    """Put the planned values in the place of `auto`, in lists and maps inside the section too."""
    if isinstance(node, list):
        return [_planned(part, values) for part in cast("list[Any]", node)]
    section = _map(node)
    if section is None:
        return node
    return {
        key: values.get(key, AUTO) if part == AUTO else _planned(part, values)
        for key, part in section.items()
    }


def _autos(node: Any) -> set[str]:
    """Return the keys that say `auto`, in lists and maps inside the section too."""
    if isinstance(node, list):
        return {key for part in cast("list[Any]", node) for key in _autos(part)}
    parts = (_map(node) or {}).items()
    inside = {key for _, part in parts for key in _autos(part)}
    return inside | {key for key, part in parts if part == AUTO}


def _section(document: Any, section: str) -> Any:
    for key in section.split("."):
        document = (_map(document) or {}).get(key)
    return document


def _map(node: Any) -> dict[Any, Any] | None:
    """Return a node that is a map, and None in place of any other."""
    return cast("dict[Any, Any]", node) if isinstance(node, dict) else None


def _member_overrides(document: Any, member: str, path: Path) -> dict[str, Any]:
    members = _map(_section(document, "members"))
    if members is None or member not in members:
        known = "none" if members is None else ", ".join(members)
        raise InputError(f"{path}: no member '{member}' under 'members'; known: {known}")
    given: Any = {} if members[member] is None else members[member]
    overrides = _map(given) or {}
    maps: dict[str, Any] = {f"members.{member}": given}
    maps |= {f"members.{member}.{key}": value for key, value in overrides.items()}
    for key, value in maps.items():
        if value is not None and _map(value) is None:
            raise InputError(f"{path}: {key} must be a map of keys to values, got {_shown(value)}")
    unknown = set(overrides) - MEMBER_SECTIONS
    if unknown:
        raise InputError(
            f"{path}: members.{member}.{min(unknown)}: a member overrides only "
            f"{', '.join(sorted(MEMBER_SECTIONS))}"
        )
    return overrides


def _merge(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overrides.items():
        old, new = _map(merged.get(key)), _map(value)
        merged[key] = value if old is None or new is None else _merge(old, new)
    return merged


def _problem(section: str, error: ErrorDetails, model: type[Params]) -> str:
    key = ".".join([section, *map(str, error["loc"])])
    if error["type"] == "missing":
        return f"{key}: missing"
    if error["type"] == "extra_forbidden":
        known = _model_at(model, error["loc"][:-1]).model_fields
        return f"{key}: unknown key; {nearest_name(str(error['loc'][-1]), known)}"
    return f"{key}: {error['msg']}, got {_shown(error['input'])}"


def _model_at(model: type[Params], place: tuple[str | int, ...]) -> type[Params]:
    """Return the model of the entry that lies there, in a list or below a key of the model."""
    for key in place:
        if isinstance(key, str) and key in model.model_fields:
            model = next(_models_in(model.model_fields[key].annotation))
    return model


def _models_in(annotation: Any) -> Iterator[type[Params]]:
    """Give the models that a type names, in a list, a union or by itself."""
    if isinstance(annotation, type) and issubclass(annotation, Params):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
