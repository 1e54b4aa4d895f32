//! Random graphs: a few inputs, some dozens of ops of every kind over a pool of values, gradients, state
//! and records. Values are interpreted as the graph grows, so that magnitudes stay ordinary and every
//! function gets arguments it is defined on.

use hyperloom::graph::conv::{Conv, Window};
use hyperloom::graph::op::{Binary, Dist, Func, Num, Op};
use hyperloom::graph::{Graph, Role, Value};
use hyperloom::rng::Rng;
use hyperloom::spec::{Activation, DType, broadcast, count};

use super::interpret::{Array, Interpreter};
use super::{Feed, numbers};

/// Elements of the largest value.
const LARGEST: usize = 600;

/// A graph with contents of its inputs.
#[derive(Debug, Default)]
pub(crate) struct Random {
    pub(crate) graph: Graph,
    pub(crate) feed: Feed,
    /// The f32 data inputs.
    pub(crate) data: Vec<(String, Value)>,
    pool: Vec<Value>,
    known: Interpreter,
    inputs: usize,
}

/// A graph that depends on the seed alone.
pub(crate) fn random_graph(seed: u64) -> Random {
    let mut rng = Rng::new(seed, 77);
    let mut r = Random::default();
    let steps = 1 + rng.below(3);
    r.feed.steps = vec![Default::default(); steps];
    let (t, n, d) = (1 + rng.below(3), 1 + rng.below(4), 1 + rng.below(5));
    for shape in [vec![t, n, d], vec![t, d], vec![d, 1 + rng.below(4)], vec![n], vec![]] {
        r.input(&mut rng, &shape);
    }
    let ops = 8 + rng.below(25);
    for _ in 0..ops {
        r.grow(&mut rng);
    }
    r.finish(&mut rng);
    r
}

impl Random {
    fn input(&mut self, rng: &mut Rng, shape: &[usize]) -> Value {
        self.inputs += 1;
        let name = format!("in{}", self.inputs);
        let role = [Role::Data, Role::Data, Role::State, Role::Step][rng.below(4)];
        if role == Role::Step {
            for step in &mut self.feed.steps {
                step.insert(name.clone(), numbers(rng, shape, -1.5, 1.5));
            }
        } else {
            self.feed.inputs.insert(name.clone(), numbers(rng, shape, -1.5, 1.5));
        }
        let v = self.graph.input(&name, role, shape, DType::F32);
        if role == Role::Data {
            self.data.push((name, v));
        }
        self.pool.push(v);
        v
    }

    fn words(&mut self, rng: &mut Rng, shape: &[usize], below: usize) -> Value {
        self.inputs += 1;
        let name = format!("in{}", self.inputs);
        let mut draw = || Array {
            shape: shape.to_vec(),
            data: (0..count(shape)).map(|_| rng.below(below) as f64).collect(),
        };
        if self.inputs.is_multiple_of(2) {
            self.feed.inputs.insert(name.clone(), draw());
            return self.graph.input(&name, Role::Data, shape, DType::U32);
        }
        for step in &mut self.feed.steps {
            step.insert(name.clone(), draw());
        }
        self.graph.step_u32(&name, shape)
    }

    fn value(&mut self, v: Value) -> &Array {
        let mut inputs = self.feed.inputs.clone();
        inputs.extend(self.feed.steps[0].clone());
        self.known.extend(&self.graph, &inputs);
        &self.known.values[v.index()]
    }

    fn pick(&self, rng: &mut Rng) -> Value {
        // Recent values more often, so that graphs get deep.
        let n = self.pool.len();
        if rng.below(2) == 0 { self.pool[n - 1 - rng.below(n.min(6))] } else { self.pool[rng.below(n)] }
    }

    fn shape(&self, v: Value) -> Vec<usize> {
        self.graph.shape(v).to_vec()
    }

    /// `1 + x²`
    fn positive(&mut self, x: Value) -> Value {
        let s = self.graph.mul(x, x);
        self.graph.affine(s, 1.0, 1.0)
    }

