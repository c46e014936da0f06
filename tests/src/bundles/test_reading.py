import json
import struct
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from src.base.errors import InputError
from src.bundles.manifest import CALIBRATION, MANIFEST, README, SECOND_LEVEL
from src.bundles.reading import read_bundle, read_manifest
from src.scoring.second_level import predict
from tests import tiny_bundle
from tests.tiny_bundle import CALIBRATOR, DESCRIPTION, NETWORK, entries, forge, write_entries

WEIGHT = "decoder.blocks.0.block.0.0.weight"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny_bundle.write(tmp_path_factory.mktemp("whole") / "tiny.maskline.zip")


@pytest.fixture
def path(whole, tmp_path):
    """A copy of a whole bundle, to be spoilt."""
    copy = tmp_path / "tiny.maskline.zip"
    copy.write_bytes(whole.read_bytes())
    return copy


def refused(path, words):
    """Reading must fail with one sentence that begins with the file and has these words."""
    with pytest.raises(InputError) as caught:
        read_bundle(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert "\n" not in message
    assert len(message) < 700


def test_what_was_packed_is_read(whole):
    held = read_bundle(whole)
    [network] = held.networks
    assert not network.model.training
    state = load(tiny_bundle.weights())
    assert all(torch.equal(one, state[key]) for key, one in network.model.state_dict().items())
    assert network.description == DESCRIPTION
    assert (network.weight, network.member) == (1.0, "main")
    assert held.learnt.point == (0.4, 0.3, 0.5)
    assert held.learnt.calibrator is not None
    for field, numbers in CALIBRATOR.items():
        assert getattr(held.learnt.calibrator, field).tolist() == numbers
    assert dict(held.postprocess) == tiny_bundle.TOLD["postprocess"]
    assert held.manifest == read_manifest(whole)


def test_the_second_level_scores_as_before_it_was_packed(whole):
    import lightgbm

    features = np.random.default_rng(1).random((100, 21))
    before = lightgbm.Booster(model_str=tiny_bundle.trees()).predict(features)
    assert (predict(read_bundle(whole).learnt.model, features) == before).all()
    assert len(set(before)) > 5


def test_the_same_content_gives_the_same_bytes(whole, tmp_path):
    again = tiny_bundle.write(tmp_path / "tiny.maskline.zip")
    assert again.read_bytes() == whole.read_bytes()
    with zipfile.ZipFile(again) as archive:
        names = archive.namelist()
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert names == sorted(names)
    assert b"tiny: a trained model" in entries(again)[README]


def test_a_file_that_is_absent_is_refused(tmp_path):
    with pytest.raises(InputError, match="no.zip: no such file; give a bundle"):
        read_bundle(tmp_path / "no.zip")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_truncated_file_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "not a whole ZIP archive")


@pytest.mark.parametrize("content", [b"hello", b"PK\x03\x04" + b"\0" * 100, b"\x89PNG\r\n" * 50])
def test_another_file_is_refused(path, content):
    path.write_bytes(content)
    refused(path, "not a whole ZIP archive")


def test_every_byte_that_is_turned_is_noticed_or_does_not_matter(whole, path):
    """Turn a byte at many places: it is a sentence, or what is read is the same."""
    content = whole.read_bytes()
    told = read_bundle(whole).manifest
    rng = np.random.default_rng(0)
    ends = np.arange(len(content) - 700, len(content))  # the list of entries
    starts = np.arange(0, 200)
    for place in [*rng.choice(len(content), 40), *rng.choice(ends, 60), *rng.choice(starts, 20)]:
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(spoilt)
        with suppress(InputError):  # any other exception is what this test is about
            assert read_bundle(path).manifest == told, place


def with_entry(path, name, content=b"x"):
    write_entries(path, entries(path) | {name: content})


def without_entry(path, name):
    found = entries(path)
    del found[name]
    write_entries(path, found)


def twice(path):
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(README, b"x")


def other_bytes(path, name):
    found = entries(path)
    found[name] = bytes([found[name][0] ^ 1]) + found[name][1:]
    write_entries(path, found)


def deflated(path):
    write_entries(path, entries(path), zipfile.ZIP_DEFLATED)


