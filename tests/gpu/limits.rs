//! What kernels give at the limits of f32: NaN, infinities, and arguments where naive formulas overflow.
//! (Ordinary operands are in the table of cases.)

use hyperloom::graph::op::{Binary, Func, Num};
use hyperloom::kernel::{Kernel, LogSoftmax, Map, Real, Zip};
use hyperloom::plan::{Launch, SlotRole};
use hyperloom::run::gpu::{Gpu, GpuRunner};
use hyperloom::spec::{Activation, DType};

use super::{bits, floats, gpu, plan, whole};

/// Runs a kernel on float operands of one shape; the result.
fn on_device(gpu: &Gpu, kernel: Kernel, shape: &[usize], reads: &[&[f32]]) -> Vec<f32> {
    let (n, len) = (reads.len(), reads[0].len());
    let mut slots = vec![(SlotRole::Data, DType::F32, len); n];
    slots.push((SlotRole::State, DType::F32, len));
    let reading = (0..n).map(|i| whole(i, shape)).collect();
    let launch = Launch::new(kernel, reading, vec![whole(n, shape)], "limits");
    let mut words: Vec<Vec<u32>> = reads.iter().map(|x| bits(x)).collect();
    words.push(vec![0; len]);
    let after = GpuRunner::run_once(gpu, &plan(slots, vec![launch]), &words);
    floats(&after.unwrap_or_else(|e| panic!("{e}"))[n])
}

fn both(test: impl Fn(&Gpu)) {
    for checked in [true, false] {
        if let Some(gpu) = gpu(checked) {
            test(&gpu);
        }
    }
}

fn functions() -> Vec<Func> {
    let mut all: Vec<Func> =
        Activation::ALL.into_iter().flat_map(|a| (0..=3).map(move |k| Func::Act(a, k))).collect();
    all.extend([Func::Affine(Num(1.5), Num(-0.25)), Func::Exp, Func::Log, Func::Sqrt, Func::Rsqrt]);
    all.extend([Func::Recip, Func::IsFinite]);
    all
}

/// What a function gives far out and for NaN and infinity, against f64.
#[test]
fn map_at_the_limits() {
    let big = [1e3f32, 1e4, 3e38, 88.0, 89.0, 103.0, 150.0, 0.0, 0.24, 0.26, 8.5, 20.0, f32::INFINITY];
    let mut xs: Vec<f32> = big.iter().flat_map(|x| [*x, -*x]).collect();
    xs.push(f32::NAN);
    both(|gpu| {
        for func in functions() {
            let got = on_device(gpu, Kernel::Map(Map { func }), &[xs.len()], &[&xs]);
            for (x, y) in xs.iter().zip(got) {
                let want = hyperloom::kernel::pointwise::func(func, f64::from(*x));
                assert!(right(func, *x, y, want), "{func:?} of {x:e} is {y:e}, not {want:e}");
            }
        }
    });
}

fn right(func: Func, x: f32, y: f32, want: f64) -> bool {
    let sine = matches!(func, Func::Act(Activation::Sin, _));
    if want.is_nan() {
        return y.is_nan();
    }
    if sine && x.abs() > 1e6 {
        return y.abs() <= 1.0;
    }
    if want.abs() > f64::from(f32::MAX) {
        // WGSL does not promise the sign of zero.
        return y.is_infinite() && (x == 0.0 || f64::from(y) == f64::from(want as f32));
    }
    // A logarithm near 1 may be off by 2^-21; beside that a factor may have been flushed to 0.
    let floor = match func {
        Func::Act(Activation::Softplus, 0) => 5e-7,
        _ if sine => 2e-7,
        _ => 2e-36,
    };
    (f64::from(y) - want).abs() <= 3e-5 * want.abs() + floor
}

#[test]
fn sine_of_large_arguments() {
    both(|gpu| {
        let xs: Vec<f32> = (0..4096).map(|i| (i as f32 - 2000.0) * 10f32.powi(i % 8 - 3)).collect();
        for k in 0..4 {
            let func = Func::Act(Activation::Sin, k);
            let got = on_device(gpu, Kernel::Map(Map { func }), &[xs.len()], &[&xs]);
            for (x, y) in xs.iter().zip(got) {
                let want = f64::from(*x).sin_quarter(k);
                assert!((f64::from(y) - want).abs() < 2e-7, "sin^({k}) {x}: {y} {want}");
            }
        }
    });
}

#[test]
fn nan_in_comparisons() {
    both(|gpu| {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let (a, b) = ([nan, 1.0, inf, -inf], [1.0, nan, inf, 2.0]);
        let zip = |op| on_device(gpu, Kernel::Zip(Zip { op, pre: None }), &[4], &[&a, &b]);
        assert_eq!(zip(Binary::Less), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(zip(Binary::GreaterEq), [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(zip(Binary::Equal), [0.0, 0.0, 1.0, 0.0]);
        let max = zip(Binary::Max);
        assert!(max[0].is_nan() && max[1].is_nan() && max[2] == inf && max[3] == 2.0, "{max:?}");
    });
}

#[test]
fn an_affine_function_before_a_zip() {
    both(|gpu| {
        let pre = Some(Func::Affine(Num(2.0), Num(0.5)));
        let kernel = Kernel::Zip(Zip { op: Binary::Mul, pre });
        assert_eq!(on_device(gpu, kernel, &[2], &[&[3.0, 4.0], &[1.0, -1.0]]), [7.5, -6.0]);
    });
}

#[test]
fn log_softmax_of_huge_logits() {
    both(|gpu| {
        let kernel = Kernel::LogSoftmax(LogSoftmax);
        let got = on_device(gpu, kernel, &[1, 3], &[&[3e38, -3e38, 1e30]]);
        assert!(got[0] == 0.0 && got[1] == f32::NEG_INFINITY && got[2] == -3e38, "{got:?}");
    });
}
