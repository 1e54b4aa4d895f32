//! `hyperloom eval`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use hyperloom::experiment::config::Config;
use hyperloom::experiment::policies::{self, ComparedPolicies, Mean, PolicyTestOptions, SETTINGS};
use hyperloom::experiment::run_folder::RunFolder;
use hyperloom::experiment::{Experiment, HeldOut, TestReport, pictures};
use hyperloom::files::write_atomically;
use hyperloom::report::plot::{Curve, curves, error_by_steps};
use hyperloom::run::Device;
use hyperloom::{Error, Result};
use serde::Serialize;

use super::{figure, open_device, say};

/// Arguments of `eval`.
#[derive(Args, Debug)]
pub(super) struct EvalArgs {
    /// The run folder of a trained model; of several, which are shown side by side.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Numbers of support rows to compare (not given: eval.sweep of the run's configuration).
    #[arg(long, num_args = 1.., value_delimiter = ',')]
    shots: Vec<usize>,
    /// Of policies: numbers or ranges of contexts to judge them in, as length=0.5..2 (not given: those that each was trained in).
    #[arg(long, value_name = "NAME=LOW..HIGH,…")]
    context: Option<String>,
    /// Of policies: how many contexts (not given: test.tasks of the first run).
    #[arg(long)]
    tasks: Option<usize>,
    /// Of policies: episodes in each context (not given: test.episodes of the first run).
    #[arg(long)]
    episodes: Option<usize>,
    /// Of policies: seed of contexts and episodes, the same for all runs (not given: 0).
    #[arg(long)]
    seed: Option<u64>,
    /// Where eval.json and eval.svg are written (not given: the folder of the first run; of several compare.json and
    /// compare.svg).
    #[arg(long)]
    out: Option<PathBuf>,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// What was found of one run.
#[derive(Debug, Serialize)]
struct Row {
    run: String,
    method: &'static str,
    /// What it was judged on, in words.
    tasks: String,
    found: Vec<HeldOut>,
}

pub(super) fn run(args: &EvalArgs) -> Result<ExitCode> {
    if let Some(s) = args.shots.iter().find(|s| !(1..=100_000).contains(*s)) {
        return Err(Error::config("--shots", format!("{s} is out of range: it must lie from 1 to 100000")));
    }
    if args.runs.iter().any(|r| r.join(SETTINGS).is_file()) {
        return policies(args);
    }
    let of_policies = [
        ("--context", args.context.is_some()),
        ("--tasks", args.tasks.is_some()),
        ("--episodes", args.episodes.is_some()),
        ("--seed", args.seed.is_some()),
    ];
    if let Some((flag, _)) = of_policies.into_iter().find(|(_, given)| *given) {
        return Err(Error::config(flag, "is for runs of policies, and these are none: leave it out"));
    }
    let device = open_device(&args.device)?;
    if Config::read(&RunFolder::open(&args.runs[0])?.file("config.toml"), None)?.task.is_single() {
        return single(args, &device);
    }
    let mut rows: Vec<Row> = Vec::new();
    for path in &args.runs {
        let row = judged(&device, path, &args.shots)?;
        if let Some(first) = rows.first()
            && first.tasks != row.tasks
        {
            return Err(Error::config(
                path.display().to_string(),
                format!(
                    "is judged on {}, and {} on {}: runs on the same tasks can be compared",
                    row.tasks, first.run, first.tasks
                ),
            ));
        }
        rows.push(row);
    }
    let text = match &rows[..] {
        [one] => serde_json::to_string_pretty(&one.found),
        all => serde_json::to_string_pretty(all),
    };
    leave(
        args,
        text.unwrap_or_default() + "\n",
        |path| draw(path, &rows),
        || match &rows[..] {
            [one] => print(&one.found),
            all => compare(all),
        },
    )
}

/// Writes what was found as JSON and as a picture, and prints it.
fn leave(
    args: &EvalArgs,
    text: String,
    draw: impl FnOnce(&Path) -> Result<()>,
    print: impl FnOnce(),
) -> Result<ExitCode> {
    let folder = args.out.as_ref().unwrap_or(&args.runs[0]);
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let name = if args.runs.len() > 1 { "compare" } else { "eval" };
    let json = folder.join(format!("{name}.json"));
    write_atomically(&json, text.as_bytes())?;
    draw(&folder.join(format!("{name}.svg")))?;
    if args.json {
        say(format_args!("{text}"));
        return Ok(ExitCode::SUCCESS);
    }
    print();
    say(format_args!("\nalso in {} and {name}.svg beside it\n", json.display()));
    Ok(ExitCode::SUCCESS)
}

/// Policies side by side.
fn policies(args: &EvalArgs) -> Result<ExitCode> {
    if !args.shots.is_empty() {
        return Err(Error::config("--shots", "a policy has no support rows: leave it out"));
    }
    let options = PolicyTestOptions {
        context: args.context.clone().unwrap_or_default(),
        tasks: args.tasks,
        episodes: args.episodes,
        seed: args.seed.unwrap_or(0),
    };
    let device = open_device(&args.device)?;
    let found = policies::compare(&device, &args.runs, &options)?;
    let text = serde_json::to_string_pretty(&found).unwrap_or_default() + "\n";
    let draw = |path: &Path| policies::learning_curves(&args.runs, path, &path.with_extension("seconds.svg"));
    leave(args, text, draw, || print_policies(&found))
}

/// A row a run, then one for each of those that differ by their seeds alone.
fn print_policies(found: &ComparedPolicies) {
    let what = if found.trials { "trials" } else { "episodes" };
    let contexts = if found.contexts == 1 { "context" } else { "contexts" };
    say(format_args!("{}: {} {what} in {} {contexts}\n", found.environment, found.episodes, found.contexts));
    let interval = |of: &Mean| match of.interval {
        Some([low, high]) => format!("{} to {}", figure(low), figure(high)),
        None => String::new(),
    };
    let row = |what: &str, returns: &Mean, drawn: f64, terminated: f64| {
        let (mean, between) = (figure(returns.mean), interval(returns));
        let (drawn, terminated) = (figure(drawn), format!("{:.1}", 100.0 * terminated));
        say(format_args!("{what:<32}{mean:>12}{between:>24}{drawn:>12}{terminated:>12}\n"));
    };
    say(format_args!("{:<32}{:>12}{:>24}{:>12}{:>12}\n", "", "return", "95 %", "drawn", "ended, %"));
    for r in &found.runs {
        row(&r.run, &r.returns, r.test.drawn, r.test.terminated);
    }
    for g in found.groups.iter().filter(|g| g.runs.len() > 1) {
        let what = format!("{} seeds, as {}", g.runs.len(), g.runs[0]);
        row(&what, &g.returns, g.drawn.mean, g.terminated.mean);
    }
    for g in &found.groups {
        let steps = |what: &str, means: &[Mean]| {
            for (mut k, mean) in means.iter().enumerate() {
                k += usize::from(what == "episode");
                let what = format!("{}: {what} {k}", g.runs[0]);
                say(format_args!("{what:<32}{:>12}{:>24}\n", figure(mean.mean), interval(mean)));
            }
        };
        steps("after steps", &g.by_update);
        steps("episode", &g.by_episode);
    }
    say(format_args!("{:<32}{:>12}\n", "at random", figure(found.random)));
    if let Some(oracle) = found.oracle {
        say(format_args!("{:<32}{:>12}\n", "who knows the context", figure(oracle)));
    }
}

/// What was found of a run of a single task.
#[derive(Debug, Serialize)]
struct TestedRun {
    run: String,
    /// What it was judged on, in words.
    rows: String,
    test: TestReport,
}

/// Runs of a single task side by side.
fn single(args: &EvalArgs, device: &Device) -> Result<ExitCode> {
    if !args.shots.is_empty() {
        return Err(Error::config("--shots", "a run of a single task has no support rows: leave it out"));
    }
    let mut all: Vec<TestedRun> = Vec::new();
    for path in &args.runs {
        let (_, experiment) = finished(device, path)?;
        let (run, rows) = (path.display().to_string(), experiment.setup().source().place());
        let first = all.first().map_or(&rows, |first| &first.rows);
        let test = experiment.test()?.filter(|_| *first == rows).ok_or_else(|| {
            Error::config(
                path.display().to_string(),
                format!(
                    "is judged on rows{rows}, and {} on rows{first}: runs on the same rows can be compared",
                    args.runs[0].display()
                ),
            )
        })?;
        let same = |first: &TestedRun| (first.test.rows, &first.test.classes) == (test.rows, &test.classes);
        if let Some(first) = all.first().filter(|first| !same(first)) {
            let message = format!(
                "is judged on {} rows of {} classes{rows}, and {} on {} of {}: runs on the same rows can be compared",
                test.rows,
                test.classes.len(),
                first.run,
                first.test.rows,
                first.test.classes.len()
            );
            return Err(Error::config(run, message));
        }
        all.push(TestedRun { run, rows, test });
    }
    let text = serde_json::to_string_pretty(&all).unwrap_or_default() + "\n";
    let draw = |path: &Path| {
        let points: Vec<Vec<(f64, f64)>> = all
            .iter()
            .map(|r| r.test.validation.iter().map(|p| (p.step as f64, p.accuracy)).collect())
            .collect();
        let lines: Vec<Curve> =
            all.iter().zip(&points).map(|(r, points)| Curve { label: &r.run, points }).collect();
        curves(path, "Validation rows", "training step", "accuracy", false, &lines)
    };
    leave(args, text, draw, || {
        let of_text = all[0].test.bits_per_character.is_some();
        let what = if of_text { "symbols" } else { "rows" };
        say(format_args!("on {} test {what}{}\n", all[0].test.rows, all[0].rows));
        say(format_args!(
            "{:<28}{:<12}{:>12}{:>12}{:>12}\n",
            "run",
            "weights",
            "accuracy",
            if of_text { "bits each" } else { "loss" },
            "parameters"
        ));
        for TestedRun { run, test: t, .. } in &all {
            let row = |what: &str, accuracy: f64, loss: f64, parameters: usize| {
                say(format_args!(
                    "{run:<28}{what:<12}{:>12}{:>12}{parameters:>12}\n",
                    figure(accuracy),
                    figure(loss)
                ));
            };
            let loss = t.bits_per_character.unwrap_or(t.loss);
            row(if t.direct.is_some() { "generated" } else { "direct" }, t.accuracy, loss, t.parameters);
            if let Some(d) = &t.direct {
                row("direct", d.accuracy, d.loss, d.parameters);
            }
        }
    })
}

/// A finished run, with its configuration.
pub(super) fn finished<'d>(device: &'d Device, path: &Path) -> Result<(Config, Experiment<'d>)> {
    let folder = RunFolder::open(path)?;
    folder.model()?;
    let config = Config::read(&folder.file("config.toml"), None)?;
    let experiment = Experiment::open(&config, device, path, true)?;
    Ok((config, experiment))
}

