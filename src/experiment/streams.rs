//! Files of rows that arrive one after another, each predicted before it is known: by networks that follow ([`Follower`]), beside those that do not.

use std::collections::HashMap;
use std::path::Path;

use indexmap::IndexMap;
use serde::Serialize;

use super::files::pick;
use crate::data::Table;
use crate::data::csv::group_rows;
use crate::data::format::Format;
use crate::error::{Error, Result};
use crate::meta::follow::{Follower, Following};
use crate::meta::model::{Model, Network};
use crate::report::plot::{Curve, marked_curves};
use crate::run::Device;
use crate::task::{Task, argmax};

/// Rows that a network is adapted to once, to be held against.
const ONCE: usize = 32;
/// Deviations that numbers lie from those that were trained on at most.
const FARTHEST: f32 = 1e9;
/// What an error counts one row later, in curves.
const FADING: f64 = 0.97;

/// A stream, followed to its end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Followed {
    /// What was said of each row before it was known: values or logarithms of class probabilities, `[n, o]`.
    pub values: Vec<f32>,
    /// Rows that each was predicted from.
    pub known: Vec<usize>,
    /// How improbable each was by what was said, 0 to 1.
    pub surprise: Vec<f64>,
    /// Rows behind which a change was noticed.
    pub drifts: Vec<usize>,
    /// The numbers of it.
    pub report: StreamReport,
    /// Errors as they fade, of each of the ways in the report, the follower's last: `(row, error)`.
    curves: Vec<(String, Vec<(f64, f64)>)>,
    /// The unit of errors in curves.
    unit: &'static str,
}

/// How good what was said of a stream was.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StreamReport {
    /// Rows of it.
    pub rows: usize,
    /// Streams: the groups of the file.
    pub streams: usize,
    /// What it is judged by.
    pub metric: String,
    /// Of all rows, each predicted before it was known.
    pub prequential: f64,
    /// The same of ways that do not follow: `never_forgets` (the last rows, as many as the largest window, whatever was noticed), `adapted_once` (to the first 32) and `pooled` (to none).
    pub beside: IndexMap<String, f64>,
    /// Lines of the file behind which a change was noticed.
    pub drifts: Vec<usize>,
}

/// Follows every group of `stream` (all rows are one where it has no column of groups) in the order of its lines, `batch` rows at a time. Rows of `known` are known before.
///
/// # Errors
/// [`Error::Data`] naming line and column of a file, [`Error::Config`] for settings and models that make no sense, and those of the device.
pub fn follow_table(
    device: &Device,
    model: &Model,
    format: &Format,
    known: Option<&Table>,
    stream: &Table,
    how: &Following,
    batch: usize,
) -> Result<Followed> {
    if !matches!(format, Format::Plain { .. } | Format::Encoded(_)) {
        return Err(Error::config("--stream", "is for models of rows of a table (--task csv, sine, shapes)"));
    }
    if batch == 0 {
        return Err(Error::config("--batch", "0 is out of range: one row at least is asked about"));
    }
    how.check()?;
    let (x, y) = (format.inputs(stream)?, format.targets(stream)?);
    let (i, o) = (model.spec.target.inputs(), model.likelihood.outputs);
    within_reach(stream, &x, i)?;
    within_reach(stream, &y, o)?;
    let has = |table: &Table, column: &str| table.columns().iter().any(|c| c == column);
    let groups: Vec<(String, Vec<usize>)> = match format.group().filter(|column| has(stream, column)) {
        Some(column) => group_rows(stream, column)?.into_iter().collect(),
        None => vec![(String::new(), (0..stream.rows()).collect())],
    };
    // Known rows of all groups, and which are whose; of all, where one of both files has no groups.
    let known = known
        .map(|table| -> Result<_> {
            let (xs, ys) = (format.inputs(table)?, format.targets(table)?);
            within_reach(table, &xs, i)?;
            within_reach(table, &ys, o)?;
            let column = format.group().filter(|column| has(table, column) && has(stream, column));
            let groups = column.map(|column| group_rows(table, column)).transpose()?;
            let groups: Option<HashMap<String, Vec<usize>>> = groups.map(|g| g.into_iter().collect());
            Ok((xs, ys, groups, table.rows()))
        })
        .transpose()?;
    let of_group = |name: &str| -> (Vec<f32>, Vec<f32>) {
        let Some((xs, ys, groups, all)) = &known else { return (vec![], vec![]) };
        let rows = match groups {
            Some(groups) => groups.get(name).cloned().unwrap_or_default(),
            None => (0..*all).collect(),
        };
        (pick(xs, &rows, i), pick(ys, &rows, o))
    };
    let pooled = model.pooled();
    let n = stream.rows();
    let mut said: [Vec<f32>; 4] = std::array::from_fn(|_| vec![0.0; n * o]);
    let (mut rows_known, mut surprise, mut drifts) = (vec![0; n], vec![0.0; n], vec![]);
    for (name, rows) in &groups {
        let mut follower = Follower::new(model, device, how.clone())?;
        let (xs, ys) = of_group(name);
        if !xs.is_empty() {
            follower.learn(&xs, &ys)?;
        }
        let mut once: Option<Network> = None;
        let (mut first_x, mut first_y) = (xs, ys);
        for asked in rows.chunks(batch) {
            let (qx, qy) = (pick(&x, asked, i), pick(&y, asked, o));
            let descriptor = format.descriptor(&qx, model.spec.condition.descriptor);
            if once.is_none() && first_x.len() >= ONCE * i {
                let task = Task::from_support(first_x[..ONCE * i].to_vec(), first_y[..ONCE * o].to_vec());
                once = Some(model.adapt(device, &task.with_descriptor(descriptor.clone()), None)?);
            }
            let found = follower.ask(&qx, &descriptor)?;
            let alone = found.unforgetting.values;
            let first = match &once {
                Some(network) => network.predict(device, &qx)?,
                // As long as they are not there, it knows what the other knows.
                None => alone.clone(),
            };
            let nothing = pooled.predict(device, &qx)?;
            let told = follower.tell(&qy)?;
            for (k, row) in asked.iter().enumerate() {
                for (to, from) in said.iter_mut().zip([&found.prediction.values, &alone, &first, &nothing]) {
                    to[row * o..(row + 1) * o].copy_from_slice(&from[k * o..(k + 1) * o]);
                }
                (rows_known[*row], surprise[*row]) = (found.rows, told.surprise[k]);
            }
            drifts.extend(told.drift.map(|k| asked[k]));
            if once.is_none() {
                first_x.extend(qx);
                first_y.extend(qy);
            }
        }
    }
    drifts.sort_unstable();
    let names = ["follows", "never_forgets", "adapted_once", "pooled"];
    let task = [Task::from_support(vec![], vec![]).with_query(x, y)];
    let scores: Vec<f64> =
        said.iter().map(|y| model.likelihood.score(&task, std::slice::from_ref(y))).collect();
    let curves = names.iter().zip(&said).rev().map(|(name, said)| {
        let errors = fading(model, format, &task[0].yq, said);
        (name.replace('_', " "), (0..n).map(|r| (r + 1) as f64).zip(errors).collect())
    });
    let curves = curves.collect();
    let report = StreamReport {
        rows: n,
        streams: groups.len(),
        metric: model.likelihood.metric.name().into(),
        prequential: scores[0],
        beside: names[1..].iter().zip(&scores[1..]).map(|(name, s)| (name.to_string(), *s)).collect(),
        drifts: drifts.iter().map(|row| stream.line_of(*row)).collect(),
    };
    let unit = if model.likelihood.has_classes() { "share of rows wrong" } else { "root mean squared error" };
    let [values, ..] = said;
    Ok(Followed { values, known: rows_known, surprise, drifts, report, curves, unit })
}

