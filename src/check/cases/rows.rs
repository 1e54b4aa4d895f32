//! Cases of the kernels that work on rows: gather, scatter_add, log_softmax, cross_entropy, row_read,
//! row_write, stacks of matrices, and of random numbers.

use std::collections::BTreeSet;

use super::{Build, Case, Fill, LENGTHS, Layout, ORDINARY, POSITIVE};
use crate::graph::op::Dist;
use crate::kernel::{
    Advance, CrossEntropy, Gather, Kernel, LogSoftmax, Random, RowRead, RowWrite, ScatterAdd, SpdLogdet,
    SpdSolve,
};
use crate::rng::threefry2x32;
use crate::spec::DType;

/// A stack of symmetric positive definite matrices: Gramian of random rows, and n on the diagonal.
fn definite(key: u32, stack: usize, n: usize) -> Vec<f32> {
    let random = |i: usize| threefry2x32([key, 77], [i as u32, 0])[0] as f32 / 4_294_967_296.0 - 0.5;
    (0..stack * n * n)
        .map(|at| {
            let (m, i, j) = (at / (n * n), at / n % n, at % n);
            let row = |r: usize| (0..n).map(move |k| random((m * n + r) * n + k));
            let dot: f32 = row(i).zip(row(j)).map(|(a, b)| a * b).sum();
            if i == j { dot + 1.0 } else { dot }
        })
        .collect()
}

fn factored(table: &mut Vec<Case>) {
    for (stack, n, m) in [(1, 1, 1), (65, 3, 1), (3, 10, 65), (7, 33, 2), (2, 65, 3), (300, 5, 4)] {
        let a = definite(6100, stack, n);
        for (i, (at, b, x)) in [
            (Layout::Dense, Layout::Dense, Layout::Dense),
            (Layout::Columns, Layout::Transposed, Layout::Columns),
            (Layout::Transposed, Layout::Columns, Layout::Transposed),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("{stack} of {n} x {n}, {m} columns, {at:?} {b:?} {x:?}");
            let build = Build::new(6100).read(&[stack, n, n], at, Fill::Floats(&a));
            let build = build.read(&[stack, n, m], b, ORDINARY).write(&[stack, n, m], x, DType::F32);
            let build = build.write(&[stack, n, n], Layout::Dense, DType::F32);
            table.push(build.case(name.clone(), Kernel::SpdSolve(SpdSolve), true));
            let y = if i == 1 { Layout::Strided } else { Layout::Dense };
            let build = Build::new(6100).read(&[stack, n, n], at, Fill::Floats(&a));
            let build = build.write(&[stack], y, DType::F32);
            let build = build.write(&[stack, n, n], Layout::Dense, DType::F32);
            table.push(build.case(name, Kernel::SpdLogdet(SpdLogdet), n > 1));
        }
    }
}

pub(super) fn cases(table: &mut Vec<Case>) {
    factored(table);
    indexed(table);
    classes(table);
    random(table);
    windows(table);
}

/// Rows of the table, indices, width.
const INDEXED: [(usize, usize, usize); 8] = [
    (1, 1, 1),
    (7, 63, 1),
    (7, 64, 3),
    (65, 65, 17),
    (3, 1757, 2),
    (1757, 33, 5),
    (50, 10, 65),
    (64, 64, 64),
];

fn indexed(table: &mut Vec<Case>) {
    for (n, r, w) in INDEXED {
        // In range, repeated; beyond the table, clamped to its last row.
        let beyond = [0, n as u32, u32::MAX, 0, n as u32 - 1, 1 << 31, n as u32 / 2];
        for (what, index) in [("in range", Fill::Below(n as u32)), ("beyond", Fill::Words(&beyond))] {
            for (x, i, y) in [
                (Layout::Dense, Layout::Dense, Layout::Dense),
                (Layout::Transposed, Layout::Strided, Layout::Columns),
                (Layout::Columns, Layout::Dense, Layout::Transposed),
            ] {
                let name = format!("{n} rows, {r} indices {what}, width {w} {x:?} {i:?} {y:?}");
                let build = Build::new(5000).read(&[n, w], x, ORDINARY).read(&[r], i, index);
                let build = build.write(&[r, w], y, DType::F32);
                table.push(build.case(name.clone(), Kernel::Gather(Gather), true));
                let build = Build::new(5100).read(&[r, w], x, POSITIVE).read(&[r], i, index);
                let build = build.write(&[n, w], y, DType::F32);
                table.push(build.case(name, Kernel::ScatterAdd(ScatterAdd), true));
            }
        }
        let build = Build::new(5200).read(&[n, w], Layout::Dense, Fill::Below(u32::MAX));
        let build = build.read(&[r], Layout::Dense, Fill::Below(n as u32 + 2));
        let build = build.write(&[r, w], Layout::Dense, DType::U32);
        table.push(build.case(format!("u32, {n} rows, {r} indices"), Kernel::Gather(Gather), false));
    }
    let build = Build::new(5300).read(&[9, 4], Layout::Dense, ORDINARY);
    let build = build.read(&[9], Layout::Scalar, Fill::Below(6)).write(&[6, 4], Layout::Dense, DType::F32);
    table.push(build.case("one index for all", Kernel::ScatterAdd(ScatterAdd), true));
}

