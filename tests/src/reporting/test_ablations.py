import pytest

from src.base.errors import InputError
from src.reporting.ablations import (
    Ablations,
    ablation_markdown,
    ablation_rows,
    left_out_sentence,
    metric_columns,
    read_ablations,
)

HERE, THERE, ELSEWHERE = "0123456789ab", "ba9876543210", "ffffffffffff"


def compared(rows, columns):
    return ablation_rows(rows, columns, rows[0])


def as_markdown(rows, columns):
    return ablation_markdown(Ablations(columns, compared(rows, columns), "baseline", ""))


@pytest.fixture
def write(tmp_path):
    """Function (rows of experiment, changes, data, ap50) that writes a table; returns its path."""

    def write(*rows):
        path = tmp_path / "ablation.csv"
        path.write_text("\n".join(["experiment,changes,data,ap50", *rows]) + "\n")
        return path

    return write


def test_only_experiments_on_the_data_at_hand_are_shown(write):
    rows = ("baseline,,{h},0.5", "b,a=1,{t},0.9", "c,a=2,{h},0.6", "d,a=3,,0.9", "e,a=4,{e},0.9")
    found = read_ablations(
        write(*(row.format(h=HERE, t=THERE, e=ELSEWHERE) for row in rows), f"f,a=5,{THERE},0.9"),
        HERE,
    )
    assert found.columns == ["ap50"]
    assert [(row.experiment, row.values, row.differences) for row in found.rows] == [
        ("baseline", ["0.5000"], [""]),
        ("c", ["0.6000"], ["+0.1000"]),
    ]
    assert found.baseline == "baseline"
    assert found.left_out == (
        "4 rows are left out, not or not for certain judged on the data at hand (0123456789ab): "
        "2 on data ba9876543210, 1 on data ffffffffffff, 1 on unknown data."
    )
    assert ablation_markdown(found).endswith("\n" + found.left_out + "\n")


def test_a_baseline_on_other_data_is_compared_with_nothing(write):
    path = write(f"baseline,,{THERE},0.5", f"b,a=1,{HERE},0.9", f"c,a=2,{HERE},0.6")
    found = read_ablations(path, HERE)
    assert [(row.experiment, row.differences) for row in found.rows] == [("b", [""]), ("c", [""])]
    assert found.left_out.startswith("1 row is left out")
    text = ablation_markdown(found)
    assert "baseline was not judged on the same data" in text
    assert "In brackets" not in text
    assert "0.5000" not in text


@pytest.mark.parametrize("of_rows", ["", THERE])
def test_on_unknown_data_nothing_is_shown(write, of_rows):
    found = read_ablations(write(f"baseline,,{of_rows},0.5", f"b,a=1,{of_rows},0.9"), "")
    assert found.rows == []
    assert "2 rows are left out" in ablation_markdown(found)
    assert "data at hand (unknown)" in found.left_out
    assert "0.9" not in ablation_markdown(found)
    assert "No experiments" not in ablation_markdown(found)


def test_where_all_are_shown_nothing_is_left_out(write):
    found = read_ablations(write(f"baseline,,{HERE},0.5"), HERE)
    assert found.left_out == left_out_sentence([], HERE) == ""
    words = "In brackets: the difference to baseline, or what else a row names."
    assert words in ablation_markdown(found)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "experiment,changes,ap50\n",
            "has no column data; run python -m experiments.collect again",
        ),
        (f"experiment,changes,data,ap50\nb,,{HERE},x\n", "'x'; collect the experiments again"),
        (None, "no such file; run python -m experiments.collect"),
    ],
)
def test_what_is_wrong_with_the_table_is_said(tmp_path, content, words):
    if content is not None:
        (tmp_path / "ablation.csv").write_text(content)
    with pytest.raises(InputError, match=f"ablation.csv: .*{words}"):
        read_ablations(tmp_path / "ablation.csv", HERE)


def test_the_columns_of_an_interval_are_no_metrics():
    bounds = ["ap50_difference_low", "ap50_difference_high"]
    assert metric_columns(
        ["experiment", "changes", "data", "seeds", "against", "ap50", "f1", *bounds]
    ) == [
        "ap50",
        "f1",
    ]


