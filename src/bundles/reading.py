"""Reading a bundle that anybody may have written: one sentence for everything that is wrong.

Nothing of a part is looked at before its size and its checksum are those of the manifest, and
nothing is allocated that these do not bound. The checksums tell damage, not forgery: who made a
bundle is for the place to vouch that it comes from. So each part is checked as if it were forged:
nothing in a bundle is run, and no name in it leads out of it.
"""

import hashlib
import os
import struct
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from src.acceptance.operating_point import Point
from src.base.errors import InputError
from src.base.files import is_inside
from src.bundles.boosted_trees import checked_booster
from src.bundles.manifest import (
    CALIBRATION,
    MANIFEST,
    MOST_MANIFEST,
    MOST_NETWORKS,
    MOST_OF_PART,
    PICTURE,
    README,
    SECOND_LEVEL,
    File,
    Manifest,
    description_of,
    network_file,
    parse_manifest,
    strict_json,
)
from src.bundles.network_weights import rebuilt_network
from src.candidates.candidate_table import MEASURED
from src.objects.params import PostprocessParams
from src.predicting.params import PredictParams
from src.scoring.calibration import Calibrator
from src.scoring.learning import Learnt
from src.scoring.learnt_file import calibrator_of
from src.scoring.second_level import Model

MOST_PARTS = MOST_NETWORKS + len(MOST_OF_PART) + 1
MOST_LIST = 1 << 20  # bytes
LAST, LOCATOR, RECORD = 22, 20, 56  # bytes of what a ZIP ends with; the last two above 4 GiB
ENCRYPTED = 1  # bit of the flags of an entry
# What zipfile raises of a damaged file
DAMAGED = (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, struct.error)


class Network(NamedTuple):
    """A network that takes part, and how much."""

    model: nn.Module  # in evaluation mode, on the CPU
    description: dict[str, Any]  # as model.json has it
    weight: float
    member: str  # it is of; how far members disagree is told between them


class Bundle(NamedTuple):
    """All that is needed to find objects in images."""

    manifest: Manifest
    networks: list[Network]
    predict: PredictParams  # with views that the scene permits
    postprocess: PostprocessParams  # without auto
    learnt: Learnt  # what val and test are scored, chosen, calibrated and accepted by


def read_bundle(path: Path) -> Bundle:
    """Read a bundle whole.

    Parameters
    ----------
    path : Path
        NAME.maskline.zip, as `src.bundles.writing.write_bundle` writes it.

    Returns
    -------
    bundle : Bundle

    Raises
    ------
    InputError
        If it is absent, no ZIP, of a newer version, damaged, incomplete, or holds something that a
        bundle does not have.
    """
    with _opened(path) as archive:
        return _read(archive, path)


def read_manifest(path: Path) -> Manifest:
    """Read what a bundle says of itself, and no other part of it. Raises as `read_bundle`."""
    with _opened(path) as archive:
        return _manifest(archive, path)


@contextmanager
def _opened(path: Path) -> Generator[zipfile.ZipFile]:
    """Open the ZIP; what is wrong in the block is told with the name of the file."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; give a bundle, NAME.maskline.zip")
    try:
        _refuse_long_list(Path(path))
        try:
            archive = zipfile.ZipFile(path)
        except DAMAGED as error:
            raise InputError(f"not a whole ZIP archive ({error})") from None
        with archive:
            yield archive
    except InputError as error:
        raise InputError(f"{path}: {error}; get the bundle anew") from None


def _refuse_long_list(path: Path) -> None:
    """Refuse a ZIP whose list of entries is long, before zipfile holds it.

    It takes the last bytes of the file for the end where they look like one, and what the record of
    an archive above 4 GiB says where one stands before it; so the same bytes are looked at here.
    """
    with open(path, "rb") as file:
        file.seek(-min(path.stat().st_size, LAST + LOCATOR + RECORD), os.SEEK_END)
        tail = file.read()
    end, locator, record = tail[-LAST:], tail[-LAST - LOCATOR : -LAST], tail[: -LAST - LOCATOR]
    if len(end) < LAST or not end.startswith(b"PK\5\6") or end[-2:] != b"\0\0":
        raise InputError("not a whole ZIP archive (it does not end as one)")
    sizes = [int.from_bytes(end[12:16], "little")]
    if locator.startswith(b"PK\6\7"):
        sizes.append(int.from_bytes(record[40:48], "little"))
    if max(sizes) > MOST_LIST:
        raise InputError(f"its list of parts has {max(sizes)} bytes, {MOST_LIST} are the most")


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a part whose size has been checked."""
    try:
        return archive.read(name)
    except DAMAGED as error:
        raise InputError(f"{name}: damaged ({error})") from None


