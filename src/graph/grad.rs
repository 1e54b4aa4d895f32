//! The gradient: a table from ops to graph, closed under itself, so that the gradient of a gradient
//! (second-order meta-learning) needs nothing new.
//!
//! Reverse accumulation (Griewank and Walther 2008, chapter 3). Contributions that come back through
//! slices of one value are kept as pieces and joined by a concatenation, not summed as padded copies:
//! the gradient of a flat weight vector with respect to its slices is then written where it lies.

use std::collections::BTreeMap;

use super::op::{Binary, Func, Num, Op};
use super::{Graph, Node, Value};
use crate::spec::{Activation, DType, Shape};

/// What has come back for one value so far.
#[derive(Default)]
struct Cotangent {
    /// Sum of whole contributions.
    whole: Option<Value>,
    /// `axis -> [(start, piece)]` from slices.
    pieces: BTreeMap<usize, Vec<(usize, Value)>>,
}

impl Graph {
    /// Gradients of the scalar `loss` with respect to each of `wrt`, in the same shapes; zeros where
    /// the loss does not depend on a value.
    ///
    /// # Panics
    /// When `loss` has more than one element, when an op on the way has no gradient (optimiser steps),
    /// or when an activation would have to be differentiated more than three times.
    #[track_caller]
    pub fn grad(&mut self, loss: Value, wrt: &[Value]) -> Vec<Value> {
        if crate::spec::count(self.shape(loss)) != 1 {
            self.fail("grad", &[self.shape(loss)], "the loss must be one number");
        }
        let one = self.constant(1.0);
        let shape = self.shape(loss).to_vec();
        let one = self.expand(one, &shape);
        self.vjp(&[(loss, one)], wrt)
    }

    /// Sums over the seeds `(value, cotangent)` of the cotangent times the derivative of the value, with respect to each of `wrt`.
    #[track_caller]
    pub(super) fn vjp(&mut self, seeds: &[(Value, Value)], wrt: &[Value]) -> Vec<Value> {
        // Only values between `wrt` and the seeds matter.
        let n = seeds.iter().map(|(v, _)| v.index() + 1).max().unwrap_or(0);
        let mut active = vec![false; n];
        for i in 0..n {
            let node = &self.nodes[i];
            active[i] = wrt.contains(&Value(i as u32))
                || (!matches!(node.op, Op::StopGradient | Op::Random { .. })
                    && node.inputs.iter().any(|v| active[v.index()]));
        }
        let mut back: BTreeMap<Value, Cotangent> = BTreeMap::new();
        for &(v, seed) in seeds {
            self.send(v, seed, &mut back);
        }
        // Cotangents of the results of scans, until the scan itself is reached.
        let mut results: BTreeMap<Value, BTreeMap<usize, Value>> = BTreeMap::new();
        let mut found: BTreeMap<Value, Value> = BTreeMap::new();
        for i in (0..n).rev() {
            let v = Value(i as u32);
            if let Some(cotangents) = results.remove(&v) {
                let inputs = self.nodes[i].inputs.clone();
                let wants: Vec<bool> = inputs.iter().map(|x| active[x.index()]).collect();
                let label = self.nodes[i].label.clone();
                let scope = std::mem::replace(&mut self.scope, vec![label, "grad".into()]);
                for (operand, value) in self.scan_back(v, &cotangents, &wants) {
                    self.send(inputs[operand], value, &mut back);
                }
                self.scope = scope;
                continue;
            }
            let Some(cotangent) = back.remove(&v) else { continue };
            if !active[i] {
                continue;
            }
            let g = self.gather_cotangent(v, cotangent);
            if wrt.contains(&v) {
                found.insert(v, g);
            }
            if let Op::Result(k) = self.nodes[i].op {
                results.entry(self.nodes[i].inputs[0]).or_default().insert(k, g);
                continue;
            }
            let label = self.nodes[i].label.clone();
            let scope = std::mem::replace(&mut self.scope, vec![label, "grad".into()]);
            self.back(v, g, &active, &mut back);
            self.scope = scope;
        }
        wrt.iter()
            .map(|v| {
                found.get(v).copied().unwrap_or_else(|| {
                    let zero = self.constant(0.0);
                    let shape = self.shape(*v).to_vec();
                    self.expand(zero, &shape)
                })
            })
            .collect()
    }

