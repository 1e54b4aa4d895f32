//! From a graph to the nodes of an ONNX file.
//!
//! Graphs have literal sizes, and a file is wanted for any number of rows. So the graph is made for two numbers of rows: what is the same in both is fixed, and an axis that
//! grows with the rows is written as what it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ROWS;
use super::proto::{self, Length, Message};
use crate::error::{Error, Result};
use crate::export::functions::of_one;
use crate::graph::op::{Binary, Func, Num, Op};
use crate::graph::scan::{Outcome, Scan, row_axis};
use crate::graph::{Graph, Value};
use crate::net::{Numbers, Quantised};
use crate::spec::{Activation, Shape, count};

/// Length of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// So many.
    Fixed(usize),
    /// So many times the number of rows.
    Rows(usize),
}

/// One graph for both numbers of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'g>(pub(super) &'g Graph, &'g Graph);

impl<'g> Pair<'g> {
    /// Refuses graphs that do something else for another number of rows.
    pub(super) fn new(a: &'g Graph, b: &'g Graph) -> Result<Pair<'g>> {
        let parts = |g: &'g Graph| (g.nodes().len(), g.inputs(), g.outputs());
        if parts(a) != parts(b) {
            return Err(Error::Shape("the graph does something else for another number of rows".into()));
        }
        for (i, (p, q)) in a.nodes().iter().zip(b.nodes()).enumerate() {
            let same = match (&p.op, &q.op) {
                (Op::Scan(p), Op::Scan(q)) => {
                    let parts = |s: &Scan| (s.n, s.reverse, s.carried, s.constants);
                    parts(&p.0) == parts(&q.0)
                }
                (p, q) => p == q,
            };
            if !same || p.inputs != q.inputs {
                return Err(by_rows(a, Value(i as u32), "is another operation"));
            }
        }
        Ok(Pair(a, b))
    }

    /// Lengths of the axes of a value.
    pub(super) fn axes(self, v: Value) -> Result<Vec<Axis>> {
        let (a, b) = (self.0.shape(v), self.1.shape(v));
        let [p, q] = ROWS;
        let axis = |(a, b): (&usize, &usize)| match () {
            () if a == b => Ok(Axis::Fixed(*a)),
            () if a % p == 0 && b % q == 0 && a / p == b / q => Ok(Axis::Rows(a / p)),
            () => Err(by_rows(self.0, v, "has an axis that does not grow with the rows")),
        };
        if a.len() != b.len() {
            return Err(by_rows(self.0, v, "has other axes"));
        }
        a.iter().zip(b).map(axis).collect()
    }
}

fn by_rows(graph: &Graph, v: Value, what: &str) -> Error {
    let node = graph.node(v);
    Error::Shape(format!("for another number of rows '{}' ({}) {what}", node.op.name(), node.label))
}

/// The 0 that whole numbers of eight bits are counted from.
const EIGHT_BITS_ZERO: &str = "eight_bits/zero";

/// Least numbers of a constant that are worth a scale.
const LEAST_NUMBERS: usize = 16;

/// A constant as whole numbers times scales, of which each place along an axis has one, or all together.
struct EightBits {
    whole: Vec<i8>,
    scales: Vec<f32>,
    axis: Option<usize>,
}

impl EightBits {
    /// Where it is exactly that.
    fn of(shape: &[usize], data: &[f32]) -> Option<EightBits> {
        let matrix = shape.iter().filter(|n| **n > 1).count() > 1 && data.len() >= LEAST_NUMBERS;
        let axes = std::iter::once(None).chain((0..shape.len()).rev().map(Some));
        axes.filter(|_| matrix).find_map(|axis| EightBits::along(shape, data, axis))
    }

    fn along(shape: &[usize], data: &[f32], axis: Option<usize>) -> Option<EightBits> {
        let (places, below) = axis.map_or((1, data.len()), |axis| (shape[axis], count(&shape[axis + 1..])));
        // Numbers of one scale are one output of a matrix.
        let place = |i: usize| i / below % places;
        let mut columns = vec![vec![]; places];
        data.iter().enumerate().for_each(|(i, v)| columns[place(i)].push(*v));
        let found: Option<Vec<Quantised>> = columns
            .iter()
            .map(|column| {
                Quantised::of(Numbers::Int8Tensor, column, &[column.len()]).filter(|q| q.values() == *column)
            })
            .collect();
        let found = found?;
        let mut each: Vec<_> = found.iter().map(|q| q.whole.iter()).collect();
        let whole = (0..data.len()).map(|i| each[place(i)].next().copied().unwrap_or(0)).collect();
        Some(EightBits { whole, scales: found.iter().map(|q| q.scales[0]).collect(), axis })
    }
}

