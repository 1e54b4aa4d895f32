//! Task regions: stretches of a plan in which every value belongs to one task, run as one launch.
//!
//! A region is a small program over a task's own values, its locals: the same kernels as elsewhere, as blocks, some of
//! them repeated. On the CPU it runs for many tasks at once, one a SIMD lane, with the locals in cache; on a GPU it is
//! one shader, a workgroup a task. Locals that are read from or left in slots say where.

pub(crate) mod quads;
mod rows;

use std::sync::{Arc, OnceLock};

use super::{GroupCaps, View};
use crate::kernel::Kernel;
use crate::spec::MAX_RANK;

/// Where an operand of a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

impl Operand {
    /// The local in which it lies, if in one.
    pub(crate) fn local(&self) -> Option<usize> {
        if let At::Local(l) = self.at { Some(l) } else { None }
    }
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

impl Stage {
    /// Its blocks, those of a loop once.
    pub fn blocks(&self) -> &[Block] {
        match self {
            Stage::Block(b) => std::slice::from_ref(b),
            Stage::Loop { body, .. } => body,
        }
    }
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
    /// How a workgroup of a GPU runs it, where it was lowered for one.
    pub layout: Option<GroupLayout>,
    /// The form in which the CPU runs it, made when it is first run.
    pub(crate) lanes: Prepared<crate::kernel::LaneProgram>,
}

/// Where a workgroup keeps a local.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In workgroup memory, from this one of the task's words on.
    Words(usize),
    /// In workgroup memory, from this element of the task's quads on, vectors of four.
    Quads(usize),
    /// In a slot: its own, or the one that takes what does not fit.
    Slot {
        /// Number of the operand, as in [`Outside`].
        operand: usize,
        /// First element of task 0.
        offset: usize,
        /// Distance of two tasks.
        stride: usize,
    },
}

/// How a workgroup runs a region.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupLayout {
    /// Where each local lies.
    pub homes: Vec<Home>,
    /// Words of workgroup memory of a task.
    pub words: usize,
    /// Elements of a task that lie in quads, beside the words: a multiple of four.
    pub quads: usize,
    /// Elements of a task in the slot that takes what does not fit, the last operand; 0 where all fits.
    pub spilled: usize,
    /// Threads that work on a task.
    pub threads: usize,
    /// Tasks in a workgroup.
    pub together: usize,
}

impl GroupLayout {
    /// Bytes of workgroup memory of a task.
    pub fn bytes(&self) -> usize {
        4 * (self.words + self.quads)
    }
}

/// What found room, and what did not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    /// Locals with their first elements.
    pub(crate) kept: Vec<(usize, usize)>,
    /// Locals that did not fit.
    left: Vec<usize>,
    /// Elements that are taken in all: of words, and of quads.
    pub(crate) len: [usize; 2],
}

