//! The C interface, as `include/hyperloom.h` declares it.
//!
//! Handles are models, networks and devices of the library. Nothing unwinds across the border ([`failure`]); the library refuses what it cannot
//! use, and this crate what C can get wrong besides ([`arguments`]).
//!
//! Safety, of every function: handles are NULL or what this library gave and was not freed, arrays are NULL or as long as is said of them, and places that
//! results go to are NULL or can be written. The header says so once.

#![allow(clippy::missing_safety_doc, reason = "one promise holds for all of the interface: above")]

mod arguments;
pub mod device;
pub mod failure;
pub mod model;
pub mod network;
pub mod text;

use std::ffi::c_char;

/// The library's version, as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn hl_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// What several threads use at once.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<device::Device>();
    shared::<model::Model>();
    shared::<network::Network>();
    shared::<text::Text>();
};
