//! Which GPU, and an open one: the list of adapters, the rule that picks among them, and [`Gpu`], a device
//! with its queue and its pipelines.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;
use serde::Serialize;

use super::cache::Cache;
use super::class::{LOOP_PASSES, PASSES, PASSES_IN_SOFTWARE, region_caps};
use super::guard::guarded;
use super::pipeline::{Compiled, Key, Layout};
use super::shader::Source;
use crate::error::{Error, Result};
use crate::kernel::{Dispatch, FILL};
use crate::plan::{Caps, Launch};
use crate::region::{GroupCaps, RegionCaps};
use crate::run::available_memory;

/// What kind of device an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU lent to a virtual machine.
    Virtual,
    /// The processor, by a software rasteriser.
    Cpu,
    /// Unknown.
    Other,
}

impl AdapterKind {
    fn of(info: &wgpu::AdapterInfo) -> AdapterKind {
        match info.device_type {
            wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
            wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
            wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
            wgpu::DeviceType::Cpu => AdapterKind::Cpu,
            wgpu::DeviceType::Other => AdapterKind::Other,
        }
    }

    /// Place in the automatic choice; `None` is never chosen unasked.
    fn rank(self) -> Option<u32> {
        match self {
            AdapterKind::Discrete => Some(0),
            AdapterKind::Integrated => Some(1),
            AdapterKind::Virtual | AdapterKind::Cpu | AdapterKind::Other => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            AdapterKind::Discrete => "discrete GPU",
            AdapterKind::Integrated => "integrated GPU",
            AdapterKind::Virtual => "virtual GPU",
            AdapterKind::Cpu => "software rasteriser",
            AdapterKind::Other => "device of unknown kind",
        }
    }
}

/// A device that wgpu offers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterReport {
    /// Its number, by which it can be asked for.
    pub index: usize,
    /// The name the driver gives.
    pub name: String,
    /// The interface: `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// What kind of device it is.
    pub kind: AdapterKind,
    /// Driver and its version.
    pub driver: String,
    /// Largest buffer a kernel can bind, in bytes.
    pub max_binding: u64,
    /// Largest buffer, in bytes.
    pub max_buffer: u64,
    /// Memory of a workgroup, in bytes.
    pub workgroup_memory: u32,
    /// Threads of a workgroup.
    pub workgroup_threads: u32,
    /// Whether launches can be timed on the device.
    pub timestamps: bool,
    /// Whether the automatic choice may take it.
    pub eligible: bool,
    /// Why it may or may not.
    pub note: String,
}

/// Vulkan, Metal and DX12; no validation layers, which are for the developers of wgpu.
fn instance() -> wgpu::Instance {
    let mut desc = wgpu::InstanceDescriptor::new_without_display_handle();
    desc.backends = wgpu::Backends::PRIMARY;
    desc.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(desc)
}

fn enumerate() -> Vec<wgpu::Adapter> {
    pollster::block_on(instance().enumerate_adapters(wgpu::Backends::PRIMARY))
}

fn driver(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info).trim().to_string()
}

fn report(index: usize, adapter: &wgpu::Adapter) -> AdapterReport {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let kind = AdapterKind::of(&info);
    let lacks = lacking(&limits);
    let (eligible, note) = match (kind.rank(), lacks) {
        (_, Some(lack)) => (false, lack),
        (Some(_), None) => (true, format!("a {}", kind.words())),
        (None, None) => (false, format!("a {}: used only when asked for", kind.words())),
    };
    AdapterReport {
        index,
        backend: info.backend.to_str().to_string(),
        kind,
        driver: driver(&info),
        name: info.name,
        max_binding: limits.max_storage_buffer_binding_size,
        max_buffer: limits.max_buffer_size,
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        workgroup_threads: limits.max_compute_invocations_per_workgroup,
        timestamps: adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY),
        eligible,
        note,
    }
}

/// What limits lack of what the kernels need: no more than WebGPU's default limits.
fn lacking(l: &wgpu::Limits) -> Option<String> {
    let needs = [
        ("storage buffers in a kernel", l.max_storage_buffers_per_shader_stage as u64, 5),
        ("threads in a workgroup", l.max_compute_invocations_per_workgroup as u64, 256),
        ("bytes of workgroup memory", l.max_compute_workgroup_storage_size as u64, 16_384),
        ("workgroups along an axis", l.max_compute_workgroups_per_dimension as u64, 65_535),
    ];
    let lack = needs.iter().find(|(_, has, need)| has < need);
    lack.map(|(what, has, need)| format!("it has {has} {what}, {need} are needed"))
}

