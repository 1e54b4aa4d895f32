//! `hyperloom train --task continual`: tasks one after another.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hyperloom::continual::Outcome;
use hyperloom::experiment::continual::{
    ContinualConfig, ContinualReport, ContinualRun, ContinualStatus, SETTINGS,
};
use hyperloom::{Error, Result};

use super::train::{TrainArgs, Watch, free_folder};
use super::{figure, hint, net_setting, open_device, say};

/// What `--task` says.
const TASK: &str = "continual";

/// Flags of settings that such a run has a use for.
const FLAGS: [&str; 12] = [
    "--method", "--net", "--set", "--steps", "--seed", "--group", "--target", "--drop", "--test", "--label",
    "--source", "--kind",
];

/// Whether the arguments are about tasks one after another: by name, by a file of settings, or by the run that goes on.
pub(super) fn is_meant(args: &TrainArgs) -> bool {
    let of_run = || args.resume && args.out.as_ref().is_some_and(|o| o.join(SETTINGS).is_file());
    match args.settings.task.as_deref() {
        Some(task) => task == TASK,
        None => of_run() || args.settings.config.as_deref().is_some_and(says_continual),
    }
}

/// Whether a file of settings is one of such a run.
fn says_continual(path: &Path) -> bool {
    let table = std::fs::read_to_string(path).ok().and_then(|text| text.parse::<toml::Table>().ok());
    table.is_some_and(|t| t.get("task").and_then(toml::Value::as_str) == Some(TASK))
}

/// Settings from the file and the flags.
fn config(args: &TrainArgs, file: Option<&Path>) -> Result<ContinualConfig> {
    let s = &args.settings;
    if let Some((flag, _)) = args.of_environments().into_iter().find(|(_, given)| *given) {
        return Err(Error::config(flag, "is for environments, and these are tasks with rows: leave it out"));
    }
    if let Some((flag, _)) = s.flags().into_iter().find(|(flag, given)| *given && !FLAGS.contains(flag)) {
        return Err(Error::config(
            flag,
            "is nothing for tasks one after another: --source names what they are made of",
        ));
    }
    let (text, origin) = match file {
        Some(file) => {
            (std::fs::read_to_string(file).map_err(Error::io("read", file))?, file.display().to_string())
        }
        None => (String::new(), "--set".into()),
    };
    let quoted = |v: &str| toml::Value::from(v).to_string();
    let list = |v: &[String]| {
        (!v.is_empty()).then(|| format!("[{}]", v.iter().map(|v| quoted(v)).collect::<Vec<_>>().join(", ")))
    };
    let text_of = |v: &Option<String>| v.as_deref().map(quoted);
    let net = s.net.as_deref().map(net_setting).transpose()?;
    let net = net.map(|net| {
        let value = net.trim_start_matches("model.net=").to_string();
        if value.starts_with('[') { value } else { quoted(&value) }
    });
    // The network's own method stands among those beside it, where nothing else is said.
    let mut over = s.set.clone();
    for (flag, key, value) in [
        ("--source", "source", list(&s.source)),
        ("--tasks", "tasks", args.tasks.map(|n| n.to_string())),
        ("--scenario", "scenario", text_of(&args.scenario)),
        ("--method", "method", text_of(&s.method)),
        ("--net", "net", net),
        ("--steps", "learning.steps", s.steps.map(|n| n.to_string())),
        ("--seed", "seed", s.seed.map(|n| n.to_string())),
        ("--group", "group", text_of(&s.group)),
        ("--target", "target", text_of(&s.target)),
        ("--kind", "kind", text_of(&s.kind)),
        ("--drop", "drop", list(&s.drop)),
        ("--test", "test", s.test.as_ref().map(|p| quoted(&p.display().to_string()))),
        ("--label", "label", text_of(&s.label)),
        ("--device", "device", text_of(&s.device)),
    ] {
        let Some(value) = value else { continue };
        let twice = |s: &String| s.split_once('=').is_some_and(|(k, _)| k.trim() == key);
        if s.set.iter().any(twice) {
            return Err(Error::config(flag, format!("says what --set {key}=… says, too: leave one out")));
        }
        over.push(format!("{key}={value}"));
    }
    ContinualConfig::parse(&text, &origin, &over)
}

pub(super) fn run(args: &TrainArgs) -> Result<ExitCode> {
    let out: PathBuf = match &args.out {
        Some(out) => out.clone(),
        None => free_folder(TASK, args.resume)?,
    };
    let config = match args.resume {
        true => {
            let given = args.settings.flags().into_iter().chain([
                ("--tasks", args.tasks.is_some()),
                ("--scenario", args.scenario.is_some()),
                ("a file of settings", args.settings.config.is_some()),
            ]);
            if let Some((flag, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(Error::config(
                    flag,
                    "with --resume a run goes on with the settings it was started with: leave this out, or leave --resume out to start \
                     another run",
                ));
            }
            let mut config = ContinualConfig::read(&out)?;
            if let Some(device) = &args.settings.device {
                config.device.clone_from(device);
            }
            config
        }
        false => config(args, args.settings.config.as_deref())?,
    };
    let device = open_device(&config.device)?;
    let mut run = ContinualRun::open(&config, &device, &out, args.resume)?;
    if args.tensorboard {
        run.write_events();
    }
    let mut watch = Watch::new(format!("hyperloom train --resume --out {}", out.display()))?;
    let outcome = run.run(&mut watch);
    watch.finish();
    match outcome? {
        ContinualStatus::Stopped(steps) => {
            hint(format_args!(
                "stopped after {steps} steps with a checkpoint; go on with: hyperloom train --resume --out {}",
                out.display()
            ));
            Ok(ExitCode::from(130))
        }
        ContinualStatus::Finished(report) => {
            match args.json {
                true => say(format_args!("{}\n", serde_json::to_string_pretty(&report).unwrap_or_default())),
                false => print(&report, run.folder().path()),
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print(r: &ContinualReport, folder: &Path) {
    let what = match r.scenario.as_str() {
        "task" => "the task of a row is known",
        "domain" => "the task of a row is not known",
        _ => "the task of a row is not known, and part of the answer",
    };
    say(format_args!(
        "\n{} tasks one after another, {} steps each, {what}; a network of {} weights, on {}\n\n",
        r.tasks.len(),
        r.steps,
        r.target_weights,
        r.device
    ));
    let kind = if r.classes { "accuracy" } else { "error" };
    say(format_args!(
        "{:<16}{kind:>11}{:>13}{:>12}{:>13}{:>15}{:>10}\n",
        "", "forgotten", "when new", "parameters", "bytes a task", "seconds"
    ));
    let row = |o: &Outcome| {
        say(format_args!(
            "  {:<14}{:>11}{:>13}{:>12}{:>13}{:>15}{:>10.1}\n",
            o.method,
            figure(o.mean),
            figure(o.forgetting),
            figure(o.learned),
            o.parameters,
            o.bytes_per_task,
            o.seconds
        ));
    };
    row(&r.continual);
    r.beside.iter().for_each(row);
    if let Some(found) = r.continual.task_found {
        say(format_args!("\nthe task was found for {:.1} % of test rows\n", 100.0 * found));
    }
    if !r.continual.mse.is_empty() {
        let each: Vec<String> = r.continual.mse.iter().map(|e| figure(*e)).collect();
        say(format_args!("\nsquared error by task, of {}: {}\n", r.continual.method, each.join(", ")));
    }
    say(format_args!("\nreport, pictures and checkpoint: {}\n", folder.display()));
}
