//! From a graph to statements: which values stand somewhere, where, and the loops that fill them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::functions::{Definitions, number, of_one, of_two};
use super::index::{At, Index, axes_of, counted};
use super::language::{Array, Language};
use crate::error::{Error, Result};
use crate::graph::op::{Num, Op};
use crate::graph::scan::{Outcome, Scan};
use crate::graph::{Graph, Value};
use crate::meta::whole::COUNT;
use crate::spec::count;

/// A function: what a graph computes from its inputs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Function {
    /// Its name, behind that of the program.
    pub name: String,
    /// What it does, in the words of its parameters.
    pub about: String,
    /// What it computes: inputs and outputs are its parameters by their names, an input `weights` are those of the program, and an input [`COUNT`] is a whole number.
    pub(super) graph: Graph,
    /// Inputs that are known: rows of tables.
    pub(super) indices: BTreeMap<String, Vec<u32>>,
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parameter {
    pub(super) name: String,
    /// So many numbers.
    pub(super) len: usize,
    /// Whether it is written.
    pub(super) written: bool,
}

impl Parameter {
    /// Whether it is a whole number.
    pub(super) fn is_count(&self) -> bool {
        self.name == COUNT
    }
}

/// What the functions of a file share.
#[derive(Default)]
pub(super) struct Shared {
    /// Functions that are called.
    pub(super) definitions: Definitions,
    /// Constants of graphs, by their names.
    pub(super) tables: BTreeMap<String, Vec<f32>>,
}

/// A function as text.
pub(super) struct Written {
    /// Statements, a line each.
    pub(super) body: String,
    /// Numbers that the workspace needs.
    pub(super) workspace: usize,
}

impl Function {
    /// A function that gives the outputs of a graph.
    pub(super) fn new(name: &str, about: &str, graph: Graph) -> Function {
        Function { name: name.into(), about: about.into(), graph, indices: BTreeMap::new() }
    }

    /// What it is given, then what it writes.
    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let graph = &self.graph;
        let parameter = |name: &str, v: Value, written| Parameter {
            name: name.into(),
            len: count(graph.shape(v)),
            written,
        };
        let inputs = self.inputs().filter(|(_, name)| *name != WEIGHTS && !self.indices.contains_key(*name));
        let inputs = inputs.map(|(v, name)| parameter(name, v, false));
        inputs.chain(graph.outputs().iter().map(|(name, v)| parameter(name, *v, true))).collect()
    }

    /// Whether it reads the program's weights.
    pub(super) fn reads_weights(&self) -> bool {
        self.inputs().any(|(_, name)| name == WEIGHTS)
    }

    fn inputs(&self) -> impl Iterator<Item = (Value, &str)> {
        self.graph.nodes().iter().enumerate().filter_map(|(i, node)| match node.op {
            Op::Input(k) => Some((Value(i as u32), self.graph.inputs()[k].name.as_str())),
            _ => None,
        })
    }

    /// Its statements in a language; `prefix` begins all names.
    pub(super) fn write(
        &self,
        language: &dyn Language,
        prefix: &str,
        shared: &mut Shared,
    ) -> Result<Written> {
        let mut writer = Writer {
            language,
            prefix,
            lines: String::new(),
            depth: 1,
            names: 0,
            shared,
            indices: &self.indices,
            arena: Arena::default(),
        };
        let sources = self.inputs().map(|(v, name)| {
            let array = match name {
                WEIGHTS => Held::Weights,
                COUNT => Held::Count(name.into()),
                name => Held::Parameter(name.into()),
            };
            (v, Place { array, start: Index::zero() })
        });
        let mut block = Block::new(&self.graph, sources.collect());
        let outputs: Vec<Value> = self.graph.outputs().iter().map(|o| o.1).collect();
        writer.block(&mut block, &outputs)?;
        for (name, v) in self.graph.outputs() {
            let to = Place { array: Held::Parameter(name.clone()), start: Index::zero() };
            writer.copy(&mut block, *v, &to);
        }
        Ok(Written { body: writer.lines, workspace: writer.arena.most })
    }
}

/// The input that stands for the weights of the program.
const WEIGHTS: &str = "weights";

/// An array of the function.
#[derive(Clone, Debug, PartialEq)]
enum Held {
    Parameter(String),
    Count(String),
    Weights,
    Table(String),
    Workspace,
}

/// Where a value stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    array: Held,
    start: Index,
}

/// A graph that is being written: the function's, or the body of a scan.
pub(super) struct Block<'g> {
    pub(super) graph: &'g Graph,
    places: HashMap<Value, Place>,
    /// Values that stand nowhere: they are worked out where they are read.
    inline: Vec<bool>,
}

