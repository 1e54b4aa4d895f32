"""Trains hypernetworks on any GPU or none: a small network for each task, written from a few of its rows.

    import hyperloom

    model = hyperloom.fit(plants, "height", group="plant", order="week")
    network = model.adapt(new_plant)                 # a few rows of a plant that was never seen
    network.predict(next_weeks).values
    model.predict(next_weeks, new_plant, interval=0.8).low

`hyperloom.estimators` has estimators in the manner of scikit-learn.
"""

from ._errors import (
    CheckpointError,
    DataError,
    DeviceError,
    DivergedError,
    FileError,
    HyperloomError,
    OutOfMemoryError,
    SettingError,
    ShapeError,
)
from ._hyperloom import Device, __version__
from ._model import Model, Network, Picture, Prediction, fit, train

__all__ = [
    "CheckpointError",
    "DataError",
    "Device",
    "DeviceError",
    "DivergedError",
    "FileError",
    "HyperloomError",
    "Model",
    "Network",
    "OutOfMemoryError",
    "Picture",
    "Prediction",
    "SettingError",
    "ShapeError",
    "__version__",
    "fit",
    "train",
]
