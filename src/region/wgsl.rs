//! A region as one shader: the hand-written blocks of `shaders/region/`, one a block of the region, with its sizes,
//! strides and places written in as numbers.

mod blocks;
mod spot;

use std::fmt::Write;
use std::iter::zip;

use crate::kernel::Kernel;
use crate::region::{At, Block, DEPTH, GroupLayout, Home, Operand, Placed, Region, Stage};
use blocks::{Functions, pointwise, product, rows, sum};
use spot::{Spot, four, next};

macro_rules! blocks {
    ($($name:ident = $file:literal),*) => {
        $(const $name: &str = include_str!(concat!("../../shaders/region/", $file, ".wgsl"));)*
        /// Names of the files.
        pub const BLOCKS: &[&str] = &[$($file),*];
    };
}

blocks! {
    REGION = "region", PRODUCT = "product", PRODUCT_ROW = "product_row", POINTWISE = "pointwise",
    POINTWISE_QUADS = "pointwise_quads", SUM = "sum", SUM_QUADS = "sum_quads", LOG_SOFTMAX = "log_softmax",
    CROSS_ENTROPY = "cross_entropy"
}

/// The names of a block that stand for functions of its own.
const NAMES: [&str; 20] = [
    "block",
    "a_start",
    "b_start",
    "a_term",
    "b_term",
    "a_terms",
    "a_square",
    "b_square",
    "finish",
    "y_put",
    "y_put_quad",
    "z_put",
    "z_put_quad",
    "y_at",
    "value",
    "term",
    "x_get",
    "x_at",
    "p_get",
    "p_at",
];

/// The repetition of each loop, the outermost first.
const TURNS: [&str; DEPTH] = ["turn", "inner_turn"];

/// The text of a region's shader, imports not expanded; its bindings are the buffers that the operands lie in, the first
/// `reads` of which are only read.
///
/// # Panics
/// When the region was not lowered for a GPU.
pub fn text(region: &Region, reads: usize) -> String {
    let Some(layout) = &region.layout else { panic!("the region was lowered for the CPU") };
    let size = |elements: usize| (elements * layout.together).max(1).to_string();
    let mut out = REGION.replace("WORDS", &size(layout.words)).replace("QUADS", &size(layout.quads / 4));
    for (i, (_, written)) in layout.buffers(reads).into_iter().enumerate() {
        let access = if written { "read_write" } else { "read" };
        let _ = writeln!(out, "@group(0) @binding({i}) var<storage, {access}> buffer{i}: array<f32>;");
    }
    let mut s =
        Stitch { region, layout, out, main: String::new(), pending: Pending::default(), transfers: 0 };
    s.body();
    let Stitch { mut out, main, .. } = s;
    let GroupLayout { threads, together, words, quads, .. } = layout;
    let tasks = region.tasks;
    let _ = write!(
        out,
        "
@compute @workgroup_size({})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {{
    let first = group_index(group, groups) * {together}u;
    if first >= {tasks}u {{
        return; // the whole workgroup
    }}
    zero = groups.z - 1u;
    local = index % {threads}u;
    task = first + index / {threads}u;
    live = task < {tasks}u;
    task = min(task, {}u);
    base = index / {threads}u * {words}u;
    corner = index / {threads}u * {quads}u;
{main}}}
",
        threads * together,
        tasks - 1,
    );
    out
}

/// What a block touches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    Words,
    Quads,
    Slot(usize),
}

/// A stretch of memory that a block touches: which memory, from and to, whether it is written.
#[derive(Clone, Copy)]
struct Touch {
    space: Space,
    from: usize,
    to: usize,
    write: bool,
}

impl Touch {
    fn conflicts(&self, o: &Touch) -> bool {
        (self.write || o.write) && self.space == o.space && self.from < o.to && o.from < self.to
    }

    fn in_slot(&self) -> bool {
        matches!(self.space, Space::Slot(_))
    }
}

struct Stitch<'r> {
    region: &'r Region,
    layout: &'r GroupLayout,
    out: String,
    main: String,
    pending: Pending,
    transfers: usize,
}

/// What has been touched, and no barrier has made known to the other threads yet.
#[derive(Default)]
struct Pending {
    touches: Vec<Touch>,
}

impl Pending {
    /// Whether a barrier must stand before what is touched next, and if so, whether one for slots, too.
    fn barrier_before(&self, next: &[Touch]) -> Option<bool> {
        let hits: Vec<&Touch> = self.touches.iter().filter(|t| next.iter().any(|o| t.conflicts(o))).collect();
        (!hits.is_empty()).then(|| hits.iter().any(|t| t.in_slot()))
    }

