"""The section `plan` of params.yaml."""

from pydantic import Field

from src.base.params import Params


class PlanParams(Params):
    """The section `plan`."""

    steps: int = Field(ge=1)  # batches that a network is trained on
    minutes: float = Field(ge=0, allow_inf_nan=False)  # of all trainings; 0: steps holds
    max_images: int = Field(ge=1)
    seed: int = Field(ge=0, lt=2**32)
