import importlib
import subprocess
import sys

import pytest

from src.likeness.absence import absent


def test_what_is_absent_cannot_be_imported_until_the_block_ends(monkeypatch, tmp_path):
    (tmp_path / "told_absent.py").write_text("value = 3")
    monkeypatch.syspath_prepend(tmp_path)
    with absent("told_absent"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("told_absent")
    assert importlib.import_module("told_absent").value == 3
    with absent("told_absent"):  # loaded already
        assert importlib.import_module("told_absent").value == 3
    assert "told_absent" in sys.modules
    del sys.modules["told_absent"]


def test_an_error_in_the_block_leaves_nothing_absent():
    with pytest.raises(KeyError), absent("no_such_package"):
        raise KeyError
    assert "no_such_package" not in sys.modules


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("stages.check_params", ["scipy", "joblib", "torch"]),
        ("stages.prepare_masks", ["scipy", "joblib", "torch"]),
        ("stages.find_duplicates", ["scipy", "joblib", "torch"]),
        ("stages.split_folds", ["sklearn", "scipy", "torch"]),
        ("stages.validate_split", ["sklearn", "torch"]),
        ("stages.export", ["scipy", "joblib", "torch"]),
    ],
)
def test_a_stage_starts_without_what_it_may_not_need(module, without):
    code = f"import sys, {module}; print([n for n in {without} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
