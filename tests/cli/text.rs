//! Language models of texts: trained, judged, gone on with, and refused.

use crate::resume::ends_alike;
use crate::*;

const SETTINGS: &str = "task = 'text'\ndevice = 'cpu'\n[train]\nsteps = 150\nwarmup = 5\nlearning_rate = 0.02\n\
    [model]\nnet = 'gru-16'\n[text]\nlength = 16\nbatch = 8\ntest_length = 64\n";

/// Words in an order that repeats: what follows is sure after a few symbols.
fn text(words: usize) -> String {
    (0..words).map(|i| ["one ", "two ", "three\n"][i % 3]).collect()
}

fn place() -> Place {
    let long = text(900);
    Place::with([("settings.toml", SETTINGS), ("text.txt", &long)])
}

const TRAIN: [&str; 4] = ["train", "settings.toml", "--files", "text.txt"];

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[test]
fn trained_and_gone_on_with() {
    let place = place();
    let words = place.ok(&[&TRAIN[..], &["--out", "run"]].concat());
    let report = place.json("run/report.json");
    let test = &report["test"];
    // A tenth of 4200 symbols, in sequences of 64; log2 of 10 symbols if nothing were learned.
    assert_eq!(number(&test["rows"]) as usize, 419 / 64 * 64);
    let bits = number(&test["bits_per_character"]);
    assert!(bits < 0.3 && (bits - number(&test["loss"]) / std::f64::consts::LN_2).abs() < 1e-12, "{test}");
    assert!(number(&test["accuracy"]) > 0.9, "{test}");
    assert_eq!(test["classes"].as_array().unwrap().len(), 9);
    assert!(words.contains("on 384 test symbols") && words.contains("bits each"), "{words}");
    assert!(test["confusion"].as_array().unwrap().is_empty());
    let curve = test["validation"].as_array().unwrap();
    assert!(number(&curve[curve.len() - 1]["loss"]) < number(&curve[0]["loss"]), "{curve:?}");
    // What it says by itself becomes what stands in the text.
    let samples = place.read("run/samples.txt");
    let each: Vec<&str> = samples.split(" steps:\n").collect();
    let sure = |sample: &str| sample.contains("one two three\none two three\none two three\n");
    assert!(each.len() > 10 && sure(each[each.len() - 1]) && !sure(each[1]), "{samples}");
    assert!(place.path("run/loss.svg").is_file() && place.path("run/calibration.svg").is_file());
    // Both gates of the cell, and a gradient by each of 16 symbols: a symbol is told by the one or two before it.
    let gates = report["instruments"]["gates"].as_array().unwrap();
    assert_eq!(gates.iter().map(|g| g["gate"].as_str().unwrap()).collect::<Vec<_>>(), ["r", "z"]);
    let reach = report["instruments"]["gradient_by_element"].as_array().unwrap();
    assert!(reach.len() == 16 && number(&reach[15]) > number(&reach[0]), "{reach:?}");
    assert!(place.path("run/gradient.svg").is_file() && !place.path("run/attention.svg").exists());
    // Of the layers [9 -> 64], 64·48 + 16·48 + 2·48 of the cell, and 16·9 + 9.
    assert_eq!(number(&test["parameters"]) as usize, 9 * 64 + 64 * 48 + 16 * 48 + 2 * 48 + 16 * 9 + 9);

    let generate = ["generate", "run", "--device", "cpu", "--length", "40"];
    let sure = |more: &[&str]| place.ok(&[&generate[..], more].concat());
    let said = sure(&["--prompt", "one two", "--temperature", "0"]);
    assert!(said.contains("one two three\none two three\none"), "{said}");
    assert_eq!(said.chars().count(), 7 + 40 + 1);
    let drawn =
        [sure(&["--seed", "1"]), sure(&["--seed", "1"]), sure(&["--seed", "2", "--temperature", "5"])];
    assert!(drawn[0] == drawn[1] && drawn[0] != drawn[2], "{drawn:?}");
    // The network alone does the same.
    let file = ["generate", "run/network.safetensors", "--device", "cpu", "--length", "40"];
    assert_eq!(place.ok(&[&file[..], &["--seed", "1"]].concat()), drawn[0]);

    place.refused(
        &["generate", "run", "--prompt", "one Two"],
        &["--prompt", "line 1: 'T' (U+0054)", "symbol"],
    );
    assert!(!place.path("run/mistakes.svg").exists());
    // Another text is not gone on with, and runs that were judged on other symbols are not compared.
    place.ok(&[&TRAIN[..], &["--set", "text.test_length=32", "--steps", "3", "--out", "other"]].concat());
    place.refused(&["eval", "run", "other", "--device", "cpu", "--out", "x"], &["other", "384", "same rows"]);
    place.ok(&["eval", "run", "--device", "cpu"]);
    place.write("text.txt", text(900).replacen("one two", "two one", 1));
    place.refused(&["train", "--resume", "--out", "run"], &["has the data file changed?"]);
    place.write("text.txt", text(900));
    place.refused(&["adapt", "run", "--support", "text.txt", "--out", "x"], &["generate"]);
    place.refused(&["generate", "run", "--length", "0"], &["--length", "1 to"]);
    place.refused(&["generate", "run", "--temperature", "1e9"], &["--temperature", "0 to 100"]);
    place.refused(&["generate", "nowhere"], &["nowhere", "no such run folder"]);
    place.refused(&["generate", "."], &["network.safetensors"]);
    place.refused(&["predict", "run", "--query", "text.txt", "--out", "x"], &["generate"]);
    place.refused(&["sample", "run", "--support", "text.txt", "--out", "x.png"], &["--task decoders"]);
}

