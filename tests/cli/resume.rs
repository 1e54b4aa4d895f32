//! Runs that are stopped at any moment and go on as if they had not been.

use std::process::{Child, Stdio};

use crate::*;

/// Enough windows of steps, each with a checkpoint, that a kill at a random moment meets every phase.
fn long() -> String {
    SINE.replace("steps = 60", "steps = 600\ncheckpoint_seconds = 0")
        .replace("pooled_steps = 20", "pooled_steps = 300")
}

pub(crate) fn start(place: &Place, args: &[&str]) -> Child {
    place.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Steps and losses of a run; the seconds in the last column differ from run to run.
fn losses(place: &Place, run: &str) -> Vec<String> {
    let text = place.read(&format!("{run}/metrics.csv"));
    text.lines().map(|l| l.rsplit_once(',').unwrap().0.to_string()).collect()
}

/// The report without what the clock says.
fn verdict(place: &Place, run: &str) -> serde_json::Value {
    let mut report = place.json(&format!("{run}/report.json"));
    for name in ["seconds", "tasks_per_second"] {
        report.as_object_mut().unwrap().remove(name);
    }
    report
}

#[track_caller]
pub(crate) fn same(place: &Place, a: &str, b: &str) {
    assert!(weights(&place.path(a)) == weights(&place.path(b)), "the weights differ");
    assert_eq!(losses(place, a), losses(place, b));
    assert_eq!(verdict(place, a), verdict(place, b));
    let stray = |name: &String| name.ends_with(".tmp");
    assert!(!tree(&place.path(b)).keys().any(stray), "half-written files are left");
}

/// Runs a training in one go, into `whole`, and killed at several moments, into `run`: both end with the same bits.
#[track_caller]
pub(crate) fn ends_alike(place: &Place, train: &[&str], seed: u64) {
    let args = |out: &'static str| [train, &["--set", "train.checkpoint_seconds=0", "--out", out]].concat();
    let start = Instant::now();
    place.ok(&args("whole"));
    killed_and_resumed(place, &args("run"), "run", start.elapsed(), seed);
    same(place, "whole", "run");
}

/// Kills `args` at several moments of a run that takes about as long as `whole`, and goes on until it is done.
pub(crate) fn killed_and_resumed(
    place: &Place,
    args: &[&str],
    run: &str,
    whole: std::time::Duration,
    seed: u64,
) {
    let mut rng = hyperloom::rng::Rng::new(seed, 0);
    let mut child = start(place, args);
    let mut midway = 0;
    for _ in 0..6 {
        std::thread::sleep(whole.mul_f64(rng.range(0.02, 0.25)));
        child.kill().unwrap();
        child.wait().unwrap();
        midway += usize::from(!place.path(run).join("report.json").exists());
        let resumable = place.path(run).join("config.toml").exists();
        child =
            if resumable { start(place, &["train", "--resume", "--out", run]) } else { start(place, args) };
    }
    assert!(wait(&mut child).success());
    assert!(midway >= 1, "it was done before it could be killed");
}

#[test]
fn killed_at_any_moment() {
    let place = Place::with([("long.toml", long().as_str())]);
    let begun = Instant::now();
    place.ok(&["train", "long.toml", "--out", "whole"]);
    let whole = begun.elapsed();
    for (seed, run) in [(1, "killed"), (2, "again")] {
        killed_and_resumed(&place, &["train", "long.toml", "--out", run], run, whole, seed);
        same(&place, "whole", run);
    }
}

/// The same with several members and a file of data, whose rows are drawn on the host.
#[test]
fn killed_with_several_members() {
    let settings = SETTINGS
        .replace("steps = 60\ntasks", "steps = 300\ncheckpoint_seconds = 0\ntasks")
        .replace("pooled_steps = 60", "pooled_steps = 200");
    let place = Place::with([("settings.toml", settings.as_str()), ("lines.csv", lines_csv().as_str())]);
    let begun = Instant::now();
    place.ok(&train(&LINES, "whole"));
    let whole = begun.elapsed();
    killed_and_resumed(&place, &train(&LINES, "killed"), "killed", whole, 3);
    same(&place, "whole", "killed");
}

/// Before the first checkpoint there is nothing to go on from: the run starts again.
#[test]
fn killed_before_the_first_checkpoint() {
    let place = plant(&SINE_RUN);
    place.write("early/config.toml", place.read("run/config.toml"));
    place.write(
        "early/metrics.csv",
        "step,loss,grad_norm,learning_rate,accuracy,tasks_per_second\n1,9.0,1.0,0.1",
    );
    place.ok(&["train", "--resume", "--out", "early"]);
    same(&place, "run", "early");
}

/// What a killed process was writing is cleared away when the run goes on.
#[test]
fn half_written_files_are_cleared() {
    let place = plant(&SINE_RUN);
    let whole = tree(&place.path("run"));
    place.write("run/.hyperloom-123-4.tmp", "half");
    place.ok(&["train", "--resume", "--out", "run"]);
    assert_eq!(tree(&place.path("run")).keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
}

#[test]
fn a_finished_run_reports_again() {
    let place = plant(&SINE_RUN);
    let (before, report) = (weights(&place.path("run")), place.read("run/report.json"));
    let words = place.ok(&["train", "--resume", "--out", "run"]);
    assert!(words.contains("mse on 3 unseen tasks"), "{words}");
    assert_eq!(weights(&place.path("run")), before);
    assert_eq!(place.read("run/report.json"), report);
}

/// A run goes on with its own settings, and says so to one who gives others.
#[test]
fn other_settings_are_refused_when_going_on() {
    let place = plant(&SINE_RUN);
    place.refused(&["train", "--resume", "--out", "run", "--steps", "90"], &["--steps", "--resume"]);
    place.refused(&["train", "sine.toml", "--resume", "--out", "run"], &["sine.toml", "--resume"]);
    place.refused(
        &["train", "--resume", "--out", "run", "--seed", "4", "--shots", "2"],
        &["--seed", "--resume"],
    );
    place.ok(&["train", "--resume", "--out", "run", "--device", "cpu"]);
}

/// The same for settings changed in the folder's own file; what nothing trained depends on may change.
#[test]
fn a_changed_configuration_is_noticed() {
    let place = plant(&SINE_RUN);
    let text = place.read("run/config.toml");
    place.write("run/config.toml", text.replace("steps = 60", "steps = 90"));
    let parts = ["run/config.toml", "'steps = 90'", "'steps = 60'", "put it back"];
    place.refused(&["train", "--resume", "--out", "run"], &parts);
    place.refused(&["eval", "run", "--device", "cpu"], &parts);
    place.write("run/config.toml", text.replace("'cpu'", "'auto'").replace("sweep = [2, 4]", "sweep = [3]"));
    let printed = place.ok(&["eval", "run", "--device", "cpu", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["shots"]), (1, &3.into()));
    place.ok(&["train", "--resume", "--out", "run"]);
}

/// Data that changed while the run was stopped would mix two encodings.
#[test]
fn changed_data_is_noticed() {
    let place = plant(&LINES_RUN);
    place.write("lines.csv", lines_csv().replace("g1,-1,", "g1,-1.25,").replace("g5,-1,", "g5,-1.25,"));
    let parts = ["run", "data", "changed"];
    place.refused(&["train", "--resume", "--out", "run"], &parts);
    place.refused(&["eval", "run", "--device", "cpu"], &parts);
    std::fs::remove_file(place.path("lines.csv")).unwrap();
    place.refused(&["train", "--resume", "--out", "run"], &["lines.csv", "cannot read"]);
}

/// Sends a signal once a line that begins so is written to standard error; what is written there after it, and how long it took.
#[cfg(unix)]
#[track_caller]
fn signalled(place: &Place, args: &[&str], line: &str, signal: &str) -> (String, Duration) {
    let mut child = place.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut read = String::new();
    while !read.starts_with(line) {
        read.clear();
        assert!(std::io::BufRead::read_line(&mut err, &mut read).unwrap() > 0, "it ended by itself");
    }
    let begun = Instant::now();
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    assert_eq!(wait(&mut child).code(), Some(130));
    (std::io::read_to_string(err).unwrap(), begun.elapsed())
}

/// While the model is judged, which steps of training do not interrupt, a signal ends the command at once, and nothing is lost.
#[cfg(unix)]
#[test]
fn signals_are_heard_while_judging() {
    let text = SINE.replace("tasks = 3", "tasks = 3000");
    let place = Place::with([("many.toml", text.as_str())]);
    let (rest, took) = signalled(&place, &["train", "many.toml", "--out", "run"], "judging", "-TERM");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(rest.contains("hyperloom train --resume --out run"), "{rest}");
    assert!(!place.path("run/report.json").exists());
    place.ok(&["train", "--resume", "--out", "run"]);
    place.ok(&["train", "many.toml", "--out", "whole"]);
    same(&place, "whole", "run");
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_checkpoint() {
    // Long enough that it cannot end by itself; a checkpoint is written only because of the signal.
    let text = SINE.replace("steps = 60", "steps = 1000000\ncheckpoint_seconds = 1e9");
    let place = Place::with([("endless.toml", text.as_str())]);
    // Progress is written when the hypernetwork's training has begun.
    let (rest, _) = signalled(&place, &["train", "endless.toml", "--out", "run"], "hypernetwork", "-INT");
    let last = rest.lines().last().unwrap();
    for part in ["stopped at step", "checkpoint", "hyperloom train --resume --out run"] {
        assert!(last.contains(part), "{part} is not in {rest}");
    }
    let step: usize = last.split(' ').nth(3).unwrap().parse().unwrap();
    assert!(step >= 50 && losses(&place, "run").len() == step + 1, "{last}");
    weights(&place.path("run"));
    // Not finished: good for going on, not for predicting.
    place.write("query.csv", "x\n1\n");
    for args in [
        &["predict", "run", "--query", "query.csv", "--out", "p.csv"][..],
        &["adapt", "run", "--support", "query.csv", "--out", "n.safetensors"],
        &["eval", "run", "--device", "cpu"],
    ] {
        place.refused(args, &["run", "not finished", "train --resume"]);
    }
}
