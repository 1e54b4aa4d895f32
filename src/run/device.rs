//! Which device: what is asked for, and what is taken.

use std::fmt;
use std::str::FromStr;

use super::available_memory;
use super::cpu::CpuRunner;
#[cfg(feature = "gpu")]
use super::gpu::{Gpu, GpuRunner, adapters};
use super::session::{Runner, Session};
use super::store::Store;
use crate::error::{Error, Result};
use crate::plan::{Caps, Plan};

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

/// A device that plans can be prepared on. Clones share it, and are equal.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Device {
    /// The CPU path: f32, all cores.
    Cpu,
    /// The CPU path, every launch by itself.
    CpuByLaunch,
    /// A GPU, through wgpu.
    #[cfg(feature = "gpu")]
    Gpu(Gpu),
}

impl Device {
    /// The device that a request names (`auto`, `cpu`, `gpu`, `gpu:N`), and why it was taken.
    ///
    /// # Errors
    /// [`Error::Config`] for another word; [`Error::Device`], with the adapters that are there, for a device
    /// that is not.
    pub fn choose(request: &str) -> Result<(Device, String)> {
        Device::open(request.parse()?)
    }

    /// As [`Device::choose`].
    #[cfg(feature = "gpu")]
    pub fn open(request: DeviceRequest) -> Result<(Device, String)> {
        let index = match request {
            DeviceRequest::Cpu => return Ok((Device::Cpu, "the CPU path, as asked for".into())),
            DeviceRequest::Auto => {
                return Ok(match Gpu::open(None, false)? {
                    Some(gpu) => (Device::Gpu(gpu.clone()), gpu.reason()),
                    None => (Device::Cpu, "the CPU path: there is no GPU".into()),
                });
            }
            DeviceRequest::Gpu(index) => index,
        };
        if let Some(gpu) = Gpu::open(index, false)? {
            return Ok((Device::Gpu(gpu.clone()), gpu.reason()));
        }
        let there: Vec<String> =
            adapters().iter().map(|a| format!("gpu:{} is {} ({})", a.index, a.name, a.note)).collect();
        let there = if there.is_empty() { "no adapter was found".to_string() } else { there.join("; ") };
        Err(Error::Device(match index {
            Some(i) => format!("there is no adapter {i}: {there}"),
            None => format!("no GPU that would be chosen unasked: {there}"),
        }))
    }

    /// As [`Device::choose`].
    #[cfg(not(feature = "gpu"))]
    pub fn open(request: DeviceRequest) -> Result<(Device, String)> {
        match request {
            DeviceRequest::Gpu(_) => Err(Error::Device("this build has no GPU path (feature 'gpu')".into())),
            _ => Ok((Device::Cpu, "the CPU path: this build has no other".into())),
        }
    }

    /// The same device, which runs every launch by itself: to find out whether a task region is at fault, or what it gains.
    #[must_use]
    pub fn without_regions(self) -> Device {
        match self {
            Device::Cpu | Device::CpuByLaunch => Device::CpuByLaunch,
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => Device::Gpu(gpu.without_regions()),
        }
    }

    /// What to lower for, with a window of `window` steps.
    pub fn caps(&self, window: usize) -> Caps {
        match self {
            Device::Cpu => Caps { memory: available_memory(), ..Caps::cpu(window) },
            Device::CpuByLaunch => Device::Cpu.caps(window).without_regions(),
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => gpu.caps(window),
        }
    }

    /// One word for reports: `cpu`, or `gpu`.
    pub fn kind(&self) -> &'static str {
        match self {
            Device::Cpu | Device::CpuByLaunch => "cpu",
            #[cfg(feature = "gpu")]
            Device::Gpu(_) => "gpu",
        }
    }

    /// `cpu`, or the adapter's name.
    pub fn name(&self) -> String {
        match self {
            Device::Cpu | Device::CpuByLaunch => "cpu".into(),
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => gpu.describe(),
        }
    }

    /// A store, empty at first, of values that several plans share.
    pub fn store(&self) -> Store {
        Store::new(self.clone())
    }

    /// Allocates a plan's slots.
    ///
    /// # Errors
    /// [`Error::Memory`] or [`Error::Device`] where the device refuses.
    pub fn prepare(&self, plan: Plan) -> Result<Session> {
        let runner = match self {
            Device::Cpu | Device::CpuByLaunch => Runner::Cpu(Box::new(CpuRunner::prepare(&plan))),
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => Runner::Gpu(Box::new(GpuRunner::prepare(gpu, &plan)?)),
        };
        Ok(Session::new(plan, runner, vec![]))
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
