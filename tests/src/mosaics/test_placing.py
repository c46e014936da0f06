from src.mosaics.placing import Mosaic, find_mosaics
from src.mosaics.runs import Area

SIZE = (20, 30)


def place(row, column, crs="EPSG:32737", pixel=0.5):
    return (1000 + column * pixel, pixel, 0.0, 5000 - row * pixel, 0.0, -pixel, crs)


def test_images_that_touch_or_overlap_hang_together():
    places = [place(0, 30), place(100, 0), place(-5, 0), place(100, 30.4)]
    first, second = find_mosaics(places, [SIZE] * 4)
    areas = [Area(5, 25, 30, 60), Area(0, 20, 0, 30)]
    assert first == Mosaic([0, 2], areas, 25, 60, place(-5, 0))
    assert second == Mosaic(
        [1, 3], [Area(0, 20, 0, 30), Area(0, 20, 30, 60)], 20, 60, place(100, 0)
    )


def test_images_stay_alone_that_do_not_lie_side_by_side():
    turned = (1000.0, 0.5, 0.1, 5000.0, 0.1, -0.5, "EPSG:32737")
    places = [
        place(0, 0),
        place(20, 30),  # touches the first at a corner
        place(0, 0, crs="EPSG:32736"),
        place(0, 0, crs=""),
        place(0, 0, pixel=0.6),
        turned,
        turned,
        None,
        None,
    ]
    mosaics = find_mosaics(places, [SIZE] * len(places))
    area = [Area(0, *SIZE[:1], 0, *SIZE[1:])]
    assert mosaics == [Mosaic([n], area, *SIZE, one) for n, one in enumerate(places)]


def test_no_images():
    assert find_mosaics([], []) == []
