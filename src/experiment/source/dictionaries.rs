//! The pairs of a file by groups, a task each (a language): a model reads some pairs of one that it has not seen, and is judged by what it
//! says of the sources of others.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pairs::much_longer;
use super::{Source, TEST_SEED, TaskKind, TasksPicture, VALIDATION_SEED, check_rows, sequences, settings_of};
use crate::data::format::Format;
use crate::data::pairs::{Pair, PairTasks, Pairs, read_groups};
use crate::data::score_text::edits;
use crate::data::text::digest;
use crate::error::{Error, Result, nearest};
use crate::experiment::config::{Config, EvalConfig};
use crate::rng::Rng;
use crate::task::{Likelihood, Task, TaskFamily};

/// Pairs of texts by groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DictionariesConfig {
    /// A file of cells separated by tabs, whose first line names the columns.
    pub file: PathBuf,
    /// The column that says which task a pair belongs to.
    pub group: String,
    /// The column of what is read.
    pub source: String,
    /// The column of what is to be said.
    pub target: String,
    /// Groups to be judged on; none: a fifth, drawn by the seed.
    pub held_out: Vec<String>,
    /// Symbols of a sequence: source, target, and one between them; 0: as many as the longest pair has. Longer pairs are left out.
    pub length: usize,
}

/// Groups for each use; no group has two.
#[derive(Debug)]
struct Parted {
    train: PairTasks,
    validation: PairTasks,
    test: PairTasks,
    /// What each training group says of each source.
    lexicons: Vec<HashMap<String, String>>,
    format: Format,
    place: PathBuf,
    warnings: Vec<String>,
}

pub(super) fn defaults(base: Config) -> Config {
    let eval = EvalConfig { shots: 20, query: 20, tasks: 1, sweep: vec![5, 10, 20, 50] };
    Config { dictionaries: Some(DictionariesConfig::default()), ..sequences(base, "gru_attention-64", eval) }
}

pub(super) fn validate(config: &Config) -> Result<()> {
    let fail = |key: &str, message: String| Err(Error::config(key, message));
    let flags = "--pairs, --group, --source and --target";
    let Some(d) = settings_of(config, TaskKind::Dictionaries, &config.dictionaries, flags)? else {
        return Ok(());
    };
    if d.file.as_os_str().is_empty() {
        return fail("dictionaries.file", "is missing: give --pairs FILE.tsv".into());
    }
    let columns = [
        ("dictionaries.group", "--group", &d.group),
        ("dictionaries.source", "--source", &d.source),
        ("dictionaries.target", "--target", &d.target),
    ];
    for (key, flag, column) in columns {
        if column.is_empty() {
            return fail(key, format!("is missing: {flag} names the column"));
        }
    }
    if d.source == d.target || d.group == d.source || d.group == d.target {
        return fail("dictionaries.target", "groups, sources and targets are columns of their own".into());
    }
    if d.length != 0 && !(4..=65_536).contains(&d.length) {
        let message = format!("{} is out of range: it must lie from 4 to 65536, or be 0", d.length);
        return fail("dictionaries.length", message);
    }
    Ok(())
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn Source>> {
    let d = config.dictionaries.clone().unwrap_or_default();
    let refuse = |message: String| Err(Error::data(&d.file, "", message));
    let mut groups = read_groups(&d.file, &d.group, &d.source, &d.target)?;
    let all: Vec<Pair> = groups.iter().flat_map(|(_, pairs)| pairs.iter().cloned()).collect();
    let alphabet = Pairs::alphabet(&all);
    if !alphabet.is_sound() {
        return refuse(format!(
            "holds {} different symbols: 2 to 65536 are possible",
            alphabet.symbols().len()
        ));
    }
    let longest = all.iter().map(Pair::len).max().unwrap_or(0) - 1;
    let length = if d.length == 0 { longest } else { d.length };
    let mut warnings: Vec<String> = much_longer("dictionaries", &all, length).into_iter().collect();
    groups.iter_mut().for_each(|(_, pairs)| pairs.retain(|pair| pair.len() <= length + 1));
    let kept: usize = groups.iter().map(|(_, pairs)| pairs.len()).sum();
    if kept < all.len() {
        warnings.push(format!(
            "{} of {} pairs are longer than dictionaries.length = {length} symbols and are left out",
            all.len() - kept,
            all.len()
        ));
    }
    let shots = config.eval.shots;
    let before = groups.len();
    let (known, short): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(_, pairs)| pairs.len() > shots);
    if !short.is_empty() {
        let names: Vec<&str> = short.iter().take(10).map(|(name, _)| name.as_str()).collect();
        let more = if short.len() > names.len() { ", …" } else { "" };
        warnings.push(format!(
            "{} of {before} groups have no more than the {shots} pairs that are known of a task, and are left out: {}{more}",
            short.len(),
            names.join(", ")
        ));
    }
    let n = known.len();
    let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    if let Some(stranger) = d.held_out.iter().find(|name| !names.contains(&name.as_str())) {
        let hint = nearest(stranger, names.iter().copied())
            .map_or(String::new(), |n| format!(" (did you mean '{n}'?)"));
        return Err(Error::config(
            "dictionaries.held_out",
            format!("there is no group '{stranger}' with enough pairs{hint}"),
        ));
    }
    let order = Rng::new(config.seed, 0xd1c7).choose(n, n);
    let named = |i: &usize| d.held_out.iter().any(|name| name == names[*i]);
    let (test, rest): (Vec<usize>, Vec<usize>) = match d.held_out.is_empty() {
        true => (order[..n / 5].to_vec(), order[n / 5..].to_vec()),
        false => order.into_iter().partition(named),
    };
    let chosen = (n / 10).max(1);
    if test.is_empty() || rest.len() < chosen + 1 {
        return refuse(format!(
            "holds {n} groups of more than {shots} pairs, of which {} would be judged on and {chosen} chosen by: at least one is needed for \
             each, and to train on",
            test.len()
        ));
    }
    let (validation, train) = rest.split_at(chosen);
    let flat: Vec<Pair> = known.iter().flat_map(|(_, pairs)| pairs.iter().cloned()).collect();
    let pairs = Pairs::of(&flat, &alphabet, length).map_err(|e| Error::data(&d.file, "", e.to_string()))?;
    let columns = Some([d.source.clone(), d.target.clone()]);
    let format =
        Format::Text { length, digest: digest(pairs.symbols_of_all()), alphabet, pairs: true, columns };
    let lexicon =
        |i: &usize| known[*i].1.iter().map(|pair| (pair.source.clone(), pair.target.clone())).collect();
    let lexicons = train.iter().map(lexicon).collect();
    let pairs = Arc::new(pairs);
    let mut first = 0;
    let ranges: Vec<(String, std::ops::Range<usize>)> = (known.iter())
        .map(|(name, pairs)| {
            first += pairs.len();
            (name.clone(), first - pairs.len()..first)
        })
        .collect();
    let tasks = |which: &[usize]| PairTasks {
        pairs: pairs.clone(),
        groups: which.iter().map(|i| ranges[*i].clone()).collect(),
        shots,
        query: config.eval.query,
        seed: config.seed,
    };
    let (train, validation, test) = (tasks(train), tasks(validation), tasks(&test));
    Ok(Arc::new(Parted { train, validation, test, lexicons, format, place: d.file, warnings }))
}

