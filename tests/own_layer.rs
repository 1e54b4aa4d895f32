//! A layer of a program's own: the same numbers as the layers that say the same, through generation, second-order adaptation,
//! training, saving and loading; and what is refused.

mod support;

use hyperloom::adapt::{Adaptation, Fast, InnerLoop};
use hyperloom::experiment::config::{Method, TaskKind, WeightSource};
use hyperloom::experiment::run_folder::{RunFolder, load_network, load_network_with, save_network};
use hyperloom::experiment::source::OwnTasks;
use hyperloom::graph::{Graph, Value};
use hyperloom::hyper::HyperSpec;
use hyperloom::net::{Init, LayerWeights, Net, Own, OwnLayer, ParamLayout, ParamRole, Weights};
use hyperloom::plan::KEEP;
use hyperloom::rng::Rng;
use hyperloom::task::{Likelihood, Loss, Rows, loss};
use hyperloom::{Config, Device, Error, Experiment, Model, Observer, Result, RunStatus, Silent, Task};
use own_layer::Residual as ByHand;
use support::{Feed, data, numbers, run_plan};

#[allow(dead_code, reason = "its main is for the command line")]
#[path = "../examples/own_layer.rs"]
mod own_layer;

/// The same as a list of layers.
fn layers(inputs: usize) -> Net {
    Net::rows([inputs]).dense(24).tanh().residual(|b| b.dense(24).tanh().dense(24))
}

fn by_hand(inputs: usize) -> Net {
    Net::rows([inputs]).own(ByHand { width: 24 })
}

/// Query loss after three steps, and its gradient with respect to the initial weights, both exact.
fn learned(target: Net, fast: Fast) -> [Vec<f64>; 2] {
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(3, 1));
    g.keep(KEEP);
    let hyper = HyperSpec::shared(target.dense(1));
    let mut adaptation = Adaptation::fine_tuning(0.1, 10.0);
    adaptation.fast = fast;
    let layout = adaptation.layout(&hyper);
    let base = hyper.target.layout().init(&mut rng);
    let init = hyper.init(&mut rng, &base).into_iter().map(f64::from).collect();
    let init = support::interpret::Array { shape: vec![layout.len()], data: init };
    let flat = data(&mut g, &mut feed, "params", init);
    let mut new = |g: &mut Graph, name: &str, shape: &[usize]| {
        data(g, &mut feed, name, numbers(&mut rng, shape, -1.0, 1.0))
    };
    let (t, n) = (3, 5);
    let (x, y) = (new(&mut g, "x", &[t, n, 2]), new(&mut g, "y", &[t, n, 1]));
    let (xq, yq) = (new(&mut g, "xq", &[t, n, 2]), new(&mut g, "yq", &[t, n, 1]));
    let support = Rows::alike(&mut g, x, y);
    let inner = InnerLoop { hyper: &hyper, adaptation: &adaptation, kind: Loss::Mse };
    let params = Weights { flat, layout: &layout };
    let problem = inner.problem(&mut g, Some(params), flat, None, &support);
    let (fast, _) = inner.learn(&mut g, &problem, 3, false, None, &[]);
    let xq = inner.inputs(&mut g, &problem, xq);
    let prediction = inner.predict(&mut g, &problem, fast, xq);
    let each = loss(&mut g, Loss::Mse, prediction, yq, None);
    let total = g.sum_to(each, &[]);
    let gradient = g.grad(total, &[flat])[0];
    g.output("losses", each);
    g.output("gradient", gradient);
    let found = run_plan::<f64>(&g, &feed).values;
    ["losses", "gradient"].map(|name| found[name].clone())
}

#[test]
fn second_order_is_the_same_to_the_bit() {
    // All weights, a row a task; and the head alone, over weights that all tasks share.
    for fast in [Fast::All, Fast::Head] {
        let (own, list) = (learned(by_hand(2), fast), learned(layers(2), fast));
        assert!(list[1].iter().any(|v| v.abs() > 1e-3));
        assert_eq!(own, list, "{fast:?}");
    }
}

#[test]
fn a_run_gives_the_same_numbers_as_a_list_of_layers() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |name: &str, net: Net| own_layer::run(&Device::Cpu, &folder.path().join(name), net.into(), 40);
    let (a, b) = (run("own", by_hand(1))?, run("layers", layers(1))?);
    assert_eq!(a, b);
    // The run's folder, and a task's network, are read where the layer is handed over, and only there.
    let own = [Own::new(ByHand { width: 24 })];
    let run = RunFolder::open(&folder.path().join("own"))?;
    let refused = |e: Error| {
        let e = e.to_string();
        assert!(e.contains("'residual of one input'") && e.contains("hands the layer"), "{e}");
    };
    refused(run.model().expect_err("the layer is missing"));
    refused(Model::load(folder.path().join("own/model.safetensors")).expect_err("the layer is missing"));
    let (model, format) = run.with_own(&own).model()?;
    let file = folder.path().join("network.safetensors");
    save_network(&file, &model.pooled(), &format)?;
    refused(load_network(&file).expect_err("the layer is missing"));
    assert_eq!(load_network_with(&file, &own)?.0, model.pooled());
    // Another layer of that name is not that layer.
    let e = Model::load_with(folder.path().join("own"), &[Own::new(ByHand { width: 8 })]);
    let e = e.expect_err("another layer").to_string();
    assert!(e.contains("'0.w' [1, 24]") && e.contains("'0.w' [1, 8]"), "{e}");
    Ok(())
}

