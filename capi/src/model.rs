//! Trained models.

use std::ffi::c_char;
use std::path::Path;
use std::ptr;

use hyperloom::data::Table;
use hyperloom::data::format::Format;
use hyperloom::experiment::files::{Adapted, Trained};

use crate::arguments::{array, array_mut, handle, options, place, text};
use crate::device::Device;
use crate::failure::{Failure, Outcome, Status, guarded, looked_at};
use crate::network::{Network, predictions};
use crate::text::Text;

/// A trained model: from the known rows of a task it makes the task's network. Any number of threads may use one at once.
#[derive(Debug)]
pub struct Model {
    trained: Trained,
    /// Whether its file says how tables are read.
    reads_tables: bool,
}

impl Model {
    /// What reads tables.
    fn tables(&self) -> Outcome<&Trained> {
        let unread = "the model's file says nothing of tables: open its run folder, or hand over numbers";
        self.reads_tables.then_some(&self.trained).ok_or_else(|| Failure::argument(unread))
    }
}

/// The known rows of a task, as numbers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Inputs, rows times hl_model_inputs.
    support_x: *const f32,
    /// Targets, rows times hl_model_outputs: values in the networks' units, of classes a 1 for the class of a row, else 0.
    support_y: *const f32,
    /// How many rows.
    rows: usize,
    /// hl_model_descriptor numbers that describe the task; NULL where that is 0.
    descriptor: *const f32,
}

/// How a model adapts.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AdaptOptions {
    /// sizeof(hl_adapt_options)
    size: usize,
    /// Steps of adaptation; -1: as many as were chosen on validation tasks.
    steps: i64,
}

impl Default for AdaptOptions {
    fn default() -> AdaptOptions {
        AdaptOptions { size: size_of::<AdaptOptions>(), steps: -1 }
    }
}

/// How rows of a table are predicted.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PredictOptions {
    /// sizeof(hl_predict_options)
    size: usize,
    /// Steps of adaptation; -1: as many as were chosen on validation tasks.
    steps: i64,
    /// Share of rows that intervals cover, .1 to .95, of values with chosen steps; 0: no intervals.
    interval: f64,
}

impl Default for PredictOptions {
    fn default() -> PredictOptions {
        PredictOptions { size: size_of::<PredictOptions>(), steps: -1, interval: 0.0 }
    }
}

/// Steps of adaptation at most.
const MOST_STEPS: i64 = 100_000;

fn steps(steps: i64) -> Outcome<Option<usize>> {
    match steps {
        -1 => Ok(None),
        0..=MOST_STEPS => Ok(Some(steps as usize)),
        _ => {
            let message = format!("steps is {steps}: 0 to {MOST_STEPS}, or -1 for as many as were chosen");
            Err(Failure::argument(message))
        }
    }
}

/// Opens a trained model: a run folder of `hyperloom train`, or a file that `Model::save` wrote.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_model_open(path: *const c_char, model: *mut *mut Model) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        let (path, place) = unsafe { (Path::new(text(path, "path")?), place(model, "model")?) };
        *place = ptr::null_mut();
        let reads_tables = !path.is_file();
        let trained = match reads_tables {
            true => Trained::load(path)?,
            false => Trained { model: hyperloom::Model::open(path)?, format: Format::plain(&[], &[]) },
        };
        *place = Box::into_raw(Box::new(Model { trained, reads_tables }));
        Ok(())
    })
}

/// Numbers of a row of inputs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_model_inputs(model: *const Model) -> usize {
    // SAFETY: the caller's promise.
    unsafe { looked_at(model, 0, |model| model.trained.model.spec.target.inputs()) }
}

/// Numbers of a row of targets, and of what is said of one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_model_outputs(model: *const Model) -> usize {
    // SAFETY: the caller's promise.
    unsafe { looked_at(model, 0, |model| model.trained.model.likelihood.outputs) }
}

/// Numbers that describe a task; 0 where the model reads none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_model_descriptor(model: *const Model) -> usize {
    // SAFETY: the caller's promise.
    unsafe { looked_at(model, 0, |model| model.trained.model.spec.condition.descriptor) }
}

/// The steps of adaptation that were chosen on validation tasks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_model_steps(model: *const Model) -> usize {
    // SAFETY: the caller's promise.
    unsafe { looked_at(model, 0, |model| model.trained.model.choice.steps) }
}

/// The network of one task. With options NULL as many steps as were chosen.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_model_adapt(
    model: *const Model,
    device: *const Device,
    task: *const Task,
    options: *const AdaptOptions,
    network: *mut *mut Network,
) -> Status {
    // SAFETY: one task is an array of one.
    unsafe { hl_model_adapt_many(model, device, task, 1, options, network) }
}

