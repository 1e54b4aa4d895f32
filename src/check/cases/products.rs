//! Cases of matmul: transposes, bias, activation, saved sums, broadcast batches, and every edge of the
//! tiles of the CPU (6 x 16) and of each tier of the GPU.

use super::{Build, Case, Layout, ORDINARY, POSITIVE};
use crate::kernel::{Kernel, MatMul};
use crate::spec::{Activation, DType};
use crate::view::View;

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
    tiers(table);
    // Tall, thin, one row, one column.
    let strips = [(1757, 5, 3), (3, 5, 1757), (1, 1757, 1), (1, 64, 1757), (1757, 64, 1), (1757, 1, 65)];
    for (m, k, n) in strips {
        product(table, Shape { batch: &[], m, k, n }, PLAIN);
        product(table, Shape { batch: &[], m, k, n }, Extras { b: Layout::Transposed, ..PLAIN });
    }
    // Large enough for several threads; the last four for panels, blocks of rows and of terms on the CPU.
    let all = Extras { bias: Some(Layout::Repeated(0)), act: Activation::Tanh, save: true, ..PLAIN };
    for (m, k, n) in [
        (200, 80, 100),
        (7, 5500, 17),
        (66, 820, 6),
        (129, 257, 130),
        (333, 65, 209),
        (32, 2100, 65),
        (515, 270, 130),
    ] {
        let s = Shape { batch: &[], m, k, n };
        product(table, s, PLAIN);
        product(table, s, Extras { a: Layout::Transposed, ..PLAIN });
        product(table, s, Extras { b: Layout::Transposed, ..all });
    }
}

/// Shapes one below, at and above the tiles of each tier of the GPU, and the blocks of terms that it stages.
fn tiers(table: &mut Vec<Case>) {
    let transposed = Extras { a: Layout::Transposed, b: Layout::Transposed, ..PLAIN };
    let strided = Extras { a: Layout::Strided, b: Layout::Columns, y: Layout::Strided, ..PLAIN };
    let all = Extras {
        a: Layout::Transposed,
        bias: Some(Layout::Dense),
        act: Activation::Tanh,
        save: true,
        y: Layout::Transposed,
        ..PLAIN
    };
    let mut every = |batch, m, k, n| {
        for x in [PLAIN, transposed, strided, all] {
            product(table, Shape { batch, m, k, n }, x);
        }
    };
    // Thin: 8 x 32, eighths of 256 terms; the short side on either side.
    for (short, k, long) in
        [(1, 32, 65), (4, 33, 95), (5, 63, 96), (8, 255, 97), (3, 256, 128), (7, 257, 129), (2, 513, 66)]
    {
        every(&[], short, k, long);
        every(&[3], long, k, short);
    }
    // Small: whole matrices; then strips.
    for (m, k, n) in [(24, 7, 25), (32, 16, 48), (31, 15, 49), (64, 8, 32), (63, 31, 17)] {
        every(&[], m, k, n);
    }
    for (short, k, long) in [(1, 8, 257), (3, 31, 129), (4, 9, 255), (8, 5, 128), (9, 40, 65), (16, 17, 127)]
    {
        every(&[], short, k, long);
        every(&[2], long, k, short);
    }
    // Middle: 64 x 64 and 32 x 32, sixteen terms at a time.
    for (m, k, n) in [(33, 15, 33), (63, 16, 64), (64, 17, 63)] {
        every(&[3], m, k, n);
    }
    every(&[33], 65, 33, 65);
    for (m, k, n) in [(17, 15, 65), (31, 16, 95), (32, 17, 96), (33, 31, 97), (97, 32, 33), (127, 33, 127)] {
        every(&[], m, k, n);
    }
    // Small again, up to 32 matrices a workgroup; large: 64 x 64 or 128 x 128, eight terms at a time. Both need many.
    let many: [(&[usize], usize, usize, usize); 11] = [
        (&[8197], 1, 3, 1),
        (&[8197], 4, 5, 3),
        (&[2051], 7, 9, 8),
        (&[1030], 9, 4, 12),
        (&[515], 13, 33, 16),
        (&[259], 16, 17, 33),
        (&[257], 10, 1, 40),
        (&[131], 65, 9, 70),
        (&[515], 33, 17, 64),
        (&[32], 129, 7, 129),
        (&[22], 257, 9, 130),
    ];
    for (i, (batch, m, k, n)) in many.into_iter().enumerate() {
        let s = Shape { batch, m, k, n };
        product(table, s, if i % 2 == 0 { PLAIN } else { transposed });
        product(table, s, if i % 2 == 0 { all } else { strided });
    }
    product(table, Shape { batch: &[64], m: 128, k: 8, n: 129 }, PLAIN);
    product(table, Shape { batch: &[], m: 1409, k: 9, n: 1409 }, Extras { b: Layout::Transposed, ..PLAIN });
    // Operands shared by all of a batch make one product of it, where rows and results go on evenly.
    let bias = Some(Layout::Repeated(1));
    for (batch, m, k, n) in
        [(&[65][..], 10, 33, 40), (&[40], 7, 20, 130), (&[6, 40], 3, 9, 65), (&[3], 70, 300, 1)]
    {
        let s = Shape { batch, m, k, n };
        for x in [
            Extras { a: Layout::Repeated(0), ..PLAIN },
            Extras { b: Layout::Repeated(0), ..PLAIN },
            Extras { b: Layout::Repeated(0), a: Layout::Transposed, ..PLAIN },
            Extras { b: Layout::Repeated(0), a: Layout::Columns, bias, save: true, ..PLAIN },
            Extras { b: Layout::Repeated(0), bias, act: Activation::Gelu, ..PLAIN },
            Extras { a: Layout::Scalar, bias: Some(Layout::Scalar), y: Layout::Transposed, ..PLAIN },
        ] {
            product(table, s, x);
        }
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
