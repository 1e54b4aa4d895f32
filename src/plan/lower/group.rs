//! Task regions: which launches become one.
//!
//! A launch belongs to tasks when its results lead with the axis of tasks and it can be done for one task after
//! another. Such launches are put together as far as their dependencies on others allow; a group of several with a
//! product in it, or with a loop, becomes a region. So does a group of launches over single numbers (clipping and the
//! like), as a region of one task.

use std::array::from_fn;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::iter::zip;
use std::ops::Range;

use super::{Draft, Item, Lowering, Place};
use crate::graph::Value;
use crate::kernel::nest::Family;
use crate::plan::SlotRole;
use crate::region::{Backing, Base, Block, DEPTH, Local, Operand, Region, RegionCaps, Stage, leading, swept};
use crate::spec::{DType, MAX_RANK};
use crate::view::{View, for_each};

/// Repetitions whose elements are followed one by one at most, to find out what a region writes before it reads.
const MAX_FOLLOWED_REPETITIONS: usize = 1 << 22;

/// Elements of a launch that takes less time than it takes to launch.
const BRIEF_ELEMENTS: usize = 1 << 12;

/// Workgroups that a GPU has to run at a time before it is full, about.
const FULL: f64 = 128.0;

/// What a launch takes even if it does nothing, what one workgroup does, and what a full GPU does, in nanoseconds and operations a nanosecond,
/// about. On an NVIDIA H200 a launch that waits for the last takes 5 to 6 µs.
const LAUNCH: f64 = 5_000.0;
const BY_ONE: f64 = 40.0;
const BY_ALL: f64 = 5_000.0;

/// Operations that reading or writing an element takes as long as.
const ELEMENT: f64 = 16.0;

/// Elements of what the rows of a product share, at most, where each row is worked on like a task: all of it is read again and again
/// then, and should stay in a near cache.
const SHARED_ELEMENTS: usize = 1 << 18;

/// An operand as one task sees it, and the distance of two tasks (0: the same for all).
type Part = (View, usize);

/// What of a buffer the first task uses: elements `low .. high`, and `stride` further on those of the next.
#[derive(Clone, Copy)]
pub(super) struct Use {
    pub(super) stride: usize,
    pub(super) low: isize,
    pub(super) high: isize,
}

impl Use {
    /// Of a place that a task sees as `view`, in all repetitions of the loops around it.
    pub(super) fn of(p: &Place, view: &View, stride: usize, times: [usize; DEPTH]) -> Use {
        let range = swept(view, zip(p.steps, times));
        Use { stride, low: range.start, high: range.end }
    }

    /// Both as one, where tasks lie alike in them and, unless `whole` says that it must be one, still apart.
    pub(super) fn with(&self, o: &Use, whole: bool) -> Option<Use> {
        let both = Use { low: self.low.min(o.low), high: self.high.max(o.high), ..*self };
        let apart = both.high - both.low <= self.stride as isize;
        (self.stride == o.stride && (whole || apart)).then_some(both)
    }

    fn holds(&self, o: &Use) -> bool {
        self.stride == o.stride && self.low <= o.low && o.high <= self.high
    }
}

/// Why there is no region.
enum Refusal {
    /// Its shader would take a driver too long: a part of it may do.
    TooLong(String),
    /// Anything else.
    Other(String),
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Refusal {
        Refusal::Other(why.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Refusal::TooLong(why) | Refusal::Other(why)) = self;
        f.write_str(why)
    }
}

/// Whether items are worth a region: a loop, a product and what comes before or after it (alone it has nothing to keep),
/// several launches that are over as soon as they have begun, or on a GPU sums and what is made of them, which are no chain.
fn worth_it(items: &[&Item], on_gpu: bool) -> bool {
    let drafts = || items.iter().flat_map(|i| i.drafts());
    let loops = items.iter().any(|i| looped(i));
    let product = drafts().any(|d| d.kernel.is_product());
    let brief = drafts().all(|d| d.writes.iter().all(|w| w.view.count() <= BRIEF_ELEMENTS));
    let sums = || drafts().any(|d| d.kernel.family() == Family::Sum);
    loops || (items.len() > 1 && (product || brief || (on_gpu && sums())))
}

