"""A slice of the kill matrix; `python -m tests.kill_matrix` is the whole."""

from collections import Counter

import pytest

from tests.kill_matrix import run_repository, run_trials, summary

pytestmark = pytest.mark.slow

TRIALS = [("compute_weight_maps", "stage", "TERM"), ("train@main-0", "both", "KILL")]
TRIALS += [("train@main-0", "dvc", "KILL"), ("train@main-0", "stage", "INT")]


def test_what_is_killed_ends_with_the_bytes_of_what_is_not(tmp_path, capsys):
    repository = run_repository(tmp_path / "repository", "train@main-0")
    assert any("stages.train" in command for command in repository.seconds)
    found = run_trials(repository, TRIALS, most=float("inf"), seed=0)
    told = capsys.readouterr().out
    assert found.total() == len(TRIALS)
    assert {outcome for *_, outcome in found} == {"identical"}, told
    assert "its end" not in told  # each was killed before it


def test_counts_are_by_stage_and_signal():
    table = Counter(
        {("a", "KILL", "identical"): 3, ("a", "KILL", "refused"): 1, ("b", "INT", "different"): 2}
    )
    assert summary(table).splitlines() == [
        "| stage | signal | trials | identical | different | refused |",
        "|---|---|---:|---:|---:|---:|",
        "| a | KILL | 4 | 3 | 0 | 1 |",
        "| b | INT | 2 | 0 | 2 | 0 |",
        "| all | | 6 | 3 | 2 | 1 |",
    ]
