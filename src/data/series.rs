//! Many series, a task each: the first points of one are known, and what comes after each is predicted from those before it.
//!
//! A row is a window on the past: for each of the last points what was seen, and how long it took until the next one. Its target is by how
//! much the next value differs from the last that was seen, so that a network that says nothing predicts that nothing changes.
//!
//! ```
//! use hyperloom::data::Table;
//! use hyperloom::data::series::{SeriesSpec, SeriesTable};
//!
//! let mut text = "plant,week,height\n".to_string();
//! for plant in 0..5 {
//!     (0..6).for_each(|week| text += &format!("p{plant},{week},{}\n", week * (plant + 1)));
//! }
//! let spec = SeriesSpec {
//!     group: "plant".into(),
//!     time: "week".into(),
//!     target: "height".into(),
//!     length: 3,
//!     shots: 4,
//!     ..SeriesSpec::default()
//! };
//! let table = SeriesTable::of(&Table::parse("heights.csv", text.as_bytes())?, &spec)?;
//! let task = table.held_out(&[2], 4, 10).remove(0);
//! // Of four known points three have a past, and two are asked about.
//! assert_eq!((task.name.as_str(), task.ys.len(), task.yq.len()), ("p2", 3, 2));
//! // A point is three numbers here: whether its value is known, the value, and the time until the next.
//! assert_eq!(task.xs.len(), 3 * (3 * 3));
//! # Ok::<(), hyperloom::Error>(())
//! ```

mod tasks;

use std::ops::Range;
use std::path::PathBuf;

pub use self::tasks::SeriesTasks;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::csv::group_rows;
use super::encoder::Encoder;
use super::smoothing::Smoothing;
use super::split::Split;
use super::table::{Cell, Table, count, shown};
use crate::error::{Error, Result};
use crate::task::Task;

/// Which file of series, which columns, and how much of the past is looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesSpec {
    /// The file.
    pub path: PathBuf,
    /// The column that tells series apart.
    pub group: String,
    /// The column of times: numbers, or dates (`2024-05-31`, with or without a time of day), whose unit is a day.
    pub time: String,
    /// The column of what is predicted: numbers; a missing one is a point whose value nobody saw.
    pub target: String,
    /// Columns whose past is read.
    pub inputs: Vec<String>,
    /// Columns that are known ahead (a price, a holiday): of these that of the point to be predicted is read, too.
    pub ahead: Vec<String>,
    /// Points that a row looks back on.
    pub length: usize,
    /// After so many points a season returns; its phase is read, too.
    pub season: Option<usize>,
    /// Points of a task that are known, at least 2; series with no more points than this are left out.
    pub shots: usize,
    /// Seed of which series train, choose and judge.
    pub seed: u64,
}

/// How points of a file become rows of numbers: fitted on the series that train and choose, stored with a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesFormat {
    encoder: Encoder,
    time: String,
    /// Whether times are dates.
    dates: bool,
    /// The time from one point to the next: the median.
    step: f64,
    /// Shortest and longest time from one point to the next, as was trained on.
    steps: [f64; 2],
    /// Columns whose past is read, those first that are left of the encoder.
    past: usize,
    length: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    season: Option<usize>,
}

/// A point of a series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    /// Its row in the table.
    pub(crate) row: usize,
    pub(crate) time: f64,
    /// Its value, standardised, where it is known.
    pub(crate) value: Option<f32>,
    /// What is known beside it, encoded.
    inputs: Vec<f32>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
struct Series {
    name: String,
    /// Its points, in order of time.
    points: Vec<Point>,
    /// The first of its rows in the tables of all.
    first: usize,
}

/// A file's series, encoded.
#[derive(Clone, Debug)]
pub struct SeriesTable {
    /// How they are read.
    pub format: SeriesFormat,
    /// Which of them train, choose and judge.
    pub split: Split,
    /// What a user should know.
    pub warnings: Vec<String>,
    series: Vec<Series>,
    /// What a window sees of each point that has a next one, behind one of nothing: `[1 + rows, channels]`.
    x: Vec<f32>,
    /// By how much the next value differs from the last one that was seen.
    y: Vec<f32>,
}

/// Numbers of a point: whether its value is known, the value, the time until the next one.
const OWN: usize = 3;