/// Whether a GPU does a launch at least as fast within a region of so few tasks, with one workgroup for each, as by itself with all of them.
fn fast_enough(d: &Draft, tasks: usize) -> bool {
    let views = |l: &[Place]| l.iter().map(|p| p.view).collect::<Vec<View>>();
    let work = d.kernel.work(&views(&d.reads), &views(&d.writes));
    let all = work.flops + ELEMENT * work.bytes / 4.0;
    let within = all / BY_ONE / (tasks as f64).min(FULL);
    within <= LAUNCH + all / BY_ALL
}

/// Whether it is a loop.
fn looped(item: &Item) -> bool {
    matches!(item, Item::Loop { .. })
}

/// A group's items in parts none of which needs another: what one writes no item of another part reads, or writes at the same place.
fn apart(items: &[Item], group: &[usize]) -> Vec<Vec<usize>> {
    let mut part_of: Vec<usize> = (0..group.len()).collect();
    // Of each buffer the elements that were read and those that were written, and by which item.
    let mut touched: HashMap<usize, [Vec<(Range<isize>, usize)>; 2]> = HashMap::new();
    for (k, &i) in group.iter().enumerate() {
        for (times, d) in items[i].repeated() {
            let places = d.reads.iter().map(|p| (p, false)).chain(d.writes.iter().map(|p| (p, true)));
            for (p, written) in places {
                let range = swept(&p.view, zip(p.steps, times));
                let [read_before, written_before] = touched.entry(p.buffer).or_default();
                for (other, j) in read_before.iter().filter(|_| written).chain(written_before.iter()) {
                    let (from, to) = (part_of[k].max(part_of[*j]), part_of[k].min(part_of[*j]));
                    if from != to && other.start < range.end && range.start < other.end {
                        part_of.iter_mut().filter(|part| **part == from).for_each(|part| *part = to);
                    }
                }
                let before = if written { written_before } else { read_before };
                before.push((range, k));
            }
        }
    }
    let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    group.iter().zip(part_of).for_each(|(&i, part)| parts.entry(part).or_default().push(i));
    parts.into_values().collect()
}

/// The first of several items that belongs to the second half of their launches.
fn half(items: &[&Item]) -> usize {
    let launches: Vec<usize> = items.iter().map(|i| i.drafts().len()).collect();
    let all: usize = launches.iter().sum();
    let before = launches.iter().scan(0, |sum, n| {
        *sum += n;
        Some(*sum)
    });
    before.take_while(|sum| 2 * sum <= all).count().clamp(1, items.len() - 1)
}

