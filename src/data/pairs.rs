//! Pairs of texts, a source and a target (a phrase and its translation), each as one sequence: `source TAB target NEWLINE`. A language model
//! that reads as far as the tab goes on with the target. It is asked about nothing else: what follows a symbol of the source, or stands
//! behind the end, is no target of its.
//!
//! ```
//! use hyperloom::data::labelled::NONE;
//! use hyperloom::data::pairs::{Pair, Pairs};
//!
//! let pairs = [Pair::new("ab", "c"), Pair::new("a", "b")];
//! let alphabet = Pairs::alphabet(&pairs);
//! assert_eq!(alphabet.symbols(), ["\t", "\n", "a", "b", "c"]);
//! let rows = Pairs::of(&pairs, &alphabet, 4)?.labelled(&alphabet);
//! // "a TAB b NEWLINE": behind the tab comes b, behind that the end.
//! assert_eq!(rows.inputs(&[1]), [2.0, 0.0, 3.0, 1.0]);
//! assert_eq!(rows.labels_of(1), [NONE, 3, 1, NONE]);
//! # Ok::<(), hyperloom::data::text::Unknown>(())
//! ```

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use super::labelled::{Labelled, NONE};
use super::table::Table;
use super::text::{Alphabet, Unit, Unknown};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::rng::Rng;
use crate::run::Session;
use crate::task::{Batch, Likelihood, Rows, Task, TaskFamily, TaskShape, window_of};

/// What stands between source and target.
pub const BETWEEN: char = '\t';
/// What stands behind the target.
pub const END: char = '\n';

/// A text and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What is read.
    pub source: String,
    /// What is to be said.
    pub target: String,
}

impl Pair {
    /// The pair of both.
    pub fn new(source: impl Into<String>, target: impl Into<String>) -> Pair {
        Pair { source: source.into(), target: target.into() }
    }

    fn line(&self) -> String {
        format!("{}{BETWEEN}{}{END}", self.source, self.target)
    }

    /// Its symbols: source, target, and those between and behind.
    pub fn len(&self) -> usize {
        self.source.chars().count() + self.target.chars().count() + 2
    }

    /// Whether there is neither source nor target.
    pub fn is_empty(&self) -> bool {
        self.source.is_empty() && self.target.is_empty()
    }
}

/// Reads two columns of a file of cells separated by tabs, whose first line names the columns; one that starts like gzip is unpacked.
///
/// # Errors
/// [`Error::Data`] naming the line of an empty cell, or a column that is not there.
pub fn read_pairs(path: &Path, source: &str, target: &str) -> Result<Vec<Pair>> {
    pairs_in(&Table::read_tabs(path)?, source, target)
}

/// The pairs of a table.
fn pairs_in(table: &Table, source: &str, target: &str) -> Result<Vec<Pair>> {
    let (s, t) = (table.column(source)?, table.column(target)?);
    let cell = |row: usize, column: usize, name: &str| match table.cell(row, column) {
        "" => {
            let at = format!(", line {}, column '{name}'", table.line_of(row));
            Err(Error::data(table.path(), at, "is empty: a pair has a source and a target"))
        }
        text => Ok(text.to_string()),
    };
    (0..table.rows())
        .map(|row| Ok(Pair { source: cell(row, s, source)?, target: cell(row, t, target)? }))
        .collect()
}

/// The same by the groups that a third column names, in the order in which these come.
///
/// # Errors
/// As for [`read_pairs`].
pub fn read_groups(path: &Path, group: &str, source: &str, target: &str) -> Result<Vec<(String, Vec<Pair>)>> {
    let table = Table::read_tabs(path)?;
    let column = table.column(group)?;
    let mut groups: IndexMap<String, Vec<Pair>> = IndexMap::new();
    for (row, pair) in pairs_in(&table, source, target)?.into_iter().enumerate() {
        groups.entry(table.cell(row, column).to_string()).or_default().push(pair);
    }
    Ok(groups.into_iter().collect())
}

/// Pairs as sequences of one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// Inputs of a row.
    pub length: usize,
    /// Symbols that there are.
    pub symbols: usize,
    /// The number of [`END`], which rows are filled up with.
    end: u32,
    /// The lines' symbols, and how many of each stand before its target.
    lines: Vec<(Vec<u32>, usize)>,
}

