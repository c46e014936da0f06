"""Probability maps of a scene, made window by window and kept in files as large as the scene.

A folder holds, of each kind of map, `<kind>.maps` with the bytes of all rows one after the other;
`kinds.json`, which tells how many bytes a pixel has of each; and `rows.jsonl`, a line for each row
of windows that is done, with the numbers that were predicted beside the maps. So a scene that was
stopped goes on where it was.
"""

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.base.errors import InputError
from src.base.files import write_text
from src.mosaics.runs import Area
from src.parallel.workers import in_order

KINDS = "kinds.json"
ROWS = "rows.jsonl"
READ_AT_ONCE = 8192  # px of a row of windows, about

Read = Callable[[Area], tuple[np.ndarray, np.ndarray]]
Predict = Callable[[np.ndarray], dict[str, Any]]


class Windows(NamedTuple):
    """How a scene is cut into windows, and these into tiles, px."""

    side: int  # of a window, what is handed over at a time; a multiple of `tile`
    tile: int  # what is predicted at a time, a multiple of `step`
    halo: int  # around a tile, seen by the network and then cut away; a multiple of `step`
    step: int  # the grid on which networks downsample


class _Window(NamedTuple):
    """One call: the window's place, and which of it is kept."""

    area: Area
    filled: np.ndarray  # bool (h, w): pixels in cells of `step` px with some data


class _RowEnd(NamedTuple):
    """That no further window of a row comes."""

    top: int
    skipped: int  # px of its windows without data


def write_maps(
    folder: Path,
    height: int,
    width: int,
    read: Read,
    predict: Predict,
    windows: Windows,
    *,
    scheduler: str,
    progress: Callable[[int], object],
) -> None:
    """Predict the maps of a scene.

    Tiles lie on a fixed grid and see `halo` px around them; what is beyond the lower and right edge
    of the scene repeats the last pixel up to the next multiple of `step`. So maps depend neither on
    the windows nor on the number of processes, and where networks look no further than the halo not
    on the tiles either. Tiles without data are not predicted; maps are 0 in all cells of `step` x
    `step` px without data, wherever tiles begin.

    Parameters
    ----------
    folder : Path
        Written; what it holds of an earlier run of the same scene is kept.
    height, width : int
        Of the scene, px.
    read : callable
        Gives the image, uint8 (h, w, 3), of an area, and which of its pixels have data.
    predict : callable
        Of an image, uint8 (h, w, 3): maps by kind, uint8 (h, w) or (h, w, n), and numbers in
        [0, 1], of which a scene gets the least. Called in other processes; see
        `src.parallel.workers.in_order`.
    windows : Windows
    scheduler : str
        As for `in_order`.
    progress : callable
        Called with the number of further pixels that are done.

    Raises
    ------
    ValueError
        If tile or halo is no multiple of the step, or the side of windows none of the tile.
    InputError
        If the disk has no room for the maps.
    """
    steps = windows.tile % windows.step or windows.halo % windows.step
    if steps or windows.side % windows.tile or windows.side <= 0:
        raise ValueError(
            f"tile and halo must be multiples of step, side a multiple of tile, got {windows}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    done = _done_rows(folder)
    progress(sum(min(windows.side, height - top) * width for top in done))
    waiting: deque[_Window | _RowEnd] = deque()
    buffers: dict[str, np.ndarray] = {}
    numbers: dict[str, float] = {}

    def calls() -> Iterator[tuple[np.ndarray, tuple[int, int], np.ndarray]]:
        for top in range(0, height, windows.side):
            if top not in done:
                skipped = min(windows.side, height - top) * width
                for window, image, corner in _row_windows(top, height, width, read, windows):
                    waiting.append(window)
                    skipped -= window.filled.size
                    yield image, corner, window.filled
                waiting.append(_RowEnd(top, skipped))

    def end_rows() -> None:
        """Write the rows of which all results are there."""
        while waiting and isinstance(end := waiting[0], _RowEnd):
            waiting.popleft()
            for kind, rows in buffers.items():
                with (folder / f"{kind}.maps").open("r+b") as file:
                    file.seek(end.top * rows[0].nbytes)
                    file.write(rows.data)
            with (folder / ROWS).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"top": end.top, "numbers": numbers}) + "\n")
            progress(end.skipped)
            buffers.clear()
            numbers.clear()

    fixed = {"at_once": True, "predict": predict, "windows": windows}
    for found in in_order(predict_tiles, calls(), scheduler=scheduler, **fixed):
        end_rows()
        window = waiting.popleft()
        assert isinstance(window, _Window)
        maps = {kind: one for kind, one in found.items() if np.ndim(one) > 1}
        _make_files(folder, maps, height, width)
        top, bottom, left, right = window.area
        for kind, one in maps.items():
            one[~window.filled] = 0
            if kind not in buffers:
                buffers[kind] = np.zeros((bottom - top, width, *one.shape[2:]), np.uint8)
            buffers[kind][:, left:right] = one
        for kind in found.keys() - maps.keys():
            numbers[kind] = min(numbers.get(kind, 1.0), float(found[kind]))
        progress(window.filled.size)
    end_rows()


