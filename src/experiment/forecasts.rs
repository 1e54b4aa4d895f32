//! What comes next in series of a file: each by the network of its own known points, every row from those before it.

use std::collections::HashMap;

use super::report::PointsAhead;
use crate::data::Table;
use crate::data::csv::group_rows;
use crate::data::series::{Point, SeriesFormat, SeriesTable, last_known};
use crate::data::table::shown;
use crate::error::{Error, Result};
use crate::meta::model::{Model, Network, Prediction};
use crate::report::plot::INTERVAL;
use crate::run::Device;
use crate::task::Task;

/// What predicts a row of a series.
#[derive(Clone, Copy, Debug)]
pub enum Forecaster<'m> {
    /// A trained model, which adapts to the known points of each series.
    Model(&'m Model),
    /// A network that was adapted to one.
    Network(&'m Network),
}

impl Forecaster<'_> {
    /// Networks that noise makes of a series; one without noise.
    fn draws(&self) -> usize {
        match self {
            Forecaster::Model(model) => model.spec.condition.draws(),
            Forecaster::Network(network) => network.draws,
        }
    }
}

/// One series: what is known of it, and what is asked.
struct Asked {
    /// In order of time.
    points: Vec<Point>,
    /// Whether they are asked about: the row of the query file.
    query: Vec<Option<usize>>,
    /// Values as far as they are known, or predicted.
    values: Vec<Option<f32>>,
    /// Whether a value was predicted.
    said: Vec<bool>,
    /// Number of points up to the last one whose value is known.
    known: usize,
    /// What the network learns from; no rows where nothing is known.
    support: Task,
}

impl Asked {
    /// Points in order of time, which rows of the query they are, and what the network learns from.
    fn new(points: Vec<Point>, query: Vec<Option<usize>>, support: Task) -> Asked {
        let values: Vec<Option<f32>> = points.iter().map(|p| p.value).collect();
        let known = values.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        Asked { said: vec![false; points.len()], known, values, points, query, support }
    }

    /// How many points ahead of what is known point `at` is.
    fn ahead(&self, at: usize) -> usize {
        1 + self.said[self.known.min(at)..at].iter().filter(|said| **said).count()
    }

    /// Whether what is said of point `at` stands for its value in what comes after: none behind it is known. Others are gaps.
    fn feeds(&self, at: usize) -> bool {
        self.values[at].is_none() && at >= self.known
    }
}

/// What is said about every row of a query file, in order of time: from the points before it, which are those of the support, those of the
/// query whose target is known, and behind the last of these what was said about them; an empty target before it is a gap. Values are the standardised target;
/// deviations grow with the points ahead of what is known, as far as that was measured.
///
/// # Errors
/// [`Error::Data`] naming line and column of a file, and those of the device.
pub fn forecast(
    device: &Device,
    by: Forecaster<'_>,
    format: &SeriesFormat,
    support: Option<&Table>,
    query: &Table,
    steps: Option<usize>,
) -> Result<Prediction> {
    let series = asked(format, support, query)?;
    if let (Forecaster::Network(_), 2..) = (by, series.len()) {
        let message = format!(
            "holds {} series, and a network is for the one that it was adapted to: leave the rows of that one, or give the run folder and the known \
             points of all (--support)",
            series.len()
        );
        return Err(Error::data(query.path(), format!(", column '{}'", shown(format.group())), message));
    }
    let (mut found, silent) = go(device, by, format, series, query.rows(), steps)?;
    if let Some(row) = silent {
        return Err(nothing_before(query, format, row));
    }
    if steps.is_some() {
        found.intervals = None;
    }
    Ok(found)
}

