import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from src.base.errors import InputError
from src.reading.rle_csv_dataset import Dialect, find_records, read_objects

TILES = Path(__file__).parents[4] / "shared/data/tile_defects"
SIZE = (4, 6)
SQUARE = np.zeros(SIZE, bool)
SQUARE[1:3, 1:3] = True


def write(root, table, images=("a.png",), path="train/train.csv"):
    """Write images/ of train, with content that nobody reads, and a table, text or bytes."""
    for image in images:
        (root / "train/images" / image).parent.mkdir(parents=True, exist_ok=True)
        (root / "train/images" / image).write_bytes(b"x")
    (root / path).write_bytes(table if isinstance(table, bytes) else table.encode())
    return root


def find(root, masks="instances", id_column="id", rle_column="rle", **options):
    columns = {"id_column": id_column, "rle_column": rle_column}
    return find_records(root, category_id=3, masks=masks, **columns, **options)


def read(root, name="train/a", size=SIZE, **options):
    (record,) = [r for r in find(root, **options).records if r.name == name]
    return read_objects(record, *size)


def mask_of(region, size=SIZE):
    flat = np.zeros(size[0] * size[1], bool)
    for start, stop in region.runs.tolist():
        flat[start:stop] = True
    return flat.reshape(size[::-1]).T


def encode(mask):
    """Write run lengths the slow way: pixel for pixel down the columns, counted from 1."""
    runs, length = [], 0
    pixels = [*mask.T.ravel(), False]
    for place, value in enumerate(pixels, start=1):
        if value:
            length += 1
        elif length:
            runs += [place - length, length]
            length = 0
    return " ".join(map(str, runs))


def decode(cell, height, width):
    """Read run lengths the slow way."""
    mask = np.zeros((height, width), bool)
    numbers = [int(word) for word in cell.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        for place in range(start - 1, start - 1 + length):
            mask[place % height, place // height] = True
    return mask


def test_runs_go_down_the_columns_and_count_from_1(tmp_path):
    (item,) = read(write(tmp_path, "id,rle\na,6 2 10 2\n"))
    np.testing.assert_array_equal(mask_of(item.region), SQUARE)
    assert item.region.runs.tolist() == [[5, 7], [9, 11]]
    assert item.region[1:] == (4, (1, 1, 2, 2))
    assert item[:4] == (1, 65537, False, None)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(4, 6), (1, 30), (30, 1), (17, 23)])
