//! The golden files (`tests/golden/README.md`) against every runner.

use std::path::Path;

use hyperloom::check::golden::{GoldenReport, LIMIT_F32, LIMIT_F64, check_golden, run_f64, run_on};
use hyperloom::checkpoint::{TensorData, read_safetensors};
use hyperloom::data::score_text::{bleu, chrf};
use hyperloom::run::Device;

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Tensors that the files hold.
const DENSE: usize = 7 * 3 + 2 + 3 * 4 + 11;
const LAYERS: usize = 1377;

/// Files of layers.
fn layers() -> std::path::PathBuf {
    directory().join("layers")
}

fn within(reports: &[GoldenReport], tensors: usize, limit: f64, passes: impl Fn(&GoldenReport) -> bool) {
    for r in reports {
        println!("{r}");
    }
    assert_eq!(reports.len(), tensors);
    let bad: Vec<String> = reports.iter().filter(|r| !passes(r)).map(|r| r.to_string()).collect();
    assert!(bad.is_empty(), "beyond {limit:e} of the largest magnitude:\n{}", bad.join("\n"));
}

#[test]
fn the_cpu_in_f64() {
    for (directory, tensors) in [(directory(), DENSE), (layers(), LAYERS)] {
        let reports = check_golden(&directory, &mut run_f64).expect("the files are there");
        within(&reports, tensors, LIMIT_F64, |r| r.error <= LIMIT_F64);
    }
}

#[test]
fn the_cpu_in_f32() {
    let mut run = |job: &_| run_on(&Device::Cpu, job);
    for (directory, tensors) in [(directory(), DENSE), (layers(), LAYERS)] {
        let reports = check_golden(&directory, &mut run).expect("the files are there");
        within(&reports, tensors, LIMIT_F32, GoldenReport::passes_f32);
    }
}

/// BLEU and chrF as sacreBLEU has them.
#[test]
fn scores_of_texts() {
    let path = directory().join("scores/score_text.safetensors");
    let file = read_safetensors(&path).expect("the file is there");
    let texts = |name: &str| -> Vec<String> {
        serde_json::from_str(&file.metadata[name]).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    let (said, right) = (texts("hypotheses"), texts("references"));
    let want = |name: &str| match &file.tensors[name].data {
        TensorData::F64(all) => all.clone(),
        other => panic!("{name}: {other:?}"),
    };
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9 * b.abs().max(1.0);
    assert!(near(bleu(&said, &right), want("corpus_bleu")[0]), "{}", bleu(&said, &right));
    assert!(near(chrf(&said, &right), want("corpus_chrf2")[0]), "{}", chrf(&said, &right));
    for (i, want) in want("sentence_chrf2").into_iter().enumerate() {
        let one = chrf(&said[i..=i], &right[i..=i]);
        assert!(near(one, want), "{}: {one} instead of {want}", said[i]);
    }
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
