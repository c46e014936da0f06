from src.acceptance.operating_point import OperatingPoint, Point
from src.reporting.operating_points import operating_sentence


def test_the_sentence_tells_score_interval_and_what_chose_it():
    folds = {"0": Point(0.25, 0.2, 0.5), "1": Point(0.375, None, None)}
    point = OperatingPoint("f1_50", Point(0.3125, 0.25, 0.4), folds)
    assert operating_sentence(point) == (
        "Detections are accepted from a score of 0.3125 [0.2500, 0.4000], the operating point. "
        "About there f1_50 (F1 of objects matched at IoU 0.50) is highest on the out-of-fold "
        "predictions; those of an oof fold from where it is highest on the other folds "
        "(0.2500 to 0.3750)."
    )


def test_a_single_fold_has_no_others_and_a_point_may_have_no_interval():
    point = OperatingPoint("pq", Point(0.5, None, None), {"0": Point(0.5, None, None)})
    assert operating_sentence(point) == (
        "Detections are accepted from a score of 0.5000, the operating point. About there pq "
        "(Panoptic quality: SQ times RQ) is highest on the out-of-fold predictions."
    )


def test_a_number_that_was_given_was_chosen_by_nothing():
    given = Point(0.75, None, None)
    assert operating_sentence(OperatingPoint(None, given, {"0": given, "1": given})) == (
        "Detections are accepted from a score of 0.7500, the operating point. It was given, not "
        "chosen."
    )
