//! Whole series as rows: lines of a table that belong together, in order of time, are one row of a network, with one class or value.
//!
//! A row is `[length, channels]`: for each element its columns, encoded as those of any table, how long after the one before it it comes (the
//! logarithm, in steps; a step is the median), and a 1. Short series are filled up with zeros in front, so that what comes last is last in all.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::csv::CsvSpec;
use super::encoder::Encoder;
use super::series::{MAX_LENGTH, are_dates, time_of};
use super::table::{Cell, Table, count, shown};
use crate::error::{Error, Result};

/// The columns by which lines of a table are series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SeriesColumns {
    /// The column that tells series apart (those of a group, where there are groups).
    pub series: String,
    /// The column of times: numbers, or dates.
    pub time: String,
}

impl SeriesColumns {
    /// Of these names.
    pub fn new(series: impl Into<String>, time: impl Into<String>) -> SeriesColumns {
        SeriesColumns { series: series.into(), time: time.into() }
    }
}

/// Numbers of an element beside its columns: how long after the one before, and whether it is there.
const BESIDE: usize = 2;
/// Numbers of all rows of a file, at most.
const MAX_NUMBERS: usize = 1 << 30;

/// How lines become rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SequenceFormat {
    encoder: Encoder,
    columns: SeriesColumns,
    /// Whether times are dates.
    dates: bool,
    /// The median time from one element to the next.
    step: f64,
    /// Elements of a row.
    length: usize,
}

/// The series of a table: a line each, and the lines of their elements in order of time.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The columns that are the same in all lines of a series.
    pub(super) rows: Table,
    elements: Vec<Vec<usize>>,
    times: Vec<f64>,
    /// Whether times are dates.
    dates: bool,
}

impl Gathered {
    /// Lines of a table by the series that they belong to; what `same` names, as far as it is there, must be the same in all lines of one.
    fn of(table: &Table, columns: &SeriesColumns, dates: bool, group: &str, same: &str) -> Result<Gathered> {
        let (series, time) = (table.column(&columns.series)?, table.column(&columns.time)?);
        let position = |name: &str| table.columns().iter().position(|c| !name.is_empty() && c == name);
        let (group, same) = (position(group), position(same));
        let times: Vec<f64> =
            (0..table.rows()).map(|row| time_of(table, row, time, dates)).collect::<Result<_>>()?;
        let mut index: HashMap<(&str, &str), usize> = HashMap::new();
        let mut elements: Vec<Vec<usize>> = vec![];
        for row in 0..table.rows() {
            for column in [Some(series), group].into_iter().flatten() {
                if table.kind(row, column) == Cell::Missing {
                    return Err(table.cell_error(row, column, "is missing: name it, or remove the row"));
                }
            }
            let name = (group.map_or("", |group| table.cell(row, group)), table.cell(row, series));
            let at = *index.entry(name).or_insert_with(|| {
                elements.push(vec![]);
                elements.len() - 1
            });
            elements[at].push(row);
        }
        for rows in &mut elements {
            if let Some(column) = same
                && let Some(row) =
                    rows.iter().find(|row| table.cell(**row, column) != table.cell(rows[0], column))
            {
                let message = format!(
                    "is another one than '{}' in line {}, of the same series '{}': a whole series has one",
                    shown(table.cell(rows[0], column)),
                    table.line_of(rows[0]),
                    shown(table.cell(*row, series))
                );
                return Err(table.cell_error(*row, column, message));
            }
            rows.sort_by(|a, b| times[*a].total_cmp(&times[*b]));
            if let Some(pair) = rows.windows(2).find(|pair| times[pair[0]] == times[pair[1]]) {
                let message = format!(
                    "line {} has this time, too: a series has one line for each time (the column that tells series apart is '{}')",
                    table.line_of(pair[0]),
                    shown(&columns.series)
                );
                return Err(table.cell_error(pair[1], time, message));
            }
        }
        let first: Vec<usize> = elements.iter().map(|rows| rows.iter().copied().min().unwrap_or(0)).collect();
        let kept: Vec<usize> = [group, Some(series), same].into_iter().flatten().collect();
        Ok(Gathered { rows: table.picked(&first, &kept), elements, times, dates })
    }
}

impl CsvSpec {
    /// The same for the lines of series: what tells these apart is not read.
    fn of_elements(&self, columns: &SeriesColumns) -> CsvSpec {
        let mut spec = CsvSpec { series: None, ..self.clone() };
        spec.drop.extend([columns.series.clone(), columns.time.clone()]);
        spec
    }
}

impl SequenceFormat {
    /// The series of a table, before any is encoded.
    pub(super) fn gather(table: &Table, spec: &CsvSpec, columns: &SeriesColumns) -> Result<Gathered> {
        let taken = [&spec.group, &spec.target];
        for (name, other) in [(&columns.series, &columns.time), (&columns.time, &columns.series)] {
            if name == other || taken.contains(&name) {
                let message = format!(
                    "'{}' tells groups or series apart, is the time, or is what is predicted: these are columns of their own",
                    shown(name)
                );
                return Err(Error::config("series and time", message));
            }
        }
        spec.of_elements(columns).resolve(table)?;
        let dates = are_dates(table, table.column(&columns.time)?)?;
        Gathered::of(table, columns, dates, &spec.group, &spec.target)
    }