    /// Adds an op on values of the pool.
    fn grow(&mut self, rng: &mut Rng) {
        let x = self.pick(rng);
        let scoped = rng.below(3) == 0;
        let v = match rng.below(21) {
            0..=2 => self.map(rng, x),
            3..=5 => self.zip(rng, x),
            6..=9 => self.product(rng, x),
            10 | 11 => self.sum(rng, x),
            12 | 13 => self.cut(rng, x),
            14 | 15 => self.join(rng, x),
            16 => self.turn(rng, x),
            17 => self.rows(rng, x),
            18 => self.classes(rng, x),
            19 => self.convolution(rng, x),
            _ => self.other(rng, x),
        };
        let g = &mut self.graph;
        if count(g.shape(v)) > LARGEST {
            return;
        }
        let v = if scoped { g.scope("tame", |g| g.affine(v, 1.0, 0.25)) } else { v };
        let largest = self.value(v).largest();
        assert!(largest.is_finite(), "{:?}", self.graph.node(v));
        let v = if largest > 4.0 { self.graph.scale(v, 2.0 / largest) } else { v };
        self.pool.push(v);
    }

    fn map(&mut self, rng: &mut Rng, x: Value) -> Value {
        let a = Activation::ALL[rng.below(9)];
        let f = match rng.below(10) {
            0..=4 => Func::Act(a, 0),
            5 => Func::Act(a, 1),
            6 => Func::Affine(Num(rng.range(-2.0, 2.0)), Num(rng.range(-1.0, 1.0))),
            7 => Func::Exp,
            8 => Func::IsFinite,
            _ => [Func::Log, Func::Sqrt, Func::Rsqrt, Func::Recip][rng.below(4)],
        };
        let wants_positive = matches!(f, Func::Log | Func::Sqrt | Func::Rsqrt | Func::Recip);
        let x = if wants_positive { self.positive(x) } else { x };
        self.graph.map(f, x)
    }

    fn partner(&mut self, rng: &mut Rng, x: Value) -> Value {
        let shape = self.shape(x);
        let fits: Vec<Value> =
            self.pool.iter().copied().filter(|&y| broadcast(&shape, self.graph.shape(y)).is_some()).collect();
        if rng.below(4) == 0 {
            let some: Vec<usize> = shape.iter().map(|d| if rng.below(2) == 0 { 1 } else { *d }).collect();
            return self.input(rng, &some);
        }
        fits[rng.below(fits.len())]
    }

    fn zip(&mut self, rng: &mut Rng, x: Value) -> Value {
        let y = self.partner(rng, x);
        match rng.below(9) {
            0 | 1 => self.graph.add(x, y),
            2 => self.graph.sub(x, y),
            3 | 4 => self.graph.mul(x, y),
            5 => {
                let y = self.positive(y);
                self.graph.div(x, y)
            }
            6 => self.graph.zip(Binary::Max, x, y),
            7 => {
                let a = Func::Act(Activation::ALL[rng.below(9)], 1);
                let d = self.graph.map(a, y);
                self.graph.mul(x, d)
            }
            _ => {
                let c = self.graph.zip([Binary::Less, Binary::GreaterEq, Binary::Equal][rng.below(3)], x, y);
                self.graph.select(c, y, x)
            }
        }
    }

