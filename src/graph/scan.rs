//! Repetition: a body that is run `n` times over carried values, K steps of inner learning for example. The gradient of
//! a scan is a scan in reverse over the carried values as they were on the way out. Results of products and the like are
//! kept, too, where a task has room for them; what else the body computed is computed again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::late::Late;
use super::op::{Dist, Func, Op, ScanRef};
use super::{Graph, Input, Node, Role, Value};
use crate::spec::{Activation, DType, Shape, count};

/// A repeated body.
#[derive(Clone, Debug)]
pub struct Scan {
    /// One repetition. Its outputs are the carried values for the next one, then the rows it gives.
    pub body: Graph,
    /// The body's inputs, in the order of the scan's operands: carried values, constants, rows.
    pub inputs: Vec<Value>,
    /// Number of repetitions.
    pub n: usize,
    /// Whether rows are taken and given from the last to the first.
    pub reverse: bool,
    /// Number of carried values.
    pub carried: usize,
    /// Number of constants: operands that are the same in every repetition.
    pub constants: usize,
}

/// Scans that may lie in one another where they stay loops; those that lie deeper are written out.
pub(crate) const DEEPEST: usize = 3;

/// The stream that keys of repetitions are drawn from.
const REPETITIONS: u32 = 0x5ca7;

/// Axis along which rows of different repetitions lie: the second, after that of the tasks.
pub fn row_axis(row: &[usize]) -> usize {
    row.len().min(1)
}

/// Shape of `n` rows.
fn stacked(row: &[usize], n: usize) -> Shape {
    let mut shape = row.to_vec();
    shape.insert(row_axis(row), n);
    shape
}

/// Shape of one of the rows, and their number.
fn row_of(stack: &[usize]) -> (Shape, usize) {
    let axis = stack.len().min(2) - 1;
    let mut row = stack.to_vec();
    let n = row.remove(axis);
    (row, n)
}

/// What a result of a scan is, by its number in [`Op::Result`]. What is given comes last: more can be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The carried value of that number after the last repetition.
    Last(usize),
    /// The carried value of that number as every repetition got it.
    History(usize),
    /// The body's output of that number, of every repetition.
    Given(usize),
}

impl Scan {
    /// The body's outputs as values.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = Value> + '_ {
        self.body.outputs().iter().map(|(_, v)| *v)
    }

    /// What result `i` is.
    pub(crate) fn outcome(&self, i: usize) -> Outcome {
        match i.checked_sub(self.carried) {
            None => Outcome::Last(i),
            Some(i) if i < self.carried => Outcome::History(i),
            Some(i) => Outcome::Given(i),
        }
    }

    /// The number of a result.
    fn number(&self, of: Outcome) -> usize {
        match of {
            Outcome::Last(i) => i,
            Outcome::History(i) | Outcome::Given(i) => i + self.carried,
        }
    }

    /// The value of the body that a result is made of.
    fn source(&self, of: Outcome) -> Value {
        match of {
            Outcome::History(i) => self.inputs[i],
            Outcome::Last(i) | Outcome::Given(i) => self.body.outputs()[i].1,
        }
    }
}

/// What the body of [`Graph::scan`] is given: values of the body's graph.
#[derive(Debug)]
pub struct ScanArgs<'v> {
    /// Carried values.
    pub carried: &'v [Value],
    /// Constants.
    pub constants: &'v [Value],
    /// This repetition's rows.
    pub rows: &'v [Value],
}

