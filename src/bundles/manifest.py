"""What a bundle holds, and what is believed of it: manifest.json, one strict model.

A bundle comes from anybody. So every number has a range and every list an end, and whatever is
built, allocated or parsed afterwards is bounded by what is checked here.
"""

import json
import math
import re
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from src.base.errors import InputError
from src.base.params import AUTO
from src.maps.map_folder import HEADS
from src.maps.merge_rules import Merge
from src.networks.heads import EMBEDDING_KINDS, map_channels
from src.networks.network_input import input_channels
from src.networks.params import LATER as LATER_OF_NETWORKS
from src.objects.map_objects import heads_used
from src.objects.params import PostprocessParams
from src.predicting.params import PredictParams
from src.reading.params import ImagesParams
from src.scoring.params import RescoreParams

FORMAT, VERSION = "maskline bundle", 1
MANIFEST, README, PICTURE = "manifest.json", "README.txt", "picture.png"
SECOND_LEVEL, CALIBRATION = "second_level.txt", "calibration.json"
MOST_NETWORKS = 256
MOST_MANIFEST = 8 << 20  # bytes
MOST_OF_PART = {  # bytes; networks are bounded by MOST_OF_NETWORK
    README: 1 << 20,
    PICTURE: 16 << 20,
    SECOND_LEVEL: 256 << 20,
    CALIBRATION: 256 << 20,
}
MOST_OF_NETWORK = 8 << 30  # bytes
MOST_NUMBER = 1 << 53  # beyond it a float no longer tells whole numbers apart
MOST_ENLARGED = 16.0  # times the side of an image, by resize and scale
LATER: dict[str, dict[str, Any]] = {  # keys that older bundles do not have, with what was so
    "read": {"keep": "8bit", "shown": []},
    "predict": {"gammas": [1.0], "margin": 0},
    "postprocess": {"hull_erode": 0, "hull_margin": 0, "hull_threshold": 0.2},
    "description": LATER_OF_NETWORKS,
}
ENCODER = re.compile(r"[A-Za-z0-9_.\-]+")

