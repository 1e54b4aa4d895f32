import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import SHORT
from hyperloom import ShapeError
from hyperloom.estimators import Classifier, Regressor
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator


@pytest.fixture(scope="module")
def rows(growth):
    frame = pd.DataFrame(growth)
    return frame.drop(columns="height"), frame["height"]


@pytest.fixture(scope="module")
def regressor(rows):
    return Regressor("plant", order="week", settings=SHORT, device="cpu").fit(*rows)


def test_each_group_is_said_by_its_own_rows(regressor, rows):
    X, y = rows
    said = regressor.predict(X)
    assert said.shape == y.shape and regressor.score(X, y) > 0.5
    assert list(regressor.feature_names_in_) == list(X.columns) and regressor.n_features_in_ == X.shape[1]
    low, high = regressor.predict_interval(X, 0.9).T
    assert ((low < said) & (said < high)).all()
    assert np.array_equal(regressor.predict(pl.DataFrame(X)), said)
    assert regressor.report_["held_out"]["metric"] == "rmse"


def test_a_new_task_is_known_by_a_few_rows(regressor, known, asked):
    few = pd.DataFrame(known)
    new = regressor.adapt(few[["soil", "week"]], few["height"])
    said = new.predict(pd.DataFrame(asked))
    assert np.allclose(said, regressor.model_.adapt(known).predict(asked).values, rtol=1e-4)
    assert new is not regressor and len(regressor.known_["week"]) > len(new.known_["week"])


def test_groups_stand_beside_the_rows(rows):
    X, y = rows
    beside = Regressor(order="week", settings=SHORT, device="cpu")
    beside.fit(X.drop(columns="plant"), y, groups=X["plant"])
    said = beside.predict(X.drop(columns="plant"), groups=X["plant"])
    assert said.shape == y.shape and beside.model_.group == "group"


def test_classes_are_those_that_were_given(rows):
    X, y = rows
    for labels in (np.where(y > 8, 1, -1), np.where(y > 8, "large", "small"), y.to_numpy() > 8):
        classifier = Classifier("plant", settings=SHORT, device="cpu").fit(X, labels)
        said = classifier.predict(X)
        assert said.dtype == labels.dtype and set(said) <= set(labels)
        assert (classifier.classes_ == np.unique(labels)).all()
        shares = classifier.predict_proba(X)
        assert np.allclose(shares.sum(axis=1), 1) and classifier.score(X, labels) > 0.7
        few = classifier.adapt(X[:4], labels[:4])
        assert len(few.predict(X[4:6])) == 2
        with pytest.raises(ShapeError, match="was not there in training"):
            classifier.adapt(X[:1], np.array([7]))


def test_habits(regressor, rows):
    X, y = rows
    copy = clone(regressor)
    assert copy.get_params() == regressor.get_params() and not hasattr(copy, "model_")
    with pytest.raises(NotFittedError):
        copy.predict(X)
    again = pickle.loads(pickle.dumps(regressor))
    assert np.allclose(again.predict(X), regressor.predict(X))
    doubled = FunctionTransformer(lambda X: X.assign(double=2 * X["week"]))
    pipeline = make_pipeline(doubled, Regressor("plant", settings=SHORT, device="cpu")).fit(X, y)
    assert pipeline.predict(X).shape == y.shape
    assert pipeline[-1].n_features_in_ == X.shape[1] + 1
    search = GridSearchCV(
        Regressor("plant", settings=SHORT, device="cpu"),
        {"method": ["ridge", "fine-tune"]},
        cv=GroupKFold(2),
        scoring="neg_mean_absolute_error",
    ).fit(X, y, groups=X["plant"])
    assert search.best_params_["method"] in ("ridge", "fine-tune")


def test_what_is_wrong_is_refused(regressor, rows):
    X, y = rows
    with pytest.raises(ShapeError, match="what tells tasks apart is missing"):
        Regressor().fit(X, y)
    with pytest.raises(ShapeError, match="y needs"):
        Regressor("plant").fit(X, y[:5])
    with pytest.raises(ShapeError, match="'group' has 5 rows"):
        Regressor().fit(X, y, groups=X["plant"][:5])


# Of scikit-learn's own checks those that need no data: all others hand over rows without groups, and every row of a task belongs to one.
GENERAL = {
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_estimators_unfitted",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
}


@pytest.mark.parametrize("estimator", [Regressor(), Classifier()])
@pytest.mark.parametrize("name", sorted(GENERAL))
def test_scikit_learn_checks(estimator, name):
    checks = estimator_checks_generator(estimator)
    found = [check for _, check in checks if getattr(check, "func", check).__name__ == name]
    assert found
    for check in found:
        check(estimator)
