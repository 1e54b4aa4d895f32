//! A target that no list of layers says, written in graph code: `cargo run --release --example own_layer`
//!
//! Its weights are written by a hypernetwork, learn for three steps, which training sees exactly, and are saved and loaded like any
//! other's.
use std::path::Path;

use hyperloom::experiment::config::{Method, WeightSource};
use hyperloom::experiment::source::OwnTasks;
use hyperloom::graph::{Graph, Value};
use hyperloom::net::{Init, Layer, LayerWeights, Net, Own, OwnLayer, ParamLayout};
use hyperloom::{Config, Device, Experiment, Model, Result, RunStatus, Silent, Task, TaskKind};

/// `h + B tanh(A h)` with `h = tanh(W x)`, each matrix with a bias.
#[derive(Debug)]
pub(crate) struct Residual {
    pub(crate) width: usize,
}

impl OwnLayer for Residual {
    fn name(&self) -> &str {
        "residual of one input"
    }

    fn output(&self, row: &[usize]) -> std::result::Result<Vec<usize>, String> {
        match row {
            [_] => Ok(vec![self.width]),
            _ => Err(format!("it reads rows of one axis, not {row:?}")),
        }
    }

    fn params(&self, row: &[usize]) -> ParamLayout {
        let mut layout = ParamLayout::default();
        for (name, inputs) in [("w", row[0]), ("a", self.width), ("b", self.width)] {
            let init = Init::Uniform(1.0 / (inputs as f64).sqrt());
            layout.push(name, &[inputs, self.width], init);
            layout.push(format!("{name} bias"), &[1, self.width], init);
        }
        layout
    }

    fn apply(&self, g: &mut Graph, weights: &LayerWeights<'_>, x: Value) -> Value {
        let e = g.expr();
        let weight = |name: &str| e.build(|g| weights.get(g, name));
        let [w, a, b] = ["w", "a", "b"].map(|name| (weight(name), weight(&format!("{name} bias"))));
        let h = (e.of(x).dot(w.0) + w.1).tanh();
        (h + ((h.dot(a.0) + a.1).tanh().dot(b.0) + b.1)).value()
    }
}

/// Trains a target of these layers before its head on waves that fade, and predicts two points of a new one.
pub(crate) fn run(device: &Device, folder: &Path, layers: Vec<Layer>, steps: u64) -> Result<Vec<f32>> {
    let waves = OwnTasks::drawn([1], 1, |rng, rows| {
        let (a, f) = (rng.range(0.5, 2.0) as f32, rng.range(1.0, 3.0) as f32);
        let x: Vec<f32> = (0..rows).map(|_| rng.range(-2.0, 2.0) as f32).collect();
        let y = x.iter().map(|x| a * (f * x).sin() * (-x * x / 4.0).exp()).collect();
        (x, y)
    });
    let mut config = Config::with_method(TaskKind::Own, Method::Maml);
    config.model.weights = WeightSource::Generated;
    config.model.net = Some(layers);
    config.adapt.train_steps = 3;
    (config.train.steps, config.train.pooled_steps) = (steps, steps);
    config.eval.tasks = 200;
    let mut run = Experiment::on(waves.open(&config)?, &config, device, folder, false)?;
    if let RunStatus::Finished(report) = run.run(&mut Silent)?
        && let Some(held_out) = report.held_out
    {
        println!("{} on unseen waves {:.3}", held_out.metric, held_out.chosen);
    }
    let file = folder.join("model.safetensors");
    run.model().save(&file)?;
    // Elsewhere: the file holds the layer's name, the program hands the layer over.
    let model = Model::load_with(&file, &[Own::new(Residual { width: 24 })])?;
    let wave = Task::from_support(vec![-1.0, 0.5, 1.5], vec![-1.0, 0.7, 0.1]);
    model.adapt(device, &wave, None)?.predict(device, &[0.0, 1.0])
}

fn main() -> Result<()> {
    let net = Net::rows([1]).own(Residual { width: 24 });
    let y = run(&Device::choose("auto")?.0, Path::new("runs/own-layer"), net.into(), 2_000)?;
    println!("{y:?}");
    Ok(())
}
