import math

import pandas as pd

from src.formats.tables import write_table
from src.training.curve import curve_table, event_writer, scalars_of

ROWS = [
    {"epoch": 1, "lr": 0.002, "train_loss": 1.23456789, "fold_dice": math.nan, "phase": 0},
    {"epoch": 2, "lr": 1e-05, "train_loss": 1234567.0, "fold_dice": 1.0, "phase": 10},
]


def test_numbers_have_six_digits_and_what_there_is_not_is_empty(tmp_path):
    write_table(tmp_path / "curve.csv", curve_table(ROWS))
    expected = "epoch,lr,train_loss,fold_dice,phase\n1,0.002,1.23457,,0\n2,1e-05,1.23457e+06,1,10\n"
    assert (tmp_path / "curve.csv").read_text() == expected
    by_pandas = pd.DataFrame(ROWS).to_csv(index=False, float_format="%.6g")
    assert by_pandas == expected


def test_events_are_written_anew_and_without_a_folder_not_at_all(tmp_path):
    event_writer(None)(1, {"lr": 0.002})
    for _ in range(2):
        write = event_writer(tmp_path / "events")
        for row in ROWS:
            write(row["epoch"], scalars_of(row))
    assert len(list((tmp_path / "events").iterdir())) == 1


def test_what_there_is_not_is_no_scalar():
    assert scalars_of(ROWS[0]) == {"lr": 0.002, "train_loss": 1.23456789, "phase": 0}