/// Refuses numbers that are so far from those that were trained on that their squares say nothing.
fn within_reach(table: &Table, numbers: &[f32], each: usize) -> Result<()> {
    let far = |v: &f32| !(v.is_finite() && v.abs() <= FARTHEST);
    match numbers.iter().position(far) {
        None => Ok(()),
        Some(at) => {
            let place = format!(", line {}", table.line_of(at / each.max(1)));
            Err(Error::data(
                table.path(),
                &place,
                "a number lies more than a billion deviations from those that were trained on",
            ))
        }
    }
}

/// Errors of rows as they fade: shares of wrong classes, or roots of mean squares in the target's own units.
fn fading(model: &Model, format: &Format, targets: &[f32], said: &[f32]) -> Vec<f64> {
    let (o, scale) = (model.likelihood.outputs, format.target_scale().1);
    let (mut sum, mut weight) = (0.0, 0.0);
    let each = targets.chunks(o).zip(said.chunks(o)).map(|(t, s)| {
        let error = if model.likelihood.has_classes() {
            f64::from(argmax(t) != argmax(s))
        } else {
            t.iter().zip(s).map(|(t, s)| (scale * f64::from(t - s)).powi(2)).sum::<f64>() / o as f64
        };
        (sum, weight) = (FADING * sum + error, FADING * weight + 1.0);
        if model.likelihood.has_classes() { sum / weight } else { (sum / weight).sqrt() }
    });
    each.collect()
}

impl Followed {
    /// The rows of the stream as a file: what was said of each, from how many rows (`known`), how improbable it was (`surprise`), and whether a change was noticed behind it (`drift`).
    ///
    /// # Errors
    /// [`Error::Data`] where the file has columns of these names.
    pub fn csv(&self, format: &Format, stream: &Table) -> Result<Vec<u8>> {
        let said = format.predictions(stream, &self.values, None, &[])?;
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&said[..]);
        let mut out = csv::Writer::from_writer(Vec::new());
        let fail = |e: &dyn std::fmt::Display| {
            Error::data(stream.path(), "", format!("cannot write what was said: {e}"))
        };
        let further = ["known", "surprise", "drift"];
        if let Some(name) = further.iter().find(|n| stream.columns().iter().any(|c| c == *n)) {
            let message = format!("there is a column '{name}' already: rename or remove it");
            return Err(Error::data(stream.path(), ", line 1", message));
        }
        for (line, record) in reader.records().enumerate() {
            let mut record = record.map_err(|e| fail(&e))?;
            match line.checked_sub(1) {
                None => further.iter().for_each(|name| record.push_field(name)),
                Some(row) => {
                    record.push_field(&self.known[row].to_string());
                    record.push_field(&format!("{:.4}", self.surprise[row]));
                    record.push_field(if self.drifts.contains(&row) { "1" } else { "0" });
                }
            }
            out.write_record(&record).map_err(|e| fail(&e))?;
        }
        out.into_inner().map_err(|e| fail(&e))
    }

    /// Draws errors over rows, as they fade, with the changes that were noticed.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn draw(&self, path: &Path) -> Result<()> {
        let curves: Vec<Curve<'_>> =
            self.curves.iter().map(|(label, points)| Curve { label, points }).collect();
        let marks: Vec<f64> = self.drifts.iter().map(|row| (row + 1) as f64).collect();
        let labels = ("row", self.unit);
        marked_curves(
            path,
            "Errors of rows, each predicted before it was known",
            labels,
            false,
            &curves,
            ("a change is noticed", &marks),
        )
    }
}
