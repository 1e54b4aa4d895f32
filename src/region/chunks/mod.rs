//! Chunks of tasks: a stretch of a plan with convolutions, done from its first launch to its last for a few tasks at a time.
//!
//! A [`Region`] says what is done, with a chunk of tasks in the place of a task. The CPU gives whole chunks to threads, so that what a
//! chunk makes stays in the caches of one core. Blocks that go over the same elements one after another become a sweep (`schedule`):
//! it goes over some elements at a time and does them all while these are in the nearest cache. What only sweeps read is nowhere else; what
//! is cheap to make again is made again by each sweep that needs it, since main memory and even the last cache are slower than a few operations.

mod schedule;
mod sweep;

use std::collections::VecDeque;
use std::iter::zip;
use std::mem::replace;
use std::sync::Mutex;

use rayon::prelude::*;

use super::{Backing, Base, Block, Operand, Region};
use crate::kernel::parallel::is_parallel;
use crate::kernel::{Buffer, Read, Write};
use crate::spec::DType;
use crate::view::View;
use schedule::Allocation;
pub use schedule::Step;
use sweep::{Memory, Sweep};

/// A program that is run for every chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunks {
    /// What it computes: its tasks are chunks.
    pub region: Region,
    /// Chunks that may run side by side: each has buffers of its own, which the launch writes after its results.
    pub lanes: usize,
    /// Elements of the buffers of a lane, with what the alignment of each takes.
    pub buffers: Vec<usize>,
    /// Where each local lies.
    allocations: Vec<Allocation>,
    /// What is done, in order.
    steps: Vec<Step>,
    /// Elements of a sweep's own values that are needed at once, at most.
    strip: usize,
}

/// Elements of a line of memory: a register that lies across two takes twice as long to fetch.
const LINE: usize = 16;

/// The first element that begins a line; what is aligned has so many elements less.
fn aligned(data: &[f32]) -> usize {
    (data.as_ptr().addr().wrapping_neg() % (4 * LINE) / 4).min(data.len())
}

/// Locals that a launch leaves in a slot, with where they go.
fn stored(region: &Region) -> impl Iterator<Item = (usize, usize, Backing)> {
    let locals = region.locals.iter().enumerate();
    locals.filter_map(|(i, l)| Some((i, l.len, l.backing.filter(|o| o.store)?)))
}

impl Chunks {
    /// Puts the blocks of a region without loops in an order, some of them together; `None` where that cannot be.
    pub(crate) fn new(region: Region, lanes: usize) -> Option<Chunks> {
        let schedule::Schedule { allocations, buffers, steps, strip } = schedule::schedule(&region)?;
        let buffers = buffers.into_iter().map(|len| len + LINE - 1).collect();
        Some(Chunks { region, lanes, buffers, allocations, steps, strip })
    }

    /// Steps in order: launches by themselves, and sweeps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Blocks by their numbers.
    pub fn blocks(&self) -> Vec<&Block> {
        self.region.blocks().iter().map(|p| p.block).collect()
    }

