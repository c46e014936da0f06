from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from src.base.errors import InputError
from src.base.params import Auto, Params, load_keys, load_params


class Phase(Params):
    epochs: int = Field(ge=1)
    lr: float = Field(gt=0)


class TrainParams(Params):
    lr: float = Field(gt=0)
    epochs: int = Field(ge=1)
    name: str
    amp: bool


class LossParams(Params):
    w0: float
    weights: dict[str, float]
    terms: list[str]


class PhasesParams(Params):
    phases: list[Phase]


TRAIN = """\
train:
  lr: 0.1
  epochs: 3
  name: adam
  amp: true
"""
LOSS = """\
loss:
  w0: 5.0
  weights:
    bce: 1.0
    dice: 2.0
  terms:
    - bce
    - dice
"""


def write(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


def load_train(tmp_path, old, new):
    """Load the train section with one piece of its text replaced."""
    assert old in TRAIN
    return load_params(write(tmp_path, TRAIN.replace(old, new)), "train", TrainParams)


def load_loss(tmp_path, members, member="b"):
    return load_params(write(tmp_path, LOSS + members), "loss", LossParams, member=member)


def test_a_section_is_read_into_its_model(tmp_path):
    params = load_params(write(tmp_path, LOSS + TRAIN), "train", TrainParams)
    assert params == TrainParams(lr=0.1, epochs=3, name="adam", amp=True)


def test_params_do_not_change_once_read(tmp_path):
    params = load_train(tmp_path, "adam", "sgd")
    with pytest.raises(ValidationError, match="frozen"):
        params.lr = 1.0


@pytest.mark.parametrize("written", ["1e-05", "1.0e-5", "0.00001", "1E-5"])
def test_every_way_to_write_a_small_float_is_a_float(tmp_path, written):
    assert load_train(tmp_path, "0.1", written).lr == 1e-5


@pytest.mark.parametrize(("written", "value"), [("1", 1.0), (".5", 0.5), ("1e3", 1000.0)])
def test_a_float_may_be_written_without_a_point_or_a_zero(tmp_path, written, value):
    lr = load_train(tmp_path, "0.1", written).lr
    assert (lr, type(lr)) == (value, float)


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y"])
def test_words_that_older_yaml_takes_for_booleans_are_words(tmp_path, word):
    assert load_train(tmp_path, "adam", word).name == word


def test_a_leading_zero_is_no_octal_number(tmp_path):
    assert load_train(tmp_path, "epochs: 3", "epochs: 010").epochs == 10


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("0.1", "'1e-05'", r"train\.lr: .*valid number, got '1e-05'"),
        ("0.1", "fast", r"train\.lr: .*valid number, got 'fast'"),
        ("0.1", "true", r"train\.lr: .*valid number, got True"),
        ("0.1", "null", r"train\.lr: .*valid number, got None"),
        ("0.1", "0", r"train\.lr: .*greater than 0, got 0"),
        ("epochs: 3", "epochs: 3.0", r"train\.epochs: .*valid integer, got 3\.0"),
        ("epochs: 3", "epochs: '3'", r"train\.epochs: .*valid integer, got '3'"),
        ("epochs: 3", "epochs: true", r"train\.epochs: .*valid integer, got True"),
        ("epochs: 3", "epochs: 0", r"train\.epochs: .*greater than or equal to 1, got 0"),
        ("adam", "3", r"train\.name: .*valid string, got 3"),
        ("true", "1", r"train\.amp: .*valid boolean, got 1"),
        ("true", "yes", r"train\.amp: .*valid boolean, got 'yes'"),
        ("  lr: 0.1\n", "", r"train\.lr: missing"),
        ("lr: 0.1", "learning_rate: 0.1", r"train\.lr: missing; train\.learning_rate: unknown key"),
    ],
)
def test_a_wrong_value_is_named_with_file_and_key(tmp_path, old, new, words):
    with pytest.raises(InputError, match=r"params\.yaml: " + words):
        load_train(tmp_path, old, new)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("lrr", "did you mean lr\\?"),
        ("epoch", "did you mean epochs\\?"),
        ("momentum", "known: lr, epochs, name, amp"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_or_all_known_ones(tmp_path, key, words):
    with pytest.raises(InputError, match=rf"train\.{key}: unknown key; {words}$"):
        load_train(tmp_path, "lr: 0.1", f"lr: 0.1\n  {key}: 1.0")


class StrideParams(Params):
    stride: Literal[1, 2]
    holes: Literal["auto"] | int
    always: Literal[True, 3]


@pytest.mark.parametrize("key", ["stride", "holes"])
def test_a_truth_value_is_no_number(tmp_path, key):
    text = "net:\n  stride: 1\n  holes: 1\n  always: true\n"
    assert load_params(write(tmp_path, text), "net", StrideParams).stride == 1
    path = write(tmp_path, text.replace(f"{key}: 1", f"{key}: true"))
    with pytest.raises(InputError, match=rf"net\.{key}.*got True"):
        load_params(path, "net", StrideParams)


def test_a_file_is_parsed_anew_when_it_has_changed(tmp_path):
    assert load_train(tmp_path, "lr: 0.1", "lr: 0.2").lr == 0.2
    assert load_train(tmp_path, "lr: 0.1", "lr: 0.3").lr == 0.3


def test_several_mistakes_are_told_at_once(tmp_path):
    with pytest.raises(InputError, match=r"train\.lr: .*got -1.*; train\.name: .*got 3"):
        load_train(tmp_path, "lr: 0.1\n  epochs: 3\n  name: adam", "lr: -1\n  epochs: 3\n  name: 3")


def test_keys_inside_lists_and_maps_are_named_by_their_place(tmp_path):
    good, bad = "  - {epochs: 1, lr: 0.1}\n", "  - {epochs: 0, lr: 0.1}\n"
    path = write(tmp_path, f"train:\n  phases:\n{good}{bad}")
    with pytest.raises(InputError, match=r"train\.phases\.1\.epochs: .*got 0"):
        load_params(path, "train", PhasesParams)


def test_an_unknown_key_inside_a_list_is_named_by_its_place(tmp_path):
    path = write(tmp_path, "train:\n  phases:\n  - {epochs: 1, lr: 0.1, momentum: 0.9}\n")
    with pytest.raises(InputError, match=r"phases\.0\.momentum: unknown key; known: epochs, lr$"):
        load_params(path, "train", PhasesParams)


def test_a_nested_section_is_named_with_dots(tmp_path):
    path = write(tmp_path, "student:\n  phase:\n    epochs: 2\n    lr: 0.5\n")
    assert load_params(path, "student.phase", Phase) == Phase(epochs=2, lr=0.5)
    with pytest.raises(InputError, match=r"no section 'student\.phases'"):
        load_params(path, "student.phases", Phase)


def test_a_mistake_in_a_nested_section_is_named_with_dots(tmp_path):
    path = write(tmp_path, "student:\n  phase:\n    epochs: 0\n    lr: 0.5\n")
    with pytest.raises(InputError, match=r"student\.phase\.epochs: .*got 0"):
        load_params(path, "student.phase", Phase)


@pytest.mark.parametrize(
    "text", ["", "loss:\n", "loss: {}\n", "train:\n", "train: 3\n", "- train\n"]
)
def test_an_absent_section_is_refused(tmp_path, text):
    with pytest.raises(InputError, match=r"params\.yaml: no section 'train'; add it"):
        load_params(write(tmp_path, text), "train", TrainParams)


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"params\.yaml: no such params file"):
        load_params(tmp_path / "params.yaml", "train", TrainParams)


