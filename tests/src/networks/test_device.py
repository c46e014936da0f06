"""Tests of the choice of arithmetic."""

import pytest

from src.networks.device import choose_device, multiplies_bf16


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"amx_bf16": False, "avx512_bf16": True}, True),
        ({"amx_bf16": False, "avx512_bf16": False, "avx512_f": True}, False),
        ({"architecture": "arm"}, False),
        ({}, False),
    ],
)
def test_bf16_is_fast_where_it_is_multiplied(capabilities, fast):
    assert multiplies_bf16(capabilities) is fast


@pytest.mark.parametrize(("precision", "bf16"), [("float32", False), ("bf16", True)])
def test_a_named_precision_is_taken_whatever_the_device(precision, bf16):
    assert choose_device(precision)[1] is bf16


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision 'half' is unknown; known: auto, float32, bf16"):
        choose_device("half")
