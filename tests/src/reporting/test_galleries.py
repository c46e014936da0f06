from src.reporting.galleries import pick_images


def image(name, f1, dice=0.5, *, tp=1, fp=0, fn=0):
    return {"name": name, "f1_50": f1, "dice": dice, "tp": tp, "fp": fp, "fn": fn}


def names(rows):
    return [row["name"] for row in rows]


def test_the_worst_images_are_the_worst():
    rows = [image(str(i), f1=i / 10, dice=0.9 - i / 20) for i in (3, 9, 1, 7, 5, 0, 8, 2, 6, 4)]
    picked = pick_images(rows, 3)
    assert names(picked["best"]) == ["9", "8", "7"]
    assert names(picked["median"]) == ["6", "5", "4"]
    assert names(picked["worst"]) == ["0", "1", "2"]


def test_ties_are_broken_by_dice_then_by_name():
    rows = [image("b", 0.5, 0.7), image("c", 0.5, 0.8), image("a", 0.5, 0.7)]
    assert names(pick_images(rows, 1)["best"]) == ["c"]
    assert names(pick_images(rows, 1)["median"]) == ["a"]
    assert names(pick_images(rows, 1)["worst"]) == ["b"]


def test_images_with_nothing_in_them_are_no_success():
    rows = [image("empty", 1.0, 1.0, tp=0), image("missed", 0.0, 0.0, tp=0, fn=1)]
    assert names(pick_images(rows, 1)["best"]) == ["missed"]


def test_no_image_is_shown_twice_where_there_are_three():
    rows = [image(str(i), i / 10) for i in range(5)]
    picked = pick_images(rows, 3)
    assert [len(kind) for kind in picked.values()] == [1, 1, 1]
    assert pick_images([], 3) == {"best": [], "median": [], "worst": []}
