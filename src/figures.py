"""Charts of the report as PNG bytes: the same numbers give the same bytes."""

import io
from collections.abc import Callable

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
        mosaic = [["loss", "dice"], ["lr", "lr"]]
        axes = figure.subplot_mosaic(mosaic, height_ratios=[4, 1])
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


def precision_recall(curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Draw precision against recall at IoU 0.5, over thin lines of equal F1.

    Parameters
    ----------
    curves : dict
        Split -> (recall, precision), each float64 (N,) in [0, 1]; an empty one is left out.

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
        panels[0].legend(loc="upper left")
        panels[-1].set_xlabel("score")

    return _png(draw, width=5, height=3.8)


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
