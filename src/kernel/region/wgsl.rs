//! A region as one shader: the hand-written blocks of `shaders/region/`, one a block of the region, with its sizes,
//! strides and places written in as numbers.

use std::fmt::Write;

use crate::graph::op::Func;
use crate::kernel::map::{affine, func_code};
use crate::kernel::{Kernel, zip};
use crate::plan::View;
use crate::plan::region::{At, Block, GroupLayout, Home, Operand, Region, Stage};
use crate::plan::view::collapse;
use crate::spec::{Activation, MAX_RANK};

macro_rules! blocks {
    ($($name:ident = $file:literal),*) => {
        $(const $name: &str = include_str!(concat!("../../../shaders/region/", $file, ".wgsl"));)*
        /// Names of the files.
        pub const BLOCKS: &[&str] = &[$($file),*];
    };
}

blocks! {
    REGION = "region", PRODUCT = "product", PRODUCT_ROW = "product_row", POINTWISE = "pointwise", SUM = "sum",
    LOG_SOFTMAX = "log_softmax", CROSS_ENTROPY = "cross_entropy"
}

/// The names of a block that stand for functions of its own.
const NAMES: [&str; 15] = [
    "block", "a_start", "b_start", "a_get", "b_get", "finish", "y_put", "y_at", "value", "term", "x_get",
    "x_at", "p_get", "p_at", "z_put",
];

/// The text of a region's shader, imports not expanded; its bindings are the operands, `reads` of which are only read.
///
/// # Panics
/// When the region was not lowered for a GPU.
pub fn text(region: &Region, reads: usize, writes: usize) -> String {
    let Some(layout) = &region.layout else { panic!("the region was lowered for the CPU") };
    let mut out = REGION.replace("WORDS", &(layout.words * layout.together).max(1).to_string());
    for i in 0..reads + writes {
        let access = if i < reads { "read" } else { "read_write" };
        let _ = writeln!(out, "@group(0) @binding({i}) var<storage, {access}> slot{i}: array<f32>;");
    }
    let mut s = Stitch { region, layout, out, main: String::new(), since: Vec::new(), transfers: 0 };
    s.body();
    let Stitch { mut out, main, .. } = s;
    let GroupLayout { threads, together, words, .. } = layout;
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
{main}}}
",
        threads * together,
        tasks - 1,
    );
    out
}

/// A stretch of memory that a block touches: which memory, from and to, whether it is written.
#[derive(Clone, Copy)]
struct Touch {
    space: usize,
    from: usize,
    to: usize,
    write: bool,
}

impl Touch {
    fn conflicts(&self, o: &Touch) -> bool {
        (self.write || o.write) && self.space == o.space && self.from < o.to && o.from < self.to
    }
}

struct Stitch<'r> {
    region: &'r Region,
    layout: &'r GroupLayout,
    out: String,
    main: String,
    /// What has been touched since the last barrier.
    since: Vec<Touch>,
    transfers: usize,
}

/// Multiplied where needed: `i * 7u`, or `i`, or nothing.
fn times(i: &str, stride: usize) -> String {
    match stride {
        0 => "0u".into(),
        1 => i.into(),
        s => format!("{i} * {s}u"),
    }
}

/// Position of the `i`-th element over axes `(length, distance)`, last first.
fn position(i: &str, offset: usize, axes: &[(usize, usize)]) -> String {
    let mut terms = vec![format!("{offset}u")];
    let mut inner = 1;
    for (n, &(d, s)) in axes.iter().enumerate() {
        let index = if inner == 1 { i.to_string() } else { format!("{i} / {inner}u") };
        let last = n + 1 == axes.len();
        let index = if last { format!("({index})") } else { format!("({index} % {d}u)") };
        if s > 0 {
            terms.push(times(&index, s));
        }
        inner *= d;
    }
    terms.join(" + ")
}

