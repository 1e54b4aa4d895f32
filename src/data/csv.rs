//! Few-shot data from one CSV file: rows belong to groups (users, patients, schools), and every group is a task.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::PathBuf;

use super::encoder::{Encoder, TargetKind};
use super::sequences::{SequenceFormat, SeriesColumns};
use super::series::{days_of, time_of};
use super::split::Split;
use super::table::{Cell, Table, count, shown};
use crate::error::{Error, Result};
use crate::spec::Shape;

/// Names of columns that number the rows of a file; read as an input only when asked for. R writes the empty one.
const INDEX_COLUMNS: [&str; 2] = ["rownames", ""];

/// Which file, which columns, and how to split its groups.
#[derive(Clone, Debug, PartialEq)]
pub struct CsvSpec {
    /// The file.
    pub path: PathBuf,
    /// The column whose text says which group a row belongs to; empty: rows belong to none.
    pub group: String,
    /// The column to predict.
    pub target: String,
    /// The columns to predict from; empty for all but the group, the target, `drop`, and columns called `rownames`
    /// or nothing.
    pub inputs: Vec<String>,
    /// Columns not to read.
    pub drop: Vec<String>,
    /// Support rows of a task, at least 1; groups with no more rows than this are left out.
    pub shots: usize,
    /// A file of splits (see [`Split`]); without it the groups are split by `seed`.
    pub splits: Option<PathBuf>,
    /// Decides the split, or which of the file's.
    pub seed: u64,
    /// Regression or classification; `None` for what the target's cells say (see [`TargetKind`]).
    pub kind: Option<TargetKind>,
    /// Columns that hold levels, also where these are numbers: codes, grades.
    pub categories: Vec<String>,
    /// The columns by which lines are series, each of which is a row; `None`: each line is a row.
    pub series: Option<SeriesColumns>,
    /// The column of numbers or dates whose first rows of a group are the known ones; `None`: any may be known, which are drawn.
    pub order: Option<String>,
}

/// The columns a specification speaks of, found in a table.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) group: Option<usize>,
    pub(super) target: usize,
    pub(super) inputs: Vec<usize>,
}

/// One group: a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The text of the group's column.
    pub name: String,
    /// Its rows, in file order, or in that of [`CsvSpec::order`].
    pub rows: Range<usize>,
}

/// A file's groups, encoded, each group's rows contiguous.
#[derive(Clone, Debug)]
pub struct Groups {
    /// How text became numbers, fitted on the training groups.
    pub encoder: Encoder,
    /// How lines became rows, where these are whole series.
    pub sequences: Option<SequenceFormat>,
    /// Inputs, `[rows, D]` row-major, `D` numbers of [`Groups::row`].
    pub x: Vec<f32>,
    /// Targets, `[rows, outputs]` row-major, standardised or one-hot.
    pub y: Vec<f32>,
    /// The groups in order of their first row in the file. Those of no part of the split are not here.
    pub groups: Vec<Group>,
    /// For each encoded row, its row in the table (of whole series: in the table of these).
    pub table_rows: Vec<usize>,
    /// Which groups train, choose and judge.
    pub split: Split,
    /// The column by which the rows of a group are in order, the known ones first; `None`: known rows are drawn.
    pub order: Option<String>,
    /// What a user should know: what was left out or filled in.
    pub warnings: Vec<String>,
}

