//! A model that an application keeps ready: it adapts and predicts again and again, without a graph, a plan or a pipeline made anew, and on the CPU path without an allocation.
//!
//! ```
//! # use hyperloom::adapt::Adaptation;
//! # use hyperloom::hyper::HyperSpec;
//! # use hyperloom::net::Net;
//! # use hyperloom::rng::Rng;
//! # use hyperloom::spec::Activation;
//! # use hyperloom::task::Likelihood;
//! use hyperloom::{Device, Model, Prepared, PreparedSizes};
//! # let net = Net::mlp(&[1, 8, 1], Activation::Tanh);
//! # let weights = net.layout().init(&mut Rng::new(0, 0));
//! # let (adaptation, one) = (Adaptation::fine_tuning(0.1, 10.0), Likelihood::values(1));
//! # let model = Model::new(HyperSpec::shared(net), one, adaptation, weights)?;
//! // Up to 8 known rows of one task, 2 rows at a time that are asked about, 50 steps.
//! let sizes = PreparedSizes { support_rows: 8, rows: 2, ..PreparedSizes::default() };
//! let mut ready = Prepared::new(&Device::Cpu, &model, sizes, Some(50))?;
//! let mut said = [0.0; 2];
//! for level in [0.2, 0.6] {
//!     ready.adapt(&[0.0, 1.0], &[level, level], &[])?; // two rows are known
//!     ready.predict(&[0.25, 0.75], &mut said)?;
//!     assert!(said.iter().all(|y| (y - level).abs() < 0.2));
//! }
//! # Ok::<(), hyperloom::Error>(())
//! ```

use super::model::Model;
use super::whole::{COUNT, Share, Whole};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::plan::{KEEP, lower};
use crate::run::{Device, Session, Store};

/// What networks are handed over in, from the plan that makes them to the one that asks them.
const NETWORK: &str = "network";

/// What there is to be room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreparedSizes {
    /// Tasks that learn, and are asked, side by side.
    pub tasks: usize,
    /// Support rows of a task at most.
    pub support_rows: usize,
    /// Rows of each task that are asked about at once.
    pub rows: usize,
}

impl Default for PreparedSizes {
    /// One task, 16 support rows, and one row.
    fn default() -> PreparedSizes {
        PreparedSizes { tasks: 1, support_rows: 16, rows: 1 }
    }
}

/// A model prepared for sizes up to a bound on a device.
///
/// What it makes of a task is what [`Model::adapt`] makes of it, and what it says of rows what
/// [`Network::predict`](super::model::Network::predict) says. Values have the tasks as their first axis; rows of a task that do not count may hold anything.
///
/// | value | shape | what |
/// |---|---|---|
/// | `support_x`, `support_y` | `[tasks, support_rows, ..]` | the rows that are known |
/// | `shots` | `[tasks]` | how many of them count, 1 to `support_rows` |
/// | `descriptor` | `[tasks, d]` | what else is known, where the model reads it |
/// | `network` | `[tasks, numbers]` | weights of each task's networks, one after another, and their shares where the support decides these |
/// | `x`, `y` | `[tasks, rows, ..]` | rows that are asked about, and what is said of them |
#[derive(Debug)]
pub struct Prepared {
    adapt: Session,
    predict: Session,
    store: Store,
    sizes: PreparedSizes,
    inputs: usize,
    outputs: usize,
    descriptor: usize,
    /// Rows as they are written: those that are known, and room behind them.
    support_x: Vec<f32>,
    support_y: Vec<f32>,
    shots: Vec<f32>,
}

impl Prepared {
    /// Prepares a model for adaptation in so many steps (`None`: as many as were chosen, and networks weighed as was chosen).
    ///
    /// # Errors
    /// [`Error::Shape`] where a size is 0 or the network says of a row what depends on others, [`Error::Memory`] with numbers where the device has no room.
    pub fn new(
        device: &Device,
        model: &Model,
        sizes: PreparedSizes,
        steps: Option<usize>,
    ) -> Result<Prepared> {
        let PreparedSizes { tasks, support_rows, rows } = sizes;
        if tasks == 0 || rows == 0 {
            return Err(Error::Shape(format!(
                "room for {tasks} tasks and {rows} rows: at least one of each is needed"
            )));
        }
        let whole = Whole::of(model, Some(tasks), support_rows, steps)?;
        let mut graph = Graph::new();
        graph.keep(KEEP);
        let networks = whole.networks(&mut graph);
        let packed = whole.packed(&mut graph, &networks);
        graph.output(NETWORK, packed);
        graph.stored(NETWORK);
        let weighed = networks.iter().any(|(_, share)| matches!(share, Share::Given(_)));
        let mut asking = whole.predict(rows, networks.len(), weighed);
        asking.stored(NETWORK);
        let store = device.store();
        let mut adapt = store.prepare(lower(&graph, device.caps(1))?)?;
        let predict = store.prepare(lower(&asking, device.caps(1))?)?;
        adapt.write("weights", &whole.weights())?;
        if adapt.has_input("task") {
            adapt.write_u32("task", &vec![whole.unknown_task(); tasks])?;
        }
        let (inputs, outputs) = (model.spec.target.inputs(), model.likelihood.outputs);
        let mut ready = Prepared {
            adapt,
            predict,
            store,
            sizes,
            inputs,
            outputs,
            descriptor: model.spec.condition.descriptor,
            support_x: vec![0.0; tasks * support_rows * inputs],
            support_y: vec![0.0; tasks * support_rows * outputs],
            shots: vec![1.0; tasks],
        };
        // What is made in the first call.
        ready.adapt.run(1)?;
        ready.predict.run(1)?;
        Ok(ready)
    }

