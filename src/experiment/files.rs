//! Support and query rows in tables: read for a trained model, and predicted in the data's own units, every group by the network of its own rows.

use std::collections::HashMap;
use std::path::Path;

use super::forecasts::{Forecaster, forecast, support_of_series};
use super::run_folder::{RunFolder, network_of, save_network};
use crate::checkpoint::save_tensors;
use crate::data::Table;
use crate::data::csv::group_rows;
use crate::data::format::Format;
use crate::error::{Error, Result};
use crate::export::{C, Language, Program, Rust, check_name, program_of, program_of_model, torch_of};
use crate::files::write_atomically;
use crate::meta::model::{Model, Network, Prediction};
use crate::run::Device;
use crate::task::Task;

/// A trained model, and how tables are read for it: rows in the data's own columns and units go in.
///
/// ```no_run
/// use hyperloom::experiment::files::Trained;
/// use hyperloom::{Device, Result};
/// use hyperloom::data::Table;
///
/// fn main() -> Result<()> {
///     let trained = Trained::load("runs/first")?;
///     let known = Table::parse("known", b"soil,week,height\nsand,1,2.5\nsand,3,6.0\n")?;
///     let adapted = trained.adapt(&Device::Cpu, &known, None)?;
///     let asked = Table::parse("asked", b"soil,week\nsand,8\n")?;
///     let said = adapted.predict(&Device::Cpu, &asked)?;
///     // The same rows with a column 'prediction' in the target's own units.
///     println!("{}", String::from_utf8_lossy(&adapted.format.predictions(&asked, &said.values, None, &[])?));
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The model.
    pub model: Model,
    /// How tables are read.
    pub format: Format,
}

/// The network of one task, and how tables are read for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapted {
    /// The network.
    pub network: Network,
    /// How tables are read.
    pub format: Format,
}

impl Trained {
    /// The model of a finished run.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the folder holds none.
    pub fn load(run: impl AsRef<Path>) -> Result<Trained> {
        let (model, format) = RunFolder::open(run.as_ref())?.model()?;
        Ok(Trained { model, format })
    }

    /// The network of one new task, from its known rows (of a series its points), after `steps` steps; `None`: as many as were chosen.
    ///
    /// # Errors
    /// [`Error::Data`] naming line and column, and those of [`Model::adapt`].
    pub fn adapt(&self, device: &Device, support: &Table, steps: Option<usize>) -> Result<Adapted> {
        let task = support_of_table(&self.model, &self.format, support)?;
        Ok(self.adapted(self.model.adapt(device, &task, steps)?))
    }

    /// The networks of many tasks, which learn side by side: of every group of the table one, with its name.
    ///
    /// # Errors
    /// As [`Trained::adapt`]; also where models of this kind know no groups, or the table lacks their column.
    pub fn adapt_groups(
        &self,
        device: &Device,
        support: &Table,
        steps: Option<usize>,
    ) -> Result<Vec<(String, Adapted)>> {
        let Some(column) = self.format.group() else {
            let message = "the model knows no column that tells tasks apart: adapt it to the rows of one";
            return Err(Error::data(support.path(), "", message));
        };
        let groups = group_rows(support, column)?;
        let one = |rows: &Vec<usize>| {
            let columns: Vec<usize> = (0..support.columns().len()).collect();
            support_of_table(&self.model, &self.format, &support.picked(rows, &columns))
        };
        let tasks = groups.iter().map(|(_, rows)| one(rows)).collect::<Result<Vec<Task>>>()?;
        let networks = self.model.adapt_many(device, &tasks, steps)?;
        Ok(groups
            .into_iter()
            .map(|(name, _)| name)
            .zip(networks.into_iter().map(|n| self.adapted(n)))
            .collect())
    }

    /// Writes all of it as a program for others, which makes networks of up to `rows` support rows: as [`Adapted::export`] does it with one of them ([`program_of_model`]).
    ///
    /// # Errors
    /// Those of [`Adapted::export`], and where so many rows, or the way of adaptation, have no counterpart there.
    pub fn export(&self, path: impl AsRef<Path>, rows: usize, steps: Option<usize>) -> Result<()> {
        write_program(path.as_ref(), |name| program_of_model(name, &self.model, rows, steps))
    }

