import math

import numpy as np
import pandas as pd
import pytest

from src.base.errors import InputError
from src.formats.tables import read_parquet, read_table, write_table


@pytest.fixture
def table(tmp_path):
    """Function that writes a CSV file and reads it."""

    def read(content, columns=()):
        content = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "a.csv").write_bytes(content)
        return read_table(tmp_path / "a.csv", "a_stage", columns)

    return read


def test_cells_stay_the_text_they_are(table):
    found = table('name,group\n1,007\n2,NA\n3,\n"a, ""b""",x\n')
    assert found.to_dict("list") == {
        "name": ["1", "2", "3", 'a, "b"'],
        "group": ["007", "NA", "", "x"],
    }


def test_columns_have_the_types_asked_for(table):
    types = {"n": int, "share": float, "tp": bool, "name": str}
    found = table("name,n,share,tp\n1,2,,True\n2,-3,0.5,False\n", types)
    assert found["n"].tolist() == [2, -3]
    np.testing.assert_array_equal(found["share"], [np.nan, 0.5])
    assert found["tp"].tolist() == [True, False]
    assert found["name"].tolist() == ["1", "2"]
    assert [found[name].dtype.kind for name in ("n", "share", "tp")] == list("ifb")


def test_a_table_without_rows_has_its_columns_and_their_types(table):
    found = table("n,share\n", {"n": int, "share": float})
    assert found.empty
    assert [found[name].dtype.kind for name in ("n", "share")] == list("if")


def test_a_mark_at_the_start_and_foreign_line_ends_are_no_part_of_a_name(table):
    assert table(b"\xef\xbb\xbfname\r\nK\xc3\xb6ln\r\n").to_dict("list") == {"name": ["Köln"]}


@pytest.mark.parametrize(
    ("content", "columns", "words"),
    [
        ("name,n\na,1\nb,2,3\n", (), "a.csv: line 3 has 3 cells and the first line 2; run a_stage"),
        ("name,n\na\n", (), "a.csv: line 2 has 1 cells and the first line 2"),
        ("name,n\n\n", (), "a.csv: line 2 has 0 cells"),
        ("", (), "a.csv: is empty; run a_stage again"),
        (b"name\n\xff\n", (), "a.csv: not UTF-8 text; run a_stage again"),
        ("name\na\0b\n", (), "a.csv: holds a NUL character"),
        ('name\n"a\n', (), "a.csv: line 2: unexpected end of data; run a_stage again"),
        ("name,name\na,b\n", (), "a.csv: has two columns name; run a_stage again"),
        ("name\na\n", ["name", "n"], "a.csv: has no column n; run a_stage again"),
        ("n\n1.5\n", {"n": int}, "a.csv: row 2: n must be a whole number, got '1.5'; run a_stage"),
        ("n\n1\n\"\"\n", {"n": int}, "a.csv: row 3: n must be a whole number, got ''"),
        ("n\n99999999999999999999\n", {"n": int}, "n must be a whole number, got '9999"),
        ("n\nfew\n", {"n": float}, "a.csv: row 2: n must be a number, got 'few'"),
        ("n\n1\n", {"n": bool}, "a.csv: row 2: n must be True or False, got '1'"),
    ],
)  # fmt: skip
def test_what_is_no_such_table_is_refused_in_a_sentence(table, content, columns, words):
    with pytest.raises(InputError, match=words) as caught:
        table(content, columns)
    assert "\n" not in str(caught.value)


def test_an_absent_table_is_refused_with_what_to_run(tmp_path):
    with pytest.raises(InputError, match=r"a\.csv: no such file; run a_stage$"):
        read_table(tmp_path / "a.csv", "a_stage")


def test_what_is_written_is_read_and_has_the_same_bytes_on_every_system(tmp_path):
    written = pd.DataFrame({"name": ["a,b", ""], "share": [0.25, math.nan], "n": [1, 2]})
    write_table(tmp_path / "new/a.csv", written)
    assert (tmp_path / "new/a.csv").read_bytes() == b'name,share,n\n"a,b",0.25,1\n,,2\n'
    found = read_table(tmp_path / "new/a.csv", "a_stage", {"share": float, "n": int})
    pd.testing.assert_frame_equal(found, written)


def test_parquet_comes_back_as_it_was(tmp_path):
    written = pd.DataFrame({"name": ["a"], "score": [0.5], "tp": [True]})
    written.to_parquet(tmp_path / "a.parquet", index=False)
    found = read_parquet(tmp_path / "a.parquet", "a_stage", ["score"])
    pd.testing.assert_frame_equal(found, written)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"name\n", b"PAR1" + bytes(40) + b"PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path, content):
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet: not a Parquet file; run a_stage again"):
        read_parquet(tmp_path / "a.parquet", "a_stage")


def test_parquet_that_is_absent_or_lacks_a_column_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.parquet: no such file; run a_stage"):
        read_parquet(tmp_path / "a.parquet", "a_stage")
    pd.DataFrame({"name": ["a"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: has no column score; run a_stage again"):
        read_parquet(tmp_path / "a.parquet", "a_stage", ["score"])
