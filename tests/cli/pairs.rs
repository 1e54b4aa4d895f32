//! Pairs of texts: trained, said, and refused.

use crate::explain::explained;
use crate::resume::ends_alike;
use crate::*;
use std::io::Write as _;

const SETTINGS: &str = "task = 'pairs'\ndevice = 'cpu'\n[train]\nsteps = 300\nwarmup = 5\nlearning_rate = 0.02\n\
    [model]\nnet = 'gru_attention-16'\n[pairs]\nbatch = 16\n";

/// Words of three letters, and the same in capitals the other way round.
fn pairs(n: usize) -> String {
    let letter = |i: usize| char::from(b'a' + (i % 5) as u8);
    let word = |i: usize| [letter(i * 7 / 3), letter(i / 5 + i), letter(i * i / 11)];
    let line = |i: usize| {
        let word = word(i);
        let back: String = word.iter().rev().map(char::to_ascii_uppercase).collect();
        format!("{i}\t{}\t{back}\n", word.iter().collect::<String>())
    };
    std::iter::once("id\tsource\ttarget\n".to_string()).chain((0..n).map(line)).collect()
}

const TRAIN: [&str; 8] =
    ["train", "settings.toml", "--pairs", "pairs.tsv", "--source", "source", "--target", "target"];

fn place() -> Place {
    let all = pairs(400);
    Place::with([("settings.toml", SETTINGS), ("pairs.tsv", &all)])
}

/// What the command says of some sources.
fn said(place: &Place, sources: &str, more: &[&str]) -> Done {
    let args = [&["translate", "run", "--device", "cpu"], more].concat();
    let mut command = place.command(&args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(sources.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: status.code(), out: text(stdout), err: text(stderr) }
}

#[test]
fn trained_and_said() {
    let place = place();
    let words = place.ok(&[&TRAIN[..], &["--out", "run"]].concat());
    let test = &place.json("run/report.json")["test"];
    let of = |name: &str| test[name].as_f64().expect("a number");
    assert!(of("exact") > 0.9 && of("chrf") > 90.0 && of("character_error") < 0.05, "{test}");
    // Of 40 pairs three letters and the end of each are asked about.
    assert_eq!((of("pairs"), of("rows")), (40.0, 160.0), "{test}");
    assert!(of("bits_per_character") < 0.2 && of("accuracy") > 0.9, "{test}");
    assert!(words.contains("of 40 targets") && words.contains("said exactly"), "{words}");
    assert!(place.read("run/samples.txt").contains(" → "));
    for more in [&[][..], &["--beam", "3"]] {
        let done = said(&place, "abc\n eda\n", more);
        assert_eq!((done.code, done.out.as_str()), (Some(0), "CBA\nADE\n"), "{done:?}");
    }
    // A language model of such lines can be gone on with.
    assert!(
        place.ok(&["generate", "run", "--device", "cpu", "--length", "5", "--temperature", "0"]).len() > 5
    );
    for (sources, parts) in [
        ("abc\nabx\n", ["line 2", "'x' (U+0078)"]),
        ("abc\n\nabc\n", ["line 2", "is empty"]),
        ("abcdeabcde\n", ["line 1", "10 symbols"]),
        ("a\tb\n", ["line 1", "holds a tab"]),
    ] {
        let done = said(&place, sources, &[]);
        assert!(done.code == Some(2) && parts.iter().all(|p| done.err.contains(p)), "{done:?}");
    }
    // What does not fit is said.
    let mut command = place.command(&["translate", "run", "--device", "cpu"]);
    let mut child =
        command.env("RUST_LOG", "warn").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("\u{feff}abcde\n".as_bytes()).unwrap();
    let warned = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(warned.contains("1 of 1 targets are cut"), "{warned}");
    assert!(said(&place, "abc\n", &["--beam", "0"]).err.contains("--beam"));
}

#[test]
fn one_long_pair_is_warned_about() {
    let place = place();
    let long = format!("{}400\t{}\tX\n", pairs(400), "a".repeat(60));
    place.write("pairs.tsv", long);
    let args = [&TRAIN[..], &["--steps", "2", "--out", "run"]].concat();
    let out = place.command(&args).env("RUST_LOG", "warn").output().unwrap();
    let warned = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success() && warned.contains("pairs.length = 7 would leave 1 out"), "{warned}");
    place.refused(&["predict", "run", "--query", "pairs.tsv", "--out", "x"], &["hyperloom translate"]);
    place.refused(&["adapt", "run", "--support", "pairs.tsv", "--out", "x"], &["--task dictionaries"]);
}

