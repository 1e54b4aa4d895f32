//! The function of a pass: which file of `shaders/region/` its first block takes, and what that file asks for.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::address::{Address, Memory, axes as axes_of, four, listed, next, plus, position, times};
use super::{
    CHOLESKY, ITERATIONS, POINTWISE, POINTWISE_SPREAD, POINTWISE_VECTORS, PRODUCT, PRODUCT_ROW, SUM,
    SUM_LONG, SUM_VECTORS,
};
use crate::graph::op::{Binary, Func};
use crate::kernel::block::ALL;
use crate::kernel::wgsl::{affine, call, call_of_two, operator};
use crate::kernel::{Kernel, KernelInfo};
use crate::region::passes::same;
use crate::region::vectors::{exchanged, in_rows, reads_along};
use crate::region::{Allocation, Base, Block, GroupLayout, Local, Operand, PARTS, is_long_sum};
use crate::spec::{Activation, DType, MAX_RANK};
use crate::view::{COLUMN, ROW, View, collapse};

/// A function under construction. Passes of one shape share it: where their operands begin, and the numbers of their
/// affine functions, it is given.
pub(super) struct Function<'r> {
    layout: &'r GroupLayout,
    text: String,
    constants: Vec<(&'static str, usize)>,
    /// Where each operand begins, by the memory that it lies in.
    positions: Vec<(Memory, String)>,
    /// The numbers that it is given.
    pub(super) numbers: Vec<f32>,
    /// Functions that it calls, the same in all passes.
    pub(super) shared: BTreeSet<String>,
    /// Names of its own functions.
    pub(super) names: BTreeSet<String>,
}

impl<'r> Function<'r> {
    /// The function of a pass, its first block first.
    pub(super) fn of(layout: &'r GroupLayout, pass: &[&Block]) -> Function<'r> {
        let mut f = Function::new(layout);
        let body = match &pass[0].kernel {
            Kernel::MatMul(_) => product(&mut f, pass),
            Kernel::SumTo(_) => sum(&mut f, pass),
            kernel if kernel.is_pointwise() => pointwise(&mut f, pass).to_string(),
            _ => own(&mut f, pass[0]),
        };
        f.close(body);
        f
    }

    /// The function that copies a local of `len` elements from its slot to its allocation, or back.
    pub(super) fn of_transfer(
        layout: &'r GroupLayout,
        local: &Local,
        allocation: Allocation,
        load: bool,
    ) -> Function<'r> {
        let mut f = Function::new(layout);
        let memory = f.address_at(allocation, 0, String::new());
        let slot = local.backing.map(|o| Allocation::Slot {
            operand: o.operand,
            offset: o.offset,
            stride: o.stride,
        });
        let slot = f.address_at(slot.expect("it comes from a slot, or goes there"), 0, String::new());
        let by_four = load && memory.is_vectors();
        let copy = if by_four {
            let from = next("i", local.len);
            format!("{} = {};", memory.vector("i"), four(|c| slot.element(&from[c])))
        } else if load {
            format!("{} = {};", memory.element("i"), slot.element("i"))
        } else {
            format!("if live {{ {} = {}; }}", slot.element("i"), memory.element("i"))
        };
        f.constant("COUNT", local.len);
        f.define("finish", "i: u32", "", &copy);
        f.close(if by_four { POINTWISE_VECTORS } else { POINTWISE }.to_string());
        f
    }

