//! The CPU runner: a plan, launch by launch. In f32 it takes the fast kernels; in f64, or with error
//! bounds, the references.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::kernel::parallel::is_parallel;
use crate::kernel::{Bounded, Buffer, Read, Real, Write};
use crate::plan::{Arg, Launch, Plan, SlotId};
use crate::view::for_each;

/// A number type that the CPU runner can compute plans in.
pub trait Number: Real {
    /// Runs one launch.
    fn launch(launch: &Launch, reads: &[Read<'_, Self>], writes: &mut [Write<'_, Self>]);
}

impl Number for f32 {
    fn launch(launch: &Launch, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        launch.fast(reads, writes);
    }
}
impl Number for f64 {
    fn launch(launch: &Launch, reads: &[Read<'_, f64>], writes: &mut [Write<'_, f64>]) {
        launch.reference(reads, writes);
    }
}
impl Number for Bounded {
    fn launch(launch: &Launch, reads: &[Read<'_, Bounded>], writes: &mut [Write<'_, Bounded>]) {
        launch.reference(reads, writes);
    }
}

/// A plan with its slots in main memory.
#[derive(Debug)]
pub struct CpuRunner<T> {
    plan: Plan,
    slots: Vec<Buffer<T>>,
    /// Whether a launch is worth more than one thread.
    parallel: bool,
}