impl SeriesFormat {
    /// Points that a row looks back on.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Numbers of each of them.
    pub fn channels(&self) -> usize {
        OWN + self.encoder.inputs() + if self.season.is_some() { 2 } else { 0 }
    }

    /// The column that tells series apart.
    pub fn group(&self) -> &str {
        self.encoder.group()
    }

    /// The column of times.
    pub fn time(&self) -> &str {
        &self.time
    }

    /// The column that is predicted.
    pub fn target(&self) -> &str {
        self.encoder.target()
    }

    /// Mean and standard deviation of the target in its own unit.
    pub fn target_scale(&self) -> (f64, f64) {
        self.encoder.target_scale()
    }

    /// Checks what came from a file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] about `path`.
    pub fn validate(&self, path: &std::path::Path) -> Result<()> {
        self.encoder.validate(path)?;
        let times = [self.step, self.steps[0], self.steps[1]];
        let sound = times.iter().all(|t| t.is_normal() && *t > 0.0)
            && self.past <= self.encoder.inputs()
            && (1..=MAX_LENGTH).contains(&self.length)
            && self.season.is_none_or(|s| (2..=MAX_LENGTH).contains(&s));
        match sound {
            true => Ok(()),
            false => Err(Error::checkpoint(path, "the stored form of its series is not possible")),
        }
    }

    /// The points of some rows of a table, which are one series, in order of time. Where a table has no such column, no value is known.
    ///
    /// # Errors
    /// [`Error::Data`] naming line and column of a cell that cannot be read, and where a time is there twice.
    pub(crate) fn points(&self, table: &Table, rows: &[usize]) -> Result<Vec<Point>> {
        let mut notes = vec![];
        let points = self.points_noting(table, rows, &mut notes)?;
        notes.iter().for_each(|note| log::warn!("{}: {note}", table.path().display()));
        Ok(points)
    }

    fn points_noting(&self, table: &Table, rows: &[usize], notes: &mut Vec<String>) -> Result<Vec<Point>> {
        let time = table.column(&self.time)?;
        let target = table.columns().iter().position(|name| name == self.target());
        let width = self.encoder.inputs();
        // What is read of the past alone may not be there of what is to come.
        let x = self.encoder.encode_rows_without(table, rows, self.past, notes)?;
        let mut points = Vec::with_capacity(rows.len());
        for (i, &row) in rows.iter().enumerate() {
            points.push(Point {
                row,
                time: time_of(table, row, time, self.dates)?,
                value: target.map_or(Ok(None), |target| self.encoder.target_of(table, row, target))?,
                inputs: x[i * width..(i + 1) * width].to_vec(),
            });
        }
        points.sort_by(|a, b| a.time.total_cmp(&b.time));
        if let Some(pair) = points.windows(2).find(|pair| pair[0].time == pair[1].time) {
            let message = format!(
                "line {} has this time, too: a series has one row for each time (the column that tells series apart is '{}')",
                table.line_of(pair[0].row),
                shown(self.group())
            );
            return Err(table.cell_error(pair[1].row, time, message));
        }
        Ok(points)
    }

    /// A point whose inputs nobody knows yet, but for those known ahead.
    pub(crate) fn to_come(&self, point: &Point) -> Point {
        let mut point = Point { value: None, ..point.clone() };
        point.inputs[..self.past].copy_from_slice(&self.encoder.missing(self.past));
        point
    }

    /// Warns where times lie closer together, or further apart, than any that were trained on.
    pub(crate) fn check_steps(&self, points: &[Point]) -> Option<String> {
        let far = points.windows(2).map(|pair| pair[1].time - pair[0].time);
        let strange = far.into_iter().find(|d| *d < 0.999 * self.steps[0] || *d > 1.001 * self.steps[1])?;
        Some(format!(
            "points of the column '{}' lie {strange} apart, and those trained on from {} to {}",
            shown(&self.time),
            self.steps[0],
            self.steps[1]
        ))
    }