fn classes(table: &mut Vec<Case>) {
    let large = [1e30, -1e30, 1e4, 0.0, -1e4, 88.0, -88.0, 3.0, 1e30];
    let logits: [(&str, Fill<'_>, bool); 3] = [
        ("ordinary", Fill::Range(-5.0, 5.0), true),
        ("large", Fill::Floats(&large), false),
        ("hundreds", Fill::Range(-300.0, 300.0), false),
    ];
    for (what, fill, arithmetic) in logits {
        for (r, c) in [(1, 1), (1, 2), (63, 5), (65, 10), (3, 1757), (1757, 3), (64, 64)] {
            for (x, y) in [(Layout::Dense, Layout::Dense), (Layout::Transposed, Layout::Columns)] {
                let name = format!("{what} [{r}, {c}] {x:?} {y:?}");
                let build = Build::new(5400).read(&[r, c], x, fill).write(&[r, c], y, DType::F32);
                // A single class has the logarithm 0.
                let ordinary = arithmetic && c > 1;
                table.push(build.case(name.clone(), Kernel::LogSoftmax(LogSoftmax), ordinary));
                let build = Build::new(5500).read(&[r, c], x, fill).read(&[r, c], y, Fill::Range(0.0, 0.5));
                let build = build.write(&[r], Layout::Strided, DType::F32);
                table.push(build.case(name, Kernel::CrossEntropy(CrossEntropy), ordinary));
            }
        }
    }
    // One-hot targets; a task's row of classes repeated.
    let hot = Fill::Floats(&[0.0, 1.0, 0.0, 0.0]);
    let build =
        Build::new(5600).read(&[65, 4], Layout::Dense, ORDINARY).read(&[65, 4], Layout::Repeated(0), hot);
    let build = build.write(&[65], Layout::Dense, DType::F32);
    table.push(build.case("one-hot", Kernel::CrossEntropy(CrossEntropy), true));
}

fn random(table: &mut Vec<Case>) {
    let layouts = [(&[][..], Layout::Dense), (&[65, 27], Layout::Dense), (&[4, 5, 7], Layout::Transposed)];
    for dist in [Dist::Bits, Dist::Uniform, Dist::Normal] {
        let dtype = if dist == Dist::Bits { DType::U32 } else { DType::F32 };
        let shapes = LENGTHS.iter().map(|n| (vec![*n], Layout::Dense));
        let shapes = shapes.chain(layouts.iter().map(|(s, l)| (s.to_vec(), *l)));
        for (i, (shape, layout)) in shapes.enumerate() {
            let per_task = shape.iter().skip(1).product();
            let kernel = Random { dist, stream: 7 * i as u32, per_task, first_task: 1000 * i as u32 };
            // Every other key lies as the column of a table: that of a repetition.
            let of_key = if i % 2 == 0 { Layout::Dense } else { Layout::Strided };
            let build = Build::new(5700).read(&[2], of_key, Fill::Words(&[12345, 678]));
            let build = build.write(&shape, layout, dtype);
            table.push(build.case(format!("{dist:?} {shape:?} {layout:?}"), Kernel::Random(kernel), false));
        }
    }
}

fn windows(table: &mut Vec<Case>) {
    for (rows, len) in [(1, 1), (8, 1), (8, 63), (3, 1757), (100, 65)] {
        let counters = [0, rows as u32 / 2, rows as u32 - 1, rows as u32, u32::MAX];
        for counter in BTreeSet::from(counters) {
            let at = Fill::Words(&[counter]);
            for dtype in [DType::F32, DType::U32] {
                let fill = if dtype == DType::F32 { ORDINARY } else { Fill::Below(u32::MAX) };
                let layout = if counter == 0 { Layout::Columns } else { Layout::Dense };
                let build = Build::new(5800).read(&[rows, len], layout, fill);
                let build = build.read(&[1], Layout::Dense, at).write(&[len], Layout::Dense, dtype);
                let name = format!("{dtype:?} row {counter} of {rows}, {len} long");
                table.push(build.case(name, Kernel::RowRead(RowRead), dtype == DType::F32));
            }
            let column = (len - 1).min(counter as usize % 7);
            let build = Build::new(5900).read(&[], Layout::Dense, ORDINARY).read(&[1], Layout::Dense, at);
            let build = build.change(&[rows, len], Layout::Columns, ORDINARY);
            let name = format!("row {counter}, column {column} of {rows} x {len}");
            table.push(build.case(name, Kernel::RowWrite(RowWrite { column }), true));
        }
    }
    for counter in [0, 41, u32::MAX] {
        let build = Build::new(6000).change(&[1], Layout::Dense, Fill::Words(&[counter]));
        table.push(build.case(format!("from {counter}"), Kernel::Advance(Advance), false));
    }
}
