//! Support and query rows in files: whole tables predicted by a trained model, every group by the network of its own rows.

use std::collections::HashMap;

use crate::data::Table;
use crate::data::csv::group_rows;
use crate::data::format::Format;
use crate::error::Result;
use crate::meta::model::{Model, Prediction};
use crate::run::Device;
use crate::task::Task;

/// What a model says about every row of a query file (of whole series: each of these): each group by the network of its own support rows, the rest by the pooled one,
/// whose deviations are not known (NaN). `steps` of adaptation; `None`: as was chosen on validation tasks.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) naming line and column of a file, and those of the device.
pub fn predict_table(
    device: &Device,
    model: &Model,
    format: &Format,
    support: Option<&Table>,
    query: &Table,
    steps: Option<usize>,
) -> Result<Prediction> {
    let x = format.inputs(query)?;
    let query = &*format.rows_of(query)?;
    let (i, o) = (model.spec.target.inputs(), model.likelihood.outputs);
    let pooled = model.pooled();
    let Some(support) = support else {
        log::warn!(
            "no support rows are given: these are the pooled network's predictions, the same for every task"
        );
        let unknown = vec![f32::NAN; query.rows()];
        let disagreement = if model.spec.condition.noise.is_some() { unknown.clone() } else { vec![] };
        let values = pooled.predict(device, &x)?;
        return Ok(Prediction { values, deviation: unknown, disagreement, intervals: None });
    };
    let (xs, ys) = (format.inputs(support)?, format.targets(support)?);
    let support = &*format.rows_of(support)?;
    // Support and query rows of every task.
    let column = format
        .group()
        .filter(|c| query.columns().iter().any(|n| n == c) && support.columns().iter().any(|n| n == c));
    let (groups, strangers) = match column {
        None => {
            one_task(format, support)?;
            (vec![((0..support.rows()).collect(), (0..query.rows()).collect())], vec![])
        }
        Some(column) => {
            let known: HashMap<String, Vec<usize>> = group_rows(support, column)?.into_iter().collect();
            let (mut groups, mut strangers) = (vec![], vec![]);
            for (name, rows) in group_rows(query, column)? {
                match known.get(&name) {
                    Some(s) => groups.push((s.clone(), rows)),
                    None => strangers.push(rows),
                }
            }
            (groups, strangers)
        }
    };
    let tasks: Vec<Task> = groups
        .iter()
        .map(|(s, q): &(Vec<usize>, Vec<usize>)| {
            let mine = pick(&xs, s, i);
            let descriptor = format.descriptor(&mine, model.spec.condition.descriptor);
            // Targets of the query are what is asked for.
            let yq = vec![0.0; q.len() * o];
            Task { descriptor, xq: pick(&x, q, i), yq, ..Task::from_support(mine, pick(&ys, s, o)) }
        })
        .collect();
    let unknown = || vec![f32::NAN; query.rows()];
    let (mut y, mut deviation, mut disagreement) = (vec![0.0; query.rows() * o], unknown(), unknown());
    let mut put = |rows: &[usize], p: &Prediction| {
        for (k, &row) in rows.iter().enumerate() {
            y[row * o..(row + 1) * o].copy_from_slice(&p.values[k * o..(k + 1) * o]);
            deviation[row] = p.deviation.get(k).copied().unwrap_or(f32::NAN);
            disagreement[row] = p.disagreement.get(k).copied().unwrap_or(f32::NAN);
        }
    };
    for ((_, rows), p) in groups.iter().zip(model.predict(device, &tasks, steps)?) {
        put(rows, &p);
    }
    for rows in &strangers {
        let values = pooled.predict(device, &pick(&x, rows, i))?;
        put(rows, &Prediction { values, ..Prediction::default() });
    }
    if model.spec.condition.noise.is_none() {
        disagreement.clear();
    }
    if !strangers.is_empty() {
        log::warn!(
            "{} groups of the query have no support rows: the pooled network predicts them",
            strangers.len()
        );
    }
    let intervals = model.choice.intervals.clone().filter(|_| steps.is_none());
    Ok(Prediction { values: y, deviation, disagreement, intervals })
}

/// These rows of `from`, `[n, width]`.
pub(super) fn pick(from: &[f32], rows: &[usize], width: usize) -> Vec<f32> {
    rows.iter().flat_map(|r| &from[r * width..(r + 1) * width]).copied().collect()
}

/// A file's rows as the support of one task.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) naming line and column.
pub fn support_of_file(model: &Model, format: &Format, table: &Table) -> Result<Task> {
    one_task(format, table)?;
    let (xs, ys) = (format.inputs(table)?, format.targets(table)?);
    let descriptor = format.descriptor(&xs, model.spec.condition.descriptor);
    Ok(Task { descriptor, ..Task::from_support(xs, ys) })
}

/// Says so where rows of several groups are taken as one task.
fn one_task(format: &Format, table: &Table) -> Result<()> {
    if let Some(column) = format.group().filter(|c| table.columns().iter().any(|n| n == c)) {
        let groups = group_rows(table, column)?.len();
        if groups > 1 {
            log::warn!(
                "{}: the {groups} groups of column '{column}' are taken as one task",
                table.path().display()
            );
        }
    }
    Ok(())
}
