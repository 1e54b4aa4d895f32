//! The task that is explained: one of the run's own, or rows in files.

use std::path::Path;

use super::{Experiment, ExplainOptions};
use crate::data::Table;
use crate::data::csv::group_rows;
use crate::data::format::Format;
use crate::error::{Error, Result, nearest};
use crate::experiment::files::pick;
use crate::experiment::picture_files::{pictures_asked, support_of_folder};
use crate::task::{Likelihood, Task, argmax, support_as_query};

/// A task with what its rows are called.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub task: Task,
    /// What support rows are called.
    pub rows: Vec<String>,
    /// What query rows are called.
    pub asked: Vec<String>,
    /// Whether what the query rows should be is known.
    pub judged: bool,
    /// The file of the support, and its rows, where it is one of rows.
    pub table: Option<(Table, Vec<usize>)>,
}

/// The task that the options name.
pub(super) fn chosen(experiment: &Experiment<'_>, options: &ExplainOptions) -> Result<Chosen> {
    let found = match &options.support {
        Some(support) => of_files(experiment, options, support)?,
        None => of_run(experiment, options)?,
    };
    let o = experiment.model().likelihood.outputs;
    if found.task.shots(o) < 2 {
        let message = format!("{} has one support row: leaving it out leaves nothing", called(&found.task));
        return Err(Error::config(if options.support.is_some() { "--support" } else { "--of" }, message));
    }
    if found.task.queries(o) == 0 {
        return Err(Error::config("--query", "holds no rows to be asked about"));
    }
    Ok(found)
}

/// A task in words.
fn called(task: &Task) -> String {
    if task.name.is_empty() { "the task".into() } else { format!("task '{}'", task.name) }
}

/// One of the tasks that nothing was trained on.
fn of_run(experiment: &Experiment<'_>, options: &ExplainOptions) -> Result<Chosen> {
    if options.query.is_some() {
        return Err(Error::config("--query", "goes with --support: the run's own tasks have query rows"));
    }
    let source = experiment.setup().source();
    let shots = options.shots.unwrap_or(experiment.config().eval.shots);
    source.check_held_out(shots)?;
    let tasks = source.test(shots);
    let task = named(&tasks, options.of.as_deref(), "--of")?.clone();
    let (format, likelihood) = (source.format(), experiment.model().likelihood);
    let (i, o) = (experiment.model().spec.target.inputs(), likelihood.outputs);
    let name = |what: &str, x: &[f32], y: &[f32]| -> Vec<String> {
        let rows = x.chunks(i).zip(y.chunks(o)).enumerate();
        rows.map(|(row, (x, y))| format!("{what} {}{}", row + 1, row_in_words(&format, &likelihood, x, y)))
            .collect()
    };
    let (mut rows, mut asked) = (name("row", &task.xs, &task.ys), name("query", &task.xq, &task.yq));
    if let (Some(csv), Format::Encoded(_)) = (&experiment.config().csv, &format) {
        // A file may have rows that are not read, as those without a target: then rows keep their numbers.
        if let Ok(lines) = Lines::of(&format, &Table::read(&csv.file)?, &task.name) {
            lines.put(&mut rows, &task.xs, &task.ys);
            lines.put(&mut asked, &task.xq, &task.yq);
        }
    }
    Ok(Chosen { task, rows, asked, judged: true, table: None })
}

/// The lines of a task in the run's own file.
struct Lines {
    /// Each with its inputs and targets.
    rows: Vec<(usize, Vec<f32>, Vec<f32>)>,
}

impl Lines {
    fn of(format: &Format, table: &Table, group: &str) -> Result<Lines> {
        let (x, y) = (format.inputs(table)?, format.targets(table)?);
        let (i, o) = (x.len() / table.rows().max(1), y.len() / table.rows().max(1));
        let groups = group_rows(table, format.group().unwrap_or_default())?;
        let own = groups.into_iter().find(|(name, _)| name == group).map_or(vec![], |(_, rows)| rows);
        let row = |r: usize| (table.line_of(r), pick(&x, &[r], i), pick(&y, &[r], o));
        Ok(Lines { rows: own.into_iter().map(row).collect() })
    }

