"""params.yaml must fit what the stages accept, member by member."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from src.base.params import MEMBER_SECTIONS, load_params
from stages.check_params import SECTIONS

ROOT = Path(__file__).parents[1]
PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text())


@pytest.mark.parametrize("section", SECTIONS)
def test_the_default_of_every_section_is_accepted(section):
    load_params(ROOT / "params.yaml", section, SECTIONS[section])


def test_every_section_belongs_to_a_stage():
    assert set(PARAMS) == set(SECTIONS) | {"members"}


@pytest.mark.parametrize("member", PARAMS["members"])
@pytest.mark.parametrize("section", sorted(MEMBER_SECTIONS))
def test_every_member_is_accepted(member, section):
    load_params(ROOT / "params.yaml", section, SECTIONS[section], member=member)


def test_every_line_of_params_says_what_it_is():
    lines = (ROOT / "params.yaml").read_text().splitlines()
    knobs = [n for n in lines if ":" in n and not n.rstrip().endswith(":") and n.startswith("  ")]
    bare = [n for n in knobs if "#" not in n and "{}" not in n]
    known = ("freeze_encoder", "epochs", "lr", "seed", "optimiser")  # plain words
    assert [n for n in bare if n.split(":")[0].strip(" -") not in known] == []


@pytest.mark.parametrize("section", SECTIONS)
def test_no_knob_has_a_default_in_code(section):
    model = SECTIONS[section]
    assert [n for n, field in model.model_fields.items() if not field.is_required()] == []


def test_every_section_is_modelled_once_in_the_wing_that_obeys_it():
    parts = {"Params", "Phase", "NetworkParams"}  # of a model, or what several share
    found = []
    for module in sorted((ROOT / "src").rglob("*.py")) + sorted((ROOT / "stages").glob("*.py")):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ClassDef) and {getattr(b, "id", "") for b in node.bases} & {
                "Params",
                "NetworkParams",
            }:
                found.append((node.name, module.parent.name))
    modelled = [name for name, _ in found if name not in parts]
    assert sorted(modelled) == sorted(model.__name__ for model in SECTIONS.values())
    assert "stages" not in {wing for _, wing in found}