impl<'g> Block<'g> {
    fn new(graph: &'g Graph, places: HashMap<Value, Place>) -> Block<'g> {
        Block { graph, places, inline: inlined(graph) }
    }

    /// The values that stand somewhere and are read to work out `v`.
    fn read(&self, v: Value, found: &mut BTreeSet<Value>) {
        if self.places.contains_key(&v) || !self.inline[v.index()] {
            found.insert(v);
        } else {
            self.graph.node(v).inputs.iter().for_each(|x| self.read(*x, found));
        }
    }
}

/// Which values are worked out where they are read: views, and pointwise functions that are read once.
fn inlined(graph: &Graph) -> Vec<bool> {
    let n = graph.nodes().len();
    let (mut uses, mut again) = (vec![0; n], vec![false; n]);
    graph.outputs().iter().for_each(|(_, v)| uses[v.index()] += 1);
    let mut inline = vec![false; n];
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        let view = matches!(
            node.op,
            Op::Const(_)
                | Op::Constants(_)
                | Op::Input(_)
                | Op::Reshape
                | Op::Permute(_)
                | Op::Slice { .. }
                | Op::Expand
                | Op::StopGradient
        );
        let pointwise = matches!(node.op, Op::Map(_) | Op::Zip(_) | Op::Select);
        inline[i] = view || (pointwise && uses[i] <= 1 && !again[i]);
        for x in &node.inputs {
            uses[x.index()] += if inline[i] { uses[i].max(1) } else { 1 };
            let broadcast = count(&graph.node(*x).shape) < count(&node.shape);
            let once = matches!(node.op, Op::SumTo | Op::Concat { .. } | Op::Pad { .. })
                || ((view || pointwise) && !broadcast);
            if !once || (inline[i] && again[i]) {
                again[x.index()] = true;
            }
        }
    }
    inline
}

/// Room for values, taken again when they are not needed any more.
#[derive(Default)]
struct Arena {
    free: Vec<(usize, usize)>,
    end: usize,
    most: usize,
}

impl Arena {
    fn take(&mut self, len: usize) -> usize {
        if let Some(i) = self.free.iter().position(|(_, room)| *room >= len) {
            let (start, room) = self.free[i];
            match room - len {
                0 => drop(self.free.remove(i)),
                rest => self.free[i] = (start + len, rest),
            }
            return start;
        }
        let start = self.end;
        self.end += len;
        self.most = self.most.max(self.end);
        start
    }

    fn give_back(&mut self, start: usize, len: usize) {
        let at = self.free.partition_point(|f| f.0 < start);
        self.free.insert(at, (start, len));
        if at + 1 < self.free.len() && start + len == self.free[at + 1].0 {
            self.free[at].1 += self.free.remove(at + 1).1;
        }
        if at > 0 && self.free[at - 1].0 + self.free[at - 1].1 == self.free[at].0 {
            self.free[at - 1].1 += self.free.remove(at).1;
        }
    }
}

pub(super) struct Writer<'a> {
    language: &'a dyn Language,
    prefix: &'a str,
    lines: String,
    depth: usize,
    names: usize,
    shared: &'a mut Shared,
    pub(super) indices: &'a BTreeMap<String, Vec<u32>>,
    arena: Arena,
}

