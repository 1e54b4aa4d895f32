//! Cases of the pointwise kernels of several values: zip and select.

use super::pointwise::SPECIAL;
use super::{Build, Case, Fill, LENGTHS, Layout, ORDINARY};
use crate::graph::op::{Binary, Func};
use crate::kernel::{Kernel, Select, Zip};
use crate::spec::{Activation, DType};

const BINARY: [Binary; 8] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Max,
    Binary::Less,
    Binary::GreaterEq,
    Binary::Equal,
];

/// Shapes with layouts of both operands and of the result.
const LAYOUTS: [(&[usize], Layout, Layout, Layout); 12] = [
    (&[], Layout::Dense, Layout::Dense, Layout::Dense),
    (&[65, 63], Layout::Dense, Layout::Dense, Layout::Dense),
    (&[65, 63], Layout::Transposed, Layout::Dense, Layout::Dense),
    (&[65, 63], Layout::Dense, Layout::Repeated(0), Layout::Dense),
    (&[65, 63], Layout::Repeated(1), Layout::Dense, Layout::Columns),
    (&[33, 17], Layout::Scalar, Layout::Dense, Layout::Transposed),
    (&[33, 17], Layout::Dense, Layout::Scalar, Layout::Strided),
    (&[4, 6, 10], Layout::Repeated(1), Layout::Repeated(0), Layout::Dense),
    (&[4, 6, 10], Layout::Strided, Layout::Columns, Layout::Dense),
    (&[2, 3, 4, 5], Layout::Transposed, Layout::Repeated(2), Layout::Strided),
    (&[2, 3, 2, 3, 5], Layout::Repeated(0), Layout::Transposed, Layout::Dense),
    (&[2, 3, 2, 2, 3, 4], Layout::Strided, Layout::Repeated(3), Layout::Transposed),
];

/// Each special number meets each.
fn pairs(numbers: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let all = || numbers.iter().flat_map(|&a| numbers.iter().map(move |&b| (a, b)));
    (all().map(|p| p.0).collect(), all().map(|p| p.1).collect())
}

pub(super) fn cases(table: &mut Vec<Case>) {
    // Neither sums nor products of these leave the range of f32.
    let finite: Vec<f32> = SPECIAL.into_iter().filter(|x| x.abs() < 1e5).collect();
    for op in BINARY {
        let plain = Kernel::Zip(Zip { op, pre: None });
        let comparison = matches!(op, Binary::Less | Binary::GreaterEq | Binary::Equal | Binary::Max);
        let numbers =
            if comparison || matches!(op, Binary::Add | Binary::Sub) { &SPECIAL[..] } else { &finite };
        let (a, b) = pairs(numbers);
        // WGSL promises division for divisors of ordinary size only.
        let divisor = |x: &f32| if op == Binary::Div && x.abs() < 1e-3 { 3.0 } else { *x };
        let b: Vec<f32> = b.iter().map(divisor).collect();
        let build = Build::new(2000).read(&[a.len()], Layout::Dense, Fill::Floats(&a));
        let build = build.read(&[b.len()], Layout::Dense, Fill::Floats(&b));
        let build = build.write(&[a.len()], Layout::Dense, DType::F32);
        table.push(build.case(format!("{op:?}, special numbers"), plain.clone(), false));
        for n in LENGTHS {
            let build = Build::new(2100).read(&[n], Layout::Dense, ORDINARY);
            let build = build.read(&[n], Layout::Dense, Fill::Range(0.5, 2.0));
            let build = build.write(&[n], Layout::Dense, DType::F32);
            table.push(build.case(format!("{op:?} of {n}"), plain.clone(), true));
        }
        let derivative = |a, k| Some(Func::Act(a, k));
        let pre = [derivative(Activation::Tanh, 1), derivative(Activation::Relu, 1), Some(Func::Exp)];
        for f in pre.into_iter().chain([None]) {
            // The derivative of relu is 0 for half of its arguments: no divisor.
            if op == Binary::Div && f == derivative(Activation::Relu, 1) {
                continue;
            }
            for (shape, a, b, y) in LAYOUTS {
                let build = Build::new(2200).read(shape, a, ORDINARY).read(shape, b, ORDINARY);
                let build = build.write(shape, y, DType::F32);
                let pre = f.map_or(String::new(), |f| format!(" {f:?}"));
                let name = format!("{op:?}{pre} {shape:?} {a:?} {b:?} {y:?}");
                // A quotient of two ordinary numbers need not be ordinary.
                let arithmetic = op != Binary::Div || f.is_some();
                table.push(build.case(name, Kernel::Zip(Zip { op, pre: f }), arithmetic));
            }
        }
    }
    // What the backward pass multiplies by: every derivative, its special numbers included.
    for a in Activation::ALL {
        for k in 1..=3 {
            let build = Build::new(2300).read(&[40], Layout::Dense, ORDINARY);
            let build = build.read(&[40], Layout::Dense, Fill::Floats(&SPECIAL));
            let build = build.write(&[40], Layout::Dense, DType::F32);
            let kernel = Kernel::Zip(Zip { op: Binary::Mul, pre: Some(Func::Act(a, k)) });
            table.push(build.case(format!("times derivative {k} of {a}"), kernel, false));
        }
    }
    let build = Build::new(2400).read(&[70_001], Layout::Dense, ORDINARY);
    let build = build.read(&[70_001], Layout::Dense, ORDINARY).write(&[70_001], Layout::Dense, DType::F32);
    table.push(build.case("Mul of 70001", Kernel::Zip(Zip { op: Binary::Mul, pre: None }), true));
    select(table);
}

fn select(table: &mut Vec<Case>) {
    let kernel = Kernel::Select(Select);
    let choice = Fill::Floats(&[1.0, 0.0, -0.0, f32::NAN, -2.0, 1e-30, f32::INFINITY]);
    for n in LENGTHS {
        let build = Build::new(2500).read(&[n], Layout::Dense, choice).read(&[n], Layout::Dense, ORDINARY);
        let build = build.read(&[n], Layout::Dense, Fill::Floats(&SPECIAL));
        table.push(build.write(&[n], Layout::Dense, DType::F32).case(format!("{n}"), kernel.clone(), false));
    }
    for (shape, a, b, y) in LAYOUTS {
        let build = Build::new(2600).read(shape, a, choice).read(shape, b, ORDINARY);
        let build = build.read(shape, Layout::Transposed, ORDINARY).write(shape, y, DType::F32);
        table.push(build.case(format!("{shape:?} {a:?} {b:?} {y:?}"), kernel.clone(), true));
    }
}
