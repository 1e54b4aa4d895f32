//! The tasks: parts of the classes of a file, orders of its inputs, its groups, or several files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::ContinualConfig;
use super::networks::Among;
use crate::continual::{Sequence, SequenceTask, TaskRows, polynomials};
use crate::data::csv::CsvSpec;
use crate::data::encoder::{Encoder, TargetKind};
use crate::data::format::Format;
use crate::data::images::{ImageOptions, ImageSet};
use crate::data::labelled::Labelled;
use crate::data::table::Table;
use crate::error::{Error, Result};
use crate::experiment::config::{Config, TaskKind};
use crate::experiment::source::{SingleTask, is_table, parted};
use crate::rng::Rng;
use crate::spec::count;
use crate::task::argmax;

/// Share of the rows of a file that is judged on, where there is no other file for that.
const JUDGED: f64 = 1.0 / 6.0;
/// Tasks where nothing is said: orders of the inputs, and parts of the classes at most.
const ORDERS: usize = 10;
const PARTS: usize = 5;
/// Stream of the orders of inputs.
const ORDER: u64 = 0x0de5;

/// Tasks; and, of those whose rows are read as they are, how files of them are read, and which classes each has.
pub(super) type Tasks = (Sequence, Option<(Format, Vec<Among>)>);

/// The tasks that settings describe.
///
/// # Errors
/// Files that are not there or hold something else, and classes that can't be shared out.
pub(super) fn sequence(c: &ContinualConfig) -> Result<Tasks> {
    if c.source == ["polynomials"] {
        let sequence = polynomials(if c.tasks == 0 { 3 } else { c.tasks }, c.seed);
        let all = all_of(&sequence, 0);
        return Ok((sequence, Some((Format::plain(&["x"], &["y"]), all))));
    }
    if !c.group.is_empty() {
        return groups(c);
    }
    match &c.source[..] {
        [one] => of_one(c, Path::new(one)),
        several => of_files(c, several),
    }
}

/// Tasks that all have so many classes.
fn all_of(sequence: &Sequence, classes: usize) -> Vec<Among> {
    vec![Among { first: 0, classes }; sequence.len()]
}

/// Rows with classes in one file, to train on and to be judged on.
fn read(c: &ContinualConfig, path: &Path) -> Result<(SingleTask, Format)> {
    let quoted = |v: &str| toml::Value::from(v).to_string();
    let mut text =
        format!("pictures.train = {}\npictures.validation = 0.0\n", quoted(&path.display().to_string()));
    if let Some(test) = &c.test {
        text += &format!("pictures.test = {}\n", quoted(&test.display().to_string()));
    }
    if !c.label.is_empty() {
        text += &format!("pictures.label = {}\n", quoted(&c.label));
    }
    if !c.drop.is_empty() {
        let all: Vec<String> = c.drop.iter().map(|d| quoted(d)).collect();
        text += &format!("pictures.drop = [{}]\n", all.join(", "));
    }
    let mut config = Config::parse(&text, "source", Some(TaskKind::Pictures))?;
    config.seed = c.seed;
    let source = config.task.open(&config)?;
    let format = source.format();
    let task = source.single().cloned();
    Ok((task.ok_or_else(|| Error::data(path, "", "holds no rows with classes"))?, format))
}

