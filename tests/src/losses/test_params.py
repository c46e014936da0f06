import json

import pytest

from src.base.errors import InputError
from src.base.params import load_params
from src.losses.params import LossParams
from tests.sections import PARAMS


def read(folder, **changes):
    path = folder / "params.yaml"
    path.write_text(json.dumps({"loss": PARAMS["loss"] | changes}))
    return load_params(path, "loss", LossParams)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_an_even_boundary_kernel_is_refused_where_it_is_read(tmp_path, weight):
    message = "loss.boundary_kernel: .*must be odd to have a middle pixel, set 11, got 10"
    with pytest.raises(InputError, match=message):
        read(tmp_path, boundary_weight=weight, boundary_kernel=10)
    assert read(tmp_path, boundary_weight=weight, boundary_kernel=9).boundary_kernel == 9


@pytest.mark.parametrize(
    ("key", "value", "known"),
    [
        ("distance", "d2", "'none', 'd1' or 'd1_d2'"),
        ("overlap_per", "object", "'batch' or 'image'"),
        ("lovasz_error", "hinge", "'relu' or 'elu'"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(tmp_path, key, value, known):
    with pytest.raises(InputError, match=f"loss.{key}: .*{known}, got '{value}'"):
        read(tmp_path, **{key: value})
