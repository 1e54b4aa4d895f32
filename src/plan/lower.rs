//! From graph to plan: which launches, over which buffers.
//!
//! Views cost nothing here (reshape, permute, slice, expand); pieces of a concatenation are written where
//! they end up; a product takes its bias and activation with it, a sum its product, a product with an
//! activation's derivative that derivative. Everything else is one launch an op.

use std::collections::HashMap;

use super::memory::{Buffer, assign_slots};
use super::verify::verify;
use super::view::View;
use super::{Arg, Caps, Launch, Plan, Port, SlotId, SlotRole};
use crate::error::{Error, Result};
use crate::graph::op::{Binary, Func, Op};
use crate::graph::{Graph, Role, Value};
use crate::kernel::{self, Kernel};
use crate::spec::{Activation, DType, Shape, count};

/// Lowers a graph. The window of `caps` is the number of steps between two visits of the host.
///
/// # Errors
/// [`Error::Memory`] with the numbers when the slots need more than `caps.memory` or one slot more than
/// `caps.max_binding`; nothing has been allocated then.
pub fn lower(graph: &Graph, caps: Caps) -> Result<Plan> {
    let mut l = Lowering::new(graph, caps);
    l.inputs();
    l.fuse();
    l.place_pieces();
    for i in 0..graph.nodes().len() {
        let v = Value(i as u32);
        if l.live[i] && !l.absorbed[i] {
            l.emit(v);
        }
    }
    l.finish()
}

/// Where a value lies: a buffer (not yet a slot) and a view of it.
#[derive(Clone, Copy, Debug)]
struct Place {
    buffer: usize,
    view: View,
}

/// A product with what it takes along.
#[derive(Clone, Copy)]
struct Product {
    matmul: Value,
    bias: Option<Value>,
    /// `a b + bias`, where something beside the activation reads it.
    sum: Option<Value>,
    act: Option<(Activation, Value)>,
}

struct Lowering<'g> {
    g: &'g Graph,
    caps: Caps,
    live: Vec<bool>,
    users: Vec<Vec<Value>>,
    /// Values that have no launch of their own.
    absorbed: Vec<bool>,
    /// Products, by the value at which they are launched.
    products: HashMap<Value, Product>,
    /// Sums of products.
    dots: HashMap<Value, (Value, Value)>,
    /// Multiplications by an activation's derivative: (factor, argument, function).
    chains: HashMap<Value, (Value, Value, Func)>,
    /// Values written straight into a concatenation: which, and the view of its buffer.
    inside: HashMap<Value, (Value, View)>,
    places: HashMap<Value, Place>,
    buffers: Vec<Buffer>,
    launches: Vec<(Kernel, Vec<Place>, Vec<Place>, String)>,
    constants: Vec<f64>,
    constant_buffer: Option<usize>,
    inputs: Vec<(Value, Place)>,
    counter: Option<usize>,
}

impl<'g> Lowering<'g> {
    fn new(g: &'g Graph, caps: Caps) -> Lowering<'g> {
        let n = g.nodes().len();
        let mut live = vec![false; n];
        let mut stack: Vec<Value> = g.outputs().iter().chain(g.records()).map(|(_, v)| *v).collect();
        stack.extend(g.updates().iter().flat_map(|(s, v)| [*s, *v]));
        while let Some(v) = stack.pop() {
            if !std::mem::replace(&mut live[v.index()], true) {
                stack.extend(&g.node(v).inputs);
            }
        }
        let mut users = vec![Vec::new(); n];
        for i in (0..n).filter(|&i| live[i]) {
            for x in &g.nodes()[i].inputs {
                users[x.index()].push(Value(i as u32));
            }
        }
        // Values seen from outside count as used once more, so that they are never absorbed.
        for (_, v) in g.outputs().iter().chain(g.records()) {
            users[v.index()].push(*v);
        }
        for (_, v) in g.updates() {
            users[v.index()].push(*v);
        }
        Lowering {
            g,
            caps,
            live,
            users,
            absorbed: vec![false; n],
            products: HashMap::new(),
            dots: HashMap::new(),
            chains: HashMap::new(),
            inside: HashMap::new(),
            places: HashMap::new(),
            buffers: Vec::new(),
            launches: Vec::new(),
            constants: Vec::new(),
            constant_buffer: None,
            inputs: Vec::new(),
            counter: None,
        }
    }

    fn shape(&self, v: Value) -> &'g [usize] {
        self.g.shape(v)
    }

