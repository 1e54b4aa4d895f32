//! Large batches of convolutional networks on a CPU: some tasks at a time.
//!
//! A value of all tasks' pictures is often larger than any cache, and one launch after another would fetch it from main memory again and
//! again. Here a group of launches that belong to tasks and have convolutions among them, or go over large values several times, becomes one
//! launch, which goes through all of them for a few tasks at a time ([`Chunks`]). What only the group uses gets a buffer of a chunk's size for each chunk that is at work.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::group::{Use, groups, touches};
use super::{Draft, Item, Lowering, Place};
use crate::kernel::simd::WIDEST;
use crate::kernel::{Kernel, SumTo};
use crate::plan::SlotRole;
use crate::region::chunks::Chunks;
use crate::region::{Backing, Base, Block, DEPTH, Local, Operand, Region, Stage, leading};
use crate::spec::{DType, MAX_RANK};
use crate::view::{COLUMN, View};

/// Elements of a chunk's largest value: 1 MiB, a part of a core's own cache.
const CHUNK: usize = 1 << 18;

/// Elements of a task's largest value from which on each task is a chunk of its own: what belongs to a task, as its kernels and
/// means do, then stays where it is from turn to turn, and sweeps have many turns.
const ALONE: usize = 1 << 15;

/// Chunks at most.
const CHUNKS: usize = 1024;

/// Chunks that are at work side by side at most: each takes memory.
const LANES: usize = 16;

/// How many times the largest result of a convolution all values of a task are that are needed at once, with room to spare:
/// about 4 in two layers with norms and pools, and regions are as fast as chunks at half a MiB a task, an eighth of what they may take.
const SHARE: usize = 64;

/// Whether launches are better done together: with convolutions, or where several go over what is larger than a cache.
fn is_worth_it(drafts: &[(&Draft, &Parts)]) -> bool {
    let is_conv = |d: &Draft| matches!(d.kernel, Kernel::Conv(_));
    let is_large = |d: &Draft| d.reads.iter().chain(&d.writes).any(|p| p.view.count() >= CHUNK);
    drafts.iter().any(|(d, _)| is_conv(d)) || drafts.iter().filter(|(d, _)| is_large(d)).count() > 1
}

/// Operands as a chunk sees them, reads first, each with the distance of two chunks (0: the same for all).
type Parts = Vec<(View, usize)>;

