//! What learners do where nothing else is said.

use crate::error::{Error, Result};
use crate::policy::Environment;

/// Steps of the episodes of a trial, as `16,500` or `10x10` has them.
pub(super) fn trial(text: &str) -> Result<Vec<usize>> {
    let wrong = |part: &str| {
        let message = format!(
            "'{part}' is no episode of a trial: its steps (up to {MOST_STEPS}), as 500, or how many there are of so many \
             steps, as 10x10; several with commas, as 16,500"
        );
        Error::config("--trial", message)
    };
    let mut all = vec![];
    for part in text.split(',').map(str::trim) {
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|n| (1..=MOST_STEPS).contains(n));
        let (many, steps) = match part.split_once('x') {
            Some((many, steps)) => (number(many), number(steps)),
            None => (Some(1), number(part)),
        };
        let (many, steps) = many.zip(steps).ok_or_else(|| wrong(part))?;
        all.extend(vec![steps; many]);
        let (episodes, sum) = (all.len(), all.iter().sum::<usize>());
        if sum > MOST_STEPS || episodes > MOST_EPISODES {
            let message = format!(
                "a trial has {MOST_EPISODES} episodes and {MOST_STEPS} steps at most, not {episodes} and {sum}"
            );
            return Err(Error::config("--trial", message));
        }
    }
    Ok(all)
}

/// Steps of a trial at most.
const MOST_STEPS: usize = 10_000;
/// Episodes of a trial at most.
const MOST_EPISODES: usize = 256;

/// Steps of a roll-out of `rl2` at most, where nothing else is said and they reach the last episode of a trial.
const LONG: usize = 200;
/// Numbers of a context that are inferred where nothing is said of it.
const TOLD: usize = 32;

/// What `rl2` does in this environment where nothing else is said.
pub(super) fn trials(table: &mut toml::Table, environment: &dyn Environment, varied: usize) -> Result<()> {
    let usual = environment.trial();
    let usual = match usual[..] {
        [first, _, ..] if usual.iter().all(|steps| *steps == first) => format!("{}x{first}", usual.len()),
        _ => usual.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    };
    let said = table.entry("trial").or_insert(usual.into()).as_str().unwrap_or_default().to_string();
    let trial = trial(&said)?;
    let (last, sum) = (trial.last().copied().unwrap_or(0), trial.iter().sum::<usize>());
    // Far into a long episode little is new, and updates are worth more than its steps.
    let steps = sum.min(LONG.max(sum - last + LONG / 2));
    for (key, value) in [("tasks", 128), ("worlds", 1), ("frames", 4_000_000)] {
        table.entry(key).or_insert(toml::Value::Integer(value));
    }
    let generated = table.get("weights").and_then(toml::Value::as_str) == Some("generated");
    table.entry("hidden").or_insert(vec![if generated { 16i64 } else { 64 }].into());
    of(table, "memory", &[("infers", (1..=TOLD).contains(&varied).into())]);
    of(table, "learning", &[("steps", (steps as i64).into()), ("rate", 0.002.into())]);
    if environment.is_family() {
        let late = [("lambda", 0.8.into()), ("entropy", 0.05.into()), ("last_entropy", 0.0.into())];
        of(table, "learning", &late);
    }
    of(table, "test", &[("tasks", 1000.into()), ("episodes", 1.into())]);
    Ok(())
}

/// What `maml` does in this environment where nothing else is said.
pub(super) fn adaptation(table: &mut toml::Table, environment: &dyn Environment) {
    let steps = episode(table, environment);
    for (key, value) in [("tasks", 40), ("worlds", 20), ("frames", 16_000_000)] {
        table.entry(key).or_insert(toml::Value::Integer(value));
    }
    let learning = [
        ("steps", steps.into()),
        ("epochs", 5.into()),
        ("minibatches", 1.into()),
        ("lambda", 1.0.into()),
        ("entropy", 0.0.into()),
    ];
    of(table, "learning", &learning);
    of(table, "test", &[("tasks", 100.into()), ("episodes", 20.into())]);
}

