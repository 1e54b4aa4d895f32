//! A region on the CPU: sixteen tasks at once, one a SIMD lane.
//!
//! A local is a row of vectors, element by element, with a lane a task; all locals lie in one arena, which
//! is kept small enough for a cache where that can be had. Groups of sixteen tasks are given to threads one by one. Which task is in which lane depends on its
//! number alone, and lanes never meet, so any number of threads gives the same bits.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use pulp::Arch;
use smallvec::SmallVec;

use blocks::work;
use windows::windowed;
mod blocks;
mod windows;

use crate::graph::op::{Binary, Func, Num};
use crate::kernel::lanes::{LANES, Lane};
use crate::kernel::nest::Family;
use crate::kernel::parallel::{Shared, pieces};
use crate::kernel::{Buffer, Kernel, MatMul, Read, Write, transposed};
use crate::region::{Base, Block, DEPTH, Life, Local, Operand, Region, Stage};
use crate::spec::{Activation, MAX_RANK};
use crate::view::{View, collapse};

/// A region with every local placed in the arena.
#[derive(Debug)]
pub struct LaneProgram {
    /// Elements of the arena.
    arena: usize,
    /// Operations of all tasks.
    flops: f64,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    /// Fetches `len` elements of each task.
    Load(Transfer),
    Store(Transfer),
    Run(Box<Instruction>),
    Loop {
        n: usize,
        body: Vec<Step>,
    },
}

#[derive(Debug)]
struct Transfer {
    operand: usize,
    offset: usize,
    stride: usize,
    len: usize,
    at: usize,
    /// By how many elements it moves with the outermost loop.
    step: isize,
}

impl Transfer {
    /// The first element of task 0, in this repetition.
    fn first(&self, turns: [usize; DEPTH]) -> usize {
        (self.offset as isize + self.step * turns[0] as isize) as usize
    }
}

/// Where an operand lies: an element of the arena, or of what a shared operand holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub(super) shared: Option<usize>,
    pub(super) base: usize,
    pub(super) steps: [isize; DEPTH],
}

#[derive(Debug)]
pub(super) struct Instruction {
    pub(super) kind: Kind,
    /// Operands read, then those written.
    pub(super) addresses: Vec<Address>,
}

/// What a block does; views are relative to the addresses.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a few dozen a program, read in order")]
pub(super) enum Kind {
    Fill {
        value: f32,
        y: View,
    },
    Map {
        func: Func,
        y: View,
        x: View,
    },
    Zip {
        op: Binary,
        pre: Option<Func>,
        y: View,
        a: View,
        b: View,
    },
    Select {
        y: View,
        c: View,
        a: View,
        b: View,
    },
    Sum {
        dot: bool,
        y: View,
        a: View,
        b: View,
    },
    /// Computed at the last operand (its argument, where that is wanted), then activated into the fourth.
    Product {
        /// Batch axes beyond that of the tasks: of the result and the operands.
        batch: [View; 4],
        /// m, n, k
        sizes: [usize; 3],
        /// Distances of rows and columns, as `batch`.
        strides: [(usize, usize); 4],
        bias: bool,
        /// Function, result and argument.
        act: Option<(Func, View, View)>,
    },
    /// A kernel's own text, over all operands.
    Own {
        kernel: Kernel,
        views: Vec<View>,
    },
}