impl Pairs {
    /// The symbols of some pairs.
    pub fn alphabet(pairs: &[Pair]) -> Alphabet {
        let text: String = pairs.iter().map(Pair::line).collect();
        Alphabet::of(text.as_bytes(), Unit::Characters)
    }

    /// Pairs in rows of so many inputs; those that are longer are left out.
    ///
    /// # Errors
    /// The first symbol that the alphabet lacks, and the line (of pairs, from 1) that it stands in.
    pub fn of(pairs: &[Pair], alphabet: &Alphabet, length: usize) -> std::result::Result<Pairs, Unknown> {
        let end = alphabet.encode(END.to_string().as_bytes())?[0];
        let mut lines = Vec::with_capacity(pairs.len());
        for (i, pair) in pairs.iter().enumerate().filter(|(_, pair)| pair.len() <= length + 1) {
            let line = alphabet.encode(pair.line().as_bytes()).map_err(|e| Unknown { line: i + 1, ..e })?;
            lines.push((line, pair.source.chars().count() + 1));
        }
        Ok(Pairs { length, symbols: alphabet.symbols().len(), end, lines })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What a row reads, and what follows each symbol ([`NONE`]: nothing is asked).
    fn row(&self, row: usize) -> impl Iterator<Item = (u32, u32)> + '_ {
        let (line, start) = &self.lines[row];
        (0..self.length).map(move |at| {
            let asked = at + 1 >= *start && at + 1 < line.len();
            let read = if at + 1 < line.len() { line[at] } else { self.end };
            (read, if asked { line[at + 1] } else { NONE })
        })
    }

    /// Puts what a row reads and what follows behind what is there; no symbol has the number of what is not asked.
    fn stage(&self, row: usize, xs: &mut Vec<f32>, next: &mut Vec<f32>) {
        for (x, y) in self.row(row) {
            xs.push(x as f32);
            next.push(if y == NONE { -1.0 } else { y as f32 });
        }
    }

    /// What rows read, and what follows as vectors with a 1 where anything is asked.
    fn inputs_and_targets(&self, rows: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let (mut x, mut y) = (vec![], vec![]);
        for (read, next) in rows.iter().flat_map(|row| self.row(*row)) {
            x.push(read as f32);
            y.extend((0..self.symbols as u32).map(|c| f32::from(c == next)));
        }
        (x, y)
    }

    /// All pairs as rows of a single task.
    pub fn labelled(&self, alphabet: &Alphabet) -> Labelled {
        let all = (0..self.len()).flat_map(|row| self.row(row));
        let (x, labels) = all.unzip();
        Labelled::of_sequences(alphabet.symbols().to_vec(), x, labels, self.length)
    }

    /// All symbols, to tell these pairs from others by.
    pub fn symbols_of_all(&self) -> Vec<u32> {
        self.lines.iter().flat_map(|(line, _)| line.iter().copied()).collect()
    }
}

/// Batches of pairs, drawn from some: a single task.
#[derive(Clone, Debug)]
pub struct PairBatches {
    /// The pairs.
    pub pairs: Arc<Pairs>,
    /// Those that are trained on.
    pub range: Range<usize>,
    /// Pairs of a batch.
    pub batch: usize,
    /// Seed of which.
    pub seed: u64,
}

impl TaskFamily for PairBatches {
    fn shape(&self) -> TaskShape {
        let Likelihood { loss, outputs, .. } = Likelihood::symbols(self.pairs.length, self.pairs.symbols);
        TaskShape { loss, ..TaskShape::new([self.pairs.length], outputs, self.batch, self.batch) }
    }

    fn rows_are_even(&self) -> bool {
        true
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, _key: Value) -> Batch {
        g.scope("rows", |g| {
            let (t, n, length) = (tasks.len(), self.batch, self.pairs.length);
            let x = g.step("x", &[t, n, length]);
            let next = g.step("next", &[t, n, length]);
            let y = g.one_hot(next, self.pairs.symbols);
            let y = g.reshape(y, &[t, n, length * self.pairs.symbols]);
            Batch::same(g, x, y)
        })
    }