Name = Annotated[str, Field(pattern=r"^\w{1,100}$")]
Text = Annotated[str, Field(max_length=100_000)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Colours = Annotated[list[Finite], Field(min_length=3, max_length=3)]


class Part(BaseModel):
    """Base of all parts of a manifest: no unknown keys, no silent coercion, no mutation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Description(Part):
    """What a network is built from and fed with; keys and meaning are those of model.json."""

    architecture: str = Field(max_length=100)
    encoder: str = Field(max_length=200)
    encoder_depth: int = Field(ge=3, le=5)
    encoder_attention: Literal["none", "scse"]
    stem_stride: int = Field(ge=1, le=2)  # no Literal, which takes true for 1
    stem_pooling: bool
    decoder_width: int = Field(ge=1, le=1024)
    decoder_attention: Literal["none", "scse"]
    decoder_upsampling: Literal["nearest", "bilinear", "transposed"]
    decoder_norm: Literal["batchnorm", "none"]
    hypercolumn: bool
    embedding_size: int = Field(ge=1, le=256)
    in_channels: int = Field(ge=1, le=8)
    heads: list[str] = Field(min_length=1, max_length=6)
    image_channels: Literal["rgb", "grey"]
    extra_channels: list[Literal["depth", "coordinates", "row_gradient"]] = Field(max_length=3)
    depth_column: str = Field(max_length=200)
    depth_range: list[Finite] | None = Field(max_length=2)
    clahe: float = Field(ge=0, le=1000)
    resize: float = Field(gt=0, le=8)
    mean: Colours
    std: Colours
    embedding_loss: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _say_what_was_always_so(cls, told: object) -> object:
        return LATER["description"] | told if isinstance(told, dict) else told

    @field_validator("encoder")
    @classmethod
    def _lead_nowhere(cls, encoder: str) -> str:
        if not ENCODER.fullmatch(encoder):
            raise ValueError("must be a plain name, which leads to no hub, address or folder")
        return encoder

    @field_validator("std")
    @classmethod
    def _divide(cls, std: list[float]) -> list[float]:
        if min(std) <= 0:
            raise ValueError("must be above 0")
        return std

    @field_validator("extra_channels")
    @classmethod
    def _come_with_the_image(cls, names: list[str]) -> list[str]:
        if "depth" in names:
            raise ValueError("the channel depth is a number that images do not bring themselves")
        if len(set(names)) < len(names):
            raise ValueError("name each channel once")
        return names

    @model_validator(mode="after")
    def _fit_together(self) -> "Description":
        map_channels(self.heads, self.embedding_size)  # refuses unknown heads
        channels = input_channels(self.image_channels, self.extra_channels)
        if channels != self.in_channels:
            raise ValueError(f"in_channels {self.in_channels}, but the image gives {channels}")
        if "embedding" in self.heads and self.embedding_loss not in EMBEDDING_KINDS:
            raise ValueError(f"embedding_loss must be one of {', '.join(EMBEDDING_KINDS)}")
        return self


class NetworkPart(Part):
    """A network: whose it is, what it counts and how it is built."""

    member: Name  # member or soup; of the student of a member M, student_M
    fold: int = Field(ge=0, le=100_000)  # that it left out
    weight: float = Field(gt=0, allow_inf_nan=False)
    description: Description


class File(Part):
    """A part of the bundle as a file."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=1, le=MOST_OF_NETWORK)


class Category(Part):
    """What the objects are."""

    id: int = Field(ge=0)
    name: str = Field(max_length=200)


class Acceptance(Part):
    """The score from which a detection is an object, as src.acceptance has it."""

    metric: str | None = Field(max_length=100)  # that it makes the best, None if it was given
    score: Finite = Field(ge=0)
    low: Finite | None
    high: Finite | None


class Score(Part):
    """A figure that the bundle was judged by, with a 95 % interval where there is one."""

    split: Literal["oof", "val"]
    metric: str = Field(max_length=100)
    value: Finite | None
    low: Finite | None
    high: Finite | None


class SecondLevel(Part):
    """The model that scores candidates."""

    trees: int = Field(ge=1, le=100_000)
    features: list[str] = Field(min_length=1, max_length=200)


class Expected(Part):
    """The images that networks have learnt from, and others should be like."""

    read: ImagesParams  # bands, stretch, no_data; with stretch auto the range that was found
    height: int | None = Field(ge=1)  # px, median of train
    width: int | None = Field(ge=1)
    pixel_size: Finite | None = Field(gt=0)  # m, median of those that lie on the map

    @field_validator("read", mode="before")
    @classmethod
    def _say_what_was_always_so(cls, read: object) -> object:
        return LATER["read"] | read if isinstance(read, dict) else read

    @field_validator("read")
    @classmethod
    def _be_8_bit(cls, read: ImagesParams) -> ImagesParams:
        if read.as_bands:
            raise ValueError("images of bands are not read without the data set")
        return read


class Manifest(Part):
    """All that a bundle says of itself."""

    format: Literal["maskline bundle"]
    version: int = Field(ge=1, le=VERSION)
    name: Name
    date: str | None = Field(max_length=100)  # as params.yaml states it
    licence: Text | None
    categories: list[Category] = Field(min_length=1, max_length=1000)
    data: str = Field(max_length=100)  # fingerprint of the truth that the scores are of
    scores: list[Score] = Field(max_length=1000)
    expected: Expected
    predict: PredictParams
    merge: Merge
    postprocess: PostprocessParams
    rescore: RescoreParams
    acceptance: Acceptance
    second_level: SecondLevel | None
    networks: list[NetworkPart] = Field(min_length=1, max_length=MOST_NETWORKS)
    files: dict[str, File] = Field(max_length=MOST_NETWORKS + len(MOST_OF_PART))

    @field_validator("predict", "postprocess", mode="before")
    @classmethod
    def _say_what_was_always_so(cls, told: object, info: ValidationInfo) -> object:
        return LATER[str(info.field_name)] | told if isinstance(told, dict) else told

    @field_validator("predict")
    @classmethod
    def _take_bounded_windows(cls, predict: PredictParams) -> PredictParams:
        several = max(len(predict.scales), len(predict.gammas))
        if several > 16 or predict.max_size > 1 << 15:
            raise ValueError(f"at most 16 scales, 16 gammas and windows of {1 << 15} px")
        return predict

    @field_validator("postprocess")
    @classmethod
    def _leave_nothing_to_a_search(cls, postprocess: PostprocessParams) -> PostprocessParams:
        left = [key for key, value in postprocess if value == AUTO]
        if left:
            raise ValueError(f"{left[0]} is auto, where a bundle has a value")
        if len(postprocess.layers) > 255:
            raise ValueError("at most 255 layers, as maps have steps of 1/255")
        return postprocess

    @field_validator("rescore")
    @classmethod
    def _have_a_safe_format(cls, rescore: RescoreParams) -> RescoreParams:
        if rescore.score == "random_forest":
            raise ValueError("score random_forest has no format that is safe to read")
        if cast("object", rescore.operating_point) == AUTO:
            raise ValueError("operating_point is auto, where a bundle has a value")
        return rescore

    @model_validator(mode="after")
    def _belong_together(self) -> "Manifest":
        names = [network_file(one) for one in self.networks]
        if len(set(names)) < len(names):
            raise ValueError("two networks are of one member and fold")
        needed = {*names, README, *([SECOND_LEVEL] if self.second_level else [])}
        known = needed | {PICTURE}
        known |= {CALIBRATION} if self.rescore.calibration != "none" else set()
        absent = sorted(needed - self.files.keys())
        if absent:
            raise ValueError(f"files lack {absent[0]}")
        strange = sorted(self.files.keys() - known)
        if strange:
            raise ValueError(f"files name {strange[0]!r:.100}, which is no part of a bundle")
        for name, file in self.files.items():
            if file.bytes > MOST_OF_PART.get(name, MOST_OF_NETWORK):
                raise ValueError(f"{name} of {file.bytes} bytes is larger than such a part can be")
        if (self.rescore.score == "lightgbm") != (self.second_level is not None):
            raise ValueError(f"rescore.score {self.rescore.score} and second_level disagree")
        heads = {head for one in self.networks for head in one.description.heads}
        heads_used([head for head in HEADS if head in heads], self.postprocess)
        largest = max(self.predict.scales)
        if any(largest * one.description.resize > MOST_ENLARGED for one in self.networks):
            raise ValueError(f"resize and scale enlarge images more than {MOST_ENLARGED:g} times")
        if "embedding" in heads and self.predict.overlap == 0:
            raise ValueError("predict.overlap 0 does not go with the head embedding")
        return self


def network_file(network: NetworkPart) -> str:
    """Return the name of the file that holds the weights of a network."""
    return f"networks/{network.member}/fold{network.fold}.safetensors"


def description_of(network: NetworkPart) -> dict[str, Any]:
    """Return the description of a network as model.json has it."""
    told = network.description.model_dump()
    return {key: value for key, value in told.items() if (key, value) != ("embedding_loss", None)}


def manifest_bytes(manifest: Manifest) -> bytes:
    """Write a manifest, always in the same bytes.

    Keys of LATER are left out where they say what was always so, for those who do not know them.
    """
    told = manifest.model_dump(mode="json")
    told["expected"]["read"] = _without_later(told["expected"]["read"], "read")
    for part in ("predict", "postprocess"):
        told[part] = _without_later(told[part], part)
    for network in told["networks"]:
        network["description"] = _without_later(network["description"], "description")
    return (json.dumps(told, indent=1) + "\n").encode()


def _without_later(told: dict[str, Any], part: str) -> dict[str, Any]:
    later = LATER[part]
    return {key: value for key, value in told.items() if key not in later or later[key] != value}


def parse_manifest(content: bytes) -> Manifest:
    """Read a manifest that anybody may have written.

    Raises
    ------
    InputError
        With the reason alone, if it is no JSON, of another format or version, a key is unknown,
        missing, there twice or out of range.
    """
    try:
        document = strict_json(content)
    except InputError as error:
        raise InputError(f"{MANIFEST}: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"{MANIFEST}: says no format '{FORMAT}'")
    version = document.get("version")
    if type(version) is int and version > VERSION:
        raise InputError(
            f"{MANIFEST}: format version {version} is newer than this Maskline, which reads "
            f"{VERSION}; update it"
        )
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{MANIFEST}: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """Say which key is wrong, why, and what it holds."""
    first = error.errors()[0]
    key = repr(".".join(map(str, first["loc"])))[1:-1][:200]
    if first["type"] in ("missing", "extra_forbidden"):
        return f"{key}: {'missing' if first['type'] == 'missing' else 'unknown key'}"
    words = first["msg"].removeprefix("Value error, ").removeprefix("params.yaml: ")
    words = words if len(words) < 300 else f"{words[:300]} ..."
    given = first["input"]
    shown = "" if isinstance(given, dict | BaseModel) else f", got {given!r:.80}"
    return f"{key}: {words}{shown}" if key else words


def strict_json(content: bytes) -> Any:
    """Parse JSON that anybody may have written.

    Raises
    ------
    InputError
        With the reason alone, if it is no JSON in UTF-8, is nested too deeply, has a key twice in
        a map, or a number that is not finite or beyond MOST_NUMBER.
    """
    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_bounded_int,
            parse_float=_finite_float,
            parse_constant=_finite_float,
        )
    except InputError:
        raise
    except RecursionError:
        raise InputError("JSON nested too deeply") from None
    except ValueError:
        raise InputError("not valid JSON") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twin = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"JSON has the key {twin!r:.80} twice in a map")
    return found


def _bounded_int(text: str) -> int:
    number = int(text) if len(text) < 20 else MOST_NUMBER + 1
    if abs(number) > MOST_NUMBER:
        raise InputError(f"JSON has a number beyond 2^53, {text:.40}")
    return number


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InputError(f"JSON has a number that is not finite, {text:.40}")
    return number