def _read(archive: zipfile.ZipFile, path: Path) -> Bundle:
    manifest = _manifest(archive, path)
    for name, file in manifest.files.items():
        size = archive.getinfo(name).file_size
        if size != file.bytes:
            raise InputError(f"{name}: has {size} bytes, not {file.bytes} as the manifest says")
    learnt = _learnt(archive, manifest)
    networks = []
    for one in manifest.networks:
        name, description = network_file(one), description_of(one)
        content = _part(archive, name, manifest.files[name])
        try:
            model = rebuilt_network(description, content)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        networks.append(Network(model, description, one.weight, one.member))
    for name in sorted({README, PICTURE} & manifest.files.keys()):
        _part(archive, name, manifest.files[name])  # nobody reads them here; damage is told anyway
    return Bundle(manifest, networks, manifest.predict, manifest.postprocess, learnt)


def _manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    """Check the list of entries and read the manifest, whose parts are exactly these."""
    entries = archive.infolist()
    if len(entries) > MOST_PARTS:
        raise InputError(f"has {len(entries)} parts, {MOST_PARTS} are the most")
    names = [entry.filename for entry in entries]
    for entry in entries:
        shown = f"{entry.filename!r:.100}"
        if not is_inside(entry.filename) or entry.is_dir():
            raise InputError(f"part {shown} has a name that leads out of it or is a folder")
        if names.count(entry.filename) > 1:
            raise InputError(f"part {shown} is there twice")
        if entry.flag_bits & ENCRYPTED:
            raise InputError(f"part {shown} is encrypted")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise InputError(f"part {shown} is compressed, which no part of a bundle is")
    total, size = sum(entry.file_size for entry in entries), Path(path).stat().st_size
    if total > size:
        raise InputError(f"its parts claim {total} bytes, the file has {size}")
    if MANIFEST not in names:
        raise InputError(f"has no {MANIFEST}, so it is no bundle of Maskline")
    if archive.getinfo(MANIFEST).file_size > MOST_MANIFEST:
        raise InputError(f"{MANIFEST}: larger than {MOST_MANIFEST} bytes")
    manifest = parse_manifest(_content(archive, MANIFEST))
    absent = sorted(manifest.files.keys() - set(names))
    if absent:
        raise InputError(f"lacks its part {absent[0]}")
    strange = sorted(set(names) - manifest.files.keys() - {MANIFEST})
    if strange:
        raise InputError(f"has a part {strange[0]!r:.100} that the manifest does not name")
    return manifest


def _part(archive: zipfile.ZipFile, name: str, file: File) -> bytes:
    """Return a part whose size is known to be right, if its checksum is too."""
    content = _content(archive, name)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise InputError(f"{name}: its checksum is not that of the manifest")
    return content


def _learnt(archive: zipfile.ZipFile, manifest: Manifest) -> Learnt:
    model: Model | None = None
    calibrator: Calibrator | None = None
    try:
        name = SECOND_LEVEL
        if manifest.second_level is not None:
            features, trees = manifest.second_level.features, manifest.second_level.trees
            if features != list(MEASURED):
                raise InputError(
                    "it was fitted on other features than this Maskline measures; use the version "
                    "that made the bundle"
                )
            text = _part(archive, name, manifest.files[name]).decode("ascii")
            model = checked_booster(text, features, trees)
        name = CALIBRATION
        if name in manifest.files:
            lists = strict_json(_part(archive, name, manifest.files[name]))
            if not isinstance(lists, dict):
                raise InputError("not a map")
            calibrator = calibrator_of(lists)
    except UnicodeDecodeError:
        raise InputError(f"{name}: not plain text") from None
    except InputError as error:
        words = str(error)
        raise InputError(words if words.startswith(name) else f"{name}: {words}") from None
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
    accepted = manifest.acceptance
    point = Point(accepted.score, accepted.low, accepted.high)
    return Learnt(manifest.rescore, model, calibrator, point)
