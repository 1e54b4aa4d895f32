//! Environments that another program simulates, in any language: it reads a line of JSON from its standard input and answers with one.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::host::{HostEnvironment, HostStep, HostWorlds, OnHost};
use super::{ActionSpace, ContextNumber, Environment, Spread};
use crate::error::{Error, Result};

/// What stands before a command where the name of an environment is asked for.
pub(super) const PREFIX: &str = "exec:";
/// Numbers, choices and steps at most.
const MOST: usize = 65_536;
/// How long a program may take to end by itself when it is told nothing more.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it may take to answer before that is remarked on.
const SLOW: Duration = Duration::from_secs(10);

/// A simulator that is another program. It is started by the system's shell, in the current folder, and anew for every set of worlds (several may run at once). It is asked
/// in lines of JSON on its standard input, and answers each with a line on its standard output, where nothing else may stand, and which it is to flush after every line.
/// What it says on its standard error is passed on; where its input ends it is to end, too.
///
/// | asked | answered |
/// |---|---|
/// | `{"about": 1}`, first of all | `{"name": "line", "observation": 1, "actions": [[-0.1, 0.1]], "horizon": 20}`; also `"context"`, a list as `{"name": "place", "usual": 0, "range": [-1, 1], "spread": "even"}` (or `whole`, or `sign`), `"picture"` (height, width and channels of what is seen, row by row), `"reward_scale"` and `"saves"` |
/// | `{"worlds": 2, "contexts": [[0.5], [-0.5]], "seed": 7}`, before any episode, and again where others are met; without a context its rows are empty | `{}` |
/// | `{"start": [0, 1]}`: episodes begin in these worlds | `{"observation": [[0], [0]]}`, a row for each of them |
/// | `{"step": [[0.1], [-0.05]]}`: a step in every world; one whose episode ended with it begins another before the next step | `{"observation": [[0.1], [-0.05]], "reward": [-0.16, -0.2], "terminated": [false, false]}`; a time limit is the learner's (`"horizon"`) |
/// | `{"save": 1}` (where it `saves`) | `{"saved": [0.1, -0.05]}`: all that it needs to go on, always as many numbers |
/// | `{"restore": [0.1, -0.05]}` | `{}` |
///
/// `"actions"` are a number of actions (a step has the number of one, from 0, for each world), numbers of several choices at once (a step has a list of numbers), or ranges. A
/// program that can't do what it is asked says why: `{"error": "…"}`.
#[derive(Debug)]
pub struct Program {
    command: String,
    name: String,
    observation: usize,
    picture: Option<[usize; 3]>,
    action: ActionSpace,
    horizon: usize,
    context: Vec<ContextNumber>,
    reward_scale: f64,
    saves: bool,
}

impl Program {
    /// Asks a program what it simulates. `command` is a line for the system's shell.
    ///
    /// # Errors
    /// A program that can't be started, and answers that are none.
    pub fn ask(command: &str) -> Result<Program> {
        let mut process = Process::start(command)?;
        let said = process.ask(&json!({"about": 1}))?;
        let known =
            ["name", "observation", "picture", "actions", "horizon", "context", "reward_scale", "saves"];
        said.only(&known)?;
        let name: String = said.get("name", "a word")?;
        if name.trim().is_empty() {
            return Err(said.wrong("\"name\" is empty"));
        }
        let count = |name: &str| -> Result<usize> {
            let n: usize = said.get(name, "a whole number")?;
            match (1..=MOST).contains(&n) {
                true => Ok(n),
                false => Err(said.wrong(format!("\"{name}\" is from 1 to {MOST}, not {n}"))),
            }
        };
        let (observation, horizon) = (count("observation")?, count("horizon")?);
        let picture: Option<[usize; 3]> = said.or("picture", "height, width and channels", None)?;
        if let Some(shape) = picture.filter(|shape| shape.iter().product::<usize>() != observation) {
            return Err(
                said.wrong(format!("a \"picture\" of {shape:?} numbers is no observation of {observation}"))
            );
        }
        let reward_scale: f64 = said.or("reward_scale", "a number", 1.0)?;
        if !(reward_scale.is_finite() && reward_scale > 0.0) {
            return Err(said.wrong(format!("\"reward_scale\" is above 0, not {reward_scale}")));
        }
        let saves = said.or("saves", "true or false", false)?;
        let numbers: Vec<Value> = said.or("context", "a list of numbers that differ", vec![])?;
        let mut context: Vec<ContextNumber> = vec![];
        for number in numbers {
            let one = context_number(&said, number, &context)?;
            context.push(one);
        }
        let action = actions(&said)?;
        Ok(Program {
            command: command.into(),
            name,
            observation,
            picture,
            action,
            horizon,
            context,
            reward_scale,
            saves,
        })
    }
}