    /// Checks bounds, that chunks write apart from one another, and that nothing is read that was not written; `slots` are the types and lengths of
    /// the slots of the operands, the first `reads` of which are read.
    pub(crate) fn verify(&self, reads: usize, slots: &[(DType, usize)]) -> Result<(), String> {
        let (region, outputs) = (&self.region, stored(&self.region).count());
        if let Some(k) = slots.iter().position(|s| s.0 != DType::F32) {
            return Err(format!("operand {k} of chunks is {:?}", slots[k].0));
        }
        let lens: Vec<usize> = slots.iter().map(|s| s.1).collect();
        let own = reads + outputs;
        if self.lanes == 0 || lens.len() != own + self.lanes * self.buffers.len() {
            return Err(format!("{} operands for {} lanes", lens.len(), self.lanes));
        }
        for (k, len) in lens[own..].iter().enumerate() {
            if *len < self.buffers[k % self.buffers.len()] {
                return Err(format!("buffer {k} of its lanes has {len} elements"));
            }
        }
        let mut kept: Vec<usize> = stored(region).map(|(.., o)| o.operand).collect();
        kept.sort_unstable();
        if kept.iter().enumerate().any(|(i, operand)| *operand != reads + i) {
            return Err("a result of chunks is stored twice or never".into());
        }
        let mut known: Vec<bool> = region.locals.iter().map(|l| l.backing.is_some_and(|o| o.load)).collect();
        for l in &region.locals {
            let Some(o) = l.backing else { continue };
            let end = o.offset + (region.tasks - 1) * o.stride + l.len;
            if o.operand >= own || end > lens[o.operand] {
                return Err(format!("local '{}' ends at {end} of its slot", l.label));
            }
            if o.store && o.stride < l.len {
                return Err(format!("local '{}' is stored where chunks overlap", l.label));
            }
            if !o.store && o.operand >= reads {
                return Err(format!("local '{}' is read from what is written", l.label));
            }
        }
        for b in self.blocks() {
            for (k, o) in b.reads.iter().chain(&b.writes).enumerate() {
                let is_read = k < b.reads.len();
                let len = match o.at {
                    Base::Local(l) if l < region.locals.len() => region.locals[l].len,
                    Base::Shared(r) if r < reads && is_read => lens[r],
                    _ => return Err(format!("block '{}' has no operand {k}", b.label)),
                };
                if o.moves() || o.view.end() > len {
                    return Err(format!(
                        "operand {k} of block '{}' ends at {} of {len}",
                        b.label,
                        o.view.end()
                    ));
                }
                let Some(l) = o.local() else { continue };
                if is_read && (!known[l] || b.writes.iter().any(|w| w.at == o.at)) {
                    return Err(format!("operand {k} of block '{}' is not there to be read", b.label));
                }
                if !is_read
                    && (!o.view.is_injective() || b.writes[..k - b.reads.len()].iter().any(|w| w.at == o.at))
                {
                    return Err(format!("result {k} of block '{}' overlaps itself or another", b.label));
                }
                if !is_read && region.locals[l].backing.is_some_and(|o| !o.store) {
                    return Err(format!("block '{}' writes what is only read", b.label));
                }
            }
            b.writes.iter().filter_map(Operand::local).for_each(|l| known[l] = true);
        }
        let room = |place: sweep::Place| match place {
            sweep::Place::Strip => self.strip,
            sweep::Place::Buffer(k) => self.buffers[k] - (LINE - 1),
            sweep::Place::Slot { operand, stride } => lens[operand] - (region.tasks - 1) * stride,
        };
        self.sweeps().try_for_each(|s| s.verify(room))
    }

    fn sweeps(&self) -> impl Iterator<Item = &Sweep> {
        self.steps.iter().filter_map(|s| if let Step::Sweep(s) = s { Some(s) } else { None })
    }

