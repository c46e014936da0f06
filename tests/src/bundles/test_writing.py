import json
import zipfile

import pytest

from src.base.errors import InputError
from src.bundles.manifest import LATER, MANIFEST, MOST_OF_PART, PICTURE, parse_manifest
from src.bundles.reading import read_bundle
from src.bundles.writing import readme, write_bundle
from tests import tiny_bundle
from tests.tiny_bundle import TOLD, entries


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tiny.maskline.zip"


def test_the_manifest_is_told_as_it_was_given(path):
    tiny_bundle.write(path)
    manifest = parse_manifest(entries(path)[MANIFEST])
    told = manifest.model_dump()
    told["networks"][0]["description"].pop("embedding_loss")
    assert (told["expected"]["read"].pop("keep"), told["expected"]["read"].pop("shown")) == (
        "8bit",
        [],
    )
    assert {key: told[key] for key in TOLD} == TOLD
    sizes = {name: len(content) for name, content in entries(path).items()}
    del sizes[MANIFEST]
    assert {name: file.bytes for name, file in manifest.files.items()} == sizes


def test_keys_of_later_versions_are_told_where_they_say_something_new(path):
    """So that bundles of older versions are read, and plain ones of this version by those."""

    def parts():
        told = json.loads(entries(path)[MANIFEST])
        description = told["networks"][0]["description"]
        return {name: told[name] for name in ("predict", "postprocess")} | {
            "description": description,
            "read": told["expected"]["read"],
        }

    tiny_bundle.write(path)
    assert [LATER[name].keys() & part.keys() for name, part in parts().items()] == [set()] * 4
    new = {"predict": TOLD["predict"] | {"margin": 10}}
    new["postprocess"] = TOLD["postprocess"] | {"hull_erode": 3}
    write_bundle(path, TOLD | new, tiny_bundle.parts())
    found = parts()
    assert found["predict"]["margin"] == 10
    assert "gammas" not in found["predict"]
    manifest = parse_manifest(entries(path)[MANIFEST])
    assert (manifest.predict.margin, manifest.predict.gammas) == (10, [1.0])
    assert (manifest.postprocess.hull_erode, manifest.postprocess.hull_threshold) == (3, 0.2)
    assert manifest.networks[0].description.decoder_norm == "batchnorm"


def test_readme_tells_a_person_what_it_is():
    text = readme(TOLD | {"licence": "CC0", "date": "2026"})
    assert "Finds:     thing\n" in text
    assert "Learnt on: images of 32 x 32 px\n" in text
    assert "Date:      2026\nLicence:   CC0\n" in text
    assert "  oof ap50: 0.5 [0.25, -]\n" in text


def test_readme_says_what_is_not_stated():
    text = readme(TOLD | {"expected": TOLD["expected"] | {"pixel_size": 0.25}})
    assert "32 x 32 px, 0.25 m a pixel" in text
    assert "Date:      not stated\nLicence:   none stated\n" in text


def test_a_rule_needs_no_second_level(path):
    told = {"rescore": TOLD["rescore"] | {"score": "mean", "calibration": "none"}}
    parts = {tiny_bundle.NETWORK: tiny_bundle.weights()}
    write_bundle(path, TOLD | told | {"second_level": None}, parts)
    learnt = read_bundle(path).learnt
    assert learnt.model is learnt.calibrator is None
    assert learnt.params.score == "mean"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"name": "a b"}, "tiny.maskline.zip: name: "),
        ({"networks": []}, "networks: "),
        ({"licence": "x" * 200_000}, "licence: "),
    ],
)
def test_what_no_bundle_may_hold_is_refused_and_nothing_is_left(path, told, words):
    with pytest.raises(InputError, match=words):
        tiny_bundle.write(path, told)
    assert list(path.parent.iterdir()) == []


def test_a_picture_that_is_too_large_is_refused(path):
    with pytest.raises(InputError, match=r"picture.png of \d+ bytes is larger than such a part"):
        tiny_bundle.write(path, content={PICTURE: b"x" * (MOST_OF_PART[PICTURE] + 1)})


def test_an_error_leaves_the_former_file(path, monkeypatch):
    tiny_bundle.write(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="no space"):
        tiny_bundle.write(path, {"name": "other"})
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]
