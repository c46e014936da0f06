import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from src.errors import InputError
from src.geotransforms import COLUMNS, read_geotransform, read_geotransforms, to_map


def write_tiff(path, tags=None):
    """A TIFF with tags given as {number: numbers}; those of one key are short integers."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for number, values in (tags or {}).items():
        info[number] = values
        info.tagtype[number] = 3 if number == 34735 else 12  # SHORT, DOUBLE
    Image.new("RGB", (4, 3)).save(path, tiffinfo=info)
    return path


def write_world(path, numbers="0.5 0 0 -0.5 100.25 199.75"):
    path.write_text("\n".join(numbers.split()) + "\n")


SCALE, TIE = (0.5, 0.5, 0.0), (0.0, 0.0, 0.0, 100.0, 200.0, 0.0)
EXPECTED = (100.0, 0.5, 0.0, 200.0, 0.0, -0.5)
AS_POINT = (1, 1, 0, 2, 1024, 0, 1, 1, 1025, 0, 1, 2)  # model type, raster type
AS_AREA = (1, 1, 0, 1, 1025, 0, 1, 1)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({33550: SCALE, 33922: TIE}, EXPECTED),
        ({33550: SCALE, 33922: TIE, 34735: AS_AREA}, EXPECTED),
        ({33550: SCALE, 33922: (2, 1, 0, 101, 199.5, 0)}, EXPECTED),  # tied at another pixel
        (
            {33550: SCALE, 33922: (0, 0, 0, 100.25, 199.75, 0), 34735: AS_POINT},
            EXPECTED,
        ),
        (
            {34264: (0.1, 0.2, 0, 7, 0.3, -0.4, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1)},
            (7.0, 0.1, 0.2, 8.0, 0.3, -0.4),
        ),
    ],
)
def test_a_geotiff_says_where_it_lies(tmp_path, tags, expected):
    path = write_tiff(tmp_path / "a.tif", tags)
    assert read_geotransform(path) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("image", "world"),
    [
        ("a.jpg", "a.jgw"),
        ("a.jpg", "a.jpgw"),
        ("a.jpeg", "a.jgw"),
        ("a.png", "a.pgw"),
        ("a.png", "a.wld"),
        ("a.PNG", "a.PGW"),
        ("a.b.tif", "a.b.tfw"),
        ("a.tiff", "a.tfw"),
    ],
)
def test_a_world_file_gives_the_centre_of_the_first_pixel(tmp_path, image, world):
    if image.endswith(("tif", "tiff")):
        write_tiff(tmp_path / image)
    write_world(tmp_path / world)
    assert read_geotransform(tmp_path / image) == pytest.approx(EXPECTED)


def test_a_turned_world_file_keeps_its_order(tmp_path):
    write_world(tmp_path / "a.jgw", "0.1 0.3 0.2 -0.4 7 8")
    # x grows by 0.1 a column and 0.2 a row, y by 0.3 a column and -0.4 a row
    expected = (7 - 0.15, 0.1, 0.2, 8 + 0.05, 0.3, -0.4)
    assert read_geotransform(tmp_path / "a.jpg") == pytest.approx(expected)


def test_tags_go_before_a_world_file(tmp_path):
    path = write_tiff(tmp_path / "a.tif", {33550: SCALE, 33922: TIE})
    write_world(tmp_path / "a.tfw", "9 0 0 9 9 9")
    assert read_geotransform(path) == EXPECTED


def test_most_images_lie_nowhere(tmp_path):
    assert read_geotransform(write_tiff(tmp_path / "a.tif")) is None
    assert read_geotransform(tmp_path / "a.jpg") is None
    assert read_geotransform(tmp_path / "a") is None
    write_world(tmp_path / "b.jgw")
    assert read_geotransform(tmp_path / "a.jpg") is None
    (tmp_path / "c.tif").write_bytes(b"\x89PNG, in truth")
    assert read_geotransform(tmp_path / "c.tif") is None


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ("1 0 0 -1 5", "a.jgw: must be six numbers, got '1 0 0 -1 5'"),
        ("1 0 0 -1 5 6 7", "six numbers"),
        ("1 0 0 -1 5 y", "six numbers"),
        ("0,5 0 0 -0,5 5 6", "six numbers"),
        ("", "six numbers"),
        ("0 0 0 -1 5 6", "no area"),
        ("1 2 2 4 5 6", "no area"),
        ("1 0 0 -1 nan 6", "no area"),
    ],
)
def test_a_world_file_that_is_none_is_named(tmp_path, numbers, words):
    write_world(tmp_path / "a.jgw", numbers)
    with pytest.raises(InputError, match=words):
        read_geotransform(tmp_path / "a.jpg")


def test_a_flat_geotiff_is_named(tmp_path):
    path = write_tiff(tmp_path / "a.tif", {33550: (0.0, 0.5, 0.0), 33922: TIE})
    with pytest.raises(InputError, match="a.tif: pixels have no area"):
        read_geotransform(path)


def test_a_table_of_geotransforms_is_read_by_name(tmp_path):
    path = tmp_path / "geotransforms.csv"
    path.write_text(f"name,{','.join(COLUMNS)}\nval/a,100.0,0.5,0.0,200.0,0.0,-0.5\n")
    assert read_geotransforms(path) == {"val/a": EXPECTED}
    assert read_geotransforms(tmp_path / "absent.csv") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column 'name'"),
        ("name,x_origin\n", "no column 'x_per_column'"),
        (f"name,{','.join(COLUMNS)}\nval/a,1,2,3\n", "val/a: must be six numbers"),
        (f"name,{','.join(COLUMNS)}\nval/a,1,0,0,1,0,0\n", "val/a: pixels have no area"),
    ],
)
def test_a_broken_table_is_named(tmp_path, text, words):
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_geotransforms(tmp_path / "g.csv")


def test_points_go_to_the_map():
    points = np.array([[0, 0], [10, 0], [0, 10]])
    found = to_map(points, (7.0, 0.1, 0.2, 8.0, 0.3, -0.4))
    assert found == pytest.approx(np.array([[7, 8], [8, 11], [9, 4]]))
