//! Networks of tasks.

use std::path::PathBuf;

use hyperloom::data::Table;
use hyperloom::experiment::files::Adapted;
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;

use crate::device::Device;
use crate::errors::apart;
use crate::model::{Said, check_tables, classes, said};

/// The network of one task, and how its tables are read.
#[pyclass(frozen, module = "hyperloom._hyperloom")]
#[derive(Debug)]
pub struct Network {
    pub(crate) adapted: Adapted,
    pub(crate) reads_tables: bool,
}

#[pymethods]
impl Network {
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Network> {
        let adapted = apart(py, || Adapted::load(&path))?;
        Ok(Network { adapted, reads_tables: true })
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        check_tables(self.reads_tables)?;
        apart(py, || self.adapted.save(&path))
    }

    /// Writes the network as a program for others.
    fn export(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        apart(py, || self.adapted.export(&path))
    }

    #[getter]
    fn inputs(&self) -> usize {
        self.adapted.network.spec.inputs()
    }

    #[getter]
    fn outputs(&self) -> usize {
        self.adapted.network.likelihood.outputs
    }

    #[getter]
    fn classes(&self) -> Option<Vec<String>> {
        classes(&self.adapted.format, self.adapted.network.likelihood.has_classes(), self.reads_tables)
    }

    #[getter]
    fn target_scale(&self) -> (f64, f64) {
        self.adapted.format.target_scale()
    }

    /// Weights of each network and its share in what is said.
    fn weights<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyArray1<f32>>, f64)> {
        let network = &self.adapted.network;
        network.members.iter().zip(&network.shares).map(|(w, s)| (PyArray1::from_slice(py, w), *s)).collect()
    }

    /// What is said of rows, `[rows, inputs]` to `[rows, outputs]`.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        device: &Device,
        x: PyReadonlyArrayDyn<'_, f32>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let x = x.as_slice()?;
        let y = apart(py, || match x.is_empty() {
            true => Ok(vec![]),
            false => self.adapted.network.predict(&device.device, x),
        })?;
        outputs(py, y, self.outputs())
    }

    /// What is said about the rows of a table as CSV.
    fn predict_table<'py>(&self, py: Python<'py>, device: &Device, query: &[u8]) -> PyResult<Said<'py>> {
        check_tables(self.reads_tables)?;
        let found = apart(py, || self.adapted.predict(&device.device, &Table::parse("query", query)?))?;
        said(py, found, None, self.outputs())
    }

    /// The rows of a table as the numbers that the network reads, `[rows, inputs]`.
    fn encode<'py>(&self, py: Python<'py>, table: &[u8]) -> PyResult<Bound<'py, PyArray2<f32>>> {
        check_tables(self.reads_tables)?;
        let x = apart(py, || self.adapted.format.inputs(&Table::parse("rows", table)?))?;
        outputs(py, x, self.inputs())
    }
}

/// Numbers as rows, without a copy.
pub(crate) fn outputs(py: Python<'_>, y: Vec<f32>, width: usize) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let rows = y.len() / width.max(1);
    PyArray1::from_vec(py, y).reshape([rows, width])
}
