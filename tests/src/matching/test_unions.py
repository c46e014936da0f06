import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.matching.unions import TOGETHER, union_of


@pytest.mark.parametrize("count", [1, 2, TOGETHER, TOGETHER + 1, TOGETHER**2, TOGETHER**2 + 3])
def test_the_union_is_that_of_one_merge_to_the_byte(count):
    rng = np.random.default_rng(count)
    masks = rng.random((count, 30, 20)) < rng.uniform(0, 2 / count, (count, 1, 1))
    masks[0] = False
    rles = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
    union = union_of(rles)
    assert union == coco_mask.merge(rles)
    np.testing.assert_array_equal(coco_mask.decode(union), masks.any(axis=0))


def test_nothing_has_no_union():
    with pytest.raises(ValueError, match="no mask to merge"):
        union_of([])
