import os
import zipfile

import cv2
import numpy as np
import pytest

from src.base.errors import InputError
from src.formats.archive import (
    PHOTO,
    ImageArchive,
    decode_image,
    encode_png,
    is_inside,
    suffix_of,
    write_archive,
)

DOT = np.zeros((1, 1), np.uint8)


def noise(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def jpeg_of(array, orientation=None):
    """JPEG bytes of an RGB or grey array, with an EXIF orientation if one is given."""
    encoded = cv2.imencode(".jpg", array[..., ::-1] if array.ndim == 3 else array)[1].tobytes()
    if orientation is None:
        return encoded
    tiff = (
        b"MM\0*\0\0\0\x08\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0" * 6
    )
    exif = b"Exif\0\0" + tiff
    return encoded[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + encoded[2:]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, 1), np.uint8),
        ((1, 1), np.uint16),
        ((1, 1, 3), np.uint8),
        ((7, 5), np.uint8),
        ((5, 7), np.uint16),
        ((6, 9, 3), np.uint8),
        ((1, 300), np.uint16),
        ((3, 1, 3), np.uint8),
    ],
)
def test_what_is_written_is_read_back(tmp_path, shape, dtype):
    array = noise(shape, dtype)
    write_archive(tmp_path / "a.zip", [("train/000001", array)])
    read = ImageArchive(tmp_path / "a.zip").read("train/000001")
    assert read.dtype == dtype
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, array)


def test_views_of_other_memory_order_are_read_back(tmp_path):
    array = noise((8, 6, 3))
    views = [("a", array[::-1, ::2]), ("b", array[..., 0].T), ("c", array.transpose(1, 0, 2))]
    write_archive(tmp_path / "a.zip", views)
    archive = ImageArchive(tmp_path / "a.zip")
    for name, view in views:
        np.testing.assert_array_equal(archive.read(name), view)


def test_red_is_stored_as_red(tmp_path):
    write_archive(tmp_path / "a.zip", [("a", np.array([[[200, 10, 0]]], np.uint8))])
    stored = zipfile.ZipFile(tmp_path / "a.zip").read("a.png")
    blue_green_red = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_COLOR)
    assert blue_green_red.tolist() == [[[0, 10, 200]]]


def test_jpeg_bytes_are_kept(tmp_path):
    photo = jpeg_of(noise((20, 30, 3)))
    write_archive(tmp_path / "a.zip", [("a", photo)])
    assert ImageArchive(tmp_path / "a.zip").read_bytes("a") == photo
    assert zipfile.ZipFile(tmp_path / "a.zip").namelist() == ["a.jpg"]