    /// A barrier: one without slots orders workgroup memory alone.
    fn after(&mut self, slots: bool) {
        self.touches.retain(|t| !slots && t.in_slot());
    }
}

/// Replaces whole words.
fn rename(text: &str, k: usize) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        out.push_str(word);
        if NAMES.contains(&word.as_str()) {
            let _ = write!(out, "_{k}");
        }
        word.clear();
    };
    for c in text.chars() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    out
}

impl Stitch<'_> {
    fn body(&mut self) {
        let lives = self.region.lives();
        let placed = self.region.blocks();
        let mut blocks = placed.iter();
        let mut at = 0;
        for stage in &self.region.stages {
            let len = stage.blocks().len();
            let here = at..at + len;
            for (i, life) in lives.iter().enumerate() {
                let starts = life.is_some_and(|l| here.contains(&l.first));
                if starts && self.region.locals[i].outside.is_some_and(|o| o.load) {
                    self.transfer(i, true);
                }
            }
            self.stage(stage, &mut blocks, 0);
            for (i, life) in lives.iter().enumerate() {
                let ends = life.is_some_and(|l| here.contains(&l.last));
                if ends && self.region.locals[i].outside.is_some_and(|o| o.store) {
                    self.transfer(i, false);
                }
            }
            at += len;
        }
    }

    /// What is done in a stage with `depth` loops around it; its blocks come next.
    fn stage<'r>(&mut self, stage: &Stage, blocks: &mut impl Iterator<Item = &'r Placed<'r>>, depth: usize) {
        let indent = "    ".repeat(depth + 1);
        match stage {
            Stage::Block(_) => self.block(blocks.next().expect("a block of the region"), &indent),
            Stage::Loop { n, body } => {
                self.barrier(&indent, true);
                let turn = TURNS[depth];
                // Barriers lie inside: the bound must be the same for all threads as compilers see it, which a private
                // variable never is, `zero` neither.
                let _ = writeln!(
                    self.main,
                    "{indent}for (var i = 0u; i < {n}u + (groups.z - 1u); i++) {{\n{indent}    {turn} = i;"
                );
                for stage in body {
                    self.stage(stage, blocks, depth + 1);
                }
                self.barrier(&format!("{indent}    "), true);
                let _ = writeln!(self.main, "{indent}}}");
            }
        }
    }

    fn barrier(&mut self, indent: &str, slots: bool) {
        if slots {
            let _ = writeln!(self.main, "{indent}storageBarrier();");
        }
        let _ = writeln!(self.main, "{indent}workgroupBarrier();");
        self.pending.after(slots);
    }

    /// Waits for the other threads where that matters to what is touched next.
    fn wait(&mut self, touches: &[Touch], indent: &str) {
        if let Some(slots) = self.pending.barrier_before(touches) {
            self.barrier(indent, slots);
        }
        self.pending.touches.extend_from_slice(touches);
    }

    /// Copies a local that lies in memory from its slot, or back.
    fn transfer(&mut self, local: usize, load: bool) {
        let (home, len) = (self.layout.homes[local], self.region.locals[local].len);
        let Some(o) = self.region.locals[local].outside.filter(|_| !matches!(home, Home::Slot { .. })) else {
            return;
        };
        let whole = |home, write| {
            let (space, at) = match home {
                Home::Words(at) => (Space::Words, at),
                Home::Quads(at) => (Space::Quads, at),
                Home::Slot { operand, .. } => (Space::Slot(operand), 0),
            };
            let to = if matches!(space, Space::Slot(_)) { usize::MAX } else { at + len };
            Spot { home: self.bound(home), turn: String::new(), touch: Touch { space, from: at, to, write } }
        };
        let memory = whole(home, load);
        let slot = whole(Home::Slot { operand: o.operand, offset: o.offset, stride: o.stride }, !load);
        self.wait(&[memory.touch, slot.touch], "    ");
        let n = self.transfers;
        self.transfers += 1;
        let by_four = load && memory.is_quads();
        let copy = if by_four {
            let from = next("i", len);
            format!("{} = {};", memory.quad("i"), four(|c| slot.element(&from[c])))
        } else if load {
            format!("{} = {};", memory.element("i"), slot.element("i"))
        } else {
            format!("if live {{ {} = {}; }}", slot.element("i"), memory.element("i"))
        };
        let each = if by_four { 4 } else { 1 };
        let _ = write!(
            self.out,
            "\nfn transfer_{n}() {{\n    for (var i = local * {each}u; i < {len}u; i += {}u) {{\n        {copy}\n    }}\n}}\n",
            each * self.layout.threads
        );
        let _ = writeln!(self.main, "    transfer_{n}();");
    }

    /// Where an operand lies, and what it touches in all of so many repetitions.
    fn place(&self, o: &Operand, times: [usize; DEPTH], write: bool) -> Spot {
        let moves = zip(TURNS, o.steps).filter(|(_, step)| *step != 0);
        let turn: String = moves.map(|(turn, step)| format!(" + {turn} * {}u", step as u32)).collect();
        let home = match o.at {
            At::Shared(r) => Home::Slot { operand: r, offset: 0, stride: 0 },
            At::Local(l) => self.layout.homes[l],
        };
        let range = o.range(times);
        let from = |at: usize| at + range.start as usize;
        let to = |at: usize| at + range.end as usize;
        let touch = match home {
            Home::Words(at) => Touch { space: Space::Words, from: from(at), to: to(at), write },
            Home::Quads(at) => {
                let (from, to) = (from(at) / 4 * 4, to(at).next_multiple_of(4));
                Touch { space: Space::Quads, from, to, write }
            }
            Home::Slot { operand, .. } => {
                Touch { space: Space::Slot(operand), from: 0, to: usize::MAX, write }
            }
        };
        Spot { home: self.bound(home), turn, touch }
    }

    /// Where something lies by the numbers of buffers: the shader knows no slots.
    fn bound(&self, home: Home) -> Home {
        let Home::Slot { operand, offset, stride } = home else { return home };
        let (buffer, first) = self.layout.bindings[operand];
        Home::Slot { operand: buffer, offset: first + offset, stride }
    }

    fn block(&mut self, p: &Placed<'_>, indent: &str) {
        let (k, b) = (p.at, p.block);
        let reads: Vec<Spot> = b.reads.iter().map(|o| self.place(o, p.times, false)).collect();
        let writes: Vec<Spot> = b.writes.iter().map(|o| self.place(o, p.times, true)).collect();
        // Element by element in place: no thread meets another's.
        let in_place = |o: &Operand| b.kernel.is_pointwise() && *o == b.writes[0];
        let read = b.reads.iter().zip(&reads).filter(|(o, _)| !in_place(o)).map(|(_, s)| s.touch);
        let touches: Vec<Touch> = read.chain(writes.iter().map(|s| s.touch)).collect();
        self.wait(&touches, indent);
        let text = self.function(b, &reads, &writes);
        let _ = write!(self.out, "\n// {}\n{}", b.label.replace('\n', " "), rename(&text, k));
        let _ = writeln!(self.main, "{indent}block_{k}();");
    }

    /// A block and the functions it asks for.
    fn function(&self, b: &Block, reads: &[Spot], writes: &[Spot]) -> String {
        let mut f = Functions::default();
        f.constant("THREADS", self.layout.threads);
        let body = match &b.kernel {
            Kernel::MatMul(_) => product(&mut f, b, reads, writes, self.layout.threads),
            Kernel::SumTo(_) => sum(&mut f, b, reads, writes),
            Kernel::LogSoftmax(_) | Kernel::CrossEntropy(_) => rows(&mut f, b, reads, writes),
            _ => pointwise(&mut f, b, reads, writes),
        };
        f.with(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_of_workgroup_memory_leaves_slots_pending() {
        let touch = |space, from, write| Touch { space, from, to: from + 4, write };
        let slot = |write| touch(Space::Slot(2), 0, write);
        let mut pending = Pending::default();
        pending.touches.extend([slot(true), touch(Space::Words, 0, true), touch(Space::Quads, 0, false)]);
        assert_eq!(pending.barrier_before(&[touch(Space::Words, 4, false)]), None);
        assert_eq!(pending.barrier_before(&[touch(Space::Quads, 0, false)]), None);
        assert_eq!(pending.barrier_before(&[touch(Space::Words, 0, false)]), Some(false));
        pending.after(false);
        assert_eq!(pending.barrier_before(&[touch(Space::Words, 0, false)]), None);
        assert_eq!(pending.barrier_before(&[slot(false)]), Some(true));
        pending.after(true);
        assert_eq!(pending.barrier_before(&[slot(false)]), None);
    }
}
