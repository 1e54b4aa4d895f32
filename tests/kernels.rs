//! Every kernel over the case table: the CPU's fast path within the bounds of the reference, the same bits
//! for any number of threads, and checks of the check itself.

use std::collections::BTreeSet;

use hyperloom::check::bounds::{CaseReport, Fault, check_case, reference, run_cpu};
use hyperloom::check::cases::{Case, cases};
use hyperloom::graph::op::Func;
use hyperloom::kernel::pointwise::activation;
use hyperloom::kernel::real::UNIT;
use hyperloom::kernel::{ALL, Buffer, Kernel, Map};
use hyperloom::plan::SlotId;
use hyperloom::view::for_each;

fn find(kernel: &str, name: &str) -> Case {
    cases()
        .into_iter()
        .find(|c| c.kernel.name() == kernel && c.name.contains(name))
        .unwrap_or_else(|| panic!("no case '{name}' of {kernel}"))
}

fn failed(reports: &[CaseReport]) {
    let bad: Vec<String> = reports.iter().filter(|r| !r.passed()).map(|r| r.to_string()).collect();
    assert!(
        bad.is_empty(),
        "{} of {} cases fail:\n{}",
        bad.len(),
        reports.len(),
        bad[..bad.len().min(40)].join("\n")
    );
}

#[test]
fn every_shader_has_cases() {
    let named: BTreeSet<&str> = cases().iter().map(Case::shader).collect();
    let known: BTreeSet<&str> = ALL.iter().map(|k| k.name).collect();
    assert_eq!(named, known);
}

#[test]
fn the_fast_path_is_within_the_bounds() {
    let reports: Vec<CaseReport> =
        cases().iter().map(|c| check_case(c, run_cpu).expect("the CPU runs every case")).collect();
    failed(&reports);
}

#[test]
fn the_bounds_are_narrow() {
    let mut wide = Vec::new();
    for case in cases().iter().filter(|c| c.arithmetic) {
        let plan = case.plan();
        let before: Vec<Vec<u32>> = case.slots.iter().map(|c| c.words.clone()).collect();
        let mut relative = Vec::new();
        for (slot, result) in reference(&plan, &plan.launches[0], &before) {
            let Buffer::F(values) = result else { continue };
            let write = case.writes.iter().find(|w| w.slot == slot).expect("a written slot");
            for_each([&write.view], |[at]| {
                if values[at].v != 0.0 {
                    relative.push(values[at].e / values[at].v.abs());
                }
            });
        }
        relative.sort_by(f64::total_cmp);
        let median = relative.get(relative.len() / 2).copied().unwrap_or(0.0);
        // Sums in any order are as good as one unit of roundoff a term.
        let terms = plan.cost().total.flops / relative.len().max(1) as f64;
        let limit = (2.0 * terms * UNIT).max(1e-4);
        if median >= limit {
            wide.push(format!("{} ({}): {median:e}", case.kernel.name(), case.name));
        }
    }
    assert!(wide.is_empty(), "median bounds relative to the value:\n{}", wide.join("\n"));
}

#[test]
fn a_result_beyond_its_bound_is_reported() {
    for (kernel, name) in
        [("matmul", "13x8x19"), ("map", "ordinary"), ("gather", "in range"), ("random", "Bits [65, 27]")]
    {
        let case = find(kernel, name);
        let write = case.writes[0];
        let mut places = Vec::new();
        for_each([&write.view], |[at]| places.push(at));
        let at = places[places.len() / 2];
        let report = check_case(&case, |plan, slots| {
            let mut after = run_cpu(plan, slots)?;
            // A change of one part in four thousand, or of one bit of a word.
            after[write.slot.0][at] ^= 1 << 11;
            Ok(after)
        });
        let failure = report.expect("it runs").failure.expect("the change is seen");
        assert_eq!(
            (failure.fault, failure.slot, failure.index),
            (Fault::Result, write.slot.0, at),
            "{kernel}"
        );
    }
}

#[test]
fn a_stray_write_is_reported() {
    let case = find("zip", "Strided");
    let (write, read) = (case.writes[0].slot, case.reads[0].slot);
    for (slot, fault) in [(write, Fault::Beside), (read, Fault::Operand)] {
        let report = check_case(&case, |plan, slots| {
            let mut after = run_cpu(plan, slots)?;
            after[slot.0][2] ^= 1;
            Ok(after)
        });
        let failure = report.expect("it runs").failure.expect("the change is seen");
        assert_eq!((failure.fault, SlotId(failure.slot), failure.index), (fault, slot, 2));
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("a thread pool");
    let pools = [pool(1), pool(2), pool(4)];
    let large =
        |c: &&Case| c.plan().cost().total.flops > 4e5 || c.slots.iter().any(|s| s.words.len() > 30_000);
    let table = cases();
    assert!(table.iter().filter(large).count() > 10);
    for case in table.iter().filter(large) {
        let before: Vec<Vec<u32>> = case.slots.iter().map(|c| c.words.clone()).collect();
        let run = |p: &rayon::ThreadPool| p.install(|| run_cpu(&case.plan(), &before).expect("it runs"));
        let one = run(&pools[0]);
        assert!(pools[1..].iter().all(|p| run(p) == one), "{} ({})", case.kernel.name(), case.name);
    }
}

/// Central differences in f64 over the table's own operands: each derivative kernel against the kernel it
/// is the derivative of. (Ops are differentiated the same way, as graphs, in `tests/gradients.rs`.)
#[test]
fn derivatives_match_differences_over_the_table() {
    let mut compared = 0;
    for case in cases() {
        let Kernel::Map(Map { func: Func::Act(act, k @ 0..=2) }) = case.kernel else { continue };
        for word in &case.slots[case.reads[0].slot.0].words {
            let x = f32::from_bits(*word) as f64;
            let h = 1e-4;
            // Beyond 50 every activation is flat or straight; a rectifier has no derivative at 0.
            if !x.is_finite() || x.abs() > 50.0 || x.abs() < 2.0 * h {
                continue;
            }
            let want = (activation(act, k, x + h) - activation(act, k, x - h)) / (2.0 * h);
            let got = activation(act, k + 1, x);
            assert!(
                (got - want).abs() <= 1e-5 * (1.0 + got.abs()),
                "{}: at {x} {got}, not {want}",
                case.name
            );
            compared += 1;
        }
    }
    assert!(compared > 1000, "{compared} points");
}
