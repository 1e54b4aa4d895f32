//! Between host and device: writes, and reads that wait or that do not.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use super::device::Gpu;
use super::guard::poll;
use super::replay::{GpuRunner, buffer};
use crate::error::{Error, Result};
use crate::plan::{Plan, Slot, SlotId, SlotRole};
use crate::spec::DType;

/// Words of one write at most: wgpu stages each in memory of its own until the device has it.
const PIECE: usize = 1 << 24;
/// Bytes of the buffer that readbacks go through, at most; longer ones go in pieces.
const STAGING: u64 = 8 << 20;

/// A buffer that several plans share.
pub(in crate::run) struct SharedBuffer {
    gpu: Gpu,
    pub(super) buffer: wgpu::Buffer,
    /// A plan without launches, by which the host reads and writes the buffer, once it has.
    host: Option<Box<GpuRunner>>,
}

impl SharedBuffer {
    pub(super) fn new(gpu: &Gpu, buffer: wgpu::Buffer) -> SharedBuffer {
        SharedBuffer { gpu: gpu.clone(), buffer, host: None }
    }

    fn host(&mut self) -> Result<&mut GpuRunner> {
        let host = match self.host.take() {
            Some(host) => host,
            None => {
                let len = (self.buffer.size() / 4) as usize;
                let label = String::from("shared");
                let slot = Slot { role: SlotRole::Data, dtype: DType::U32, len, label };
                let plan = Plan { slots: vec![slot], window: 1, ..Plan::default() };
                Box::new(GpuRunner::prepare_with(&self.gpu, &plan, &[(SlotId(0), self)])?)
            }
        };
        Ok(self.host.insert(host))
    }

    /// Reads the words of that range, after all that was sent before.
    ///
    /// # Errors
    /// Those of [`GpuRunner::read`].
    pub(in crate::run) fn read(&mut self, range: Range<usize>) -> Result<Vec<u32>> {
        self.host()?.read(SlotId(0), range)
    }

    /// Writes words from the beginning on.
    ///
    /// # Errors
    /// Those of [`GpuRunner::write`].
    pub(in crate::run) fn write(&mut self, words: &[u32]) -> Result<()> {
        self.host()?.write(SlotId(0), 0, words)
    }
}

impl GpuRunner {
    /// Writes words (floats as their bits) into a slot, from element `offset` on. Launches sent before see
    /// the old contents, later ones the new.
    ///
    /// # Errors
    /// [`Error::Shape`] where they do not fit the slot, [`Error::Device`] or [`Error::Memory`] where the
    /// device fails.
    pub fn write(&mut self, slot: SlotId, offset: usize, words: &[u32]) -> Result<()> {
        let end = offset.saturating_add(words.len());
        self.range(slot, &(offset..end), "written")?;
        let mut at = self.slots[slot.0].offset + 4 * offset as u64;
        for (i, piece) in words.chunks(PIECE).enumerate() {
            if i > 0 {
                let empty = self.encoder()?;
                self.submit(empty)?;
            }
            let buffer = &self.slots[slot.0].buffer;
            self.gpu.guarded("writing a slot", || {
                self.gpu.queue().write_buffer(buffer, at, bytemuck::cast_slice(piece));
            })?;
            at += 4 * piece.len() as u64;
        }
        Ok(())
    }

    /// Reads elements of a slot as words, after all that was sent before. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Shape`] where the slot has no such elements, [`Error::Device`] where the device fails.
    pub fn read(&mut self, slot: SlotId, range: Range<usize>) -> Result<Vec<u32>> {
        self.range(slot, &range, "read")?;
        let mut out = Vec::with_capacity(range.len());
        for piece in self.pieces(range) {
            let (mapping, index) = self.start_read(slot, &piece)?;
            self.ask()?;
            self.wait_for(index)?;
            let done = mapping.state.result();
            match done {
                Some(true) => mapping.append(&mut out)?,
                _ => return Err(lost()),
            }
        }
        Ok(out)
    }

    /// As [`GpuRunner::read`], without blocking: the future asks the device whether it is done whenever it
    /// is polled, and asks to be polled again.
    ///
    /// # Errors
    /// As for [`GpuRunner::read`].
    pub async fn read_async(&mut self, slot: SlotId, range: Range<usize>) -> Result<Vec<u32>> {
        self.range(slot, &range, "read")?;
        let mut out = Vec::with_capacity(range.len());
        for piece in self.pieces(range) {
            let (mapping, _) = self.start_read(slot, &piece)?;
            if !(Mapped { gpu: &self.gpu, state: Arc::clone(&mapping.state) }.await?) {
                return Err(lost());
            }
            mapping.append(&mut out)?;
        }
        Ok(out)
    }