/// Stops a run at the first chance.
struct Impatient;
impl Observer for Impatient {
    fn stop(&self) -> bool {
        true
    }
}

/// `x c`, c a number that is learned, with something wrong about it.
#[derive(Debug)]
struct Factor {
    shape: [usize; 2],
    role: ParamRole,
    offset: usize,
}

impl OwnLayer for Factor {
    fn name(&self) -> &str {
        "factor"
    }

    fn output(&self, row: &[usize]) -> std::result::Result<Vec<usize>, String> {
        Ok(row.to_vec())
    }

    fn params(&self, _: &[usize]) -> ParamLayout {
        let mut layout = ParamLayout::default();
        let p = layout.push("c", &self.shape, Init::Constant(0.5));
        (p.role, p.offset) = (self.role, self.offset);
        layout
    }

    fn apply(&self, g: &mut Graph, weights: &LayerWeights<'_>, x: Value) -> Value {
        let c = weights.get(g, "c");
        g.mul(x, c)
    }
}

const SOUND: Factor = Factor { shape: [1, 1], role: ParamRole::Body, offset: 0 };

/// A net that ends in a program's own layer, without a dense one behind it.
#[test]
fn a_run_without_a_head_is_stopped_and_resumed() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let tasks = (0..21).map(|t| {
        let x = [-1.0, -0.5, 0.5, 1.0].map(|x| x * (t as f32 + 1.0) / 10.0);
        Task::from_support(x.to_vec(), x.map(|x| 2.0 * x).to_vec())
    });
    let mut config = Config::with_method(TaskKind::Own, Method::Maml);
    config.model.net = Some(Net::rows([1]).residual(|b| b.own(SOUND)).into());
    config.model.head = false;
    (config.train.steps, config.train.pooled_steps, config.train.tasks) = (120, 60, 4);
    (config.eval.shots, config.eval.query) = (2, 2);
    let source = OwnTasks::list([1], 1, tasks.collect()).open(&config)?;
    let finish = |name: &str, resume: bool| -> Result<_> {
        let path = folder.path().join(name);
        let mut run = Experiment::on(source.clone(), &config, &Device::Cpu, &path, resume)?;
        match run.run(&mut Silent)? {
            RunStatus::Finished(report) => Ok((report.held_out.expect("tasks"), run.model().clone())),
            RunStatus::Stopped(at) => panic!("stopped at {at:?}"),
        }
    };
    let (held_out, whole) = finish("whole", false)?;
    assert!(held_out.chosen < 0.2 * held_out.baselines.support_mean, "{held_out:?}");
    let path = folder.path().join("parts");
    let mut run = Experiment::on(source.clone(), &config, &Device::Cpu, &path, false)?;
    assert!(matches!(run.run(&mut Impatient)?, RunStatus::Stopped(_)));
    drop(run);
    assert_eq!(finish("parts", true)?.1, whole, "the same bits after an interruption");
    // A way of adaptation that is left to the data is settled without losing the layer.
    let mut open = config.clone();
    (open.adapt.method, open.adapt.through) =
        (Method::Auto, Config::with_method(TaskKind::Own, Method::Auto).adapt.through);
    (open.model.weights, open.model.head) = (WeightSource::Generated, true);
    let settled = open.settled(&Likelihood::classes(2))?.model.net.expect("layers");
    Net::rows([1]).with_all(settled).check().expect("the layer is there");
    // A configuration that was read has the name alone.
    let read = Config::read(&path.join("config.toml"), None)?;
    assert_eq!(read, config);
    let e = Experiment::on(source.clone(), &read, &Device::Cpu, &folder.path().join("read"), false);
    assert!(e.is_err_and(|e| e.to_string().contains("model.net") && e.to_string().contains("'factor'")));
    Ok(())
}

#[test]
fn what_does_not_fit_is_said() {
    let said = |layer: Factor| Net::rows([2]).own(layer).check().expect_err("it does not fit");
    assert!(said(Factor { role: ParamRole::Head, ..SOUND }).contains("'c' a head"));
    assert!(said(Factor { offset: 1, ..SOUND }).contains("leave gaps"));
    // A layer that makes another thing than it says is a programmer's mistake.
    let build = || {
        let net = Net::rows([1]).own(Factor { shape: [1, 3], ..SOUND });
        let (mut g, layout) = (Graph::new(), net.layout());
        let (flat, x) = (g.data("w", &[layout.len()]), g.data("x", &[4, 1]));
        net.apply(&mut g, Weights { flat, layout: &layout }, x);
    };
    let cause = std::panic::catch_unwind(build).expect_err("three numbers a row");
    let message = cause.downcast_ref::<String>().expect("a message");
    assert!(message.contains("'factor' says that it makes [1, 4, 1], and made [1, 4, 3]"), "{message}");
}