/// What an agent may do in it.
fn actions(said: &Answer) -> Result<ActionSpace> {
    let what = "how many there are (2 or more), numbers of several choices at once, as [3, 2], or ranges, as [[-1, 1]]";
    let given: Value = said.get("actions", what)?;
    let choices = |n: &[usize]| !n.is_empty() && n.iter().all(|n| (2..=MOST).contains(n));
    let of = |given: &Value| -> Option<ActionSpace> {
        if let Ok(n) = serde_json::from_value::<usize>(given.clone()) {
            return choices(&[n]).then_some(ActionSpace::Discrete(n));
        }
        if let Ok(n) = serde_json::from_value::<Vec<usize>>(given.clone()) {
            return choices(&n).then_some(ActionSpace::MultiDiscrete(n));
        }
        let ranges = serde_json::from_value::<Vec<[f64; 2]>>(given.clone()).ok()?;
        let rise = !ranges.is_empty() && ranges.iter().all(|[low, high]| low < high);
        rise.then_some(ActionSpace::Continuous(ranges))
    };
    of(&given).ok_or_else(|| said.wrong(format!("\"actions\" are {what}, not {}", short(&given.to_string()))))
}

/// A number that may differ from world to world; `before` are those that were said already.
fn context_number(said: &Answer, given: Value, before: &[ContextNumber]) -> Result<ContextNumber> {
    let Value::Object(of) = given else {
        let message = format!(
            "a number of the context is {{\"name\": …, \"usual\": …, \"range\": […, …]}}, not {given}"
        );
        return Err(said.wrong(message));
    };
    let one = Answer { of, ..said.clone() };
    one.only(&["name", "usual", "range", "spread"])?;
    let name: String = one.get("name", "a word")?;
    let usual: f64 = one.get("usual", "a number")?;
    let [low, high]: [f64; 2] = one.get("range", "two numbers, the lower first")?;
    let spread: String = one.or("spread", "even, whole or sign", "even".into())?;
    let wrong = |message: String| Err(said.wrong(message));
    let spread = match spread.as_str() {
        "even" => Spread::Even,
        "whole" => Spread::Whole,
        "sign" => Spread::Sign,
        other => return wrong(format!("a \"spread\" is even, whole or sign, not '{other}'")),
    };
    let plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    if name.is_empty() || !name.chars().all(plain) || before.iter().any(|c| c.name == name) {
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
    Ok(ContextNumber { name: name.into(), usual, range: [low, high], spread })
}

/// The environment of a command; it is asked once what it is.
pub(super) fn environment(command: &str) -> Result<Arc<dyn Environment>> {
    static ASKED: Mutex<Option<HashMap<String, Arc<dyn Environment>>>> = Mutex::new(None);
    if command.trim().is_empty() {
        return Err(Error::config("--task", format!("behind {PREFIX} stands the command of a simulator")));
    }
    let mut asked = locked(&ASKED);
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
        &self.name
    }

    fn origin(&self) -> String {
        format!("{PREFIX}{}", self.command)
    }

    fn observation(&self) -> usize {
        self.observation
    }

    fn picture(&self) -> Option<[usize; 3]> {
        self.picture
    }

    fn action(&self) -> ActionSpace {
        self.action.clone()
    }

    fn context(&self) -> &[ContextNumber] {
        &self.context
    }

    fn horizon(&self) -> usize {
        self.horizon
    }

    fn reward_scale(&self) -> f64 {
        self.reward_scale
    }

    fn worlds(&self, many: usize) -> Result<Box<dyn HostWorlds>> {
        let process = Process::start(&self.command)?;
        let (action, saves) = (self.action.clone(), self.saves);
        Ok(Box::new(ProgramWorlds { process, many, action, saves, saved: None }))
    }
}

#[derive(Debug)]
struct ProgramWorlds {
    process: Process,
    many: usize,
    action: ActionSpace,
    saves: bool,
    /// How many numbers it saved before.
    saved: Option<usize>,
}

