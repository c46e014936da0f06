import codecs
import math
import warnings

import numpy as np
import pytest
import rasterio
from PIL import Image, TiffImagePlugin
from rasterio.control import GroundControlPoint

from src.base.errors import InputError
from src.image_files.geotransforms import COLUMNS, read_geotransform, read_geotransforms, to_map


def write_tiff(path, tags=None):
    """A TIFF with tags given as {number: numbers}; keys are short integers."""
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
UTM = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32737)  # zone 37S
DEGREES = (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326)
UTM_AS_ESRI_HAS_IT = (
    'PROJCS["WGS_1984_UTM_Zone_37S",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",'
    'SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],'
    'UNIT["Degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing",10000000.0],'
    'PARAMETER["Central_Meridian",39.0],PARAMETER["Scale_Factor",0.9996],'
    'PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]'
)


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
        (  # half a pixel of each, since the point is the centre
            {34264: (0.1, 0.2, 0, 7, 0.3, -0.4, 0, 8, *[0] * 7, 1), 34735: AS_POINT},
            (6.85, 0.1, 0.2, 8.05, 0.3, -0.4),
        ),
        ({33550: (0.5, -0.5, 0.0), 33922: TIE}, EXPECTED),  # rows run down even so
    ],
)
@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_a_geotiff_says_where_it_lies_whatever_its_name(tmp_path, tags, expected, name):
    write_tiff(tmp_path / "a.tif", tags).rename(tmp_path / name)
    *transform, crs = read_geotransform(tmp_path / name)
    assert transform == pytest.approx(expected, abs=1e-12)
    assert crs == ""


def test_a_geotiff_names_its_coordinate_system(tmp_path):
    def crs(keys):
        path = write_tiff(tmp_path / "a.tif", {33550: SCALE, 33922: TIE, 34735: keys})
        return read_geotransform(path)[-1]

    assert crs(UTM) == "EPSG:32737"
    assert crs(DEGREES) == "EPSG:4326"
    assert crs((*UTM[:-1], 32767)) == ""  # "user-defined", without a definition


def test_a_geotiff_of_many_bands_lies_on_the_map(tmp_path):
    crs = 'LOCAL_CS["site grid",UNIT["metre",1]]'
    options = {"height": 2, "width": 2, "count": 8, "dtype": "float32", "crs": crs}
    transform = rasterio.Affine(0.5, 0, 100, 0, -0.5, 200)
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", transform=transform, **options):
        pass
    *transform, crs = read_geotransform(tmp_path / "a.tif")
    assert transform == list(EXPECTED)
    assert crs.startswith('LOCAL_CS["site grid"')
    assert "\n" not in crs


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
    assert read_geotransform(tmp_path / image) == (*EXPECTED, "")


@pytest.mark.parametrize("ending", ["prj", "PRJ"])
def test_a_prj_file_names_the_coordinate_system_of_a_world_file(tmp_path, ending):
    write_world(tmp_path / "a.jgw")
    (tmp_path / f"a.{ending}").write_text(UTM_AS_ESRI_HAS_IT)
    assert read_geotransform(tmp_path / "a.jpg") == (*EXPECTED, "EPSG:32737")
    (tmp_path / f"a.{ending}").write_text(UTM_AS_ESRI_HAS_IT.replace("39.0", "38.5"))
    assert '["central_meridian",38.5]' in read_geotransform(tmp_path / "a.jpg")[-1]


@pytest.mark.parametrize("text", [b"", b"PROJCS[", b"EPSG:4326", b"\xff\xfe"])
def test_a_prj_file_that_is_none_is_named(tmp_path, text, capfd):
    write_world(tmp_path / "a.jgw")
    (tmp_path / "a.prj").write_bytes(text)
    with pytest.raises(InputError, match="a.prj: no coordinate system in WKT; remove it"):
        read_geotransform(tmp_path / "a.jpg")
    assert capfd.readouterr().err == ""


def test_a_tiff_may_leave_its_place_to_a_world_file(tmp_path):
    path = write_tiff(tmp_path / "a.tif", {34735: UTM})
    assert read_geotransform(path) is None
    write_world(tmp_path / "a.tfw")
    assert read_geotransform(path) == (*EXPECTED, "EPSG:32737")


