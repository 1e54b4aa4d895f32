//! A graph, node by node, in f64 and by the plainest loops: no views, no fusion, no shared buffers. What
//! the lowering makes of the graph must agree with it.

use std::collections::BTreeMap;

use hyperloom::graph::conv::{Conv, Wrt};
use hyperloom::graph::op::{Dist, Num, Op};
use hyperloom::graph::{Graph, Node};
use hyperloom::kernel::pointwise;
use hyperloom::rng::threefry2x32;
use hyperloom::spec::count;

/// A value; words too are held as f64, which is exact.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f64>,
}

impl Array {
    /// The element at an index that may have more axes than the value, or run along axes of length 1.
    fn at(&self, index: &[usize]) -> f64 {
        let skip = index.len() - self.shape.len();
        let mut flat = 0;
        for (d, i) in self.shape.iter().zip(&index[skip..]) {
            flat = flat * d + if *d == 1 { 0 } else { *i };
        }
        self.data[flat]
    }

    fn build(shape: &[usize], f: impl FnMut(&[usize]) -> f64) -> Array {
        Array { shape: shape.to_vec(), data: indices(shape).iter().map(|i| &i[..]).map(f).collect() }
    }

    /// Largest magnitude.
    pub(crate) fn largest(&self) -> f64 {
        self.data.iter().fold(0.0, |m, x| if x.abs() > m || x.is_nan() { x.abs() } else { m })
    }
}

fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &d in shape {
        all = all.iter().flat_map(|i: &Vec<usize>| (0..d).map(move |k| [&i[..], &[k]].concat())).collect();
    }
    all
}

/// The trilinear form `Σ x k y` of a convolution, derived by one of the three: every product of the other two is added where
/// it belongs.
fn convolution(conv: &Conv, wrt: Wrt, a: &Array, b: &Array, shape: &[usize]) -> Array {
    let mut sum = Array { shape: shape.to_vec(), data: vec![0.0; count(shape)] };
    let [x, k, y] = match wrt {
        Wrt::Output => [&a.shape[..], &b.shape, shape],
        Wrt::Input => [shape, &b.shape, &a.shape],
        Wrt::Kernels => [&a.shape, shape, &b.shape],
    };
    let [along_h, along_w] = conv.windows;
    for i in indices(&[y[0], y[1], y[2], y[3], k[1], k[2], k[3], k[4]]) {
        let [b_, n, p, q, i, j, c, o] = i[..] else { unreachable!("eight axes") };
        // Positions count from the first zero of the padding.
        let (h, w) = (p * along_h.stride + i * along_h.dilation, q * along_w.stride + j * along_w.dilation);
        let inside = |at: usize, before: usize, len: usize| at >= before && at < before + len;
        if !inside(h, along_h.before, x[2]) || !inside(w, along_w.before, x[3]) {
            continue;
        }
        let group = o / (k[4] / conv.groups);
        let at_x = [b_, n, h - along_h.before, w - along_w.before, group * k[3] + c];
        let (at_k, at_y) = ([b_, i, j, c, o], [b_, n, p, q, o]);
        let (first, second, to) = match wrt {
            Wrt::Output => (at_x, at_k, at_y),
            Wrt::Input => (at_y, at_k, at_x),
            Wrt::Kernels => (at_x, at_y, at_k),
        };
        let to = to.iter().zip(shape).fold(0, |at, (i, d)| at * d + i);
        sum.data[to] += a.at(&first) * b.at(&second);
    }
    sum
}

/// Values of the nodes so far; grows with its graph.
#[derive(Debug, Default)]
pub(crate) struct Interpreter {
    pub(crate) values: Vec<Array>,
}

impl Interpreter {
    /// Computes the nodes that are new.
    pub(crate) fn extend(&mut self, g: &Graph, inputs: &BTreeMap<String, Array>) {
        for node in &g.nodes()[self.values.len()..] {
            let value = match node.op {
                Op::Input(k) => inputs[&g.inputs()[k].name].clone(),
                _ => self.node(node),
            };
            assert_eq!(value.shape, node.shape, "{} in '{}'", node.op.name(), node.label);
            self.values.push(value);
        }
    }