/// The axes of a view that are longer than 1, last first.
fn axes(view: &View) -> Vec<(usize, usize)> {
    (0..MAX_RANK).rev().filter(|&i| view.dims[i] > 1).map(|i| (view.dims[i], view.strides[i])).collect()
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
        let mut at = 0;
        for stage in &self.region.stages {
            let len = if let Stage::Loop { body, .. } = stage { body.len() } else { 1 };
            let here = at..at + len;
            for (i, life) in lives.iter().enumerate() {
                let starts = life.is_some_and(|l| here.contains(&l.first));
                if starts && self.region.locals[i].outside.is_some_and(|o| o.load) {
                    self.transfer(i, true);
                }
            }
            match stage {
                Stage::Block(b) => self.block(at, b, "    ", 0),
                Stage::Loop { n, body } => {
                    self.barrier("    ", true);
                    let _ = writeln!(
                        self.main,
                        "    for (var i = 0u; i < {n}u + zero; i++) {{\n        turn = i;"
                    );
                    for (k, b) in body.iter().enumerate() {
                        self.block(at + k, b, "        ", *n);
                    }
                    self.barrier("        ", true);
                    self.main.push_str("    }\n");
                }
            }
            for (i, life) in lives.iter().enumerate() {
                let ends = life.is_some_and(|l| here.contains(&l.last));
                if ends && self.region.locals[i].outside.is_some_and(|o| o.store) {
                    self.transfer(i, false);
                }
            }
            at += len;
        }
    }

    fn barrier(&mut self, indent: &str, slots: bool) {
        if slots {
            let _ = writeln!(self.main, "{indent}storageBarrier();");
        }
        let _ = writeln!(self.main, "{indent}workgroupBarrier();");
        self.since.clear();
    }

    /// Waits for the other threads where that matters to what is touched next.
    fn wait(&mut self, touches: &[Touch], indent: &str) {
        let hits: Vec<Touch> =
            self.since.iter().filter(|t| touches.iter().any(|o| t.conflicts(o))).copied().collect();
        if !hits.is_empty() {
            self.barrier(indent, hits.iter().any(|t| t.space > 0));
        }
        self.since.extend_from_slice(touches);
    }

    /// Copies a local that lies in memory from its slot, or back.
    fn transfer(&mut self, local: usize, load: bool) {
        let (Home::Memory(at), Some(o)) = (self.layout.homes[local], self.region.locals[local].outside)
        else {
            return;
        };
        let len = self.region.locals[local].len;
        let memory = Touch { space: 0, from: at, to: at + len, write: load };
        let slot = Touch { space: 1 + o.operand, from: 0, to: usize::MAX, write: !load };
        self.wait(&[memory, slot], "    ");
        let n = self.transfers;
        self.transfers += 1;
        let slot = format!("slot{}[{}u + task * {}u + i]", o.operand, o.offset, o.stride);
        let memory = format!("memory[base + {at}u + i]");
        let copy =
            if load { format!("{memory} = {slot};") } else { format!("if live {{ {slot} = {memory}; }}") };
        let threads = self.layout.threads;
        let _ = write!(
            self.out,
            "\nfn transfer_{n}() {{\n    for (var i = local; i < {len}u; i += {threads}u) {{\n        {copy}\n    }}\n}}\n"
        );
        let _ = writeln!(self.main, "    transfer_{n}();");
    }

    /// Where an operand lies: the text of one of its elements, and what it touches in all repetitions.
    fn place(&self, o: &Operand, n: usize, write: bool) -> (String, Touch) {
        let turn = if o.step == 0 { String::new() } else { format!(" + turn * {}u", o.step as u32) };
        let slot = |operand: usize, offset: usize, stride: usize| {
            let touch = Touch { space: 1 + operand, from: 0, to: usize::MAX, write };
            (format!("slot{operand}[{offset}u + task * {stride}u + i{turn}]"), touch)
        };
        match o.at {
            At::Shared(r) => slot(r, 0, 0),
            At::Local(l) => match self.layout.homes[l] {
                Home::Slot { operand, offset, stride } => slot(operand, offset, stride),
                Home::Memory(at) => {
                    let moved = o.step * (n.max(1) as isize - 1);
                    let from = (at as isize + o.view.offset as isize + moved.min(0)) as usize;
                    let to = (at as isize + o.view.end() as isize + moved.max(0)) as usize;
                    let touch = Touch { space: 0, from, to, write };
                    (format!("memory[base + {at}u + i{turn}]"), touch)
                }
            },
        }
    }

    fn block(&mut self, k: usize, b: &Block, indent: &str, n: usize) {
        let reads: Vec<(String, Touch)> = b.reads.iter().map(|o| self.place(o, n, false)).collect();
        let writes: Vec<(String, Touch)> = b.writes.iter().map(|o| self.place(o, n, true)).collect();
        // Element by element in place: no thread meets another's.
        let in_place = |o: &Operand| {
            b.kernel.is_pointwise()
                && o.at == b.writes[0].at
                && o.view == b.writes[0].view
                && o.step == b.writes[0].step
        };
        let touches: Vec<Touch> = b
            .reads
            .iter()
            .zip(&reads)
            .filter(|(o, _)| !in_place(o))
            .map(|(_, (_, t))| *t)
            .chain(writes.iter().map(|(_, t)| *t))
            .collect();
        self.wait(&touches, indent);
        let text = self.function(b, &reads, &writes);
        let _ = write!(self.out, "\n// {}\n{}", b.label.replace('\n', " "), rename(&text, k));
        let _ = writeln!(self.main, "{indent}block_{k}();");
    }

    /// A block and the functions it asks for.
    fn function(&self, b: &Block, reads: &[(String, Touch)], writes: &[(String, Touch)]) -> String {
        let mut f = String::new();
        let get = |f: &mut String, name: &str, element: &str| {
            let _ = writeln!(f, "fn {name}(i: u32) -> f32 {{ return {element}; }}");
        };
        let put = |f: &mut String, name: &str, (element, touch): &(String, Touch)| {
            let store = if touch.space > 0 {
                format!("if live {{ {element} = v; }}")
            } else {
                format!("{element} = v;")
            };
            let _ = writeln!(f, "fn {name}(i: u32, v: f32) {{ {store} }}");
        };
        let at = |f: &mut String, name: &str, arguments: &str, position: String| {
            let _ = writeln!(f, "fn {name}({arguments}) -> u32 {{ return {position}; }}");
        };
        let views: Vec<View> = b.reads.iter().map(|o| o.view).collect();
        let y = b.writes[0].view;
        let threads = self.layout.threads;
        let mut constants: Vec<(&str, usize)> = vec![("THREADS", threads)];
        let body;
        match &b.kernel {
            Kernel::MatMul(p) => {
                let (r, c) = (MAX_RANK - 2, MAX_RANK - 1);
                let (m, n, k) = (y.dims[r], y.dims[c], views[0].dims[c]);
                let outer = |v: &View| -> Vec<(usize, usize)> {
                    (0..r).rev().filter(|&i| y.dims[i] > 1).map(|i| (y.dims[i], v.strides[i])).collect()
                };
                let batch: usize = y.dims[..r].iter().product();
                get(&mut f, "a_get", &reads[0].0);
                get(&mut f, "b_get", &reads[1].0);
                at(&mut f, "a_start", "item: u32", position("item", views[0].offset, &outer(&views[0])));
                at(&mut f, "b_start", "item: u32", position("item", views[1].offset, &outer(&views[1])));
                put(&mut f, "y_put", &writes[0]);
                let element = |v: &View| {
                    format!(
                        "{} + row * {}u + column * {}u",
                        position("item", v.offset, &outer(v)),
                        v.strides[r],
                        v.strides[c]
                    )
                };
                let _ =
                    writeln!(f, "fn finish(item: u32, row: u32, column: u32, sum: f32) {{\n    var s = sum;");
                if p.bias {
                    let bias = reads[2].0.replace("+ i", &format!("+ {}", element(&views[2])));
                    let _ = writeln!(f, "    s += {bias};");
                }
                if let Some(z) = b.writes.get(1) {
                    let _ = writeln!(f, "    z_put({}, s);", element(&z.view));
                }
                let value = match p.act {
                    Activation::Identity => "s".to_string(),
                    act => format!("activation({}u, 0u, s)", func_code(Func::Act(act, 0)).0),
                };
                let _ = writeln!(f, "    y_put({}, {value});\n}}", element(&y));
                if let Some(z) = writes.get(1) {
                    put(&mut f, "z_put", z);
                }
                constants.extend([("M", m), ("N", n), ("K", k), ("BATCH", batch)]);
                constants.extend([("A_ROW", views[0].strides[r]), ("A_COLUMN", views[0].strides[c])]);
                constants.extend([("B_ROW", views[1].strides[r]), ("B_COLUMN", views[1].strides[c])]);
                body = if m < 4 || n < 4 || batch * m * n <= threads {
                    PRODUCT_ROW
                } else {
                    constants.extend([("TILES_M", m.div_ceil(4)), ("TILES_N", n.div_ceil(4))]);
                    PRODUCT
                };
            }
            Kernel::SumTo(s) => {
                let mut full = y;
                full.dims = views[0].dims;
                let kept = |v: &View, kept: bool| -> Vec<(usize, usize)> {
                    (0..MAX_RANK)
                        .rev()
                        .filter(|&i| full.dims[i] > 1 && (y.dims[i] > 1) == kept)
                        .map(|i| (full.dims[i], v.strides[i]))
                        .collect()
                };
                let element = |v: &View, get: &str| {
                    format!(
                        "{get}({} + {})",
                        position("i", v.offset, &kept(v, true)),
                        position("l", 0, &kept(v, false))
                    )
                };
                get(&mut f, "a_get", &reads[0].0);
                let mut term = element(&views[0], "a_get");
                if s.dot {
                    get(&mut f, "b_get", &reads[1].0);
                    term = format!("{term} * {}", element(&views[1], "b_get"));
                }
                let _ = writeln!(f, "fn term(i: u32, l: u32) -> f32 {{ return {term}; }}");
                at(&mut f, "y_at", "i: u32", position("i", y.offset, &kept(&y, true)));
                put(&mut f, "y_put", &writes[0]);
                constants.extend([("COUNT", y.count()), ("TERMS", full.count() / y.count())]);
                body = SUM;
            }
            Kernel::LogSoftmax(_) | Kernel::CrossEntropy(_) => {
                let (r, c) = (MAX_RANK - 2, MAX_RANK - 1);
                let row = |v: &View| format!("{}u + i * {}u + j * {}u", v.offset, v.strides[r], v.strides[c]);
                get(&mut f, "x_get", &reads[0].0);
                at(&mut f, "x_at", "i: u32, j: u32", row(&views[0]));
                put(&mut f, "y_put", &writes[0]);
                constants.extend([("ROWS", views[0].dims[r]), ("CLASSES", views[0].dims[c])]);
                body = if let Kernel::LogSoftmax(_) = b.kernel {
                    at(&mut f, "y_at", "i: u32, j: u32", row(&y));
                    LOG_SOFTMAX
                } else {
                    get(&mut f, "p_get", &reads[1].0);
                    at(&mut f, "p_at", "i: u32, j: u32", row(&views[1]));
                    at(&mut f, "y_at", "i: u32", format!("{}u + i * {}u", y.offset, y.strides[c]));
                    CROSS_ENTROPY
                };
            }
            kernel => {
                let operand = |i: usize, v: &View| {
                    reads[i].0.replace("+ i", &format!("+ {}", position("i", v.offset, &axes(v))))
                };
                let (y, value) = match (kernel, &views[..]) {
                    (Kernel::Fill(v), []) => (collapse([y])[0], float(v.value)),
                    (Kernel::Copy(_), [x]) => {
                        let [y, x] = collapse([y, *x]);
                        (y, operand(0, &x))
                    }
                    (Kernel::Map(m), [x]) => {
                        let [y, x] = collapse([y, *x]);
                        (y, pointwise(m.func, &operand(0, &x)))
                    }
                    (Kernel::Zip(z), [a, b]) => {
                        let [y, a, b] = collapse([y, *a, *b]);
                        let right = operand(1, &b);
                        let right = z.pre.map_or(right.clone(), |f| pointwise(f, &right));
                        (y, format!("combine({}u, {}, {right})", zip::code(z.op), operand(0, &a)))
                    }
                    (Kernel::Select(_), [c, a, b]) => {
                        let [y, c, a, b] = collapse([y, *c, *a, *b]);
                        let (a, b, c) = (operand(1, &a), operand(2, &b), operand(0, &c));
                        (y, format!("select({b}, {a}, (bitcast<u32>({c}) & 0x7fffffffu) != 0u)"))
                    }
                    (other, _) => panic!("a region has no block '{}'", other.name()),
                };
                let _ = writeln!(f, "fn value(i: u32) -> f32 {{ return {value}; }}");
                at(&mut f, "y_at", "i: u32", position("i", y.offset, &axes(&y)));
                put(&mut f, "y_put", &writes[0]);
                constants.push(("COUNT", y.count()));
                body = POINTWISE;
            }
        }
        f.push_str("fn block() {\n");
        for (name, value) in constants {
            let _ = writeln!(f, "    const {name} = {value}u;");
        }
        for line in body.lines() {
            let _ = writeln!(f, "    {line}");
        }
        f.push_str("}\n");
        f
    }
}

/// A number that WGSL reads as the same f32.
fn float(x: f64) -> String {
    let x = x as f32;
    // Constant expressions must be finite: the others are made of a variable.
    if x.is_finite() { format!("f32({x:e})") } else { format!("bitcast<f32>({}u + 0u * task)", x.to_bits()) }
}

fn pointwise(f: Func, x: &str) -> String {
    let (code, order) = func_code(f);
    let (scale, shift) = affine(f);
    format!("pointwise({code}u, {order}u, {}, {}, {x})", float(scale.into()), float(shift.into()))
}
