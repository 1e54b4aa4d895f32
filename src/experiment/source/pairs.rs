//! Pairs of texts: one task, a language model that goes on from a source with its target. It is judged by what it says of the sources of the
//! last part.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    SHOWN_SEQUENCES, SingleTask, Source, TaskKind, TasksPicture, check_single, language_model, settings_of,
};
use crate::data::format::Format;
use crate::data::pairs::{Pair, PairBatches, Pairs, read_pairs};
use crate::data::text::digest;
use crate::error::{Error, Result};
use crate::experiment::config::{Config, WeightSource};
use crate::task::{Likelihood, Task, TaskFamily};

/// Pairs of texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PairsConfig {
    /// A file of cells separated by tabs, whose first line names the columns.
    pub file: PathBuf,
    /// The column of what is read.
    pub source: String,
    /// The column of what is to be said.
    pub target: String,
    /// Symbols of a sequence: source, target, and one between them; 0: as many as the longest pair has. Longer pairs are left out.
    pub length: usize,
    /// Pairs of a batch.
    pub batch: usize,
    /// What is judged on, at the end of the file: below 1 a share of the pairs, else how many.
    pub test: f64,
    /// What stands before those and is not trained on either: curves are drawn by it.
    pub validation: f64,
}

impl Default for PairsConfig {
    fn default() -> PairsConfig {
        PairsConfig {
            file: PathBuf::new(),
            source: String::new(),
            target: String::new(),
            length: 0,
            batch: 64,
            test: 0.1,
            validation: 0.05,
        }
    }
}

/// The pairs, read.
#[derive(Debug)]
struct Parted {
    family: Arc<PairBatches>,
    task: SingleTask,
    format: Format,
    place: PathBuf,
    warnings: Vec<String>,
}

pub(super) fn defaults(base: Config) -> Config {
    Config { pairs: Some(PairsConfig::default()), ..language_model(base, "gru_attention-128", 10_000, 3e-3) }
}

pub(super) fn validate(config: &Config) -> Result<()> {
    let fail = |key: &str, message: String| Err(Error::config(key, message));
    let Some(p) = settings_of(config, TaskKind::Pairs, &config.pairs, "--pairs, --source and --target")?
    else {
        return Ok(());
    };
    if p.file.as_os_str().is_empty() {
        return fail("pairs.file", "is missing: give --pairs FILE.tsv".into());
    }
    for (key, flag, column) in
        [("pairs.source", "--source", &p.source), ("pairs.target", "--target", &p.target)]
    {
        if column.is_empty() {
            return fail(key, format!("is missing: {flag} names the column"));
        }
    }
    if p.source == p.target {
        return fail(
            "pairs.target",
            "is the column of the sources, too: what is said would be what is read".into(),
        );
    }
    if p.length != 0 && !(4..=65_536).contains(&p.length) {
        return fail(
            "pairs.length",
            format!("{} is out of range: it must lie from 4 to 65536, or be 0", p.length),
        );
    }
    if !(1..=65_536).contains(&p.batch) {
        return fail("pairs.batch", format!("{} is out of range: it must lie from 1 to 65536", p.batch));
    }
    for (key, n) in [("pairs.test", p.test), ("pairs.validation", p.validation)] {
        let sound = (0.0..=0.5).contains(&n) || (n >= 1.0 && n.fract() == 0.0);
        if !sound || key == "pairs.test" && n == 0.0 {
            return fail(key, format!("{n} is neither a share up to 0.5 nor a whole number of pairs"));
        }
    }
    if config.model.weights == WeightSource::Generated {
        return fail(
            "model.weights",
            "one task has nothing that a hypernetwork could read: leave --generated out".into(),
        );
    }
    check_single(config, "", "pairs.batch is the number of pairs a step")
}

/// What should be said where a few pairs are much longer than all others, which makes every sequence as long; `task` names the settings.
pub(super) fn much_longer(task: &str, pairs: &[Pair], length: usize) -> Option<String> {
    let mut lengths: Vec<usize> = pairs.iter().map(|pair| pair.len() - 1).filter(|n| *n <= length).collect();
    lengths.sort_unstable();
    let most = lengths.get(lengths.len() * 99 / 100).copied()?;
    (length > 2 * most).then(|| {
        let more = lengths.iter().filter(|n| **n > most).count();
        format!(
            "sequences have {length} symbols, as the longest pair needs, and 99 of 100 pairs need {most} at most: {task}.length = {most} would leave {more} \
             out and take a fraction of time and memory"
        )
    })
}