impl Lowering<'_> {
    /// Replaces items by regions; the loops that are in none.
    pub(super) fn group(&mut self) -> Vec<Value> {
        let Some(caps) = self.caps.regions else { return vec![] };
        let items = std::mem::take(&mut self.items);
        let phases = std::mem::take(&mut self.phases);
        let tasks_of = self.task_counts(&items, caps);
        let all = groups(&items, &phases, &tasks_of, |b| self.buffers[b].role == SlotRole::Scratch);
        let touched = touches(&items);
        let mut groups: VecDeque<Vec<usize>> = all.into();
        let (mut left, mut number) = (Vec::new(), 0);
        while let Some(group) = groups.pop_front() {
            number += 1;
            let parts: Vec<&Item> = group.iter().map(|&i| &items[i]).collect();
            let inside = |b: usize| touched[&b].iter().all(|i| group.contains(i));
            let tasks = tasks_of[group[0]].filter(|_| worth_it(&parts, caps.group.is_some()));
            match tasks.map(|tasks| self.region(number, tasks, &parts, inside, caps)) {
                Some(Ok(region)) => {
                    self.push(region);
                    continue;
                }
                // Two regions, if it can be divided.
                Some(Err(Refusal::TooLong(_))) if group.len() > 1 => {
                    let (first, second) = group.split_at(half(&parts));
                    groups.push_front(second.to_vec());
                    groups.push_front(first.to_vec());
                    continue;
                }
                // What has nothing to do with one another, as networks of different shapes, becomes regions of its own.
                Some(Err(Refusal::Other(_)))
                    if let apart = apart(&items, &group)
                        && apart.len() > 1 =>
                {
                    apart.into_iter().rev().for_each(|part| groups.push_front(part));
                    continue;
                }
                Some(Err(why)) => {
                    let drafts: Vec<&Draft> = parts.iter().flat_map(|i| i.drafts()).collect();
                    let (n, tasks) = (drafts.len(), tasks.unwrap_or(1));
                    let from = drafts.first().map_or("", |d| &d.label);
                    self.notes.push(format!("{n} launches of {tasks} tasks from {from} on: {why}"));
                }
                None => {}
            }
            for item in parts {
                if let Item::Loop { scan, .. } = item {
                    left.push(*scan);
                }
                self.push(item.clone());
            }
        }
        left
    }

    /// The number of tasks of each item that can be done task by task.
    fn task_counts(&mut self, items: &[Item], caps: RegionCaps) -> Vec<Option<usize>> {
        // What products are batched over, most work first.
        let mut work: BTreeMap<usize, f64> = BTreeMap::new();
        // Of a loop, rows count as well: what goes over sequences by weights that all share would be launches for each element.
        let both = items.iter().flat_map(|i| i.drafts().into_iter().map(move |d| (i, d)));
        for (item, d) in both {
            let Some(y) = d.writes.first().filter(|_| d.kernel.is_product()) else {
                continue;
            };
            let k = leading(&y.view);
            if k < MAX_RANK - 2 || looped(item) {
                *work.entry(y.view.dims[k]).or_default() += y.view.count() as f64;
            }
        }
        let few = work.iter().find(|(t, _)| **t < caps.least_tasks).map(|(t, w)| (*t, *w));
        work.retain(|t, _| *t >= caps.least_tasks);
        if let Some((t, _)) = few {
            self.notes.push(format!(
                "products of {t} tasks: fewer than {} are not worth a region",
                caps.least_tasks
            ));
        }
        let mut tasks: Vec<(usize, f64)> = work.into_iter().collect();
        tasks.sort_by(|a, b| b.1.total_cmp(&a.1));
        let fits = |item: &Item, t: usize| {
            item.drafts().into_iter().all(|d| self.seen_by_task(d, t, looped(item)).is_some())
        };
        let fast = |item: &Item, t: usize| match item {
            Item::Launch(d) => caps.group.is_none() || fast_enough(d, t),
            _ => true,
        };
        let single = |item: &Item| matches!(item, Item::Launch(_)) && fits(item, 1);
        items
            .iter()
            .map(|item| match item {
                Item::Region { .. } | Item::Chunks { .. } => None,
                _ => {
                    let found = tasks.iter().map(|(t, _)| *t).find(|&t| fast(item, t) && fits(item, t));
                    found.or(single(item).then_some(1))
                }
            })
            .collect()
    }

    /// The operands of a launch as one of `t` tasks sees them, reads first; `None` where tasks are mixed. In a loop the rows of a product
    /// by what all rows share may be the tasks.
    fn seen_by_task(&self, d: &Draft, t: usize, looped: bool) -> Option<Vec<Part>> {
        let [mut reads, mut writes] =
            [&d.reads, &d.writes].map(|l| l.iter().map(|p| p.view).collect::<Vec<View>>());
        if looped
            && d.kernel.is_product()
            && leading(writes.first()?) == MAX_RANK - 2
            && writes[0].dims[MAX_RANK - 2] == t
        {
            if reads[1].count() > SHARED_ELEMENTS {
                return None;
            }
            // All but the second operand have the rows.
            let rows = |v: &mut View| {
                v.dims.swap(MAX_RANK - 3, MAX_RANK - 2);
                v.strides.swap(MAX_RANK - 3, MAX_RANK - 2);
            };
            reads[1].dims[MAX_RANK - 3] = t;
            reads.iter_mut().enumerate().filter(|(k, _)| *k != 1).for_each(|(_, v)| rows(v));
            writes.iter_mut().for_each(rows);
        }
        let nest = d.kernel.nest(&reads, &writes)?;
        if t == 1 {
            // Single numbers: all of a buffer is the one task's.
            let part = |p: &Place| {
                let buffer = &self.buffers[p.buffer];
                let single = d.kernel.is_pointwise() && p.view.count() == 1 && buffer.dtype == DType::F32;
                single.then_some((View { strides: [0; MAX_RANK], ..p.view }, buffer.len))
            };
            return d.reads.iter().chain(&d.writes).map(part).collect();
        }
        let tasks = nest.batch_loop(leading(writes.first()?))?;
        let mut parts = Vec::new();
        for (k, (p, view)) in zip(d.reads.iter().chain(&d.writes), reads.iter().chain(&writes)).enumerate() {
            let (read, words) = (k < d.reads.len(), d.kernel.dtype(k) == Some(DType::U32));
            let dtype = if read && words { DType::U32 } else { DType::F32 };
            if self.buffers[p.buffer].dtype != dtype {
                return None;
            }
            let axis = match nest.axis(k, tasks) {
                Some(axis) => axis,
                // All tasks read the same.
                None if read => {
                    parts.push((*view, 0));
                    continue;
                }
                None => return None,
            };
            let mut view = *view;
            // What is read leads with the tasks, too: a sum over tasks may have as many results as there are tasks.
            if leading(&view) < axis {
                return None;
            }
            let (n, stride) = (view.dims[axis], view.strides[axis]);
            if nest.stacked && n % t == 0 {
                view.dims[axis] = n / t;
                if n == t {
                    view.strides[axis] = 0;
                }
                parts.push((view, stride * (n / t)));
            } else if n == t {
                view.dims[axis] = 1;
                view.strides[axis] = 0;
                parts.push((view, stride));
            } else {
                return None;
            }
            // Results of different tasks lie apart.
            let (view, stride) = parts[k];
            if k >= d.reads.len() && stride < view.end() - view.offset {
                return None;
            }
        }
        // What is left for a task is something that the kernel can do, too.
        let views: Vec<View> = parts.iter().map(|(view, _)| *view).collect();
        let (reads, writes) = views.split_at(d.reads.len());
        d.kernel.nest(reads, writes)?;
        Some(parts)
    }

    /// A region of these items, or why there is none: it would be too large, or operands lie so that tasks cannot be told
    /// apart.
    fn region(
        &mut self,
        number: usize,
        tasks: usize,
        items: &[&Item],
        inside: impl Fn(usize) -> bool,
        caps: RegionCaps,
    ) -> std::result::Result<Item, Refusal> {
        if let Some(why) = self.refused.get(&number) {
            return Err(Refusal::Other(why.clone()));
        }
        const MIXED: &str = "operands lie so that tasks cannot be told apart";
        // How each buffer is used: per task (with its range in the first task), or as a whole by all.
        let mut uses: BTreeMap<usize, Vec<Use>> = BTreeMap::new();
        let mut shared: BTreeSet<usize> = BTreeSet::new();
        let mut written: BTreeSet<usize> = BTreeSet::new();
        let mut drafts: Vec<([usize; DEPTH], &Draft, Vec<Part>)> = Vec::new();
        for item in items {
            for (times, d) in item.repeated() {
                let parts = self.seen_by_task(d, tasks, looped(item)).ok_or(MIXED)?;
                for (k, (p, (view, stride))) in d.reads.iter().chain(&d.writes).zip(&parts).enumerate() {
                    if *stride == 0 {
                        shared.insert(p.buffer);
                        continue;
                    }
                    uses.entry(p.buffer).or_default().push(Use::of(p, view, *stride, times));
                    if k >= d.reads.len() {
                        written.insert(p.buffer);
                    }
                }
                drafts.push((times, d, parts));
            }
        }
        if shared.iter().any(|b| written.contains(b)) {
            return Err(MIXED.into());
        }
        let reads: Vec<usize> = shared
            .iter()
            .copied()
            .chain(uses.keys().copied().filter(|b| !written.contains(b) && !shared.contains(b)))
            .collect();
        // A buffer that is only read may hold several values of the tasks, one beside the other.
        let mut parts: Vec<(usize, Use)> = Vec::new();
        for (&b, list) in &mut uses {
            list.sort_by_key(|u| (u.stride, u.low));
            let mut joined: Vec<Use> = Vec::new();
            let whole = written.contains(&b);
            for u in list {
                let both = joined.last().and_then(|last| last.with(u, whole));
                if whole && both.is_none() && !joined.is_empty() {
                    return Err(MIXED.into());
                }
                joined.extend(both.is_none().then_some(*u));
                if let (Some(both), Some(last)) = (both, joined.last_mut()) {
                    *last = both;
                }
            }
            parts.extend(joined.into_iter().map(|u| (b, u)));
        }
        let mut writes: Vec<usize> = Vec::new();
        let mut locals: Vec<Local> = Vec::new();
        // Of each buffer the parts that belong to a task, each with its local.
        let mut locals_of: HashMap<usize, Vec<(Use, usize)>> = HashMap::new();
        for (b, part) in parts {
            let buffer = &self.buffers[b];
            let each = buffer.len / tasks;
            let Use { stride, low, high } = part;
            let own = buffer.role == SlotRole::Scratch
                && written.contains(&b)
                && inside(b)
                && stride == each
                && high <= each as isize;
            if own {
                locals_of.entry(b).or_default().push((Use { low: 0, ..part }, locals.len()));
                locals.push(Local {
                    dtype: DType::F32,
                    len: each,
                    backing: None,
                    label: buffer.label.clone(),
                });
                continue;
            }
            let (low, len) = (low.max(0) as usize, (high - low).max(0) as usize);
            if len > stride {
                return Err(MIXED.into());
            }
            let store = written.contains(&b);
            let operand = if store {
                writes.push(b);
                reads.len() + writes.len() - 1
            } else {
                reads.iter().position(|r| *r == b).ok_or(MIXED)?
            };
            let load = !store || self.reads_before_writing(&drafts, b, low, len);
            locals_of.entry(b).or_default().push((part, locals.len()));
            let backing = Some(Backing { operand, offset: low, stride, load, store });
            locals.push(Local { dtype: buffer.dtype, len, backing, label: buffer.label.clone() });
        }
        let block = |times: [usize; DEPTH], d: &Draft, parts: &[Part]| -> Option<Block> {
            let operand = |(p, (view, stride)): (&Place, &Part)| {
                let steps = p.steps;
                if *stride == 0 {
                    let at = Base::Shared(reads.iter().position(|r| *r == p.buffer)?);
                    return Some(Operand { at, view: *view, steps });
                }
                let own = Use::of(p, view, *stride, times);
                let (part, local) = locals_of[&p.buffer].iter().find(|(u, _)| u.holds(&own)).copied()?;
                let view = View { offset: view.offset.checked_sub(part.low.max(0) as usize)?, ..*view };
                Some(Operand { at: Base::Local(local), view, steps })
            };
            let (r, w) = parts.split_at(d.reads.len());
            Some(Block {
                kernel: d.kernel.clone(),
                reads: d.reads.iter().zip(r).map(operand).collect::<Option<_>>()?,
                writes: d.writes.iter().zip(w).map(operand).collect::<Option<_>>()?,
                label: d.label.clone(),
            })
        };
        // In the order of the items.
        let blocks: Option<Vec<Block>> =
            drafts.iter().map(|(times, d, parts)| block(*times, d, parts)).collect();
        let mut blocks = blocks.ok_or(MIXED)?.into_iter();
        let stages = stages(items.iter().copied(), &mut blocks);
        let mut region = Region { tasks, locals, stages, layout: None, lanes: Default::default() };
        // Rows go some at a time where they must, or where that brings values close by. On a GPU only where all of them
        // are then: each time has its barriers and additions.
        let need_of = |r: &Region| 4 * if caps.group.is_some() { r.held() } else { r.peak() };
        let mut need = need_of(&region);
        let must = need > caps.bytes;
        if (must || need > 2 * caps.fast_memory)
            && let near = caps.fast_memory.min(caps.bytes)
            && let Some(by_rows) = region.by_rows(near, if caps.group.is_some() { near } else { caps.bytes })
        {
            let less = need_of(&by_rows);
            if must || caps.group.is_none() || less <= caps.fast_memory {
                (region, need) = (by_rows, less);
            }
        }
        if need > caps.bytes {
            let (need, most) = (super::bytes(need as u64), super::bytes(caps.bytes as u64));
            return Err(Refusal::Other(format!("a task's values need {need} at once, {most} at most")));
        }
        if let Some(group) = caps.group {
            let layout = region.place(&group, reads.len() + writes.len());
            let most = if items.len() > 1 { group.passes } else { group.loop_passes };
            if layout.passes() > most {
                return Err(Refusal::TooLong(format!("{} passes, {most} at most", layout.passes())));
            }
            let aside = 4 * (tasks * layout.spilled) as u64;
            if aside > self.caps.max_binding {
                let [aside, most] = [aside, self.caps.max_binding].map(super::bytes);
                return Err(Refusal::Other(format!("{aside} put aside, a buffer holds {most} at most")));
            }
            if layout.spilled > 0 {
                writes.push(self.buffer(SlotRole::Scratch, DType::F32, tasks * layout.spilled, "spilled"));
            }
            region.layout = Some(layout);
        }
        Ok(Item::Region { region, reads, writes, label: "tasks".into(), group: number })
    }

    /// Whether some of the elements `low .. low + len` of a task are read before they are written, or never written.
    fn reads_before_writing(
        &self,
        drafts: &[([usize; DEPTH], &Draft, Vec<Part>)],
        b: usize,
        low: usize,
        len: usize,
    ) -> bool {
        let elements = |p: &Place, part: &Part, turns: [usize; DEPTH], visit: &mut dyn FnMut(usize)| {
            let moved: isize = zip(p.steps, turns).map(|(s, i)| s * i as isize).sum();
            for_each([&part.0], |[i]| visit((i as isize + moved) as usize - low));
        };
        let mut known = vec![false; len];
        for (times, d, parts) in drafts {
            let (r, w) = parts.split_at(d.reads.len());
            let places = || d.reads.iter().chain(&d.writes);
            if !places().any(|p| p.buffer == b) {
                continue;
            }
            // Loops along which nothing moves do the same again.
            let times: [usize; DEPTH] =
                from_fn(|k| if places().any(|p| p.steps[k] != 0) { times[k] } else { 1 });
            let rounds: usize = times.iter().product();
            if rounds * len > MAX_FOLLOWED_REPETITIONS {
                return true;
            }
            for round in 0..rounds {
                let mut rest = round;
                let mut turns = [0; DEPTH];
                for k in (0..DEPTH).rev() {
                    turns[k] = rest % times[k];
                    rest /= times[k];
                }
                let mut early = false;
                for (p, part) in d.reads.iter().zip(r).filter(|(p, _)| p.buffer == b) {
                    elements(p, part, turns, &mut |i| early |= !known[i]);
                }
                if early {
                    return true;
                }
                for (p, part) in d.writes.iter().zip(w).filter(|(p, _)| p.buffer == b) {
                    elements(p, part, turns, &mut |i| known[i] = true);
                }
            }
        }
        known.contains(&false)
    }
}

