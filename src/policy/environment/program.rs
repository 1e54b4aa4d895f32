//! Environments that another program simulates, in any language: it reads a line of JSON from its standard input and answers with one.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::host::{HostEnvironment, HostStep, HostWorlds, OnHost};
use super::{ActionSpace, ContextNumber, Environment, Spread};
use crate::error::{Error, Result};

/// What stands before a command where the name of an environment is asked for.
pub(super) const PREFIX: &str = "exec:";
/// Numbers, choices and steps at most.
const MOST: usize = 65_536;
/// How long a program may take to end by itself when it is told nothing more.
const PATIENCE: Duration = Duration::from_secs(1);

/// A simulator that is another program. It is started anew for every set of worlds, is asked in lines of JSON, and answers each with a line; what it says on its
/// standard error is passed on; where its input ends it is to end, too.
///
/// | asked | answered |
/// |---|---|
/// | `{"about": 1}` | `{"name": "line", "observation": 1, "actions": [[-0.1, 0.1]], "horizon": 20}`; also `"context"`, a list as `{"name": "place", "usual": 0, "range": [-1, 1], "spread": "even"}` (or `whole`, or `sign`), `"picture"` (height, width and channels of what is seen, row by row), `"reward_scale"` and `"saves"` |
/// | `{"worlds": 2, "contexts": [[0.5], [-0.5]], "seed": 7}` | `{}` |
/// | `{"start": [0, 1]}`: episodes begin in these worlds | `{"observation": [[0], [0]]}`, a row for each of them |
/// | `{"step": [[0.1], [-0.05]]}`: a step in every world | `{"observation": [[0.1], [-0.05]], "reward": [-0.16, -0.2], "terminated": [false, false]}` |
/// | `{"save": 1}` (where it `saves`) | `{"saved": [0.1, -0.05]}`: all that it needs to go on, always as many numbers |
/// | `{"restore": [0.1, -0.05]}` | `{}` |
///
/// `"actions"` are a number of actions (a step has the number of one, from 0, for each world), numbers of several choices at once (a step has a list of numbers), or ranges. A
/// program that can't do what it is asked says why: `{"error": "…"}`.
#[derive(Debug)]
pub struct Program {
    command: String,
    about: About,
    action: ActionSpace,
    context: Vec<ContextNumber>,
}

/// What a program says of itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    name: String,
    observation: usize,
    #[serde(default)]
    picture: Option<[usize; 3]>,
    actions: Actions,
    horizon: usize,
    #[serde(default)]
    context: Vec<Number>,
    #[serde(default = "one")]
    reward_scale: f64,
    #[serde(default)]
    saves: bool,
}