/// Goes through series in order of time. What is asked about has numbers below `rows`; what nothing is known before is NaN,
/// and the first of these whose value is asked for is named.
fn go(
    device: &Device,
    by: Forecaster<'_>,
    format: &SeriesFormat,
    mut series: Vec<Asked>,
    rows: usize,
    steps: Option<usize>,
) -> Result<(Prediction, Option<usize>)> {
    let mut silent = None;
    let mut found = Prediction {
        values: vec![f32::NAN; rows],
        deviation: vec![f32::NAN; rows],
        disagreement: if by.draws() > 1 { vec![f32::NAN; rows] } else { vec![] },
        intervals: match by {
            Forecaster::Model(model) => model.choice.intervals.clone(),
            Forecaster::Network(_) => None,
        },
    };
    // How far each has been gone through. All that do not look back on what is yet to be said are said at once.
    let mut at = vec![0; series.len()];
    while series.iter().zip(&at).any(|(s, at)| *at < s.points.len()) {
        let (mut tasks, mut places) = (vec![], vec![]);
        for (s, at) in series.iter().zip(&mut at) {
            let (mut xq, mut rows, mut unsaid) = (vec![], vec![], false);
            while *at < s.points.len() && !(unsaid && s.query[*at].is_some()) {
                if let Some(row) = s.query[*at] {
                    match format.row(&s.points, &s.values, *at) {
                        Some((x, last)) => {
                            xq.extend(x);
                            rows.push((*at, row, last));
                            unsaid |= s.feeds(*at);
                        }
                        // Of a first point nothing can be said, and need not where its value is known.
                        None if s.values[*at].is_none() => silent = silent.or(Some(row)),
                        None => {}
                    }
                }
                *at += 1;
            }
            tasks.push(s.support.clone().with_query(xq, vec![0.0; rows.len()]));
            places.push(rows);
        }
        let said = predict(device, by, &tasks, steps)?;
        for ((s, rows), said) in series.iter_mut().zip(&places).zip(said) {
            for (k, &(at, row, last)) in rows.iter().enumerate() {
                let value = last + said.values[k];
                found.values[row] = value;
                let growth = match &found.intervals {
                    Some(intervals) => intervals.growth(s.ahead(at)),
                    None => (s.ahead(at) == 1).then_some(1.0),
                };
                if let (Some(deviation), Some(growth)) = (said.deviation.get(k), growth) {
                    found.deviation[row] = deviation * growth as f32;
                }
                if let (Some(to), Some(apart)) = (found.disagreement.get_mut(row), said.disagreement.get(k)) {
                    *to = *apart;
                }
                if s.feeds(at) {
                    (s.values[at], s.said[at]) = (Some(value), true);
                }
            }
        }
    }
    Ok((found, silent))
}

/// A forecast so many points ahead of what is known: what was said, its deviation, what is true, and the last known value.
struct Ahead {
    ahead: usize,
    said: f32,
    deviation: f32,
    truth: f32,
    last: f32,
}

/// Forecasts of some series, one point after another up to `most`, from their first `shots` points alone.
fn forecasts_of(
    device: &Device,
    model: &Model,
    table: &SeriesTable,
    (which, shots): (&[usize], usize),
    most: usize,
) -> Result<Vec<Ahead>> {
    let format = &table.format;
    let (mut series, mut truth) = (vec![], vec![]);
    for g in table.judged(which, shots, most).into_iter().take(MOST_SERIES) {
        let points = table.points_of(g);
        let to_come = points.iter().skip(shots).take(most);
        let truths: Vec<Option<f32>> = to_come.clone().map(|p| p.value).collect();
        // What is read of the past is not known yet.
        let points: Vec<Point> =
            points[..shots].iter().cloned().chain(to_come.map(|p| format.to_come(p))).collect();
        let query = (0..points.len()).map(|i| Some(truth.len() + i.checked_sub(shots)?)).collect();
        let known = known_rows(format, &points[..shots]);
        let asked = Asked::new(points, query, known);
        let last = last_known(&asked.values).unwrap_or(0.0);
        truth.extend((0..most).map(|k| Some((truths.get(k).copied()??, last))));
        series.push(asked);
    }
    let found = go(device, Forecaster::Model(model), format, series, truth.len(), None)?.0;
    let one = |(i, truth): (usize, &Option<(f32, f32)>)| {
        let (truth, last) = (*truth)?;
        let (said, deviation) = (found.values[i], found.deviation[i]);
        said.is_finite().then_some(Ahead { ahead: i % most + 1, said, deviation, truth, last })
    };
    Ok(truth.iter().enumerate().filter_map(one).collect())
}

