//! Task regions: stretches of a plan in which every value belongs to one task, run as one launch.
//!
//! A region is a small program over a task's own values, its locals: the same kernels as elsewhere, as blocks, some of
//! them repeated. On the CPU it runs for many tasks at once, one a SIMD lane, with the locals in cache; on a GPU it is
//! one shader, a workgroup a task. Locals that are read from or left in slots say where.
//!
//! Part of the engine: public for tests and tools, without a promise of stability.
//!
//! ```
//! use hyperloom::graph::Graph;
//! use hyperloom::net::{Net, Weights};
//! use hyperloom::plan::{Caps, lower};
//! use hyperloom::spec::Activation::Tanh;
//!
//! // A network for each of 32 tasks: two launches, or one region.
//! let net = Net::mlp(&[1, 8, 1], Tanh);
//! let (mut g, layout) = (Graph::new(), net.layout());
//! let (flat, x) = (g.data("w", &[32, layout.len()]), g.data("x", &[32, 5, 1]));
//! let y = net.apply(&mut g, Weights { flat, layout: &layout }, x);
//! g.output("y", y);
//! assert_eq!(lower(&g, Caps::cpu(1).without_regions())?.launches.len(), 2);
//! assert_eq!(lower(&g, Caps::cpu(1))?.launches.len(), 1);
//! # Ok::<(), hyperloom::Error>(())
//! ```

mod caps;
pub mod chunks;
mod lanes;
pub(crate) mod passes;
mod reference;
mod rows;
pub(crate) mod vectors;
#[cfg(feature = "gpu")]
pub mod wgsl;

use std::iter::zip;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::graph::scan::DEEPEST;
use crate::kernel::Kernel;
use crate::kernel::nest::{Family, Nest};
use crate::kernel::uniform::{ELEMENTS, elements_each};
use crate::spec::{DType, MAX_RANK};
use crate::view::View;
pub use caps::{GroupCaps, RegionCaps};
pub use lanes::LaneProgram;

/// Where an operand of a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// In a local.
    Local(usize),
    /// In an operand of the launch, the same for all tasks (by its number among those read).
    Shared(usize),
}

/// Loops that may be around a block: scans in scans, and rows some at a time.
pub const DEPTH: usize = DEEPEST + 1;

/// An operand of a block: elements of one task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operand {
    /// Where it lies.
    pub at: Base,
    /// Its elements there.
    pub view: View,
    /// By how many elements it moves from one repetition to the next of each loop around it, the outermost first.
    pub steps: [isize; DEPTH],
}

impl Operand {
    /// The local in which it lies, if in one.
    pub(crate) fn local(&self) -> Option<usize> {
        if let Base::Local(l) = self.at { Some(l) } else { None }
    }

    /// Whether it moves with a loop.
    pub(crate) fn moves(&self) -> bool {
        self.steps != [0; DEPTH]
    }

    /// First element in the given repetition of each loop.
    pub(crate) fn first(&self, turns: [usize; DEPTH]) -> usize {
        let moved: isize = zip(self.steps, turns).map(|(s, i)| s * i as isize).sum();
        (self.view.offset as isize + moved) as usize
    }

    /// The elements between which it lies in all of so many repetitions.
    pub(crate) fn range(&self, times: [usize; DEPTH]) -> Range<isize> {
        swept(&self.view, zip(self.steps, times))
    }
}

/// The elements between which a view lies in all repetitions of loops: by how much it moves, and how many.
pub(crate) fn swept(view: &View, loops: impl IntoIterator<Item = (isize, usize)>) -> Range<isize> {
    let mut range = view.offset as isize..view.end() as isize;
    for (step, n) in loops {
        let moved = step * (n as isize - 1);
        range.start += moved.min(0);
        range.end += moved.max(0);
    }
    range
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

impl Block {
    /// Views of what is read and of what is written.
    pub(crate) fn views(&self) -> [Vec<View>; 2] {
        [&self.reads, &self.writes].map(|list| list.iter().map(|o| o.view).collect())
    }

    /// Its loops.
    ///
    /// # Panics
    /// When its kernel has none: such kernels are in no region ([`Region::verify`]).
    pub(crate) fn nest(&self) -> Nest {
        let [reads, writes] = self.views();
        let nest = self.kernel.nest(&reads, &writes);
        nest.unwrap_or_else(|| panic!("a region has no block '{}'", self.kernel.name()))
    }

    /// Operations of one task, once.
    pub(crate) fn flops(&self) -> f64 {
        let [reads, writes] = self.views();
        self.kernel.flops(&reads, &writes)
    }
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
        /// What is repeated: at most [`DEPTH`] loops lie in one another.
        body: Vec<Stage>,
    },
}

