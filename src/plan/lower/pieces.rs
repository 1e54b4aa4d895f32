//! Concatenations and paddings: their pieces are written where they end up, so that the gradients of
//! slices of a weight vector need no copy.

use super::{Lowering, Place};
use crate::graph::Value;
use crate::graph::op::Op;
use crate::kernel::{self, Kernel};
use crate::plan::SlotRole;
use crate::spec::DType;
use crate::view::View;

impl Lowering<'_> {
    /// The pieces of a concatenation or padding: start along the axis, and the value (`None`: zeros).
    pub(super) fn pieces(&self, v: Value) -> Option<(usize, Vec<(usize, usize, Option<Value>)>)> {
        let node = self.g.node(v);
        match node.op {
            Op::Concat { axis } => {
                let mut at = 0;
                let list = node.inputs.iter().map(|&x| {
                    let len = self.shape(x)[axis];
                    at += len;
                    (at - len, len, Some(x))
                });
                Some((axis, list.collect()))
            }
            Op::Pad { axis, start } => {
                let len = self.shape(node.inputs[0])[axis];
                let full = node.shape[axis];
                let list = [
                    (0, start, None),
                    (start, len, Some(node.inputs[0])),
                    (start + len, full - start - len, None),
                ];
                Some((axis, list.into_iter().filter(|p| p.1 > 0).collect()))
            }
            _ => None,
        }
    }

    /// Decides which values are written straight into a concatenation, outermost first.
    pub(super) fn place_pieces(&mut self) {
        for i in (0..self.g.nodes().len()).rev() {
            let c = Value(i as u32);
            if !self.live[i] {
                continue;
            }
            let Some((axis, pieces)) = self.pieces(c) else { continue };
            let (root, base) =
                self.inside.get(&c).copied().unwrap_or((c, View::contiguous(self.shape(c), 0)));
            for (start, len, piece) in pieces {
                let Some(mut x) = piece else { continue };
                let mut view = Some(base.slice(self.shape(c).len(), axis, start, len));
                while let (Op::Reshape, Some(w)) = (self.op(x), view) {
                    x = self.g.node(x).inputs[0];
                    view = w.reshape(self.shape(x));
                }
                let computed = !matches!(
                    self.op(x),
                    Op::Input(_)
                        | Op::Const(_)
                        | Op::Constants(_)
                        | Op::Reshape
                        | Op::Permute(_)
                        | Op::Slice { .. }
                        | Op::Expand
                        | Op::StopGradient
                        | Op::AdamW { .. }
                        | Op::Sgd { .. }
                );
                if let (true, Some(view)) = (computed, view)
                    && !self.inside.contains_key(&x)
                {
                    self.inside.insert(x, (root, view));
                }
            }
        }
    }

    /// The buffer of a concatenation that is nobody's piece.
    pub(super) fn root_buffer(&mut self, root: Value) -> usize {
        if let Some(p) = self.places.get(&root) {
            return p.buffer;
        }
        let label = self.g.node(root).label.clone();
        let place = self.whole(SlotRole::Scratch, DType::F32, self.shape(root), &label);
        self.places.insert(root, place);
        place.buffer
    }

    /// A place for the result `v` of a launch that reads `reads`.
    pub(super) fn result(&mut self, v: Value, reads: &[Place]) -> Place {
        if let Some((root, view)) = self.inside.get(&v).copied() {
            let buffer = self.root_buffer(root);
            // A launch must not read and write one buffer; then the piece is copied later.
            if reads.iter().all(|r| r.buffer != buffer) {
                let place = Place::new(buffer, view);
                self.places.insert(v, place);
                return place;
            }
            self.inside.remove(&v);
        }
        let node = self.g.node(v);
        let place = self.whole(SlotRole::Scratch, node.dtype, &node.shape, &node.label);
        self.places.insert(v, place);
        place
    }

    /// Writes those pieces of a concatenation that are not there yet.
    pub(super) fn emit_pieces(&mut self, v: Value) {
        let Some((axis, pieces)) = self.pieces(v) else { return };
        let place = match self.inside.get(&v).copied() {
            Some((root, view)) => Place::new(self.root_buffer(root), view),
            None => {
                self.root_buffer(v);
                self.place(v)
            }
        };
        self.places.insert(v, place);
        let label = self.g.node(v).label.clone();
        for (start, len, piece) in pieces {
            let target = Place { view: place.view.slice(self.shape(v).len(), axis, start, len), ..place };
            let Some(x) = piece else {
                self.launch(Kernel::Fill(kernel::Fill { value: 0.0 }), vec![], vec![target], &label);
                continue;
            };
            let from = self.place(x);
            if from.buffer == target.buffer && from.view == target.view {
                continue;
            }
            if Some(from.buffer) == self.constant_buffer && from.view.strides.iter().all(|s| *s == 0) {
                let value = self.constants[from.view.offset];
                self.launch(Kernel::Fill(kernel::Fill { value }), vec![], vec![target], &label);
            } else {
                let from = if from.buffer == target.buffer { self.copied(from, x) } else { from };
                self.launch(Kernel::Copy(kernel::CopyKernel), vec![from], vec![target], &label);
            }
        }
    }

    pub(super) fn copied(&mut self, from: Place, v: Value) -> Place {
        let node = self.g.node(v);
        let copy = self.whole(SlotRole::Scratch, node.dtype, &node.shape, &node.label);
        self.launch(Kernel::Copy(kernel::CopyKernel), vec![from], vec![copy], &node.label);
        copy
    }
}
