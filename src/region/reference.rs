//! A task region as one launch: every task runs the region's program over values of its own.
//!
//! Here it runs task after task through the kernels' references, in any number type; in f32 the CPU
//! runs sixteen tasks at once (`lanes`), a GPU one shader made for the region.

use std::collections::BTreeSet;

use super::passes::same;
use super::{Base, Block, DEPTH, Operand, Region, Stage};
use crate::kernel::uniform::{elements, grid};
use crate::kernel::{Buffer, Dispatch, Read, Real, Work, Write, touched};
use crate::view::View;

impl Region {
    /// Computes it by the formulas of its blocks.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        for task in 0..self.tasks {
            let mut locals: Vec<Buffer<T>> =
                self.locals.iter().map(|l| Buffer::zeros(l.dtype, l.len)).collect();
            for (l, local) in self.locals.iter().zip(&mut locals) {
                let Some(o) = l.backing else { continue };
                let from = o.offset + task * o.stride;
                let to = match local {
                    Buffer::F(to) => to,
                    Buffer::U(to) => {
                        to.copy_from_slice(&reads[o.operand].u()[from..from + l.len]);
                        continue;
                    }
                };
                let slot = match o.operand.checked_sub(reads.len()) {
                    Some(w) => &*writes[w].f(),
                    None => reads[o.operand].f(),
                };
                if o.load {
                    to.copy_from_slice(&slot[from..from + l.len]);
                }
            }
            run(&self.stages, task, &mut Vec::new(), reads, &mut locals);
            for (l, local) in self.locals.iter().zip(&locals) {
                let (Some(o), Buffer::F(from)) = (l.backing, local) else { continue };
                let to = o.offset + task * o.stride;
                if o.store {
                    writes[o.operand - reads.len()].f()[to..to + l.len].copy_from_slice(from);
                }
            }
        }
    }

    /// Computes it in f32, sixteen tasks at once.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        super::lanes::run(self, reads, writes);
    }

    /// Operations of all tasks.
    pub fn flops(&self) -> f64 {
        self.tasks as f64 * self.blocks().iter().map(|p| p.count() as f64 * p.block.flops()).sum::<f64>()
    }

    /// Operations, and bytes that come from slots (`reads` of the launch) and go to them.
    pub fn work(&self, reads: &[View]) -> Work {
        let mut work = Work { flops: self.flops(), bytes: 0.0 };
        if self.is_chain() {
            work.bytes = 4.0 * self.touched_by_element();
            return work;
        }
        let operands = self.blocks().into_iter().flat_map(|p| &p.block.reads);
        let shared: BTreeSet<usize> =
            operands.filter_map(|o| if let Base::Shared(r) = o.at { Some(r) } else { None }).collect();
        work.bytes += shared.iter().map(|r| 4.0 * reads[*r].count() as f64).sum::<f64>();
        for l in &self.locals {
            let Some(o) = l.backing else { continue };
            work.bytes += 4.0 * (self.tasks * l.len) as f64 * f64::from(o.load as u8 + o.store as u8);
        }
        work
    }

    /// The numbers that its shader reads, and its workgroups.
    pub fn dispatch(&self) -> Dispatch {
        let layout = self.layout.as_ref();
        let groups = match self.is_chain() {
            true => elements(self.blocks()[0].block.writes[0].view.count()).0,
            false => grid(self.tasks.div_ceil(layout.map_or(1, |l| l.tasks_per_group))),
        };
        Dispatch { uniform: self.numbers(), constants: Vec::new(), groups }
    }

    /// Elements that one pass over all elements reads from slots or writes there.
    fn touched_by_element(&self) -> f64 {
        let mut known: Vec<&Operand> = Vec::new();
        for p in self.blocks() {
            for o in p.block.reads.iter().chain(&p.block.writes) {
                let in_slot = o.local().is_none_or(|l| self.locals[l].backing.is_some());
                if in_slot && !known.iter().any(|k| same(k, o)) {
                    known.push(o);
                }
            }
        }
        known.iter().map(|o| touched(&o.view)).sum()
    }

    #[cfg(feature = "gpu")]
    fn numbers(&self) -> Vec<u8> {
        if self.layout.is_none() {
            return Vec::new();
        }
        let mut numbers = super::wgsl::stitch(self, 0).numbers;
        numbers.resize(numbers.len().next_multiple_of(4), 0.0);
        bytemuck::cast_slice(&numbers).to_vec()
    }

    #[cfg(not(feature = "gpu"))]
    fn numbers(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// Runs stages for a task in the given repetition of each loop around them.
fn run<T: Real>(
    stages: &[Stage],
    task: usize,
    turns: &mut Vec<usize>,
    shared: &[Read<'_, T>],
    locals: &mut [Buffer<T>],
) {
    for stage in stages {
        match stage {
            Stage::Block(b) => {
                block(b, task, std::array::from_fn(|d| turns.get(d).copied().unwrap_or(0)), shared, locals);
            }
            Stage::Loop { n, body } => {
                for turn in 0..*n {
                    turns.push(turn);
                    run(body, task, turns, shared, locals);
                    turns.pop();
                }
            }
        }
    }
}

fn block<T: Real>(
    b: &Block,
    task: usize,
    turns: [usize; DEPTH],
    shared: &[Read<'_, T>],
    locals: &mut [Buffer<T>],
) {
    let view = |o: &Operand| View { offset: o.first(turns), ..o.view };
    // Results go to copies, so that a local may be read, too (in place, element by element).
    let index = |o: &Operand| o.local().unwrap_or_else(|| panic!("results are locals"));
    let mut taken: Vec<Buffer<T>> = b.writes.iter().map(|w| locals[index(w)].clone()).collect();
    let operands: Vec<Read<'_, T>> = b
        .reads
        .iter()
        .map(|o| {
            let buffer = match o.at {
                Base::Shared(r) => shared[r].buffer,
                Base::Local(l) => &locals[l],
            };
            Read { buffer, view: view(o) }
        })
        .collect();
    let results = b.writes.iter().zip(&mut taken).map(|(o, buffer)| Write { buffer, view: view(o) });
    let kernel = b.kernel.of_task(task, &b.writes[0].view);
    kernel.reference(&operands, &mut results.collect::<Vec<_>>());
    for (o, buffer) in b.writes.iter().zip(taken) {
        locals[index(o)] = buffer;
    }
}