    fn product(&mut self, rng: &mut Rng, x: Value) -> Value {
        let mut shape = self.shape(x);
        let x = if shape.len() < 2 {
            shape = vec![1, count(&shape)];
            self.graph.reshape(x, &shape)
        } else {
            x
        };
        let (ta, tb) = (rng.below(4) == 0, rng.below(2) == 0);
        let rank = shape.len();
        let k = shape[rank - if ta { 2 } else { 1 }];
        let n = 1 + rng.below(7);
        let mut other: Vec<usize> = match rng.below(4) {
            0 => vec![],
            1 => shape[..rank - 2].to_vec(),
            2 => shape[..rank - 2].iter().map(|_| 1).collect(),
            _ => vec![2; usize::from(rank == 2)],
        };
        other.extend(if tb { [n, k] } else { [k, n] });
        // An earlier weight again, where one fits.
        let again = self.pool.iter().copied().find(|&y| self.graph.shape(y) == other && rng.below(2) == 0);
        let w = again.unwrap_or_else(|| self.input(rng, &other));
        let mut y = self.graph.matmul_t(x, ta, w, tb);
        if rng.below(2) == 0 {
            let shape = self.shape(y);
            let bias = match rng.below(3) {
                0 => self.input(rng, &shape[shape.len() - 1..]),
                1 => self.input(rng, &shape),
                _ => self.graph.matmul_t(x, ta, w, tb),
            };
            y = self.graph.add(y, bias);
        }
        if rng.below(2) == 0 {
            self.pool.push(y);
        }
        if rng.below(2) == 0 { self.graph.act(Activation::ALL[rng.below(9)], y) } else { y }
    }

    /// One of the three convolutions of a value seen as images.
    fn convolution(&mut self, rng: &mut Rng, x: Value) -> Value {
        let n = count(&self.shape(x));
        // Factors of its size for five axes.
        let (mut image, mut rest) = ([1; 5], n);
        for (axis, most) in [(4, 4), (2, 6), (3, 6), (0, 3)] {
            let fits: Vec<usize> = (1..=most).filter(|d| rest.is_multiple_of(*d)).collect();
            image[axis] = fits[rng.below(fits.len())];
            rest /= image[axis];
        }
        image[1] = rest;
        let x = self.graph.reshape(x, &image);
        let [b, _, h, w, c] = image;
        let mut window = |len: usize| {
            let [size, stride, dilation] = [3, 2, 2].map(|most| 1 + rng.below(most));
            let window = Window { size, stride, dilation, before: 0 };
            if rng.below(2) == 0 || window.valid(len).is_none() {
                (window.same(len), len.div_ceil(stride))
            } else {
                (window, window.valid(len).unwrap_or(1))
            }
        };
        let ((along_h, p), (along_w, q)) = (window(h), window(w));
        let groups = if c.is_multiple_of(2) && rng.below(3) == 0 { 2 } else { 1 };
        let conv = Conv { windows: [along_h, along_w], groups };
        let o = groups * (1 + rng.below(3));
        let kernels = [b, along_h.size, along_w.size, c / groups, o];
        let result = [b, image[1], p, q, o];
        match rng.below(4) {
            0 => {
                let y = self.input(rng, &result);
                self.graph.conv_kernels(conv, x, y)
            }
            1 => {
                // The value as the result's cotangent would be: images again, from as many windows.
                let k = self.input(rng, &kernels);
                let y = self.graph.conv(conv, x, k, [p, q]);
                self.graph.conv_input(conv, y, k, [h, w])
            }
            _ => {
                let k = self.input(rng, &kernels);
                let mut y = self.graph.conv(conv, x, k, [p, q]);
                if rng.below(2) == 0 {
                    let bias = self.input(rng, &[o]);
                    y = self.graph.add(y, bias);
                }
                if rng.below(2) == 0 { self.graph.act(Activation::ALL[rng.below(9)], y) } else { y }
            }
        }
    }

    fn sum(&mut self, rng: &mut Rng, x: Value) -> Value {
        let x = if rng.below(2) == 0 {
            let y = self.partner(rng, x);
            self.graph.mul(x, y)
        } else {
            x
        };
        let mut shape = self.shape(x);
        shape.iter_mut().for_each(|d| *d = if rng.below(2) == 0 { 1 } else { *d });
        let lead = shape.iter().take_while(|d| **d == 1).count();
        let shape = if rng.below(3) == 0 { shape[rng.below(lead + 1)..].to_vec() } else { shape };
        self.graph.sum_to(x, &shape)
    }