impl CsvSpec {
    /// Finds the columns, and checks what can be checked without the data.
    pub(super) fn resolve(&self, table: &Table) -> Result<Chosen> {
        let conflict = |origin: &str, message: String| Err(Error::config(origin, message));
        if self.shots == 0 {
            return conflict("shots", "0 rows to learn from: give at least 1".into());
        }
        if self.target == self.group {
            let name = shown(&self.target);
            return conflict(
                "target",
                format!("'{name}' is the column of the groups too: name another column"),
            );
        }
        let group = (!self.group.is_empty()).then(|| table.column(&self.group)).transpose()?;
        let target = table.column(&self.target)?;
        let mut taken: BTreeSet<usize> = group.into_iter().chain([target]).collect();
        for name in &self.drop {
            let col = table.column(name)?;
            if Some(col) == group || col == target {
                return conflict("drop", format!("'{}' is the group or the target: keep it", shown(name)));
            }
            taken.insert(col);
        }
        let mut inputs = Vec::new();
        for name in &self.inputs {
            let col = table.column(name)?;
            if !taken.insert(col) {
                let message = "is the group, the target, the series or its time, dropped, or listed twice: name it once, as an input only";
                return conflict("inputs", format!("'{}' {message}", shown(name)));
            }
            inputs.push(col);
        }
        for name in &self.categories {
            let col = table.column(name)?;
            if Some(col) == group || col == target {
                let message = format!("'{}' is the group or the target: name input columns", shown(name));
                return conflict("categories", message);
            }
        }
        if self.inputs.is_empty() {
            let is_index = |name: &String| INDEX_COLUMNS.contains(&name.as_str());
            inputs = (0..table.columns().len()).filter(|c| !taken.contains(c)).collect();
            inputs.retain(|&c| !is_index(&table.columns()[c]));
        }
        if inputs.is_empty() {
            return Err(
                table.error("", "no input column is left beside the group and the target: drop fewer")
            );
        }
        Ok(Chosen { group, target, inputs })
    }
}

impl Groups {
    /// Reads, splits and encodes a file.
    ///
    /// # Errors
    /// Those of [`Table::read`] and [`Groups::load_table`].
    pub fn load(spec: &CsvSpec) -> Result<Groups> {
        Groups::load_table(&Table::read(&spec.path)?, spec)
    }

    /// Splits and encodes a table.
    ///
    /// # Errors
    /// [`Error::Config`] for a specification that contradicts itself; [`Error::Data`] naming the place where the
    /// table or the file of splits cannot be used, or when there are fewer than three groups with more than
    /// `shots` rows; [`Error::Io`] when the file of splits cannot be read.
    pub fn load_table(table: &Table, spec: &CsvSpec) -> Result<Groups> {
        let lines = table;
        let gathered = match &spec.series {
            Some(columns) => Some((columns, SequenceFormat::gather(lines, spec, columns)?)),
            None => {
                spec.resolve(table)?;
                None
            }
        };
        let table = gathered.as_ref().map_or(table, |(_, gathered)| &gathered.rows);
        let mut warnings = Vec::new();
        let mut all = group_rows(table, &spec.group)?;
        check_number(table, spec, &all)?;
        if let Some(order) = &spec.order {
            put_in_order(table, spec, order, &mut all, &mut warnings)?;
        }

        // Split first, on groups described by their sizes alone; then lay out only the groups that are used.
        let sized: Vec<Group> =
            all.iter().map(|(name, rows)| Group { name: name.clone(), rows: 0..rows.len() }).collect();
        let mut split = match &spec.splits {
            Some(path) => Split::read(path, spec.seed, &sized, spec.shots, &mut warnings)?,
            None => drawn(&sized, spec, &mut warnings).ok_or_else(|| too_few(table, spec, &all))?,
        };
        match &spec.order {
            Some(order) if !split.draws.is_empty() => {
                let order = shown(order);
                warnings
                    .push(format!("the first rows by '{order}' are known, not those of the file of splits"));
                split.draws.clear();
            }
            None if split.draws.is_empty() && spec.series.is_none() => {
                warnings.extend(rising_column(table, spec, &all).map(|name| {
                    format!(
                        "column '{}' rises from row to row in each group, and the known rows are drawn at random: to train and judge with the first \
                         ones known there is train --order '{}'",
                        shown(&name),
                        shown(&name)
                    )
                }));
            }
            _ => {}
        }
        let mut place = vec![None; all.len()];
        for &g in split.train.iter().chain(&split.validation).chain(&split.test) {
            place[g] = Some(0);
        }
        let (mut groups, mut table_rows) = (Vec::new(), Vec::new());
        for (place, (name, rows)) in place.iter_mut().zip(all).filter(|(place, _)| place.is_some()) {
            *place = Some(groups.len());
            let start = table_rows.len();
            table_rows.extend(rows);
            groups.push(Group { name, rows: start..table_rows.len() });
        }
        let moved = |part: &[usize]| part.iter().filter_map(|&g| place[g]).collect::<Vec<usize>>();
        let split = Split {
            train: moved(&split.train),
            validation: moved(&split.validation),
            test: moved(&split.test),
            draws: split.draws,
        };

        // Every group but those judged by: validation groups choose settings, they are not judged.
        let fitted: Vec<usize> = split
            .train
            .iter()
            .chain(&split.validation)
            .flat_map(|&g| &table_rows[groups[g].rows.clone()])
            .copied()
            .collect();
        let (encoder, sequences, x) = match &gathered {
            None => {
                let encoder = Encoder::fit_noting(table, spec, &fitted, &mut warnings)?;
                let x = encoder.encode_rows(table, &table_rows, &mut warnings)?;
                (encoder, None, x)
            }
            Some((columns, gathered)) => {
                let format = SequenceFormat::fit(lines, spec, (*columns, gathered), &fitted, &mut warnings)?;
                let all = format.inputs_noting(lines, gathered, &mut warnings)?;
                let width = format.length() * format.channels();
                let x = table_rows.iter().flat_map(|row| &all[row * width..][..width]).copied().collect();
                (format.encoder().clone(), Some(format), x)
            }
        };
        let y = encoder.encode_target_rows(table, &table_rows)?;
        let order = spec.order.clone();
        Ok(Groups { encoder, sequences, x, y, groups, table_rows, split, order, warnings })
    }

