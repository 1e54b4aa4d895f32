//! Rows of a task, some at a time.
//!
//! A task may have many rows, and what a network makes of them more values than a workgroup or a cache holds. Where a
//! stretch of blocks does the same to each row by itself, it becomes a loop over chunks of rows: only a chunk of what
//! lies between two blocks is needed at once. What is summed over rows, as gradients are, is added up chunk by chunk.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{At, Block, Local, Operand, Region, Stage};
use crate::graph::op::Binary;
use crate::kernel::{Fill, Kernel, Zip};
use crate::plan::View;
use crate::plan::view::{COLUMN, ROW};
use crate::spec::{Activation, MAX_RANK};

/// Fewer rows are not worth a chunk.
const LEAST: usize = 8;

/// The axis along which a product adds up; others go by the number of the result's axis.
const TERMS: usize = MAX_RANK;

/// Where axis `along` of what a block computes is among the axes of its `k`-th operand, those read first.
fn axis(b: &Block, k: usize, along: usize) -> Option<usize> {
    match (&b.kernel, k) {
        (Kernel::MatMul(_), 0) if along == TERMS => Some(COLUMN),
        (Kernel::MatMul(_), 1) if along == TERMS => Some(ROW),
        (Kernel::MatMul(_), 0) => (along != COLUMN).then_some(along),
        (Kernel::MatMul(_), 1) => (along != ROW).then_some(along),
        (Kernel::LogSoftmax(_), _) => (along == ROW).then_some(ROW),
        (Kernel::CrossEntropy(_), 2) => (along == ROW).then_some(COLUMN),
        (Kernel::CrossEntropy(_), _) => (along == ROW).then_some(ROW),
        _ => (along < MAX_RANK).then_some(along),
    }
}

/// The operands of a block, those read first, without one that is not used.
fn operands(b: &Block) -> impl Iterator<Item = (usize, &Operand)> {
    let unused = matches!(&b.kernel, Kernel::MatMul(p) if !p.bias);
    b.reads.iter().chain(&b.writes).enumerate().filter(move |(k, _)| !(unused && *k == 2))
}

/// Whether what a view shows lies row after row, `stride` elements each, `axis` going from one to the next.
fn in_rows(view: &View, axis: usize, stride: usize) -> bool {
    let others = (0..MAX_RANK).filter(|&i| i != axis).map(|i| (view.dims[i] - 1) * view.strides[i]);
    view.strides[axis] == stride && view.offset + others.sum::<usize>() < stride
}

/// Whether results of chunks can be added.
fn adds_up(b: &Block) -> bool {
    match &b.kernel {
        Kernel::MatMul(p) => !p.bias && p.act == Activation::Identity && b.writes.len() == 1,
        Kernel::SumTo(_) => true,
        _ => false,
    }
}

/// When a block of a stretch is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// For some rows at a time, which go along this axis.
    Rows(usize),
    /// Before them: nothing of theirs is in it.
    Before,
    /// After them: it reads sums over all of them.
    After,
}

/// Blocks one after another that do the same to each of `rows` rows by itself, or have nothing to do with them.
#[derive(Debug)]
struct Stretch {
    /// The first stage.
    first: usize,
    rows: usize,
    /// For each stage.
    turns: Vec<Turn>,
    /// What lies row by row, and the elements of a row.
    streamed: BTreeMap<At, usize>,
    /// Locals that take sums over rows, and which of their elements.
    sums: Vec<(usize, Range<usize>)>,
    /// Locals that are read by all rows alike.
    whole: BTreeSet<usize>,
    /// Locals that are read, and those that are read or written.
    read: BTreeSet<usize>,
    touched: BTreeSet<usize>,
    /// Those of blocks that are done after the rows: read, and written.
    later: [BTreeSet<usize>; 2],
}

impl Stretch {
    /// The longest that begins with the block at `first` and goes along `along`.
    fn find(region: &Region, first: usize, along: usize) -> Option<Stretch> {
        let Stage::Block(b) = &region.stages[first] else { return None };
        let o = b.reads.first()?;
        let i = axis(b, 0, along)?;
        let (rows, stride) = (o.view.dims[i], o.view.strides[i]);
        if rows < 2 * LEAST || stride == 0 || !in_rows(&o.view, i, stride) {
            return None;
        }
        let mut s = Stretch {
            first,
            rows,
            turns: Vec::new(),
            streamed: BTreeMap::from([(o.at, stride)]),
            sums: Vec::new(),
            whole: BTreeSet::new(),
            read: BTreeSet::new(),
            touched: BTreeSet::new(),
            later: Default::default(),
        };
        for stage in &region.stages[first..] {
            let Stage::Block(b) = stage else { break };
            let known = (s.streamed.clone(), s.sums.clone(), s.whole.clone());
            let Some(turn) = s.turn(b) else {
                (s.streamed, s.sums, s.whole) = known;
                break;
            };
            for (k, l) in operands(b).filter_map(|(k, o)| Some((k, o.local()?))) {
                let written = k >= b.reads.len();
                s.touched.insert(l);
                if !written {
                    s.read.insert(l);
                }
                if turn == Turn::After {
                    s.later[usize::from(written)].insert(l);
                }
            }
            s.turns.push(turn);
        }
        // What comes last and touches no rows can stay there.
        while s.turns.pop_if(|t| !matches!(t, Turn::Rows(_))).is_some() {}
        (!s.turns.is_empty()).then_some(s)
    }

