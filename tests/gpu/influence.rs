//! What support rows do to predictions, on the device as on the CPU path.

use hyperloom::experiment::config::{Config, Method, TaskKind};
use hyperloom::experiment::setup::Setup;
use hyperloom::meta::influence::{ByGradient, Influence};
use hyperloom::rng::Rng;
use hyperloom::run::Device;
use hyperloom::{Model, Result};

use super::gpu;

/// All that was found, as numbers.
fn numbers(found: &Influence) -> Vec<f64> {
    let ByGradient::Said(moved) = &found.gradient else { panic!("{:?}", found.gradient) };
    let said = found.values.iter().chain(found.without.iter().flatten()).map(|v| f64::from(*v));
    said.chain(moved.iter().flatten().copied()).collect()
}

#[test]
fn influence_is_that_of_the_cpu_path() -> Result<()> {
    let Some(gpu) = gpu(false) else { return Ok(()) };
    for method in [Method::Maml, Method::Ridge] {
        let mut config = Config::with_method(TaskKind::Sine, method);
        config.model.target = vec![6, 6];
        config.model.encoder = vec![8];
        config.model.trunk = vec![8];
        (config.eval.shots, config.eval.tasks) = (5, 1);
        let setup = Setup::load(&config)?;
        let (meta, source) = (setup.meta(), setup.source());
        let mut rng = Rng::new(3, 0);
        let base = meta.hyper.target.layout().init(&mut rng);
        let mut params = meta.init(&mut rng, &base);
        // Where the head writes nothing at first, no row would move anything.
        params.iter_mut().filter(|w| **w == 0.0).for_each(|w| *w = (0.1 * rng.normal()) as f32);
        let mut how = meta.adaptation;
        how.rate = 0.05;
        let model = Model::new(meta.hyper.clone(), source.likelihood(), how, params)?;
        let task = &source.test(5)[0];
        let found =
            |device: &Device| Ok::<_, hyperloom::Error>(numbers(&model.influence(device, task, Some(2))?));
        let (cpu, gpu) = (found(&Device::Cpu)?, found(&Device::Gpu(gpu.clone()))?);
        let largest = cpu.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let moved = cpu.iter().rev().take(5 * 10).any(|v| *v != 0.0);
        assert!(moved && cpu.len() == gpu.len(), "{method:?}");
        for (a, b) in cpu.iter().zip(&gpu) {
            assert!((a - b).abs() <= 1e-4 * largest, "{method:?}: {a} and {b}");
        }
    }
    Ok(())
}
