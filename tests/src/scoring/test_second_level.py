import lightgbm
import numpy as np
import pytest

from src.scoring.params import MODELS
from src.scoring.second_level import cross_fit, fit, importances, model_text, predict
from tests.plain_rescore import params

SETTINGS = {"trees": 15, "learning_rate": 0.25, "leaves": 7, "seed": 3}


def settings(model, features=3, **changes):
    names = [f"f{n}" for n in range(features)]
    return {"names": names, "params": params(**SETTINGS | {"score": model} | changes)}


def data(rows=400, features=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((rows, features))
    return x, x[:, 0] ** 2  # the first feature says all


@pytest.mark.parametrize("model", MODELS)
def test_the_model_learns_what_there_is_to_learn_on_candidates_it_has_not_seen(model):
    x, y = data()
    fresh, truth = data(seed=1)
    scores = predict(fit(x, y, **settings(model)), fresh)
    assert np.corrcoef(scores, truth)[0, 1] > 0.98
    assert np.abs(scores - truth).mean() < 0.07


@pytest.mark.parametrize("model", MODELS)
def test_targets_of_0_and_1_give_probabilities(model):
    rng = np.random.default_rng(0)
    x, chance = rng.integers(0, 2, (2000, 1)).astype(float), np.array([0.2, 0.7])
    y = (rng.random(2000) < chance[x[:, 0].astype(int)]).astype(float)
    fitted = fit(x, y, **settings(model, features=1))
    np.testing.assert_allclose(predict(fitted, np.array([[0.0], [1.0]])), chance, atol=0.04)


def memorised(rows=400):
    """Feature k holds the targets of fold k and noise elsewhere; targets are noise."""
    rng = np.random.default_rng(0)
    y, folds = rng.random(rows), np.arange(rows) % 2
    x = rng.random((rows, 2))
    for fold in (0, 1):
        x[folds == fold, fold] = y[folds == fold]
    return x, y, folds


@pytest.mark.parametrize("model", MODELS)
def test_a_feature_that_knows_the_targets_of_its_own_fold_is_of_no_use(model):
    x, y, folds = memorised()
    for fold in (0, 1):  # fitted on the fold itself it would be
        own = folds == fold
        scores = predict(fit(x[own], y[own], **settings(model, features=2)), x[own])
        assert np.corrcoef(scores, y[own])[0, 1] > 0.95
    used = np.ones(len(y), bool)
    scores = cross_fit(x, y, used, folds, **settings(model, features=2)).scores
    assert abs(np.corrcoef(scores, y)[0, 1]) < 0.15


@pytest.mark.parametrize("model", MODELS)
def test_each_part_is_scored_by_the_model_of_the_other_parts(model):
    x, y = data(rows=90)
    parts, used = np.repeat([0, 2, 5], 30), np.arange(90) % 7 != 0
    fitted = cross_fit(x, y, used, parts, **settings(model))
    for part in (0, 2, 5):
        others = used & (parts != part)
        alone = fit(x[others], y[others], **settings(model))
        np.testing.assert_array_equal(
            fitted.scores[parts == part], predict(alone, x[parts == part])
        )
    alone = fit(x[used], y[used], **settings(model))
    np.testing.assert_array_equal(predict(fitted.final, x), predict(alone, x))


@pytest.mark.parametrize("model", MODELS)
def test_what_is_not_used_changes_no_model(model):
    x, y = data(rows=80)
    folds, used = np.arange(80) % 2, np.arange(80) < 60
    before = cross_fit(x, y, used, folds, **settings(model)).scores
    after = cross_fit(x, np.where(used, y, 1 - y), used, folds, **settings(model)).scores
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_of_the_same_rows_is_not_fitted_again(model):
    x, y = data()
    folds, used = np.arange(len(y)) % 3, np.ones(len(y), bool)
    fitted = {}
    whole = cross_fit(x, y, used, folds, **settings(model), fitted=fitted)
    assert len(fitted) == 4
    others = folds != 0  # of 1 and 2: one of each, and both, which scored fold 0
    given = x[others], y[others], used[others], folds[others]
    part = cross_fit(*given, **settings(model), fitted=fitted)
    assert len(fitted) == 6
    assert part.final in fitted.values()
    np.testing.assert_array_equal(predict(part.final, x[~others]), whole.scores[~others])
    alone = cross_fit(*given, **settings(model))
    np.testing.assert_array_equal(part.scores, alone.scores)
    np.testing.assert_array_equal(predict(alone.final, x), predict(part.final, x))
    cross_fit(x, 1 - y, used, folds, **settings(model), fitted=fitted)
    assert len(fitted) == 10  # other targets make other models


def test_parts_are_needed_that_the_candidates_used_are_of():
    x, y = data(rows=4)
    used, folds = np.array([False, False, True, True]), np.array([0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"at least two parts, got \[1\]"):
        cross_fit(x, y, used, folds, **settings("lightgbm"))


@pytest.mark.parametrize("model", MODELS)
def test_the_number_of_threads_changes_nothing(model):
    x, y = data(rows=1000)
    one, two = (fit(x, y, threads=threads, **settings(model, trees=4)) for threads in (1, 2))
    np.testing.assert_array_equal(predict(one, x), predict(two, x))
    np.testing.assert_array_equal(importances(one), importances(two))
    if model == "lightgbm":
        trees = [m.model_to_string().split("\nparameters:")[0] for m in (one, two)]
        assert trees[0] == trees[1]


@pytest.mark.parametrize("model", MODELS)
def test_the_seed_draws_the_samples(model):
    x, y = data()
    scores = [predict(fit(x, y, **settings(model, seed=seed)), x) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert (scores[0] != scores[2]).any()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_candidates_make_a_model(model, rows):
    x, y = data(rows=rows)
    scores = predict(fit(x, y, **settings(model)), x)
    assert ((scores >= min(y) - 1e-6) & (scores <= max(y) + 1e-6)).all()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_one_target_for_all_is_the_score_of_all_and_no_feature_is_of_use(model, target):
    x, _ = data(rows=50)
    fitted = fit(x, np.full(50, target), **settings(model))
    np.testing.assert_allclose(predict(fitted, x), target, atol=1e-6)
    assert importances(fitted).tolist() == [0, 0, 0]


@pytest.mark.parametrize("model", MODELS)
def test_importance_is_a_share_and_goes_to_the_feature_that_says_all(model):
    shares = importances(fit(*data(), **settings(model)))
    assert shares.sum() == pytest.approx(1)
    assert shares[0] > 0.8


@pytest.mark.parametrize("model", MODELS)
def test_no_candidates_have_no_scores(model):
    assert predict(fit(*data(), **settings(model)), np.zeros((0, 3))).shape == (0,)
    with pytest.raises(ValueError, match="no candidate to fit on"):
        fit(np.zeros((0, 3)), np.zeros(0), **settings(model))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(wrong):
    x, y = data(rows=30)
    fitted = fit(x, y, **settings("lightgbm"))
    x[4, 1] = wrong
    with pytest.raises(ValueError, match=r"features \[1\] have values that are not finite"):
        fit(x, y, **settings("lightgbm"))
    with pytest.raises(ValueError, match=r"features \[1\] have values that are not finite"):
        predict(fitted, x)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan])
def test_targets_outside_the_unit_range_are_refused(wrong):
    x, y = data(rows=30)
    with pytest.raises(ValueError, match=r"targets must be in \[0, 1\]"):
        fit(x, np.append(y[1:], wrong), **settings("lightgbm"))


def test_a_score_that_is_not_learnt_is_answered_with_those_that_are():
    with pytest.raises(ValueError, match="mean is not learnt; lightgbm and random_forest are"):
        fit(*data(rows=30), **settings("mean"))


def test_the_text_of_a_model_predicts_the_same():
    x, y = data(rows=200)
    model = fit(x, y, **settings("lightgbm"))
    text = model_text(model)
    read = lightgbm.Booster(model_str=text)
    np.testing.assert_array_equal(predict(read, x), predict(model, x))
    assert "feature_names=f0 f1 f2" in text


def test_a_forest_has_no_text():
    assert model_text(fit(*data(rows=40), **settings("random_forest"))) is None


def test_nothing_is_printed(capfd):
    for rows in (1, 5, 100):
        fit(*data(rows=rows), **settings("lightgbm"))
    assert capfd.readouterr() == ("", "")
