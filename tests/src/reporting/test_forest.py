import pytest

from src.reporting.ablations import AblationRow, Ablations, Difference
from src.reporting.forest import axis_reach, forests


def row(name, *numbers):
    return AblationRow(name, f"a={name}", "3 seeds", [], [], list(numbers))


def test_differences_lie_where_they_should():
    rows = [
        row("base", None, None),
        row("sure", Difference(0.02, 0.01, 0.04), Difference(0.1, None, None)),
        row("unsure", Difference(-0.01, -0.03, 0.01), None),
        row("alone", Difference(0.0, None, None), None),
    ]
    (forest,) = forests(Ablations(["val.ap50", "val.f1"], rows, "base", ""))
    assert forest.metric == "val.ap50"
    assert forest.reach == 0.05
    sure, unsure, alone = forest.rows
    assert (sure.point, sure.low, sure.high) == (70, 60, 90)
    assert (unsure.point, unsure.low, unsure.high) == (40, 20, 60)
    assert (alone.point, alone.low, alone.high) == (50, None, None)
    assert [one.sure for one in forest.rows] == [True, False, False]
    assert sure.runs == "3 seeds"
    assert sure.text == "+0.0200 [+0.0100, +0.0400]"
    assert alone.text == "+0.0000 no interval"


def test_without_an_interval_there_is_no_plot():
    rows = [row("base", None), row("a", Difference(0.1, None, None))]
    assert forests(Ablations(["val.ap50"], rows, "base", "")) == []


@pytest.mark.parametrize(
    ("largest", "reach"),
    [
        (0, 0.001),
        (0.0009, 0.001),
        (0.0011, 0.002),
        (0.05, 0.05),
        (0.051, 0.1),
        (0.023, 0.025),
        (7, 10),
    ],
)
def test_an_axis_ends_at_a_round_number(largest, reach):
    assert axis_reach(largest) == reach