    /// Computes it in f32: chunks are taken by as many threads as there are lanes.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let outputs = stored(&self.region).count();
        let (results, own) = writes.split_at_mut(outputs);
        let tasks = self.region.tasks;
        // The part of each result that belongs to a chunk.
        let mut parts: Vec<Vec<(usize, &mut [f32])>> = (0..tasks).map(|_| Vec::new()).collect();
        let mut places: Vec<(usize, usize, Backing)> = stored(&self.region).collect();
        places.sort_by_key(|(.., o)| o.operand);
        for ((local, len, o), result) in zip(places, results) {
            for (chunk, part) in zip(&mut parts, result.f()[o.offset..].chunks_mut(o.stride)) {
                chunk.push((local, &mut part[..len]));
            }
        }
        let queue = Mutex::new(parts.into_iter().enumerate().collect::<VecDeque<_>>());
        let work = |lane: &mut [Write<'_, f32>]| {
            let mut buffers: Vec<&mut Buffer<f32>> = lane.iter_mut().map(|w| &mut *w.buffer).collect();
            let mut strip = vec![0.0; self.strip + LINE - 1];
            let from = aligned(&strip);
            loop {
                // A thread that panicked took its chunk along: the others are as they were.
                let next = queue.lock().unwrap_or_else(|e| e.into_inner()).pop_front();
                let Some((chunk, parts)) = next else { break };
                self.run(chunk, reads, &mut buffers, parts, &mut strip[from..]);
            }
        };
        let each = self.buffers.len().max(1);
        if self.lanes > 1 && is_parallel(self.region.flops()) {
            own.par_chunks_mut(each).with_max_len(1).for_each(work);
        } else if let Some(lane) = own.chunks_mut(each).next() {
            work(lane);
        }
    }

    /// Does everything for a chunk, in the buffers of a lane.
    fn run(
        &self,
        chunk: usize,
        reads: &[Read<'_, f32>],
        buffers: &mut [&mut Buffer<f32>],
        mut parts: Vec<(usize, &mut [f32])>,
        strip: &mut [f32],
    ) {
        let in_buffer =
            |local: usize| if let Allocation::Buffer(k) = self.allocations[local] { Some(k) } else { None };
        for (local, part) in &parts {
            if let (Some(k), true) =
                (in_buffer(*local), self.region.locals[*local].backing.is_some_and(|o| o.load))
            {
                lines(buffers[k])[..part.len()].copy_from_slice(part);
            }
        }
        let blocks = self.blocks();
        for step in &self.steps {
            match step {
                Step::Block(b) => self.block(blocks[*b], chunk, reads, buffers),
                Step::Sweep(sweep) => {
                    let buffers = buffers.iter_mut().map(|b| lines(b));
                    sweep.run(&Memory::new(strip, buffers, reads, chunk));
                }
            }
        }
        for (local, part) in &mut parts {
            if let Some(k) = in_buffer(*local) {
                part.copy_from_slice(&lines(buffers[k])[..part.len()]);
            }
        }
    }

    /// One launch for a chunk.
    fn block(&self, b: &Block, chunk: usize, reads: &[Read<'_, f32>], buffers: &mut [&mut Buffer<f32>]) {
        let allocation = |o: &Operand| o.local().map(|l| (l, self.allocations[l]));
        let moved = |view: View, by: usize| View { offset: view.offset + by, ..view };
        // Written buffers are taken out while they are written: no block reads one.
        let mut taken: Vec<(usize, Buffer<f32>)> = Vec::new();
        for w in &b.writes {
            let Some((_, Allocation::Buffer(k))) = allocation(w) else {
                panic!("results of '{}' have no buffer", b.label)
            };
            taken.push((k, replace(buffers[k], Buffer::F(Vec::new()))));
        }
        {
            let read = |o: &Operand| match (allocation(o), o.at) {
                (Some((_, Allocation::Buffer(k))), _) => {
                    Read { buffer: &*buffers[k], view: moved(o.view, first(buffers[k])) }
                }
                (Some((l, _)), _) => {
                    let Some(at) = self.region.locals[l].backing else {
                        panic!("'{}' reads nothing", b.label)
                    };
                    let view = moved(o.view, at.offset + chunk * at.stride);
                    Read { buffer: reads[at.operand].buffer, view }
                }
                (None, Base::Shared(r)) => Read { buffer: reads[r].buffer, view: o.view },
                (None, Base::Local(_)) => panic!("'{}' reads nothing", b.label),
            };
            let operands: Vec<Read<'_, f32>> = b.reads.iter().map(read).collect();
            let results = zip(&mut taken, &b.writes).map(|((_, buffer), o)| {
                let view = moved(o.view, first(buffer));
                Write { buffer, view }
            });
            b.kernel.fast(&operands, &mut results.collect::<Vec<_>>());
        }
        for (k, buffer) in taken {
            *buffers[k] = buffer;
        }
    }
}

/// The first element of a buffer that begins a line.
fn first(buffer: &Buffer<f32>) -> usize {
    match buffer {
        Buffer::F(x) => aligned(x),
        Buffer::U(_) => panic!("lanes hold floats"),
    }
}

/// The floats of a buffer from there on.
fn lines(buffer: &mut Buffer<f32>) -> &mut [f32] {
    let from = first(buffer);
    match buffer {
        Buffer::F(x) => &mut x[from..],
        Buffer::U(_) => panic!("lanes hold floats"),
    }
}
