import json

import pytest

from src.base.errors import InputError
from src.judging.bootstrap import METRICS as WITH_INTERVAL
from src.reporting.scores import (
    JUDGES,
    METRICS,
    Scores,
    as_text,
    headline_markdown,
    headline_rows,
    interval_rows,
    read_scores,
    title_of,
)

TABLE = "split,images,metric,value,low,high\n"


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
    lines = headline_markdown(splits, rows).splitlines()
    assert lines[0] == "|  | metric | judges | oof | val |"
    assert lines[2] == "| Average precision at IoU 0.50 | ap50 | ranking | 0.5000 | – |"
    assert lines[3] == "| Images judged | images |  | 1,200 | – |"


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


def test_every_metric_of_detections_judges_the_ranking_or_the_accepted_ones():
    ranking = {
        "ap50",
        "ar50",
        "ap",
        "ar",
        "ap75",
        "ap50_small",
        "ar_coco_large",
        "ap50_clean",
        "ece",
    }
    accepted = {"f1_50", "precision_50", "recall_50", "f1_histogram_50", "detection_accuracy"}
    accepted |= {"dice_mean", "iou_mean", "boundary_iou_mean", "pq", "sq", "rq", "f1_50_clean"}
    accepted |= {"detections", "detection_accuracy_50", "detection_accuracy_75"}
    accepted |= {"polis", "boundary_f", "vertex_ratio", "c_iou"}
    assert {JUDGES[name] for name in ranking} == {"ranking"}
    assert {name for name, words in JUDGES.items() if words == "operating point"} == accepted
    assert METRICS.keys() - JUDGES == {"operating_point", "images", "objects", "images_clean"}


def test_what_is_text_is_no_metric_and_no_split():
    metrics = {"oof.ap50": 0.5, "data": "0123456789ab", "oof.note": "words"}
    assert headline_rows(metrics) == headline_rows({"oof.ap50": 0.5})


@pytest.fixture
def write(tmp_path):
    """Function (metrics, table) that writes metrics.json and metrics.csv; returns their paths."""

    def write(metrics, table):
        paths = tmp_path / "metrics.json", tmp_path / "metrics.csv"
        paths[0].write_text(json.dumps(metrics))
        paths[1].write_text(table)
        return paths

    return write


def test_the_headline_has_intervals_and_all_else_is_further(write):
    metrics = {"oof.ap50": 0.5, "val.ap50": None, "val.ap50_clean": 0.25, "data": "0123456789ab"}
    table = (
        "oof,all,ap50,0.5,0.4,0.6\nval,all,ap50,,,\nval,clean,ap50,0.25,0.2,0.3\n"
        "val,all,sq,0.75,,\nval,clean,f1_50,0.9,,\n"
    )
    found = read_scores(*write(metrics, TABLE + table))
    assert (found.data, found.splits) == ("0123456789ab", ["oof", "val"])
    assert [(name, texts) for name, _, texts in found.headline] == [
        ("ap50", ["0.5000 [0.4000, 0.6000]", "–"]),
        ("ap50_clean", ["–", "0.2500 [0.2000, 0.3000]"]),
    ]
    assert found.further == [("sq", "SQ, mean IoU of the matches", ["–", "0.7500"])]


def test_metrics_of_before_do_not_tell_their_data(write):
    assert read_scores(*write({"oof.ap50": 0.5}, TABLE)).data == ""


@pytest.mark.parametrize(
    ("metrics", "table", "words"),
    [
        ([], TABLE, "metrics.json: no map of metrics"),
        ({}, "split\n", "metrics.csv: has no column images; run evaluate again"),
        ({}, TABLE + "oof,all,ap50,much,,\n", "metrics.csv: .*'much'; run evaluate again"),
    ],
)
def test_what_evaluate_never_writes_is_refused(write, metrics, table, words):
    with pytest.raises(InputError, match=words):
        read_scores(*write(metrics, table))


@pytest.mark.parametrize(
    ("splits", "texts", "title"),
    [
        (["oof", "val"], ["0.5000", "0.4000 [0.3, 0.5]"], "cells: AP50 0.4000 on val"),
        (["oof", "val"], ["0.5000 [0.4, 0.6]", "–"], "cells: AP50 0.5000 on oof"),
        (["oof"], ["–"], "cells"),
    ],
)
def test_a_page_is_named_by_its_data_set_and_first_figure(splits, texts, title):
    assert title_of("cells", Scores("", splits, [("ap50", "AP", texts)], [])) == title
    assert title_of("cells", Scores("", [], [], [])) == "cells"
