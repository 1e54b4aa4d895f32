//! Networks of tasks.

use std::ffi::{CString, c_char};
use std::ptr;

use hyperloom::Prediction;
use hyperloom::data::Table;
use hyperloom::data::format::Format;
use hyperloom::experiment::files::Adapted;

use crate::arguments::{array, array_mut, handle, place, text};
use crate::device::Device;
use crate::failure::{Failure, Outcome, Status, guarded, looked_at};
use crate::model::table;
use crate::text::Text;

/// The network of one task, or several whose predictions are averaged. Any number of threads may use one at once.
#[derive(Debug)]
pub struct Network {
    adapted: Adapted,
    /// Whether it is known how tables are read.
    reads_tables: bool,
    classes: Vec<CString>,
}

impl Network {
    pub(crate) fn handle(adapted: Adapted, reads_tables: bool) -> *mut Network {
        let named = reads_tables && adapted.network.likelihood.has_classes();
        let classes = if named { adapted.format.classes() } else { vec![] };
        let classes =
            classes.into_iter().map(|c| CString::new(c.replace('\0', "")).unwrap_or_default()).collect();
        Box::into_raw(Box::new(Network { adapted, reads_tables, classes }))
    }

    /// What reads tables.
    fn tables(&self) -> Outcome<&Adapted> {
        let unread = "the network's model says nothing of tables: open its run folder, or hand over numbers";
        self.reads_tables.then_some(&self.adapted).ok_or_else(|| Failure::argument(unread))
    }
}

/// Opens a network that hl_network_save or `hyperloom adapt` wrote.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_open(path: *const c_char, network: *mut *mut Network) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        let (path, place) = unsafe { (text(path, "path")?, place(network, "network")?) };
        *place = ptr::null_mut();
        *place = Network::handle(Adapted::load(path)?, true);
        Ok(())
    })
}

/// Writes a network to a file (safetensors), whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_save(network: *const Network, path: *const c_char) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        let (network, path) = unsafe { (handle(network, "network")?, text(path, "path")?) };
        Ok(network.tables()?.save(path)?)
    })
}

/// Numbers of a row of inputs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_inputs(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    unsafe { looked_at(network, 0, |network| network.adapted.network.spec.inputs()) }
}

/// Numbers that are said of a row.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_outputs(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    unsafe { looked_at(network, 0, |network| network.adapted.network.likelihood.outputs) }
}

/// The name of a class, where classes are told apart and have names; else NULL. Valid as long as the network.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_class(network: *const Network, index: usize) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe {
        looked_at(network, ptr::null(), |network| {
            network.classes.get(index).map_or(ptr::null(), |c| c.as_ptr())
        })
    }
}

/// What brings a predicted value back to the target's own units: mean + std * value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_target_scale(
    network: *const Network,
    mean: *mut f64,
    std: *mut f64,
) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        let (network, mean, std) =
            unsafe { (handle(network, "network")?, place(mean, "mean")?, place(std, "std")?) };
        (*mean, *std) = network.adapted.format.target_scale();
        Ok(())
    })
}

/// What the network says of rows x, rows times hl_network_inputs numbers: y gets rows times hl_network_outputs, values in the networks' units or logarithms
/// of class probabilities. y_length: numbers that y has room for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_predict(
    network: *const Network,
    device: *const Device,
    x: *const f32,
    rows: usize,
    y: *mut f32,
    y_length: usize,
) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        unsafe {
            let (network, device) = (handle(network, "network")?, handle(device, "device")?);
            let (i, o) = (network.adapted.network.spec.inputs(), network.adapted.network.likelihood.outputs);
            let (Some(numbers), Some(needed)) = (rows.checked_mul(i), rows.checked_mul(o)) else {
                return Err(Failure::argument(format!("there cannot be {rows} rows")));
            };
            if y_length < needed {
                let message = format!("y has room for {y_length} numbers, and {rows} rows of {o} are said");
                return Err(Failure::argument(message));
            }
            let (x, y) = (array(x, numbers, "x")?, array_mut(y, needed, "y")?);
            if rows > 0 {
                y.copy_from_slice(&network.adapted.network.predict(&device.device, x)?);
            }
            Ok(())
        }
    })
}