/// Root mean squared errors of forecasts of held-out series so many points ahead, beside those of saying the last known value, and how many lie
/// inside their intervals. In the target's own unit.
pub(super) fn by_points_ahead(
    device: &Device,
    model: &Model,
    table: &SeriesTable,
    shots: usize,
    most: usize,
) -> Result<Vec<PointsAhead>> {
    let all = forecasts_of(device, model, table, (&table.split.test, shots), most)?;
    let unit = table.format.target_scale().1;
    let factor = model.choice.intervals.as_ref().map_or(f64::NAN, |i| i.factor(INTERVAL));
    let one = |ahead: usize| {
        let some: Vec<&Ahead> = all.iter().filter(|a| a.ahead == ahead).collect();
        let rmse = |error: &dyn Fn(&Ahead) -> f32| {
            let sum: f64 = some.iter().map(|a| f64::from(error(a)).powi(2)).sum();
            unit * (sum / some.len() as f64).sqrt()
        };
        let inside = |a: &&&Ahead| f64::from((a.said - a.truth).abs()) <= factor * f64::from(a.deviation);
        let known = !factor.is_nan() && some.iter().all(|a| !a.deviation.is_nan());
        PointsAhead {
            ahead,
            chosen: rmse(&|a| a.said - a.truth),
            naive: rmse(&|a| a.last - a.truth),
            covered: known.then(|| some.iter().filter(inside).count() as f64 / some.len() as f64),
            points: some.len(),
        }
    };
    Ok((1..=most).map(one).filter(|found| found.points > 0).collect())
}

/// How much larger errors are so many points ahead than one point ahead, on some series; never smaller than a point before. As far as some are known.
pub(super) fn growth(
    device: &Device,
    model: &Model,
    table: &SeriesTable,
    which: (&[usize], usize),
    most: usize,
) -> Result<Vec<f64>> {
    let all = forecasts_of(device, model, table, which, most)?;
    let size = |ahead: usize| {
        let squares: Vec<f64> =
            all.iter().filter(|a| a.ahead == ahead).map(|a| f64::from(a.said - a.truth).powi(2)).collect();
        let mean = squares.iter().sum::<f64>() / squares.len() as f64;
        (squares.len() >= LEAST_POINTS && mean > 0.0 && mean.is_finite()).then(|| mean.sqrt())
    };
    let Some(first) = size(1) else { return Ok(vec![]) };
    let mut most_so_far = 1.0f64;
    let grown = (1..=most).map_while(size).map(|size| {
        most_so_far = most_so_far.max(size / first);
        most_so_far
    });
    Ok(grown.collect())
}

/// Points that say how large errors are, at least.
const LEAST_POINTS: usize = 3;
/// Points ahead that forecasts are judged on, at most.
pub(super) const MOST_AHEAD: usize = 24;

/// Series that forecasts are judged on.
const MOST_SERIES: usize = 500;

/// The support of a network for the one series of a table.
///
/// # Errors
/// [`Error::Data`] naming line and column, or where fewer than two values are known.
pub fn support_of_series(format: &SeriesFormat, table: &Table) -> Result<Task> {
    let rows: Vec<usize> = (0..table.rows()).collect();
    if let Some(column) = table.columns().iter().find(|name| *name == format.group()) {
        let groups = group_rows(table, column)?;
        if groups.len() > 1 {
            let message = format!(
                "holds {} series ('{}', '{}', …), and a network is for one: leave the rows of one, or take `hyperloom predict`, which adapts to each",
                groups.len(),
                shown(&groups[0].0),
                shown(&groups[1].0)
            );
            return Err(Error::data(table.path(), format!(", column '{}'", shown(column)), message));
        }
    }
    let points = format.points(table, &rows)?;
    let task = known_rows(format, &points);
    match task.ys.is_empty() {
        true => Err(too_few(table, format)),
        false => Ok(task),
    }
}

fn too_few(table: &Table, format: &SeriesFormat) -> Error {
    let message = format!(
        "fewer than two values are known within {} points: there is nothing to learn from",
        format.length()
    );
    Error::data(table.path(), format!(", column '{}'", shown(format.target())), message)
}

fn nothing_before(query: &Table, format: &SeriesFormat, row: usize) -> Error {
    let message = format!(
        "no value is known among the {} points before this time: give those of --support, or rows of the query whose '{}' is filled in",
        format.length(),
        shown(format.target())
    );
    Error::data(query.path(), format!(", line {}", query.line_of(row)), message)
}

/// Rows to learn from: every point whose value is known, and one before it.
fn known_rows(format: &SeriesFormat, points: &[Point]) -> Task {
    let values: Vec<Option<f32>> = points.iter().map(|p| p.value).collect();
    let (mut xs, mut ys) = (vec![], vec![]);
    for at in 1..points.len() {
        if let (Some(value), Some((x, last))) = (values[at], format.row(points, &values, at)) {
            xs.extend(x);
            ys.push(value - last);
        }
    }
    Task::from_support(xs, ys)
}