    /// Sizes that it has room for.
    pub fn sizes(&self) -> PreparedSizes {
        self.sizes
    }

    /// Numbers of `network`, for each task.
    pub fn network_numbers(&self) -> usize {
        let port = self.adapt.plan().output(NETWORK);
        port.map_or(0, |port| port.shape.iter().product::<usize>() / self.sizes.tasks)
    }

    /// Has its one task learn from support rows `xs [n, i]`, `ys [n, o]` (of classes a 1 for the class of a row, else 0), and from a descriptor where the model reads one.
    ///
    /// # Errors
    /// [`Error::Shape`] where there is room for several tasks, the arrays do not fit, or hold NaN or infinity.
    pub fn adapt(&mut self, xs: &[f32], ys: &[f32], descriptor: &[f32]) -> Result<()> {
        if self.sizes.tasks != 1 {
            return Err(Error::Shape(format!(
                "there is room for {} tasks: adapt_all has them learn",
                self.sizes.tasks
            )));
        }
        self.adapt_all(&[(xs, ys)], descriptor)
    }

    /// Has all tasks learn, each from its support rows; of fewer than there is room for the others stay undefined. Descriptors `[tasks, d]` lie one after another.
    ///
    /// # Errors
    /// As for [`Prepared::adapt`], naming the task by its number.
    pub fn adapt_all(&mut self, support: &[(&[f32], &[f32])], descriptors: &[f32]) -> Result<()> {
        let PreparedSizes { tasks, support_rows, .. } = self.sizes;
        let (i, o) = (self.inputs, self.outputs);
        if support.is_empty() || support.len() > tasks || descriptors.len() != support.len() * self.descriptor
        {
            return Err(Error::Shape(format!(
                "{} tasks with {} numbers of descriptors: 1 to {tasks} tasks with {} numbers each are possible",
                support.len(),
                descriptors.len(),
                self.descriptor
            )));
        }
        for (t, (xs, ys)) in support.iter().enumerate() {
            let rows = ys.len() / o;
            if rows == 0 || rows > support_rows || xs.len() != rows * i || ys.len() != rows * o {
                return Err(Error::Shape(format!(
                    "task {t} has {} and {} numbers: 1 to {support_rows} rows of {i} inputs and {o} outputs are possible",
                    xs.len(),
                    ys.len()
                )));
            }
            if !xs.iter().chain(*ys).all(|v| v.is_finite()) {
                return Err(Error::Shape(format!("task {t} has a number that is not finite")));
            }
            self.support_x[t * support_rows * i..][..xs.len()].copy_from_slice(xs);
            self.support_y[t * support_rows * o..][..ys.len()].copy_from_slice(ys);
            self.shots[t] = rows as f32;
        }
        if !descriptors.iter().all(|v| v.is_finite()) {
            return Err(Error::Shape("a descriptor has a number that is not finite".into()));
        }
        if descriptors.len() == tasks * self.descriptor {
            if self.descriptor > 0 {
                self.adapt.write("descriptor", descriptors)?;
            }
        } else {
            let mut all = descriptors.to_vec();
            all.resize(tasks * self.descriptor, 0.0);
            self.adapt.write("descriptor", &all)?;
        }
        self.adapt.write("support_x", &self.support_x)?;
        self.adapt.write("support_y", &self.support_y)?;
        self.adapt.write(COUNT, &self.shots)?;
        self.adapt.run(1)?;
        Ok(())
    }

    /// What the networks of the tasks say, `y [tasks, rows, o]`, of rows `x [tasks, rows, i]`: values, or logarithms of class probabilities.
    ///
    /// # Errors
    /// [`Error::Shape`] where the arrays have other sizes, or x holds NaN or infinity.
    pub fn predict(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        if !x.iter().all(|v| v.is_finite()) {
            return Err(Error::Shape("the rows hold a number that is not finite".into()));
        }
        self.predict.write("x", x)?;
        self.predict.run(1)?;
        self.predict.read_into("y", y)
    }

    /// The networks of the tasks as numbers, to be kept: `[tasks, numbers]`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn networks(&mut self) -> Result<Vec<f32>> {
        self.store.read(NETWORK)
    }

    /// Puts networks that were kept in the place of those of the tasks.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are more or fewer numbers.
    pub fn set_networks(&mut self, networks: &[f32]) -> Result<()> {
        self.store.write(NETWORK, networks)
    }
}

/// On an application's own device, in its own passes.
#[cfg(feature = "gpu")]
impl Prepared {
    /// The part of a buffer on the device that a value is (see the table above), for an application that writes or copies it there. `None` on the CPU path, and where there is no
    /// such value.
    pub fn buffer(&self, value: &str) -> Option<wgpu::BufferSlice<'_>> {
        self.adapt.buffer(value).or_else(|| self.predict.buffer(value))
    }

    /// Records adaptation into an application's own encoder, from what then lies in the buffers. `None` on the CPU path.
    pub fn record_adapt(&self, encoder: &mut wgpu::CommandEncoder) -> Option<()> {
        self.adapt.record(encoder)
    }

    /// Records prediction: of `x` and the networks that then lie in the buffers to `y`. `None` on the CPU path.
    pub fn record_predict(&self, encoder: &mut wgpu::CommandEncoder) -> Option<()> {
        self.predict.record(encoder)
    }
}
