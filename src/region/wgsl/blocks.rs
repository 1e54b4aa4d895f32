//! The blocks: which file of `shaders/region/` a kernel takes, and the functions and numbers that it asks for.

use std::fmt::Write;

use super::spot::{Spot, axes, four, listed, next, position};
use super::{CROSS_ENTROPY, LOG_SOFTMAX, POINTWISE, POINTWISE_QUADS, PRODUCT, PRODUCT_ROW, SUM, SUM_QUADS};
use crate::graph::op::{Binary, Func};
use crate::kernel::Kernel;
use crate::kernel::wgsl::{affine, call, call_of_two, operator};
use crate::region::quads::{exchanged, in_rows, reads_along};
use crate::region::{Block, Operand};
use crate::spec::{Activation, MAX_RANK};
use crate::view::{COLUMN, ROW, View, collapse};

/// The functions that a block asks for, and its constants.
#[derive(Default)]
pub(super) struct Functions {
    text: String,
    constants: Vec<(&'static str, usize)>,
}

impl Functions {
    pub(super) fn constant(&mut self, name: &'static str, value: usize) {
        self.constants.push((name, value));
    }

    /// `fn name(arguments) -> result { return value; }`
    fn give(&mut self, name: &str, arguments: &str, result: &str, value: String) {
        let _ = writeln!(self.text, "fn {name}({arguments}) -> {result} {{ return {value}; }}");
    }

    /// A position.
    fn at(&mut self, name: &str, arguments: &str, position: String) {
        self.give(name, arguments, "u32", position);
    }

    /// The element at a position.
    fn get(&mut self, name: &str, spot: &Spot) {
        self.give(name, "i: u32", "f32", spot.element("i"));
    }

    /// Writes the element at a position.
    fn put(&mut self, name: &str, spot: &Spot) {
        let live = if spot.touch.in_slot() { "if live " } else { "" };
        let _ = writeln!(self.text, "fn {name}(i: u32, v: f32) {{ {live}{{ {} = v; }} }}", spot.element("i"));
    }

    /// Writes the quad at a position.
    fn put_quad(&mut self, name: &str, spot: &Spot) {
        let _ = writeln!(self.text, "fn {name}(i: u32, v: vec4<f32>) {{ {} = v; }}", spot.quad("i"));
    }

    /// All of them, the block last.
    pub(super) fn with(self, body: &str) -> String {
        let mut f = self.text;
        f.push_str("fn block() {\n");
        for (name, value) in self.constants {
            let _ = writeln!(f, "    const {name} = {value}u;");
        }
        for line in body.lines() {
            let _ = writeln!(f, "    {line}");
        }
        f.push_str("}\n");
        f
    }
}

/// A product, `y = act(a b + bias)`: rows and columns are exchanged where its results then follow one another in rows.
pub(super) fn product(
    f: &mut Functions,
    b: &Block,
    reads: &[Spot],
    writes: &[Spot],
    threads: usize,
) -> &'static str {
    let Kernel::MatMul(p) = &b.kernel else { panic!("a product is asked for") };
    let swap = exchanged(&b.writes[0].view);
    let seen = |o: &Operand| if swap { o.view.transposed() } else { o.view };
    let [ai, bi] = if swap { [1, 0] } else { [0, 1] };
    let (va, vb, vy) = (seen(&b.reads[ai]), seen(&b.reads[bi]), seen(&b.writes[0]));
    let (m, n, k) = (vy.dims[ROW], vy.dims[COLUMN], va.dims[COLUMN]);
    let batch: usize = vy.dims[..ROW].iter().product();
    let start = |v: &View| {
        let outer: Vec<(usize, usize)> =
            (0..ROW).rev().filter(|&i| vy.dims[i] > 1).map(|i| (vy.dims[i], v.strides[i])).collect();
        position("item", v.offset, &outer)
    };
    let tiles = m >= 4 && batch * m * n > threads;
    let height = if tiles { m.div_ceil(4) } else { m };
    for (name, value) in
        [("M", m), ("K", k), ("BATCH", batch), ("TILES_M", height), ("TILES_N", n.div_ceil(4))]
    {
        f.constant(name, value);
    }
    let from = [start(&va), start(&vb)];
    let a = Factor { name: "a", spot: &reads[ai], operand: &b.reads[ai], view: va, line: ROW, term: COLUMN };
    let b_side =
        Factor { name: "b", spot: &reads[bi], operand: &b.reads[bi], view: vb, line: COLUMN, term: ROW };
    if tiles {
        a.four_lines(f, &from[0], "row");
    } else {
        a.one_line(f, &from[0], "row");
    }
    b_side.four_lines(f, &from[1], "column");