    /// Adds a whole contribution to the cotangent of `v`.
    fn send(&mut self, v: Value, value: Value, back: &mut BTreeMap<Value, Cotangent>) {
        let slot = back.entry(v).or_default();
        slot.whole = Some(match slot.whole {
            Some(sum) => self.add(sum, value),
            None => value,
        });
    }

    /// Joins what has come back for `v` into one value of its shape.
    fn gather_cotangent(&mut self, v: Value, c: Cotangent) -> Value {
        let mut sum = c.whole;
        for (axis, mut pieces) in c.pieces {
            pieces.sort_by_key(|(start, p)| (*start, p.0));
            // Equal ranges are added first (a weight used twice); what still overlaps is padded.
            let mut joined: Vec<(usize, Value)> = Vec::new();
            for (start, p) in pieces {
                match joined.last_mut() {
                    Some((s, q)) if *s == start && self.shape(*q)[axis] == self.shape(p)[axis] => {
                        *q = self.add(*q, p)
                    }
                    _ => joined.push((start, p)),
                }
            }
            let full = self.shape(v)[axis];
            let disjoint = joined.windows(2).all(|w| w[0].0 + self.shape(w[0].1)[axis] <= w[1].0);
            let whole = if disjoint {
                self.concat_with_gaps(&joined, axis, full)
            } else {
                joined
                    .into_iter()
                    .map(|(start, p)| self.pad(p, axis, start, full))
                    .collect::<Vec<_>>()
                    .into_iter()
                    .reduce(|a, b| self.add(a, b))
                    .unwrap_or(v)
            };
            sum = Some(sum.map_or(whole, |s| self.add(s, whole)));
        }
        match sum {
            Some(s) => s,
            None => {
                let zero = self.constant(0.0);
                let shape = self.shape(v).to_vec();
                self.expand(zero, &shape)
            }
        }
    }

    fn concat_with_gaps(&mut self, pieces: &[(usize, Value)], axis: usize, full: usize) -> Value {
        if let [(start, p)] = pieces {
            return self.pad(*p, axis, *start, full);
        }
        let mut parts = Vec::new();
        let mut at = 0;
        let template = self.shape(pieces[0].1).to_vec();
        let gap = |g: &mut Graph, from: usize, to: usize, parts: &mut Vec<Value>| {
            if to > from {
                let zero = g.constant(0.0);
                let mut shape = template.clone();
                shape[axis] = to - from;
                let z = g.expand(zero, &shape);
                parts.push(z);
            }
        };
        for &(start, p) in pieces {
            gap(self, at, start, &mut parts);
            parts.push(p);
            at = start + self.shape(p)[axis];
        }
        gap(self, at, full, &mut parts);
        self.concat(&parts, axis)
    }

    /// Twice a value: of one that is broadcast, before it is.
    fn doubled(&mut self, v: Value) -> Value {
        let Node { op, inputs, shape, .. } = self.nodes[v.index()].clone();
        if op == Op::Expand {
            let x = self.scale(inputs[0], 2.0);
            return self.expand(x, &shape);
        }
        self.scale(v, 2.0)
    }

