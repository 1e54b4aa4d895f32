//! A target network, a hypernetwork and tasks of one's own, to second order: `cargo run --release --example own_family`
use std::path::Path;

use hyperloom::experiment::config::{Method, WeightSource};
use hyperloom::experiment::source::OwnTasks;
use hyperloom::net::Net;
use hyperloom::{Config, Device, Experiment, Model, Result, RunStatus, Silent, Task, TaskKind};

pub(crate) fn run(device: &Device, folder: &Path, steps: u64) -> Result<Vec<f32>> {
    // A task is a wave that fades, by an amplitude and a frequency of its own; drawn are so many rows of it.
    let waves = OwnTasks::drawn([1], 1, |rng, rows| {
        let (a, f) = (rng.range(0.5, 2.0) as f32, rng.range(1.0, 3.0) as f32);
        let x: Vec<f32> = (0..rows).map(|_| rng.range(-2.0, 2.0) as f32).collect();
        let y = x.iter().map(|x| a * (f * x).sin() * (-x * x / 4.0).exp()).collect();
        (x, y)
    });
    // A hypernetwork reads ten rows and writes the weights; these learn for three steps, which training sees exactly (MAML).
    let mut config = Config::with_method(TaskKind::Own, Method::Maml);
    config.model.weights = WeightSource::Generated;
    config.model.net =
        Some(Net::rows([1]).dense(24).tanh().residual(|b| b.dense(24).tanh().dense(24)).into());
    config.adapt.train_steps = 3;
    config.train.steps = steps;
    let mut run = Experiment::on(waves.open(&config)?, &config, device, folder, false)?;
    if let RunStatus::Finished(report) = run.run(&mut Silent)?
        && let Some(held_out) = report.held_out
    {
        println!("{} on unseen waves {:.3}", held_out.metric, held_out.chosen);
    }
    let file = folder.join("model.safetensors");
    run.model().save(&file)?;
    // Elsewhere: a network for a new wave, of which three rows are known.
    let wave = Task::from_support(vec![-1.0, 0.5, 1.5], vec![-1.0, 0.7, 0.1]);
    Model::load(&file)?.adapt(device, &wave, None)?.predict(device, &[0.0, 1.0])
}

fn main() -> Result<()> {
    println!("{:?}", run(&Device::choose("auto")?.0, Path::new("runs/own-family"), 2_000)?);
    Ok(())
}