    /// Names rows by the lines that say the same.
    fn put(&self, names: &mut [String], x: &[f32], y: &[f32]) {
        let n = names.len();
        if n == 0 {
            return;
        }
        let parts = names.iter_mut().zip(x.chunks(x.len() / n).zip(y.chunks(y.len() / n)));
        for (name, (x, y)) in parts {
            if let Some((line, ..)) = self.rows.iter().find(|(_, a, b)| (&a[..], &b[..]) == (x, y)) {
                let rest = name.split_once(", ").map_or(String::new(), |(_, rest)| format!(", {rest}"));
                *name = format!("line {line}{rest}");
            }
        }
    }
}

/// A row by its numbers, where these are few, or its class.
fn row_in_words(format: &Format, likelihood: &Likelihood, x: &[f32], y: &[f32]) -> String {
    if likelihood.kinds > 0 {
        return String::new();
    }
    if likelihood.has_classes() {
        let class = argmax(y);
        return format!(
            ", class {}",
            format.classes().get(class).cloned().unwrap_or_else(|| class.to_string())
        );
    }
    match format {
        Format::Plain { inputs, outputs } if inputs.len() + outputs.len() <= 4 => {
            let names = inputs.iter().chain(outputs).zip(x.iter().chain(y));
            let all: Vec<String> = names.map(|(name, v)| format!("{name} {v:.2}")).collect();
            format!(": {}", all.join(", "))
        }
        Format::Encoded(_) | Format::Sequences(_) => {
            let (mean, unit) = format.target_scale();
            let value = mean + unit * f64::from(y[0]);
            format!(", {} {}", format.target(), (value * 1e4).round() / 1e4)
        }
        _ => String::new(),
    }
}

/// The task of this name (`None`: the first).
pub(super) fn named<'t>(tasks: &'t [Task], name: Option<&str>, flag: &str) -> Result<&'t Task> {
    let Some(name) = name else {
        return tasks.first().ok_or_else(|| Error::config(flag, "there are no tasks"));
    };
    tasks.iter().find(|task| task.name == name).ok_or_else(|| {
        // Several draws of one group have its name.
        let mut known: Vec<&str> =
            tasks.iter().map(|task| task.name.as_str()).filter(|n| !n.is_empty()).collect();
        known.dedup();
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("there are {} tasks: {}", known.len(), some_of(&known)),
        };
        Error::config(flag, format!("no task '{name}': {hint}"))
    })
}

/// The first of some names.
fn some_of(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(5).map(|name| format!("'{name}'")).collect();
    format!("{}{}", shown.join(", "), if names.len() > shown.len() { " and so on" } else { "" })
}

/// Rows in files: those of one task, and those that are asked about (not given: the same).
fn of_files(experiment: &Experiment<'_>, options: &ExplainOptions, support: &Path) -> Result<Chosen> {
    if options.shots.is_some() {
        return Err(Error::config("--shots", "is for the run's own tasks: of a file all rows are known"));
    }
    let format = experiment.setup().source().format();
    match &format {
        Format::Pictures { .. } => of_pictures(experiment, options, &format, support),
        Format::Plain { .. } | Format::Encoded(_) | Format::Sequences(_) => {
            of_tables(experiment, options, &format, support)
        }
        _ => Err(Error::config(
            "--support",
            format!(
                "files of a new task are for rows of tables and for pictures, and the run's task is '{}': name one of its own tasks by --of, or leave both out",
                experiment.config().task.name()
            ),
        )),
    }
}

/// Pictures in folders.
fn of_pictures(
    experiment: &Experiment<'_>,
    options: &ExplainOptions,
    format: &Format,
    support: &Path,
) -> Result<Chosen> {
    if options.of.is_some() {
        return Err(Error::config("--of", "the folder of --support is one task: leave it out"));
    }
    let o = experiment.model().likelihood.outputs;
    let (task, classes) = support_of_folder(format, support)?;
    // Both read the pictures in the order of their paths; where they do not, rows have the names of their classes.
    let (files, numbers) = pictures_asked(format, support)?;
    let class_of = |row: usize| classes.get(argmax(&task.ys[row * o..][..o])).map_or("", String::as_str);
    let rows: Vec<String> = match numbers == task.xs {
        true => files,
        false => (0..task.shots(o)).map(|row| format!("row {}, class {}", row + 1, class_of(row))).collect(),
    };
    let (name, mut judged) = (support.display().to_string(), true);
    let (task, asked) = match &options.query {
        None => (support_as_query(&[task]).remove(0), rows.clone()),
        Some(query) => {
            let (files, xq) = pictures_asked(format, query)?;
            // A folder with a folder for each class says what they are.
            let folder = |file: &String| file.rsplit_once(['/', '\\']).map(|(folder, _)| folder.to_string());
            let found: Option<Vec<usize>> = files
                .iter()
                .map(|file| classes.iter().position(|class| folder(file).as_ref() == Some(class)))
                .collect();
            judged = found.is_some();
            let mut yq = vec![0.0; files.len() * o];
            found.unwrap_or_default().iter().enumerate().for_each(|(row, class)| yq[row * o + class] = 1.0);
            (task.with_query(xq, yq), files)
        }
    };
    Ok(Chosen { task: task.with_name(name), rows, asked, judged, table: None })
}

