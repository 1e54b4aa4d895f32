//! The case table on the device: every element within its derived bound, nothing beside the views touched.

use hyperloom::check::bounds::check_case;
use hyperloom::check::cases::cases;
use hyperloom::run::gpu::GpuRunner;

use super::gpu;

fn table(checked: bool) {
    let Some(gpu) = gpu(checked) else { return };
    let all = cases();
    let mut bad = Vec::new();
    for case in &all {
        match check_case(case, |plan, slots| GpuRunner::run_once(&gpu, plan, slots)) {
            Ok(report) if report.passed() => {}
            Ok(report) => bad.push(report.to_string()),
            Err(e) => bad.push(format!("{} ({}): {e}", case.kernel.name(), case.name)),
        }
    }
    let some = bad[..bad.len().min(40)].join("\n");
    assert!(bad.is_empty(), "{} of {} cases fail on {}:\n{some}", bad.len(), all.len(), gpu.describe());
}

#[test]
fn every_case_is_within_its_bounds() {
    table(true);
}

#[test]
fn every_case_is_within_its_bounds_without_checks() {
    table(false);
}
