//! Texts, a task each: a language, an author. A model reads the beginning of one that it has not seen, and is judged by the bits that a
//! symbol of its end takes.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Source, TaskKind, TasksPicture, check_rows, sequences, settings_of};
use crate::data::format::Format;
use crate::data::text::{Alphabet, Unit, digest, files_of, read_text};
use crate::data::texts::{TextTasks, Texts};
use crate::error::{Error, Result};
use crate::experiment::config::{Config, EvalConfig};
use crate::rng::Rng;
use crate::task::{Likelihood, Task, TaskFamily};

/// Texts, a task each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TextsConfig {
    /// Files, and folders of them: each file is a task, to train on or to choose by.
    pub files: Vec<PathBuf>,
    /// A file or folder of other texts, to be judged on (not given: some of `files`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// How many texts of `files` are judged on, drawn by the seed, where `test` is not given; 0: a fifth.
    pub held_out: usize,
    /// What a symbol is: a byte, which any text is made of, or a character, where all texts share an alphabet.
    pub unit: Unit,
    /// Symbols of a sequence; `eval.shots` and `eval.query` count sequences.
    pub length: usize,
}

impl Default for TextsConfig {
    fn default() -> TextsConfig {
        TextsConfig { files: vec![], test: None, held_out: 0, unit: Unit::Bytes, length: 100 }
    }
}

/// Texts for each use; no text has two.
#[derive(Debug)]
struct Parted {
    train: TextTasks,
    validation: TextTasks,
    test: TextTasks,
    format: Format,
    place: PathBuf,
    warnings: Vec<String>,
}

pub(super) fn defaults(base: Config) -> Config {
    let eval = EvalConfig { shots: 2, query: 10, tasks: 1, sweep: vec![1, 2, 5, 10] };
    Config { texts: Some(TextsConfig::default()), ..sequences(base, "gru-64", eval) }
}

pub(super) fn validate(config: &Config) -> Result<()> {
    let fail = |key: &str, message: String| Err(Error::config(key, message));
    let Some(t) = settings_of(config, TaskKind::Texts, &config.texts, "--files")? else { return Ok(()) };
    if t.files.is_empty() {
        return fail("texts.files", "is missing: give --files FOLDER, with a file for each text".into());
    }
    if !(2..=65_536).contains(&t.length) {
        return fail("texts.length", format!("{} is out of range: it must lie from 2 to 65536", t.length));
    }
    if t.test.is_some() && t.held_out > 0 {
        return fail("texts.held_out", "texts.test names what is judged on: leave one of both out".into());
    }
    Ok(())
}

/// Reads texts; of those that are empty only the path is there.
fn read(files: &[PathBuf], unit: Unit) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut before = 0;
    (files_of(files)?.into_iter())
        .map(|path| {
            let empty = std::fs::metadata(&path).is_ok_and(|m| m.len() == 0);
            let text = if empty { vec![] } else { read_text(&path, unit, before)? };
            before += text.len();
            Ok((path, text))
        })
        .collect()
}

