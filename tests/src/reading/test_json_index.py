import json
import tracemalloc

import numpy as np
import pytest

from src.base.errors import InputError
from src.reading.json_index import index_lists

KEYS = ("images", "annotations")
DOCUMENTS = [
    b"{}",
    b'{"images":[]}',
    b' { "annotations" : [ {"id": 1}, {"id": 2} ] , "images" : [ { } ] } \n',
    b'{"info": {"a": [1, {"images": [7]}]}, "images": [{"b": "x\\"]}"}], "more": [[1], [2]]}',
    b'{"images": [1, -2.5e+10, "3", true, null, [4, [5]], {"k": NaN}, -Infinity, 123456789012]}',
    '{"images": [{"ä": "漢字 \U0001f600"}, "é", "plain"], "ö": ["ü"], "annotations": 3}'.encode(),
    b'{"images": [{"s": "\\ud83d\\ude00 \\u00e4 \\\\"}], "info": -12.5e-3, "last": "\\n"}',
    b'{"im\\u0061ges": [8], "images ": [9], "annotations": {"a": 1}}',
    b"\xef\xbb\xbf" + b'{"images": [{"id": 1}]}',
    b'[1, {"images": [2]}]',
    b" 12.5 ",
    b"true",
    b'{"images": ["\xed\xa0\x80"]}',  # half of a surrogate pair, which json lets pass
]  # fmt: skip


def walk(tmp_path, content, **options):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    return list(index_lists(path, KEYS, **options))


def refused(tmp_path, content, words, **options):
    with pytest.raises(InputError, match=words) as caught:
        walk(tmp_path, content, **options)
    assert str(caught.value).startswith(str(tmp_path / "file.json: "))


def expected_values(content):
    """What `index_lists` should give, from the document as json reads it whole."""
    document = json.loads(content)
    for key, value in document.items() if isinstance(document, dict) else ():
        if key in KEYS:
            is_list = isinstance(value, list)
            yield key, -1, [] if is_list else value
            yield from ((key, place, one) for place, one in enumerate(value if is_list else ()))


@pytest.mark.parametrize("content", DOCUMENTS)
def test_elements_are_those_that_json_reads_wherever_the_chunks_end(tmp_path, content):
    expected = repr(list(expected_values(content)))  # as text: NaN is not equal to itself
    for chunk in range(1, len(content) + 2):
        found = walk(tmp_path, content, chunk=chunk)
        assert repr([(e.key, e.place, e.value) for e in found]) == expected
        for element in found:
            if element.place >= 0:
                piece = content[element.offset : element.offset + element.length]
                assert repr(json.loads(piece)) == repr(element.value)


def test_an_element_is_where_it_stands_in_the_file(tmp_path):
    found = walk(tmp_path, '{"ä": 1, "images": [ {"id": 1} , 22]}'.encode(), chunk=1)
    places = [(e.key, e.place, e.offset, e.length) for e in found]
    assert places == [("images", -1, 20, 0), ("images", 0, 22, 9), ("images", 1, 34, 2)]


@pytest.mark.parametrize("content", DOCUMENTS)
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_document_that_is_cut_off_is_refused(tmp_path, content, chunk):
    least = 3 if content.startswith(b"\xef\xbb\xbf") else 0
    end = len(content.rstrip())
    for length in range(least, end):
        if content.strip()[:1] not in (b"{", b"["):  # the half of a number is a number
            continue
        refused(tmp_path, content[:length], r"not JSON .*\d\); write it again", chunk=chunk)