def predict_tiles(
    image: np.ndarray,
    corner: tuple[int, int],
    filled: np.ndarray,
    *,
    predict: Predict,
    windows: Windows,
) -> dict[str, Any]:
    """Predict the tiles of a window.

    Parameters
    ----------
    image : ndarray of uint8, shape (h, w, 3)
        The window and what is around it, at most `windows.halo` px.
    corner : tuple of int
        Row and column of the window's first pixel in it.
    filled : ndarray of bool, shape (rows, columns)
        Of the window, with some data; tiles without are left 0.
    predict, windows
        As for `write_maps`.

    Returns
    -------
    found : dict
        Of the window, as `predict` has it of an image.
    """
    found: dict[str, Any] = {}
    for top in range(0, len(filled), windows.tile):
        for left in range(0, filled.shape[1], windows.tile):
            place = slice(top, top + windows.tile), slice(left, left + windows.tile)
            if not filled[place].any():
                continue
            row, column = top + corner[0], left + corner[1]  # of the tile, in the image
            above, before = max(row - windows.halo, 0), max(column - windows.halo, 0)
            reach = windows.tile + windows.halo
            seen = image[above : row + reach, before : column + reach]
            for kind, one in predict(np.ascontiguousarray(seen)).items():
                if np.ndim(one) > 1:
                    if kind not in found:
                        found[kind] = np.zeros((*filled.shape, *one.shape[2:]), np.uint8)
                    kept = found[kind][place]
                    inner = one[row - above :, column - before :]
                    kept[...] = inner[: len(kept), : kept.shape[1]]
                else:
                    found[kind] = min(found.get(kind, 1.0), float(one))
    return found


def read_maps(folder: Path, height: int, width: int, area: Area) -> dict[str, Any]:
    """Read a part of the maps of a scene, and its numbers; nothing of a scene without data."""
    if not (folder / KINDS).exists():
        return {}
    maps: dict[str, Any] = {}
    for kind, extra in json.loads((folder / KINDS).read_text()).items():
        shape = (height, width, *extra)
        # Mapped anew each time, since pages that were read count as memory of the process.
        mapped = np.memmap(folder / f"{kind}.maps", np.uint8, "r", shape=shape)
        maps[kind] = np.array(mapped[area.top : area.bottom, area.left : area.right])
    for line in _lines(folder):
        for kind, number in line["numbers"].items():
            maps[kind] = min(maps.get(kind, number), number)
    return maps


def _row_windows(
    top: int, height: int, width: int, read: Read, windows: Windows
) -> Iterator[tuple[_Window, np.ndarray, tuple[int, int]]]:
    """Read what the windows of a row see, some at a time; give those with data and their image."""
    side, _, halo, step = windows
    bottom = min(top + side, height)
    above, below = max(top - halo, 0), min(top + side + halo, height + -height % step)
    end = width + -width % step
    several = max(READ_AT_ONCE // side, 1) * side
    for begin in range(0, width, several):
        stop = min(begin + several, width)
        first, last = max(begin - halo, 0), min(begin + several + halo, end)
        image, valid = read(Area(above, min(below, height), first, min(last, width)))
        beyond = ((0, below - above - len(image)), (0, last - first - image.shape[1]))
        if any(map(any, beyond)):
            image = np.pad(image, (*beyond, (0, 0)), mode="edge")
        inside = valid[top - above : bottom - above, begin - first : stop - first]
        inside = np.pad(inside, ((0, -(bottom - top) % step), (0, -(stop - begin) % step)))
        cells = inside.reshape(len(inside) // step, step, inside.shape[1] // step, step)
        filled = cells.any((1, 3)).repeat(step, axis=0).repeat(step, axis=1)
        for left in range(begin, stop, side):
            right = min(left + side, width)
            with_data = filled[: bottom - top, left - begin : right - begin]
            if with_data.any():
                seen = slice(max(left - halo, 0) - first, min(left + side + halo, end) - first)
                window = _Window(Area(top, bottom, left, right), with_data.copy())
                corner = top - above, left - first - seen.start
                yield window, np.ascontiguousarray(image[:, seen]), corner


def _make_files(folder: Path, maps: dict[str, np.ndarray], height: int, width: int) -> None:
    """Make files of zeros, which take no room yet, when it is known of what kinds maps are."""
    if (folder / KINDS).exists():
        return
    extra = {kind: list(one.shape[2:]) for kind, one in maps.items()}
    sizes = {kind: height * width * int(np.prod(more)) for kind, more in extra.items()}
    needed, free = sum(sizes.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: the maps of the scene need {needed / 1e9:.1f} GB and {free / 1e9:.1f} are "
            "free; make room, or give --out a folder on another disk"
        )
    for kind, size in sizes.items():
        with (folder / f"{kind}.maps").open("wb") as file:
            os.truncate(file.fileno(), size)
    write_text(folder / KINDS, json.dumps(extra))


def _lines(folder: Path) -> list[dict]:
    if not (folder / ROWS).exists():
        return []
    text = (folder / ROWS).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _done_rows(folder: Path) -> set[int]:
    """Return the tops of rows that are done; a line that was not finished does not count."""
    lines = _lines(folder)
    if lines:
        write_text(folder / ROWS, "".join(json.dumps(line) + "\n" for line in lines))
    return {line["top"] for line in lines}
