//! Every kernel on small cases against its reference with derived error bounds: odd sizes, broadcast and
//! permuted views, with bounds checks and without. (Smoke tests; the table of cases is elsewhere.)

use hyperloom::graph::op::{Binary, Dist, Func, Num};
use hyperloom::kernel::{
    AdamW, Bounded, Buffer, CopyKernel, CrossEntropy, Fill, Gather, Kernel, LogSoftmax, Map, MatMul, Random,
    Read, Real, ScatterAdd, Select, Sgd, SumTo, Write, Zip,
};
use hyperloom::plan::view::for_each;
use hyperloom::plan::{Launch, SlotId, SlotRole, View};
use hyperloom::run::gpu::{Gpu, GpuRunner};
use hyperloom::spec::{Activation, DType};

use super::{arg, bits, floats, gpu, plan};

/// An operand: where it lies, and the contents of its slot.
#[derive(Clone)]
struct Operand {
    view: View,
    data: Buffer<f32>,
}

/// Numbers in about ±3, the same in every run.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut s = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut next = || {
        s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (s >> 8) as f32 / 16_777_216.0 * 6.0 - 3.0
    };
    (0..len).map(|_| next()).collect()
}

/// A slot with room around the view.
fn operand(view: View, seed: u32) -> Operand {
    Operand { view, data: Buffer::F(numbers(view.end() + 3, seed)) }
}

fn words(view: View, data: &[u32]) -> Operand {
    Operand { view, data: Buffer::U(data.to_vec()) }
}

fn dense(shape: &[usize]) -> View {
    View::contiguous(shape, 2)
}

fn dtype(b: &Buffer<f32>) -> DType {
    match b {
        Buffer::F(_) => DType::F32,
        Buffer::U(_) => DType::U32,
    }
}

fn as_words(b: &Buffer<f32>) -> Vec<u32> {
    match b {
        Buffer::F(x) => bits(x),
        Buffer::U(x) => x.clone(),
    }
}

fn bounded(b: &Buffer<f32>) -> Buffer<Bounded> {
    match b {
        Buffer::F(x) => Buffer::F(x.iter().map(|x| Bounded::of_f32(*x)).collect()),
        Buffer::U(x) => Buffer::U(x.clone()),
    }
}

/// Runs one launch on the device; contents of the written slots.
fn on_device(gpu: &Gpu, kernel: &Kernel, reads: &[Operand], writes: &[Operand]) -> Vec<Vec<u32>> {
    let slots = |ops: &[Operand], role| -> Vec<_> {
        ops.iter().map(|o| (role, dtype(&o.data), o.data.len())).collect()
    };
    let mut all = slots(reads, SlotRole::Data);
    all.extend(slots(writes, SlotRole::State));
    let args = |ops: &[Operand], first: usize| {
        ops.iter().enumerate().map(|(i, o)| arg(first + i, o.view)).collect::<Vec<_>>()
    };
    let launch = Launch {
        kernel: kernel.clone(),
        reads: args(reads, 0),
        writes: args(writes, reads.len()),
        label: kernel.name().into(),
    };
    let mut r = GpuRunner::prepare(gpu, &plan(all, vec![launch])).unwrap_or_else(|e| panic!("{e}"));
    for (i, o) in reads.iter().chain(writes).enumerate() {
        r.write(SlotId(i), 0, &as_words(&o.data)).expect("written");
    }
    r.run(1).expect("run");
    let read = |i: usize| r.read(SlotId(reads.len() + i), 0..writes[i].data.len()).expect("read");
    (0..writes.len()).map(read).collect()
}

