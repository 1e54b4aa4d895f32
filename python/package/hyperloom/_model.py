"""Training, models, networks and what they say."""

from __future__ import annotations

import json
import math
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
from ._errors import CheckpointError, DataError, SettingError, ShapeError
from ._hyperloom import Device
from ._progress import shown
from ._tables import Columns, check_groups, columns_of, csv_of, require, values_of, with_column

_MOST_STEPS = 100_000


@lru_cache
def _opened(request: str) -> Device:
    return Device(request)


def _device(device: str | Device) -> Device:
    return device if isinstance(device, Device) else _opened(device)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is said about rows, in the data's own units. Of classes `labels` and `probabilities`, else `values`; as an array it is the labels or the values."""

    values: np.ndarray | None = None
    """[rows], or [rows, outputs] of several."""
    labels: np.ndarray | None = None
    """[rows]: the class that is most probable, by its name: a text, also where classes were given as numbers."""
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
        return np.array(self._own, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self._own)

    def __getitem__(self, rows: Any) -> Any:
        return self._own[rows]

    @property
    def _own(self) -> np.ndarray:
        return self.values if self.labels is None else self.labels

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
        if np.ma.isMaskedArray(values):
            values = values.filled(np.nan)
        if np.iscomplexobj(values):
            raise ValueError("complex numbers")
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError) as e:
        raise ShapeError(f"{name} is no array of numbers: {e}") from None
    if array.ndim == 1 and width == 1:
        array = array[:, None]
    if array.ndim < 2 or math.prod(array.shape[1:]) != width:
        raise ShapeError(f"{name} needs rows of {width} numbers; given: an array of shape {list(array.shape)}")
    return array


def _count(value: Any, name: str, least: int, most: int) -> int | None:
    """A whole number in its range, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        raise SettingError(f"{name} is {value!r}: it is a whole number from {least} to {most}, or None")
    return int(value)


class _Temporary:
    """A folder that goes when nobody needs it any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="hyperloom-"))
        weakref.finalize(self, _remove, self.path, os.getpid())


def _remove(path: Path, process: int) -> None:
    # A process that was forked leaves what is its parent's.
    if os.getpid() == process:
        shutil.rmtree(path, ignore_errors=True)


class Network:
    """The network of one task: `Model.adapt` makes it, `Network.load` reads one that was saved."""

    def __init__(self, raw: _hyperloom.Network, device: Device) -> None:
        self._raw = raw
        self._device = device

    @classmethod
    def load(cls, path: str | os.PathLike, device: str | Device = "auto") -> Network:
        """The network in a file that `save` or `hyperloom adapt` wrote, or of the run folder of a single task."""
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
        many = self.weights
        return f"<hyperloom.Network of {len(many[0])} weights{f' x {len(many)}' if len(many) > 1 else ''}>"

    def __getstate__(self) -> dict:
        with tempfile.TemporaryDirectory(prefix="hyperloom-") as folder:
            file = Path(folder) / "network.safetensors"
            self.save(file)
            return {"file": file.read_bytes()}

    def __setstate__(self, state: dict) -> None:
        with tempfile.TemporaryDirectory(prefix="hyperloom-") as folder:
            file = Path(folder) / "network.safetensors"
            file.write_bytes(state["file"])
            self.__init__(_hyperloom.Network.open(os.fspath(file)), _device("auto"))


class Picture:
    """An SVG, which notebooks show."""

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def _repr_svg_(self) -> str:
        return self.svg


