//! `--base`: weights of one's own that every task's network is a correction to.

use hyperloom::Model;

use super::*;
use crate::resume::{killed_and_resumed, same};

const LOW_RANK: [&str; 2] = ["--set", "model.generator={kind='low-rank',rank=2,scale=1.0}"];

/// A run over lines, and its settings.
fn trained() -> Place {
    let mut rows = String::from("group,x,y\n");
    for group in 0..20 {
        for i in 0..8 {
            let x = ((group * 8 + i) * 37 % 21) as f64 / 10.0 - 1.0;
            writeln!(rows, "g{group},{x},{}", (group % 7) as f64 / 3.0 * x - (group % 5) as f64 / 2.0)
                .unwrap();
        }
    }
    let place = Place::with([("rows.csv", &rows[..]), ("settings.toml", SETTINGS), ("sine.toml", SINE)]);
    train(&place, &["--out", "first"]);
    place
}

fn words<'w>(more: &[&'w str]) -> Vec<&'w str> {
    [&["train", "settings.toml", "--csv", "rows.csv", "--group", "group", "--target", "y"][..], more].concat()
}

fn train(place: &Place, more: &[&str]) {
    place.ok(&words(more));
}

/// The weights that tasks' networks are corrections to, of each member.
fn base_of(model: &Model) -> Vec<Vec<f32>> {
    let range = model.spec.layout().get("head.bias").expect("base weights").range();
    model.members.iter().map(|m| m.hyper[range.clone()].to_vec()).collect()
}

fn model(place: &Place, run: &str) -> Model {
    Model::load(place.path(run)).expect("a finished run")
}

#[test]
fn the_pooled_network_of_another_run_stays_as_it_is() {
    let place = trained();
    train(&place, &[&LOW_RANK[..], &["--base", "first", "--out", "second"]].concat());
    let (first, second) = (model(&place, "first"), model(&place, "second"));
    let pooled: Vec<Vec<f32>> = first.members.iter().map(|m| m.pooled.clone()).collect();
    assert_eq!(base_of(&second), pooled);
    assert_ne!(base_of(&first), pooled, "those of a pooled network go on learning");
    // Another hypernetwork learned beside them: what it writes differs between tasks.
    let report = place.json("second/report.json");
    assert!(report["instruments"]["output_sensitivity"].as_f64().unwrap() > 0.0);
    // Whoever judges the run needs the other no more.
    fs::remove_dir_all(place.path("first")).expect("removed");
    place.ok(&["eval", "second"]);
}

#[test]
fn a_run_that_was_stopped_goes_on_beside_its_base() {
    let place = trained();
    let more = ["--base", "first", "--steps", "900", "--set", "train.checkpoint_seconds=0", "--out"];
    let args = |out: &'static str| words(&[&LOW_RANK[..], &more, &[out]].concat());
    let start = Instant::now();
    place.ok(&args("whole"));
    killed_and_resumed(&place, &args("run"), "run", start.elapsed(), 3);
    same(&place, "whole", "run");
}

