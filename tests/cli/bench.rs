//! `bench` and `profile`.

use crate::*;

#[test]
fn bench_measures_with_regions_and_without() {
    let place = Place::new();
    let rows = |args: &[&str]| -> Vec<Value> {
        let args = [&["bench", "--device", "cpu", "--json"], args].concat();
        serde_json::from_str(&place.ok(&args)).unwrap()
    };
    let with = rows(&["--workload", "maml2", "--tasks", "17"]);
    let without = rows(&["--workload", "maml2", "--tasks", "17", "--no-regions"]);
    assert_eq!((&with[0]["path"], &without[0]["path"]), (&"region".into(), &"launches".into()));
    assert!(with[0]["bytes"].as_u64() < without[0]["bytes"].as_u64());
    for row in [&with[0], &without[0]] {
        assert_eq!((&row["workload"], &row["tasks"]), (&"maml2".into(), &17.into()));
        assert!(row["ms"].as_f64().unwrap() > 0.0 && row["gflops"].as_f64().unwrap() > 0.0);
    }
    let losses = |row: &Value| -> Vec<f64> {
        row["check"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let (a, b) = (losses(&with[0]), losses(&without[0]));
    assert_eq!(a.len(), 3);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * b), "{a:?} {b:?}");
    let plan = place.ok(&["bench", "--workload", "adapt", "--tasks", "32", "--device", "cpu", "--plan"]);
    assert!(plan.contains("region 0: 32 tasks") && plan.contains("5 x matmul"), "{plan}");
    let small = place.ok(&["bench", "--workload", "adapt", "--tasks", "3", "--device", "cpu", "--plan"]);
    assert!(small.contains("in no region: products of 3 tasks: fewer than 8"), "{small}");
}

#[test]
fn profile_times_each_launch() {
    let place = Place::with([("sine.toml", SINE)]);
    let run = |what: &str| -> Value {
        serde_json::from_str(&place.ok(&["profile", what, "--device", "cpu", "--steps", "3", "--json"]))
            .unwrap()
    };
    for found in [run("sine.toml"), run("adapt")] {
        assert!(found["ceilings"]["gflops"].as_f64().unwrap() > 0.0);
        let launches = found["launches"].as_array().unwrap();
        let sum: f64 = launches.iter().map(|l| l["ms"].as_f64().unwrap()).sum();
        assert!(!launches.is_empty() && (sum - found["ms"].as_f64().unwrap()).abs() < 1e-6 * sum);
    }
    let table = place.ok(&["profile", "adapt", "--tasks", "16", "--device", "cpu", "--steps", "1"]);
    assert!(table.contains("roofline") && table.contains("region"), "{table}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let place = Place::with([("bad.toml", "[train]\nsteps = 0\n")]);
    place.refused(&["bench", "--workload", "adpt"], &["--workload", "'adpt'", "adapt, adapt-64"]);
    place.refused(&["bench", "--tasks", "0"], &["--tasks", "from 1"]);
    place.refused(&["bench", "--workload", "sine", "--tasks", "4"], &["--tasks", "25 tasks"]);
    place.refused(&["profile", "nothing"], &["'nothing'", "no run folder", "maml2"]);
    place.refused(&["profile", "bad.toml"], &["train.steps"]);
    place.refused(&["profile", "adapt", "--steps", "0"], &["--steps", "from 1 to 50"]);
    place.refused(&["bench", "--device", "gpu:x", "--workload", "adapt"], &["gpu:x"]);
}