    fn range(&self, slot: SlotId, range: &Range<usize>, what: &str) -> Result<()> {
        let Some(s) = self.slots.get(slot.0) else {
            return Err(Error::Shape(format!("there is no slot {} to be {what}", slot.0)));
        };
        if range.start > range.end || range.end > s.len {
            return Err(Error::Shape(format!(
                "elements {}..{} of slot '{}' cannot be {what}: it has {}",
                range.start, range.end, s.label, s.len
            )));
        }
        Ok(())
    }

    /// A range in pieces that fit the readback buffer.
    fn pieces(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let most = (self.staging_bytes() / 4) as usize;
        range.clone().step_by(most).map(|start| start..(start + most).min(range.end)).collect()
    }

    /// Bytes of the readback buffer: those of the largest slot, as far as [`STAGING`].
    fn staging_bytes(&self) -> u64 {
        self.slots.iter().map(|s| 4 * s.len as u64).max().unwrap_or(4).clamp(4, STAGING)
    }

    /// The readback buffer, made at the first read.
    fn staging(&mut self) -> Result<wgpu::Buffer> {
        if let Some(staging) = &self.staging {
            return Ok(staging.clone());
        }
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let bytes = self.staging_bytes();
        let staging = self
            .gpu
            .guarded("allocating the readback buffer", || buffer(&self.gpu, "readback", bytes, usage))?;
        self.stats.buffers_created += 1;
        Ok(self.staging.insert(staging).clone())
    }

    /// Sends a copy to the readback buffer and asks for its contents.
    fn start_read(&mut self, slot: SlotId, range: &Range<usize>) -> Result<(Mapping, wgpu::SubmissionIndex)> {
        let bytes = 4 * range.len() as u64;
        let (staging, mut encoder) = (self.staging()?, self.encoder()?);
        let from = &self.slots[slot.0];
        let start = from.offset + 4 * range.start as u64;
        encoder.copy_buffer_to_buffer(&from.buffer, start, &staging, 0, bytes);
        let index = self.submit(encoder)?;
        let mapping = map(&self.gpu, &staging, bytes)?;
        self.stats.readbacks += 1;
        Ok((mapping, index))
    }
}

/// Asks for the first bytes of a readback buffer.
pub(super) fn map(gpu: &Gpu, buffer: &wgpu::Buffer, bytes: u64) -> Result<Mapping> {
    let state = Arc::new(State::default());
    let shared = Arc::clone(&state);
    let mapping = Mapping { gpu: gpu.clone(), buffer: buffer.clone(), bytes, state };
    gpu.guarded("mapping the readback buffer", || {
        buffer.map_async(wgpu::MapMode::Read, 0..bytes, move |r| shared.set(r.is_ok()));
    })?;
    Ok(mapping)
}

/// The error of a mapping that the device did not grant.
pub(super) fn lost() -> Error {
    Error::Device("the device was lost before its results could be read".into())
}

/// A readback buffer that is mapped, or about to be; unmapped when dropped, also halfway.
pub(super) struct Mapping {
    gpu: Gpu,
    buffer: wgpu::Buffer,
    bytes: u64,
    pub(super) state: Arc<State>,
}

impl Mapping {
    /// Adds the words to `out`.
    pub(super) fn append(self, out: &mut Vec<u32>) -> Result<()> {
        let view = self
            .buffer
            .get_mapped_range(0..self.bytes)
            .map_err(|e| Error::Device(format!("reading the readback buffer failed: {e}")))?;
        out.extend(view.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Of a device that is lost there is nothing to unmap, which whoever reads is told.
        let _ = self.gpu.guarded("unmapping the readback buffer", || self.buffer.unmap());
    }
}

/// Whether a mapping has come, and whether it was granted.
#[derive(Default)]
pub(super) struct State(Mutex<Option<bool>>);

impl State {
    fn set(&self, granted: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(granted);
    }

    pub(super) fn result(&self) -> Option<bool> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ready when a mapping has come.
struct Mapped<'a> {
    gpu: &'a Gpu,
    state: Arc<State>,
}

impl Future for Mapped<'_> {
    type Output = Result<bool>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        if let Err(e) = poll(self.gpu.device(), wgpu::PollType::Poll) {
            return Poll::Ready(Err(e));
        }
        match self.state.result() {
            Some(granted) => Poll::Ready(Ok(granted)),
            None => {
                cx.waker().wake_by_ref();
                std::thread::yield_now();
                Poll::Pending
            }
        }
    }
}