    fn op(&self, v: Value) -> &'g Op {
        &self.g.node(v).op
    }

    fn only_user(&self, v: Value) -> Option<Value> {
        match self.users[v.index()][..] {
            [u] if u != v => Some(u),
            _ => None,
        }
    }

    fn buffer(&mut self, role: SlotRole, dtype: DType, len: usize, label: impl Into<String>) -> usize {
        self.buffers.push(Buffer { role, dtype, len, label: label.into() });
        self.buffers.len() - 1
    }

    fn whole(&mut self, role: SlotRole, dtype: DType, shape: &[usize], label: &str) -> Place {
        let buffer = self.buffer(role, dtype, count(shape), label);
        Place { buffer, view: View::contiguous(shape, 0) }
    }

    /// Buffers for inputs; the rows of this step are fetched first.
    fn inputs(&mut self) {
        let mut rows: HashMap<DType, Vec<Value>> = HashMap::new();
        for (i, node) in self.g.nodes().iter().enumerate() {
            let (Op::Input(k), true) = (&node.op, self.live[i]) else { continue };
            let (v, input) = (Value(i as u32), &self.g.inputs()[*k]);
            let role = match input.role {
                Role::Data => SlotRole::Data,
                Role::State => SlotRole::State,
                Role::Step => {
                    rows.entry(node.dtype).or_default().push(v);
                    continue;
                }
            };
            let place = self.whole(role, node.dtype, &node.shape, &input.name);
            self.places.insert(v, place);
            self.inputs.push((v, place));
        }
        if !rows.is_empty() || !self.g.records().is_empty() {
            self.counter = Some(self.buffer(SlotRole::State, DType::U32, 1, "counter"));
        }
        for dtype in [DType::F32, DType::U32] {
            let Some(values) = rows.get(&dtype) else { continue };
            let len: usize = values.iter().map(|v| count(self.shape(*v))).sum();
            let label = if dtype == DType::F32 { "window" } else { "window.u32" };
            let window = self.whole(SlotRole::Window, dtype, &[self.caps.window, len], label);
            let row = self.whole(SlotRole::Scratch, dtype, &[len], "row");
            let counter = self.counter_place();
            self.launch(Kernel::RowRead(kernel::RowRead), vec![window, counter], vec![row], "step");
            let mut at = 0;
            for &v in values {
                let view = View::contiguous(self.shape(v), at);
                at += count(self.shape(v));
                self.places.insert(v, Place { buffer: row.buffer, view });
                self.inputs.push((v, Place { buffer: window.buffer, view }));
            }
        }
    }

    fn counter_place(&self) -> Place {
        Place { buffer: self.counter.unwrap_or(0), view: View::contiguous(&[1], 0) }
    }

    fn launch(&mut self, kernel: Kernel, reads: Vec<Place>, writes: Vec<Place>, label: &str) {
        let label =
            if label.is_empty() { kernel.name().to_string() } else { format!("{label}/{}", kernel.name()) };
        self.launches.push((kernel, reads, writes, label));
    }

    // --- Fusion ------------------------------------------------------------------------------------

    fn fuse(&mut self) {
        let live: Vec<usize> = (0..self.g.nodes().len()).filter(|&i| self.live[i]).collect();
        for &i in &live {
            let v = Value(i as u32);
            match self.op(v) {
                Op::MatMul { .. } => self.fuse_product(v),
                Op::SumTo => {
                    let x = self.g.node(v).inputs[0];
                    if matches!(self.op(x), Op::Zip(Binary::Mul))
                        && self.only_user(x) == Some(v)
                        && !self.absorbed[x.index()]
                    {
                        let m = &self.g.node(x).inputs;
                        self.dots.insert(v, (m[0], m[1]));
                        self.absorbed[x.index()] = true;
                    }
                }
                _ => {}
            }
        }
        for i in live {
            let v = Value(i as u32);
            if !matches!(self.op(v), Op::Zip(Binary::Mul)) || self.absorbed[i] {
                continue;
            }
            let (a, b) = (self.g.node(v).inputs[0], self.g.node(v).inputs[1]);
            for (factor, chain) in [(a, b), (b, a)] {
                if let Op::Map(f @ Func::Act(_, k)) = self.op(chain)
                    && *k >= 1
                    && self.only_user(chain) == Some(v)
                    && !self.absorbed[chain.index()]
                {
                    self.chains.insert(v, (factor, self.g.node(chain).inputs[0], *f));
                    self.absorbed[chain.index()] = true;
                    break;
                }
            }
        }
    }

    fn fuse_product(&mut self, matmul: Value) {
        let shape = self.shape(matmul);
        let mut p = Product { matmul, bias: None, sum: Some(matmul), act: None };
        let mut at = matmul;
        if let Some(u) = self.only_user(matmul)
            && matches!(self.op(u), Op::Zip(Binary::Add))
            && self.shape(u) == shape
        {
            let [a, b] = self.g.node(u).inputs[..] else { return };
            // Of two products that are summed, the first takes the other as its bias.
            if a != b && !self.products.contains_key(&u) {
                p.bias = Some(if a == matmul { b } else { a });
                p.sum = Some(u);
                self.absorbed[matmul.index()] = true;
                at = u;
            }
        }
        let act = self.users[at.index()].iter().find_map(|&u| match self.op(u) {
            Op::Map(Func::Act(a, 0)) if u != at => Some((*a, u)),
            _ => None,
        });
        if let Some((a, y)) = act {
            p.act = Some((a, y));
            self.absorbed[y.index()] = true;
            if self.only_user(at).is_some() {
                p.sum = None;
            }
        }
        self.products.insert(at, p);
    }

    // --- Concatenations ------------------------------------------------------------------------------

    /// The pieces of a concatenation or padding: start along the axis, and the value (`None`: zeros).
    fn pieces(&self, v: Value) -> Option<(usize, Vec<(usize, usize, Option<Value>)>)> {
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
    fn place_pieces(&mut self) {
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
    fn root_buffer(&mut self, root: Value) -> usize {
        if let Some(p) = self.places.get(&root) {
            return p.buffer;
        }
        let label = self.g.node(root).label.clone();
        let place = self.whole(SlotRole::Scratch, DType::F32, self.shape(root), &label);
        self.places.insert(root, place);
        place.buffer
    }

    /// A place for the result `v` of a launch that reads `reads`.
    fn result(&mut self, v: Value, reads: &[Place]) -> Place {
        if let Some((root, view)) = self.inside.get(&v).copied() {
            let buffer = self.root_buffer(root);
            // A launch must not read and write one buffer; then the piece is copied later.
            if reads.iter().all(|r| r.buffer != buffer) {
                let place = Place { buffer, view };
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

    // --- Emission --------------------------------------------------------------------------------------

    fn place(&self, v: Value) -> Place {
        match self.places.get(&v) {
            Some(p) => *p,
            None => panic!("{} is read before it is computed: a fault of the lowering", self.op(v).name()),
        }
    }

    fn expanded(&self, v: Value, shape: &[usize]) -> Place {
        let p = self.place(v);
        Place { view: p.view.expand(shape), ..p }
    }

    /// The operand with another shape; copied where its view does not allow that.
    fn shaped(&mut self, v: Value, shape: &[usize]) -> Place {
        let p = self.place(v);
        match p.view.reshape(shape) {
            Some(view) => Place { view, ..p },
            None => {
                let node = self.g.node(v);
                let copy = self.whole(SlotRole::Scratch, node.dtype, &node.shape, &node.label);
                self.launch(Kernel::Copy(kernel::CopyKernel), vec![p], vec![copy], &node.label);
                Place { buffer: copy.buffer, view: View::contiguous(shape, 0) }
            }
        }
    }

    fn simple(&mut self, v: Value, kernel: Kernel, reads: Vec<Place>) {
        let y = self.result(v, &reads);
        let label = self.g.node(v).label.clone();
        self.launch(kernel, reads, vec![y], &label);
    }

    fn emit(&mut self, v: Value) {
        if let Some(p) = self.products.get(&v).copied() {
            return self.emit_product(p);
        }
        let node = self.g.node(v);
        let x = node.inputs.clone();
        let shape = &node.shape[..];
        match &node.op {
            Op::Input(_) => {}
            Op::Const(c) => {
                let buffer = match self.constant_buffer {
                    Some(b) => b,
                    None => self.buffer(SlotRole::Data, DType::F32, 0, "constants"),
                };
                self.constant_buffer = Some(buffer);
                let at = self.constants.len();
                self.constants.push(c.0);
                self.buffers[buffer].len = self.constants.len();
                self.places.insert(v, Place { buffer, view: View::contiguous(&[], at) });
            }
            Op::Reshape => {
                let place = self.shaped(x[0], shape);
                self.places.insert(v, place);
            }
            Op::Expand => {
                let place = self.expanded(x[0], shape);
                self.places.insert(v, place);
            }
            Op::StopGradient => {
                let place = self.place(x[0]);
                self.places.insert(v, place);
            }
            Op::Permute(order) => {
                let p = self.place(x[0]);
                self.places.insert(v, Place { view: p.view.permute(order), ..p });
            }
            Op::Slice { axis, start } => {
                let p = self.place(x[0]);
                self.places
                    .insert(v, Place { view: p.view.slice(shape.len(), *axis, *start, shape[*axis]), ..p });
            }
            Op::Concat { .. } | Op::Pad { .. } => self.emit_pieces(v),
            Op::MatMul { .. } => {} // every product is in `products`
            Op::Map(func) => {
                let reads = vec![self.place(x[0])];
                self.simple(v, Kernel::Map(kernel::Map { func: *func }), reads)
            }
            Op::Zip(op) => {
                let (a, b, pre) = match self.chains.get(&v) {
                    Some(&(factor, argument, f)) => (factor, argument, Some(f)),
                    None => (x[0], x[1], None),
                };
                let reads = vec![self.expanded(a, shape), self.expanded(b, shape)];
                self.simple(v, Kernel::Zip(kernel::Zip { op: *op, pre }), reads)
            }
            Op::Select => {
                let reads = x.iter().map(|&x| self.place(x)).collect();
                self.simple(v, Kernel::Select(kernel::Select), reads)
            }
            Op::SumTo => {
                let full: Shape = self.shape(x[0]).to_vec();
                let reads = match self.dots.get(&v) {
                    Some(&(a, b)) => vec![self.expanded(a, &full), self.expanded(b, &full)],
                    None => vec![self.place(x[0]); 2],
                };
                let dot = self.dots.contains_key(&v);
                self.simple(v, Kernel::SumTo(kernel::SumTo { dot }), reads)
            }
            Op::Gather => {
                let rows = self.shape(x[0])[0];
                let width = count(&self.shape(x[0])[1..]);
                let (indices, table_shape) = (count(self.shape(x[1])), [rows, width]);
                let reads = vec![self.shaped(x[0], &table_shape), self.shaped(x[1], &[indices])];
                self.in_rows(v, Kernel::Gather(kernel::Gather), reads, &[indices, width])
            }
            Op::ScatterAdd => {
                let indices = count(self.shape(x[1]));
                let width = count(&shape[1..]);
                let reads = vec![self.shaped(x[0], &[indices, width]), self.shaped(x[1], &[indices])];
                self.in_rows(v, Kernel::ScatterAdd(kernel::ScatterAdd), reads, &[shape[0], width])
            }
            Op::LogSoftmax => {
                let c = shape[shape.len() - 1];
                let rows = [count(shape) / c, c];
                let reads = vec![self.shaped(x[0], &rows)];
                self.in_rows(v, Kernel::LogSoftmax(kernel::LogSoftmax), reads, &rows)
            }
            Op::CrossEntropy => {
                let full = self.shape(x[0]);
                let c = full[full.len() - 1];
                let rows = [count(full) / c, c];
                let reads = vec![self.shaped(x[0], &rows), self.shaped(x[1], &rows)];
                self.in_rows(v, Kernel::CrossEntropy(kernel::CrossEntropy), reads, &[rows[0]])
            }
            Op::Random { dist, stream } => {
                let per_task = count(shape) / shape.first().copied().unwrap_or(1);
                let kernel = kernel::Random { dist: *dist, stream: *stream, per_task, first_task: 0 };
                let reads = vec![self.place(x[0])];
                self.simple(v, Kernel::Random(kernel), reads)
            }
            // In place, with the updates.
            Op::AdamW { .. } | Op::Sgd { .. } => {}
        }
    }

    /// A launch whose result is seen with rows; where its place does not allow that, it is copied there.
    fn in_rows(&mut self, v: Value, kernel: Kernel, reads: Vec<Place>, rows: &[usize]) {
        let place = self.result(v, &reads);
        let label = self.g.node(v).label.clone();
        match place.view.reshape(rows) {
            Some(view) => self.launch(kernel, reads, vec![Place { view, ..place }], &label),
            None => {
                let y = self.whole(SlotRole::Scratch, self.g.node(v).dtype, self.shape(v), &label);
                let view = View::contiguous(rows, 0);
                self.launch(kernel, reads, vec![Place { buffer: y.buffer, view }], &label);
                self.launch(Kernel::Copy(kernel::CopyKernel), vec![y], vec![place], &label);
            }
        }
    }

    fn emit_product(&mut self, p: Product) {
        let Op::MatMul { ta, tb } = *self.op(p.matmul) else { return };
        let shape = self.shape(p.matmul);
        let operand = |l: &Lowering<'_>, v: Value, transposed: bool| {
            let place = l.place(v);
            let rank = l.shape(v).len();
            let mut view = place.view;
            if transposed {
                let mut order: Vec<usize> = (0..rank).collect();
                order.swap(rank - 2, rank - 1);
                view = view.permute(&order);
            }
            // Broadcast the batch axes, keep the matrix's own.
            let mut full = shape.to_vec();
            let r = full.len();
            full[r - 2] = view.dims[view.dims.len() - 2];
            full[r - 1] = view.dims[view.dims.len() - 1];
            Place { view: view.expand(&full), ..place }
        };
        let x = self.g.node(p.matmul).inputs.clone();
        let a = operand(self, x[0], ta);
        let b = operand(self, x[1], tb);
        let bias = p.bias.map_or(a, |v| self.expanded(v, shape));
        let reads = vec![a, b, bias];
        let act = p.act.map_or(Activation::Identity, |(a, _)| a);
        let mut writes = Vec::new();
        if let Some((_, y)) = p.act {
            writes.push(self.result(y, &reads));
        }
        if let Some(z) = p.sum {
            let mut z_place = self.result(z, &reads);
            // The two results must not share a buffer either.
            if writes.iter().any(|w| w.buffer == z_place.buffer) {
                self.inside.remove(&z);
                let node = self.g.node(z);
                z_place = self.whole(SlotRole::Scratch, node.dtype, &node.shape, &node.label);
                self.places.insert(z, z_place);
            }
            writes.push(z_place);
        }
        let kernel = Kernel::MatMul(kernel::MatMul { bias: p.bias.is_some(), act });
        let label = self.g.node(p.sum.or(p.act.map(|(_, y)| y)).unwrap_or(p.matmul)).label.clone();
        self.launch(kernel, reads, writes, &label);
    }

    /// Writes those pieces of a concatenation that are not there yet.
    fn emit_pieces(&mut self, v: Value) {
        let Some((axis, pieces)) = self.pieces(v) else { return };
        let place = match self.inside.get(&v).copied() {
            Some((root, view)) => Place { buffer: self.root_buffer(root), view },
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

    fn copied(&mut self, from: Place, v: Value) -> Place {
        let node = self.g.node(v);
        let copy = self.whole(SlotRole::Scratch, node.dtype, &node.shape, &node.label);
        self.launch(Kernel::Copy(kernel::CopyKernel), vec![from], vec![copy], &node.label);
        copy
    }

    // --- The end ----------------------------------------------------------------------------------------

    fn finish(mut self) -> Result<Plan> {
        let g = self.g;
        let mut outputs = Vec::new();
        for (name, v) in g.outputs() {
            let place = self.place(*v);
            // What the host reads keeps a buffer of its own; inputs and states are copied there.
            let place = match self.buffers[place.buffer].role {
                SlotRole::Scratch | SlotRole::Output => place,
                _ => self.copied(place, *v),
            };
            self.buffers[place.buffer].role = SlotRole::Output;
            outputs.push((name.clone(), *v, place));
        }
        let ring = (!g.records().is_empty()).then(|| {
            let shape = [self.caps.window, g.records().len()];
            self.whole(SlotRole::Records, DType::F32, &shape, "records")
        });
        if let Some(ring) = ring {
            for (column, (name, v)) in g.records().iter().enumerate() {
                let x = self.shaped(*v, &[1]);
                let counter = self.counter_place();
                self.launch(
                    Kernel::RowWrite(kernel::RowWrite { column }),
                    vec![x, counter],
                    vec![ring],
                    name,
                );
            }
        }
        // New contents that are a view of some state are copied before any state changes.
        let mut ready = Vec::new();
        for (state, v) in g.updates() {
            let optimiser = matches!(self.op(*v), Op::AdamW { .. } | Op::Sgd { .. });
            let operands = if optimiser { g.node(*v).inputs[1..].to_vec() } else { vec![*v] };
            let mut reads = Vec::new();
            for x in operands {
                let p = self.place(x);
                let role = self.buffers[p.buffer].role;
                reads.push(if role == SlotRole::State { self.copied(p, x) } else { p });
            }
            ready.push((*state, *v, optimiser, reads));
        }
        for (state, v, optimiser, reads) in ready {
            let target = self.place(state);
            let kernel = match *self.op(v) {
                Op::AdamW { beta1, beta2, eps, decay } => Kernel::AdamW(kernel::AdamW {
                    beta1: beta1.0,
                    beta2: beta2.0,
                    eps: eps.0,
                    decay: decay.0,
                }),
                Op::Sgd { momentum, decay } => {
                    Kernel::Sgd(kernel::Sgd { momentum: momentum.0, decay: decay.0 })
                }
                _ => Kernel::Copy(kernel::CopyKernel),
            };
            assert!(
                !optimiser || g.node(v).inputs[0] == state,
                "an optimiser step must update the state it reads"
            );
            self.launch(kernel, reads, vec![target], "update");
        }
        if self.counter.is_some() {
            let counter = self.counter_place();
            self.launch(Kernel::Advance(kernel::Advance), vec![], vec![counter], "step");
        }
        self.assemble(outputs, ring)
    }

    fn assemble(self, outputs: Vec<(String, Value, Place)>, ring: Option<Place>) -> Result<Plan> {
        let touched: Vec<(Vec<usize>, Vec<usize>)> = self
            .launches
            .iter()
            .map(|(_, r, w, _)| (r.iter().map(|p| p.buffer).collect(), w.iter().map(|p| p.buffer).collect()))
            .collect();
        let (slots, slot_of) = assign_slots(&self.buffers, &touched);
        let arg = |p: &Place| Arg { slot: SlotId(slot_of[p.buffer]), view: p.view };
        let launches = self
            .launches
            .iter()
            .map(|(kernel, reads, writes, label)| Launch {
                kernel: kernel.clone(),
                reads: reads.iter().map(arg).collect(),
                writes: writes.iter().map(arg).collect(),
                label: label.clone(),
            })
            .collect();
        let name = |v: Value| match self.op(v) {
            Op::Input(k) => self.g.inputs()[*k].name.clone(),
            _ => String::new(),
        };
        let port =
            |(v, p): &(Value, Place)| Port { name: name(*v), arg: arg(p), shape: self.shape(*v).to_vec() };
        let is_step = |p: &Place| self.buffers[p.buffer].role == SlotRole::Window;
        let unused = self.g.nodes().iter().enumerate().filter(|(i, _)| !self.live[*i]);
        let unused = unused.filter_map(|(_, n)| match n.op {
            Op::Input(k) => Some(self.g.inputs()[k].name.clone()),
            _ => None,
        });
        let unused = unused.collect();
        let plan = Plan {
            launches,
            inputs: self.inputs.iter().filter(|(_, p)| !is_step(p)).map(port).collect(),
            steps: self.inputs.iter().filter(|(_, p)| is_step(p)).map(port).collect(),
            unused,
            outputs: outputs
                .iter()
                .map(|(name, v, p)| Port { name: name.clone(), arg: arg(p), shape: self.shape(*v).to_vec() })
                .collect(),
            records: self.g.records().iter().map(|(n, _)| n.clone()).collect(),
            window: self.caps.window,
            counter: self.counter.map(|b| SlotId(slot_of[b])),
            ring: ring.map(|p| SlotId(slot_of[p.buffer])),
            constants: self.constant_buffer.map(|b| (SlotId(slot_of[b]), self.constants.clone())),
            slots,
        };
        fits(&plan, self.caps)?;
        if let Err(fault) = verify(&plan) {
            panic!("the lowering made a plan that is not legal: {fault}");
        }
        Ok(plan)
    }
}

/// Refuses, with numbers, what cannot be allocated.
fn fits(plan: &Plan, caps: Caps) -> Result<()> {
    if let Some(s) =
        plan.slots.iter().find(|s| 4 * s.len as u64 > caps.max_binding || s.len > u32::MAX as usize)
    {
        return Err(Error::Memory(format!(
            "the buffer '{}' needs {}, and one buffer holds at most {}; fewer tasks a batch or a smaller network would fit",
            s.label,
            bytes(4 * s.len as u64),
            bytes(caps.max_binding.min(16 << 30))
        )));
    }
    if plan.bytes() > caps.memory {
        return Err(Error::Memory(format!(
            "the plan needs {}, and {} are there; fewer tasks a batch or a smaller network would fit",
            bytes(plan.bytes()),
            bytes(caps.memory)
        )));
    }
    Ok(())
}

/// A number of bytes in words.
pub(crate) fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", n as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", n as f64 / 1_073_741_824.0),
    }
}