def test_a_document_with_wrong_bytes_is_refused_if_json_refuses_it_and_only_then(tmp_path):
    rng = np.random.default_rng(0)
    refusals = 0
    for number in range(1000):
        content = bytearray(DOCUMENTS[2 + number % 6])
        for _ in range(rng.integers(1, 3)):
            content[rng.integers(len(content))] = rng.choice(list(b'"{}[],:\\ 10eEt-.\xff\n\x1f'))
        chunk = int(rng.integers(1, 40))
        try:
            expected = list(expected_values(bytes(content)))
        except ValueError:
            refused(tmp_path, content, "not JSON", chunk=chunk)
            refusals += 1
            continue
        found = [(e.key, e.place, e.value) for e in walk(tmp_path, content, chunk=chunk)]
        assert repr(found) == repr(expected), content
    assert 300 < refusals < 950  # both happen


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"not JSON \(Expecting value: byte 0\)"),
        (b"  \n", r"not JSON \(Expecting value: byte 3\)"),
        (b'{"images": [1]} x', r"not JSON \(more behind its end: byte 16\)"),
        (b'{"images": [1]}{}', r"not JSON \(more behind its end: byte 15\)"),
        (b'{"images": [1,]}', r"not JSON \(Expecting value: byte 14\)"),
        (b'{"images": [1 2]}', r"not JSON \(no ',': byte 14\)"),
        (b'{"images": [1],}', r"not JSON \(no key in quotes: byte 15\)"),
        (b'{"images" [1]}', r"not JSON \(no ':': byte 10\)"),
        (b'{"images": [1], 3: 4}', r"not JSON \(no key in quotes: byte 16\)"),
        (b"{'images': [1]}", r"not JSON \(no key in quotes: byte 1\)"),
        (b'{"images": ["a\nb"]}', r"not JSON \(Invalid control character at: byte 14\)"),
        (b'{"images": ["a\xffb"]}', r"not JSON \(not UTF-8: byte 14\)"),
        (b'{"more": {"a": "\xe4"}}', r"not JSON \(not UTF-8: byte 16\)"),
        (b'\xe4{"images": []}', r"not JSON \(Expecting value: byte 0\)"),
        (b"\x89PNG\r\n\x1a\n", r"not JSON \(Expecting value: byte 0\)"),
    ],
)
def test_what_is_not_json_is_refused_with_the_byte_of_the_fault(tmp_path, content, words):
    for chunk in (1, 3, 100):
        refused(tmp_path, content, words + "; write it again", chunk=chunk)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_of_another_encoding_is_refused_as_such(tmp_path, encoding):
    content = '{"images": []}'.encode(encoding)
    refused(tmp_path, content, "not JSON in UTF-8 but text in UTF-16 or UTF-32")


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100000,
        b'{"images": [' + b'{"a":' * 100000 + b"1" + b"}" * 100000 + b"]}",
        b'{"images": [{"a": "\xc3\xa4", "b": ' + b"[" * 100000 + b"]" * 100000 + b"}]}",
        b'{"more": ' + b'{"a":' * 100000,
    ],
)
def test_deep_nesting_is_refused(tmp_path, content):
    refused(tmp_path, content, r"not JSON \(nested too deeply: byte \d+\)")
    refused(tmp_path, content, "nested too deeply", chunk=1000)


def test_a_number_of_very_many_digits_is_refused(tmp_path):
    content = b'{"images": [{"id": ' + b"1" * 100000 + b"}]}"
    refused(tmp_path, content, r"not JSON \(a number of more than 4300 digits: byte 12\)")
    refused(tmp_path, content, "a number of more than 4300 digits", chunk=1000)


def test_a_long_fraction_is_a_number(tmp_path):
    content = b'{"images": [0.' + b"1" * 100000 + b"]}"
    assert walk(tmp_path, content, chunk=1000)[1].value == pytest.approx(1 / 9)


def test_a_wanted_key_that_is_there_twice_is_refused_and_another_is_not(tmp_path):
    refused(tmp_path, b'{"images": [], "images": []}', "two keys 'images'; make one of them")
    refused(tmp_path, b'{"images": 1, "im\\u0061ges": []}', "two keys 'images'")
    assert [e.key for e in walk(tmp_path, b'{"a": 1, "images": [], "a": 2}')] == ["images"]


def test_an_element_larger_than_many_chunks_is_read_whole(tmp_path):
    large = {"name": "ä" * 5000, "outline": list(range(20000)), "quoted": '"' * 3000}
    content = json.dumps({"images": [large, 1], "more": large, "annotations": [2]}).encode()
    found = walk(tmp_path, content, chunk=16)
    assert [e.value for e in found] == [[], large, 1, [], 2]
    assert json.loads(content[found[1].offset :][: found[1].length]) == large


def test_elements_in_front_of_a_fault_are_given_and_the_rest_is_not_read(tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(b'{"images": [1, 2, }' + b" " * 5000 + b'"')
    elements = index_lists(path, KEYS, chunk=64)
    assert [next(elements).value for _ in range(3)] == [[], 1, 2]
    with pytest.raises(InputError, match="Expecting value: byte 18"):
        next(elements)


def test_a_list_of_many_elements_takes_no_more_memory_than_a_chunk(tmp_path):
    path = tmp_path / "file.json"
    one = json.dumps({"id": 1, "segmentation": [[1.5] * 20]})
    path.write_text('{"annotations": [' + ",\n".join([one] * 20000) + "]}")
    tracemalloc.start()
    try:
        count = sum(1 for _ in index_lists(path, KEYS, chunk=2**16))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20001
    assert path.stat().st_size > 2e6
    assert peak < 2**19  # some windows of 64 KiB


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match="absent.json: cannot be read .No such file"):
        list(index_lists(tmp_path / "absent.json", KEYS))
    with pytest.raises(InputError, match="cannot be read"):
        list(index_lists(tmp_path, KEYS))
