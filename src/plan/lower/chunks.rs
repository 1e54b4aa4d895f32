//! Large batches of convolutional networks on a CPU: some tasks at a time.
//!
//! A value of all tasks' pictures is often larger than any cache, and one launch after another would fetch it from main memory again and
//! again. Here a group of launches that belong to tasks and have convolutions among them is repeated for a few tasks after
//! another, over views of these. What only the group uses gets a buffer for each chunk, and so the slots are of a chunk's size.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::group::{Use, groups, touches};
use super::{Draft, Item, Lowering, Place};
use crate::kernel::Kernel;
use crate::plan::SlotRole;
use crate::region::{DEPTH, leading};
use crate::spec::{DType, MAX_RANK};
use crate::view::View;

/// Elements of a chunk's largest value: 1 MiB, a part of a core's own cache.
const CHUNK: usize = 1 << 18;

/// Chunks at most: each has its launches in the plan.
const CHUNKS: usize = 64;

/// Operands as a chunk sees them, reads first, each with the distance of two chunks (0: the same for all).
type Parts = Vec<(View, usize)>;

impl Lowering<'_> {
    /// Repeats groups of launches with convolutions for chunks of tasks where that keeps values in cache.
    pub(super) fn chunk(&mut self) {
        // A GPU has no such caches, and wants large launches.
        let tasks = self.items.iter().flat_map(Item::drafts).filter_map(|d| match d.kernel {
            Kernel::Conv(_) => Some(d.writes[0].view.dims[MAX_RANK - 5]),
            _ => None,
        });
        let Some(tasks) = tasks.max().filter(|t| *t > 1 && self.caps.fill == 1) else { return };
        let chunks = self.chunks(tasks);
        if chunks == 1 {
            return;
        }
        let parts: Vec<Option<Parts>> =
            self.items.iter().map(|item| self.in_chunks(item, tasks, chunks)).collect();
        let kinds: Vec<Option<usize>> = parts.iter().map(|p| p.is_some().then_some(tasks)).collect();
        let scratch = |b: usize| self.buffers[b].role == SlotRole::Scratch;
        let groups = groups(&self.items, &self.phases, &kinds, scratch);
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
            let has_conv =
                |d: &[(&Draft, &Parts)]| d.iter().any(|(d, _)| matches!(d.kernel, Kernel::Conv(_)));
            match drafts.filter(|d| has_conv(d)) {
                Some(drafts) if self.push_chunks(&drafts, chunks, inside) => {}
                _ => group.iter().for_each(|&i| self.push(items[i].clone())),
            }
        }
    }

    /// As few chunks as keep the largest value of a convolution small, but not more than worth their launches.
    fn chunks(&self, tasks: usize) -> usize {
        let convs = self.items.iter().flat_map(Item::drafts).filter(|d| matches!(d.kernel, Kernel::Conv(_)));
        let most = convs.flat_map(|d| &d.writes).map(|w| w.view.count()).max().unwrap_or(0);
        let wanted = most.div_ceil(CHUNK).min(CHUNKS).min(tasks);
        (1..=wanted).rev().find(|c| tasks.is_multiple_of(*c)).unwrap_or(1)
    }

    /// The operands of a launch as one of `chunks` parts of `t` tasks sees them; `None` where tasks are mixed.
    fn in_chunks(&self, item: &Item, t: usize, chunks: usize) -> Option<Parts> {
        let Item::Launch(d) = item else { return None };
        let [reads, writes] = [&d.reads, &d.writes].map(|l| l.iter().map(|p| p.view).collect::<Vec<View>>());
        let nest = d.kernel.nest(&reads, &writes);
        let stacked = nest.is_some_and(|n| n.stacked);
        let axis = |k: usize| match (&d.kernel, nest) {
            (Kernel::Conv(_), _) => Some(MAX_RANK - 5),
            (_, Some(nest)) => nest.axis(k, nest.batch_loop(leading(&writes[0]))?),
            _ => None,
        };
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

    /// Puts these launches for one chunk after another; says no where that would mix chunks.
    fn push_chunks(
        &mut self,
        drafts: &[(&Draft, &Parts)],
        chunks: usize,
        inside: impl Fn(usize) -> bool,
    ) -> bool {
        let places =
            |(d, _): &(&Draft, &Parts)| d.reads.iter().chain(&d.writes).copied().collect::<Vec<Place>>();
        let written: BTreeSet<usize> =
            drafts.iter().flat_map(|(d, _)| d.writes.iter().map(|w| w.buffer)).collect();
        let mut uses: BTreeMap<usize, Use> = BTreeMap::new();
        for draft in drafts {
            for (p, (view, stride)) in
                places(draft).iter().zip(draft.1).filter(|(p, _)| written.contains(&p.buffer))
            {
                let own = Use::of(p, view, *stride, [1; DEPTH]);
                let all = uses.get(&p.buffer).map_or(Some(own), |u| u.with(&own, false));
                match all {
                    Some(all) if *stride > 0 => uses.insert(p.buffer, all),
                    _ => return false,
                };
            }
        }
        uses.retain(|&b, u| {
            let each = self.buffers[b].len / chunks;
            let scratch = self.buffers[b].role == SlotRole::Scratch;
            scratch && inside(b) && u.stride == each && u.high <= each as isize
        });
        for chunk in 0..chunks {
            self.phase += 1;
            let mut own: HashMap<usize, usize> = HashMap::new();
            for &b in uses.keys() {
                let (each, label) = (self.buffers[b].len / chunks, self.buffers[b].label.clone());
                own.insert(b, self.buffer(SlotRole::Scratch, DType::F32, each, label));
            }
            for draft in drafts {
                let seen = places(draft).into_iter().zip(draft.1).map(|(p, (view, stride))| {
                    match own.get(&p.buffer) {
                        Some(&buffer) => Place { buffer, view: *view, ..p },
                        None => Place { view: View { offset: view.offset + chunk * stride, ..*view }, ..p },
                    }
                });
                let mut reads: Vec<Place> = seen.collect();
                let writes = reads.split_off(draft.0.reads.len());
                let d = draft.0;
                self.push(Item::Launch(Draft {
                    kernel: d.kernel.clone(),
                    reads,
                    writes,
                    label: d.label.clone(),
                }));
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::Graph;
    use crate::net::{Net, Weights};
    use crate::plan::{Caps, lower};
    use crate::run::cpu::CpuRunner;

    /// Losses and gradients of `t` networks, whose inputs are the same whatever other tasks there are.
    fn results(t: usize) -> (usize, Vec<f32>) {
        let net = Net::image([32, 32, 3]).conv(32, 3).batch_norm().relu().max_pool(2);
        let layout = net.layout();
        let p = layout.len();
        let mut g = Graph::new();
        let (w, x) = (g.data("w", &[t, p]), g.data("x", &[t, 4, 32 * 32 * 3]));
        let y = net.apply(&mut g, Weights { flat: w, layout: &layout }, x);
        let y = g.mul(y, y);
        let each = g.sum_to(y, &[t, 1, 1]);
        let sum = g.sum_to(each, &[]);
        let gradient = g.grad(sum, &[w])[0];
        g.output("each", each);
        g.output("gradient", gradient);
        let plan = lower(&g, Caps::cpu(1)).expect("it fits");
        let mut r = CpuRunner::<f32>::prepare(&plan);
        let wave = |len: usize, by: f64| -> Vec<f64> {
            (0..t).flat_map(|t| (0..len).map(move |i| ((i * (t + 1)) as f64 * by).sin())).collect()
        };
        r.write("w", &wave(p, 0.37)).expect("it is an input");
        r.write("x", &wave(4 * 32 * 32 * 3, 0.11)).expect("it is an input");
        r.run(1).expect("it runs");
        let mut all = r.read("each").expect("it is an output");
        all.extend(r.read("gradient").expect("it is an output"));
        (plan.launches.iter().filter(|l| l.shader() == "conv").count(), all)
    }

    #[test]
    fn tasks_in_chunks_give_what_one_alone_gives() {
        let (convs, alone) = results(1);
        let (chunked, together) = results(8);
        // 131,072 elements a task: four chunks of two.
        assert_eq!(chunked, 4 * convs);
        let p = alone.len() - 1;
        let first = std::iter::once(together[0]).chain(together[8..8 + p].iter().copied());
        for (a, b) in alone.iter().zip(first) {
            assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "{a} alone, {b} among others");
        }
    }
}
