//! A plan resolved on a device, and its replay.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::device::{AdapterKind, Gpu};
use super::guard::poll;
use super::pipeline::Compiled;
use super::shader::Access;
use super::transfer::SharedBuffer;
use crate::error::{Error, Result};
use crate::kernel::Work;
use crate::plan::{Launch, Plan, SlotId};

/// Estimated work of one submit, in seconds: long enough that submits cost nothing beside it, short enough
/// that a desktop stays usable and no watchdog wakes up even where the estimate is far off.
const SUBMIT_SECONDS: f64 = 4e-3;
/// Launches of one submit at most.
const SUBMIT_LAUNCHES: usize = 2048;
/// Submits on their way at most; the host waits for the oldest before it sends another.
const IN_FLIGHT: usize = 3;

/// How long the host asks before it sleeps: being woken takes longer (an NVIDIA H200: 20 us of the 46 that a brief submit
/// takes).
const ASKING: Duration = Duration::from_micros(200);

/// What a runner has done so far: shows that a replay allocates nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Buffers created.
    pub buffers_created: usize,
    /// Bind groups created.
    pub bind_groups_created: usize,
    /// Submits with launches in them.
    pub submits: usize,
    /// Copies back to the host, pieces counted.
    pub readbacks: usize,
    /// Steps run by [`GpuRunner::run`].
    pub steps: usize,
}

/// One launch, ready to be recorded.
struct Ready {
    compiled: Arc<Compiled>,
    bindings: wgpu::BindGroup,
    groups: [u32; 3],
    /// Estimated time on the device.
    seconds: f64,
}

/// What the runner keeps of a slot.
pub(super) struct SlotInfo {
    pub(super) label: String,
    pub(super) len: usize,
    pub(super) buffer: wgpu::Buffer,
    /// Where it begins there, in bytes.
    pub(super) offset: u64,
}

impl SlotInfo {
    fn bytes(&self) -> u64 {
        4 * self.len.max(1) as u64
    }

    /// The part of the buffer that is the slot's.
    fn binding(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: self.offset,
            size: wgpu::BufferSize::new(self.bytes()),
        })
    }
}

/// A plan with its slots in the memory of a GPU.
pub struct GpuRunner {
    pub(super) gpu: Gpu,
    pub(super) slots: Vec<SlotInfo>,
    launches: Vec<Ready>,
    /// What reads go through, once there has been one.
    pub(super) staging: Option<wgpu::Buffer>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    pub(super) stats: Stats,
}

impl fmt::Debug for GpuRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuRunner")
            .field("gpu", &self.gpu)
            .field("slots", &self.slots.len())
            .field("launches", &self.launches.len())
            .field("stats", &self.stats)
            .finish()
    }
}

impl GpuRunner {
    /// Makes all that a replay needs: a buffer a slot, zero but for the constants, the pipelines, one
    /// uniform buffer for all launches, a bind group a launch.
    ///
    /// # Errors
    /// [`Error::Shape`] where the plan is not sound, [`Error::Memory`] with the numbers where a slot is
    /// larger than the device can bind or the memory does not suffice, else [`Error::Device`].
    pub fn prepare(gpu: &Gpu, plan: &Plan) -> Result<GpuRunner> {
        GpuRunner::prepare_with(gpu, plan, &[])
    }

    /// The same with slots that are there already.
    pub(in crate::run) fn prepare_with(
        gpu: &Gpu,
        plan: &Plan,
        there: &[(SlotId, &SharedBuffer)],
    ) -> Result<GpuRunner> {
        plan.check()?;
        let mut stats = Stats::default();
        let slots = slots(gpu, plan, there, &mut stats)?;
        let unused = gpu.guarded("allocating a buffer", || {
            buffer(gpu, "unused result", 16, wgpu::BufferUsages::STORAGE)
        })?;
        stats.buffers_created += 1;
        let launches = launches(gpu, plan, &slots, &unused, &mut stats)?;
        let mut runner =
            GpuRunner { gpu: gpu.clone(), slots, launches, staging: None, in_flight: VecDeque::new(), stats };
        if let Some((slot, values)) = &plan.constants {
            let words: Vec<u32> = values.iter().map(|x| (*x as f32).to_bits()).collect();
            runner.write(*slot, 0, &words)?;
        }
        Ok(runner)
    }

