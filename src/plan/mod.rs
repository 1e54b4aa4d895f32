//! The plan: how to compute. Launches of kernels over numbered slots; plain data that any runner can
//! execute and no type of any device.
//!
//! Part of the engine: public for tests and tools, without a promise of stability beside [`lower`],
//! [`Caps`] and [`KEEP`].
//!
//! ```
//! use hyperloom::graph::Graph;
//! use hyperloom::plan::{Caps, lower};
//!
//! let mut g = Graph::new();
//! let e = g.expr();
//! let y = (e.data("x", &[8, 2]).dot(e.data("w", &[2, 3])) + e.data("b", &[1, 3])).tanh().value();
//! g.output("y", y);
//! // A product takes its bias and its activation along: one launch.
//! let plan = lower(&g, Caps::cpu(1))?;
//! assert_eq!(plan.launches.len(), 1);
//! # Ok::<(), hyperloom::Error>(())
//! ```

mod cost;
mod launch;
mod lower;
mod memory;
mod show;
mod verify;

use crate::error::{Error, Result};
use crate::region::RegionCaps;
use crate::spec::{DType, Shape};
use crate::view::View;
pub use cost::Cost;
pub use launch::{Launch, Program};
pub use lower::{bytes, lower};

/// Number of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub usize);

/// What a slot is for, which decides who writes it and how long its contents last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotRole {
    /// Written by the host, kept until written again.
    Data,
    /// A window of rows, one a step, written by the host at once.
    Window,
    /// Lives across steps.
    State,
    /// Contents last within one step.
    Scratch,
    /// Read by the host after a step.
    Output,
    /// One row a step, read by the host now and then.
    Records,
}

/// One buffer of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// What it is for.
    pub role: SlotRole,
    /// Element type.
    pub dtype: DType,
    /// Number of elements (4 bytes each).
    pub len: usize,
    /// Name, for messages.
    pub label: String,
}

/// A view of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The slot.
    pub slot: SlotId,
    /// Where in it.
    pub view: View,
}

/// A named value of a plan that the host reads or writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name in the graph.
    pub name: String,
    /// Where it lies; of step inputs, the row of step 0.
    pub arg: Arg,
    /// Its shape.
    pub shape: Shape,
}

/// Elements of a task (64 KiB) that training lets the gradient of a scan keep ([`crate::graph::Graph::keep`]): about what a region has
/// room for beside the steps of inner learning. More is faster computed again than fetched.
pub const KEEP: usize = 1 << 14;

/// What to lower for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caps {
    /// Rows of the window of step inputs and of the ring of records: steps between two visits of the host.
    pub window: usize,
    /// Largest buffer a launch can bind, in bytes.
    pub max_binding: u64,
    /// Memory for all slots, in bytes.
    pub memory: u64,
    /// Whether stretches of work that belong to tasks become one launch; `None`: every launch by itself.
    pub regions: Option<RegionCaps>,
    /// Workgroups that keep the device busy, which the tiles of products are chosen by; more than 1 also has long sums
    /// with few results cut in parts, for a device that computes many results at once.
    pub fill: usize,
    /// Threads that chunks of tasks may be given to side by side, each with buffers of its own: on the CPU. No result depends on it.
    pub threads: usize,
}

impl Caps {
    /// The same, every launch by itself.
    pub fn without_regions(self) -> Caps {
        Caps { regions: None, ..self }
    }

    /// For the CPU path, of a machine with as much memory as it takes: what is there, a device knows.
    pub fn cpu(window: usize) -> Caps {
        let regions = RegionCaps { least_tasks: 8, bytes: 4 << 20, fast_memory: 128 << 10, group: None };
        Caps {
            window,
            max_binding: u64::MAX,
            memory: u64::MAX,
            fill: 1,
            threads: rayon::current_num_threads(),
            regions: Some(regions),
        }
    }
}

/// Launches over slots, with the names through which the host reaches in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The buffers.
    pub slots: Vec<Slot>,
    /// The launches of one step, in order.
    pub launches: Vec<Launch>,
    /// Inputs that the host writes (data and state).
    pub inputs: Vec<Port>,
    /// Step inputs: one row a step in a window slot.
    pub steps: Vec<Port>,
    /// Declared inputs that nothing reads; what the host writes to them is ignored.
    pub unused: Vec<String>,
    /// Results that the host reads.
    pub outputs: Vec<Port>,
    /// Inputs and outputs that may lie in a store: each holds its slot, which lies in a buffer of its own, whole.
    pub stored: Vec<String>,
    /// Names of the records, in the order of a ring row.
    pub records: Vec<String>,
    /// Rows of windows and ring.
    pub window: usize,
    /// The slot that counts steps within the window, where there are step inputs or records.
    pub counter: Option<SlotId>,
    /// The ring of records, `[window, records]`.
    pub ring: Option<SlotId>,
    /// A data slot with these constants, which a runner fills when the plan is prepared.
    pub constants: Option<(SlotId, Vec<f64>)>,
    /// Slots that share a buffer, so that regions find all they touch in as many as a device can bind: each list is one
    /// buffer. A slot in none of them has a buffer of its own.
    pub shared_buffers: Vec<Vec<SlotId>>,
    /// What is in no task region, and why.
    pub notes: Vec<String>,
}

impl Plan {
    /// Bytes of all slots.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().map(|s| 4 * s.len as u64).sum()
    }

    /// Checks that the plan is sound: every launch stays inside its slots and reads none that it writes.
    /// `lower` returns sound plans only; runners check those made by hand.
    ///
    /// # Errors
    /// [`Error::Shape`] with the launch and the fault.
    pub fn check(&self) -> Result<()> {
        verify::verify(self).map_err(|fault| Error::Shape(format!("the plan is not sound: {fault}")))
    }

    /// For each slot, the first slot of the buffer that it lies in, and its first element there.
    pub(crate) fn places_in_buffers(&self) -> Vec<(SlotId, usize)> {
        memory::places_in_buffers(&self.slots, &self.shared_buffers)
    }

    /// The input called `name`, data or state.
    pub fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|p| p.name == name)
    }

    /// The step input called `name`.
    pub fn step(&self, name: &str) -> Option<&Port> {
        self.steps.iter().find(|p| p.name == name)
    }

    /// The input or output called `name`.
    pub fn port(&self, name: &str) -> Option<&Port> {
        self.input(name).or_else(|| self.output(name))
    }

    /// The output called `name`.
    pub fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|p| p.name == name)
    }
}
