//! One launch an op, over the places of its operands; views cost nothing.

use super::{FusedProduct, Lowering, Place};
use crate::graph::Value;
use crate::graph::op::{Num, Op};
use crate::kernel::{self, Kernel};
use crate::plan::SlotRole;
use crate::spec::{Activation, DType, MAX_RANK, Shape, count};
use crate::view::View;

impl Lowering<'_> {
    pub(super) fn place(&self, v: Value) -> Place {
        match self.places.get(&v) {
            Some(p) => *p,
            None => panic!("{} is read before it is computed: a fault of the lowering", self.op(v).name()),
        }
    }

    pub(super) fn expanded(&self, v: Value, shape: &[usize]) -> Place {
        let p = self.place(v);
        Place { view: p.view.expand(shape), ..p }
    }

    /// The operand with another shape; copied where its view does not allow that.
    pub(super) fn shaped(&mut self, v: Value, shape: &[usize]) -> Place {
        let p = self.place(v);
        match p.view.reshape(shape) {
            Some(view) => Place { view, ..p },
            None => {
                let node = self.g.node(v);
                let copy = self.whole(SlotRole::Scratch, node.dtype, &node.shape, &node.label);
                self.launch(Kernel::Copy(kernel::CopyKernel), vec![p], vec![copy], &node.label);
                Place::new(copy.buffer, View::contiguous(shape, 0))
            }
        }
    }

    pub(super) fn simple(&mut self, v: Value, kernel: Kernel, reads: Vec<Place>) {
        let y = self.result(v, &reads);
        let label = self.g.node(v).label.clone();
        self.launch(kernel, reads, vec![y], &label);
    }

    pub(super) fn emit(&mut self, v: Value) {
        if let Some(p) = self.products.get(&v).copied() {
            return self.emit_product(p);
        }
        let node = self.g.node(v);
        let x = node.inputs.clone();
        let shape = &node.shape[..];
        match &node.op {
            Op::Input(_) => {}
            Op::Const(c) => self.constants(v, &[*c]),
            Op::Constants(values) => self.constants(v, values),
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
            Op::MatMul { .. } | Op::Conv(..) => {} // every product is in `products`
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
                let y = self.result(v, &reads);
                self.launch_sum(dot, reads, y, &node.label)
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
            Op::SpdSolve => {
                let [.., n, m] = shape[..] else { return };
                let stack = count(shape) / (n * m);
                let reads = vec![self.shaped(x[0], &[stack, n, n]), self.shaped(x[1], &[stack, n, m])];
                self.factored(v, Kernel::SpdSolve(kernel::SpdSolve), reads, &[stack, n, m])
            }
            Op::SpdLogdet => {
                let stack = count(shape);
                let n = self.shape(x[0])[shape.len()];
                let reads = vec![self.shaped(x[0], &[stack, n, n])];
                self.factored(v, Kernel::SpdLogdet(kernel::SpdLogdet), reads, &[stack])
            }
            &Op::Random { dist, stream, first_task } => {
                let per_task = count(shape) / shape.first().copied().unwrap_or(1);
                let kernel = kernel::Random { dist, stream, per_task, first_task };
                let reads = vec![self.place(x[0])];
                self.simple(v, Kernel::Random(kernel), reads)
            }
            Op::Scan(scan) => self.emit_scan(v, &scan.0),
            // Placed with its scan.
            Op::Result(_) => {}
            // In place, with the updates.
            Op::AdamW { .. } | Op::Sgd { .. } => {}
        }
    }

    /// Puts constants into their buffer.
    fn constants(&mut self, v: Value, values: &[Num]) {
        let buffer = match self.constant_buffer {
            Some(b) => b,
            None => self.buffer(SlotRole::Data, DType::F32, 0, "constants"),
        };
        self.constant_buffer = Some(buffer);
        let at = self.constants.len();
        self.constants.extend(values.iter().map(|c| c.0));
        self.buffers[buffer].len = self.constants.len();
        self.places.insert(v, Place::new(buffer, View::contiguous(self.shape(v), at)));
    }

    /// A launch whose result is seen with rows; where its place does not allow that, it is copied there.
    pub(super) fn in_rows(&mut self, v: Value, kernel: Kernel, reads: Vec<Place>, rows: &[usize]) {
        let place = self.result(v, &reads);
        let label = self.g.node(v).label.clone();
        match place.view.reshape(rows) {
            Some(view) => self.launch(kernel, reads, vec![Place { view, ..place }], &label),
            None => {
                let y = self.whole(SlotRole::Scratch, self.g.node(v).dtype, self.shape(v), &label);
                let view = View::contiguous(rows, 0);
                self.launch(kernel, reads, vec![Place::new(y.buffer, view)], &label);
                self.launch(Kernel::Copy(kernel::CopyKernel), vec![y], vec![place], &label);
            }
        }
    }

    /// A launch whose result is a stack of matrices or numbers, with room for the Cholesky factors of its first operand.
    fn factored(&mut self, v: Value, kernel: Kernel, reads: Vec<Place>, rows: &[usize]) {
        let label = self.g.node(v).label.clone();
        let stack = reads[0].view;
        let room = self.whole(SlotRole::Scratch, DType::F32, &[stack.count()], &label);
        let room = Place { view: View::contiguous(&stack.dims[MAX_RANK - 3..], 0), ..room };
        let y = self.whole(SlotRole::Scratch, DType::F32, self.shape(v), &label);
        let place = Place { view: View::contiguous(rows, 0), ..y };
        self.launch(kernel, reads, vec![place, room], &label);
        self.places.insert(v, y);
    }

    pub(super) fn emit_product(&mut self, p: FusedProduct) {
        let shape = self.shape(p.value);
        let x = self.g.node(p.value).inputs.clone();
        let [a, b] = match *self.op(p.value) {
            Op::MatMul { ta, tb } => {
                [self.matrix_operand(x[0], ta, shape), self.matrix_operand(x[1], tb, shape)]
            }
            _ => [self.place(x[0]), self.place(x[1])],
        };
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
        let label = self.g.node(p.sum.or(p.act.map(|(_, y)| y)).unwrap_or(p.value)).label.clone();
        let bias = p.bias.is_some();
        match *self.op(p.value) {
            Op::Conv(geometry, wrt) => {
                let kernel = kernel::Conv { geometry, wrt, bias, act };
                self.launch_conv(kernel, reads, writes, &label);
            }
            _ => {
                let kernel = kernel::MatMul { bias, act };
                self.launch_product(kernel, reads, writes, &label);
            }
        }
    }

    /// An operand of a product of matrices whose result has `shape`: batch axes broadcast, the matrix's own kept.
    fn matrix_operand(&self, v: Value, transposed: bool, shape: &[usize]) -> Place {
        let place = self.place(v);
        let rank = self.shape(v).len();
        let mut view = place.view;
        if transposed {
            let mut order: Vec<usize> = (0..rank).collect();
            order.swap(rank - 2, rank - 1);
            view = view.permute(&order);
        }
        let mut full = shape.to_vec();
        let r = full.len();
        full[r - 2] = view.dims[view.dims.len() - 2];
        full[r - 1] = view.dims[view.dims.len() - 1];
        Place { view: view.expand(&full), ..place }
    }
}