impl Stage {
    /// Its blocks, those of a loop once.
    pub fn blocks(&self) -> Vec<&Block> {
        match self {
            Stage::Block(b) => vec![b],
            Stage::Loop { body, .. } => body.iter().flat_map(Stage::blocks).collect(),
        }
    }
}

/// A block, and where it stands in its region.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'r> {
    /// The block.
    pub block: &'r Block,
    /// Its position among all, those of a loop counted once.
    pub at: usize,
    /// Repetitions of each loop around it, the outermost first; 1 where there is none.
    pub times: [usize; DEPTH],
    /// First and last position of those loops; its own where there is none.
    loops: [Life; DEPTH],
}

impl Placed<'_> {
    /// How often it is done.
    pub fn count(&self) -> usize {
        self.times.iter().product()
    }
}

/// The part of a slot that backs a local: what it is loaded from before the region begins, stored to when it is done, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backing {
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
    /// Type of the elements. Words are only read, and come from a slot.
    pub dtype: DType,
    /// Elements a task.
    pub len: usize,
    /// The slot that it is loaded from or stored to, if any.
    pub backing: Option<Backing>,
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
    pub(crate) lanes: Prepared<LaneProgram>,
}

/// Where a workgroup keeps a local.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// In workgroup memory, from this one of the task's words on.
    Words(usize),
    /// In workgroup memory, from this element of the task's vectors on, vectors of four.
    Vectors(usize),
    /// In a register of the thread that makes it, for the pass that does.
    Register,
    /// In a slot: its own, or the one that takes what does not fit.
    Slot {
        /// Number of the operand, as in [`Backing`].
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
    pub allocations: Vec<Allocation>,
    /// For each block, whether it is done in one pass with the block before it.
    pub joined: Vec<bool>,
    /// Words of workgroup memory of a task.
    pub words: usize,
    /// Of these, the first for parts of a long sum, which has [`PARTS`].
    pub parts: usize,
    /// Elements of a task that lie in vectors, beside the words: a multiple of four.
    pub vectors: usize,
    /// Elements of a task in the slot that takes what does not fit, the last operand; 0 where all fits.
    pub spilled: usize,
    /// Threads that work on a task.
    pub threads: usize,
    /// Tasks in a workgroup.
    pub tasks_per_group: usize,
    /// Elements that a thread takes of the one task's, where all workgroups share it: its one pass goes element by element.
    pub spread: Option<usize>,
    /// For each operand of the launch, those read first, the number of the buffer that it lies in and its first element
    /// there: slots may share a buffer.
    pub bindings: Vec<(usize, usize)>,
}

impl GroupLayout {
    /// Of a region of one task and one pass that goes element by element: any number of workgroups share it. `operands` counts
    /// those of the launch.
    pub(crate) fn spread(region: &Region, operands: usize) -> GroupLayout {
        let allocation = |l: &Local| match l.backing {
            Some(b) => Allocation::Slot { operand: b.operand, offset: b.offset, stride: 0 },
            None => Allocation::Register,
        };
        let blocks = region.blocks();
        GroupLayout {
            allocations: region.locals.iter().map(allocation).collect(),
            joined: (0..blocks.len()).map(|i| i > 0).collect(),
            words: 0,
            parts: 0,
            vectors: 0,
            spilled: 0,
            threads: ELEMENTS,
            tasks_per_group: 1,
            spread: Some(elements_each(blocks[0].block.writes[0].view.count())),
            bindings: (0..operands).map(|i| (i, 0)).collect(),
        }
    }

    /// Passes, those of a loop once.
    pub fn passes(&self) -> usize {
        self.joined.iter().filter(|j| !**j).count()
    }

