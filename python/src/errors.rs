//! The library's errors as exceptions of `hyperloom/_errors.py`.

use hyperloom::Error;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// The exception of an error.
pub(crate) fn raised(error: &Error) -> PyErr {
    let name = match error {
        Error::Io { .. } => "FileError",
        Error::Data { .. } => "DataError",
        Error::Config { .. } => "SettingError",
        Error::Checkpoint { .. } => "CheckpointError",
        Error::Device(_) => "DeviceError",
        Error::Memory(_) => "OutOfMemoryError",
        Error::Diverged(_) => "DivergedError",
        Error::Shape(_) => "ShapeError",
        _ => "HyperloomError",
    };
    named(name, error.to_string())
}

/// An exception of this name.
pub(crate) fn named(name: &str, message: String) -> PyErr {
    Python::attach(|py| {
        let made = py
            .import("hyperloom._errors")
            .and_then(|module| module.getattr(name))
            .and_then(|class| class.call1((&message,)));
        match made {
            Ok(exception) => PyErr::from_value(exception),
            Err(_) => PyRuntimeError::new_err(message),
        }
    })
}

/// Work without the interpreter's lock.
pub(crate) fn apart<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> hyperloom::Result<T> + Send,
) -> PyResult<T> {
    py.detach(work).map_err(|e| raised(&e))
}