impl LaneProgram {
    /// Places the locals and resolves the blocks.
    pub(crate) fn new(region: &Region) -> LaneProgram {
        let (region, windows) = windowed(region);
        let lives = region.lives();
        let (places, arena) = place(&region, &lives);
        let mut steps = Vec::new();
        let mut at = 0;
        let used = Uses { locals: &region.locals, places: &places, touches: &region.touches() };
        // What is fetched or stored at a stage: as a whole, or of one repetition of it.
        let transfers = |stage: usize, here: &Range<usize>, load: bool, part: bool| {
            let mut due = Vec::new();
            for (i, local) in region.locals.iter().enumerate() {
                let (Some(o), Some(life)) = (local.backing, lives[i]) else { continue };
                let wanted = if load {
                    o.load && here.contains(&life.first)
                } else {
                    o.store && here.contains(&life.last)
                };
                let window = windows[i];
                if !wanted || window.is_some() != part || window.is_some_and(|w| w.stage != stage) {
                    continue;
                }
                due.push(Transfer {
                    operand: o.operand,
                    offset: o.offset + window.map_or(0, |w| w.first),
                    stride: o.stride,
                    len: local.len,
                    at: places[i],
                    step: window.map_or(0, |w| w.step),
                });
            }
            due
        };
        for (number, stage) in region.stages.iter().enumerate() {
            let here = at..at + stage.blocks().len();
            at = here.end;
            steps.extend(transfers(number, &here, true, false).into_iter().map(Step::Load));
            let mut own = used.steps(std::slice::from_ref(stage));
            if let [Step::Loop { body, .. }] = &mut own[..] {
                let parts = transfers(number, &here, true, true).into_iter().map(Step::Load);
                body.splice(0..0, parts);
                body.extend(transfers(number, &here, false, true).into_iter().map(Step::Store));
            }
            steps.extend(own);
            steps.extend(transfers(number, &here, false, false).into_iter().map(Step::Store));
        }
        LaneProgram { arena, flops: region.flops(), steps }
    }
}

/// Locals, where they lie, and how many operands of blocks each is.
struct Uses<'r> {
    locals: &'r [Local],
    places: &'r [usize],
    touches: &'r [usize],
}

impl Uses<'_> {
    fn steps(&self, stages: &[Stage]) -> Vec<Step> {
        let run = |b: &Block| Step::Run(Box::new(Instruction::new(b, self.places)));
        let (mut steps, mut rest) = (Vec::new(), stages);
        while let [stage, after @ ..] = rest {
            rest = after;
            steps.push(match (stage, after.first()) {
                (Stage::Block(b), Some(Stage::Block(next))) => match self.accumulated(b, next) {
                    Some(both) => {
                        rest = &after[1..];
                        run(&both)
                    }
                    None => run(b),
                },
                (Stage::Block(b), _) => run(b),
                (Stage::Loop { n, body }, _) => Step::Loop { n: *n, body: self.steps(body) },
            });
        }
        steps
    }

    /// A product and the addition of it to a sum, as gradients over some rows at a time are, in one: what the product gives is
    /// added as it leaves the registers, by the same operations.
    fn accumulated(&self, b: &Block, next: &Block) -> Option<Block> {
        let (Kernel::MatMul(p), Kernel::Zip(z)) = (&b.kernel, &next.kernel) else { return None };
        let ([part], [sum, added], [to]) = (&b.writes[..], &next.reads[..], &next.writes[..]) else {
            return None;
        };
        let plain = !p.bias && p.act == Activation::Identity && (z.op, z.pre) == (Binary::Add, None);
        let one = added == part && sum == to && sum.view.dims == part.view.dims;
        // Nothing else reads the part, no slot takes it, and the sum is no operand of the product.
        let own = part.local().is_some_and(|l| self.touches[l] == 2 && self.locals[l].backing.is_none())
            && b.reads.iter().all(|o| o.at != sum.at);
        (plain && one && own).then(|| Block {
            kernel: Kernel::MatMul(MatMul { bias: true, ..*p }),
            reads: vec![b.reads[0], b.reads[1], *sum],
            writes: vec![*to],
            label: b.label.clone(),
        })
    }
}

/// Offsets of the locals in the arena, the longest first, and the arena's length.
fn place(region: &Region, lives: &[Option<Life>]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(region.locals[i].len));
    let packed = region.pack(lives, &order, |_| false, usize::MAX);
    let mut places = vec![0; lives.len()];
    for &(i, at) in &packed.kept {
        places[i] = at;
    }
    (places, packed.len[0])
}