/// Tasks of one file: parts of its classes, or orders of its inputs.
fn of_one(c: &ContinualConfig, path: &Path) -> Result<Tasks> {
    let (file, format) = read(c, path)?;
    let train: Vec<usize> = match Arc::ptr_eq(&file.rows, &file.test) {
        true => (0..file.rows.len()).filter(|r| !file.test_rows.contains(r)).collect(),
        false => (0..file.rows.len()).collect(),
    };
    let classes = file.rows.classes.len();
    if c.permuted {
        let tasks = (0..if c.tasks == 0 { ORDERS } else { c.tasks }).map(|task| {
            let n = count(&file.rows.row);
            // The first task sees rows as they are.
            let order = match task {
                0 => (0..n).collect(),
                _ => Rng::new(c.seed, ORDER ^ (task as u64) << 32).choose(n, n),
            };
            let order = Arc::new(order);
            let of = |rows: &Arc<Labelled>, among: &[usize]| {
                TaskRows::new(rows.clone(), among.to_vec(), 0).in_order(order.clone())
            };
            let (train, test) = (of(&file.rows, &train), of(&file.test, &file.test_rows));
            SequenceTask { name: format!("order {}", task + 1), train, test }
        });
        return Ok((Sequence::new(tasks.collect(), classes), None));
    }
    let (tasks, ways) = shared_out(c, path, classes)?;
    let tasks = (0..tasks).map(|task| {
        let own = task * ways..(task + 1) * ways;
        let of = |rows: &Arc<Labelled>, among: &[usize]| {
            let mine = among.iter().copied().filter(|r| own.contains(&(rows.labels[*r] as usize)));
            TaskRows::new(rows.clone(), mine.collect(), own.start)
        };
        let name = file.rows.classes[own.clone()].join(" ");
        let (train, test) = (of(&file.rows, &train), of(&file.test, &file.test_rows));
        match train.is_empty() || test.is_empty() {
            true => {
                let what = if train.is_empty() { "train on" } else { "be judged on" };
                Err(Error::data(path, "", format!("has no row of the classes {name} to {what}")))
            }
            false => Ok(SequenceTask { name, train, test }),
        }
    });
    let sequence = Sequence::new(tasks.collect::<Result<_>>()?, ways);
    let places = (0..sequence.len()).map(|task| Among { first: task * ways, classes });
    Ok((sequence, Some((format, places.collect()))))
}

/// Number of tasks, and classes of each.
fn shared_out(c: &ContinualConfig, path: &Path, classes: usize) -> Result<(usize, usize)> {
    if let Some(most) = classes.checked_div(c.ways) {
        let tasks = if c.tasks == 0 { most } else { c.tasks };
        return match c.ways < 2 || tasks > most || tasks == 0 {
            true => Err(Error::config(
                "ways",
                format!(
                    "{tasks} tasks of {} classes can't be made of the {classes} in {}: 2 classes or more, and up to {most} tasks",
                    c.ways,
                    path.display()
                ),
            )),
            false => Ok((tasks, c.ways)),
        };
    }
    let possible: Vec<usize> = (1..=classes / 2).filter(|n| classes.is_multiple_of(*n)).collect();
    let usual = possible.iter().copied().filter(|n| *n <= PARTS).max().unwrap_or(1);
    let tasks = if c.tasks == 0 { usual } else { c.tasks };
    match possible.contains(&tasks) {
        true => Ok((tasks, classes / tasks)),
        false => {
            let all: Vec<String> = possible.iter().map(usize::to_string).collect();
            Err(Error::config(
                "tasks",
                format!(
                    "the {classes} classes of {} are not {tasks} tasks of two or more and as many each: {} can be made, or others with ways",
                    path.display(),
                    all.join(", ")
                ),
            ))
        }
    }
}

/// Several files, each a task, all with the same classes.
fn of_files(c: &ContinualConfig, files: &[String]) -> Result<Tasks> {
    if c.tasks != 0 && c.tasks != files.len() {
        return Err(Error::config(
            "tasks",
            format!("is {}, and {} files are named, each a task", c.tasks, files.len()),
        ));
    }
    let paths: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    let (all, format) = if is_table(&paths[0]) { tables(c, &paths)? } else { pictures(&paths)? };
    let classes = all[0].classes.clone();
    let task = |(path, rows): (&PathBuf, Labelled)| {
        if let Some(class) = (0..classes.len()).find(|c| !rows.labels.contains(&(*c as u32))) {
            let message =
                format!("has no row of the class '{}': every file needs all classes", classes[class]);
            return Err(Error::data(path, "", message));
        }
        let (test, train) = parted(&rows.labels, &(0..rows.len()).collect::<Vec<_>>(), JUDGED, c.seed);
        if test.is_empty() {
            return Err(Error::data(
                path,
                "",
                "has too few rows: two of a class at least are needed, to train and to judge",
            ));
        }
        let rows = Arc::new(rows);
        let of = |among: Vec<usize>| TaskRows::new(rows.clone(), among, 0);
        let name = path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
        Ok(SequenceTask { name, train: of(train), test: of(test) })
    };
    let tasks = paths.iter().zip(all).map(task).collect::<Result<Vec<_>>>()?;
    let sequence = Sequence::new(tasks, classes.len());
    let places = all_of(&sequence, classes.len());
    Ok((sequence, Some((format, places))))
}

