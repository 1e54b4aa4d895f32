//! A plan prepared on a device, seen through the names of its inputs and outputs: the same for every
//! device.

use smallvec::SmallVec;

use super::cpu::CpuRunner;
#[cfg(feature = "gpu")]
use super::gpu::GpuRunner;
use super::store::{Shared, words, words_mut};
use crate::error::{Error, Result};
use crate::plan::{Plan, Port, SlotId};
use crate::spec::{DType, count};
use crate::view::for_each;

/// Who executes the plan.
#[derive(Debug)]
pub(super) enum Runner {
    Cpu(Box<CpuRunner<f32>>),
    #[cfg(feature = "gpu")]
    Gpu(Box<GpuRunner>),
}

/// A window slot, the width of its rows, and its staged contents (bits).
type Staged = Option<(SlotId, usize, Vec<u32>)>;

/// A plan prepared on a device ([`crate::Device::prepare`]), or in a [`Store`](super::Store) of it.
#[derive(Debug)]
pub struct Session {
    plan: Plan,
    runner: Runner,
    floats: Staged,
    words: Staged,
    /// Of each step input the rows of the window that were ever set.
    set: Vec<Vec<bool>>,
    /// Slots of the CPU path whose contents lie in a store.
    shared: Vec<(SlotId, Shared)>,
}

