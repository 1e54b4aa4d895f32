//! The graph: what to compute. Values in single-assignment form, shapes inferred and checked as it is
//! built; no buffers, no device. Gradients are taken here ([`Graph::grad`]) and give more graph.
//!
//! A wrong shape is the programmer's mistake and panics, naming the op, its label and the shapes;
//! configuration is validated before anything is built from it.
//!
//! Building a graph ([`Graph`], [`expr`]) is for programs; its nodes and operations ([`op`], [`scan`], [`conv`]) belong to the engine and
//! are public for tests and tools, without a promise of stability.
//!
//! ```
//! use hyperloom::graph::Graph;
//!
//! let mut g = Graph::new();
//! let (x, w) = (g.data("x", &[8, 2]), g.data("w", &[2, 3]));
//! let y = g.matmul(x, w);
//! let mean = g.mean(y);
//! let gradient = g.grad(mean, &[w])[0];
//! assert_eq!((g.shape(y), g.shape(gradient)), (&[8, 3][..], &[2, 3][..]));
//! ```

pub mod conv;
pub mod expr;
mod grad;
mod late;
pub mod op;
pub mod scan;
mod show;

use std::collections::HashMap;

use crate::spec::{Activation, DType, MAX_RANK, Shape, broadcast, count};
use op::{Binary, Dist, Func, Num, Op};

/// A value of a graph: an index into its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub(crate) u32);

impl Value {
    /// Position in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where an input's contents come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Written by the host, kept until written again: data sets, given weights.
    Data,
    /// One row a step of a window that the host writes at once: learning rates, step numbers, batch rows.
    Step,
    /// Lives across steps and may be updated by the graph: weights, optimiser moments.
    State,
}

/// A declared input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// Unique name.
    pub name: String,
    /// Where its contents come from.
    pub role: Role,
}

/// One node: an op, its operands, and the type of its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is done.
    pub op: Op,
    /// To which values.
    pub inputs: Vec<Value>,
    /// Shape of the result.
    pub shape: Shape,
    /// Element type of the result.
    pub dtype: DType,
    /// The scope it was built in, for messages and profiles.
    pub label: String,
}

