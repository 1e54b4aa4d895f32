//! Where plans run: on the CPU or on a GPU. A [`Session`] is a plan on a [`Device`].

pub mod check;
pub mod cpu;
mod device;
pub mod golden;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "gpu")]
pub mod lockstep;
mod session;

pub use device::{Device, DeviceRequest};
pub use session::Session;