    /// What a window sees of a point that `next` comes after; `value` is the last one that was seen, where it is `known` that of the point.
    fn see(&self, out: &mut Vec<f32>, point: &Point, known: bool, value: Option<f32>, next: &Point) {
        out.extend([
            f32::from(known),
            value.unwrap_or(0.0),
            ((next.time - point.time) / self.step).ln() as f32,
        ]);
        out.extend(&point.inputs[..self.past]);
        out.extend(&next.inputs[self.past..]);
        if let Some(season) = self.season {
            let phase = std::f64::consts::TAU * (next.time / self.step / season as f64).rem_euclid(1.0);
            out.extend([phase.sin() as f32, phase.cos() as f32]);
        }
    }

    /// The row that looks back from point `at` on those before it, whose values are `values`: what it sees, and the last value; `None` where no
    /// value is known among them.
    pub(crate) fn row(&self, points: &[Point], values: &[Option<f32>], at: usize) -> Option<(Vec<f32>, f32)> {
        let first = at.saturating_sub(self.length);
        let last = last_known(&values[first..at])?;
        let mut x = vec![0.0; (self.length - (at - first)) * self.channels()];
        let mut value = last_known(&values[..first]);
        for i in first..at {
            value = values[i].or(value);
            self.see(&mut x, &points[i], values[i].is_some(), value, &points[i + 1]);
        }
        Some((x, last))
    }
}

/// The last of some values that is known.
pub(crate) fn last_known(values: &[Option<f32>]) -> Option<f32> {
    values.iter().rev().find_map(|v| *v)
}

/// The most points that a row looks back on.
pub const MAX_LENGTH: usize = 4096;

/// A cell as a time.
pub(super) fn time_of(table: &Table, row: usize, col: usize, dates: bool) -> Result<f64> {
    let cell = table.cell(row, col);
    match (table.kind(row, col), dates) {
        (Cell::Number(time), false) => Ok(time),
        (Cell::Missing, _) => {
            Err(table.cell_error(row, col, "the time is missing: fill it in, or remove the row"))
        }
        (_, true) if let Some(days) = days_of(cell) => Ok(days),
        _ => {
            let what = if dates { "a date (2024-05-31, 2024-05-31T12:30)" } else { "a number" };
            let message =
                format!("'{}' is not {what}, as the first time of the training file is", shown(cell));
            Err(table.cell_error(row, col, message))
        }
    }
}

/// Days since the beginning of 1970 of a date, with or without a time of day and its offset (none: UTC).
pub(super) fn days_of(cell: &str) -> Option<f64> {
    // 20240531 is a number.
    if cell.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    if let Ok(time) = cell.parse::<Timestamp>() {
        return Some(time.as_duration().as_secs_f64() / 86_400.0);
    }
    let time: DateTime = cell.parse().ok()?;
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    Some(time.duration_since(epoch).as_secs_f64() / 86_400.0)
}

/// Whether the times of a column are dates, as the first one says.
pub(super) fn are_dates(table: &Table, col: usize) -> Result<bool> {
    let cell = table.cell(0, col);
    match table.kind(0, col) {
        Cell::Number(time)
            if (19_000_101.0..=21_001_231.0).contains(&time) && cell.parse::<DateTime>().is_ok() =>
        {
            let message =
                format!("'{cell}' looks like a date, and would be a number: write dates as 2024-05-31");
            Err(table.cell_error(0, col, message))
        }
        Cell::Number(_) => Ok(false),
        _ if days_of(cell).is_some() => Ok(true),
        Cell::Missing => time_of(table, 0, col, false).map(|_| false),
        _ => {
            let message =
                format!("'{}' is neither a number nor a date (2024-05-31, 2024-05-31T12:30)", shown(cell));
            Err(table.cell_error(0, col, message))
        }
    }
}

impl SeriesTable {
    /// Reads, splits and encodes a file.
    ///
    /// # Errors
    /// Those of [`Table::read`] and [`SeriesTable::of`].
    pub fn load(spec: &SeriesSpec) -> Result<SeriesTable> {
        SeriesTable::of(&Table::read(&spec.path)?, spec)
    }

