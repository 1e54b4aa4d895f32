//! Tasks one after another: the regulariser against numbers made elsewhere, importances against definitions, and methods that keep or forget.

use std::path::Path;
use std::sync::Arc;

use hyperloom::Device;
use hyperloom::check::golden::{Job, LIMIT_F64, run_f64, run_on};
use hyperloom::checkpoint::{Checkpoint, TensorData, read_safetensors};
use hyperloom::continual::{
    Inference, Learner, Learning, Method, Networks, Scenario, Sequence, SequenceTask, TaskRows,
    output_regulariser, polynomials, squared_gradients,
};
use hyperloom::data::labelled::Labelled;
use hyperloom::graph::{Graph, Value};
use hyperloom::hyper::{Chunked, Generator};
use hyperloom::net::Net;
use hyperloom::plan::lower;
use hyperloom::rng::Rng;
use hyperloom::spec::Activation::{Relu, Tanh};

fn numbers(file: &Checkpoint, name: &str) -> Vec<f64> {
    match &file.tensors[name].data {
        TensorData::F64(x) => x.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

/// Layers of the file's hypernetwork: two, the first with tanh.
const LAYERS: [&str; 4] = ["w1", "b1", "w2", "b2"];

/// What parameters write for embeddings.
fn written(g: &mut Graph, e: Value, [w1, b1, w2, b2]: [Value; 4]) -> Value {
    let h = g.matmul(e, w1);
    let h = g.add(h, b1);
    let h = g.act(Tanh, h);
    let y = g.matmul(h, w2);
    g.add(y, b2)
}

/// The regulariser of von Oswald et al. 2020 and its gradients, with what the present task alone would change held constant, and differentiated through.
#[test]
fn the_output_regulariser() {
    for name in ["continual_regulariser-a.safetensors", "continual_regulariser-b.safetensors"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/continual").join(name);
        let file = read_safetensors(&path).unwrap_or_else(|e| panic!("{e}"));
        let setting =
            |key: &str| -> f64 { file.metadata[key].parse().unwrap_or_else(|e| panic!("{key}: {e}")) };
        let (beta, eta) = (setting("beta"), setting("eta"));
        let mut job = Job { steps: vec![vec![]], ..Job::default() };
        let data = |job: &mut Job, name: &str| {
            job.inputs.push((name.into(), numbers(&file, name)));
            job.graph.data(name, &file.tensors[name].shape)
        };
        let e = data(&mut job, "e");
        let [star, phi, delta] =
            ["star", "phi", "delta"].map(|of| LAYERS.map(|layer| data(&mut job, &format!("{of}_{layer}"))));
        let target = data(&mut job, "task_target");
        let g = &mut job.graph;
        let tasks = g.shape(e)[0];
        let past = g.slice(e, 0, 0, tasks - 1);
        let then = written(g, past, star);
        let held = |g: &mut Graph, at: [Value; 4]| {
            let now = written(g, past, at);
            let apart = output_regulariser(g, now, then);
            g.scale(apart, beta)
        };
        let moved: [Value; 4] = std::array::from_fn(|i| g.add(phi[i], delta[i]));
        let reg = held(g, moved);
        let gradients = g.grad(reg, &phi);
        // What the present task alone would do, by gradient descent.
        let last = g.slice(e, 0, tasks - 1, 1);
        let own = written(g, last, phi);
        let wrong = g.sub(own, target);
        let square = g.mul(wrong, wrong);
        let loss = g.mean(square);
        let back = g.grad(loss, &phi);
        let ahead: [Value; 4] = std::array::from_fn(|i| {
            let step = g.scale(back[i], -eta);
            g.add(phi[i], step)
        });
        let reg_ahead = held(g, ahead);
        let gradients_ahead = g.grad(reg_ahead, &phi);
        let mut outputs =
            vec![("reg".to_string(), reg), ("task_loss".into(), loss), ("reg_lookahead".into(), reg_ahead)];
        for (i, layer) in LAYERS.iter().enumerate() {
            outputs.push((format!("grad_{layer}"), gradients[i]));
            outputs.push((format!("grad_lookahead_{layer}"), gradients_ahead[i]));
        }
        for (name, v) in &outputs {
            job.graph.output(name, *v);
            job.read.push(name.clone());
        }
        for (runner, limit) in [("f64", LIMIT_F64), ("cpu", 2e-5)] {
            let got = match runner {
                "f64" => run_f64(&job),
                _ => run_on(&Device::Cpu, &job),
            };
            for ((what, _), got) in outputs.iter().zip(got.expect("it runs").values) {
                let want = numbers(&file, what);
                let scale = want.iter().fold(1e-300, |m: f64, x| m.max(x.abs()));
                for (g, w) in got.iter().zip(&want) {
                    assert!((g - w).abs() <= limit * scale, "{name}, {what}, {runner}: {g}, not {w}");
                }
                assert_eq!(got.len(), want.len(), "{what}");
            }
        }
    }
}

/// Tasks of two classes each, at corners of their own in a space of `inputs` numbers.
fn corners(tasks: usize, inputs: usize, same_classes: bool) -> Sequence {
    let classes = if same_classes { 2 } else { 2 * tasks };
    let names: Vec<String> = (0..classes).map(|c| c.to_string()).collect();
    let (mut x, mut labels) = (vec![], vec![]);
    for task in 0..tasks {
        let mut rng = Rng::new(9, task as u64);
        let middles: Vec<Vec<f64>> =
            (0..2).map(|_| (0..inputs).map(|_| 2.0 * rng.normal()).collect()).collect();
        for i in 0..120 {
            let class = i % 2;
            x.extend(middles[class].iter().map(|m| (m + 0.3 * rng.normal()) as f32));
            labels.push(if same_classes { class } else { 2 * task + class } as u32);
        }
    }
    let rows = Arc::new(Labelled::of_numbers(vec![inputs], names, x, labels));
    let all = (0..tasks).map(|task| {
        let of = |from: usize, to: usize| {
            let first = if same_classes { 0 } else { 2 * task };
            TaskRows::new(rows.clone(), (120 * task + from..120 * task + to).collect(), first)
        };
        SequenceTask { name: task.to_string(), train: of(0, 80), test: of(80, 120) }
    });
    Sequence::new(all.collect(), 2)
}

fn networks(sequence: &Sequence, scenario: Scenario) -> Networks {
    let body = Net::rows(sequence.row.clone()).dense(12).activation(Relu);
    Networks::new(&body, scenario, sequence, 6, &[16])
}

fn learning(method: Method, steps: u64) -> Learning {
    let mut learning = Learning::new(method);
    (learning.steps, learning.batch, learning.rate, learning.memory) = (steps, 16, 0.01, 10);
    learning
}

fn learned<'s>(sequence: &'s Sequence, networks: Networks, learning: Learning) -> Learner<'s> {
    let mut learner = Learner::new(&Device::Cpu, sequence, networks, learning, 1).expect("it can be planned");
    while learner.left() > 0 {
        learner.advance(u64::MAX).expect("it learns");
    }
    learner
}

