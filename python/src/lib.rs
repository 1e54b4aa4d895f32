//! The native part of the Python package: models, networks, devices and training. What Python gets to see is in `package/hyperloom/`.

mod device;
mod errors;
mod model;
mod network;
mod train;

use pyo3::prelude::*;

/// The native part of hyperloom.
#[pymodule]
fn _hyperloom(m: &Bound<'_, PyModule>) -> PyResult<()> {
    pyo3_log::init();
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_class::<device::Device>()?;
    m.add_class::<model::Model>()?;
    m.add_class::<network::Network>()?;
    m.add_function(wrap_pyfunction!(train::train, m)?)?;
    Ok(())
}
