//! Graphs that are wrong are refused where they are built, by the name of the op, its label and the shapes;
//! so are derivatives beyond the table.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use hyperloom::graph::op::{Num, Op};
use hyperloom::graph::{Graph, Role};
use hyperloom::spec::{Activation, DType, count};

/// Hooks are the process's: one test at a time has its own.
static HOOK: Mutex<()> = Mutex::new(());

/// The message of a panic.
fn refusal(build: impl FnOnce(&mut Graph)) -> String {
    let mut g = Graph::new();
    let _mine = HOOK.lock().unwrap_or_else(|e| e.into_inner());
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(|| g.scope("net/2", build)));
    std::panic::set_hook(hook);
    let cause = result.expect_err("this graph is wrong");
    cause
        .downcast_ref::<String>()
        .cloned()
        .or(cause.downcast_ref::<&str>().map(|s| s.to_string()))
        .unwrap_or_default()
}

#[test]
fn wrong_graphs_are_refused_by_name() {
    fn wrong(words: &[&str], build: impl FnOnce(&mut Graph)) {
        let message = refusal(build);
        for w in words.iter().chain(&["net/2"]) {
            assert!(message.contains(w), "'{message}' does not name '{w}'");
        }
    }
    let x = |g: &mut Graph, name: &str, shape: &[usize]| g.data(name, shape);
    let index = |g: &mut Graph, shape: &[usize]| g.input("index", Role::Data, shape, DType::U32);
    wrong(&["Add", "[2, 3]", "[4]"], |g| {
        let (a, b) = (x(g, "a", &[2, 3]), x(g, "b", &[4]));
        g.add(a, b);
    });
    wrong(&["matmul", "[2, 3]", "[4, 5]"], |g| {
        let (a, b) = (x(g, "a", &[2, 3]), x(g, "b", &[4, 5]));
        g.matmul(a, b);
    });
    wrong(&["matmul", "[2, 3, 3]", "[4, 3, 3]"], |g| {
        let (a, b) = (x(g, "a", &[2, 3, 3]), x(g, "b", &[4, 3, 3]));
        g.matmul_t(a, true, b, false);
    });
    wrong(&["matmul", "[3]", "[3, 2]"], |g| {
        let (a, b) = (x(g, "a", &[3]), x(g, "b", &[3, 2]));
        g.matmul(a, b);
    });
    wrong(&["select", "[2]", "[3]", "[1]"], |g| {
        let (a, b, c) = (x(g, "a", &[2]), x(g, "b", &[3]), x(g, "c", &[1]));
        g.select(c, a, b);
    });
    wrong(&["expand", "[2]", "[3]"], |g| {
        let a = x(g, "a", &[2]);
        g.expand(a, &[3]);
    });
    wrong(&["sum_to", "[2, 3]", "[4]"], |g| {
        let a = x(g, "a", &[2, 3]);
        g.sum_to(a, &[4]);
    });
    wrong(&["reshape", "[2, 3]", "[5]"], |g| {
        let a = x(g, "a", &[2, 3]);
        g.reshape(a, &[5]);
    });
    wrong(&["permute", "[2, 3]", "[0, 0]"], |g| {
        let a = x(g, "a", &[2, 3]);
        g.permute(a, &[0, 0]);
    });
    wrong(&["slice", "[2, 3]", "2..4", "axis 1"], |g| {
        let a = x(g, "a", &[2, 3]);
        g.slice(a, 1, 2, 2);
    });
    wrong(&["pad", "[2, 3]", "axis 1"], |g| {
        let a = x(g, "a", &[2, 3]);
        g.pad(a, 1, 2, 4);
    });
    wrong(&["concat", "[2, 3]", "[3, 3]", "axis 1"], |g| {
        let (a, b) = (x(g, "a", &[2, 3]), x(g, "b", &[3, 3]));
        g.concat(&[a, b], 1);
    });
    wrong(&["gather", "u32"], |g| {
        let a = x(g, "a", &[2, 3]);
        g.gather(a, a);
    });
    wrong(&["scatter_add", "[2, 3]", "[3]"], |g| {
        let a = x(g, "a", &[2, 3]);
        let i = index(g, &[3]);
        g.scatter_add(a, i, 2);
    });
    wrong(&["cross_entropy", "[2, 3]", "[2, 4]"], |g| {
        let (a, b) = (x(g, "a", &[2, 3]), x(g, "b", &[2, 4]));
        g.cross_entropy(a, b);
    });
    wrong(&["spd_solve", "[2, 3, 3]", "[2, 4, 1]", "[.., n, m]"], |g| {
        let (a, b) = (x(g, "a", &[2, 3, 3]), x(g, "b", &[2, 4, 1]));
        g.spd_solve(a, b);
    });
    wrong(&["spd_solve", "[3, 3]", "[2, 3, 1]"], |g| {
        let (a, b) = (x(g, "a", &[3, 3]), x(g, "b", &[2, 3, 1]));
        g.spd_solve(a, b);
    });
    wrong(&["spd_logdet", "[3, 4]"], |g| {
        let a = x(g, "a", &[3, 4]);
        g.spd_logdet(a);
    });
    wrong(&["diagonal", "[2, 3]"], |g| {
        let a = x(g, "a", &[2, 3]);
        g.diagonal(a, 3);
    });
    wrong(&["log_softmax"], |g| {
        let a = x(g, "a", &[]);
        g.log_softmax(a);
    });
    wrong(&["grad", "[3]", "one number"], |g| {
        let a = x(g, "a", &[3]);
        g.grad(a, &[a]);
    });
    wrong(&["map", "f32"], |g| {
        let i = index(g, &[3]);
        g.act(Activation::Tanh, i);
    });
}