/// Rows of tables.
fn of_tables(
    experiment: &Experiment<'_>,
    options: &ExplainOptions,
    format: &Format,
    support: &Path,
) -> Result<Chosen> {
    let model = experiment.model();
    let (i, o) = (model.spec.target.inputs(), model.likelihood.outputs);
    let table = Table::read(support)?;
    let (xs, ys) = (format.inputs(&table)?, format.targets(&table)?);
    let table = format.rows_of(&table)?.into_owned();
    let (rows, name) = rows_of_task(format, &table, options, "--support")?;
    let mut task = Task::from_support(pick(&xs, &rows, i), pick(&ys, &rows, o)).with_name(&name);
    task.descriptor = format.descriptor(&task.xs, model.spec.condition.descriptor);
    let lines = |table: &Table, rows: &[usize]| -> Vec<String> {
        rows.iter().map(|row| format!("line {}", table.line_of(*row))).collect()
    };
    let (named, mut judged) = (lines(&table, &rows), true);
    let (task, asked) = match &options.query {
        None => (support_as_query(&[task]).remove(0), named.clone()),
        Some(path) => {
            let query = Table::read(path)?;
            let x = format.inputs(&query)?;
            judged = match format {
                Format::Plain { outputs, .. } => outputs.iter().all(|name| query.columns().contains(name)),
                other => query.columns().iter().any(|name| name == other.target()),
            };
            let y = if judged { format.targets(&query)? } else { vec![0.0; x.len() / i * o] };
            let query = format.rows_of(&query)?.into_owned();
            let has_groups = format.group().is_some_and(|column| query.columns().iter().any(|c| c == column));
            let of =
                ExplainOptions { of: options.of.clone().filter(|_| has_groups), ..ExplainOptions::default() };
            let (rows, _) = rows_of_task(format, &query, &of, "--query")?;
            (task.with_query(pick(&x, &rows, i), pick(&y, &rows, o)), lines(&query, &rows))
        }
    };
    Ok(Chosen { task, rows: named, asked, judged, table: Some((table, rows)) })
}

/// The rows of a file that are those of one task, and its name.
fn rows_of_task(
    format: &Format,
    table: &Table,
    options: &ExplainOptions,
    flag: &str,
) -> Result<(Vec<usize>, String)> {
    let column = format.group().filter(|column| table.columns().iter().any(|c| c == column));
    let Some(column) = column else {
        return match &options.of {
            Some(_) => Err(Error::config(
                "--of",
                format!(
                    "{} has no column that tells tasks apart: all its rows are one",
                    table.path().display()
                ),
            )),
            None => Ok(((0..table.rows()).collect(), table.path().display().to_string())),
        };
    };
    let groups = group_rows(table, column)?;
    let found = match &options.of {
        Some(of) => groups.iter().find(|(name, _)| name == of),
        None if groups.len() == 1 => groups.first(),
        None => None,
    };
    match found {
        Some((name, rows)) => Ok((rows.clone(), name.clone())),
        None => {
            let names: Vec<&str> = groups.iter().map(|(name, _)| name.as_str()).collect();
            let (path, some) = (table.path().display(), some_of(&names));
            let message = match &options.of {
                Some(of) => format!("{path} has no rows of '{of}' by '{column}': there are {some}"),
                None => format!(
                    "{path} has {} tasks by '{column}': name one of them by --of ({some})",
                    names.len()
                ),
            };
            Err(Error::config(flag, message))
        }
    }
}
