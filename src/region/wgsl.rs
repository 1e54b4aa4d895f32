//! A region as one shader: the hand-written blocks of `shaders/region/`, one a pass, with its sizes and strides written in as
//! numbers. Passes of one shape share a function, which is told where its operands begin.

mod address;
mod blocks;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use super::passes::{same, split};
use crate::region::{
    Allocation, Base, Block, DEPTH, GroupLayout, Operand, PARTS, Placed, Region, Stage, is_long_sum,
};
use blocks::Function;

macro_rules! blocks {
    ($($name:ident = $file:literal),*) => {
        $(const $name: &str = include_str!(concat!("../../shaders/region/", $file, ".wgsl"));)*
        /// Names of the files.
        pub const BLOCKS: &[&str] = &[$($file),*];
    };
}

blocks! {
    REGION = "region", PRODUCT = "product", PRODUCT_ROW = "product_row", POINTWISE = "pointwise",
    POINTWISE_VECTORS = "pointwise_vectors", POINTWISE_SPREAD = "pointwise_spread", SUM = "sum", SUM_VECTORS = "sum_vectors", SUM_LONG = "sum_long", CHOLESKY = "cholesky"
}

/// The repetition of each loop, the outermost first.
const ITERATIONS: [&str; DEPTH] = ["iteration", "iteration_1", "iteration_2", "iteration_3"];

/// A region's shader, and the numbers that it reads.
pub(crate) struct Stitched {
    /// Its text, imports not expanded.
    pub(crate) text: String,
    /// Numbers of affine functions, rates among them: what is swept compiles nothing.
    pub(crate) numbers: Vec<f32>,
}

/// The shader of a region. Its bindings are the buffers that its operands lie in, the first `reads` of which are only read,
/// and a uniform with its numbers where it has any.
///
/// # Panics
/// When the region was not lowered for a GPU.
pub(crate) fn stitch(region: &Region, reads: usize) -> Stitched {
    let Some(layout) = &region.layout else { panic!("the region was lowered for the CPU") };
    let size = |elements: usize| (elements * layout.tasks_per_group).max(1).to_string();
    let mut out = REGION.replace("WORDS", &size(layout.words)).replace("VECTORS", &size(layout.vectors / 4));
    let mut s = Stitch {
        region,
        layout,
        functions: String::new(),
        shared: BTreeSet::new(),
        known: HashMap::new(),
        most: [0; 2],
        numbers: vec![],
        main: String::new(),
        pending: Pending::default(),
    };
    s.body();
    let Stitch { functions, shared, main, most, numbers, .. } = s;
    let buffers = layout.buffers(reads);
    for (i, (first, written)) in buffers.iter().enumerate() {
        let access = if *written { "read_write" } else { "read" };
        // Slots of one type share a buffer.
        let kind = if region.is_words(*first) { "u32" } else { "f32" };
        let _ = writeln!(out, "@group(0) @binding({i}) var<storage, {access}> buffer{i}: array<{kind}>;");
    }
    if !numbers.is_empty() {
        let (i, n) = (buffers.len(), numbers.len().div_ceil(4));
        let _ = writeln!(out, "@group(0) @binding({i}) var<uniform> numbers: array<vec4<f32>, {n}>;");
    }
    let _ = writeln!(out, "// Where the operands of a pass begin, and its numbers.");
    for (name, kind, most) in [("p", "u32", most[0]), ("n", "f32", most[1])] {
        for i in 0..most {
            let _ = writeln!(out, "var<private> {name}{i}: {kind};");
        }
    }
    let GroupLayout { threads, tasks_per_group, words, vectors, .. } = layout;
    let _ = writeln!(out, "const THREADS = {threads}u;");
    out.extend(shared);
    out += &functions;
    let tasks = region.tasks;
    if let Some(each) = layout.spread {
        let _ = write!(
            out,
            "
@compute @workgroup_size({threads})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {{
    local = group_index(group, groups) * {}u + index;
    live = true;
{main}}}
",
            threads * each
        );
        return Stitched { text: out, numbers };
    }
    let _ = write!(
        out,
        "
@compute @workgroup_size({})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {{
    let first = group_index(group, groups) * {tasks_per_group}u;
    if first >= {tasks}u {{
        return; // the whole workgroup
    }}
    local = index % {threads}u;
    task = first + index / {threads}u;
    live = task < {tasks}u;
    task = min(task, {}u);
    let word_base = index / {threads}u * {words}u;
    let vector_base = index / {threads}u * {vectors}u;
{main}}}
",
        threads * tasks_per_group,
        tasks - 1,
    );
    Stitched { text: out, numbers }
}

