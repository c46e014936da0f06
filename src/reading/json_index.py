"""Elements of the lists in a JSON file, one at a time, with their place in the file."""

import json
import re
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from src.base.errors import InputError

CHUNK = 2**20  # bytes read at a time
WHITESPACE = re.compile(r"[ \t\n\r]*")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some editors put it first
LONGEST = 16  # characters; no escape, literal or end of a number is longer
DECODER = json.JSONDecoder()


class Element(NamedTuple):
    """A value in a JSON file."""

    key: str  # of the list it is in, in the top-level object
    place: int  # in that list, from 0; -1 stands for the value of the key itself
    offset: int  # byte where it begins
    length: int  # bytes
    value: Any


class _Window(NamedTuple):
    """A part of a file. As Latin-1 each character is a byte, and JSON's own are the same."""

    file: BinaryIO  # to read on in
    chunk: int  # bytes to read at least
    start: int  # byte of the file at which the text begins
    text: str
    last: bool  # nothing follows


def index_lists(path: Path, keys: Collection[str], *, chunk: int = CHUNK) -> Iterator[Element]:
    """Walk through a JSON file and give the elements of some of its lists one by one.

    Time goes with the size of the file. Memory goes with the largest element, or the largest
    value of a top-level key that is no list; of long files a chunk at a time is held.

    Parameters
    ----------
    path : Path
        JSON in UTF-8, with or without a byte order mark; NaN and Infinity are numbers.
    keys : collection of str
        Keys of the top-level object whose lists are wanted.
    chunk : int
        Bytes to read at a time, at least 1.

    Yields
    ------
    element : Element
        In the order of the file. Each key that is there gives first an element with place -1,
        whose value is [] if it has a list, and otherwise what it has; then those of the list.
        A document that is no object yields nothing. The bytes of an element are its JSON.

    Raises
    ------
    InputError
        If the file cannot be read, is not JSON, to its very end, or has a wanted key twice;
        elements in front of the fault have been given then.
    """
    try:
        with open(path, "rb") as file:
            yield from _document(_Window(file, chunk, 0, "", False), keys)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from None


def _document(window: _Window, keys: Collection[str]) -> Iterator[Element]:
    head = window.file.read(4)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head:
        raise InputError(
            f"{window.file.name}: not JSON in UTF-8 but text in UTF-16 or UTF-32; write it again"
        )
    begin = len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0
    window = window._replace(start=begin, text=head[begin:].decode("latin-1"))
    window, position = _skip(window, 0)
    if window.text[position : position + 1] == "{":
        window, position = yield from _members(window, position, keys)
    elif window.text[position : position + 1] == "[":
        window, position = yield from _elements(window, position, None)
    else:
        window, _, position, _ = _decode(window, position)
    window, position = _skip(window, position)
    if position < len(window.text):
        raise _fault(window, position, "more behind its end")


def _members(window: _Window, position: int, keys: Collection[str]) -> Iterator[Element]:
    """Give the elements of an object; return the window and the position behind it."""
    window, position = _skip(window, position + 1)
    if window.text[position : position + 1] == "}":
        return window, position + 1
    seen = set()
    while True:
        if window.text[position : position + 1] != '"':
            raise _fault(window, position, "no key in quotes")
        window, _, position, key = _decode(window, position)
        window, position = _after(window, position, ":")
        if key in seen:
            raise InputError(f"{window.file.name}: two keys '{key}'; make one of them")
        wanted = key if key in keys else None
        if wanted is not None:
            seen.add(key)
        if window.text[position : position + 1] == "[":
            if wanted is not None:
                yield Element(key, -1, window.start + position, 0, [])
            window, position = yield from _elements(window, position, wanted)
        else:
            window, begin, position, value = _decode(window, position)
            if wanted is not None:
                yield Element(key, -1, window.start + begin, position - begin, value)
        window, position = _skip(window, position)
        if window.text[position : position + 1] == "}":
            return window, position + 1
        window, position = _after(window, position, ",")


def _elements(window: _Window, position: int, key: str | None) -> Iterator[Element]:
    """Give the elements of a list if its key is wanted; return the window and the end."""
    window, position = _skip(window, position + 1)
    if window.text[position : position + 1] == "]":
        return window, position + 1
    place = 0
    while True:
        window, begin, position, value = _decode(window, position)
        if key is not None:
            yield Element(key, place, window.start + begin, position - begin, value)
        place += 1
        window, position = _skip(window, position)
        if window.text[position : position + 1] == "]":
            return window, position + 1
        window, position = _after(window, position, ",")


def _after(window: _Window, position: int, mark: str) -> tuple[_Window, int]:
    """Return where the next thing begins behind a mark and the white space around it."""
    window, position = _skip(window, position)
    if window.text[position : position + 1] != mark:
        raise _fault(window, position, f"no '{mark}'")
    return _skip(window, position + 1)


def _skip(window: _Window, position: int) -> tuple[_Window, int]:
    """Return the position of the next character that is no white space."""
    while True:
        position = cast("re.Match[str]", WHITESPACE.match(window.text, position)).end()
        if position < len(window.text) or window.last:
            return window, position
        window, position = _moved(window, position), 0


def _moved(window: _Window, position: int) -> _Window:
    """Return the window that begins at a position, with as much again behind it."""
    rest = window.text[position:]
    content = window.file.read(max(window.chunk, len(rest)))
    text = rest + content.decode("latin-1")
    return window._replace(start=window.start + position, text=text, last=not content)


def _decode(window: _Window, position: int) -> tuple[_Window, int, int, Any]:
    """Return the value at a position, and where in what window it begins and ends."""
    while True:
        cut = len(window.text) if window.last else len(window.text) - LONGEST
        try:
            value, end = DECODER.raw_decode(window.text, position)
            if end <= cut or window.text[position] in '{["':  # else maybe the half of a number
                break
        except json.JSONDecodeError as error:
            whole = window.last or (error.pos < cut and not error.msg.startswith("Unterminated"))
            if whole:
                raise _fault(window, error.pos, error.msg) from None
        except RecursionError:
            raise _fault(window, position, "nested too deeply") from None
        except ValueError:
            limit = f"a number of more than {sys.get_int_max_str_digits()} digits"
            raise _fault(window, position, limit) from None
        window, position = _moved(window, position), 0
    if not window.text.isascii():
        value = _decode_again(window, position, end, value)
    return window, position, end, value


def _decode_again(window: _Window, position: int, end: int, value: object) -> object:
    """Return the value at a position read as UTF-8, which differs if it is not ASCII."""
    text = window.text[position:end]
    if text.isascii():
        return value
    try:  # as json does with bytes: halves of surrogate pairs pass
        return json.loads(text.encode("latin-1").decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError as error:
        raise _fault(window, position + error.start, "not UTF-8") from None
    except RecursionError:  # a call deeper than the first time
        raise _fault(window, position, "nested too deeply") from None


def _fault(window: _Window, position: int, what: str) -> InputError:
    place = window.start + position
    return InputError(f"{window.file.name}: not JSON ({what}: byte {place}); write it again")