#[test]
fn killed_and_resumed_with_the_same_bits() {
    let place = place();
    ends_alike(&place, &TRAIN, 4);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = place();
    let train = |more: &[&'static str]| -> Vec<&'static str> { [&TRAIN[..], more, &["--out", "x"]].concat() };
    place.refused(
        &["train", "settings.toml", "--pairs", "pairs.tsv", "--out", "x"],
        &["pairs.source", "--source"],
    );
    let columns = |source: &'static str, target: &'static str| {
        [
            "train",
            "settings.toml",
            "--pairs",
            "pairs.tsv",
            "--source",
            source,
            "--target",
            target,
            "--out",
            "x",
        ]
    };
    place.refused(&columns("sorce", "target"), &["pairs.tsv", "'sorce'", "did you mean 'source'"]);
    place.refused(&columns("target", "target"), &["pairs.target", "the sources, too"]);
    place.refused(&train(&["--set", "pairs.test=0.7"]), &["pairs.test", "0.5"]);
    place.refused(&train(&["--set", "pairs.test=400"]), &["400 pairs", "400 would be judged on"]);
    place.refused(&train(&["--set", "pairs.length=4"]), &["pairs.length = 4", "the longest has 7"]);
    place.refused(&train(&["--set", "pairs.batch=0"]), &["pairs.batch"]);
    place.refused(&train(&["--method", "maml"]), &["adapt.method", "one"]);
    place.refused(&train(&["--net", "gru_attention-6"]), &["4 heads", "6"]);
    place.refused(&train(&["--task", "pairs", "--csv", "a.csv"]), &["--csv", "'pairs'"]);
    place.refused(
        &["train", "--task", "sine", "--pairs", "pairs.tsv"],
        &["--pairs", "--task pairs", "'sine'"],
    );
    place.write("empty.tsv", "source\ttarget\na\tb\nc\t\n");
    let on = |file: &'static str| {
        vec![
            "train",
            "settings.toml",
            "--pairs",
            file,
            "--source",
            "source",
            "--target",
            "target",
            "--out",
            "x",
        ]
    };
    place.refused(&on("empty.tsv"), &["empty.tsv, line 3, column 'target'", "is empty"]);
    place.write("wide.tsv", "source\ttarget\na\tb\tc\n");
    place.refused(&on("wide.tsv"), &["wide.tsv, line 2", "3 cells"]);
    place.write("commas.tsv", "source,target\na,b\n");
    place.refused(&on("commas.tsv"), &["commas.tsv", "by tabs"]);
    place.refused(&on("nowhere.tsv"), &["nowhere.tsv"]);
    place.ok(&[
        "train",
        "--task",
        "sine",
        "--steps",
        "1",
        "--device",
        "cpu",
        "--out",
        "sine",
        "--set",
        "train.pooled_steps=1",
    ]);
    place.refused(&["translate", "sine"], &["sine"]);
}

const DICTIONARIES: &str = "task = 'dictionaries'\ndevice = 'cpu'\n[train]\nsteps = 300\npooled_steps = 300\nwarmup = 5\ntasks = 8\n\
    learning_rate = 0.01\n[model]\nnet = 'gru_attention-16'\nencoder = [16]\ntrunk = [16]\n\
    reader = [{ embed = 8 }, { recurrent = 'gru', units = 16, last = true }]\n\
    [eval]\nshots = 4\nquery = 8\nsweep = [2, 4]\n";

