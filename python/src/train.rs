//! Training, watched from Python.

use std::path::PathBuf;

use hyperloom::experiment::pictures;
use hyperloom::{Config, Experiment, Observer, Progress, RunStatus};
use pyo3::prelude::*;

use crate::device::Device;
use crate::errors::{check_process, named, raised};

/// Who watches: a callable of Python's, and Ctrl-C.
struct Watch {
    progress: Option<Py<PyAny>>,
    /// What Python raised meanwhile.
    raised: Option<PyErr>,
}

impl Observer for Watch {
    fn progress(&mut self, p: &Progress<'_>) {
        if self.raised.is_some() {
            return;
        }
        self.raised = Python::attach(|py| {
            py.check_signals()?;
            if let Some(progress) = &self.progress {
                progress.call1(py, (p.phase, p.step, p.steps, p.loss, p.tasks_per_second, p.unit))?;
            }
            Ok(())
        })
        .err();
    }

    fn stop(&self) -> bool {
        self.raised.is_some()
    }
}

/// Trains a run in a folder by settings as JSON (`None`: goes on with what is there), and gives its report as JSON.
#[pyfunction]
#[pyo3(signature = (settings, out, device, progress, tensorboard))]
pub(crate) fn train(
    py: Python<'_>,
    settings: Option<&str>,
    out: PathBuf,
    device: &Device,
    progress: Option<Py<PyAny>>,
    tensorboard: bool,
) -> PyResult<String> {
    check_process()?;
    let config = match settings {
        Some(json) => Config::parse(&toml_of(json)?, "settings", None),
        None => Config::read(&out.join("config.toml"), None),
    };
    let mut config = config.map_err(|e| raised(&e))?;
    config.device = device.device.kind().into();
    let mut watch = Watch { progress, raised: None };
    let done = py.detach(|| {
        let mut run = Experiment::open(&config, &device.device, &out, settings.is_none())?;
        if tensorboard {
            run.write_events();
        }
        let status = run.run(&mut watch)?;
        if let RunStatus::Finished(report) = &status {
            pictures::draw(&run, report)?;
        }
        Ok(status)
    });
    match (done.map_err(|e| raised(&e))?, watch.raised) {
        (_, Some(raised)) => Err(raised),
        (RunStatus::Finished(report), None) => {
            serde_json::to_string(&report).map_err(|e| named("HyperloomError", e.to_string()))
        }
        (RunStatus::Stopped(_), None) => Err(named("HyperloomError", "the run was stopped".into())),
    }
}

/// Settings as a file of settings has them.
fn toml_of(json: &str) -> PyResult<String> {
    let wrong = |e: String| named("SettingError", format!("settings: {e}"));
    let value: serde_json::Value = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
    let value = toml::Value::try_from(&value).map_err(|e| wrong(e.to_string()))?;
    toml::to_string(&value).map_err(|e| wrong(e.to_string()))
}