/// What a block touches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    Words,
    Vectors,
    Slot(usize),
}

/// A stretch of memory that a block touches: which memory, from and to, whether it is written.
#[derive(Clone, Copy, PartialEq)]
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
    functions: String,
    /// Functions that these call.
    shared: BTreeSet<String>,
    /// Numbers of the functions, by their texts.
    known: HashMap<String, usize>,
    /// Positions and numbers that a function is given, at most.
    most: [usize; 2],
    numbers: Vec<f32>,
    main: String,
    pending: Pending,
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

/// Puts a number behind the names of functions.
fn rename(text: &str, names: &BTreeSet<String>, k: usize) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        out.push_str(word);
        if names.contains(word.as_str()) {
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

impl<'r> Stitch<'r> {
    fn body(&mut self) {
        let lives = self.region.lives_in_passes(&self.layout.joined);
        let placed = self.region.blocks();
        let passes: Vec<&[Placed<'r>]> = split(&placed, &self.layout.joined).collect();
        let mut passes = &passes[..];
        let mut at = 0;
        for stage in &self.region.stages {
            let len = stage.blocks().len();
            let here = at..at + len;
            for (i, life) in lives.iter().enumerate() {
                let starts = life.is_some_and(|l| here.contains(&l.first));
                if starts && self.region.locals[i].backing.is_some_and(|o| o.load) {
                    self.transfer(i, true);
                }
            }
            self.stage(stage, &mut at, &mut passes, 0);
            for (i, life) in lives.iter().enumerate() {
                let ends = life.is_some_and(|l| here.contains(&l.last));
                if ends && self.region.locals[i].backing.is_some_and(|o| o.store) {
                    self.transfer(i, false);
                }
            }
        }
    }

    /// What is done in a stage with `depth` loops around it, whose first block is at `at`: the pass that begins there, or a
    /// loop.
    fn stage(&mut self, stage: &Stage, at: &mut usize, passes: &mut &[&[Placed<'r>]], depth: usize) {
        let indent = "    ".repeat(depth + 1);
        match stage {
            Stage::Block(_) => {
                if let Some((pass, rest)) = passes.split_first().filter(|(pass, _)| pass[0].at == *at) {
                    self.pass(pass, &indent);
                    *passes = rest;
                }
                *at += 1;
            }
            Stage::Loop { n, body } => {
                self.barrier(&indent, true);
                let iteration = ITERATIONS[depth];
                // Barriers lie inside: the bound must be the same for all threads as compilers see it, which a private
                // variable never is, `zero` neither.
                let _ = writeln!(
                    self.main,
                    "{indent}for (var {iteration} = 0u; {iteration} < {n}u + (groups.z - 1u); {iteration}++) {{"
                );
                for stage in body {
                    self.stage(stage, at, passes, depth + 1);
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
        let (allocation, own) = (self.layout.allocations[local], &self.region.locals[local]);
        let Some(o) = own.backing.filter(|_| !matches!(allocation, Allocation::Slot { .. })) else {
            return;
        };
        let slot = Allocation::Slot { operand: o.operand, offset: o.offset, stride: o.stride };
        let touches = [touch(allocation, 0..own.len, load), touch(slot, 0..own.len, !load)];
        self.wait(&touches.into_iter().flatten().collect::<Vec<_>>(), "    ");
        let way = if load { "from its slot" } else { "to its slot" };
        self.call(
            &Function::of_transfer(self.layout, own, allocation, load),
            &format!("{} {way}", own.label),
            "    ",
        );
    }

    /// What an operand touches in all of so many repetitions.
    fn touch(&self, o: &Operand, times: [usize; DEPTH], write: bool) -> Option<Touch> {
        let allocation = match o.at {
            Base::Shared(r) => Allocation::Slot { operand: r, offset: 0, stride: 0 },
            Base::Local(l) => self.layout.allocations[l],
        };
        let range = o.range(times);
        touch(allocation, range.start as usize..range.end as usize, write)
    }

    fn pass(&mut self, pass: &[Placed<'r>], indent: &str) {
        let blocks: Vec<&Block> = pass.iter().map(|p| p.block).collect();
        let mut touches = Vec::new();
        let mut made: Vec<&Operand> = Vec::new();
        for p in pass {
            let b = p.block;
            made.extend(&b.writes);
            // Element by element what the pass has made, or in place: no thread meets another's.
            let own = |o: &Operand| {
                let in_place = b.kernel.is_pointwise() && same(o, &b.writes[0]);
                in_place || made[..made.len() - b.writes.len()].iter().any(|w| same(o, w))
            };
            let reads = b.reads.iter().filter(|o| !own(o)).map(|o| self.touch(o, p.times, false));
            let writes = b.writes.iter().map(|o| self.touch(o, p.times, true));
            touches.extend(reads.chain(writes).flatten());
        }
        let parts = |write| touch(Allocation::Words(self.layout.parts), 0..PARTS, write);
        let long = is_long_sum(blocks[0]);
        touches.extend(parts(true).filter(|_| long));
        self.wait(&touches, indent);
        if long {
            // A barrier stands between the parts and their sum: what is touched after it is not yet known.
            let terms = blocks[0].reads.iter().flat_map(|o| self.touch(o, pass[0].times, false));
            let terms: Vec<Touch> = terms.collect();
            self.pending.after(false);
            touches.retain(|t| !terms.contains(t));
            touches.extend(parts(false));
            self.pending.touches.extend_from_slice(&touches);
        }
        let labels: Vec<&str> = blocks.iter().map(|b| b.label.as_str()).collect();
        self.call(&Function::of(self.layout, &blocks), &labels.join(", "), indent);
    }

    /// Calls a function, which is written where there is none like it.
    fn call(&mut self, f: &Function<'_>, label: &str, indent: &str) {
        self.shared.extend(f.shared.iter().cloned());
        let next = self.known.len();
        let number = *self.known.entry(f.text().to_string()).or_insert(next);
        if number == next {
            let _ = write!(
                self.functions,
                "\n// {}\n{}",
                label.replace('\n', " "),
                rename(f.text(), &f.names, number)
            );
        }
        let mut arguments: Vec<String> = f.positions().map(String::from).collect();
        self.most[0] = self.most[0].max(arguments.len());
        self.most[1] = self.most[1].max(f.numbers.len());
        for x in &f.numbers {
            let at = self.numbers.len();
            self.numbers.push(*x);
            arguments.push(format!("numbers[{}][{}]", at / 4, at % 4));
        }
        let _ = writeln!(self.main, "{indent}block_{number}({});", arguments.join(", "));
    }
}

/// What is touched of something's elements in its allocation; in a register nothing.
fn touch(allocation: Allocation, elements: std::ops::Range<usize>, write: bool) -> Option<Touch> {
    let (space, from, to) = match allocation {
        Allocation::Words(at) => (Space::Words, at + elements.start, at + elements.end),
        Allocation::Vectors(at) => {
            (Space::Vectors, (at + elements.start) / 4 * 4, (at + elements.end).next_multiple_of(4))
        }
        // All that is written to a slot has the same distance of tasks: they never meet.
        Allocation::Slot { operand, offset, .. } => {
            (Space::Slot(operand), offset + elements.start, offset + elements.end)
        }
        Allocation::Register => return None,
    };
    Some(Touch { space, from, to, write })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_of_workgroup_memory_leaves_slots_pending() {
        let touch = |space, from, write| Touch { space, from, to: from + 4, write };
        let slot = |write| touch(Space::Slot(2), 0, write);
        let mut pending = Pending::default();
        pending.touches.extend([slot(true), touch(Space::Words, 0, true), touch(Space::Vectors, 0, false)]);
        assert_eq!(pending.barrier_before(&[touch(Space::Words, 4, false)]), None);
        assert_eq!(pending.barrier_before(&[touch(Space::Vectors, 0, false)]), None);
        assert_eq!(pending.barrier_before(&[touch(Space::Words, 0, false)]), Some(false));
        pending.after(false);
        assert_eq!(pending.barrier_before(&[touch(Space::Words, 0, false)]), None);
        assert_eq!(pending.barrier_before(&[slot(false)]), Some(true));
        pending.after(true);
        assert_eq!(pending.barrier_before(&[slot(false)]), None);
    }
}
