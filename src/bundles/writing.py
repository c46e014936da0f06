"""Writing a bundle: one ZIP, whole or absent, the same bytes of the same content.

It bears no date but the one that params.yaml states: the clock, or a commit, would change the bytes
though nothing in them differs.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from src.base.errors import InputError
from src.base.files import new_file
from src.bundles.manifest import FORMAT, MANIFEST, README, VERSION, Manifest, first_problem
from src.bundles.manifest import manifest_bytes as encoded
from src.formats.archive import EPOCH

SHOWN = ("ap50", "ar50", "f1_50", "pq", "dice_mean")  # in README.txt, of all metrics


def write_bundle(path: Path, told: Mapping[str, Any], parts: Mapping[str, bytes]) -> Manifest:
    """Write a bundle.

    Parameters
    ----------
    path : Path
        NAME.maskline.zip. Takes its name when it is complete; its folder is there.
    told : mapping
        The fields of `src.bundles.manifest.Manifest` but format, version and files.
    parts : mapping of str to bytes
        The content of every part by name, but for the manifest and README.txt, which follow.

    Returns
    -------
    manifest : Manifest
        As it was written.

    Raises
    ------
    InputError
        If the content is none that a bundle may have, such as a model without a safe format.
    """
    content = {**parts, README: readme(told).encode()}
    files = {
        name: {"sha256": hashlib.sha256(content[name]).hexdigest(), "bytes": len(content[name])}
        for name in sorted(content)
    }
    head = {"format": FORMAT, "version": VERSION}
    try:
        manifest = Manifest.model_validate({**head, **told, "files": files})
    except ValidationError as error:
        raise InputError(f"{path.name}: {first_problem(error)}") from None
    content[MANIFEST] = encoded(manifest)
    with new_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix, whatever wrote it
            archive.writestr(entry, content[name])
    return manifest


def json_part(document: Any) -> bytes:
    """Write a part as JSON, its numbers to the last digit."""
    return (json.dumps(document) + "\n").encode()


def readme(told: Mapping[str, Any]) -> str:
    """Return the text that stands in a bundle for whoever opens it without Maskline."""
    categories = ", ".join(category["name"] for category in told["categories"])
    expected, networks = told["expected"], told["networks"]
    size = f"{expected['height']} x {expected['width']} px" if expected["height"] else "any size"
    ground = expected["pixel_size"]
    lines = [
        f"{told['name']}: a trained model of Maskline that finds objects in images",
        "",
        f"Finds:     {categories}",
        f"Networks:  {len(networks)}",
        f"Learnt on: images of {size}" + (f", {ground:.3g} m a pixel" if ground else ""),
        f"Data:      {told['data']} (fingerprint of the ground truth)",
        f"Date:      {told['date'] or 'not stated'}",
        f"Licence:   {told['licence'] or 'none stated'}",
        "",
        "Scores, in brackets 95 % intervals over groups of images (oof: training images, each by",
        "networks that have not seen it; val: images that nothing was learnt from):",
        *(_score_line(score) for score in told["scores"] if score["metric"] in SHOWN),
        "",
        "Use it: python -m deploy.apply NAME.maskline.zip IMAGES... --out FOLDER",
        "manifest.json has all of this for programs, and a checksum of every part.",
        "",
    ]
    return "\n".join(lines)


def _score_line(score: Mapping[str, Any]) -> str:
    numbers = [score[key] for key in ("value", "low", "high")]
    value, low, high = ("-" if number is None else f"{number:.4g}" for number in numbers)
    between = "" if score["low"] is None else f" [{low}, {high}]"
    return f"  {score['split']} {score['metric']}: {value}{between}"
