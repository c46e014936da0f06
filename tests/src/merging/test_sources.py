import pytest

from src.base.errors import InputError
from src.folds.fold_table import SplitFoldsParams
from src.merging.params import EnsembleParams, StudentParams
from src.merging.soups import SoupsParams
from src.merging.sources import folds_of_new_images, merged_sources
from tests.sections import PARAMS

MEMBERS = [("main", "main", False, 1.0), ("other", "other", False, 1.0)]
SOUPS = [("mix", "mix", False, 1.0)]
STUDENTS = [("student_main", "main", True, 1.0), ("student_other", "other", True, 1.0)]


def sources(members=("main", "other"), soups=("mix",), weights=None, **of_students):
    student = {"folds": [], "predictions": "both"} | of_students
    found = merged_sources(
        "p.yaml",
        members=members,
        soups=SoupsParams.model_validate({name: ["main"] for name in soups}),
        student=StudentParams(
            **student, teachers="data/probabilities", weight=1.0, consistency=0.0
        ),
        ensemble=EnsembleParams(merge="mean", networks="all", weights=weights or {}),
        folds=[0, 1],
    )
    return [tuple(source) for source in found]


def test_members_come_before_soups_and_those_before_students():
    assert sources() == MEMBERS + SOUPS
    assert sources(folds=[1, 0]) == MEMBERS + SOUPS + STUDENTS


@pytest.mark.parametrize(
    ("predictions", "merged"),
    [("both", MEMBERS + STUDENTS), ("teacher", MEMBERS), ("student", STUDENTS)],
)
def test_teachers_students_or_both_are_merged_and_without_students_teachers(predictions, merged):
    assert sources(soups=(), folds=[0, 1], predictions=predictions) == merged
    assert sources(soups=(), predictions=predictions) == MEMBERS


def test_weights_are_by_name_and_those_of_0_leave_out():
    found = sources(weights={"main": 0, "mix": 2.5, "student_other": 0.0}, folds=[0, 1])
    weights = {name: weight for name, _, _, weight in found}
    assert weights == {"other": 1.0, "mix": 2.5, "student_main": 1.0}


def test_a_weight_of_a_student_may_stand_where_teachers_alone_are_merged():
    found = sources(weights={"student_main": 0}, folds=[0], predictions="teacher")
    assert found == MEMBERS + SOUPS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"soups": ["main"]}, "soups.main: there is a member 'main'; rename the soup"),
        (
            {"weights": {"mian": 1.0}},
            "weights.mian: no such member or soup; known: main, other, mix$",
        ),
        ({"weights": {"student_main": 1.0}}, "weights.student_main: no such member or soup"),
        (
            {"weights": {"main": 0, "other": 0, "mix": 0}},
            "leaves nothing to merge; give one of main, other, mix a weight above 0",
        ),
        (
            {"soups": ["student_main"], "folds": [0, 1]},
            "'student_main' is the name of a student; rename the other",
        ),
        (
            {"folds": [0]},
            r"student.folds \[0\] must be split_folds.folds \[0, 1\] where .* is both, since",
        ),
    ],
)
def test_names_and_weights_that_fit_nothing_are_refused(changes, message):
    with pytest.raises(InputError, match=f"^p.yaml: .*{message}"):
        sources(**changes)


@pytest.mark.parametrize(
    ("repeats", "folds", "of_new"),
    [(1, [0, 1, 2], [0]), (1, [2, 1], [2]), (2, [1, 2, 3, 5], [1, 3]), (2, [4, 5], [4])],
)
def test_as_oof_are_the_first_trained_fold_of_each_division(repeats, folds, of_new):
    given = PARAMS["split_folds"] | {"k": 3, "repeats": repeats, "folds": folds}
    split_folds = SplitFoldsParams.model_validate(given)
    for networks, expected in (("all", folds), ("as_oof", of_new)):
        params = EnsembleParams(merge="mean", networks=networks, weights={})
        assert folds_of_new_images(split_folds, params) == expected


def test_one_division_has_any_number_of_folds():
    given = {"method": "leave_one_group_out", "k": 2, "folds": [3, 0, 5]}
    split_folds = PARAMS["split_folds"] | given
    with_many = SplitFoldsParams.model_construct(**split_folds)
    params = EnsembleParams(merge="mean", networks="as_oof", weights={})
    assert folds_of_new_images(with_many, params) == [3]
