//! Settings that make no sense, in a file or on the command line, and devices that are not there.

use crate::*;

/// A configuration file of this text is refused; it is called `bad.toml`.
#[track_caller]
fn refuse(text: &str, parts: &[&str]) {
    let place = Place::with([("bad.toml", text)]);
    place.refused(&["plan", "bad.toml"], parts);
    place.refused(&["train", "bad.toml", "--out", "run"], parts);
}

#[test]
fn files_that_are_no_configuration() {
    let bad = "bad.toml, line ";
    refuse("[train]\nsteps = 3\nstepz = 4\n", &[bad, "line 3", "`stepz`", "did you mean `steps`"]);
    refuse("task = 'sine'\n[modle]\n", &[bad, "line 2", "`modle`", "did you mean `model`"]);
    refuse("[model]\nactivation = 'tahn'\n", &[bad, "line 2", "`tahn`", "did you mean `tanh`"]);
    refuse("task = 'sin'\n", &[bad, "line 1", "`sin`", "did you mean `sine`"]);
    refuse("[train]\nsteps = 'many'\n", &[bad, "line 2", "many"]);
    refuse("[train]\nsteps = -5\n", &[bad, "line 2", "-5"]);
    refuse("[train]\nsteps = 1.5\n", &[bad, "line 2", "1.5"]);
    refuse("[model]\ntarget = 8\n", &[bad, "line 2", "8"]);
    refuse("[model]\ntarget = [8, 'x']\n", &[bad, "line 2", "x"]);
    refuse("seed = 1\nseed = 2\n", &[bad, "line 2", "duplicate key"]);
    refuse("[train\nsteps = 3\n", &[bad, "line 1"]);
    refuse("site,x\ng0,1\n", &[bad, "line 1"]);
    refuse("[train.optimiser]\nkind = 'adm'\n", &["bad.toml", "`adm`"]);
    refuse("[train.optimiser]\nkind = 'sgd'\nmomentun = 1\n", &["bad.toml", "`momentun`"]);

    let place = Place::new();
    place.refused(&["train", "none.toml", "--out", "run"], &["none.toml", "cannot read"]);
    place.refused(&["train", ".", "--out", "run"], &["cannot read"]);
    place.write("noise.toml", [0xff, 0xfe, 0, 1, 2]);
    place.refused(&["train", "noise.toml", "--out", "run"], &["noise.toml", "UTF-8"]);
    place.write("noise.toml", "a".repeat(1_000_000));
    place.refused(&["train", "noise.toml", "--out", "run"], &["noise.toml, line 1"]);
    place.write("deep.toml", "a = ".to_string() + &"[".repeat(100_000));
    place.refused(&["train", "deep.toml", "--out", "run"], &["deep.toml, line 1"]);
}

/// Each setting out of its range, by name.
#[test]
fn settings_out_of_range() {
    for (section, key, value) in [
        ("train", "steps", "0"),
        ("train", "steps", "9000000000"),
        ("train", "tasks", "0"),
        ("train", "tasks", "1000000000"),
        ("train", "pooled_steps", "0"),
        ("train", "learning_rate", "0"),
        ("train", "learning_rate", "-0.1"),
        ("train", "learning_rate", "nan"),
        ("train", "pooled_rate", "inf"),
        ("train", "clip", "0"),
        ("train", "final_rate_fraction", "2"),
        ("train", "weight_penalty", "-1"),
        ("train", "weight_penalty", "nan"),
        ("train", "checkpoint_seconds", "-1"),
        ("train", "checkpoint_seconds", "nan"),
        ("model", "target", "[0]"),
        ("model", "target", "[8, 0, 8]"),
        ("model", "target", "[1000000000]"),
        ("model", "trunk", "[0]"),
        ("model", "rounds", "17"),
        ("model", "encoder", "[0]"),
        ("model", "encoder", "[]"),
        ("model", "members", "0"),
        ("model", "embedding", "8"),
        ("model", "descriptor", "true"),
        ("adapt", "rate", "0"),
        ("adapt", "clip", "-1"),
        ("adapt", "steps", "[]"),
        ("adapt", "steps", "[1000000]"),
        ("eval", "shots", "0"),
        ("eval", "shots", "1000000"),
        ("eval", "query", "0"),
        ("eval", "tasks", "9000000"),
        ("eval", "sweep", "[0]"),
        ("eval", "sweep", "[]"),
    ] {
        refuse(&format!("[{section}]\n{key} = {value}\n"), &[&format!("{section}.{key}: ")]);
    }
    for (key, kind, value) in [
        ("beta1", "adamw", "1"),
        ("beta2", "adamw", "-0.5"),
        ("eps", "adamw", "0"),
        ("decay", "adamw", "-1"),
        ("momentum", "sgd", "1"),
        ("decay", "sgd", "nan"),
    ] {
        let text = format!("[train.optimiser]\nkind = '{kind}'\n{key} = {value}\n");
        refuse(&text, &[&format!("train.optimiser.{key}: ")]);
    }
    refuse("[csv]\nfile = 'a.csv'\n", &["csv", "--task csv"]);
    refuse("task = 'csv'\n", &["csv.file", "--csv FILE"]);
    refuse("task = 'csv'\n[csv]\nfile = 'a.csv'\n", &["csv.group", "--group COLUMN"]);
}

