"""How far training is, in a terminal or a notebook."""

from __future__ import annotations

import sys
import time
from typing import Any

from ._errors import SettingError


class Progress:
    """A line that is written over, at most ten times a second. One of your own is any callable with these arguments."""

    def __init__(self) -> None:
        self._written = 0.0
        self._phase = ""
        self._display: Any = None
        self._notebook = _notebook()

    def __call__(self, phase: str, step: int, steps: int, loss: float, per_second: float, unit: str) -> None:
        now = time.monotonic()
        if phase == self._phase and step < steps and now - self._written < 0.1:
            return
        new, self._phase, self._written = phase != self._phase, phase, now
        line = phase if steps == 0 else f"{phase}  {step:,} of {steps:,}"
        if steps and loss == loss:
            line += f"  loss {loss:.4g}"
        if steps and per_second > 0:
            line += f"  {per_second:,.0f} {unit}/s"
        if self._notebook is not None:
            self._show(line, new)
        else:
            sys.stderr.write(("\n" if new and self._display else "\r") + line + "\x1b[K")
            sys.stderr.flush()
            self._display = True

    def close(self) -> None:
        """Ends the line."""
        if self._display is True:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _show(self, line: str, new: bool) -> None:
        text = {"text/plain": line}
        if new or self._display is None:
            self._display = self._notebook(text, raw=True, display_id=True)
        else:
            self._display.update(text, raw=True)


def shown(progress: Any) -> Any:
    """What "auto", None or a callable stand for."""
    if progress is None or callable(progress):
        return progress
    if progress != "auto":
        raise SettingError(f'progress is {progress!r}: it is "auto", None or a callable')
    return Progress() if sys.stderr.isatty() or _notebook() is not None else None


def _notebook() -> Any:
    """What shows things in a notebook; None elsewhere."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    return display if shell is not None and hasattr(shell, "kernel") else None