/// The networks of many tasks, which learn side by side: far faster than one call for each. networks has room for count handles; where the call
/// fails, all of them are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_model_adapt_many(
    model: *const Model,
    device: *const Device,
    tasks: *const Task,
    count: usize,
    options: *const AdaptOptions,
    networks: *mut *mut Network,
) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        unsafe {
            let places = array_mut(networks, count, "networks")?;
            places.fill(ptr::null_mut());
            let (model, device) = (handle(model, "model")?, handle(device, "device")?);
            let options = self::options(options, "options")?;
            let tasks = array(tasks, count, "tasks")?;
            let tasks =
                tasks.iter().map(|task| task_of(&model.trained.model, task)).collect::<Outcome<Vec<_>>>()?;
            let found = model.trained.model.adapt_many(&device.device, &tasks, steps(options.steps)?)?;
            for (place, network) in places.iter_mut().zip(found) {
                let format = model.trained.format.clone();
                *place = Network::handle(Adapted { network, format }, model.reads_tables);
            }
            Ok(())
        }
    })
}

/// # Safety
/// Its arrays are as long as it says.
unsafe fn task_of(model: &hyperloom::Model, task: &Task) -> Outcome<hyperloom::Task> {
    let numbers = |width: usize| {
        let all = task.rows.checked_mul(width);
        all.ok_or_else(|| Failure::argument(format!("a task cannot have {} rows", task.rows)))
    };
    // SAFETY: the caller's promise.
    unsafe {
        let xs = array(task.support_x, numbers(model.spec.target.inputs())?, "support_x")?;
        let ys = array(task.support_y, numbers(model.likelihood.outputs)?, "support_y")?;
        let descriptor = array(task.descriptor, model.spec.condition.descriptor, "descriptor")?;
        let mut found = hyperloom::Task::from_support(xs.to_vec(), ys.to_vec());
        found.descriptor = descriptor.to_vec();
        Ok(found)
    }
}

/// The network of one task, from a table of its known rows in the data's own columns and units: CSV as `hyperloom adapt` reads it, of length bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_model_adapt_table(
    model: *const Model,
    device: *const Device,
    csv: *const c_char,
    length: usize,
    options: *const AdaptOptions,
    network: *mut *mut Network,
) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        unsafe {
            let place = place(network, "network")?;
            *place = ptr::null_mut();
            let (model, device) = (handle(model, "model")?, handle(device, "device")?);
            let options = self::options(options, "options")?;
            let table = table(csv, length, "support")?;
            let adapted = model.tables()?.adapt(&device.device, &table, steps(options.steps)?)?;
            *place = Network::handle(adapted, true);
            Ok(())
        }
    })
}

/// Predicts the rows of a table (query), each group by the network of its own rows in another (support; NULL: of nothing known). predicted is the
/// query with columns beside its own, as `hyperloom predict` writes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_model_predict_table(
    model: *const Model,
    device: *const Device,
    support: *const c_char,
    support_length: usize,
    query: *const c_char,
    query_length: usize,
    options: *const PredictOptions,
    predicted: *mut *mut Text,
) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        unsafe {
            let place = place(predicted, "predicted")?;
            *place = ptr::null_mut();
            let (model, device) = (handle(model, "model")?, handle(device, "device")?);
            let PredictOptions { steps: asked, interval, .. } = self::options(options, "options")?;
            let known =
                (!support.is_null()).then(|| table(support, support_length, "support")).transpose()?;
            let query = table(query, query_length, "query")?;
            let (trained, steps) = (model.tables()?, steps(asked)?);
            let found = trained.predict(&device.device, known.as_ref(), &query, steps)?;
            let half = match interval {
                0.0 => None,
                level if (0.1..=0.95).contains(&level) => {
                    Some(found.half_widths(level).ok_or_else(|| {
                        Failure::argument(
                            "there are no intervals: they are of values, with support rows and chosen steps",
                        )
                    })?)
                }
                level => {
                    return Err(Failure::argument(format!("interval is {level}: .1 to .95, or 0 for none")));
                }
            };
            *place = predictions(&trained.format, &query, &found, half.as_deref())?;
            Ok(())
        }
    })
}

/// A table of a caller.
///
/// # Safety
/// NULL, or so many bytes.
pub(crate) unsafe fn table(csv: *const c_char, length: usize, name: &str) -> Outcome<Table> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { array(csv.cast::<u8>(), length, name)? };
    Ok(Table::parse(name, bytes)?)
}

/// Writes the whole model as a program for others, which makes networks of up to support_rows rows: a header of C99 (.h), a Rust module (.rs) or an ONNX file (.onnx), by the
/// path's ending. Steps as in hl_adapt_options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_model_export(
    model: *const Model,
    path: *const c_char,
    support_rows: usize,
    options: *const AdaptOptions,
) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        let (model, path) = unsafe { (handle(model, "model")?, text(path, "path")?) };
        // SAFETY: as above.
        let options = unsafe { self::options(options, "options")? };
        Ok(model.trained.export(path, support_rows, steps(options.steps)?)?)
    })
}

/// Frees a model; NULL is none. Networks that it made stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_model_free(model: *mut Model) {
    if !model.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(model) });
    }
}
