from src.label_errors.disagreement import Suspect
from src.label_errors.listing import IMAGE_COLUMNS, OBJECT_COLUMNS, image_rows, suspect_rows


def suspect(disagreement, object_id=1):
    return Suspect("not_found", object_id, -1, disagreement, (4, 3, 2, 1))


FOUND = {
    "train/b": [suspect(0.5, 7), suspect(0.2, 8)],
    "train/a": [suspect(0.5, 3), suspect(0.9, 4), suspect(0.3, 5)],
    "train/c": [suspect(0.9, 9), suspect(0.85, 10)],
    "train/d": [],
}


def test_what_disagrees_most_comes_first_and_what_agrees_is_left_out():
    rows = suspect_rows(FOUND, 0.3)
    assert tuple(rows.columns) == OBJECT_COLUMNS
    listed = list(zip(rows["image"], rows["object_id"], rows["disagreement"], strict=True))
    assert listed == [
        ("train/a", 4, 0.9),
        ("train/c", 9, 0.9),
        ("train/c", 10, 0.85),
        ("train/a", 3, 0.5),
        ("train/b", 7, 0.5),
        ("train/a", 5, 0.3),
    ]
    assert rows.iloc[0, -4:].tolist() == [4, 3, 2, 1]


def test_images_go_by_their_largest_disagreement_then_by_the_sum():
    rows = image_rows(suspect_rows(FOUND, 0.3))
    assert tuple(rows.columns) == IMAGE_COLUMNS
    assert rows.round(6).to_numpy().tolist() == [
        ["train/c", 2, 0.9, 1.75],
        ["train/a", 3, 0.9, 1.7],
        ["train/b", 1, 0.5, 0.5],
    ]


def test_nothing_listed_is_a_table_without_rows():
    rows = suspect_rows({"train/a": []}, 0.0)
    assert (len(rows), tuple(rows.columns)) == (0, OBJECT_COLUMNS)
    assert (len(image_rows(rows)), tuple(image_rows(rows).columns)) == (0, IMAGE_COLUMNS)
