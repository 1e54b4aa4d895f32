//! The training plan as a whole: split batches, refused steps, the same bits after an interruption.

use hyperloom::experiment::config::{Config, TaskKind};
use hyperloom::experiment::settings;
use hyperloom::experiment::setup::Setup;
use hyperloom::meta::outer::{Learner, Trainer, training_graph, training_plan};
use hyperloom::plan::{Caps, lower};
use hyperloom::rng::Rng;
use hyperloom::run::Device;
use hyperloom::{Error, Result};

fn small() -> Config {
    let mut c = Config::of(TaskKind::Sine);
    c.model.target = vec![16, 16];
    c.model.encoder = vec![16, 16];
    c.model.trunk = vec![16];
    c.train.tasks = 250;
    c
}

/// A batch that does not fit is split over tasks, and gives the same loss and gradient.
#[test]
fn a_split_batch_is_the_same_step() -> Result<()> {
    let config = small();
    let setup = Setup::load(&config)?;
    let (family, learner, s) =
        (setup.source().family(0), Learner::Hyper(setup.meta().into()), settings(&config, 0, true));
    let mut rng = Rng::new(1, 2);
    let base = setup.hyper().target.layout().init(&mut rng);
    let params = setup.hyper().init(&mut rng, &base);
    let run = |parts: usize| -> Result<(Vec<f32>, u64)> {
        let plan = lower(&training_graph(family.as_ref(), &learner, &s, parts), Caps::cpu(50))?;
        let bytes = plan.bytes();
        let mut session = Device::Cpu.prepare(plan)?;
        family.upload(&mut session)?;
        session.set_step(0, "control", &[1e-3, 10.0, 1000.0])?;
        session.set_step_u32(0, "key", &[3, 4])?;
        family.stage(&mut session, 0, 0, 0..s.tasks)?;
        let mut state = vec![0.0; 3 * params.len()];
        state[..params.len()].copy_from_slice(&params);
        session.write("learner", &state)?;
        Ok((session.run(1)?.concat(), bytes))
    };
    let (whole, bytes) = run(1)?;
    for parts in [2, 3, 8] {
        let (split, less) = run(parts)?;
        for (a, b) in whole.iter().zip(&split) {
            assert!((a - b).abs() <= 1e-5 * a.abs(), "{parts} parts: {a} and {b}");
        }
        assert!(less < bytes, "{parts} parts need {less} of {bytes} bytes");
    }
    // The planner splits by itself, and refuses with numbers what even one task at a time would not do.
    let (_, eighth) = run(8)?;
    let caps = Caps { memory: eighth, ..Caps::cpu(50) };
    assert_eq!(training_plan(family.as_ref(), &learner, &s, caps)?.bytes(), eighth);
    match training_plan(family.as_ref(), &learner, &s, Caps { memory: 1000, ..caps }) {
        Err(Error::Memory(message)) => {
            assert!(message.contains("KiB") && message.contains("1000 B"), "{message}")
        }
        other => panic!("1000 bytes cannot be enough: {:?}", other.map(|p| p.bytes())),
    }
    Ok(())
}

/// Steps whose loss is not finite are refused; when they recur the run ends, with the last good weights.
#[test]
fn nan_is_refused_and_the_state_kept() -> Result<()> {
    let mut config = small();
    config.train.learning_rate = 1e30;
    config.train.warmup = 0;
    let setup = Setup::load(&config)?;
    let family = setup.source().family(0);
    let spec = setup.hyper();
    let mut rng = Rng::new(1, 2);
    let base = spec.target.layout().init(&mut rng);
    let init = spec.init(&mut rng, &base);
    let mut trainer = Trainer::new(
        &Device::Cpu,
        family.as_ref(),
        Learner::Hyper(setup.meta().into()),
        settings(&config, 0, true),
        &init,
    )?;
    let error = loop {
        match trainer.advance(10) {
            Ok(_) => assert!(trainer.step() < 1000, "a learning rate of 1e30 cannot go well"),
            Err(e) => break e,
        }
    };
    assert!(matches!(&error, Error::Diverged(m) if m.contains("learning rate")), "{error}");
    assert!(trainer.params()?.iter().all(|w| w.is_finite()), "the state kept is the last good one");
    Ok(())
}