/// Rows of what is seen behind one another, as many and as wide as they are to be.
fn observations(said: &Answer, many: usize, wide: usize) -> Result<Vec<f32>> {
    let found: Vec<Vec<f32>> = said.get("observation", "a list of numbers for each world")?;
    if found.len() != many {
        return Err(said.wrong(format!("\"observation\" has {} rows for {many} worlds", found.len())));
    }
    if let Some(at) = found.iter().position(|row| row.len() != wide) {
        let numbers = found[at].len();
        return Err(said.wrong(format!("row {at} of \"observation\" has {numbers} numbers, not {wide}")));
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
        self.process.ask(&json!({"worlds": many, "contexts": rows, "seed": seed}))?.only(&[])
    }

    fn start(&mut self, which: &[bool], seen: &mut [f32]) -> Result<()> {
        let of: Vec<usize> = (0..which.len()).filter(|i| which[*i]).collect();
        let wide = seen.len() / which.len();
        let said = self.process.ask(&json!({"start": of}))?;
        said.only(&["observation"])?;
        let found = observations(&said, of.len(), wide)?;
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
        let said = self.process.ask(&json!({"step": asked}))?;
        said.only(&["observation", "reward", "terminated"])?;
        let reward: Vec<f32> = said.get("reward", "a number for each world")?;
        let terminated: Vec<bool> = said.get("terminated", "true or false for each world")?;
        for (name, n) in [("reward", reward.len()), ("terminated", terminated.len())] {
            if n != many {
                return Err(said.wrong(format!("\"{name}\" has {n} values for {many} worlds")));
            }
        }
        let wide = found.seen.len() / many;
        found.seen.copy_from_slice(&observations(&said, many, wide)?);
        found.reward.copy_from_slice(&reward);
        found.terminated.copy_from_slice(&terminated);
        Ok(())
    }

    fn save(&mut self) -> Result<Option<Vec<f32>>> {
        if !self.saves {
            return Ok(None);
        }
        let said = self.process.ask(&json!({"save": 1}))?;
        said.only(&["saved"])?;
        let saved: Vec<f32> = said.get("saved", "a list of numbers")?;
        match self.saved.replace(saved.len()).filter(|n| *n != saved.len()) {
            Some(before) => {
                Err(said.wrong(format!("{} numbers, and before {before}: always as many", saved.len())))
            }
            None => Ok(Some(saved)),
        }
    }

    fn restore(&mut self, saved: &[f32]) -> Result<()> {
        self.process.ask(&json!({"restore": saved}))?.only(&[])
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Letters of what a program said that an error repeats at most.
const SAID: usize = 160;

/// The beginning of what was said, on one line.
fn short(text: &str) -> String {
    let line: String = text
        .trim_end()
        .chars()
        .take(SAID)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect();
    if text.trim_end().chars().count() > SAID { line + "…" } else { line }
}

/// What a program answered.
#[derive(Clone, Debug)]
struct Answer {
    command: String,
    asked: String,
    of: Map<String, Value>,
}

impl Answer {
    fn wrong(&self, message: impl std::fmt::Display) -> Error {
        let message = format!("to \"{}\" it said: {message}", self.asked);
        Error::Environment { name: format!("{PREFIX}{}", self.command), message }
    }

    /// Refuses what else there is.
    fn only(&self, names: &[&str]) -> Result<()> {
        let Some(other) = self.of.keys().find(|key| !names.contains(&key.as_str())) else { return Ok(()) };
        let limit = if other == "truncated" { "; a time limit is the learner's (\"horizon\")" } else { "" };
        let listed: Vec<String> = names.iter().map(|n| format!("\"{n}\"")).collect();
        let known = if names.is_empty() { "{} is all".to_string() } else { listed.join(", ") };
        Err(self.wrong(format!("\"{other}\", which is not known here: {known}{limit}")))
    }

    /// A value that has to be there; `what` it is to be.
    fn get<T: DeserializeOwned>(&self, name: &str, what: &str) -> Result<T> {
        let Some(value) = self.of.get(name) else {
            return Err(self.wrong(format!("there is no \"{name}\" ({what})")));
        };
        serde_json::from_value(value.clone())
            .map_err(|_| self.wrong(format!("\"{name}\" is to be {what}, not {}", short(&value.to_string()))))
    }

    /// The same of one that may be left out.
    fn or<T: DeserializeOwned>(&self, name: &str, what: &str, usual: T) -> Result<T> {
        if self.of.contains_key(name) { self.get(name, what) } else { Ok(usual) }
    }
}

/// All programs that run, so that none is left behind where this one ends at once.
static RUNNING: Mutex<Vec<Weak<Mutex<Child>>>> = Mutex::new(vec![]);

/// Ends all simulators that were started, for a process that is about to end without waiting for anything.
pub fn end_programs() {
    for child in locked(&RUNNING).iter().filter_map(Weak::upgrade) {
        let _ = locked(&child).kill();
    }
}

/// A program that answers.
#[derive(Debug)]
struct Process {
    command: String,
    child: Arc<Mutex<Child>>,
    /// Closed where it is to end.
    input: Option<BufWriter<ChildStdin>>,
    /// Lines that it said.
    lines: Receiver<Vec<u8>>,
}

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
        let failed = |e: std::io::Error| Error::Environment {
            name: format!("{PREFIX}{command}"),
            message: format!("it can't be started: {e}"),
        };
        let mut child = of.spawn().map_err(failed)?;
        let input = child.stdin.take().map(BufWriter::new);
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (said, lines) = channel();
        std::thread::spawn(move || {
            let mut line = vec![];
            while output.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                if said.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        let child = Arc::new(Mutex::new(child));
        let mut running = locked(&RUNNING);
        running.retain(|child| child.strong_count() > 0);
        running.push(Arc::downgrade(&child));
        Ok(Process { command: command.into(), child, input, lines })
    }

    fn wrong(&self, message: impl Into<String>) -> Error {
        Error::Environment { name: format!("{PREFIX}{}", self.command), message: message.into() }
    }

    /// Asks, and waits for what is answered.
    fn ask(&mut self, what: &Value) -> Result<Answer> {
        let asked = what.as_object().and_then(|o| o.keys().next().cloned()).unwrap_or_default();
        let sent = match &mut self.input {
            Some(input) => writeln!(input, "{what}").and_then(|()| input.flush()).is_ok(),
            None => false,
        };
        let line = match sent {
            true => self.line(&asked),
            // What it said last may say why it ended.
            false => self.lines.try_recv().ok(),
        };
        let Some(line) = line else {
            let status = self.end();
            let how = status.map_or(String::new(), |status| format!(" ({status})"));
            let hint = match status.and_then(|s| s.code()) {
                Some(127) => ": there is no such program for the shell in the current folder",
                _ => "",
            };
            return Err(self.wrong(format!("it ended{how} when it was asked for \"{asked}\"{hint}")));
        };
        let text = String::from_utf8_lossy(&line);
        let value: Value = serde_json::from_slice(&line).map_err(|_| {
            let hint = match text.contains("NaN") || text.contains("Infinity") {
                true => "JSON has no NaN or Infinity, and nothing is learned from them",
                false => {
                    "an answer is one line of JSON, and what is printed for people belongs on standard error"
                }
            };
            self.wrong(format!("to \"{asked}\" it said what is no JSON ({hint}): {}", short(&text)))
        })?;
        let answer = |of| Answer { command: self.command.clone(), asked: asked.clone(), of };
        let Value::Object(of) = value else {
            return Err(answer(Map::new()).wrong(format!("{}, which is no object {{…}}", short(&text))));
        };
        match of.get("error") {
            Some(error) => {
                let error = error.as_str().map_or(error.to_string(), String::from);
                Err(self.wrong(format!("\"{asked}\": {}", short(&error))))
            }
            None => Ok(answer(of)),
        }
    }

    /// The next line; it is remarked on where it does not come.
    fn line(&self, asked: &str) -> Option<Vec<u8>> {
        match self.lines.recv_timeout(SLOW) {
            Err(RecvTimeoutError::Timeout) => {
                log::warn!(
                    "{PREFIX}{} has not answered \"{asked}\" for {} s; it is waited for (does it flush what it says after every line?)",
                    self.command,
                    SLOW.as_secs()
                );
                self.lines.recv().ok()
            }
            found => found.ok(),
        }
    }

    /// Ends it: its input ends, and it is ended if it does not follow.
    fn end(&mut self) -> Option<ExitStatus> {
        self.input = None;
        let asked = Instant::now();
        loop {
            let mut child = locked(&self.child);
            match child.try_wait() {
                Ok(None) if asked.elapsed() < PATIENCE => {}
                Ok(None) => {
                    let _ = child.kill();
                    return child.wait().ok();
                }
                found => return found.ok().flatten(),
            }
            drop(child);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