impl Instruction {
    fn new(b: &Block, places: &[usize]) -> Instruction {
        let address = |o: &Operand| match o.at {
            Base::Local(l) => Address { shared: None, base: places[l] + o.view.offset, steps: o.steps },
            Base::Shared(r) => Address { shared: Some(r), base: o.view.offset, steps: o.steps },
        };
        let relative = |o: &Operand| View { offset: 0, ..o.view };
        let reads: Vec<View> = b.reads.iter().map(relative).collect();
        let y = relative(&b.writes[0]);
        let kind = match &b.kernel {
            Kernel::Fill(f) => Kind::Fill { value: f.value as f32, y: collapse([y])[0] },
            Kernel::Copy(_) => {
                let [y, x] = collapse([y, reads[0]]);
                Kind::Map { func: Func::Affine(Num(1.0), Num(0.0)), y, x }
            }
            Kernel::Map(m) => {
                let [y, x] = collapse([y, reads[0]]);
                Kind::Map { func: m.func, y, x }
            }
            Kernel::Zip(z) => {
                let [y, a, b] = collapse([y, reads[0], reads[1]]);
                Kind::Zip { op: z.op, pre: z.pre, y, a, b }
            }
            Kernel::Select(_) => {
                let [y, c, a, b] = collapse([y, reads[0], reads[1], reads[2]]);
                Kind::Select { y, c, a, b }
            }
            Kernel::SumTo(s) => {
                // The axes that are summed come last, so that sums are kept in a register; the result steps by 0
                // along them.
                let mut full = y;
                full.dims = reads[0].dims;
                let summed = |i: &usize| y.dims[*i] == 1 && full.dims[*i] > 1;
                let (late, mut order): (Vec<usize>, Vec<usize>) = (0..MAX_RANK).partition(summed);
                order.extend(late);
                let [y, a, b] = collapse([full, reads[0], reads[1]].map(|v| v.permute(&order)));
                Kind::Sum { dot: s.dot, y, a, b }
            }
            Kernel::MatMul(p) => {
                let (r, c) = (MAX_RANK - 2, MAX_RANK - 1);
                let outer = |v: &View| {
                    let mut v = View { dims: y.dims, ..*v };
                    (v.dims[r], v.dims[c], v.strides[r], v.strides[c]) = (1, 1, 0, 0);
                    v
                };
                let of = |v: &View| (v.strides[r], v.strides[c]);
                let target = b.writes.last().map_or(y, relative);
                let plain = p.act == Activation::Identity && b.writes.len() == 1;
                let act = (!plain).then(|| {
                    let [y, z] = collapse([y, target]);
                    (Func::Act(p.act, 0), y, z)
                });
                Kind::Product {
                    batch: [outer(&target), outer(&reads[0]), outer(&reads[1]), outer(&reads[2])],
                    sizes: [y.dims[r], y.dims[c], reads[0].dims[c]],
                    strides: [of(&target), of(&reads[0]), of(&reads[1]), of(&reads[2])],
                    bias: p.bias,
                    act,
                }
            }
            other => {
                assert!(other.family() == Family::Own, "a region has no block '{}'", other.name());
                let views = b.reads.iter().chain(&b.writes).map(relative).collect();
                Kind::Own { kernel: other.clone(), views }
            }
        };
        Instruction { kind, addresses: b.reads.iter().chain(&b.writes).map(address).collect() }
    }
}

thread_local! {
    /// The arena of a thread, kept between launches.
    static ARENA: RefCell<Vec<Lane>> = const { RefCell::new(Vec::new()) };
}

/// Runs a region in f32.
pub(in crate::region) fn run(region: &Region, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
    let program = region.lanes.0.get_or_init(|| Arc::new(LaneProgram::new(region)));
    // Of words the bits.
    let shared: SmallVec<[&[f32]; 16]> = reads
        .iter()
        .map(|r| match r.buffer {
            Buffer::F(x) => x.as_slice(),
            Buffer::U(x) => bytemuck::cast_slice(x),
        })
        .collect();
    let arch = Arch::new();
    let stored: SmallVec<[Shared<f32>; 16]> = writes.iter_mut().map(|w| Shared(w.f().as_mut_ptr())).collect();
    pieces(region.tasks.div_ceil(LANES), program.flops, |group| {
        ARENA.with_borrow_mut(|arena| {
            if arena.len() < program.arena {
                arena.resize(program.arena, Lane::ZERO);
            }
            let first = group * LANES;
            let count = LANES.min(region.tasks - first);
            // SAFETY: `plan::verify` has checked that operands lie inside locals and slots; locals whose
            // lives meet lie apart in the arena; stored parts of different tasks are disjoint.
            let group =
                Group { arch, arena: arena.as_mut_ptr(), shared: &shared, stored: &stored, first, count };
            unsafe { group.run(&program.steps, [0; DEPTH], 0) }
        });
    });
}

