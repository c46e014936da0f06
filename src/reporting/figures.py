"""Charts of the report as PNG bytes: the same numbers give the same bytes."""

import io
from collections.abc import Callable

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "text.color": "#222222",
    "axes.edgecolor": "#888888",
    "axes.labelcolor": "#444444",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
SERIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555"]
RIGHT, WRONG = "#56b4e9", "#d55e00"  # as in the overlays
FEW = 20  # below that many a rate says little
DPI = 160


def learning_curves(curves: dict[int, dict[str, np.ndarray]]) -> bytes:
    """Draw how the folds of one model were trained.

    Parameters
    ----------
    curves : dict
        Fold -> columns of equal length, one value per epoch: phase (any), lr, train_loss,
        fold_loss and fold_dice (float64, NaN where not computed; a gap is bridged).

    Returns
    -------
    png : bytes
        Losses (train solid, held-out fold dashed), Dice of the held-out fold, learning rate;
        a vertical line where a phase begins.

    Raises
    ------
    ValueError
        If there is no fold.
    """
    if not curves:
        raise ValueError("no learning curve to draw")
    panels = ("loss", "dice", "lr")

    def draw(figure: Figure) -> None:
        axes = figure.subplot_mosaic([["loss", "dice"], ["lr", "lr"]], height_ratios=[4, 1])
        for place, (fold, columns) in enumerate(sorted(curves.items())):
            colour = SERIES[place % len(SERIES)]
            label = f"fold {fold}"
            _plot(axes["loss"], columns["train_loss"], color=colour, label=label)
            _plot(axes["loss"], columns["fold_loss"], color=colour, linestyle="--")
            _plot(axes["dice"], columns["fold_dice"], color=colour, label=label)
            epochs = np.arange(len(columns["lr"])) + 1
            axes["lr"].step(epochs, columns["lr"], where="mid", color=colour)
        phases = np.asarray(next(iter(curves.values()))["phase"], object)
        for epoch in np.flatnonzero(phases[1:] != phases[:-1]) + 1.5:
            for name in panels:
                axes[name].axvline(epoch, color="#bbbbbb", linewidth=1, linestyle=":")
        axes["loss"].set_title("Loss: training solid, held-out fold dashed")
        axes["dice"].set_title("Dice of the held-out fold")
        axes["lr"].set(title="Learning rate", xlabel="epoch", yscale="log")
        for name in panels:
            axes[name].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes["dice"].legend(loc="lower right")

    return _png(draw, width=9, height=4.6)


def precision_recall(
    curves: dict[str, tuple[np.ndarray, np.ndarray]], points: dict[str, tuple[float, float]]
) -> bytes:
    """Draw precision against recall at IoU 0.5, over thin lines of equal F1.

    Parameters
    ----------
    curves : dict
        Split -> (recall, precision), each float64 (N,) in [0, 1]; an empty one is left out.
    points : dict
        Split -> (recall, precision) at its operating point; a split may be without.

    Returns
    -------
    png : bytes
        The legend tells the area under each curve, COCO's AP50 (the mean precision).
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for f1 in (0.2, 0.4, 0.6, 0.8):
            recall = np.linspace(f1 / (2 - f1), 1, 200)
            axes.plot(recall, f1 * recall / (2 * recall - f1), color="#d0d0d0", linewidth=0.8)
            axes.text(1.01, f1 / (2 - f1), f"F1 {f1}", color="#999999", fontsize=7, va="center")
        for colour, (split, (recall, precision)) in zip(SERIES, curves.items(), strict=False):
            if recall.size:
                label = f"{split}, AP50 {precision.mean():.4f}"
                axes.plot(recall, precision, color=colour, label=label, linewidth=2)
            if split in points:
                axes.plot(*points[split], "o", color=colour, markeredgecolor="white", zorder=3)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.set_title("Precision and recall at IoU 0.50")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower left")

    return _png(draw, width=5, height=3.8)


def score_histograms(scores: dict[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Draw how the scores of right and wrong detections are distributed, one panel per split.

    Parameters
    ----------
    scores : dict
        Split -> (scores of right detections, scores of wrong ones), float64; either may be
        empty.

    Returns
    -------
    png : bytes
        Stacked bars in 40 bins from 0 (or the lowest score below it) to the highest score.

    Raises
    ------
    ValueError
        If there is no split.
    """
    if not scores:
        raise ValueError("no split to draw")
    every = np.concatenate([part for parts in scores.values() for part in parts])
    bins = np.linspace(every.min(initial=0), every.max(initial=1e-6), 41)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(scores), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (split, (right, wrong)) in zip(panels, scores.items(), strict=True):
            counts = [np.histogram(part, bins)[0] for part in (right, wrong)]
            widths = np.diff(bins)
            axes.bar(bins[:-1], counts[0], widths, align="edge", color=RIGHT, label="right")
            axes.bar(
                bins[:-1], counts[1], widths, counts[0], align="edge", color=WRONG, label="wrong"
            )
            axes.set_title(f"Scores of the detections: {split}")
            axes.set_ylabel("detections")
            axes.grid(axis="x", visible=False)
        panels[0].legend(loc="best")
        panels[-1].set_xlabel("score")

    return _png(draw, width=5, height=3.8)