/// The stages of items, whose blocks come in their order.
fn stages<'i>(items: impl Iterator<Item = &'i Item>, blocks: &mut dyn Iterator<Item = Block>) -> Vec<Stage> {
    let mut out = Vec::new();
    for item in items {
        match item {
            Item::Launch(_) => out.extend(blocks.next().map(Stage::Block)),
            // Steps that change nothing have no launches.
            Item::Loop { .. } if item.drafts().is_empty() => {}
            Item::Loop { n, body, .. } => {
                out.push(Stage::Loop { n: *n, body: stages(body.iter(), blocks) });
            }
            Item::Region { .. } | Item::Chunks { .. } => {}
        }
    }
    out
}

impl Item {
    /// Launches in it.
    pub(super) fn drafts(&self) -> Vec<&Draft> {
        self.repeated().into_iter().map(|(_, d)| d).collect()
    }

    /// The same, with the repetitions of the loops around each, the outermost first.
    fn repeated(&self) -> Vec<([usize; DEPTH], &Draft)> {
        let mut out = Vec::new();
        self.add_to(&mut out, [1; DEPTH], 0);
        out
    }

    fn add_to<'i>(
        &'i self,
        out: &mut Vec<([usize; DEPTH], &'i Draft)>,
        mut times: [usize; DEPTH],
        depth: usize,
    ) {
        match self {
            Item::Launch(d) => out.push((times, d)),
            Item::Loop { n, body, .. } => {
                times[depth] = *n;
                body.iter().for_each(|item| item.add_to(out, times, depth + 1));
            }
            Item::Chunks { drafts, .. } => out.extend(drafts.iter().map(|d| (times, d))),
            Item::Region { .. } => {}
        }
    }

