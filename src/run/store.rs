//! Values that live on a device and belong to no plan alone: what one plan writes, another reads, without a trip to the host.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::cpu::CpuRunner;
use super::device::Device;
#[cfg(feature = "gpu")]
use super::gpu::{GpuRunner, SharedBuffer};
use super::session::{Runner, Session};
use crate::error::{Error, Result};
use crate::kernel::Buffer;
use crate::plan::{Plan, Port};
use crate::spec::{DType, Shape, count};

/// Named values on a device that several plans share. Clones share them, too.
///
/// A graph says which of its data, states and outputs may lie in a store ([`Graph::stored`](crate::graph::Graph::stored)). The first
/// plan that is prepared in a store with such a name makes the value, all zeros; later plans with that name read and write
/// the same buffer. So the output of one plan is the input of another in its next run. The other inputs and outputs of a
/// plan are its own. A value lives as long as the store, or a session that uses it.
///
/// Runs on a GPU are carried out in the order in which they were asked for. On the CPU path one plan of a store runs at a
/// time: another one that is started meanwhile, on another thread, ends in an error.
///
/// ```
/// use hyperloom::graph::Graph;
/// use hyperloom::plan::lower;
/// use hyperloom::Device;
///
/// let device = Device::Cpu;
/// // A hypernetwork at its smallest: it reads one number of a task and writes the two weights of a line.
/// let mut g = Graph::new();
/// let (z, h) = (g.data("z", &[1, 1]), g.data("h", &[1, 2]));
/// let w = g.matmul(z, h);
/// g.output("weights", w);
/// g.stored("weights");
/// let generate = lower(&g, device.caps(1))?;
/// // The line, on three rows.
/// let mut g = Graph::new();
/// let e = g.expr();
/// let (x, w) = (e.data("x", &[3, 1]), e.data("weights", &[1, 2]));
/// let y = (x * w.slice(1, 0, 1) + w.slice(1, 1, 1)).value();
/// g.output("y", y);
/// g.stored("weights");
/// let predict = lower(&g, device.caps(1))?;
///
/// let store = device.store();
/// let (mut generate, mut predict) = (store.prepare(generate)?, store.prepare(predict)?);
/// generate.write("z", &[2.0])?;
/// generate.write("h", &[1.0, 0.5])?;
/// predict.write("x", &[0.0, 1.0, 2.0])?;
/// generate.run(1)?;
/// predict.run(1)?; // the weights have not left the device
/// assert_eq!(predict.read("y")?, [1.0, 3.0, 5.0]);
/// assert_eq!(store.read("weights")?, [2.0, 1.0]);
/// # Ok::<(), hyperloom::Error>(())
/// ```
#[derive(Clone)]
pub struct Store {
    device: Device,
    values: Arc<Mutex<BTreeMap<String, Stored>>>,
}

/// A value of a store.
struct Stored {
    shape: Shape,
    dtype: DType,
    memory: Memory,
}

/// Where a value lies.
enum Memory {
    Cpu(Shared),
    #[cfg(feature = "gpu")]
    Gpu(SharedBuffer),
}

/// A buffer in main memory that goes into the slot of a plan while the plan runs.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Buffer<f32>>>);

impl Shared {
    /// The buffer, for one plan at a time. Waiting for it could wait for ever: threads of a pool that wait for parts of
    /// one plan start another meanwhile.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, Buffer<f32>>> {
        self.0.try_lock().map_err(|e| {
            Error::Device(match e {
                TryLockError::WouldBlock => {
                    "a value of a store is in use: another plan of the store runs on another thread".into()
                }
                TryLockError::Poisoned(_) => "a plan of a store panicked, its values are lost".into(),
            })
        })
    }
}

/// The contents of a buffer as words.
pub(super) fn words(buffer: &Buffer<f32>) -> &[u32] {
    match buffer {
        Buffer::F(x) => bytemuck::cast_slice(x),
        Buffer::U(x) => x,
    }
}

/// The contents of a buffer as words, to be written.
pub(super) fn words_mut(buffer: &mut Buffer<f32>) -> &mut [u32] {
    match buffer {
        Buffer::F(x) => bytemuck::cast_slice_mut(x),
        Buffer::U(x) => x,
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values();
        let shapes: BTreeMap<&String, &Shape> = values.iter().map(|(n, v)| (n, &v.shape)).collect();
        f.debug_struct("Store").field("device", &self.device).field("values", &shapes).finish()
    }
}

impl Store {
    pub(super) fn new(device: Device) -> Store {
        Store { device, values: Arc::default() }
    }

    fn values(&self) -> MutexGuard<'_, BTreeMap<String, Stored>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Names and shapes of the values that are there.
    pub fn shapes(&self) -> Vec<(String, Shape)> {
        self.values().iter().map(|(n, v)| (n.clone(), v.shape.clone())).collect()
    }

    /// Whether there is a value of that name.
    pub fn has(&self, name: &str) -> bool {
        self.values().contains_key(name)
    }

