//! Cases of sum_to, with and without a product.

use super::{Build, Case, Fill, Layout, POSITIVE};
use crate::kernel::{Kernel, SumTo};
use crate::spec::DType;

/// Shape of the operand, and that of the result, with as many axes.
const SHAPES: [(&[usize], &[usize]); 33] = [
    (&[1], &[1]),
    (&[63], &[1]),
    (&[127], &[1]),
    (&[128], &[1]),
    (&[1757], &[1]),
    (&[100_003], &[1]),
    // Last axis, first axis, short and long.
    (&[65, 3], &[65, 1]),
    (&[65, 129], &[65, 1]),
    (&[3, 65], &[1, 65]),
    (&[129, 65], &[1, 65]),
    (&[1757, 40], &[1, 40]),
    (&[40, 1757], &[40, 1]),
    (&[1757, 1], &[1, 1]),
    // What a GPU shares out among 1, 8, ... 256 threads a result: one below, at and above each number.
    (&[31], &[1]),
    (&[32], &[1]),
    (&[33], &[1]),
    (&[1023], &[1]),
    (&[1024], &[1]),
    (&[4097], &[1]),
    (&[3001, 31], &[3001, 1]),
    (&[3001, 33], &[3001, 1]),
    (&[31, 3001], &[1, 3001]),
    (&[33, 3001], &[1, 3001]),
    (&[4099, 3], &[1, 3]),
    // A middle axis, two axes apart, all but one.
    (&[5, 33, 7], &[5, 1, 7]),
    (&[5, 133, 7], &[5, 1, 7]),
    (&[5, 33, 7], &[1, 33, 1]),
    (&[25, 33, 17], &[1, 33, 1]),
    (&[4, 5, 6, 7], &[4, 1, 6, 1]),
    (&[4, 5, 6, 7], &[1, 5, 1, 7]),
    (&[4, 5, 6, 7], &[4, 5, 6, 7]),
    (&[2, 3, 4, 3, 2, 5], &[1, 3, 1, 3, 1, 5]),
    (&[2, 3, 4, 3, 2, 5], &[2, 1, 4, 1, 2, 1]),
];

pub(super) fn cases(table: &mut Vec<Case>) {
    for (from, to) in SHAPES {
        let plain = |a, y| {
            let build = Build::new(3000).read(from, a, POSITIVE).again(0).write(to, y, DType::F32);
            // Equal terms are rounded the same way each time: no ordinary sum.
            let arithmetic = !matches!(a, Layout::Repeated(_));
            let name = format!("{from:?} -> {to:?} {a:?} {y:?}");
            build.case(name, Kernel::SumTo(SumTo { dot: false }), arithmetic)
        };
        let dot = |a, b, y| {
            let build =
                Build::new(3100).read(from, a, POSITIVE).read(from, b, POSITIVE).write(to, y, DType::F32);
            let name = format!("products {from:?} -> {to:?} {a:?} {b:?} {y:?}");
            build.case(name, Kernel::SumTo(SumTo { dot: true }), true)
        };
        table.push(plain(Layout::Dense, Layout::Dense));
        table.push(dot(Layout::Dense, Layout::Dense, Layout::Dense));
        if from.len() > 1 {
            table.push(plain(Layout::Transposed, Layout::Dense));
            table.push(plain(Layout::Columns, Layout::Columns));
            table.push(plain(Layout::Repeated(0), Layout::Dense));
            table.push(dot(Layout::Transposed, Layout::Strided, Layout::Dense));
            table.push(dot(Layout::Dense, Layout::Repeated(from.len() - 1), Layout::Strided));
            table.push(dot(Layout::Scalar, Layout::Dense, Layout::Transposed));
        } else {
            table.push(plain(Layout::Strided, Layout::Dense));
            table.push(dot(Layout::Dense, Layout::Strided, Layout::Dense));
        }
    }
    // Sums that cancel, and one of very different sizes.
    let cancel = Fill::Floats(&[1e6, -1e6, 1.0, 3e5, -3e5]);
    for n in [65, 1755] {
        let build = Build::new(3200).read(&[n], Layout::Dense, cancel).again(0).write(
            &[1],
            Layout::Dense,
            DType::F32,
        );
        table.push(build.case(format!("{n} that cancel"), Kernel::SumTo(SumTo { dot: false }), false));
    }
    let strange = Fill::Floats(&[1.0, f32::INFINITY, 2.0, 3.0, f32::NAN, 4.0, 5.0, 6.0, -7.0]);
    let build = Build::new(3300).read(&[9, 4], Layout::Transposed, strange).again(0);
    let build = build.write(&[9, 1], Layout::Dense, DType::F32);
    table.push(build.case("not finite", Kernel::SumTo(SumTo { dot: false }), false));
}