    /// When a block can be done that follows the others; `None` where the stretch ends before it.
    fn turn(&mut self, b: &Block) -> Option<Turn> {
        let waits = |o: &Operand| o.local().is_some_and(|l| self.later[1].contains(&l));
        let waits = b.reads.iter().any(waits);
        if let Some(along) = self.direction(b)? {
            let early = b
                .writes
                .iter()
                .filter_map(Operand::local)
                .all(|l| self.later.iter().all(|set| !set.contains(&l)));
            return (!waits && early && self.joins(b, along)).then_some(Turn::Rows(along));
        }
        let fresh = b.writes.iter().filter_map(Operand::local).all(|l| !self.touched.contains(&l));
        let summed = |o: &Operand| self.sums.iter().any(|(l, _)| o.local() == Some(*l));
        let turn = if waits || b.reads.iter().any(summed) { Turn::After } else { Turn::Before };
        fresh.then_some(turn)
    }

    /// Along which axis a block goes over rows: `Some(None)` where it reads none of them, `None` if not row by row.
    fn direction(&self, b: &Block) -> Option<Option<usize>> {
        let mut found: Option<usize> = None;
        for (k, o) in operands(b).filter(|(k, _)| *k < b.reads.len()) {
            let Some(&stride) = self.streamed.get(&o.at) else { continue };
            let fits = |along: &usize| {
                axis(b, k, *along).is_some_and(|i| o.view.dims[i] == self.rows && in_rows(&o.view, i, stride))
            };
            match found {
                Some(along) if fits(&along) => {}
                Some(_) => return None,
                None => found = Some((0..=TERMS).find(fits)?),
            }
        }
        Some(found)
    }

    /// Takes in a block that goes over rows along an axis, if it does each by itself.
    fn joins(&mut self, b: &Block, along: usize) -> bool {
        for (k, o) in operands(b) {
            let written = k >= b.reads.len();
            let local = o.local();
            let summed = |s: &Stretch| s.sums.iter().any(|(l, _)| Some(*l) == local);
            let row = axis(b, k, along).filter(|&i| o.view.dims[i] == self.rows && o.view.strides[i] > 0);
            if let Some(i) = row {
                let stride = o.view.strides[i];
                let same = *self.streamed.entry(o.at).or_insert(stride) == stride;
                let alike = written && local.is_some_and(|l| self.whole.contains(&l));
                if !same || alike || summed(self) || o.step != 0 || !in_rows(&o.view, i, stride) {
                    return false;
                }
            } else if !written {
                self.whole.extend(local);
                if summed(self) {
                    return false;
                }
            } else if let Some(l) = local {
                let range = o.view.offset..o.view.end();
                let apart =
                    |(i, r): &(usize, Range<usize>)| *i != l || r.end <= range.start || range.end <= r.start;
                let used =
                    self.read.contains(&l) || self.whole.contains(&l) || self.streamed.contains_key(&o.at);
                if used || o.step != 0 || !adds_up(b) || !self.sums.iter().all(apart) {
                    return false;
                }
                self.sums.push((l, range));
            }
        }
        true
    }

    fn stages(&self) -> Range<usize> {
        self.first..self.first + self.turns.len()
    }

    /// The region with the stretch as a loop over chunks of so many rows.
    fn chunked(&self, region: &Region, chunk: usize) -> Region {
        let (n, over) = (self.rows / chunk, self.rows % chunk);
        let inside = &region.stages[self.stages()];
        let mut new =
            Region { stages: Vec::new(), layout: None, lanes: Default::default(), ..region.clone() };
        new.stages.extend_from_slice(&region.stages[..self.first]);
        let apart = |when: Turn| {
            inside.iter().zip(&self.turns).filter(move |(_, t)| **t == when).map(|(s, _)| s.clone())
        };
        new.stages.extend(apart(Turn::Before));
        for (b, turn) in inside.iter().flat_map(Stage::blocks).zip(&self.turns) {
            if self.is_sum(b, *turn) {
                let kernel = Kernel::Fill(Fill { value: 0.0 });
                let label = b.label.clone();
                new.stages.push(Stage::Block(Block {
                    kernel,
                    reads: vec![],
                    writes: vec![b.writes[0]],
                    label,
                }));
            }
        }
        let body = self.some(region, &mut new.locals, 0, chunk, chunk);
        new.stages.push(Stage::Loop { n, body });
        if over > 0 {
            let rest = self.some(region, &mut new.locals, n * chunk, over, 0);
            new.stages.extend(rest.into_iter().map(Stage::Block));
        }
        new.stages.extend(apart(Turn::After));
        new.stages.extend_from_slice(&region.stages[self.stages().end..]);
        new
    }