fn judged(device: &Device, path: &Path, shots: &[usize]) -> Result<Row> {
    let (config, experiment) = finished(device, path)?;
    let source = experiment.setup().source();
    let known = source.order().map_or(String::new(), |column| format!(", first rows by '{column}' known"));
    let tasks = format!("{}{}{known}, seed {}", config.task.name(), source.place(), config.seed);
    let mut shots = shots.to_vec();
    if shots.is_empty() {
        // Of the numbers that nobody asked for those are taken that the tasks have rows for.
        let mut why = None;
        for &s in &config.eval.sweep {
            match source.check_held_out(s) {
                Ok(()) => shots.push(s),
                Err(e) => {
                    log::warn!("{s} shots are left out: {e}");
                    why = why.or(Some(e));
                }
            }
        }
        if let (true, Some(e)) = (shots.is_empty(), why) {
            return Err(e);
        }
    }
    Ok(Row {
        run: path.display().to_string(),
        method: config.adapt.method.name(),
        tasks,
        found: experiment.sweep(&shots)?,
    })
}

/// One line a number of shots, or at the last of them one a run.
fn draw(path: &Path, rows: &[Row]) -> Result<()> {
    let Some(last) = rows[0].found.last() else { return Ok(()) };
    let series: Vec<_> = match rows {
        [one] => one.found.iter().map(|h| (format!("{} shots", h.shots), pictures::by_steps(h))).collect(),
        all => {
            let line = |r: &Row| {
                let h = r.found.iter().find(|h| h.shots == last.shots)?;
                let name =
                    Path::new(&r.run).file_name().map_or(r.run.as_str().into(), |n| n.to_string_lossy());
                Some((format!("{} ({name})", r.method), pictures::by_steps(h)))
            };
            all.iter().filter_map(line).collect()
        }
    };
    let title = format!("Unseen tasks; baselines at {} shots", last.shots);
    error_by_steps(path, &title, &last.metric, &series, &pictures::baselines(last))
}