    /// One step of a plan, from and to words: as [`crate::check::bounds::check_case`] wants it.
    ///
    /// # Errors
    /// As for [`GpuRunner::prepare`], and [`Error::Shape`] where the contents are longer than the slots.
    pub fn run_once(gpu: &Gpu, plan: &Plan, slots: &[Vec<u32>]) -> Result<Vec<Vec<u32>>> {
        let mut runner = GpuRunner::prepare(gpu, plan)?;
        for (i, words) in slots.iter().enumerate() {
            runner.write(SlotId(i), 0, words)?;
        }
        runner.run(1)?;
        slots.iter().enumerate().map(|(i, words)| runner.read(SlotId(i), 0..words.len())).collect()
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// What has been done so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The part of a buffer that is a slot, for an application that reads or writes it on the device. `None` where there
    /// is no such slot.
    pub fn buffer(&self, slot: SlotId) -> Option<wgpu::BufferSlice<'_>> {
        self.slots.get(slot.0).map(|s| s.buffer.slice(s.offset..s.offset + s.bytes()))
    }

    /// A slot with a buffer of its own, to be shared with other plans.
    pub(in crate::run) fn share(&self, slot: SlotId) -> SharedBuffer {
        SharedBuffer::new(&self.gpu, self.slots[slot.0].buffer.clone())
    }

    /// Runs those launches once, for a comparison launch by launch.
    ///
    /// # Errors
    /// [`Error::Shape`] for launches that are not there, [`Error::Device`] where the device fails.
    pub fn launch(&mut self, launches: Range<usize>) -> Result<()> {
        if launches.start > launches.end || launches.end > self.launches.len() {
            return Err(Error::Shape(format!("launches {launches:?} of {}", self.launches.len())));
        }
        self.replay(launches.start, launches.len())
    }

    /// Runs whole steps. Returns when the last submit is on its way, not when it is done: reads wait.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn run(&mut self, steps: usize) -> Result<()> {
        self.replay(0, steps * self.launches.len())?;
        self.stats.steps += steps;
        Ok(())
    }

    /// Waits until the device has done all that was sent.
    ///
    /// # Errors
    /// [`Error::Device`] where the device is lost.
    pub fn wait(&mut self) -> Result<()> {
        self.ask()?;
        while let Some(oldest) = self.in_flight.pop_front() {
            self.wait_for(oldest)?;
        }
        Ok(())
    }

    /// Records one step into the application's own encoder, as one compute pass.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        record(&mut pass, &self.launches);
    }

    /// `count` launches from `first` on, step after step, in submits of bounded length.
    fn replay(&mut self, first: usize, count: usize) -> Result<()> {
        let n = self.launches.len();
        let (mut at, end) = (first, first + count);
        while at < end {
            // How far this submit goes.
            let (start, mut seconds) = (at, 0.0);
            while at < end && at - start < SUBMIT_LAUNCHES && (at == start || seconds < SUBMIT_SECONDS) {
                seconds += self.launches[at % n].seconds;
                at += 1;
            }
            let mut encoder = self.encoder()?;
            self.gpu.guarded("recording a step", || {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                record(&mut pass, (start..at).map(|i| &self.launches[i % n]));
            })?;
            self.submit(encoder)?;
            self.stats.submits += 1;
        }
        Ok(())
    }

    /// An encoder with nothing in it.
    pub(super) fn encoder(&self) -> Result<wgpu::CommandEncoder> {
        self.gpu.guarded("recording", || self.gpu.device().create_command_encoder(&Default::default()))
    }

    /// Sends an encoder's work, after waiting where enough is on its way.
    pub(super) fn submit(&mut self, encoder: wgpu::CommandEncoder) -> Result<wgpu::SubmissionIndex> {
        while self.in_flight.len() >= IN_FLIGHT {
            if let Some(oldest) = self.in_flight.pop_front() {
                self.wait_for(oldest)?;
            }
        }
        let index = self.gpu.guarded("submitting", || self.gpu.queue().submit([encoder.finish()]))?;
        self.in_flight.push_back(index.clone());
        Ok(index)
    }

    /// Waits for a submission.
    pub(super) fn wait_for(&self, index: wgpu::SubmissionIndex) -> Result<()> {
        self.gpu.alive()?;
        poll(self.gpu.device(), wgpu::PollType::Wait { submission_index: Some(index), timeout: None })?;
        self.gpu.alive()
    }

    /// Asks a GPU for a short while whether it has done all that was sent, before something that waits for it; a software
    /// driver needs the processor itself.
    pub(super) fn ask(&self) -> Result<()> {
        let (begun, asked) = (Instant::now(), self.gpu.kind() != AdapterKind::Cpu);
        while asked && begun.elapsed() < ASKING && !poll(self.gpu.device(), wgpu::PollType::Poll)? {
            std::hint::spin_loop();
        }
        Ok(())
    }

    /// Number of launches of a step.
    pub(super) fn launch_count(&self) -> usize {
        self.launches.len()
    }

    /// Records one launch.
    pub(super) fn record_one(&self, pass: &mut wgpu::ComputePass<'_>, launch: usize) {
        record(pass, &self.launches[launch..=launch]);
    }
}

