//! What colours the map of tasks: a number of each, or a level.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::Experiment;
use super::task::Chosen;
use crate::data::Table;
use crate::data::csv::group_rows;
use crate::data::format::Format;
use crate::error::{Error, Result, nearest};
use crate::experiment::instruments::attribute;
use crate::task::Task;

/// What is known of every task without its file.
const PLAIN: [&str; 3] = ["target", "rows", "error"];

/// A number a task, or the number of a level.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Colours {
    /// What they are of.
    pub by: String,
    /// The names of levels; none: values are numbers.
    pub levels: Vec<String>,
    /// Of each task; NaN where nothing is known.
    pub values: Vec<f64>,
}

/// Of the known tasks, then of the one that is explained.
pub(super) fn colours(
    experiment: &Experiment<'_>,
    by: &str,
    known: &[Task],
    chosen: &Chosen,
) -> Result<Colours> {
    let plain = |levels: Vec<String>, values: Vec<f64>| Ok(Colours { by: by.into(), levels, values });
    let file = file_of(experiment)?;
    if let Some((table, group)) = &file
        && let Some((levels, values)) = of_column(table, group, by, known, chosen)?
    {
        return plain(levels, values);
    }
    let (model, format) = (experiment.model(), experiment.setup().source().format());
    let all: Vec<&Task> = known.iter().chain([&chosen.task]).collect();
    let (i, o) = (model.spec.target.inputs(), model.likelihood.outputs);
    if let Format::Plain { inputs, outputs } = &format {
        let mean = |values: &[f32], at: usize, width: usize| {
            let each = values.iter().skip(at).step_by(width).map(|v| f64::from(*v));
            each.sum::<f64>() / (values.len() / width).max(1) as f64
        };
        if let Some(at) = inputs.iter().position(|name| name == by) {
            return plain(vec![], all.iter().map(|task| mean(&task.xs, at, i)).collect());
        }
        if let Some(at) = outputs.iter().position(|name| name == by) {
            return plain(vec![], all.iter().map(|task| mean(&task.ys, at, o)).collect());
        }
    }
    match by {
        "target" => {
            let (mean, unit) = format.target_scale();
            let classes = model.likelihood.has_classes();
            let each = all.iter().map(|task| attribute(task, o, classes));
            if classes {
                let names = format.classes();
                return plain(if names.len() == o { names } else { vec![] }, each.collect());
            }
            plain(vec![], each.map(|target| mean + unit * target).collect())
        }
        "rows" => plain(vec![], all.iter().map(|t| (t.shots(o) + t.queries(o)) as f64).collect()),
        "error" => {
            let score = |tasks: &[Task]| -> Result<Vec<f64>> {
                let said = model.predict(experiment.device, tasks, None)?.into_iter().map(|p| p.values);
                let each = tasks.iter().zip(said);
                Ok(each.map(|(task, y)| model.likelihood.score(std::slice::from_ref(task), &[y])).collect())
            };
            let mut values = if known.is_empty() { vec![] } else { score(known)? };
            values.push(if chosen.judged { score(std::slice::from_ref(&chosen.task))?[0] } else { f64::NAN });
            plain(vec![], values)
        }
        other => {
            let columns = file.iter().flat_map(|(table, _)| table.columns());
            let names: Vec<&str> = columns.map(String::as_str).chain(PLAIN).collect();
            let hint = match nearest(other, names.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("there are {}", names.join(", ")),
            };
            Err(Error::config("--by", format!("nothing is known of tasks by '{other}': {hint}")))
        }
    }
}

/// The file whose groups are the tasks, and the column of these.
fn file_of<'e>(experiment: &'e Experiment<'_>) -> Result<Option<(Table, &'e str)>> {
    let c = experiment.config();
    let of = |file: Option<(&Path, &'e str)>, read: fn(&Path) -> Result<Table>| {
        file.map(|(path, group)| Ok((read(path)?, group))).transpose()
    };
    let csv = c.csv.as_ref().map(|c| (&*c.file, &*c.group));
    let series = c.series.as_ref().map(|c| (&*c.file, &*c.group));
    match c.dictionaries.as_ref().map(|c| (&*c.file, &*c.group)) {
        None => of(csv.or(series), |path| Table::read(path)),
        pairs => of(pairs, |path| Table::read_tabs(path)),
    }
}

/// The mean of a column in each task, or its most frequent level; `None` where the file has no such column.
#[allow(clippy::type_complexity, reason = "levels and values")]
fn of_column(
    table: &Table,
    group: &str,
    by: &str,
    known: &[Task],
    chosen: &Chosen,
) -> Result<Option<(Vec<String>, Vec<f64>)>> {
    let Some(column) = table.columns().iter().position(|c| c == by) else { return Ok(None) };
    let groups: HashMap<String, Vec<usize>> = group_rows(table, group)?.into_iter().collect();
    // What stands in each task's rows, and the numbers of those; a new task is in its own file.
    let there = |table: &Table, column: usize, rows: &[usize]| -> Vec<(String, Option<f64>)> {
        let rows = rows.iter().filter(|row| !table.is_missing(**row, column));
        rows.map(|row| (table.cell(*row, column).to_string(), table.number(*row, column))).collect()
    };
    let of = |task: &Task| there(table, column, groups.get(&task.name).map_or(&[][..], |rows| rows));
    let own = chosen.table.as_ref().and_then(|(own, rows)| {
        let column = own.columns().iter().position(|c| c == by)?;
        Some(there(own, column, rows))
    });
    let mut all: Vec<_> = known.iter().map(of).collect();
    all.push(own.unwrap_or_else(|| of(&chosen.task)));
    if all.iter().flatten().all(|cell| cell.1.is_some()) {
        let mean = |cells: &Vec<(String, Option<f64>)>| {
            cells.iter().filter_map(|cell| cell.1).sum::<f64>() / cells.len() as f64
        };
        return Ok(Some((vec![], all.iter().map(mean).collect())));
    }
    let most = |cells: &Vec<(String, Option<f64>)>| {
        let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
        cells.iter().for_each(|cell| *counts.entry(&cell.0).or_default() += 1);
        // Of equals the first by name.
        counts.into_iter().rev().max_by_key(|(_, n)| *n).map(|(level, _)| level.clone())
    };
    let each: Vec<Option<String>> = all.iter().map(most).collect();
    let mut levels: Vec<String> = each.iter().flatten().cloned().collect();
    levels.sort_unstable();
    levels.dedup();
    let value = |level: &Option<String>| match level {
        Some(level) => levels.binary_search(level).map_or(f64::NAN, |at| at as f64),
        None => f64::NAN,
    };
    let values = each.iter().map(value).collect();
    Ok(Some((levels, values)))
}