def test_png_bytes_are_kept(tmp_path):
    photo = cv2.imencode(".png", noise((4, 4)), [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes()
    write_archive(tmp_path / "a.zip", [("a", photo)])
    assert ImageArchive(tmp_path / "a.zip").read_bytes("a") == photo


def test_a_zip_viewer_finds_whole_stored_images(tmp_path):
    write_archive(tmp_path / "a.zip", [("a/b", noise((5, 5))), ("c", jpeg_of(noise((5, 5))))])
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a/b.png", "c.jpg"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_same_content_gives_the_same_bytes(tmp_path):
    items = [(f"train/{i}", noise((9, 9), seed=i)) for i in range(3)] + [("val/a", jpeg_of(DOT))]
    for path in ("one.zip", "folder/two.zip"):
        write_archive(tmp_path / path, iter(items))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "folder/two.zip").read_bytes()


def test_no_entry_tells_when_or_where_it_was_written(tmp_path):
    write_archive(tmp_path / "a.zip", [("a", DOT), ("b", jpeg_of(DOT))])
    for entry in zipfile.ZipFile(tmp_path / "a.zip").infolist():
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert entry.create_system == 3
        assert (entry.extra, entry.comment) == (b"", b"")


def test_other_content_gives_other_bytes(tmp_path):
    write_archive(tmp_path / "one.zip", [("a", noise((4, 4), seed=1))])
    write_archive(tmp_path / "two.zip", [("a", noise((4, 4), seed=2))])
    assert (tmp_path / "one.zip").read_bytes() != (tmp_path / "two.zip").read_bytes()


def test_an_empty_archive_is_valid_and_empty(tmp_path):
    assert write_archive(tmp_path / "a.zip", []) == 0
    assert ImageArchive(tmp_path / "a.zip").names == []


def test_two_thousand_images_are_counted_listed_and_found(tmp_path):
    names = [f"train/{i:05}" for i in range(2000)]
    items = ((name, np.array([[i]], np.uint16)) for i, name in enumerate(names))
    assert write_archive(tmp_path / "a.zip", items) == 2000
    archive = ImageArchive(tmp_path / "a.zip")
    assert archive.names == names
    assert [archive.read(name).item() for name in names] == list(range(2000))


@pytest.mark.parametrize(
    "name", ["a.b", "a.jpg", "v1.0/tile.2.png", ".a", "a b", "Akkra-\u00e4", "a/b/c"]
)
def test_names_are_kept_whole(tmp_path, name):
    write_archive(tmp_path / "a.zip", [(name, noise((2, 2)))])
    archive = ImageArchive(tmp_path / "a.zip")
    assert archive.names == [name]
    np.testing.assert_array_equal(archive.read(name), noise((2, 2)))


@pytest.mark.parametrize("second", ["b", "a", "B"])
def test_names_that_do_not_increase_are_refused(tmp_path, second):
    with pytest.raises(ValueError, match=f"'{second}' after 'b'; names must increase"):
        write_archive(tmp_path / "a.zip", [("b", DOT), (second, DOT)])


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "a\\b", "a\0b", "", "."])
def test_names_that_leave_their_folder_are_refused(tmp_path, name):
    assert not is_inside(name)
    with pytest.raises(ValueError, match="must stay inside its folder"):
        write_archive(tmp_path / "a.zip", [(name, DOT)])


@pytest.mark.parametrize("name", ["a", "a/b", "a..b", "..a", "a.b/c", "~"])
def test_names_that_stay_in_their_folder_are_not_refused(name):
    assert is_inside(name)


def test_a_failure_leaves_the_old_archive_and_no_partial_one(tmp_path):
    write_archive(tmp_path / "a.zip", [("a", noise((3, 3)))])
    before = (tmp_path / "a.zip").read_bytes()
    with pytest.raises(ValueError, match="names must increase"):
        write_archive(tmp_path / "a.zip", [("b", DOT), ("a", DOT)])
    assert (tmp_path / "a.zip").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.zip"]


def test_an_interrupted_generator_leaves_nothing(tmp_path):
    def items():
        yield "a", DOT
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_archive(tmp_path / "a.zip", items())
    assert os.listdir(tmp_path) == []


def test_an_old_archive_stays_readable_while_it_is_replaced(tmp_path):
    write_archive(tmp_path / "a.zip", [("a", noise((3, 3), seed=1))])
    old = ImageArchive(tmp_path / "a.zip")
    write_archive(tmp_path / "a.zip", [("a", noise((30, 30), seed=2))])
    np.testing.assert_array_equal(old.read("a"), noise((3, 3), seed=1))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # of processes with threads