/// A net without states looks at the last symbols again for each that is drawn.
#[test]
fn attention_goes_on_with_texts() {
    let place = place();
    place.ok(&[&TRAIN[..], &["--net", "transformer-16", "--steps", "200", "--out", "run"]].concat());
    let report = place.json("run/report.json");
    // Not longer than what was trained on.
    assert_eq!(number(&report["test"]["rows"]) as usize, 419 / 16 * 16);
    assert!(number(&report["test"]["bits_per_character"]) < 0.4, "{report}");
    let picture = place.read("run/attention.svg");
    assert!(picture.contains("layer 3") && picture.contains("layer 8"), "{picture}");
    let said = place.ok(&[
        "generate",
        "run",
        "--device",
        "cpu",
        "--length",
        "40",
        "--temperature",
        "0",
        "--prompt",
        "one two",
    ]);
    assert!(said.contains("one two three\none two three\none"), "{said}");
}

#[test]
fn bytes_of_any_file() {
    let place = place();
    let bytes: Vec<u8> = (0..4_000).map(|i| [0u8, 255, 10, 200][i % 4]).collect();
    place.write("folder/a.bin", &bytes);
    place.write("folder/b.bin", &bytes);
    place.write("folder/.hidden", b"other");
    let args = ["train", "settings.toml", "--files", "folder", "--set", "text.unit=bytes", "--out", "run"];
    place.ok(&args);
    let report = place.json("run/report.json");
    assert!(number(&report["test"]["bits_per_character"]) < 0.2, "{report}");
    assert_eq!(report["test"]["classes"][3], "ff");
    let out = place.command(&["generate", "run", "--device", "cpu", "--length", "8", "--temperature", "0"]);
    let out = { out }.output().unwrap().stdout;
    // After a byte 10.
    assert_eq!(out[..8], [200, 0, 255, 10, 200, 0, 255, 10]);
}

#[test]
fn killed_and_resumed_with_the_same_bits() {
    let place = place();
    ends_alike(&place, &TRAIN, 5);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = place();
    place.write("empty.txt", "");
    place.write("short.txt", "abc abc abc");
    place.write("same.txt", "aaaaaaaaaaaaaaaaaaaa".repeat(100));
    place.write("latin.txt", b"one\ntw\xf6\n");
    let on = |file: &'static str| vec!["train", "settings.toml", "--files", file, "--out", "x"];
    let train = |more: &[&'static str]| -> Vec<&'static str> { [&TRAIN[..], more, &["--out", "x"]].concat() };
    place.refused(&["train", "settings.toml", "--out", "x"], &["text.files", "--files"]);
    place.refused(&on("nowhere.txt"), &["nowhere.txt"]);
    place.refused(&on("empty.txt"), &["empty.txt", "is empty"]);
    place.refused(&on("short.txt"), &["short.txt", "11 symbols", "text.length = 16"]);
    place.write("folder/a.txt", "one two");
    place.write("folder/inner/b.txt", "one two");
    place.refused(&on("folder"), &["folder/inner", "is a folder in a folder"]);
    place.refused(&train(&["--files", "text.txt", "./text.txt"]), &["text.txt", "given twice"]);
    place.refused(&on("same.txt"), &["1 different symbols", "2 to 65536"]);
    place.refused(&on("latin.txt"), &["latin.txt, line 2", "UTF-8", "text.unit=bytes"]);
    place.refused(&train(&["--set", "text.length=1"]), &["text.length", "2 to 65536"]);
    place.refused(&train(&["--set", "text.test=0"]), &["text.test", "0.001 to 0.5"]);
    place.refused(&train(&["--set", "train.tasks=4"]), &["train.tasks", "text.batch"]);
    place.refused(&train(&["--generated"]), &["model.weights", "--generated"]);
    place.refused(&train(&["--method", "maml"]), &["adapt.method", "one"]);
    place.refused(&train(&["--net", "conv4"]), &["model.net"]);
    place.refused(&train(&["--task", "text", "--csv", "a.csv"]), &["--csv", "'text'"]);
    place.refused(&train(&["--epochs", "3"]), &["--epochs", "--steps"]);
    let known = format!("{SETTINGS}[[model.net]]\none_hot = 8\n").replace("net = 'gru-16'\n", "");
    place.write("known.toml", known);
    place.refused(
        &["train", "known.toml", "--files", "text.txt", "--out", "x"],
        &["9 symbols", "the first layer 8"],
    );
    let last = format!("{SETTINGS}[[model.net]]\nrecurrent = 'gru'\nunits = 4\nlast = true\n")
        .replace("net = 'gru-16'\n", "");
    place.write("last.toml", last);
    place.refused(&["train", "last.toml", "--files", "text.txt", "--out", "x"], &["model.net", "causal"]);
    place.refused(&train(&["--shots", "3"]), &["--shots", "'text'"]);
    place.refused(&["train", "--task", "sine", "--files", "text.txt"], &["--files", "--task text", "'sine'"]);
    let both = format!("{SETTINGS}[[model.net]]\nrecurrent = 'lstm'\nunits = 4\nbidirectional = true\n");
    place.write("both.toml", both.replace("net = 'gru-16'\n", ""));
    place.refused(
        &["train", "both.toml", "--files", "text.txt", "--out", "x"],
        &["layer 2 ('recurrent')", "causal"],
    );
    let ahead =
        "[[model.net]]\nembed = 4\n[[model.net]]\nresidual = [{ layer_norm = true }, { attention = 2 }]\n";
    place.write("ahead.toml", SETTINGS.replace("net = 'gru-16'\n", ahead));
    place.refused(
        &["train", "ahead.toml", "--files", "text.txt", "--out", "x"],
        &["layer 2 ('residual')", "causal = true"],
    );
}
