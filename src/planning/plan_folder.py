"""The folder of the plan: plan.json with the reasons, <section>.json with the values alone.

A stage depends on the values of its sections and on nothing else, so that it is up to date while
these are, whatever the reasons say. They are read by `src.base.params.load_params`.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from src.base.errors import InputError
from src.base.files import read_json, write_text

SECTIONS = ("evaluate", "loss", "model", "postprocess", "train", "weight_maps")


class Choice(NamedTuple):
    """A value that params.yaml leaves to the plan, and why it is this one."""

    section: str
    key: str
    value: int | float | str
    reason: str  # a sentence


def write_plan(folder: Path, choices: Iterable[Choice]) -> None:
    """Write the files of a plan into a folder that is there.

    Raises
    ------
    ValueError
        If a choice is of a section that is not in SECTIONS.
    """
    values: dict[str, dict[str, int | float | str]] = {section: {} for section in SECTIONS}
    reasons: dict[str, dict[str, Any]] = {}
    for choice in choices:
        if choice.section not in values:
            raise ValueError(f"no file is written for the section {choice.section}")
        values[choice.section][choice.key] = choice.value
        told = {"value": choice.value, "reason": choice.reason}
        reasons[f"{choice.section}.{choice.key}"] = told
    write_text(folder / "plan.json", json.dumps(reasons, indent=2) + "\n")
    for section, chosen in values.items():
        write_text(folder / f"{section}.json", json.dumps(chosen, indent=2) + "\n")


def read_plan(folder: Path) -> list[Choice]:
    """Read the choices of a plan with their reasons, in their order.

    Raises
    ------
    InputError
        If plan.json is absent or not as `write_plan` writes it.
    """
    path = Path(folder) / "plan.json"
    found: Any = read_json(path)
    try:
        named = [(*name.split("."), told) for name, told in found.items()]
        return [Choice(section, key, told["value"], told["reason"]) for section, key, told in named]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{path}: not as the stage plan writes it; run it again") from None