/// Every adapter, in the order of their numbers. Empty where there is none.
pub fn adapters() -> Vec<AdapterReport> {
    enumerate().iter().enumerate().map(|(i, a)| report(i, a)).collect()
}

/// Pipelines that a device keeps, and shaders: a training plan has 10 to 60.
const MAX_PIPELINES: usize = 512;

/// An open GPU. Clones share one device, its queue and its compiled pipelines.
#[derive(Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
    /// Whether plans for it may have task regions.
    regions: bool,
}

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: wgpu::Limits,
    reason: String,
    checked: bool,
    /// Set when the driver reports the device lost (only of devices opened here).
    lost: Arc<OnceLock<String>>,
    layouts: Cache<Source, Arc<Layout>>,
    pipelines: Cache<Key, Arc<Compiled>>,
}

/// The same device, opened once, and plans for it alike.
impl PartialEq for Gpu {
    fn eq(&self, other: &Gpu) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner) && self.regions == other.regions
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("device", &self.describe()).field("checked", &self.inner.checked).finish()
    }
}

impl Gpu {
    /// Opens adapter `index` of [`adapters`], of whatever kind; without an index the first discrete GPU,
    /// else the first integrated one. `checked` keeps the bounds checks in the kernels (slower; for tests).
    /// `None` where there is no such GPU.
    ///
    /// # Errors
    /// [`Error::Device`] where the adapter is there but cannot be opened or lacks what the kernels need.
    pub fn open(index: Option<usize>, checked: bool) -> Result<Option<Gpu>> {
        let adapters = enumerate();
        let chosen = match index {
            Some(i) => adapters.into_iter().nth(i).map(|a| (a, format!("adapter {i}, as asked for"))),
            None => adapters
                .into_iter()
                .filter(|a| lacking(&a.limits()).is_none())
                .filter_map(|a| AdapterKind::of(&a.get_info()).rank().map(|rank| (rank, a)))
                .min_by_key(|(rank, _)| *rank)
                .map(|(_, a)| {
                    let kind = AdapterKind::of(&a.get_info()).words();
                    (a, format!("the first {kind}"))
                }),
        };
        chosen.map(|(adapter, reason)| Gpu::request(&adapter, reason, checked)).transpose()
    }

    /// Opens the first software rasteriser (for tests: it conforms, and is slow). `None` where none is
    /// installed.
    ///
    /// # Errors
    /// [`Error::Device`] where it cannot be opened.
    pub fn software(checked: bool) -> Result<Option<Gpu>> {
        let mut adapters = enumerate().into_iter();
        let found = adapters.find(|a| AdapterKind::of(&a.get_info()) == AdapterKind::Cpu);
        found.map(|a| Gpu::request(&a, "a software rasteriser, as asked for".into(), checked)).transpose()
    }