def test_masks_are_read_back_as_they_were_written(tmp_path, seed, size):
    mask = np.random.default_rng(seed).random(size) < 0.2 + 0.2 * seed
    root = write(tmp_path, f"id,rle\na,{encode(mask)}\n")
    (item,) = read(root, size=size)
    np.testing.assert_array_equal(mask_of(item.region, size), mask)
    rows, columns = np.nonzero(mask)
    left, top = columns.min(), rows.min()
    if size == (17, 23):
        assert item.region.bbox == (left, top, np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert item.region.area == mask.sum()
    assert [r.region.area for r in read(root, size=size, masks="whole")] == [mask.sum()]
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    objects = read(root, size=size, masks="components")
    assert len(objects) == count
    for item in objects:
        part = mask_of(item.region, size)
        np.testing.assert_array_equal(part, parts == parts[part][0])


def test_a_run_through_the_bottom_goes_on_in_the_next_column(tmp_path):
    (item,) = read(write(tmp_path, "id,rle\na,4 2\n"))
    assert item.region.runs.tolist() == [[3, 5]]
    assert item.region.bbox == (0, 0, 2, 4)


def test_runs_may_touch_and_come_in_any_order(tmp_path):
    (item,) = read(write(tmp_path, "id,rle\na,20 2 3 1 1 2 4 5\n"))
    assert item.region.runs.tolist() == [[0, 8], [19, 21]]


ROWS = "id,rle\na,6 2 10 2\nb,1 1\na,10 3\na,\na,24 1\n"


def test_each_row_is_an_object_and_they_may_overlap(tmp_path):
    objects = read(write(tmp_path, ROWS, ["a.png", "b.png"]))
    runs = [item.region.runs.tolist() for item in objects]
    assert runs == [[[5, 7], [9, 11]], [[9, 12]], [[23, 24]]]
    assert [item.truth_id for item in objects] == [65537, 65538, 65539]


def test_the_rows_of_an_image_are_united(tmp_path):
    root = write(tmp_path, ROWS, ["a.png", "b.png"])
    (item,) = read(root, masks="whole")
    assert item.region.runs.tolist() == [[5, 7], [9, 12], [23, 24]]
    first, second = read(root, masks="components")
    assert first.region.runs.tolist() == [[5, 7], [9, 12]]
    assert second.region.runs.tolist() == [[23, 24]]


@pytest.mark.parametrize("cell", ["", " ", "-1", " -1 ", "nan", "NaN", '""', '" "'])
@pytest.mark.parametrize("masks", ["instances", "components", "whole"])
def test_a_cell_without_runs_stands_for_no_object(tmp_path, cell, masks):
    root = write(tmp_path, f"id,rle\na,{cell}\nb,1 1\n", ["a.png", "b.png"])
    assert read(root, masks=masks) == []


TABLES = {
    "plain": "id,rle\na,6 2 10 2\n",
    "no last line end": "id,rle\na,6 2 10 2",
    "line ends of Windows": "id,rle\r\na,6 2 10 2\r\n",
    "byte order mark": b"\xef\xbb\xbfid,rle\r\na,6 2 10 2\r\n",
    "byte order mark and quotes": b'\xef\xbb\xbf"id","rle"\n"a","6 2 10 2"\n',
    "quoted": '"id", "rle" \n"a" , "6 2 10 2" \n',
    "other columns": 'x,rle,"y, ""z""",id\n1,6 2 10 2,"p, ""q""",a\n',
    "blank lines": "id,rle\n\na,6 2 10 2\n  \n\n",
    "spaces and tabs": "id , rle\n a ,\t6 2  10\t2 \n",
    "leading zeros": "id,rle\na,06 02 10 0000000002\n",
    "file name": "id,rle\na.png,6 2 10 2\n",
    "letters of the world": "id,rle\nä,1 1\na,6 2 10 2\n",
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_tables_are_read_whoever_wrote_them(tmp_path, table):
    (item,) = read(write(tmp_path, table))
    np.testing.assert_array_equal(mask_of(item.region), SQUARE)


def test_columns_have_the_names_that_the_params_give(tmp_path):
    root = write(tmp_path, "rle,ImageId,EncodedPixels\n1 1,a.png,6 2 10 2\n")
    (item,) = read(root, id_column="ImageId", rle_column="EncodedPixels")
    np.testing.assert_array_equal(mask_of(item.region), SQUARE)


def test_a_name_with_quotation_marks_is_read(tmp_path):
    root = write(tmp_path, 'id,rle\n"a""b",6 2 10 2\n', ['a"b.png'])
    assert len(read(root, 'train/a"b')) == 1


def test_the_table_may_lie_beside_the_folder_and_images_in_subfolders(tmp_path):
    root = write(tmp_path, "id,rle\ns/a,6 2 10 2\n", ["s/a.jpg"], "train.csv")
    assert len(read(root, "train/s/a")) == 1


def test_a_long_cell_is_read(tmp_path):
    runs = " ".join(f"{place} 1" for place in range(1, 200_000, 2))  # 700 kB
    (item,) = read(write(tmp_path, f'id,rle\na,"{runs}"\n'), size=(500, 400))
    assert item.region.area == 100_000


def test_splits_have_their_tables_and_images_of_test_none(tmp_path):
    write(tmp_path, "id,rle\nb,1 1\na,1 2\nz,1 1\na,3 1\n", ["b.png", "a.png", "notes.txt"])
    for folder in ("val/images", "test/images"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.png").write_bytes(b"x")
    (tmp_path / "val.csv").write_text("id,rle\na,5 1\n")
    (tmp_path / "test.csv").write_text("id,rle\na,bad\n")
    dataset = find(tmp_path)
    assert [r[:4] + r[5:7] for r in dataset.records] == [
        ("test/a", "test", 1, "a.png", "test/a", None),
        ("train/a", "train", 1, "a.png", "train/a", None),
        ("train/b", "train", 2, "b.png", "train/b", None),
        ("val/a", "val", 1, "a.png", "val/a", None),
    ]
    assert (dataset.category, dataset.unlisted) == ({"id": 3, "name": "3"}, 2)
    areas = [[o.region.area for o in read_objects(r, *SIZE)] for r in dataset.records]
    assert areas == [[], [2, 1], [1], [1]]


def test_images_of_test_may_lie_in_test_images(tmp_path):
    write(tmp_path, "id,rle\na,1 1\n")
    (tmp_path / "test_images").mkdir()
    (tmp_path / "test_images/q.png").write_bytes(b"x")
    record = find(tmp_path).records[0]
    assert (record.name, read_objects(record, *SIZE)) == ("test/q", [])


RUNS = [
    ("1", r"^an odd count of run lengths \(1\); they come in pairs$"),
    ("1 2 3", r"^an odd count of run lengths \(3\)"),
    ("0 2", "^the run '0 2' has a start of 0; .* count from 1 .dataset.rle_first is 1.$"),
    ("1 2 4 0", "^the run '4 0' has a length of 0; pixels and lengths count from 1$"),
    ("-1 2", "^run lengths with '-1', not a whole number from 1 up$"),
    ("1 -2", "^run lengths with '-2', not a whole number"),
    ("-1 -1", "^run lengths with '-1', not a whole number"),
    ("1.5 2", "^run lengths with '1.5', not a whole number"),
    ("1e1 2", "^run lengths with '1e1', not a whole number"),
    ("1_0 2", "^run lengths with '1_0', not a whole number"),
    ("+1 2", r"^run lengths with '\+1', not a whole number"),
    ("1 ２", r"^run lengths with '\\\\xef\\\\xbc\\\\x92', not a whole number"),
    ("none", "^run lengths with 'none', not a whole number"),
    ("{1 2}", "^run lengths with '{1', not a whole number"),
    ("1\0 2", r"^run lengths with '1\\x00', not a whole number"),
    ("9" * 11 + " 1", "^run lengths with '99999999999', not a whole number"),
    ("9" * 100_000 + " 1", "^run lengths with '9{40}', not a whole number"),
    ("24 2", "^the run '24 2' ends beyond the image's 24 pixels$"),
    ("25 1", "^the run '25 1' ends beyond the image's 24 pixels$"),
    ("1 9999999999", "^the run '1 9999999999' ends beyond the image's 24 pixels$"),
    ("1 2 1 2", "^the runs '1 2' and '1 2' cover the same pixels$"),
    ("5 3 1 5", "^the runs '1 5' and '5 3' cover the same pixels$"),
    ("1 9 3 1 5 1", "^the runs '1 9' and '3 1' cover the same pixels$"),
]


@pytest.mark.parametrize(("cell", "words"), RUNS)
@pytest.mark.parametrize("masks", ["instances", "whole"])
def test_an_image_with_doubtful_runs_is_rejected(tmp_path, cell, words, masks):
    root = write(tmp_path, f"id,rle\nb,1 1\na,1 1\na,{cell}\n", ["a.png", "b.png"])
    with pytest.raises(InputError, match=words):
        read(root, masks=masks)
    assert len(read(root, "train/b", masks=masks)) == 1


def test_a_training_image_without_a_row_is_rejected(tmp_path):
    root = write(tmp_path, "id,rle\nb,1 1\n", ["a.png", "b.png"])
    with pytest.raises(InputError, match=r"^no row in train\.csv$"):
        read(root)


def test_more_rows_than_labels_reject_the_image(tmp_path):
    root = write(tmp_path, "id,rle\n" + "a,1 1\n" * 65535)
    with pytest.raises(InputError, match="^65535 objects in one image, more than 65534; cut it"):
        read(root)


def test_a_table_removed_meanwhile_rejects_the_image(tmp_path):
    root = write(tmp_path, "id,rle\na,1 1\n")
    (record,) = find(root).records
    (root / "train/train.csv").unlink()
    with pytest.raises(InputError, match=r"^train\.csv cannot be read: No such file"):
        read_objects(record, *SIZE)


REFUSED = [
    ("", "train.csv: 0 columns 'id' in the first line ''; set dataset.id_column to one"),
    ("a,1 1\n", "0 columns 'id' in the first line 'a,1 1'; set dataset.id_column to one that is"),
    ("id,runs\na,1 1\n", "0 columns 'rle' in the first line 'id,runs'; set dataset.rle_column to"),
    ("id,rle,id\na,1 1,b\n", "2 columns 'id' in the first line 'id,rle,id'; set dataset.id_c"),
    ("id,rle,rle\na,1 1,\n", "2 columns 'rle' in the first line"),
    ("id;rle\na;1 1\n", "0 columns 'id' in the first line 'id;rle'"),
    ("id,rle\n", r"no row of an image \(1 images, such as 'a.png'\); give their names in the"),
    ("id,rle\nb,1 1\na.jpg,1 1\n", r"train.csv: no row of an image \(1 images, such as"),
    ("id,rle\n../images/a,1 1\n", "train.csv: no row of an image"),
    (
        "id,rle\na\n",
        "train.csv: line 2: the number of cells is 1, in the first line 2; put as many",
    ),
    (
        "id,rle\na,1 1\na,1 1,2 2\n",
        "train.csv: line 3: the number of cells is 3, in the first line 2",
    ),
    ('id,rle\na,"1 1\n2 2"\n', "line 2: a quoted cell does not end there; put each row into one"),
    ('id,rle\na,"1 1"x\n', "line 2: a quotation mark within a cell; write it as CSV"),
    ('id,rle\na,1 "1"\n', "line 2: a quotation mark within a cell; write it as CSV"),
    ("id,rle\ra,1 1\r", "line 1: a carriage return in it; end lines with a line feed"),
    (b"id,rle\n\xff,1 1\n", "line 2: not UTF-8 text; save the table as such"),
    (b"i\xe4,rle\na,1 1\n", "line 1: not UTF-8 text; save the table as such"),
    ("id,rle\r\na,1 1\r\n".encode("utf-16"), "line 1: not UTF-8 text; save the table as such"),
    (b"\x89PNG\r\n\x1a\n", "line 1: not UTF-8 text"),
    (b"PK\x03\x04\0\0", "0 columns 'id' in the first line"),
]


@pytest.mark.parametrize(("table", "words"), REFUSED)
def test_a_doubtful_table_is_refused_as_a_whole(tmp_path, table, words):
    with pytest.raises(InputError, match=words) as caught:
        find(write(tmp_path, table))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "train/train.csv") in str(caught.value)


def test_an_id_that_fits_two_images_is_refused(tmp_path):
    root = write(tmp_path, "id,rle\na.png,1 1\n", ["a.png", "a.png.jpg"])
    words = "line 2: id 'a.png' fits 'a.png' and 'a.png.jpg'; rename one of the images"
    with pytest.raises(InputError, match=words):
        find(root)


def test_an_absent_or_second_table_is_refused(tmp_path):
    root = write(tmp_path, "id,rle\na,1 1\n")
    (root / "train.csv").write_text("id,rle\na,1 1\n")
    with pytest.raises(InputError, match=r"train/train\.csv: .*train\.csv is there too; remove"):
        find(root)
    (root / "train.csv").unlink()
    (root / "train/train.csv").unlink()
    with pytest.raises(InputError, match=r"train/train\.csv: no such file, nor .*/train\.csv; see"):
        find(root)


def test_doubtful_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="set: no such folder; give the one that holds train/"):
        find(tmp_path / "set")
    with pytest.raises(InputError, match="train/images: no such folder; see docs/data.md"):
        find(tmp_path)
    root = write(tmp_path, "id,rle\na,1 1\n", ["a.png"])
    (root / "val").mkdir()
    with pytest.raises(InputError, match="val/images: no such folder"):
        find(root)
    (root / "val").rename(root / "test")
    with pytest.raises(InputError, match="test/images: no such folder"):
        find(root)
    (root / "test_images").mkdir()
    with pytest.raises(InputError, match="holds both test and test_images; remove one of the two"):
        find(root)
    (root / "test").rmdir()
    with pytest.raises(InputError, match="test_images: holds no images"):
        find(root)


def test_masks_and_columns_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(InputError, match="dataset.masks is ids: run lengths have no values; set"):
        find(tmp_path, masks="ids")
    with pytest.raises(InputError, match="id_column and dataset.rle_column are both 'id'; name"):
        find(tmp_path, rle_column="id")
    with pytest.raises(ValueError, match="masks must be one of instances, components, whole"):
        find(tmp_path, masks="polygons")


@pytest.mark.skipif(not TILES.is_dir(), reason="the tile defects are not beside the repository")
def test_the_tile_defects_are_those_that_the_table_tells_pixel_for_pixel():
    dataset = find(TILES, masks="whole", rle_column="rle_mask")
    with open(TILES / "train/train.csv", newline="") as file:
        cells = {f"train/{row['id']}": row["rle_mask"] for row in csv.DictReader(file)}
    assert (len(dataset.records), dataset.unlisted) == (340, 0)
    empty = 0
    for record in dataset.records:
        with Image.open(record.path) as image:
            size = image.size[::-1]
        objects = read_objects(record, *size)
        empty += not objects
        expected = decode(cells[record.name], *size)
        masks = [mask_of(item.region, size) for item in objects] or [np.zeros(size, bool)]
        np.testing.assert_array_equal(masks[0], expected)
    assert empty == 140


BAR = np.zeros((8, 11), bool)
BAR[2:6, 3:9] = True  # lies down
BAR[0, 0] = BAR[7, 10] = True  # in its corners, where counting begins and ends


def counted(mask, order, first, starts):
    """Run lengths in any dialect, the slow way."""
    flat, cell, end = mask.ravel("C" if order == "row" else "F").tolist(), [], 0
    for place, value in enumerate(flat):
        if value and (place == 0 or not flat[place - 1]):
            length = next((i for i, v in enumerate(flat[place:]) if not v), len(flat) - place)
            cell += [place - end if starts == "relative" else place + first, length]
            end = place + length
    return " ".join(map(str, cell))


@pytest.mark.parametrize("masks", ["instances", "whole"])
@pytest.mark.parametrize("starts", ["absolute", "relative"])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("order", ["column", "row"])
def test_runs_are_read_in_the_dialect_that_the_params_name(tmp_path, order, first, starts, masks):
    cell = counted(BAR, order, first, starts)
    root = write(tmp_path, f"id,rle\na,{cell}\n")
    dialect = Dialect(order, first, starts)
    (item,) = read(root, size=BAR.shape, dialect=dialect, masks=masks)
    np.testing.assert_array_equal(mask_of(item.region, BAR.shape), BAR)
    assert not item.comb


@pytest.mark.parametrize("form", ["[{}]", "({})", "{}.0"])
def test_brackets_commas_and_whole_numbers_written_as_real_are_no_matter(tmp_path, form):
    cell = form.format((".0 " if ".0" in form else ", ").join(["6", "2", "10", "2"]))
    (item,) = read(write(tmp_path, f'id,rle\na,"{cell}"\n'))
    np.testing.assert_array_equal(mask_of(item.region), SQUARE)


def test_a_cell_may_stand_for_no_object(tmp_path):
    root = write(tmp_path, "id,rle\na,1 1\nb,6 2 10 2\n", ["a.png", "b.png"])
    assert read(root, dialect=Dialect(empty=("1 1",))) == []
    assert [item.comb for item in read(root)] == [True]  # of one pixel, which is said to be odd


WIDE, TALL = (30, 47), (47, 30)


@pytest.mark.parametrize("masks", ["instances", "components"])
@pytest.mark.parametrize("size", [WIDE, TALL])
@pytest.mark.parametrize(("order", "other"), [("row", "column"), ("column", "row")])
def test_runs_read_along_the_wrong_lines_look_like_a_comb(tmp_path, size, order, other, masks):
    mask = np.zeros(size, bool)
    mask[8:20, 6:24] = True
    root = write(tmp_path, f"id,rle\na,{counted(mask, order, 1, 'absolute')}\n")
    right = read(root, size=size, masks=masks, dialect=Dialect(order))
    wrong = read(root, size=size, masks=masks, dialect=Dialect(other))
    assert not any(item.comb for item in right)
    assert all(item.comb for item in wrong)


def test_an_object_counted_from_0_that_touches_the_top_goes_over_the_edge(tmp_path):
    mask = np.zeros((9, 7), bool)
    mask[:2, 2:5] = True
    root = write(tmp_path, f"id,rle\na,{counted(mask, 'column', 0, 'absolute')}\n")
    assert [item.comb for item in read(root, size=mask.shape)] == [True]
    assert [o.comb for o in read(root, size=mask.shape, dialect=Dialect(first=0))] == [False]


def test_runs_that_go_backwards_are_said_to_be_odd(tmp_path):
    root = write(tmp_path, "id,rle\na,50 3 7 3\n")  # gaps, as it happens
    assert [item.comb for item in read(root, size=(10, 10))] == [True]


def test_objects_of_every_shape_are_no_comb(tmp_path):
    ring = np.zeros((12, 12), bool)
    ring[:] = True
    ring[2:-2, 2:-2] = False  # its runs go over the edges of columns
    line = np.eye(12, dtype=bool)
    dots = np.zeros((12, 12), bool)
    dots[3:5, 3:5] = dots[8:10, 8:10] = True
    text = "\n".join(f"a,{encode(mask)}" for mask in (ring, line, dots, ~ring))
    root = write(tmp_path, f"id,rle\n{text}\n")
    assert [item.comb for item in read(root, size=(12, 12))] == [False] * 4


CLASSES = "ImageId,ClassId,rle\na.png,1,6 2 10 2\na.png,3,20 1\nb.png,1,1 2\nb.png,3,\n"


def test_rows_of_a_class_are_read(tmp_path):
    root = write(tmp_path, CLASSES, ["a.png", "b.png"])
    columns = {"id_column": "ImageId", "class_column": "ClassId"}
    areas = {}
    for classes in (("3",), ("1", "3")):
        dataset = find(root, classes=classes, **columns)
        areas[classes] = [[o.region.area for o in read_objects(r, *SIZE)] for r in dataset.records]
        assert dataset.category == {"id": 3, "name": ", ".join(classes)}
    assert areas == {("3",): [[1], []], ("1", "3"): [[4, 1], [2]]}
    with pytest.raises(InputError, match=r"rows of 2 classes, '1' \(2 rows\), '3' \(1 rows\); set"):
        find(root, **columns)
    with pytest.raises(InputError, match="no run lengths of class 4; set dataset.category_id to"):
        find(root, classes=("4",), **columns)


def test_a_class_may_stand_behind_the_name_of_the_image(tmp_path):
    table = "ImageId_ClassId,rle\na_x.png_Fish,6 2 10 2\na_x.png_Sugar,1 1\n"
    root = write(tmp_path, table, ["a_x.png"])
    columns = {"id_column": "ImageId_ClassId", "class_column": "ImageId_ClassId"}
    (item,) = read(root, "train/a_x", classes=("Fish",), **columns)
    assert item.region.area == 4