    fn cut(&mut self, rng: &mut Rng, x: Value) -> Value {
        let shape = self.shape(x);
        if shape.is_empty() {
            return self.graph.expand(x, &[2, 3]);
        }
        let axis = rng.below(shape.len());
        let start = rng.below(shape[axis]);
        let len = 1 + rng.below(shape[axis] - start);
        let y = self.graph.slice(x, axis, start, len);
        if rng.below(3) == 0 {
            return self.graph.pad(y, axis, rng.below(3), len + 2 + rng.below(2));
        }
        // Slices of one value that overlap, touch or leave a gap.
        let z = self.graph.slice(x, axis, rng.below(shape[axis] - len + 1), len);
        self.graph.mul(y, z)
    }

    fn join(&mut self, rng: &mut Rng, x: Value) -> Value {
        let shape = self.shape(x);
        if shape.is_empty() {
            return self.graph.expand(x, &[4]);
        }
        let axis = rng.below(shape.len());
        let mut parts = vec![x];
        for _ in 0..1 + rng.below(3) {
            let fits = |y: &Value| {
                let s = self.graph.shape(*y);
                s.len() == shape.len()
                    && s.iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b)
            };
            let candidates: Vec<Value> = self.pool.iter().copied().filter(fits).collect();
            let y = candidates[rng.below(candidates.len())];
            parts.push(match rng.below(3) {
                0 => y,
                1 => self.graph.act(Activation::Tanh, y),
                _ => {
                    // Computed flat, joined in another shape.
                    let flat = self.graph.reshape(y, &[count(&self.shape(y))]);
                    let flat = self.graph.affine(flat, 0.5, 0.0);
                    let shape = self.shape(y);
                    self.graph.reshape(flat, &shape)
                }
            });
        }
        parts.rotate_left(rng.below(2));
        let joined = self.graph.concat(&parts, axis);
        if rng.below(2) == 0 {
            self.pool.extend(parts);
        }
        joined
    }

    fn turn(&mut self, rng: &mut Rng, x: Value) -> Value {
        let shape = self.shape(x);
        if rng.below(2) == 0 {
            let order = rng.choose(shape.len(), shape.len());
            return self.graph.permute(x, &order);
        }
        let n = count(&shape);
        let divisors: Vec<usize> = (1..=n).filter(|d| n.is_multiple_of(*d)).collect();
        let d = divisors[rng.below(divisors.len())];
        self.graph.reshape(x, &[d, n / d])
    }

    fn rows(&mut self, rng: &mut Rng, x: Value) -> Value {
        let shape = self.shape(x);
        if shape.is_empty() {
            return x;
        }
        if rng.below(2) == 0 {
            let index_shape = [vec![1 + rng.below(5)], vec![2, 1 + rng.below(3)]][rng.below(2)].clone();
            let index = self.words(rng, &index_shape, shape[0] + 1);
            if index_shape.len() + shape.len() - 1 > 5 {
                return x;
            }
            return self.graph.gather(x, index);
        }
        let n = 1 + rng.below(4);
        let index = self.words(rng, &shape[..1], n + 1);
        self.graph.scatter_add(x, index, n)
    }

    fn classes(&mut self, rng: &mut Rng, x: Value) -> Value {
        let shape = self.shape(x);
        if shape.is_empty() {
            return x;
        }
        if rng.below(2) == 0 {
            return self.graph.log_softmax(x);
        }
        if rng.below(3) == 0 && shape.len() > 1 {
            return self.definite(rng, x);
        }
        let y = self.input(rng, &shape);
        let y = self.graph.log_softmax(y);
        let y = self.graph.map(Func::Exp, y);
        self.graph.cross_entropy(x, y)
    }

    /// A solve or a determinant with a matrix that is positive definite by construction.
    fn definite(&mut self, rng: &mut Rng, x: Value) -> Value {
        let shape = self.shape(x);
        let rank = shape.len();
        let square = self.graph.act(Activation::Tanh, x);
        let square = self.graph.matmul_t(square, false, square, true);
        let one = self.graph.constant(1.0);
        let one = self.graph.expand(one, &[&shape[..rank - 2], &[1, 1]].concat());
        let eye = self.graph.diagonal(one, shape[rank - 2]);
        let a = self.graph.add(square, eye);
        if rng.below(2) == 0 { self.graph.spd_logdet(a) } else { self.graph.spd_solve(a, x) }
    }

    fn other(&mut self, rng: &mut Rng, x: Value) -> Value {
        let shape = self.shape(x);
        match rng.below(4) {
            0 => self.graph.stop_gradient(x),
            1 => {
                let key = self.words(rng, &[2], 1000);
                let dist = [Dist::Uniform, Dist::Normal][rng.below(2)];
                let noise = self.graph.random(dist, key, rng.below(9) as u32, &shape);
                self.graph.add(x, noise)
            }
            2 if shape.len() < 5 => self.graph.expand(x, &[&[2], &shape[..]].concat()),
            _ => {
                let c = self.graph.constant(rng.range(-1.0, 1.0));
                let c = self.graph.expand(c, &shape);
                let c = self.graph.act(Activation::Sin, c);
                self.graph.add(x, c)
            }
        }
    }

    /// A loss, its gradients (sometimes gradients of those), outputs, updates and records.
    fn finish(&mut self, rng: &mut Rng) {
        let mut loss = self.graph.constant(0.0);
        for _ in 0..4 {
            let x = self.pick(rng);
            let y = self.graph.act(Activation::Sin, x);
            let m = self.graph.mean(y);
            loss = self.graph.add(loss, m);
        }
        self.graph.record("loss", loss);
        let wrt: Vec<Value> = (0..4).map(|_| self.pool[rng.below(self.pool.len().min(12))]).collect();
        let gradients = self.graph.grad(loss, &wrt);
        for (i, g) in gradients.iter().enumerate() {
            self.graph.output(&format!("gradient {i}"), *g);
        }
        if rng.below(3) == 0 {
            let square = self.graph.mul(gradients[0], gradients[0]);
            let sum = self.graph.sum_to(square, &[]);
            let second = self.graph.grad(sum, &wrt[1..2])[0];
            self.graph.output("second", second);
            self.graph.record("sum", sum);
        }
        for i in 0..3 {
            let v = self.pool[rng.below(self.pool.len())];
            self.graph.output(&format!("value {i}"), v);
        }
        let states: Vec<Value> = (0..self.graph.nodes().len())
            .filter(|&i| matches!(self.graph.nodes()[i].op, Op::Input(k) if self.graph.inputs()[k].role == Role::State))
            .filter_map(|i| self.pool.iter().copied().find(|v| v.index() == i))
            .collect();
        for s in states {
            let shape = self.shape(s);
            let v = self.pool.iter().copied().rfind(|&v| v != s && self.graph.shape(v) == shape);
            if let Some(v) = v {
                self.graph.update(s, v);
            }
        }
        self.optimise(rng, loss);
    }

    /// An optimiser step on a flat state that the loss does not see, along a gradient made flat.
    fn optimise(&mut self, rng: &mut Rng, loss: Value) {
        let source = self.pool[rng.below(5)];
        let gradient = self.graph.grad(loss, &[source])[0];
        let p = count(self.graph.shape(gradient));
        let gradient = self.graph.reshape(gradient, &[p]);
        let (op, rows) = if rng.below(2) == 0 {
            (Op::AdamW { beta1: Num(0.9), beta2: Num(0.99), eps: Num(1e-3), decay: Num(0.1) }, 3)
        } else {
            (Op::Sgd { momentum: Num(0.9), decay: Num(0.1) }, 2)
        };
        let state = self.graph.state("moments", &[rows, p]);
        self.feed.inputs.insert("moments".into(), numbers(rng, &[rows, p], 0.125, 1.0));
        let control = self.graph.step("control", &[3]);
        for step in &mut self.feed.steps {
            step.insert("control".into(), numbers(rng, &[3], 0.01, 0.5));
        }
        let factor = self.graph.constant([1.0, 0.5, -1.0][rng.below(3)]);
        let new = self.graph.optimise(op, state, gradient, control, factor);
        self.graph.update(state, new);
    }
}
