//! Sweeps: their runs are what each would be alone, they go on where they were stopped, and give up what others are better than.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyperloom::checkpoint::{Checkpoint, Tensor};
use hyperloom::experiment::config::{Config, TaskKind};
use hyperloom::experiment::sweep::{Axis, RunState, Sweep, SweepObserver, SweepRun};
use hyperloom::{Device, Error, Experiment, Result, RunStatus, Silent};
use tempfile::tempdir;

fn small() -> Config {
    let mut c = Config::of(TaskKind::Sine);
    (c.train.steps, c.train.pooled_steps, c.train.tasks, c.train.warmup) = (300, 20, 4, 2);
    (c.model.target, c.model.encoder, c.model.trunk) = (vec![8], vec![8], vec![8]);
    (c.adapt.steps, c.eval.tasks, c.eval.shots, c.eval.query) = (vec![0, 1], 5, 4, 4);
    c
}

fn axes(all: &[&str]) -> Result<Vec<Axis>> {
    all.iter().map(|text| Axis::parse(text)).collect()
}

/// Nobody watches.
struct Unseen;
impl SweepObserver for Unseen {}

/// Stops after so many runs.
struct After(usize, AtomicUsize);
impl SweepObserver for After {
    fn stop(&self) -> bool {
        self.1.load(Ordering::SeqCst) >= self.0
    }
    fn ended(&self, _: &SweepRun, _: usize) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// The weights that a run leaves.
fn weights(folder: &Path) -> Result<BTreeMap<String, Tensor>> {
    Ok(Checkpoint::load(&folder.join("checkpoint.safetensors"))?.tensors)
}

/// Whether a run of a sweep has the bits that it has alone.
fn is_as_alone(out: &Path, run: &SweepRun) -> Result<bool> {
    let config = Config::read(&out.join(&run.folder).join("config.toml"), None)?;
    let alone = tempdir().expect("a folder");
    let folder = alone.path().join("run");
    let status = Experiment::open(&config, &Device::Cpu, &folder, false)?.run(&mut Silent)?;
    assert!(matches!(status, RunStatus::Finished(_)));
    Ok(weights(&folder)? == weights(&out.join(&run.folder))?)
}

#[test]
fn runs_side_by_side_are_what_they_are_alone() -> Result<()> {
    let folder = tempdir().expect("a folder");
    let out = folder.path().join("sweep");
    let over = axes(&["train.learning_rate=0.003,0.0001", "model.generator=linear,film"])?;
    let mut sweep = Sweep::new(small(), over, 2)?;
    sweep.jobs = 3;
    // Stopped after some runs, and gone on with.
    sweep.run(&Device::Cpu, &out, &After(3, AtomicUsize::new(0)))?;
    let report = sweep.run(&Device::Cpu, &out, &Unseen)?;
    assert_eq!((report.runs.len(), report.configurations.len()), (8, 4));
    assert!(report.runs.iter().all(|r| r.state == RunState::Finished && r.test.is_some()));
    for run in &report.runs[..3] {
        assert!(is_as_alone(&out, run)?, "{:?}", run.folder);
    }
    // The best comes first, by what stands in the reports of its seeds.
    let scores: Vec<f64> = report.configurations.iter().filter_map(|c| c.validation).collect();
    assert!(scores.len() == 4 && scores.is_sorted(), "{scores:?}");
    let best = &report.configurations[0];
    let mean =
        best.runs.iter().filter_map(|i| report.runs[*i].validation).map(|v| v.score).sum::<f64>() / 2.0;
    assert_eq!(best.validation, Some(mean));
    assert_eq!(best.settings["train.learning_rate"], "0.003");
    let config = Config::read(&out.join("best.toml"), None)?;
    assert_eq!(config.train.learning_rate, 0.003);
    assert!(out.join("sweep.svg").is_file());
    // Values that are added are all that is run.
    let more = axes(&["train.learning_rate=0.003,0.0001,0.001", "model.generator=linear,film"])?;
    let watch = After(usize::MAX, AtomicUsize::new(0));
    let grown = Sweep::new(small(), more, 2)?.run(&Device::Cpu, &out, &watch)?;
    assert_eq!(grown.runs.len(), 12);
    assert_eq!(grown.runs[..8], report.runs[..8]);
    // Other settings are another sweep.
    let mut other = small();
    other.train.tasks = 5;
    let e = Sweep::new(other, axes(&["train.clip=1,2"])?, 1)?.run(&Device::Cpu, &out, &Unseen);
    assert!(e.is_err_and(|e| e.to_string().contains("tasks = 4")));
    Ok(())
}

#[test]
fn the_hopeless_are_given_up() -> Result<()> {
    let folder = tempdir().expect("a folder");
    let [whole, halved] = ["whole", "halved"].map(|name| folder.path().join(name));
    let over = axes(&["train.learning_rate=0.01,0.003,0.001,0.0003,0.0001", "adapt.rate=0.01,0.001"])?;
    let mut sweep = Sweep::new(small(), over, 1)?;
    sweep.halving = true;
    sweep.run(&Device::Cpu, &halved, &After(13, AtomicUsize::new(0)))?;
    let report = sweep.run(&Device::Cpu, &halved, &Unseen)?;
    let many = |of: &dyn Fn(&RunState) -> bool| report.runs.iter().filter(|r| of(&r.state)).count();
    // A third of ten, rounded up, and a third of these.
    assert_eq!(many(&|s| *s == RunState::Finished), 2);
    assert_eq!(many(&|s| *s == RunState::GivenUp(100)), 2);
    assert_eq!(many(&|s| *s == RunState::GivenUp(50)), 6);
    // Those that went on are first, and are what they are alone.
    let first: Vec<usize> = report.configurations[..2].iter().flat_map(|c| c.runs.clone()).collect();
    for i in first {
        assert!(is_as_alone(&halved, &report.runs[i])?);
    }
    assert!(report.configurations[2..].iter().all(|c| c.test.is_none() && !c.within_error));
    // Stopped or not, the same are given up.
    let at_once = sweep.run(&Device::Cpu, &whole, &Unseen)?;
    assert_eq!(at_once.configurations, report.configurations);
    // What was finished before competes by how good it was then, and values that are added are given their chance.
    let few = axes(&["train.learning_rate=0.0001,0.0003,0.001", "adapt.rate=0.01,0.001"])?;
    let grown = folder.path().join("grown");
    let mut some = Sweep::new(small(), few, 1)?;
    some.halving = true;
    some.run(&Device::Cpu, &grown, &Unseen)?;
    let later = sweep.run(&Device::Cpu, &grown, &Unseen)?;
    assert_eq!(later.configurations[0].settings, report.configurations[0].settings);
    let mut steps = Sweep::new(small(), axes(&["train.steps=300,900"])?, 1)?;
    steps.halving = true;
    let e = steps.run(&Device::Cpu, &folder.path().join("steps"), &Unseen);
    assert!(e.is_err_and(|e| e.to_string().contains("train.steps")));
    // Folds cannot be compared before their end.
    let growth = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/growth.csv");
    let csv = format!("[csv]\nfile = '{growth}'\ngroup = 'plant'\ntarget = 'height'\n[model]\nmembers = 2\n");
    let folds = Config::parse(&csv, "growth", Some(TaskKind::Csv))?;
    let mut sweep = Sweep::new(folds, axes(&["adapt.clip=1,2"])?, 1)?;
    sweep.halving = true;
    let e = sweep.run(&Device::Cpu, &folder.path().join("folds"), &Unseen).map(|_| ());
    assert!(
        matches!(&e, Err(Error::Config { message, .. }) if message.contains("model.members = 1")),
        "{e:?}"
    );
    Ok(())
}

#[test]
fn a_run_that_fails_stands_in_its_row() -> Result<()> {
    let folder = tempdir().expect("a folder");
    let sweep = Sweep::new(small(), axes(&["train.learning_rate=1e30,0.001"])?, 1)?;
    let report = sweep.run(&Device::Cpu, folder.path(), &Unseen)?;
    let RunState::Failed(why) = &report.runs[0].state else { panic!("{:?}", report.runs[0]) };
    assert!(why.contains("not finite"), "{why}");
    assert_eq!(report.configurations[0].runs, [1]);
    assert_eq!(report.configurations[1].validation, None);
    // It does not come right by being asked again.
    let again = sweep.run(&Device::Cpu, folder.path(), &Unseen)?;
    assert_eq!(again.runs, report.runs);
    Ok(())
}

#[test]
fn senseless_sweeps_are_refused() {
    for (over, seeds, what) in [
        (&["seed=1,2"][..], 1, "--seeds"),
        (&["adapt.rate=0.1", "adapt.rate=0.2"], 1, "varied twice"),
        (&["adapt.rate"], 1, "has no values"),
        (&["adapt.rate=0.1,,2"], 1, "empty"),
        (&["adapt.rate=0.1,0.1"], 1, "twice"),
        (&["adapt.rat=0.1"], 1, "did you mean `rate`"),
        (&["adapt.rate=-1"], 1, "positive"),
        (&["eval.shots=5,10"], 1, "judged on"),
        (&["csv.target=a,b"], 1, "judged on"),
        (&["adapt.rate=0.1"], 20_000, "1 to 10000"),
    ] {
        let e = axes(over).and_then(|axes| Sweep::new(small(), axes, seeds)).map(|_| ());
        let e = e.expect_err("it makes no sense").to_string();
        assert!(e.contains(what), "{over:?}: {e}");
    }
}
