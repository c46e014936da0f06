import pandas as pd
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from torch.utils.tensorboard import SummaryWriter

from src.base.errors import InputError
from src.formats.tables import write_table
from src.reporting.training_figures import draw_training, joined_curves, minutes_of

LOSSES = [1.5674204, 0.123456789, 0.03]
CURVE = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [1.56742, 0.123457, 0.03]})


def write_events(
    folder, losses=LOSSES, first_epoch=1, times=(110, 170, 200), started=100, suffix=""
):
    """Write what training writes, on its own clock: losses at some s; returns the file."""
    with SummaryWriter(folder, filename_suffix=suffix) as writer:
        for epoch, (loss, time) in enumerate(zip(losses, times, strict=False), start=first_epoch):
            writer.add_scalar("lr", 0.1, epoch, walltime=time - 1)
            writer.add_scalar("train_loss", loss, epoch, walltime=time)
    path = next(folder.glob(f"*{suffix}"))
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")  # the first event tells when it began
    first = Event.FromString(content[12 : 12 + length])
    first.wall_time = started
    path.write_bytes(content[:12] + first.SerializeToString() + content[12 + length :])
    return path


def test_training_took_from_its_start_to_its_last_event(tmp_path):
    write_events(tmp_path)
    assert minutes_of(CURVE, tmp_path) == pytest.approx(100 / 60)


def test_the_times_of_a_training_in_two_parts_are_summed(tmp_path):
    write_events(tmp_path, LOSSES[:2], suffix=".a")
    write_events(tmp_path, LOSSES[2:], 3, times=[1020], started=1000, suffix=".b")
    assert minutes_of(CURVE, tmp_path) == pytest.approx((70 + 20) / 60)


@pytest.mark.parametrize(
    "losses", [[1.5674204, 0.123456789, 0.031], LOSSES[:2], [1.567, *LOSSES[1:]]]
)
def test_events_of_another_training_tell_nothing(tmp_path, losses):
    write_events(tmp_path, losses)
    assert minutes_of(CURVE, tmp_path) is None


def test_without_events_or_without_an_epoch_nothing_is_told(tmp_path):
    assert minutes_of(CURVE, tmp_path / "absent") is None
    assert minutes_of(CURVE, tmp_path) is None
    write_events(tmp_path)
    assert minutes_of(CURVE[:0], tmp_path) is None


def test_a_damaged_file_tells_nothing_and_stops_nobody(tmp_path):
    path = write_events(tmp_path)
    whole = path.read_bytes()
    for damaged in (whole[:-30], whole[: len(whole) // 2], b"", b"\xff" * 500, b"no events" * 9):
        path.write_bytes(damaged)
        assert minutes_of(CURVE, tmp_path) is None


@pytest.fixture
def models(tmp_path):
    """Models of two members and two folds, and events of one member."""
    text = "epoch,phase,lr,train_loss,fold_loss,fold_dice\n"
    text += "".join(f"{n},0,0.1,{loss},,\n" for n, loss in enumerate(CURVE["train_loss"], 1))
    for member in ("a", "b"):
        for fold in (0, 1):
            folder = tmp_path / f"models/{member}/fold{fold}"
            folder.mkdir(parents=True)
            (folder / "curve.csv").write_text(text)
    write_events(tmp_path / "events/a/fold0")
    write_events(tmp_path / "events/a/fold1", times=(110, 170, 230))
    write_events(tmp_path / "events/b/fold1")
    return tmp_path


def test_minutes_are_told_of_members_all_of_whose_folds_are_known(models):
    minutes, pictures = draw_training(models / "models", models / "events", ["a", "b"], [0, 1])
    assert minutes == {"a": pytest.approx([100 / 60, 130 / 60])}
    assert list(pictures) == ["learning_curves_a.png", "learning_curves_b.png"]
    assert all(png.startswith(b"\x89PNG") for png in pictures.values())
    assert draw_training(models / "models", models / "events", ["b"], [1])[0].keys() == {"b"}
    assert draw_training(models / "models", None, ["a"], [0])[0] == {}


def test_a_curve_that_train_did_not_write_is_named(models):
    (models / "models/b/fold1/curve.csv").write_text("epoch,phase\n1,0\n")
    with pytest.raises(InputError, match="b/fold1/curve.csv: has no column lr; run train again"):
        draw_training(models / "models", None, ["a", "b"], [0, 1])


def test_the_curves_of_all_networks_are_one_table_with_their_cells_as_they_are(tmp_path):
    header = "epoch,phase,lr,train_loss,fold_loss,fold_dice"
    for place, rows in {
        "b/fold0": ["1,0,1e-05,0.5,,", "2,0,1e-05,0.25,0.125,1"],
        "b/fold2": ["1,0,0.002,1.23457e+06,,"],
        "a/fold0": ["1,0,0.002,3,,"],
        "a/fold2": ["1,0,0.002,4,,"],
        "a/fold1": ["1,0,0.002,9,,"],  # of a fold that was left out since
    }.items():
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "curve.csv").write_text("\n".join([header, *rows, ""]))
    write_table(tmp_path / "curves.csv", joined_curves(tmp_path, ["b", "a"], [0, 2]))
    assert (tmp_path / "curves.csv").read_text().splitlines() == [
        f"network,{header}",
        "b fold 0,1,0,1e-05,0.5,,",
        "b fold 0,2,0,1e-05,0.25,0.125,1",
        "b fold 2,1,0,0.002,1.23457e+06,,",
        "a fold 0,1,0,0.002,3,,",
        "a fold 2,1,0,0.002,4,,",
    ]