    fn node(&self, node: &Node) -> Array {
        let x = |i: usize| &self.values[node.inputs[i].index()];
        let shape = &node.shape[..];
        let rank = shape.len();
        match &node.op {
            Op::Input(_) => unreachable!("handled by the caller"),
            Op::Const(Num(c)) => Array { shape: vec![], data: vec![*c] },
            Op::Constants(c) => Array { shape: shape.to_vec(), data: c.iter().map(|c| c.0).collect() },
            Op::MatMul { ta, tb } => {
                let inner = x(0).shape[x(0).shape.len() - if *ta { 2 } else { 1 }];
                Array::build(shape, |i| {
                    let (batch, r, c) = (&i[..rank - 2], i[rank - 2], i[rank - 1]);
                    let a = |l| if *ta { [batch, &[l, r]].concat() } else { [batch, &[r, l]].concat() };
                    let b = |l| if *tb { [batch, &[c, l]].concat() } else { [batch, &[l, c]].concat() };
                    (0..inner).map(|l| x(0).at(&a(l)) * x(1).at(&b(l))).sum()
                })
            }
            Op::Conv(conv, wrt) => convolution(conv, *wrt, x(0), x(1), shape),
            Op::Map(f) => Array::build(shape, |i| pointwise::func(*f, x(0).at(i))),
            Op::Zip(f) => Array::build(shape, |i| pointwise::binary(*f, x(0).at(i), x(1).at(i))),
            Op::Select => Array::build(shape, |i| if x(0).at(i) != 0.0 { x(1).at(i) } else { x(2).at(i) }),
            Op::SumTo => {
                let mut sum = Array { shape: shape.to_vec(), data: vec![0.0; count(shape)] };
                for (i, v) in indices(&x(0).shape).iter().zip(&x(0).data) {
                    let kept = &i[i.len() - rank..];
                    let at =
                        kept.iter().zip(shape).fold(0, |at, (k, d)| at * d + if *d == 1 { 0 } else { *k });
                    sum.data[at] += v;
                }
                sum
            }
            Op::Expand => Array::build(shape, |i| x(0).at(i)),
            Op::Reshape => Array { shape: shape.to_vec(), data: x(0).data.clone() },
            Op::StopGradient => x(0).clone(),
            Op::Scan(_) | Op::Result(_) => unreachable!("scans are written out before"),
            Op::Permute(order) => Array::build(shape, |i| {
                let mut from = vec![0; rank];
                order.iter().zip(i).for_each(|(o, k)| from[*o] = *k);
                x(0).at(&from)
            }),
            Op::Slice { axis, start } => Array::build(shape, |i| {
                let mut from = i.to_vec();
                from[*axis] += start;
                // Not `at`: an axis of length 1 is no broadcast here.
                x(0).at(&from)
            }),
            Op::Pad { axis, start } => Array::build(shape, |i| {
                let mut from = i.to_vec();
                match from[*axis].checked_sub(*start).filter(|k| *k < x(0).shape[*axis]) {
                    Some(k) => {
                        from[*axis] = k;
                        x(0).at(&from)
                    }
                    None => 0.0,
                }
            }),
            Op::Concat { axis } => Array::build(shape, |i| {
                let (mut from, mut part) = (i.to_vec(), 0);
                while from[*axis] >= x(part).shape[*axis] {
                    from[*axis] -= x(part).shape[*axis];
                    part += 1;
                }
                x(part).at(&from)
            }),
            Op::Gather => {
                let lead = x(1).shape.len();
                Array::build(shape, |i| {
                    let row = (x(1).at(&i[..lead]) as usize).min(x(0).shape[0] - 1);
                    x(0).at(&[&[row], &i[lead..]].concat())
                })
            }
            Op::ScatterAdd => {
                let mut sum = Array { shape: shape.to_vec(), data: vec![0.0; count(shape)] };
                let width = count(&shape[1..]);
                for (r, index) in x(1).data.iter().enumerate() {
                    let row = (*index as usize).min(shape[0] - 1);
                    (0..width).for_each(|c| sum.data[row * width + c] += x(0).data[r * width + c]);
                }
                sum
            }
            Op::LogSoftmax => {
                let mut y = x(0).clone();
                y.data.chunks_mut(shape[rank - 1]).for_each(log_softmax);
                y
            }
            // Gauss and Jordan: by another way than the kernel's.
            Op::SpdSolve => {
                let n = x(0).shape[rank - 1];
                let m = shape[rank - 1];
                let stack = x(0).data.chunks(n * n).zip(x(1).data.chunks(n * m));
                let data = stack.flat_map(|(a, b)| eliminate(n, a, b).0).collect();
                Array { shape: shape.to_vec(), data }
            }
            Op::SpdLogdet => {
                let n = x(0).shape[rank];
                let data = x(0).data.chunks(n * n).map(|a| eliminate(n, a, &vec![0.0; n]).1).collect();
                Array { shape: shape.to_vec(), data }
            }
            Op::CrossEntropy => {
                let c = x(0).shape[rank];
                let rows = x(0).data.chunks(c).zip(x(1).data.chunks(c)).map(|(logits, p)| {
                    let mut l = logits.to_vec();
                    log_softmax(&mut l);
                    -l.iter().zip(p).map(|(l, p)| l * p).sum::<f64>()
                });
                Array { shape: shape.to_vec(), data: rows.collect() }
            }
            Op::Random { dist, stream, first_task } => {
                let per_task = count(shape) / shape.first().copied().unwrap_or(1);
                let seed = (x(0).data[0] as u32).wrapping_add(stream.wrapping_mul(0x9E37_79B9));
                let word = |i: usize| {
                    let task = first_task + (i / per_task) as u32;
                    threefry2x32([seed, x(0).data[1] as u32], [task, (i % per_task) as u32])
                };
                let unit = |w: u32| (w >> 8) as f64 / 16_777_216.0;
                let draw = |i| match (dist, word(i)) {
                    (Dist::Bits, w) => w[0] as f64,
                    (Dist::Uniform, w) => unit(w[0]),
                    (Dist::Normal, w) => {
                        let tau = std::f32::consts::TAU as f64;
                        (-2.0 * (1.0 - unit(w[0])).ln()).sqrt() * (tau * unit(w[1])).cos()
                    }
                };
                Array { shape: shape.to_vec(), data: (0..count(shape)).map(draw).collect() }
            }
            Op::AdamW { beta1, beta2, eps, decay } => optimiser(&[x(0), x(1), x(2), x(3)], |s, g, c| {
                let m = beta1.0 * s[1] + (1.0 - beta1.0) * g;
                let v = beta2.0 * s[2] + (1.0 - beta2.0) * g * g;
                let step = m * c[1] / ((v * c[2]).sqrt() + eps.0) + decay.0 * s[0];
                vec![s[0] - c[0] * step, m, v]
            }),
            Op::Sgd { momentum, decay } => optimiser(&[x(0), x(1), x(2), x(3)], |s, g, c| {
                let v = momentum.0 * s[1] + g;
                vec![s[0] - c[0] * (v + decay.0 * s[0]), v]
            }),
        }
    }
}

