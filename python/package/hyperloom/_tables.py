"""Tables of any kind as CSV, which the library reads."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ._errors import DataError, ShapeError

Columns = dict[str, list]


def columns_of(data: Any) -> Columns:
    """Named columns of a pandas, polars or Arrow table, a mapping of columns, an array with named fields, or an array [rows, columns], whose columns are x1, x2, ….

    Raises ShapeError where columns have not as many rows as each other or no name of their own, or it is none of these.
    """
    if hasattr(data, "collect") and hasattr(data, "collect_schema"):  # a lazy frame of polars
        data = data.collect()
    if isinstance(data, Mapping):
        named = list(data.items())
    elif hasattr(data, "column_names") and hasattr(data, "column"):  # Arrow
        named = [(name, data.column(name).to_pylist()) for name in data.column_names]
    elif hasattr(data, "columns") and hasattr(data, "__getitem__"):  # pandas, polars
        # Not by their names, which may be there twice.
        at = data.iloc.__getitem__ if hasattr(data, "iloc") else None
        named = [(name, at((slice(None), i)) if at else data[name]) for i, name in enumerate(data.columns)]
    elif getattr(getattr(data, "dtype", None), "names", None):
        named = [(name, data[name]) for name in data.dtype.names]
    else:
        try:
            array = np.asarray(data)
        except ValueError as e:
            raise ShapeError(f"a table or an array [rows, columns] is needed: {e}") from None
        if array.ndim != 2 or array.dtype == object and any(isinstance(v, Mapping) for v in array.flat):
            raise ShapeError(
                f"a table, a mapping of columns or an array [rows, columns] is needed; given: {type(data).__name__}"
                + (f" of shape {list(array.shape)}" if array.ndim else "")
            )
        masked = np.ma.isMaskedArray(data)
        named = [(f"x{i + 1}", (data if masked else array)[:, i]) for i in range(array.shape[1])]
    columns: Columns = {}
    for name, values in named:
        if not str(name).strip():
            raise ShapeError("a column has no name")
        if str(name) in columns:
            raise ShapeError(f"column '{name}' is there twice")
        columns[str(name)] = values_of(values, f"column '{name}'")
    rows = {len(values) for values in columns.values()}
    if len(rows) > 1:
        sizes = ", ".join(f"'{name}' {len(values)}" for name, values in columns.items())
        raise ShapeError(f"columns need as many rows as each other: {sizes}")
    return columns


def values_of(values: Any, what: str) -> list:
    """Cells of one column: a list, a series, an array [rows] or [rows, 1], or a table of one column.

    Raises ShapeError where it is none of these.
    """
    if hasattr(values, "columns") and hasattr(values, "__getitem__"):
        inside = list(columns_of(values).values())
        if len(inside) != 1:
            raise ShapeError(f"{what} is a table of {len(inside)} columns: give one of them")
        return inside[0]
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise ShapeError(f"{what} is no list of cells: {values!r:.60}")
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise ShapeError(f"{what} is an array of shape {list(values.shape)}: one axis is needed")
    if kind == "m":
        raise ShapeError(f"{what} holds durations: give them as numbers, of days for example")
    if kind == "c":
        raise ShapeError(f"{what} holds complex numbers")
    if kind == "M" and isinstance(values, np.ndarray):
        texts = np.datetime_as_string(values, unit="s").tolist()
        return [None if text == "NaT" else text.replace("T", " ") for text in texts]
    if hasattr(values, "to_list"):
        return values.to_list()
    return values.tolist() if hasattr(values, "tolist") else list(values)


def with_column(columns: Columns, name: str, values: Any) -> Columns:
    """The same with one column more, in its place where there is one of this name."""
    values = values_of(values, f"'{name}'")
    rows = rows_of(columns)
    if columns and len(values) != rows:
        raise ShapeError(f"'{name}' has {len(values)} rows, and the table has {rows}")
    return {**columns, name: values}


def require(columns: Columns, names: Mapping[str, str]) -> None:
    """Refuses a table that lacks one of these columns, by what they are for."""
    for what, name in names.items():
        if name not in columns:
            near = difflib.get_close_matches(name, columns, 1)
            hint = f"did you mean '{near[0]}'?" if near else "the columns are " + ", ".join(f"'{c}'" for c in columns)
            raise DataError(f"the table has no column '{name}', which {what} names; {hint}")


def check_groups(columns: Columns, group: str) -> None:
    """Refuses groups that are two, and one as the text of a cell."""
    known: dict[str, Any] = {}
    for value in columns.get(group, ()):
        text = _cell(value).strip()
        other = known.setdefault(text, value)
        if _cell(other) != _cell(value) or isinstance(other, str) != isinstance(value, str):
            raise DataError(
                f"groups {other!r} and {value!r} of column '{group}' are one in a table of text: name one of them otherwise"
            )


def rows_of(columns: Columns) -> int:
    """Number of rows."""
    return len(next(iter(columns.values()), []))


def csv_of(columns: Columns) -> bytes:
    """The columns as CSV; None, NaN and their like are empty cells."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*([_cell(v) for v in values] for values in columns.values())))
    try:
        return text.getvalue().encode()
    except UnicodeEncodeError as e:
        raise DataError(f"a cell holds half a character, which no text can: {e}") from None


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, np.floating):
        value = float(value)
    if value is None or isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (bytes, complex)):
        raise DataError(f"{value!r:.60} is neither a number nor a text")
    if isinstance(value, float):
        # As whole numbers have it: a column of these becomes one of floats where a cell is missing.
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    text = str(value)
    return "" if text in ("NaT", "<NA>") else text