/// Predicts the rows of a table in the data's own columns and units: CSV of length bytes. predicted is the table with columns beside its own, as
/// `hyperloom predict` writes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_predict_table(
    network: *const Network,
    device: *const Device,
    csv: *const c_char,
    length: usize,
    predicted: *mut *mut Text,
) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        unsafe {
            let place = place(predicted, "predicted")?;
            *place = ptr::null_mut();
            let (network, device) = (handle(network, "network")?, handle(device, "device")?);
            let query = table(csv, length, "query")?;
            let adapted = network.tables()?;
            let found = adapted.predict(&device.device, &query)?;
            *place = predictions(&adapted.format, &query, &found, None)?;
            Ok(())
        }
    })
}

/// The rows of a table as the numbers that the network reads, so that they can be kept and asked about by hl_network_predict. rows gets their number; x has room for x_length numbers (NULL: only
/// rows is asked for).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_encode(
    network: *const Network,
    csv: *const c_char,
    length: usize,
    x: *mut f32,
    x_length: usize,
    rows: *mut usize,
) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        unsafe {
            let (network, rows) = (handle(network, "network")?, place(rows, "rows")?);
            *rows = 0;
            let found = network.tables()?.format.inputs(&table(csv, length, "query")?)?;
            let count = found.len() / network.adapted.network.spec.inputs();
            if !x.is_null() {
                if x_length < found.len() {
                    let message =
                        format!("x has room for {x_length} numbers, and {count} rows are {}", found.len());
                    return Err(Failure::argument(message));
                }
                array_mut(x, found.len(), "x")?.copy_from_slice(&found);
            }
            *rows = count;
            Ok(())
        }
    })
}

/// How many networks there are, whose predictions are averaged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_members(network: *const Network) -> usize {
    // SAFETY: the caller's promise.
    unsafe { looked_at(network, 0, |network| network.adapted.network.members.len()) }
}

/// The weights of one of them, count numbers that stay the network's and are valid as long as it, and its share in what is said. Shares sum to one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_weights(
    network: *const Network,
    member: usize,
    weights: *mut *const f32,
    count: *mut usize,
    share: *mut f64,
) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        unsafe {
            let (all, weights) = (&handle(network, "network")?.adapted.network, place(weights, "weights")?);
            let (count, share) = (place(count, "count")?, place(share, "share")?);
            let Some(found) = all.members.get(member) else {
                let message = format!("member is {member}, and there are {}", all.members.len());
                return Err(Failure::argument(message));
            };
            (*weights, *count, *share) = (found.as_ptr(), found.len(), all.shares[member]);
            Ok(())
        }
    })
}

/// Writes a network as a program for others: a header of C99 (.h), a Rust module (.rs) or an ONNX file (.onnx), by the path's ending.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_export(network: *const Network, path: *const c_char) -> Status {
    guarded(|| {
        // SAFETY: the caller's promises.
        let (network, path) = unsafe { (handle(network, "network")?, text(path, "path")?) };
        // Numbers are all that goes out.
        let adapted = Adapted { network: network.adapted.network.clone(), format: Format::plain(&[], &[]) };
        Ok(adapted.export(path)?)
    })
}

/// Frees a network; NULL is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hl_network_free(network: *mut Network) {
    if !network.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(network) });
    }
}

/// A query with what is said of its rows, handed out.
pub(crate) fn predictions(
    format: &Format,
    query: &Table,
    found: &Prediction,
    half: Option<&[f32]>,
) -> Outcome<*mut Text> {
    let rows = format.rows_of(query)?;
    let csv = format.predictions(&rows, &found.values, half, &found.disagreement)?;
    Ok(Box::into_raw(Box::new(Text::of(csv))))
}
