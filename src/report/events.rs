//! Event files, which TensorBoard draws curves of: records of its own framing (TensorFlow's TFRecord), each a protocol buffer.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::protobuf::Message;

/// The file in a run folder: TensorBoard knows event files by a part of their name.
pub const EVENTS: &str = "events.out.tfevents.hyperloom";

/// Writes numbers by step and name.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: BufWriter<File>,
    steps: usize,
}

impl EventFile {
    /// Begins the file of a run folder anew, where it is asked for or there was one: what a run that goes on keeps of its steps is written again.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written.
    pub fn of_run(folder: &Path, asked: bool) -> Result<Option<EventFile>> {
        let path = folder.join(EVENTS);
        if !(asked || path.exists()) {
            return Ok(None);
        }
        let file = BufWriter::new(File::create(&path).map_err(Error::io("create", &path))?);
        let mut events = EventFile { path, file, steps: 0 };
        // Event.file_version
        events.record(&Message::default().double(1, now()).text(3, "brain.Event:2"))?;
        Ok(Some(events))
    }

    /// Steps that were added.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Adds the numbers of a step by their names; NaN stands for none.
    ///
    /// # Errors
    /// [`Error::Io`] where the buffer was full and could not be written.
    pub fn add(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<()> {
        self.steps += 1;
        // Summary.Value: tag and simple_value
        let value = |(name, v): &(&str, f64)| Message::default().text(1, name).float(2, *v as f32);
        let values: Vec<Message> = scalars.iter().filter(|(_, v)| !v.is_nan()).map(value).collect();
        // Event: wall_time, step, summary
        let summary = Message::default().messages(1, &values);
        self.record(&Message::default().double(1, now()).int(2, step as i64).message(5, &summary))
    }

    /// Hands all to the system, so that a reader sees it.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("write", &self.path))
    }

    /// A record: its length and the length's checksum, then it and its checksum.
    fn record(&mut self, event: &Message) -> Result<()> {
        let length = (event.0.len() as u64).to_le_bytes();
        let parts = [&length[..], &masked(&length), &event.0, &masked(&event.0)];
        parts.iter().try_for_each(|part| self.file.write_all(part)).map_err(Error::io("write", &self.path))
    }
}

/// A checksum (CRC-32C) turned and shifted, as the format has it, because checksums of checksums are poor ones.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
