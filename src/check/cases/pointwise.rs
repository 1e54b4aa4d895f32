//! Cases of the pointwise kernels of one value: map, copy, fill.

use super::{Build, Case, Fill, LENGTHS, Layout, ORDINARY};
use crate::graph::op::{Func, Num};
use crate::kernel::{CopyKernel, Fill as FillKernel, Kernel, Map};
use crate::spec::{Activation, DType};

/// Numbers at which an activation may break: not finite, zeros of both signs, far out in both tails, around
/// the borders between formulas, and tiny but no denormals.
pub(super) const SPECIAL: [f32; 40] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    1e30,
    -1e30,
    100.0,
    -100.0,
    1e4,
    -1e4,
    2e-38,
    -2e-38,
    1e-20,
    -1e-20,
    1e-6,
    -1e-6,
    1.0,
    -1.0,
    0.249_999,
    0.25,
    -0.25,
    -0.250_001,
    7.999_999,
    8.0,
    8.000_001,
    -8.0,
    -8.000_001,
    88.0,
    -88.0,
    89.0,
    -90.0,
    -90.000_01,
    90.000_01,
    17.5,
    -17.5,
    std::f32::consts::PI,
    -std::f32::consts::FRAC_PI_2,
    20.0,
    -20.0,
];

/// Numbers between two whole ones, of both signs, and others beside them.
const HALVES: [f32; 14] = [
    0.5,
    -0.5,
    1.5,
    -1.5,
    2.5,
    -2.5,
    126.5,
    -126.5,
    127.5,
    -127.5,
    0.499_999_97,
    -0.499_999_97,
    8_388_607.5,
    -8_388_607.5,
];

/// Numbers for functions that want positive ones.
const POSITIVE: [f32; 14] = [
    f32::NAN,
    f32::INFINITY,
    2e-38,
    1e-30,
    1e-6,
    0.5,
    0.999_999_94,
    1.0,
    1.000_000_1,
    1.5,
    2.0,
    100.0,
    1e30,
    3e38,
];

/// Shapes and layouts of a pointwise kernel of one operand.
const LAYOUTS: [(&[usize], Layout, Layout); 12] = [
    (&[], Layout::Dense, Layout::Dense),
    (&[7], Layout::Strided, Layout::Dense),
    (&[65, 63], Layout::Transposed, Layout::Dense),
    (&[65, 63], Layout::Dense, Layout::Transposed),
    (&[33, 65], Layout::Columns, Layout::Columns),
    (&[3, 5, 7], Layout::Strided, Layout::Strided),
    (&[4, 6, 10], Layout::Repeated(1), Layout::Dense),
    (&[4, 6, 10], Layout::Repeated(2), Layout::Columns),
    (&[2, 3, 4, 5], Layout::Transposed, Layout::Strided),
    (&[2, 3, 2, 3, 5], Layout::Scalar, Layout::Dense),
    (&[2, 3, 2, 1, 3, 4], Layout::Strided, Layout::Transposed),
    (&[70_001], Layout::Dense, Layout::Dense),
];

