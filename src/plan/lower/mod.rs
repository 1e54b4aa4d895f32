//! From graph to plan: which launches, over which buffers.
//!
//! Views cost nothing here (reshape, permute, slice, expand); pieces of a concatenation are written where
//! they end up; a product takes its bias and activation with it, a sum its product, a product with an
//! activation's derivative that derivative. Everything else is one launch an op, until launches become task regions, and on
//! GPUs chains.

mod chains;
mod chunks;
mod emit;
mod fuse;
mod group;
mod pieces;
mod scan;
mod split;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::memory::{Buffer, assign_slots, places_in_buffers, share_buffers};
use super::verify::verify;
use super::{Arg, Caps, Launch, Plan, Port, Program, SlotId, SlotRole};
use crate::error::{Error, Result};
use crate::graph::op::{Func, Op};
use crate::graph::{Graph, Role, Value};
use crate::kernel::{self, Kernel};
use crate::region::chunks::Chunks;
use crate::region::{DEPTH, Region};
use crate::spec::{Activation, DType, count};
use crate::view::View;

/// Lowers a graph. The window of `caps` is the number of steps between two visits of the host.
///
/// # Errors
/// [`Error::Memory`] with the numbers when the slots need more than `caps.memory` or one slot more than
/// `caps.max_binding`; nothing has been allocated then.
pub fn lower(graph: &Graph, caps: Caps) -> Result<Plan> {
    // Scans stay loops where a region takes them; the others are written out.
    let mut g = Cow::Borrowed(graph);
    if graph.nodes().iter().any(|n| matches!(n.op, Op::Scan(_))) {
        g = Cow::Owned(graph.unrolled(|_| caps.regions.is_none(), true));
    }
    let mut refused = BTreeMap::new();
    loop {
        let mut l = Lowering::new(&g, caps, &refused);
        l.inputs();
        l.nodes();
        match l.finish()? {
            Lowered::Plan(plan) => return Ok(*plan),
            Lowered::Loops(left) => {
                // Groups have other numbers then.
                g = Cow::Owned(g.unrolled(|v| left.contains(&v), false));
                refused.clear();
            }
            Lowered::Refused(group, why) => {
                refused.insert(group, why);
            }
        }
    }
}

/// What came of a lowering.
enum Lowered {
    Plan(Box<Plan>),
    /// These scans are in no region.
    Loops(Vec<Value>),
    /// The region made of this group of launches is none that the device can run.
    Refused(usize, String),
}

/// Where a value lies: a buffer (not yet a slot) and a view of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    buffer: usize,
    view: View,
    /// By how many elements it moves from one repetition to the next of each loop around it, the outermost first.
    steps: [isize; DEPTH],
}

impl Place {
    fn new(buffer: usize, view: View) -> Place {
        Place { buffer, view, steps: [0; DEPTH] }
    }
}

/// A launch over buffers that are not slots yet.
#[derive(Clone, Debug)]
struct Draft {
    kernel: Kernel,
    reads: Vec<Place>,
    writes: Vec<Place>,
    label: String,
}

/// What the lowering puts one after another.
#[derive(Clone, Debug)]
enum Item {
    Launch(Draft),
    /// Repeated launches of the scan of that number, and loops in it: only inside of a region.
    Loop {
        scan: Value,
        n: usize,
        body: Vec<Item>,
    },
    /// A region and the buffers it reads and writes as a whole.
    Region {
        region: Region,
        reads: Vec<usize>,
        writes: Vec<usize>,
        label: String,
        /// Which of the groups of launches it was made of.
        group: usize,
    },
    /// Chunks of tasks, the launches that are repeated for each, and the buffers that are read and written as a whole.
    Chunks {
        chunks: Box<Chunks>,
        drafts: Vec<Draft>,
        reads: Vec<usize>,
        writes: Vec<usize>,
    },
}

