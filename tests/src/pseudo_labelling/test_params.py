import pytest
from pydantic import ValidationError

from src.pseudo_labelling.params import PseudoLabelParams

PARAMS = {
    "low": 0.2,
    "high": 0.8,
    "min_certain": 0.95,
    "max_spread": 1.0,
    "min_expected_iou": 0.0,
    "min_share": 0.5,
    "max_share": 0.5,
    "targets": "hard",
}


def test_the_most_may_be_as_many_as_the_least_or_all():
    assert PseudoLabelParams(**PARAMS).max_share == 0.5
    assert PseudoLabelParams(**PARAMS | {"max_share": 0.0}).max_share == 0


def test_the_most_may_not_be_fewer_than_the_least():
    message = "pseudo_label.max_share 0.4 is below pseudo_label.min_share 0.5; raise it or lower"
    with pytest.raises(ValidationError, match=message):
        PseudoLabelParams(**PARAMS | {"max_share": 0.4})
