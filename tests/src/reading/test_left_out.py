from pathlib import Path

import pytest

from src.base.errors import InputError
from src.reading.left_out import leave_out
from src.reading.records import Dataset, ImageRecord

NAMES = ("test/1", "train/1", "train/2", "val/1")


def dataset(further=()):
    records = [
        ImageRecord(name, name.split("/")[0], n, "", Path(), name, None, ())
        for n, name in enumerate(NAMES)
    ]
    return Dataset(records, {}, 0, further=further)


def left(dataset):
    return [record.name for record in dataset.records]


def test_named_images_go_and_are_counted():
    rest = leave_out(dataset((("lines", 2),)), ["train/2", "val/1"], Path("root"))
    assert left(rest) == ["test/1", "train/1"]
    assert rest.further == (("lines", 2), ("images left out by name", 2))


def test_no_name_changes_nothing():
    assert leave_out(dataset(), [], Path("root")) == dataset()


def test_a_file_in_the_root_has_a_name_a_line_and_remarks(tmp_path):
    (tmp_path / "out.txt").write_text("# looked at\ntrain/1  # two roofs missing\n\nval/1\r\n")
    assert left(leave_out(dataset(), "out.txt", tmp_path)) == ["test/1", "train/2"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["train/3"], "dataset.leave_out: 'train/3' is no image of root; name images by split"),
        (["1"], "dataset.leave_out: '1' is no image of root"),
        (["train/1", "val/1", "train/1"], "dataset.leave_out: 'train/1' is there twice"),
        ("none.txt", "root/none.txt: no such file; put the list that dataset.leave_out names"),
    ],
)
def test_mistakes_are_told(given, words):
    with pytest.raises(InputError, match=words):
        leave_out(dataset(), given, Path("root"))


def test_a_mistake_in_a_file_names_the_file(tmp_path):
    (tmp_path / "out.txt").write_text("train/9\n")
    with pytest.raises(InputError, match=r"out\.txt: 'train/9' is no image of"):
        leave_out(dataset(), "out.txt", tmp_path)
    (tmp_path / "out.txt").write_bytes(b"train/\xff\n")
    with pytest.raises(InputError, match=r"out\.txt: not UTF-8 text"):
        leave_out(dataset(), "out.txt", tmp_path)