/// A product of matrices or a convolution, with what it takes along.
#[derive(Clone, Copy)]
struct FusedProduct {
    value: Value,
    bias: Option<Value>,
    /// `a b + bias`, where something beside the activation reads it.
    sum: Option<Value>,
    act: Option<(Activation, Value)>,
}

struct Lowering<'g> {
    g: &'g Graph,
    caps: Caps,
    live: Vec<bool>,
    users: Vec<Vec<Value>>,
    /// Values that have no launch of their own.
    absorbed: Vec<bool>,
    /// Products, by the value at which they are launched.
    products: HashMap<Value, FusedProduct>,
    /// Sums of products.
    dots: HashMap<Value, (Value, Value)>,
    /// Multiplications by an activation's derivative, sums with a scaled value: (other operand, argument, function).
    chains: HashMap<Value, (Value, Value, Func)>,
    /// Values written straight into a concatenation: which, and the view of its buffer.
    inside: HashMap<Value, (Value, View)>,
    places: HashMap<Value, Place>,
    buffers: Vec<Buffer>,
    items: Vec<Item>,
    /// The phase of the graph that each item belongs to.
    phases: Vec<usize>,
    phase: usize,
    /// Loops around what is lowered.
    depth: usize,
    /// What is in no region, and why.
    notes: Vec<String>,
    /// Groups of launches that an earlier lowering found no region for, and why.
    refused: &'g BTreeMap<usize, String>,
    constants: Vec<f64>,
    constant_buffer: Option<usize>,
    inputs: Vec<(Value, Place)>,
    counter: Option<usize>,
}