/// Nodes that stand beside one another: the file's, or those of a repeated body.
#[derive(Default)]
struct Part {
    nodes: Vec<Message>,
    known: HashMap<(String, Vec<String>, Vec<Vec<u8>>), String>,
}

/// A file that is being written.
pub(super) struct Writer<'g> {
    parts: Vec<Part>,
    numbered: usize,
    /// Scope of the graph that is being written.
    label: String,
    /// Constants, by their names.
    fixed: BTreeMap<String, (Shape, Vec<f32>)>,
    integers: BTreeMap<String, Vec<i64>>,
    /// Whether constants that are whole numbers of eight bits times scales stand so in the file.
    eight_bits: bool,
    read: BTreeSet<String>,
    /// The input whose first axis are the rows.
    rows: &'g str,
    /// Indices that are known, by the names of inputs.
    indices: &'g BTreeMap<String, Vec<u32>>,
}

impl<'g> Writer<'g> {
    pub(super) fn new(
        rows: &'g str,
        indices: &'g BTreeMap<String, Vec<u32>>,
        eight_bits: bool,
    ) -> Writer<'g> {
        Writer {
            parts: vec![Part::default()],
            numbered: 0,
            label: String::new(),
            fixed: BTreeMap::new(),
            integers: BTreeMap::new(),
            eight_bits,
            read: BTreeSet::new(),
            rows,
            indices,
        }
    }

    /// Nodes, and the constants that they read.
    pub(super) fn finish(mut self) -> [Vec<Message>; 2] {
        let read = |name: &&String| self.read.contains(*name);
        let (mut constants, mut nodes) = (vec![], vec![]);
        for (name, (shape, data)) in self.fixed.iter().filter(|(name, _)| read(name)) {
            let eight = if self.eight_bits { EightBits::of(shape, data) } else { None };
            let Some(EightBits { whole, scales, axis }) = eight else {
                constants.push(proto::floats(name, shape, data));
                continue;
            };
            let [whole_name, scale_name] = ["whole", "scale"].map(|part| format!("{name}/{part}"));
            constants.push(proto::eight_bits(&whole_name, shape, &whole));
            let scale_shape = if axis.is_some() { vec![scales.len()] } else { vec![] };
            constants.push(proto::floats(&scale_name, &scale_shape, &scales));
            let along: Vec<Message> = axis.iter().map(|axis| proto::int("axis", *axis as i64)).collect();
            let inputs = [whole_name, scale_name];
            nodes.push(proto::node("DequantizeLinear", name, &inputs, std::slice::from_ref(name), &along));
        }
        let integers = self.integers.iter().filter(|(name, _)| read(name));
        constants.extend(integers.map(|(name, data)| proto::integers(name, &[data.len()], data)));
        if self.read.contains(EIGHT_BITS_ZERO) {
            constants.push(proto::eight_bits(EIGHT_BITS_ZERO, &[], &[0]));
        }
        nodes.extend(self.parts.pop().unwrap_or_default().nodes);
        [nodes, constants]
    }

    /// A name that nothing else has: those of inputs and outputs have no `/`.
    pub(super) fn name(&mut self, start: &str) -> String {
        self.numbered += 1;
        format!("{start}/{}", self.numbered)
    }

    /// A node with several results, whose names are given.
    pub(super) fn push(&mut self, op: &str, inputs: &[String], outputs: &[String], attributes: &[Message]) {
        self.read.extend(inputs.iter().cloned());
        let name = match self.label.is_empty() {
            true => outputs[0].clone(),
            false => format!("{}/{}", self.label, outputs[0]),
        };
        let node = proto::node(op, &name, inputs, outputs, attributes);
        self.part().nodes.push(node);
    }

    /// The part that is being written. There is one always: that of the file.
    fn part(&mut self) -> &mut Part {
        let last = self.parts.len() - 1;
        &mut self.parts[last]
    }

    /// Begins a body, and gives the label to go on with behind it.
    pub(super) fn begin(&mut self) -> String {
        self.parts.push(Part::default());
        std::mem::take(&mut self.label)
    }

    /// Ends a body: its nodes.
    pub(super) fn end(&mut self, label: String) -> Vec<Message> {
        self.label = label;
        self.parts.pop().unwrap_or_default().nodes
    }

    /// The result of a node; the same again is not written twice.
    pub(super) fn node(&mut self, op: &str, inputs: &[String], attributes: &[Message]) -> String {
        let key = (op.into(), inputs.to_vec(), attributes.iter().map(|a| a.0.clone()).collect());
        if let Some(name) = self.part().known.get(&key) {
            return name.clone();
        }
        let name = self.name(&op.to_lowercase());
        self.push(op, inputs, std::slice::from_ref(&name), attributes);
        self.part().known.insert(key, name.clone());
        name
    }

    /// A value under a name of its own.
    pub(super) fn named(&mut self, from: String, to: &str) {
        self.label.clear();
        self.push("Identity", &[from], &[to.into()], &[]);
    }

    /// A number.
    pub(super) fn number(&mut self, x: f32) -> String {
        self.constant(&format!("number/{x}"), &[], vec![x])
    }

    /// A constant; of two with one name the first.
    pub(super) fn constant(&mut self, name: &str, shape: &[usize], data: Vec<f32>) -> String {
        debug_assert_eq!(count(shape), data.len());
        self.fixed.entry(name.into()).or_insert_with(|| (shape.to_vec(), data));
        name.into()
    }

    fn whole(&mut self, data: Vec<i64>) -> String {
        let text: Vec<String> = data.iter().map(i64::to_string).collect();
        let name = format!("integers/{}", text.join(","));
        self.integers.insert(name.clone(), data);
        name
    }

    /// A shape as a value. Where `-1` may stand for what follows from the rest, one axis may grow with the rows.
    fn shape(&mut self, axes: &[Axis], may_follow: bool) -> String {
        let growing = axes.iter().filter(|a| matches!(a, Axis::Rows(_))).count();
        if growing == 0 || (growing == 1 && may_follow) {
            let length = |a: &Axis| match a {
                Axis::Fixed(n) => *n as i64,
                Axis::Rows(_) => -1,
            };
            return self.whole(axes.iter().map(length).collect());
        }
        let rows = self.rows.to_string();
        let attributes = [proto::int("start", 0), proto::int("end", 1)];
        let rows = self.node("Shape", &[rows], &attributes);
        let mut parts = vec![];
        for axis in axes {
            parts.push(match axis {
                Axis::Fixed(n) => self.whole(vec![*n as i64]),
                Axis::Rows(1) => rows.clone(),
                Axis::Rows(times) => {
                    let times = self.whole(vec![*times as i64]);
                    self.node("Mul", &[rows.clone(), times], &[])
                }
            });
        }
        self.node("Concat", &parts, &[proto::int("axis", 0)])
    }

    pub(super) fn reshaped(&mut self, x: String, axes: &[Axis]) -> String {
        if let Some((_, data)) = self.fixed.get(&x) {
            let fixed: Option<Shape> =
                axes.iter().map(|a| if let Axis::Fixed(n) = a { Some(*n) } else { None }).collect();
            if let Some(shape) = fixed {
                let data = data.clone();
                let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
                return self.constant(&format!("{x}/as/{}", sizes.join("x")), &shape, data);
            }
        }
        let shape = self.shape(axes, true);
        self.node("Reshape", &[x, shape], &[])
    }

    /// Axes in another order.
    pub(super) fn permuted(&mut self, x: String, order: &[usize]) -> String {
        if let Some((shape, data)) = self.fixed.get(&x) {
            let (shape, data) = permuted(shape, data, order);
            let axes: Vec<String> = order.iter().map(usize::to_string).collect();
            return self.constant(&format!("{x}/by/{}", axes.join("")), &shape, data);
        }
        let order = proto::ints("perm", order.iter().map(|i| *i as i64));
        self.node("Transpose", &[x], &[order])
    }

    pub(super) fn integer_list(&mut self, data: &[usize]) -> String {
        self.whole(data.iter().map(|n| *n as i64).collect())
    }

    /// All but the last elements along an axis.
    pub(super) fn without_last(&mut self, x: String, axis: usize, many: usize) -> String {
        let ends = [vec![0], vec![-(many as i64)], vec![axis as i64]].map(|list| self.whole(list));
        self.node("Slice", &[&[x][..], &ends].concat(), &[])
    }

    /// From the last to the first along an axis of so many.
    pub(super) fn turned(&mut self, x: &str, n: usize, axis: usize) -> String {
        let order = self.whole((0..n as i64).rev().collect());
        self.node("Gather", &[x.into(), order], &[proto::int("axis", axis as i64)])
    }

    pub(super) fn sliced(&mut self, x: String, axis: usize, start: usize, end: usize) -> String {
        let [start, end, axis] = [start, end, axis].map(|i| self.integer_list(&[i]));
        self.node("Slice", &[x, start, end, axis], &[])
    }

    fn summed(&mut self, x: String, axes: Vec<usize>, keep: bool) -> String {
        if axes.is_empty() {
            return x;
        }
        let axes = self.integer_list(&axes);
        self.node("ReduceSum", &[x, axes], &[proto::int("keepdims", i64::from(keep))])
    }

    /// The names of `outputs`, by those of values that are there already.
    pub(super) fn values(
        &mut self,
        pair: Pair<'_>,
        mut names: HashMap<Value, String>,
        outputs: &[Value],
    ) -> Result<Vec<String>> {
        let graph = pair.0;
        let mut needed = BTreeSet::new();
        let mut open: BTreeSet<Value> = outputs.iter().copied().collect();
        while let Some(v) = open.pop_last() {
            if !names.contains_key(&v) && needed.insert(v) {
                open.extend(operands(graph, v));
            }
        }
        for v in needed {
            let node = graph.node(v);
            self.label.clone_from(&node.label);
            // A result is named by its scan.
            if let Op::Result(_) = node.op {
                continue;
            }
            let of: Vec<String> = operands(graph, v).iter().map(|x| names[x].clone()).collect();
            if let Op::Scan(a) = &node.op {
                let Op::Scan(b) = &pair.1.node(v).op else { unreachable!("checked above") };
                let results = self.scan(v, pair, &a.0, &b.0, &of)?;
                names.extend(results);
                continue;
            }
            let name = self.value(pair, v, &of)?;
            names.insert(v, name);
        }
        Ok(outputs.iter().filter_map(|v| names.get(v).cloned()).collect())
    }

    /// What an operation gives of its operands.
    fn value(&mut self, pair: Pair<'_>, v: Value, of: &[String]) -> Result<String> {
        let graph = pair.0;
        let node = graph.node(v);
        let axes = pair.axes(v)?;
        let first = || of[0].clone();
        let operand = |i: usize| pair.axes(node.inputs[i]);
        Ok(match &node.op {
            Op::Const(Num(x)) => self.number(*x as f32),
            Op::Constants(list) => {
                let data = list.iter().map(|n| n.0 as f32).collect();
                let name = self.name("constants");
                self.constant(&name, &node.shape, data)
            }
            Op::Map(f) => self.map(*f, first()),
            Op::Zip(f) => match f {
                Binary::Add => self.node("Add", of, &[]),
                Binary::Sub => self.node("Sub", of, &[]),
                Binary::Mul => self.node("Mul", of, &[]),
                Binary::Div => self.node("Div", of, &[]),
                Binary::Max => self.node("Max", of, &[]),
                Binary::Less => self.comparison("Less", of),
                Binary::GreaterEq => self.comparison("GreaterOrEqual", of),
                Binary::Equal => self.comparison("Equal", of),
            },
            Op::Select => self.choice(of),
            Op::StopGradient => first(),
            Op::Expand => {
                let shape = self.shape(&axes, false);
                self.node("Expand", &[first(), shape], &[])
            }
            Op::Reshape => self.reshaped(first(), &axes),
            Op::Permute(order) => self.permuted(first(), order),
            Op::Slice { axis, start } => {
                let Axis::Fixed(len) = axes[*axis] else {
                    return Err(by_rows(graph, v, "takes other rows"));
                };
                self.sliced(first(), *axis, *start, start + len)
            }
            Op::Pad { axis, start } => {
                let (Axis::Fixed(whole), Axis::Fixed(len)) = (axes[*axis], operand(0)?[*axis]) else {
                    return Err(by_rows(graph, v, "has zeros beside rows"));
                };
                let rank = axes.len();
                let mut pads = vec![0; 2 * rank];
                pads[*axis] = *start;
                pads[rank + axis] = whole - start - len;
                let pads = self.integer_list(&pads);
                self.node("Pad", &[first(), pads], &[])
            }
            Op::Concat { axis } => self.node("Concat", of, &[proto::int("axis", *axis as i64)]),
            Op::MatMul { ta, tb } => {
                let mut sides = vec![];
                for (side, transposed) in [(0, *ta), (1, *tb)] {
                    let rank = operand(side)?.len();
                    let mut order: Vec<usize> = (0..rank).collect();
                    order.swap(rank - 2, rank - 1);
                    let x = of[side].clone();
                    sides.push(if transposed { self.permuted(x, &order) } else { x });
                }
                self.node("MatMul", &sides, &[])
            }
            Op::SumTo => {
                let from = operand(0)?;
                let missing = from.len() - axes.len();
                let kept: Vec<usize> =
                    (missing..from.len()).filter(|i| from[*i] != axes[i - missing]).collect();
                let kept = self.summed(first(), kept, true);
                self.summed(kept, (0..missing).collect(), false)
            }
            Op::LogSoftmax => self.node("LogSoftmax", of, &[proto::int("axis", -1)]),
            Op::CrossEntropy => {
                let logs = self.node("LogSoftmax", &of[..1], &[proto::int("axis", -1)]);
                let each = self.node("Mul", &[logs, of[1].clone()], &[]);
                let last = operand(0)?.len() - 1;
                let sum = self.summed(each, vec![last], false);
                self.node("Neg", &[sum], &[])
            }
            Op::Gather => {
                let rows = graph.shape(node.inputs[0])[0];
                let index = self.index(graph, node.inputs[1], rows)?;
                let rows = self.node("Gather", &[first(), index], &[proto::int("axis", 0)]);
                self.reshaped(rows, &axes)
            }
            Op::ScatterAdd => {
                let rows = node.shape[0];
                let index = self.known_index(graph, node.inputs[1], rows)?;
                // As a product with what is 1 where a row belongs.
                let mut belongs = vec![0.0; rows * index.len()];
                index.iter().enumerate().for_each(|(from, to)| belongs[to * index.len() + from] = 1.0);
                let name = self.name("rows");
                let belongs = self.constant(&name, &[rows, index.len()], belongs);
                let width = count(&node.shape) / rows;
                let flat = self.reshaped(first(), &[Axis::Fixed(index.len()), Axis::Fixed(width)]);
                let sum = self.node("MatMul", &[belongs, flat], &[]);
                self.reshaped(sum, &axes)
            }
            Op::Conv(conv, wrt) => self.conv(conv, *wrt, of, [operand(0)?, operand(1)?], &axes)?,
            Op::SpdSolve => self.solved(&node.shape, of),
            Op::SpdLogdet => {
                let n = operand(0)?.len();
                let shape = graph.shape(node.inputs[0]);
                let pivots = self.pivots(&shape[..n], &of[0]);
                let logs = self.node("Log", &[pivots], &[]);
                // Repetitions are the first axis; the last two are 1.
                self.summed(logs, vec![0, n - 1, n], false)
            }
            op => {
                return Err(Error::Shape(format!(
                    "'{}' ({}) has no counterpart in ONNX",
                    op.name(),
                    node.label
                )));
            }
        })
    }

    fn map(&mut self, f: Func, x: String) -> String {
        match f {
            Func::Act(Activation::Relu, 0) => self.node("Relu", &[x], &[]),
            Func::Affine(Num(a), Num(b)) => {
                let mut value = x;
                for (op, by, nothing) in [("Mul", a, 1.0), ("Add", b, 0.0)] {
                    if by != nothing {
                        let by = self.number(by as f32);
                        value = self.node(op, &[value, by], &[]);
                    }
                }
                value
            }
            Func::EightBits(Num(scale)) => {
                let (scale, zero) = (self.number(scale as f32), String::from(EIGHT_BITS_ZERO));
                let whole = self.node("QuantizeLinear", &[x, scale.clone(), zero.clone()], &[]);
                self.node("DequantizeLinear", &[whole, scale, zero], &[])
            }
            f => {
                let formula = of_one(f, "x");
                let value = self.formula(&formula, &[("x", x.clone())]);
                // A derivative that is the same everywhere still has the shape of its argument.
                match self.fixed.contains_key(&value) {
                    true => {
                        let nothing = self.number(0.0);
                        let zeros = self.node("Mul", &[x, nothing], &[]);
                        self.node("Add", &[zeros, value], &[])
                    }
                    false => value,
                }
            }
        }
    }

    /// The indices of an input that are known, within a table of so many rows.
    fn known_index(&self, graph: &Graph, index: Value, rows: usize) -> Result<Vec<usize>> {
        let known = match graph.node(index).op {
            Op::Input(k) => self.indices.get(&graph.inputs()[k].name),
            _ => None,
        };
        let known = known.ok_or_else(|| {
            Error::Shape("rows of a table are read by numbers that are none of the file's indices".into())
        })?;
        Ok(known.iter().map(|i| (*i as usize).min(rows - 1)).collect())
    }

    fn index(&mut self, graph: &Graph, index: Value, rows: usize) -> Result<String> {
        let known = self.known_index(graph, index, rows)?;
        Ok(self.whole(known.into_iter().map(|i| i as i64).collect()))
    }

    /// A repeated body as an ONNX `Scan`: the names of its results.
    fn scan(
        &mut self,
        v: Value,
        pair: Pair<'_>,
        a: &Scan,
        b: &Scan,
        of: &[String],
    ) -> Result<HashMap<Value, String>> {
        let results: Vec<(Value, usize)> = (pair.0.nodes().iter().enumerate())
            .filter(|(_, node)| node.inputs.first() == Some(&v))
            .filter_map(|(i, node)| match node.op {
                Op::Result(k) => Some((Value(i as u32), k)),
                _ => None,
            })
            .collect();
        let body = Pair::new(&a.body, &b.body)?;
        let fixed = a.carried + a.constants;
        // Values that do not change are read where they stand.
        let mut names = HashMap::new();
        let mut taken = vec![];
        for (k, input) in a.inputs.iter().enumerate() {
            let name = match k {
                k if k >= a.carried && k < fixed => of[k].clone(),
                k => {
                    let name = self.name(if k < a.carried { "carried" } else { "row" });
                    taken.push((name.clone(), body.axes(*input)?));
                    name
                }
            };
            names.insert(*input, name);
        }
        let mut rows: Vec<String> = of[fixed..].to_vec();
        let mut along: Vec<usize> = a.inputs[fixed..].iter().map(|v| row_axis(body.0.shape(*v))).collect();
        if rows.is_empty() {
            // A scan is as long as what it takes rows of.
            rows.push(self.constant(&format!("repetitions/{}", a.n), &[a.n], vec![0.0; a.n]));
            taken.push((self.name("repetition"), vec![]));
            along.push(0);
        }
        // The attributes of a scan that say so are passed over by some readers.
        if a.reverse {
            for (row, axis) in rows.iter_mut().zip(&along) {
                *row = self.turned(row, a.n, *axis);
            }
        }
        let label = self.begin();
        let outputs: Vec<Value> = a.outputs().collect();
        let made = self.values(body, names.clone(), &outputs)?;
        // A name stands for one output.
        let mut given = vec![];
        let mut given_axes = vec![];
        let mut give = |w: &mut Self, name: &str, of: Value| -> Result<()> {
            let to = w.name("next");
            w.named(name.into(), &to);
            given.push((to, body.axes(of)?));
            Ok(())
        };
        for (name, v) in made.iter().zip(&outputs).take(a.carried) {
            give(self, name, *v)?;
        }
        let mut stacks = vec![];
        for (result, k) in &results {
            let (name, of) = match a.outcome(*k) {
                Outcome::Last(_) => continue,
                Outcome::History(i) => (names[&a.inputs[i]].clone(), a.inputs[i]),
                Outcome::Given(i) => (made[i].clone(), outputs[i]),
            };
            give(self, &name, of)?;
            given_axes.push(row_axis(body.0.shape(of)));
            stacks.push(*result);
        }
        let nodes = self.end(label);
        let told = |list: &[(String, Vec<Axis>)], field: u64, graph: Message| {
            list.iter().fold(graph, |graph, (name, axes)| graph.message(field, &inner(name, axes)))
        };
        let graph = Message::default().messages(1, &nodes).text(2, "body");
        let graph = told(&given, 12, told(&taken, 11, graph));
        let mut attributes = vec![
            proto::graph("body", &graph),
            proto::int("num_scan_inputs", rows.len() as i64),
            proto::ints("scan_input_axes", along.iter().map(|axis| *axis as i64)),
        ];
        if !stacks.is_empty() {
            attributes.push(proto::ints("scan_output_axes", given_axes.iter().map(|axis| *axis as i64)));
        }
        let inputs = [&of[..a.carried], &rows[..]].concat();
        let last: Vec<String> = (0..a.carried).map(|_| self.name("last")).collect();
        let stacked: Vec<String> = stacks.iter().map(|_| self.name("stacked")).collect();
        self.push("Scan", &inputs, &[&last[..], &stacked].concat(), &attributes);
        let turned = |(name, axis): (&String, &usize)| match a.reverse {
            true => self.turned(name, a.n, *axis),
            false => name.clone(),
        };
        let stacked: Vec<String> = stacked.iter().zip(&given_axes).map(turned).collect();
        let ends = results.iter().filter_map(|(result, k)| match a.outcome(*k) {
            Outcome::Last(i) => Some((*result, last[i].clone())),
            _ => None,
        });
        Ok(ends.chain(stacks.iter().copied().zip(stacked.iter().cloned())).collect())
    }
}

