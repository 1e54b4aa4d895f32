//! Trained models.

use std::path::PathBuf;

use hyperloom::data::Table;
use hyperloom::data::format::Format;
use hyperloom::experiment::files::{Adapted, Trained};
use hyperloom::{Prediction, Task};
use numpy::{PyArray1, PyArray2, PyReadonlyArrayDyn};
use pyo3::prelude::*;

use crate::device::Device;
use crate::errors::{apart, named};
use crate::network::{Network, outputs};

/// A trained model, and how its tables are read.
#[pyclass(frozen, module = "hyperloom._hyperloom")]
#[derive(Debug)]
pub struct Model {
    trained: Trained,
    reads_tables: bool,
}

/// Predictions `[rows, outputs]`; deviations, disagreements and half widths of intervals `[rows]`, where there are any: all in the networks' units.
pub(crate) type Said<'py> = (
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<f32>>,
    Option<Bound<'py, PyArray1<f32>>>,
    Option<Bound<'py, PyArray1<f32>>>,
);

/// Arrays of a task: inputs, targets, descriptor.
type Arrays<'py> =
    (PyReadonlyArrayDyn<'py, f32>, PyReadonlyArrayDyn<'py, f32>, Option<PyReadonlyArrayDyn<'py, f32>>);

#[pymethods]
impl Model {
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Model> {
        apart(py, || {
            let reads_tables = !path.is_file();
            let trained = match reads_tables {
                true => Trained::load(&path)?,
                false => Trained { model: hyperloom::Model::open(&path)?, format: Format::plain(&[], &[]) },
            };
            Ok(Model { trained, reads_tables })
        })
    }

    /// Numbers of a row of inputs.
    #[getter]
    fn inputs(&self) -> usize {
        self.trained.model.spec.target.inputs()
    }

    /// Numbers of a row of targets.
    #[getter]
    fn outputs(&self) -> usize {
        self.trained.model.likelihood.outputs
    }

    /// Numbers that describe a task.
    #[getter]
    fn descriptor(&self) -> usize {
        self.trained.model.spec.condition.descriptor
    }

    /// Steps that were chosen.
    #[getter]
    fn steps(&self) -> usize {
        self.trained.model.choice.steps
    }

    /// Networks whose predictions are averaged.
    #[getter]
    fn members(&self) -> usize {
        self.trained.model.members.len()
    }

    /// The column that tells tasks apart.
    #[getter]
    fn group(&self) -> Option<String> {
        self.trained.format.group().map(str::to_string)
    }

    /// The column that is predicted.
    #[getter]
    fn target(&self) -> Option<String> {
        Some(self.trained.format.target().to_string()).filter(|name| !name.is_empty())
    }

    /// Names of classes; `None` where values are predicted.
    #[getter]
    fn classes(&self) -> Option<Vec<String>> {
        classes(&self.trained.format, self.trained.model.likelihood.has_classes(), self.reads_tables)
    }

    /// Mean and standard deviation that values are brought back by.
    #[getter]
    fn target_scale(&self) -> (f64, f64) {
        self.trained.format.target_scale()
    }

    /// The networks of tasks given as arrays, side by side.
    #[pyo3(signature = (device, tasks, steps))]
    fn adapt(
        &self,
        py: Python<'_>,
        device: &Device,
        tasks: Vec<Arrays<'_>>,
        steps: Option<usize>,
    ) -> PyResult<Vec<Network>> {
        let numbers = |array: &PyReadonlyArrayDyn<'_, f32>| Ok::<_, PyErr>(array.as_slice()?.to_vec());
        let mut all = Vec::with_capacity(tasks.len());
        for (x, y, descriptor) in &tasks {
            let mut task = Task::from_support(numbers(x)?, numbers(y)?);
            task.descriptor = descriptor.as_ref().map_or(Ok(vec![]), numbers)?;
            all.push(task);
        }
        drop(tasks);
        let networks = apart(py, || self.trained.model.adapt_many(&device.device, &all, steps))?;
        let network = |network| Network {
            adapted: Adapted { network, format: self.trained.format.clone() },
            reads_tables: self.reads_tables,
        };
        Ok(networks.into_iter().map(network).collect())
    }

    /// The network of one task, from a table as CSV.
    #[pyo3(signature = (device, support, steps))]
    fn adapt_table(
        &self,
        py: Python<'_>,
        device: &Device,
        support: &[u8],
        steps: Option<usize>,
    ) -> PyResult<Network> {
        self.check_tables()?;
        let adapted =
            apart(py, || self.trained.adapt(&device.device, &Table::parse("support", support)?, steps))?;
        Ok(Network { adapted, reads_tables: true })
    }

    /// The network of each group of a table as CSV.
    #[pyo3(signature = (device, support, steps))]
    fn adapt_groups(
        &self,
        py: Python<'_>,
        device: &Device,
        support: &[u8],
        steps: Option<usize>,
    ) -> PyResult<Vec<(String, Network)>> {
        self.check_tables()?;
        let all = apart(py, || {
            self.trained.adapt_groups(&device.device, &Table::parse("support", support)?, steps)
        })?;
        Ok(all.into_iter().map(|(name, adapted)| (name, Network { adapted, reads_tables: true })).collect())
    }

    /// What is said about the rows of a table as CSV, each group by the network of its own support rows; with a level half the widths of intervals, too.
    #[pyo3(signature = (device, support, query, steps, level))]
    fn predict_table<'py>(
        &self,
        py: Python<'py>,
        device: &Device,
        support: Option<&[u8]>,
        query: &[u8],
        steps: Option<usize>,
        level: Option<f64>,
    ) -> PyResult<Said<'py>> {
        self.check_tables()?;
        let found = apart(py, || {
            let support = support.map(|csv| Table::parse("support", csv)).transpose()?;
            self.trained.predict(&device.device, support.as_ref(), &Table::parse("query", query)?, steps)
        })?;
        let half = match level {
            None => None,
            Some(level) => Some(found.half_widths(level).ok_or_else(|| {
                let why =
                    "there are no intervals: they are of values, with support rows and the chosen steps";
                named("SettingError", why.into())
            })?),
        };
        said(py, found, half, self.outputs())
    }

    /// Writes the model as a program for others.
    #[pyo3(signature = (path, support_rows, steps))]
    fn export(
        &self,
        py: Python<'_>,
        path: PathBuf,
        support_rows: usize,
        steps: Option<usize>,
    ) -> PyResult<()> {
        apart(py, || self.trained.export(&path, support_rows, steps))
    }

    /// Writes the model to a file, without the way tables are read.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        apart(py, || self.trained.model.save(&path))
    }
}

impl Model {
    fn check_tables(&self) -> PyResult<()> {
        check_tables(self.reads_tables)
    }
}

/// Refuses tables where nothing is known of them.
pub(crate) fn check_tables(reads: bool) -> PyResult<()> {
    let why = "the model's file says nothing of tables: open its run folder, or hand over arrays";
    if reads { Ok(()) } else { Err(named("ShapeError", why.into())) }
}

/// Names of classes, where there are any.
pub(crate) fn classes(format: &Format, has_classes: bool, known: bool) -> Option<Vec<String>> {
    (has_classes && known).then(|| format.classes())
}

/// A prediction as arrays.
pub(crate) fn said<'py>(
    py: Python<'py>,
    found: Prediction,
    half: Option<Vec<f32>>,
    width: usize,
) -> PyResult<Said<'py>> {
    let Prediction { values, deviation, disagreement, .. } = found;
    let array = |v: Vec<f32>| PyArray1::from_vec(py, v);
    let disagreement = (!disagreement.is_empty()).then(|| array(disagreement));
    Ok((outputs(py, values, width)?, array(deviation), disagreement, half.map(array)))
}