impl Graph {
    /// Repeats `body` `n` times. It gets the carried values (at first `carried`), `constants`, and this
    /// repetition's row of each of `rows` (stacked along the second axis: `[T, n, ..]`); it returns the
    /// carried values for the next repetition, in the same shapes, and rows of its own. The results are the final carried
    /// values and the stacked rows. A key of random numbers (u32 `[2]`) among the constants is another one in each repetition.
    ///
    /// # Panics
    /// When shapes differ from repetition to repetition, `rows` have not `n` rows, or a key is used for anything but random numbers.
    #[track_caller]
    pub fn scan(
        &mut self,
        n: usize,
        carried: &[Value],
        constants: &[Value],
        rows: &[Value],
        body: impl FnOnce(&mut Graph, ScanArgs<'_>) -> (Vec<Value>, Vec<Value>),
    ) -> (Vec<Value>, Vec<Value>) {
        self.scan_in(false, n, carried, constants, rows, body)
    }

    /// [`Graph::scan`], or the same with rows taken, and given, from the last to the first.
    #[track_caller]
    pub fn scan_in(
        &mut self,
        reverse: bool,
        n: usize,
        carried: &[Value],
        constants: &[Value],
        rows: &[Value],
        body: impl FnOnce(&mut Graph, ScanArgs<'_>) -> (Vec<Value>, Vec<Value>),
    ) -> (Vec<Value>, Vec<Value>) {
        if n == 0 {
            self.fail("scan", &[], "there is no scan of 0 repetitions");
        }
        let mut inner = Graph { scope: vec![self.label()], keep: self.keep, ..Graph::new() };
        inner.scope.retain(|s| !s.is_empty());
        // Keys are drawn for all repetitions at once, and come as rows.
        let is_key = |g: &Graph, v: Value| g.node(v).dtype == DType::U32 && g.shape(v) == [2];
        let places: Vec<bool> = constants.iter().map(|v| is_key(self, *v)).collect();
        let keys: Vec<Value> = constants
            .iter()
            .zip(&places)
            .filter(|(_, key)| **key)
            .map(|(v, _)| self.random(Dist::Bits, *v, REPETITIONS, &[2, n]))
            .collect();
        let fixed: Vec<Value> =
            constants.iter().zip(&places).filter(|(_, key)| !**key).map(|(v, _)| *v).collect();
        let (constants, rows) = (&fixed[..], &[rows, &keys[..]].concat()[..]);
        let mut inputs = Vec::new();
        let mut declare = |g: &Graph, inner: &mut Graph, kind: &str, v: Value, shape: Shape| {
            let name = format!("{kind} {}", inputs.len());
            inputs.push(inner.input(&name, Role::Data, &shape, g.node(v).dtype));
        };
        for &v in carried {
            declare(self, &mut inner, "carried", v, self.shape(v).to_vec());
        }
        for &v in constants {
            declare(self, &mut inner, "constant", v, self.shape(v).to_vec());
        }
        for &v in rows {
            let (row, length) = if self.shape(v).is_empty() { (vec![], 0) } else { row_of(self.shape(v)) };
            if length != n {
                self.fail("scan", &[self.shape(v)], &format!("rows of {n} repetitions are [T, {n}, ..]"));
            }
            declare(self, &mut inner, "row", v, row);
        }
        let (first, rest) = inputs.split_at(carried.len());
        let (second, third) = rest.split_at(constants.len());
        let (third, own) = third.split_at(third.len() - keys.len());
        let (mut fixed, mut drawn) = (second.iter(), own.iter());
        let second: Vec<Value> =
            places.iter().filter_map(|key| if *key { drawn.next() } else { fixed.next() }).copied().collect();
        let (next, given) = body(&mut inner, ScanArgs { carried: first, constants: &second, rows: third });
        // Of another scan in it a key is drawn from, too.
        let draws = |n: &Node| matches!(n.op, Op::Random { .. });
        if inner.nodes.iter().any(|n| !draws(n) && n.inputs.iter().any(|x| own.contains(x))) {
            self.fail(
                "scan",
                &[&[2]],
                "u32 [2] among the constants is a key of random numbers, and nothing else",
            );
        }
        let fits = next.len() == carried.len()
            && next.iter().zip(carried).all(|(a, b)| inner.shape(*a) == self.shape(*b));
        if !fits {
            let shapes: Vec<&[usize]> =
                carried.iter().map(|v| self.shape(*v)).chain(next.iter().map(|v| inner.shape(*v))).collect();
            self.fail("scan", &shapes, "the body must return each carried value in the shape it came in");
        }
        for (i, v) in next.iter().enumerate() {
            inner.output(&format!("next {i}"), *v);
        }
        for (i, v) in given.iter().enumerate() {
            inner.output(&format!("given {i}"), *v);
        }
        let scan =
            Scan { body: inner, inputs, n, reverse, carried: carried.len(), constants: constants.len() };
        let operands = [carried, constants, rows].concat();
        let given = given.len();
        let v = self.push_scan(scan, &operands);
        let finals = (0..carried.len()).map(|i| self.scan_result(v, Outcome::Last(i))).collect();
        let given = (0..given).map(|i| self.scan_result(v, Outcome::Given(carried.len() + i))).collect();
        (finals, given)
    }

    fn push_scan(&mut self, scan: Scan, operands: &[Value]) -> Value {
        // Results have shapes of their own; the scan as such has none.
        self.push(Op::Scan(ScanRef(Arc::new(scan))), operands, vec![], DType::F32)
    }

    /// A result of the scan `v`.
    fn scan_result(&mut self, v: Value, of: Outcome) -> Value {
        let Op::Scan(ScanRef(scan)) = self.node(v).op.clone() else { panic!("only a scan has results") };
        let node = scan.body.node(scan.source(of));
        let shape = match of {
            Outcome::Last(_) => node.shape.clone(),
            Outcome::History(_) | Outcome::Given(_) => stacked(&node.shape, scan.n),
        };
        self.push(Op::Result(scan.number(of)), &[v], shape, node.dtype)
    }

    /// The gradient of a scan: sends cotangents of its results (`back`, by their numbers) to its operands. Those of
    /// operands that `wants` does not name are not computed.
    #[track_caller]
    pub(super) fn scan_back(
        &mut self,
        v: Value,
        back: &BTreeMap<usize, Value>,
        wants: &[bool],
    ) -> Vec<(usize, Value)> {
        let Op::Scan(ScanRef(scan)) = self.node(v).op.clone() else { return vec![] };
        let operands = self.node(v).inputs.clone();
        let (carried, constants) = (scan.carried, scan.constants);
        let active = scan.active(wants);
        let with: Vec<usize> = (0..carried).filter(|&i| active.contains(&scan.inputs[i])).collect();
        let sums: Vec<usize> = (carried..carried + constants).filter(|&i| wants[i]).collect();
        let rows: Vec<usize> = (carried + constants..operands.len()).filter(|&i| wants[i]).collect();

        // The body of the way back starts as the body of the way out.
        let mut body = scan.body.clone();
        body.outputs.clear();
        body.scope = vec![self.label()];
        let input = |body: &mut Graph, kind: &str, shape: &[usize]| {
            body.input(&format!("{kind} {}", body.inputs.len()), Role::Data, shape, DType::F32)
        };
        let outputs: Vec<Value> = scan.outputs().collect();
        let of = |i: usize| scan.inputs[i];
        let cotangents: Vec<Value> =
            with.iter().map(|&i| input(&mut body, "cotangent", scan.body.shape(of(i)))).collect();
        // Cotangents of given rows and of histories come in as rows.
        let mut extra: Vec<(Outcome, Value, Value)> = Vec::new();
        for (&i, &cotangent) in back {
            let what = scan.outcome(i);
            if !matches!(what, Outcome::Last(_)) {
                let row = input(&mut body, "cotangent", scan.body.shape(scan.source(what)));
                extra.push((what, row, cotangent));
            }
        }
        let mut seeds: Vec<(Value, Value)> =
            with.iter().zip(&cotangents).map(|(&i, &c)| (outputs[i], c)).collect();
        seeds.extend(extra.iter().filter_map(|&(what, row, _)| match what {
            Outcome::Given(i) => Some((outputs[i], row)),
            _ => None,
        }));
        let wrt: Vec<Value> = with.iter().chain(&sums).chain(&rows).map(|&i| of(i)).collect();
        let mut grads = body.vjp(&seeds, &wrt);
        let given_back = grads.split_off(with.len() + sums.len());
        let sums_back = grads.split_off(with.len());
        for &(what, g, _) in &extra {
            if let Some(k) = with.iter().position(|&w| what == Outcome::History(w)) {
                grads[k] = body.add(grads[k], g);
            }
        }
        for (k, g) in grads.iter().enumerate() {
            body.output(&format!("next {k}"), *g);
        }
        // What a constant gets is added up from repetition to repetition, or taken at once from rows of all of them.
        let mut late: Vec<(usize, Late)> = Vec::new();
        let (mut totals, mut added) = (Vec::new(), Vec::new());
        let found = scan.late(&body, &sums_back);
        for ((&i, &g), found) in sums.iter().zip(&sums_back).zip(found) {
            match found {
                Some(found) => late.push((i, found)),
                None => {
                    let total = input(&mut body, "sum", scan.body.shape(of(i)));
                    totals.push(total);
                    added.push(i);
                    let sum = body.add(total, g);
                    body.output(&format!("sum {i}"), sum);
                }
            }
        }
        let sums = added;
        for (k, g) in given_back.iter().enumerate() {
            body.output(&format!("given {k}"), *g);
        }
        let mut parts: Vec<Value> = late.iter().flat_map(|(_, l)| l.parts()).collect();
        parts.sort_unstable();
        parts.dedup();
        let mut given: Vec<Value> = body.outputs[with.len() + sums.len()..].iter().map(|(_, v)| *v).collect();
        body.scope.clear();
        let kept = scan.worth_keeping(&body, self.keep);
        let kept_rows = self.give(v, &mut body, &kept);
        // A row that the way back makes itself is given by it.
        for &part in &parts {
            if !matches!(body.node(part).op, Op::Input(_)) && !given.contains(&part) {
                body.output(&format!("part {}", part.index()), part);
                given.push(part);
            }
        }

        // Operands of the way back: cotangents and sums; the constants; histories, rows and their cotangents.
        let mut inputs = [cotangents, totals].concat();
        let mut values = Vec::new();
        for &i in &with {
            let shape = self.shape(operands[i]).to_vec();
            values.push(back.get(&i).copied().unwrap_or_else(|| self.zeros(&shape)));
        }
        for &i in &sums {
            let shape = self.shape(operands[i]).to_vec();
            values.push(self.zeros(&shape));
        }
        inputs.extend(&scan.inputs[carried..carried + constants]);
        values.extend(&operands[carried..carried + constants]);
        for i in 0..carried {
            inputs.push(of(i));
            values.push(self.scan_result(v, Outcome::History(i)));
        }
        inputs.extend(&scan.inputs[carried + constants..]);
        values.extend(&operands[carried + constants..]);
        for (_, row, cotangent) in extra {
            inputs.push(row);
            values.push(cotangent);
        }
        inputs.extend(kept);
        values.extend(kept_rows);
        let ends = with.len() + sums.len();
        let reverse = Scan {
            body,
            inputs: inputs.clone(),
            n: scan.n,
            reverse: !scan.reverse,
            carried: ends,
            constants,
        };
        let r = self.push_scan(reverse, &values);
        let outcome = |k: usize| if k < ends { Outcome::Last(k) } else { Outcome::Given(k) };
        let targets = with.iter().chain(&sums).chain(&rows).copied().enumerate();
        let mut back: Vec<(usize, Value)> =
            targets.map(|(k, i)| (i, self.scan_result(r, outcome(k)))).filter(|(i, _)| wants[*i]).collect();
        let stacks: HashMap<Value, Value> = (parts.into_iter())
            .map(|part| {
                let stack = match inputs.iter().position(|v| *v == part) {
                    Some(i) if i < ends => self.scan_result(r, Outcome::History(i)),
                    Some(i) => values[i],
                    None => {
                        let k = given.iter().position(|v| *v == part).expect("it was given above");
                        self.scan_result(r, Outcome::Given(ends + k))
                    }
                };
                (part, stack)
            })
            .collect();
        for (i, late) in late {
            let shape = self.shape(operands[i]).to_vec();
            back.push((i, self.take_late(&late, &stacks, &shape)));
        }
        back
    }

    /// Has the scan `v` give those values of its body, and the way back `body` read them; returns the stacks of rows.
    fn give(&mut self, v: Value, body: &mut Graph, kept: &[Value]) -> Vec<Value> {
        if kept.is_empty() {
            return vec![];
        }
        let Op::Scan(ScanRef(scan)) = self.node(v).op.clone() else { panic!("only a scan keeps rows") };
        let mut scan = Scan::clone(&scan);
        let mut numbers = Vec::new();
        for &x in kept {
            let given = scan.outputs().skip(scan.carried).position(|o| o == x);
            numbers.push(given.map_or_else(|| scan.outputs().count(), |i| scan.carried + i));
            if given.is_none() {
                scan.body.output(&format!("kept {}", x.index()), x);
            }
            body.inputs.push(Input { name: format!("kept {}", x.index()), role: Role::Data });
            let input = Op::Input(body.inputs.len() - 1);
            let node = &mut body.nodes[x.index()];
            (node.op, node.inputs) = (input, vec![]);
        }
        self.nodes[v.index()].op = Op::Scan(ScanRef(Arc::new(scan)));
        numbers.into_iter().map(|i| self.scan_result(v, Outcome::Given(i))).collect()
    }

    fn zeros(&mut self, shape: &[usize]) -> Value {
        let zero = self.constant(0.0);
        self.expand(zero, shape)
    }

    /// The same graph with those scans that `which` names written out repetition by repetition, and with `inner` also those
    /// inside of them. A scan that stays keeps those inside of it, as far as scans may lie in one another.
    pub fn unrolled(&self, which: impl Fn(Value) -> bool, inner: bool) -> Graph {
        let mut out = Graph { inputs: self.inputs.clone(), stored: self.stored.clone(), ..Graph::new() };
        let map = out.append(self, &HashMap::new(), &which, inner);
        let mapped = |list: &[(String, Value)]| list.iter().map(|(n, v)| (n.clone(), map[v])).collect();
        out.outputs = mapped(&self.outputs);
        out.records = mapped(&self.records);
        out.updates = self.updates.iter().map(|(s, v)| (map[s], map[v])).collect();
        out
    }

    /// Copies the nodes of `from`, inputs replaced by `given` where it has them.
    fn append(
        &mut self,
        from: &Graph,
        given: &HashMap<Value, Value>,
        unroll: &dyn Fn(Value) -> bool,
        inner: bool,
    ) -> HashMap<Value, Value> {
        let mut map: HashMap<Value, Value> = HashMap::new();
        let mut results: HashMap<(Value, usize), Value> = HashMap::new();
        let wanted: BTreeSet<(Value, usize)> = from
            .nodes
            .iter()
            .filter_map(|n| if let Op::Result(i) = n.op { Some((n.inputs[0], i)) } else { None })
            .collect();
        for (i, node) in from.nodes.iter().enumerate() {
            let v = Value(i as u32);
            self.phases.extend(from.phases.iter().filter(|&&p| p == i).map(|_| self.nodes.len()));
            self.scope = vec![node.label.clone()];
            if let Some(&x) = given.get(&v) {
                map.insert(v, x);
                continue;
            }
            match &node.op {
                Op::Scan(ScanRef(scan)) if unroll(v) => {
                    let operands: Vec<Value> = node.inputs.iter().map(|x| map[x]).collect();
                    for (i, r) in self.write_out(scan, &operands, |i| wanted.contains(&(v, i)), inner) {
                        results.insert((v, i), r);
                    }
                }
                Op::Scan(ScanRef(scan)) => {
                    let operands: Vec<Value> = node.inputs.iter().map(|x| map[x]).collect();
                    let op = if scan.depth() <= DEEPEST {
                        node.op.clone()
                    } else {
                        let mut body = Graph { inputs: scan.body.inputs.clone(), ..Graph::new() };
                        let inner = body.append(&scan.body, &HashMap::new(), &|_| true, true);
                        body.outputs = scan.body.outputs.iter().map(|(n, v)| (n.clone(), inner[v])).collect();
                        let inputs = scan.inputs.iter().map(|v| inner[v]).collect();
                        Op::Scan(ScanRef(Arc::new(Scan { body, inputs, ..Scan::clone(scan) })))
                    };
                    map.insert(v, self.push(op, &operands, node.shape.clone(), node.dtype));
                }
                Op::Result(i) if results.contains_key(&(node.inputs[0], *i)) => {
                    map.insert(v, results[&(node.inputs[0], *i)]);
                }
                op => {
                    let operands: Vec<Value> = node.inputs.iter().map(|x| map[x]).collect();
                    map.insert(v, self.push(op.clone(), &operands, node.shape.clone(), node.dtype));
                }
            }
        }
        self.scope.clear();
        map
    }

    /// A scan's repetitions one after another; its `wanted` results.
    fn write_out(
        &mut self,
        scan: &Scan,
        operands: &[Value],
        wanted: impl Fn(usize) -> bool,
        inner: bool,
    ) -> Vec<(usize, Value)> {
        let outputs: Vec<Value> = scan.outputs().collect();
        let fixed = scan.carried + scan.constants;
        let mut carried = operands[..scan.carried].to_vec();
        let mut stacks: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
        let scope = self.scope.clone();
        for step in 0..scan.n {
            let row = if scan.reverse { scan.n - 1 - step } else { step };
            let mut given: HashMap<Value, Value> = scan.inputs.iter().copied().zip(carried.clone()).collect();
            given.extend(
                scan.inputs[scan.carried..fixed]
                    .iter()
                    .copied()
                    .zip(operands[scan.carried..fixed].iter().copied()),
            );
            for (&x, &stack) in scan.inputs[fixed..].iter().zip(&operands[fixed..]) {
                let shape = scan.body.shape(x).to_vec();
                let one = self.slice(stack, row_axis(&shape), row, 1);
                given.insert(x, self.reshape(one, &shape));
            }
            let map = self.append(&scan.body, &given, &|_| inner, inner);
            self.scope.clone_from(&scope);
            for (i, o) in outputs.iter().enumerate().skip(scan.carried) {
                stacks.entry(scan.number(Outcome::Given(i))).or_default().push(map[o]);
            }
            for (i, c) in carried.iter().enumerate() {
                stacks.entry(scan.number(Outcome::History(i))).or_default().push(*c);
            }
            carried = outputs[..scan.carried].iter().map(|o| map[o]).collect();
        }
        let mut results: Vec<(usize, Value)> = carried.into_iter().enumerate().collect();
        for (i, mut parts) in stacks {
            if !wanted(i) {
                continue;
            }
            if scan.reverse {
                parts.reverse();
            }
            let row = self.shape(parts[0]).to_vec();
            let axis = row_axis(&row);
            let shape = stacked(&row, 1);
            let parts: Vec<Value> = parts.into_iter().map(|p| self.reshape(p, &shape)).collect();
            results.push((i, self.concat(&parts, axis)));
        }
        results
    }
}

/// From so many terms on, a sum takes longer to compute again than its result takes to come from memory (a hundred operations and more in
/// the time of eight bytes, on CPUs and GPUs), and what is made of it has so many times the room.
const LONG: usize = 128;
const LONG_ROOM: usize = 16;

impl Scan {
    /// Scans that lie in one another here, itself among them.
    fn depth(&self) -> usize {
        let inside =
            self.body.nodes.iter().map(|n| if let Op::Scan(ScanRef(s)) = &n.op { s.depth() } else { 0 });
        1 + inside.max().unwrap_or(0)
    }

    /// Body values that depend on operands that are wanted, carried on from repetition to repetition.
    fn active(&self, wants: &[bool]) -> BTreeSet<Value> {
        let outputs: Vec<Value> = self.outputs().collect();
        let mut active: BTreeSet<Value> =
            self.inputs.iter().zip(wants).filter(|(_, w)| **w).map(|(v, _)| *v).collect();
        loop {
            let before = active.len();
            for (i, node) in self.body.nodes().iter().enumerate() {
                let held = matches!(node.op, Op::StopGradient | Op::Random { .. });
                if !held && node.inputs.iter().any(|x| active.contains(x)) {
                    active.insert(Value(i as u32));
                }
            }
            for i in 0..self.carried {
                if active.contains(&outputs[i]) {
                    active.insert(self.inputs[i]);
                }
            }
            if active.len() == before {
                return active;
            }
        }
    }

    /// Values of the body that the way back, which begins with the nodes of the body, should not compute again: those
    /// that it needs and that take a product or a function to compute, as far as a task has room for all repetitions:
    /// `room` elements, carried values included.
    fn worth_keeping(&self, back: &Graph, room: usize) -> Vec<Value> {
        let nodes = self.body.nodes();
        let Some(tasks) = self.inputs.first().and_then(|v| self.body.shape(*v).first()) else {
            return vec![];
        };
        let mut needed: BTreeSet<Value> = BTreeSet::new();
        for node in &back.nodes()[nodes.len()..] {
            needed.extend(node.inputs.iter().filter(|x| x.index() < nodes.len()));
        }
        let each = |v: Value| count(self.body.shape(v)) / tasks;
        let carried = self.n * self.inputs[..self.carried].iter().map(|v| each(*v)).sum::<usize>();
        let mut rooms =
            [room, if room > 0 { LONG_ROOM * room } else { 0 }].map(|r| r.saturating_sub(carried));
        // Whether a value takes much to compute from what is at hand, and whether sums of many terms are among that.
        let mut heavy = vec![false; nodes.len()];
        let mut long = vec![false; nodes.len()];
        let mut kept = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            let v = Value(i as u32);
            let own = match &node.op {
                Op::Conv(..) => true,
                Op::MatMul { ta, .. } => {
                    let a = self.body.shape(node.inputs[0]);
                    let terms = a[a.len() - if *ta { 2 } else { 1 }];
                    long[i] = terms >= LONG;
                    terms >= 8
                }
                Op::Map(Func::Act(act, _)) => {
                    !matches!(act, Activation::Identity | Activation::Relu | Activation::LeakyRelu)
                }
                Op::Map(Func::Exp | Func::Log)
                | Op::LogSoftmax
                | Op::CrossEntropy
                | Op::SpdSolve
                | Op::SpdLogdet => true,
                _ => false,
            };
            heavy[i] = own || node.inputs.iter().any(|x| heavy[x.index()]);
            long[i] |= node.inputs.iter().any(|x| long[x.index()]);
            let of_tasks = node.dtype == DType::F32 && node.shape.first() == Some(tasks);
            let room = rooms[usize::from(long[i])];
            if heavy[i] && of_tasks && needed.contains(&v) && self.n * each(v) <= room {
                rooms = rooms.map(|r| r.saturating_sub(self.n * each(v)));
                (heavy[i], long[i]) = (false, false);
                kept.push(v);
            }
        }
        kept
    }
}