    fn new(layout: &'r GroupLayout) -> Function<'r> {
        Function {
            layout,
            text: String::new(),
            constants: vec![],
            positions: vec![],
            numbers: vec![],
            shared: BTreeSet::new(),
            names: BTreeSet::new(),
        }
    }

    /// Its text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What it is called with, but for its numbers.
    pub(super) fn positions(&self) -> impl Iterator<Item = &str> {
        self.positions.iter().map(|(_, at)| at.as_str())
    }

    fn constant(&mut self, name: &'static str, value: usize) {
        self.constants.push((name, value));
    }

    /// Where an operand lies.
    fn address(&mut self, o: &Operand) -> Address {
        let moves = ITERATIONS.iter().zip(o.steps).filter(|(_, step)| *step != 0);
        let iteration: String =
            moves.map(|(iteration, step)| format!(" + {iteration} * {}u", step as u32)).collect();
        let allocation = match o.at {
            Base::Shared(r) => Allocation::Slot { operand: r, offset: 0, stride: 0 },
            Base::Local(l) => self.layout.allocations[l],
        };
        self.address_at(allocation, o.view.offset, iteration)
    }

    /// Where something lies from an element of its allocation on, and what the repetition adds.
    fn address_at(&mut self, allocation: Allocation, first: usize, iteration: String) -> Address {
        let (memory, at) = match allocation {
            Allocation::Words(at) => (Memory::Words, format!("word_base + {}u", at + first)),
            Allocation::Vectors(at) => (Memory::Vectors, format!("vector_base + {}u", at + first)),
            Allocation::Register => return Address { memory: Memory::Register, number: 0 },
            Allocation::Slot { operand, offset, stride } => {
                let (buffer, start) = self.layout.bindings[operand];
                let task = if stride > 0 { format!(" + task * {stride}u") } else { String::new() };
                (Memory::Buffer(buffer), format!("{}u{task}", start + offset + first))
            }
        };
        let position = (memory, at + &iteration);
        let known = self.positions.iter().position(|p| *p == position);
        let number = known.unwrap_or_else(|| {
            self.positions.push(position);
            self.positions.len() - 1
        });
        Address { memory, number }
    }

    fn is_vectors(&self, o: &Operand) -> bool {
        o.local().is_some_and(|l| matches!(self.layout.allocations[l], Allocation::Vectors(_)))
    }

    /// A number: one that the function is given, but for those that everything is full of.
    fn number(&mut self, x: f64) -> String {
        let x = x as f32;
        if let Some(known) = [0.0f32, 1.0, -1.0].iter().find(|k| k.to_bits() == x.to_bits()) {
            return format!("f32({known:e})");
        }
        self.numbers.push(x);
        format!("n{}", self.numbers.len() - 1)
    }

    /// `fn name(arguments) -> result { return value; }`
    fn give(&mut self, name: &str, arguments: &str, result: &str, value: String) {
        self.define(name, arguments, &format!("-> {result} "), &format!("return {value};"));
    }

    /// `fn name(arguments) -> result { statements }`
    fn define(&mut self, name: &str, arguments: &str, result: &str, statements: &str) {
        self.names.insert(name.into());
        let _ = writeln!(self.text, "fn {name}({arguments}) {result}{{ {statements} }}");
    }

    /// A position.
    fn at(&mut self, name: &str, arguments: &str, position: String) {
        self.give(name, arguments, "u32", position);
    }

    /// Puts the block behind what it asks for.
    fn close(&mut self, body: String) {
        // 0, which compilers cannot know, but which they see to be the same for all threads: for loops with barriers.
        let nothing = body.contains("nothing").then(|| {
            self.numbers.push(0.0);
            format!("let nothing = u32(by{});", self.numbers.len() - 1)
        });
        let arguments: Vec<String> = (0..self.positions.len())
            .map(|i| format!("at{i}: u32"))
            .chain((0..self.numbers.len()).map(|i| format!("by{i}: f32")))
            .collect();
        self.names.insert("block".into());
        let f = &mut self.text;
        let _ = writeln!(f, "fn block({}) {{", arguments.join(", "));
        let given = (0..self.positions.len()).map(|i| format!("p{i} = at{i};"));
        let given = given.chain((0..self.numbers.len()).map(|i| format!("n{i} = by{i};")));
        let _ = writeln!(f, "    {}", given.collect::<Vec<_>>().join(" "));
        let constants = self.constants.iter().map(|(name, value)| format!("const {name} = {value}u;"));
        let _ = writeln!(f, "    {}", constants.chain(nothing).collect::<Vec<_>>().join(" "));
        for line in body.lines().filter(|l| !l.trim_start().starts_with("//")) {
            let _ = writeln!(f, "    {line}");
        }
        f.push_str("}\n");
    }
}

/// The results that a pass makes at a time: one, or four that follow one another.
struct Results {
    /// The results of the first block; of a product with rows and columns exchanged, so.
    y: View,
    four: bool,
    /// Whether they are those of a product, at `item`, `row` and `column`, rows and columns of all operands exchanged or
    /// not; else the `i`-th of all.
    product: Option<bool>,
}

impl Results {
    fn seen(&self, o: &Operand) -> View {
        match self.product {
            Some(true) => o.view.transposed(),
            Some(false) => o.view,
            // Blocks of a pass may differ in axes of length 1.
            None => collapse([self.y.squeezed(), o.view.squeezed()])[1],
        }
    }

