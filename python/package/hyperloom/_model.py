"""Training, models, networks and what they say."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from . import _hyperloom
from ._errors import CheckpointError, SettingError, ShapeError
from ._hyperloom import Device
from ._progress import shown
from ._tables import Columns, columns_of, csv_of, require, with_column


@lru_cache
def _opened(request: str) -> Device:
    return Device(request)


def _device(device: str | Device) -> Device:
    return device if isinstance(device, Device) else _opened(device)


@dataclass(frozen=True)
class Prediction:
    """What is said about rows, in the data's own units. Of classes `labels` and `probabilities`, else `values`."""

    values: np.ndarray | None = None
    """[rows], or [rows, outputs] of several."""
    labels: np.ndarray | None = None
    """[rows]: the class that is most probable."""
    probabilities: np.ndarray | None = None
    """[rows, classes]"""
    classes: list[str] | None = None
    """Names of the classes, in their order."""
    low: np.ndarray | None = None
    """[rows]: where intervals begin, if they were asked for; NaN where nothing is known of the row."""
    high: np.ndarray | None = None
    """[rows]: where they end."""
    disagreement: np.ndarray | None = None
    """[rows]: how far the networks disagree that noise makes of a task, where there is noise."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = self.values if self.labels is None else self.labels
        return np.array(found, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.__array__(copy=None))

    def to_dict(self) -> dict[str, np.ndarray]:
        """Columns as `hyperloom predict` names them, for a table of any kind."""
        columns: dict[str, np.ndarray] = {}
        if self.labels is not None:
            columns["prediction"] = self.labels
            for i, name in enumerate(self.classes or []):
                columns[f"probability_{name}"] = self.probabilities[:, i]
        elif self.values.ndim == 1:
            columns["prediction"] = self.values
        else:
            columns.update({f"prediction_{i + 1}": self.values[:, i] for i in range(self.values.shape[1])})
        for name in ("low", "high", "disagreement"):
            if getattr(self, name) is not None:
                columns[name] = getattr(self, name)
        return columns


def _prediction(said: tuple, owner: Any) -> Prediction:
    values, _, disagreement, half = said
    if owner.classes is not None:
        shares = np.exp(values.astype(np.float64) - values.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        names = np.array(owner.classes, dtype=object)
        labels = names[shares.argmax(axis=1)]
        return Prediction(labels=labels, probabilities=shares, classes=owner.classes, disagreement=disagreement)
    mean, std = owner.target_scale
    values = mean + std * values.astype(np.float64)
    values = values[:, 0] if values.shape[1] == 1 else values
    low = high = None
    if half is not None:
        half = std * half.astype(np.float64)
        low, high = (values - half, values + half) if values.ndim == 1 else (None, None)
    apart = None if disagreement is None else std * disagreement.astype(np.float64)
    return Prediction(values=values, low=low, high=high, disagreement=apart)


def _numbers(values: Any, name: str, width: int) -> np.ndarray:
    """Rows of so many numbers, without a copy where they are that already."""
    try:
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError) as e:
        raise ShapeError(f"{name} is no array of numbers: {e}") from None
    if array.ndim == 1 and width == 1:
        array = array[:, None]
    if array.ndim < 2 or array[0:1].size != width * len(array[0:1]):
        raise ShapeError(f"{name} needs rows of {width} numbers; given: an array of shape {list(array.shape)}")
    return array


class _Temporary:
    """A folder that goes when nobody needs it any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="hyperloom-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class Network:
    """The network of one task: `Model.adapt` makes it, `Network.load` reads one that was saved."""

    def __init__(self, raw: _hyperloom.Network, device: Device) -> None:
        self._raw = raw
        self._device = device

    @classmethod
    def load(cls, path: str | os.PathLike, device: str | Device = "auto") -> Network:
        """The network in a file that `save` or `hyperloom adapt` wrote."""
        return cls(_hyperloom.Network.open(os.fspath(path)), _device(device))

    def save(self, path: str | os.PathLike) -> None:
        """Writes it to a safetensors file, whole or not at all."""
        self._raw.save(os.fspath(path))

    def export(self, path: str | os.PathLike) -> None:
        """Writes it as a program for others: C (.h), Rust (.rs) or ONNX (.onnx)."""
        self._raw.export(os.fspath(path))

    def predict(self, query: Any) -> Prediction:
        """What it says about the rows of a table, in the data's own columns and units."""
        return _prediction(self._raw.predict_table(self._device, csv_of(columns_of(query))), self._raw)

    def predict_rows(self, x: Any) -> np.ndarray:
        """What it says of rows of numbers as it reads them, [rows, inputs] to [rows, outputs]: values in its own units, or logarithms of the probabilities of classes."""
        return self._raw.predict(self._device, _numbers(x, "x", self._raw.inputs))

    def encode(self, rows: Any) -> np.ndarray:
        """The rows of a table as the numbers that it reads, [rows, inputs]: to be kept, and asked about by `predict_rows`."""
        return self._raw.encode(csv_of(columns_of(rows)))

    @property
    def classes(self) -> list[str] | None:
        """Names of classes; None where values are predicted."""
        return self._raw.classes

    @property
    def weights(self) -> list[np.ndarray]:
        """The weights of each network whose predictions are averaged."""
        return [weights for weights, _ in self._raw.weights()]

    @property
    def shares(self) -> list[float]:
        """Their shares in what is said; they sum to one."""
        return [share for _, share in self._raw.weights()]

    def __repr__(self) -> str:
        many = self._raw.weights()
        return f"<hyperloom.Network of {len(many[0][0])} weights{f' x {len(many)}' if len(many) > 1 else ''}>"