    /// Splits and encodes the series of a table.
    ///
    /// # Errors
    /// [`Error::Config`] for columns that contradict one another; [`Error::Data`] naming the place where the table cannot be used, or when fewer
    /// than three series have more than `shots` points.
    pub fn of(table: &Table, spec: &SeriesSpec) -> Result<SeriesTable> {
        let inputs = columns(table, spec)?;
        let mut warnings = vec![];
        let all = group_rows(table, &spec.group)?;
        let groups = all.len();
        let (long, short): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, rows)| rows.len() > spec.shots);
        let Some(split) = Split::draw(long.len(), spec.seed) else {
            let longest = long.iter().chain(&short).map(|(_, rows)| rows.len()).max().unwrap_or(0);
            let message = match groups {
                ..3 => format!("{groups} series: at least 3 are needed, to train, to choose and to judge"),
                _ => format!(
                    "{} of {groups} series have more than the {} that are known of a task (the longest has {longest}): at least 3 are needed, to \
                     train, to choose and to judge; use fewer shots",
                    long.len(),
                    count(spec.shots, "point"),
                ),
            };
            return Err(table.error(format!(", column '{}'", shown(&spec.group)), message));
        };
        if !short.is_empty() {
            warnings.push(format!(
                "{} of {groups} series have no more than the {} that are known of a task, and are left out",
                short.len(),
                count(spec.shots, "point"),
            ));
        }
        let mut fitted: Vec<usize> = vec![];
        for &g in split.train.iter().chain(&split.validation) {
            fitted.extend(&long[g].1);
        }
        let time = table.column(&spec.time)?;
        let dates = are_dates(table, time)?;
        let encoder = Encoder::fit_gaps(table, [&spec.group, &spec.target], &inputs, &fitted, &mut warnings)?;
        let mut format = SeriesFormat {
            past: encoder.width_of(&spec.inputs),
            encoder,
            time: spec.time.clone(),
            dates,
            step: 1.0,
            steps: [1.0; 2],
            length: spec.length,
            season: spec.season,
        };
        let (mut series, mut backwards) = (vec![], 0);
        for (name, rows) in long {
            let points = format.points_noting(table, &rows, &mut warnings)?;
            backwards += usize::from(points.windows(2).any(|pair| pair[0].row > pair[1].row));
            series.push(Series { name, points, first: 0 });
        }
        // What a column surprises with is said once.
        warnings.sort();
        warnings.dedup();
        if backwards > 0 {
            warnings.push(format!(
                "the times of {backwards} series go backwards in the file: their points are taken in order of time"
            ));
        }
        let longest = split.test.iter().map(|&g| series[g].points.len()).max().unwrap_or(0);
        if let Some(season) = spec.season.filter(|season| *season >= longest) {
            warnings.push(format!(
                "series.season = {season}: no series that is judged on has more than {}, so that no season returns",
                count(longest, "point")
            ));
        }
        if dates {
            warnings.push(format!("the column '{}' holds dates: times are days", shown(&spec.time)));
        }
        let mut far: Vec<f64> = (split.train.iter().chain(&split.validation))
            .flat_map(|&g| series[g].points.windows(2).map(|pair| pair[1].time - pair[0].time))
            .collect();
        far.sort_by(f64::total_cmp);
        (format.step, format.steps) = (far[far.len() / 2], [far[0], far[far.len() - 1]]);
        if !format.steps.iter().all(|d| d.is_normal()) {
            return Err(table.error(
                format!(", column '{}'", shown(&spec.time)),
                "times lie too far apart, or too close together, to be told apart: choose another unit",
            ));
        }
        let mut found = SeriesTable { format, split, warnings, series, x: vec![], y: vec![] };
        found.lay_out();
        found.drop_silent(table, spec)?;
        Ok(found)
    }

    /// Lays out what windows see of all points.
    fn lay_out(&mut self) {
        self.x = vec![0.0; self.format.channels()];
        self.y = vec![0.0];
        for series in &mut self.series {
            series.first = self.y.len();
            let mut last = None;
            for pair in series.points.windows(2) {
                last = pair[0].value.or(last);
                self.format.see(&mut self.x, &pair[0], pair[0].value.is_some(), last, &pair[1]);
                self.y.push(pair[1].value.zip(last).map_or(0.0, |(next, last)| next - last));
            }
        }
    }

    /// Leaves out series of which no row can be known, or none can be asked about.
    fn drop_silent(&mut self, table: &Table, spec: &SeriesSpec) -> Result<()> {
        let before = self.split.train.len() + self.split.validation.len() + self.split.test.len();
        let keep = |part: &[usize]| self.judged(part, spec.shots, self.y.len());
        let (train, validation, test) =
            (keep(&self.split.train), keep(&self.split.validation), keep(&self.split.test));
        let left = before - train.len() - validation.len() - test.len();
        if train.is_empty() || validation.is_empty() || test.is_empty() {
            return Err(table.error(
                format!(", column '{}'", shown(&spec.target)),
                format!(
                    "values are missing in so many places that of {left} of {before} series none is known among the first {}, or none after them",
                    count(spec.shots, "point")
                ),
            ));
        }
        if left > 0 {
            self.warnings.push(format!(
                "{left} of {before} series have no two values among their first {}, or none after them, and are left out",
                count(spec.shots, "point")
            ));
        }
        (self.split.train, self.split.validation, self.split.test) = (train, validation, test);
        Ok(())
    }

    /// Whether there is a row for point `at` of a series that begins at point `start`: its value is known, and one that it looks back on.
    fn has_row(&self, series: usize, start: usize, at: usize) -> bool {
        let points = &self.series[series].points;
        let first = at.saturating_sub(self.format.length).max(start);
        points[at].value.is_some() && points[first..at].iter().any(|p| p.value.is_some())
    }

    /// The points of a range that there are rows for.
    fn rows_at(&self, series: usize, start: usize, range: Range<usize>) -> Vec<usize> {
        range.filter(|at| self.has_row(series, start, *at)).collect()
    }

    /// Names of the series.
    pub fn name(&self, series: usize) -> &str {
        &self.series[series].name
    }

    pub(crate) fn points_of(&self, series: usize) -> &[Point] {
        &self.series[series].points
    }

    /// Number of points of a series.
    pub fn points(&self, series: usize) -> usize {
        self.series[series].points.len()
    }

    /// The points of a held-out task that it learns from, of the first `shots`, and those that are asked about, at most `query` behind them; `None`
    /// where either are none.
    fn parts(&self, series: usize, shots: usize, query: usize) -> Option<[Vec<usize>; 2]> {
        let points = self.points(series);
        let rows = |range| self.rows_at(series, 0, range);
        let parts = [rows(1..shots.min(points)), rows(shots..(shots + query).min(points))];
        parts.iter().all(|part| !part.is_empty()).then_some(parts)
    }

    /// Those of `which` that are a task where `shots` points are known.
    pub fn judged(&self, which: &[usize], shots: usize, query: usize) -> Vec<usize> {
        which.iter().copied().filter(|g| self.parts(*g, shots, query).is_some()).collect()
    }

    /// Series as tasks: their first `shots` points are known, up to `query` behind them are asked about. Those without any are left out.
    pub fn held_out(&self, which: &[usize], shots: usize, query: usize) -> Vec<Task> {
        let channels = self.format.channels();
        let one = |&g: &usize| {
            let rows = |among: &[usize]| {
                let mut x = Vec::with_capacity(among.len() * self.format.length * channels);
                let at = among.iter().map(|at| self.y[self.series[g].first + at - 1]);
                let y: Vec<f32> = at.collect();
                for &at in among {
                    for row in self.window(g, 0, at) {
                        x.extend(&self.x[row as usize * channels..(row as usize + 1) * channels]);
                    }
                }
                (x, y)
            };
            let [known, asked] = self.parts(g, shots, query)?;
            let ((xs, ys), (xq, yq)) = (rows(&known), rows(&asked));
            Some(Task::from_support(xs, ys).with_query(xq, yq).with_name(self.name(g)))
        };
        which.iter().filter_map(one).collect()
    }

    /// Rows of the tables that the window before point `at` holds, in a series that begins at point `start`.
    fn window(&self, series: usize, start: usize, at: usize) -> impl Iterator<Item = u32> {
        let first = at.saturating_sub(self.format.length).max(start);
        let base = self.series[series].first;
        std::iter::repeat_n(0, self.format.length - (at - first))
            .chain((first..at).map(move |i| (base + i) as u32))
    }

    /// What simple methods of forecasting say of the rows that [`SeriesTable::held_out`] asks about, by their names.
    pub fn simple(&self, which: &[usize], shots: usize, query: usize) -> Vec<(&'static str, Vec<Vec<f32>>)> {
        let prior = Smoothing::errors(self.split.train.iter().map(|g| self.values(*g)));
        let (mut naive, mut seasonal, mut smooth) = (vec![], vec![], vec![]);
        for &g in which {
            let Some([_, asked]) = self.parts(g, shots, query) else { continue };
            let values = self.values(g);
            let last = |at: usize| last_known(&values[..at]).unwrap_or(0.0);
            naive.push(vec![0.0; asked.len()]);
            if let Some(season) = self.format.season {
                let before = |at: usize| {
                    let same = (1..).map_while(|years| at.checked_sub(years * season));
                    let value = same.into_iter().find_map(|at| values[at]);
                    value.map_or(0.0, |v| v - last(at))
                };
                seasonal.push(asked.iter().map(|at| before(*at)).collect());
            }
            let smoothing = Smoothing::best(&values[..shots], &prior);
            let said = smoothing.forecasts(&values);
            smooth.push(asked.iter().map(|at| said[*at].map_or(0.0, |v| v as f32 - last(*at))).collect());
        }
        let mut all = vec![("naive", naive), ("exponential_smoothing", smooth)];
        if self.format.season.is_some() {
            all.insert(1, ("seasonal_naive", seasonal));
        }
        all
    }

    fn values(&self, series: usize) -> Vec<Option<f32>> {
        self.series[series].points.iter().map(|p| p.value).collect()
    }

    /// A held-out series to be drawn: times and values of its known points and of those that are asked about, in the file's units.
    pub fn drawn(&self, series: usize, shots: usize, query: usize) -> [Vec<(f64, f64)>; 2] {
        let (mean, std) = self.format.target_scale();
        let points = &self.series[series].points;
        let at = |i: usize| Some((points[i].time, mean + std * points[i].value? as f64));
        let known = (0..shots.min(points.len())).filter_map(at).collect();
        let [_, asked] = self.parts(series, shots, query).unwrap_or_default();
        [known, asked.into_iter().filter_map(at).collect()]
    }

    /// The last value before each point that is asked about, in the file's units: what predictions are added to.
    pub fn last_values(&self, series: usize, shots: usize, query: usize) -> Vec<f64> {
        let ((mean, std), values) = (self.format.target_scale(), self.values(series));
        let last = |at: usize| last_known(&values[..at]).unwrap_or(0.0);
        let [_, asked] = self.parts(series, shots, query).unwrap_or_default();
        asked.into_iter().map(|at| mean + std * last(at) as f64).collect()
    }
}