    /// Fits the encoding on all series of a table.
    ///
    /// # Errors
    /// Those of [`Encoder::fit`], and naming what is no series.
    pub(crate) fn fit_all(
        table: &Table,
        spec: &CsvSpec,
        columns: &SeriesColumns,
        notes: &mut Vec<String>,
    ) -> Result<SequenceFormat> {
        let gathered = SequenceFormat::gather(table, spec, columns)?;
        let all: Vec<usize> = (0..gathered.elements.len()).collect();
        SequenceFormat::fit(table, spec, (columns, &gathered), &all, notes)
    }

    /// Fits the encoding on some series.
    pub(super) fn fit(
        table: &Table,
        spec: &CsvSpec,
        (columns, gathered): (&SeriesColumns, &Gathered),
        fitted: &[usize],
        notes: &mut Vec<String>,
    ) -> Result<SequenceFormat> {
        let lines: Vec<usize> = fitted.iter().flat_map(|s| &gathered.elements[*s]).copied().collect();
        let encoder = Encoder::fit_noting(table, &spec.of_elements(columns), &lines, notes)?;
        let length = gathered.elements.iter().map(Vec::len).max().unwrap_or(1);
        if length > MAX_LENGTH {
            let at = gathered.elements.iter().position(|rows| rows.len() == length).unwrap_or(0);
            return Err(too_long(&gathered.rows, &columns.series, at, length, MAX_LENGTH));
        }
        let steps = gathered.elements.iter().flat_map(|rows| rows.windows(2));
        let mut steps: Vec<f64> =
            steps.map(|pair| gathered.times[pair[1]] - gathered.times[pair[0]]).collect();
        steps.sort_by(f64::total_cmp);
        let step = steps.get(steps.len() / 2).copied().unwrap_or(1.0);
        if !step.is_normal() {
            return Err(table.error(
                format!(", column '{}'", shown(&columns.time)),
                "times lie too far apart, or too close together, to be told apart: choose another unit",
            ));
        }
        let format =
            SequenceFormat { encoder, columns: columns.clone(), dates: gathered.dates, step, length };
        let numbers = gathered.elements.len().saturating_mul(length * format.channels());
        if numbers > MAX_NUMBERS {
            let message = format!(
                "{} of up to {length} elements with {} numbers each are {numbers} numbers, and {MAX_NUMBERS} are the most: leave columns out \
                 (--drop), or take shorter series",
                count(gathered.elements.len(), "series"),
                format.channels()
            );
            return Err(table.error("", message));
        }
        Ok(format)
    }

    /// Numbers of an element.
    pub fn channels(&self) -> usize {
        self.encoder.inputs() + BESIDE
    }

    /// Elements of a row.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How columns and targets are encoded.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// A line for each series of a table: what tells it apart, and what is predicted, where that is there.
    ///
    /// # Errors
    /// [`Error::Data`] naming line and column of a cell that cannot be read, and where a time is there twice.
    pub fn rows_of(&self, table: &Table) -> Result<Table> {
        Ok(self.gathered(table)?.rows)
    }

    fn gathered(&self, table: &Table) -> Result<Gathered> {
        Gathered::of(table, &self.columns, self.dates, self.encoder.group(), self.encoder.target())
    }

    /// The series of a table as rows, `[series, length, channels]`.
    ///
    /// # Errors
    /// As [`SequenceFormat::rows_of`], and naming a series that is longer than any that was trained on.
    pub fn inputs(&self, table: &Table) -> Result<Vec<f32>> {
        let mut notes = vec![];
        let x = self.inputs_noting(table, &self.gathered(table)?, &mut notes)?;
        notes.iter().for_each(|note| log::warn!("{}: {note}", table.path().display()));
        Ok(x)
    }

    pub(super) fn inputs_noting(
        &self,
        table: &Table,
        gathered: &Gathered,
        notes: &mut Vec<String>,
    ) -> Result<Vec<f32>> {
        let (channels, width) = (self.channels(), self.encoder.inputs());
        let mut x = vec![0.0; gathered.elements.len() * self.length * channels];
        let lines: Vec<usize> = (0..table.rows()).collect();
        let encoded = self.encoder.encode_rows(table, &lines, notes)?;
        for (s, lines) in gathered.elements.iter().enumerate() {
            if lines.len() > self.length {
                return Err(too_long(&gathered.rows, &self.columns.series, s, lines.len(), self.length));
            }
            let mut before = None;
            let first = s * self.length + self.length - lines.len();
            for (to, &line) in x[first * channels..].chunks_mut(channels).zip(lines) {
                to[..width].copy_from_slice(&encoded[line * width..][..width]);
                let time = gathered.times[line];
                let later = before.map_or(0.0, |before: f64| ((time - before) / self.step).ln() as f32);
                if !later.is_finite() {
                    let column = table.column(&self.columns.time)?;
                    return Err(table.cell_error(
                        line,
                        column,
                        "the time is too far from the one before, or too close to it",
                    ));
                }
                to[width] = later;
                to[width + 1] = 1.0;
                before = Some(time);
            }
        }
        Ok(x)
    }

