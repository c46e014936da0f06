"""Learning curves of the networks, and how long it took to learn them."""

import itertools
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import (
    Event,  # pyright: ignore[reportAttributeAccessIssue]  protobuf makes it when it is imported
)

from src.formats.tables import read_table
from src.reporting.figures import learning_curves

CURVE = {"epoch": int, "phase": int, "lr": float, "train_loss": float}
CURVE |= {"fold_loss": float, "fold_dice": float}
LOSS = "train_loss"  # that tells whether events are of the network whose curve is shown
SAME = 1e-4  # relative; curves have 6 digits, events are float32


def draw_training(
    models: Path, events: Path | None, members: list[str], folds: list[int]
) -> tuple[dict[str, list[float]], dict[str, bytes]]:
    """Draw the learning curves of every member.

    Parameters
    ----------
    models : Path
        Holds <member>/fold<k>/curve.csv as `train` writes it.
    events : Path or None
        Holds <member>/fold<k>/ with what `train` wrote for TensorBoard, if it has run here.
    members : list of str
    folds : list of int

    Returns
    -------
    minutes : dict
        Member -> minutes that the training of each fold took. Without members of which that is
        not known for every fold, such as those whose networks were trained elsewhere.
    pictures : dict
        File name -> PNG.

    Raises
    ------
    InputError
        If a curve is absent or not as `train` writes it.
    """
    minutes, pictures = {}, {}
    for member in members:
        curves, times = {}, []
        for fold in folds:
            place = Path(member) / f"fold{fold}"
            curves[fold] = read_table(models / place / "curve.csv", "train", CURVE)
            times.append(minutes_of(curves[fold], events / place) if events else None)
        columns = {
            fold: {name: curve[name].to_numpy() for name in CURVE} for fold, curve in curves.items()
        }
        pictures[f"learning_curves_{member}.png"] = learning_curves(columns)
        if None not in times:
            minutes[member] = times
    return minutes, pictures


def joined_curves(models: Path, members: list[str], folds: list[int]) -> pd.DataFrame:
    """Put the curves of all members and folds into one table, which DVC draws.

    Parameters
    ----------
    models : Path
        Holds <member>/fold<k>/curve.csv as `train` writes it.
    members : list of str
    folds : list of int

    Returns
    -------
    table : DataFrame of str
        network, then the columns of a curve that are drawn, their cells as they are there.

    Raises
    ------
    InputError
        If a curve is absent or not as `train` writes it.
    """
    tables = []
    for member, fold in itertools.product(members, folds):
        path = models / member / f"fold{fold}" / "curve.csv"
        curve = read_table(path, "train", dict.fromkeys(CURVE, str))
        curve.insert(0, "network", f"{member} fold {fold}")
        tables.append(curve[["network", *CURVE]])
    return pd.concat(tables)


def minutes_of(curve: pd.DataFrame, events: Path) -> float | None:
    """Tell how long the training behind a curve took, by the clock of its events.

    Parameters
    ----------
    curve : DataFrame
        Columns epoch and train_loss.
    events : Path
        Folder of what `train` wrote for TensorBoard. It is no output of a stage: it may be absent,
        or of another training.

    Returns
    -------
    minutes : float or None
        From the start of the training to its last event; of several files the sum. None where
        the events do not tell the losses of this curve.
    """
    losses, seconds = {}, 0.0
    for path in sorted(events.glob("events.out.tfevents.*")):
        times = []
        for event in _events_in(path):
            times.append(event.wall_time)
            values = {value.tag: value.simple_value for value in event.summary.value}
            if LOSS in values:
                losses[event.step] = values[LOSS]
        seconds += max(times, default=0) - min(times, default=0)
    told = [losses.get(epoch, math.nan) for epoch in curve["epoch"]]
    if not told or not np.allclose(told, curve[LOSS], rtol=SAME, atol=0):
        return None
    return seconds / 60


def _events_in(path: Path) -> Iterable[Event]:
    """Yield the events of a file of TensorBoard's records, up to where it ends or is damaged.

    A record is its length (8 bytes), a checksum (4), the event, and a checksum (4). These are not
    looked at, since the curve tells whether the events are the right ones.
    """
    content, start = path.read_bytes(), 0
    while len(head := content[start : start + 8]) == 8:
        end = start + 12 + int.from_bytes(head, "little")
        try:
            yield Event.FromString(content[start + 12 : end])
        except DecodeError:
            return
        start = end + 4
