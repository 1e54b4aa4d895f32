//! In which order the blocks of a chunk are done, and which of them together.
//!
//! A block goes in **turns** where its operands fall into so many equal parts, one after another, and each part of the result is made of
//! the parts of the operands at the same place (or of what is the same for all: a row of channels). What blocks of equal turns make for one
//! another can then be made part by part, and *flows*. Sums over turns are there when the last turn is done, so what reads them belongs
//! to a later sweep.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::sweep::{Address, Kind, Op, Place, Sweep};
use crate::graph::op::{Func, Num};
use crate::kernel::Kernel;
use crate::region::{Base, Block, Operand, Region};
use crate::spec::MAX_RANK;
use crate::view::{View, collapse};

/// Elements that are worth turns.
const LEAST: usize = 1024;

/// Elements of a value in a turn: several values of so many stay in the nearest cache.
const TURN: usize = 2048;

/// Operations that are made again rather than that their result is put aside.
const AGAIN: usize = 8;

/// A step of a chunk.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The block of that number, by itself.
    Block(usize),
    /// Blocks together.
    Sweep(Sweep),
}

/// Where a local lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Allocation {
    /// In the slot that it is read from.
    Slot,
    /// In a buffer of the lane.
    Buffer(usize),
    /// Nowhere but in sweeps, part by part.
    Flows,
}

pub(super) struct Schedule {
    pub(super) allocations: Vec<Allocation>,
    pub(super) buffers: Vec<usize>,
    pub(super) steps: Vec<Step>,
    pub(super) strip: usize,
}

/// A part of a view in the first of so many turns over loops `dims`, and how far it moves with each; `None` where it does not move
/// evenly.
fn part(view: &View, dims: &[usize; MAX_RANK], turns: usize) -> Option<(View, usize)> {
    let mut outer = 1;
    let k = (0..MAX_RANK).find(|&k| {
        let enough = outer * dims[k] >= turns;
        outer *= if enough { 1 } else { dims[k] };
        enough
    })?;
    let times = turns / outer;
    if outer * times != turns || !dims[k].is_multiple_of(times) {
        return None;
    }
    let mut v = View { dims: *dims, ..*view };
    for i in 0..MAX_RANK {
        match (view.dims[i], dims[i]) {
            (n, all) if n == all => {}
            (1, _) => v.strides[i] = 0,
            _ => return None,
        }
    }
    let strides = v.strides;
    v.dims[k] /= times;
    let mut step = 0;
    // From the inner axis out: each moves as far as all turns of those inside.
    let mut reach = 1;
    for (n, stride) in [(times, v.dims[k] * strides[k])]
        .into_iter()
        .chain((0..k).rev().map(|i| (dims[i], strides[i])))
        .filter(|(n, _)| *n > 1)
    {
        if reach == 1 {
            step = stride;
        } else if stride != step * reach {
            return None;
        }
        reach *= n;
    }
    for i in 0..k {
        (v.dims[i], v.strides[i]) = (1, 0);
    }
    if v.dims[k] == 1 {
        v.strides[k] = 0;
    }
    Some((v, step))
}

/// The loops of a block that can go in turns, and its operands that take part, the result first.
fn loops(b: &Block) -> Option<([usize; MAX_RANK], Vec<&Operand>)> {
    let y = &b.writes[0];
    let reads = match &b.kernel {
        Kernel::Fill(_) => 0,
        Kernel::Map(_) | Kernel::Copy(_) => 1,
        Kernel::Zip(_) => 2,
        Kernel::Select(_) => 3,
        Kernel::SumTo(s) => 1 + usize::from(s.dot),
        _ => return None,
    };
    let dims = if let Kernel::SumTo(_) = b.kernel { b.reads[0].view.dims } else { y.view.dims };
    let operands = std::iter::once(y).chain(&b.reads[..reads]).collect();
    (dims.iter().product::<usize>() >= LEAST).then_some((dims, operands))
}