/// Every function, with numbers it is defined on.
pub(super) fn functions() -> Vec<(Func, &'static [f32], (f32, f32))> {
    let mut all: Vec<(Func, &[f32], (f32, f32))> = Vec::new();
    for a in Activation::ALL {
        for k in 0..=3 {
            all.push((Func::Act(a, k), &SPECIAL, (-6.0, 6.0)));
        }
    }
    all.push((Func::Affine(Num(-1.7), Num(0.3)), &SPECIAL, (-2.0, 2.0)));
    all.push((Func::Affine(Num(0.0), Num(0.0)), &[1.0, -1e30], (-2.0, 2.0)));
    all.push((Func::Exp, &SPECIAL, (-6.0, 6.0)));
    all.push((Func::Log, &POSITIVE, (0.01, 9.0)));
    all.push((Func::Log, &[0.0, -1.0], (0.5, 2.0)));
    all.push((Func::Sqrt, &POSITIVE, (0.01, 9.0)));
    all.push((Func::Sqrt, &[0.0, -1.0], (0.0, 1.0)));
    all.push((Func::Rsqrt, &POSITIVE[..13], (0.01, 9.0)));
    all.push((Func::Rsqrt, &[0.0, -1.0], (0.5, 1.0)));
    all.push((Func::Recip, &POSITIVE[..13], (0.01, 9.0)));
    all.push((Func::Slope(Activation::Tanh), &SPECIAL, (-1.0, 1.0)));
    all.push((Func::Slope(Activation::Sigmoid), &SPECIAL, (0.0, 1.0)));
    all.push((Func::Floor, &SPECIAL, (-4.0, 4.0)));
    all.push((Func::Round, &SPECIAL, (-4.0, 4.0)));
    all.push((Func::Round, &HALVES, (-130.0, 130.0)));
    all.push((Func::EightBits(Num(0.25)), &HALVES, (-40.0, 40.0)));
    all.push((Func::EightBits(Num(1.0)), &SPECIAL[..13], (-130.0, 130.0)));
    all.push((Func::IsFinite, &SPECIAL, (-2.0, 2.0)));
    all
}

pub(super) fn cases(table: &mut Vec<Case>) {
    for (i, (func, special, (lo, hi))) in functions().into_iter().enumerate() {
        let kernel = Kernel::Map(Map { func });
        let key = 1000 + i as u32;
        let build =
            |n, fill| Build::new(key).read(&[n], Layout::Dense, fill).write(&[n], Layout::Dense, DType::F32);
        let special = build(special.len(), Fill::Floats(special));
        table.push(special.case(format!("{func:?}, special numbers, {i}"), kernel.clone(), false));
        let ordinary = build(257, Fill::Range(lo, hi));
        table.push(ordinary.case(format!("{func:?}, ordinary numbers, {i}"), kernel, true));
    }
    for n in LENGTHS {
        let kernel = Kernel::Map(Map { func: Func::Act(Activation::Tanh, 0) });
        let build = Build::new(1100).read(&[n], Layout::Dense, ORDINARY);
        table.push(build.write(&[n], Layout::Dense, DType::F32).case(format!("tanh of {n}"), kernel, true));
    }
    for (shape, from, to) in LAYOUTS {
        let name = format!("{shape:?} from {from:?} to {to:?}");
        let functions = [
            Func::Act(Activation::Sigmoid, 1),
            Func::Act(Activation::Relu, 0),
            Func::Affine(Num(2.5), Num(-0.125)),
        ];
        for func in functions {
            let build = Build::new(1200).read(shape, from, ORDINARY).write(shape, to, DType::F32);
            table.push(build.case(format!("{func:?} {name}"), Kernel::Map(Map { func }), true));
        }
        let copy = Kernel::Copy(CopyKernel);
        let build = Build::new(1300).read(shape, from, ORDINARY).write(shape, to, DType::F32);
        table.push(build.case(name.clone(), copy.clone(), true));
        let words = Fill::Words(&[0, 1, 0x7FC0_1234, 0x8000_0000, u32::MAX, 0x0000_0001]);
        let build = Build::new(1400).read(shape, from, words).write(shape, to, DType::U32);
        table.push(build.case(format!("u32 {name}"), copy, false));
        let fill = Kernel::Fill(FillKernel { value: 0.1 });
        let build = Build::new(1500).write(shape, to, DType::F32);
        table.push(build.case(format!("{name}: 0.1"), fill, true));
    }
    let build = Build::new(1600).read(&[40], Layout::Dense, Fill::Floats(&SPECIAL));
    let build = build.write(&[40], Layout::Strided, DType::F32);
    table.push(build.case("special numbers", Kernel::Copy(CopyKernel), false));
    for (value, n) in LENGTHS.into_iter().enumerate() {
        let build = Build::new(1700).write(&[n], Layout::Dense, DType::F32);
        let fill = Kernel::Fill(FillKernel { value: value as f64 - 1.0 });
        table.push(build.case(format!("{n} elements"), fill, false));
    }
}