impl Lowering<'_> {
    /// Repeats groups of launches for chunks of tasks where that keeps values in cache.
    pub(super) fn chunk(&mut self) {
        // A GPU has no such caches, and wants large launches.
        let tasks = self.items.iter().flat_map(Item::drafts).filter_map(|d| match d.kernel {
            Kernel::Conv(_) => Some(d.writes[0].view.dims[MAX_RANK - 5]),
            _ => None,
        });
        let Some(tasks) = tasks.max().filter(|t| *t > 1 && self.caps.fill == 1) else { return };
        let chunks = self.chunks(tasks);
        if chunks == 1 || self.suits_regions(tasks) {
            return;
        }
        self.sum_by_task(tasks);
        let parts: Vec<Option<Parts>> =
            self.items.iter().map(|item| self.in_chunks(item, tasks, chunks)).collect();
        let tasks_of: Vec<Option<usize>> = parts.iter().map(|p| p.is_some().then_some(tasks)).collect();
        let scratch = |b: usize| self.buffers[b].role == SlotRole::Scratch;
        let groups = groups(&self.items, &self.phases, &tasks_of, scratch);
        let users = touches(&self.items);
        let items = std::mem::take(&mut self.items);
        self.phases.clear();
        // What follows keeps to the order of chunks: each is a phase.
        self.phase = 0;
        for group in groups {
            self.phase += 1;
            let drafts: Option<Vec<(&Draft, &Parts)>> =
                group.iter().map(|&i| Some((*items[i].drafts().first()?, parts[i].as_ref()?))).collect();
            let inside = |b: usize| users[&b].iter().all(|i| group.contains(i));
            match drafts.filter(|d| is_worth_it(d)) {
                Some(drafts) if self.push_chunks(&drafts, chunks, inside) => {}
                _ => group.iter().for_each(|&i| self.push(items[i].clone())),
            }
        }
    }

    /// Large sums over the elements of all tasks become sums of each task, which chunks can do, and a sum of those.
    fn sum_by_task(&mut self, tasks: usize) {
        let (items, phases) = (std::mem::take(&mut self.items), std::mem::take(&mut self.phases));
        for (item, phase) in items.into_iter().zip(phases) {
            self.phase = phase;
            let parted = match &item {
                Item::Launch(d) => self.parted_sum(d, tasks),
                _ => None,
            };
            match parted {
                Some(two) => two.into_iter().for_each(|d| self.push(Item::Launch(d))),
                None => self.push(item),
            }
        }
    }

    fn parted_sum(&mut self, d: &Draft, tasks: usize) -> Option<[Draft; 2]> {
        let Kernel::SumTo(_) = d.kernel else { return None };
        let (from, to) = (d.reads[0].view, d.writes[0].view);
        let axis = leading(&from);
        if from.dims[axis] != tasks || to.dims[axis] != 1 || from.count() < CHUNK {
            return None;
        }
        let mut shape = to.dims;
        shape[axis] = tasks;
        let each = self.whole(SlotRole::Scratch, DType::F32, &shape, &d.label);
        let kernel = Kernel::SumTo(SumTo { dot: false });
        let all = Draft { kernel, reads: vec![each, each], writes: d.writes.clone(), label: d.label.clone() };
        Some([Draft { writes: vec![each], ..d.clone() }, all])
    }

    /// As few chunks as keep the largest value of a convolution small, but not more than worth their launches.
    fn chunks(&self, tasks: usize) -> usize {
        let convs = self.items.iter().flat_map(Item::drafts).filter(|d| matches!(d.kernel, Kernel::Conv(_)));
        let most = convs.flat_map(|d| &d.writes).map(|w| w.view.count()).max().unwrap_or(0);
        let wanted = if most / tasks >= ALONE { tasks } else { most.div_ceil(CHUNK) };
        let wanted = wanted.min(CHUNKS).min(tasks);
        (1..=wanted).rev().find(|c| tasks.is_multiple_of(*c)).unwrap_or(1)
    }

    /// Whether regions are the better way for so many tasks: a lane a task is always full, where convolutions with few channels
    /// leave most of a register empty, as long as a task's values stay in cache.
    fn suits_regions(&self, tasks: usize) -> bool {
        let Some(caps) = self.caps.regions.filter(|caps| tasks >= caps.least_tasks) else { return false };
        let drafts = self.items.iter().flat_map(Item::drafts);
        let convs = || drafts.clone().filter(|d| matches!(d.kernel, Kernel::Conv(_))).flat_map(|d| &d.writes);
        let channels = convs().map(|w| w.view.dims[COLUMN]).max();
        let each = convs().map(|w| w.view.count()).max().unwrap_or(0) / tasks;
        channels.is_some_and(|c| c < WIDEST) && 4 * each <= caps.bytes / SHARE
    }

    /// The operands of a launch as one of `chunks` parts of `t` tasks sees them; `None` where tasks are mixed.
    fn in_chunks(&self, item: &Item, t: usize, chunks: usize) -> Option<Parts> {
        let Item::Launch(d) = item else { return None };
        let [reads, writes] = [&d.reads, &d.writes].map(|l| l.iter().map(|p| p.view).collect::<Vec<View>>());
        let nest = d.kernel.nest(&reads, &writes);
        let stacked = nest.is_some_and(|n| n.stacked);
        let axis = |k: usize| nest?.axis(k, nest?.batch_loop(leading(&writes[0]))?);
        let mut parts = Vec::new();
        for (k, p) in d.reads.iter().chain(&d.writes).enumerate() {
            let (axis, mut view) = (axis(k)?, p.view);
            let n = view.dims[axis];
            // What is read leads with the tasks, too: a sum over tasks may have as many results as there are tasks.
            let sound = n == t || stacked && n.is_multiple_of(t);
            if !sound || leading(&view) < axis || self.buffers[p.buffer].dtype != DType::F32 {
                return None;
            }
            let stride = view.strides[axis] * (n / chunks);
            view.dims[axis] = n / chunks;
            if view.dims[axis] == 1 {
                view.strides[axis] = 0;
            }
            if k >= d.reads.len() && stride < view.end() - view.offset {
                return None;
            }
            parts.push((view, stride));
        }
        Some(parts)
    }

    /// Puts these launches, chunk by chunk; says no where that would mix chunks.
    fn push_chunks(
        &mut self,
        drafts: &[(&Draft, &Parts)],
        chunks: usize,
        inside: impl Fn(usize) -> bool,
    ) -> bool {
        let Some((region, reads, mut writes)) = self.chunk_region(drafts, chunks, inside) else {
            return false;
        };
        let Some(mut made) = Chunks::new(region, 1) else { return false };
        // Each lane takes memory.
        let bytes = 4 * made.buffers.iter().sum::<usize>() as u64;
        let room = (self.caps.memory / 4).checked_div(bytes).map_or(LANES, |n| n.min(LANES as u64) as usize);
        made.lanes = self.caps.threads.min(chunks).min(room).max(1);
        for lane in 0..made.lanes {
            for (i, len) in made.buffers.iter().enumerate() {
                let label = format!("lane {lane}, {i}");
                writes.push(self.buffer(SlotRole::Scratch, DType::F32, *len, label));
            }
        }
        let drafts = drafts.iter().map(|(d, _)| (*d).clone()).collect();
        self.push(Item::Chunks { chunks: Box::new(made), drafts, reads, writes });
        true
    }

    /// What is done for a chunk, with the buffers that are read and written by all chunks.
    fn chunk_region(
        &self,
        drafts: &[(&Draft, &Parts)],
        chunks: usize,
        inside: impl Fn(usize) -> bool,
    ) -> Option<(Region, Vec<usize>, Vec<usize>)> {
        let places =
            |(d, _): &(&Draft, &Parts)| d.reads.iter().chain(&d.writes).copied().collect::<Vec<Place>>();
        let written: BTreeSet<usize> =
            drafts.iter().flat_map(|(d, _)| d.writes.iter().map(|w| w.buffer)).collect();
        // What a chunk uses of each buffer: of what is written, one stretch; of what is only read, one by each distance of chunks.
        let mut uses: BTreeMap<(usize, usize), Use> = BTreeMap::new();
        for draft in drafts {
            for (p, (view, stride)) in places(draft).iter().zip(draft.1) {
                let own = Use::of(p, view, *stride, [1; DEPTH]);
                let is_written = written.contains(&p.buffer);
                let key = (p.buffer, if is_written { 0 } else { *stride });
                let all = uses.get(&key).map_or(Some(own), |u| u.with(&own, !is_written))?;
                if is_written && *stride == 0 {
                    return None;
                }
                uses.insert(key, all);
            }
            // What lasts beyond the step is not read and changed by the same launches, which may change places.
            let lasts = |b: usize| !matches!(self.buffers[b].role, SlotRole::Scratch | SlotRole::Output);
            if draft.0.reads.iter().any(|r| written.contains(&r.buffer) && lasts(r.buffer)) {
                return None;
            }
        }
        let mut reads: Vec<usize> = uses.keys().map(|(b, _)| *b).filter(|b| !written.contains(b)).collect();
        reads.dedup();
        let (mut writes, mut locals) = (Vec::new(), Vec::new());
        // Where each use lies: a local, with the element of the buffer that it begins with, or what all chunks read.
        let mut allocations: HashMap<(usize, usize), (Base, usize)> = HashMap::new();
        for (&(b, distance), u) in &uses {
            let (buffer, is_written) = (&self.buffers[b], written.contains(&b));
            let each = buffer.len / chunks;
            let scratch = buffer.role == SlotRole::Scratch;
            let own = is_written && scratch && inside(b) && u.stride == each && u.high <= each as isize;
            let (low, len) = (usize::try_from(u.low).ok()?, (u.high - u.low) as usize);
            let read = || reads.iter().position(|r| *r == b);
            if !is_written && distance == 0 {
                allocations.insert((b, distance), (Base::Shared(read()?), 0));
                continue;
            }
            let operand = if is_written && !own {
                writes.push(b);
                reads.len() + writes.len() - 1
            } else {
                read().unwrap_or(0)
            };
            if is_written && len > u.stride {
                return None;
            }
            let backing = Backing { operand, offset: low, stride: u.stride, load: true, store: is_written };
            let (first, local) = match own {
                true => {
                    (0, Local { dtype: DType::F32, len: each, backing: None, label: buffer.label.clone() })
                }
                false => (
                    low,
                    Local { dtype: DType::F32, len, backing: Some(backing), label: buffer.label.clone() },
                ),
            };
            allocations.insert((b, distance), (Base::Local(locals.len()), first));
            locals.push(local);
        }
        let operand = |p: &Place, (view, stride): &(View, usize)| {
            let key = (p.buffer, if written.contains(&p.buffer) { 0 } else { *stride });
            let (at, first) = allocations[&key];
            Operand { at, view: View { offset: view.offset - first, ..*view }, steps: [0; DEPTH] }
        };
        let stages = drafts.iter().map(|(d, parts)| {
            let (r, w) = parts.split_at(d.reads.len());
            Stage::Block(Block {
                kernel: d.kernel.clone(),
                reads: d.reads.iter().zip(r).map(|(p, part)| operand(p, part)).collect(),
                writes: d.writes.iter().zip(w).map(|(p, part)| operand(p, part)).collect(),
                label: d.label.clone(),
            })
        });
        let stages = stages.collect();
        let region = Region { tasks: chunks, locals, stages, layout: None, lanes: Default::default() };
        Some((region, reads, writes))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::check::bounds::NMSE_LIMIT;
    use crate::graph::Graph;
    use crate::net::{Net, Weights};
    use crate::plan::{Caps, Launch, Plan, Program, lower};
    use crate::region::chunks::Chunks;
    use crate::run::cpu::{CpuRunner, Number};

    /// Losses and gradients of `t` networks, and how many weights each has.
    fn plan(t: usize, side: usize) -> (Plan, usize) {
        let net = Net::image([side, side, 3]).conv(32, 3).batch_norm().relu().max_pool(2);
        let layout = net.layout();
        let p = layout.len();
        let mut g = Graph::new();
        let (w, x) = (g.data("w", &[t, p]), g.data("x", &[t, 2, side * side * 3]));
        let y = net.apply(&mut g, Weights { flat: w, layout: &layout }, x);
        let y = g.mul(y, y);
        let each = g.sum_to(y, &[t, 1, 1]);
        let sum = g.sum_to(each, &[]);
        let gradient = g.grad(sum, &[w])[0];
        g.output("each", each);
        g.output("gradient", gradient);
        (lower(&g, Caps::cpu(1)).expect("it fits"), p)
    }

    /// Losses and gradients of `t` networks, whose inputs are the same whatever other tasks there are; chunks, and how many of them run
    /// side by side.
    fn results<T: Number>(t: usize, side: usize) -> ([usize; 2], Vec<T>) {
        let (plan, p) = plan(t, side);
        let mut r = CpuRunner::<T>::prepare(&plan);
        let wave = |len: usize, by: f64| -> Vec<f64> {
            (0..t).flat_map(|t| (0..len).map(move |i| ((i * (t + 1)) as f64 * by).sin())).collect()
        };
        r.write("w", &wave(p, 0.37)).expect("it is an input");
        r.write("x", &wave(2 * side * side * 3, 0.11)).expect("it is an input");
        r.run(1).expect("it runs");
        let mut all = r.read("each").expect("it is an output");
        all.extend(r.read("gradient").expect("it is an output"));
        let chunks = plan.launches.iter().find_map(|l| l.chunks());
        (chunks.map_or([0; 2], |c| [c.region.tasks, c.lanes]), all)
    }

    #[test]
    fn tasks_in_chunks_give_what_one_alone_gives() {
        // 65,536 elements a task: each is a chunk of its own. 16,384: four chunks of sixteen.
        for (side, tasks, expected) in [(32, 8, 8), (16, 64, 4)] {
            let (none, alone) = results::<f64>(1, side);
            let ([chunks, _], together) = results::<f32>(tasks, side);
            assert_eq!((none, chunks), ([0; 2], expected));
            let p = alone.len() - 1;
            let first = std::iter::once(together[0]).chain(together[tasks..tasks + p].iter().copied());
            let apart: f64 = alone.iter().zip(first).map(|(a, b)| (a - f64::from(b)).powi(2)).sum();
            let nmse = apart / alone.iter().map(|a| a * a).sum::<f64>();
            assert!(nmse <= NMSE_LIMIT, "a mean error of {nmse:.1e}");
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| results::<f32>(64, 16))
        };
        let (one, alone) = on(1);
        assert_eq!(one, [4, 1]);
        for (threads, lanes) in [(2, 2), (7, 4)] {
            let (chunks, together) = on(threads);
            assert_eq!(chunks, [4, lanes]);
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(bits(&alone) == bits(&together), "{threads} threads");
        }
    }
    /// A plan that was changed by hand so that chunks at work side by side would meet is not sound.
    #[test]
    fn chunks_that_meet_are_refused() {
        let (plan, _) = plan(64, 16);
        assert!(plan.check().is_ok());
        let at = plan.launches.iter().position(|l| l.chunks().is_some()).expect("chunks");
        let changed = |change: &dyn Fn(&mut Launch, &mut Chunks)| {
            let mut plan = plan.clone();
            let launch = &mut plan.launches[at];
            let Program::Chunks(chunks) = launch.program.clone() else { panic!("no chunks") };
            let mut chunks = Arc::unwrap_or_clone(chunks);
            change(launch, &mut chunks);
            launch.program = Program::Chunks(Arc::new(chunks));
            plan.check().expect_err("not sound").to_string()
        };
        let overlap = changed(&|_, c| {
            let stored = c.region.locals.iter_mut().filter_map(|l| l.backing.as_mut()).find(|o| o.store);
            stored.expect("a result").stride = 1;
        });
        assert!(overlap.contains("where chunks overlap"), "{overlap}");
        let shared = changed(&|l, c| {
            c.lanes = 2;
            let lane = l.writes[l.writes.len() - c.buffers.len()..].to_vec();
            l.writes.truncate(2);
            l.writes.extend([lane.clone(), lane].concat());
        });
        assert!(shared.contains("bound twice"), "{shared}");
        let short = changed(&|_, c| c.buffers[0] += 1 << 30);
        assert!(short.contains("of its lanes has"), "{short}");
        let unwritten = changed(&|_, c| c.region.stages.reverse());
        assert!(unwritten.contains("is not there to be read"), "{unwritten}");
    }
}