/// Leaves out what is too short for a task, and says so.
fn leave_out(all: &mut Vec<(PathBuf, Vec<u8>)>, t: &TextsConfig, shots: usize) -> Option<String> {
    let least = (shots + 1) * t.length + 1;
    let symbols = |text: &[u8]| match t.unit {
        Unit::Bytes => text.len(),
        Unit::Characters => String::from_utf8_lossy(text).chars().count(),
    };
    let before = all.len();
    let mut left: Vec<String> = Vec::new();
    all.retain(|(path, text)| {
        let long = symbols(text) >= least;
        if !long {
            left.push(path.display().to_string());
        }
        long
    });
    let more = if left.len() > 10 { ", …" } else { "" };
    (!left.is_empty()).then(|| {
        format!(
            "{} of {before} texts have fewer than the {least} symbols that {shots} shots and a query sequence of {} need, and are left out: \
             {}{more}",
            left.len(),
            t.length,
            left[..left.len().min(10)].join(", ")
        )
    })
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn Source>> {
    let t = config.texts.clone().unwrap_or_default();
    let place = t.test.clone().unwrap_or_else(|| t.files[0].clone());
    let mut all = read(&t.files, t.unit)?;
    let mut warnings: Vec<String> = leave_out(&mut all, &t, config.eval.shots).into_iter().collect();
    let own = all.len();
    if own == 0 {
        let why = warnings.pop().unwrap_or_else(|| "holds no text".into());
        return Err(Error::data(&t.files[0], "", why));
    }
    if let Some(test) = &t.test {
        let known: Vec<PathBuf> = all.iter().filter_map(|(path, _)| path.canonicalize().ok()).collect();
        let mut others = read(std::slice::from_ref(test), t.unit)?;
        let both = |(path, _): &&(PathBuf, Vec<u8>)| path.canonicalize().is_ok_and(|p| known.contains(&p));
        if let Some((path, _)) = others.iter().find(both) {
            return Err(Error::data(
                path,
                "",
                "is one of those to train on: texts to be judged on must be others",
            ));
        }
        warnings.extend(leave_out(&mut others, &t, config.eval.shots));
        if others.is_empty() {
            return Err(Error::data(test, "", "holds no text that is long enough"));
        }
        all.extend(others);
    }
    // Any byte may come in a text that is not seen yet.
    let alphabet = match t.unit {
        Unit::Bytes => Alphabet::of(&(0..=255).collect::<Vec<u8>>(), t.unit),
        Unit::Characters => {
            let bytes: Vec<u8> = all[..own].iter().flat_map(|(_, text)| text.iter().copied()).collect();
            Alphabet::of(&bytes, t.unit)
        }
    };
    let mut texts = Texts { names: vec![], texts: vec![], symbols: alphabet.symbols().len() };
    for (path, text) in &all {
        let numbers = alphabet.encode(text).map_err(|e| {
            let message = format!(
                "{} is in none of the texts to train on: texts.unit = \"bytes\" takes any text",
                e.symbol
            );
            Error::data(path, format!(", line {}", e.line), message)
        })?;
        texts.names.push(path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned());
        texts.texts.push(numbers);
    }
    let flat: Vec<u32> = texts.texts.concat();
    let format = Format::Text {
        alphabet,
        length: t.length,
        digest: digest(flat.iter().copied()),
        pairs: false,
        columns: None,
    };
    let (train, validation, test) = part(&t, config.seed, own, all.len())?;
    let texts = Arc::new(texts);
    let tasks = |which: Vec<usize>| TextTasks {
        texts: texts.clone(),
        which,
        length: t.length,
        shots: config.eval.shots,
        query: config.eval.query,
        seed: config.seed,
    };
    let (train, validation, test) = (tasks(train), tasks(validation), tasks(test));
    Ok(Arc::new(Parted { train, validation, test, format, place, warnings }))
}

/// Which texts are trained on, chosen by (a tenth) and judged on.
fn part(t: &TextsConfig, seed: u64, own: usize, all: usize) -> Result<(Vec<usize>, Vec<usize>, Vec<usize>)> {
    let judged = match (&t.test, t.held_out) {
        (Some(_), _) => 0,
        (None, 0) => own / 5,
        (None, n) => n,
    };
    let chosen = (own / 10).max(1);
    if judged == 0 && t.test.is_none() || own < judged + chosen + 1 {
        let message = format!(
            "holds {own} texts, of which {judged} would be judged on and {chosen} chosen by: at least one is needed for each, and to train \
             on. A file is a text"
        );
        return Err(Error::data(&t.files[0], "", message));
    }
    let order = Rng::new(seed, 0x7e87).choose(own, own);
    let (test, rest) = order.split_at(judged);
    let (validation, train) = rest.split_at(chosen);
    let test = if t.test.is_some() { (own..all).collect() } else { test.to_vec() };
    Ok((train.to_vec(), validation.to_vec(), test))
}

impl Source for Parted {
    fn family(&self, _: usize) -> Arc<dyn TaskFamily> {
        Arc::new(self.train.clone())
    }

    fn validation(&self, _: usize) -> Vec<Task> {
        self.validation.held_out(self.train.shots)
    }

    fn test(&self, shots: usize) -> Vec<Task> {
        self.test.held_out(shots)
    }

    fn known(&self) -> Vec<Task> {
        self.train.held_out(self.train.shots).into_iter().chain(self.validation(0)).collect()
    }

    fn likelihood(&self) -> Likelihood {
        Likelihood::symbols(self.train.length, self.train.texts.symbols)
    }

    fn format(&self) -> Format {
        self.format.clone()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn check_held_out(&self, shots: usize) -> Result<()> {
        let least = self.test.least(shots);
        let short = |which: &&usize| self.test.texts.texts[**which].len() < least;
        if let Some(which) = self.test.which.iter().find(short) {
            let message = format!(
                "{shots} shots and a query sequence of texts.length = {} symbols need {least} symbols, and the text '{}' has {}",
                self.test.length,
                self.test.texts.names[*which],
                self.test.texts.texts[*which].len()
            );
            return Err(Error::config("eval.shots", message));
        }
        check_rows(self.test.which.len(), shots + self.test.query, shots, &self.train.shape())
    }

    fn place(&self) -> String {
        format!(" of {}", self.place.display())
    }

    fn picture(&self) -> TasksPicture {
        TasksPicture::None
    }
}