impl Writer<'_> {
    fn line(&mut self, text: &str) {
        self.lines.push_str(&"    ".repeat(self.depth));
        self.lines.push_str(text);
        self.lines.push('\n');
    }

    pub(super) fn name(&mut self, start: &str) -> String {
        self.names += 1;
        format!("{start}{}", self.names)
    }

    /// A loop from 0 to n around what `inside` writes; none where it would be run once.
    pub(super) fn looped(
        &mut self,
        n: usize,
        inside: impl FnOnce(&mut Self, Index) -> Result<()>,
    ) -> Result<()> {
        if n == 1 {
            return inside(self, Index::zero());
        }
        let i = self.name("i");
        let before = std::mem::take(&mut self.lines);
        self.depth += 1;
        inside(self, Index::of(i.clone()))?;
        self.depth -= 1;
        let body = std::mem::replace(&mut self.lines, before);
        let innermost = !body.contains(" {\n");
        let head = self.language.loop_over(&i, n, innermost);
        self.line(&head);
        self.lines.push_str(&body);
        self.line("}");
        Ok(())
    }

    /// A loop from one bound to before another around what `inside` writes.
    pub(super) fn between(
        &mut self,
        from: &Index,
        to: &Index,
        inside: impl FnOnce(&mut Self, Index) -> Result<()>,
    ) -> Result<()> {
        let i = self.name("i");
        let head = self.language.loop_between(&i, &from.text(), &to.text());
        self.line(&head);
        self.depth += 1;
        inside(self, Index::of(i))?;
        self.depth -= 1;
        self.line("}");
        Ok(())
    }

    /// Loops over all axes.
    pub(super) fn over(
        &mut self,
        shape: &[usize],
        at: Vec<Index>,
        inside: &mut dyn FnMut(&mut Self, &[Index]) -> Result<()>,
    ) -> Result<()> {
        match shape.get(at.len()) {
            None => inside(self, &at),
            Some(&n) => self.looped(n, |w, i| {
                let mut next = at.clone();
                next.push(i);
                w.over(shape, next, inside)
            }),
        }
    }

    /// A statement whose value is a formula.
    pub(super) fn set(&mut self, to: &str, formula: &str) {
        let value = self.shared.definitions.write(self.language, self.prefix, formula);
        self.line(&format!("{to} = {value};"));
    }

    pub(super) fn add(&mut self, to: &str, formula: &str) {
        let value = self.shared.definitions.write(self.language, self.prefix, formula);
        self.line(&format!("{to} += {value};"));
    }

    pub(super) fn variable(&mut self, name: &str, formula: &str) {
        let value = self.shared.definitions.write(self.language, self.prefix, formula);
        let line = self.language.variable(name, &value);
        self.line(&line);
    }

    /// A block in braces where a condition holds.
    pub(super) fn when(
        &mut self,
        condition: &str,
        inside: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        if condition.is_empty() {
            return inside(self);
        }
        self.line(&format!("if ({condition}) {{"));
        self.depth += 1;
        inside(self)?;
        self.depth -= 1;
        self.line("}");
        Ok(())
    }

    pub(super) fn place(&self, place: &Place, index: Index) -> String {
        let array = match &place.array {
            Held::Parameter(name) => Array::Parameter(name),
            Held::Count(name) => Array::Count(name),
            Held::Weights => Array::Weights,
            Held::Table(name) => Array::Table(name),
            Held::Workspace => Array::Workspace,
        };
        self.language.element(self.prefix, array, &index.plus(&place.start).text())
    }

    /// The element of a value, as a formula.
    pub(super) fn element(&mut self, b: &Block<'_>, v: Value, at: &At) -> String {
        let node = b.graph.node(v);
        if let Some(place) = b.places.get(&v) {
            return self.place(place, counted(&node.shape, at));
        }
        let x = |i: usize| node.inputs[i];
        let of = |w: &mut Self, i: usize, at: &At| w.element(b, x(i), at);
        // What is read of a smaller operand, which is repeated.
        let spread = |i: usize| -> At {
            let mine = &b.graph.node(x(i)).shape;
            if *mine == node.shape {
                return at.clone();
            }
            let axes = axes_of(&node.shape, at);
            let missing = axes.len() - mine.len();
            let of_axis =
                |(k, n): (usize, &usize)| if *n == 1 { Index::zero() } else { axes[k + missing].clone() };
            At::Axes(mine.iter().enumerate().map(of_axis).collect())
        };
        match &node.op {
            Op::Const(Num(c)) => number(*c),
            Op::Constants(values) => {
                let values: Vec<f32> = values.iter().map(|n| n.0 as f32).collect();
                let tables = &mut self.shared.tables;
                let known = tables.iter().find(|(_, known)| **known == values).map(|(name, _)| name.clone());
                let name = known.unwrap_or_else(|| {
                    let name = format!("c{}", tables.len());
                    tables.insert(name.clone(), values);
                    name
                });
                let place = Place { array: Held::Table(name), start: Index::zero() };
                self.place(&place, counted(&node.shape, at))
            }
            Op::Map(f) => {
                let inner = of(self, 0, at);
                of_one(*f, &inner)
            }
            Op::Zip(f) => {
                let (p, q) = (of(self, 0, &spread(0)), of(self, 1, &spread(1)));
                of_two(*f, &p, &q)
            }
            Op::Select => {
                let [c, p, q] = [0, 1, 2].map(|i| of(self, i, &spread(i)));
                format!("choose({c}, {p}, {q})")
            }
            Op::Expand => of(self, 0, &spread(0)),
            Op::StopGradient => of(self, 0, at),
            Op::Reshape => {
                let counted = counted(&node.shape, at);
                of(self, 0, &At::Counted(counted))
            }
            Op::Permute(order) => {
                let axes = axes_of(&node.shape, at);
                let mut inner = vec![Index::zero(); axes.len()];
                order.iter().zip(axes).for_each(|(to, index)| inner[*to] = index);
                of(self, 0, &At::Axes(inner))
            }
            Op::Slice { axis, start } => {
                let mut axes = axes_of(&node.shape, at);
                axes[*axis].known += start;
                of(self, 0, &At::Axes(axes))
            }
            op => unreachable!("{} stands somewhere", op.name()),
        }
    }

    /// Writes all elements of a value to a place.
    pub(super) fn copy(&mut self, b: &mut Block<'_>, v: Value, to: &Place) {
        let shape = b.graph.shape(v).to_vec();
        let written = match counts(b, v) {
            true => self.looped(count(&shape), |w, i| {
                let (to, formula) = (w.place(to, i.clone()), w.element(b, v, &At::Counted(i)));
                w.set(&to, &formula);
                Ok(())
            }),
            false => self.over(&shape, vec![], &mut |w, at| {
                let at = At::Axes(at.to_vec());
                let (to, formula) = (w.place(to, counted(&shape, &at)), w.element(b, v, &at));
                w.set(&to, &formula);
                Ok(())
            }),
        };
        debug_assert!(written.is_ok(), "copying refuses nothing");
    }

    /// Writes so many elements from one place to another.
    fn move_to(&mut self, from: &Place, to: &Place, len: usize) -> Result<()> {
        self.looped(len, |w, i| {
            let (to, from) = (w.place(to, i.clone()), w.place(from, i));
            w.set(&to, &from);
            Ok(())
        })
    }

    /// Gives room back.
    pub(super) fn returned(&mut self, place: &Place, len: usize) {
        self.arena.give_back(place.start.known, len);
    }

    /// Room for a value.
    pub(super) fn room(&mut self, len: usize) -> Place {
        Place { array: Held::Workspace, start: Index::zero().shifted(self.arena.take(len)) }
    }

    /// All statements that the outputs need.
    fn block(&mut self, b: &mut Block<'_>, outputs: &[Value]) -> Result<()> {
        // From the outputs back: what has to stand somewhere, and who reads it last.
        let mut needed: BTreeSet<Value> = BTreeSet::new();
        let mut last: BTreeMap<Value, Value> = BTreeMap::new();
        let mut open = BTreeSet::new();
        outputs.iter().for_each(|v| b.read(*v, &mut open));
        let kept = open.clone();
        while let Some(v) = open.pop_last() {
            if b.places.contains_key(&v) || !needed.insert(v) {
                continue;
            }
            let mut reads = BTreeSet::new();
            b.graph.node(v).inputs.iter().for_each(|x| b.read(*x, &mut reads));
            for x in reads {
                let at = last.entry(x).or_insert(v);
                *at = (*at).max(v);
                open.insert(x);
            }
        }
        // Results of a scan are filled by it, and stand from then on.
        let of_scan = |v: Value| {
            let node = b.graph.node(v);
            match (&node.op, node.inputs.first()) {
                (Op::Result(i), Some(scan)) => Some((*scan, *i)),
                _ => None,
            }
        };
        let results: Vec<(Value, Value, usize)> =
            needed.iter().filter_map(|v| of_scan(*v).map(|(scan, i)| (*v, scan, i))).collect();
        let before: BTreeSet<Value> = b.places.keys().copied().collect();
        for v in needed.iter().copied().collect::<Vec<_>>() {
            let node = b.graph.node(v);
            match &node.op {
                Op::Result(_) => {}
                Op::Scan(scan) => {
                    let mine: Vec<(Value, usize)> =
                        results.iter().filter(|r| r.1 == v).map(|r| (r.0, r.2)).collect();
                    for (result, _) in &mine {
                        let place = self.room(count(b.graph.shape(*result)));
                        b.places.insert(*result, place);
                    }
                    self.scan(b, v, &scan.0.clone(), &mine)?;
                }
                _ => {
                    let place = self.room(count(&node.shape));
                    self.statement(b, v, &place)?;
                    b.places.insert(v, place);
                }
            }
            let done: Vec<Value> = last
                .iter()
                .filter(|(x, by)| **by == v && !kept.contains(x) && !before.contains(x))
                .map(|(x, _)| *x)
                .collect();
            for x in done {
                if let Some(Place { array: Held::Workspace, start }) = b.places.get(&x)
                    && start.is_known()
                {
                    self.arena.give_back(start.known, count(b.graph.shape(x)));
                }
            }
        }
        Ok(())
    }

    /// Zeros.
    pub(super) fn fill(&mut self, to: &Place, len: usize) -> Result<()> {
        self.looped(len, |w, i| {
            let to = w.place(to, i);
            w.set(&to, "0.0");
            Ok(())
        })
    }

    /// A repeated body.
    fn scan(&mut self, b: &mut Block<'_>, v: Value, scan: &Scan, results: &[(Value, usize)]) -> Result<()> {
        let operands = b.graph.node(v).inputs.clone();
        // Values of the body's inputs: carried ones have room of their own, all others stand where they stood.
        let mut places = HashMap::new();
        let mut rooms = vec![];
        let mut carried = vec![];
        for (k, operand) in operands.iter().enumerate() {
            let len = count(b.graph.shape(*operand));
            let place = match b.places.get(operand) {
                Some(place) if k >= scan.carried => place.clone(),
                _ => {
                    let place = self.room(len);
                    self.copy(b, *operand, &place);
                    rooms.push((place.start.known, len));
                    place
                }
            };
            if k < scan.carried {
                carried.push(place.clone());
            }
            places.insert(scan.inputs[k], place);
        }
        let outputs: Vec<Value> = scan.outputs().collect();
        let n = scan.n;
        self.looped(n, |w, i| {
            let at = match scan.reverse {
                true if n > 1 => Index::of(format!("({} - {})", n - 1, i.text())),
                _ => i,
            };
            // Rows of this repetition, in stacks whose first axis is the task's.
            let row_of = |place: &Place, shape: &[usize]| Place {
                start: place.start.clone().plus(&at.times(count(shape))),
                ..place.clone()
            };
            for input in &scan.inputs[scan.carried + scan.constants..] {
                let shape = scan.body.shape(*input).to_vec();
                alone(&shape)?;
                if let Some(place) = places.get_mut(input) {
                    *place = row_of(place, &shape);
                }
            }
            for (result, i) in results {
                if let Outcome::History(k) = scan.outcome(*i)
                    && let Some(place) = b.places.get(result)
                {
                    let shape = scan.body.shape(scan.inputs[k]).to_vec();
                    alone(&shape)?;
                    w.move_to(&carried[k], &row_of(place, &shape), count(&shape))?;
                }
            }
            let mut body = Block::new(&scan.body, places.clone());
            let (free, end) = (w.arena.free.clone(), w.arena.end);
            w.block(&mut body, &outputs)?;
            for (result, i) in results {
                if let Outcome::Given(k) = scan.outcome(*i)
                    && let Some(place) = b.places.get(result).cloned()
                {
                    let shape = scan.body.shape(outputs[k]).to_vec();
                    alone(&shape)?;
                    w.copy(&mut body, outputs[k], &row_of(&place, &shape));
                }
            }
            // Carried values may be made of one another: all are there before one is replaced.
            let next: Vec<Place> = (0..scan.carried)
                .map(|k| {
                    let place = w.room(count(scan.body.shape(outputs[k])));
                    w.copy(&mut body, outputs[k], &place);
                    place
                })
                .collect();
            for ((from, to), v) in next.iter().zip(&carried).zip(&outputs) {
                w.move_to(from, to, count(scan.body.shape(*v)))?;
            }
            // What the body needed is free again.
            w.arena.free = free;
            if w.arena.end > end {
                w.arena.give_back(end, w.arena.end - end);
            }
            Ok(())
        })?;
        for (result, i) in results {
            if let Outcome::Last(k) = scan.outcome(*i)
                && let Some(place) = b.places.get(result).cloned()
            {
                self.move_to(&carried[k], &place, count(b.graph.shape(*result)))?;
            }
        }
        rooms.into_iter().for_each(|(start, len)| self.arena.give_back(start, len));
        Ok(())
    }
}

/// Refuses rows of several tasks, which would not lie side by side in their stack.
fn alone(row: &[usize]) -> Result<()> {
    match row.first() {
        None | Some(1) => Ok(()),
        Some(tasks) => {
            Err(Error::Shape(format!("functions are of one task, and a loop has rows of {tasks}")))
        }
    }
}

/// Whether a value's elements can be read in the order in which they are counted, without a way back from there to axes.
fn counts(b: &Block<'_>, v: Value) -> bool {
    if b.places.contains_key(&v) {
        return true;
    }
    let node = b.graph.node(v);
    let same = |x: &Value| {
        let shape = &b.graph.node(*x).shape;
        count(shape) == 1 || (*shape == node.shape && counts(b, *x))
    };
    match node.op {
        Op::Const(_) | Op::Constants(_) => true,
        Op::Map(_) | Op::Zip(_) | Op::Select | Op::Expand | Op::StopGradient => node.inputs.iter().all(same),
        Op::Reshape => counts(b, node.inputs[0]),
        Op::Slice { .. } => node.shape.len() == 1 && counts(b, node.inputs[0]),
        _ => false,
    }
}
