//! Task regions: stretches of a plan in which every value belongs to one task, run as one launch.
//!
//! A region is a small program over a task's own values, its locals: the same kernels as elsewhere, as blocks, some of
//! them repeated. On the CPU it runs for many tasks at once, one a SIMD lane, with the locals in cache; on a GPU it is
//! one shader, a workgroup a task. Locals that are read from or left in slots say where.

use std::sync::{Arc, OnceLock};

use super::View;
use crate::kernel::Kernel;
use crate::spec::MAX_RANK;

/// Where an operand of a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// In a local.
    Local(usize),
    /// In an operand of the launch, the same for all tasks (by its number among those read).
    Shared(usize),
}

/// An operand of a block: elements of one task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operand {
    /// Where it lies.
    pub at: At,
    /// Its elements there.
    pub view: View,
    /// By how many elements it moves from one repetition of the loop around it to the next.
    pub step: isize,
}

/// One kernel over the values of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Which kernel, with its scalar parameters.
    pub kernel: Kernel,
    /// What it reads, in the kernel's order.
    pub reads: Vec<Operand>,
    /// What it writes, in the kernel's order.
    pub writes: Vec<Operand>,
    /// The graph scope it comes from.
    pub label: String,
}

/// Blocks, some repeated.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// One block.
    Block(Block),
    /// Blocks repeated.
    Loop {
        /// Number of repetitions.
        n: usize,
        /// What is repeated.
        body: Vec<Block>,
    },
}

/// The part of a slot that belongs to a local.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside {
    /// Number of the operand: among those the launch reads, then those it writes.
    pub operand: usize,
    /// First element of task 0.
    pub offset: usize,
    /// Distance of two tasks.
    pub stride: usize,
    /// Whether it is fetched before the region begins.
    pub load: bool,
    /// Whether it is stored when the region is done.
    pub store: bool,
}

/// A value of one task.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    /// Elements a task.
    pub len: usize,
    /// Where it comes from or goes.
    pub outside: Option<Outside>,
    /// Name, for messages.
    pub label: String,
}

/// A program that is run for every task.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Tasks.
    pub tasks: usize,
    /// Values of a task.
    pub locals: Vec<Local>,
    /// What is done, in order.
    pub stages: Vec<Stage>,
    /// The form in which the CPU runs it, made when it is first run.
    pub(crate) lanes: Prepared<crate::kernel::LaneProgram>,
}

/// Something derived, which has no part in comparisons.
#[derive(Debug)]
pub(crate) struct Prepared<P>(pub(crate) OnceLock<Arc<P>>);

impl<P> Default for Prepared<P> {
    fn default() -> Prepared<P> {
        Prepared(OnceLock::new())
    }
}
impl<P> Clone for Prepared<P> {
    fn clone(&self) -> Prepared<P> {
        Prepared(self.0.clone())
    }
}
impl<P> PartialEq for Prepared<P> {
    fn eq(&self, _: &Prepared<P>) -> bool {
        true
    }
}

/// When the contents of a local are needed: the first and the last position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// First position.
    pub first: usize,
    /// Last position.
    pub last: usize,
}

impl Region {
    /// All blocks with their positions; those of a loop are listed once. The second number counts repetitions.
    pub fn blocks(&self) -> impl Iterator<Item = (usize, usize, &Block)> {
        let all = self.stages.iter().flat_map(|s| match s {
            Stage::Block(b) => vec![(1, b)],
            Stage::Loop { n, body } => body.iter().map(|b| (*n, b)).collect(),
        });
        all.enumerate().map(|(i, (n, b))| (i, n, b))
    }

    /// Positions of the first and last block of the loop around each block (itself, outside of loops).
    fn spans(&self) -> Vec<Life> {
        let mut spans = Vec::new();
        for s in &self.stages {
            let first = spans.len();
            let len = if let Stage::Loop { body, .. } = s { body.len() } else { 1 };
            spans.extend((0..len).map(|_| Life { first, last: first + len - 1 }));
        }
        spans
    }

    /// When each local is needed; `None` for one that nothing touches. What is touched outside of a loop, too, is
    /// needed during the whole loop.
    pub fn lives(&self) -> Vec<Option<Life>> {
        let spans = self.spans();
        let mut lives: Vec<Option<Life>> = vec![None; self.locals.len()];
        let mut homes: Vec<Option<Life>> = vec![None; self.locals.len()];
        for (at, _, b) in self.blocks() {
            for o in b.reads.iter().chain(&b.writes) {
                let At::Local(l) = o.at else { continue };
                let (span, outside) = (spans[at], self.locals[l].outside.is_some());
                let life = lives[l].get_or_insert(Life { first: at, last: at });
                let home = homes[l].get_or_insert(span);
                if *home != span || outside || o.step != 0 {
                    // Touched in several places: whole loops count.
                    life.first = life.first.min(home.first).min(span.first);
                    life.last = life.last.max(home.last).max(span.last);
                }
                (life.first, life.last) = (life.first.min(at), life.last.max(at));
            }
        }
        lives
    }

    /// Elements of a task that are needed at the same time, at most.
    pub fn peak(&self) -> usize {
        let lives = self.lives();
        let positions = self.blocks().count();
        let mut change = vec![0isize; positions + 1];
        for (l, life) in self.locals.iter().zip(lives) {
            if let Some(life) = life {
                change[life.first] += l.len as isize;
                change[life.last + 1] -= l.len as isize;
            }
        }
        let mut now = 0;
        change.iter().map(|c| {
            now += c;
            now as usize
        }).max().unwrap_or(0)
    }

    /// Checks bounds and that writes hit each element once; `len(operand)` gives the length of the slot of an operand,
    /// those read first.
    pub(super) fn verify(&self, reads: usize, lens: &[usize]) -> Result<(), String> {
        for l in &self.locals {
            let Some(o) = l.outside else { continue };
            let end = o.offset + (self.tasks - 1) * o.stride + l.len;
            if o.operand >= lens.len() || end > lens[o.operand] {
                return Err(format!("local '{}' ends at {end} of its slot", l.label));
            }
            if o.store && (o.stride < l.len || o.operand < reads) {
                return Err(format!("local '{}' is stored where tasks overlap", l.label));
            }
        }
        for (_, n, b) in self.blocks() {
            for (k, o) in b.reads.iter().chain(&b.writes).enumerate() {
                let len = match o.at {
                    At::Local(l) if l < self.locals.len() => self.locals[l].len,
                    At::Shared(r) if r < reads && k < b.reads.len() => lens[r],
                    _ => return Err(format!("block '{}' has no operand {k}", b.label)),
                };
                let moved = o.step * (n as isize - 1);
                let (low, high) = (o.view.offset as isize + moved.min(0), o.view.end() as isize + moved.max(0));
                if low < 0 || high > len as isize {
                    return Err(format!("operand {k} of block '{}' spans {low}..{high} of {len}", b.label));
                }
                if k >= b.reads.len() && !o.view.is_injective() {
                    return Err(format!("result {k} of block '{}' overlaps itself", b.label));
                }
            }
        }
        Ok(())
    }
}

/// The leading axis of a shape: the first that is longer than 1.
pub(crate) fn leading(view: &View) -> usize {
    view.dims.iter().position(|d| *d > 1).unwrap_or(MAX_RANK - 1)
}
