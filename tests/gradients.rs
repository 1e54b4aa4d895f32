//! The gradient table: each op's first, second and third derivatives against differences in f64, ops mixed
//! with others.

mod support;

use hyperloom::graph::conv::{Conv, Window};
use hyperloom::graph::op::{Binary, Dist, Func, Num};
use hyperloom::graph::{Graph, Value};
use hyperloom::rng::Rng;
use hyperloom::spec::Activation;
use support::differences::{check_derivatives, slope_agrees};
use support::random_graph::random_graph;
use support::{Feed, close, data, numbers, run_interpreted, run_plan, words};

/// A graph under construction.
struct Trial {
    g: Graph,
    feed: Feed,
    rng: Rng,
    wrt: Vec<(&'static str, Value)>,
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

impl Trial {
    fn new() -> Trial {
        Trial { g: Graph::new(), feed: Feed::default(), rng: Rng::new(5, 5), wrt: vec![] }
    }

    /// An input to differentiate with respect to.
    fn input(&mut self, shape: &[usize], low: f64, high: f64) -> Value {
        let name = NAMES[self.wrt.len()];
        let contents = numbers(&mut self.rng, shape, low, high);
        let v = data(&mut self.g, &mut self.feed, name, contents);
        self.wrt.push((name, v));
        v
    }

    fn ordinary(&mut self, shape: &[usize]) -> Value {
        self.input(shape, -1.2, 1.2)
    }

    /// `Σ r (y + y² + y³/3)` with fixed r, so that no derivative of y is lost.
    fn loss(&mut self, y: Value) -> Value {
        let contents = numbers(&mut self.rng, self.g.shape(y), 0.25, 1.0);
        let r = data(&mut self.g, &mut self.feed, "fixed", contents);
        let e = self.g.expr();
        let (y, r) = (e.of(y), e.of(r));
        ((y + y * y + y * y * y / 3.0) * r).total().value()
    }

    /// Checks derivatives of that loss of `y`.
    fn check(mut self, name: &str, y: Value, order: usize) {
        let loss = self.loss(y);
        check_derivatives(name, &self.g, &self.feed, loss, &self.wrt, order);
    }
}

fn check(name: &str, order: usize, build: impl FnOnce(&mut Trial) -> Value) {
    let mut t = Trial::new();
    let y = build(&mut t);
    t.check(name, y, order);
}

#[test]
fn activations_up_to_the_third_derivative() {
    let smooth = |a: &Activation| !matches!(a, Activation::Relu | Activation::LeakyRelu);
    for a in Activation::ALL {
        check(a.name(), 3, |t| {
            let x = t.input(&[3, 4], -2.0, 2.0);
            t.g.act(a, x)
        });
    }
    // A derivative as a function of its own: its gradient is the next one, 0 where it is constant.
    for a in Activation::ALL {
        check(&format!("slope of {a}"), 2, |t| {
            let x = t.input(&[5], 0.2, 2.0);
            let slope = t.g.map(Func::Act(a, 1), x);
            t.g.mul(slope, x)
        });
    }
    // Bare sums, whose gradient is the activation's derivative and nothing else.
    for a in Activation::ALL.iter().filter(|a| smooth(a)) {
        let mut t = Trial::new();
        let x = t.input(&[7], -3.0, 3.0);
        let y = t.g.act(*a, x);
        let loss = t.g.sum_to(y, &[]);
        check_derivatives(a.name(), &t.g, &t.feed, loss, &t.wrt, 3);
    }
}

#[test]
fn other_functions() {
    for f in [Func::Exp, Func::Log, Func::Sqrt, Func::Rsqrt, Func::Recip, Func::Affine(Num(-1.5), Num(0.5))] {
        check(&format!("{f:?}"), 3, |t| {
            let x = t.input(&[2, 5], 0.6, 1.6);
            t.g.map(f, x)
        });
    }
    // Its gradient is zero.
    check("is_finite", 2, |t| {
        let x = t.ordinary(&[4]);
        let f = t.g.map(Func::IsFinite, x);
        t.g.mul(f, x)
    });
}

/// Shapes of two operands that broadcast in every way.
const PAIRS: [(&[usize], &[usize]); 7] = [
    (&[3, 4], &[3, 4]),
    (&[3, 4], &[4]),
    (&[3, 1], &[1, 4]),
    (&[], &[2, 3]),
    (&[2, 1, 3], &[4, 1]),
    (&[1], &[5]),
    (&[2, 3, 2, 1], &[3, 1, 4]),
];

#[test]
fn functions_of_two_values() {
    for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max] {
        for (a, b) in PAIRS {
            check(&format!("{op:?} {a:?} {b:?}"), 2, |t| {
                let (a, b) = (t.ordinary(a), t.input(b, 0.7, 1.7));
                t.g.zip(op, a, b)
            });
        }
    }
    check("Div thrice", 3, |t| {
        let (a, b) = (t.ordinary(&[5]), t.input(&[5], 0.7, 1.7));
        t.g.div(a, b)
    });
    for op in [Binary::Less, Binary::GreaterEq, Binary::Equal] {
        check(&format!("{op:?}"), 2, |t| {
            let (a, b) = (t.ordinary(&[3, 4]), t.ordinary(&[4]));
            let c = t.g.zip(op, a, b);
            let y = t.g.mul(c, a);
            t.g.add(y, b)
        });
    }
    check("a value with itself", 3, |t| {
        let a = t.ordinary(&[4]);
        let m = t.g.mul(a, a);
        let s = t.g.sub(m, a);
        t.g.mul(s, m)
    });
}

#[test]
fn select() {
    for (a, b) in PAIRS {
        check(&format!("select {a:?} {b:?}"), 2, |t| {
            let (a, b) = (t.ordinary(a), t.ordinary(b));
            let c = t.g.zip(Binary::Less, a, b);
            let square = t.g.mul(a, a);
            t.g.select(c, square, b)
        });
    }
}

#[test]
fn products() {
    let batches: [(&[usize], &[usize]); 6] =
        [(&[], &[]), (&[3], &[3]), (&[3], &[]), (&[], &[3]), (&[2, 1], &[3]), (&[2, 3], &[1, 3])];
    for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
        for (ba, bb) in batches {
            check(&format!("matmul {ta} {tb} {ba:?} {bb:?}"), 2, |t| {
                let with = |b: &[usize], r: usize, c: usize, tr: bool| {
                    if tr { [b, &[c, r]].concat() } else { [b, &[r, c]].concat() }
                };
                let (a, b) = (t.ordinary(&with(ba, 2, 3, ta)), t.ordinary(&with(bb, 3, 4, tb)));
                t.g.matmul_t(a, ta, b, tb)
            });
        }
    }
    check("third derivative", 3, |t| {
        let (a, b) = (t.ordinary(&[2, 3]), t.ordinary(&[3, 2]));
        t.g.matmul(a, b)
    });
    check("a weight used twice, bias and activation", 2, |t| {
        let (x, w, b) = (t.ordinary(&[2, 3, 3]), t.ordinary(&[3, 3]), t.ordinary(&[3]));
        let mut h = x;
        for _ in 0..2 {
            h = t.g.matmul(h, w);
            h = t.g.add(h, b);
            h = t.g.act(Activation::Tanh, h);
        }
        let transposed = t.g.matmul_t(h, false, w, true);
        t.g.add(transposed, h)
    });
    check("a square", 2, |t| {
        let a = t.ordinary(&[3, 3]);
        let y = t.g.matmul_t(a, true, a, false);
        t.g.matmul(y, a)
    });
}