class Picture:
    """An SVG, which notebooks show."""

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def _repr_svg_(self) -> str:
        return self.svg


class Model:
    """A trained model: `fit` and `train` make it, `Model.load` opens a run folder. Models can be pickled."""

    def __init__(self, path: str | os.PathLike, device: str | Device = "auto", _keeps: Any = None) -> None:
        self.path = Path(path)
        """The run folder, or the file that `save` wrote."""
        self._device = _device(device)
        self._raw = _hyperloom.Model.open(os.fspath(path))
        self._keeps = _keeps

    @classmethod
    def load(cls, path: str | os.PathLike, device: str | Device = "auto") -> Model:
        """The model of a finished run, or in a file that `save` wrote (arrays are all that one reads)."""
        return cls(path, device)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the model alone to a file; how tables are read stands in the run folder only."""
        self._raw.save(os.fspath(path))

    def export(self, path: str | os.PathLike, support_rows: int, steps: int | None = None) -> None:
        """Writes all of it as a program for others, which makes networks of up to so many support rows: C (.h), Rust (.rs) or ONNX (.onnx)."""
        self._raw.export(os.fspath(path), support_rows, steps)

    def adapt(self, support: Any, target: Iterable | None = None, *, steps: int | None = None) -> Network:
        """The network of one new task, from a table of its known rows. The target is a column of it, or given apart.

        steps: of adaptation; None: as many as were chosen on validation tasks.
        """
        found = self._raw.adapt_table(self._device, csv_of(self._table(support, target)), steps)
        return Network(found, self._device)

    def adapt_groups(
        self, support: Any, target: Iterable | None = None, *, steps: int | None = None
    ) -> dict[str, Network]:
        """The network of each group of a table, by the group's name. All learn side by side."""
        found = self._raw.adapt_groups(self._device, csv_of(self._table(support, target)), steps)
        return {name: Network(raw, self._device) for name, raw in found}

    def adapt_rows(
        self, tasks: Sequence[tuple], *, steps: int | None = None
    ) -> list[Network]:
        """The networks of many tasks, side by side, from numbers as networks read them: of each a tuple (x [rows, inputs], y [rows, outputs]), and a descriptor where the model reads one."""
        raw, given = self._raw, []
        for task in tasks:
            x, y, *rest = task
            x, y = _numbers(x, "x", raw.inputs), _numbers(y, "y", raw.outputs)
            descriptor = np.ascontiguousarray(rest[0], dtype=np.float32) if rest else None
            given.append((x, y, descriptor))
        return [Network(network, self._device) for network in raw.adapt(self._device, given, steps)]

    def predict(
        self, query: Any, support: Any = None, *, steps: int | None = None, interval: float | None = None
    ) -> Prediction:
        """What is said about every row of a table: each group by the network of its own rows in the support, and all others, or all without support, by the network that knows none.

        interval: the share of rows that intervals cover, .1 to .95.
        """
        if interval is not None and not 0.1 <= interval <= 0.95:
            raise SettingError(f"interval is {interval}: it lies from .1 to .95")
        if interval is not None and support is None:
            raise SettingError("intervals are for a task's own network: give its known rows (support)")
        known = None if support is None else csv_of(columns_of(support))
        asked = csv_of(columns_of(query))
        said = self._raw.predict_table(self._device, known, asked, steps, interval)
        return _prediction(said, self._raw)

    def _table(self, support: Any, target: Iterable | None) -> Columns:
        columns = columns_of(support)
        if target is None:
            return columns
        if self.target is None:
            raise ShapeError("the model knows no name of a target: its column stands in the table")
        return with_column(columns, self.target, target)

    @property
    def report(self) -> dict:
        """What the run found on unseen tasks: report.json."""
        file = self.path / "report.json"
        if not file.is_file():
            raise CheckpointError(f"{self.path}: there is no report.json; run folders of finished runs have one")
        return json.loads(file.read_text())

    @property
    def pictures(self) -> dict[str, Picture]:
        """The run's pictures, by name."""
        files = sorted(self.path.glob("*.svg")) if self.path.is_dir() else []
        return {file.stem: Picture(file.read_text()) for file in files}

    @property
    def group(self) -> str | None:
        """The column that tells tasks apart."""
        return self._raw.group

    @property
    def target(self) -> str | None:
        """The column that is predicted."""
        return self._raw.target

    @property
    def classes(self) -> list[str] | None:
        """Names of classes; None where values are predicted."""
        return self._raw.classes

    @property
    def steps(self) -> int:
        """Steps of adaptation that were chosen on validation tasks."""
        return self._raw.steps

    def __repr__(self) -> str:
        return f"<hyperloom.Model {self.path} on {self._device.name}>"

    def __getstate__(self) -> dict:
        if self.path.is_file():
            files = {"": self.path.read_bytes()}
        else:
            files = {f.name: f.read_bytes() for f in sorted(self.path.iterdir()) if f.is_file()}
        return {"files": files, "name": self.path.name}

    def __setstate__(self, state: dict) -> None:
        keeps = _Temporary()
        path = keeps.path / state["name"]
        if "" in state["files"]:
            path.write_bytes(state["files"][""])
        else:
            path.mkdir()
            for name, bytes_ in state["files"].items():
                (path / name).write_bytes(bytes_)
        self.__init__(path, "auto", keeps)


