"""The folder of maps that a network predicts, and that several are merged into.

    <split>.zip                uint8 (H, W): probability of the mask * 255
    <split>_<head>.zip         the same of the heads border, contact and boundary_distance
    <split>_embedding.zip      uint8 (H, W, 3): affinity * 255 of each pixel with its right and
                               with its lower neighbour (0 in the last column, row), 0
    <split>_empty.csv          name,probability: that the image has no object
    <split>_view_spread.zip    uint8 (H, W): standard deviation of the probability of the mask
                               over views and scales * 510
    <split>_member_spread.zip  the same over members, soups and students
    maps.json                  {"heads": [...], "spreads": ["view", "member"]}: which there are

The splits are oof (images of train, by networks that left them out), val and test; each has the
same kinds of map. A kind is called by its head, "view_spread" or "member_spread".
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from src.base.errors import InputError
from src.base.files import read_json, write_text
from src.formats.archive import ImageArchive, encode_png, write_archive
from src.formats.tables import read_table, write_table

SPLITS = ("oof", "val", "test")
HEADS = ("mask", "border", "contact", "boundary_distance", "embedding", "empty")
SPREADS = {"view": "view_spread", "member": "member_spread"}  # kinds, by their name in maps.json


class MapFolder(NamedTuple):
    """A folder of maps and what is in it."""

    path: Path
    stage: str  # that writes it
    heads: list[str]  # "mask" among them
    spreads: list[str]  # "view", "member"


def read_map_folder(path: Path, stage: str) -> MapFolder:
    """Read which kinds of map a folder has.

    Parameters
    ----------
    path : Path
        The folder.
    stage : {"predict", "ensemble"}
        What writes it, for messages.

    Returns
    -------
    maps : MapFolder

    Raises
    ------
    InputError
        If maps.json is absent or not such a list: a name is unknown or there twice, a key is
        missing or one too many, or there is no mask.
    """
    listed = read_json(Path(path) / "maps.json")
    known = {"heads": list(HEADS), "spreads": list(SPREADS)}
    if not isinstance(listed, dict) or listed.keys() != known.keys():
        raise InputError(
            f"{path}/maps.json: want the lists heads and spreads alone; run {stage} again"
        )
    for key, names in listed.items():
        given = cast("list[object]", names) if isinstance(names, list) else [None]
        plain = all(name in known[key] for name in given)
        if not plain or len(set(given)) < len(given) or (key == "heads" and "mask" not in given):
            raise InputError(
                f"{path}/maps.json: {key} {names!r:.200}: want "
                f"{'mask and ' * (key == 'heads')}any of {', '.join(known[key])}, each once; run "
                f"{stage} again"
            )
    return MapFolder(Path(path), stage, listed["heads"], listed["spreads"])


def open_maps(maps: MapFolder, split: str, kind: str) -> ImageArchive:
    """Open the archive of one kind of map, all but "empty". Raises InputError if it is absent."""
    return ImageArchive(maps.path / file_of(split, kind))


def read_empty(maps: MapFolder, split: str, names: Iterable[str]) -> np.ndarray:
    """Read the probabilities that images have no object.

    Parameters
    ----------
    maps : MapFolder
        With the head "empty".
    split : {"oof", "val", "test"}
    names : iterable of str
        Of images, each of them there; there may be others.

    Returns
    -------
    probabilities : ndarray of float64, shape (names,)
        In [0, 1], in the order of `names`.

    Raises
    ------
    InputError
        If the table is absent or malformed, an image is in it twice or not at all, or has no
        probability.
    """
    path = maps.path / file_of(split, "empty")
    table = read_table(path, maps.stage, {"name": str, "probability": float})
    for wrong, words in (
        (table["name"].duplicated(), "is there twice"),
        (~table["probability"].between(0, 1), "has no probability in [0, 1]"),
    ):
        if wrong.any():
            name = table["name"][wrong].iloc[0]
            raise InputError(f"{path}: '{name}' {words}; run {maps.stage} again")
    found = table.set_index("name")["probability"].reindex(list(names))
    if found.isna().any():
        raise InputError(f"{path}: lacks '{found.index[found.isna()][0]}'; run {maps.stage} again")
    return found.to_numpy(np.float64)


def write_list(folder: Path, heads: Sequence[str], spreads: Sequence[str]) -> None:
    """Write maps.json: which heads, "mask" among them, and which spreads there are."""
    listed = {"heads": list(heads), "spreads": list(spreads)}
    write_text(Path(folder) / "maps.json", json.dumps(listed) + "\n")


def write_maps(
    folder: Path, split: str, kind: str, items: Iterable[tuple[str, np.ndarray | bytes]]
) -> None:
    """Write all maps of one kind, all but "empty": names, increasing, and maps or PNG files."""
    write_archive(Path(folder) / file_of(split, kind), items)


def write_empty(
    folder: Path, split: str, names: Sequence[str], probabilities: Sequence[float]
) -> None:
    """Write the probabilities, in [0, 1], that images have no object, to a millionth."""
    rounded = [f"{stored_empty(probability):.6f}" for probability in probabilities]
    table = pd.DataFrame({"name": list(names), "probability": rounded})
    write_table(Path(folder) / file_of(split, "empty"), table)


def stored_empty(probability: float) -> float:
    """Return a probability that an image has no object as it is written, to a millionth."""
    return round(probability, 6)


def write_split(
    folder: Path,
    split: str,
    kinds: Sequence[str],
    predictions: Iterable[tuple[str, Mapping[str, np.ndarray | float]]],
) -> None:
    """Write all kinds of map of one split, image by image, without holding them in memory.

    The archive of the mask grows with every image; maps of other kinds wait in nameless files.

    Parameters
    ----------
    folder : Path
    split : {"oof", "val", "test"}
    kinds : sequence of str
        Of map, "mask" among them.
    predictions : iterable of (str, mapping)
        Names, increasing, and by kind the map as stored; of "empty" the probability.
    """
    names: list[str] = []
    empty: list[float] = []
    with ExitStack() as stack:
        others = [kind for kind in kinds if kind not in ("mask", "empty")]
        files = {kind: stack.enter_context(TemporaryFile(dir=folder)) for kind in others}
        sizes: dict[str, list[int]] = {kind: [] for kind in others}

        def masks() -> Iterator[tuple[str, np.ndarray]]:
            for name, prediction in predictions:
                names.append(name)
                if "empty" in kinds:
                    empty.append(float(prediction["empty"]))
                for kind in others:
                    encoded = encode_png(np.asarray(prediction[kind]))
                    sizes[kind].append(files[kind].write(encoded))
                yield name, np.asarray(prediction["mask"])

        write_maps(folder, split, "mask", masks())
        for kind in others:
            files[kind].seek(0)
            maps = ((n, files[kind].read(size)) for n, size in zip(names, sizes[kind], strict=True))
            write_maps(folder, split, kind, maps)
    if "empty" in kinds:
        write_empty(folder, split, names, empty)


def file_of(split: str, kind: str) -> str:
    """Return the name of the file that holds one kind of map of one split."""
    if kind == "mask":
        return f"{split}.zip"
    return f"{split}_{kind}.csv" if kind == "empty" else f"{split}_{kind}.zip"