#[test]
fn shapes_and_sums() {
    let sums: [(&[usize], &[usize]); 5] = [
        (&[3, 4], &[]),
        (&[3, 4], &[4]),
        (&[3, 4], &[3, 1]),
        (&[2, 3, 4], &[1, 3, 1]),
        (&[2, 3, 4], &[3, 4]),
    ];
    for (from, to) in sums {
        check(&format!("sum_to {from:?} {to:?}"), 2, |t| {
            let x = t.ordinary(from);
            let s = t.g.sum_to(x, to);
            t.g.mul(s, x)
        });
        check(&format!("a sum of products {from:?} {to:?}"), 2, |t| {
            let (x, y) = (t.ordinary(from), t.ordinary(from));
            let p = t.g.mul(x, y);
            t.g.sum_to(p, to)
        });
        check(&format!("expand {to:?} {from:?}"), 2, |t| {
            let x = t.ordinary(to);
            let y = t.ordinary(from);
            let e = t.g.expand(x, from);
            let e = t.g.act(Activation::Sin, e);
            t.g.mul(e, y)
        });
    }
    check("reshape and permute", 2, |t| {
        let (x, y) = (t.ordinary(&[2, 3, 4]), t.ordinary(&[4, 6]));
        let p = t.g.permute(x, &[2, 0, 1]);
        let r = t.g.reshape(p, &[4, 6]);
        let r = t.g.mul(r, y);
        let r = t.g.reshape(r, &[4, 2, 3]);
        let p = t.g.permute(r, &[1, 2, 0]);
        t.g.mul(p, x)
    });
}

