import pytest

from src.base.errors import InputError
from src.reading.image_folders import (
    files_below,
    find_images,
    folders_in,
    image_record,
    is_image,
    read_unlabelled,
)


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


NAMES = ["a.png", "a.JPG", "x/a.b.Tiff", "a.bmp", "a.gif", "a.jp2", "a.pnm"]
OTHERS = ["a", "png", ".png", "a.jgw", "a.tif.aux.xml", "Thumbs.db", "a.tif.ovr", ""]


@pytest.mark.parametrize("name", NAMES)
def test_images_are_told_by_their_extension(name):
    assert is_image(name)


@pytest.mark.parametrize("name", OTHERS)
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
    assert records[0] == ("val/a", "val", 1, "a.png", path / "a.png", "val/a", None, (), None)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "images: holds no images; put the images there"),
        (["a.txt", "b.heic"], r"images: holds no images; put the images there \(.bmp .btf .dib"),
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


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "$RECYCLE.BIN"])
def test_folders_that_systems_make_are_not_looked_into(folder, name):
    path = folder("a.png", f"{name}/a.png", f"b/{name}/c.png")
    assert (files_below(path), folders_in(path)) == (["a.png"], ["b"])


BESIDE = (
    "b.jgw", "b.wld", "b.prj", "b.jpg.aux.xml", "b.jpg.ovr", "Thumbs.db", "desktop.ini", "list.csv",
    "sub/c.png", "sub/d/e.png",
)  # fmt: skip


def test_test_images_are_numbered_by_file_name_and_what_lies_beside_them_is_counted(folder):
    path = folder("b.jpg", "a.x.png", ".DS_Store", ".hidden.png", *BESIDE)
    assert read_unlabelled(path) == (
        [
            image_record("test/a.x", 1, "a.x.png", path / "a.x.png"),
            image_record("test/b", 2, "b.jpg", path / "b.jpg"),
        ],
        len(BESIDE),
    )


def test_test_images_of_one_name_or_in_subfolders_alone_are_refused(folder):
    path = folder("b.jpg", "b.png", "sub/c.png", "a.txt")
    with pytest.raises(InputError, match="images: 'b.jpg' and 'b.png' are one name, 'test/b'"):
        read_unlabelled(path)
    for file in path.glob("b.*"):
        file.unlink()
    with pytest.raises(
        InputError, match="no images but other files .2, those in subfolders too.; put"
    ):
        read_unlabelled(path)
    (path / "sub/c.png").unlink()
    (path / "a.txt").unlink()
    with pytest.raises(InputError, match="holds no images; put them there or remove the folder"):
        read_unlabelled(path)


def test_a_test_image_with_an_unprintable_name_is_refused(folder):
    with pytest.raises(InputError, match="a file name must be printable"):
        read_unlabelled(folder("a\nb.png"))