/// The rows of several folders or files of pictures, by the scales of the first.
fn pictures(paths: &[PathBuf]) -> Result<(Vec<Labelled>, Format)> {
    let set = ImageSet::read(&paths[0], None, ImageOptions::default())?;
    let shape = set.shape;
    let first = Labelled::of_images(set, None);
    let mut all = vec![first.clone()];
    for path in &paths[1..] {
        let options = ImageOptions { colour: Some(shape[2] == 3), size: None };
        let set = ImageSet::read(path, None, options)?;
        if set.shape != shape {
            let message = format!(
                "has pictures of the shape {:?}, and those of {} have {shape:?}",
                set.shape,
                paths[0].display()
            );
            return Err(Error::data(path, "", message));
        }
        all.push(Labelled::of_images(set, Some(first.scales())).with_classes_of(&first, path)?);
    }
    let (ways, classes, scales) = (first.classes.len(), first.classes.clone(), first.scales().to_vec());
    Ok((all, Format::Pictures { shape, ways, classes, scales }))
}

/// The rows of several tables with the same columns, by the scales and classes of all of them.
fn tables(c: &ContinualConfig, paths: &[PathBuf]) -> Result<(Vec<Labelled>, Format)> {
    let tables: Vec<Table> = paths.iter().map(Table::read).collect::<Result<_>>()?;
    for (table, path) in tables.iter().zip(paths) {
        if table.columns() != tables[0].columns() {
            let message = format!(
                "has the columns {}, and {} has {}: the same in the same order are needed",
                table.columns().join(", "),
                paths[0].display(),
                tables[0].columns().join(", ")
            );
            return Err(Error::data(path, "", message));
        }
        if table.rows() == 0 {
            return Err(Error::data(path, "", "has no rows"));
        }
    }
    let parts: Vec<(&Table, Vec<usize>)> = tables.iter().map(|t| (t, (0..t.rows()).collect())).collect();
    let all = Table::of_parts(&paths[0], &parts);
    let encoder = Encoder::fit(
        &all,
        &spec(c, &c.label, String::new(), Some(TargetKind::Classification)),
        &(0..all.rows()).collect::<Vec<_>>(),
    )?;
    let classes = encoder.classes().to_vec();
    let of = |table: &Table| -> Result<Labelled> {
        let (x, y) = (encoder.encode_inputs(table)?, encoder.encode_targets(table)?);
        let labels = y.chunks(classes.len()).map(|y| argmax(y) as u32).collect();
        Ok(Labelled::of_numbers(vec![encoder.inputs(), 1], classes.clone(), x, labels))
    };
    let all = tables.iter().map(of).collect::<Result<Vec<_>>>()?;
    Ok((all, Format::Encoded(encoder)))
}

/// Which columns of a table are read.
fn spec(c: &ContinualConfig, target: &str, group: String, kind: Option<TargetKind>) -> CsvSpec {
    CsvSpec {
        path: PathBuf::from(&c.source[0]),
        group,
        target: target.into(),
        inputs: vec![],
        drop: c.drop.clone(),
        shots: 1,
        splits: None,
        seed: c.seed,
        kind,
        series: None,
        order: None,
        categories: vec![],
    }
}

