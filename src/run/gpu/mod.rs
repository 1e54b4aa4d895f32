//! The GPU runner: the one place that names wgpu.
//!
//! A plan is resolved once (buffers, pipelines, bind groups, one uniform buffer) and replayed many times:
//! many steps a submit, one compute pass a submit, and nothing allocated in between. What changes from
//! step to step lies in buffers that the kernels themselves walk along (see `row_read` and `advance`).

mod device;
mod guard;
mod pipeline;
mod replay;
pub mod shader;
mod timing;
mod transfer;

use std::fmt;
use std::str::FromStr;

pub use device::{AdapterKind, AdapterReport, Gpu, adapters};
pub use replay::{GpuRunner, Stats};

use crate::error::{Error, Result};

/// Which device is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceRequest {
    /// A discrete GPU, else an integrated one, else the CPU path.
    #[default]
    Auto,
    /// The CPU path.
    Cpu,
    /// A GPU: an adapter of any kind by its number in [`adapters`], else as `Auto`, but never the CPU path.
    Gpu(Option<usize>),
}

impl FromStr for DeviceRequest {
    type Err = Error;

    fn from_str(s: &str) -> Result<DeviceRequest> {
        match (s, s.strip_prefix("gpu:").map(str::parse)) {
            ("auto", _) => Ok(DeviceRequest::Auto),
            ("cpu", _) => Ok(DeviceRequest::Cpu),
            ("gpu", _) => Ok(DeviceRequest::Gpu(None)),
            (_, Some(Ok(i))) => Ok(DeviceRequest::Gpu(Some(i))),
            _ => Err(Error::config("device", format!("'{s}' is none of auto, cpu, gpu, gpu:NUMBER"))),
        }
    }
}

impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceRequest::Auto => f.write_str("auto"),
            DeviceRequest::Cpu => f.write_str("cpu"),
            DeviceRequest::Gpu(None) => f.write_str("gpu"),
            DeviceRequest::Gpu(Some(i)) => write!(f, "gpu:{i}"),
        }
    }
}

impl DeviceRequest {
    /// Opens what is asked for; `None` stands for the CPU path.
    ///
    /// # Errors
    /// [`Error::Device`], with the adapters that are there, where a GPU is asked for and there is none such,
    /// or it cannot be opened.
    pub fn open(self, checked: bool) -> Result<Option<Gpu>> {
        let index = match self {
            DeviceRequest::Cpu => return Ok(None),
            DeviceRequest::Auto => return Gpu::open(None, checked),
            DeviceRequest::Gpu(index) => index,
        };
        if let Some(gpu) = Gpu::open(index, checked)? {
            return Ok(Some(gpu));
        }
        let there: Vec<String> =
            adapters().iter().map(|a| format!("gpu:{} is {} ({})", a.index, a.name, a.note)).collect();
        let there = if there.is_empty() { "no adapter was found".to_string() } else { there.join("; ") };
        Err(Error::Device(match index {
            Some(i) => format!("there is no adapter {i}: {there}"),
            None => format!("no GPU that would be chosen unasked: {there}"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_back() {
        for s in ["auto", "cpu", "gpu", "gpu:3"] {
            assert_eq!(s.parse::<DeviceRequest>().map(|r| r.to_string()).ok().as_deref(), Some(s));
        }
        assert!("gpu:x".parse::<DeviceRequest>().is_err() && "cuda".parse::<DeviceRequest>().is_err());
    }
}