    /// The table: sends the cotangent `g` of `v` to its operands.
    #[track_caller]
    fn back(&mut self, v: Value, g: Value, active: &[bool], back: &mut BTreeMap<Value, Cotangent>) {
        let Node { op, inputs, .. } = self.nodes[v.index()].clone();
        let shapes: Vec<Shape> = inputs.iter().map(|&x| self.shape(x).to_vec()).collect();
        let wants = |i: usize| active[inputs[i].index()];
        macro_rules! send {
            ($i:expr, $value:expr) => {
                if wants($i) {
                    let value = $value;
                    let value = self.sum_to(value, &shapes[$i]);
                    self.send(inputs[$i], value, back);
                }
            };
        }
        match op {
            Op::Input(_) | Op::Const(_) | Op::Constants(_) | Op::StopGradient | Op::Random { .. } => {}
            // Where cotangents of the results have been gathered.
            Op::Scan(_) | Op::Result(_) => {}
            Op::Map(f) => {
                let x = inputs[0];
                send!(0, self.map_back(f, x, v, g))
            }
            Op::Zip(f) => {
                let (a, b) = (inputs[0], inputs[1]);
                match f {
                    Binary::Add => {
                        send!(0, g);
                        send!(1, g)
                    }
                    Binary::Sub => {
                        send!(0, g);
                        // Summed first: what a mean is taken from is often large.
                        send!(1, {
                            let g = self.sum_to(g, &shapes[1]);
                            self.scale(g, -1.0)
                        })
                    }
                    Binary::Mul if a == b => send!(0, {
                        let twice = self.doubled(g);
                        self.mul(twice, a)
                    }),
                    Binary::Mul => {
                        send!(0, self.mul(g, b));
                        send!(1, self.mul(g, a))
                    }
                    Binary::Div => {
                        send!(0, self.div(g, b));
                        send!(1, {
                            let r = self.div(v, b);
                            let r = self.mul(g, r);
                            self.scale(r, -1.0)
                        })
                    }
                    Binary::Max => {
                        let left = self.zip(Binary::GreaterEq, a, b);
                        let zero = self.constant(0.0);
                        send!(0, self.select(left, g, zero));
                        send!(1, self.select(left, zero, g))
                    }
                    Binary::Less | Binary::GreaterEq | Binary::Equal => {}
                }
            }
            Op::Select => {
                let zero = self.constant(0.0);
                send!(1, self.select(inputs[0], g, zero));
                send!(2, self.select(inputs[0], zero, g))
            }
            Op::MatMul { ta, tb } => {
                let (a, b) = (inputs[0], inputs[1]);
                // y = op(a) op(b): da = g op(b)ᵀ and db = op(a)ᵀ g, transposed back where the operand was.
                send!(0, if ta { self.matmul_t(b, tb, g, true) } else { self.matmul_t(g, false, b, !tb) });
                send!(1, if tb { self.matmul_t(g, true, a, ta) } else { self.matmul_t(a, !ta, g, false) })
            }
            Op::Conv(conv, wrt) => {
                let back = self.conv_back(conv, wrt, [inputs[0], inputs[1]], [wants(0), wants(1)], g);
                for (i, value) in back.into_iter().enumerate() {
                    if let Some(value) = value {
                        send!(i, value);
                    }
                }
            }
            Op::SumTo => send!(0, self.expand(g, &shapes[0])),
            Op::Expand => send!(0, g),
            Op::Reshape => send!(0, self.reshape(g, &shapes[0])),
            Op::Permute(order) => {
                let mut inverse = vec![0; order.len()];
                for (i, &o) in order.iter().enumerate() {
                    inverse[o] = i;
                }
                send!(0, self.permute(g, &inverse))
            }
            Op::Slice { axis, start } => {
                if wants(0) {
                    back.entry(inputs[0]).or_default().pieces.entry(axis).or_default().push((start, g));
                }
            }
            Op::Pad { axis, start } => send!(0, self.slice(g, axis, start, shapes[0][axis])),
            Op::Concat { axis } => {
                let mut at = 0;
                for i in 0..inputs.len() {
                    let len = shapes[i][axis];
                    send!(i, self.slice(g, axis, at, len));
                    at += len;
                }
            }
            Op::Gather => {
                if self.nodes[v.index()].dtype == DType::F32 {
                    send!(0, self.scatter_add(g, inputs[1], shapes[0][0]))
                }
            }
            Op::ScatterAdd => send!(0, self.gather(g, inputs[1])),
            Op::LogSoftmax => {
                send!(0, {
                    let mut s = shapes[0].clone();
                    *s.last_mut().unwrap_or(&mut 1) = 1;
                    let total = self.sum_to(g, &s);
                    let p = self.map(Func::Exp, v);
                    let r = self.mul(p, total);
                    self.sub(g, r)
                })
            }
            // A is symmetric, and so is every change of it: the gradient need not be.
            Op::SpdSolve => {
                let back_b = self.spd_solve(inputs[0], g);
                send!(0, {
                    let outer = self.matmul_t(back_b, false, v, true);
                    self.scale(outer, -1.0)
                });
                send!(1, back_b);
            }
            Op::SpdLogdet => send!(0, {
                let rank = shapes[0].len();
                let n = shapes[0][rank - 1];
                let mut one = shapes[0].clone();
                one[rank - 2..].fill(1);
                let g = self.reshape(g, &one);
                let eye = self.diagonal(g, n);
                self.spd_solve(inputs[0], eye)
            }),
            Op::CrossEntropy => {
                let (x, y) = (inputs[0], inputs[1]);
                let logp = self.log_softmax(x);
                let mut s = shapes[0].clone();
                *s.last_mut().unwrap_or(&mut 1) = 1;
                let g = self.reshape(g, &s);
                send!(0, {
                    let p = self.map(Func::Exp, logp);
                    let mass = self.sum_to(y, &s);
                    let expected = self.mul(p, mass);
                    let d = self.sub(expected, y);
                    self.mul(d, g)
                });
                send!(1, {
                    let r = self.mul(logp, g);
                    self.scale(r, -1.0)
                })
            }
            Op::AdamW { .. } | Op::Sgd { .. } => {
                self.fail(op.name(), &[self.shape(v)], "an optimiser step of the outer loop has no gradient")
            }
        }
    }