    fn request(adapter: &wgpu::Adapter, reason: String, checked: bool) -> Result<Gpu> {
        let info = adapter.get_info();
        let limits = adapter.limits();
        if let Some(lack) = lacking(&limits) {
            return Err(Error::Device(format!("{} cannot be used: {lack}", info.name)));
        }
        let desc = wgpu::DeviceDescriptor {
            label: Some("hyperloom"),
            required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            // All that the adapter has: large bindings above all.
            required_limits: limits,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&desc))
            .map_err(|e| Error::Device(format!("{} cannot be opened: {e}", info.name)))?;
        let lost = Arc::new(OnceLock::new());
        let flag = Arc::clone(&lost);
        device.set_device_lost_callback(move |_, message| {
            let _ = flag.set(message);
        });
        let gpu = Gpu::build(device, queue, reason, checked, lost);
        log::info!("device: {} ({})", gpu.describe(), gpu.inner.reason);
        Ok(gpu)
    }

    /// A device that the application opened itself; WebGPU's default limits suffice. Its handlers stay as
    /// they are, so that its loss shows with the next read only.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue, checked: bool) -> Gpu {
        Gpu::build(device, queue, "handed over by the application".into(), checked, Arc::default())
    }

    fn build(
        device: wgpu::Device,
        queue: wgpu::Queue,
        reason: String,
        checked: bool,
        lost: Arc<OnceLock<String>>,
    ) -> Gpu {
        let (info, limits) = (device.adapter_info(), device.limits());
        let (layouts, pipelines) = (Cache::new(MAX_PIPELINES), Cache::new(MAX_PIPELINES));
        Gpu {
            inner: Arc::new(Inner { device, queue, info, limits, reason, checked, lost, layouts, pipelines }),
            regions: true,
        }
    }

    /// What to lower for, with a window of `window` steps. wgpu does not tell how much memory a discrete
    /// GPU has: there the limit is left open, and [`super::GpuRunner::prepare`] reports what is refused.
    pub fn caps(&self, window: usize) -> Caps {
        let own_memory = self.kind() == AdapterKind::Discrete;
        let memory = if own_memory { u64::MAX } else { available_memory() };
        // A software driver gives a core a workgroup after another.
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let fill = if self.kind() == AdapterKind::Cpu { 2 * cores } else { FILL };
        Caps {
            window,
            max_binding: self.max_binding(),
            memory,
            fill,
            threads: 1,
            regions: self.regions.then(|| self.region_caps()),
        }
    }

    /// The same device, for plans whose launches all run by themselves.
    #[must_use]
    pub fn without_regions(self) -> Gpu {
        Gpu { regions: false, ..self }
    }

    fn region_caps(&self) -> RegionCaps {
        let l = &self.inner.limits;
        let group = GroupCaps {
            bytes: l.max_compute_workgroup_storage_size as usize,
            threads: l.max_compute_invocations_per_workgroup as usize,
            operands: l.max_storage_buffers_per_shader_stage as usize,
            passes: if self.kind() == AdapterKind::Cpu { PASSES_IN_SOFTWARE } else { PASSES },
            loop_passes: LOOP_PASSES,
        };
        region_caps(group)
    }

    /// Name, kind, interface and driver in one line.
    pub fn describe(&self) -> String {
        let i = &self.inner.info;
        let kind = self.kind().words();
        format!("{} ({kind}, {}, {})", i.name, i.backend.to_str(), driver(i))
    }

    /// Why this device was chosen.
    pub fn reason(&self) -> String {
        self.inner.reason.clone()
    }

    /// What kind of device it is.
    pub fn kind(&self) -> AdapterKind {
        AdapterKind::of(&self.inner.info)
    }

    /// Whether kernels run with bounds checks.
    pub fn checked(&self) -> bool {
        self.inner.checked
    }

    /// The device, for an application that shares it.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The queue, for an application that shares it.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// Number of compiled pipelines that are kept, 512 at most.
    pub fn pipelines(&self) -> usize {
        self.inner.pipelines.len()
    }

    /// Largest buffer that a launch can bind, in bytes.
    pub(super) fn max_binding(&self) -> u64 {
        self.inner.limits.max_storage_buffer_binding_size.min(self.inner.limits.max_buffer_size)
    }

    pub(super) fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }

    /// An error once the device has been reported lost.
    pub(super) fn alive(&self) -> Result<()> {
        match self.inner.lost.get() {
            Some(message) => Err(Error::Device(format!("{} was lost: {message}", self.inner.info.name))),
            None => Ok(()),
        }
    }

    /// Runs wgpu calls; their errors, and the loss of the device, come back as an error.
    pub(super) fn guarded<T>(&self, what: &str, calls: impl FnOnce() -> T) -> Result<T> {
        let out = guarded(&self.inner.device, what, calls)?;
        self.alive()?;
        Ok(out)
    }

    /// How each launch goes to the device, with its pipeline. What is not compiled yet is compiled on all cores: drivers take from
    /// milliseconds to a second for each.
    pub(super) fn pipelines_of(&self, launches: &[Launch]) -> Result<Vec<(Dispatch, Arc<Compiled>)>> {
        let keyed = launches.par_iter().map(|launch| {
            let dispatch = launch.dispatch();
            Ok((Key::new(Source::of(launch)?, &dispatch.constants), dispatch))
        });
        let keyed: Vec<(Key, Dispatch)> = keyed.collect::<Result<_>>()?;
        let distinct: HashMap<&Key, &Dispatch> =
            keyed.iter().map(|(key, dispatch)| (key, dispatch)).collect();
        let compiled =
            distinct.into_par_iter().map(|(key, dispatch)| Ok((key, self.pipeline(key, dispatch)?)));
        let compiled: HashMap<&Key, Arc<Compiled>> = compiled.collect::<Result<_>>()?;
        let found: Vec<Arc<Compiled>> = keyed.iter().map(|(key, _)| compiled[key].clone()).collect();
        Ok(keyed.into_iter().zip(found).map(|((_, dispatch), found)| (dispatch, found)).collect())
    }

    fn pipeline(&self, key: &Key, dispatch: &Dispatch) -> Result<Arc<Compiled>> {
        self.inner.pipelines.get(key, || {
            let source = key.source();
            let layout = self.inner.layouts.get(source, || Layout::new(self, source).map(Arc::new))?;
            Compiled::new(self, layout, &dispatch.constants).map(Arc::new)
        })
    }
}