    // Of four sums in a row: the bias, z and y.
    let columns = next("column", n);
    let place =
        |v: &View| format!("{} + row * {}u + column * {}u", start(v), v.strides[ROW], v.strides[COLUMN]);
    let mut finish = String::new();
    if p.bias {
        let (v, bias) = (seen(&b.reads[2]), &reads[2]);
        let value = if bias.is_quads() && reads_along(&b.reads[2], &v, COLUMN) {
            bias.quad(&place(&v))
        } else {
            four(|c| bias.element(&place(&v).replace("column", &columns[c])))
        };
        let _ = writeln!(finish, "    s += {value};");
    }
    let mut store = |f: &mut Functions, i: usize, name: &str, value: String| {
        let (v, spot) = (seen(&b.writes[i]), &writes[i]);
        if spot.is_quads() {
            f.put_quad(&format!("{name}_quad"), spot);
            let _ = writeln!(finish, "    {name}_quad({}, {value});", place(&v));
            return;
        }
        f.put(name, spot);
        let _ = writeln!(finish, "    let {name}_values = {value};\n    let {name}_from = {};", place(&v));
        for c in 0..4 {
            let inside =
                if c > 0 && n % 4 != 0 { format!("if column + {c}u < {n}u ") } else { String::new() };
            let to = format!("{name}_from + {}u", c * v.strides[COLUMN]);
            let _ = writeln!(finish, "    {inside}{{ {name}({to}, {name}_values[{c}]); }}");
        }
    };
    if b.writes.len() > 1 {
        store(f, 1, "z_put", "s".into());
    }
    let act = Func::Act(p.act, 0);
    store(f, 0, "y_put", map_four(act, "s"));
    let _ = writeln!(
        f.text,
        "fn finish(item: u32, row: u32, column: u32, sums: vec4<f32>) {{\n    var s = sums;\n{finish}}}"
    );
    if tiles { PRODUCT } else { PRODUCT_ROW }
}

/// An operand of a product. Its lines are the rows of a, or the columns of b: a line of each makes a sum.
struct Factor<'b> {
    name: &'static str,
    spot: &'b Spot,
    operand: &'b Operand,
    view: View,
    /// The axes of lines and of the terms in them.
    line: usize,
    term: usize,
}

impl Factor<'_> {
    /// Whether quads lie along an axis.
    fn quads_along(&self, axis: usize) -> bool {
        self.spot.is_quads() && reads_along(self.operand, &self.view, axis)
    }

    /// Position of the first term of a line.
    fn first(&self, from: &str, line: &str) -> String {
        format!("{from} + {line} * {}u", self.view.strides[self.line])
    }

    /// Four lines: where they begin, a term of each, and four terms of each. `from` is the position of the matrix,
    /// `index` the name of the first line's number; beyond the last line it is repeated.
    fn four_lines(&self, f: &mut Functions, from: &str, index: &str) {
        let name = self.name;
        let lines = next(index, self.view.dims[self.line]);
        let step = self.view.strides[self.term];
        let each = |c: usize| format!("at[{c}]");
        // The type of the beginnings, and a term.
        let (starts, begin, term) = if self.quads_along(self.term) {
            let begin = listed(|c| self.spot.quad_place(&self.first(from, &lines[c])));
            ("vec4<u32>", begin, four(|c| format!("quads[{} + l / 4u][l % 4u]", each(c))))
        } else if self.quads_along(self.line) {
            let begin = self.spot.quad_place(&self.first(from, index));
            ("u32", begin, format!("quads[at + l * {}u]", step / 4))
        } else {
            let begin = listed(|c| self.spot.place(&self.first(from, &lines[c])));
            ("vec4<u32>", begin, four(|c| self.spot.load(&format!("{} + l * {step}u", each(c)))))
        };
        let square = if self.quads_along(self.term) {
            format!("transpose(mat4x4<f32>({}))", listed(|c| format!("quads[{} + i]", each(c))))
        } else {
            format!("mat4x4<f32>({})", listed(|c| format!("{name}_term(at, 4u * i + {c}u)")))
        };
        f.give(
            &format!("{name}_start"),
            &format!("item: u32, {index}: u32"),
            starts,
            format!("{starts}({begin})"),
        );
        f.give(&format!("{name}_term"), &format!("at: {starts}, l: u32"), "vec4<f32>", term);
        f.give(&format!("{name}_square"), &format!("at: {starts}, i: u32"), "mat4x4<f32>", square);
    }

    /// One line: where it begins, a term, and four terms.
    fn one_line(&self, f: &mut Functions, from: &str, index: &str) {
        let name = self.name;
        let (position, step) = (self.first(from, index), self.view.strides[self.term]);
        let (begin, term, terms) = if self.quads_along(self.term) {
            let begin = self.spot.quad_place(&position);
            (begin, "quads[at + l / 4u][l % 4u]".into(), "quads[at + i]".into())
        } else {
            let term = self.spot.load(&format!("at + l * {step}u"));
            (self.spot.place(&position), term, four(|c| format!("{name}_term(at, 4u * i + {c}u)")))
        };
        f.at(&format!("{name}_start"), &format!("item: u32, {index}: u32"), begin);
        f.give(&format!("{name}_term"), "at: u32, l: u32", "f32", term);
        f.give(&format!("{name}_terms"), "at: u32, i: u32", "vec4<f32>", terms);
    }
}

