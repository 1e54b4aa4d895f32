//! How files of support and query rows are read for a trained model, and predictions written: the
//! encoding of a CSV run, or plain named columns for the families that are generated.

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::encoder::{Encoder, TargetKind};
use super::labelled::{ChannelScale, Labelled, NONE};
use super::pairs::Pair;
use super::sequences::SequenceFormat;
use super::series::SeriesFormat;
use super::table::Table;
use super::text::Alphabet;
use crate::error::{Error, Result};
use crate::task::{Task, argmax, softmax};

/// How a model's files are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Format {
    /// Numbers as they are, in these columns.
    Plain {
        /// Input columns.
        inputs: Vec<String>,
        /// Target columns.
        outputs: Vec<String>,
    },
    /// Encoded as the training file was.
    Encoded(Encoder),
    /// Points in time as windows on the past.
    Series(SeriesFormat),
    /// Whole series of lines, each a row.
    Sequences(SequenceFormat),
    /// Pictures as fields: places and colours.
    Fields {
        /// Height, width and channels of those that were trained on.
        shape: [usize; 3],
    },
    /// Pictures whose pixels are 0 or 1, written from codes.
    Decoders {
        /// Height, width and channels.
        shape: [usize; 3],
        /// Numbers of a code.
        code: usize,
    },
    /// Texts as sequences of symbols.
    Text {
        /// The symbols.
        alphabet: Alphabet,
        /// How many a sequence has in training.
        length: usize,
        /// What tells the text that was trained on from another.
        digest: String,
        /// Whether a sequence is a pair: a source, a tab, a target and the end of the line.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pairs: bool,
        /// The columns of sources and targets, of pairs that tasks are made of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        columns: Option<[String; 2]>,
    },
    /// Pictures in folders, one for each class.
    Pictures {
        /// Height, width and channels that they are brought to.
        shape: [usize; 3],
        /// Classes that a network tells apart at most.
        ways: usize,
        /// Names of the classes, where they are known.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        classes: Vec<String>,
        /// What is taken off each channel, and what it is divided by; of none pixels are 0 to 1.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scales: Vec<ChannelScale>,
    },
}

impl Format {
    /// The pair that a row reads and is asked about; `None` where rows are no pairs.
    fn pair_of(&self, x: &[f32], labels: &[u32]) -> Option<Pair> {
        let Format::Text { alphabet, pairs: true, .. } = self else { return None };
        let text = |numbers: &[u32]| String::from_utf8_lossy(&alphabet.decode(numbers)).into_owned();
        let first = labels.iter().take_while(|label| **label == NONE).count();
        let read: Vec<u32> = x[..first].iter().map(|x| *x as u32).collect();
        let asked: Vec<u32> = labels.iter().copied().filter(|label| *label != NONE).collect();
        // The end of the line is no part of the target.
        Some(Pair { source: text(&read), target: text(&asked[..asked.len().saturating_sub(1)]) })
    }

    /// The pairs that some rows are; `None` where rows are none.
    pub(crate) fn pairs_of(&self, rows: &Labelled, among: &[usize]) -> Option<Vec<Pair>> {
        among.iter().map(|row| self.pair_of(&rows.inputs(&[*row]), rows.labels_of(*row))).collect()
    }

    /// The pairs that a task asks about; `None` where rows are none.
    pub(crate) fn pairs_asked(&self, task: &Task) -> Option<Vec<Pair>> {
        let Format::Text { alphabet, length, pairs: true, .. } = self else { return None };
        let kinds = alphabet.symbols().len();
        let label = |y: &[f32]| y.iter().position(|v| *v == 1.0).map_or(NONE, |c| c as u32);
        let labels: Vec<u32> = task.yq.chunks(kinds).map(label).collect();
        task.xq
            .chunks(*length)
            .zip(labels.chunks(*length))
            .map(|(x, labels)| self.pair_of(x, labels))
            .collect()
    }

    /// Numbers as they are, in columns of these names.
    pub fn plain(inputs: &[&str], outputs: &[&str]) -> Format {
        let names = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
        Format::Plain { inputs: names(inputs), outputs: names(outputs) }
    }