    /// The targets of a table's series, as [`Encoder::encode_targets`].
    ///
    /// # Errors
    /// [`Error::Data`] naming line and column.
    pub fn targets(&self, table: &Table) -> Result<Vec<f32>> {
        self.encoder.encode_targets(&self.rows_of(table)?)
    }

    /// Checks what was read from `path`.
    pub(super) fn validate(&self, path: &Path) -> Result<()> {
        self.encoder.validate(path)?;
        let sound = (1..=MAX_LENGTH).contains(&self.length) && self.step.is_normal() && self.step > 0.0;
        if !sound {
            return Err(Error::checkpoint(path, "its series are not possible"));
        }
        Ok(())
    }
}

fn too_long(rows: &Table, series: &str, at: usize, length: usize, most: usize) -> Error {
    let name = rows.column(series).map_or("", |column| rows.cell(at, column));
    let message = format!(
        "the series '{}' has {length} elements, and {most} are the most: leave some of them out",
        shown(name)
    );
    rows.error(format!(", line {}", rows.line_of(at)), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::csv::Groups;

    const FILE: &str = "who,id,when,x,kind,label\n\
        a,1,2,5,p,up\na,1,1,3,q,up\na,2,1,1,p,down\nb,1,1,3,q,down\nb,1,3,1,p,down\nb,1,7,5,q,down\n\
        b,2,1,5,p,up\nc,1,1,1,q,up\nc,2,1,3,p,down\n";

    fn spec() -> CsvSpec {
        CsvSpec {
            order: None,
            path: "f.csv".into(),
            group: "who".into(),
            target: "label".into(),
            inputs: vec![],
            drop: vec![],
            shots: 1,
            splits: None,
            seed: 0,
            kind: None,
            categories: vec![],
            series: Some(SeriesColumns::new("id", "when")),
        }
    }

    #[test]
    fn lines_are_series() -> Result<()> {
        let table = Table::parse("f.csv", FILE.as_bytes())?;
        let groups = Groups::load_table(&table, &spec())?;
        let format = groups.sequences.as_ref().expect("rows are series");
        assert_eq!((format.length(), format.channels(), groups.row()), (3, 5, vec![3, 5]));
        assert_eq!(groups.groups.iter().map(|g| g.rows.len()).collect::<Vec<_>>(), [2, 2, 2]);
        let rows = format.rows_of(&table)?;
        assert_eq!((rows.rows(), rows.columns()), (6, &["who", "id", "label"].map(String::from)[..]));
        // The third series: 3 elements, after 2 and 4 units of which the median is 2; the first has two, in order of time.
        let x = format.inputs(&table)?;
        let of = |s: usize, element: usize| &x[(s * 3 + element) * 5..][..5];
        assert_eq!(of(0, 0), [0.0; 5]);
        assert_eq!(
            (of(0, 1)[1..].to_vec(), of(0, 2)[1..].to_vec()),
            (vec![0.0, 1.0, 0.0, 1.0], vec![1.0, 0.0, -(2f32.ln()), 1.0])
        );
        assert_eq!((of(2, 0)[3], of(2, 1)[3], of(2, 2)[3]), (0.0, 0.0, 2f32.ln()));
        assert!(of(0, 1)[0] < of(0, 2)[0] && x.len() == 6 * 15);
        assert_eq!(
            format.targets(&table)?.chunks(2).map(|y| y[1]).collect::<Vec<_>>(),
            [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]
        );

        let refused = |from: &str, to: &str, what: &[&str]| {
            let text = FILE.replacen(from, to, 1);
            let table = Table::parse("f.csv", text.as_bytes()).expect("a table");
            let said = Groups::load_table(&table, &spec()).expect_err("it is refused").to_string();
            assert!(what.iter().all(|w| said.contains(w)), "{said}");
        };
        refused("a,1,1,3", "a,1,2,3", &["line 3", "'when'", "line 2 has this time"]);
        refused("3,q,up", "3,q,down", &["line 3", "'label'", "'up' in line 2", "'1'"]);
        refused("b,1,3", "b,1,x", &["line 6", "'when'", "'x' is not a number"]);
        refused("c,2", "c,", &["line 10", "'id'", "is missing"]);
        let longer = format!("{FILE}b,1,8,1,p,down\n");
        let said =
            format.inputs(&Table::parse("g.csv", longer.as_bytes())?).expect_err("too long").to_string();
        assert!(said.contains("'1' has 4 elements, and 3 are the most"), "{said}");
        Ok(())
    }
}