/// What is known and asked of every series of the query.
fn asked(format: &SeriesFormat, support: Option<&Table>, query: &Table) -> Result<Vec<Asked>> {
    let by_group = |table: &Table| -> Result<Option<Vec<(String, Vec<usize>)>>> {
        let named = table.columns().iter().any(|name| name == format.group());
        named.then(|| group_rows(table, format.group())).transpose()
    };
    let whole = |table: &Table| vec![(String::new(), (0..table.rows()).collect())];
    let of_query = by_group(query)?;
    let of_support = support.map(|table| Ok((table, by_group(table)?))).transpose()?;
    let (query_groups, known): (Vec<(String, Vec<usize>)>, HashMap<String, Vec<usize>>) =
        match (of_query, of_support) {
            (q, None) => (q.unwrap_or_else(|| whole(query)), HashMap::new()),
            (Some(q), Some((_, Some(s)))) => (q, s.into_iter().collect()),
            (None, Some((table, None))) => (whole(query), whole(table).into_iter().collect()),
            (q, Some((table, _))) => {
                let without = if q.is_some() { table } else { query };
                let message = format!(
                    "no column '{}', which tells series apart and the other file has",
                    shown(format.group())
                );
                return Err(Error::data(without.path(), "", message));
            }
        };
    let (mut all, mut strangers, mut odd) = (vec![], 0, None);
    for (name, rows) in query_groups {
        let mine = known.get(&name).map(Vec::as_slice).unwrap_or_default();
        let before = match support {
            Some(table) => format.points(table, mine)?,
            None => vec![],
        };
        let task = known_rows(format, &before);
        let mut points: Vec<(Point, Option<usize>)> = before.into_iter().map(|p| (p, None)).collect();
        points.extend(format.points(query, &rows)?.into_iter().map(|p| {
            let row = p.row;
            (p, Some(row))
        }));
        points.sort_by(|a, b| a.0.time.total_cmp(&b.0.time));
        if let Some(pair) = points.windows(2).find(|pair| pair[0].0.time == pair[1].0.time) {
            let row = pair[0].1.or(pair[1].1).unwrap_or_default();
            let message = "this time is in the support, too: the query asks about others";
            return Err(Error::data(query.path(), format!(", line {}", query.line_of(row)), message));
        }
        let (points, query_rows): (Vec<Point>, Vec<Option<usize>>) = points.into_iter().unzip();
        odd = odd.or_else(|| format.check_steps(&points));
        if task.ys.is_empty() {
            if !mine.is_empty()
                && let Some(table) = support
            {
                return Err(too_few(table, format));
            }
            strangers += 1;
        }
        all.push(Asked::new(points, query_rows, task));
    }
    if let Some(odd) = odd {
        log::warn!("{}: {odd}", query.path().display());
    }
    if support.is_some() && strangers > 0 {
        log::warn!(
            "{strangers} series of the query have no known points in the support: the pooled network predicts them"
        );
    }
    Ok(all)
}

/// Predictions on the query rows of tasks; those of which nothing is known are predicted by the pooled network.
fn predict(
    device: &Device,
    by: Forecaster<'_>,
    tasks: &[Task],
    steps: Option<usize>,
) -> Result<Vec<Prediction>> {
    let mut said = vec![Prediction::default(); tasks.len()];
    let alone =
        |network: &Network, task: &Task| -> Result<Prediction> { network.prediction(device, &task.xq) };
    let asked = |t: &usize| !tasks[*t].xq.is_empty();
    let (learned, others): (Vec<usize>, Vec<usize>) = match by {
        Forecaster::Model(_) => (0..tasks.len()).filter(asked).partition(|t| !tasks[*t].ys.is_empty()),
        Forecaster::Network(_) => (vec![], (0..tasks.len()).filter(asked).collect()),
    };
    let pooled = match by {
        Forecaster::Model(model) => &model.pooled(),
        Forecaster::Network(network) => network,
    };
    for t in others {
        said[t] = alone(pooled, &tasks[t])?;
    }
    if let (Forecaster::Model(model), false) = (by, learned.is_empty()) {
        let of: Vec<Task> = learned.iter().map(|t| tasks[*t].clone()).collect();
        for (t, prediction) in learned.into_iter().zip(model.predict(device, &of, steps)?) {
            said[t] = prediction;
        }
    }
    Ok(said)
}