@pytest.mark.parametrize("text", ["train:\n  lr: [1\n", "train:\n\tlr: 1\n", "train: {lr: 1}}\n"])
def test_what_is_no_yaml_is_refused_with_its_line(tmp_path, text):
    with pytest.raises(InputError, match=r"params\.yaml: not valid YAML at line \d; correct"):
        load_params(write(tmp_path, text), "train", TrainParams)


def test_a_key_given_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match="not valid YAML at line 3"):
        load_train(tmp_path, "  epochs", "  lr: 0.2\n  epochs")


def test_yaml_that_would_make_an_object_is_refused(tmp_path):
    with pytest.raises(InputError, match="not valid YAML"):
        load_train(tmp_path, "adam", "!!python/object/apply:os.getcwd []")


def test_without_a_member_no_override_counts(tmp_path):
    members = "members:\n  b:\n    loss:\n      w0: 50.0\n"
    assert load_loss(tmp_path, members, member=None).w0 == 5.0


def test_a_member_overrides_single_keys_of_a_map_and_whole_lists(tmp_path):
    members = (
        "members:\n  b:\n    loss:\n      w0: 50.0\n      weights:\n        dice: 9.0\n"
        "      terms:\n        - focal\n"
    )
    params = load_loss(tmp_path, members)
    assert params.w0 == 50.0
    assert params.weights == {"bce": 1.0, "dice": 9.0}
    assert params.terms == ["focal"]