/// What `es` does in this environment where nothing else is said.
pub(super) fn evolution(table: &mut toml::Table, environment: &dyn Environment, differs: bool) {
    let steps = episode(table, environment);
    for (key, value) in [("tasks", if differs { 8 } else { 1 }), ("worlds", if differs { 1 } else { 4 })] {
        table.entry(key).or_insert(toml::Value::Integer(value));
    }
    table.entry("frames").or_insert(60_000_000.into());
    let learning = [
        ("steps", steps.into()),
        ("epochs", 1.into()),
        ("minibatches", 1.into()),
        ("rate", 0.1.into()),
        ("entropy", 0.0.into()),
    ];
    of(table, "learning", &learning);
}

/// What depends on how many contexts there are, where nothing else is said.
pub(super) fn contexts(table: &mut toml::Table, environment: &dyn Environment, differs: bool) {
    let own = table.get("weights").and_then(toml::Value::as_str) == Some("own");
    let is_lane = environment.name().starts_with("lane");
    if !differs && !own {
        if is_lane {
            table.entry("worlds").or_insert(32.into());
            table.entry("frames").or_insert(3_000_000.into());
        }
        return;
    }
    let tasks: i64 = if own { 16 } else { 64 };
    table.entry("tasks").or_insert(tasks.into());
    table.entry("worlds").or_insert(if own { 8 } else { 2 }.into());
    let frames = match own {
        true => 3_200_000,
        false if is_lane => 6_000_000,
        false if environment.picture().is_some() => 600_000,
        false => 2_000_000,
    };
    table.entry("frames").or_insert(frames.into());
    let tasks = if own { table["tasks"].clone() } else { 64.into() };
    of(table, "test", &[("tasks", tasks), ("episodes", 10.into())]);
}

/// How a policy learns from roll-outs, where nothing else is said.
pub(super) fn updates(table: &mut toml::Table, environment: &dyn Environment, learner: &str) {
    let name = environment.name();
    match learner {
        "a2c" | "reinforce" => {
            let steps = if learner == "a2c" { 16 } else { 128 };
            let once = [
                ("epochs", 1.into()),
                ("minibatches", 1.into()),
                ("rate", 0.003.into()),
                ("steps", steps.into()),
            ];
            of(table, "learning", &once);
            if learner == "reinforce" {
                of(table, "learning", &[("lambda", 1.0.into())]);
            }
        }
        "apg" => {
            // Short: a gradient through many steps of physics grows.
            let once = [
                ("epochs", 1.into()),
                ("minibatches", 1.into()),
                ("rate", 0.003.into()),
                ("steps", 32.into()),
                ("entropy", 0.0.into()),
            ];
            of(table, "learning", &once);
        }
        "rl2" | "maml" | "es" => {}
        _ if name == "pendulum" => of(table, "learning", &[("epochs", 8.into()), ("minibatches", 8.into())]),
        _ if name.starts_with("lane") => of(table, "learning", &[("minibatches", 8.into())]),
        _ => {}
    }
    if name == "pendulum" {
        of(table, "learning", &[("gamma", 0.95.into())]);
    }
    if matches!(name, "pendulum" | "navigation" | "mountain-car-continuous") {
        of(table, "learning", &[("entropy", 0.0.into())]);
    }
}

/// Steps of an episode.
fn episode(table: &toml::Table, environment: &dyn Environment) -> i64 {
    let said = table.get("horizon").and_then(toml::Value::as_integer);
    said.filter(|h| *h > 0).unwrap_or(environment.horizon() as i64)
}

/// Values of a table of settings that are not given.
fn of(table: &mut toml::Table, part: &str, usual: &[(&str, toml::Value)]) {
    let part = table.entry(part).or_insert(toml::Table::new().into());
    for (key, value) in usual {
        part.as_table_mut().map(|part| part.entry(*key).or_insert(value.clone()));
    }
}