/// `ValueInfoProto` of an input or output of the file; growing axes have names.
pub(super) fn described(name: &str, axes: &[Axis]) -> Message {
    info(name, axes, |times| match times {
        1 => Length::Named("rows".into()),
        _ => Length::Named(format!("{times}*rows")),
    })
}

/// The same of a body's. Names would stand for lengths of their own there, as some readers see it.
pub(super) fn inner(name: &str, axes: &[Axis]) -> Message {
    info(name, axes, |_| Length::Unknown)
}

fn info(name: &str, axes: &[Axis], growing: impl Fn(usize) -> Length) -> Message {
    let length = |axis: &Axis| match axis {
        Axis::Fixed(n) => Length::Fixed(*n),
        Axis::Rows(times) => growing(*times),
    };
    proto::value(name, &axes.iter().map(length).collect::<Vec<_>>())
}

/// The values that an operation reads. What broadcasts by itself is not spread out for it.
pub(super) fn operands(graph: &Graph, v: Value) -> Vec<Value> {
    let node = graph.node(v);
    let spread = |x: Value| match graph.node(x).op {
        Op::Expand => graph.node(x).inputs[0],
        _ => x,
    };
    match node.op {
        Op::Input(_) => vec![],
        Op::Gather | Op::ScatterAdd => vec![node.inputs[0]],
        Op::Zip(_) | Op::Select => {
            // One that has the result's shape stays, so that the result has it.
            let has_it = |x: &&Value| graph.shape(**x) == node.shape;
            let alone = |x: &&Value| has_it(x) && graph.node(**x).op != Op::Expand;
            let at = |found: &dyn Fn(&&Value) -> bool| node.inputs.iter().position(|x| found(&x));
            let whole = at(&alone).or_else(|| at(&has_it));
            let of = |(i, x): (usize, &Value)| if Some(i) == whole { *x } else { spread(*x) };
            match whole {
                Some(_) => node.inputs.iter().enumerate().map(of).collect(),
                None => node.inputs.clone(),
            }
        }
        _ => node.inputs.clone(),
    }
}

/// An array with its axes in another order.
fn permuted(shape: &[usize], data: &[f32], order: &[usize]) -> (Shape, Vec<f32>) {
    let to: Shape = order.iter().map(|i| shape[*i]).collect();
    let strides: Vec<usize> = (0..shape.len()).map(|i| count(&shape[i + 1..])).collect();
    let at = |mut i: usize| {
        let mut from = 0;
        for (axis, n) in order.iter().zip(&to).rev() {
            from += i % n * strides[*axis];
            i /= n;
        }
        data[from]
    };
    let values = (0..data.len()).map(at).collect();
    (to, values)
}