/// Tiers of workgroup memory, in bytes: the smallest that holds what is used often is taken.
pub(crate) const TIERS: [usize; 3] = [16 << 10, 32 << 10, 48 << 10];

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
        let all = self.stages.iter().flat_map(|s| {
            let n = if let Stage::Loop { n, .. } = s { *n } else { 1 };
            s.blocks().iter().map(move |b| (n, b))
        });
        all.enumerate().map(|(i, (n, b))| (i, n, b))
    }

    /// Whether products are in it, which is what tasks are put together for; brief launches make regions, too.
    pub fn has_products(&self) -> bool {
        self.blocks().any(|(_, _, b)| matches!(b.kernel, Kernel::MatMul(_)))
    }

    /// Positions of the first and last block of the loop around each block (itself, outside of loops).
    fn spans(&self) -> Vec<Life> {
        let mut spans = Vec::new();
        for s in &self.stages {
            let first = spans.len();
            let len = s.blocks().len();
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
                let Some(l) = o.local() else { continue };
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
        change
            .iter()
            .map(|c| {
                now += c;
                now as usize
            })
            .max()
            .unwrap_or(0)
    }

    /// Reads and writes of each local, all repetitions counted.
    fn uses(&self) -> Vec<(usize, usize)> {
        let mut uses = vec![(0, 0); self.locals.len()];
        for (_, n, b) in self.blocks() {
            for (k, o) in b.reads.iter().chain(&b.writes).enumerate() {
                let Some(l) = o.local() else { continue };
                let y = &b.writes[0].view;
                let (m, cols) = (y.dims[MAX_RANK - 2], y.dims[MAX_RANK - 1]);
                let again = match (&b.kernel, k) {
                    // Tiles of four rows and columns.
                    (Kernel::MatMul(_), 0) => cols.div_ceil(4),
                    (Kernel::MatMul(_), 1) => m.div_ceil(4),
                    _ => 1,
                };
                let count = n * o.view.count() * again;
                if k < b.reads.len() { uses[l].0 += count } else { uses[l].1 += count }
            }
        }
        uses
    }

    /// Places locals one after another where none that is needed at the same time lies, as far as there is `room`, those
    /// in `quads` apart from the others. Those that are never needed are left out.
    pub(crate) fn pack(
        &self,
        lives: &[Option<Life>],
        order: &[usize],
        quads: impl Fn(usize) -> bool,
        room: usize,
    ) -> Packed {
        let mut packed = Packed::default();
        let len = |i: usize| self.locals[i].len.next_multiple_of(if quads(i) { 4 } else { 1 });
        for &i in order {
            let Some(life) = lives[i] else { continue };
            let meets = |j: usize| {
                quads(j) == quads(i) && lives[j].is_some_and(|l| l.first <= life.last && life.first <= l.last)
            };
            let mut taken: Vec<(usize, usize)> =
                packed.kept.iter().filter(|(j, _)| meets(*j)).map(|&(j, at)| (at, at + len(j))).collect();
            taken.sort_unstable();
            let mut at = 0;
            for (from, to) in taken {
                if at + len(i) <= from {
                    break;
                }
                at = at.max(to);
            }
            let mut with = packed.len;
            with[quads(i) as usize] = with[quads(i) as usize].max(at + len(i));
            if with[0] + with[1] <= room {
                packed.kept.push((i, at));
                packed.len = with;
            } else {
                packed.left.push(i);
            }
        }
        packed
    }

    /// Places the locals for a workgroup: first in its memory what is used most for its size. `operands` counts the
    /// operands of the launch so far.
    pub(crate) fn place(&self, caps: &GroupCaps, operands: usize) -> GroupLayout {
        let lives = self.lives();
        let uses = self.uses();
        // What is read once from where it lies, or only left there, needs no room.
        let direct = |i: usize| {
            self.locals[i].outside.filter(|o| {
                let (read, written) = uses[i];
                if o.store { read == 0 && !o.load } else { written == 0 && read <= self.locals[i].len }
            })
        };
        let mut order: Vec<usize> =
            (0..lives.len()).filter(|&i| lives[i].is_some() && direct(i).is_none()).collect();
        let density = |i: usize| (uses[i].0 + uses[i].1) as f64 / self.locals[i].len as f64;
        order.sort_by(|&a, &b| density(b).total_cmp(&density(a)).then(a.cmp(&b)));
        let quads = self.quads();
        let tiers = TIERS.iter().map(|t| (*t).min(caps.bytes) / 4);
        let mut best = Packed { left: order.clone(), ..Packed::default() };
        for room in tiers {
            best = self.pack(&lives, &order, |i| quads[i], room);
            if best.left.iter().all(|&i| density(i) <= 2.0) {
                break;
            }
        }
        let Packed { kept, left, len: [words, in_quads] } = best;
        let own: Vec<usize> = left.iter().copied().filter(|&i| self.locals[i].outside.is_none()).collect();
        let Packed { kept: spilled, len: [stride, _], .. } = self.pack(&lives, &own, |_| false, usize::MAX);
        let mut homes = vec![Home::Words(0); self.locals.len()];
        for &(i, at) in &kept {
            homes[i] = if quads[i] { Home::Quads(at) } else { Home::Words(at) };
        }
        for &(i, at) in &spilled {
            homes[i] = Home::Slot { operand: operands, offset: at, stride };
        }
        for i in 0..homes.len() {
            let there = kept.iter().chain(&spilled).any(|(j, _)| *j == i);
            if let (false, Some(o)) = (there, self.locals[i].outside) {
                homes[i] = Home::Slot { operand: o.operand, offset: o.offset, stride: o.stride };
            }
        }
        // A thread for about eight results of a typical block, weighted by work.
        let (mut work, mut results) = (0.0, 0.0);
        for (_, n, b) in self.blocks() {
            let y = &b.writes[0].view;
            let terms =
                if matches!(b.kernel, Kernel::MatMul(_)) { b.reads[0].view.dims[MAX_RANK - 1] } else { 1 };
            let flops = (n * y.count() * terms) as f64;
            work += flops;
            results += flops * y.count() as f64;
        }
        let wanted = (results / work.max(1.0) / 8.0).ceil() as usize;
        let threads = wanted.next_power_of_two().clamp(8, caps.threads.min(256));
        let room = (TIERS[0].min(caps.bytes) / 4).checked_div(words + in_quads).unwrap_or(usize::MAX);
        let together = (64 / threads).clamp(1, room.max(1));
        GroupLayout { homes, words, quads: in_quads, spilled: stride, threads, together }
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
                let (low, high) =
                    (o.view.offset as isize + moved.min(0), o.view.end() as isize + moved.max(0));
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
