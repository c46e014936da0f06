"""A bundle of one small random network, whole or spoilt, for tests of what reads it."""

import functools
import hashlib
import json
import zipfile

import numpy as np
import torch
from safetensors.torch import save

from src.bundles.manifest import CALIBRATION, MANIFEST, SECOND_LEVEL
from src.bundles.writing import json_part, write_bundle
from src.candidates.candidate_table import MEASURED
from src.networks.model import rebuild
from src.scoring.second_level import fit, model_text
from tests import tiny_network
from tests.plain_postprocess import PLAIN
from tests.plain_rescore import params

NETWORK = "networks/main/fold0.safetensors"
DESCRIPTION = tiny_network.NETWORK | tiny_network.FED | {"std": [0.25] * 3}
CALIBRATOR = {"knots": [0.1, 0.5], "rates": [0.2, 0.9], "scores": [0.1, 0.3, 0.5]}
TOLD = {
    "name": "tiny",
    "date": None,
    "licence": None,
    "categories": [{"id": 1, "name": "thing"}],
    "data": "0123456789ab",
    "scores": [{"split": "oof", "metric": "ap50", "value": 0.5, "low": 0.25, "high": None}],
    "expected": {
        "read": {"bands": [], "stretch": "auto", "low": 0.0, "high": 0.0, "no_data": "none"}
        | {"orientation": "ignore"},
        "height": 32,
        "width": 32,
        "pixel_size": None,
    },
    "predict": {"views": "hflip", "scales": [1.0], "merge": "mean", "padding": "replicate"}
    | {"max_size": 64, "overlap": 16, "precision": "float32", "margin": 0, "gammas": [1.0]},
    "merge": "mean",
    "postprocess": PLAIN,
    "rescore": dict(params(score="lightgbm", trees=3, calibration="isotonic", selection="nms")),
    "acceptance": {"metric": "f1_50", "score": 0.4, "low": 0.3, "high": 0.5},
    "second_level": {"trees": 3, "features": list(MEASURED)},
    "networks": [{"member": "main", "fold": 0, "weight": 1.0, "description": DESCRIPTION}],
}


@functools.cache
def weights():
    """Return the file of the network's weights."""
    torch.manual_seed(0)
    state = rebuild(DESCRIPTION).state_dict()
    return save({key: value.contiguous() for key, value in state.items()})


@functools.cache
def trees():
    """Return LightGBM's text of a model of three trees."""
    rng = np.random.default_rng(0)
    features = rng.random((200, len(MEASURED)))
    targets = (features[:, 0] + features[:, 3] > 1).astype(float)
    names = list(MEASURED)
    return model_text(fit(features, targets, names, params(score="lightgbm", trees=3), threads=1))


def parts():
    return {
        NETWORK: weights(),
        SECOND_LEVEL: trees().encode(),
        CALIBRATION: json_part(CALIBRATOR),
    }


def write(path, told=None, content=None):
    """Write a whole bundle; what is told and its parts may be others."""
    write_bundle(path, TOLD | (told or {}), parts() | (content or {}))
    return path


def write_rebuilt(path, description):
    """Write a bundle of a random network that is described otherwise."""
    torch.manual_seed(0)
    state = rebuild(description).state_dict()
    content = save({key: value.contiguous() for key, value in state.items()})
    network = TOLD["networks"][0] | {"description": description}
    return write(path, {"networks": [network]}, {NETWORK: content})


def entries(path):
    """Return the content of all parts of a bundle by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_entries(path, content, compression=zipfile.ZIP_STORED):
    """Write a ZIP of these parts, whatever they are."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, one in content.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), one, compression)
    return path


def forge(path, changes=None, **content):
    """Change a bundle and make sizes and checksums fit again, as someone who wants to mislead does.

    `changes` are values of the manifest by dotted keys, None takes away a key that ends in "!";
    further arguments are parts, by their name with "__" for "/" and "_" for ".".
    """
    found = entries(path)
    names = {name.replace("/", "__").replace(".", "_"): name for name in found}
    document = json.loads(found[MANIFEST])
    for key, one in content.items():
        found[names[key]] = one
        digest = hashlib.sha256(one).hexdigest()
        document["files"][names[key]] = {"sha256": digest, "bytes": len(one)}
    for key, value in (changes or {}).items():
        *way, last = key.split(".")
        place = document
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if last.endswith("!"):
            del place[last[:-1]]
        else:
            place[int(last) if isinstance(place, list) else last] = value
    found[MANIFEST] = json.dumps(document).encode()
    return write_entries(path, found)
