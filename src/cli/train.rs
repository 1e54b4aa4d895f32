//! `hyperloom train`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Args;
use hyperloom::experiment::config::TaskKind;
use hyperloom::experiment::policies::{PolicyConfig, PolicyReport, PolicyRun, PolicyStatus, SETTINGS};
use hyperloom::experiment::run_folder::RunFolder;
use hyperloom::experiment::{
    Experiment, HeldOut, Observer, PointsAhead, Progress, Report, RunStatus, TestReport, Translations,
    pictures,
};
use hyperloom::policy::{environments, is_environment};
use hyperloom::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Settings, Told, aside, figure, hint, open_device, say, told};

/// Arguments of `train`.
#[derive(Args, Debug)]
pub(super) struct TrainArgs {
    #[command(flatten)]
    pub(super) settings: Settings,
    /// Of an environment: numbers of its context that differ between tasks, or are other than usual, as length=0.25..1,sign=-1..1.
    #[arg(long, value_name = "NAME=LOW..HIGH,…")]
    context: Option<String>,
    /// Of an environment: ppo, a2c, reinforce, apg (through the physics), rl2 (with a memory, over trials in worlds that are new each
    /// time), maml (adapts by its own episodes) or es (evolves).
    #[arg(long)]
    learner: Option<String>,
    /// Of an environment, with rl2: the episodes of a trial by their steps, as 16,500 or 10x10.
    #[arg(long, value_name = "STEPS,…")]
    trial: Option<String>,
    /// Of an environment: where a policy's weights come from: shared (one network for all tasks), own (one for each) or generated (written by
    /// a hypernetwork from the context, with rl2 from what is remembered).
    #[arg(long)]
    weights: Option<String>,
    /// Of an environment: steps in all worlds together.
    #[arg(long)]
    frames: Option<u64>,
    /// Of tasks one after another: how many.
    #[arg(long, value_name = "N")]
    pub(super) tasks: Option<usize>,
    /// Of tasks one after another what is known when the network is asked: task, domain or class.
    #[arg(long)]
    pub(super) scenario: Option<String>,
    /// The run folder (not given: the first of runs/TASK, runs/TASK-2, … that is free).
    #[arg(long)]
    pub(super) out: Option<PathBuf>,
    /// Go on with the run in --out (not given: the latest of runs/TASK…), with the settings it was started with.
    #[arg(long)]
    pub(super) resume: bool,
    /// Write an event file for TensorBoard beside metrics.csv.
    #[arg(long)]
    pub(super) tensorboard: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl TrainArgs {
    /// Flags that only environments have.
    pub(super) fn of_environments(&self) -> [(&'static str, bool); 5] {
        [
            ("--context", self.context.is_some()),
            ("--learner", self.learner.is_some()),
            ("--trial", self.trial.is_some()),
            ("--weights", self.weights.is_some()),
            ("--frames", self.frames.is_some()),
        ]
    }

    /// The file of settings of a policy, where there is one.
    fn policy_file(&self) -> Option<PathBuf> {
        let named = |text: &str| text.lines().any(|l| l.trim_start().starts_with("environment"));
        let own =
            self.settings.config.clone().filter(|p| std::fs::read_to_string(p).is_ok_and(|t| named(&t)));
        let of_run = || self.out.as_ref().map(|o| o.join(SETTINGS)).filter(|p| p.is_file());
        if self.resume { of_run() } else { own }
    }

    fn policy_config(&self, file: Option<&Path>) -> Result<PolicyConfig> {
        if let Some((flag, _)) = self
            .settings
            .flags()
            .into_iter()
            .find(|(name, given)| *given && !matches!(*name, "--seed" | "--set"))
        {
            return Err(Error::config(
                flag,
                "is for tasks that have rows, and environments have none: leave it out",
            ));
        }
        if self.resume {
            let given =
                self.of_environments().into_iter().chain(self.settings.flags()).find(|(_, given)| *given);
            if let Some((flag, _)) = given {
                return Err(Error::config(
                    flag,
                    "with --resume a run goes on with the settings it was started with: leave this out, or leave --resume out to \
                     start another run",
                ));
            }
        }
        let (text, origin) = match file {
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(Error::io("read", file))?;
                (text, file.display().to_string())
            }
            None => (String::new(), "--set".into()),
        };
        let quoted = |v: &Option<String>| v.as_ref().map(|v| toml::Value::from(v.as_str()).to_string());
        let number = |v: Option<u64>| v.map(|v| v.to_string());
        let mut over = self.settings.set.clone();
        for (flag, key, value) in [
            ("--task", "environment", quoted(&self.settings.task)),
            ("--context", "context", quoted(&self.context)),
            ("--learner", "learner", quoted(&self.learner)),
            ("--trial", "trial", quoted(&self.trial)),
            ("--weights", "weights", quoted(&self.weights)),
            ("--device", "device", quoted(&self.settings.device)),
            ("--frames", "frames", number(self.frames)),
            ("--seed", "seed", number(self.settings.seed)),
        ] {
            let Some(value) = value else { continue };
            let twice = |s: &String| s.split_once('=').is_some_and(|(k, _)| k.trim() == key);
            if self.settings.set.iter().any(twice) {
                return Err(Error::config(flag, format!("says what --set {key}=… says, too: leave one out")));
            }
            over.push(format!("{key}={value}"));
        }
        PolicyConfig::parse(&text, &origin, &over)
    }
}

/// A policy: of an environment that `--task` or a file of settings names, or of a run that goes on.
fn run_policy(args: &TrainArgs, file: Option<&Path>) -> Result<ExitCode> {
    let latest = match (&args.out, args.resume) {
        (None, true) => Some(free_folder(args.settings.task.as_deref().unwrap_or_default(), true)?),
        _ => None,
    };
    let of_run = args.out.as_ref().or(latest.as_ref()).filter(|_| args.resume).map(|o| o.join(SETTINGS));
    if let Some(missing) = of_run.as_ref().filter(|f| !f.is_file()) {
        let folder = missing.parent().unwrap_or(missing);
        let message = format!(
            "there is no run of a policy to go on with (no {SETTINGS}); leave --resume out to start one"
        );
        return Err(Error::checkpoint(folder, message));
    }
    let config = args.policy_config(of_run.as_deref().or(file))?;
    let out = match args.out.clone().or(latest) {
        Some(o) => o,
        None => free_folder(&config.environment, false)?,
    };
    let device = open_device(&config.device)?;
    let mut run = PolicyRun::open(&config, &device, &out, args.resume)?;
    if args.tensorboard {
        run.write_events();
    }
    let mut watch = Watch::new(format!("hyperloom train --resume --out {}", out.display()))?;
    let outcome = run.run(&mut watch);
    watch.finish();
    match outcome? {
        PolicyStatus::Stopped(steps) => {
            hint(format_args!(
                "stopped after {steps} steps with a checkpoint; go on with: hyperloom train --resume --out {}",
                out.display()
            ));
            Ok(ExitCode::from(130))
        }
        PolicyStatus::Finished(report) => {
            match args.json {
                true => say(format_args!("{}\n", serde_json::to_string_pretty(&report).unwrap_or_default())),
                false => print_policy(&report, run.folder()),
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print_policy(r: &PolicyReport, folder: &RunFolder) {
    let t = &r.test;
    let networks = if r.weights == "own" { "networks" } else { "a network" };
    say(format_args!(
        "\n{}: {networks}, {} weights, {} parameters, learned by {}\n",
        r.environment, r.weights, r.parameters, r.learner
    ));
    say(format_args!(
        "{} steps in {:.1} s on {}, {:.0} steps/s\n\n",
        r.steps, r.seconds, r.device, r.steps_per_second
    ));
    let whole = match (t.contexts, r.weights.as_str()) {
        (1, _) => String::new(),
        (n, "own") => format!(" in {n} contexts"),
        // Of signs alone there are not many.
        (n, _)
            if !t.tasks.is_empty()
                && t.tasks.iter().all(|(context, _)| context.iter().all(|(name, _)| name == "sign")) =>
        {
            format!(" in {n} worlds")
        }
        (n, _) => format!(" in {n} contexts never seen"),
    };
    let what = if r.learner == "rl2" { "trials" } else { "episodes" };
    say(format_args!("mean return of {} {what}{whole}\n", t.episodes));
    say(format_args!(
        "  {:<34}   {:>9} ± {}\n",
        "the likeliest action",
        figure(t.return_mean),
        figure(t.return_std)
    ));
    say(format_args!("  {:<34}   {:>9}\n", "drawn from the policy", figure(t.drawn)));
    let line = |what: &str, mean: f64| say(format_args!("  {what:<34}   {:>9}\n", figure(mean)));
    line("at random", t.random);
    t.rules.iter().for_each(|(name, mean)| line(name, *mean));
    if let Some(oracle) = t.oracle {
        line("who knows the context", oracle);
    }
    for (k, [greedy, drawn]) in t.by_update.iter().enumerate() {
        line(&format!("after {k} steps of adaptation"), *greedy);
        line("  drawn", *drawn);
    }
    if let [first, .., last] = t.by_episode[..] {
        line("first episode of a trial", first);
        line("last episode of a trial", last);
    }
    say(format_args!("\nreport, pictures and checkpoint: {}\n", folder.path().display()));
}

pub(super) fn run(args: &TrainArgs) -> Result<ExitCode> {
    if super::continual::is_meant(args) {
        return super::continual::run(args);
    }
    let of_continual = [("--tasks", args.tasks.is_some()), ("--scenario", args.scenario.is_some())];
    if let Some((flag, _)) = of_continual.into_iter().find(|(_, given)| *given) {
        return Err(Error::config(flag, "is for tasks one after another: --task continual"));
    }
    let named = args.settings.task.as_deref().is_some_and(is_environment);
    let file = args.policy_file().or(args.settings.config.clone().filter(|_| named && !args.resume));
    if file.is_some() || named {
        return run_policy(args, file.as_deref());
    }
    if let Some((flag, _)) = args.of_environments().into_iter().find(|(_, given)| *given) {
        let names: Vec<String> = environments().iter().map(|e| e.name().to_string()).collect();
        if let Some(task) = args.settings.task.as_deref().filter(|task| TaskKind::parse(task, "").is_err()) {
            // What it says of environments is said of one that there is not.
            hyperloom::policy::environment(task, "--task")?;
        }
        return Err(Error::config(flag, format!("is for environments: --task {}", names.join("|"))));
    }
    let mut config = args.settings.resolve_unless(args.resume)?;
    let out = match &args.out {
        Some(o) => o.clone(),
        None => free_folder(config.task.name(), args.resume)?,
    };
    if args.resume {
        let file = out.join("config.toml");
        if !file.is_file() {
            return Err(Error::checkpoint(
                &out,
                "there is no run to go on with (no config.toml); leave --resume out to start one",
            ));
        }
        let device = config.device.clone();
        config = hyperloom::experiment::config::Config::read(&file, None)?;
        if args.settings.device.is_some() {
            config.device = device;
        }
    }
    let device = open_device(&config.device)?;
    let mut experiment = Experiment::open(&config, &device, &out, args.resume)?;
    if args.tensorboard {
        experiment.write_events();
    }
    let mut watch = Watch::new(format!("hyperloom train --resume --out {}", out.display()))?;
    let outcome = experiment.run(&mut watch);
    watch.finish();
    match outcome? {
        RunStatus::Stopped(p) => {
            hint(format_args!(
                "stopped at step {} with a checkpoint; go on with: hyperloom train --resume --out {}",
                p.step,
                out.display()
            ));
            Ok(ExitCode::from(130))
        }
        RunStatus::Finished(report) => {
            pictures::draw(&experiment, &report)?;
            if args.json {
                say(format_args!("{}\n", serde_json::to_string_pretty(&report).unwrap_or_default()));
            } else {
                print(&report, experiment.folder());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Settings {
    /// All flags of settings, and whether they are given.
    pub(super) fn flags(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("--method", self.method.is_some()),
            ("--net", self.net.is_some()),
            ("--set", !self.set.is_empty()),
            ("--steps", self.steps.is_some()),
            ("--seed", self.seed.is_some()),
            ("--shots", self.shots.is_some()),
            ("--csv", self.csv.is_some()),
            ("--group", self.group.is_some()),
            ("--series", self.series.is_some()),
            ("--time", self.time.is_some()),
            ("--order", self.order.is_some()),
            ("--target", self.target.is_some()),
            ("--inputs", !self.inputs.is_empty()),
            ("--drop", !self.drop.is_empty()),
            ("--splits", self.splits.is_some()),
            ("--images", self.images.is_some()),
            ("--labels", self.labels.is_some()),
            ("--test-images", self.test_images.is_some()),
            ("--test-labels", self.test_labels.is_some()),
            ("--train", self.train.is_some()),
            ("--test", self.test.is_some()),
            ("--label", self.label.is_some()),
            ("--epochs", self.epochs.is_some()),
            ("--generated", self.generated),
            ("--kind", self.kind.is_some()),
            ("--files", !self.files.is_empty()),
            ("--pairs", self.pairs.is_some()),
            ("--source", !self.source.is_empty()),
        ]
    }

    /// The first setting that `--resume` could not follow.
    fn given(&self) -> Option<String> {
        let file = self.config.as_ref().map(|c| c.display().to_string());
        file.or_else(|| self.flags().iter().find(|(_, given)| *given).map(|(name, _)| name.to_string()))
    }

    /// With `--resume` the folder's own settings count, and only the task's name and the device are taken from here.
    fn resolve_unless(&self, resume: bool) -> Result<hyperloom::experiment::config::Config> {
        if !resume {
            return self.resolve();
        }
        if let Some(name) = self.given() {
            return Err(Error::config(
                name,
                "with --resume a run goes on with the settings it was started with: leave this out, or leave \
                 --resume out to start another run",
            ));
        }
        let task = self.task.as_deref().map(|t| TaskKind::parse(t, "--task")).transpose()?;
        let mut config = hyperloom::experiment::config::Config::of(task.unwrap_or_default());
        if let Some(d) = &self.device {
            config.device = d.clone();
        }
        Ok(config)
    }
}

/// The first free of `runs/NAME`, `runs/NAME-2`, …; or the last that exists.
pub(super) fn free_folder(name: &str, last: bool) -> Result<PathBuf> {
    let folder =
        |i: usize| Path::new("runs").join(if i == 1 { name.to_string() } else { format!("{name}-{i}") });
    let free = (1..).find(|&i| !folder(i).exists()).unwrap_or(1);
    match (last, free) {
        (false, i) => Ok(folder(i)),
        (true, 1) => {
            Err(Error::checkpoint(folder(1), "there is no such run to go on with; name one with --out"))
        }
        (true, i) => Ok(folder(i - 1)),
    }
}

fn print(r: &Report, folder: &RunFolder) {
    say("\n");
    match (&r.test, &r.held_out) {
        (Some(test), _) => print_test(r, test),
        (None, Some(held_out)) => print_held_out(r, held_out),
        (None, None) => {}
    }
    say("\n");
    say(format_args!("report, pictures and checkpoint: {}\n", folder.path().display()));
}

/// What a run of a single task found.
fn print_test(r: &Report, t: &TestReport) {
    let what = match &t.direct {
        Some(_) => format!(
            "a network of {} weights from {} parameters; {} of them write {} weights of kernels",
            r.target_weights, t.parameters, t.kernels[0], t.kernels[1]
        ),
        None => format!("a network of {} weights", r.target_weights),
    };
    say(format_args!("{}: {what}\n", r.task));
    say(format_args!("{} steps ({:.1} epochs) in {:.1} s on {}\n", r.steps, t.epochs, r.seconds, r.device));
    say("\n");
    say(format_args!(
        "{:<26}{:>12}{:>12}{:>12}\n",
        match t.bits_per_character {
            Some(_) => format!("on {} test symbols", t.rows),
            None => format!("on {} test rows", t.rows),
        },
        "accuracy",
        if t.bits_per_character.is_some() { "bits each" } else { "loss" },
        "parameters"
    ));
    let row = |name: &str, accuracy: f64, loss: f64, parameters: usize| {
        say(format_args!("  {name:<24}{:>12}{:>12}{parameters:>12}\n", figure(accuracy), figure(loss)));
    };
    match &t.direct {
        Some(direct) => {
            row("kernels generated", t.accuracy, t.loss, t.parameters);
            row("trained directly", direct.accuracy, direct.loss, direct.parameters);
        }
        None => row("trained directly", t.accuracy, t.bits_per_character.unwrap_or(t.loss), t.parameters),
    }
    if let Some(found) = &t.translations {
        say(format_args!("  {}\n", said(found)));
    }
}

/// What a run of a family of tasks found.
fn print_held_out(r: &Report, h: &HeldOut) {
    let of_scale = |v: f64| {
        if h.metric == "rmse" {
            format!("  ({} of the target's standard deviation)", figure(v / h.target_std))
        } else {
            String::new()
        }
    };
    let folds = if r.members > 1 { format!(", {} folds averaged", r.members) } else { String::new() };
    let all = match r.written_weights {
        n if n > 0 && n < r.target_weights => format!("{n} of {}", r.target_weights),
        _ => r.target_weights.to_string(),
    };
    say(format_args!(
        "{}: a hypernetwork of {} parameters that writes {all} weights a task{folds}\n",
        r.task, r.hyper_parameters
    ));
    say(format_args!(
        "{} steps in {:.1} s on {}, {:.0} tasks/s\n",
        r.steps, r.seconds, r.device, r.tasks_per_second
    ));
    say("\n");
    say(format_args!("{} on {}, {}\n", h.metric, h.judged_on(), h.known_rows()));
    for (k, v) in &h.by_steps {
        let mark = if *k == h.chosen_steps.to_string() { "  <- chosen on validation tasks" } else { "" };
        say(format_args!(
            "  generated, {k:>3} steps of adaptation   {:>9}{}{mark}\n",
            figure(*v),
            of_scale(*v)
        ));
    }
    if h.chosen_correction != 1.0 {
        say(format_args!(
            "  (of the correction to the pooled network {} is kept, chosen on validation tasks)\n",
            h.chosen_correction
        ));
    }
    if let Some(g) = &h.gate {
        say(format_args!(
            "  {:<34}   {:>9}{}  <- by evidence (τ {}), chosen on validation tasks\n",
            "pooled, generated, adapted weighed",
            figure(h.chosen),
            of_scale(h.chosen),
            g.temperature
        ));
    }
    for (name, v) in pictures::baselines(h) {
        say(format_args!("  {name:<34}   {:>9}{}\n", figure(v), of_scale(v)));
    }
    for (name, found) in &h.translations {
        say(format_args!("  {:<34}   {}\n", name.replace('_', " "), said(found)));
    }
    if !h.points_ahead.is_empty() {
        // A line holds six: the first, the last, and some between.
        let n = h.points_ahead.len();
        let mut shown: Vec<usize> = (0..6).map(|i| i * (n - 1) / 5).collect();
        shown.dedup();
        let line = |name: &str, value: &dyn Fn(&PointsAhead) -> String| {
            let each: String = shown.iter().map(|i| format!("{:>10}", value(&h.points_ahead[*i]))).collect();
            say(format_args!("  {name:<34}{each}\n"));
        };
        line("points ahead, from what is known", &|p| p.ahead.to_string());
        line("  what was chosen", &|p| figure(p.chosen));
        line("  naive", &|p| figure(p.naive));
        if h.points_ahead.iter().any(|p| p.covered.is_some()) {
            let share = |c: f64| format!("{:.1} %", 100.0 * c);
            line("  80 % intervals cover", &|p| p.covered.map_or(String::new(), share));
        }
    }
    if let Some(line) = verdict(h) {
        say(format_args!("  {line}\n"));
    }
    if !h.coverage.is_empty() {
        say("\nintervals cover ");
        let shown = h.coverage.iter().filter(|c| [0.5, 0.8, 0.95].contains(&c.level));
        let shown: Vec<String> =
            shown.map(|c| format!("{:.1} % (of {:.0} %)", 100.0 * c.covered, 100.0 * c.level)).collect();
        say(format_args!("{}\n", shown.join(", ")));
    }
    if let Some(apart) = &h.disagreement {
        let rank = apart
            .rank_correlation
            .map_or(String::new(), |r| format!("; rank correlation with how wrong a row is: {r:.2}"));
        say(format_args!("networks of a task disagree by {}{rank}\n", figure(apart.mean)));
    }
}

/// How good what is said of sources is.
fn said(found: &Translations) -> String {
    format!(
        "of {} targets {:.1} % are said exactly; chrF {:.1}, BLEU {:.1}, {:.3} edits a symbol",
        found.pairs,
        100.0 * found.exact,
        found.chrf,
        found.bleu,
        found.character_error
    )
}

/// Whether what was chosen is better than the best of the baselines, where tasks can say so.
fn verdict(h: &HeldOut) -> Option<String> {
    let names = ["support_mean", "pooled", "pooled_residual", "pooled_fine_tuned"].into_iter();
    let all = names
        .chain(h.baselines.simple.keys().map(String::as_str))
        .zip(pictures::baselines(h))
        .filter_map(|(key, (name, _))| Some((name, *h.differences.get(key)?)));
    // The one whose error is least is the one that this one's is larger than by most.
    let (name, d) = all.max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
    let what = match h.metric.as_str() {
        "accuracy" => "rows wrong",
        "bits_per_dimension" | "bits_per_character" => "bits",
        _ => "squared error",
    };
    let by = format!(
        "{} ± {} {what} (standard error over {} tasks)",
        figure(d.mean.abs()),
        figure(d.standard_error),
        d.tasks
    );
    if d.mean == 0.0 && d.standard_error == 0.0 {
        return Some(format!("what was chosen is no other than the best of these, {name}"));
    }
    Some(match d.is_better() {
        Some(true) => format!("what was chosen is better than the best of these, {name}, by {by}"),
        Some(false) => format!("what was chosen is worse than the best of these, {name}, by {by}"),
        None => format!("what was chosen is not told apart from the best of these, {name}: {by}"),
    })
}

/// The progress bar, and the wish to stop.
pub(super) struct Watch {
    bar: Option<ProgressBar>,
    phase: String,
    stop: Arc<AtomicBool>,
    /// Whether steps are taken, between which the wish to stop is looked at.
    steps: Arc<AtomicBool>,
    printed: Instant,
}

impl Watch {
    /// Watches what `again` goes on with after it was stopped.
    pub(super) fn new(again: String) -> Result<Watch> {
        let stop = Arc::new(AtomicBool::new(false));
        let steps = Arc::new(AtomicBool::new(false));
        let (flag, in_steps) = (stop.clone(), steps.clone());
        ctrlc::set_handler(move || {
            // A second Ctrl-C does not wait for the checkpoint. While the model is chosen and judged nothing is lost that the last
            // checkpoint does not lead to again, and files are written whole or not at all.
            let twice = flag.swap(true, Ordering::SeqCst);
            if twice || !in_steps.load(Ordering::SeqCst) {
                if !twice {
                    hint(format_args!("stopped; go on with: {again}"));
                }
                hyperloom::policy::end_programs();
                std::process::exit(130);
            }
        })
        .map_err(|e| Error::Device(format!("cannot listen for Ctrl-C: {e}")))?;
        let bar = (told() == Told::Auto && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{prefix:<16} {bar:32} {pos}/{len}  {msg}  {eta} left");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Ok(Watch { bar, phase: String::new(), stop, steps, printed: Instant::now() })
    }

    pub(super) fn finish(&self) {
        if let Some(b) = &self.bar {
            b.finish_and_clear();
        }
    }
}

impl Observer for Watch {
    fn progress(&mut self, p: &Progress<'_>) {
        self.steps.store(p.steps > 0, Ordering::SeqCst);
        match told() {
            Told::None => return,
            Told::Json => {
                // Of a phase without steps only that it began.
                let numbers = (p.steps > 0).then_some((p.step, p.steps));
                let line = json!({
                    "phase": p.phase,
                    "step": numbers.map(|n| n.0),
                    "steps": numbers.map(|n| n.1),
                    "loss": p.loss,
                    "per_second": numbers.map(|_| p.tasks_per_second),
                    "unit": numbers.map(|_| p.unit),
                });
                return aside(line);
            }
            Told::Auto => {}
        }
        let new = self.phase != p.phase;
        let message = match (p.steps > 0, p.loss.is_nan()) {
            (true, false) => format!("loss {}  {:.0} {}/s", figure(p.loss), p.tasks_per_second, p.unit),
            (true, true) => format!("{:.0} {}/s", p.tasks_per_second, p.unit),
            (false, _) => String::new(),
        };
        match &self.bar {
            Some(b) => {
                if new {
                    b.reset();
                    b.set_length(p.steps);
                    b.set_prefix(p.phase.to_string());
                }
                b.set_position(p.step);
                b.set_message(message);
            }
            // Without a terminal: a line now and then.
            None if new || self.printed.elapsed().as_secs() >= 10 => {
                match p.steps {
                    0 => hint(p.phase),
                    steps => hint(format_args!("{} {}/{steps}  {message}", p.phase, p.step)),
                }
                self.printed = Instant::now();
            }
            None => {}
        }
        if new {
            self.phase = p.phase.to_string();
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