impl Session {
    pub(super) fn new(plan: Plan, runner: Runner, shared: Vec<(SlotId, Shared)>) -> Session {
        let staged = |dtype| {
            let port = plan.steps.iter().find(|p| plan.slots[p.arg.slot.0].dtype == dtype)?;
            let len = plan.slots[port.arg.slot.0].len;
            Some((port.arg.slot, len / plan.window, vec![0u32; len]))
        };
        let set = vec![vec![false; plan.window]; plan.steps.len()];
        Session { floats: staged(DType::F32), words: staged(DType::U32), set, plan, runner, shared }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    fn port<'p>(ports: &'p [Port], name: &str, what: &str) -> Result<&'p Port> {
        ports.iter().find(|p| p.name == name).ok_or_else(|| {
            let known: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
            Error::Shape(format!("the plan has no {what} '{name}' (it has: {})", known.join(", ")))
        })
    }

    fn checked<'p>(ports: &'p [Port], name: &str, what: &str, len: usize) -> Result<&'p Port> {
        let port = Session::port(ports, name, what)?;
        if count(&port.shape) != len {
            return Err(Error::Shape(format!(
                "{what} '{name}' is {:?}; {len} numbers were given",
                port.shape
            )));
        }
        Ok(port)
    }

    fn unused(&self, name: &str) -> bool {
        self.plan.unused.iter().any(|n| n == name)
    }

    /// Whether the plan has an input (data or state) of that name.
    pub fn has_input(&self, name: &str) -> bool {
        self.plan.input(name).is_some()
    }

    /// Whether the plan has a result of that name.
    pub fn has_output(&self, name: &str) -> bool {
        self.plan.outputs.iter().any(|o| o.name == name)
    }

    /// Writes a whole data or state input.
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        if self.unused(name) {
            return Ok(());
        }
        let port = Session::checked(&self.plan.inputs, name, "input", values.len())?;
        let (slot, offset) = (port.arg.slot, port.arg.view.offset);
        self.write_slot(slot, offset, bytemuck::cast_slice(values))
    }

    /// Writes a whole u32 data input.
    pub fn write_u32(&mut self, name: &str, values: &[u32]) -> Result<()> {
        if self.unused(name) {
            return Ok(());
        }
        let port = Session::checked(&self.plan.inputs, name, "input", values.len())?;
        let (slot, offset) = (port.arg.slot, port.arg.view.offset);
        self.write_slot(slot, offset, values)
    }

    fn write_slot(&mut self, slot: SlotId, offset: usize, bits: &[u32]) -> Result<()> {
        self.with_runner(Some(slot), |runner| {
            match runner {
                Runner::Cpu(r) => {
                    words_mut(r.slot_mut(slot))[offset..offset + bits.len()].copy_from_slice(bits);
                }
                #[cfg(feature = "gpu")]
                Runner::Gpu(r) => r.write(slot, offset, bits)?,
            }
            Ok(())
        })
    }

    /// The runner, with what lies in a store in its slots while `work` goes on.
    /// (where only one slot is touched, in that).
    fn with_runner<R>(
        &mut self,
        only: Option<SlotId>,
        work: impl FnOnce(&mut Runner) -> Result<R>,
    ) -> Result<R> {
        let Session { runner, shared, .. } = self;
        let mut here = SmallVec::<[_; 4]>::new();
        for (slot, buffer) in shared.iter().filter(|(slot, _)| only.is_none_or(|o| o == *slot)) {
            here.push((*slot, buffer.lock()?));
        }
        let mut swap = |runner: &mut Runner| match runner {
            Runner::Cpu(r) => here.iter_mut().for_each(|(slot, b)| std::mem::swap(r.slot_mut(*slot), b)),
            #[cfg(feature = "gpu")]
            Runner::Gpu(_) => {}
        };
        swap(runner);
        let result = work(runner);
        swap(runner);
        result
    }

    fn read_slot(&mut self, slot: SlotId) -> Result<Vec<u32>> {
        #[cfg(feature = "gpu")]
        let len = self.plan.slots[slot.0].len;
        self.with_runner(Some(slot), |runner| match runner {
            Runner::Cpu(r) => Ok(words(r.slot(slot)).to_vec()),
            #[cfg(feature = "gpu")]
            Runner::Gpu(r) => r.read(slot, 0..len),
        })
    }

    /// The CPU runner behind the session, with this window's rows and counter written: for a run in lockstep.
    /// `None` on another device.
    ///
    /// # Errors
    /// [`Error::Shape`] where `steps` do not fit the window, and for a plan of a store, which does not run alone.
    pub fn cpu_runner(&mut self, steps: usize) -> Result<Option<&mut CpuRunner<f32>>> {
        if !self.shared.is_empty() {
            return Err(Error::Shape("a plan of a store does not run in lockstep".into()));
        }
        self.write_window(steps)?;
        match &mut self.runner {
            Runner::Cpu(r) => Ok(Some(r)),
            #[cfg(feature = "gpu")]
            Runner::Gpu(_) => Ok(None),
        }
    }

    /// Reads an output, or the present contents of an input, in row-major order.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let port = match self.plan.output(name).or_else(|| self.plan.input(name)) {
            Some(p) => p.clone(),
            None => return Err(Error::Shape(format!("the plan has no output or input '{name}'"))),
        };
        let bits = self.read_slot(port.arg.slot)?;
        let floats: &[f32] = bytemuck::cast_slice(&bits);
        let mut out = Vec::with_capacity(port.arg.view.count());
        for_each([&port.arg.view], |[i]| out.push(floats[i]));
        Ok(out)
    }

    /// Reads an output, or the present contents of an input, into an array of its size. On the CPU path nothing is allocated.
    ///
    /// # Errors
    /// [`Error::Shape`] where there is no such value, or it has another size.
    pub fn read_into(&mut self, name: &str, to: &mut [f32]) -> Result<()> {
        let Session { plan, runner, shared, .. } = self;
        let port = plan.output(name).or_else(|| plan.input(name));
        let port = port.ok_or_else(|| Error::Shape(format!("the plan has no output or input '{name}'")))?;
        if count(&port.shape) != to.len() {
            let message = format!("'{name}' is {:?}; room for {} numbers was given", port.shape, to.len());
            return Err(Error::Shape(message));
        }
        let copied = |bits: &[u32], to: &mut [f32]| {
            let mut at = 0;
            for_each([&port.arg.view], |[i]| {
                to[at] = f32::from_bits(bits[i]);
                at += 1;
            });
        };
        match runner {
            Runner::Cpu(r) => match shared.iter().find(|(slot, _)| *slot == port.arg.slot) {
                Some((_, buffer)) => copied(words(&*buffer.lock()?), to),
                None => copied(words(r.slot(port.arg.slot)), to),
            },
            #[cfg(feature = "gpu")]
            Runner::Gpu(r) => copied(&r.read(port.arg.slot, 0..plan.slots[port.arg.slot.0].len)?, to),
        }
        Ok(())
    }

    /// The part of a buffer on a GPU that an input or output is, for an application that reads or writes it there: its numbers lie in row-major order. `None` on another device,
    /// where there is no such value, or where it lies in pieces.
    #[cfg(feature = "gpu")]
    pub fn buffer(&self, name: &str) -> Option<wgpu::BufferSlice<'_>> {
        let Runner::Gpu(runner) = &self.runner else { return None };
        let port = self.plan.output(name).or_else(|| self.plan.input(name))?;
        let (view, n) = (&port.arg.view, count(&port.shape));
        let mut next = view.offset;
        let mut dense = true;
        for_each([view], |[i]| {
            dense &= i == next;
            next += 1;
        });
        let from = 4 * view.offset as u64;
        let whole = runner.buffer(port.arg.slot)?;
        let start = whole.offset() + from;
        dense.then(|| whole.buffer().slice(start..start + 4 * n as u64))
    }

    /// Records one step of a plan without step inputs into an application's own encoder, as one compute pass. `None` on another device.
    #[cfg(feature = "gpu")]
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) -> Option<()> {
        match &self.runner {
            Runner::Gpu(runner) if self.plan.steps.is_empty() => {
                runner.record(encoder);
                Some(())
            }
            _ => None,
        }
    }

    /// Sets a step input for row `row` of the next window.
    pub fn set_step(&mut self, row: usize, name: &str, values: &[f32]) -> Result<()> {
        self.stage(row, name, bytemuck::cast_slice(values), DType::F32)
    }

    /// Sets a u32 step input for row `row` of the next window.
    pub fn set_step_u32(&mut self, row: usize, name: &str, values: &[u32]) -> Result<()> {
        self.stage(row, name, values, DType::U32)
    }

    fn stage(&mut self, row: usize, name: &str, bits: &[u32], dtype: DType) -> Result<()> {
        if self.unused(name) {
            return Ok(());
        }
        let port = Session::checked(&self.plan.steps, name, "step input", bits.len())?;
        let staged = if dtype == DType::F32 { &mut self.floats } else { &mut self.words };
        match staged {
            Some((slot, width, data)) if *slot == port.arg.slot && row < self.plan.window => {
                let at = row * *width + port.arg.view.offset;
                data[at..at + bits.len()].copy_from_slice(bits);
                let which = self.plan.steps.iter().position(|p| p.name == name);
                which.into_iter().for_each(|which| self.set[which][row] = true);
                Ok(())
            }
            _ => Err(Error::Shape(format!(
                "step input '{name}' has another type, or row {row} is beyond the window"
            ))),
        }
    }

    /// Writes the staged rows and sets the counter to the first.
    fn write_window(&mut self, steps: usize) -> Result<()> {
        if self.plan.counter.is_some() && steps > self.plan.window {
            return Err(Error::Shape(format!("{steps} steps do not fit a window of {}", self.plan.window)));
        }
        for staged in [self.floats.take(), self.words.take()] {
            let Some((slot, width, data)) = staged else { continue };
            self.write_slot(slot, 0, &data[..width * steps])?;
            let float = self.plan.slots[slot.0].dtype == DType::F32;
            *(if float { &mut self.floats } else { &mut self.words }) = Some((slot, width, data));
        }
        if let Some(counter) = self.plan.counter {
            self.write_slot(counter, 0, &[0])?;
        }
        Ok(())
    }

    /// Waits until the device has done all that was asked of it.
    ///
    /// # Errors
    /// [`Error::Device`] where the device is lost.
    pub fn wait(&mut self) -> Result<()> {
        match &mut self.runner {
            Runner::Cpu(_) => Ok(()),
            #[cfg(feature = "gpu")]
            Runner::Gpu(r) => r.wait(),
        }
    }

    /// Runs `steps` steps on the staged window and returns the median seconds of each launch. `None` where the device
    /// cannot tell.
    ///
    /// # Errors
    /// [`Error::Shape`] where `steps` do not fit the window, [`Error::Device`] where the device fails.
    pub fn time_launches(&mut self, steps: usize) -> Result<Option<Vec<f64>>> {
        self.write_window(steps)?;
        let times = self.with_runner(None, |runner| match runner {
            Runner::Cpu(r) => Ok(Some(r.time_launches(steps))),
            #[cfg(feature = "gpu")]
            Runner::Gpu(r) => (0..steps).map(|_| r.time_launches()).collect(),
        })?;
        Ok(times.map(|times| super::medians(&times, self.plan.launches.len())))
    }

    /// Runs `steps` steps on the staged window and returns their records, `[steps][records]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where `steps` do not fit the window, or a step input of one of them was never set, [`Error::Device`] where the device fails.
    pub fn run(&mut self, steps: usize) -> Result<Vec<Vec<f32>>> {
        for (port, set) in self.plan.steps.iter().zip(&self.set) {
            if let Some(row) = set.iter().take(steps).position(|set| !set) {
                let name = &port.name;
                return Err(Error::Shape(format!("the step input '{name}' of row {row} was never set")));
            }
        }
        self.write_window(steps)?;
        self.with_runner(None, |runner| match runner {
            Runner::Cpu(r) => r.run(steps),
            #[cfg(feature = "gpu")]
            Runner::Gpu(r) => r.run(steps),
        })?;
        let (Some(ring), width) = (self.plan.ring, self.plan.records.len()) else { return Ok(vec![]) };
        let bits = self.read_slot(ring)?;
        let floats: &[f32] = bytemuck::cast_slice(&bits);
        Ok(floats.chunks(width).take(steps).map(<[f32]>::to_vec).collect())
    }
}