def test_a_turned_world_file_keeps_its_order(tmp_path):
    write_world(tmp_path / "a.jgw", "0.1 0.3 0.2 -0.4 7 8")
    # x grows by 0.1 a column and 0.2 a row, y by 0.3 a column and -0.4 a row
    expected = (7 - 0.15, 0.1, 0.2, 8 + 0.05, 0.3, -0.4)
    assert read_geotransform(tmp_path / "a.jpg")[:6] == pytest.approx(expected)


def test_tags_go_before_a_world_file(tmp_path):
    path = write_tiff(tmp_path / "a.tif", {33550: SCALE, 33922: TIE})
    write_world(tmp_path / "a.tfw", "9 0 0 9 9 9")
    (tmp_path / "a.prj").write_text("no WKT")
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><GeoTransform>9, 9, 0, 9, 0, 9</GeoTransform></PAMDataset>"
    )
    assert read_geotransform(path) == (*EXPECTED, "")
    assert len(list(tmp_path.iterdir())) == 4  # nothing written


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


@pytest.mark.parametrize(
    "tags",
    [
        {33550: (math.nan, 0.5, 0.0), 33922: TIE},
        {34264: (1, 2, 0, 7, 2, 4, 0, 8, *[0] * 7, 1)},
    ],
)
def test_a_flat_geotiff_is_named(tmp_path, tags):
    with pytest.raises(InputError, match="a.tif: pixels have no area"):
        read_geotransform(write_tiff(tmp_path / "a.tif", tags))


def test_a_damaged_geotiff_is_named(tmp_path):
    path = write_tiff(tmp_path / "a.tif", {33550: SCALE, 33922: TIE})
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match="a.tif: damaged image .GDAL cannot read"):
        read_geotransform(path)


def test_a_tiff_of_tie_points_alone_lies_nowhere(tmp_path):
    flat = {33550: (0.0, 0.5, 0.0), 33922: TIE}  # GDAL takes no scale of 0 for one
    assert read_geotransform(write_tiff(tmp_path / "a.tif", flat)) is None
    assert read_geotransform(write_tiff(tmp_path / "b.tif", {33922: TIE + TIE})) is None


def test_a_table_of_geotransforms_is_read_by_name(tmp_path):
    path = tmp_path / "geotransforms.csv"
    path.write_text(
        f"name,{','.join(COLUMNS)}\n"
        "val/a,100.0,0.5,0.0,200.0,0.0,-0.5,EPSG:32737\n"
        'val/b,100.0,0.5,0.0,200.0,0.0,-0.5,"LOCAL_CS[""my, grid""]"\n'
        "val/c,100.0,0.5,0.0,200.0,0.0,-0.5,\n"
    )
    assert read_geotransforms(path) == {
        "val/a": (*EXPECTED, "EPSG:32737"),
        "val/b": (*EXPECTED, 'LOCAL_CS["my, grid"]'),
        "val/c": (*EXPECTED, ""),
    }
    path.write_text(f"name,{','.join(COLUMNS)}\n")
    assert read_geotransforms(path) == {}
    with pytest.raises(InputError, match="absent.csv: no such file; run prepare_masks"):
        read_geotransforms(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "g.csv: is empty; run prepare_masks again"),
        ("name,x_origin\n", "no column x_per_column"),
        (f"name,{','.join(COLUMNS)}\nval/a,1,2,3,,,,\n", "val/a: must be six numbers"),
        (f"name,{','.join(COLUMNS)}\nval/a,1,0,0,1,0,0,\n", "val/a: pixels have no area"),
        (f"name,{','.join(COLUMNS[:-1])}\n", "no column crs; run prepare_masks again"),
        (
            f"name,{','.join(COLUMNS)}\nval/a,1,1,0,1,0,1,EPSG:../x\n",
            "val/a: 'EPSG:../x' is no coordinate system",
        ),
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
    assert np.array_equal(to_map(points, (7.0, 0.1, 0.2, 8.0, 0.3, -0.4, "EPSG:4326")), found)


PLACE = rasterio.Affine(0.5, 0.125, 400_000.25, 0.25, -0.5, 9_000_000.75)  # turned and sheared
SOUTH_UP = rasterio.Affine(0.5, 0, 400_000, 0, 0.5, 9_000_000)


