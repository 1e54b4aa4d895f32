//! The golden files (`tests/golden/README.md`) against every runner.

use std::path::Path;

use hyperloom::check::golden::{GoldenReport, LIMIT_F32, LIMIT_F64, check_golden, run_f64, run_on};
use hyperloom::run::Device;

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn within(reports: &[GoldenReport], limit: f64) {
    for r in reports {
        println!("{r}");
    }
    assert_eq!(reports.len(), 7 * 3 + 2 + 3 * 4 + 11);
    let bad: Vec<String> =
        reports.iter().filter(|r| r.error.is_nan() || r.error > limit).map(|r| r.to_string()).collect();
    assert!(bad.is_empty(), "beyond {limit:e} of the largest magnitude:\n{}", bad.join("\n"));
}

#[test]
fn the_cpu_in_f64() {
    within(&check_golden(&directory(), &mut run_f64).expect("the files are there"), LIMIT_F64);
}

#[test]
fn the_cpu_in_f32() {
    let mut run = |job: &_| run_on(&Device::Cpu, job);
    within(&check_golden(&directory(), &mut run).expect("the files are there"), LIMIT_F32);
}

#[test]
fn a_wrong_number_is_seen() {
    let mut calls = 0;
    let mut run = |job: &_| {
        let mut outcome = run_f64(job)?;
        calls += 1;
        if calls == 3 {
            outcome.values[0][1] += 1e-6;
        }
        Ok(outcome)
    };
    let reports = check_golden(&directory(), &mut run).expect("the files are there");
    assert_eq!(reports.iter().filter(|r| r.error > LIMIT_F64).count(), 1);
}

#[test]
fn a_folder_without_files_is_refused() {
    let empty = tempfile::tempdir().expect("a folder");
    let error = check_golden(empty.path(), &mut run_f64).expect_err("nothing is there");
    assert!(error.to_string().contains("no .safetensors"), "{error}");
}