    /// Everything that is read or written.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.drafts().into_iter().flat_map(|d| d.reads.iter().chain(&d.writes))
    }
}

/// Items in groups that can each be done as one: of one phase, one alternation depth and one number of tasks.
pub(super) fn groups(
    items: &[Item],
    phases: &[usize],
    tasks_of: &[Option<usize>],
    scratch: impl Fn(usize) -> bool,
) -> Vec<Vec<usize>> {
    let mut depths = alternation_depths(items, tasks_of, &scratch);
    sink(&mut depths, items, phases, tasks_of, scratch);
    let key = |i: usize| (phases[i], depths[i], tasks_of[i]);
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&i| (key(i), i));
    order.chunk_by(|a, b| key(*a) == key(*b)).map(<[usize]>::to_vec).collect()
}

/// What reads nothing, as a fill, goes to the alternation depth of the first that use what it writes: what it writes is then not kept
/// between two regions.
fn sink(
    depths: &mut [usize],
    items: &[Item],
    phases: &[usize],
    tasks_of: &[Option<usize>],
    scratch: impl Fn(usize) -> bool,
) {
    let touched = touches(items);
    for i in 0..items.len() {
        let Item::Launch(d) = &items[i] else { continue };
        if !d.reads.is_empty() || d.writes.iter().any(|w| !scratch(w.buffer)) {
            continue;
        }
        // Those before it have other pieces of the buffer.
        let users = d.writes.iter().flat_map(|w| touched[&w.buffer].range(i + 1..)).copied();
        // Before one with another number of tasks it has to be done, with one of its own it can be.
        let latest = users.map(|j| {
            let before = usize::from(tasks_of[j] != tasks_of[i]);
            if phases[j] == phases[i] { depths[j].saturating_sub(before) } else { 0 }
        });
        depths[i] = depths[i].max(latest.min().unwrap_or(0));
    }
}