def bomb(path):
    found = entries(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name, one in found.items():
            archive.writestr(name, one)
        archive.writestr("zeros.bin", bytes(50_000_000), zipfile.ZIP_DEFLATED)


def claimed_size(path):
    """Let the list of entries claim 3 GiB of the weights, stored, in a small file."""
    content = bytearray(path.read_bytes())
    place = content.rfind(NETWORK.encode()) - 46  # its entry in the list
    assert content[place : place + 4] == b"PK\x01\x02"
    struct.pack_into("<II", content, place + 20, 3 << 30, 3 << 30)
    path.write_bytes(content)


def encrypted(path):
    content = bytearray(path.read_bytes())
    place = content.rfind(README.encode()) - 46
    content[place + 8] |= 1
    path.write_bytes(content)


def commented(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"hello"


def long_list(path):
    write_entries(path, {f"{n:060}": b"" for n in range(12_000)})


def long_list_of_a_large_archive(path):
    """Let the record of archives above 4 GiB claim a longer list than the plain one."""
    content = path.read_bytes()
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 6, 6, 3 << 30, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(content) - 22, 1)
    path.write_bytes(content[:-22] + record + locator + content[-22:])


SPOILT = {
    "comment": (commented, "not a whole ZIP archive (it does not end as one)"),
    "long list": (long_list, "bytes, 1048576 are the most"),
    "long list above 4 GiB": (long_list_of_a_large_archive, "its list of parts has 3221225472 byt"),
    "extra part": (lambda p: with_entry(p, "more.txt"), "'more.txt' that the manifest does not"),
    "a pickle": (lambda p: with_entry(p, "networks/main/fold1.pkl"), "fold1.pkl' that the manif"),
    "way out": (lambda p: with_entry(p, "../out.txt"), "'../out.txt' has a name that leads out"),
    "absolute": (lambda p: with_entry(p, "/etc/x"), "'/etc/x' has a name that leads out"),
    "backslash": (lambda p: with_entry(p, "a\\..\\b"), "has a name that leads out"),
    "a folder": (lambda p: with_entry(p, "networks/", b""), "or is a folder"),
    "twice": (twice, "'README.txt' is there twice"),
    "no manifest": (lambda p: without_entry(p, MANIFEST), "has no manifest.json, so it is no"),
    "no network": (lambda p: without_entry(p, NETWORK), f"lacks its part {NETWORK}"),
    "no trees": (lambda p: without_entry(p, SECOND_LEVEL), "lacks its part second_level.txt"),
    "no readme": (lambda p: without_entry(p, README), "lacks its part README.txt"),
    "weights": (lambda p: other_bytes(p, NETWORK), "its checksum is not that of the manifest"),
    "trees": (lambda p: other_bytes(p, SECOND_LEVEL), "second_level.txt: its checksum"),
    "calibration": (lambda p: other_bytes(p, CALIBRATION), "calibration.json: its checksum"),
    "readme": (lambda p: other_bytes(p, README), "README.txt: its checksum"),
    "compressed": (deflated, "is compressed, which no part of a bundle is"),
    "bomb": (bomb, "'zeros.bin' is compressed"),
    "claimed size": (claimed_size, "its parts claim 32"),
    "encrypted": (encrypted, "is encrypted"),
    "many": (
        lambda p: write_entries(p, {f"{n}": b"" for n in range(300)}),
        "has 300 parts, 261 are the most",
    ),
    "other zip": (lambda p: write_entries(p, {"a.png": b"x"}), "has no manifest.json, so it is"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_archive_is_refused(path, kind):
    spoil, words = SPOILT[kind]
    spoil(path)
    refused(path, words)


def manifest_of(path, content):
    write_entries(path, entries(path) | {MANIFEST: content})


MANIFESTS = {
    "no json": (b"{", "manifest.json: "),
    "not utf-8": (b'{"format": "\xff"}', "not valid JSON"),
    "empty": (b"", "not valid JSON"),
    "list": (b"[]", "says no format 'maskline bundle'"),
    "other format": (b'{"format": "zip"}', "says no format 'maskline bundle'"),
    "newer": (
        b'{"format": "maskline bundle", "version": 2, "networks": "elsewhere"}',
        "format version 2 is newer than this Maskline, which reads 1; update it",
    ),
    "version of text": (b'{"format": "maskline bundle", "version": "1"}', "version: "),
    "deep": (b'{"a":' * 100_000, "nested too deeply"),
    "deep lists": (b"[" * 100_000, "nested too deeply"),
    "twice": (b'{"format": "maskline bundle", "format": "x"}', "the key 'format' twice"),
    "nan": (b'{"a": NaN}', "a number that is not finite, NaN"),
    "infinite": (b'{"a": 1e999}', "a number that is not finite, 1e999"),
    "long number": (b'{"a": ' + b"9" * 5000 + b"}", "a number beyond 2^53"),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_manifest_that_is_none_is_refused(path, kind):
    content, words = MANIFESTS[kind]
    manifest_of(path, content)
    refused(path, words)


def test_a_manifest_that_is_too_large_is_not_parsed(path):
    manifest_of(path, b" " * (8 << 20) + b"{}")
    refused(path, "manifest.json: larger than 8388608 bytes")


OF_NETWORK = "networks.0.description"
VALUES = [
    ("format", "zip", "says no format"),
    ("version", 0, "version: "),
    ("version", True, "version: "),
    ("surplus", 1, "surplus: unknown key"),
    ("predict!", None, "predict: missing"),
    ("name", "../out", "name: "),
    ("name", "", "name: "),
    ("licence", 3, "licence: "),
    ("categories", [], "categories: "),
    ("categories.0.id", -1, "categories.0.id: "),
    ("scores.0.split", "test", "scores.0.split: "),
    ("scores.0.value", "high", "scores.0.value: "),
    ("expected.pixel_size", -1.0, "expected.pixel_size: "),
    ("expected.pixel_size", 0, "expected.pixel_size: "),
    ("expected.height", 0, "expected.height: "),
    ("expected.read.bands", [0], "expected.read.bands.0: "),
    ("expected.read.stretch", "gamma", "expected.read.stretch: "),
    ("predict.views", "d8", "predict.views: "),
    ("predict.max_size", -64, "predict.max_size: "),
    ("predict.max_size", 1 << 30, "windows of 32768 px"),
    ("predict.overlap", 64, "predict.overlap 64 must be less than"),
    ("predict.scales", [], "predict.scales: "),
    ("predict.scales", [1.0] * 17, "at most 16 scales"),
    ("predict.scales", [1e-9, 9.0], "predict.scales.1: "),
    ("merge", "median", "merge: "),
    ("postprocess.threshold", "auto", "postprocess: threshold is auto, where a bundle has a value"),
    ("postprocess.min_area", "auto", "min_area is auto"),
    ("postprocess.connectivity", "auto", "connectivity is auto"),
    ("postprocess.connectivity", 6, "postprocess.connectivity"),
    ("postprocess.min_area", -5, "postprocess.min_area: "),
    ("postprocess.method", "guess", "postprocess.method: "),
    ("postprocess.layers", [0.5, 0.3], "thresholds of layers must rise"),
    ("postprocess.treshold", 0.5, "postprocess.treshold: unknown key"),
    ("postprocess.empty_threshold", 0.5, "needs the head empty"),
    ("rescore.score", "random_forest", "random_forest has no format that is safe"),
    ("rescore.score", "mean", "rescore.score mean and second_level disagree"),
    ("rescore.operating_point", "auto", "operating_point is auto"),
    ("rescore.calibration", "none", "files name 'calibration.json'"),
    ("rescore.nms_iou", 1.5, "rescore.nms_iou: "),
    ("acceptance.score", -0.1, "acceptance.score: "),
    ("acceptance.low", "0.3", "acceptance.low: "),
    ("second_level", None, "files name 'second_level.txt', which is no part"),
    ("second_level.trees", 0, "second_level.trees: "),
    ("second_level.trees", 2, "has 3 trees, not 2"),
    ("second_level.features.0", "size", "other features than this Maskline measures"),
    ("networks", [], "networks: "),
    ("networks.0.member", "../x", "networks.0.member: "),
    ("networks.0.member", "a/b", "networks.0.member: "),
    ("networks.0.member", "other", "files lack networks/other/fold0.safetensors"),
    ("networks.0.fold", -1, "networks.0.fold: "),
    ("networks.0.fold", 1, "files lack networks/main/fold1.safetensors"),
    ("networks.0.weight", 0.0, "networks.0.weight: "),
    (f"{OF_NETWORK}.encoder", "hf-hub:x/y", "plain name, which leads to no hub, address or folder"),
    (f"{OF_NETWORK}.encoder", "tu-hf-hub:x/y", "plain name, which leads to no hub"),
    (f"{OF_NETWORK}.encoder", "tu-local-dir:/tmp", "plain name, which leads to no hub"),
    (f"{OF_NETWORK}.encoder", "../weights", "plain name, which leads to no hub"),
    (f"{OF_NETWORK}.encoder", "tu-no_such_net", "the encoder 'tu-no_such_net' is unknown"),
    (f"{OF_NETWORK}.encoder", "resnet17", "the encoder 'resnet17' is unknown"),
    (f"{OF_NETWORK}.encoder", "resnet18", "has no weight"),
    (f"{OF_NETWORK}.encoder", "tu-vit_giant_patch14_224", "fold0.safetensors: "),
    (f"{OF_NETWORK}.architecture", "Ynet", "the decoder 'Ynet' is unknown"),
    (f"{OF_NETWORK}.architecture", "FPN", "has no weight"),
    (f"{OF_NETWORK}.encoder_depth", 6, "encoder_depth: "),
    (f"{OF_NETWORK}.encoder_depth", "auto", "encoder_depth: "),
    (f"{OF_NETWORK}.stem_stride", True, "stem_stride: "),
    (f"{OF_NETWORK}.stem_stride", 3, "stem_stride: "),
    (f"{OF_NETWORK}.decoder_width", 1 << 20, "decoder_width: "),
    (f"{OF_NETWORK}.decoder_width", -16, "decoder_width: "),
    (f"{OF_NETWORK}.embedding_size", 1 << 20, "embedding_size: "),
    (f"{OF_NETWORK}.decoder_attention", "scse", "cannot be built (InputError: model.decoder_att"),
    (f"{OF_NETWORK}.in_channels", 4, "in_channels 4, but the image gives 3"),
    (f"{OF_NETWORK}.heads", ["mask", "roof"], "heads ['mask', 'roof']"),
    (f"{OF_NETWORK}.heads", ["border"], "want 'mask' first"),
    (f"{OF_NETWORK}.heads", ["mask", "border"], "is float32"),
    (f"{OF_NETWORK}.heads", ["mask", "embedding"], "embedding_loss must be one of"),
    (f"{OF_NETWORK}.extra_channels", ["depth"], "the channel depth is a number that images do not"),
    (f"{OF_NETWORK}.std", [0.0, 1.0, 1.0], "must be above 0"),
    (f"{OF_NETWORK}.mean", [0.5], "mean: "),
    (f"{OF_NETWORK}.resize", 100.0, "resize: "),
    (f"{OF_NETWORK}.clahe", -1.0, "clahe: "),
    (f"files.{NETWORK}!", None, "files lack"),
    ("files", {}, "files lack README.txt"),
]


def forge_values(path, key, value):
    # names of files have dots of their own
    if key.startswith("files."):
        found = entries(path)
        document = json.loads(found[MANIFEST])
        del document["files"][NETWORK]
        found[MANIFEST] = json.dumps(document).encode()
        write_entries(path, found)
    else:
        forge(path, {key: value})


@pytest.mark.parametrize(("key", "value", "words"), VALUES)
def test_a_manifest_with_another_value_is_refused(path, key, value, words):
    forge_values(path, key, value)
    refused(path, words)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (-1, "bytes: "),
        (0, "bytes: "),
        (1 << 52, "bytes: "),
        (5, "has 172004 bytes, not 5 as the manifest says"),
    ],
)
def test_another_size_of_a_part_is_refused(path, size, words):
    found = entries(path)
    document = json.loads(found[MANIFEST])
    document["files"][NETWORK]["bytes"] = size
    write_entries(path, found | {MANIFEST: json.dumps(document).encode()})
    refused(path, words.replace("172004", str(len(found[NETWORK]))))


def changed(**weights):
    """Return the file of weights with others, "__" for "." in their names."""
    state = load(tiny_bundle.weights())
    for name, change in weights.items():
        name = name.replace("__", ".")
        value = change(state[name]) if name in state else change(None)
        if value is None:
            del state[name]
        else:
            state[name] = value.contiguous()
    return save(state)


def spoilt_value(number):
    def change(weight):
        weight = weight.clone()
        weight.view(-1)[3] = number
        return weight

    return change


def header(document, data=b"\0" * 64):
    text = json.dumps(document).encode()
    return len(text).to_bytes(8, "little") + text + data


KEY = WEIGHT.replace(".", "__")
FILES = {
    "shape": (lambda: changed(**{KEY: lambda w: w[:, :4]}), f"weight '{WEIGHT}' is float32 ["),
    "half": (lambda: changed(**{KEY: lambda w: w.half()}), "is of type F16, not F32, I64"),
    "double": (lambda: changed(**{KEY: lambda w: w.double()}), "is of type F64, not F32, I64"),
    "whole numbers": (lambda: changed(**{KEY: lambda w: w.long()}), "is int64 ["),
    "NaN": (lambda: changed(**{KEY: spoilt_value(float("nan"))}), "values that are not finite"),
    "infinite": (lambda: changed(**{KEY: spoilt_value(float("inf"))}), "that are not finite"),
    "missing": (lambda: changed(**{KEY: lambda w: None}), f"has no weight '{WEIGHT}'"),
    "surplus": (lambda: changed(more=lambda w: torch.zeros(3)), "has a weight 'more', which"),
    "a pickle": (lambda: b"\x80\x04\x95" + b"x" * 100, "not a safetensors file"),
    "cut": (lambda: tiny_bundle.weights()[:-8], "not a safetensors file"),
    "cut in the header": (lambda: tiny_bundle.weights()[:100], "header does not end"),
    "long header": (lambda: b"\xff" * 8 + b"{}" * 50, "header does not end"),
    "no header": (lambda: header([]), "its header is no map"),
    "odd header": (lambda: header({"a": {"dtype": "F32"}}), "(of weight 'a')"),
    "odd type": (
        lambda: header({"a": {"dtype": [], "shape": [1], "data_offsets": [0, 4]}}),
        "is of type",
    ),
    "odd shape": (
        lambda: header({"a": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]}}),
        "of the shape of weight 'a'",
    ),
    "twice in the header": (
        lambda: b"\x10" + b"\0" * 7 + b'{"a": 1, "a": 2}',
        "the key 'a' twice",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_forged_weights_are_refused(path, kind):
    make, words = FILES[kind]
    forge(path, networks__main__fold0_safetensors=make())
    refused(path, words)


CALIBRATIONS = {
    "falling rates": (CALIBRATOR | {"rates": [0.9, 0.2]}, "rates of a calibrator must never fall"),
    "falling knots": (CALIBRATOR | {"knots": [0.5, 0.1]}, "knots of a calibrator must rise"),
    "equal scores": (CALIBRATOR | {"scores": [0.1, 0.1]}, "scores of a calibrator must rise"),
    "negative": (CALIBRATOR | {"knots": [-0.5, 0.1]}, "knots of a calibrator must rise, from 0"),
    "above 1": (CALIBRATOR | {"rates": [0.5, 1.5]}, "as many as knots, in [0, 1]"),
    "other lengths": (CALIBRATOR | {"rates": [0.5]}, "as many as knots, in [0, 1]"),
    "empty": (CALIBRATOR | {"knots": []}, "knots of a calibrator must be numbers, one at least"),
    "text": (CALIBRATOR | {"knots": ["0.1"]}, "must be numbers"),
    "truth": (CALIBRATOR | {"knots": [True]}, "must be numbers"),
    "surplus": (CALIBRATOR | {"code": "print()"}, "a calibrator has knots, rates, scores"),
    "list": ([1, 2], "not a map"),
    "number": (CALIBRATOR | {"knots": 1.0}, "must be numbers"),
}


@pytest.mark.parametrize("kind", CALIBRATIONS)
def test_a_forged_calibration_is_refused(path, kind):
    document, words = CALIBRATIONS[kind]
    forge(path, calibration_json=json.dumps(document).encode())
    refused(path, f"{CALIBRATION}: ")
    refused(path, words)


def test_forged_trees_are_refused_by_the_name_of_the_part(path):
    forge(path, second_level_txt=tiny_bundle.trees()[:2000].encode())
    refused(path, "second_level.txt: ")


def test_trees_that_are_no_plain_text_are_refused(path):
    forge(path, second_level_txt=tiny_bundle.trees().encode() + b"\xff")
    refused(path, "second_level.txt: not plain text")


def test_nothing_is_parsed_before_its_checksum_is_right(path, monkeypatch):
    other_bytes(path, NETWORK)
    monkeypatch.setattr("src.bundles.reading.rebuilt_network", None)  # would be called
    refused(path, "its checksum is not that of the manifest")


def test_only_the_manifest_is_read_where_it_alone_is_asked_for(path):
    other_bytes(path, NETWORK)
    assert read_manifest(path).name == "tiny"