fn print(found: &[HeldOut]) {
    let Some(first) = found.first() else { return };
    say(format_args!("{} on {}\n", first.metric, first.judged_on()));
    for h in found.iter().filter(|h| h.support_rows.is_some()) {
        say(format_args!("{}\n", h.known_rows()));
    }
    say(format_args!("{:<32}", ""));
    for h in found {
        say(format_args!("{:>10} shots", h.shots));
    }
    say("\n");
    let row = |name: String, value: &dyn Fn(&HeldOut) -> f64| {
        say(format_args!("{name:<32}"));
        for h in found {
            say(format_args!("{:>16}", figure(value(h))));
        }
        say("\n");
    };
    for k in first.by_steps.keys() {
        let mark = if *k == first.chosen_steps.to_string() { " (chosen)" } else { "" };
        row(format!("after {k} steps{mark}"), &|h| h.by_steps[k]);
    }
    if first.gate.is_some() {
        row("weighed by evidence".into(), &|h| h.chosen);
    }
    for name in first.translations.keys() {
        let of =
            |h: &HeldOut| h.translations.get(name).map_or([f64::NAN; 2], |t| [t.exact, t.character_error]);
        let who = name.replace('_', " ");
        row(format!("{who}: said exactly"), &|h| of(h)[0]);
        row(format!("{who}: edits"), &|h| of(h)[1]);
    }
    for (i, (name, _)) in pictures::baselines(first).iter().enumerate() {
        row(name.clone(), &|h| pictures::baselines(h)[i].1);
    }
}