#[test]
fn slices_pads_and_concatenations() {
    // (start, length): disjoint, touching, equal, overlapping, with gaps, nested.
    let pieces: [&[(usize, usize)]; 7] = [
        &[(0, 3), (3, 5)],
        &[(1, 2), (5, 2)],
        &[(2, 3), (2, 3)],
        &[(0, 5), (3, 4)],
        &[(0, 8), (2, 3), (2, 3)],
        &[(2, 2), (2, 4), (2, 2)],
        &[(6, 2), (0, 2), (3, 1), (0, 2)],
    ];
    for list in pieces {
        for axis in 0..2 {
            check(&format!("slices {list:?} axis {axis}"), 2, |t| {
                let x = t.ordinary(if axis == 0 { &[8, 2] } else { &[2, 8] });
                let mut sum = t.g.constant(0.0);
                for (i, (start, len)) in list.iter().enumerate() {
                    let s = t.g.slice(x, axis, *start, *len);
                    let s = t.g.act([Activation::Sin, Activation::Tanh, Activation::Silu][i % 3], s);
                    let s = t.g.sum_axes(s, &[axis]);
                    sum = t.g.add(sum, s);
                }
                t.g.mul(sum, x)
            });
        }
    }
    for axis in 0..3 {
        check(&format!("pad axis {axis}"), 2, |t| {
            let x = t.ordinary(&[2, 3, 2]);
            let p = t.g.pad(x, axis, 1, 5);
            t.g.act(Activation::Sigmoid, p)
        });
        check(&format!("concat axis {axis}"), 2, |t| {
            let (x, y) = (t.ordinary(&[2, 3, 2]), t.ordinary(&[2, 3, 2]));
            let m = t.g.mul(x, y);
            let inner = t.g.concat(&[m, x], axis);
            let twice = t.g.concat(&[inner, y, m], axis);
            let cut = t.g.slice(twice, axis, 1, 4);
            t.g.act(Activation::Tanh, cut)
        });
    }
    check("a flat vector of layers", 2, |t| {
        let (flat, x) = (t.ordinary(&[2, 3 * 4 + 4 + 4 * 2 + 3]), t.ordinary(&[2, 5, 3]));
        let w = t.g.slice(flat, 1, 0, 12);
        let w = t.g.reshape(w, &[2, 3, 4]);
        let b = t.g.slice(flat, 1, 12, 4);
        let b = t.g.reshape(b, &[2, 1, 4]);
        let h = t.g.matmul(x, w);
        let h = t.g.add(h, b);
        let h = t.g.act(Activation::Gelu, h);
        let v = t.g.slice(flat, 1, 16, 8);
        let v = t.g.reshape(v, &[2, 4, 2]);
        t.g.matmul(h, v)
    });
}

#[test]
fn rows_and_classes() {
    let indices: [(&[usize], &[u32]); 3] =
        [(&[5], &[0, 3, 3, 9, 1]), (&[2, 2], &[2, 2, 2, 0]), (&[1], &[u32::MAX])];
    for (shape, index) in indices {
        check(&format!("gather {index:?}"), 2, |t| {
            let x = t.ordinary(&[4, 3]);
            let i = words(&mut t.g, &mut t.feed, "index", shape, index);
            let y = t.g.gather(x, i);
            t.g.act(Activation::Sin, y)
        });
        check(&format!("scatter_add {index:?}"), 2, |t| {
            let x = t.ordinary(&[shape, &[2]].concat());
            let i = words(&mut t.g, &mut t.feed, "index", shape, index);
            t.g.scatter_add(x, i, 4)
        });
    }
    for (stack, n, m) in [(&[][..], 1, 1), (&[2], 3, 2), (&[2, 2], 4, 1)] {
        // Symmetric and positive definite by construction, so that every change of it is, too.
        let definite = |t: &mut Trial| {
            let x = t.ordinary(&[stack, &[n, n]].concat());
            let square = t.g.matmul_t(x, false, x, true);
            let one = t.g.constant(1.0);
            let one = t.g.expand(one, &[stack, &[1, 1]].concat());
            let eye = t.g.diagonal(one, n);
            t.g.add(square, eye)
        };
        check(&format!("spd_solve {stack:?} {n} {m}"), 3, |t| {
            let a = definite(t);
            let b = t.ordinary(&[stack, &[n, m]].concat());
            t.g.spd_solve(a, b)
        });
        check(&format!("spd_logdet {stack:?} {n}"), 3, |t| {
            let a = definite(t);
            t.g.spd_logdet(a)
        });
    }
    for shape in [&[4][..], &[3, 5], &[2, 3, 4], &[3, 1]] {
        check(&format!("log_softmax {shape:?}"), 3, |t| {
            let x = t.ordinary(shape);
            t.g.log_softmax(x)
        });
        check(&format!("cross_entropy {shape:?}"), 2, |t| {
            let (x, y) = (t.ordinary(shape), t.input(shape, 0.1, 0.9));
            t.g.cross_entropy(x, y)
        });
    }
}

