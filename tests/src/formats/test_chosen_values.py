import json

import pytest

from src.base.errors import InputError
from src.formats.chosen_values import Chosen, read_chosen, write_chosen


def test_what_was_chosen_is_read_as_it_was_written(tmp_path):
    chosen = Chosen("ap50", {"threshold": 0.5}, {"0": {"threshold": 0.6}})
    write_chosen(tmp_path / "chosen.json", chosen)
    assert read_chosen(tmp_path / "chosen.json") == chosen
    text = (tmp_path / "chosen.json").read_text()
    assert text.startswith('{\n  "metric": "ap50",\n  "all": {\n')
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    "found",
    [
        [],
        {"metric": "ap50", "all": {}},
        {"metric": "ap50", "all": [], "folds": {}},
        {"metric": "ap50", "all": {}, "folds": []},
        {"metric": "ap50", "all": {}, "folds": {"0": 0.5}},
        {"metric": "ap50", "all": {}, "folds": {}, "more": {}},
    ],
)
def test_what_is_no_choice_is_refused(tmp_path, found):
    (tmp_path / "chosen.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match="chosen.json: no values for all images and for folds; r"):
        read_chosen(tmp_path / "chosen.json")