/// Sums.
pub(super) fn sum(f: &mut Functions, b: &Block, reads: &[Spot], writes: &[Spot]) -> &'static str {
    let Kernel::SumTo(s) = &b.kernel else { panic!("a sum is asked for") };
    let (y, full) = (b.writes[0].view, b.reads[0].view);
    let kept = |v: &View, kept: bool| -> Vec<(usize, usize)> {
        let axes = (0..MAX_RANK).rev().filter(|&i| full.dims[i] > 1 && (y.dims[i] > 1) == kept);
        axes.map(|i| (full.dims[i], v.strides[i])).collect()
    };
    let count = y.count();
    let element = |i: usize, at: &str| {
        let v = &b.reads[i].view;
        reads[i].element(&format!(
            "{} + {}",
            position(at, v.offset, &kept(v, true)),
            position("l", 0, &kept(v, false))
        ))
    };
    // Four results next to one another.
    let results = next("i", count);
    let elements = |i: usize| {
        let v = &b.reads[i].view;
        let own = kept(v, true);
        // Along the last axis that stays, whose rows are of whole quads or the only one.
        let last = (0..MAX_RANK).rev().find(|&i| y.dims[i] > 1);
        let whole = |a: usize| v.dims[a].is_multiple_of(4) || own.len() == 1;
        let quads = last.is_some_and(|a| reads_along(&b.reads[i], v, a) && whole(a));
        if count == 1 {
            format!("vec4<f32>({})", element(i, "i"))
        } else if reads[i].is_quads() && quads {
            reads[i].quad(&format!(
                "{} + {}",
                position("i", v.offset, &own),
                position("l", 0, &kept(v, false))
            ))
        } else {
            four(|c| element(i, &results[c]))
        }
    };
    let by_quads = writes[0].is_quads();
    let operand = |i: usize| if by_quads { elements(i) } else { element(i, "i") };
    let term = if s.dot { format!("{} * {}", operand(0), operand(1)) } else { operand(0) };
    f.give("term", "i: u32, l: u32", if by_quads { "vec4<f32>" } else { "f32" }, term);
    f.at("y_at", "i: u32", position("i", y.offset, &kept(&y, true)));
    f.constant("COUNT", count);
    f.constant("TERMS", full.count() / count);
    if by_quads {
        f.put_quad("y_put_quad", &writes[0]);
        return SUM_QUADS;
    }
    f.put("y_put", &writes[0]);
    SUM
}

