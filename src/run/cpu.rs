//! The CPU runner: a plan, launch by launch. In f32 it takes the fast kernels; in f64, or with error
//! bounds, the references.

use std::ops::Range;

use crate::error::Result;
use crate::kernel::{Bounded, Buffer, Kernel, Read, Real, Write};
use crate::plan::{Launch, Plan, SlotId};

/// A number type that the CPU runner can compute plans in.
pub trait Number: Real {
    /// Runs one launch.
    fn launch(kernel: &Kernel, reads: &[Read<'_, Self>], writes: &mut [Write<'_, Self>]);
}

impl Number for f32 {
    fn launch(kernel: &Kernel, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        kernel.fast(reads, writes);
    }
}
impl Number for f64 {
    fn launch(kernel: &Kernel, reads: &[Read<'_, f64>], writes: &mut [Write<'_, f64>]) {
        kernel.reference(reads, writes);
    }
}
impl Number for Bounded {
    fn launch(kernel: &Kernel, reads: &[Read<'_, Bounded>], writes: &mut [Write<'_, Bounded>]) {
        kernel.reference(reads, writes);
    }
}

/// A plan with its slots in main memory.
#[derive(Debug)]
pub struct CpuRunner<T> {
    plan: Plan,
    slots: Vec<Buffer<T>>,
}

impl<T: Number> CpuRunner<T> {
    /// Allocates the slots, all zero but for the constants.
    pub fn prepare(plan: &Plan) -> CpuRunner<T> {
        let mut slots: Vec<Buffer<T>> = plan.slots.iter().map(|s| Buffer::zeros(s.dtype, s.len)).collect();
        if let Some((slot, values)) = &plan.constants {
            slots[slot.0] = Buffer::F(values.iter().map(|&x| T::of(x)).collect());
        }
        CpuRunner { plan: plan.clone(), slots }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Contents of a slot.
    pub fn slot(&self, slot: SlotId) -> &Buffer<T> {
        &self.slots[slot.0]
    }

    /// Contents of a slot, to be written.
    pub fn slot_mut(&mut self, slot: SlotId) -> &mut Buffer<T> {
        &mut self.slots[slot.0]
    }

    /// Runs those launches once.
    pub fn launch(&mut self, launches: Range<usize>) {
        let CpuRunner { plan, slots } = self;
        for l in &plan.launches[launches] {
            run_launch(l, slots);
        }
    }

    /// Runs whole steps.
    pub fn run(&mut self, steps: usize) -> Result<()> {
        for _ in 0..steps {
            self.launch(0..self.plan.launches.len());
        }
        Ok(())
    }
}

pub(super) fn run_launch<T: Number>(l: &Launch, slots: &mut [Buffer<T>]) {
    // Written slots are taken out while they are written: no launch reads one (`plan::verify`).
    let mut taken: Vec<Buffer<T>> =
        l.writes.iter().map(|w| std::mem::replace(&mut slots[w.slot.0], Buffer::U(Vec::new()))).collect();
    {
        let reads: Vec<Read<'_, T>> =
            l.reads.iter().map(|arg| Read { buffer: &slots[arg.slot.0], view: arg.view }).collect();
        let mut writes: Vec<Write<'_, T>> =
            taken.iter_mut().zip(&l.writes).map(|(buffer, arg)| Write { buffer, view: arg.view }).collect();
        T::launch(&l.kernel, &reads, &mut writes);
    }
    for (buffer, w) in taken.into_iter().zip(&l.writes) {
        slots[w.slot.0] = buffer;
    }
}
