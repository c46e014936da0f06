import cv2
import numpy as np
import pytest

from src.base.errors import InputError
from src.scenes.inputs import find_files, open_image


@pytest.fixture
def folder(tmp_path):
    for name in (
        "a.png",
        "sub/b.JPG",
        "sub/a.png",
        ".hidden.png",
        "a.pgw",
        "a.png.aux.xml",
        "n.txt",
    ):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "photos"


def test_folders_with_all_below_but_images_alone(folder):
    found = find_files([str(folder)])
    assert found == {name: folder / f"{name}{end}" for name, end in (
        ("a", ".png"), ("sub/a", ".png"), ("sub/b", ".JPG"))}  # fmt: skip


def test_files_and_patterns_in_the_order_named_each_once(folder):
    named = [str(folder / "sub/b.JPG"), str(folder / "**/*"), str(folder / "a.png")]
    found = find_files(named)
    assert list(found.items()) == [
        ("b", folder / "sub/b.JPG"),
        ("a", folder / "a.png"),
        ("a_2", folder / "sub/a.png"),
    ]


def test_a_named_file_may_have_any_extension(folder):
    assert find_files([str(folder / "n.txt")]) == {"n": folder / "n.txt"}


@pytest.mark.parametrize(
    ("named", "words"),
    [("no", "no such file or folder"), ("no*.png", "no image has such a name")],
)
def test_what_is_not_there(folder, named, words):
    with pytest.raises(InputError, match=words):
        find_files([str(folder / named)])
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: holds no images \(\.bmp"):
        find_files([str(folder / "empty")])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp", ".gif"])
def test_size_and_place_of_images_of_any_format(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), np.full((7, 11, 3), 90, np.uint8))
    scene = open_image(path, "a")
    assert (scene.name, scene.height, scene.width, scene.place) == ("a", 7, 11, None)
    path.with_suffix(".wld").write_text("2\n0\n0\n-2\n101\n199\n")
    assert open_image(path, "a").place == (100, 2, 0, 200, 0, -2, "")
    for content, words in ((b"", "empty"), (b"nothing of use", "not a readable image")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"a\{suffix}: .*{words}"):
            open_image(path, "a")
