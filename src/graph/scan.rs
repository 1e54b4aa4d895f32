//! Repetition: a body that is run `n` times over carried values, K steps of inner learning for example. The gradient of
//! a scan is a scan in reverse over the carried values as they were on the way out; what else the body
//! computed is computed again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::op::{Op, ScanRef};
use super::{Graph, Role, Value};
use crate::spec::{DType, Shape};

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

impl Scan {
    /// The body's outputs as values.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = Value> + '_ {
        self.body.outputs().iter().map(|(_, v)| *v)
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
    /// values and the stacked rows.
    ///
    /// # Panics
    /// When shapes differ from repetition to repetition, or `rows` have not `n` rows.
    #[track_caller]
    pub fn scan(
        &mut self,
        n: usize,
        carried: &[Value],
        constants: &[Value],
        rows: &[Value],
        body: impl FnOnce(&mut Graph, ScanArgs<'_>) -> (Vec<Value>, Vec<Value>),
    ) -> (Vec<Value>, Vec<Value>) {
        if n == 0 {
            self.fail("scan", &[], "there is no scan of 0 repetitions");
        }
        let mut inner = Graph { scope: vec![self.label()], ..Graph::new() };
        inner.scope.retain(|s| !s.is_empty());
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
        let (next, given) = body(&mut inner, ScanArgs { carried: first, constants: second, rows: third });
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
        let scan = Scan {
            body: inner,
            inputs,
            n,
            reverse: false,
            carried: carried.len(),
            constants: constants.len(),
        };
        let operands = [carried, constants, rows].concat();
        let given = given.len();
        let v = self.push_scan(scan, &operands);
        let finals = (0..carried.len()).map(|i| self.scan_result(v, i)).collect();
        let given = (0..given).map(|i| self.scan_result(v, carried.len() + i)).collect();
        (finals, given)
    }

    fn push_scan(&mut self, scan: Scan, operands: &[Value]) -> Value {
        // Results have shapes of their own; the scan as such has none.
        self.push(Op::Scan(ScanRef(Arc::new(scan))), operands, vec![], DType::F32)
    }

    /// Result `i` of the scan `v`, in the order of [`Op::Result`].
    pub(crate) fn scan_result(&mut self, v: Value, i: usize) -> Value {
        let Op::Scan(ScanRef(scan)) = self.node(v).op.clone() else { panic!("only a scan has results") };
        let outputs: Vec<Value> = scan.outputs().collect();
        let node = match outputs.get(i) {
            Some(&o) => scan.body.node(o),
            None => scan.body.node(scan.inputs[i - outputs.len()]),
        };
        let shape = if i < scan.carried { node.shape.clone() } else { stacked(&node.shape, scan.n) };
        let dtype = node.dtype;
        self.push(Op::Result(i), &[v], shape, dtype)
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
        let totals: Vec<Value> =
            sums.iter().map(|&i| input(&mut body, "sum", scan.body.shape(of(i)))).collect();
        // Cotangents of given rows and of histories come in as rows.
        let extra: Vec<usize> = back.keys().copied().filter(|i| *i >= carried).collect();
        let extra: Vec<(usize, Value)> = extra
            .into_iter()
            .map(|i| {
                let like = outputs.get(i).copied().unwrap_or_else(|| of(i - outputs.len()));
                (i, input(&mut body, "cotangent", scan.body.shape(like)))
            })
            .collect();
        let mut seeds: Vec<(Value, Value)> =
            with.iter().zip(&cotangents).map(|(&i, &c)| (outputs[i], c)).collect();
        seeds.extend(extra.iter().filter(|(i, _)| *i < outputs.len()).map(|&(i, c)| (outputs[i], c)));
        let wrt: Vec<Value> = with.iter().chain(&sums).chain(&rows).map(|&i| of(i)).collect();
        let mut grads = body.vjp(&seeds, &wrt);
        let given_back = grads.split_off(with.len() + sums.len());
        let sums_back = grads.split_off(with.len());
        for (i, g) in extra.iter().filter(|(i, _)| *i >= outputs.len()) {
            if let Some(k) = with.iter().position(|w| *w == i - outputs.len()) {
                grads[k] = body.add(grads[k], *g);
            }
        }
        for (k, g) in grads.iter().enumerate() {
            body.output(&format!("next {k}"), *g);
        }
        for (k, (g, total)) in sums_back.iter().zip(&totals).enumerate() {
            let sum = body.add(*total, *g);
            body.output(&format!("sum {k}"), sum);
        }
        for (k, g) in given_back.iter().enumerate() {
            body.output(&format!("given {k}"), *g);
        }
        body.scope.clear();

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
            values.push(self.scan_result(v, outputs.len() + i));
        }
        inputs.extend(&scan.inputs[carried + constants..]);
        values.extend(&operands[carried + constants..]);
        for (i, c) in extra {
            inputs.push(c);
            values.push(back[&i]);
        }
        let reverse = Scan {
            body,
            inputs,
            n: scan.n,
            reverse: !scan.reverse,
            carried: with.len() + sums.len(),
            constants,
        };
        let r = self.push_scan(reverse, &values);
        let targets = with.iter().chain(&sums).chain(&rows).copied().enumerate();
        targets.map(|(k, i)| (i, self.scan_result(r, k))).filter(|(i, _)| wants[*i]).collect()
    }

    fn zeros(&mut self, shape: &[usize]) -> Value {
        let zero = self.constant(0.0);
        self.expand(zero, shape)
    }

    /// The same graph with those scans that `which` names written out repetition by repetition; scans inside the
    /// bodies of others always are.
    pub fn unrolled(&self, which: impl Fn(Value) -> bool) -> Graph {
        let mut out = Graph { inputs: self.inputs.clone(), ..Graph::new() };
        let map = out.append(self, &HashMap::new(), &which);
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
                    for (i, r) in self.write_out(scan, &operands, |i| wanted.contains(&(v, i))) {
                        results.insert((v, i), r);
                    }
                }
                // Scans within a scan that stays are written out.
                Op::Scan(ScanRef(scan)) => {
                    let operands: Vec<Value> = node.inputs.iter().map(|x| map[x]).collect();
                    let flat = !scan.body.nodes.iter().any(|n| matches!(n.op, Op::Scan(_)));
                    let op = if flat {
                        node.op.clone()
                    } else {
                        let mut body = Graph { inputs: scan.body.inputs.clone(), ..Graph::new() };
                        let inner = body.append(&scan.body, &HashMap::new(), &|_| true);
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
            let map = self.append(&scan.body, &given, &|_| true);
            self.scope.clone_from(&scope);
            for (i, o) in outputs.iter().enumerate().skip(scan.carried) {
                stacks.entry(i).or_default().push(map[o]);
            }
            for (i, c) in carried.iter().enumerate() {
                stacks.entry(outputs.len() + i).or_default().push(*c);
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

impl Scan {
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
}