def test_a_member_may_add_a_key_to_a_map_of_free_names(tmp_path):
    members = "members:\n  b:\n    loss:\n      weights:\n        focal: 3.0\n"
    assert load_loss(tmp_path, members).weights == {"bce": 1.0, "dice": 2.0, "focal": 3.0}


@pytest.mark.parametrize(
    "members", ["members:\n  b: {}\n", "members:\n  b:\n", "members:\n  b:\n    train: {lr: 1}\n"]
)
def test_a_member_without_overrides_of_the_section_has_the_defaults(tmp_path, members):
    params = load_loss(tmp_path, members)
    assert params == load_loss(tmp_path, "", member=None)


def test_one_member_does_not_change_another(tmp_path):
    members = "members:\n  a: {loss: {w0: 1.0}}\n  b: {loss: {weights: {bce: 7.0}}}\n"
    assert load_loss(tmp_path, members, "a").w0 == 1.0
    assert load_loss(tmp_path, members, "a").weights["bce"] == 1.0
    assert load_loss(tmp_path, members, "b").w0 == 5.0


def test_an_unknown_member_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="no member 'c' under 'members'; known: main, b$"):
        load_loss(tmp_path, "members:\n  main: {}\n  b: {}\n", member="c")


@pytest.mark.parametrize("members", ["", "members:\n", "members: main\n", "members:\n  - b\n"])
def test_a_member_where_there_are_none_is_refused(tmp_path, members):
    with pytest.raises(InputError, match="no member 'b' under 'members'; known: none"):
        load_loss(tmp_path, members)


def test_a_member_overrides_no_other_section(tmp_path):
    members = "members:\n  b:\n    evaluate: {max_detections: 1}\n"
    words = r"members\.b\.evaluate: a member overrides only augment, loss, model, train"
    with pytest.raises(InputError, match=words):
        load_loss(tmp_path, members)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ("  b: unet\n", r"members\.b must be a map .*got 'unet'"),
        ("  b:\n    - loss\n", r"members\.b must be a map .*got \['loss'\]"),
        ("  b:\n    loss: 3\n", r"members\.b\.loss must be a map .*got 3"),
        ("  b:\n    loss:\n      - w0\n", r"members\.b\.loss must be a map .*got \['w0'\]"),
    ],
)
def test_an_override_that_is_no_map_is_refused(tmp_path, members, words):
    with pytest.raises(InputError, match=words):
        load_loss(tmp_path, "members:\n" + members)


@pytest.mark.parametrize(
    ("override", "words"),
    [("w1: 3.0", r"w1: unknown key; known: w0, weights, terms"), ("w0: big", r"w0: .*got 'big'")],
)
def test_a_mistake_of_a_member_is_refused(tmp_path, override, words):
    with pytest.raises(InputError, match=words):
        load_loss(tmp_path, f"members:\n  b:\n    loss:\n      {override}\n")


def test_names_of_a_section_come_in_their_order(tmp_path):
    path = write(tmp_path, "members:\n  main: {}\n  b_2:\n  a:\n    loss: {w0: 1.0}\n")
    assert load_keys(path, "members") == ["main", "b_2", "a"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("", "None"), ("members:\n", "None"), ("members: {}\n", "{}"), ("members: [a]\n", "['a']")],
)
def test_a_section_without_names_is_refused(tmp_path, text, value):
    with pytest.raises(InputError) as caught:
        load_keys(write(tmp_path, text), "members")
    assert f"members must name at least one entry, got {value}" in str(caught.value)