    /// Whether files are read as `other` has it; models of pictures were once written as if these were tables of pixels.
    pub(crate) fn agrees(&self, other: &Format) -> bool {
        match (self, other) {
            (Format::Plain { inputs, outputs }, Format::Pictures { shape, ways, .. }) => {
                inputs.len() == shape.iter().product::<usize>() && outputs.len() == *ways
            }
            _ => self == other,
        }
    }

    /// Checks what was read from `path`.
    pub fn validate(&self, path: &Path, inputs: usize, outputs: usize) -> Result<()> {
        let (i, o) = match self {
            Format::Plain { inputs, outputs } => (inputs.len(), outputs.len()),
            Format::Encoded(e) => {
                e.validate(path)?;
                (e.inputs(), e.outputs())
            }
            Format::Series(series) => {
                series.validate(path)?;
                (series.length() * series.channels(), 1)
            }
            Format::Sequences(series) => {
                series.validate(path)?;
                (series.length() * series.channels(), series.encoder().outputs())
            }
            Format::Fields { shape } => (2, shape[2]),
            Format::Decoders { shape, code } => {
                let numbers = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).unwrap_or(0);
                (numbers.saturating_add(*code), numbers.saturating_add(1))
            }
            Format::Text { alphabet, length, .. } => {
                if !alphabet.is_sound() {
                    return Err(Error::checkpoint(path, "its alphabet is not possible"));
                }
                (*length, length.saturating_mul(alphabet.symbols().len()))
            }
            Format::Pictures { shape, ways, classes, scales } => {
                let sound = |s: &ChannelScale| s.iter().all(|v| v.is_finite()) && s[1] > 0.0;
                if !(scales.is_empty() || scales.len() == shape[2]) || !scales.iter().all(sound) {
                    return Err(Error::checkpoint(path, "its scales of channels are not possible"));
                }
                if classes.len() > *ways {
                    let message = format!("its network has {ways} outputs and {} classes", classes.len());
                    return Err(Error::checkpoint(path, message));
                }
                (shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).unwrap_or(0), *ways)
            }
        };
        if (i, o) != (inputs, outputs) {
            let message = format!(
                "its files give {i} inputs and {o} outputs, but its network has {inputs} and {outputs}"
            );
            return Err(Error::checkpoint(path, message));
        }
        Ok(())
    }

    /// Inputs `[rows, i]` of a file.
    ///
    /// # Errors
    /// [`Error::Data`] naming line and column.
    pub fn inputs(&self, table: &Table) -> Result<Vec<f32>> {
        match self {
            Format::Plain { inputs, .. } => numbers(table, inputs),
            Format::Encoded(e) => e.encode_inputs(table),
            Format::Sequences(series) => series.inputs(table),
            Format::Pictures { .. }
            | Format::Fields { .. }
            | Format::Decoders { .. }
            | Format::Series(_)
            | Format::Text { .. } => Err(self.no_table(table)),
        }
    }

    /// A file with a line for each row of the network: of whole series what tells them apart and what is predicted, of others all that it has.
    ///
    /// # Errors
    /// [`Error::Data`] naming line and column.
    pub fn rows_of<'t>(&self, table: &'t Table) -> Result<Cow<'t, Table>> {
        match self {
            Format::Sequences(series) => series.rows_of(table).map(Cow::Owned),
            _ => Ok(Cow::Borrowed(table)),
        }
    }

    /// Targets `[rows, o]` of a file.
    ///
    /// # Errors
    /// [`Error::Data`] naming line and column.
    pub fn targets(&self, table: &Table) -> Result<Vec<f32>> {
        match self {
            Format::Plain { outputs, .. } => numbers(table, outputs),
            Format::Encoded(e) => e.encode_targets(table),
            Format::Sequences(series) => series.targets(table),
            Format::Pictures { .. }
            | Format::Fields { .. }
            | Format::Decoders { .. }
            | Format::Series(_)
            | Format::Text { .. } => Err(self.no_table(table)),
        }
    }

    fn no_table(&self, table: &Table) -> Error {
        let message = match self {
            Format::Series(_) => "is a table of rows, and the model reads points in time",
            Format::Text { .. } => {
                "is a table, and the model reads text: `hyperloom generate` goes on with one"
            }
            _ => "is a table, and the model reads pictures: give folders of PNG or JPEG files",
        };
        Error::data(table.path(), "", message)
    }

    /// The names of classes, where classes are predicted.
    pub fn classes(&self) -> Vec<String> {
        match self {
            Format::Plain { outputs, .. } => outputs.clone(),
            Format::Encoded(e) => e.classes().to_vec(),
            Format::Sequences(series) => series.encoder().classes().to_vec(),
            Format::Pictures { classes, .. } => classes.clone(),
            Format::Text { alphabet, .. } => alphabet.symbols().to_vec(),
            Format::Series(_) | Format::Fields { .. } | Format::Decoders { .. } => vec![],
        }
    }

    /// With these names of classes, of pictures.
    #[must_use]
    pub fn with_classes(self, classes: Vec<String>) -> Format {
        match self {
            Format::Pictures { shape, ways, scales, .. } => Format::Pictures { shape, ways, classes, scales },
            other => other,
        }
    }

    /// Mean and standard deviation by which a value is brought back to the target's own units.
    pub fn target_scale(&self) -> (f64, f64) {
        match self {
            Format::Plain { .. }
            | Format::Pictures { .. }
            | Format::Fields { .. }
            | Format::Text { .. }
            | Format::Decoders { .. } => (0.0, 1.0),
            Format::Encoded(e) => e.target_scale(),
            Format::Sequences(series) => series.encoder().target_scale(),
            Format::Series(series) => series.target_scale(),
        }
    }

    /// The name of the target's column in a file of several groups.
    pub fn target(&self) -> &str {
        match self {
            Format::Plain { .. }
            | Format::Pictures { .. }
            | Format::Fields { .. }
            | Format::Text { .. }
            | Format::Decoders { .. } => "",
            Format::Encoded(e) => e.target(),
            Format::Sequences(series) => series.encoder().target(),
            Format::Series(series) => series.target(),
        }
    }

    /// The column that tells tasks apart, where the training file had one.
    pub fn group(&self) -> Option<&str> {
        match self {
            Format::Plain { .. }
            | Format::Pictures { .. }
            | Format::Fields { .. }
            | Format::Text { .. }
            | Format::Decoders { .. } => None,
            Format::Encoded(e) => Some(e.group()).filter(|name| !name.is_empty()),
            Format::Sequences(series) => Some(series.encoder().group()).filter(|name| !name.is_empty()),
            Format::Series(series) => Some(series.group()),
        }
    }

    /// How many numbers a task can be described by.
    pub fn descriptors(&self) -> usize {
        match self {
            Format::Plain { .. }
            | Format::Pictures { .. }
            | Format::Fields { .. }
            | Format::Text { .. }
            | Format::Series(_)
            | Format::Sequences(_)
            | Format::Decoders { .. } => 0,
            Format::Encoded(e) => e.descriptor_columns().len(),
        }
    }

    /// The descriptor of a task, from its encoded inputs.
    pub fn descriptor(&self, x: &[f32], width: usize) -> Vec<f32> {
        match self {
            Format::Encoded(e) => {
                e.descriptor_columns().iter().take(width).filter_map(|c| x.get(*c).copied()).collect()
            }
            Format::Plain { .. }
            | Format::Pictures { .. }
            | Format::Fields { .. }
            | Format::Text { .. }
            | Format::Series(_)
            | Format::Sequences(_)
            | Format::Decoders { .. } => vec![],
        }
    }

    /// How the columns of a table of rows, or of whole series, are encoded.
    fn encoder(&self) -> Option<&Encoder> {
        match self {
            Format::Encoded(e) => Some(e),
            Format::Sequences(series) => Some(series.encoder()),
            _ => None,
        }
    }

    /// The query file with predictions (network outputs `[rows, o]`) added as columns: values in the target's
    /// units, or the class and the probability of each. With half widths of intervals `[rows]` in the networks' units also
    /// where they begin and end, for a single value; and how far the networks of a task disagree on each row, where `disagreement` `[rows]` says so. NaN leaves
    /// a cell empty.
    ///
    /// # Errors
    /// [`Error::Data`] where the query has a column of that name already.
    pub fn predictions(
        &self,
        query: &Table,
        y: &[f32],
        half: Option<&[f32]>,
        disagreement: &[f32],
    ) -> Result<Vec<u8>> {
        let mut out = csv::Writer::from_writer(Vec::new());
        let fail = |e: &dyn std::fmt::Display| {
            Error::data(query.path(), "", format!("cannot write predictions: {e}"))
        };
        let classes = self.encoder().filter(|e| e.kind() == TargetKind::Classification);
        let mut header: Vec<String> = query.columns().to_vec();
        match self {
            Format::Plain { outputs, .. } if outputs.len() > 1 => {
                header.extend(outputs.iter().map(|o| format!("prediction_{o}")))
            }
            _ if let Some(e) = classes => {
                header.push("prediction".into());
                header.extend(e.classes().iter().map(|c| format!("probability_{c}")));
            }
            Format::Pictures { .. }
            | Format::Fields { .. }
            | Format::Decoders { .. }
            | Format::Text { .. } => {
                return Err(self.no_table(query));
            }
            _ => {
                header.push("prediction".into());
                if half.is_some() {
                    header.extend(["low".into(), "high".into()]);
                }
            }
        }
        if !disagreement.is_empty() {
            header.push("disagreement".into());
        }
        if let Some(name) = header[query.columns().len()..].iter().find(|n| query.columns().contains(n)) {
            let message =
                format!("there is a column '{name}' already, as predictions are called: rename or remove it");
            return Err(Error::data(query.path(), ", line 1", message));
        }
        out.write_record(&header).map_err(|e| fail(&e))?;
        let width = y.len() / query.rows().max(1);
        for (row, y) in y.chunks(width.max(1)).enumerate() {
            let mut cells: Vec<String> =
                (0..query.columns().len()).map(|c| query.cell(row, c).to_string()).collect();
            match self {
                Format::Plain { outputs, .. } => {
                    cells.extend(y.iter().map(f32::to_string));
                    if outputs.len() == 1
                        && let Some(half) = half
                    {
                        cells.extend(ends(y[0] as f64, half[row] as f64));
                    }
                }
                _ if let Some(e) = classes => {
                    cells.push(e.classes().get(argmax(y)).cloned().unwrap_or_default());
                    cells.extend(softmax(y).iter().map(|p| format!("{p:.6}")));
                }
                Format::Series(_) | Format::Encoded(_) | Format::Sequences(_) => {
                    let (mean, std) = self.target_scale();
                    // Of the first point of a series nothing is said.
                    let silent = |v: f64| v.is_nan() && matches!(self, Format::Series(_));
                    let known = |v: f64| if silent(v) { String::new() } else { v.to_string() };
                    cells.extend(y.iter().map(|v| known(mean + std * *v as f64)));
                    if let Some(half) = half {
                        cells.extend(ends(mean + std * y[0] as f64, std * half[row] as f64));
                    }
                }
                Format::Pictures { .. }
                | Format::Fields { .. }
                | Format::Decoders { .. }
                | Format::Text { .. } => {}
            }
            if let Some(apart) = disagreement.get(row) {
                let unit = if classes.is_some() { 1.0 } else { self.target_scale().1 };
                cells.push(if apart.is_nan() {
                    String::new()
                } else {
                    (unit * f64::from(*apart)).to_string()
                });
            }
            out.write_record(&cells).map_err(|e| fail(&e))?;
        }
        out.into_inner().map_err(|e| fail(&e))
    }
}

/// The ends of an interval as cells.
fn ends(middle: f64, half: f64) -> [String; 2] {
    if half.is_nan() {
        return [String::new(), String::new()];
    }
    [middle - half, middle + half].map(|v| v.to_string())
}

/// Named columns as numbers, `[rows, names]`.
fn numbers(table: &Table, names: &[String]) -> Result<Vec<f32>> {
    let columns = names.iter().map(|n| table.column(n)).collect::<Result<Vec<_>>>()?;
    let mut out = Vec::with_capacity(table.rows() * columns.len());
    for row in 0..table.rows() {
        for &c in &columns {
            let cell = table.cell(row, c);
            match cell.parse::<f32>() {
                Ok(v) if v.is_finite() => out.push(v),
                _ => return Err(table.cell_error(row, c, "is no finite number: write one like 1.25")),
            }
        }
    }
    Ok(out)
}
