//! Networks and graphs as ONNX files, run by other programs: `sh scripts/onnx.sh` installs onnx and onnxruntime from Python and runs these tests with them,
//! `sh scripts/onnx.sh tract` builds tract.

#[path = "support/exported.rs"]
mod exported;
#[path = "support/exported_models.rs"]
mod exported_models;
mod support;
#[path = "support/ways.rs"]
mod ways;

use std::path::Path;
use std::process::Command;

use exported::{Case, ROWS, cases, compare};
use exported_models::{THERE, model_cases};
use hyperloom::Device;
use hyperloom::export::OnnxFile;
use hyperloom::graph::conv::{Conv, Window};
use hyperloom::graph::op::{Dist, Func, Op};
use hyperloom::graph::{Graph, Role};
use hyperloom::plan::{Caps, lower};
use hyperloom::rng::Rng;
use hyperloom::spec::{Activation, DType};
use serde_json::{Value, json};

/// Runs each file of the folder on what lies beside it, by a command that reads ONNX files: outputs by the names of files.
fn run_by_reader(folder: &Path) -> Value {
    let reader = std::env::var("HYPERLOOM_ONNX_READER").expect("HYPERLOOM_ONNX_READER: run scripts/onnx.sh");
    let done =
        Command::new("sh").arg("-c").arg(format!("{reader} \"$0\"")).arg(folder).output().expect("sh runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn numbers(of: &Value) -> Vec<f32> {
    of.as_array().expect("numbers").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
}

#[test]
#[ignore = "needs a reader of ONNX files: sh scripts/onnx.sh"]
fn networks_say_what_the_cpu_path_says() {
    let (dir, cases) = (tempfile::tempdir().expect("a folder"), cases());
    for case in &cases {
        let Case { name, program, x, .. } = case;
        let file = program.onnx(&[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        std::fs::write(dir.path().join(format!("{name}.onnx")), file).expect("a file");
        let inputs = json!({ "x": x, "rows": ROWS });
        std::fs::write(dir.path().join(format!("{name}.json")), inputs.to_string()).expect("a file");
    }
    let said = run_by_reader(dir.path());
    for case in &cases {
        case.compare("the reader", &numbers(&said[&case.name]["y"]));
    }
}

/// By every way of adaptation: from support rows to what is said of others in one file, and in two by way of a network.
#[test]
#[ignore = "needs a reader of ONNX files: sh scripts/onnx.sh"]
fn models_learn_what_the_cpu_path_learns() {
    let (dir, cases) = (tempfile::tempdir().expect("a folder"), model_cases());
    let write = |name: &str, file: &[u8], inputs: &Value| {
        std::fs::write(dir.path().join(format!("{name}.onnx")), file).expect("a file");
        std::fs::write(dir.path().join(format!("{name}.json")), inputs.to_string()).expect("a file");
    };
    let support = |case: &exported_models::ModelCase| {
        json!({ "support_x": case.support_x, "support_y": case.support_y, "shots": [THERE as f32],
                "x": case.x, "rows": exported_models::ROWS })
    };
    let mut apart = vec![];
    for case in &cases {
        let file = case.program.onnx(&[]).unwrap_or_else(|e| panic!("{}: {e}", case.way));
        write(&case.name, &file, &support(case));
        let parts = case.program.onnx_apart(&[]).unwrap_or_else(|e| panic!("{}: {e}", case.way));
        let [adapt, predict] = parts.expect("a model");
        write(&format!("{}_adapt", case.name), &adapt, &support(case));
        apart.push(predict);
    }
    let said = run_by_reader(dir.path());
    let mut faults = vec![];
    let second = tempfile::tempdir().expect("a folder");
    for (case, predict) in cases.iter().zip(apart) {
        faults.extend(case.fault(&numbers(&said[&case.name]["y"])));
        let network = &said[format!("{}_adapt", case.name)]["network"];
        assert_eq!(numbers(network), numbers(&said[&case.name]["network"]), "{}", case.way);
        let inputs = json!({ "network": network, "x": case.x, "rows": exported_models::ROWS });
        std::fs::write(second.path().join(format!("{}.onnx", case.name)), predict).expect("a file");
        std::fs::write(second.path().join(format!("{}.json", case.name)), inputs.to_string())
            .expect("a file");
    }
    let said = run_by_reader(second.path());
    faults.extend(cases.iter().filter_map(|case| case.fault(&numbers(&said[&case.name]["y"]))));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let refused = |of: &dyn Fn(&mut Graph, usize) -> hyperloom::graph::Value, parts: &[&str]| {
        let graph = |rows| {
            let mut g = Graph::new();
            let y = of(&mut g, rows);
            g.output("y", y);
            g
        };
        let why = OnnxFile::new("refused").write(graph).unwrap_err().to_string();
        assert!(parts.iter().all(|part| why.contains(part)), "{why}");
    };
    refused(&|g, rows| g.data("x", &[2, rows]), &["number of rows", "first axis"]);
    refused(&|g, rows| g.data("y", &[rows, 3]), &["'y'", "name"]);
    let grows = |g: &mut Graph, rows: usize| {
        let x = g.data("x", &[rows, 3]);
        (0..rows).fold(x, |x, _| g.act(Activation::Sin, x))
    };
    refused(&grows, &["another number of rows"]);
    refused(&|g, rows| g.data("a/b", &[rows, 3]), &["'a/b'", "name"]);
    let of = |g: &mut Graph, rows: usize| g.data("x", &[rows, 3]);
    let half = |g: &mut Graph, rows: usize| {
        let x = of(g, rows);
        g.slice(x, 0, 0, rows / 2)
    };
    refused(&half, &["slice", "axis"]);
    // A mean has another factor for another number of rows.
    let mean = |g: &mut Graph, rows: usize| {
        let x = of(g, rows);
        g.mean(x)
    };
    refused(&mean, &["map", "another number of rows"]);
    let drawn = |g: &mut Graph, rows: usize| {
        let x = of(g, rows);
        let key = g.input("key", Role::Data, &[2], DType::U32);
        let noise = g.random(Dist::Normal, key, 0, &[3]);
        g.add(x, noise)
    };
    refused(&drawn, &["random", "ONNX"]);
    let read = |g: &mut Graph, rows: usize| {
        let (x, index) = (of(g, rows), g.input("index", Role::Data, &[4], DType::U32));
        let table = g.data("table", &[3, 1]);
        let read = g.gather(table, index);
        let total = g.sum_to(read, &[]);
        g.add(x, total)
    };
    refused(&read, &["indices"]);
}

/// Writes a graph, with what it is asked; the CPU path's answers by the names of file and output.
fn graph_case(
    folder: &Path,
    name: &str,
    of: impl Fn(usize) -> Graph,
    indices: &[(&str, Vec<u32>)],
) -> Vec<([String; 2], Vec<f32>)> {
    let mut file = OnnxFile::new(name);
    file.indices = indices.iter().map(|(name, list)| ((*name).into(), list.clone())).collect();
    let bytes = file.write(&of).unwrap_or_else(|e| panic!("{name}: {e}"));
    std::fs::write(folder.join(format!("{name}.onnx")), bytes).expect("a file");
    let graph = of(ROWS);
    let device = Device::Cpu;
    let mut session = device.prepare(lower(&graph, Caps::cpu(1)).expect("a plan")).expect("a session");
    let mut rng = Rng::new(8, 0);
    let mut inputs = json!({ "rows": ROWS });
    for (i, node) in graph.nodes().iter().enumerate() {
        let Op::Input(k) = node.op else { continue };
        let input = &graph.inputs()[k].name;
        match indices.iter().find(|(name, _)| name == input) {
            Some((name, list)) => session.write_u32(name, list).expect("indices"),
            None => {
                let values: Vec<f32> =
                    (0..node.shape.iter().product()).map(|_| rng.normal() as f32).collect();
                session.write(input, &values).unwrap_or_else(|e| panic!("{input} ({i}): {e}"));
                inputs[input] = json!(values);
            }
        }
    }
    std::fs::write(folder.join(format!("{name}.json")), inputs.to_string()).expect("a file");
    session.run(1).expect("a run");
    let read =
        |(output, _): &(String, _)| ([name.into(), output.clone()], session.read(output).expect("numbers"));
    graph.outputs().iter().map(read).collect()
}

/// What networks alone do not need: all three convolutions in both orders of gradients, learning in loops, equations, tables, derivatives.
#[test]
#[ignore = "needs a reader of ONNX files: sh scripts/onnx.sh"]
fn graphs_with_gradients_say_what_the_cpu_path_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cases = vec![];
    let windows = |size, stride, dilation, before| Window { size, stride, dilation, before };
    for (name, groups, windows, [p, q]) in [
        ("plain", 1, [windows(3, 1, 1, 1), windows(2, 1, 1, 0)], [6, 4]),
        ("strides", 2, [windows(3, 2, 1, 1), windows(2, 3, 2, 1)], [3, 2]),
        // Rows that no window reads, and more zeros than are needed.
        ("short", 1, [windows(2, 3, 1, 0), windows(2, 2, 1, 1)], [2, 2]),
    ] {
        let of = |rows| {
            let mut g = Graph::new();
            let x = g.data("x", &[rows, 2, 6, 5, 4]);
            let x = g.permute(x, &[1, 0, 2, 3, 4]);
            let k = g.data("k", &[2, windows[0].size, windows[1].size, 4 / groups, 6]);
            let y = g.conv(Conv { windows, groups }, x, k, [p, q]);
            let wavy = g.act(Activation::Sin, y);
            let total = g.sum_to(wavy, &[]);
            let first = g.grad(total, &[x, k]);
            let of_first: Vec<_> = first
                .iter()
                .map(|v| {
                    let wavy = g.act(Activation::Sin, *v);
                    g.sum_to(wavy, &[])
                })
                .collect();
            let both = g.add(of_first[0], of_first[1]);
            let second = g.grad(both, &[x, k]);
            for (name, v) in ["by_x", "by_k", "by_x_again", "by_k_again"].iter().zip([first, second].concat())
            {
                g.output(name, v);
            }
            g
        };
        cases.extend(graph_case(dir.path(), name, of, &[]));
    }
    // Steps of gradients of a small network, and the gradient through all of them.
    let learn = |rows| {
        let mut g = Graph::new();
        let x = g.data("x", &[rows, 3]);
        let [w, xs, ys] =
            [("w", [1, 3, 4]), ("xs", [1, 5, 3]), ("ys", [1, 5, 4])].map(|(n, s)| g.data(n, &s));
        let (last, given) = g.scan(3, &[w], &[xs, ys], &[], |g, args| {
            let (w, [xs, ys]) = (args.carried[0], [args.constants[0], args.constants[1]]);
            let logits = g.matmul(xs, w);
            let shares = g.log_softmax(ys);
            let loss = g.cross_entropy(logits, shares);
            let loss = g.sum_to(loss, &[]);
            let slope = g.grad(loss, &[w])[0];
            let step = g.scale(slope, -0.1);
            let loss = g.reshape(loss, &[1]);
            (vec![g.add(w, step)], vec![loss])
        });
        let rows_of = g.reshape(x, &[1, rows, 3]);
        let y = g.matmul(rows_of, last[0]);
        let wavy = g.act(Activation::Sin, y);
        let total = g.sum_to(wavy, &[]);
        let through = g.grad(total, &[w, xs]);
        let y = g.reshape(y, &[rows, 4]);
        for (name, v) in [("y", y), ("losses", given[0]), ("by_w", through[0]), ("by_xs", through[1])] {
            g.output(name, v);
        }
        g
    };
    cases.extend(graph_case(dir.path(), "learn", learn, &[]));
    let solve = |rows| {
        let mut g = Graph::new();
        let x = g.data("x", &[rows, 2]);
        let (a, b) = (g.data("a", &[2, 4, 4]), g.data("b", &[2, 4, 3]));
        let one = g.constant(1.0);
        let one = g.expand(one, &[2, 1, 1]);
        let ridge = g.diagonal(one, 4);
        let square = g.matmul_t(a, false, a, true);
        let a = g.add(square, ridge);
        let solved = g.spd_solve(a, b);
        let volume = g.spd_logdet(a);
        // What is not positive definite has no answer.
        let none = g.scale(a, -1.0);
        let [none, nothing] = [g.spd_solve(none, b), g.spd_logdet(none)];
        let [none, nothing] = [none, nothing].map(|v| g.map(Func::IsFinite, v));
        g.output("none", none);
        g.output("nothing", nothing);
        let total = g.sum_to(solved, &[]);
        let y = g.mul(x, total);
        for (name, v) in [("y", y), ("solved", solved), ("volume", volume)] {
            g.output(name, v);
        }
        g
    };
    cases.extend(graph_case(dir.path(), "solve", solve, &[]));
    let tables = |rows| {
        let mut g = Graph::new();
        let x = g.data("x", &[rows, 2]);
        let table = g.data("table", &[3, 2]);
        let index = g.input("index", Role::Data, &[4], DType::U32);
        let read = g.gather(table, index);
        let back = g.scatter_add(read, index, 3);
        let total = g.sum_to(back, &[2]);
        let y = g.add(x, total);
        for (name, v) in [("y", y), ("read", read), ("back", back)] {
            g.output(name, v);
        }
        g
    };
    cases.extend(graph_case(dir.path(), "tables", tables, &[("index", vec![2, 0, 7, 2])]));
    for activation in Activation::ALL {
        let derivatives = |rows| {
            let mut g = Graph::new();
            let x = g.data("x", &[rows, 9]);
            for k in 0..4 {
                let y = g.map(Func::Act(activation, k), x);
                g.output(&format!("y{k}"), y);
            }
            g
        };
        cases.extend(graph_case(dir.path(), activation.name(), derivatives, &[]));
    }
    let said = run_by_reader(dir.path());
    for ([file, output], want) in &cases {
        compare(&format!("{output} of {file}"), want, &numbers(&said[file][output]));
    }
}