#[test]
fn arguments() {
    let place = Place::with([("sine.toml", SINE)]);
    let train = |more: &[&'static str], parts: &[&str]| {
        place.refused(&[&["train", "sine.toml", "--out", "run"], more].concat(), parts)
    };
    train(&["--task", "sines"], &["--task", "'sines'", "did you mean 'sine'", "sine, shapes, csv"]);
    train(&["--steps", "0"], &["steps", "0 is out of range", "from 1 to"]);
    train(&["--shots", "0"], &["shots", "0 is out of range", "from 1 to"]);
    train(&["--seed", "18446744073709551615"], &["seed", "18446744073709551615", "9223372036854775807"]);
    train(&["--csv", "lines.csv"], &["--group COLUMN"]);
    train(&["--group", "site"], &["--task csv"]);
    train(&["--kind", "classes"], &["--kind", "'classes'"]);
    // Its parser's own messages take more lines; the rest holds for them too.
    for args in
        [&["train", "--steps", "many"][..], &["train", "--stepz", "3"], &["trian"], &["predict", "run"], &[]]
    {
        let done = place.run(args);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{done:?}");
        assert!(done.err.contains("error: ") || done.err.contains("Usage: "), "{done:?}");
    }
    assert!(place.ok(&["--help"]).contains("Usage: "));
    assert!(place.ok(&["train", "--help"]).contains("--resume"));
}

/// What no machine has the memory for is refused with the bytes, before it is asked for.
#[test]
fn more_than_the_memory() {
    let large = |text: &str| refuse(&format!("device = 'cpu'\n{text}"), &["memory", "GiB"]);
    large("[model]\ntarget = [65536, 65536]\n");
    large("[model]\ntarget = [65536, 65536]\ntrunk = [65536]\nencoder = [65536, 65536]\n");
    large("[model]\ntarget = [4000, 4000]\n");
    large("[train]\ntasks = 1000000\n[eval]\nquery = 100000\nshots = 100000\n");
    large("task = 'shapes'\n[train]\ntasks = 1000000\n[eval]\nquery = 100000\nshots = 100000\n");
    large("[eval]\ntasks = 1000000\nshots = 100000\n");
    let place = plant(&SINE_RUN);
    place.refused(&["eval", "run", "--device", "cpu", "--shots", "100001"], &["--shots", "100001", "100000"]);
}

/// Steps that give NaN are refused one by one, and when they recur the run ends with weights that are sound.
#[test]
fn training_that_diverges() {
    for rate in ["learning_rate", "pooled_rate"] {
        let text =
            SINE.replace("steps = 60", &format!("steps = 200\n{rate} = 1e30")).replace("= 20", "= 200");
        let place = Place::with([("wild.toml", text.as_str())]);
        let done = place.run(&["train", "wild.toml", "--out", "run"]);
        let errors: Vec<&str> = done.err.lines().filter(|l| l.starts_with("error: ")).collect();
        assert_eq!((done.code, errors.len()), (Some(2), 1), "{done:?}");
        assert!(errors[0].contains("training diverged") && errors[0].contains("learning rate"), "{done:?}");
        for (name, tensor) in weights(&place.path("run")) {
            let hyperloom::checkpoint::TensorData::F32(w) = tensor.data else { panic!("{name}") };
            assert!(w.iter().all(|w| w.is_finite()), "{name}");
        }
    }
    // Adaptation that diverges is judged as such, and not chosen.
    let text = SINE.replace("[adapt]", "[adapt]\nrate = 1e30");
    let place = Place::with([("wild.toml", text.as_str())]);
    place.ok(&["train", "wild.toml", "--out", "run"]);
    let report = place.json("run/report.json");
    assert_eq!(report["held_out"]["chosen_steps"], 0);
    assert!(report["held_out"]["chosen"].as_f64().unwrap().is_finite(), "{report}");
    place.ok(&["eval", "run", "--device", "cpu"]);
}

#[test]
fn devices_that_are_not_there() {
    let place = plant(&SINE_RUN);
    place.write("support.csv", "x,y\n1,2\n");
    let commands = [
        &["train", "sine.toml", "--out", "new"][..],
        &["plan", "sine.toml"],
        &["eval", "run"],
        &["adapt", "run", "--support", "support.csv", "--out", "n"],
        &["predict", "run", "--query", "support.csv", "--out", "p.csv"],
    ];
    for command in commands {
        let with = |device| [command, &["--device", device]].concat();
        place.refused(&with("cuda"), &["device", "'cuda'", "auto, cpu, gpu"]);
        place.refused(
            &with("gpu:99"),
            &["device: ", if cfg!(feature = "gpu") { "99" } else { "no GPU path" }],
        );
        place.refused(&with("gpu:x"), &["device", "'gpu:x'"]);
    }
    let text = SINE.replace("'cpu'", "'tpu'");
    place.write("tpu.toml", text);
    place.refused(&["train", "tpu.toml", "--out", "new"], &["device", "'tpu'"]);
    #[cfg(feature = "gpu")]
    {
        // It says what it checks before it finds out that it cannot.
        for (args, part) in [
            (&["--device", "cpu", "--lockstep", "sine.toml"][..], "lockstep compares the CPU with a GPU"),
            (&["--device", "cpu", "--kernel", "matmull"], "did you mean 'matmul'"),
            (&["--device", "gpu:99"], "no such GPU as 'gpu:99'"),
        ] {
            let done = place.run(&[&["check"], args].concat());
            assert!(done.code == Some(2) && done.err.lines().count() == 1, "{done:?}");
            assert!(done.err.starts_with("error: ") && done.err.contains(part), "{done:?}");
        }
    }
}
