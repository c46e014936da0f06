"""The names of the arithmetic that networks compute with."""

from typing import Literal

Precision = Literal["auto", "float32", "bf16"]