/// The columns that are read, those of the past first; refuses names that are used twice.
fn columns(table: &Table, spec: &SeriesSpec) -> Result<Vec<usize>> {
    let mut taken = vec![];
    let own = [("series.group", &spec.group), ("series.time", &spec.time), ("series.target", &spec.target)];
    let named = spec.inputs.iter().map(|name| ("series.inputs", name));
    let ahead = spec.ahead.iter().map(|name| ("series.ahead", name));
    let mut found = vec![];
    for (i, (key, name)) in own.into_iter().chain(named).chain(ahead).enumerate() {
        let col = table.column(name)?;
        // When it is may be known ahead.
        let is_time = key == "series.ahead" && *name == spec.time;
        if !is_time && taken.contains(&col) {
            let why = "each column has one use, and of those known ahead the past is read, too";
            let message = format!("'{}' is named twice: {why}", shown(name));
            return Err(Error::config(key, message));
        }
        taken.push(col);
        if i >= own.len() {
            found.push(col);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days() {
        assert_eq!(days_of("1970-01-02"), Some(1.0));
        assert_eq!(days_of("1970-01-01T12:00"), Some(0.5));
        assert_eq!(days_of("1970-01-01 18:00:00"), Some(0.75));
        // The same moment, said in three ways.
        for cell in ["1970-01-01T12:00:00Z", "1970-01-01T14:00:00+02:00", "1970-01-01T06:00:00-06:00"] {
            assert_eq!(days_of(cell), Some(0.5), "{cell}");
        }
        for cell in ["1970-02-30", "19700102", "soon", "1970-01", "02.01.1970"] {
            assert_eq!(days_of(cell), None, "{cell}");
        }
    }
}