def write_with_gdal(path, driver, **options):
    shape = {"height": 24, "width": 36, "count": 3, "dtype": "uint8", "driver": driver}
    with (
        warnings.catch_warnings(action="ignore"),
        rasterio.open(path, "w", **shape, **options) as d,
    ):
        d.write(np.zeros((3, 24, 36), np.uint8) + 9)
    return path


@pytest.mark.parametrize("place", [PLACE, SOUTH_UP])
@pytest.mark.parametrize(
    ("name", "driver"),
    [("a.tif", "GTiff"), ("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.jp2", "JP2OpenJPEG"),
     ("a.webp", "WEBP")],
)  # fmt: skip
def test_what_gdal_writes_into_or_beside_an_image_is_read(tmp_path, name, driver, place):
    path = write_with_gdal(tmp_path / name, driver, transform=place, crs="EPSG:32737")
    *transform, crs = read_geotransform(path)
    if driver == "JP2OpenJPEG" and place == SOUTH_UP:
        pytest.skip("GDAL keeps rows that run up in a box of another kind")
    assert transform == pytest.approx(place.to_gdal(), abs=1e-9)
    assert crs == "EPSG:32737"


def test_a_world_file_takes_its_system_from_what_gdal_writes_beside_it(tmp_path):
    (tmp_path / "a.png.aux.xml").write_text(
        f"<PAMDataset><SRS>{UTM_AS_ESRI_HAS_IT.replace(chr(34), '&quot;')}</SRS></PAMDataset>"
    )
    (tmp_path / "a.png").write_bytes(b"x")
    assert read_geotransform(tmp_path / "a.png") is None
    write_world(tmp_path / "a.pgw")
    assert read_geotransform(tmp_path / "a.png") == (*EXPECTED, "EPSG:32737")


@pytest.mark.parametrize(
    "content", [b"0.5\n0\n", b"", b"<PAMDataset>", b"<!DOCTYPE a><PAMDataset/>", b"<PAMDataset/>"]
)
def test_a_file_that_gdal_has_not_written_or_that_tells_nothing_says_nothing(tmp_path, content):
    (tmp_path / "a.png.aux.xml").write_bytes(content)
    (tmp_path / "a.png").write_bytes(b"x")
    assert read_geotransform(tmp_path / "a.png") is None


@pytest.mark.parametrize(("name", "driver"), [("a.tif", "GTiff"), ("a.png", "PNG")])
def test_ground_control_points_count_where_one_grid_fits_them(tmp_path, name, driver):
    def read(bend):
        points = [
            GroundControlPoint(row, column, *(PLACE @ (column, row + bend * (column == row))))
            for row in (0, 12, 24)
            for column in (0, 12, 36)
        ]
        folder = tmp_path / str(bend)
        folder.mkdir()
        path = write_with_gdal(folder / name, driver, gcps=points, crs="EPSG:32737")
        return read_geotransform(path)

    *transform, crs = read(0)
    assert transform == pytest.approx(PLACE.to_gdal(), abs=1e-6)
    assert crs == "EPSG:32737"
    assert read(5) is None


@pytest.mark.parametrize(
    ("written", "named"),
    [("EPSG:32632+5773", "EPSG:32632"), ("ESRI:102003", "ESRI:102003"), ("EPSG:3857", "EPSG:3857")],
)
def test_a_system_is_named_by_its_code_and_loses_its_heights(tmp_path, written, named):
    crs = rasterio.crs.CRS.from_string(written)
    path = write_with_gdal(tmp_path / "a.tif", "GTiff", transform=PLACE, crs=crs)
    assert read_geotransform(path)[-1] == named
    (tmp_path / "b.jgw").write_bytes(codecs.BOM_UTF8 + b"0.5\n0\n0\n-0.5\n100.25\n199.75\n")
    (tmp_path / "b.prj").write_bytes(codecs.BOM_UTF8 + crs.to_wkt().encode())
    (tmp_path / "b.jpg").write_bytes(b"x")
    assert read_geotransform(tmp_path / "b.jpg") == (*EXPECTED, named)
