"""Objects without colour on ground that keeps its own, as of grey cars."""

import os

import cv2
import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks the network
import albumentations as A  # noqa: E402


class GreyObjects(A.ImageOnlyTransform):
    """Take the colour from the pixels of objects: the first plane of `mask` is 1 there.

    From the first place of the Carvana challenge (2017), pipeline A, by its released code.

    Parameters
    ----------
    p : float
        Probability.
    """

    @property
    def targets_as_params(self) -> list[str]:
        """Name what `get_params_dependent_on_data` needs."""
        return ["mask"]

    def get_params_dependent_on_data(self, params: dict, data: dict) -> dict:
        """Find the objects."""
        return {"objects": data["mask"][..., 0] == 1}

    def apply(self, img: np.ndarray, objects: np.ndarray, **params) -> np.ndarray:
        """Change the image, uint8 RGB (H, W, 3)."""
        luma = cv2.cvtColor(img, cv2.COLOR_RGB2GRAY)
        return np.where(objects[..., None], luma[..., None], img)