    fn adapted(&self, network: Network) -> Adapted {
        Adapted { network, format: self.format.clone() }
    }

    /// What it says about every row of a query: [`predict_table`].
    ///
    /// # Errors
    /// Those of [`predict_table`].
    pub fn predict(
        &self,
        device: &Device,
        support: Option<&Table>,
        query: &Table,
        steps: Option<usize>,
    ) -> Result<Prediction> {
        predict_table(device, &self.model, &self.format, support, query, steps)
    }
}

impl Adapted {
    /// The network in a file that [`Adapted::save`] or `hyperloom adapt` wrote, or of a run of a single task.
    ///
    /// # Errors
    /// Those of [`network_of`].
    pub fn load(path: impl AsRef<Path>) -> Result<Adapted> {
        let (network, format) = network_of(path.as_ref())?;
        Ok(Adapted { network, format })
    }

    /// Writes it to a file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save_network(path.as_ref(), &self.network, &self.format)
    }

    /// Writes it as a program for others: a header of C99 (`.h`), a Rust module (`.rs`), an ONNX file (`.onnx`) or a PyTorch module with a safetensors file beside it (`.py`), by the
    /// path's ending; its functions are named by the file ([`program_of`], [`torch_of`]).
    ///
    /// # Errors
    /// [`Error::Config`] where the ending is none of these or the name is none in C, [`Error::Shape`] where the network reads more than one row at a time.
    pub fn export(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        if path.extension().is_some_and(|e| e == "py") {
            let (text, state) = torch_of(&["Written by hyperloom.".into()], &self.network)?;
            save_tensors(&path.with_extension("safetensors"), &state, &[("format", "pt")])?;
            return write_atomically(path, text.as_bytes());
        }
        write_program(path, |name| program_of(name, &self.network))
    }

    /// What it says about every row of a query; of a series, whose rows are points in time, about each from those before it.
    ///
    /// # Errors
    /// [`Error::Data`] naming line and column, and those of the device.
    pub fn predict(&self, device: &Device, query: &Table) -> Result<Prediction> {
        match &self.format {
            Format::Series(series) => {
                forecast(device, Forecaster::Network(&self.network), series, None, query, None)
            }
            format => self.network.prediction(device, &format.inputs(query)?),
        }
    }
}

/// Writes a program that is named by its file in the language that the file's ending says.
fn write_program(path: &Path, of: impl FnOnce(&str) -> Result<Program>) -> Result<()> {
    let wrong = |message: String| Error::config(path.display().to_string(), message);
    let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
    let language: Option<&dyn Language> = match &*ending {
        "h" => Some(&C),
        "rs" => Some(&Rust),
        "onnx" => None,
        _ => {
            return Err(wrong(
                "says nothing of a language: end it in .h, .rs or .onnx, a network also in .py".into(),
            ));
        }
    };
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    check_name(&name).map_err(wrong)?;
    let program = of(&name)?;
    let bytes = match language {
        Some(language) => program.text(language)?.into_bytes(),
        None => program.onnx(&[])?,
    };
    write_atomically(path, &bytes)
}

/// What a model says about every row of a query file (of whole series: each of these; of series what comes next: [`forecast`]): each group by the network of its own support rows, the rest by the pooled one,
/// whose deviations are not known (NaN). `steps` of adaptation; `None`: as was chosen on validation tasks.
///
/// # Errors
/// [`Error::Data`] naming line and column of a file, and those of the device.
pub fn predict_table(
    device: &Device,
    model: &Model,
    format: &Format,
    support: Option<&Table>,
    query: &Table,
    steps: Option<usize>,
) -> Result<Prediction> {
    if let Format::Series(series) = format {
        return forecast(device, Forecaster::Model(model), series, support, query, steps);
    }
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

/// A table's rows as the support of one task; of a series its points.
///
/// # Errors
/// [`Error::Data`] naming line and column.
pub fn support_of_table(model: &Model, format: &Format, table: &Table) -> Result<Task> {
    if let Format::Series(series) = format {
        return support_of_series(series, table);
    }
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
