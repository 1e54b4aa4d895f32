//! A text: one task, a language model that says what follows. It is judged by the bits that a symbol of the last part takes.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    SHOWN_SEQUENCES, SingleTask, Source, TaskKind, TasksPicture, check_single, language_model, settings_of,
};
use crate::data::format::Format;
use crate::data::labelled::Labelled;
use crate::data::text::{Symbols, Unit, Windows};
use crate::error::{Error, Result};
use crate::experiment::config::{Config, WeightSource};
use crate::net::Net;
use crate::task::{Likelihood, Task, TaskFamily};

/// A text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TextConfig {
    /// Files, and folders of them: one text, in this order.
    pub files: Vec<PathBuf>,
    /// What a symbol is: a character, or a byte.
    pub unit: Unit,
    /// Symbols of a sequence in training.
    pub length: usize,
    /// Symbols of a sequence that is judged on, where the network goes from symbol to symbol: what stands before a symbol counts as far
    /// back.
    pub test_length: usize,
    /// Sequences of a batch.
    pub batch: usize,
    /// Share of the text, at its end, that is judged on.
    pub test: f64,
    /// Share of the rest, at its beginning, that is not trained on: curves are drawn by it.
    pub validation: f64,
}

impl Default for TextConfig {
    fn default() -> TextConfig {
        TextConfig {
            files: vec![],
            unit: Unit::Characters,
            length: 100,
            test_length: 1_000,
            batch: 32,
            test: 0.1,
            validation: 0.05,
        }
    }
}

/// The text, read.
#[derive(Debug)]
struct Text {
    family: Arc<Windows>,
    task: SingleTask,
    format: Format,
    place: PathBuf,
    warnings: Vec<String>,
}

/// Sequences to choose by that are looked at, at most.
const HELD_SEQUENCES: usize = 10_000;
/// Numbers that are said of the symbols to be judged on, at most.
const JUDGED_NUMBERS: usize = 1 << 27;

pub(super) fn defaults(base: Config) -> Config {
    Config { text: Some(TextConfig::default()), ..language_model(base, "lstm", 3_000, 5e-3) }
}

pub(super) fn validate(config: &Config) -> Result<()> {
    let fail = |key: &str, message: String| Err(Error::config(key, message));
    let Some(t) = settings_of(config, TaskKind::Text, &config.text, "--files")? else { return Ok(()) };
    if t.files.is_empty() {
        return fail("text.files", "is missing: give --files FILE, or a folder".into());
    }
    let sizes = [("text.length", t.length), ("text.test_length", t.test_length), ("text.batch", t.batch)];
    for (key, n) in sizes {
        if !(2..=65_536).contains(&n) {
            return fail(key, format!("{n} is out of range: it must lie from 2 to 65536"));
        }
    }
    for (key, share) in [("text.test", t.test), ("text.validation", t.validation)] {
        let least = if key == "text.test" { 0.001 } else { 0.0 };
        if !(least..=0.5).contains(&share) {
            return fail(key, format!("{share} is out of range: it must lie from {least} to 0.5"));
        }
    }
    if config.model.weights == WeightSource::Generated {
        return fail(
            "model.weights",
            "a single text has nothing that a hypernetwork could read: leave --generated out".into(),
        );
    }
    check_single(config, "", "text.batch is the number of sequences a step")
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn Source>> {
    let t = config.text.clone().unwrap_or_default();
    let place = t.files[0].clone();
    let refuse = |message: String| Err(Error::data(&place, "", message));
    let (alphabet, text) = Symbols::read(&t.files, t.unit)?;
    let symbols = alphabet.symbols().len();
    let n = text.len();
    let judged = n - (n as f64 * t.test).round() as usize;
    let held = (judged as f64 * t.validation / t.length as f64).round() as usize;
    let trained = (held * t.length).min(judged)..judged;
    if trained.len() <= 2 * t.length || n - judged <= t.length {
        let message = format!(
            "has {n} symbols, of which {} are trained on and {} judged on: sequences of text.length = {} need more of both. Shorter \
             sequences would do, or more text, or other text.test and text.validation",
            trained.len(),
            n - judged,
            t.length
        );
        return refuse(message);
    }
    let layers = config.model.net.as_deref().unwrap_or_default();
    let goes_on = Net::language_model(t.length, symbols, layers, config.model.head).of_one_element().is_ok();
    let judged_length = if goes_on { t.test_length.min(n - judged - 1) } else { t.length };
    // Those to choose by, and the last that is trained on.
    let shown = held.min(HELD_SEQUENCES);
    let part = |from: usize, n: usize| (text.range(from..from + n), text.range(from + 1..from + n + 1));
    let (mut x, mut labels) = part(0, shown * t.length);
    let last = part(judged - t.length - 1, t.length);
    x.extend(last.0);
    labels.extend(last.1);
    let kinds = || alphabet.symbols().to_vec();
    let rows = Arc::new(Labelled::of_sequences(kinds(), x, labels, t.length));
    let mut warnings = vec![];
    let most = (JUDGED_NUMBERS / symbols).max(judged_length + 1);
    if n - judged > most {
        warnings.push(format!(
            "the first {most} of the {} symbols to be judged on are: what is said of all would take more memory",
            n - judged
        ));
    }
    let test = &text.range(judged..n.min(judged + most));
    let test = Arc::new(Labelled::of_text(kinds(), test, judged_length));
    let task = SingleTask {
        statistics: vec![shown],
        validation: (0..shown).collect(),
        test_rows: (0..test.len()).collect(),
        trained: (judged - 1) / t.length - held,
        rows,
        test,
    };
    let digest = text.digest();
    let family = Windows {
        text: Arc::new(text),
        range: trained,
        symbols,
        length: t.length,
        batch: t.batch,
        seed: config.seed,
    };
    let format = Format::Text { alphabet, length: t.length, digest, pairs: false, columns: None };
    Ok(Arc::new(Text { family: Arc::new(family), task, format, place, warnings }))
}

impl Source for Text {
    fn family(&self, _: usize) -> Arc<dyn TaskFamily> {
        self.family.clone()
    }

    fn validation(&self, _: usize) -> Vec<Task> {
        vec![]
    }

    fn test(&self, _: usize) -> Vec<Task> {
        // Of the length that was trained on, for instruments to look at.
        let shown = &self.task.validation[..self.task.validation.len().min(SHOWN_SEQUENCES)];
        let shown = if shown.is_empty() { &self.task.statistics } else { shown };
        vec![self.task.support().with_query(self.task.rows.inputs(shown), self.task.rows.targets(shown))]
    }

    fn likelihood(&self) -> Likelihood {
        Likelihood::symbols(self.family.length, self.family.symbols)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn format(&self) -> Format {
        self.format.clone()
    }

    fn single(&self) -> Option<&SingleTask> {
        Some(&self.task)
    }

    fn place(&self) -> String {
        format!(" of {}", self.place.display())
    }

    fn picture(&self) -> TasksPicture {
        TasksPicture::None
    }
}
