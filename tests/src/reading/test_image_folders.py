import pytest

from src.base.errors import InputError
from src.reading.image_folders import files_below, find_images, folders_in, is_image


@pytest.fixture
def folder(tmp_path):
    """Function that makes a folder of files with the given names."""

    def make(*names):
        path = tmp_path / "images"
        path.mkdir()
        for name in names:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(b"x")
        return path

    return make


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "x/a.b.Tiff", "a.bmp", "a.gif", "a.jp2"])
def test_images_are_told_by_their_extension(name):
    assert is_image(name)


@pytest.mark.parametrize("name", ["a", "png", ".png", "a.jgw", "a.tif.aux.xml", "Thumbs.db", ""])
def test_other_files_are_no_images(name):
    assert not is_image(name)


def test_files_are_listed_with_their_subfolders_and_without_what_is_hidden(folder):
    path = folder("b.png", "a/z.png", "a/.x.png", ".DS_Store", ".thumbs/b.png", "a/.b/c/d.png")
    assert files_below(path) == ["a/z.png", "b.png"]
    assert folders_in(path) == ["a"]


def test_links_to_files_are_listed_and_a_ring_of_links_is_not_walked(folder, tmp_path):
    path = folder("a/b.png")
    (tmp_path / "far.png").write_bytes(b"x")
    (path / "far.png").symlink_to(tmp_path / "far.png")
    (path / "a/ring").symlink_to(path)
    (path / "ring").symlink_to(path)
    assert files_below(path) == ["a/b.png", "far.png"]
    assert folders_in(path) == ["a", "ring"]
    (tmp_path / "link").symlink_to(path)
    assert files_below(tmp_path / "link") == ["a/b.png", "far.png"]


def test_records_are_sorted_by_name_and_numbered_from_1(folder):
    path = folder("b.png", "a.png", "a.b.jpg", "a-1.tif", "a/c.gif", "a.tfw", "notes")
    records, others = find_images(path, "val")
    assert [(r.image_id, r.name, r.file_name) for r in records] == [
        (1, "val/a", "a.png"),
        (2, "val/a-1", "a-1.tif"),
        (3, "val/a.b", "a.b.jpg"),
        (4, "val/a/c", "a/c.gif"),
        (5, "val/b", "b.png"),
    ]
    assert others == 2
    assert records == sorted(records)
    assert records[0] == ("val/a", "val", 1, "a.png", path / "a.png", "val/a", None, ())


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "images: holds no images; put the images there"),
        (["a.txt", "b.heic"], r"images: holds no images; put the images there \(.bmp .dib .gif"),
        (["a.png", "a.jpg"], "images: 'a.jpg' and 'a.png' are one name, 'val/a', without"),
        (["a.JPG", "a.jpg"], "images: 'a.JPG' and 'a.jpg' are one name, 'val/a'"),
        (["a\nb.png"], r"images 'a\\nb.png': a file name must be printable"),
        (["a\\b.png"], r"a file name must be printable and stay inside its folder"),
        ([b"\xff.png".decode("utf-8", "surrogateescape")], r"images '\\udcff.png': a file name"),
    ],
)
def test_unfit_folders_are_refused(folder, names, words):
    path = folder(*names)
    with pytest.raises(InputError, match=words):
        find_images(path, "val")


def test_an_absent_folder_is_refused(folder):
    path = folder("a.png")
    for absent in (path / "no", path / "a.png"):
        for listing in (files_below, folders_in):
            with pytest.raises(InputError, match=f"{absent}: no such folder; see docs/data.md"):
                listing(absent)