/// A computation: nodes in topological order, and what is done with their results.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    inputs: Vec<Input>,
    outputs: Vec<(String, Value)>,
    updates: Vec<(Value, Value)>,
    records: Vec<(String, Value)>,
    /// Names of inputs and outputs that may lie in a store.
    stored: Vec<String>,
    scope: Vec<String>,
    known: HashMap<(Op, Vec<Value>, Shape), Value>,
    /// Numbers of nodes at which further phases begin.
    phases: Vec<usize>,
    /// Elements of a task that the gradient of a scan may keep.
    keep: usize,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// All nodes; operands come before their users.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node behind a value.
    pub fn node(&self, v: Value) -> &Node {
        &self.nodes[v.index()]
    }

    /// Shape of a value.
    pub fn shape(&self, v: Value) -> &[usize] {
        &self.nodes[v.index()].shape
    }

    /// The declared inputs.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Named results that the host reads.
    pub fn outputs(&self) -> &[(String, Value)] {
        &self.outputs
    }

    /// `(state, new contents)`, carried out after everything else.
    pub fn updates(&self) -> &[(Value, Value)] {
        &self.updates
    }

    /// Scalars written to the ring of records once a step.
    pub fn records(&self) -> &[(String, Value)] {
        &self.records
    }

    /// The same nodes with other outputs; nothing is updated or recorded.
    pub(crate) fn for_outputs(&self, outputs: Vec<(String, Value)>) -> Graph {
        Graph { outputs, updates: vec![], records: vec![], ..self.clone() }
    }

    /// Names of inputs and outputs that several plans may share.
    pub fn stored_names(&self) -> &[String] {
        &self.stored
    }

    /// Runs `build` with `name` added to the labels of the nodes it makes.
    pub fn scope<R>(&mut self, name: impl Into<String>, build: impl FnOnce(&mut Graph) -> R) -> R {
        self.scope.push(name.into());
        let r = build(self);
        self.scope.pop();
        r
    }

    /// Gradients of scans that are taken from now on may keep so many elements of each task, carried values included, instead of
    /// computing them again on the way back: what takes longest to compute, as far as there is room. At first 0: carried
    /// values are kept, all else is computed again. What a device has room for, the graph does not know: `plan::KEEP` is what
    /// training takes.
    pub fn keep(&mut self, elements: usize) {
        self.keep = elements;
    }

    /// What is built from now on is carried out after what stands already, and not mixed with it: parts of a batch that
    /// take turns in the same memory.
    pub fn next_phase(&mut self) {
        self.phases.push(self.nodes.len());
    }

    /// The phase of a value, from 0.
    pub(crate) fn phase_of(&self, v: Value) -> usize {
        self.phases.partition_point(|&start| start <= v.index())
    }

    fn label(&self) -> String {
        self.scope.join("/")
    }

    #[track_caller]
    fn fail(&self, what: &str, shapes: &[&[usize]], why: &str) -> ! {
        let shapes: Vec<String> = shapes.iter().map(|s| format!("{s:?}")).collect();
        panic!("{what} in '{}': {why} (shapes {})", self.label(), shapes.join(", "))
    }

    #[track_caller]
    fn push(&mut self, op: Op, inputs: &[Value], shape: Shape, dtype: DType) -> Value {
        if shape.len() > MAX_RANK || count(&shape) == 0 {
            self.fail(op.name(), &[&shape], "a value has at most 6 axes and no axis of length 0");
        }
        let key = (op.clone(), inputs.to_vec(), shape.clone());
        if let Some(&v) = self.known.get(&key) {
            return v;
        }
        let v = Value(self.nodes.len() as u32);
        self.nodes.push(Node { op, inputs: inputs.to_vec(), shape, dtype, label: self.label() });
        self.known.insert(key, v);
        v
    }

    #[track_caller]
    fn f32(&self, what: &str, values: &[Value]) {
        for &v in values {
            assert!(self.node(v).dtype == DType::F32, "{what} in '{}' needs f32 operands", self.label());
        }
    }

    // --- Inputs, outputs, effects ---------------------------------------------------------------

    /// Declares an input; names are unique.
    #[track_caller]
    pub fn input(&mut self, name: &str, role: Role, shape: &[usize], dtype: DType) -> Value {
        assert!(self.inputs.iter().all(|i| i.name != name), "input '{name}' is declared twice");
        self.inputs.push(Input { name: name.to_string(), role });
        self.push(Op::Input(self.inputs.len() - 1), &[], shape.to_vec(), dtype)
    }

    /// An f32 input that the host writes and that stays until written again.
    #[track_caller]
    pub fn data(&mut self, name: &str, shape: &[usize]) -> Value {
        self.input(name, Role::Data, shape, DType::F32)
    }

    /// An f32 input with one row a step.
    #[track_caller]
    pub fn step(&mut self, name: &str, shape: &[usize]) -> Value {
        self.input(name, Role::Step, shape, DType::F32)
    }

    /// A u32 input with one row a step.
    #[track_caller]
    pub fn step_u32(&mut self, name: &str, shape: &[usize]) -> Value {
        self.input(name, Role::Step, shape, DType::U32)
    }

    /// An f32 value that lives across steps.
    #[track_caller]
    pub fn state(&mut self, name: &str, shape: &[usize]) -> Value {
        self.input(name, Role::State, shape, DType::F32)
    }

    /// Names a result for the host to read.
    #[track_caller]
    pub fn output(&mut self, name: &str, v: Value) {
        assert!(self.outputs.iter().all(|(n, _)| n != name), "output '{name}' is declared twice");
        self.outputs.push((name.to_string(), v));
    }

    /// Says that the data, the state or the output of that name may lie in a store that several plans share
    /// (`run::Store`): it gets a buffer of its own, which holds it whole and nothing else.
    ///
    /// # Panics
    /// Where the graph has no such value yet, where an input and an output both have the name, and for a step input.
    #[track_caller]
    pub fn stored(&mut self, name: &str) {
        let input = self.inputs.iter().find(|i| i.name == name);
        let output = self.outputs.iter().any(|(n, _)| n == name);
        assert!(input.is_some() || output, "there is no input or output '{name}' to be stored");
        assert!(
            input.is_none() || !output,
            "'{name}' is an input and an output: a value that a plan reads and writes in a store is a state"
        );
        assert!(
            input.is_none_or(|i| i.role != Role::Step),
            "step input '{name}' has a row a step: it cannot be stored"
        );
        if !self.stored.iter().any(|n| n == name) {
            self.stored.push(name.to_string());
        }
    }

    /// At the end of the step, `state` becomes `value`.
    #[track_caller]
    pub fn update(&mut self, state: Value, value: Value) {
        let is_state = matches!(self.node(state).op, Op::Input(i) if self.inputs[i].role == Role::State);
        assert!(is_state, "only a state can be updated");
        if self.shape(state) != self.shape(value) {
            self.fail("update", &[self.shape(state), self.shape(value)], "shapes differ");
        }
        self.updates.push((state, value));
    }

    /// Writes a scalar to the ring of records, once a step.
    #[track_caller]
    pub fn record(&mut self, name: &str, v: Value) {
        if count(self.shape(v)) != 1 {
            self.fail("record", &[self.shape(v)], "a record is one number");
        }
        self.records.push((name.to_string(), v));
    }

    // --- Pointwise --------------------------------------------------------------------------------

    /// A scalar constant.
    pub fn constant(&mut self, x: f64) -> Value {
        self.push(Op::Const(Num(x)), &[], vec![], DType::F32)
    }

    /// Constants of a shape, in row-major order.
    #[track_caller]
    pub fn constants(&mut self, shape: &[usize], values: &[f64]) -> Value {
        if count(shape) != values.len() {
            self.fail("constants", &[shape], &format!("{} numbers are given", values.len()));
        }
        let values = values.iter().copied().map(Num).collect();
        self.push(Op::Constants(values), &[], shape.to_vec(), DType::F32)
    }

    fn as_const(&self, v: Value) -> Option<f64> {
        match self.node(v).op {
            Op::Const(Num(x)) => Some(x),
            Op::Expand => self.as_const(self.node(v).inputs[0]),
            _ => None,
        }
    }

    /// A pointwise function.
    #[track_caller]
    pub fn map(&mut self, f: Func, x: Value) -> Value {
        self.f32("map", &[x]);
        match f {
            Func::Act(Activation::Identity, 0) => return x,
            Func::Affine(Num(a), Num(b)) => {
                if a == 1.0 && b == 0.0 {
                    return x;
                }
                if let Some(c) = self.as_const(x) {
                    let c = self.constant(a * c + b);
                    let shape = self.shape(x).to_vec();
                    return self.expand(c, &shape);
                }
                // a(c x + d) + b is one affine map.
                if let Op::Map(Func::Affine(Num(c), Num(d))) = self.node(x).op {
                    let inner = self.node(x).inputs[0];
                    return self.map(Func::Affine(Num(a * c), Num(a * d + b)), inner);
                }
            }
            Func::Act(act, k) => {
                assert!(k <= 3, "the derivative of order {k} of {act} is not there: map goes up to order 3");
            }
            _ => {}
        }
        let shape = self.shape(x).to_vec();
        self.push(Op::Map(f), &[x], shape, DType::F32)
    }

    /// An activation.
    #[track_caller]
    pub fn act(&mut self, a: Activation, x: Value) -> Value {
        self.map(Func::Act(a, 0), x)
    }

    /// `a·x + b`
    #[track_caller]
    pub fn affine(&mut self, x: Value, a: f64, b: f64) -> Value {
        self.map(Func::Affine(Num(a), Num(b)), x)
    }

    /// `c·x`
    #[track_caller]
    pub fn scale(&mut self, x: Value, c: f64) -> Value {
        self.affine(x, c, 0.0)
    }

    /// A pointwise function of two values, with broadcasting.
    #[track_caller]
    pub fn zip(&mut self, f: Binary, a: Value, b: Value) -> Value {
        self.f32("zip", &[a, b]);
        let Some(shape) = broadcast(self.shape(a), self.shape(b)) else {
            self.fail(&format!("{f:?}"), &[self.shape(a), self.shape(b)], "these do not broadcast")
        };
        // With a constant on one side this is an affine map.
        let affine = match (f, self.as_const(a), self.as_const(b)) {
            (Binary::Add, _, Some(c)) => Some((a, 1.0, c)),
            (Binary::Add, Some(c), _) => Some((b, 1.0, c)),
            (Binary::Sub, _, Some(c)) => Some((a, 1.0, -c)),
            (Binary::Sub, Some(c), _) => Some((b, -1.0, c)),
            (Binary::Mul, _, Some(c)) => Some((a, c, 0.0)),
            (Binary::Mul, Some(c), _) => Some((b, c, 0.0)),
            _ => None,
        };
        if let Some((x, m, c)) = affine {
            let x = self.expand(x, &shape);
            return self.affine(x, m, c);
        }
        self.push(Op::Zip(f), &[a, b], shape, DType::F32)
    }

    /// `a + b`
    #[track_caller]
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.zip(Binary::Add, a, b)
    }

    /// `a - b`
    #[track_caller]
    pub fn sub(&mut self, a: Value, b: Value) -> Value {
        self.zip(Binary::Sub, a, b)
    }

    /// `a · b`
    #[track_caller]
    pub fn mul(&mut self, a: Value, b: Value) -> Value {
        self.zip(Binary::Mul, a, b)
    }

    /// `a / b`
    #[track_caller]
    pub fn div(&mut self, a: Value, b: Value) -> Value {
        self.zip(Binary::Div, a, b)
    }

    /// `c != 0 ? a : b`, broadcast together.
    #[track_caller]
    pub fn select(&mut self, c: Value, a: Value, b: Value) -> Value {
        self.f32("select", &[c, a, b]);
        let shape = broadcast(self.shape(a), self.shape(b)).and_then(|s| broadcast(&s, self.shape(c)));
        let Some(shape) = shape else {
            self.fail("select", &[self.shape(c), self.shape(a), self.shape(b)], "these do not broadcast")
        };
        let (c, a, b) = (self.expand(c, &shape), self.expand(a, &shape), self.expand(b, &shape));
        self.push(Op::Select, &[c, a, b], shape, DType::F32)
    }

    // --- Shapes -----------------------------------------------------------------------------------

    /// Broadcasts to `shape`.
    #[track_caller]
    pub fn expand(&mut self, x: Value, shape: &[usize]) -> Value {
        if self.shape(x) == shape {
            return x;
        }
        if broadcast(self.shape(x), shape).as_deref() != Some(shape) {
            self.fail("expand", &[self.shape(x), shape], "the first does not broadcast to the second");
        }
        if self.node(x).op == Op::Expand {
            let inner = self.node(x).inputs[0];
            return self.expand(inner, shape);
        }
        let dtype = self.node(x).dtype;
        self.push(Op::Expand, &[x], shape.to_vec(), dtype)
    }

    /// Sums over axes so that the result has `shape`, which broadcasts to the operand's.
    #[track_caller]
    pub fn sum_to(&mut self, x: Value, shape: &[usize]) -> Value {
        if self.shape(x) == shape {
            return x;
        }
        if broadcast(self.shape(x), shape).as_deref() != Some(self.shape(x)) {
            self.fail("sum_to", &[self.shape(x), shape], "the second does not broadcast to the first");
        }
        self.f32("sum_to", &[x]);
        if count(self.shape(x)) == count(shape) {
            return self.reshape(x, shape);
        }
        self.push(Op::SumTo, &[x], shape.to_vec(), DType::F32)
    }

    /// Sum over `axes`, which stay with length 1.
    #[track_caller]
    pub fn sum_axes(&mut self, x: Value, axes: &[usize]) -> Value {
        let mut shape = self.shape(x).to_vec();
        for &a in axes {
            shape[a] = 1;
        }
        self.sum_to(x, &shape)
    }

    /// Mean of all elements, a scalar.
    #[track_caller]
    pub fn mean(&mut self, x: Value) -> Value {
        let n = count(self.shape(x)) as f64;
        let s = self.sum_to(x, &[]);
        self.scale(s, 1.0 / n)
    }

    /// The same elements in row-major order with another shape.
    #[track_caller]
    pub fn reshape(&mut self, x: Value, shape: &[usize]) -> Value {
        if self.shape(x) == shape {
            return x;
        }
        if count(self.shape(x)) != count(shape) {
            self.fail("reshape", &[self.shape(x), shape], "numbers of elements differ");
        }
        if self.node(x).op == Op::Reshape {
            let inner = self.node(x).inputs[0];
            return self.reshape(inner, shape);
        }
        let dtype = self.node(x).dtype;
        self.push(Op::Reshape, &[x], shape.to_vec(), dtype)
    }

    /// Axes in another order: axis `i` of the result is axis `order[i]` of the operand.
    #[track_caller]
    pub fn permute(&mut self, x: Value, order: &[usize]) -> Value {
        let rank = self.shape(x).len();
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if sorted != (0..rank).collect::<Vec<_>>() {
            self.fail("permute", &[self.shape(x), order], "the second is no order of the first's axes");
        }
        if order.iter().enumerate().all(|(i, &o)| i == o) {
            return x;
        }
        let shape = order.iter().map(|&o| self.shape(x)[o]).collect();
        let dtype = self.node(x).dtype;
        self.push(Op::Permute(order.to_vec()), &[x], shape, dtype)
    }

    /// Elements `start .. start + len` along `axis`.
    #[track_caller]
    pub fn slice(&mut self, x: Value, axis: usize, start: usize, len: usize) -> Value {
        let mut shape = self.shape(x).to_vec();
        if axis >= shape.len() || start + len > shape[axis] {
            self.fail("slice", &[&shape], &format!("no elements {start}..{} on axis {axis}", start + len));
        }
        if len == shape[axis] {
            return x;
        }
        shape[axis] = len;
        let dtype = self.node(x).dtype;
        self.push(Op::Slice { axis, start }, &[x], shape, dtype)
    }

    /// Zeros around `x` along `axis`, so that it starts at `start` of `len`.
    #[track_caller]
    pub fn pad(&mut self, x: Value, axis: usize, start: usize, len: usize) -> Value {
        self.f32("pad", &[x]);
        let mut shape = self.shape(x).to_vec();
        if axis >= shape.len() || start + shape[axis] > len {
            self.fail("pad", &[&shape], &format!("it does not fit at {start} of {len} on axis {axis}"));
        }
        if shape[axis] == len {
            return x;
        }
        shape[axis] = len;
        self.push(Op::Pad { axis, start }, &[x], shape, DType::F32)
    }

    /// Operands one after another along `axis`.
    #[track_caller]
    pub fn concat(&mut self, xs: &[Value], axis: usize) -> Value {
        self.f32("concat", xs);
        if xs.len() == 1 {
            return xs[0];
        }
        let mut shape = self.shape(xs[0]).to_vec();
        for &x in &xs[1..] {
            let s = self.shape(x);
            let fits = s.len() == shape.len()
                && s.iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b);
            if !fits || axis >= s.len() {
                self.fail("concat", &[&shape, s], &format!("they differ beside axis {axis}"));
            }
            shape[axis] += s[axis];
        }
        self.push(Op::Concat { axis }, xs, shape, DType::F32)
    }

    // --- Products ---------------------------------------------------------------------------------

    /// Batched matrix product of the last two axes, either operand transposed; batch axes broadcast.
    /// A second operand without batch axes is shared: the first's batch axes become rows, so that
    /// this is one product (and its gradient too).
    #[track_caller]
    pub fn matmul_t(&mut self, a: Value, ta: bool, b: Value, tb: bool) -> Value {
        self.f32("matmul", &[a, b]);
        let (sa, sb) = (self.shape(a).to_vec(), self.shape(b).to_vec());
        if sa.len() < 2 || sb.len() < 2 {
            self.fail("matmul", &[&sa, &sb], "each operand needs two axes at least");
        }
        let dims = |s: &[usize], t: bool| {
            let (r, c) = (s[s.len() - 2], s[s.len() - 1]);
            if t { (c, r) } else { (r, c) }
        };
        let ((m, k), (k2, n)) = (dims(&sa, ta), dims(&sb, tb));
        let (ba, bb) = (&sa[..sa.len() - 2], &sb[..sb.len() - 2]);
        let Some(batch) = broadcast(ba, bb).filter(|_| k == k2) else {
            self.fail(
                &format!("matmul{}{}", if ta { " aᵀ" } else { "" }, if tb { " bᵀ" } else { "" }),
                &[&sa, &sb],
                "inner axes or batch axes differ",
            )
        };
        if bb.is_empty() && !ba.is_empty() && !ta {
            let rows = self.reshape(a, &[count(ba) * m, k]);
            let y = self.matmul_t(rows, false, b, tb);
            let mut shape = ba.to_vec();
            shape.extend([m, n]);
            return self.reshape(y, &shape);
        }
        let mut shape = batch;
        shape.extend([m, n]);
        self.push(Op::MatMul { ta, tb }, &[a, b], shape, DType::F32)
    }

    /// Batched matrix product of the last two axes.
    #[track_caller]
    pub fn matmul(&mut self, a: Value, b: Value) -> Value {
        self.matmul_t(a, false, b, false)
    }

    // --- Rows and classes --------------------------------------------------------------------------

    /// 1 where the further, last axis is the number that x is, 0 elsewhere: `[..] -> [.., n]`. All are 0 where it is none of 0 to n - 1.
    #[track_caller]
    pub fn one_hot(&mut self, x: Value, n: usize) -> Value {
        let numbers: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let numbers = self.constants(&[n], &numbers);
        let mut shape = self.shape(x).to_vec();
        shape.push(1);
        let x = self.reshape(x, &shape);
        self.zip(Binary::Equal, x, numbers)
    }

    /// Rows of `table [n, ..]` at `index [..]` (u32): `[.., ..]`. Indices beyond the table are clamped.
    #[track_caller]
    pub fn gather(&mut self, table: Value, index: Value) -> Value {
        assert!(self.node(index).dtype == DType::U32, "gather in '{}' needs u32 indices", self.label());
        if self.shape(table).is_empty() {
            self.fail("gather", &[self.shape(table), self.shape(index)], "a table has rows");
        }
        let mut shape = self.shape(index).to_vec();
        shape.extend(&self.shape(table)[1..]);
        let dtype = self.node(table).dtype;
        self.push(Op::Gather, &[table, index], shape, dtype)
    }

    /// Sums rows of `src [index.., ..]` into `n` rows by `index`: the transpose of [`Graph::gather`].
    #[track_caller]
    pub fn scatter_add(&mut self, src: Value, index: Value, n: usize) -> Value {
        self.f32("scatter_add", &[src]);
        let (ss, si) = (self.shape(src), self.shape(index));
        if !ss.starts_with(si) || self.node(index).dtype != DType::U32 {
            self.fail("scatter_add", &[ss, si], "the index must be u32 and lead the source's axes");
        }
        let mut shape = vec![n];
        shape.extend(&ss[si.len()..]);
        self.push(Op::ScatterAdd, &[src, index], shape, DType::F32)
    }

    /// `x - ln Σ e^x` over the last axis.
    #[track_caller]
    pub fn log_softmax(&mut self, x: Value) -> Value {
        self.f32("log_softmax", &[x]);
        let shape = self.shape(x).to_vec();
        if shape.is_empty() {
            self.fail("log_softmax", &[&shape], "a last axis is needed");
        }
        self.push(Op::LogSoftmax, &[x], shape, DType::F32)
    }

    /// `A⁻¹ B` for symmetric positive definite matrices A `[.., n, n]`, of which the lower triangle is read, and B
    /// `[.., n, m]`. NaN where A is not positive definite.
    #[track_caller]
    pub fn spd_solve(&mut self, a: Value, b: Value) -> Value {
        self.f32("spd_solve", &[a, b]);
        let (sa, sb) = (self.shape(a).to_vec(), self.shape(b).to_vec());
        let rank = sa.len();
        let fits = rank >= 2
            && sb.len() == rank
            && sa[rank - 1] == sa[rank - 2]
            && sa[..rank - 1] == sb[..rank - 1]
            && sa[rank - 1] > 0;
        if !fits {
            self.fail("spd_solve", &[&sa, &sb], "the operands must be [.., n, n] and [.., n, m]");
        }
        self.push(Op::SpdSolve, &[a, b], sb, DType::F32)
    }

    /// `ln |A|` for symmetric positive definite matrices A `[.., n, n]`, of which the lower triangle is read: `[..]`. NaN
    /// where A is not positive definite.
    #[track_caller]
    pub fn spd_logdet(&mut self, a: Value) -> Value {
        self.f32("spd_logdet", &[a]);
        let shape = self.shape(a).to_vec();
        let rank = shape.len();
        if rank < 2 || shape[rank - 1] != shape[rank - 2] || shape[rank - 1] == 0 {
            self.fail("spd_logdet", &[&shape], "the operand must be [.., n, n]");
        }
        self.push(Op::SpdLogdet, &[a], shape[..rank - 2].to_vec(), DType::F32)
    }

    /// `value · I`: identity matrices `[.., n, n]` times values `[.., 1, 1]`.
    #[track_caller]
    pub fn diagonal(&mut self, value: Value, n: usize) -> Value {
        // Each of n times: the value with n zeros behind it; cut to n rows of n.
        let mut shape = self.shape(value).to_vec();
        let rank = shape.len();
        if rank < 2 || shape[rank - 2..] != [1, 1] {
            self.fail("diagonal", &[&shape], "the operand must be [.., 1, 1]");
        }
        shape[rank - 2] = n;
        let column = self.expand(value, &shape);
        let spread = self.pad(column, rank - 1, 0, n + 1);
        shape[rank - 2] = n * (n + 1);
        let flat = self.reshape(spread, &shape[..rank - 1]);
        let square = self.slice(flat, rank - 2, 0, n * n);
        shape[rank - 2..].fill(n);
        self.reshape(square, &shape)
    }

    /// `-Σ y · log_softmax(x)` over the last axis: cross entropy of logits `x [.., c]` with
    /// probabilities (or one-hot classes) `y [.., c]`.
    #[track_caller]
    pub fn cross_entropy(&mut self, x: Value, y: Value) -> Value {
        self.f32("cross_entropy", &[x, y]);
        if self.shape(x) != self.shape(y) || self.shape(x).is_empty() {
            self.fail("cross_entropy", &[self.shape(x), self.shape(y)], "logits and targets differ");
        }
        let shape = self.shape(x)[..self.shape(x).len() - 1].to_vec();
        self.push(Op::CrossEntropy, &[x, y], shape, DType::F32)
    }

    // --- Gradients, randomness, optimisers -----------------------------------------------------------

    /// The value itself, which gradients hold constant.
    pub fn stop_gradient(&mut self, x: Value) -> Value {
        let (shape, dtype) = (self.shape(x).to_vec(), self.node(x).dtype);
        self.push(Op::StopGradient, &[x], shape, dtype)
    }

    /// Random numbers of `shape`, whose first axis is the task; `key` is u32 `[2]`: (seed, step).
    /// The same key, stream, task and element give the same number, on any device and in any split. In the body of a scan
    /// each repetition has a key of its own, where the key is one of the scan's constants.
    #[track_caller]
    pub fn random(&mut self, dist: Dist, key: Value, stream: u32, shape: &[usize]) -> Value {
        self.random_from(0, dist, key, stream, shape)
    }

    /// [`Graph::random`] for tasks from number `first_task` on: each gets the numbers that it would get in a batch of all tasks.
    #[track_caller]
    pub fn random_from(
        &mut self,
        first_task: usize,
        dist: Dist,
        key: Value,
        stream: u32,
        shape: &[usize],
    ) -> Value {
        if self.shape(key) != [2] || self.node(key).dtype != DType::U32 {
            self.fail("random", &[self.shape(key)], "the key must be u32 [2]");
        }
        let dtype = if dist == Dist::Bits { DType::U32 } else { DType::F32 };
        let op = Op::Random { dist, stream, first_task: first_task as u32 };
        self.push(op, &[key], shape.to_vec(), dtype)
    }

    /// An optimiser step ([`Op::AdamW`] or [`Op::Sgd`]) on a flat state `[k, p]`.
    #[track_caller]
    pub fn optimise(&mut self, op: Op, state: Value, grad: Value, control: Value, factor: Value) -> Value {
        let rows = match op {
            Op::AdamW { .. } => 3,
            Op::Sgd { .. } => 2,
            _ => panic!("{} is no optimiser", op.name()),
        };
        let p = count(self.shape(grad));
        if self.shape(state) != [rows, p] || self.shape(grad) != [p] || self.shape(control) != [3] {
            let shapes = [self.shape(state), self.shape(grad), self.shape(control)];
            self.fail(op.name(), &shapes, &format!("state must be [{rows}, p], gradient [p], control [3]"));
        }
        let factor = self.reshape(factor, &[]);
        self.push(op, &[state, grad, control, factor], vec![rows, p], DType::F32)
    }
}
