//! `model.noise` from outside: several networks of a task, and how far they disagree.

use hyperloom::Model;
use hyperloom::experiment::run_folder::load_network;

use super::*;
use crate::explain::explained;
use crate::resume::{killed_and_resumed, same};

const NOISE: [&str; 4] = ["--set", "model.noise=3", "--set", "model.draws=4"];

/// Waves, of which training sees two to five rows.
const WAVES: &str = "task = 'sine'\ndevice = 'cpu'\n[train]\nsteps = 1500\ntasks = 16\nwarmup = 10\npooled_steps = 40\ncheckpoint_seconds = 0\n\
    min_shots = 2\n[model]\ntarget = [16]\nencoder = [32]\ntrunk = [32]\n[adapt]\nsteps = [0, 2]\n[eval]\nshots = 5\nquery = 8\ntasks = 100\n";

fn train<'w>(settings: &'w str, more: &[&'w str], out: &'w str) -> Vec<&'w str> {
    [&["train", settings][..], more, &NOISE, &["--out", out]].concat()
}

fn of_table<'w>(table: &[&'w str], method: &'w str, out: &'w str) -> Vec<&'w str> {
    [&super::train(table, out)[..], &NOISE, &["--method", method, "--set", "model.start=fresh"]].concat()
}

#[test]
fn networks_of_waves_disagree_where_the_support_leaves_it_open() {
    let place = Place::with([("waves.toml", WAVES)]);
    let words = place.ok(&["plan", "waves.toml", NOISE[0], NOISE[1], NOISE[2], NOISE[3]]);
    assert!(words.contains("4 networks of each task, by 3 random numbers each"), "{words}");
    let words = place.ok(&train("waves.toml", &[], "run"));
    let apart = &place.json("run/report.json")["held_out"]["disagreement"];
    let rank = apart["rank_correlation"].as_f64().unwrap();
    assert!(rank > 0.2 && apart["mean"].as_f64().unwrap() > 0.0, "{apart}");
    assert!(words.contains("networks of a task disagree by"), "{words}");
    assert!(place.read("run/tasks.svg").contains("each network"));
    // Every row has an interval, by how far its own networks disagree.
    place.write("support.csv", "x,y\n-1,-1.7\n0,0.1\n1,1.6\n");
    place.write("query.csv", "x\n0.5\n-0.5\n4.9\n-4.9\n");
    let predict = ["predict", "run", "--support", "support.csv", "--query", "query.csv", "--device", "cpu"];
    place.ok(&[&predict[..], &["--interval", "0.8", "--out", "said.csv"]].concat());
    let said = columns(&place.read("said.csv"));
    let number = |column: &str, row: usize| said[column][row].parse::<f64>().unwrap();
    let mut by_row: Vec<[f64; 2]> =
        (0..4).map(|row| [number("disagreement", row), number("high", row) - number("low", row)]).collect();
    by_row.sort_by(|a, b| a[0].total_cmp(&b[0]));
    assert!(by_row.windows(2).all(|w| w[0][0] < w[1][0] && w[0][1] < w[1][1]), "{by_row:?}");
    // The networks that `adapt` writes are the same ones.
    place.ok(&["adapt", "run", "--support", "support.csv", "--out", "net.safetensors", "--device", "cpu"]);
    place.ok(&[
        "predict",
        "net.safetensors",
        "--query",
        "query.csv",
        "--out",
        "alone.csv",
        "--device",
        "cpu",
    ]);
    let alone = columns(&place.read("alone.csv"));
    for row in 0..4 {
        let (a, b) = (alone["prediction"][row].parse::<f64>().unwrap(), number("prediction", row));
        assert!((a - b).abs() < 1e-4, "{a} by networks, {b} by the run");
        let apart = alone["disagreement"][row].parse::<f64>().unwrap();
        assert!((apart - number("disagreement", row)).abs() < 1e-4, "{apart} by networks");
    }
    let (network, _) = load_network(&place.path("net.safetensors")).expect("a network");
    assert_eq!(network.members.len(), 4, "a network for each draw");
    explained(&place, "run");
}