    /// The shape of a row: as many numbers as columns are encoded in, or `[length, channels]` of a series.
    pub fn row(&self) -> Shape {
        match &self.sequences {
            Some(format) => vec![format.length(), format.channels()],
            None => vec![self.encoder.inputs()],
        }
    }
}

/// The rows of every group in file order, the groups in order of their first rows.
///
/// # Errors
/// [`Error::Data`] when there is no such column, or naming the line where its cell is missing.
pub fn group_rows(table: &Table, group: &str) -> Result<Vec<(String, Vec<usize>)>> {
    let col = table.column(group)?;
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    let mut index: HashMap<&str, usize> = HashMap::new();
    for row in 0..table.rows() {
        if table.kind(row, col) == Cell::Missing {
            return Err(table.cell_error(row, col, "the row's group is missing: name it, or remove the row"));
        }
        let name = table.cell(row, col);
        let g = *index.entry(name).or_insert_with(|| {
            groups.push((name.to_string(), Vec::new()));
            groups.len() - 1
        });
        groups[g].1.push(row);
    }
    Ok(groups)
}

/// Sorts the rows of each group by a column of numbers or dates; rows of one number or date stay as they are in the file, which is said.
fn put_in_order(
    table: &Table,
    spec: &CsvSpec,
    order: &str,
    groups: &mut [(String, Vec<usize>)],
    warnings: &mut Vec<String>,
) -> Result<()> {
    if spec.series.is_some() {
        let message = "rows that are whole series have no order: leave it out (--time orders their elements)";
        return Err(Error::config("order", message));
    }
    let col = table.column(order)?;
    for (of, what) in [(&spec.group, "group"), (&spec.target, "target")] {
        if order == of {
            let message = format!("'{}' is the column of the {what}: name another one", shown(order));
            return Err(Error::config("order", message));
        }
    }
    let dates = days_of(table.cell(0, col)).is_some();
    let place = |row: usize| {
        time_of(table, row, col, dates).map_err(|_| {
            let cell = match table.kind(row, col) {
                Cell::Missing => "the cell is missing".into(),
                _ => format!("'{}' is {}", shown(table.cell(row, col)), if dates { "no date" } else { "no number" }),
            };
            let message = "rows are put in order by this column, which holds numbers in every row, or dates (2024-05-31, 2024-05-31T12:30)";
            table.cell_error(row, col, format!("{cell}: {message}"))
        })
    };
    let mut tied = 0;
    for (_, rows) in &mut *groups {
        let mut places =
            rows.iter().map(|&row| Ok((place(row)?, row))).collect::<Result<Vec<(f64, usize)>>>()?;
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        tied += usize::from(places.windows(2).any(|w| w[0].0 == w[1].0));
        *rows = places.into_iter().map(|(_, row)| row).collect();
    }
    if tied > 0 {
        warnings.push(format!(
            "{tied} of {} have rows with one and the same '{}': these stay in the order of the file",
            count(groups.len(), "group"),
            shown(order)
        ));
    }
    Ok(())
}

