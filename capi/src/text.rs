//! Texts that are handed out.

use std::ffi::c_char;
use std::ptr;

use crate::failure::looked_at;

/// A text that the library made.
#[derive(Debug)]
pub struct Text {
    bytes: Vec<u8>,
}

impl Text {
    /// With a zero byte behind it.
    pub(crate) fn of(mut bytes: Vec<u8>) -> Text {
        bytes.push(0);
        Text { bytes }
    }
}

/// The text, UTF-8 with a zero byte behind it; valid until it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_text_data(text: *const Text) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { looked_at(text, ptr::null(), |text| text.bytes.as_ptr().cast()) }
}

/// Its bytes, without the zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_text_size(text: *const Text) -> usize {
    // SAFETY: the caller's promise.
    unsafe { looked_at(text, 0, |text| text.bytes.len() - 1) }
}

/// Frees a text; NULL is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_text_free(text: *mut Text) {
    if !text.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(text) });
    }
}
