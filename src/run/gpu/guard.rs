//! Errors of wgpu as [`Error`]s. wgpu reports through error scopes and panics where nobody listens; every
//! call that can fail goes through here, so that no handler of the whole process or device is needed.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result};

/// Runs wgpu calls and returns the error that they raised, if any. `what` says what was tried.
pub(super) fn guarded<T>(device: &wgpu::Device, what: &str, calls: impl FnOnce() -> T) -> Result<T> {
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let out = calls();
    // All are popped before any is looked at: scopes are a stack.
    let errors = [at_once(internal.pop()), at_once(validation.pop()), at_once(memory.pop())];
    match errors.into_iter().flatten().next() {
        None => Ok(out),
        Some(wgpu::Error::OutOfMemory { .. }) => {
            Err(Error::Memory(format!("{what}: the device has no room")))
        }
        Some(e) => Err(Error::Device(format!("{what}: {}", one_line(&e.to_string())))),
    }
}

/// The result of a future that is ready, which those of error scopes are outside of browsers.
fn at_once<T>(future: impl Future<Output = Option<T>>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(x) => x,
        Poll::Pending => None,
    }
}

/// wgpu's messages have several indented lines.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lets wgpu make progress; waits for a submission where `wait` says so. Whether all that was sent is done.
///
/// wgpu 30 panics in `poll` when the device is lost, and offers no other way to wait. That panic ends here.
pub(super) fn poll(device: &wgpu::Device, wait: wgpu::PollType) -> Result<bool> {
    match catch_unwind(AssertUnwindSafe(|| device.poll(wait))) {
        Ok(Ok(status)) => Ok(status.is_queue_empty()),
        Ok(Err(e)) => Err(Error::Device(format!("waiting for the device failed: {e}"))),
        Err(_) => Err(Error::Device("the device was lost while its work was waited for".into())),
    }
}