def test_a_forked_process_reads_beside_its_parent(tmp_path):
    contents = {f"{i:02}": encode_png(noise((40, 40), seed=i)) for i in range(50)}
    write_archive(tmp_path / "a.zip", contents.items())
    archive = ImageArchive(tmp_path / "a.zip")

    def all_read_right():
        return all(archive.read_bytes(name) == contents[name] for name in archive.names * 300)

    child = os.fork()
    if child == 0:
        os._exit(0 if all_read_right() else 1)
    assert all_read_right()
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 2), bool),
        np.zeros((2, 2), np.int32),
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2, 3), np.uint16),
        np.zeros((2, 2, 1), np.uint8),
        np.zeros((2, 2, 4), np.uint8),
        np.zeros((2, 2, 3, 1), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_image_are_refused(bad):
    with pytest.raises(ValueError, match=f"cannot store an image of {bad.dtype}"):
        encode_png(bad)


def test_bytes_that_are_no_image_are_refused_with_their_name(tmp_path):
    with pytest.raises(InputError, match="train/a: neither a PNG nor a JPEG"):
        write_archive(tmp_path / "a.zip", [("train/a", b"GIF89a")])


def test_the_suffix_follows_the_content():
    assert suffix_of(encode_png(DOT), "x") == ".png"
    assert suffix_of(jpeg_of(DOT), "x") == ".jpg"


def test_an_absent_archive_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.zip: no such archive"):
        ImageArchive(tmp_path / "a.zip")


def test_a_file_that_is_no_zip_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK but no more")
    with pytest.raises(InputError, match=r"a\.zip: not a ZIP archive"):
        ImageArchive(tmp_path / "a.zip")


def test_a_cut_off_zip_is_refused(tmp_path):
    write_archive(tmp_path / "a.zip", [("a", noise((50, 50)))])
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:-30])
    with pytest.raises(InputError, match=r"a\.zip: not a ZIP archive"):
        ImageArchive(tmp_path / "a.zip")


def test_a_compressed_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", encode_png(DOT))
    with pytest.raises(InputError, match=r"a\.zip: compressed entries"):
        ImageArchive(tmp_path / "a.zip")


def test_a_stored_zip_of_another_program_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("b.png", "a.jpg"):  # unsorted, with an extra field before the image
            entry = zipfile.ZipInfo(name, (2024, 5, 17, 12, 30, 0))
            entry.extra = b"\x99\x99\x04\0some"
            archive.writestr(entry, name.encode() * 3)
    archive = ImageArchive(tmp_path / "a.zip")
    assert archive.names == ["a", "b"]
    assert archive.read_bytes("a") == b"a.jpga.jpga.jpg"
    assert archive.read_bytes("b") == b"b.pngb.pngb.png"


def test_a_name_it_does_not_hold_is_refused(tmp_path):
    write_archive(tmp_path / "a.zip", [("a", DOT)])
    with pytest.raises(InputError, match=r"a\.zip: holds no 'b'"):
        ImageArchive(tmp_path / "a.zip").read("b")


@pytest.mark.parametrize("encode", [encode_png, jpeg_of])
@pytest.mark.parametrize("kept", [0, 0.1, 0.5, 0.95])
def test_a_cut_off_image_is_refused_with_its_origin(encode, kept):
    encoded = encode(noise((60, 80, 3)))
    with pytest.raises(InputError, match="tile 7: not a readable image"):
        decode_image(encoded[: int(len(encoded) * kept)], cv2.IMREAD_UNCHANGED, "tile 7")


def test_a_photo_comes_as_three_equal_planes_of_a_grey_image():
    grey = noise((5, 6))
    photo = decode_image(encode_png(grey), PHOTO, "x")
    np.testing.assert_array_equal(photo, np.stack([grey] * 3, axis=2))


def test_a_photo_drops_the_transparency_and_keeps_the_colours():
    red = np.full((2, 2, 4), (10, 20, 200, 0), np.uint8)  # BGRA, wholly transparent
    photo = decode_image(cv2.imencode(".png", red)[1].tobytes(), PHOTO, "x")
    assert photo.shape == (2, 2, 3)
    assert (photo == (200, 20, 10)).all()


def test_a_photo_of_sixteen_bits_is_brought_to_eight():
    deep = np.array([[0, 128 * 257, 65535]], np.uint16)
    assert decode_image(encode_png(deep), PHOTO, "x")[..., 0].tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_photo_is_not_turned_by_its_orientation_tag(orientation):
    array = noise((16, 32, 3))
    turned = decode_image(jpeg_of(array, orientation), PHOTO, "x")
    np.testing.assert_array_equal(turned, decode_image(jpeg_of(array), PHOTO, "x"))
    # the tag itself is valid: without PHOTO's flag it does turn the image
    obeyed = decode_image(jpeg_of(array, orientation), cv2.IMREAD_COLOR, "x")
    assert not np.array_equal(obeyed, turned)