impl<'g> Lowering<'g> {
    fn new(g: &'g Graph, caps: Caps, refused: &'g BTreeMap<usize, String>) -> Lowering<'g> {
        let n = g.nodes().len();
        let mut live = vec![false; n];
        let mut stack: Vec<Value> = g.outputs().iter().chain(g.records()).map(|(_, v)| *v).collect();
        stack.extend(g.updates().iter().flat_map(|(s, v)| [*s, *v]));
        while let Some(v) = stack.pop() {
            if !std::mem::replace(&mut live[v.index()], true) {
                stack.extend(&g.node(v).inputs);
            }
        }
        let mut users = vec![Vec::new(); n];
        for i in (0..n).filter(|&i| live[i]) {
            for x in &g.nodes()[i].inputs {
                users[x.index()].push(Value(i as u32));
            }
        }
        // Values seen from outside count as used once more, so that they are never absorbed.
        for (_, v) in g.outputs().iter().chain(g.records()) {
            users[v.index()].push(*v);
        }
        for (_, v) in g.updates() {
            users[v.index()].push(*v);
        }
        Lowering {
            g,
            caps,
            refused,
            live,
            users,
            absorbed: vec![false; n],
            products: HashMap::new(),
            dots: HashMap::new(),
            chains: HashMap::new(),
            inside: HashMap::new(),
            places: HashMap::new(),
            buffers: Vec::new(),
            items: Vec::new(),
            phases: Vec::new(),
            phase: 0,
            depth: 0,
            notes: Vec::new(),
            constants: Vec::new(),
            constant_buffer: None,
            inputs: Vec::new(),
            counter: None,
        }
    }

    /// Launches for all nodes that are needed.
    fn nodes(&mut self) {
        self.fuse();
        self.place_pieces();
        for i in 0..self.g.nodes().len() {
            let v = Value(i as u32);
            self.phase = self.g.phase_of(v);
            if self.live[i] && !self.absorbed[i] {
                self.emit(v);
            }
        }
    }

    fn shape(&self, v: Value) -> &'g [usize] {
        self.g.shape(v)
    }

    fn op(&self, v: Value) -> &'g Op {
        &self.g.node(v).op
    }

    fn only_user(&self, v: Value) -> Option<Value> {
        match self.users[v.index()][..] {
            [u] if u != v => Some(u),
            _ => None,
        }
    }

    fn buffer(&mut self, role: SlotRole, dtype: DType, len: usize, label: impl Into<String>) -> usize {
        self.buffers.push(Buffer { role, dtype, len, label: label.into() });
        self.buffers.len() - 1
    }

    fn whole(&mut self, role: SlotRole, dtype: DType, shape: &[usize], label: &str) -> Place {
        let buffer = self.buffer(role, dtype, count(shape), label);
        Place::new(buffer, View::contiguous(shape, 0))
    }

    /// Buffers for inputs; the rows of this step are fetched first.
    fn inputs(&mut self) {
        let mut rows: HashMap<DType, Vec<Value>> = HashMap::new();
        for (i, node) in self.g.nodes().iter().enumerate() {
            let (Op::Input(k), true) = (&node.op, self.live[i]) else { continue };
            let (v, input) = (Value(i as u32), &self.g.inputs()[*k]);
            let role = match input.role {
                Role::Data => SlotRole::Data,
                Role::State => SlotRole::State,
                Role::Step => {
                    rows.entry(node.dtype).or_default().push(v);
                    continue;
                }
            };
            let place = self.whole(role, node.dtype, &node.shape, &input.name);
            self.places.insert(v, place);
            self.inputs.push((v, place));
        }
        if !rows.is_empty() || !self.g.records().is_empty() {
            self.counter = Some(self.buffer(SlotRole::State, DType::U32, 1, "counter"));
        }
        for dtype in [DType::F32, DType::U32] {
            let Some(values) = rows.get(&dtype) else { continue };
            let len: usize = values.iter().map(|v| count(self.shape(*v))).sum();
            let label = if dtype == DType::F32 { "window" } else { "window.u32" };
            let window = self.whole(SlotRole::Window, dtype, &[self.caps.window, len], label);
            let row = self.whole(SlotRole::Scratch, dtype, &[len], "row");
            let counter = self.counter_place();
            self.launch(Kernel::RowRead(kernel::RowRead), vec![window, counter], vec![row], "step");
            let mut at = 0;
            for &v in values {
                let view = View::contiguous(self.shape(v), at);
                at += count(self.shape(v));
                self.places.insert(v, Place::new(row.buffer, view));
                self.inputs.push((v, Place::new(window.buffer, view)));
            }
        }
    }

    fn counter_place(&self) -> Place {
        Place::new(self.counter.unwrap_or(0), View::contiguous(&[1], 0))
    }

    fn launch(&mut self, kernel: Kernel, reads: Vec<Place>, writes: Vec<Place>, label: &str) {
        let label =
            if label.is_empty() { kernel.name().to_string() } else { format!("{label}/{}", kernel.name()) };
        self.push(Item::Launch(Draft { kernel, reads, writes, label }));
    }

    fn push(&mut self, item: Item) {
        self.items.push(item);
        self.phases.push(self.phase);
    }

    fn finish(mut self) -> Result<Lowered> {
        let g = self.g;
        let (mut outputs, mut of_stored) = (Vec::new(), Vec::new());
        for (name, v) in g.outputs() {
            let place = self.place(*v);
            // What the host reads keeps a buffer of its own; inputs and states are copied there.
            let (role, len) = (self.buffers[place.buffer].role, self.buffers[place.buffer].len);
            let own = matches!(role, SlotRole::Scratch | SlotRole::Output);
            // What is stored has it for itself, from end to end.
            let stored = g.stored_names().contains(name);
            let shape = self.shape(*v);
            let whole = place.view == View::contiguous(shape, 0) && len == count(shape);
            let alone = !stored || (whole && role == SlotRole::Scratch);
            let place = match own && alone && !of_stored.contains(&place.buffer) {
                true => place,
                false => self.copied(place, *v),
            };
            of_stored.extend(stored.then_some(place.buffer));
            self.buffers[place.buffer].role = SlotRole::Output;
            outputs.push((name.clone(), *v, place));
        }
        let ring = (!g.records().is_empty()).then(|| {
            let shape = [self.caps.window, g.records().len()];
            self.whole(SlotRole::Records, DType::F32, &shape, "records")
        });
        if let Some(ring) = ring {
            for (column, (name, v)) in g.records().iter().enumerate() {
                let x = self.shaped(*v, &[1]);
                let counter = self.counter_place();
                self.launch(
                    Kernel::RowWrite(kernel::RowWrite { column }),
                    vec![x, counter],
                    vec![ring],
                    name,
                );
            }
        }
        // New contents that are a view of some state are copied before any state changes.
        let mut ready = Vec::new();
        for (state, v) in g.updates() {
            let optimiser = matches!(self.op(*v), Op::AdamW { .. } | Op::Sgd { .. });
            let operands = if optimiser { g.node(*v).inputs[1..].to_vec() } else { vec![*v] };
            let mut reads = Vec::new();
            for x in operands {
                let p = self.place(x);
                let role = self.buffers[p.buffer].role;
                reads.push(if role == SlotRole::State { self.copied(p, x) } else { p });
            }
            ready.push((*state, *v, optimiser, reads));
        }
        for (state, v, optimiser, reads) in ready {
            let target = self.place(state);
            let kernel = match *self.op(v) {
                Op::AdamW { beta1, beta2, eps, decay } => Kernel::AdamW(kernel::AdamW {
                    beta1: beta1.0,
                    beta2: beta2.0,
                    eps: eps.0,
                    decay: decay.0,
                }),
                Op::Sgd { momentum, decay } => {
                    Kernel::Sgd(kernel::Sgd { momentum: momentum.0, decay: decay.0 })
                }
                _ => Kernel::Copy(kernel::CopyKernel),
            };
            assert!(
                !optimiser || g.node(v).inputs[0] == state,
                "an optimiser step must update the state it reads"
            );
            self.launch(kernel, reads, vec![target], "update");
        }
        if self.counter.is_some() {
            let counter = self.counter_place();
            self.launch(Kernel::Advance(kernel::Advance), vec![], vec![counter], "step");
        }
        self.chunk();
        let left = self.group();
        if !left.is_empty() {
            return Ok(Lowered::Loops(left));
        }
        self.chain();
        self.assemble(outputs, ring)
    }

    fn assemble(self, outputs: Vec<(String, Value, Place)>, ring: Option<Place>) -> Result<Lowered> {
        let buffers = |places: &[Place]| places.iter().map(|p| p.buffer).collect::<Vec<_>>();
        let touched: Vec<(Vec<usize>, Vec<usize>)> = self
            .items
            .iter()
            .map(|item| match item {
                Item::Launch(d) => (buffers(&d.reads), buffers(&d.writes)),
                Item::Region { reads, writes, .. } | Item::Chunks { reads, writes, .. } => {
                    (reads.clone(), writes.clone())
                }
                Item::Loop { .. } => unreachable!("loops that are in no region have been written out"),
            })
            .collect();
        let (slots, slot_of) = assign_slots(&self.buffers, &touched);
        let arg = |p: &Place| Arg { slot: SlotId(slot_of[p.buffer]), view: p.view };
        let whole =
            |b: &usize| Arg { slot: SlotId(slot_of[*b]), view: View::contiguous(&[self.buffers[*b].len], 0) };
        let mut launches: Vec<Launch> = self
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Launch(d) => {
                    let [reads, writes] =
                        [&d.reads, &d.writes].map(|places| places.iter().map(arg).collect());
                    let launch = Launch::new(d.kernel.clone(), reads, writes, d.label.clone());
                    Some(launch.for_device(self.caps.fill))
                }
                Item::Region { region, reads, writes, label, .. } => {
                    let [reads, writes] = [reads, writes].map(|buffers| buffers.iter().map(whole).collect());
                    Some(Launch::new(Program::Region(Arc::new(region.clone())), reads, writes, label.clone()))
                }
                Item::Chunks { chunks, reads, writes, .. } => {
                    let [reads, writes] = [reads, writes].map(|buffers| buffers.iter().map(whole).collect());
                    Some(Launch::new(Program::Chunks(Arc::new((**chunks).clone())), reads, writes, "tasks"))
                }
                Item::Loop { .. } => None,
            })
            .collect();
        let name = |v: Value| match self.op(v) {
            Op::Input(k) => self.g.inputs()[*k].name.clone(),
            _ => String::new(),
        };
        let inputs = self.inputs.iter().map(|(v, p)| (name(*v), *p));
        let named = inputs.chain(outputs.iter().map(|(n, _, p)| (n.clone(), *p)));
        let named = named.filter(|(n, _)| self.g.stored_names().contains(n));
        let (stored_names, stored): (Vec<String>, Vec<SlotId>) =
            named.map(|(n, p)| (n, SlotId(slot_of[p.buffer]))).unzip();
        let shared_buffers = match self.caps.regions.and_then(|r| r.group) {
            Some(group) => {
                let shared = share_buffers(&slots, &launches, &stored, group.operands, self.caps.max_binding);
                let places = places_in_buffers(&slots, &shared);
                for (item, l) in self.items.iter().zip(&mut launches) {
                    let buffers = l.bind(&places);
                    if let (Item::Region { group: number, .. }, true) = (item, buffers > group.operands) {
                        let why = format!("{buffers} buffers, the device binds {} at most", group.operands);
                        return Ok(Lowered::Refused(*number, why));
                    }
                }
                shared
            }
            None => vec![],
        };
        let port =
            |(v, p): &(Value, Place)| Port { name: name(*v), arg: arg(p), shape: self.shape(*v).to_vec() };
        let is_step = |p: &Place| self.buffers[p.buffer].role == SlotRole::Window;
        let unused = self.g.nodes().iter().enumerate().filter(|(i, _)| !self.live[*i]);
        let unused = unused.filter_map(|(_, n)| match n.op {
            Op::Input(k) => Some(self.g.inputs()[k].name.clone()),
            _ => None,
        });
        let unused = unused.collect();
        let plan = Plan {
            launches,
            inputs: self.inputs.iter().filter(|(_, p)| !is_step(p)).map(port).collect(),
            steps: self.inputs.iter().filter(|(_, p)| is_step(p)).map(port).collect(),
            unused,
            outputs: outputs
                .iter()
                .map(|(name, v, p)| Port { name: name.clone(), arg: arg(p), shape: self.shape(*v).to_vec() })
                .collect(),
            stored: stored_names,
            records: self.g.records().iter().map(|(n, _)| n.clone()).collect(),
            window: self.caps.window,
            counter: self.counter.map(|b| SlotId(slot_of[b])),
            ring: ring.map(|p| SlotId(slot_of[p.buffer])),
            notes: self.notes,
            constants: self.constant_buffer.map(|b| (SlotId(slot_of[b]), self.constants.clone())),
            shared_buffers,
            slots,
        };
        fits(&plan, self.caps)?;
        if let Err(fault) = verify(&plan) {
            panic!("the lowering made a plan that is not legal: {fault}");
        }
        Ok(Lowered::Plan(Box::new(plan)))
    }
}

/// Refuses, with numbers, what cannot be allocated.
fn fits(plan: &Plan, caps: Caps) -> Result<()> {
    if let Some(s) =
        plan.slots.iter().find(|s| 4 * s.len as u64 > caps.max_binding || s.len > u32::MAX as usize)
    {
        return Err(Error::Memory(format!(
            "the buffer '{}' needs {}, and one buffer holds at most {}; fewer tasks a batch or a smaller network would fit",
            s.label,
            bytes(4 * s.len as u64),
            bytes(caps.max_binding.min(16 << 30))
        )));
    }
    if plan.bytes() > caps.memory {
        return Err(Error::Memory(format!(
            "the plan needs {}, and {} are there; fewer tasks a batch or a smaller network would fit",
            bytes(plan.bytes()),
            bytes(caps.memory)
        )));
    }
    Ok(())
}

/// A number of bytes in words.
pub fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", n as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", n as f64 / 1_073_741_824.0),
    }
}
