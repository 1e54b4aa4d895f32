//! Times the CPU path's kernels over the case table: `cargo bench --bench kernels [NAME]`. Each line is the
//! largest case of a kernel by operands, the fast f32 kernel beside its plain reference, medians of 15 runs
//! taken in turn; the control line compares the reference with itself and should show 1.0.

use std::collections::BTreeMap;
use std::time::Instant;

use hyperloom::check::cases::{Case, cases};
use hyperloom::kernel::{Buffer, Kernel, Read, Write};
use hyperloom::run::median;

fn slots(case: &Case) -> Vec<Buffer<f32>> {
    let plan = case.plan();
    let words = case.slots.iter().zip(&plan.slots);
    words
        .map(|(c, s)| match s.dtype {
            hyperloom::spec::DType::F32 => Buffer::F(bytemuck::cast_slice(&c.words).to_vec()),
            hyperloom::spec::DType::U32 => Buffer::U(c.words.clone()),
        })
        .collect()
}

/// Seconds of one launch.
fn time(case: &Case, run: impl Fn(&Kernel, &[Read<'_, f32>], &mut [Write<'_, f32>])) -> f64 {
    let read_slots = slots(case);
    let mut written: Vec<Buffer<f32>> = case.writes.iter().map(|w| read_slots[w.slot.0].clone()).collect();
    let reads: Vec<Read<'_, f32>> =
        case.reads.iter().map(|a| Read { buffer: &read_slots[a.slot.0], view: a.view }).collect();
    let mut writes: Vec<Write<'_, f32>> =
        written.iter_mut().zip(&case.writes).map(|(buffer, a)| Write { buffer, view: a.view }).collect();
    let begin = Instant::now();
    run(&case.kernel, &reads, &mut writes);
    begin.elapsed().as_secs_f64()
}

fn main() {
    let only = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let mut largest: BTreeMap<&str, (usize, Case)> = BTreeMap::new();
    for case in cases() {
        let name = case.kernel.name();
        let size: usize = case.reads.iter().chain(&case.writes).map(|a| a.view.count()).sum();
        if only.as_deref().is_none_or(|o| o == name) && largest.get(name).is_none_or(|(s, _)| *s < size) {
            largest.insert(name, (size, case));
        }
    }
    println!("{:<14} {:>10} {:>12} {:>12} {:>7}  case", "kernel", "elements", "reference", "fast", "ratio");
    for (name, (size, case)) in &largest {
        let (mut plain, mut fast, mut control) = (vec![], vec![], vec![]);
        for _ in 0..15 {
            plain.push(time(case, |k, r, w| k.reference(r, w)));
            fast.push(time(case, |k, r, w| k.fast(r, w)));
            control.push(time(case, |k, r, w| k.reference(r, w)));
        }
        let (plain, fast, control) = (median(plain), median(fast), median(control));
        println!(
            "{name:<14} {size:>10} {:>9.1} us {:>9.1} us {:>7.2}  {} (control {:.2})",
            plain * 1e6,
            fast * 1e6,
            plain / fast,
            case.name,
            plain / control
        );
    }
}
