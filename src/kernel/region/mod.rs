//! A task region as one launch: every task runs the region's program over values of its own.
//!
//! Here it runs task after task through the kernels' references, in any number type; in f32 the CPU
//! runs sixteen tasks at once (`lanes`), a GPU one shader made for the region.

mod blocks;
pub(crate) mod lanes;
mod product;
#[cfg(feature = "gpu")]
pub mod wgsl;

use std::collections::BTreeSet;

use super::uniform::grid;
use super::{Buffer, Dispatch, Read, Real, Work, Write};
use crate::plan::region::{At, Block, DEPTH, Operand, Region, Stage};
use crate::plan::{Arg, SlotId, View};
use crate::spec::DType;

/// Computes a region by the formulas of its blocks.
pub(super) fn reference<T: Real>(region: &Region, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
    for task in 0..region.tasks {
        let mut locals: Vec<Buffer<T>> =
            region.locals.iter().map(|l| Buffer::zeros(DType::F32, l.len)).collect();
        for (l, local) in region.locals.iter().zip(&mut locals) {
            let (Some(o), Buffer::F(to)) = (l.outside, local) else { continue };
            let from = o.offset + task * o.stride;
            let slot = match o.operand.checked_sub(reads.len()) {
                Some(w) => &*writes[w].f(),
                None => reads[o.operand].f(),
            };
            if o.load {
                to.copy_from_slice(&slot[from..from + l.len]);
            }
        }
        run(&region.stages, &mut Vec::new(), reads, &mut locals);
        for (l, local) in region.locals.iter().zip(&locals) {
            let (Some(o), Buffer::F(from)) = (l.outside, local) else { continue };
            let to = o.offset + task * o.stride;
            if o.store {
                writes[o.operand - reads.len()].f()[to..to + l.len].copy_from_slice(from);
            }
        }
    }
}

/// Runs stages in the given repetition of each loop around them.
fn run<T: Real>(stages: &[Stage], turns: &mut Vec<usize>, shared: &[Read<'_, T>], locals: &mut [Buffer<T>]) {
    for stage in stages {
        match stage {
            Stage::Block(b) => {
                block(b, std::array::from_fn(|d| turns.get(d).copied().unwrap_or(0)), shared, locals);
            }
            Stage::Loop { n, body } => {
                for turn in 0..*n {
                    turns.push(turn);
                    run(body, turns, shared, locals);
                    turns.pop();
                }
            }
        }
    }
}

fn block<T: Real>(b: &Block, turns: [usize; DEPTH], shared: &[Read<'_, T>], locals: &mut [Buffer<T>]) {
    let view = |o: &Operand| View { offset: o.first(turns), ..o.view };
    // Results go to copies, so that a local may be read, too (in place, element by element).
    let index = |o: &Operand| o.local().unwrap_or_else(|| panic!("results are locals"));
    let mut taken: Vec<Buffer<T>> = b.writes.iter().map(|w| locals[index(w)].clone()).collect();
    let operands: Vec<Read<'_, T>> = b
        .reads
        .iter()
        .map(|o| {
            let buffer = match o.at {
                At::Shared(r) => shared[r].buffer,
                At::Local(l) => &locals[l],
            };
            Read { buffer, view: view(o) }
        })
        .collect();
    let results = b.writes.iter().zip(&mut taken).map(|(o, buffer)| Write { buffer, view: view(o) });
    b.kernel.reference(&operands, &mut results.collect::<Vec<_>>());
    for (o, buffer) in b.writes.iter().zip(taken) {
        locals[index(o)] = buffer;
    }
}

/// Operations of all tasks.
pub(super) fn flops(region: &Region) -> f64 {
    let arg = |o: &Operand| Arg { slot: SlotId(0), view: o.view };
    let block = |n: usize, b: &Block| {
        let (reads, writes): (Vec<Arg>, Vec<Arg>) =
            (b.reads.iter().map(arg).collect(), b.writes.iter().map(arg).collect());
        n as f64 * b.kernel.flops(&reads, &writes)
    };
    region.tasks as f64 * region.blocks().iter().map(|p| block(p.count(), p.block)).sum::<f64>()
}

/// Operations, and bytes that come from slots and go to them.
pub(super) fn work(region: &Region, reads: &[Arg]) -> Work {
    let mut work = Work { flops: flops(region), bytes: 0.0 };
    let operands = region.blocks().into_iter().flat_map(|p| &p.block.reads);
    let shared: BTreeSet<usize> =
        operands.filter_map(|o| if let At::Shared(r) = o.at { Some(r) } else { None }).collect();
    work.bytes += shared.iter().map(|r| 4.0 * reads[*r].view.count() as f64).sum::<f64>();
    for l in &region.locals {
        let Some(o) = l.outside else { continue };
        work.bytes += 4.0 * (region.tasks * l.len) as f64 * f64::from(o.load as u8 + o.store as u8);
    }
    work
}

/// A region has no uniform: its numbers stand in its shader.
pub(super) fn dispatch(region: &Region) -> Dispatch {
    let together = region.layout.as_ref().map_or(1, |l| l.together);
    Dispatch { uniform: Vec::new(), constants: Vec::new(), groups: grid(region.tasks.div_ceil(together)) }
}
