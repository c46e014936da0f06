import pytest

from src.base.errors import InputError
from src.reading.metadata import read_metadata

NAMES = ["train/a", "val/a"]


@pytest.fixture
def read(tmp_path):
    """Function that reads the columns of a table given as text or bytes."""

    def run(content, columns=("depth",), names=NAMES):
        path = tmp_path / "metadata.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_metadata(path, list(columns), names)

    return run


def test_the_chosen_columns_come_in_the_order_they_are_asked_for(read):
    table = "age,name,depth,note\n3,val/a,-0.5,old\n4,train/a,1e3,\n"
    metadata = read(table, ["depth", "age"])
    assert metadata == {
        "train/a": {"depth": 1000.0, "age": 4.0},
        "val/a": {"depth": -0.5, "age": 3.0},
    }
    assert list(metadata) == NAMES
    assert list(metadata["val/a"]) == ["depth", "age"]


def test_without_columns_nothing_is_read(tmp_path):
    assert read_metadata(tmp_path / "absent.csv", [], NAMES) == {"train/a": {}, "val/a": {}}


def test_images_the_dataset_does_not_have_may_hold_anything(read):
    table = "name,depth\nx/y,?\nx/y,\nx/z\ntrain/a,1\nval/a,2\n"
    assert read(table) == {"train/a": {"depth": 1.0}, "val/a": {"depth": 2.0}}


def test_tables_of_spreadsheets_are_read(read):
    table = b'\xef\xbb\xbfname,depth\r\n"train/a"," 7 "\r\nval/a,8\r\n\r\n'
    assert read(table) == {"train/a": {"depth": 7.0}, "val/a": {"depth": 8.0}}


@pytest.mark.parametrize("cell", ["", "deep", "nan", "-inf", "1e999", "1,5", "1_0", "0x10"])
def test_what_is_no_finite_number_is_refused_with_file_name_and_value(read, cell):
    quoted = f'"{cell}"' if "," in cell else cell
    words = rf"metadata\.csv: line 3: val/a: depth is '{cell}', not a finite number; correct it"
    with pytest.raises(InputError, match=words):
        read(f"name,depth\ntrain/a,1\nval/a,{quoted}\n")


def test_a_line_that_ends_early_is_refused(read):
    with pytest.raises(InputError, match=r"line 2: train/a: depth is '', not a finite number"):
        read("name,age,depth\ntrain/a,1\n")


def test_an_image_without_a_row_is_refused(read):
    words = r"no row for 'train/a' \(2 of 3 images have none\); add one .*dataset\.metadata"
    with pytest.raises(InputError, match=words):
        read("name,depth\ntest/1,1\n", names=["test/1", *NAMES])


def test_an_image_with_two_rows_is_refused(read):
    with pytest.raises(InputError, match=r"line 4: 'train/a' is there twice; remove one row"):
        read("name,depth\ntrain/a,1\nval/a,1\ntrain/a,1\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "name,age\ntrain/a,1\n",
            r"0 columns 'depth' in the first line 'name,age'; give the table exactly one",
        ),
        ("depth\n1\n", "0 columns 'name' in the first line"),
        ("", "0 columns 'name' in the first line ''"),
        ("name,depth,depth\ntrain/a,1,2\n", "2 columns 'depth' in the first line"),
        (b"name,depth\ntrain/\xff,1\n", "metadata.csv: not UTF-8 text; save it as such"),
        ('name,depth\n"train/a"x,1\n', r"metadata.csv: line 2: .*expected.*; write it as CSV"),
    ],
)
def test_what_is_no_such_table_is_refused(read, content, words):
    with pytest.raises(InputError, match=words):
        read(content)


def test_a_missing_file_is_refused_with_what_asks_for_it(tmp_path):
    words = r"metadata\.csv: no such file, but dataset\.metadata is \['depth'\]; see docs/data\.md"
    with pytest.raises(InputError, match=words):
        read_metadata(tmp_path / "metadata.csv", ["depth"], NAMES)


@pytest.mark.parametrize("cell", ["a", "a.png", "a.JPG"])
def test_images_may_be_named_by_their_file_name_alone(read, cell):
    names = ["train/a", "test/s/b", "train/a.b"]
    table = f"depth,id\n1,{cell}\n2,s/b.tif\n3,a.b\n4,elsewhere\n"
    expected = {"train/a": {"depth": 1.0}, "test/s/b": {"depth": 2.0}, "train/a.b": {"depth": 3.0}}
    assert read(table, names=names) == expected


def test_a_full_file_name_goes_before_one_without_extension(read):
    names = ["train/a", "train/a.png"]
    assert read("id,depth\na.png,2\na,1\n", names=names) == {
        "train/a": {"depth": 1.0}, "train/a.png": {"depth": 2.0},
    }  # fmt: skip


def test_a_column_name_goes_before_a_column_id(read):
    assert read("id,id,name,depth\n7,7,train/a,1\n7,8,val/a,2\n") == {
        "train/a": {"depth": 1.0}, "val/a": {"depth": 2.0},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("table", "names", "words"),
    [
        (
            "id,depth\na,1\n",
            NAMES,
            "line 2: id 'a' fits 'train/a' and 'val/a'; give a column 'name' with such names",
        ),
        ("id,depth\na.png,1\n", NAMES, "line 2: id 'a' fits 'train/a' and 'val/a'"),
        ("id,depth\na,1\na.png,1\n", ["val/a"], "line 3: 'val/a' is there twice; remove one row"),
        ("id,depth\na.1,1\n", ["val/a"], "no row for 'val/a'"),
        ("id,depth\nval/a,1\n", ["val/a"], "no row for 'val/a'"),
        ("id,depth\na,x\n", ["val/a"], "line 2: val/a: depth is 'x', not a finite number"),
        ("depth,id\n1\n", ["val/a"], "no row for 'val/a'"),
        ("id,id,depth\na,a,1\n", ["val/a"], "2 columns 'id' in the first line 'id,id,depth'"),
    ],
)
def test_ids_that_do_not_tell_images_are_refused(read, table, names, words):
    with pytest.raises(InputError, match=words):
        read(table, names=names)