/// Every method, in every scenario, stopped within each task and gone on with: the same bits as without a stop.
#[test]
fn every_method_goes_on_with_the_same_bits() {
    for scenario in [Scenario::Task, Scenario::Domain, Scenario::Class] {
        let sequence = corners(3, 4, scenario == Scenario::Domain);
        for (name, method) in Method::ALL {
            let mut ways = vec![learning(method, 12)];
            if method == Method::Hypernetwork {
                let mut other = learning(method, 12);
                (other.stored, other.past, other.look_ahead, other.inference) =
                    (true, 1, false, Inference::Entropy);
                ways.push(other);
            }
            for way in ways {
                let new = || {
                    Learner::new(&Device::Cpu, &sequence, networks(&sequence, scenario), way, 1)
                        .unwrap_or_else(|e| panic!("{name}: {e}"))
                };
                let (mut whole, mut parts) = (new(), new());
                while whole.left() > 0 {
                    whole.advance(7).expect("it learns");
                }
                while parts.left() > 0 {
                    parts.advance(5).expect("it learns");
                    let state = parts.state().expect("a state");
                    let mut next = new();
                    next.restore(&state).expect("it goes on");
                    parts = next;
                }
                assert_eq!(whole.matrix(), parts.matrix(), "{name} in {scenario:?}");
                let (a, b) = (whole.weights(0).expect("weights"), parts.weights(0).expect("weights"));
                assert!(a.iter().all(|w| w.is_finite()) && a == b, "{name} in {scenario:?}");
            }
        }
    }
}

/// What a hypernetwork wrote stays; a network that goes on learning with the same outputs for all loses it.
#[test]
fn a_hypernetwork_forgets_nothing() {
    let sequence = polynomials(3, 0);
    let of = |method: Method| {
        let body = Net::rows([1]).dense(10).activation(Tanh).dense(10).activation(Tanh);
        let mut learning = learning(method, 1_500);
        learning.beta = 0.05;
        let networks = Networks::new(&body, Scenario::Task, &sequence, 2, &[10, 10]);
        learned(&sequence, networks, learning).outcome(0.0)
    };
    let (hyper, plain) = (of(Method::Hypernetwork), of(Method::FineTune));
    assert!(hyper.mean < 0.05 && hyper.forgetting < 0.01, "{hyper:?}");
    assert!(plain.forgetting > 0.1, "{plain:?}");
    assert_eq!(hyper.bytes_per_task, 8);
}

/// Where nobody says the task, it is found.
#[test]
fn tasks_are_found() {
    let sequence = corners(3, 6, false);
    for inference in [Inference::Classifier, Inference::Entropy] {
        let mut learning = learning(Method::Hypernetwork, 150);
        learning.inference = inference;
        let mut networks = networks(&sequence, Scenario::Class);
        networks.hyper.generator = Generator::Chunked(Chunked { chunk: 20, embedding: 4, base: false });
        let outcome = learned(&sequence, networks, learning).outcome(0.0);
        let found = outcome.task_found.expect("tasks were sought");
        match inference {
            Inference::Classifier => assert!(found > 0.98 && outcome.mean > 0.95, "{outcome:?}"),
            // Networks are certain of what they never saw, too.
            _ => assert!(found > 0.3, "{outcome:?}"),
        }
    }
}