fn record<'a>(pass: &mut wgpu::ComputePass<'_>, launches: impl IntoIterator<Item = &'a Ready>) {
    let mut current: Option<&Arc<Compiled>> = None;
    for l in launches {
        if !current.is_some_and(|c| Arc::ptr_eq(c, &l.compiled)) {
            pass.set_pipeline(&l.compiled.pipeline);
            current = Some(&l.compiled);
        }
        pass.set_bind_group(0, &l.bindings, &[]);
        let [x, y, z] = l.groups;
        pass.dispatch_workgroups(x, y, z);
    }
}

pub(super) fn buffer(gpu: &Gpu, label: &str, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    let desc = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
    gpu.device().create_buffer(&desc)
}

/// A buffer for every slot, or for those that share one: wgpu orders launches by whole buffers.
fn slots(
    gpu: &Gpu,
    plan: &Plan,
    there: &[(SlotId, &SharedBuffer)],
    stats: &mut Stats,
) -> Result<Vec<SlotInfo>> {
    let most = gpu.max_binding();
    let total = plan.bytes();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let places = plan.places_in_buffers();
    // Bytes of the buffer that begins with each slot.
    let mut sizes = vec![0; plan.slots.len()];
    for (s, (first, at)) in plan.slots.iter().zip(&places) {
        sizes[first.0] = sizes[first.0].max(4 * (at + s.len.max(1)) as u64);
    }
    let mut buffers: Vec<Option<wgpu::Buffer>> = vec![None; plan.slots.len()];
    for (slot, shared) in there {
        buffers[slot.0] = Some(shared.buffer.clone());
    }
    let mut out = Vec::with_capacity(plan.slots.len());
    for (s, (first, at)) in plan.slots.iter().zip(&places) {
        let bytes = sizes[first.0];
        if bytes > most {
            return Err(Error::Memory(format!(
                "slot '{}' has {:.1} MiB, {} can bind {:.1} MiB at most",
                s.label,
                mib(bytes),
                gpu.describe(),
                mib(most)
            )));
        }
        let known = buffers[first.0].clone();
        let buffer = known.map_or_else(
            || {
                stats.buffers_created += 1;
                let what = format!("allocating slot '{}'", s.label);
                gpu.guarded(&what, || buffer(gpu, &s.label, bytes, usage)).map_err(|e| match e {
                    Error::Memory(_) => Error::Memory(format!(
                        "{} has no room for slot '{}' with {:.1} MiB; the plan needs {:.1} MiB in all",
                        gpu.describe(),
                        s.label,
                        mib(bytes),
                        mib(total)
                    )),
                    e => e,
                })
            },
            Ok,
        )?;
        buffers[first.0] = Some(buffer.clone());
        out.push(SlotInfo { label: s.label.clone(), len: s.len, buffer, offset: 4 * *at as u64 });
    }
    Ok(out)
}