impl Source for Parted {
    fn family(&self, _: usize) -> Arc<dyn TaskFamily> {
        Arc::new(self.train.clone())
    }

    fn validation(&self, _: usize) -> Vec<Task> {
        self.validation.held_out(self.train.shots, VALIDATION_SEED)
    }

    fn test(&self, shots: usize) -> Vec<Task> {
        self.test.held_out(shots, TEST_SEED)
    }

    fn known(&self) -> Vec<Task> {
        self.train.held_out(self.train.shots, VALIDATION_SEED).into_iter().chain(self.validation(0)).collect()
    }

    fn likelihood(&self) -> Likelihood {
        Likelihood::symbols(self.train.pairs.length, self.train.pairs.symbols)
    }

    fn format(&self) -> Format {
        self.format.clone()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn check_held_out(&self, shots: usize) -> Result<()> {
        if let Some((name, range)) = self.test.groups.iter().find(|(_, range)| range.len() <= shots) {
            let message = format!(
                "{shots} shots and a pair to be asked about are needed, and the group '{name}' has {} pairs",
                range.len()
            );
            return Err(Error::config("eval.shots", message));
        }
        let most = self.test.groups.iter().map(|(_, range)| range.len()).max().unwrap_or(0);
        check_rows(self.test.groups.len(), most, shots, &self.train.shape())
    }

    fn nearest(&self, known: &[Pair], sources: &[&str]) -> Option<Vec<String>> {
        // Of a source that it does not have it says the source itself.
        let said = |lexicon: &HashMap<String, String>, source: &str| -> String {
            lexicon.get(source).map_or(source, String::as_str).to_string()
        };
        let far = |lexicon: &&HashMap<String, String>| -> usize {
            known.iter().map(|pair| edits(&said(lexicon, &pair.source), &pair.target)).sum()
        };
        let nearest = self.lexicons.iter().min_by_key(far)?;
        Some(sources.iter().map(|source| said(nearest, source)).collect())
    }

    fn place(&self) -> String {
        format!(" of {}", self.place.display())
    }

    fn picture(&self) -> TasksPicture {
        TasksPicture::None
    }
}