#[test]
fn networks_of_a_table_and_of_classes() {
    let place = Place::with([
        ("settings.toml", SETTINGS),
        ("lines.csv", lines_csv().as_str()),
        ("classes.csv", classes_csv().as_str()),
    ]);
    place.ok(&of_table(&LINES, "fine-tune", "lines"));
    place.ok(&of_table(&CLASSES, "fine-tune", "classes"));
    for run in ["lines", "classes"] {
        let apart = &place.json(&format!("{run}/report.json"))["held_out"]["disagreement"];
        assert!(apart["mean"].as_f64().unwrap() > 0.0, "{run}: {apart}");
        // Members are other hypernetworks; each makes as many networks.
        let model = Model::load(place.path(run)).expect("a run");
        assert_eq!((model.members.len(), model.choice.sharpness), (2, 1.0), "{run}");
        // All eight count, whoever is asked.
        if run == "classes" {
            continue;
        }
        place.write("known.csv", "x,mood,height\n0,calm,1100\n1,wild,1110\n-1,calm,1090\n");
        place.write("asked.csv", "x,mood\n0.5,calm\n2,wild\n");
        place.ok(&["predict", run, "--support", "known.csv", "--query", "asked.csv", "--out", "a.csv"]);
        place.ok(&["adapt", run, "--support", "known.csv", "--out", "net.safetensors"]);
        place.ok(&["predict", "net.safetensors", "--query", "asked.csv", "--out", "b.csv"]);
        let [a, b] = ["a.csv", "b.csv"].map(|file| columns(&place.read(file)));
        for (a, b) in a["disagreement"].iter().zip(&b["disagreement"]) {
            let (a, b): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
            assert!(a > 0.0 && (a - b).abs() < 1e-4 * a, "{a} by the run, {b} by its networks");
        }
        // Of rows that are not told apart from anything nothing is claimed.
        place.write("known.csv", "x,mood,height\n0,calm,1e30\n1,wild,1e30\n");
        place.ok(&["predict", run, "--support", "known.csv", "--query", "asked.csv", "--out", "c.csv"]);
        let said = columns(&place.read("c.csv"));
        for (y, apart) in said["prediction"].iter().zip(&said["disagreement"]) {
            assert_eq!(y.contains("NaN"), apart.is_empty(), "{said:?}");
        }
    }
    let ridge = [&of_table(&LINES, "ridge", "no")[..], &["--set", "adapt.steps=[0, 1]"]].concat();
    place.refused(&ridge, &["model.noise", "closed form", "fine-tune"]);
    let weighed = [&of_table(&CLASSES, "ridge", "no")[..], &["--set", "adapt.steps=[0, 1]"]].concat();
    place.refused(&weighed, &["model.noise", "adapt.gate = false"]);
    let alone = [
        &of_table(&CLASSES, "ridge", "alone")[..],
        &["--set", "adapt.steps=[0, 1]", "--set", "adapt.gate=false"],
    ];
    place.ok(&alone.concat());
}

#[test]
fn what_noise_is_nothing_for() {
    let place = Place::with([("waves.toml", WAVES)]);
    let refused = |more: &[&str], parts: &[&str]| place.refused(&train("waves.toml", more, "no"), parts);
    refused(&["--method", "maml"], &["model.noise", "all tasks share", "--generated"]);
    refused(&["--method", "reptile", "--generated"], &["adapt.through", "Reptile"]);
    refused(
        &["--method", "maml", "--generated", "--set", "adapt.per_step=0.5"],
        &["adapt.per_step", "noise"],
    );
    refused(&["--set", "model.generator=static"], &["model.noise"]);
    place
        .refused(&["plan", "waves.toml", "--set", "model.draws=3"], &["model.draws", "model.noise = 8, too"]);
    place.refused(
        &["plan", "waves.toml", "--set", "model.noise=3", "--set", "model.draws=1"],
        &["model.draws", "2"],
    );
}

#[test]
fn a_run_with_noise_goes_on_with_the_same_bits() {
    let place = Place::with([("waves.toml", WAVES)]);
    let begun = Instant::now();
    place.ok(&train("waves.toml", &[], "whole"));
    let whole = begun.elapsed();
    killed_and_resumed(&place, &train("waves.toml", &[], "killed"), "killed", whole, 5);
    same(&place, "whole", "killed");
}
