"""What can go wrong. Every error is a HyperloomError, and also the built-in exception that it is most like."""


class HyperloomError(Exception):
    """Any error of this package."""


class FileError(HyperloomError, OSError):
    """The operating system refused to read or write a file."""


class DataError(HyperloomError, ValueError):
    """A table holds something that cannot be used; the message names line and column."""


class SettingError(HyperloomError, ValueError):
    """A setting is unknown, out of range or in conflict with another."""


class CheckpointError(HyperloomError, ValueError):
    """A model's file or run folder cannot be used."""


class ShapeError(HyperloomError, ValueError):
    """Arrays do not have the shapes that the model needs."""


class DeviceError(HyperloomError, RuntimeError):
    """A device is missing or lost."""


class OutOfMemoryError(HyperloomError, MemoryError):
    """It does not fit the memory of the device."""


class DivergedError(HyperloomError, ArithmeticError):
    """Training gave NaN or infinity again and again."""