#[test]
fn networks_and_files_by_name_are_bases() {
    let place = trained();
    place.ok(&["train", "sine.toml", "--out", "waves"]);
    place.write("wave.csv", "x,y\n-1,0.5\n0,0\n2,0.3\n");
    place.ok(&["adapt", "waves", "--support", "wave.csv", "--out", "wave.safetensors"]);
    place.ok(&["train", "sine.toml", "--base", "wave.safetensors", "--out", "corrected"]);
    let network = hyperloom::experiment::run_folder::load_network(&place.path("wave.safetensors"))
        .expect("a network")
        .0;
    assert_eq!(base_of(&model(&place, "corrected")), network.members);
    // The same by the names of parameters.
    let mut file = Checkpoint::default();
    for p in &network.spec.layout().params {
        let values = network.members[0][p.range()].to_vec();
        file.tensors.insert(p.name.clone(), Tensor::f32(&p.shape, values));
    }
    file.save(&place.path("named.safetensors")).expect("written");
    place.ok(&["train", "sine.toml", "--base", "named.safetensors", "--out", "named"]);
    assert_eq!(model(&place, "named").members, model(&place, "corrected").members);
    // And as PyTorch has them, from the module that the network goes out as; `body.0` and so on in another program's.
    place.ok(&["export", "wave.safetensors", "--out", "wave_module.py"]);
    let module =
        hyperloom::checkpoint::read_safetensors(place.path("wave_module.safetensors")).expect("a file");
    assert_eq!(module.tensors["0.weight"].shape, [8, 1]);
    let values = |name: &str, t: &Tensor| module.f32(name, &t.shape).expect("numbers").to_vec();
    let named = |(name, t): (&String, &Tensor)| (format!("body.{name}"), (t.shape.clone(), values(name, t)));
    let other = module.tensors.iter().map(named).collect();
    hyperloom::checkpoint::save_tensors(&place.path("other.safetensors"), &other, &[]).expect("written");
    for (of, run) in [("wave_module.safetensors", "of_module"), ("other.safetensors", "of_other")] {
        place.ok(&["train", "sine.toml", "--base", of, "--out", run]);
        assert_eq!(model(&place, run).members, model(&place, "corrected").members, "{of}");
    }
    // What networks start with: with a learning rate of next to nothing they stay there.
    let still = ["--set", "train.learning_rate=1e-30", "--set", "train.pooled_rate=1e-30"];
    let start = [
        "train",
        "sine.toml",
        "--method",
        "maml",
        "--set",
        "model.initial=wave_module.safetensors",
        "--out",
        "start",
    ];
    place.ok(&[&start[..], &still].concat());
    assert_eq!(model(&place, "start").members[0].hyper, network.members[0]);
    place.ok(&["eval", "start", "--shots", "5"]);
    // A layer of it that is held as it is.
    let frozen = ["train", "sine.toml", "--method", "maml", "--set", "model.initial=wave_module.safetensors"];
    place.ok(&[&frozen[..], &["--set", "train.freeze=[\"0\"]", "--out", "frozen"]].concat());
    let (held, from) = (&model(&place, "frozen").members[0].hyper, &network.members[0]);
    assert!(held[..16] == from[..16] && held[16..from.len()] != from[16..]);
    place.refused(
        &["train", "sine.toml", "--set", "model.initial=nothing.safetensors", "--out", "bad"],
        &["nothing.safetensors"],
    );
    // What is none of the target's.
    let refused = |file: &Checkpoint, parts: &[&str]| {
        file.save(&place.path("bad.safetensors")).expect("written");
        let all = [&["model.base", "bad.safetensors"], parts].concat();
        place.refused(&["train", "sine.toml", "--base", "bad.safetensors", "--out", "bad"], &all);
        fs::remove_file(place.path("bad.safetensors")).expect("removed");
    };
    let changed = |name: &str, tensor: Option<Tensor>| {
        let mut file = file.clone();
        file.tensors.remove(name);
        file.tensors.extend(tensor.map(|tensor| (name.to_string(), tensor)));
        file
    };
    refused(&changed("1.bias", None), &["has no '1.bias'", "0.weight [1, 8]"]);
    refused(
        &changed("0.weight", Some(Tensor::f32(&[8, 1], vec![0.0; 8]))),
        &["0.weight", "F32 or F64 [1, 8] is needed"],
    );
    refused(
        &changed("0.bias", Some(Tensor::f32(&[7], vec![0.0; 7]))),
        &["'0.bias'", "F32 or F64 [8] is needed"],
    );
    refused(&changed("0.bias", Some(Tensor::f32(&[8], vec![f32::NAN; 8]))), &["'0.bias'", "not finite"]);
    refused(&changed("2.bias", Some(Tensor::f32(&[1], vec![0.0]))), &["'2.bias'", "another network"]);
}

#[test]
fn bases_that_do_not_fit_are_refused() {
    let place = trained();
    let refused = |more: &[&str], parts: &[&str]| {
        let all = [&["--base", "first", "--out", "second"], more].concat();
        place.refused(&words(&all), &[&["model.base"], parts].concat());
    };
    refused(&["--set", "model.target=[9]"], &["[1, 8]", "[1, 9]", "model.target"]);
    refused(&["--set", "model.activation=relu"], &["activation"]);
    refused(&["--seed", "1"], &["the same split"]);
    refused(&["--method", "maml"], &["--generated"]);
    refused(&["--set", "model.generator={kind='chunked',chunk=8,embedding=4,base=false}"], &["base = true"]);
    refused(&["--set", "train.joint_lambda=0.5"], &["train.joint_lambda"]);
    let missing = ["--base", "nowhere.safetensors", "--out", "second"];
    place.refused(&words(&missing), &["nowhere.safetensors"]);
    assert!(!place.path("second").exists());
}