class Model:
    """A trained model: `fit` and `train` make it, `Model.load` opens a run folder. Models can be pickled."""

    def __init__(self, path: str | os.PathLike, device: str | Device = "auto", _keeps: Any = None) -> None:
        self.path = Path(path).absolute()
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
        rows = _count(support_rows, "support_rows", 1, 2**31)
        if rows is None:
            raise SettingError("support_rows is missing: how many rows there is to be room for")
        self._raw.export(os.fspath(path), rows, _steps(steps))

    def adapt(self, support: Any, target: Iterable | None = None, *, steps: int | None = None) -> Network:
        """The network of one new task, from a table of its known rows. The target is a column of it, or given apart.

        steps: of adaptation; None: as many as were chosen on validation tasks.
        """
        found = self._raw.adapt_table(self._device, csv_of(self._table(support, target)), _steps(steps))
        return Network(found, self._device)

    def adapt_groups(
        self, support: Any, target: Iterable | None = None, *, steps: int | None = None
    ) -> dict[str, Network]:
        """The network of each group of a table, by the group's name. All learn side by side."""
        columns = self._table(support, target)
        if self.group is not None:
            check_groups(columns, self.group)
        found = self._raw.adapt_groups(self._device, csv_of(columns), _steps(steps))
        return {name: Network(raw, self._device) for name, raw in found}

    def adapt_rows(
        self, tasks: Sequence[tuple], *, steps: int | None = None
    ) -> list[Network]:
        """The networks of many tasks, side by side, from numbers as networks read them: of each a tuple (x [rows, inputs], y [rows, outputs]), and a descriptor where the model reads one."""
        raw, given = self._raw, []
        try:
            tasks = [tuple(task) for task in tasks]
        except TypeError:
            raise ShapeError("tasks are a list, of each a tuple (x, y) of arrays") from None
        for task in tasks:
            if len(task) not in (2, 3):
                raise ShapeError(f"a task is a tuple of x, y and perhaps a descriptor; given: {len(task)} things")
            x, y = _numbers(task[0], "x", raw.inputs), _numbers(task[1], "y", raw.outputs)
            described = task[2] if len(task) == 3 else None
            given.append((x, y, None if described is None else np.ascontiguousarray(described, dtype=np.float32)))
        return [Network(network, self._device) for network in raw.adapt(self._device, given, _steps(steps))]

    def predict(
        self,
        query: Any,
        support: Any = None,
        target: Any = None,
        *,
        steps: int | None = None,
        interval: float | None = None,
    ) -> Prediction:
        """What is said about every row of a table: each group by the network of its own rows in the support, and all others, or all without support, by the network that knows none.

        target: the support's, where it is no column of it.
        interval: the share of rows that intervals cover, .1 to .95; of values, and with the steps that were chosen.
        """
        if interval is not None:
            if isinstance(interval, bool) or not isinstance(interval, (float, np.floating)) or not 0.1 <= interval <= 0.95:
                raise SettingError(f"interval is {interval!r}: it is a number from .1 to .95")
            if support is None:
                raise SettingError("intervals are for a task's own network: give its known rows (support)")
            if steps is not None:
                raise SettingError("intervals are for the chosen steps of adaptation: leave out steps or interval")
        asked = columns_of(query)
        known = None if support is None else self._table(support, target)
        if known is not None and self.group is not None:
            self._check_known(known, asked, self.group)
        said = self._raw.predict_table(
            self._device, None if known is None else csv_of(known), csv_of(asked), _steps(steps), interval
        )
        return _prediction(said, self._raw)

    def _check_known(self, known: Columns, asked: Columns, group: str) -> None:
        """Refuses rows of many groups that would be taken for one task."""
        check_groups(known, group)
        many = len(set(map(str, known.get(group, ())))) > 1
        if many and group not in asked:
            raise DataError(
                f"the known rows have groups (column '{group}'), and the query has no such column: which group is a row of?"
            )

    def _table(self, support: Any, target: Iterable | None) -> Columns:
        columns = columns_of(support)
        if target is None:
            return columns
        if isinstance(target, str):
            raise SettingError(f"target is '{target}': the values of the target are meant, or nothing where they are a column")
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


def _steps(steps: Any) -> int | None:
    return _count(steps, "steps", 0, _MOST_STEPS)