#[test]
fn constants_of_the_gradient() {
    check("random", 2, |t| {
        let x = t.ordinary(&[2, 3]);
        let key = words(&mut t.g, &mut t.feed, "key", &[2], &[7, 9]);
        let r = t.g.random(Dist::Normal, key, 3, &[2, 3]);
        let y = t.g.mul(x, r);
        t.g.act(Activation::Tanh, y)
    });
    // x · stop(x²) has the gradient x², and no second derivative but through the loss.
    let mut t = Trial::new();
    let x = t.ordinary(&[5]);
    let square = t.g.mul(x, x);
    let held = t.g.stop_gradient(square);
    let y = t.g.mul(x, held);
    let loss = t.g.sum_to(y, &[]);
    let first = t.g.grad(loss, &[x])[0];
    t.g.output("first", first);
    let sum = t.g.sum_to(first, &[]);
    let second = t.g.grad(sum, &[x])[0];
    t.g.output("second", second);
    let got = run_plan::<f64>(&t.g, &t.feed);
    let want: Vec<f64> = t.feed.inputs["a"].data.iter().map(|x| x * x).collect();
    assert!(close(&got.values["first"], &want, 1e-12) && got.values["second"] == vec![0.0; 5]);
}

#[test]
fn gradients_with_respect_to_inner_values_and_of_nothing() {
    let mut t = Trial::new();
    let (x, z) = (t.ordinary(&[3]), t.ordinary(&[2]));
    let y = t.g.map(Func::Exp, x);
    let loss = t.loss(y);
    let found = t.g.grad(loss, &[y, z, x]);
    assert_eq!(found.iter().map(|v| t.g.shape(*v).to_vec()).collect::<Vec<_>>(), [vec![3], vec![2], vec![3]]);
    for (i, v) in found.iter().enumerate() {
        t.g.output(&i.to_string(), *v);
    }
    let got = run_plan::<f64>(&t.g, &t.feed);
    assert_eq!(got.values["1"], [0.0, 0.0]);
    let want = run_interpreted(&t.g, &t.feed);
    assert!(close(&got.values["0"], &want.values["0"], 1e-12));
}

/// Mixed graphs: the gradients that random graphs carry, against differences along a random direction.
#[test]
fn gradients_of_random_graphs() {
    let mut checked = 0;
    for seed in 0..300 {
        let r = random_graph(10_000 + seed);
        checked += usize::from(slope_agrees(seed, &r));
    }
    assert!(checked > 150, "only {checked} graphs were smooth");
}

#[test]
fn convolutions() {
    let strided = Window { stride: 2, ..Window::new(3) };
    for (name, conv, extent, groups) in [
        ("same", Conv::square(3, 1).same([4, 3]), [4, 3], 1),
        ("strided", Conv { windows: [strided.same(5), Window::new(2)], groups: 1 }, [5, 3], 1),
        (
            "grouped and dilated",
            Conv { windows: [Window { dilation: 2, ..Window::new(2) }; 2], groups: 2 },
            [4, 4],
            2,
        ),
    ] {
        let windows = |i: usize| match conv.windows[i].before {
            0 => conv.windows[i].valid(extent[i]).expect("a window"),
            _ => extent[i].div_ceil(conv.windows[i].stride),
        };
        let [h, w] = extent;
        let (p, q) = (windows(0), windows(1));
        let (image, result) = ([2, 2, h, w, 2], [2, 2, p, q, 2]);
        let kernels = [2, conv.windows[0].size, conv.windows[1].size, 2 / groups, 2];
        check(&format!("conv, {name}"), 3, |t| {
            let (x, k) = (t.ordinary(&image), t.ordinary(&kernels));
            t.g.conv(conv, x, k, [p, q])
        });
        check(&format!("conv by its input, {name}"), 2, |t| {
            let (y, k) = (t.ordinary(&result), t.ordinary(&kernels));
            t.g.conv_input(conv, y, k, [h, w])
        });
        check(&format!("conv by its kernels, {name}"), 2, |t| {
            let (x, y) = (t.ordinary(&image), t.ordinary(&result));
            t.g.conv_kernels(conv, x, y)
        });
    }
}