/// A table for each number of shots: a row a run, a column a number of steps.
fn compare(rows: &[Row]) {
    let shots: BTreeSet<usize> = rows.iter().flat_map(|r| r.found.iter().map(|h| h.shots)).collect();
    for s in shots {
        let found: Vec<(&Row, &HeldOut)> =
            rows.iter().filter_map(|r| Some((r, r.found.iter().find(|h| h.shots == s)?))).collect();
        let steps: BTreeSet<usize> =
            found.iter().flat_map(|(_, h)| pictures::by_steps(h).into_iter().map(|p| p.0)).collect();
        say(format_args!(
            "{} on unseen tasks, {s} shots, after so many steps of adaptation\n",
            found[0].1.metric
        ));
        say(format_args!("{:<12}{:<28}", "method", "run"));
        for k in &steps {
            say(format_args!("{k:>12}"));
        }
        say(format_args!("{:>12}\n", "chosen"));
        for (r, h) in found {
            say(format_args!("{:<12}{:<28}", r.method, r.run));
            for k in &steps {
                let value = h.by_steps.get(&k.to_string()).map_or("-".into(), |v| figure(*v));
                say(format_args!("{value:>12}"));
            }
            say(format_args!("{:>12}\n", figure(h.chosen)));
        }
        say("\n");
    }
}
