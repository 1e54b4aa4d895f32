//! Scans that stay loops: the body is lowered like a graph of its own, over buffers of its repetition.

use super::{Item, Lowering, Place};
use crate::graph::Value;
use crate::graph::op::Op;
use crate::graph::scan::{Outcome, Scan, row_axis};
use crate::kernel::{self, Kernel};
use crate::plan::SlotRole;
use crate::region::DEPTH;
use crate::spec::MAX_RANK;
use crate::view::View;

impl Lowering<'_> {
    pub(super) fn emit_scan(&mut self, v: Value, scan: &Scan) {
        let outputs: Vec<Value> = scan.outputs().collect();
        let operands = self.g.node(v).inputs.clone();
        let wanted: Vec<(Outcome, Value)> = self.users[v.index()]
            .iter()
            .filter_map(|&u| if let Op::Result(i) = *self.op(u) { Some((scan.outcome(i), u)) } else { None })
            .collect();

        let mut places: Vec<Place> = Vec::new();
        for &x in &operands[..scan.carried] {
            let node = self.g.node(x);
            let carry = self.whole(SlotRole::Scratch, node.dtype, &node.shape, "carried");
            let from = self.place(x);
            self.copy(from, carry);
            places.push(carry);
        }
        for &x in &operands[scan.carried..scan.carried + scan.constants] {
            places.push(self.place(x));
        }
        for &x in &operands[scan.carried + scan.constants..] {
            let place = self.place(x);
            places.push(row(place, self.shape(x), scan, self.depth));
        }

        // Results that are stacked: rows the body gives, and histories of carried values.
        let mut given: Vec<(Value, Place)> = Vec::new();
        let mut histories: Vec<(Place, Place)> = Vec::new();
        for &(what, u) in &wanted {
            match what {
                Outcome::Last(i) => {
                    self.places.insert(u, places[i]);
                }
                Outcome::History(i) => histories.push((places[i], self.stack(u, scan))),
                Outcome::Given(i) => given.push((outputs[i], self.stack(u, scan))),
            }
        }

        let mut inner = Lowering::new(&scan.body, self.caps, self.refused);
        inner.depth = self.depth + 1;
        std::mem::swap(&mut inner.buffers, &mut self.buffers);
        std::mem::swap(&mut inner.constants, &mut self.constants);
        inner.constant_buffer = self.constant_buffer;
        inner.places.extend(scan.inputs.iter().copied().zip(places.iter().copied()));
        for (carried, row) in histories {
            inner.copy(carried, row);
        }
        inner.nodes();
        for (o, row) in given {
            let from = inner.place(o);
            inner.copy(from, row);
        }
        let next: Vec<Place> = outputs[..scan.carried].iter().map(|o| inner.place(*o)).collect();
        inner.carry(&places[..scan.carried], next);
        std::mem::swap(&mut inner.buffers, &mut self.buffers);
        std::mem::swap(&mut inner.constants, &mut self.constants);
        self.constant_buffer = inner.constant_buffer;
        self.push(Item::Loop { scan: v, n: scan.n, body: inner.items });
    }

    /// A buffer for rows of all repetitions, the result `u` of the scan; the first row that is written.
    fn stack(&mut self, u: Value, scan: &Scan) -> Place {
        let node = self.g.node(u);
        let stack = self.whole(SlotRole::Scratch, node.dtype, &node.shape, &node.label);
        self.places.insert(u, stack);
        row(stack, &node.shape, scan, self.depth)
    }

    fn copy(&mut self, from: Place, to: Place) {
        if Some(from.buffer) == self.constant_buffer && from.view.strides.iter().all(|s| *s == 0) {
            let value = self.constants[from.view.offset];
            self.launch(Kernel::Fill(kernel::Fill { value }), vec![], vec![to], "carried");
        } else {
            self.launch(Kernel::Copy(kernel::CopyKernel), vec![from], vec![to], "carried");
        }
    }

    /// At the end of a repetition: what was computed becomes the carried values.
    fn carry(&mut self, carried: &[Place], next: Vec<Place>) {
        let mut late = Vec::new();
        for (to, from) in carried.iter().zip(&next) {
            if from == to || self.in_place(*to, *from, &next) {
                continue;
            }
            // Through a copy, where it is a view of what changes at the same time.
            let shared = from.moves() || carried.iter().any(|c| c.buffer == from.buffer);
            let from = if shared {
                let buffer = self.buffers[to.buffer].clone();
                let shape = &to.view.dims;
                let copy = self.whole(SlotRole::Scratch, buffer.dtype, shape, "carried");
                self.copy(*from, copy);
                copy
            } else {
                *from
            };
            late.push((from, *to));
        }
        for (from, to) in late {
            self.copy(from, to);
        }
    }

    /// Has the launch that computes `from` write to `to` instead, where it is pointwise and the last to read `to`.
    fn in_place(&mut self, to: Place, from: Place, next: &[Place]) -> bool {
        let sole = next.iter().filter(|p| p.buffer == from.buffer).count() == 1
            && next.iter().all(|p| p.buffer != to.buffer);
        let whole = View::contiguous(&to.view.dims, 0);
        if !sole || from.view != whole || to.view != whole || from.moves() {
            return false;
        }
        let touches = |item: &Item, buffer: usize| item.places().any(|p| p.buffer == buffer);
        let writes =
            |item: &Item| item.drafts().iter().any(|d| d.writes.iter().any(|w| w.buffer == from.buffer));
        let mut writers = (0..self.items.len()).filter(|&i| writes(&self.items[i]));
        let (Some(at), None) = (writers.next(), writers.next()) else { return false };
        let Item::Launch(d) = &self.items[at] else { return false };
        let same = |p: &Place| p.buffer != to.buffer || (p.view == d.writes[0].view && !p.moves());
        let ok = d.kernel.is_pointwise()
            && d.reads.iter().all(same)
            && self.items[at + 1..].iter().all(|item| !touches(item, to.buffer));
        if ok {
            self.items.iter_mut().for_each(|item| item.rename(from.buffer, to.buffer));
        }
        ok
    }
}

impl Place {
    /// Whether it moves with a loop.
    fn moves(&self) -> bool {
        self.steps != [0; DEPTH]
    }
}

impl Item {
    /// Puts a buffer in the place of another.
    fn rename(&mut self, from: usize, to: usize) {
        match self {
            Item::Launch(d) => {
                for p in d.reads.iter_mut().chain(&mut d.writes).filter(|p| p.buffer == from) {
                    p.buffer = to;
                }
            }
            Item::Loop { body, .. } => body.iter_mut().for_each(|item| item.rename(from, to)),
            Item::Region { .. } | Item::Chunks { .. } => {}
        }
    }
}

/// The row of the first repetition, and its way to the next one of the loop that has `depth` loops around it.
fn row(stack: Place, shape: &[usize], scan: &Scan, depth: usize) -> Place {
    let mut one = shape.to_vec();
    let axis = one.len().min(2) - 1;
    one.remove(axis);
    debug_assert_eq!(axis, row_axis(&one));
    let stride = stack.view.strides[MAX_RANK - shape.len() + axis] as isize;
    let first = if scan.reverse { scan.n - 1 } else { 0 };
    let view = stack.view.slice(shape.len(), axis, first, 1);
    let Some(view) = view.reshape(&one) else { panic!("an axis of length 1 can always be dropped") };
    let mut steps = stack.steps;
    steps[depth] = if scan.reverse { -stride } else { stride };
    Place { buffer: stack.buffer, view, steps }
}
