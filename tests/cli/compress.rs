//! `hyperloom compress` from outside.

use super::*;

fn number(of: &Value) -> f64 {
    of.as_f64().unwrap_or_else(|| panic!("{of} is no number"))
}

/// A compressed run is a run like any other: it is smaller, it is judged, it adapts, and its networks are small files that predict the same.
#[test]
fn a_run_becomes_a_smaller_one() {
    let place = plant(&LINES_RUN);
    place.write("known.csv", "x,mood,height\n0,calm,1100\n1,wild,1110\n-1,calm,1090\n");
    place.write("asked.csv", "x,mood\n0.5,calm\n2,wild\n");
    let words = place.ok(&["compress", "run", "--out", "small"]);
    assert!(words.contains("bytes of the model") && words.contains("what a task lost at most"), "{words}");
    let found = place.json("small/compress.json");
    let (before, after) = (&found["before"], &found["after"]);
    assert_eq!(found["networks"]["numbers"], "int8", "{found}");
    assert!(number(&after["model_bytes"]) < 0.45 * number(&before["model_bytes"]), "{found}");
    assert!(number(&after["network_bytes"]) < 0.6 * number(&before["network_bytes"]), "{found}");
    assert!(number(&after["mean"]) < 1.2 * number(&before["mean"]), "{found}");
    // Its report is of the compressed run.
    let chosen = place.json("small/report.json")["held_out"]["chosen"].clone();
    assert_eq!(number(&chosen), number(&after["mean"]));
    let bytes = |run: &str| fs::metadata(place.path(run).join("checkpoint.safetensors")).unwrap().len();
    assert!(bytes("small") < bytes("run"));
    for command in [
        "eval small --shots 3",
        "inspect small",
        "explain small --support known.csv --query asked.csv --out why",
    ] {
        place.ok(&command.split(' ').collect::<Vec<_>>());
    }
    let said = |of: &str, out: &str| -> Vec<f64> {
        place.ok(&["predict", of, "--support", "known.csv", "--query", "asked.csv", "--out", out]);
        columns(&place.read(out))["prediction"].iter().map(|v| v.parse().unwrap()).collect()
    };
    let by_run = said("small", "by_run.csv");
    place.ok(&["adapt", "small", "--support", "known.csv", "--out", "net.safetensors"]);
    place.ok(&["predict", "net.safetensors", "--query", "asked.csv", "--out", "by_network.csv"]);
    let by_network = columns(&place.read("by_network.csv"));
    for (a, b) in by_run.iter().zip(&by_network["prediction"]) {
        assert!((a - b.parse::<f64>().unwrap()).abs() < 1e-4 * a.abs(), "{a}, {b}");
    }
    assert!(
        place.ok(&["inspect", "net.safetensors"]).contains("I8"),
        "{}",
        place.ok(&["inspect", "net.safetensors"])
    );
    // It goes out as it is: the ONNX file has whole numbers.
    place.ok(&["export", "net.safetensors", "--out", "small_line.onnx"]);
    let file = fs::read(place.path("small_line.onnx")).unwrap();
    assert!(file.windows(16).any(|w| w == b"DequantizeLinear"));
    place.refused(&["compress", "run", "--out", "small"], &["exists"]);
}

/// What layers read can be rounded, too, and most numbers be left out; the settings say so, and training goes on with them.
#[test]
fn activations_and_pruning() {
    let place = plant(&LINES_RUN);
    place.ok(&[
        "compress",
        "run",
        "--out",
        "small",
        "--activations",
        "--prune",
        "0.5",
        "--hypernetwork",
        "f16",
    ]);
    let found = place.json("small/compress.json");
    assert_eq!((&found["activations"], &found["hypernetwork"]["numbers"]), (&true.into(), &"f16".into()));
    let settings = place.read("small/config.toml");
    assert!(settings.contains("input_scales") && settings.contains("prune = 0.5"), "{settings}");
    let share = number(&found["after"]["network_weights"]) / number(&found["before"]["network_weights"]);
    assert!((0.5..0.75).contains(&share), "{share} of the weights are not 0: vectors stay");
    // What is compressed stays so.
    place.ok(&["compress", "small", "--out", "again", "--hypernetwork", "int8"]);
    let again = place.json("again/compress.json");
    assert_eq!((&again["networks"], &again["activations"]), (&found["networks"], &true.into()), "{again}");
    // Steps of training that go on with it.
    place.ok(&["compress", "run", "--out", "trained", "--prune", "0.8", "--steps", "20"]);
    let trained = place.json("trained/compress.json");
    assert_eq!((&trained["steps"], &trained["networks"]["prune"]), (&20.into(), &0.8.into()));
    assert!(place.read("trained/config.toml").contains("from = \"run\""));
    // What is trained from the start with such networks knows of them from the start.
    place
        .ok(&[&train(&LINES, "aware")[..], &["--set", "model.numbers=int4", "--set", "model.prune=0.3"]]
            .concat());
    let words = place.ok(&["inspect", "aware"]);
    assert!(words.contains("int4"), "{words}");
}

/// A network by itself.
#[test]
fn a_network_becomes_a_smaller_one() {
    let place = plant(&LINES_RUN);
    place.write("known.csv", "x,mood,height\n0,calm,1100\n1,wild,1110\n-1,calm,1090\n");
    place.ok(&["adapt", "run", "--support", "known.csv", "--out", "net.safetensors"]);
    let int8 = ["compress", "net.safetensors", "--out"];
    let words = place.ok(&[&int8[..], &["a.safetensors", "--query", "known.csv"]].concat());
    assert!(
        words.contains("bytes of weights in place of") && words.contains("rmse on these rows"),
        "{words}"
    );
    place.ok(&[
        &int8[..],
        &["b.safetensors", "--activations", "--support", "known.csv", "--prune", "0.6", "--among", "network"],
    ]
    .concat());
    place.ok(&[&int8[..], &["c.safetensors", "--numbers", "f16"]].concat());
    place.write("asked.csv", "x,mood\n0.5,calm\n2,wild\n");
    for name in ["a", "b", "c"] {
        let (file, out) = (format!("{name}.safetensors"), format!("{name}.csv"));
        place.ok(&["predict", &file, "--query", "asked.csv", "--out", &out]);
    }
    for (more, message) in [
        (&["--activations"][..], "--support: is missing"),
        (&["--support", "known.csv"], "--support: is for --activations"),
        (&["--hypernetwork", "int8"], "--hypernetwork: is for runs"),
        (&["--prune", "1"], "--prune: a share of 1 of each matrix cannot be 0"),
        (&["--prune", "nan"], "cannot be 0"),
    ] {
        place.refused(&[&int8[..], &["d.safetensors"], more].concat(), &[message]);
    }
    for (more, message) in [
        (&["--numbers", "f16"][..], "--numbers: f16 is how files hold numbers"),
        (&["--among", "network", "--prune", "0.5"], "--among: while a network learns"),
        (&["--query", "known.csv"], "--query: is for a network"),
        (&["--prune", "-0.1"], "--prune: a share of -0.1"),
    ] {
        place.refused(&[&["compress", "run", "--out", "d"][..], more].concat(), &[message]);
    }
    place.refused(
        &["compress", "run/checkpoint.safetensors", "--out", "d"],
        &["holds no network", "name its folder"],
    );
    place.refused(&["compress", "nothing", "--out", "d"], &["there is no such run folder or network"]);
}