/// Elements of a view that lie in memory.
fn touched(v: &View) -> usize {
    v.dims.iter().zip(&v.strides).map(|(d, s)| if *s == 0 { 1 } else { *d }).product()
}

/// A block in turns: its operands, the result first, each in the first turn with how far it moves.
type Parts = Vec<(View, usize)>;

fn parts(b: &Block, turns: usize) -> Option<Parts> {
    let (dims, operands) = loops(b)?;
    let parts: Parts = operands.iter().map(|o| part(&o.view, &dims, turns)).collect::<Option<_>>()?;
    // All turns would write the same.
    let sums = matches!(b.kernel, Kernel::SumTo(_));
    (sums || parts[0].1 > 0).then_some(parts)
}

/// A region, and what can go in turns.
struct Survey<'r> {
    region: &'r Region,
    blocks: Vec<&'r Block>,
    writers: Vec<Vec<usize>>,
    readers: Vec<Vec<usize>>,
    /// Turns of each block that goes in some, with its operands in them.
    turns: Vec<Option<(usize, Parts)>>,
    /// Turns of the locals that flow.
    flows: Vec<Option<usize>>,
}

/// The local that stands for all that are joined to it.
fn root(of: &mut [usize], mut i: usize) -> usize {
    while of[i] != i {
        of[i] = of[of[i]];
        i = of[i];
    }
    i
}

impl<'r> Survey<'r> {
    fn of(region: &'r Region) -> Survey<'r> {
        let blocks: Vec<&Block> = region.blocks().iter().map(|p| p.block).collect();
        let mut writers = vec![Vec::new(); region.locals.len()];
        let mut readers = vec![Vec::new(); region.locals.len()];
        for (i, b) in blocks.iter().enumerate() {
            b.writes.iter().filter_map(Operand::local).for_each(|l| writers[l].push(i));
            b.reads.iter().filter_map(Operand::local).for_each(|l| readers[l].push(i));
        }
        let turns = vec![None; blocks.len()];
        let flows = vec![None; region.locals.len()];
        let mut s = Survey { region, blocks, writers, readers, turns, flows };
        for group in s.together() {
            s.divide(&group);
        }
        s
    }

    /// Blocks that can go in turns, those that hand large values to one another together.
    fn together(&self) -> Vec<Vec<usize>> {
        let mut of: Vec<usize> = (0..self.region.locals.len()).collect();
        let mut first: Vec<Option<usize>> = vec![None; self.blocks.len()];
        for (i, b) in self.blocks.iter().enumerate() {
            let Some((_, operands)) = loops(b) else { continue };
            let large = operands.iter().filter(|o| touched(&o.view) >= LEAST).filter_map(|o| o.local());
            for l in large {
                let joined = root(&mut of, *first[i].get_or_insert(l));
                let l = root(&mut of, l);
                of[l] = joined;
            }
        }
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, l) in first.iter().enumerate() {
            if let Some(l) = l {
                groups.entry(root(&mut of, *l)).or_default().push(i);
            }
        }
        groups.into_values().collect()
    }

    /// Finds the number of turns with which most of some blocks can go, and most of what they make flows.
    fn divide(&mut self, group: &[usize]) {
        let mut wanted: BTreeSet<usize> = BTreeSet::new();
        let mut most = 0;
        for (dims, _) in group.iter().filter_map(|&i| loops(self.blocks[i])) {
            most = most.max(dims.iter().product());
            let mut outer = 1;
            for d in dims {
                wanted.extend((1..=d).filter(|n| d % n == 0).map(|n| outer * n));
                outer *= d;
            }
        }
        let best = wanted.into_iter().filter(|n| *n > 1).map(|turns| {
            let (parts, flows) = self.try_turns(group, turns);
            let work: usize =
                parts.keys().filter_map(|i| Some(loops(self.blocks[*i])?.0.iter().product::<usize>())).sum();
            let flowing: usize = flows.iter().map(|l| self.region.locals[*l].len).sum();
            let each = most / turns;
            // The longest turns that stay in cache, else the shortest.
            let size = if each <= TURN { each as isize } else { -(each as isize) };
            ((work + flowing, size), turns, parts, flows)
        });
        let Some((_, turns, parts, flows)) = best.max_by_key(|(score, ..)| *score) else { return };
        for (i, parts) in parts {
            self.turns[i] = Some((turns, parts));
        }
        for l in flows {
            self.flows[l] = Some(turns);
        }
    }

