import pytest
from ruamel.yaml import YAML

from src.base.errors import InputError
from src.base.params import load_params
from src.predicting.params import PredictParams

PARAMS = {
    "views": "d4",
    "scales": [1.0],
    "merge": "mean",
    "padding": "replicate",
    "margin": 0,
    "gammas": [1.0],
    "max_size": 64,
    "overlap": 63,
    "precision": "auto",
}


@pytest.fixture
def load(tmp_path):
    def loaded(**changes):
        YAML().dump({"predict": PARAMS | changes}, tmp_path / "params.yaml")
        return load_params(tmp_path / "params.yaml", "predict", PredictParams)

    return loaded


def test_windows_overlap_by_less_than_their_size(load):
    assert load().overlap == 63
    with pytest.raises(InputError, match="predict.overlap 64 must be less than predict.max_size"):
        load(overlap=64)


def test_a_size_that_is_refused_itself_does_not_matter_to_the_overlap(load):
    with pytest.raises(InputError, match=r"predict.max_size: [^;]*got 8$"):
        load(max_size=8, overlap=8)
