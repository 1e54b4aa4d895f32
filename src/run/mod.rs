//! Where plans run: on the CPU or on a GPU. A [`Session`] is a plan on a [`Device`]; a [`Store`] holds what several
//! plans share.
//!
//! Part of the engine: public for tests and tools, without a promise of stability beside these and
//! `gpu::Gpu`.
//!
//! ```
//! use hyperloom::graph::Graph;
//! use hyperloom::plan::lower;
//! use hyperloom::run::Device;
//!
//! let mut g = Graph::new();
//! let e = g.expr();
//! let y = (e.data("x", &[3]) * 2.0).total().value();
//! g.output("y", y);
//! let mut session = Device::Cpu.prepare(lower(&g, Device::Cpu.caps(1))?)?;
//! session.write("x", &[1.0, 2.0, 3.0])?;
//! session.run(1)?;
//! assert_eq!(session.read("y")?, [12.0]);
//! # Ok::<(), hyperloom::Error>(())
//! ```

pub mod cpu;
mod device;
#[cfg(feature = "gpu")]
pub mod gpu;
mod memory;
mod session;
mod store;

pub use device::{Device, DeviceRequest};
pub(crate) use memory::available_memory;
pub use session::Session;
pub use store::Store;

/// The middle of times, the upper of two; 0 where there is none.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}

/// The [`median`] of each of so many columns.
pub(crate) fn medians(rows: &[Vec<f64>], columns: usize) -> Vec<f64> {
    (0..columns).map(|i| median(rows.iter().map(|r| r[i]).collect())).collect()
}