    /// The blocks of a group that can go in so many turns, and what they make that flows.
    fn try_turns(&self, group: &[usize], turns: usize) -> (BTreeMap<usize, Parts>, BTreeSet<usize>) {
        let found: BTreeMap<usize, Parts> =
            group.iter().filter_map(|&i| Some((i, parts(self.blocks[i], turns)?))).collect();
        let mut flows = BTreeSet::new();
        // Each turn touches its own part of what flows: an equal part, in order.
        let mut apart: HashMap<_, bool> = HashMap::new();
        for (i, parts) in &found {
            let Some((_, operands)) = loops(self.blocks[*i]) else { continue };
            for (o, (view, step)) in operands.iter().zip(parts) {
                let Some(l) = o.local() else { continue };
                let len = self.region.locals[l].len;
                let own = len.is_multiple_of(turns) && *step == len / turns && view.end() <= *step;
                *apart.entry(l).or_insert(true) &= own;
            }
        }
        for (l, apart) in apart {
            let all = self.writers[l].iter().all(|w| found.contains_key(w));
            let backed = self.region.locals[l].backing.is_some();
            if apart && all && !backed && !self.writers[l].is_empty() {
                flows.insert(l);
            }
        }
        (found, flows)
    }

    fn reads(&self, block: usize) -> impl Iterator<Item = usize> {
        let b = self.blocks[block];
        let taken = loops(b).map_or(b.reads.len(), |(_, operands)| operands.len() - 1);
        b.reads[..taken].iter().filter_map(Operand::local)
    }
}

/// Behind all blocks.
const ALL: usize = usize::MAX;

/// What is done and what is not.
struct State<'r> {
    s: &'r Survey<'r>,
    done: Vec<bool>,
    /// Locals that are there as a whole.
    there: Vec<bool>,
    /// What flows, and is put aside, too.
    kept: Vec<bool>,
    steps: Vec<Step>,
    /// The blocks of each step.
    blocks: Vec<Vec<usize>>,
}

