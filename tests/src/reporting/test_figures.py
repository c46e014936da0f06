import cv2
import matplotlib
import numpy as np
import pytest

from src.reporting.figures import (
    RIGHT,
    WRONG,
    error_fixes,
    feature_importance,
    learning_curves,
    precision_recall,
    rates_by_bin,
    reliability,
    score_histograms,
)

pytestmark = pytest.mark.slow  # drawing takes seconds


def fold(epochs=6, **changes):
    columns = {
        "phase": np.array(["a"] * epochs, object),
        "lr": np.full(epochs, 1e-3),
        "train_loss": np.linspace(1, 0.5, epochs),
        "fold_loss": np.linspace(1.2, 0.7, epochs),
        "fold_dice": np.linspace(0.1, 0.9, epochs),
    }
    return columns | changes


@pytest.fixture(scope="module")
def one_fold():
    return learning_curves({0: fold()})


def pixels(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def count(png, colour):
    rgb = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((pixels(png) == rgb).all(axis=2).sum())


def test_every_fold_has_its_line(one_fold):
    two = learning_curves({0: fold(), 3: fold(fold_dice=np.linspace(0.2, 0.6, 6))})
    assert count(one_fold, "#0072b2") > 500
    assert count(one_fold, "#d55e00") == 0
    assert count(two, "#d55e00") > 500


def test_epochs_without_a_measurement_are_bridged(one_fold):
    gaps = fold()["fold_dice"]
    gaps[[1, 2, 4]] = np.nan
    bridged = count(learning_curves({0: fold(fold_dice=gaps)}), "#0072b2")
    assert 0.9 < bridged / count(one_fold, "#0072b2") < 1


def test_a_fold_that_was_never_measured_can_be_drawn():
    nothing = np.full(6, np.nan)
    png = learning_curves({0: fold(fold_loss=nothing, fold_dice=nothing)})
    assert count(png, "#0072b2") > 300


def test_a_new_phase_is_marked(one_fold):
    phases = np.array(["a", "a", "a", "b", "b", "b"], object)
    marked = learning_curves({0: fold(phase=phases)})
    assert count(marked, "#bbbbbb") > count(one_fold, "#bbbbbb") + 100


def test_one_epoch_is_a_point():
    assert count(learning_curves({0: fold(epochs=1)}), "#0072b2") > 50


def test_precision_falls_where_the_curve_falls():
    recall = np.linspace(0, 1, 101)
    high = pixels(precision_recall({"oof": (recall, np.full(101, 0.9))}, {}))
    low = pixels(precision_recall({"oof": (recall, np.full(101, 0.1))}, {}))
    blue = np.array([0x00, 0x72, 0xB2])
    rows = [np.median(np.nonzero((image == blue).all(axis=2))[0]) for image in (high, low)]
    assert rows[0] < rows[1] - 200  # rows count from the top


def test_a_split_without_truth_has_no_curve():
    empty = (np.empty(0), np.empty(0))
    assert count(precision_recall({"val": empty}, {}), "#0072b2") == 0


def test_the_operating_point_is_a_dot_where_it_is():
    curve = {"oof": (np.linspace(0, 1, 101), np.full(101, 0.9))}
    plain, dotted = (pixels(precision_recall(curve, p)) for p in ({}, {"oof": (0.5, 0.2)}))
    rows, columns = np.nonzero((plain != dotted).any(axis=2))
    assert 5 < np.ptp(rows) < 40
    assert 5 < np.ptp(columns) < 40
    assert np.mean(rows) > plain.shape[0] * 0.6  # rows count from the top


def test_bars_are_in_proportion_to_the_detections():
    scores = np.linspace(0, 1, 400)
    png = score_histograms({"oof": (scores[:300], scores[100:])})
    assert count(png, RIGHT) / count(png, WRONG) == pytest.approx(1, abs=0.1)
    png = score_histograms({"oof": (scores, scores[::4])})
    assert count(png, RIGHT) / count(png, WRONG) == pytest.approx(4, rel=0.2)


def test_scores_above_1_and_no_scores_are_drawn():
    large, nothing = np.array([30.0, 55.0]), np.empty(0)
    png = score_histograms({"oof": (large, large), "val": (nothing, nothing)})
    assert count(png, RIGHT) > 100


def longest_bar(png, colour):
    """Return the length of the longest horizontal run of pixels of that colour."""
    rgb = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    hits = np.pad((pixels(png) == rgb).all(axis=2), ((0, 0), (1, 1))).astype(int).ravel()
    starts, stops = (np.flatnonzero(np.diff(hits) == step) for step in (1, -1))
    return int((stops - starts).max())


def test_fixes_are_bars_as_long_as_their_share():
    bars = {"oof": [("missed", 3, 0.5), ("merged", 9, 0.1)], "val": [("missed", 1, 0.25)] * 2}
    png = error_fixes(bars)
    assert longest_bar(png, "#0072b2") / longest_bar(png, "#d55e00") == pytest.approx(2, rel=0.02)


def test_a_fix_that_regains_nothing_has_no_bar():
    nothing = error_fixes({"oof": [("missed", 0, 0.0), ("merged", 4, 0.0)]})
    some = error_fixes({"oof": [("missed", 4, 0.2), ("merged", 4, 0.0)]})
    assert count(nothing, "#0072b2") < 0.01 * count(some, "#0072b2")


def test_rates_are_bars_as_high_as_the_rate_and_faint_for_few():
    def draw(*rows):
        return rates_by_bin({"Recall by size": {"oof": list(rows)}})

    full, half = draw(("a", 50, 1.0)), draw(("a", 50, 0.5))
    assert count(full, "#0072b2") / count(half, "#0072b2") == pytest.approx(2, rel=0.02)
    assert count(draw(("a", 19, 1.0)), "#0072b2") == 0
    faint = [round(0.4 * c + 0.6 * 255) for c in (0x00, 0x72, 0xB2)]
    assert (np.abs(pixels(draw(("a", 19, 1.0))).astype(int) - faint) <= 1).all(axis=2).sum() > 500


def test_bins_empty_in_all_splits_are_left_out_and_empty_in_one_are_not():
    empty, held = ("a", 0, np.nan), ("b", 50, 1.0)
    one = rates_by_bin({"": {"oof": [held]}})
    assert rates_by_bin({"": {"oof": [empty, held]}}) == one
    assert rates_by_bin({"": {"oof": [("a", 50, 0.0), held]}}) != one
    both = rates_by_bin({"": {"oof": [empty, held], "val": [("a", 30, 1.0), held]}})
    assert count(both, "#d55e00") > 1.8 * count(both, "#0072b2")


def test_reliability_is_drawn_below_and_above_the_diagonal():
    scores, sizes = np.array([0.2, 0.8]), np.array([10.0, 30.0])
    low, high = (reliability({"oof": (scores, scores + by, sizes)}) for by in (-0.15, 0.15))
    blue = np.array([0x00, 0x72, 0xB2])
    rows = [np.median(np.nonzero((pixels(p) == blue).all(axis=2))[0]) for p in (low, high)]
    assert rows[1] < rows[0] - 50
    assert count(reliability({}), "#0072b2") == 0


def test_the_fifteen_largest_features_are_shown():
    gains = {f"feature{n}": 0.01 * n for n in range(1, 16)}
    drawn = feature_importance(gains)
    assert feature_importance({"small": 0.001} | gains) == drawn
    assert feature_importance(gains | {"large": 0.5}) != drawn


def test_nothing_to_draw_is_refused():
    for draw in (error_fixes, rates_by_bin, feature_importance):
        with pytest.raises(ValueError, match="to draw"):
            draw({})
    with pytest.raises(ValueError, match="no learning curve"):
        learning_curves({})
    with pytest.raises(ValueError, match="no split"):
        score_histograms({})


@pytest.mark.parametrize(
    "draw",
    [
        lambda: learning_curves({0: fold(), 1: fold()}),
        lambda: precision_recall({"oof": (np.linspace(0, 1, 101), np.linspace(1, 0, 101))}, {}),
        lambda: score_histograms({"oof": (np.array([0.5]), np.array([0.25]))}),
        lambda: error_fixes({"oof": [("missed", 3, 0.5)]}),
        lambda: rates_by_bin({"size": {"oof": [("a", 30, 0.5)], "val": [("a", 3, 0.2)]}}),
        lambda: reliability({"oof": (np.array([0.5]), np.array([0.4]), np.array([3.0]))}),
        lambda: feature_importance({"area": 1.0}),
    ],
)
def test_same_numbers_same_bytes_whatever_the_users_style(draw):
    first = draw()
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30}):
        assert draw() == first
    assert b"Software" not in first
