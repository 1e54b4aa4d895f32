//! What loops a kernel is: which of them lie along which axis of which operand, and what may be done with each.
//!
//! A kernel that says its nest can be taken apart: task by task, rows some at a time, terms in parts. Whoever does that (task
//! regions, row tiling, split-K, costs) asks the nest and knows no kernel.

use crate::spec::MAX_RANK;
use crate::view::{COLUMN, ROW, View};

/// Loops of a nest, at most.
pub const LOOPS: usize = 8;
/// Operands of a kernel that has a nest, at most.
const OPERANDS: usize = 5;

/// What may be done with a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each repetition has elements of its own in every operand that lies along it: tasks and rows lie along such loops.
    Batch,
    /// An axis of the result along which some operand does not lie: its elements are read again in each repetition.
    Free,
    /// Terms of a sum.
    Sum,
    /// All repetitions belong together: the classes of a softmax.
    Whole,
    /// There is no such loop.
    None,
}

/// How an operand takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// In every repetition.
    Always,
    /// Once for each result, after the sum: a bias.
    AfterSum,
    /// Not at all: it stands in for an operand that this launch lacks.
    Absent,
}

/// The axis of its view that each loop walks along, and its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    axes: [Option<usize>; LOOPS],
    part: Part,
}

/// A loop nest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nest {
    kinds: [Kind; LOOPS],
    /// Operands read, then those written.
    operands: [Access; OPERANDS],
    /// Of these, how many there are and how many are read.
    count: usize,
    reads: usize,
    /// Whether the batch loop counts the rows of all tasks, one task after another.
    pub stacked: bool,
    /// Whether results over a part of the terms can be added up: nothing but a bias comes after the sum.
    pub additive: bool,
}

/// Axes one by one: loop i lies along axis i.
const SAME: [Option<usize>; LOOPS] = {
    let mut axes = [None; LOOPS];
    let mut i = 0;
    while i < MAX_RANK {
        axes[i] = Some(i);
        i += 1;
    }
    axes
};

/// The loop over the terms of a product, after those of the result's axes.
pub const TERMS: usize = MAX_RANK;

impl Nest {
    fn new(reads: usize, writes: usize, axes: [Option<usize>; LOOPS]) -> Nest {
        Nest {
            kinds: [Kind::None; LOOPS],
            operands: [Access { axes, part: Part::Always }; OPERANDS],
            count: reads + writes,
            reads,
            stacked: false,
            additive: false,
        }
    }

    /// Every result is made of the operands' elements at the same place.
    pub(super) fn pointwise(reads: usize) -> Nest {
        let mut n = Nest::new(reads, 1, SAME);
        n.kinds[..MAX_RANK].fill(Kind::Batch);
        n
    }

    /// Sums of `full` over the axes along which `y` has length 1.
    pub(super) fn sum(reads: usize, full: &View, y: &View) -> Nest {
        let mut n = Nest::pointwise(reads);
        n.additive = true;
        for i in (0..MAX_RANK).filter(|&i| y.dims[i] == 1 && full.dims[i] > 1) {
            n.kinds[i] = Kind::Sum;
            n.operands[reads].axes[i] = None;
        }
        n
    }

    /// A batched matrix product with a bias (absent where `bias` says so) and one or two results.
    pub(super) fn product(bias: bool, writes: usize, additive: bool) -> Nest {
        let mut n = Nest::new(3, writes, SAME);
        n.kinds[..ROW].fill(Kind::Batch);
        n.kinds[ROW..=COLUMN].fill(Kind::Free);
        n.kinds[TERMS] = Kind::Sum;
        n.operands[0].axes[COLUMN] = None;
        n.operands[0].axes[TERMS] = Some(COLUMN);
        n.operands[1].axes[ROW] = None;
        n.operands[1].axes[TERMS] = Some(ROW);
        n.operands[2].part = if bias { Part::AfterSum } else { Part::Absent };
        n.additive = additive;
        n
    }

    /// Something of each row of matrices `[r, c]`; with `per_row` the result is one number a row, `[r]`.
    pub(super) fn rows(reads: usize, per_row: bool) -> Nest {
        let mut axes = [None; LOOPS];
        axes[ROW] = Some(ROW);
        axes[COLUMN] = Some(COLUMN);
        let mut n = Nest::new(reads, 1, axes);
        n.kinds[ROW] = Kind::Batch;
        n.kinds[COLUMN] = Kind::Whole;
        n.stacked = true;
        if per_row {
            n.operands[reads].axes[ROW] = Some(COLUMN);
            n.operands[reads].axes[COLUMN] = None;
        }
        n
    }