impl State<'_> {
    /// The blocks before `block` that write a local: a later one may write another part of it, made from what these have written.
    fn writers(&self, l: usize, block: usize) -> &[usize] {
        let all = &self.s.writers[l];
        &all[..all.partition_point(|w| *w < block)]
    }

    /// Whether all that a block reads of a local is there.
    fn is_there(&self, l: usize, block: usize) -> bool {
        self.there[l] || (self.s.flows[l].is_none() && self.writers(l, block).iter().all(|w| self.done[*w]))
    }

    /// Whether that is so, or it can be made part by part of what is there.
    fn can_flow(&self, l: usize, block: usize, known: &mut HashMap<(usize, usize), bool>) -> bool {
        if self.is_there(l, block) {
            return true;
        }
        let writers = self.writers(l, block);
        if let Some(can) = known.get(&(l, writers.len())) {
            return *can;
        }
        let can = self.s.flows[l].is_some()
            && writers.iter().all(|w| self.s.reads(*w).all(|r| self.can_flow(r, *w, known)));
        known.insert((l, writers.len()), can);
        can
    }

    /// Adds the blocks that make what a block reads of a local to those in `made`.
    fn made_by(&self, l: usize, block: usize, made: &mut BTreeSet<usize>) {
        if self.is_there(l, block) {
            return;
        }
        for &w in self.writers(l, block) {
            if made.insert(w) {
                self.s.reads(w).for_each(|r| self.made_by(r, w, made));
            }
        }
    }

    /// Adds the blocks that make a local again once all that is kept is there.
    fn made_again_by(&self, l: usize, block: usize, made: &mut BTreeSet<usize>) {
        for &w in self.writers(l, block) {
            if made.insert(w) {
                let reads = self.s.reads(w).filter(|r| !self.is_there(*r, w) && (!self.kept[*r] || *r == l));
                reads.for_each(|r| self.made_again_by(r, w, made));
            }
        }
    }

    fn finish(&mut self, block: usize) {
        self.done[block] = true;
        for l in self.s.blocks[block].writes.iter().filter_map(Operand::local) {
            if self.s.flows[l].is_none() && self.s.writers[l].iter().all(|w| self.done[*w]) {
                self.there[l] = true;
            }
        }
    }

    /// A block that goes in turns and whose result does not flow.
    fn ends(&self, block: usize) -> bool {
        let flows = |o: &Operand| o.local().is_some_and(|l| self.s.flows[l].is_some());
        self.s.turns[block].is_some() && !flows(&self.s.blocks[block].writes[0])
    }

    /// Does the next sweep; `None` if there is none.
    fn sweep(&mut self) -> Option<()> {
        let s = self.s;
        let mut known = HashMap::new();
        let turns_of = |b: usize| s.turns[b].as_ref().map(|(turns, _)| *turns);
        let ready =
            |b: &usize, known: &mut HashMap<_, bool>| s.reads(*b).all(|r| self.can_flow(r, *b, known));
        let mut ends: Vec<usize> = (0..s.blocks.len()).filter(|&b| !self.done[b] && self.ends(b)).collect();
        ends.retain(|b| ready(b, &mut known));
        let mut kept: Vec<usize> = (0..s.flows.len()).filter(|&l| self.kept[l] && !self.there[l]).collect();
        kept.retain(|l| self.can_flow(*l, ALL, &mut known));
        // Of those that go in as many turns as the first.
        let first = ends.iter().copied().chain(kept.iter().map(|l| s.writers[*l][0])).min()?;
        let turns = turns_of(first)?;
        ends.retain(|b| turns_of(*b) == Some(turns));
        kept.retain(|l| s.flows[*l] == Some(turns));
        let mut blocks: BTreeSet<usize> = ends.iter().copied().collect();
        ends.iter().for_each(|&b| s.reads(b).for_each(|r| self.made_by(r, b, &mut blocks)));
        kept.iter().for_each(|&l| self.made_by(l, ALL, &mut blocks));
        // What would cost much to make again, and is needed again.
        for &b in &blocks {
            for l in s.blocks[b].writes.iter().filter_map(Operand::local) {
                let later = s.readers[l].iter().any(|r| !blocks.contains(r) && !self.done[*r]);
                let last = s.writers[l].iter().max() == Some(&b);
                if s.flows[l] != Some(turns) || self.kept[l] || !later || !last {
                    continue;
                }
                let mut made = BTreeSet::new();
                self.made_again_by(l, ALL, &mut made);
                if made.len() > AGAIN {
                    self.kept[l] = true;
                    kept.push(l);
                }
            }
        }
        for &b in &ends {
            self.finish(b);
        }
        for &l in &kept {
            self.there[l] = true;
        }
        self.blocks.push(blocks.iter().copied().collect());
        // Made when it is known where everything lies.
        self.steps.push(Step::Sweep(Sweep {
            blocks: blocks.into_iter().collect(),
            turns,
            first: vec![],
            ops: vec![],
        }));
        Some(())
    }

    /// Does all blocks that go by themselves and can be done.
    fn alone(&mut self) {
        for b in 0..self.s.blocks.len() {
            let alone = self.s.turns[b].is_none() && !self.done[b];
            if alone && self.s.reads(b).all(|r| self.is_there(r, b)) {
                self.steps.push(Step::Block(b));
                self.blocks.push(vec![b]);
                self.finish(b);
            }
        }
    }
}

