//! The GPU runner: the one place that names wgpu.
//!
//! A plan is resolved once (buffers, pipelines, bind groups, one uniform buffer) and replayed many times:
//! many steps a submit, one compute pass a submit, and nothing allocated in between. What changes from
//! step to step lies in buffers that the kernels themselves walk along (see `row_read` and `advance`).

mod cache;
mod class;
mod device;
mod guard;
mod pipeline;
mod replay;
pub mod shader;
mod timing;
mod transfer;

pub use class::DeviceClass;
pub use device::{AdapterKind, AdapterReport, Gpu, adapters};
pub use replay::{GpuRunner, Stats};
pub(super) use transfer::SharedBuffer;
/// The wgpu that [`Gpu::from_device`] takes devices of.
pub use wgpu;
