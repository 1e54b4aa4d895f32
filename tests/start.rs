//! Hypernetworks are started right: the networks that they write before the first step are as large as networks that are drawn directly.

use hyperloom::experiment::config::{Config, Start, TaskKind};
use hyperloom::experiment::instruments::LayerStart;
use hyperloom::experiment::source::OwnTasks;
use hyperloom::hyper::{
    Chunked, Film, Generator, HyperInit, Linear, LowRank, Mixture, Recurrent, Transformer,
};
use hyperloom::rng::Rng;
use hyperloom::spec::Activation;
use hyperloom::{Device, Experiment, Result, RunStatus, Silent, Task};
use tempfile::tempdir;

/// A run of one step.
fn small() -> Config {
    let mut c = Config::of(TaskKind::Own);
    (c.train.steps, c.train.pooled_steps, c.train.tasks) = (1, 1, 2);
    (c.model.encoder, c.model.trunk, c.adapt.steps) = (vec![4], vec![64], vec![0]);
    c
}

/// Tasks of which much is said, so that their networks have little to do with one another.
fn tasks() -> Vec<Task> {
    let mut rng = Rng::new(5, 6);
    let mut numbers = |n: usize| (0..n).map(|_| rng.normal() as f32).collect::<Vec<f32>>();
    (0..7 * 32)
        .map(|_| Task::from_support(numbers(12 * 20), numbers(8 * 20)).with_descriptor(numbers(16)))
        .collect()
}

/// How it starts.
fn start(config: &Config) -> Result<Vec<LayerStart>> {
    let folder = tempdir().expect("a folder");
    let source = OwnTasks::list([12], 8, tasks()).open(config)?;
    let mut run = Experiment::on(source, config, &Device::Cpu, &folder.path().join("run"), false)?;
    match run.run(&mut Silent)? {
        RunStatus::Finished(report) => Ok(report.instruments.start),
        RunStatus::Stopped(_) => unreachable!("nothing stops it"),
    }
}

/// Generators that may draw a network for each task.
fn drawing() -> Vec<Generator> {
    vec![
        Generator::Linear(Linear {}),
        Generator::Chunked(Chunked { chunk: 64, embedding: 16, base: true }),
        Generator::Chunked(Chunked { chunk: 64, embedding: 16, base: false }),
        Generator::Recurrent(Recurrent::default()),
        Generator::Transformer(Transformer { width: 32, heads: 2, blocks: 1, hidden: 32, tile: 256 }),
    ]
}

/// Over generators, widths, depths and activations: hyperfan-in keeps activations, hyperfan-out gradients.
#[test]
fn networks_start_as_large_as_those_that_are_drawn() -> Result<()> {
    let targets = [vec![40, 40], vec![128, 128, 128], vec![24; 8], vec![200]];
    let activations = [Activation::Relu, Activation::Tanh, Activation::Sin, Activation::Silu];
    for generator in drawing() {
        for (target, activation) in targets.iter().zip(activations) {
            for (init, looked_at) in [(HyperInit::HyperfanIn, 0), (HyperInit::HyperfanOut, 1)] {
                let mut c = small();
                (c.model.target, c.model.activation) = (target.clone(), activation);
                (c.model.generator, c.model.hyper_init) = (generator.clone(), init);
                c.model.circle = activation == Activation::Relu;
                let layers = start(&c)?;
                assert_eq!(layers.len(), target.len() + 1);
                for layer in layers {
                    let ratio = layer.ratios()[looked_at];
                    assert!(
                        (0.7..=1.4).contains(&ratio),
                        "{generator:?}, {target:?} {activation}, {init:?}: {ratio} in layer {}",
                        layer.layer
                    );
                }
            }
        }
    }
    Ok(())
}

/// What begins with weights that all tasks share begins with a network that is drawn directly.
#[test]
fn shared_weights_are_drawn_directly() -> Result<()> {
    let generators = [
        Generator::Linear(Linear {}),
        Generator::Chunked(Chunked::default()),
        Generator::LowRank(LowRank { rank: 2, scale: 1.0 }),
        Generator::Film(Film {}),
    ];
    let of = |generator: &Generator| {
        let mut c = small();
        (c.model.target, c.model.generator) = (vec![40, 40], generator.clone());
        start(&c)
    };
    for generator in &generators {
        for layer in of(generator)? {
            assert!(layer.ratios().iter().all(|r| (r - 1.0).abs() < 1e-4), "{generator:?}: {layer:?}");
        }
    }
    for layer in of(&Generator::Mixture(Mixture::default()))? {
        assert!(layer.ratios().iter().all(|r| (0.7..=1.4).contains(r)), "{layer:?}");
    }
    Ok(())
}

/// Networks of their own cannot be drawn by what changes a shared one.
#[test]
fn what_draws_nothing_is_refused() {
    let refused = |of: &dyn Fn(&mut Config), what: &str| {
        let mut c = small();
        c.model.hyper_init = HyperInit::HyperfanIn;
        of(&mut c);
        let e = start(&c).expect_err("it draws nothing").to_string();
        assert!(e.contains(what), "{e}");
    };
    refused(&|c| c.model.start = Start::Pooled, "model.start = \"fresh\"");
    refused(&|c| c.train.joint_lambda = 0.5, "the main network");
    refused(&|c| c.model.generator = Generator::Film(Film {}), "linear, chunked, recurrent and transformer");
    let mut waves = Config::of(TaskKind::Sine);
    waves.model.circle = true;
    let e = waves.validate().expect_err("waves have no descriptor").to_string();
    assert!(e.contains("model.descriptor = true"), "{e}");
}