impl<T: Number> CpuRunner<T> {
    /// Allocates the slots, all zero but for the constants.
    pub fn prepare(plan: &Plan) -> CpuRunner<T> {
        let mut slots: Vec<Buffer<T>> = plan.slots.iter().map(|s| Buffer::zeros(s.dtype, s.len)).collect();
        if let Some((slot, values)) = &plan.constants {
            slots[slot.0] = Buffer::F(values.iter().map(|&x| T::of(x)).collect());
        }
        let parallel = plan.launches.iter().any(|l| is_parallel(l.work().flops));
        CpuRunner { plan: plan.clone(), slots, parallel }
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

    /// Writes an input or a state by name, all of it.
    ///
    /// # Errors
    /// [`Error::Shape`] where the plan has no such input of that many numbers.
    pub fn write(&mut self, name: &str, values: &[f64]) -> Result<()> {
        let arg = self.plan.input(name).map(|p| p.arg);
        let slot = arg.and_then(|a| Some((a.view, self.slots.get_mut(a.slot.0)?)));
        match slot {
            Some((view, Buffer::F(x))) if view.count() == values.len() => {
                let to = &mut x[view.offset..view.offset + values.len()];
                to.iter_mut().zip(values).for_each(|(to, v)| *to = T::of(*v));
                Ok(())
            }
            _ => Err(Error::Shape(format!("the plan has no input '{name}' of {} numbers", values.len()))),
        }
    }

    /// An output by name.
    ///
    /// # Errors
    /// [`Error::Shape`] where the plan has none of that name.
    pub fn read(&self, name: &str) -> Result<Vec<T>> {
        match self.plan.output(name).map(|p| (p.arg.view, self.slot(p.arg.slot))) {
            Some((view, Buffer::F(x))) => {
                let mut out = Vec::with_capacity(view.count());
                for_each([&view], |[i]| out.push(x[i]));
                Ok(out)
            }
            _ => Err(Error::Shape(format!("the plan has no output '{name}'"))),
        }
    }

    /// Runs whole steps.
    pub fn run(&mut self, steps: usize) -> Result<()> {
        let CpuRunner { plan, slots, parallel } = self;
        together(*parallel, || {
            for _ in 0..steps {
                plan.launches.iter().for_each(|l| run_launch(l, slots));
            }
        });
        Ok(())
    }

    /// Runs those launches once.
    pub fn launch(&mut self, launches: Range<usize>) {
        let CpuRunner { plan, slots, .. } = self;
        plan.launches[launches].iter().for_each(|l| run_launch(l, slots));
    }

    /// Runs steps, and returns the seconds of their launches.
    pub fn time_launches(&mut self, steps: usize) -> Vec<Vec<f64>> {
        let CpuRunner { plan, slots, parallel } = self;
        let mut timed = |l: &Launch| {
            let start = Instant::now();
            run_launch(l, slots);
            start.elapsed().as_secs_f64()
        };
        together(*parallel, || (0..steps).map(|_| plan.launches.iter().map(&mut timed).collect()).collect())
    }
}

/// How long a thread stays awake with nothing to do.
const PATIENCE: Duration = Duration::from_millis(1);

/// Runs `work`, where it is `parallel` on a thread of rayon's pool while the others stay awake: from outside of the pool,
/// or with the others asleep, each of many short launches would wait longer for threads than it takes.
///
/// Runs that meet in the pool share its threads. One that waits for a part of its work may then be given the other's time of
/// waiting to do, and the other its own: so nobody waits for ever, but for [`PATIENCE`].
fn together<R: Send>(parallel: bool, work: impl FnOnce() -> R + Send) -> R {
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    if !parallel {
        return work();
    }
    let done = AtomicBool::new(false);
    let guard = Done(&done); // in a panic, too
    rayon::scope(|s| {
        let _guard = guard;
        for _ in 1..rayon::current_num_threads() {
            s.spawn(|_| {
                let mut idle = Instant::now();
                while !done.load(Ordering::Acquire) && idle.elapsed() < PATIENCE {
                    if rayon::yield_now() == Some(rayon::Yield::Executed) {
                        idle = Instant::now();
                    } else {
                        // Not so often that those at work feel it.
                        (0..16).for_each(|_| std::hint::spin_loop());
                    }
                }
            });
        }
        work()
    })
}

pub(crate) fn run_launch<T: Number>(l: &Launch, slots: &mut [Buffer<T>]) {
    // Written slots are taken out while they are written: no launch reads one (`plan::verify`). Few launches have more operands than these lists hold without memory of their own.
    let taken = |w: &Arg| std::mem::replace(&mut slots[w.slot.0], Buffer::U(Vec::new()));
    let mut taken: SmallVec<[Buffer<T>; 2]> = l.writes.iter().map(taken).collect();
    {
        let read = |arg: &Arg| Read { buffer: &slots[arg.slot.0], view: arg.view };
        let reads: SmallVec<[Read<'_, T>; 4]> = l.reads.iter().map(read).collect();
        let write = |(buffer, arg): (_, &Arg)| Write { buffer, view: arg.view };
        let mut writes: SmallVec<[Write<'_, T>; 2]> = taken.iter_mut().zip(&l.writes).map(write).collect();
        T::launch(l, &reads, &mut writes);
    }
    for (buffer, w) in taken.into_iter().zip(&l.writes) {
        slots[w.slot.0] = buffer;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::plan::{Caps, lower};

    /// Runs that keep the pool awake may meet: on threads of the application, inside of its pool, and within each other.
    #[test]
    fn runs_side_by_side_and_inside_of_the_pool_give_the_same() {
        let mut g = Graph::new();
        let x = g.data("x", &[192, 192]);
        let y = g.matmul(x, x);
        g.output("y", y);
        let plan = lower(&g, Caps::cpu(1)).expect("it fits");
        let run = || {
            let mut r = CpuRunner::<f32>::prepare(&plan);
            assert!(r.parallel);
            let (input, output) = (plan.inputs[0].arg.slot, plan.outputs[0].arg.slot);
            let Buffer::F(x) = r.slot_mut(input) else { panic!("x is f32") };
            x.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 7) as f32);
            (0..20).for_each(|_| r.run(1).expect("it runs"));
            let Buffer::F(y) = r.slot(output) else { panic!("y is f32") };
            y.clone()
        };
        let alone = run();
        let (a, b) = rayon::join(run, run);
        assert!(a == alone && b == alone);
        std::thread::scope(|s| {
            let threads: Vec<_> = (0..4).map(|_| s.spawn(run)).collect();
            for t in threads {
                assert!(t.join().expect("no panic") == alone);
            }
        });
    }
}