/// Kernels that make something of each row.
pub(super) fn rows(f: &mut Functions, b: &Block, reads: &[Spot], writes: &[Spot]) -> &'static str {
    let (x, y) = (b.reads[0].view, b.writes[0].view);
    let row = |v: &View| format!("{}u + i * {}u + j * {}u", v.offset, v.strides[ROW], v.strides[COLUMN]);
    f.get("x_get", &reads[0]);
    f.at("x_at", "i: u32, j: u32", row(&x));
    f.put("y_put", &writes[0]);
    f.constant("ROWS", x.dims[ROW]);
    f.constant("CLASSES", x.dims[COLUMN]);
    if let Kernel::LogSoftmax(_) = b.kernel {
        f.at("y_at", "i: u32, j: u32", row(&y));
        return LOG_SOFTMAX;
    }
    f.get("p_get", &reads[1]);
    f.at("p_at", "i: u32, j: u32", row(&b.reads[1].view));
    f.at("y_at", "i: u32", format!("{}u + i * {}u", y.offset, y.strides[COLUMN]));
    CROSS_ENTROPY
}

/// Element by element.
pub(super) fn pointwise(f: &mut Functions, b: &Block, reads: &[Spot], writes: &[Spot]) -> &'static str {
    let y = collapse([b.writes[0].view])[0];
    let count = y.count();
    let by_quads = writes[0].is_quads();
    let elements = next("i", count);
    // The operand's elements in the order of the result's.
    let operand = |i: usize| {
        let [_, v] = collapse([b.writes[0].view, b.reads[i].view]);
        let element = |at: &str| reads[i].element(&position(at, v.offset, &axes(&v)));
        let one_row = v.dims[..COLUMN].iter().all(|d| *d == 1);
        if !by_quads {
            element("i")
        } else if reads[i].is_quads() && in_rows(&b.reads[i], &v) {
            reads[i].quad(&position("i", v.offset, &axes(&v)))
        } else if v.strides[COLUMN] == 0 && (one_row || v.dims[COLUMN] % 4 == 0) {
            format!("vec4<f32>({})", element("i"))
        } else {
            four(|c| element(&elements[c]))
        }
    };
    let result = if by_quads { "vec4<f32>" } else { "f32" };
    let map = if by_quads { map_four } else { map_one };
    let value = match &b.kernel {
        Kernel::Fill(v) => format!("{result}({})", float(v.value)),
        Kernel::Copy(_) => "v0".into(),
        Kernel::Map(m) => map(m.func, "v0"),
        Kernel::Zip(z) => {
            let right = z.pre.map_or("v1".to_string(), |g| map(g, "v1"));
            if by_quads { zip_four(z.op, "v0", &right) } else { call_of_two(z.op, "v0", &right) }
        }
        Kernel::Select(_) => {
            let u = if by_quads { "vec4<u32>" } else { "u32" };
            format!("select(v2, v1, (bitcast<{u}>(v0) & {u}(0x7fffffffu)) != {u}(0u))")
        }
        other => panic!("a region has no block '{}'", other.name()),
    };
    let operands: String = (0..reads.len()).map(|i| format!("let v{i} = {}; ", operand(i))).collect();
    let _ = writeln!(f.text, "fn value(i: u32) -> {result} {{ {operands}return {value}; }}");
    f.at("y_at", "i: u32", position("i", y.offset, &axes(&y)));
    f.constant("COUNT", count);
    if by_quads {
        f.put_quad("y_put_quad", &writes[0]);
        return POINTWISE_QUADS;
    }
    f.put("y_put", &writes[0]);
    POINTWISE
}

/// A number that WGSL reads as the same f32.
fn float(x: f64) -> String {
    let x = x as f32;
    // Constant expressions must be finite: the others are made of a variable.
    if x.is_finite() { format!("f32({x:e})") } else { format!("bitcast<f32>({}u + 0u * task)", x.to_bits()) }
}

/// A function of one element.
fn map_one(f: Func, x: &str) -> String {
    let [scale, shift] = affine(f).map(|v| float(v.into()));
    call(f, [&scale, &shift], x)
}

/// The same of each of four.
fn map_four(f: Func, x: &str) -> String {
    match f {
        Func::Affine(..) | Func::Act(Activation::Identity, 0) => map_one(f, x),
        _ => four(|c| map_one(f, &format!("{x}[{c}]"))),
    }
}

/// The same of each of four and four.
fn zip_four(op: Binary, p: &str, q: &str) -> String {
    match operator(op) {
        Some(_) => call_of_two(op, p, q),
        None => four(|c| call_of_two(op, &format!("{p}[{c}]"), &format!("{q}[{c}]"))),
    }
}