/// With heavy weights importances hold what was learned: weights that mattered stay nearer to what they were.
#[test]
fn importances_hold_weights() {
    let sequence = corners(2, 4, true);
    let moved = |method: Method, weight: f64| {
        let mut learning = learning(method, 150);
        (learning.ewc, learning.si) = (weight, weight);
        let networks = networks(&sequence, Scenario::Domain);
        let mut learner =
            Learner::new(&Device::Cpu, &sequence, networks, learning, 1).expect("it can be planned");
        let mut first = None;
        while learner.left() > 0 {
            learner.advance(u64::MAX).expect("it learns");
            if learner.at() == (1, 0) {
                let state = learner.state().expect("a state");
                let importance = state.values.into_iter().find(|(name, _)| name == "importance");
                first = Some((learner.weights(0).expect("weights"), importance.map_or(vec![], |i| i.1)));
            }
        }
        let (then, importance) = first.expect("a task ended");
        let now = learner.weights(0).expect("weights");
        let parts = now.iter().zip(&then).zip(&importance);
        (parts.map(|((a, b), i)| f64::from((a - b).powi(2) * i)).sum::<f64>(), now)
    };
    let (_, free) = moved(Method::FineTune, 0.0);
    for (method, heavy) in [(Method::Ewc, 1e7), (Method::Si, 1e4)] {
        let (light, as_free) = moved(method, 0.0);
        assert_eq!(as_free, free, "a weight of 0 is none");
        let (held, _) = moved(method, heavy);
        assert!(held < 0.1 * light, "{method:?}: {held} beside {light}");
    }
}

/// Squares of gradients, each row's by itself: of a softmax regression `x ⊗ (p - y)`.
#[test]
fn squares_of_gradients() {
    let sequence = corners(1, 3, true);
    let net = Net::rows([3]).dense(2);
    let plan = lower(&squared_gradients(&net, &sequence), Device::Cpu.caps(1)).expect("a plan");
    let mut session = Device::Cpu.prepare(plan).expect("it fits");
    let mut rng = Rng::new(4, 0);
    let weights: Vec<f32> = (0..8).map(|_| rng.normal() as f32).collect();
    let x: Vec<f32> = (0..24).map(|_| rng.normal() as f32).collect();
    let y: Vec<f32> =
        (0..8).flat_map(|i| [f32::from(u8::from(i % 3 == 0)), f32::from(u8::from(i % 3 != 0))]).collect();
    let there: Vec<f32> = (0..8).map(|i| f32::from(u8::from(i < 5))).collect();
    let inputs = [("weights", &weights), ("x", &x), ("y", &y), ("mask", &vec![1.0; 16]), ("there", &there)];
    for (name, values) in inputs {
        session.write(name, values).expect("written");
    }
    session.run(1).expect("it runs");
    let mut want = [0.0f64; 8];
    for row in 0..5 {
        let x: Vec<f64> = x[3 * row..][..3].iter().map(|v| f64::from(*v)).collect();
        let w = |i: usize| f64::from(weights[i]);
        let logit = |o: usize| (0..3).map(|i| x[i] * w(2 * i + o)).sum::<f64>() + w(6 + o);
        let p = 1.0 / (1.0 + (logit(1) - logit(0)).exp());
        let wrong = [p - f64::from(y[2 * row]), 1.0 - p - f64::from(y[2 * row + 1])];
        for o in 0..2 {
            (0..3).for_each(|i| want[2 * i + o] += (x[i] * wrong[o]).powi(2));
            want[6 + o] += wrong[o].powi(2);
        }
    }
    for (got, want) in session.read("squares").expect("read").iter().zip(want) {
        assert!((f64::from(*got) - want).abs() < 1e-5 * want.max(1.0), "{got}, not {want}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let sequence = polynomials(2, 0);
    let of = |networks: Networks, learning: Learning| {
        Learner::new(&Device::Cpu, &sequence, networks, learning, 0).expect_err("it is refused").to_string()
    };
    let body = Net::rows([1]).dense(4);
    let new = |scenario| Networks::new(&body, scenario, &sequence, 2, &[4]);
    assert!(of(new(Scenario::Class), Learning::new(Method::Ewc)).contains("predict values"));
    let mut uncertain = Learning::new(Method::Hypernetwork);
    uncertain.inference = Inference::Entropy;
    assert!(of(new(Scenario::Domain), uncertain).contains("no probabilities"));
    let mut mixed = new(Scenario::Task);
    mixed.hyper.target = Net::rows([1]).dense(4).batch_norm().dense(1);
    assert!(of(mixed, Learning::new(Method::Hypernetwork)).contains("batch norm"));
}