    /// Whether a block sums over rows.
    fn is_sum(&self, b: &Block, turn: Turn) -> bool {
        let Turn::Rows(along) = turn else { return false };
        axis(b, b.reads.len(), along).is_none_or(|i| b.writes[0].view.dims[i] != self.rows)
    }

    /// Locals of a region that nothing needs but the blocks that go over rows: they can hold a chunk.
    fn passing(&self, region: &Region) -> BTreeMap<At, usize> {
        let by_row =
            |i: usize| self.stages().contains(&i) && matches!(self.turns[i - self.first], Turn::Rows(_));
        let others =
            region.stages.iter().enumerate().filter(|(i, _)| !by_row(*i)).flat_map(|(_, s)| s.blocks());
        let elsewhere: BTreeSet<At> =
            others.flat_map(|b| b.reads.iter().chain(&b.writes).map(|o| o.at)).collect();
        let own = |at: At| matches!(at, At::Local(l) if region.locals[l].outside.is_none());
        self.streamed
            .iter()
            .filter(|(at, _)| own(**at) && !elsewhere.contains(at))
            .map(|(a, s)| (*a, *s))
            .collect()
    }

    /// The blocks for `rows` rows from row `from` on, `step` more in each repetition.
    fn some(
        &self,
        region: &Region,
        locals: &mut Vec<Local>,
        from: usize,
        rows: usize,
        step: usize,
    ) -> Vec<Block> {
        let mut local = |len: usize, label: &str| {
            locals.push(Local { len, outside: None, label: label.into() });
            At::Local(locals.len() - 1)
        };
        let mut passing = BTreeMap::new();
        for (at, stride) in self.passing(region) {
            let label = if let At::Local(l) = at { region.locals[l].label.as_str() } else { "" };
            passing.insert(at, local(rows * stride, &format!("{rows} rows of {label}")));
        }
        let mut blocks = Vec::new();
        let inside = region.stages[self.stages()].iter().flat_map(Stage::blocks);
        for (whole, turn) in inside.zip(&self.turns) {
            let Turn::Rows(along) = *turn else { continue };
            let mut b = whole.clone();
            let reads = b.reads.len();
            for k in 0..reads + b.writes.len() {
                let i = axis(&b, k, along);
                let o = if k < reads { &mut b.reads[k] } else { &mut b.writes[k - reads] };
                let Some(i) = i.filter(|i| o.view.dims[*i] == self.rows) else { continue };
                o.view.dims[i] = rows;
                if let Some(own) = passing.get(&o.at) {
                    o.at = *own;
                } else if o.view.strides[i] > 0 {
                    o.view.offset += from * o.view.strides[i];
                    o.step = (step * o.view.strides[i]) as isize;
                }
            }
            if matches!(&b.kernel, Kernel::MatMul(p) if !p.bias) {
                b.reads[2] = b.reads[0];
            }
            if !self.is_sum(whole, *turn) {
                blocks.push(b);
                continue;
            }
            // The sum over these rows, and what it is added to.
            let sum = b.writes[0];
            let view = View::contiguous(&sum.view.dims, 0);
            let part = Operand { at: local(view.count(), &b.label), view, step: 0 };
            let kernel = Kernel::Zip(Zip { op: Binary::Add, pre: None });
            let add = Block { kernel, reads: vec![sum, part], writes: vec![sum], label: b.label.clone() };
            blocks.push(Block { writes: vec![part], ..b });
            blocks.push(add);
        }
        blocks
    }
}

impl Region {
    /// The same with as many rows at a time as find room: values of a task that are needed at once then take `bytes` at
    /// most, or as little as goes. `None` where no stretch goes row by row, or that saves little.
    pub(crate) fn by_rows(&self, bytes: usize) -> Option<Region> {
        let all = (0..self.stages.len()).flat_map(|first| (0..=TERMS).map(move |along| (first, along)));
        let stretch = all
            .filter_map(|(first, along)| Stretch::find(self, first, along))
            .max_by_key(|s| (s.turns.len(), std::cmp::Reverse(s.first)))?;
        let mut best: Option<Region> = None;
        // Ever more parts, by about a quarter each time.
        for parts in std::iter::successors(Some(2), |p: &usize| Some(p + p.div_ceil(4))) {
            let chunk = even_chunk(stretch.rows, parts);
            if chunk < LEAST {
                break;
            }
            let region = stretch.chunked(self, chunk);
            let peak = region.peak();
            let fits = 4 * peak <= bytes;
            if fits || best.as_ref().is_none_or(|b| 10 * peak < 9 * b.peak()) {
                best = Some(region);
            }
            if fits {
                break;
            }
        }
        best.filter(|b| 4 * b.peak() <= 3 * self.peak())
    }
}

/// Rows of a chunk where about `parts` are wanted: a divisor of all rows if there is one that is not much less, else a
/// multiple of four.
fn even_chunk(rows: usize, parts: usize) -> usize {
    let most = rows.div_ceil(parts);
    let divisor = (most * 3 / 4 + 1..=most).rev().take(64).find(|c| rows.is_multiple_of(*c));
    divisor.unwrap_or(most / 4 * 4)
}