/// Rows of a group from which on it tells something that they are in order.
const TELLING: usize = 3;

/// The first input column whose numbers or dates rise from row to row in each group of several rows.
fn rising_column(table: &Table, spec: &CsvSpec, groups: &[(String, Vec<usize>)]) -> Option<String> {
    let chosen = spec.resolve(table).ok()?;
    let several = || groups.iter().map(|(_, rows)| rows).filter(|rows| rows.len() >= TELLING);
    let rises = |col: usize| {
        let dates = days_of(table.cell(0, col)).is_some();
        let time = |row: &usize| time_of(table, *row, col, dates).ok();
        several().all(|rows| rows.iter().map(time).is_sorted_by(|a, b| a.is_some() && a < b))
    };
    let found = several().next().and_then(|_| chosen.inputs.into_iter().find(|&col| rises(col)))?;
    Some(table.columns()[found].clone())
}

/// A split by seed of the groups that are large enough.
fn drawn(sized: &[Group], spec: &CsvSpec, warnings: &mut Vec<String>) -> Option<Split> {
    let usable: Vec<usize> = (0..sized.len()).filter(|&g| sized[g].rows.len() > spec.shots).collect();
    let split = Split::draw(usable.len(), spec.seed)?;
    if usable.len() < sized.len() {
        warnings.push(format!(
            "{} of {} left out: with at most {} there is nothing to be judged on",
            count(sized.len() - usable.len(), "group"),
            sized.len(),
            count(spec.shots, "row"),
        ));
    }
    let at = |part: Vec<usize>| part.into_iter().map(|i| usable[i]).collect();
    Some(Split {
        train: at(split.train),
        validation: at(split.validation),
        test: at(split.test),
        draws: split.draws,
    })
}

/// Too few groups whatever their size.
fn check_number(table: &Table, spec: &CsvSpec, all: &[(String, Vec<usize>)]) -> Result<()> {
    let at = format!(", column '{}'", shown(&spec.group));
    match all {
        [(only, _)] => {
            let only = shown(only);
            let message =
                format!("every row belongs to the one group '{only}': name a column that tells tasks apart");
            Err(table.error(at, message))
        }
        _ if all.len() < 3 => {
            let message =
                format!("{} groups: at least 3 are needed, to train, to choose and to judge", all.len());
            Err(table.error(at, message))
        }
        _ => Ok(()),
    }
}

/// Too few groups of more than `shots` rows.
fn too_few(table: &Table, spec: &CsvSpec, all: &[(String, Vec<usize>)]) -> Error {
    let sizes = all.iter().map(|(_, rows)| rows.len());
    let (usable, largest) = (sizes.clone().filter(|&n| n > spec.shots).count(), sizes.max().unwrap_or(0));
    let message = format!(
        "{} of {} have more than {} (the largest has {largest}): at least 3 are needed, to train, to choose and to \
         judge; use fewer shots",
        usable,
        count(all.len(), "group"),
        count(spec.shots, "row"),
    );
    table.error(format!(", column '{}'", shown(&spec.group)), message)
}
