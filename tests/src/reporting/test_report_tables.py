import pytest

from src.judging.bootstrap import METRICS as WITH_INTERVAL
from src.reporting.report_tables import (
    METRICS,
    ablation_markdown,
    ablation_rows,
    as_text,
    headline_markdown,
    headline_rows,
    interval_rows,
    metric_columns,
    pick_images,
    set_rows,
)


def image(name, f1, dice=0.5, *, tp=1, fp=0, fn=0):
    return {"name": name, "f1_50": f1, "dice": dice, "tp": tp, "fp": fp, "fn": fn}


def names(rows):
    return [row["name"] for row in rows]


def test_numbers_are_written_to_four_decimals_counts_in_full():
    assert [as_text(n) for n in (0.94321, 1.0, 60317, 0, None)] == [
        "0.9432",
        "1.0000",
        "60,317",
        "0",
        "–",
    ]


def test_the_headline_has_a_row_per_metric_and_a_column_per_split():
    metrics = {"oof.images": 1200, "oof.ap50": 0.5, "val.ap50": None, "oof.clean": 0.25}
    splits, rows = headline_rows(metrics)
    assert splits == ["oof", "val"]
    assert rows == [
        ("ap50", "Average precision at IoU 0.50", ["0.5000", "–"]),
        ("images", "Images judged", ["1,200", "–"]),
        ("clean", "clean", ["0.2500", "–"]),
    ]
    assert headline_markdown(splits, rows).splitlines()[2] == (
        "| Average precision at IoU 0.50 | ap50 | 0.5000 | – |"
    )


def metric_row(split, metric, value, low="", high="", images="all"):
    keys = ("split", "images", "metric", "value", "low", "high")
    return dict(zip(keys, (split, images, metric, value, low, high), strict=True))


def test_rows_of_all_metrics_show_their_interval():
    rows = [
        metric_row("oof", "images", "1200"),
        metric_row("oof", "ap50", "0.5", "0.45", "0.551"),
        metric_row("oof", "ap50", "0.25", "0.2", "0.3", images="clean"),
        metric_row("oof", "f1_50", "1.0"),
        metric_row("val", "ap50", "", "", ""),
    ]
    splits, shown = interval_rows(rows, "all")
    assert splits == ["oof", "val"]
    assert shown == [
        ("ap50", "Average precision at IoU 0.50", ["0.5000 [0.4500, 0.5510]", "–"]),
        ("f1_50", "F1 of objects matched at IoU 0.50", ["1.0000", "–"]),
        ("images", "Images judged", ["1,200", "–"]),
    ]
    splits, shown = interval_rows(rows, "clean")
    assert (splits, shown[0][2]) == (["oof"], ["0.2500 [0.2000, 0.3000]"])
    assert interval_rows([], "all") == ([], [])


def test_every_metric_with_an_interval_is_told_in_plain_words():
    assert set(WITH_INTERVAL) <= METRICS.keys()
    assert len(set(METRICS.values())) == len(METRICS)


def test_the_columns_of_an_interval_are_no_metrics():
    bounds = ["ap50_difference_low", "ap50_difference_high"]
    assert metric_columns(["experiment", "changes", "ap50", "f1", *bounds]) == ["ap50", "f1"]


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
    compared = ablation_rows(rows, columns)
    assert [row.differences for row in compared] == [
        ["", ""],
        ["+0.1000 [+0.0500, +0.2000]", "+0.0000"],
        ["-0.1000 [-0.2000, -0.0500]", ""],
        ["+0.1000 [-0.0500, +0.2000] not sure", ""],
        ["+0.0000 [+0.0000, +0.0000] not sure", ""],
        ["+0.1000 no interval", ""],
    ]
    text = ablation_markdown(columns, compared)
    assert "| sure |  | 0.6000 (+0.1000 [+0.0500, +0.2000]) | 0.5000 (+0.0000) |\n" in text
    assert "95 % interval" in text


def test_experiments_are_compared_with_the_first():
    rows = [
        {"experiment": "baseline", "changes": "", "val.ap50": "0.7", "oof.ap50": ""},
        {"experiment": "x", "changes": "a=1", "val.ap50": "0.65", "oof.ap50": "0.5"},
        {"experiment": "y", "changes": "a=2", "val.ap50": "", "oof.ap50": ""},
    ]
    baseline, x, y = ablation_rows(rows, ["val.ap50", "oof.ap50"])
    assert (baseline.values, baseline.differences) == (["0.7000", "–"], ["", ""])
    assert (x.values, x.differences) == (["0.6500", "0.5000"], ["-0.0500", ""])
    assert y.values == ["–", "–"]


def test_the_ablation_table_tells_differences_and_that_they_may_be_chance():
    rows = [
        {"experiment": "baseline", "changes": "", "ap50": "0.7"},
        {"experiment": "<b>", "changes": "a|b", "ap50": "0.75"},
    ]
    text = ablation_markdown(["ap50"], ablation_rows(rows, ["ap50"]))
    assert "| baseline |  | 0.7000 |\n" in text
    assert "| &lt;b> | a\\|b | 0.7500 (+0.0500) |\n" in text
    assert "A difference without an interval is no gain" in text


def test_no_experiment_is_said_plainly():
    assert ablation_markdown(["ap50"], []) == "No experiments collected yet.\n"


def test_a_value_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="could not convert string to float: 'x'"):
        ablation_rows([{"experiment": "a", "changes": "", "ap50": "x"}], ["ap50"])


def test_a_set_is_summed_up_split_by_split():
    train = {"split": "train", "height": 300, "width": 200}
    rows = set_rows(
        [
            {"split": "test", "height": 10, "width": 10, "objects": None, "coverage": None},
            {**train, "objects": 1500.0, "coverage": 0.5},
            {**train, "height": 280, "objects": 0.0, "coverage": 0.0},
        ]
    )
    assert [tuple(row) for row in rows] == [
        ("train", "2", "1,500", "1", "25.0%", "280-300 x 200"),
        ("test", "1", "–", "–", "–", "10 x 10"),
    ]


def test_the_worst_images_are_the_worst():
    rows = [image(str(i), f1=i / 10, dice=0.9 - i / 20) for i in (3, 9, 1, 7, 5, 0, 8, 2, 6, 4)]
    picked = pick_images(rows, 3)
    assert names(picked["best"]) == ["9", "8", "7"]
    assert names(picked["median"]) == ["6", "5", "4"]
    assert names(picked["worst"]) == ["0", "1", "2"]


def test_ties_are_broken_by_dice_then_by_name():
    rows = [image("b", 0.5, 0.7), image("c", 0.5, 0.8), image("a", 0.5, 0.7)]
    assert names(pick_images(rows, 1)["best"]) == ["c"]
    assert names(pick_images(rows, 1)["median"]) == ["a"]
    assert names(pick_images(rows, 1)["worst"]) == ["b"]


def test_images_with_nothing_in_them_are_no_success():
    rows = [image("empty", 1.0, 1.0, tp=0), image("missed", 0.0, 0.0, tp=0, fn=1)]
    assert names(pick_images(rows, 1)["best"]) == ["missed"]


def test_no_image_is_shown_twice_where_there_are_three():
    rows = [image(str(i), i / 10) for i in range(5)]
    picked = pick_images(rows, 3)
    assert [len(kind) for kind in picked.values()] == [1, 1, 1]
    assert pick_images([], 3) == {"best": [], "median": [], "worst": []}