    /// Bytes of workgroup memory of a task.
    pub fn bytes(&self) -> usize {
        4 * (self.words + self.vectors)
    }

    /// For each buffer that the launch binds, the first of its operands that lies there, and whether one does that is
    /// written: those from operand `reads` on.
    pub fn buffers(&self, reads: usize) -> Vec<(usize, bool)> {
        let mut buffers: Vec<(usize, bool)> = Vec::new();
        for (operand, (number, _)) in self.bindings.iter().enumerate() {
            if *number == buffers.len() {
                buffers.push((operand, false));
            }
            buffers[*number].1 |= operand >= reads;
        }
        buffers
    }
}

/// What found room, and what did not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    /// Locals with their first elements.
    pub(crate) kept: Vec<(usize, usize)>,
    /// Locals that did not fit.
    left: Vec<usize>,
    /// Elements that are taken in all: of words, and of vectors.
    pub(crate) len: [usize; 2],
}

/// Tiers of workgroup memory, in bytes: the smallest that holds what is used often is taken.
pub(crate) const TIERS: [usize; 3] = [16 << 10, 32 << 10, 48 << 10];

/// Terms of a sum with one result from which on several threads share it.
const LONG: usize = 64;

/// Parts of a long sum at most.
pub const PARTS: usize = 64;