    /// Allocates a plan's slots, as [`Device::prepare`] does, but for what the store has already.
    ///
    /// # Errors
    /// [`Error::Shape`] where a value of that name has another shape or element type; [`Error::Memory`] or [`Error::Device`]
    /// where the device refuses.
    pub fn prepare(&self, plan: Plan) -> Result<Session> {
        let mut values = self.values();
        let ports: Vec<(Port, DType)> = (plan.stored.iter())
            .filter_map(|name| plan.port(name))
            .map(|p| (p.clone(), plan.slots[p.arg.slot.0].dtype))
            .collect();
        for (port, dtype) in &ports {
            if let Some(v) = values.get(&port.name)
                && (&v.shape, v.dtype) != (&port.shape, *dtype)
            {
                return Err(Error::Shape(format!(
                    "'{}' is {:?} of {:?} in the store, and {:?} of {dtype:?} in the plan",
                    port.name, v.shape, v.dtype, port.shape
                )));
            }
        }
        let mut shared = Vec::new();
        let runner = match &self.device {
            Device::Cpu | Device::CpuByLaunch => {
                let mut runner = CpuRunner::prepare(&plan);
                for (port, dtype) in ports {
                    let slot = port.arg.slot;
                    let own = std::mem::replace(runner.slot_mut(slot), Buffer::U(vec![]));
                    let value = values.entry(port.name).or_insert_with(|| {
                        let memory = Memory::Cpu(Shared(Arc::new(Mutex::new(own))));
                        Stored { shape: port.shape, dtype, memory }
                    });
                    match &value.memory {
                        Memory::Cpu(buffer) => shared.push((slot, buffer.clone())),
                        #[cfg(feature = "gpu")]
                        Memory::Gpu(_) => {}
                    }
                }
                Runner::Cpu(Box::new(runner))
            }
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => {
                let there: Vec<_> = (ports.iter())
                    .filter_map(|(port, _)| match &values.get(&port.name)?.memory {
                        Memory::Gpu(buffer) => Some((port.arg.slot, buffer)),
                        Memory::Cpu(_) => None,
                    })
                    .collect();
                let runner = GpuRunner::prepare_with(gpu, &plan, &there)?;
                for (port, dtype) in ports {
                    values.entry(port.name).or_insert_with(|| {
                        let memory = Memory::Gpu(runner.share(port.arg.slot));
                        Stored { shape: port.shape, dtype, memory }
                    });
                }
                Runner::Gpu(Box::new(runner))
            }
        };
        Ok(Session::new(plan, runner, shared))
    }

    /// Reads a value, in row-major order, after all runs that were asked for.
    ///
    /// # Errors
    /// [`Error::Shape`] where there is no such value of f32; [`Error::Device`] where the device fails, and on the CPU path
    /// while a plan uses the value.
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        let mut values = self.values();
        let value = Store::value(&mut values, name, DType::F32, None)?;
        match &mut value.memory {
            Memory::Cpu(buffer) => Ok(words(&*buffer.lock()?).iter().map(|w| f32::from_bits(*w)).collect()),
            #[cfg(feature = "gpu")]
            Memory::Gpu(buffer) => {
                let words = buffer.read(0..count(&value.shape))?;
                Ok(words.into_iter().map(f32::from_bits).collect())
            }
        }
    }

    /// Writes a value, all of it.
    ///
    /// # Errors
    /// As for [`Store::read`], and [`Error::Shape`] where there are more numbers or fewer.
    pub fn write(&self, name: &str, values: &[f32]) -> Result<()> {
        self.write_words(name, DType::F32, bytemuck::cast_slice(values))
    }

    /// Writes a value of u32, all of it.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub fn write_u32(&self, name: &str, values: &[u32]) -> Result<()> {
        self.write_words(name, DType::U32, values)
    }

    fn write_words(&self, name: &str, dtype: DType, bits: &[u32]) -> Result<()> {
        let mut values = self.values();
        let value = Store::value(&mut values, name, dtype, Some(bits.len()))?;
        match &mut value.memory {
            Memory::Cpu(buffer) => words_mut(&mut *buffer.lock()?).copy_from_slice(bits),
            #[cfg(feature = "gpu")]
            Memory::Gpu(buffer) => buffer.write(bits)?,
        }
        Ok(())
    }

    /// The value of that name, type and number of elements.
    fn value<'v>(
        values: &'v mut BTreeMap<String, Stored>,
        name: &str,
        dtype: DType,
        len: Option<usize>,
    ) -> Result<&'v mut Stored> {
        let known = values.keys().cloned().collect::<Vec<_>>().join(", ");
        let Some(v) = values.get_mut(name) else {
            return Err(Error::Shape(format!("the store has no '{name}' (it has: {known})")));
        };
        if v.dtype != dtype || len.is_some_and(|len| len != count(&v.shape)) {
            let given = len.map_or(String::new(), |len| format!("{len} numbers of "));
            return Err(Error::Shape(format!(
                "'{name}' is {:?} of {:?} in the store, not {given}{dtype:?}",
                v.shape, v.dtype
            )));
        }
        Ok(v)
    }
}