/// The groups of a CSV file, in the order of their first lines, each a task.
fn groups(c: &ContinualConfig) -> Result<Tasks> {
    let path = PathBuf::from(&c.source[0]);
    let table = Table::read(&path)?;
    let column = table.column(&c.group)?;
    let mut names: Vec<String> = vec![];
    let mut rows: Vec<Vec<usize>> = vec![];
    for row in 0..table.rows() {
        let name = table.cell(row, column);
        match names.iter().position(|n| n == name) {
            Some(at) => rows[at].push(row),
            None => {
                names.push(name.to_string());
                rows.push(vec![row]);
            }
        }
    }
    // A group of few rows has none to be judged on.
    const FEWEST: usize = 6;
    let few = rows.iter().filter(|r| r.len() < FEWEST).count();
    if few > 0 {
        log::warn!("{}: {few} of its groups have fewer than {FEWEST} rows and are left out", path.display());
    }
    let mut all: Vec<(String, Vec<usize>)> =
        names.into_iter().zip(rows).filter(|(_, r)| r.len() >= FEWEST).collect();
    if all.is_empty() {
        let message = format!(
            "has no group of {FEWEST} rows or more in the column '{}': tasks need rows to learn from and to be judged on",
            c.group
        );
        return Err(Error::data(&path, "", message));
    }
    if c.tasks > all.len() {
        let message = format!(
            "is {}, and {} has {} groups of {FEWEST} rows or more",
            c.tasks,
            path.display(),
            all.len()
        );
        return Err(Error::config("tasks", message));
    }
    if c.tasks > 0 {
        all.truncate(c.tasks);
    }
    // Rows of other groups are not looked at.
    let kept: Vec<usize> = all.iter().flat_map(|(_, rows)| rows.iter().copied()).collect();
    let table = Table::of_parts(&path, &[(&table, kept)]);
    let mut at = 0;
    for (_, rows) in &mut all {
        at += rows.len();
        *rows = (at - rows.len()..at).collect();
    }
    let spec = spec(c, &c.target, c.group.clone(), c.kind);
    let judged = |rows: &[usize], task: usize| {
        let n = (rows.len() as f64 * JUDGED).round().max(1.0) as usize;
        let drawn = Rng::new(c.seed, 0x7e57 ^ (task as u64) << 32).choose(rows.len(), n);
        let test: Vec<usize> = drawn.into_iter().map(|i| rows[i]).collect();
        let train = rows.iter().copied().filter(|r| !test.contains(r)).collect();
        (test, train)
    };
    let parts: Vec<(Vec<usize>, Vec<usize>)> =
        all.iter().enumerate().map(|(t, (_, r))| judged(r, t)).collect();
    // Scales and categories are those of all training rows, as if they were known beforehand.
    let known: Vec<usize> = parts.iter().flat_map(|(_, train)| train.iter().copied()).collect();
    let encoder = Encoder::fit(&table, &spec, &known)?;
    let (x, y) = (encoder.encode_inputs(&table)?, encoder.encode_targets(&table)?);
    let row = vec![encoder.inputs()];
    let rows = match encoder.kind() {
        TargetKind::Classification => {
            let classes = encoder.classes().to_vec();
            let labels = y.chunks(classes.len()).map(|y| argmax(y) as u32).collect();
            Labelled::of_numbers(row, classes, x, labels)
        }
        TargetKind::Regression => Labelled::of_values(row, x, y),
    };
    let (rows, classes) = (Arc::new(rows), encoder.classes().len());
    let tasks = all.into_iter().zip(parts).map(|((name, _), (test, train))| {
        let of = |among: Vec<usize>| TaskRows::new(rows.clone(), among, 0);
        SequenceTask { name, train: of(train), test: of(test) }
    });
    let sequence = Sequence::new(tasks.collect(), classes);
    let places = all_of(&sequence, classes);
    Ok((sequence, Some((Format::Encoded(encoder), places))))
}
