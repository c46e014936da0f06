import json

import pytest

from src.base.errors import InputError
from src.base.files import read_json
from src.planning.plan_folder import SECTIONS, Choice, read_plan, write_plan

CHOICES = [
    Choice("train", "crop_size", 256, "because"),
    Choice("loss", "sigma", 3.5, "so it is"),
    Choice("train", "epochs", 9, "of time"),
]


def test_values_lie_apart_from_their_reasons_in_a_file_for_each_section(tmp_path):
    write_plan(tmp_path, CHOICES)
    assert read_json(tmp_path / "train.json") == {"crop_size": 256, "epochs": 9}
    assert read_json(tmp_path / "loss.json") == {"sigma": 3.5}
    assert read_json(tmp_path / "model.json") == {}
    names = {f"{name}.json" for name in (*SECTIONS, "plan")}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_choices_come_back_with_their_reasons_in_their_order(tmp_path):
    write_plan(tmp_path, CHOICES)
    assert read_plan(tmp_path) == CHOICES


def test_another_reason_changes_no_file_of_values(tmp_path):
    write_plan(tmp_path, CHOICES)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_plan(tmp_path, [choice._replace(reason="else") for choice in CHOICES])
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"plan.json"}


def test_a_section_without_a_file_is_an_error_of_the_caller(tmp_path):
    with pytest.raises(ValueError, match="no file is written for the section predict"):
        write_plan(tmp_path, [Choice("predict", "overlap", 1, "")])


@pytest.mark.parametrize(
    "document", [[1], {"train": {}}, {"a.b": {"value": 1}}, {"a.b.c": {"value": 1, "reason": ""}}]
)
def test_a_file_that_is_no_plan_is_one_sentence(tmp_path, document):
    (tmp_path / "plan.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"plan\.json: not as the stage plan writes it; run it"):
        read_plan(tmp_path)