    /// `g · f'(x)`, with `y = f(x)`.
    #[track_caller]
    fn map_back(&mut self, f: Func, x: Value, y: Value, g: Value) -> Value {
        match f {
            Func::Act(Activation::Identity, 0) => g,
            Func::Act(a, k) => {
                // Piecewise linear: the second derivative is zero almost everywhere.
                if k >= 1 && matches!(a, Activation::Identity | Activation::Relu | Activation::LeakyRelu) {
                    return self.scale(g, 0.0);
                }
                // From the value, where that spares an exponential.
                let d = match (a, k) {
                    (
                        Activation::Tanh | Activation::Sigmoid | Activation::Relu | Activation::LeakyRelu,
                        0,
                    ) => self.map(Func::Slope(a), y),
                    _ => self.map(Func::Act(a, k + 1), x),
                };
                self.mul(g, d)
            }
            // (1 - y²)' = -2 y and (y - y²)' = 1 - 2 y
            Func::Slope(Activation::Relu | Activation::LeakyRelu) => self.scale(g, 0.0),
            Func::Slope(a) => {
                let d = self.affine(x, -2.0, if a == Activation::Tanh { 0.0 } else { 1.0 });
                self.mul(g, d)
            }
            Func::Affine(Num(a), _) => self.scale(g, a),
            Func::Exp => self.mul(g, y),
            Func::Log => self.div(g, x),
            Func::Sqrt => {
                let r = self.div(g, y);
                self.scale(r, 0.5)
            }
            Func::Rsqrt => {
                // (x^-1/2)' = -1/2 · y³
                let y2 = self.mul(y, y);
                let y3 = self.mul(y2, y);
                let r = self.mul(g, y3);
                self.scale(r, -0.5)
            }
            Func::Recip => {
                let y2 = self.mul(y, y);
                let r = self.mul(g, y2);
                self.scale(r, -1.0)
            }
            Func::Floor | Func::Round | Func::EightBits(_) | Func::IsFinite => self.scale(g, 0.0),
        }
    }
}