    fn window(&self, tasks: usize) -> usize {
        window_of(2 * tasks * self.batch * self.pairs.length)
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let (mut xs, mut next) = (vec![], vec![]);
        for t in tasks {
            let mut rng = Rng::new(self.seed, 0x7a12_0000_0000_0000 ^ step << 20 ^ t as u64);
            for _ in 0..self.batch {
                self.pairs.stage(self.range.start + rng.below(self.range.len()), &mut xs, &mut next);
            }
        }
        session.set_step(row, "x", &xs)?;
        session.set_step(row, "next", &next)
    }
}

/// Tasks of groups of pairs, each of which is one.
#[derive(Clone, Debug)]
pub struct PairTasks {
    /// The pairs.
    pub pairs: Arc<Pairs>,
    /// The groups: their names, and which pairs are theirs.
    pub groups: Vec<(String, Range<usize>)>,
    /// Support pairs of a task.
    pub shots: usize,
    /// Query pairs of a training episode, at most.
    pub query: usize,
    /// Seed of which.
    pub seed: u64,
}

impl PairTasks {
    /// Each group as a task: `shots` of its pairs, drawn at random, are known, all others asked about.
    pub fn held_out(&self, shots: usize, stream: u64) -> Vec<Task> {
        let one = |(t, (name, range)): (usize, &(String, Range<usize>))| {
            let mut rng = Rng::new(self.seed, stream ^ (t as u64) << 32);
            let order: Vec<usize> =
                rng.choose(range.len(), range.len()).into_iter().map(|i| range.start + i).collect();
            let (known, asked) = order.split_at(shots);
            let (xs, ys) = self.pairs.inputs_and_targets(known);
            let (xq, yq) = self.pairs.inputs_and_targets(asked);
            Task { name: name.clone(), ..Task::from_support(xs, ys).with_query(xq, yq) }
        };
        self.groups.iter().enumerate().map(one).collect()
    }
}

impl TaskFamily for PairTasks {
    fn shape(&self) -> TaskShape {
        let Likelihood { loss, outputs, .. } = Likelihood::symbols(self.pairs.length, self.pairs.symbols);
        TaskShape { loss, ..TaskShape::new([self.pairs.length], outputs, self.shots, self.query) }
    }

    fn rows_are_even(&self) -> bool {
        true
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, _key: Value) -> Batch {
        g.scope("rows", |g| {
            let (t, n, q, length) = (tasks.len(), self.shots, self.query, self.pairs.length);
            let x = g.step("x", &[t, n + q, length]);
            let next = g.step("next", &[t, n + q, length]);
            let rows = |g: &mut Graph, first: usize, n: usize| {
                let (x, next) = (g.slice(x, 1, first, n), g.slice(next, 1, first, n));
                let y = g.one_hot(next, self.pairs.symbols);
                (x, g.reshape(y, &[t, n, length * self.pairs.symbols]))
            };
            let ((xs, ys), (xq, yq)) = (rows(g, 0, n), rows(g, n, q));
            let support = Rows::alike(g, xs, ys);
            Batch::new(support, xq, yq)
        })
    }

    fn window(&self, tasks: usize) -> usize {
        window_of(2 * tasks * (self.shots + self.query) * self.pairs.length)
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let (mut xs, mut next) = (vec![], vec![]);
        for t in tasks {
            let mut rng = Rng::new(self.seed, 0x7a12_5000_0000_0000 ^ step << 20 ^ t as u64);
            let (_, range) = &self.groups[rng.below(self.groups.len())];
            let drawn = rng.choose(range.len(), (self.shots + self.query).min(range.len()));
            // Of a small group some are asked about again.
            let asked = drawn.len() - self.shots;
            let rows = (0..self.shots + self.query).map(|i| match i < self.shots {
                true => drawn[i],
                false => drawn[self.shots + (i - self.shots) % asked],
            });
            rows.for_each(|i| self.pairs.stage(range.start + i, &mut xs, &mut next));
        }
        session.set_step(row, "x", &xs)?;
        session.set_step(row, "next", &next)
    }
}