    /// Something of each matrix `[b, r, c]` of a stack: `[b, .., ..]`, or with `numbers` first one number of each, `[b]`, and
    /// then the like.
    pub(super) fn stack(reads: usize, writes: usize, numbers: bool) -> Nest {
        const STACK: usize = ROW - 1;
        let mut axes = [None; LOOPS];
        axes[STACK] = Some(STACK);
        let mut n = Nest::new(reads, writes, axes);
        n.kinds[STACK] = Kind::Batch;
        n.stacked = true;
        if numbers {
            n.operands[reads].axes[STACK] = Some(COLUMN);
        }
        n
    }

    /// A convolution or one of its gradients: tasks lie along the first of five axes, pictures along the second; `images` says
    /// whether results belong to pictures, else they are summed over them.
    pub(super) fn conv(images: bool, bias: bool, writes: usize, additive: bool) -> Nest {
        const TASKS: usize = MAX_RANK - 5;
        const IMAGES: usize = TASKS + 1;
        let mut axes = [None; LOOPS];
        (axes[TASKS], axes[IMAGES]) = (Some(TASKS), Some(IMAGES));
        let mut n = Nest::new(3, writes, axes);
        n.kinds[TASKS] = Kind::Batch;
        n.kinds[IMAGES] = if images { Kind::Free } else { Kind::Sum };
        if images {
            n.operands[1].axes[IMAGES] = None;
        } else {
            n.operands[2..].iter_mut().for_each(|o| o.axes[IMAGES] = None);
        }
        n.operands[2].part = if bias { Part::AfterSum } else { Part::Absent };
        n.stacked = true;
        n.additive = additive;
        n
    }

    /// Row `i` of the result `[r, w]` is a row of a table `[n, w]`: that which the `i`-th index of `[r]` names.
    pub(super) fn gather() -> Nest {
        let mut axes = [None; LOOPS];
        axes[ROW] = Some(ROW);
        let mut n = Nest::new(2, 1, axes);
        n.kinds[ROW] = Kind::Batch;
        n.stacked = true;
        n.operands[0].axes[ROW] = None;
        n.operands[1].axes[ROW] = Some(COLUMN);
        n
    }

    /// Every result is made of its place alone, and of something that all results read.
    pub(super) fn drawn() -> Nest {
        let mut n = Nest::pointwise(1);
        n.operands[0].axes = [None; LOOPS];
        n
    }

    /// What may be done with a loop.
    pub fn kind(&self, along: usize) -> Kind {
        self.kinds[along]
    }

    /// The part that the `k`-th operand has, those read first.
    pub fn part(&self, k: usize) -> Part {
        self.operands[k].part
    }

    /// The axis of the `k`-th operand that a loop walks along, where the loop may be cut.
    pub fn axis(&self, k: usize, along: usize) -> Option<usize> {
        match self.kinds[along] {
            Kind::Whole | Kind::None => None,
            _ => self.operands[k].axes[along],
        }
    }

    /// The batch loop that lies along an axis of the first result.
    pub fn batch_loop(&self, axis: usize) -> Option<usize> {
        (0..LOOPS).find(|&l| self.kinds[l] == Kind::Batch && self.operands[self.reads].axes[l] == Some(axis))
    }

    /// How often each element of the `k`-th operand is read, where results are made in tiles of four by four.
    pub fn reuse(&self, k: usize, result: &View) -> usize {
        let again = |l: &usize| self.kinds[*l] == Kind::Free && self.operands[k].axes[*l].is_none();
        let length = |l: usize| self.operands[self.reads].axes[l].map_or(1, |i| result.dims[i].div_ceil(4));
        (0..LOOPS).filter(again).map(length).product()
    }

    /// Numbers of the operands that take part.
    pub fn operands(&self) -> impl Iterator<Item = usize> + use<> {
        let (count, parts) = (self.count, self.operands.map(|o| o.part));
        (0..count).filter(move |&k| parts[k] != Part::Absent)
    }
}

/// The family that a kernel belongs to, which decides how a region makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A small expression of the operands' elements at the same place.
    Pointwise,
    /// A sum, or a sum of products.
    Sum,
    /// A product of matrices.
    Product,
    /// Anything else that tasks can do one by one: the kernel brings texts of its own (`kernel/block.rs`).
    Own,
    /// Always a launch of its own.
    Opaque,
}