    /// Where the first of them is, or, of four, that at `c`, which may not be there.
    fn place(&self, o: &Operand, c: usize) -> String {
        let v = self.seen(o);
        let plus = |i: &str| if c == 0 { i.to_string() } else { format!("({i} + {c}u)") };
        match self.product {
            Some(_) => self.cell(&v, &plus("column")),
            None => position(&plus("i"), &axes_of(&v)),
        }
    }

    /// The same, the last in place of one that is not there.
    fn clamped(&self, o: &Operand, c: usize) -> String {
        let v = self.seen(o);
        match self.product {
            Some(_) => self.cell(&v, &next("column", self.y.dims[COLUMN])[c]),
            None => position(&next("i", self.y.count())[c], &axes_of(&v)),
        }
    }

    fn cell(&self, v: &View, column: &str) -> String {
        plus([&matrix(v, &self.y), &times("row", v.strides[ROW]), &times(column, v.strides[COLUMN])])
    }

    /// Whether four of an operand in vectors are one of them.
    fn is_vector(&self, o: &Operand) -> bool {
        let v = self.seen(o);
        if self.product.is_some() { reads_along(o, &v, COLUMN) } else { in_rows(o, &v) }
    }

    /// Whether all four take the same element of an operand.
    fn is_one(&self, o: &Operand) -> bool {
        let v = self.seen(o);
        let one_row = v.dims[..COLUMN].iter().all(|d| *d == 1);
        v.strides[COLUMN] == 0 && (self.product.is_some() || one_row || v.dims[COLUMN].is_multiple_of(4))
    }

    /// What must be so for the `c`-th to be there.
    fn there(&self, c: usize) -> Option<String> {
        let (i, len) = match self.product {
            Some(_) => ("column", self.y.dims[COLUMN]),
            None => ("i", self.y.count()),
        };
        (c > 0 && !len.is_multiple_of(4)).then(|| format!("{i} + {c}u < {len}u"))
    }

    fn kind(&self) -> &'static str {
        if self.four { "vec4<f32>" } else { "f32" }
    }

    fn load(&self, f: &mut Function<'_>, o: &Operand) -> String {
        let address = f.address(o);
        let first = self.place(o, 0);
        if !self.four {
            address.element(&first)
        } else if address.is_vectors() && self.is_vector(o) {
            address.vector(&first)
        } else if self.is_one(o) {
            format!("vec4<f32>({})", address.element(&first))
        } else {
            four(|c| address.element(&self.clamped(o, c)))
        }
    }

