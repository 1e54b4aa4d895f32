//! Errors as a status and the message of the thread, and the wall that no panic passes.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::{process, ptr};

use hyperloom::Error;

/// How a call ended. Of all but HL_STATUS_OK hl_error() has the message.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Ok = 0,
    /// A pointer is NULL, a text is no UTF-8, an array has no room, or options have no size.
    Argument = 1,
    /// A file cannot be read or written.
    Io = 2,
    /// A table holds what cannot be used; the message names line and column.
    Data = 3,
    /// A setting is out of range, or does not fit another.
    Setting = 4,
    /// A model's file or run folder cannot be used.
    Checkpoint = 5,
    /// A device is missing or lost. A lost one is opened again by hl_device_open; models and networks stay as they are.
    Device = 6,
    /// It does not fit the memory.
    Memory = 7,
    /// Numbers are more or fewer than the model reads.
    Shape = 8,
    /// A fault of this library: please report it with its message.
    Fault = 9,
}

/// What a call refuses.
pub(crate) struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    pub(crate) fn argument(message: impl Into<String>) -> Failure {
        Failure { status: Status::Argument, message: message.into() }
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        let status = match &e {
            Error::Io { .. } => Status::Io,
            Error::Data { .. } => Status::Data,
            Error::Config { .. } => Status::Setting,
            Error::Checkpoint { .. } => Status::Checkpoint,
            Error::Device(_) => Status::Device,
            Error::Memory(_) => Status::Memory,
            Error::Shape(_) => Status::Shape,
            _ => Status::Fault,
        };
        Failure { status, message: e.to_string() }
    }
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

thread_local! {
    static MESSAGE: RefCell<CString> = RefCell::default();
}

/// The process that began to work here.
static PROCESS: OnceLock<u32> = OnceLock::new();

/// Refuses work in a process that was forked from one that had begun to: the threads that work is done by are not there, and it would wait for ever.
fn check_process() -> Outcome {
    match *PROCESS.get_or_init(process::id) == process::id() {
        true => Ok(()),
        false => Err(Failure::argument(
            "this process was forked from one that used hyperloom, whose threads it lacks: use the library in one of them",
        )),
    }
}

/// Runs what a function of the interface does; what it refuses becomes the thread's message.
pub(crate) fn guarded(call: impl FnOnce() -> Outcome) -> Status {
    let failure = match catch_unwind(AssertUnwindSafe(|| check_process().and_then(|()| call()))) {
        Ok(Ok(())) => return Status::Ok,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure { status: Status::Fault, message: said_by(panic.as_ref()) },
    };
    let message: Vec<u8> = failure.message.bytes().filter(|b| *b != 0).collect();
    MESSAGE.with(|kept| *kept.borrow_mut() = CString::new(message).unwrap_or_default());
    failure.status
}

/// What something that only looks at a handle gives; of NULL `none`.
///
/// # Safety
/// NULL, or a handle of this library that was not freed.
pub(crate) unsafe fn looked_at<T, R>(handle: *const T, none: R, look: impl FnOnce(&T) -> R) -> R {
    // SAFETY: the caller's promise.
    match unsafe { handle.as_ref() } {
        Some(handle) => catch_unwind(AssertUnwindSafe(|| look(handle))).unwrap_or(none),
        None => none,
    }
}

fn said_by(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a fault inside hyperloom: {}", text.unwrap_or("no message"))
}

/// What was wrong with the last call of this thread that failed: one line of UTF-8, valid until the next that fails. Empty where none did.
#[unsafe(no_mangle)]
pub extern "C" fn hl_error() -> *const c_char {
    MESSAGE.try_with(|kept| kept.borrow().as_ptr()).unwrap_or(ptr::null())
}