def _merged(base: dict, over: Mapping) -> dict:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _trained(
    settings: Mapping | None, out: Path, device: Device, progress: Any, tensorboard: bool, keeps: Any = None
) -> Model:
    progress = shown(progress)
    text = None if settings is None else json.dumps(settings, default=_plain)
    try:
        _hyperloom.train(text, os.fspath(out), device, progress, tensorboard)
    finally:
        if hasattr(progress, "close"):
            progress.close()
    return Model(out, device, keeps)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise SettingError(f"settings: {value!r} is no number, text, list or mapping")


def train(
    settings: Mapping[str, Any] | None = None,
    *,
    out: str | os.PathLike | None = None,
    resume: bool = False,
    device: str | Device = "auto",
    progress: Callable | str | None = "auto",
    tensorboard: bool = False,
) -> Model:
    """Trains a run by settings as its config.toml has them, of any task that has rows: {"task": "sine", "train": {"steps": 2000}}.

    out: the run folder; None: a temporary one, which goes with the model.
    resume: goes on with the run in out, after Ctrl-C for example.
    progress: "auto" (in terminals and notebooks), None, or a callable of phase, step, steps, loss, tasks a second and their unit.
    tensorboard: whether the run folder gets an event file for TensorBoard.
    """
    if resume:
        if out is None or settings is not None:
            raise SettingError("with resume a run goes on with the settings that it was started with: give out alone")
        return _trained(None, Path(out), _device(device), progress, tensorboard)
    keeps = _Temporary() if out is None else None
    folder = keeps.path / "run" if keeps else Path(out)
    return _trained(settings or {}, folder, _device(device), progress, tensorboard, keeps)


def fit(
    data: Any,
    target: str | Iterable,
    *,
    group: str | Iterable,
    order: str | None = None,
    kind: str | None = None,
    method: str | None = None,
    steps: int | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | os.PathLike | None = None,
    device: str | Device = "auto",
    progress: Callable | str | None = "auto",
    tensorboard: bool = False,
) -> Model:
    """Trains a model on a table of many groups, each a task: people, plants, sensors.

    data: a pandas, polars or Arrow table, a mapping of columns, or an array [rows, columns].
    target: the column that is predicted, by its name or as values beside the data.
    group: the column that tells tasks apart, by its name or as values beside the data.
    order: the column by which the first rows of a group are known and later ones asked; None: they are drawn at random.
    kind: "regression" or "classification"; None: by the target's values.
    method: how networks adapt ("fine-tune", "maml", "ridge", …); None: the best on validation groups.
    steps: of training; seed: of all that is drawn; settings: others, as config.toml has them.
    out: the run folder, with the data beside it as a CSV file; None: a temporary one, which goes with the model.
    device, progress and tensorboard are those of `train`.
    """
    columns = columns_of(data)
    names = {}
    for what, given in (("group", group), ("target", target)):
        if isinstance(given, str):
            names[what] = given
            continue
        names[what] = _named(given, what, columns)
        columns = with_column(columns, names[what], given)
    require(columns, {**names, **({} if order is None else {"order": order})})
    keeps = _Temporary() if out is None else None
    folder = keeps.path / "run" if keeps else Path(out)
    file = folder.with_name(folder.name + ".csv")
    table: dict[str, Any] = {"file": os.fspath(file), "group": names["group"], "target": names["target"]}
    table.update({k: v for k, v in (("order", order), ("kind", kind)) if v is not None})
    given: dict[str, Any] = {"task": "csv", "csv": table}
    if method is not None:
        given["adapt"] = {"method": method}
    if steps is not None:
        given["train"] = {"steps": steps}
    if seed is not None:
        given["seed"] = seed
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(csv_of(columns))
    return _trained(_merged(given, settings or {}), folder, _device(device), progress, tensorboard, keeps)


def _named(values: Any, what: str, columns: Columns) -> str:
    """The name of values beside a table: their own, where they have one that is free."""
    name = getattr(values, "name", None)
    return name if isinstance(name, str) and name and name not in columns else _free(what, columns)


def _free(name: str, columns: Columns) -> str:
    """A name that no column has."""
    while name in columns:
        name += "_"
    return name
