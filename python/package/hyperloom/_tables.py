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
    """Named columns of a pandas, polars or Arrow table, a mapping of columns, or an array [rows, columns], whose columns are x1, x2, ….

    Raises ShapeError where columns have not as many rows as each other, or it is none of these.
    """
    if isinstance(data, Mapping):
        columns = {str(name): _column(name, values) for name, values in data.items()}
    elif hasattr(data, "column_names") and hasattr(data, "column"):  # Arrow
        columns = {str(name): data.column(name).to_pylist() for name in data.column_names}
    elif hasattr(data, "columns") and hasattr(data, "__getitem__"):  # pandas, polars
        names = [str(name) for name in data.columns]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ShapeError(f"column '{twice}' is there twice")
        columns = {str(name): _listed(data[name]) for name in data.columns}
    else:
        array = np.asarray(data)
        if array.ndim != 2:
            raise ShapeError(
                f"a table, a mapping of columns or an array [rows, columns] is needed; given: {type(data).__name__}"
                + (f" of shape {list(array.shape)}" if array.ndim else "")
            )
        columns = {f"x{i + 1}": array[:, i].tolist() for i in range(array.shape[1])}
    rows = {len(values) for values in columns.values()}
    if len(rows) > 1:
        sizes = ", ".join(f"'{name}' {len(values)}" for name, values in columns.items())
        raise ShapeError(f"columns need as many rows as each other: {sizes}")
    return columns


def with_column(columns: Columns, name: str, values: Iterable) -> Columns:
    """The same with one column more, in its place where there is one of this name."""
    values = _listed(values)
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


def rows_of(columns: Columns) -> int:
    """Number of rows."""
    return len(next(iter(columns.values()), []))


def csv_of(columns: Columns) -> bytes:
    """The columns as CSV; None, NaN and their like are empty cells."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*([_cell(v) for v in values] for values in columns.values())))
    return text.getvalue().encode()


def _column(name: Any, values: Any) -> list:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise ShapeError(f"column '{name}' is no list of cells: {values!r}")
    return _listed(values)


def _listed(values: Any) -> list:
    if hasattr(values, "to_list"):
        return values.to_list()
    if hasattr(values, "tolist"):
        values = values.tolist()
    return list(values)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, np.generic):
        return _cell(value.item())
    text = repr(value) if isinstance(value, float) else str(value)
    return "" if text in ("NaT", "<NA>") else text