fn one() -> f64 {
    1.0
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Actions {
    One(usize),
    Several(Vec<usize>),
    Ranges(Vec<[f64; 2]>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Number {
    name: String,
    usual: f64,
    range: [f64; 2],
    #[serde(default)]
    spread: Drawn,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Drawn {
    #[default]
    Even,
    Whole,
    Sign,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Started {
    observation: Vec<Vec<f32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stepped {
    observation: Vec<Vec<f32>>,
    reward: Vec<f32>,
    terminated: Vec<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    saved: Vec<f32>,
}

impl Program {
    /// Asks a program what it simulates. `command` is a line for the system's shell.
    ///
    /// # Errors
    /// A program that can't be started, and answers that are none.
    pub fn ask(command: &str) -> Result<Program> {
        let mut process = Process::start(command)?;
        let about: About = process.ask(&json!({"about": 1}))?;
        let wrong = |message: String| Err(process.wrong(format!("what it says of itself: {message}")));
        for (name, n) in [("observation", about.observation), ("horizon", about.horizon)] {
            if !(1..=MOST).contains(&n) {
                return wrong(format!("\"{name}\" is from 1 to {MOST}, not {n}"));
            }
        }
        let seen = about.observation;
        if let Some(shape) = about.picture.filter(|shape| shape.iter().product::<usize>() != seen) {
            return wrong(format!("a \"picture\" of {shape:?} numbers is no observation of {seen}"));
        }
        let choices = |n: &[usize]| !n.is_empty() && n.iter().all(|n| (2..=MOST).contains(n));
        let action = match &about.actions {
            Actions::One(n) if choices(&[*n]) => ActionSpace::Discrete(*n),
            Actions::Several(n) if choices(n) => ActionSpace::MultiDiscrete(n.clone()),
            Actions::Ranges(ranges) if !ranges.is_empty() && ranges.iter().all(|[a, b]| a < b) => {
                ActionSpace::Continuous(ranges.clone())
            }
            other => {
                return wrong(format!(
                    "\"actions\" are how many there are, as 2, numbers of several choices, as [3, 2], or ranges, as [[-1, 1]], not {other:?}"
                ));
            }
        };
        if !(about.reward_scale.is_finite() && about.reward_scale > 0.0) {
            return wrong(format!("\"reward_scale\" is above 0, not {}", about.reward_scale));
        }
        let mut context: Vec<ContextNumber> = vec![];
        for number in &about.context {
            let Number { name, usual, range: [low, high], spread } = number.clone();
            let spread = match spread {
                Drawn::Even => Spread::Even,
                Drawn::Whole => Spread::Whole,
                Drawn::Sign => Spread::Sign,
            };
            let plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
            if name.is_empty() || !name.chars().all(plain) || context.iter().any(|c| c.name == name) {
                return wrong(format!(
                    "numbers of a context have names of letters, digits, _, - and ., each its own, not '{name}'"
                ));
            }
            if !(low < high && low <= usual && usual <= high) {
                return wrong(format!("{name} is usually within its range, not {usual} in {low} to {high}"));
            }
            if matches!(spread, Spread::Sign) && ([low, high] != [-1.0, 1.0] || usual.abs() != 1.0) {
                return wrong(format!("{name} is a sign: its range is [-1, 1], and it is one of them"));
            }
            context.push(ContextNumber { name: name.into(), usual, range: [low, high], spread });
        }
        Ok(Program { command: command.into(), about, action, context })
    }
}

/// The environment of a command; it is asked once what it is.
pub(super) fn environment(command: &str) -> Result<Arc<dyn Environment>> {
    static ASKED: Mutex<Option<HashMap<String, Arc<dyn Environment>>>> = Mutex::new(None);
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    let asked = asked.get_or_insert_default();
    if let Some(found) = asked.get(command) {
        return Ok(found.clone());
    }
    let found: Arc<dyn Environment> = Arc::new(OnHost(Program::ask(command)?));
    asked.insert(command.into(), found.clone());
    Ok(found)
}

impl HostEnvironment for Program {
    fn name(&self) -> &str {
        &self.about.name
    }

    fn observation(&self) -> usize {
        self.about.observation
    }

    fn picture(&self) -> Option<[usize; 3]> {
        self.about.picture
    }

    fn action(&self) -> ActionSpace {
        self.action.clone()
    }

    fn context(&self) -> &[ContextNumber] {
        &self.context
    }

    fn horizon(&self) -> usize {
        self.about.horizon
    }

    fn reward_scale(&self) -> f64 {
        self.about.reward_scale
    }

    fn worlds(&self, many: usize) -> Result<Box<dyn HostWorlds>> {
        let process = Process::start(&self.command)?;
        let (action, saves) = (self.action.clone(), self.about.saves);
        Ok(Box::new(ProgramWorlds { process: Mutex::new(process), many, action, saves }))
    }
}

#[derive(Debug)]
struct ProgramWorlds {
    /// Who saves is asked, too.
    process: Mutex<Process>,
    many: usize,
    action: ActionSpace,
    saves: bool,
}

impl ProgramWorlds {
    fn process(&mut self) -> &mut Process {
        self.process.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows of numbers behind one another, as many and as wide as they are to be.
fn rows(process: &Process, found: &[Vec<f32>], many: usize, wide: usize) -> Result<Vec<f32>> {
    if found.len() != many {
        return Err(process.wrong(format!("\"observation\" has {} rows for {many} worlds", found.len())));
    }
    if let Some(at) = found.iter().position(|row| row.len() != wide) {
        return Err(
            process.wrong(format!("row {at} of \"observation\" has {} numbers, not {wide}", found[at].len()))
        );
    }
    Ok(found.concat())
}

impl HostWorlds for ProgramWorlds {
    fn meet(&mut self, contexts: &[f32], seed: u64) -> Result<()> {
        let many = self.many;
        let wide = (contexts.len() / many).max(1);
        let mut rows: Vec<&[f32]> = contexts.chunks(wide).collect();
        rows.resize(many, &[]);
        // As many bits as every language has numbers for.
        let seed = (seed ^ (seed >> 32)) as u32;
        let Nothing {} = self.process().ask(&json!({"worlds": many, "contexts": rows, "seed": seed}))?;
        Ok(())
    }

    fn start(&mut self, which: &[bool], seen: &mut [f32]) -> Result<()> {
        let of: Vec<usize> = (0..which.len()).filter(|i| which[*i]).collect();
        let wide = seen.len() / which.len();
        let process = self.process();
        let found: Started = process.ask(&json!({"start": of}))?;
        let found = rows(process, &found.observation, of.len(), wide)?;
        for (i, row) in of.iter().zip(found.chunks(wide)) {
            seen[i * wide..][..wide].copy_from_slice(row);
        }
        Ok(())
    }

    fn step(&mut self, actions: &[f32], found: HostStep<'_>) -> Result<()> {
        let many = self.many;
        let which = |row: &[f32]| row.iter().position(|x| *x == 1.0).unwrap_or(0);
        let each = |row: &[f32]| match &self.action {
            ActionSpace::Discrete(_) => json!(which(row)),
            ActionSpace::MultiDiscrete(choices) => {
                let mut start = 0;
                let one = |n: &usize| {
                    start += n;
                    which(&row[start - n..start])
                };
                json!(choices.iter().map(one).collect::<Vec<_>>())
            }
            ActionSpace::Continuous(_) => json!(row),
        };
        let asked: Vec<Value> = actions.chunks(actions.len() / many).map(each).collect();
        let process = self.process();
        let said: Stepped = process.ask(&json!({"step": asked}))?;
        for (name, n) in [("reward", said.reward.len()), ("terminated", said.terminated.len())] {
            if n != many {
                return Err(process.wrong(format!("\"{name}\" has {n} values for {many} worlds")));
            }
        }
        let wide = found.seen.len() / many;
        found.seen.copy_from_slice(&rows(process, &said.observation, many, wide)?);
        found.reward.copy_from_slice(&said.reward);
        found.terminated.copy_from_slice(&said.terminated);
        Ok(())
    }

    fn save(&self) -> Result<Option<Vec<f32>>> {
        if !self.saves {
            return Ok(None);
        }
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let Saved { saved } = process.ask(&json!({"save": 1}))?;
        Ok(Some(saved))
    }

    fn restore(&mut self, saved: &[f32]) -> Result<()> {
        let Nothing {} = self.process().ask(&json!({"restore": saved}))?;
        Ok(())
    }
}

/// A program that answers.
#[derive(Debug)]
struct Process {
    command: String,
    child: Child,
    /// Closed where it is to end.
    input: Option<BufWriter<ChildStdin>>,
    output: BufReader<ChildStdout>,
}

/// Letters of what a program said that an error repeats at most.
const SAID: usize = 200;

impl Process {
    fn start(command: &str) -> Result<Process> {
        let mut of = if cfg!(windows) { Command::new("cmd") } else { Command::new("sh") };
        of.arg(if cfg!(windows) { "/C" } else { "-c" });
        // The shell becomes the program, so that whoever ends one ends the other.
        of.arg(if cfg!(windows) { command.to_string() } else { format!("exec {command}") });
        of.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A key that stops the training is for the training: it saves first.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut of, 0);
        let name = format!("{PREFIX}{command}");
        let failed = |e: std::io::Error| Error::Environment {
            name: name.clone(),
            message: format!("it can't be started: {e}"),
        };
        let mut child = of.spawn().map_err(failed)?;
        let (input, output) = (child.stdin.take().map(BufWriter::new), child.stdout.take());
        let output = BufReader::new(output.expect("it is piped"));
        Ok(Process { command: command.into(), child, input, output })
    }

    fn wrong(&self, message: impl Into<String>) -> Error {
        Error::Environment { name: format!("{PREFIX}{}", self.command), message: message.into() }
    }

    /// Asks, and reads what is answered.
    fn ask<T: DeserializeOwned>(&mut self, what: &Value) -> Result<T> {
        let asked = what.as_object().and_then(|o| o.keys().next().cloned()).unwrap_or_default();
        let mut line = String::new();
        let input = self.input.as_mut().expect("it is open as long as it is asked");
        let said = writeln!(input, "{what}")
            .and_then(|()| input.flush())
            .and_then(|()| self.output.read_line(&mut line));
        if said.is_err() || line.is_empty() {
            let how = self.child.wait().map_or(String::new(), |status| format!(" ({status})"));
            return Err(self.wrong(format!("it ended{how} when it was asked for \"{asked}\"")));
        }
        let short = || -> String {
            let said: String = line.trim_end().chars().take(SAID).flat_map(char::escape_debug).collect();
            if line.trim_end().chars().count() > SAID { said + "…" } else { said }
        };
        let value: Value = serde_json::from_str(&line)
            .map_err(|e| self.wrong(format!("to \"{asked}\" it said what is no JSON ({e}): {}", short())))?;
        if let Some(error) = value.get("error") {
            let error = error.as_str().map_or(error.to_string(), String::from);
            return Err(self.wrong(format!("\"{asked}\": {error}")));
        }
        serde_json::from_value(value)
            .map_err(|e| self.wrong(format!("to \"{asked}\" it said what does not fit ({e}): {}", short())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.input = None;
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
