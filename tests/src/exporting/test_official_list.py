import pandas as pd
import pytest

from src.base.errors import InputError
from src.exporting.official_list import answered, read_official_list


def read(tmp_path, text, columns=("id", "rle_mask")):
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    return read_official_list(tmp_path / "list.csv", *columns)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("id,rle_mask\na,\n", ("id", "rle_mask")),
        ("\ufeffImageId,EncodedPixels\na,\n", ("ImageId", "EncodedPixels")),
        ("rle_mask,id\n,a\n", ("id", "rle_mask")),
        ("image,height,rle_mask\na,7,\n", ("image", "rle_mask")),
    ],
)
def test_columns_are_those_of_the_data_set_or_the_only_ones(tmp_path, text, found):
    assert read(tmp_path, text)[1:] == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no table of ids"),
        ("id,rle_mask\n", "lists no id"),
        ("id,rle_mask\na,\nb,\na,\n", "'a' is there twice"),
        ("id,height,width\na,1,2\n", "none of which is 'rle_mask'; set dataset.rle_column"),
        ("id,rle_mask\na,1,2,3\nb,1\n", "no table of ids|columns"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)
    with pytest.raises(InputError, match="no such file; correct export.submission_list"):
        read_official_list(tmp_path / "absent.csv", "id", "rle_mask")


def test_ids_are_file_names_with_or_without_extension_and_stay_as_written(tmp_path):
    names = [("b.1", "b.1.png"), ("caf\u00e9", "cafe\u0301.jpg"), ("sub/x", "sub/x.tif")]
    official = read(tmp_path, "id,height,rle_mask\nsub/x,007,q\ncaf\u00e9.jpg,,q\n1,,q\nb.1,NA,q\n")
    found = answered(official, names, [["1 1", "3 1"], [""], ["5 2"]])
    assert found.table.to_dict("list") == {
        "id": ["sub/x", "caf\u00e9.jpg", "1", "b.1", "b.1"],
        "height": ["007", "", "", "NA", "NA"],
        "rle_mask": ["5 2", "", "", "1 1", "3 1"],
    }
    assert (found.absent, found.unasked) == (["1"], [])
    assert answered(official, [*names, ("y", "y.png")], [[""]] * 4).unasked == ["y"]
    nested = answered(official, [("sub/x", "sub/x/images/0.png")], [["9 9"]])
    assert nested.table["rle_mask"].tolist() == ["9 9", "", "", ""]
    assert isinstance(found.table.index, pd.RangeIndex)
