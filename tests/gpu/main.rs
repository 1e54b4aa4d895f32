//! The GPU runner on whatever device is there: a GPU, else a software rasteriser.
//!
//! `HYPERLOOM_GPU` says what to do without one: `require` (the default) fails, `auto` skips, `off` skips always.
#![cfg(feature = "gpu")]

mod buckets;
mod chains;
mod continual;
mod export;
#[path = "../support/exported.rs"]
mod exported;
mod golden;
mod influence;
mod limits;
mod lockstep;
mod norms;
mod policies;
mod prepared;
mod regions;
mod runner;
mod search;
mod shards;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod training;
#[path = "../support/twin.rs"]
mod twin;

use hyperloom::plan::{Arg, Launch, Plan, Slot, SlotId, SlotRole};
use hyperloom::run::gpu::Gpu;
use hyperloom::spec::DType;
use hyperloom::view::View;

const HELP: &str = "no GPU was found. Install a driver, or a software one to test with (Mesa's lavapipe: \
    package mesa-vulkan-drivers on Debian and Ubuntu, vulkan-swrast on Arch, mesa-vulkan-drivers on Fedora), \
    or set HYPERLOOM_GPU=auto to skip these tests";

/// The device to test on; `None` where the tests are to be skipped.
fn gpu(checked: bool) -> Option<Gpu> {
    let mode = std::env::var("HYPERLOOM_GPU").unwrap_or_else(|_| "require".into());
    if mode == "off" {
        return None;
    }
    let open = || Ok(Gpu::open(None, checked)?.or(Gpu::software(checked)?));
    let found = open().unwrap_or_else(|e: hyperloom::error::Error| panic!("{e}"));
    assert!(found.is_some() || mode == "auto", "{HELP}");
    found
}

/// A plan made by hand out of slots and launches.
fn plan(slots: Vec<(SlotRole, DType, usize)>, launches: Vec<Launch>) -> Plan {
    let slot = |(i, (role, dtype, len))| Slot { role, dtype, len, label: format!("slot {i}") };
    Plan { slots: slots.into_iter().enumerate().map(slot).collect(), launches, window: 1, ..Plan::default() }
}

fn arg(slot: usize, view: View) -> Arg {
    Arg { slot: SlotId(slot), view }
}

fn whole(slot: usize, shape: &[usize]) -> Arg {
    arg(slot, View::contiguous(shape, 0))
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn floats(x: &[u32]) -> Vec<f32> {
    x.iter().map(|x| f32::from_bits(*x)).collect()
}