    /// Statements that leave a value where an operand lies.
    fn store(&self, f: &mut Function<'_>, o: &Operand, value: &str) -> String {
        let address = f.address(o);
        let live = matches!(address.memory, Memory::Buffer(_)).then(|| "live".to_string());
        match address.memory {
            Memory::Register => String::new(),
            Memory::Vectors => format!("    {} = {value};\n", address.vector(&self.place(o, 0))),
            _ if !self.four => {
                let when = live.map_or(String::new(), |l| format!("if {l} "));
                format!("    {when}{{ {} = {value}; }}\n", address.element(&self.place(o, 0)))
            }
            _ => {
                let each = |c: usize| {
                    let when: Vec<String> = live.iter().cloned().chain(self.there(c)).collect();
                    let when =
                        if when.is_empty() { String::new() } else { format!("if {} ", when.join(" && ")) };
                    format!("    {when}{{ {} = {value}[{c}]; }}\n", address.element(&self.place(o, c)))
                };
                (0..4).map(each).collect()
            }
        }
    }

    /// Statements for pointwise blocks: what earlier blocks of the pass have `made` they find there.
    fn pointwise<'b>(
        &self,
        f: &mut Function<'_>,
        blocks: &[&'b Block],
        mut made: Vec<(&'b Operand, String)>,
    ) -> String {
        let mut text = String::new();
        for (k, b) in blocks.iter().enumerate() {
            let mut values = Vec::new();
            for (i, o) in b.reads.iter().enumerate() {
                if let Some((_, name)) = made.iter().rev().find(|(w, _)| same(w, o)) {
                    values.push(name.clone());
                    continue;
                }
                let value = self.load(f, o);
                let _ = writeln!(text, "    let v{k}_{i} = {value};");
                values.push(format!("v{k}_{i}"));
            }
            let value = expression(f, &b.kernel, &values, self.four);
            let _ = writeln!(text, "    let r{k} = {value};");
            text += &self.store(f, &b.writes[0], &format!("r{k}"));
            made.push((&b.writes[0], format!("r{k}")));
        }
        text
    }
}

/// Whether a pass makes four results at a time: something of it lies in vectors.
fn by_four(f: &Function<'_>, pass: &[&Block]) -> bool {
    pass.iter().any(|b| f.is_vectors(&b.writes[0]))
}

/// Where the matrix `item` of a product's results begins in a view.
fn matrix(v: &View, y: &View) -> String {
    let outer: Vec<(usize, usize)> =
        (0..ROW).rev().filter(|&i| y.dims[i] > 1).map(|i| (y.dims[i], v.strides[i])).collect();
    position("item", &outer)
}

/// A product, `y = act(a b + bias)`, and what follows: rows and columns are exchanged where its results then follow one
/// another in rows.
fn product(f: &mut Function<'_>, pass: &[&Block]) -> String {
    let b = pass[0];
    let Kernel::MatMul(p) = &b.kernel else { panic!("a product is asked for") };
    let threads = f.layout.threads;
    let swap = exchanged(&b.writes[0].view);
    let seen = |o: &Operand| if swap { o.view.transposed() } else { o.view };
    let [ai, bi] = if swap { [1, 0] } else { [0, 1] };
    let (va, vb, vy) = (seen(&b.reads[ai]), seen(&b.reads[bi]), seen(&b.writes[0]));
    let (m, n, k) = (vy.dims[ROW], vy.dims[COLUMN], va.dims[COLUMN]);
    let batch: usize = vy.dims[..ROW].iter().product();
    // Rows of four columns where a thread has one of them at most: tiles of four rows would leave most threads idle.
    let tiles = m >= 4 && batch * m * n.div_ceil(4) > threads;
    let height = if tiles { m.div_ceil(4) } else { m };
    for (name, value) in
        [("M", m), ("K", k), ("BATCH", batch), ("TILES_M", height), ("TILES_N", n.div_ceil(4))]
    {
        f.constant(name, value);
    }
    let from = [matrix(&va, &vy), matrix(&vb, &vy)];
    let (a_address, b_address) = (f.address(&b.reads[ai]), f.address(&b.reads[bi]));
    let a =
        Factor { name: "a", address: a_address, operand: &b.reads[ai], view: va, line: ROW, term: COLUMN };
    let b_side =
        Factor { name: "b", address: b_address, operand: &b.reads[bi], view: vb, line: COLUMN, term: ROW };
    // Threads side by side read lines of b that lie a multiple of four apart, which wait for the same banks of memory: each
    // begins with other terms than its neighbours.
    let turned = k >= 8 && a.vectors_along(COLUMN) && b_side.vectors_along(ROW);
    if tiles {
        a.four_lines(f, &from[0], "row", k % 4 > 0);
    } else {
        a.one_line(f, &from[0], "row");
    }
    b_side.four_lines(f, &from[1], "column", k % 4 > 0);

    // Of four sums in a row: the bias, z and y, and what follows.
    let results = Results { y: vy, four: true, product: Some(swap) };
    let mut finish = "    var s = sums;\n".to_string();
    if p.bias {
        let bias = results.load(f, &b.reads[2]);
        let _ = writeln!(finish, "    s += {bias};");
    }
    let mut made = Vec::new();
    if let Some(z) = b.writes.get(1) {
        finish += &results.store(f, z, "s");
        made.push((z, "s".to_string()));
    }
    let act = map_four(f, Func::Act(p.act, 0), "s");
    let _ = writeln!(finish, "    let y = {act};");
    finish += &results.store(f, &b.writes[0], "y");
    made.push((&b.writes[0], "y".to_string()));
    finish += &results.pointwise(f, &pass[1..], made);
    f.define("finish", "item: u32, row: u32, column: u32, sums: vec4<f32>", "", &format!("\n{finish}"));
    // Compilers would keep a loop that never runs, for all that `zero` may be, and read one term after another in one that is
    // brief.
    let mut body = if tiles { PRODUCT } else { PRODUCT_ROW }.to_string();
    if turned {
        let vectors = k / 4;
        let at = format!(
            "let j = i + column / 4u % {vectors}u; return select(j, j - {vectors}u, j >= {vectors}u);"
        );
        f.define("turned", "i: u32, column: u32", "-> u32 ", &at);
        body = body.replace("(a, i)", "(a, turned(i, column))").replace("(b, i)", "(b, turned(i, column))");
    }
    if k < 4 {
        body = written_out(&body, "K / 4u + zero", 0..0);
    }
    written_out(&body, "K + zero", k / 4 * 4..k)
}

/// Text whose loop up to `bound` goes over these values of `l`, written out one after another; without any it is left out.
fn written_out(text: &str, bound: &str, values: std::ops::Range<usize>) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !line.contains("for ") || !line.contains(&format!("< {bound};")) {
            let _ = writeln!(out, "{line}");
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        let body: Vec<&str> = lines.by_ref().take_while(|l| *l != end).collect();
        for l in values.clone() {
            let _ = writeln!(out, "{indent}{{\n{indent}    let l = {l}u;\n{}\n{end}", body.join("\n"));
        }
    }
    out
}

