from pathlib import Path

import pytest

from src.base.errors import InputError
from src.reading.records import (
    ImageRecord,
    check_file_name,
    check_unique,
    image_files,
    record_name,
)


def record(image_id, file_name):
    name = record_name("train", file_name)
    return ImageRecord(name, "train", image_id, file_name, Path(file_name), name, (1, 1), ())


@pytest.fixture
def folder(tmp_path):
    for name in ("b.jpg", "a.x.png", "sub/c.png", ".hidden", "sub/.DS_Store"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "images"


def test_image_files_are_those_of_all_folders_but_the_hidden_ones(folder):
    assert image_files(folder) == {"b.jpg", "a.x.png", "sub/c.png"}


def test_linked_folders_are_looked_into(folder, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/images").symlink_to(folder)
    assert "images/sub/c.png" in image_files(tmp_path / "other")


def test_a_folder_that_is_absent_or_empty_is_refused(tmp_path):
    with pytest.raises(InputError, match="images: no such folder; see docs/data.md"):
        image_files(tmp_path / "images")
    (tmp_path / "images/sub").mkdir(parents=True)
    with pytest.raises(InputError, match="images: holds no images; put the images there"):
        image_files(tmp_path / "images")


@pytest.mark.parametrize(
    ("file_name", "name"),
    [("a.png", "val/a"), ("a.x.png", "val/a.x"), ("./s/a.png", "val/s/a"), ("a", "val/a")],
)
def test_a_name_is_the_split_and_the_file_name_without_extension(file_name, name):
    assert record_name("val", file_name) == name


@pytest.mark.parametrize("file_name", ["a.png", "s/a.png", "ä b.png", "a..png", "s/./a.png"])
def test_names_inside_the_folder_pass(file_name):
    check_file_name(file_name, "here")


@pytest.mark.parametrize(
    "file_name",
    ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "a\\x.jpg", "", ".", "..", ".x", "a/.x",
     "a\0.jpg", "a\nb.jpg", "\ud800.jpg"],
)  # fmt: skip
def test_a_file_name_that_leaves_the_folder_or_cannot_be_printed_is_refused(file_name):
    with pytest.raises(InputError, match="^here '.*': a file name must be printable and stay") as e:
        check_file_name(file_name, "here")
    assert str(e.value).isprintable()


def test_ids_and_names_must_differ():
    check_unique([record(1, "a.png"), record(2, "b.png"), record(0, "s/a.png")], "here")
    with pytest.raises(InputError, match="^here: two images with id 1, 'a.png' and 'b.png'"):
        check_unique([record(1, "a.png"), record(1, "b.png")], "here")
    with pytest.raises(InputError, match="'a.png' and 'a.jpg' are one name, 'train/a', without"):
        check_unique([record(1, "a.png"), record(2, "a.jpg")], "here")