/// The items that touch each buffer.
pub(super) fn touches(items: &[Item]) -> HashMap<usize, BTreeSet<usize>> {
    let mut touches: HashMap<usize, BTreeSet<usize>> = HashMap::new();
    for (i, item) in items.iter().enumerate() {
        for p in item.places() {
            touches.entry(p.buffer).or_default().insert(i);
        }
    }
    touches
}

/// The alternation depth of each item: the most changes, along any chain of dependencies that leads to it, between items with one
/// number of tasks and others. Items of one depth and one number of tasks can be done as one, since nothing between them
/// has another.
fn alternation_depths(
    items: &[Item],
    tasks_of: &[Option<usize>],
    scratch: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let mut depths = vec![0; items.len()];
    let mut writers: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut readers: HashMap<usize, Vec<usize>> = HashMap::new();
    for (i, item) in items.iter().enumerate() {
        let mut depth = 0;
        for d in item.drafts() {
            let carried = matches!(item, Item::Loop { .. });
            let mut after = |list: Option<&Vec<usize>>| {
                for &j in list.into_iter().flatten() {
                    depth = depth.max(depths[j] + (tasks_of[j] != tasks_of[i]) as usize);
                }
            };
            for r in &d.reads {
                after(writers.get(&r.buffer));
            }
            for w in &d.writes {
                // Pieces of a scratch buffer are written in any order; others, and in place, after all that was before.
                if carried || !scratch(w.buffer) {
                    after(writers.get(&w.buffer));
                    after(readers.get(&w.buffer));
                }
            }
        }
        depths[i] = depth;
        for d in item.drafts() {
            for r in &d.reads {
                readers.entry(r.buffer).or_default().push(i);
            }
            for w in &d.writes {
                writers.entry(w.buffer).or_default().push(i);
            }
        }
    }
    depths
}
