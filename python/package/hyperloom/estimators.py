"""Estimators in the manner of scikit-learn, which it needs: pip install hyperloom[sklearn]

    from hyperloom.estimators import Regressor

    plants = Regressor(group="plant").fit(X, y)       # X has the column 'plant'
    plants.predict(X_later)                           # each plant by the network of its own rows
    plants.adapt(X_new, y_new).predict(X_asked)       # a plant that was never seen, by a few rows
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from ._errors import ShapeError
from ._model import Prediction, _free, _named, fit
from ._tables import Columns, columns_of, rows_of, values_of, with_column

__all__ = ["Classifier", "Regressor"]


class _Estimator(BaseEstimator):
    _kind = ""

    def __init__(
        self,
        group: str | None = None,
        *,
        order: str | None = None,
        method: str | None = None,
        steps: int | None = None,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        device: str = "auto",
        progress: Any = None,
    ) -> None:
        self.group = group
        self.order = order
        self.method = method
        self.steps = steps
        self.seed = seed
        self.settings = settings
        self.device = device
        self.progress = progress

    def fit(self, X: Any, y: Any, groups: Any = None) -> Any:
        """Trains a model on rows of many groups: by the column `group` of X, or by `groups` beside it."""
        columns = self._columns(X)
        self.n_features_in_ = len(columns)
        self.feature_names_in_ = np.array(list(columns), dtype=object)
        group = self.group
        if groups is not None:
            group = _free("group", columns) if group is None or group not in columns else group
            columns = with_column(columns, group, groups)
        if group is None:
            raise ShapeError("what tells tasks apart is missing: the name of a column (group=…), or fit(X, y, groups=…)")
        name = _named(y, "target", columns)
        known = with_column(columns, name, self._targets(y, rows_of(columns)))
        self.model_ = fit(
            known,
            name,
            group=group,
            order=self.order,
            kind=self._kind,
            method=self.method,
            steps=self.steps,
            seed=self.seed,
            settings=self.settings,
            device=self.device,
            progress=self.progress,
        )
        self.report_ = self.model_.report
        self.known_ = known
        return self

    def adapt(self, X: Any, y: Any, groups: Any = None) -> Any:
        """The same model by the known rows of other tasks: without their groups' column all are one task. This estimator stays as it is."""
        check_is_fitted(self)
        columns = self._columns(X, groups)
        adapted = copy.copy(self)
        adapted.known_ = with_column(columns, self.model_.target, self._targets(y, rows_of(columns)))
        return adapted

    def _said(self, X: Any, groups: Any, interval: float | None = None) -> Prediction:
        check_is_fitted(self)
        return self.model_.predict(self._columns(X, groups), self.known_, interval=interval)

    def _columns(self, X: Any, groups: Any = None) -> Columns:
        columns = columns_of(X)
        return columns if groups is None else with_column(columns, self.model_.group, groups)

    def _targets(self, y: Any, rows: int) -> list:
        values = values_of(y, "y")
        if len(values) != rows:
            raise ShapeError(f"y needs {rows} values, one for each row; given: {len(values)}")
        return values


class Regressor(RegressorMixin, _Estimator):
    """Predicts values: each group by the network of its own known rows.

    group: the column of X that tells tasks apart, unless `fit` is given `groups`. order, method, steps, seed, settings, device and progress are those of
    `hyperloom.fit`.

    model_: the trained `hyperloom.Model`. report_: what it found on unseen groups. known_: the rows that groups are known by.
    """

    _kind = "regression"

    def predict(self, X: Any, groups: Any = None) -> np.ndarray:
        """Values [rows]."""
        return self._said(X, groups).values

    def predict_interval(self, X: Any, level: float = 0.8, groups: Any = None) -> np.ndarray:
        """Where intervals that cover the share `level` begin and end, [rows, 2]; NaN of groups of which nothing is known."""
        said = self._said(X, groups, level)
        return np.stack([said.low, said.high], axis=1)


class Classifier(ClassifierMixin, _Estimator):
    """Predicts classes: each group by the network of its own known rows. Parameters and attributes are those of `Regressor`, and `classes_`."""

    _kind = "classification"

    def fit(self, X: Any, y: Any, groups: Any = None) -> Any:
        """Trains a model on rows of many groups, as `Regressor.fit` does."""
        self.classes_ = np.unique(np.asarray(values_of(y, "y")))
        return super().fit(X, y, groups)

    def predict(self, X: Any, groups: Any = None) -> np.ndarray:
        """The class of each row that is most probable, [rows]."""
        shares = self.predict_proba(X, groups)
        return self.classes_[shares.argmax(axis=1)]

    def predict_proba(self, X: Any, groups: Any = None) -> np.ndarray:
        """Probabilities [rows, classes], in the order of `classes_`."""
        said = self._said(X, groups)
        place = {name: i for i, name in enumerate(said.classes)}
        return said.probabilities[:, [place[_class_name(i)] for i in range(len(self.classes_))]]

    def _targets(self, y: Any, rows: int) -> list:
        labels = np.asarray(super()._targets(y, rows))
        codes = {label: _class_name(i) for i, label in enumerate(self.classes_.tolist())}
        try:
            return [codes[label] for label in labels.tolist()]
        except KeyError as e:
            raise ShapeError(f"class {e.args[0]!r} was not there in training") from None


def _class_name(i: int) -> str:
    """What the table calls the class: a text, whatever the labels are."""
    return f"class {i}"