/// Languages that say a word as it is, or in capitals.
fn languages(n: usize, words: usize) -> String {
    let line = |i: usize| {
        let (language, k) = (i / words, i % words);
        let word: String = [k, k / 4, k / 16 + k].map(|c| char::from(b'a' + (c % 4) as u8)).iter().collect();
        let target = if language % 2 == 0 { word.clone() } else { word.to_ascii_uppercase() };
        format!("language{language}\t{word}\t{target}\n")
    };
    std::iter::once("language\tword\tname\n".to_string()).chain((0..n * words).map(line)).collect()
}

const BY_LANGUAGE: [&str; 10] = [
    "train",
    "many.toml",
    "--pairs",
    "names.tsv",
    "--group",
    "language",
    "--source",
    "word",
    "--target",
    "name",
];

fn many() -> Place {
    let all = languages(30, 16);
    Place::with([("many.toml", DICTIONARIES), ("names.tsv", &all)])
}

#[test]
fn a_language_is_a_task() {
    let place = many();
    let words = place.ok(&[&BY_LANGUAGE[..], &["--out", "run"]].concat());
    let held_out = &place.json("run/report.json")["held_out"];
    let of = |who: &str, name: &str| held_out["translations"][who][name].as_f64().expect("a number");
    // Whoever has read four pairs knows whether to say capitals; one network for all languages cannot.
    assert!(of("chosen", "exact") > 0.9 && of("pooled", "exact") < 0.7, "{held_out}");
    // A training language that says capitals, too, says all that it knows.
    assert_eq!(of("nearest", "exact"), 1.0, "{held_out}");
    assert!(of("copy", "exact") < 0.9 && of("chosen", "pairs") == 6.0 * 12.0, "{held_out}");
    assert!(held_out["differences"]["pooled"]["mean"].as_f64().expect("a number") < -0.1, "{held_out}");
    assert!(words.contains("said exactly") && words.contains("pooled"), "{words}");
    place.ok(&["eval", "run", "--device", "cpu"]);
    explained(&place, "run");
    // The network of a language says its words.
    place.write("new.tsv", "word\tname\nabc\tABC\nbbd\tBBD\ndac\tDAC\ncab\tCAB\n");
    place.ok(&["adapt", "run", "--support", "new.tsv", "--device", "cpu", "--out", "new.safetensors"]);
    let mut command = place.command(&["translate", "new.safetensors", "--device", "cpu"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"aba\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"ABA\n");
    let set = |settings: &'static str| -> Vec<&'static str> {
        [&BY_LANGUAGE[..], &["--set", settings, "--out", "x"]].concat()
    };
    place.refused(&set("dictionaries.held_out=[\"language99\"]"), &["dictionaries.held_out", "'language99'"]);
    place.refused(&set("eval.shots=16"), &["0 groups of more than 16 pairs"]);
    place.refused(&set("dictionaries.length=2"), &["dictionaries.length", "4 to 65536"]);
    place.refused(&["eval", "run", "--device", "cpu", "--shots", "16"], &["16 shots", "has 16 pairs"]);
    place.refused(
        &["train", "many.toml", "--pairs", "names.tsv", "--out", "x"],
        &["dictionaries.group", "--group"],
    );
    place.refused(
        &["train", "--task", "pairs", "--pairs", "names.tsv", "--group", "language", "--out", "x"],
        &["--group", "--task dictionaries"],
    );
    place.write("bad.tsv", "name\tword\nABC\tabé\n");
    place.refused(&["adapt", "run", "--support", "bad.tsv", "--out", "x"], &["bad.tsv", "line 2", "'é'"]);
}

#[test]
fn dictionaries_are_resumed_with_the_same_bits() {
    let place = many();
    ends_alike(&place, &BY_LANGUAGE, 4);
}