def error_fixes(fixes: dict[str, list[tuple[str, int, float]]]) -> bytes:
    """Draw what share of the loss of AP50 would be regained if one kind of error were undone.

    Parameters
    ----------
    fixes : dict
        Split -> [(kind in plain words, errors of that kind, share regained)], the same kinds in
        the same order in every split.

    Returns
    -------
    png : bytes
        Horizontal bars, the first kind at the top, a colour per split; beside each bar the share
        and, in brackets, the number of errors.

    Raises
    ------
    ValueError
        If there is no split.
    """
    if not fixes:
        raise ValueError("no split to draw")
    kinds = [kind for kind, _, _ in next(iter(fixes.values()))]
    height = 0.8 / len(fixes)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, (colour, (split, rows)) in enumerate(zip(SERIES, fixes.items(), strict=False)):
            rises = np.arange(len(rows)) + (place - (len(fixes) - 1) / 2) * height
            shares = [share for _, _, share in rows]
            axes.barh(rises, shares, height * 0.9, color=colour, label=split)
            for rise, (_, count, share) in zip(rises, rows, strict=True):
                words = f" {share:.1%}  ({count:,})" if count else " none"
                axes.text(max(share, 0), rise, words, va="center", fontsize=7.5, color="#444444")
        largest = max(share for rows in fixes.values() for _, _, share in rows)
        axes.set(xlim=(None, max(largest, 0.01) * 1.25), yticks=np.arange(len(kinds)))
        axes.set_yticklabels(kinds)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_title("Share of the loss, 1 - AP50, that undoing one kind of error regains")
        if len(fixes) > 1:
            axes.legend(loc="lower right")

    return _png(draw, width=9, height=0.9 + len(kinds) * 0.26 * (len(fixes) + 0.5))