/// An operand of a product. Its lines are the rows of a, or the columns of b: a line of each makes a sum.
struct Factor<'b> {
    name: &'static str,
    address: Address,
    operand: &'b Operand,
    view: View,
    /// The axes of lines and of the terms in them.
    line: usize,
    term: usize,
}

impl Factor<'_> {
    /// Whether vectors lie along an axis.
    fn vectors_along(&self, axis: usize) -> bool {
        self.address.is_vectors() && reads_along(self.operand, &self.view, axis)
    }

    /// Position of the first term of a line.
    fn first(&self, from: &str, line: &str) -> String {
        plus([from, &times(line, self.view.strides[self.line])])
    }

    /// Four lines: where they begin, a term of each where `rest` says that some are left over, and four terms of each.
    /// `from` is the position of the matrix, `index` the name of the first line's number; beyond the last line it is
    /// repeated.
    fn four_lines(&self, f: &mut Function<'_>, from: &str, index: &str, rest: bool) {
        let name = self.name;
        let (last, along) = (self.view.dims[self.line] - 1, self.view.strides[self.line]);
        let step = self.view.strides[self.term];
        let starts = format!("lines({}, {index}, {last}u, {along}u)", self.address.place(from));
        // The type of the beginnings, and these; a term, and four.
        let (kind, begin, term, square, by_term) = if self.vectors_along(self.term) {
            (
                "vec4<u32>",
                format!("{starts} / 4u"),
                "line_terms(at, l)".into(),
                "line_square(at, i)".into(),
                false,
            )
        } else if self.vectors_along(self.line) {
            let (begin, by) = (self.address.vector_place(&self.first(from, index)), step / 4);
            (
                "u32",
                begin,
                format!("vectors[at + l * {by}u]"),
                format!("vectors_square(at + i * {}u, {by}u)", 4 * by),
                false,
            )
        } else {
            let term = four(|c| self.address.load(&format!("at[{c}] + l * {step}u")));
            let square = format!("mat4x4<f32>({})", listed(|c| format!("{name}_term(at, 4u * i + {c}u)")));
            ("vec4<u32>", starts, term, square, true)
        };
        f.give(&format!("{name}_start"), &format!("item: u32, {index}: u32"), kind, begin);
        if rest || by_term {
            f.give(&format!("{name}_term"), &format!("at: {kind}, l: u32"), "vec4<f32>", term);
        }
        f.give(&format!("{name}_square"), &format!("at: {kind}, i: u32"), "mat4x4<f32>", square);
    }

    /// One line: where it begins, a term, and four terms.
    fn one_line(&self, f: &mut Function<'_>, from: &str, index: &str) {
        let name = self.name;
        let (position, step) = (self.first(from, index), self.view.strides[self.term]);
        let (begin, term, terms) = if self.vectors_along(self.term) {
            let begin = self.address.vector_place(&position);
            (begin, "vectors[at + l / 4u][l % 4u]".into(), "vectors[at + i]".into())
        } else {
            let term = self.address.load(&format!("at + l * {step}u"));
            (self.address.place(&position), term, four(|c| format!("{name}_term(at, 4u * i + {c}u)")))
        };
        f.at(&format!("{name}_start"), &format!("item: u32, {index}: u32"), begin);
        f.give(&format!("{name}_term"), "at: u32, l: u32", "f32", term);
        f.give(&format!("{name}_terms"), "at: u32, i: u32", "vec4<f32>", terms);
    }
}

