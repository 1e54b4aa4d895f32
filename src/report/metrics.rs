//! The run folder's `metrics.csv`: one row every few steps, for any spreadsheet or plotting tool. Apart from
//! the pictures, because it is written while training goes on and must survive a stop at any byte: what
//! follows the last line end is a torn row, and is dropped.

use super::events::EventFile;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The columns of [`MetricsRow`], in the order of the file.
const COLUMNS: [&str; 6] = ["step", "loss", "grad_norm", "learning_rate", "accuracy", "tasks_per_second"];

/// One row. Numbers are written with as many digits as it takes to read the same number back; NaN and
/// infinities are allowed (a diverging run should show).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricsRow {
    /// Steps of the outer optimiser taken.
    pub step: u64,
    /// Query loss, mean over the tasks since the row before.
    pub loss: f64,
    /// Euclidean norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate of the outer optimiser at this step.
    pub learning_rate: f64,
    /// Share of query rows whose class was right; NaN where values are predicted.
    pub accuracy: f64,
    /// Tasks trained on a second of wall time.
    pub tasks_per_second: f64,
}

/// Appends rows to a `metrics.csv`. Rows may sit in a buffer until [`MetricsWriter::flush`].
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    file: BufWriter<File>,
    /// The same rows for TensorBoard.
    events: Option<EventFile>,
}

impl MetricsWriter {
    /// Starts a new file.
    ///
    /// # Errors
    /// [`Error::Io`] when one is there already or it cannot be created.
    pub fn create(path: &Path) -> Result<MetricsWriter> {
        let file = File::create_new(path).map_err(Error::io("create", path))?;
        let mut writer = MetricsWriter { path: path.to_path_buf(), file: BufWriter::new(file), events: None };
        writer.write(&header())?;
        writer.flush()?;
        Ok(writer)
    }

    /// Goes on with a file at `step`: rows of later steps and a torn last row are dropped for good, so that
    /// what is appended next follows the checkpoint that training resumes from. A missing file is created.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read or written; [`Error::Data`] when it does not hold metrics
    /// (it is left as it is then).
    pub fn resume(path: &Path, step: u64) -> Result<MetricsWriter> {
        let kept = match fs::read(path) {
            Ok(bytes) => parse(path, &bytes)?,
            Err(e) if e.kind() == ErrorKind::NotFound => return MetricsWriter::create(path),
            Err(source) => return Err(Error::Io { path: path.to_path_buf(), action: "read", source }),
        };
        let mut text = header();
        for row in kept.iter().filter(|row| row.step <= step) {
            text.push_str(&line(row));
        }
        write_atomically(path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path).map_err(Error::io("write", path))?;
        Ok(MetricsWriter { path: path.to_path_buf(), file: BufWriter::new(file), events: None })
    }

    /// With an event file beside it, which has the rows so far.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written, and those of [`read`].
    pub fn with_events(mut self, mut events: EventFile) -> Result<MetricsWriter> {
        self.flush()?;
        read(&self.path)?.iter().try_for_each(|row| add(&mut events, row))?;
        self.events = Some(events);
        Ok(self)
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`Error::Io`] when the buffer was full and could not be written.
    pub fn append(&mut self, rows: &[MetricsRow]) -> Result<()> {
        for row in rows {
            self.write(&line(row))?;
            if let Some(events) = &mut self.events {
                add(events, row)?;
            }
        }
        Ok(())
    }

    /// Hands all rows to the system, so that a reader sees them.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be written (a full disk).
    pub fn flush(&mut self) -> Result<()> {
        if let Some(events) = &mut self.events {
            events.flush()?;
        }
        self.file.flush().map_err(Error::io("write", &self.path))
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).map_err(Error::io("write", &self.path))
    }
}

/// A row as an event, its columns but the step by their names.
fn add(events: &mut EventFile, row: &MetricsRow) -> Result<()> {
    let MetricsRow { step, loss, grad_norm, learning_rate, accuracy, tasks_per_second } = row;
    let values = [*loss, *grad_norm, *learning_rate, *accuracy, *tasks_per_second];
    let scalars: Vec<(&str, f64)> = COLUMNS[1..].iter().copied().zip(values).collect();
    events.add(*step, &scalars)
}

/// All rows of a `metrics.csv`, also of a run that is still writing it: a last row without a line end is left
/// out.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Data`] with the line when it does not hold metrics.
pub fn read(path: &Path) -> Result<Vec<MetricsRow>> {
    parse(path, &fs::read(path).map_err(Error::io("read", path))?)
}

fn header() -> String {
    COLUMNS.join(",") + "\n"
}

/// `Debug` of an `f64` is the shortest text that reads back as the same number.
fn line(row: &MetricsRow) -> String {
    let MetricsRow { step, loss, grad_norm, learning_rate, accuracy, tasks_per_second } = row;
    format!("{step},{loss:?},{grad_norm:?},{learning_rate:?},{accuracy:?},{tasks_per_second:?}\n")
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<MetricsRow>> {
    let expected = COLUMNS.join(",");
    let Some(end) = bytes.iter().rposition(|b| *b == b'\n') else {
        // Stopped before the first line was out; anything else is not ours to overwrite.
        return if expected.as_bytes().starts_with(bytes) {
            Ok(Vec::new())
        } else {
            Err(Error::data(path, ", line 1", format!("no metrics; the first line should be '{expected}'")))
        };
    };
    let mut reader = csv::ReaderBuilder::new().quoting(false).from_reader(&bytes[..=end]);
    let line_of = |e: &csv::Error| e.position().map_or(String::new(), |p| format!(", line {}", p.line()));
    let found = reader.headers().map_err(|e| Error::data(path, ", line 1", e.to_string()))?;
    if found.iter().ne(COLUMNS) {
        let found: Vec<_> = found.iter().collect();
        let message = format!("the columns are '{}'; expected '{expected}'", found.join(","));
        return Err(Error::data(path, ", line 1", message));
    }
    reader
        .deserialize()
        .map(|row| {
            row.map_err(|e| {
                let message =
                    format!("not a row of metrics ({e}); remove the line, or the file to start anew");
                Error::data(path, line_of(&e), message)
            })
        })
        .collect()
}