@pytest.mark.parametrize("name", ["../up", "a/b", "a.b", "a b", "a-b", "'_'", "3", "''"])
def test_a_name_that_is_no_plain_folder_name_is_refused(tmp_path, name):
    path = write(tmp_path, f"members:\n  main: {{}}\n  {name}: {{}}\n")
    with pytest.raises(InputError, match="use letters, digits and underscores"):
        load_keys(path, "members")


def test_a_mistake_in_an_override_is_named_where_it_stands(tmp_path):
    with pytest.raises(InputError, match="members.b.loss.w0: .* got '7'"):
        load_loss(tmp_path, "members:\n  b:\n    loss:\n      w0: '7'\n")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_bytes("loss: {w0: 1}  # Größe".encode("latin-1"))
    with pytest.raises(InputError, match="params.yaml: not UTF-8 text; save it as such"):
        load_params(tmp_path / "params.yaml", "loss", LossParams)


class Inner(Params):
    epochs: Annotated[int, Field(gt=0), Auto]


class Planned(Params):
    crop_size: Annotated[int, Field(gt=0), Auto]
    sigma: Annotated[float, Field(gt=0), Auto]
    phases: list[Inner]


def test_auto_takes_the_value_of_the_plan_and_a_number_stays(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("train: {crop_size: auto, sigma: 5.0, phases: [{epochs: auto}, {epochs: 2}]}")
    (tmp_path / "train.json").write_text('{"crop_size": 256, "sigma": 7.0, "epochs": 30}')
    found = load_params(path, "train", Planned, plan=tmp_path)
    assert (found.crop_size, found.sigma) == (256, 5.0)
    assert [phase.epochs for phase in found.phases] == [30, 2]
    assert load_params(path, "train", Planned).crop_size == "auto"


def test_a_planned_value_out_of_range_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("train: {crop_size: auto, sigma: 5.0, phases: []}")
    (tmp_path / "train.json").write_text('{"crop_size": 0}')
    with pytest.raises(InputError, match="train.crop_size: Input should be greater than 0, got 0"):
        load_params(path, "train", Planned, plan=tmp_path)


@pytest.mark.parametrize("text", [None, "[1]", "{"])
def test_a_plan_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text("train: {crop_size: auto, sigma: 5.0, phases: []}")
    if text is not None:
        (tmp_path / "train.json").write_text(text)
    with pytest.raises(InputError, match="train.json: holds no values planned; run the stage plan"):
        load_params(path, "train", Planned, plan=tmp_path)


def test_a_plan_that_lacks_a_value_is_refused_where_one_is_asked_for(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("train: {crop_size: 64, sigma: auto, phases: [{epochs: 1}, {epochs: auto}]}")
    (tmp_path / "train.json").write_text('{"sigma": 7.0}')
    with pytest.raises(InputError, match=r"train.json: holds no value for 'epochs'; run the stage"):
        load_params(path, "train", Planned, plan=tmp_path)
    path.write_text("train: {crop_size: 64, sigma: auto, phases: [{epochs: 1}]}")
    (tmp_path / "train.json").write_text("{}")
    assert load_params(path, "train", Planned, plan=tmp_path).sigma == "auto"  # not always planned


LAUGHS = "".join(f"{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 5000 + "]" * 5000,
        "a: " + "{" * 5000,
        "a:\n  " + "- " * 3000 + "1",
        "0: &a0 [x]\n" + LAUGHS,
        "a: &a [*a]",
        "a: " + "x" * 2_000_000,
    ],
)
def test_a_text_made_to_exhaust_the_reader_is_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InputError, match="params.yaml: too large, too deeply nested or full of"):
        load_keys(tmp_path / "params.yaml", "a")


def test_a_long_value_is_cut_in_the_message(tmp_path):
    (tmp_path / "params.yaml").write_text("a: [" + "x, " * 5000 + "]")
    with pytest.raises(InputError, match=r"got \['x', 'x', .* \.\.\.$") as caught:
        load_keys(tmp_path / "params.yaml", "a")
    assert len(str(caught.value)) < 400