/// Whether a block is one sum of many terms: one thread would take long for it.
pub(crate) fn is_long_sum(b: &Block) -> bool {
    b.kernel.family() == Family::Sum && b.writes[0].view.count() == 1 && b.reads[0].view.count() >= LONG
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
    /// Whether an operand of the launch holds u32 words.
    #[cfg(feature = "gpu")]
    pub(crate) fn is_words(&self, operand: usize) -> bool {
        let local = |l: &Local| l.dtype == DType::U32 && l.backing.is_some_and(|o| o.operand == operand);
        self.locals.iter().any(local)
            || self.blocks().iter().any(|p| {
                let mut reads = p.block.reads.iter().enumerate();
                reads.any(|(k, o)| {
                    o.at == Base::Shared(operand) && p.block.kernel.dtype(k) == Some(DType::U32)
                })
            })
    }

    /// All blocks in order, those of a loop once.
    pub fn blocks(&self) -> Vec<Placed<'_>> {
        let mut placed = Vec::new();
        place_all(&self.stages, &[], &mut placed);
        placed
    }

    /// Whether it is a chain: one pass element by element, which all workgroups share.
    pub fn is_chain(&self) -> bool {
        self.layout.as_ref().is_some_and(|l| l.spread.is_some())
    }

    /// Whether products are in it, which is what tasks are put together for; brief launches make regions, too.
    pub fn has_products(&self) -> bool {
        self.blocks().iter().any(|p| p.block.kernel.is_product())
    }

    /// How many operands of blocks each local is.
    pub(crate) fn touches(&self) -> Vec<usize> {
        let mut touches = vec![0; self.locals.len()];
        for p in self.blocks() {
            for l in p.block.reads.iter().chain(&p.block.writes).filter_map(Operand::local) {
                touches[l] += 1;
            }
        }
        touches
    }

    /// When each local is needed; `None` for one that nothing touches. What is touched outside of a loop, too, or moves
    /// with it, is needed during the whole loop.
    pub fn lives(&self) -> Vec<Option<Life>> {
        let mut touched: Vec<Vec<(Placed<'_>, &Operand)>> = vec![vec![]; self.locals.len()];
        for p in self.blocks() {
            for o in p.block.reads.iter().chain(&p.block.writes) {
                if let Some(l) = o.local() {
                    touched[l].push((p, o));
                }
            }
        }
        let life = |(l, touches): (&Local, Vec<(Placed<'_>, &Operand)>)| {
            let (first, _) = touches.first()?;
            // The loops that all of it happens in: each repetition has contents of its own.
            let alone = |d: usize| {
                l.backing.is_none()
                    && touches.iter().all(|(p, o)| p.loops[d] == first.loops[d] && o.steps[d] == 0)
            };
            let level = (0..DEPTH).find(|d| !alone(*d));
            let around = |p: &Placed<'_>| level.map_or(Life { first: p.at, last: p.at }, |d| p.loops[d]);
            let first = touches.iter().map(|(p, _)| around(p).first).min()?;
            let last = touches.iter().map(|(p, _)| around(p).last).max()?;
            Some(Life { first, last })
        };
        self.locals.iter().zip(touched).map(life).collect()
    }

    /// Elements of a task that are needed at each position, where locals live so.
    fn needed(&self, lives: &[Option<Life>]) -> Vec<usize> {
        self.needed_of(lives, |l| self.locals[l].len)
    }

    /// The same, where of each local so many elements count.
    fn needed_of(&self, lives: &[Option<Life>], len: impl Fn(usize) -> usize) -> Vec<usize> {
        let mut change = vec![0isize; self.blocks().len()];
        for (l, life) in lives.iter().enumerate() {
            if let Some(life) = life {
                change[life.first] += len(l) as isize;
                if let Some(after) = change.get_mut(life.last + 1) {
                    *after -= len(l) as isize;
                }
            }
        }
        let now = change.iter().scan(0, |now, c| {
            *now += c;
            Some(*now as usize)
        });
        now.collect()
    }

    /// Elements of a task that are needed at the same time, at most.
    pub fn peak(&self) -> usize {
        self.needed(&self.lives()).into_iter().max().unwrap_or(0)
    }

    /// The same, where of what moves with a loop wherever it is touched, as histories do, only the part of one repetition
    /// counts: a workgroup streams it through its slot.
    pub fn held(&self) -> usize {
        let mut held = vec![0; self.locals.len()];
        for p in self.blocks() {
            for o in p.block.reads.iter().chain(&p.block.writes) {
                let Some(l) = o.local() else { continue };
                let part = if o.moves() { o.view.end() - o.view.offset } else { self.locals[l].len };
                held[l] = held[l].max(part);
            }
        }
        self.needed_of(&self.lives(), |l| held[l]).into_iter().max().unwrap_or(0)
    }

    /// Reads and writes of each local, all repetitions counted.
    fn uses(&self) -> Vec<(usize, usize)> {
        let mut uses = vec![(0, 0); self.locals.len()];
        for p in self.blocks() {
            let (b, nest) = (p.block, p.block.nest());
            for (k, o) in b.reads.iter().chain(&b.writes).enumerate() {
                let Some(l) = o.local() else { continue };
                let count = p.count() * o.view.count() * nest.reuse(k, &b.writes[0].view);
                if k < b.reads.len() { uses[l].0 += count } else { uses[l].1 += count }
            }
        }
        uses
    }

    /// Places locals one after another where none that is needed at the same time lies, as far as there is `room`, those
    /// in `vectors` apart from the others. Those that are never needed are left out.
    pub(crate) fn pack(
        &self,
        lives: &[Option<Life>],
        order: &[usize],
        vectors: impl Fn(usize) -> bool,
        room: usize,
    ) -> Packed {
        let mut packed = Packed::default();
        let len = |i: usize| self.locals[i].len.next_multiple_of(if vectors(i) { 4 } else { 1 });
        for &i in order {
            let Some(life) = lives[i] else { continue };
            let meets = |j: usize| {
                vectors(j) == vectors(i)
                    && lives[j].is_some_and(|l| l.first <= life.last && life.first <= l.last)
            };
            let mut taken: Vec<(usize, usize)> =
                packed.kept.iter().filter(|(j, _)| meets(*j)).map(|&(j, at)| (at, at + len(j))).collect();
            taken.sort_unstable();
            let mut free = Vec::new();
            let mut at = 0;
            for &(from, to) in &taken {
                if at + len(i) <= from {
                    free.push(at);
                }
                at = at.max(to);
            }
            free.push(at);
            let mut with = packed.len;
            let end = &mut with[vectors(i) as usize];
            *end = (*end).max(free[0] + len(i));
            // Of the places that take no more memory that which was free for longest: threads wait for those that still use
            // what was there before.
            let idle = |at: usize| {
                let there = packed.kept.iter().filter(|&&(j, from)| {
                    vectors(j) == vectors(i) && from < at + len(i) && at < from + len(j)
                });
                let apart = there.filter_map(|(j, _)| lives[*j]).map(|l| {
                    if l.last < life.first { life.first - l.last } else { l.first.saturating_sub(life.last) }
                });
                apart.min().unwrap_or(usize::MAX)
            };
            let least = free.iter().copied().filter(|at| at + len(i) <= *end);
            let at = least.rev().max_by_key(|at| idle(*at)).unwrap_or(free[0]);
            if with[0] + with[1] <= room {
                packed.kept.push((i, at));
                packed.len = with;
            } else {
                packed.left.push(i);
            }
        }
        packed
    }

    /// Places the locals for a workgroup, which does the blocks in passes: first in its memory what is used most for its
    /// size. `operands` counts the operands of the launch so far.
    pub(crate) fn place(&mut self, caps: &GroupCaps, operands: usize) -> GroupLayout {
        let joined = self.in_passes();
        let registers = self.in_registers(&joined);
        let lives = self.lives_in_passes(&joined);
        let uses = self.uses();
        // What is read once from where it lies, or only left there, needs no room.
        let direct = |i: usize| {
            self.locals[i].backing.filter(|o| {
                let (read, written) = uses[i];
                if self.locals[i].dtype == DType::U32 {
                    return true;
                }
                if o.store { read == 0 && !o.load } else { written == 0 && read <= self.locals[i].len }
            })
        };
        let mut order: Vec<usize> = (0..lives.len())
            .filter(|&i| lives[i].is_some() && !registers[i] && direct(i).is_none())
            .collect();
        let density = |i: usize| (uses[i].0 + uses[i].1) as f64 / self.locals[i].len as f64;
        order.sort_by(|&a, &b| density(b).total_cmp(&density(a)).then(a.cmp(&b)));
        let vectors = self.vectors(&joined);
        let parts = if self.blocks().iter().any(|p| is_long_sum(p.block)) { PARTS } else { 0 };
        let tiers = TIERS.iter().map(|t| ((*t).min(caps.bytes) / 4).saturating_sub(parts));
        let mut best = Packed { left: order.clone(), ..Packed::default() };
        for room in tiers {
            best = self.pack(&lives, &order, |i| vectors[i], room);
            if best.left.iter().all(|&i| density(i) <= 2.0) {
                break;
            }
        }
        let Packed { kept, left, len: [words, in_vectors] } = best;
        let own: Vec<usize> = left.iter().copied().filter(|&i| self.locals[i].backing.is_none()).collect();
        let Packed { kept: spilled, len: [stride, _], .. } = self.pack(&lives, &own, |_| false, usize::MAX);
        let (words, parts) = (words + parts, words);
        let mut allocations = vec![Allocation::Words(0); self.locals.len()];
        for &(i, at) in &kept {
            allocations[i] = if vectors[i] { Allocation::Vectors(at) } else { Allocation::Words(at) };
        }
        for &(i, at) in &spilled {
            allocations[i] = Allocation::Slot { operand: operands, offset: at, stride };
        }
        for i in 0..allocations.len() {
            if registers[i] {
                allocations[i] = Allocation::Register;
            }
            let there = kept.iter().chain(&spilled).any(|(j, _)| *j == i);
            if let (false, Some(o)) = (there, self.locals[i].backing) {
                allocations[i] = Allocation::Slot { operand: o.operand, offset: o.offset, stride: o.stride };
            }
        }
        // A thread for about eight results of a typical block, weighted by work.
        let (mut work, mut results) = (0.0, 0.0);
        for p in self.blocks() {
            let flops = p.count() as f64 * p.block.flops();
            work += flops;
            results += flops * p.block.writes[0].view.count() as f64;
        }
        let wanted = (results / work.max(1.0) / 8.0).ceil() as usize;
        let threads = wanted.next_power_of_two().clamp(8, caps.threads.min(256));
        let room = (TIERS[0].min(caps.bytes) / 4).checked_div(words + in_vectors).unwrap_or(usize::MAX);
        let tasks_per_group = (64 / threads).clamp(1, room.max(1));
        let operands = operands + usize::from(stride > 0);
        let bindings = (0..operands).map(|i| (i, 0)).collect();
        GroupLayout {
            allocations,
            joined,
            words,
            parts,
            vectors: in_vectors,
            spilled: stride,
            threads,
            tasks_per_group,
            spread: None,
            bindings,
        }
    }

    /// Checks bounds and that writes hit each element once; `len(operand)` gives the length of the slot of an operand,
    /// those read first.
    pub(crate) fn verify(&self, reads: usize, slots: &[(DType, usize)]) -> Result<(), String> {
        let dtype = |operand: usize| slots.get(operand).map(|s| s.0);
        let lens: Vec<usize> = slots.iter().map(|s| s.1).collect();
        verify_loops(&self.stages, DEPTH)?;
        for l in &self.locals {
            let Some(o) = l.backing else { continue };
            let end = o.offset + (self.tasks - 1) * o.stride + l.len;
            if o.operand >= lens.len() || end > lens[o.operand] {
                return Err(format!("local '{}' ends at {end} of its slot", l.label));
            }
            if dtype(o.operand) != Some(l.dtype) {
                return Err(format!("local '{}' of {:?} lies in a slot of another type", l.label, l.dtype));
            }
            if o.store && (o.stride < l.len || o.operand < reads) {
                return Err(format!("local '{}' is stored where tasks overlap", l.label));
            }
        }
        for p in self.blocks() {
            let b = p.block;
            if b.kernel.family() == Family::Opaque {
                return Err(format!(
                    "kernel '{}' of block '{}' is a launch of its own",
                    b.kernel.name(),
                    b.label
                ));
            }
            for (k, o) in b.reads.iter().chain(&b.writes).enumerate() {
                let len = match o.at {
                    Base::Local(l) if l < self.locals.len() => self.locals[l].len,
                    Base::Shared(r) if r < reads && k < b.reads.len() => lens[r],
                    _ => return Err(format!("block '{}' has no operand {k}", b.label)),
                };
                let holds = match o.at {
                    Base::Local(l) => self.locals[l].dtype,
                    Base::Shared(r) => slots[r].0,
                };
                if b.kernel.dtype(k).unwrap_or(DType::F32) != holds {
                    return Err(format!("operand {k} of block '{}' is {holds:?}", b.label));
                }
                if holds == DType::U32
                    && (k >= b.reads.len() || o.local().is_some_and(|l| self.locals[l].backing.is_none()))
                {
                    return Err(format!(
                        "operand {k} of block '{}': words are only read, from a slot",
                        b.label
                    ));
                }
                let range = o.range(p.times);
                if range.start < 0 || range.end > len as isize {
                    return Err(format!("operand {k} of block '{}' spans {range:?} of {len}", b.label));
                }
                if k >= b.reads.len() && !o.view.is_injective() {
                    return Err(format!("result {k} of block '{}' overlaps itself", b.label));
                }
            }
        }
        Ok(())
    }
}

/// Checks that loops do something, and that at most `depth` lie in one another.
fn verify_loops(stages: &[Stage], depth: usize) -> Result<(), String> {
    let loops =
        stages.iter().filter_map(|s| if let Stage::Loop { n, body } = s { Some((n, body)) } else { None });
    for (n, body) in loops {
        if depth == 0 {
            return Err(format!("more than {DEPTH} loops lie in one another"));
        }
        if *n == 0 || body.is_empty() {
            return Err(format!("a loop of {n} turns over {} stages", body.len()));
        }
        verify_loops(body, depth - 1)?;
    }
    Ok(())
}

/// Lists the blocks of `stages`, with so many loops around them: repetitions, first and last position.
fn place_all<'r>(stages: &'r [Stage], around: &[(usize, Life)], placed: &mut Vec<Placed<'r>>) {
    for stage in stages {
        let at = placed.len();
        match stage {
            Stage::Block(block) => {
                let own = (1, Life { first: at, last: at });
                let all: [_; DEPTH] = std::array::from_fn(|d| around.get(d).copied().unwrap_or(own));
                placed.push(Placed { block, at, times: all.map(|l| l.0), loops: all.map(|l| l.1) });
            }
            Stage::Loop { n, body } => {
                let life = Life { first: at, last: at + stage.blocks().len() - 1 };
                place_all(body, &[around, &[(*n, life)]].concat(), placed);
            }
        }
    }
}

/// The leading axis of a shape: the first that is longer than 1.
pub(crate) fn leading(view: &View) -> usize {
    view.dims.iter().position(|d| *d > 1).unwrap_or(MAX_RANK - 1)
}