#[test]
fn a_fourth_derivative_is_refused() {
    for a in [Activation::Gelu, Activation::Sin, Activation::Softplus] {
        let message = refusal(|g| {
            let x = g.data("x", &[3]);
            let y = g.act(a, x);
            let mut y = g.sum_to(y, &[]);
            for _ in 0..4 {
                let d = g.grad(y, &[x])[0];
                y = g.sum_to(d, &[]);
            }
        });
        for w in ["order 4", a.name(), "up to order 3"] {
            assert!(message.contains(w), "'{message}' does not name '{w}'");
        }
    }
    let message = refusal(|g| {
        let state = g.state("s", &[2, 3]);
        let (grad, control, one) = (g.data("g", &[3]), g.data("c", &[3]), g.constant(1.0));
        let new = g.optimise(Op::Sgd { momentum: Num(0.5), decay: Num(0.0) }, state, grad, control, one);
        let sum = g.sum_to(new, &[]);
        assert_eq!(count(g.shape(sum)), 1);
        g.grad(sum, &[grad]);
    });
    assert!(message.contains("sgd") && message.contains("no gradient"), "{message}");
}

#[test]
fn expressions_are_refused_at_the_callers_line() {
    let line_of = |build: fn(&mut Graph)| {
        let _mine = HOOK.lock().unwrap_or_else(|e| e.into_inner());
        let line = Arc::new(AtomicU32::new(0));
        let (hook, seen) = (std::panic::take_hook(), line.clone());
        std::panic::set_hook(Box::new(move |info| {
            let line = info.location().filter(|l| l.file() == file!()).map_or(0, |l| l.line());
            seen.store(line, Ordering::Relaxed);
        }));
        let caught = catch_unwind(|| build(&mut Graph::new()));
        std::panic::set_hook(hook);
        assert!(caught.is_err(), "this graph is wrong");
        line.load(Ordering::Relaxed)
    };
    let here = line!();
    let sum = line_of(|g| {
        let e = g.expr();
        let _ = e.data("x", &[2, 3]) + e.data("y", &[4, 5]);
    });
    let product = line_of(|g| {
        let e = g.expr();
        let _ = (2.0 * e.data("x", &[2, 3])).dot(e.data("y", &[4, 5]));
    });
    let index = line_of(|g| {
        let index = g.input("index", Role::Data, &[3], DType::U32);
        let _ = 1.0 - g.expr().of(index);
    });
    assert_eq!([sum, product, index], [here + 3, here + 7, here + 11]);
    assert!(refusal(|g| _ = g.expr().data("x", &[2, 3]).sum_to(&[4])).contains("sum_to in 'net/2'"));
}