/// Orders the blocks of a region without loops.
pub(super) fn schedule(region: &Region) -> Option<Schedule> {
    let s = Survey::of(region);
    let count = region.locals.len();
    // Needed as a whole: by blocks that go by themselves or in other turns.
    let kept = (0..count).map(|l| {
        let whole = |r: &usize| s.turns[*r].as_ref().is_none_or(|(turns, _)| Some(*turns) != s.flows[l]);
        s.flows[l].is_some() && s.readers[l].iter().any(whole)
    });
    let mut state = State {
        s: &s,
        done: vec![false; s.blocks.len()],
        there: s.writers.iter().map(Vec::is_empty).collect(),
        kept: kept.collect(),
        steps: Vec::new(),
        blocks: Vec::new(),
    };
    loop {
        state.alone();
        if state.sweep().is_none() {
            break;
        }
    }
    let State { done, there, steps, blocks, .. } = state;
    let left = (0..s.blocks.len()).any(|b| {
        !done[b]
            && (s.turns[b].is_none()
                || s.blocks[b].writes.iter().any(|w| w.local().is_some_and(|l| s.flows[l].is_none())))
    });
    if left {
        return None;
    }
    let homes_of = |l: usize| match (region.locals[l].backing, there[l]) {
        (Some(o), _) if !o.store => Allocation::Slot,
        (_, true) => Allocation::Buffer(0),
        _ => Allocation::Flows,
    };
    let mut allocations: Vec<Allocation> = (0..count).map(homes_of).collect();
    let buffers = place(&s, &blocks, &mut allocations);
    let mut strip = 0;
    let steps = steps.into_iter().map(|step| match step {
        Step::Sweep(sweep) => {
            let (sweep, own) = filled(&s, sweep, &allocations);
            strip = strip.max(own);
            Step::Sweep(sweep)
        }
        block => block,
    });
    let steps = steps.collect();
    Some(Schedule { allocations, buffers, steps, strip })
}

/// Finds a buffer for each local that needs one, where none that is needed at the same time lies; the lengths of the buffers.
fn place(s: &Survey<'_>, steps: &[Vec<usize>], allocations: &mut [Allocation]) -> Vec<usize> {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; allocations.len()];
    for (at, blocks) in steps.iter().enumerate() {
        let operands = blocks.iter().flat_map(|&b| s.blocks[b].reads.iter().chain(&s.blocks[b].writes));
        for l in operands.filter_map(Operand::local) {
            let (first, last) = lives[l].get_or_insert((at, at));
            (*first, *last) = ((*first).min(at), (*last).max(at));
        }
    }
    for (life, local) in lives.iter_mut().zip(&s.region.locals) {
        // Fetched before all, and left when all is done.
        if local.backing.is_some_and(|o| o.store) {
            *life = Some((0, steps.len()));
        }
    }
    let mut order: Vec<(usize, usize, usize)> = Vec::new();
    for (l, allocation) in allocations.iter().enumerate() {
        if let (Allocation::Buffer(_), Some((first, last))) = (allocation, lives[l]) {
            order.push((first, l, last));
        }
    }
    order.sort_unstable();
    // Lengths, and when each is free.
    let mut buffers: Vec<(usize, usize)> = Vec::new();
    for (first, l, last) in order {
        let need = s.region.locals[l].len;
        let free = (0..buffers.len()).filter(|&i| buffers[i].1 < first);
        let fit = free.min_by_key(|&i| (buffers[i].0 < need, buffers[i].0.abs_diff(need)));
        let i = fit.unwrap_or_else(|| {
            buffers.push((0, 0));
            buffers.len() - 1
        });
        buffers[i] = (buffers[i].0.max(need), last);
        allocations[l] = Allocation::Buffer(i);
    }
    buffers.into_iter().map(|(len, _)| len).collect()
}

