import numpy as np
import pandas as pd
import pytest

from src.base.errors import InputError
from src.formats.archive import encode_png
from src.label_maps.labels import IGNORE
from src.planning.fingerprint import (
    FEWEST,
    HARMLESS,
    MOST_PIXELS,
    REACH,
    ImageObjects,
    drawn_images,
    fingerprint,
    measured_objects,
)


def measured(rows):
    return measured_objects(encode_png(np.array(rows, np.uint16)), "here")


def test_areas_boxes_and_gaps_are_those_of_each_object():
    found = measured([[1, 1, 1, 0, 0, 0, 2], [1, 0, 0, 0, 0, 0, 2], [0, 0, 0, 0, 7, 0, 0]])
    assert found.areas.tolist() == [4, 2, 1]
    assert found.lengths.tolist() == [3, 2, 1]
    # 7 at (2, 4): to (0, 2) and to (1, 6)
    assert found.gaps == pytest.approx([8**0.5, 5**0.5, 5**0.5])


def test_an_object_alone_has_no_gap_within_reach():
    assert measured([[0, 3, 3]]).gaps.tolist() == [REACH]
    far = np.zeros((1, REACH + 2), np.uint16)
    far[0, [0, -1]] = 1, 2
    assert measured(far).gaps.tolist() == [REACH, REACH]


def test_contacts_are_the_sides_that_lie_along_other_objects():
    found = measured([[1, 1, 2], [1, 0, 2], [4, 0, 9]])
    # 1 has a side along 2 and one along 4, 2 one along 1 and one along 9; corners do not count
    assert found.contacts.tolist() == [2, 2, 1, 1]
    assert measured([[1, IGNORE, 2], [0, 3, 0]]).contacts.tolist() == [0, 0, 0]


def test_ignored_pixels_are_no_object_and_close_no_hole():
    found = measured([[1, 1, 1], [1, IGNORE, 1], [1, 1, 1]])
    assert (found.areas.tolist(), found.holes.tolist()) == ([8], [])


def test_holes_are_patches_of_background_that_touch_no_edge():
    ring = np.ones((5, 9), int)
    ring[1, 1] = ring[2, 2] = 0  # one patch, by a corner
    ring[1:4, 5:7] = 0
    ring[4, 3] = 0  # at the edge
    ring[:, 7:] = 2
    assert sorted(measured(ring).holes.tolist()) == [2, 6]


def test_parts_that_meet_at_a_corner_are_told_from_parts_that_lie_apart():
    assert measured([[1, 0, 0], [0, 1, 0], [0, 0, 0]]).cornered == 1
    assert measured([[1, 0, 1], [0, 0, 0], [2, 2, 0]]).cornered == 0
    assert measured([[1, 0, 2], [0, 1, 0], [2, 0, 0]]).cornered == 1


def test_a_map_without_objects_has_empty_arrays():
    found = measured([[0, IGNORE]])
    assert [len(part) for part in found[:5]] == [0, 0, 0, 0, 0]
    assert found.cornered == 0


def test_a_map_that_is_none_is_named():
    with pytest.raises(InputError, match="here: not a readable image"):
        measured_objects(b"\x89PNG", "here")


def table(**columns):
    rows = {"height": [10, 20, 30], "width": [40, 20, 20], "objects": [0, 5, 1]}
    return pd.DataFrame(rows | columns)


def objects(areas, gaps=None, holes=(), lengths=None, cornered=0, contacts=None):
    gaps = [REACH] * len(areas) if gaps is None else gaps
    contacts = [0] * len(areas) if contacts is None else contacts
    parts = (areas, areas if lengths is None else lengths, gaps, contacts, holes)
    return ImageObjects(*(np.array(part, float) for part in parts), cornered)


def test_a_fingerprint_sums_up_images_and_objects():
    contacts = [1, 1, 2]  # along 0.5, 0.25 and 0.25 of their size
    first = objects([4, 16, 64], [1, 2, 9], lengths=[2, 5, 30], cornered=1, contacts=contacts)
    found = fingerprint(table(), [first, objects([100], [REACH])])
    assert (found.images, found.objects, found.most_objects) == (3, 4, 5)
    assert (found.short_side, found.long_side) == (20, 30)
    assert found.diameters == pytest.approx(np.percentile([2, 4, 8, 10], [5, 50, 95]).tolist())
    assert found.large == pytest.approx(np.percentile([2, 5, 30, 100], 95))
    assert found.small_area == pytest.approx(np.percentile([4, 16, 64, 100], 1))
    assert (found.near, found.touching, found.gap, found.cornered) == (0.75, 0.25, 2, 0.25)


@pytest.mark.parametrize(
    ("holes", "harmless"),
    [
        ([], np.inf),
        ([1, 1, 3], np.inf),  # 5 of 5,000 pixels are one in a thousand
        ([1, 1, 3, 7, 90], 6),  # those of 7 px would be too many
        ([9], 8),
    ],
)
def test_small_holes_are_harmless_as_far_as_they_make_up_little_of_the_objects(holes, harmless):
    found = fingerprint(table(), [objects([2000, 3000], holes=holes)])
    assert found.harmless_hole == harmless
    assert found.holes == len(holes) / 2
    assert HARMLESS == 0.001


def test_without_objects_their_figures_are_no_numbers():
    found = fingerprint(table(objects=0), [objects([])])
    assert (found.objects, found.most_objects) == (0, 0)
    assert np.isnan([*found.diameters, found.large, found.gap, found.near, found.holes]).all()


def test_images_are_drawn_by_seed_in_their_order_and_fewer_of_large_ones():
    assert drawn_images(5, 100, most=9, seed=0) == [0, 1, 2, 3, 4]
    drawn = drawn_images(500, 100, most=50, seed=0)
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 50
    assert drawn != drawn_images(500, 100, most=50, seed=1)
    assert len(drawn_images(500, MOST_PIXELS / 20, most=400, seed=0)) == 20
    assert len(drawn_images(500, 1e9, most=400, seed=0)) == FEWEST