/// How many of n pairs a setting asks for.
fn part(n: usize, asked: f64) -> usize {
    if asked < 1.0 { (n as f64 * asked).round() as usize } else { asked as usize }
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn Source>> {
    let p = config.pairs.clone().unwrap_or_default();
    let refuse = |message: String| Err(Error::data(&p.file, "", message));
    let all = read_pairs(&p.file, &p.source, &p.target)?;
    let alphabet = Pairs::alphabet(&all);
    if !alphabet.is_sound() {
        return refuse(format!(
            "holds {} different symbols: 2 to 65536 are possible",
            alphabet.symbols().len()
        ));
    }
    let n = all.len();
    let (judged, chosen) = (part(n, p.test), part(n, p.validation));
    if judged == 0 || judged + chosen >= n {
        return refuse(format!(
            "has {n} pairs, of which {judged} would be judged on and {chosen} chosen by: at least one is needed to be judged on, and one to \
             train on (pairs.test, pairs.validation)"
        ));
    }
    let longest = all.iter().map(Pair::len).max().unwrap_or(0) - 1;
    let length = if p.length == 0 { longest } else { p.length };
    let (rest, test) = all.split_at(n - judged);
    let (train, validation) = rest.split_at(n - judged - chosen);
    // Pairs to train on come first, then those to choose by.
    let of = |pairs: &[Pair]| {
        Pairs::of(pairs, &alphabet, length).map_err(|e| Error::data(&p.file, "", e.to_string()))
    };
    let short = |pairs: &[Pair]| pairs.iter().filter(|pair| pair.len() <= length + 1).count();
    let (trained, held) = (short(train), short(validation));
    let (rows, test_rows) = (of(rest)?, of(test)?);
    let mut warnings: Vec<String> = much_longer("pairs", &all, length).into_iter().collect();
    if rows.len() + test_rows.len() < n {
        warnings.push(format!(
            "{} of {n} pairs are longer than pairs.length = {length} symbols and are left out, {} of them among the {judged} to be judged on",
            n - rows.len() - test_rows.len(),
            judged - test_rows.len()
        ));
    }
    if trained == 0 || test_rows.is_empty() {
        return refuse(format!(
            "no pair to train on, or none to be judged on, is as short as pairs.length = {length} symbols: the longest has {longest}"
        ));
    }
    let digest = digest([rows.symbols_of_all(), test_rows.symbols_of_all()].concat());
    let labelled = |pairs: &Pairs| Arc::new(pairs.labelled(&alphabet));
    let task = SingleTask {
        statistics: vec![0],
        trained,
        validation: (trained..trained + held).collect(),
        rows: labelled(&rows),
        test_rows: (0..test_rows.len()).collect(),
        test: labelled(&test_rows),
    };
    let family = PairBatches { pairs: Arc::new(rows), range: 0..trained, batch: p.batch, seed: config.seed };
    let format = Format::Text { alphabet, length, digest, pairs: true, columns: None };
    Ok(Arc::new(Parted { family: Arc::new(family), task, format, place: p.file, warnings }))
}

impl Source for Parted {
    fn family(&self, _: usize) -> Arc<dyn TaskFamily> {
        self.family.clone()
    }

    fn validation(&self, _: usize) -> Vec<Task> {
        vec![]
    }

    fn test(&self, _: usize) -> Vec<Task> {
        // For instruments to look at.
        let shown = &self.task.test_rows[..self.task.test_rows.len().min(SHOWN_SEQUENCES)];
        vec![self.task.support().with_query(self.task.test.inputs(shown), self.task.test.targets(shown))]
    }

    fn likelihood(&self) -> Likelihood {
        Likelihood::symbols(self.family.pairs.length, self.family.pairs.symbols)
    }

    fn format(&self) -> Format {
        self.format.clone()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
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
