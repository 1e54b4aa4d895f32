//! What callers hand over: pointers that may be NULL, and structs that older programs know less of.

use std::ffi::{CStr, c_char};
use std::{mem, ptr, slice};

use crate::failure::{Failure, Outcome};

/// A handle.
///
/// # Safety
/// NULL, or one of this library that was not freed.
pub(crate) unsafe fn handle<'a, T>(pointer: *const T, name: &str) -> Outcome<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| Failure::argument(format!("{name} is NULL")))
}

/// Where a result goes.
///
/// # Safety
/// NULL, or a place that can be written.
pub(crate) unsafe fn place<'a, T>(pointer: *mut T, name: &str) -> Outcome<&'a mut T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or_else(|| Failure::argument(format!("{name} is NULL")))
}

/// Elements of an array.
///
/// # Safety
/// NULL, or an array of so many elements.
pub(crate) unsafe fn array<'a, T>(pointer: *const T, count: usize, name: &str) -> Outcome<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    check_array(pointer, count, name)?;
    // SAFETY: the caller's promise; neither NULL nor longer than memory.
    Ok(unsafe { slice::from_raw_parts(pointer, count) })
}

/// The same to be written.
///
/// # Safety
/// NULL, or an array of so many elements that nobody else looks at.
pub(crate) unsafe fn array_mut<'a, T>(pointer: *mut T, count: usize, name: &str) -> Outcome<&'a mut [T]> {
    if count == 0 {
        return Ok(&mut []);
    }
    check_array(pointer, count, name)?;
    // SAFETY: as above.
    Ok(unsafe { slice::from_raw_parts_mut(pointer, count) })
}

fn check_array<T>(pointer: *const T, count: usize, name: &str) -> Outcome {
    if pointer.is_null() {
        return Err(Failure::argument(format!("{name} is NULL, and {count} elements were announced")));
    }
    if !pointer.is_aligned() {
        return Err(Failure::argument(format!("{name} is not aligned as its elements are")));
    }
    match count.checked_mul(mem::size_of::<T>()).is_some_and(|bytes| bytes <= isize::MAX as usize) {
        true => Ok(()),
        false => Err(Failure::argument(format!("{name} cannot have {count} elements"))),
    }
}

/// A text that ends with a zero byte.
///
/// # Safety
/// NULL, or such a text.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Outcome<&'a str> {
    if pointer.is_null() {
        return Err(Failure::argument(format!("{name} is NULL")));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| Failure::argument(format!("{name} is no UTF-8")))
}

/// Options, which begin with their size: of a program that knows fewer the others are as in `T::default()`.
///
/// # Safety
/// NULL, or options of that size.
pub(crate) unsafe fn options<T: Copy + Default>(pointer: *const T, name: &str) -> Outcome<T> {
    let mut all = T::default();
    if pointer.is_null() {
        return Ok(all);
    }
    // SAFETY: options begin with their size.
    let size = unsafe { ptr::read_unaligned(pointer.cast::<usize>()) };
    let whole = mem::size_of::<T>();
    // Fields are as long as the longest: none is cut in two.
    let cut = size != mem::size_of::<usize>() && !size.is_multiple_of(8);
    if cut || !(mem::size_of::<usize>()..=whole).contains(&size) {
        let message = format!("{name}.size is {size}: it is sizeof of the struct, {whole} in this library");
        return Err(Failure::argument(message));
    }
    // SAFETY: so many bytes are there on both sides, and any bytes are options.
    unsafe { ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut all).cast::<u8>(), size) };
    Ok(all)
}