/// Sums, and what follows.
fn sum(f: &mut Function<'_>, pass: &[&Block]) -> String {
    let b = pass[0];
    let Kernel::SumTo(s) = &b.kernel else { panic!("a sum is asked for") };
    let (y, full) = (b.writes[0].view, b.reads[0].view);
    let (count, terms) = (y.count(), full.count() / y.count());
    let long = is_long_sum(b);
    let four_results = by_four(f, pass);
    let kept = |v: &View, kept: bool| -> Vec<(usize, usize)> {
        let axes = (0..MAX_RANK).rev().filter(|&i| full.dims[i] > 1 && (y.dims[i] > 1) == kept);
        axes.map(|i| (full.dims[i], v.strides[i])).collect()
    };
    // Four results next to one another.
    let results = next("i", count);
    let mut operand = |i: usize| {
        let (address, v) = (f.address(&b.reads[i]), &b.reads[i].view);
        let own = kept(v, true);
        let at = |i: &str| format!("{} + {}", position(i, &own), position("l", &kept(v, false)));
        // Along the last axis that stays, whose rows are of whole vectors or the only one.
        let last = (0..MAX_RANK).rev().find(|&i| y.dims[i] > 1);
        let whole = |a: usize| v.dims[a].is_multiple_of(4) || own.len() == 1;
        let vectors = last.is_some_and(|a| reads_along(&b.reads[i], v, a) && whole(a));
        if !four_results || long {
            address.element(&at("i"))
        } else if count == 1 {
            format!("vec4<f32>({})", address.element(&at("i")))
        } else if address.is_vectors() && vectors {
            address.vector(&at("i"))
        } else {
            four(|c| address.element(&at(&results[c])))
        }
    };
    let term = if s.dot { format!("{} * {}", operand(0), operand(1)) } else { operand(0) };
    let results = Results { y, four: four_results, product: None };
    f.give("term", "i: u32, l: u32", if long { "f32" } else { results.kind() }, term);
    f.constant("TERMS", terms);
    let store = results.store(f, &b.writes[0], "sums");
    let rest = results.pointwise(f, &pass[1..], vec![(&b.writes[0], "sums".to_string())]);
    let kind = results.kind();
    f.define("finish", &format!("i: u32, sums: {kind}"), "", &format!("\n{store}{rest}"));
    if long {
        let parts = f.address_at(Allocation::Words(f.layout.parts), 0, String::new()).element("part");
        f.define("put_part", "part: u32, sum: f32", "", &format!("{parts} = sum;"));
        f.give("get_part", "part: u32", "f32", parts);
        f.define("total", "sum: f32", "", &format!("finish(0u, {kind}(sum));"));
        f.constant("PARTS", terms.isqrt().min(PARTS));
        return SUM_LONG.to_string();
    }
    f.constant("COUNT", count);
    let mut body = if four_results { SUM_VECTORS } else { SUM }.to_string();
    if terms < 4 {
        body = written_out(&body, "TERMS / 4u * 4u + zero", 0..0);
    }
    written_out(&body, "TERMS + zero", terms / 4 * 4..terms)
}

