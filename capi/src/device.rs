//! Where things are computed.

use std::ffi::{CString, c_char};
use std::ptr;

use crate::arguments::{place, text};
use crate::failure::{Status, guarded, looked_at};

/// A GPU, or the CPU path. Any number of threads may use one at once.
#[derive(Debug)]
pub struct Device {
    pub(crate) device: hyperloom::Device,
    name: CString,
}

/// Opens a device: "auto" (a GPU where there is one), "cpu", "gpu" or "gpu:N".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_device_open(request: *const c_char, device: *mut *mut Device) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        let (request, place) = unsafe { (text(request, "request")?, place(device, "device")?) };
        *place = ptr::null_mut();
        let (device, _) = hyperloom::Device::choose(request)?;
        let name = CString::new(device.name().replace('\0', "")).unwrap_or_default();
        *place = Box::into_raw(Box::new(Device { device, name }));
        Ok(())
    })
}

/// "cpu", or the adapter's name; valid as long as the device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_device_name(device: *const Device) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { looked_at(device, ptr::null(), |device| device.name.as_ptr()) }
}

/// 1 of a GPU, 0 of the CPU path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_device_is_gpu(device: *const Device) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { looked_at(device, 0, |device| i32::from(device.device.kind() == "gpu")) }
}

/// Frees a device; NULL is none. What was prepared on it is freed with the models and networks that prepared it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_device_free(device: *mut Device) {
    if !device.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(device) });
    }
}
