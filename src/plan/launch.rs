//! One launch of a plan: a kernel, or a whole task region, over views of slots.

use std::sync::Arc;

use super::{Arg, SlotId};
use crate::kernel::{Dispatch, FILL, Kernel, Read, Real, Tier, Work, Write};
use crate::region::Region;
use crate::region::chunks::Chunks;
use crate::view::View;

/// What a launch runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Program {
    /// A kernel with its scalar parameters.
    Kernel(Kernel),
    /// A task region: blocks of kernels, run for every task.
    Region(Arc<Region>),
    /// Chunks of tasks, one after another or side by side: on the CPU.
    Chunks(Arc<Chunks>),
}

impl From<Kernel> for Program {
    fn from(kernel: Kernel) -> Program {
        Program::Kernel(kernel)
    }
}

/// One launch.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// What runs.
    pub program: Program,
    /// What it reads, in the kernel's order.
    pub reads: Vec<Arg>,
    /// What it writes, in the kernel's order. In-place kernels read it too.
    pub writes: Vec<Arg>,
    /// The graph scope it comes from.
    pub label: String,
    /// How a GPU computes it, of kernels that have several shaders.
    tier: Option<Tier>,
}

impl Launch {
    /// A launch; a product is computed as on any GPU ([`FILL`]).
    pub fn new(
        program: impl Into<Program>,
        reads: Vec<Arg>,
        writes: Vec<Arg>,
        label: impl Into<String>,
    ) -> Launch {
        Launch { program: program.into(), reads, writes, label: label.into(), tier: None }.for_device(FILL)
    }

    /// The same for a device that `fill` workgroups keep busy, which products are computed by ([`crate::kernel::tier`]).
    #[must_use]
    pub fn for_device(mut self, fill: usize) -> Launch {
        let [reads, writes] = self.views();
        self.tier = match &self.program {
            Program::Kernel(k) => k.tier(&reads, &writes, fill),
            Program::Region(_) | Program::Chunks(_) => None,
        };
        self
    }

    /// The region that it runs, if it does.
    pub fn region(&self) -> Option<&Region> {
        match &self.program {
            Program::Region(r) => Some(r),
            Program::Kernel(_) | Program::Chunks(_) => None,
        }
    }

    /// The chunks that it goes through, if it does.
    pub fn chunks(&self) -> Option<&Chunks> {
        match &self.program {
            Program::Chunks(c) => Some(c),
            Program::Kernel(_) | Program::Region(_) => None,
        }
    }

    /// Tells a region in which buffers its operands lie, by the place of every slot. Returns how many those are; of a kernel
    /// none.
    pub(super) fn bind(&mut self, places: &[(SlotId, usize)]) -> usize {
        let operands: Vec<SlotId> = self.reads.iter().chain(&self.writes).map(|a| a.slot).collect();
        let Program::Region(region) = &mut self.program else { return 0 };
        let Some(layout) = &mut Arc::make_mut(region).layout else { return 0 };
        let mut buffers: Vec<SlotId> = Vec::new();
        layout.bindings.clear();
        for slot in operands {
            let (buffer, offset) = places[slot.0];
            let number = buffers.iter().position(|b| *b == buffer).unwrap_or_else(|| {
                buffers.push(buffer);
                buffers.len() - 1
            });
            layout.bindings.push((number, offset));
        }
        buffers.len()
    }

    /// Views of what is read and of what is written.
    fn views(&self) -> [Vec<View>; 2] {
        [&self.reads, &self.writes].map(|args| args.iter().map(|a| a.view).collect())
    }

    /// The kernel's name; `region` for a region, `chain` for one that all workgroups share, `chunks` for chunks.
    pub fn name(&self) -> &'static str {
        match &self.program {
            Program::Kernel(k) => k.name(),
            Program::Region(r) if r.is_chain() => "chain",
            Program::Region(_) => "region",
            Program::Chunks(_) => "chunks",
        }
    }

    /// The shader that a GPU runs: the kernel's, or that of the tier which was chosen; `region` for a region, which
    /// has one of its own.
    pub fn shader(&self) -> &'static str {
        match &self.program {
            Program::Kernel(k) => k.shader(self.tier),
            Program::Region(_) | Program::Chunks(_) => self.name(),
        }
    }

    /// The uniform, constants and workgroups on a GPU.
    pub fn dispatch(&self) -> Dispatch {
        let [reads, writes] = self.views();
        match &self.program {
            Program::Kernel(k) => k.dispatch_by(self.tier, &reads, &writes),
            Program::Region(r) => r.dispatch(),
            Program::Chunks(_) => panic!("chunks are for the CPU: lower the plan for the caps of the GPU"),
        }
    }

    /// Operations and traffic.
    pub fn work(&self) -> Work {
        let [reads, writes] = self.views();
        match &self.program {
            Program::Kernel(k) => k.work(&reads, &writes),
            Program::Region(r) => r.work(&reads),
            Program::Chunks(c) => c.region.work(&reads),
        }
    }

    /// The written operand that the launch uses for itself alone, where it has one: the last.
    pub fn scratch(&self) -> Option<usize> {
        let has = match &self.program {
            Program::Kernel(k) => k.has_scratch(),
            Program::Region(r) => r.layout.as_ref().is_some_and(|l| l.spilled > 0),
            Program::Chunks(_) => false,
        };
        has.then(|| self.writes.len() - 1)
    }

    /// Computes it in any number type, by plain loops.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        match &self.program {
            Program::Kernel(k) => k.reference(reads, writes),
            Program::Region(r) => r.reference(reads, writes),
            Program::Chunks(c) => c.region.reference(reads, writes),
        }
    }

    /// Computes it in f32 the way the CPU path does it.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        match &self.program {
            Program::Kernel(k) => k.fast(reads, writes),
            Program::Region(r) => r.fast(reads, writes),
            Program::Chunks(c) => c.fast(reads, writes),
        }
    }
}