/// Solves `A X = B` by elimination, and `ln |A|`. Only the lower triangle of A is read.
pub(crate) fn eliminate(n: usize, a: &[f64], b: &[f64]) -> (Vec<f64>, f64) {
    let m = b.len() / n;
    let at = |i: usize, j: usize| a[i.max(j) * n + i.min(j)];
    let mut rows: Vec<Vec<f64>> = (0..n)
        .map(|i| (0..n).map(|j| at(i, j)).chain(b[i * m..(i + 1) * m].iter().copied()).collect())
        .collect();
    let mut log = 0.0;
    for i in 0..n {
        let pivot = rows[i][i];
        log += pivot.ln();
        rows[i].iter_mut().for_each(|v| *v /= pivot);
        let row = rows[i].clone();
        for (_, other) in rows.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let factor = other[i];
            other.iter_mut().zip(&row).for_each(|(v, r)| *v -= factor * r);
        }
    }
    (rows.iter().flat_map(|r| r[n..].to_vec()).collect(), log)
}

fn log_softmax(row: &mut [f64]) {
    let max = row.iter().fold(f64::NEG_INFINITY, |m, x| m.max(*x));
    let log = max + row.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
    row.iter_mut().for_each(|x| *x -= log);
}

/// One step of every weight: `step(state of the weight, gradient, control)`.
fn optimiser(x: &[&Array; 4], step: impl Fn(&[f64], f64, &[f64]) -> Vec<f64>) -> Array {
    let (mut state, p, factor) = (x[0].clone(), x[1].data.len(), x[3].data[0]);
    if !factor.is_finite() || factor < 0.0 {
        return state;
    }
    for i in 0..p {
        let old: Vec<f64> = (0..x[0].shape[0]).map(|r| x[0].data[r * p + i]).collect();
        for (r, new) in step(&old, factor * x[1].data[i], &x[2].data).into_iter().enumerate() {
            state.data[r * p + i] = new;
        }
    }
    state
}
