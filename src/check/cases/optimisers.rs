//! Cases of the optimiser steps, which work in place: ordinary steps, refused ones, extreme gradients.

use super::{Build, Case, Fill, LENGTHS, Layout, ORDINARY};
use crate::kernel::{AdamW, Kernel, Sgd};

/// Factors, and whether they refuse the step.
const FACTORS: [(f32, bool); 7] = [
    (1.0, false),
    (0.25, false),
    (0.0, false),
    (-1.0, true),
    (f32::NAN, true),
    (f32::INFINITY, true),
    (f32::NEG_INFINITY, true),
];

pub(super) fn cases(table: &mut Vec<Case>) {
    let adam = Kernel::AdamW(AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.01 });
    let sgd = Kernel::Sgd(Sgd { momentum: 0.9, decay: 0.001 });
    // Weights and first moment of any sign, second moment positive.
    let step = |p: usize, grad, factor: f32, layouts: (Layout, Layout)| {
        let control = Fill::Floats(&[1e-3, 5.263_158, 500.25]);
        let build = Build::new(7000).read(&[p], layouts.0, grad).read(&[3], Layout::Dense, control);
        let build = build.read(&[], Layout::Dense, Fill::Floats(&[factor]));
        (build, p, layouts.1)
    };
    let finish = |(build, p, layout): (Build, usize, Layout), rows: usize| {
        build.change(&[rows, p], layout, Fill::Range(0.01, 1.0))
    };
    let dense = (Layout::Dense, Layout::Dense);
    for n in LENGTHS.into_iter().chain([40_001]) {
        table.push(finish(step(n, ORDINARY, 1.0, dense), 3).case(format!("{n} weights"), adam.clone(), true));
        table.push(finish(step(n, ORDINARY, 1.0, dense), 2).case(format!("{n} weights"), sgd.clone(), true));
    }
    for layouts in [
        (Layout::Strided, Layout::Columns),
        (Layout::Dense, Layout::Strided),
        (Layout::Scalar, Layout::Dense),
    ] {
        let name = format!("{layouts:?}");
        table.push(finish(step(65, ORDINARY, 0.5, layouts), 3).case(name.clone(), adam.clone(), true));
        table.push(finish(step(65, ORDINARY, 0.5, layouts), 2).case(name, sgd.clone(), true));
    }
    for (factor, refused) in FACTORS {
        let name = format!("factor {factor}{}", if refused { ", refused" } else { "" });
        table.push(finish(step(130, ORDINARY, factor, dense), 3).case(name.clone(), adam.clone(), true));
        table.push(finish(step(130, ORDINARY, factor, dense), 2).case(name, sgd.clone(), true));
    }
    let extreme = Fill::Floats(&[0.0, 1e-15, -1e-15, 1e6, -1e6, 1e15, -0.0]);
    table.push(finish(step(70, extreme, 1.0, dense), 3).case("extreme gradients", adam.clone(), false));
    table.push(finish(step(70, extreme, 1.0, dense), 2).case("extreme gradients", sgd, false));
    // The first step of all: moments zero, so that ε decides where the gradient is zero.
    let first = Build::new(7100).read(&[9], Layout::Dense, Fill::Floats(&[0.0, 1.0, -1e-3]));
    let first = first.read(&[3], Layout::Dense, Fill::Floats(&[1e-2, 10.0, 1000.0]));
    let first = first.read(&[], Layout::Dense, Fill::Floats(&[1.0]));
    let first = first.change(
        &[3, 9],
        Layout::Dense,
        Fill::Floats(&[0.5, 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0.]),
    );
    table.push(first.case("first step", adam, true));
}