/// Compares a launch with the reference, element by element; what lies outside the views must not change.
fn check(gpu: &Gpu, kernel: &Kernel, reads: &[Operand], writes: &[Operand]) {
    let got = on_device(gpu, kernel, reads, writes);
    let read_data: Vec<Buffer<Bounded>> = reads.iter().map(|o| bounded(&o.data)).collect();
    let mut write_data: Vec<Buffer<Bounded>> = writes.iter().map(|o| bounded(&o.data)).collect();
    {
        let reads: Vec<_> =
            read_data.iter().zip(reads).map(|(buffer, o)| Read { buffer, view: o.view }).collect();
        let mut writes: Vec<_> =
            write_data.iter_mut().zip(writes).map(|(buffer, o)| Write { buffer, view: o.view }).collect();
        kernel.reference(&reads, &mut writes);
    }
    for ((want, got), o) in write_data.iter().zip(&got).zip(writes) {
        let mut inside = vec![false; o.data.len()];
        for_each([&o.view], |[i]| inside[i] = true);
        let before = as_words(&o.data);
        for i in 0..got.len() {
            let ok = match (inside[i], want) {
                (false, _) => got[i] == before[i],
                (true, Buffer::F(x)) => x[i].admits(f32::from_bits(got[i])),
                (true, Buffer::U(x)) => x[i] == got[i],
            };
            let value = f32::from_bits(got[i]);
            assert!(ok, "{kernel:?} element {i} (inside: {}): {value:e}, want {want:?}", inside[i]);
        }
    }
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

#[test]
fn map() {
    both(|gpu| {
        for func in functions() {
            let kernel = Kernel::Map(Map { func });
            for n in [1, 63, 65] {
                check(gpu, &kernel, &[operand(dense(&[n]), 1)], &[operand(dense(&[n]), 2)]);
            }
            let x = operand(dense(&[3, 5, 7]).permute(&[2, 0, 1]), 3);
            check(gpu, &kernel, &[x], &[operand(dense(&[7, 3, 5]), 4)]);
        }
    });
}

/// What a function gives far out and for NaN and infinity, against f64.
#[test]
fn map_at_the_limits() {
    let big = [1e3f32, 1e4, 3e38, 88.0, 89.0, 103.0, 150.0, 0.0, 0.24, 0.26, 8.5, 20.0, f32::INFINITY];
    let mut xs: Vec<f32> = big.iter().flat_map(|x| [*x, -*x]).collect();
    xs.push(f32::NAN);
    both(|gpu| {
        for func in functions() {
            let kernel = Kernel::Map(Map { func });
            let view = View::contiguous(&[xs.len()], 0);
            let x = Operand { view, data: Buffer::F(xs.clone()) };
            let y = Operand { view, data: Buffer::F(vec![7.0; xs.len()]) };
            let got = floats(&on_device(gpu, &kernel, &[x], &[y])[0]);
            for (x, y) in xs.iter().zip(got) {
                let want = hyperloom::kernel::pointwise::func(func, f64::from(*x));
                let sine = matches!(func, Func::Act(Activation::Sin, _));
                let ok = if want.is_nan() {
                    y.is_nan()
                } else if sine && x.abs() > 1e6 {
                    y.abs() <= 1.0
                } else if want.abs() > f64::from(f32::MAX) {
                    f64::from(y) == f64::from(want as f32)
                } else {
                    // A logarithm near 1 may be off by 2^-21; beside that a factor may have been flushed to 0.
                    let floor = match func {
                        Func::Act(Activation::Softplus, 0) => 5e-7,
                        _ if sine => 2e-7,
                        _ => 2e-36,
                    };
                    (f64::from(y) - want).abs() <= 3e-5 * want.abs() + floor
                };
                assert!(ok, "{func:?} of {x:e} is {y:e}, not {want:e}");
            }
        }
    });
}

#[test]
fn sine_of_large_arguments() {
    both(|gpu| {
        let xs: Vec<f32> = (0..4096).map(|i| (i as f32 - 2000.0) * 10f32.powi(i % 8 - 3)).collect();
        let view = View::contiguous(&[xs.len()], 0);
        for k in 0..4 {
            let kernel = Kernel::Map(Map { func: Func::Act(Activation::Sin, k) });
            let x = Operand { view, data: Buffer::F(xs.clone()) };
            let got = floats(&on_device(gpu, &kernel, &[x.clone()], &[x])[0]);
            for (x, y) in xs.iter().zip(got) {
                let want = f64::from(*x).sin_quarter(k);
                assert!((f64::from(y) - want).abs() < 2e-7, "sin^({k}) {x}: {y} {want}");
            }
        }
    });
}

#[test]
fn zip_and_select() {
    use Binary::*;
    both(|gpu| {
        let relu = Some(Func::Act(Activation::Relu, 1));
        let affine = Some(Func::Affine(Num(2.0), Num(0.5)));
        let ops = [Add, Sub, Mul, Div, Max, Less, GreaterEq, Equal].map(|op| (op, None));
        for (op, pre) in ops.into_iter().chain([(Mul, relu), (Mul, affine)]) {
            let kernel = Kernel::Zip(Zip { op, pre });
            for n in [1, 63, 65] {
                let reads = [operand(dense(&[n]), 1), operand(dense(&[n]), 2)];
                check(gpu, &kernel, &reads, &[operand(dense(&[n]), 3)]);
            }
            let row = operand(dense(&[6]).expand(&[4, 3, 6]), 4);
            let turned = operand(dense(&[6, 4, 3]).permute(&[1, 2, 0]), 5);
            check(gpu, &kernel, &[turned, row], &[operand(dense(&[4, 3, 6]), 6)]);
        }
        for n in [1, 63, 65] {
            let mut c = operand(dense(&[n]), 1);
            if let Buffer::F(x) = &mut c.data {
                x.iter_mut().step_by(3).for_each(|x| *x = 0.0);
            }
            let reads = [c, operand(dense(&[n]), 2), operand(dense(&[1]).expand(&[n]), 3)];
            check(gpu, &Kernel::Select(Select), &reads, &[operand(dense(&[n]), 4)]);
        }
    });
}

#[test]
fn nan_in_comparisons() {
    both(|gpu| {
        let view = View::contiguous(&[4], 0);
        let of = |x: [f32; 4]| Operand { view, data: Buffer::F(x.to_vec()) };
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let (a, b) = ([nan, 1.0, inf, -inf], [1.0, nan, inf, 2.0]);
        for (op, want) in [
            (Binary::Less, [0.0, 0.0, 0.0, 1.0]),
            (Binary::GreaterEq, [0.0, 0.0, 1.0, 0.0]),
            (Binary::Equal, [0.0, 0.0, 1.0, 0.0]),
        ] {
            let got = on_device(gpu, &Kernel::Zip(Zip { op, pre: None }), &[of(a), of(b)], &[of(a)]);
            assert_eq!(floats(&got[0]), want, "{op:?}");
        }
        let max = Kernel::Zip(Zip { op: Binary::Max, pre: None });
        let got = floats(&on_device(gpu, &max, &[of(a), of(b)], &[of(a)])[0]);
        assert!(got[0].is_nan() && got[1].is_nan() && got[2] == inf && got[3] == 2.0, "{got:?}");
    });
}

#[test]
fn matmul() {
    both(|gpu| {
        for (i, act) in Activation::ALL.into_iter().enumerate() {
            matmul_case(gpu, act, i % 2 == 0, &[2], (5, 7, 3));
        }
        for (m, k, n) in [(1, 1, 1), (32, 16, 32), (33, 17, 31), (65, 63, 1), (1, 65, 63), (64, 5, 65)] {
            matmul_case(gpu, Activation::Relu, true, &[], (m, k, n));
            matmul_case(gpu, Activation::Identity, false, &[2, 1, 3], (m, k, n));
        }
    });
}

fn matmul_case(gpu: &Gpu, act: Activation, bias: bool, batch: &[usize], (m, k, n): (usize, usize, usize)) {
    let kernel = Kernel::MatMul(MatMul { bias, act });
    let with = |tail: &[usize]| [batch, tail].concat();
    let swap: Vec<usize> = (0..batch.len()).chain([batch.len() + 1, batch.len()]).collect();
    let y = with(&[m, n]);
    // Both orders of memory for each operand, a row as bias, one operand shared by the batch.
    for a in [dense(&with(&[m, k])), dense(&with(&[k, m])).permute(&swap), dense(&[m, k])] {
        for b in [dense(&with(&[k, n])), dense(&with(&[n, k])).permute(&swap)] {
            let reads = [operand(a, 1), operand(b, 2), operand(dense(&[n]).expand(&y), 3)];
            check(gpu, &kernel, &reads, &[operand(dense(&y), 4)]);
            check(gpu, &kernel, &reads, &[operand(dense(&y), 4), operand(dense(&y), 5)]);
        }
    }
}

#[test]
fn sums() {
    both(|gpu| {
        for dot in [false, true] {
            let kernel = Kernel::SumTo(SumTo { dot });
            let cases: [(&[usize], &[usize]); 9] = [
                (&[1], &[1]),
                (&[63], &[1]),
                (&[1000], &[1]),
                (&[5, 65], &[5, 1]),
                (&[65, 5], &[1, 5]),
                (&[300, 5], &[1, 5]),
                (&[4, 3, 50], &[1, 3, 1]),
                (&[7, 3, 130], &[1, 3, 1]),
                (&[2, 3, 4, 5, 6], &[2, 1, 4, 1, 6]),
            ];
            for (from, to) in cases {
                let other = operand(dense(&from[from.len() - 1..]).expand(from), 2);
                check(gpu, &kernel, &[operand(dense(from), 1), other], &[operand(dense(to), 3)]);
            }
        }
    });
}

#[test]
fn moves() {
    both(|gpu| {
        let copy = Kernel::Copy(CopyKernel);
        for n in [1, 63, 65] {
            check(gpu, &copy, &[operand(dense(&[n]), 1)], &[operand(dense(&[n]), 2)]);
            let fill = Kernel::Fill(Fill { value: 0.1 });
            check(gpu, &fill, &[], &[operand(dense(&[2, 70]).slice(2, 1, 3, n), 2)]);
        }
        let nan: Vec<u32> = (0..70).map(|i| 0x7f80_0001 + i).collect();
        let out = words(View::contiguous(&[65], 2), &[5; 70]);
        check(gpu, &copy, &[words(View::contiguous(&[65], 1), &nan)], &[out]);
        let six = operand(dense(&[2, 3, 2, 2, 3, 2]).permute(&[5, 3, 1, 0, 2, 4]), 1);
        check(gpu, &copy, &[six], &[operand(dense(&[2, 2, 3, 2, 2, 3]), 2)]);
        // Indices beyond the table are clamped.
        let index: Vec<u32> = (0..65).map(|i| (i * 7) % 9).collect();
        let index = words(View::contiguous(&[65], 0), &index);
        let wide = operand(dense(&[65, 3]), 2);
        check(gpu, &Kernel::Gather(Gather), &[operand(dense(&[6, 3]), 1), index.clone()], &[wide.clone()]);
        check(gpu, &Kernel::ScatterAdd(ScatterAdd), &[wide, index], &[operand(dense(&[6, 3]), 3)]);
    });
}

#[test]
fn classes() {
    both(|gpu| {
        for (rows, classes) in [(1, 1), (63, 5), (65, 130)] {
            let mut x = operand(dense(&[rows, classes]), 1);
            if let Buffer::F(x) = &mut x.data {
                x.iter_mut().step_by(5).for_each(|x| *x *= 30.0);
            }
            let out = operand(dense(&[rows, classes]), 2);
            check(gpu, &Kernel::LogSoftmax(LogSoftmax), &[x.clone()], &[out]);
            let mut p = operand(dense(&[classes, rows]).permute(&[1, 0]), 3);
            if let Buffer::F(p) = &mut p.data {
                p.iter_mut().for_each(|p| *p = p.abs());
            }
            check(gpu, &Kernel::CrossEntropy(CrossEntropy), &[x, p], &[operand(dense(&[rows]), 4)]);
        }
        // Far beyond where e^x overflows.
        let view = View::contiguous(&[1, 3], 0);
        let x = Operand { view, data: Buffer::F(vec![3e38, -3e38, 1e30]) };
        let got = floats(&on_device(gpu, &Kernel::LogSoftmax(LogSoftmax), &[x.clone()], &[x])[0]);
        assert!(got[0] == 0.0 && got[1] == f32::NEG_INFINITY && got[2] == -3e38, "{got:?}");
    });
}

#[test]
fn random() {
    both(|gpu| {
        let key = words(View::contiguous(&[2], 1), &[9, 77, 5]);
        for dist in [Dist::Bits, Dist::Uniform, Dist::Normal] {
            for (tasks, per_task) in [(1, 1), (9, 7), (65, 2), (1, 3000)] {
                let kernel = Kernel::Random(Random { dist, stream: 3, per_task, first_task: 40 });
                let view = dense(&[tasks, per_task]);
                let y = match dist {
                    Dist::Bits => words(view, &vec![1; view.end() + 2]),
                    _ => operand(view, 1),
                };
                check(gpu, &kernel, std::slice::from_ref(&key), &[y.clone()]);
                if dist == Dist::Uniform {
                    uniform_is_exact(gpu, &kernel, &key, &y);
                }
            }
        }
    });
}

/// Uniform numbers agree to the bit.
fn uniform_is_exact(gpu: &Gpu, kernel: &Kernel, key: &Operand, y: &Operand) {
    let mut want = y.data.clone();
    let reads = [Read { buffer: &key.data, view: key.view }];
    kernel.reference(&reads, &mut [Write { buffer: &mut want, view: y.view }]);
    assert_eq!(
        on_device(gpu, kernel, std::slice::from_ref(key), std::slice::from_ref(y))[0],
        as_words(&want)
    );
}

#[test]
fn optimisers() {
    both(|gpu| {
        for n in [1, 63, 65] {
            for factor in [1.0, 0.25, 0.0, -1.0, f32::NAN, f32::INFINITY] {
                let scalar = Operand { view: View::contiguous(&[1], 0), data: Buffer::F(vec![factor]) };
                let control = View::contiguous(&[3], 0);
                let control = Operand { view: control, data: Buffer::F(vec![0.01, 10.0, 1000.0]) };
                let reads = [operand(dense(&[n]), 1), control, scalar];
                let mut state = operand(dense(&[3, n]), 2);
                if let Buffer::F(x) = &mut state.data {
                    x.iter_mut().for_each(|x| *x = x.abs());
                }
                let adamw = AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.01 };
                check(gpu, &Kernel::AdamW(adamw), &reads, &[state]);
                let sgd = Kernel::Sgd(Sgd { momentum: 0.9, decay: 0.01 });
                check(gpu, &sgd, &reads, &[operand(dense(&[2, n]), 3)]);
            }
        }
    });
}