/// A sweep with its operations, and how many elements of its own it needs.
fn filled(s: &Survey<'_>, sweep: Sweep, allocations: &[Allocation]) -> (Sweep, usize) {
    let turns = sweep.turns;
    // Where what flows lies in the strip: from the first block that touches it to the last.
    let mut lives: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for (at, &b) in sweep.blocks.iter().enumerate() {
        let written = s.blocks[b].writes.iter().filter_map(Operand::local);
        for l in s.reads(b).chain(written).filter(|l| allocations[*l] == Allocation::Flows) {
            lives.entry(l).or_insert((at, at)).1 = at;
        }
    }
    let mut order: Vec<(usize, usize, usize)> =
        lives.iter().map(|(l, (first, last))| (*first, *last, *l)).collect();
    order.sort_unstable();
    let mut placed: Vec<(usize, usize, usize, usize)> = Vec::new();
    let mut offsets: HashMap<usize, usize> = HashMap::new();
    for (first, last, l) in order {
        // By whole lines of memory.
        let len = (s.region.locals[l].len / turns).next_multiple_of(16);
        let mut taken: Vec<(usize, usize)> =
            placed.iter().filter(|p| p.0 <= last && first <= p.1).map(|p| (p.2, p.3)).collect();
        taken.sort_unstable();
        let mut at = 0;
        for (from, to) in taken {
            if at + len <= from {
                break;
            }
            at = at.max(to);
        }
        placed.push((first, last, at, at + len));
        offsets.insert(l, at);
    }
    let strip = placed.iter().map(|p| p.3).max().unwrap_or(0);
    let address = |o: &Operand, (view, step): &(View, usize)| match o.at {
        Base::Shared(operand) => {
            Address { place: Place::Slot { operand, stride: 0 }, offset: view.offset, step: *step }
        }
        Base::Local(l) => match (allocations[l], s.region.locals[l].backing) {
            (Allocation::Flows, _) => {
                Address { place: Place::Strip, offset: offsets[&l] + view.offset, step: 0 }
            }
            (Allocation::Slot, Some(at)) => {
                let place = Place::Slot { operand: at.operand, stride: at.stride };
                Address { place, offset: at.offset + view.offset, step: *step }
            }
            (Allocation::Buffer(k), _) => {
                Address { place: Place::Buffer(k), offset: view.offset, step: *step }
            }
            (Allocation::Slot, None) => unreachable!("only what a slot backs is read from one"),
        },
    };
    let (mut first, mut ops) = (Vec::new(), Vec::new());
    for &b in &sweep.blocks {
        let block = s.blocks[b];
        let (Some((_, operands)), Some((_, parts))) = (loops(block), &s.turns[b]) else { continue };
        let kind = match &block.kernel {
            Kernel::Fill(f) => Kind::Fill(f.value as f32),
            Kernel::Copy(_) => Kind::Map(Func::Affine(Num(1.0), Num(0.0))),
            Kernel::Map(m) => Kind::Map(m.func),
            Kernel::Zip(z) => Kind::Zip(z.op, z.pre),
            Kernel::SumTo(k) => Kind::Sum { dot: k.dot },
            _ => Kind::Select,
        };
        if let Kind::Sum { .. } = kind {
            // Begins at 0: in each turn where each has sums of its own.
            let (mut y, step) = parts[0];
            for i in (0..MAX_RANK).filter(|&i| y.strides[i] == 0) {
                y.dims[i] = 1;
            }
            let [view] = collapse([View { offset: 0, ..y }]);
            let fill = Op { kind: Kind::Fill(0.0), operands: vec![(address(operands[0], &parts[0]), view)] };
            if step == 0 { first.push(fill) } else { ops.push(fill) }
        }
        let views: Vec<View> = parts.iter().map(|(v, _)| View { offset: 0, ..*v }).collect();
        let last = views.len() - 1;
        let views = collapse::<4>(std::array::from_fn(|i| views[i.min(last)]));
        let operands = operands.iter().zip(parts).zip(views).map(|((o, p), view)| (address(o, p), view));
        ops.push(Op { kind, operands: operands.collect() });
    }
    (Sweep { first, ops, ..sweep }, strip)
}
