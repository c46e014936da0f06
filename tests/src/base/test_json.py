import pytest

from src.base.errors import InputError
from src.base.files import read_json


def test_a_document_is_read_as_it_is(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"name": "Köln", "values": [1, 2.5, null]}', encoding="utf-8")
    assert read_json(path) == {"name": "Köln", "values": [1, 2.5, None]}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1] 2", b'"\xff"', b"[" * 100_000], ids=lambda content: content[:5]
)
def test_what_is_not_json_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json: not valid JSON; run the stage that writes it"):
        read_json(tmp_path / "a.json")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.json: no such file; run the stage that writes it"):
        read_json(tmp_path / "a.json")