def rates_by_bin(rates: dict[str, dict[str, list[tuple[str, int, float]]]]) -> bytes:
    """Draw rates, bin by bin, for several questions: one panel each.

    Parameters
    ----------
    rates : dict
        Question in plain words -> split -> [(bin, count, rate in [0, 1])], the same bins in the
        same order in every split; the rate of an empty bin does not matter.

    Returns
    -------
    png : bytes
        Bars from 0 to 1, a colour per split; below each bin the count of every split. Bins that
        are empty in all splits are left out; bars of fewer than FEW are pale.

    Raises
    ------
    ValueError
        If there is no question.
    """
    if not rates:
        raise ValueError("no question to draw")
    rows = -(-len(rates) // 2)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(rows, min(len(rates), 2), sharey=True, squeeze=False).ravel()
        for axes, (question, splits) in zip(panels, rates.items(), strict=False):
            _bars(axes, splits)
            axes.set_title(question)
        for axes in panels[len(rates) :]:
            axes.set_axis_off()
        if max(len(splits) for splits in rates.values()) > 1:
            names = list(dict.fromkeys(name for splits in rates.values() for name in splits))
            handles = [Patch(color=colour) for colour in SERIES[: len(names)]]
            figure.legend(handles, names, loc="outside upper right", ncols=len(names))

    return _png(draw, width=9, height=0.4 + 2.5 * rows)


def reliability(curves: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> bytes:
    """Draw how often detections of a score are right; a calibrated score lies on the diagonal.

    Parameters
    ----------
    curves : dict
        Split -> (mean score of each bin, share of it that is right, number of detections), each
        float64 (bins,), bins without a detection left out.

    Returns
    -------
    png : bytes
        Points as large as their share of the detections. The legend tells the expected
        calibration error: the mean distance from the diagonal over the detections.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1, linestyle="--")
        for colour, (split, (scores, rates, counts)) in zip(SERIES, curves.items(), strict=False):
            error = np.average(np.abs(scores - rates), weights=counts)
            sizes = 12 + 220 * counts / counts.sum()
            axes.plot(scores, rates, color=colour, label=f"{split}, error {error:.4f}")
            axes.scatter(scores, rates, sizes, color=colour, alpha=0.7, edgecolors="none")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="score", ylabel="share that is right")
        axes.set_title("What a score promises and what it holds")
        if curves:
            axes.legend(loc="upper left")

    return _png(draw, width=5, height=3.8)


def feature_importance(gains: dict[str, float]) -> bytes:
    """Draw the share of the gain that each feature of the second level brings.

    Parameters
    ----------
    gains : dict
        Feature -> share in [0, 1].

    Returns
    -------
    png : bytes
        Horizontal bars, the largest at the top; the 15 largest of more.

    Raises
    ------
    ValueError
        If there is no feature.
    """
    if not gains:
        raise ValueError("no feature to draw")
    shown = sorted(gains.items(), key=lambda pair: (-pair[1], pair[0]))[:15]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        names, shares = zip(*shown, strict=True)
        axes.barh(names, shares, 0.7, color=SERIES[0])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_title("Share of the gain that a feature brings")

    return _png(draw, width=5, height=3.8)


def _bars(axes: Axes, splits: dict[str, list[tuple[str, int, float]]]) -> None:
    """Draw one panel of `rates_by_bin`."""
    counts = np.array([[count for _, count, _ in rows] for rows in splits.values()])
    shown = np.flatnonzero(counts.any(axis=0))
    names = [name for name, _, _ in next(iter(splits.values()))]
    places, width = np.arange(len(shown)), 0.8 / len(splits)
    for number, (colour, (split, rows)) in enumerate(zip(SERIES, splits.items(), strict=False)):
        rates = [rows[place][2] if counts[number, place] else 0 for place in shown]
        shift = (number - (len(splits) - 1) / 2) * width
        bars = axes.bar(places + shift, rates, width * 0.92, color=colour, label=split)
        for bar, place in zip(bars, shown, strict=True):
            bar.set_alpha(1 if counts[number, place] >= FEW else 0.4)
    labels = [f"{names[n]}\n{' | '.join(f'{count:,}' for count in counts[:, n])}" for n in shown]
    axes.set_xticks(places, labels, fontsize=6.5)
    middle, half = (len(shown) - 1) / 2, max(len(shown), 4) / 2 + 0.1
    axes.set(xlim=(middle - half, middle + half), ylim=(0, 1))
    axes.grid(axis="x", visible=False)


def _plot(axes: Axes, values: np.ndarray, **style) -> None:
    """Plot one value per epoch from 1; few points get markers, so that one alone shows."""
    known = np.flatnonzero(np.isfinite(values))
    marker = "o" if known.size <= 30 else ""
    axes.plot(known + 1, values[known], marker=marker, markersize=3, **style)


def _png(draw: Callable[[Figure], None], width: float, height: float) -> bytes:
    """Draw on a fresh figure (inches) with defaults and STYLE alone, whatever the user set."""
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
