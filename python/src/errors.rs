//! The library's errors as exceptions of `hyperloom/_errors.py`.

use std::sync::OnceLock;

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

/// The process that began to work here.
static PROCESS: OnceLock<u32> = OnceLock::new();

/// Refuses work in a process that was forked from one that had begun to: its threads of work are not there.
pub(crate) fn check_process() -> PyResult<()> {
    if *PROCESS.get_or_init(std::process::id) == std::process::id() {
        return Ok(());
    }
    let why = "this process was forked from one that used hyperloom, whose threads it lacks: start processes by 'spawn' \
               (multiprocessing.get_context(\"spawn\"))";
    Err(named("HyperloomError", why.into()))
}

/// Work without the interpreter's lock.
pub(crate) fn apart<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> hyperloom::Result<T> + Send,
) -> PyResult<T> {
    check_process()?;
    py.detach(work).map_err(|e| raised(&e))
}
