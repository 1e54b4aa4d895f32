//! Tasks that a program brings: drawn, from a list, as a family of its own; with all that a run on a file has.

use hyperloom::experiment::config::Method;
use hyperloom::experiment::source::{OwnFamily, OwnTasks};
use hyperloom::hyper::{Chunked, Generator};
use hyperloom::net::Net;
use hyperloom::{
    Config, Device, Error, Experiment, Model, Observer, Result, RunStatus, Silent, Task, TaskKind,
};

#[allow(dead_code, reason = "its main is for the command line")]
#[path = "../examples/own_family.rs"]
mod own_family;

#[allow(dead_code, reason = "its main is for the command line")]
#[path = "../examples/generated_gan.rs"]
mod generated_gan;

/// Two networks that learn against one another in one plan: what is written for a ring comes nearer to it.
#[test]
fn generators_against_a_discriminator() -> Result<()> {
    let distance = |steps| generated_gan::judged(&Device::Cpu, &generated_gan::train(&Device::Cpu, steps)?);
    let ([before, _], [after, other]) = (distance(0)?, distance(200)?);
    assert!(after < 0.95 * before && after < other, "{before} {after} {other}");
    Ok(())
}

#[test]
fn the_example_runs() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let y = own_family::run(&Device::Cpu, &folder.path().join("run"), 60)?;
    assert!(y.len() == 2 && y.iter().all(|y| y.is_finite()), "{y:?}");
    for file in ["config.toml", "report.json", "checkpoint.safetensors", "model.safetensors"] {
        assert!(folder.path().join("run").join(file).is_file(), "{file} is missing");
    }
    Ok(())
}

/// Lines by slope and offset, with ten rows each; of some only six are known.
fn lines() -> Vec<Task> {
    (0..42)
        .map(|t| {
            let (a, b) = ((t % 7) as f32 / 3.0 - 1.0, (t / 7) as f32 / 3.0 - 1.0);
            let rows = if t % 5 == 0 { 6 } else { 10 };
            let x: Vec<f32> = (0..rows).map(|i| i as f32 / 5.0 - 1.0).collect();
            let y = x.iter().map(|x| a * x + b).collect();
            Task::from_support(x, y).with_name(format!("{a} x + {b}"))
        })
        .collect()
}

fn small(method: Method) -> Config {
    let mut c = Config::with_method(TaskKind::Own, method);
    (c.train.steps, c.train.tasks, c.train.pooled_steps, c.train.warmup) = (120, 8, 60, 5);
    (c.model.target, c.model.encoder, c.model.trunk) = (vec![8], vec![8], vec![8]);
    (c.eval.shots, c.eval.query, c.eval.tasks, c.train.min_shots) = (4, 6, 20, 2);
    c
}

/// Stops a run at the first chance.
struct Impatient;
impl Observer for Impatient {
    fn stop(&self) -> bool {
        true
    }
}

#[test]
fn a_list_of_tasks_is_stopped_resumed_and_judged() -> Result<()> {
    stopped_resumed_and_judged(&small(Method::Ridge))
}

#[test]
fn a_chunked_generator_is_stopped_resumed_and_judged() -> Result<()> {
    let mut config = small(Method::Ridge);
    config.model.generator = Generator::Chunked(Chunked { chunk: 6, embedding: 3, base: true });
    stopped_resumed_and_judged(&config)
}