/// A kernel's own text.
fn own(f: &mut Function<'_>, b: &Block) -> String {
    let [reads, writes] = b.views();
    let known = KernelInfo::find(b.kernel.name()).and_then(|info| info.block);
    let (Some(body), Some(own)) = (known, b.kernel.own_text(&reads, &writes)) else {
        panic!("'{}' has no text of its own", b.kernel.name())
    };
    // Parts of texts stand where they are asked for, functions of `shaders/shared` outside.
    let mut text = String::new();
    for line in body.lines() {
        match line.trim().strip_prefix("#import ") {
            Some("cholesky") => text += CHOLESKY,
            Some(name) => {
                f.shared.insert(format!("#import {name}\n"));
            }
            None => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    let body = text;
    let asks = |name: &str| body.contains(&format!("{name}("));
    for (k, (name, axes)) in own.operands.iter().enumerate() {
        let [at, get, put] = ["at", "get", "put"].map(|what| format!("{name}_{what}"));
        let indices: Vec<String> = (0..(*axes).max(1)).map(|i| format!("i{i}: u32")).collect();
        let Some(o) = b.reads.get(k).or_else(|| b.writes.get(k - b.reads.len())) else {
            f.at(&at, &indices.join(", "), "0u".into());
            f.define(&put, "i: u32, v: f32", "", "");
            continue;
        };
        if asks(&at) && *axes == ALL {
            f.at(&at, "i: u32", position("i", &axes_of(&o.view)));
        } else if asks(&at) {
            let strides = &o.view.strides[MAX_RANK - axes..];
            let terms: Vec<String> =
                strides.iter().enumerate().map(|(i, s)| times(&format!("i{i}"), *s)).collect();
            let terms = terms.iter().map(String::as_str).filter(|t| *t != "0u").collect::<Vec<_>>();
            let position = if terms.is_empty() { "0u".into() } else { terms.join(" + ") };
            f.at(&at, &indices.join(", "), position);
        }
        let address = f.address(o);
        if asks(&get) {
            let words = b.kernel.dtype(k) == Some(DType::U32);
            f.give(&get, "i: u32", if words { "u32" } else { "f32" }, address.element("i"));
        }
        if asks(&put) {
            let live = if matches!(address.memory, Memory::Buffer(_)) { "if live " } else { "" };
            f.define(&put, "i: u32, v: f32", "", &format!("{live}{{ {} = v; }}", address.element("i")));
        }
    }
    if asks("act") {
        let y = map_one(f, Func::Act(own.activation, 0), "x");
        f.give("act", "x: f32", "f32", y);
    }
    own.sizes.into_iter().for_each(|(name, size)| f.constant(name, size));
    body
}

/// Element by element.
fn pointwise(f: &mut Function<'_>, pass: &[&Block]) -> &'static str {
    let y = collapse([pass[0].writes[0].view])[0];
    let four_results = by_four(f, pass);
    let results = Results { y: pass[0].writes[0].view, four: four_results, product: None };
    f.constant("COUNT", y.count());
    let text = results.pointwise(f, pass, vec![]);
    f.define("finish", "i: u32", "", &format!("\n{text}"));
    if let Some(each) = f.layout.spread {
        f.constant("EACH", each);
        return POINTWISE_SPREAD;
    }
    if four_results { POINTWISE_VECTORS } else { POINTWISE }
}

/// What a pointwise kernel makes of values, or of four each.
fn expression(f: &mut Function<'_>, kernel: &Kernel, values: &[String], four: bool) -> String {
    let map = if four { map_four } else { map_one };
    match kernel {
        Kernel::Fill(v) => {
            let value = f.number(v.value);
            if four { format!("vec4<f32>({value})") } else { value }
        }
        Kernel::Copy(_) => values[0].clone(),
        Kernel::Map(m) => map(f, m.func, &values[0]),
        Kernel::Zip(z) => {
            let right = z.pre.map_or(values[1].clone(), |g| map(f, g, &values[1]));
            if four { zip_four(z.op, &values[0], &right) } else { call_of_two(z.op, &values[0], &right) }
        }
        Kernel::Select(_) => {
            let u = if four { "vec4<u32>" } else { "u32" };
            let [c, yes, no] = [&values[0], &values[1], &values[2]];
            format!("select({no}, {yes}, (bitcast<{u}>({c}) & {u}(0x7fffffffu)) != {u}(0u))")
        }
        other => panic!("'{}' is not pointwise", other.name()),
    }
}

/// A function of one element.
fn map_one(f: &mut Function<'_>, func: Func, x: &str) -> String {
    let numbers = numbers(f, func);
    call(func, [&numbers[0], &numbers[1]], x)
}

/// The numbers of a function that has some.
fn numbers(f: &mut Function<'_>, func: Func) -> [String; 2] {
    match func {
        Func::Affine(..) | Func::EightBits(_) => affine(func).map(|v| f.number(v.into())),
        _ => Default::default(),
    }
}

/// The same of each of four. What takes much code is a loop: written four times it takes drivers long to compile.
fn map_four(f: &mut Function<'_>, func: Func, x: &str) -> String {
    use Activation::{Identity, LeakyRelu, Relu};
    match func {
        Func::Affine(..) | Func::Act(Identity, 0) => map_one(f, func, x),
        Func::Act(a, _) if !matches!(a, Identity | Relu | LeakyRelu) => {
            let once = call(func, ["", ""], "y.x");
            let words = once.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
            let name = format!("four_{}", words.collect::<Vec<_>>().join("_"));
            f.shared.insert(format!(
                "fn {name}(x: vec4<f32>) -> vec4<f32> {{\n    var y = x;\n    for (var i = 0u; i < 4u + zero; i++) {{\n        \
                 y = vec4<f32>(y.yzw, {once});\n    }}\n    return y;\n}}\n"
            ));
            format!("{name}({x})")
        }
        _ => {
            let numbers = numbers(f, func);
            four(|c| call(func, [&numbers[0], &numbers[1]], &format!("{x}[{c}]")))
        }
    }
}

/// The same of each of four and four.
fn zip_four(op: Binary, p: &str, q: &str) -> String {
    match operator(op) {
        Some(_) => call_of_two(op, p, q),
        None => four(|c| call_of_two(op, &format!("{p}[{c}]"), &format!("{q}[{c}]"))),
    }
}
