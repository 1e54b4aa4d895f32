//! Kinds of devices by what they offer, to lower plans for without having one.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::kernel::FILL;
use crate::plan::Caps;
use crate::region::{GroupCaps, RegionCaps, TIERS};

/// Passes of a region: as many as second-order steps through two or three layers need.
pub(super) const PASSES: usize = 64;

/// The same on a software driver, which compiles in time that grows with the square of the passes (7.4 s for 67 of them where
/// two halves take 3.1), while a GPU's compiler takes time in proportion (0.4 s).
pub(super) const PASSES_IN_SOFTWARE: usize = 24;

/// Passes of a loop at most, which cannot be divided.
pub(super) const LOOP_PASSES: usize = 256;

/// What devices of a kind have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceClass {
    /// WebGPU's default limits: what an application gets that asks for nothing.
    Portable,
    /// 32 KiB of workgroup memory: most cards of desktops and laptops.
    Desktop,
    /// 48 KiB.
    Datacentre,
}

impl DeviceClass {
    /// All of them, with their names.
    pub const ALL: [(&str, DeviceClass); 3] = [
        ("portable", DeviceClass::Portable),
        ("desktop", DeviceClass::Desktop),
        ("datacentre", DeviceClass::Datacentre),
    ];

    /// What to lower for, with a window of `window` steps.
    pub fn caps(self, window: usize) -> Caps {
        let (kibibytes, threads, operands) = match self {
            DeviceClass::Portable => (16, 256, 8),
            DeviceClass::Desktop => (32, 1024, 64),
            DeviceClass::Datacentre => (48, 1024, 64),
        };
        // The least of all three: WebGPU's default.
        let max_binding = 128 << 20;
        let group =
            GroupCaps { bytes: kibibytes << 10, threads, operands, passes: PASSES, loop_passes: LOOP_PASSES };
        let regions = Some(region_caps(group));
        Caps { window, max_binding, memory: u64::MAX, fill: FILL, threads: 1, regions }
    }
}

/// What a GPU's regions may take, by what a workgroup of it may.
pub(super) fn region_caps(group: GroupCaps) -> RegionCaps {
    let fast_memory = group.bytes.min(TIERS[TIERS.len() - 1]);
    RegionCaps { least_tasks: 2, bytes: 1 << 20, fast_memory, group: Some(group) }
}

impl FromStr for DeviceClass {
    type Err = Error;

    fn from_str(s: &str) -> Result<DeviceClass> {
        DeviceClass::ALL.iter().find(|(n, _)| *n == s).map(|(_, c)| *c).ok_or_else(|| {
            let names = DeviceClass::ALL.map(|(n, _)| n).join(", ");
            Error::config("device class", format!("'{s}' is none of {names}"))
        })
    }
}

impl fmt::Display for DeviceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = DeviceClass::ALL.iter().find(|(_, c)| c == self).map_or("", |(n, _)| n);
        f.write_str(name)
    }
}