fn stopped_resumed_and_judged(config: &Config) -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let source = OwnTasks::list([1], 1, lines()).open(config)?;
    let finish = |path: &str, resume: bool| -> Result<_> {
        let mut run =
            Experiment::on(source.clone(), config, &Device::Cpu, &folder.path().join(path), resume)?;
        match run.run(&mut Silent)? {
            RunStatus::Finished(report) => Ok((report, run.model().clone())),
            RunStatus::Stopped(at) => panic!("stopped at {at:?}"),
        }
    };
    let (report, whole) = finish("whole", false)?;
    let h = report.held_out.as_ref().expect("tasks");
    assert_eq!(h.tasks, 6);
    assert!(h.chosen < 0.5 * h.baselines.support_mean, "{h:?}");
    assert_eq!(h.coverage.len(), 10);
    let path = folder.path().join("parts");
    let mut run = Experiment::on(source.clone(), config, &Device::Cpu, &path, false)?;
    assert!(matches!(run.run(&mut Impatient)?, RunStatus::Stopped(_)));
    drop(run);
    let (_, parts) = finish("parts", true)?;
    assert_eq!(parts.members, whole.members, "the same bits after an interruption");
    // A model in a file of its own is the same model.
    let file = folder.path().join("model.safetensors");
    whole.save(&file)?;
    assert_eq!(Model::load(&file)?, whole);
    let tasks = source.test(4);
    let predictions = whole.predict(&Device::Cpu, &tasks, None)?;
    assert!(predictions.iter().zip(&tasks).all(|(p, t)| p.deviation.len() == t.queries(1)));
    // Intervals lie around the values, and in one another; for other steps than the chosen ones none were fitted.
    let [inner, outer] =
        [0.5, 0.95].map(|level| predictions[0].intervals(level).expect("values have intervals"));
    for ((y, [a, b]), [c, d]) in predictions[0].values.iter().zip(inner).zip(outer) {
        assert!(c < a && a < *y && *y < b && b < d);
    }
    let other = whole.predict(&Device::Cpu, &tasks, Some(0))?;
    assert!(other[0].intervals(0.5).is_none() && other[0].deviation.iter().all(|d| d.is_nan()));
    assert_ne!(other[0].values, predictions[0].values);
    Ok(())
}

#[test]
fn a_family_of_ones_own() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let config = small(Method::FineTune);
    let family = hyperloom::data::sine::Sine { shots: 4, min_shots: 2, query: 6, seed: config.seed };
    let source = OwnFamily::source(family, hyperloom::task::Likelihood::values(1), |seed, shots| {
        hyperloom::data::sine::Sine::held_out(seed, 20, shots)
    });
    let mut run = Experiment::on(source, &config, &Device::Cpu, &folder.path().join("run"), false)?;
    assert!(matches!(run.run(&mut Silent)?, RunStatus::Finished(_)));
    Ok(())
}

#[test]
fn what_cannot_be_used_is_refused() {
    let config = small(Method::FineTune);
    let refused = |tasks: OwnTasks, part: &str| match tasks.open(&config) {
        Err(e) => assert!(e.to_string().contains(part), "{part} is not in {e}"),
        Ok(_) => panic!("it should be refused: {part}"),
    };
    refused(OwnTasks::drawn([2], 1, |_, rows| (vec![0.0; rows], vec![0.0; rows])), "three rows of 2 inputs");
    refused(OwnTasks::list([2], 1, lines()), "at least two rows of 2 inputs");
    refused(OwnTasks::list([1], 1, lines()[..6].to_vec()), "at least 7 are needed");
    // The command has no tasks of a program's own.
    let open = Experiment::open(&config, &Device::Cpu, "nowhere".as_ref(), false);
    assert!(matches!(open, Err(Error::Config { message, .. }) if message.contains("Experiment::on")));
    // A net without a head has nothing for ANIL or the closed form.
    let hyper = hyperloom::hyper::HyperSpec::shared(Net::rows([1]).dense(3).tanh());
    let mut adaptation = hyperloom::adapt::Adaptation::fine_tuning(0.1, 1.0);
    adaptation.fast = hyperloom::adapt::Fast::Head;
    assert!(!adaptation.fits(&hyper));
    let e = Model::new(hyper, hyperloom::task::Likelihood::values(3), adaptation, vec![0.0; 6]);
    assert!(matches!(e, Err(Error::Shape(m)) if m.contains("nothing of the kind")));
}
