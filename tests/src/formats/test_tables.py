import pytest

from src.base.errors import InputError
from src.formats.tables import read_table


def test_cells_stay_the_text_they_are(tmp_path):
    (tmp_path / "a.csv").write_text("name,group\n1,007\n2,NA\n3,\n")
    table = read_table(tmp_path / "a.csv", "a_stage")
    assert table.to_dict("list") == {"name": ["1", "2", "3"], "group": ["007", "NA", ""]}


def test_an_absent_table_is_refused_with_what_to_run(tmp_path):
    with pytest.raises(InputError, match=r"a\.csv: no such file; run a_stage$"):
        read_table(tmp_path / "a.csv", "a_stage")