/// Sixteen tasks at work.
struct Group<'r> {
    arch: Arch,
    arena: *mut Lane,
    shared: &'r [&'r [f32]],
    stored: &'r [Shared<f32>],
    /// The first task, and how many there are.
    first: usize,
    count: usize,
}

impl Group<'_> {
    /// Runs steps in the given repetition of each of the `depth` loops around them.
    ///
    /// # Safety
    /// The program fits the arena and the operands.
    unsafe fn run(&self, steps: &[Step], turns: [usize; DEPTH], depth: usize) {
        let Group { arch, arena, shared, stored, first, count } = *self;
        for step in steps {
            // SAFETY: promised by the caller.
            unsafe {
                match step {
                    Step::Load(t) => {
                        let slot = match t.operand.checked_sub(shared.len()) {
                            Some(w) => stored[w].get().cast_const(),
                            None => shared[t.operand].as_ptr(),
                        };
                        // Lanes without a task repeat the last one.
                        let rows: [*const f32; LANES] = std::array::from_fn(|l| {
                            slot.add(t.first(turns) + (first + l.min(count - 1)) * t.stride)
                        });
                        load(rows, t.len, arena.add(t.at));
                    }
                    Step::Store(t) => {
                        let slot = stored[t.operand - shared.len()].get();
                        let mut rows = [std::ptr::null_mut(); LANES];
                        for (l, row) in rows.iter_mut().enumerate().take(count) {
                            *row = slot.add(t.first(turns) + (first + l) * t.stride);
                        }
                        store(arena.add(t.at).cast_const(), t.len, &rows[..count]);
                    }
                    Step::Run(w) => work(arch, w, turns, arena, shared, first),
                    Step::Loop { n, body } => {
                        let mut turns = turns;
                        for turn in 0..*n {
                            turns[depth] = turn;
                            self.run(body, turns, depth + 1);
                        }
                    }
                }
            }
        }
    }
}

/// Sixteen rows of numbers to one row of vectors. Blocks of 4 x 4 are transposed in registers.
unsafe fn load(rows: [*const f32; LANES], len: usize, to: *mut Lane) {
    let whole = len - len % 4;
    // SAFETY: each row has `len` elements, and so has the result.
    unsafe {
        for i in (0..whole).step_by(4) {
            for l in (0..LANES).step_by(4) {
                let block = transposed(std::array::from_fn(|k| {
                    rows[l + k].add(i).cast::<[f32; 4]>().read_unaligned()
                }));
                for (e, part) in block.into_iter().enumerate() {
                    to.add(i + e).cast::<f32>().add(l).cast::<[f32; 4]>().write(part);
                }
            }
        }
        for i in whole..len {
            to.add(i).write(Lane(std::array::from_fn(|l| *rows[l].add(i))));
        }
    }
}

/// One row of vectors to rows of numbers.
unsafe fn store(from: *const Lane, len: usize, rows: &[*mut f32]) {
    // Lanes in whole blocks of four, and the rest.
    let (blocks, lanes) = (len - len % 4, rows.len() - rows.len() % 4);
    // SAFETY: each row has `len` elements, and so has the source.
    unsafe {
        for i in (0..blocks).step_by(4) {
            for l in (0..lanes).step_by(4) {
                let block = transposed(std::array::from_fn(|e| {
                    from.add(i + e).cast::<f32>().add(l).cast::<[f32; 4]>().read()
                }));
                for (k, part) in block.into_iter().enumerate() {
                    rows[l + k].add(i).cast::<[f32; 4]>().write_unaligned(part);
                }
            }
        }
        for (l, row) in rows.iter().enumerate() {
            for i in if l < lanes { blocks } else { 0 }..len {
                *row.add(i) = from.add(i).cast::<f32>().add(l).read();
            }
        }
    }
}
