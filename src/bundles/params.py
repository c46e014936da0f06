"""The section `bundle` of params.yaml."""

from typing import Literal

from pydantic import Field

from src.base.params import Params


class BundleParams(Params):
    name: str = Field(pattern=r"^\w{1,100}$")
    networks: Literal["merged", "none"]
    licence: str = Field(max_length=100_000)
    date: str = Field(max_length=100)