def test_differences_show_their_interval_and_whether_it_holds_zero():
    low, high = "ap50_difference_low", "ap50_difference_high"
    rows = [
        {"experiment": "baseline", "changes": "", "ap50": "0.5", "f1": "0.5", low: "", high: ""},
        {"experiment": "sure", "changes": "", "ap50": "0.6", "f1": "0.5", low: "0.05", high: "0.2"},
        {"experiment": "worse", "changes": "", "ap50": "0.4", "f1": "", low: "-0.2", high: "-0.05"},
        {"experiment": "maybe", "changes": "", "ap50": "0.6", "f1": "", low: "-0.05", high: "0.2"},
        {"experiment": "same", "changes": "", "ap50": "0.5", "f1": "", low: "0.0", high: "0.0"},
        {"experiment": "lost", "changes": "", "ap50": "0.6", "f1": "", low: "", high: ""},
    ]
    columns = ["ap50", "f1"]
    assert [row.differences for row in compared(rows, columns)] == [
        ["", ""],
        ["+0.1000 [+0.0500, +0.2000]", "+0.0000"],
        ["-0.1000 [-0.2000, -0.0500]", ""],
        ["+0.1000 [-0.0500, +0.2000] not sure", ""],
        ["+0.0000 [+0.0000, +0.0000] not sure", ""],
        ["+0.1000 no interval", ""],
    ]
    text = as_markdown(rows, columns)
    assert (
        "| sure |  | one seed | 0.6000 (+0.1000 [+0.0500, +0.2000]) | 0.5000 (+0.0000) |\n" in text
    )
    assert "95 % interval" in text


def test_experiments_are_compared_with_the_first():
    rows = [
        {"experiment": "baseline", "changes": "", "val.ap50": "0.7", "oof.ap50": ""},
        {"experiment": "x", "changes": "a=1", "val.ap50": "0.65", "oof.ap50": "0.5"},
        {"experiment": "y", "changes": "a=2", "val.ap50": "", "oof.ap50": ""},
    ]
    baseline, x, y = compared(rows, ["val.ap50", "oof.ap50"])
    assert (baseline.values, baseline.differences) == (["0.7000", "–"], ["", ""])
    assert (x.values, x.differences) == (["0.6500", "0.5000"], ["-0.0500", ""])
    assert y.values == ["–", "–"]


def test_a_row_is_compared_with_the_one_it_names():
    rows = [
        {"experiment": "baseline", "seeds": "1", "against": "", "ap50": "0.5"},
        {"experiment": "defaults", "seeds": "3", "against": "", "ap50": "0.6"},
        {"experiment": "x", "seeds": "3", "against": "defaults", "ap50": "0.65"},
        {"experiment": "y", "seeds": "1", "against": "baseline", "ap50": "0.65"},
        {"experiment": "z", "seeds": "2", "against": "gone", "ap50": "0.65"},
    ]
    told = compared([row | {"changes": ""} for row in rows], ["ap50"])
    assert [(row.runs, row.differences) for row in told] == [
        ("one seed", [""]),
        ("3 seeds", [""]),
        ("3 seeds, against defaults", ["+0.0500"]),
        ("one seed", ["+0.1500"]),
        ("2 seeds", [""]),
    ]
    text = ablation_markdown(Ablations(["ap50"], told, "baseline", ""))
    assert "| x |  | 3 seeds, against defaults | 0.6500 (+0.0500) |" in text
    assert "another seed may differ by more" in text


def test_the_ablation_table_tells_differences_and_that_they_may_be_chance():
    rows = [
        {"experiment": "baseline", "changes": "", "ap50": "0.7"},
        {"experiment": "<b>", "changes": "a|b", "ap50": "0.75"},
    ]
    text = as_markdown(rows, ["ap50"])
    assert "| baseline |  | one seed | 0.7000 |\n" in text
    assert "| &lt;b> | a\\|b | one seed | 0.7500 (+0.0500) |\n" in text
    assert "A difference without an interval is no gain" in text


def test_no_experiment_is_said_plainly():
    assert ablation_markdown(Ablations(["ap50"], [], "", "")) == "No experiments collected yet.\n"


def test_a_value_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="could not convert string to float: 'x'"):
        ablation_rows([{"experiment": "a", "changes": "", "ap50": "x"}], ["ap50"], None)