def _merged(base: dict, over: Mapping, path: str = "") -> dict:
    """Settings over what arguments say, which must not say the same."""
    merged = dict(base)
    for key, value in over.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merged(merged[key], value, name + ".")
        elif key in merged and merged[key] != value:
            raise SettingError(f"{name} is {merged[key]!r} by an argument and {value!r} by settings: leave one out")
        else:
            merged[key] = value
    return merged


def _checked(settings: Any, path: str = "") -> Mapping:
    if not isinstance(settings, Mapping):
        raise SettingError(f"settings are a mapping, as config.toml has them; given: {settings!r:.60}")
    for key, value in settings.items():
        name = f"{path}{key}"
        if not isinstance(key, str):
            raise SettingError(f"settings: {name} is no name of a setting")
        if value is None:
            raise SettingError(f"settings: {name} is None: leave it out")
        if isinstance(value, float) and not math.isfinite(value):
            raise SettingError(f"settings: {name} is {value}")
        if isinstance(value, Mapping):
            _checked(value, name + ".")
    return settings


def _folder(out: Any) -> tuple[Path, _Temporary | None]:
    """The run folder; where none is named, one that goes with the model."""
    if out is None:
        keeps = _Temporary()
        return keeps.path / "run", keeps
    folder = Path(os.path.abspath(os.fspath(out)))
    if not os.fspath(out) or not folder.name:
        raise SettingError(f"out is {os.fspath(out)!r}: it is the path of a folder that is made")
    if folder.is_file() or folder.is_dir() and any(folder.iterdir()):
        raise SettingError(f"out: {folder} exists: name another, or go on with its run by train(out=…, resume=True)")
    return folder, None


def _trained(
    settings: Mapping | None, out: Path, device: Device, progress: Any, tensorboard: bool, keeps: Any = None
) -> Model:
    progress = shown(progress)
    text = None if settings is None else json.dumps(_checked(settings), default=_plain)
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
        return _trained(None, Path(out).absolute(), _device(device), progress, tensorboard)
    folder, keeps = _folder(out)
    return _trained({} if settings is None else settings, folder, _device(device), progress, tensorboard, keeps)


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
    names: dict[str, str] = {}
    for what, given in (("group", group), ("target", target)):
        if isinstance(given, (str, int)) and (isinstance(given, str) or str(given) in columns):
            names[what] = str(given)
            continue
        values = values_of(given, what)
        names[what] = _named(given, what, columns)
        columns = with_column(columns, names[what], values)
    require(columns, {**names, **({} if order is None else {"order": order})})
    check_groups(columns, names["group"])
    folder, keeps = _folder(out)
    file = folder.with_name(folder.name + ".csv")
    if file.exists():
        raise SettingError(f"out: the data would be written to {file}, which exists: name another folder")
    table: dict[str, Any] = {"file": os.fspath(file), "group": names["group"], "target": names["target"]}
    table.update({k: v for k, v in (("order", order), ("kind", kind)) if v is not None})
    said: dict[str, Any] = {"task": "csv", "csv": table}
    if method is not None:
        said["adapt"] = {"method": method}
    if steps is not None:
        said["train"] = {"steps": _count(steps, "steps", 1, 2**53)}
    if seed is not None:
        said["seed"] = _count(seed, "seed", 0, 2**53)
    said = _merged(said, {} if settings is None else _checked(settings))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(csv_of(columns))
    try:
        return _trained(said, folder, _device(device), progress, tensorboard, keeps)
    except BaseException:
        # Of a run that was refused nothing is left.
        if not folder.exists():
            file.unlink()
        raise


def _named(values: Any, what: str, columns: Columns) -> str:
    """The name of values beside a table: their own, where they have one that is free."""
    name = getattr(values, "name", None)
    return name if isinstance(name, str) and name and name not in columns else _free(what, columns)


def _free(name: str, columns: Columns) -> str:
    """A name that no column has."""
    while name in columns:
        name += "_"
    return name
