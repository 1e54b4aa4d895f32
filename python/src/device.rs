//! Where things are computed.

use pyo3::prelude::*;

use crate::errors::apart;

/// A GPU, or the CPU path.
#[pyclass(frozen, module = "hyperloom")]
#[derive(Debug)]
pub struct Device {
    pub(crate) device: hyperloom::Device,
    /// Why it was taken.
    #[pyo3(get)]
    reason: String,
}

#[pymethods]
impl Device {
    #[new]
    #[pyo3(signature = (request = "auto"))]
    fn new(py: Python<'_>, request: &str) -> PyResult<Device> {
        let (device, reason) = apart(py, || hyperloom::Device::choose(request))?;
        Ok(Device { device, reason })
    }

    #[getter]
    fn name(&self) -> String {
        self.device.name()
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.device.kind()
    }

    fn __repr__(&self) -> String {
        format!("<hyperloom.Device {}>", self.device.name())
    }
}
