//! Cases of matmul: transposes, bias, activation, saved sums, broadcast batches, and every edge of the
//! tiles of the CPU (6 x 16) and of the GPU (32 x 32).

use super::{Build, Case, Layout, ORDINARY, POSITIVE};
use crate::kernel::{Kernel, MatMul};
use crate::plan::View;
use crate::spec::{Activation, DType};

/// Operands of a product before batches.
#[derive(Clone, Copy, Debug)]
struct Shape {
    batch: &'static [usize],
    m: usize,
    k: usize,
    n: usize,
}

/// What goes with it.
#[derive(Clone, Copy, Debug)]
struct Extras {
    a: Layout,
    b: Layout,
    /// Layout of the bias `[.., m, n]`.
    bias: Option<Layout>,
    act: Activation,
    save: bool,
    y: Layout,
}

const PLAIN: Extras = Extras {
    a: Layout::Dense,
    b: Layout::Dense,
    bias: None,
    act: Activation::Identity,
    save: false,
    y: Layout::Dense,
};

fn product(table: &mut Vec<Case>, s: Shape, x: Extras) {
    let with = |r: usize, c: usize| [s.batch, &[r, c]].concat();
    let fill = if s.k > 50 { POSITIVE } else { ORDINARY };
    let mut build = Build::new(4000).read(&with(s.m, s.k), x.a, fill).read(&with(s.k, s.n), x.b, fill);
    build = match x.bias {
        Some(layout) => build.read(&with(s.m, s.n), layout, ORDINARY),
        None => build.again(0),
    };
    build = build.write(&with(s.m, s.n), x.y, DType::F32);
    if x.save {
        build = build.write(&with(s.m, s.n), Layout::Columns, DType::F32);
    }
    let name = format!(
        "{:?} {}x{}x{} {:?} {:?} bias {:?} {} save {} to {:?}",
        s.batch, s.m, s.k, s.n, x.a, x.b, x.bias, x.act, x.save, x.y
    );
    let kernel = Kernel::MatMul(MatMul { bias: x.bias.is_some(), act: x.act });
    table.push(build.case(name, kernel, true));
}

pub(super) fn cases(table: &mut Vec<Case>) {
    // Every edge of the tiles, with and without transposes.
    for m in [1, 2, 5, 6, 7, 12, 13, 31, 32, 33] {
        for n in [1, 3, 7, 8, 15, 16, 17, 31, 33] {
            let s = Shape { batch: &[], m, k: 3, n };
            product(table, s, PLAIN);
            product(table, s, Extras { a: Layout::Transposed, b: Layout::Transposed, ..PLAIN });
        }
    }
    for k in [1, 2, 4, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1757] {
        product(table, Shape { batch: &[], m: 7, k, n: 17 }, PLAIN);
        product(
            table,
            Shape { batch: &[3], m: 5, k, n: 3 },
            Extras { bias: Some(Layout::Repeated(1)), ..PLAIN },
        );
    }
    extras(table);
    batches(table);
    // Tall, thin, one row, one column.
    let strips = [(1757, 5, 3), (3, 5, 1757), (1, 1757, 1), (1, 64, 1757), (1757, 64, 1), (1757, 1, 65)];
    for (m, k, n) in strips {
        product(table, Shape { batch: &[], m, k, n }, PLAIN);
        product(table, Shape { batch: &[], m, k, n }, Extras { b: Layout::Transposed, ..PLAIN });
    }
    // Large enough for several threads; the last three for the blocked product of the CPU.
    let all = Extras { bias: Some(Layout::Repeated(0)), act: Activation::Tanh, save: true, ..PLAIN };
    for (m, k, n) in
        [(200, 80, 100), (7, 5500, 17), (66, 820, 6), (129, 257, 130), (333, 65, 209), (32, 2100, 65)]
    {
        let s = Shape { batch: &[], m, k, n };
        product(table, s, PLAIN);
        product(table, s, Extras { a: Layout::Transposed, ..PLAIN });
        product(table, s, Extras { b: Layout::Transposed, ..all });
    }
}

fn extras(table: &mut Vec<Case>) {
    let layouts = [Layout::Dense, Layout::Transposed, Layout::Columns, Layout::Strided];
    for a in layouts {
        for b in layouts {
            let s = Shape { batch: &[2], m: 9, k: 10, n: 11 };
            product(table, s, Extras { a, b, bias: Some(Layout::Dense), ..PLAIN });
            product(table, s, Extras { a, b, act: Activation::Silu, save: true, ..PLAIN });
            product(table, s, Extras { a, b, y: Layout::Transposed, ..PLAIN });
            product(table, s, Extras { a, b, y: Layout::Strided, ..PLAIN });
        }
    }
    for act in Activation::ALL {
        for bias in [None, Some(Layout::Repeated(1)), Some(Layout::Scalar), Some(Layout::Dense)] {
            for save in [false, true] {
                product(
                    table,
                    Shape { batch: &[3], m: 13, k: 8, n: 19 },
                    Extras { bias, act, save, ..PLAIN },
                );
            }
        }
    }
}

/// Batches: many small ones, several axes, an operand shared by all.
fn batches(table: &mut Vec<Case>) {
    for batch in [&[65][..], &[4, 5], &[2, 3, 2, 2]] {
        for (m, k, n) in [(1, 1, 1), (5, 1, 40), (8, 40, 1), (16, 16, 16), (10, 33, 35)] {
            let s = Shape { batch, m, k, n };
            product(table, s, PLAIN);
            product(table, s, Extras { a: Layout::Repeated(0), ..PLAIN });
            product(table, s, Extras { b: Layout::Repeated(0), bias: Some(Layout::Repeated(0)), ..PLAIN });
        }
    }
    let rank = 4;
    let s = Shape { batch: &[3, 4], m: 6, k: 7, n: 8 };
    product(table, s, Extras { b: Layout::Repeated(1), bias: Some(Layout::Repeated(rank - 2)), ..PLAIN });
    // Weights as they lie in generated rows: each task's matrix inside a longer row.
    let (t, p) = (9, 300);
    let row = View::contiguous(&[t, p], 5);
    let weight =
        |start: usize, r: usize, c: usize| row.slice(2, 1, start, r * c).reshape(&[t, r, c]).unwrap_or(row);
    let mut case =
        Build::new(4100).read(&[t, 20, 4], Layout::Dense, ORDINARY).read(&[t, p], Layout::Dense, ORDINARY);
    case.reads[1].view = weight(3, 4, 17);
    let mut bias = case.reads[1];
    bias.view = row.slice(2, 1, 3 + 68, 17).reshape(&[t, 1, 17]).unwrap_or(row).expand(&[t, 20, 17]);
    case.reads.push(bias);
    let kernel = Kernel::MatMul(MatMul { bias: true, act: Activation::Gelu });
    let case = case.write(&[t, 20, 17], Layout::Dense, DType::F32).case("weights in rows", kernel, true);
    table.push(case);
    // The gradient of such a weight, written where it lies.
    let case = Build::new(4200).read(&[t, 20, 4], Layout::Dense, ORDINARY).read(
        &[t, 20, 17],
        Layout::Dense,
        ORDINARY,
    );
    let mut case = case.again(0).write(&[t, p], Layout::Dense, DType::F32);
    case.reads[0].view = case.reads[0].view.permute(&[0, 2, 1]);
    case.reads[2] = case.reads[0];
    case.writes[0].view = weight(3, 4, 17);
    let kernel = Kernel::MatMul(MatMul { bias: false, act: Activation::Identity });
    table.push(case.case("gradient into rows", kernel, true));
}
