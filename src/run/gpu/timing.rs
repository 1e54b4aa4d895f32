//! Time of each launch on the device, by timestamps around it.

use super::replay::{GpuRunner, buffer};
use super::transfer::{lost, map};
use crate::error::Result;

/// Launches timed at once: each takes two of the 4096 timestamps that a query set may have.
const AT_ONCE: usize = 2048;

impl GpuRunner {
    /// Runs one step, each launch in a pass of its own, and returns the seconds that each took on the
    /// device. `None`, and nothing is run, where the device has no timestamps. The state changes as by any
    /// step.
    ///
    /// # Errors
    /// [`crate::error::Error::Device`] where the device fails.
    pub fn time_launches(&mut self) -> Result<Option<Vec<f64>>> {
        let device = self.gpu.device().clone();
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let n = self.launch_count();
        let (set, resolved, readback) = self.gpu.guarded("creating timestamp queries", || {
            let count = 2 * n.clamp(1, AT_ONCE);
            let set = device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("launch times"),
                ty: wgpu::QueryType::Timestamp,
                count: count as u32,
            });
            let bytes = 8 * count as u64;
            let resolve = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let read = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            let resolved = buffer(&self.gpu, "timestamps", bytes, resolve);
            (set, resolved, buffer(&self.gpu, "timestamp readback", bytes, read))
        })?;
        self.stats.buffers_created += 2;
        let period = f64::from(self.gpu.queue().get_timestamp_period()) * 1e-9;
        let mut seconds = Vec::with_capacity(n);
        for start in (0..n).step_by(AT_ONCE) {
            let end = (start + AT_ONCE).min(n);
            let bytes = 16 * (end - start) as u64;
            let mut encoder = self.encoder()?;
            self.gpu.guarded("recording timed launches", || {
                for i in start..end {
                    let first = 2 * (i - start) as u32;
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: None,
                        timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                            query_set: &set,
                            beginning_of_pass_write_index: Some(first),
                            end_of_pass_write_index: Some(first + 1),
                        }),
                    });
                    self.record_one(&mut pass, i);
                }
                encoder.resolve_query_set(&set, 0..2 * (end - start) as u32, &resolved, 0);
                encoder.copy_buffer_to_buffer(&resolved, 0, &readback, 0, bytes);
            })?;
            let index = self.submit(encoder)?;
            self.stats.submits += 1;
            let mapping = map(&self.gpu, &readback, bytes)?;
            self.wait_for(index)?;
            if mapping.state.result() != Some(true) {
                return Err(lost());
            }
            self.stats.readbacks += 1;
            let mut words = Vec::new();
            mapping.append(&mut words)?;
            let ticks: Vec<u64> =
                words.chunks_exact(2).map(|w| u64::from(w[0]) | u64::from(w[1]) << 32).collect();
            seconds.extend(ticks.chunks_exact(2).map(|t| t[1].saturating_sub(t[0]) as f64 * period));
        }
        Ok(Some(seconds))
    }
}