/// Pipelines, uniforms and bind groups of all launches.
fn launches(
    gpu: &Gpu,
    plan: &Plan,
    slots: &[SlotInfo],
    unused: &wgpu::Buffer,
    stats: &mut Stats,
) -> Result<Vec<Ready>> {
    let align = u64::from(gpu.limits().min_uniform_buffer_offset_alignment).max(16);
    let mut uniforms: Vec<u8> = Vec::new();
    let mut parts = Vec::with_capacity(plan.launches.len());
    for (dispatch, compiled) in gpu.pipelines_of(&plan.launches)? {
        uniforms.resize((uniforms.len() as u64).next_multiple_of(align) as usize, 0);
        let at = uniforms.len() as u64;
        uniforms.extend_from_slice(&dispatch.uniform);
        parts.push((at, dispatch, compiled));
    }
    uniforms.resize(uniforms.len().next_multiple_of(16).max(16), 0);
    let uniform = gpu.guarded("allocating the uniform buffer", || {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let b = buffer(gpu, "uniforms", uniforms.len() as u64, usage);
        gpu.queue().write_buffer(&b, 0, &uniforms);
        b
    })?;
    stats.buffers_created += 1;
    let mut out = Vec::with_capacity(parts.len());
    for (l, (at, dispatch, compiled)) in plan.launches.iter().zip(parts) {
        let uniform = || {
            let size = wgpu::BufferSize::new(dispatch.uniform.len() as u64);
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &uniform, offset: at, size })
        };
        let entries = match l.region().and_then(|r| r.layout.as_ref()) {
            // A region binds whole buffers, each once.
            Some(layout) => {
                let operands: Vec<SlotId> = l.reads.iter().chain(&l.writes).map(|a| a.slot).collect();
                let buffers = layout.buffers(l.reads.len()).into_iter();
                let buffers = buffers.map(|(first, _)| slots[operands[first].0].buffer.as_entire_binding());
                buffers.chain((!dispatch.uniform.is_empty()).then(uniform)).collect()
            }
            None => kernel_entries(l, slots, &compiled.layout.access, unused, uniform),
        };
        let entries: Vec<wgpu::BindGroupEntry<'_>> = entries
            .into_iter()
            .enumerate()
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding: binding as u32, resource })
            .collect();
        let bindings = gpu.guarded(&format!("binding '{}'", l.label), || {
            gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&l.label),
                layout: &compiled.layout.bindings,
                entries: &entries,
            })
        })?;
        stats.bind_groups_created += 1;
        out.push(Ready { compiled, bindings, groups: dispatch.groups, seconds: seconds(gpu, l) });
    }
    Ok(out)
}

/// What a kernel binds, in the order of its shader.
fn kernel_entries<'b>(
    l: &Launch,
    slots: &'b [SlotInfo],
    access: &[Access],
    unused: &'b wgpu::Buffer,
    uniform: impl Fn() -> wgpu::BindingResource<'b>,
) -> Vec<wgpu::BindingResource<'b>> {
    let (mut reads, mut writes) = (l.reads.iter(), l.writes.iter());
    let mut next = |access: &Access| {
        let arg = match access {
            Access::Uniform => return uniform(),
            Access::Read => reads.next(),
            Access::Write => writes.next(),
        };
        // Results that this launch does without go to a buffer that nobody reads.
        arg.map_or_else(|| unused.as_entire_binding(), |a| slots[a.slot.0].binding())
    };
    access.iter().map(&mut next).collect()
}

/// About how long a launch takes, by rates that the slower devices of a kind reach.
fn seconds(gpu: &Gpu, l: &Launch) -> f64 {
    let (flops, bytes, launch) = match gpu.kind() {
        AdapterKind::Discrete => (1e12, 2e11, 5e-6),
        AdapterKind::Integrated | AdapterKind::Virtual => (1e11, 2e10, 1e-5),
        AdapterKind::Cpu | AdapterKind::Other => (2e9, 2e9, 2e-5),
    };
    let Work { flops: f, bytes: b } = l.work();
    launch + (f / flops).max(b / bytes)
}
