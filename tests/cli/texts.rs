//! Texts, a task each: a model reads some of a text that it has not seen.

use crate::explain::explained;
use crate::resume::ends_alike;
use crate::*;

const SETTINGS: &str = "task = 'texts'\ndevice = 'cpu'\n[train]\nsteps = 150\npooled_steps = 150\nwarmup = 5\ntasks = 8\n\
    learning_rate = 0.01\n[model]\nnet = 'gru-16'\nencoder = [16]\ntrunk = [16]\n\
    reader = [{ embed = 8 }, { recurrent = 'gru', units = 16, last = true }]\n\
    [eval]\nshots = 2\nquery = 4\nsweep = [1, 2, 5]\n[texts]\nlength = 8\n";

/// A word of its own for each text, of the letters a to h, again and again.
fn word(i: usize) -> String {
    (0..4).map(|k| char::from(b'a' + ((i * 37 + 11) * (k + 3) * (k + 5) / 7 % 8) as u8)).collect()
}

fn place() -> Place {
    let place = Place::with([("settings.toml", SETTINGS)]);
    for i in 0..40 {
        place.write(&format!("texts/{i:02}.txt"), word(i).repeat(30));
    }
    place
}

const TRAIN: [&str; 4] = ["train", "settings.toml", "--files", "texts"];

#[test]
fn trained_adapted_and_gone_on_with() {
    let place = place();
    place.write("texts/short.txt", "abc");
    place.write("texts/empty.txt", "");
    let out =
        place.command(&[&TRAIN[..], &["--out", "run"]].concat()).env("RUST_LOG", "warn").output().unwrap();
    let warned = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{warned}");
    assert!(warned.contains("2 of 42 texts have fewer than the 25 symbols"), "{warned}");
    assert!(warned.contains("short.txt"), "{warned}");
    let held_out = &place.json("run/report.json")["held_out"];
    assert_eq!((&held_out["metric"], &held_out["tasks"]), (&"bits_per_character".into(), &8.into()));
    // Who has read two sequences of a text knows how the next one begins.
    let lead = &held_out["differences"]["pooled"];
    let of = |name: &str| lead[name].as_f64().expect("a number");
    assert!(of("mean") < -2.0 * of("standard_error"), "{held_out}");
    assert_eq!(lead["tasks"], 8);
    // A unigram of what was read: probabilities, which take bits.
    assert!(held_out["baselines"]["support_mean"].as_f64().expect("a number") > 1.0, "{held_out}");

    explained(&place, "run");
    place.ok(&["eval", "run", "--device", "cpu", "--out", "judged"]);
    let swept = place.json("judged/eval.json");
    assert!(swept.to_string().contains("\"5\""), "{swept}");
    place.write("new.txt", word(77).repeat(8));
    let words =
        place.ok(&["adapt", "run", "--support", "new.txt", "--device", "cpu", "--out", "new.safetensors"]);
    assert!(words.contains("from 3 rows"), "{words}");
    let generate = ["generate", "new.safetensors", "--device", "cpu", "--length", "12", "--temperature", "0"];
    let said = place.ok(&[&generate[..], &["--prompt", &word(77)]].concat());
    assert_eq!(said.chars().count(), 4 + 12 + 1, "{said}");
    // What is packed is the same text.
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    std::io::Write::write_all(&mut packed, word(77).repeat(8).as_bytes()).unwrap();
    place.write("new.txt.gz", packed.finish().unwrap());
    place.ok(&["adapt", "run", "--support", "new.txt.gz", "--device", "cpu", "--out", "packed.safetensors"]);
    let network = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(network("new.safetensors") == network("packed.safetensors"));
    place.write("tiny.txt", "abc");
    place.refused(
        &["adapt", "run", "--support", "tiny.txt", "--device", "cpu", "--out", "x"],
        &["tiny.txt", "3 symbols", "take 9"],
    );
    place.refused(&["predict", "run", "--query", "new.txt", "--out", "x"], &["generate"]);
    place.refused(
        &["eval", "run", "--device", "cpu", "--shots", "20", "--out", "x"],
        &["20 shots", "169 symbols", "120"],
    );
}

/// A reader by its name gives its last state, and a transformer in the place of the linear head needs no trunk.
#[test]
fn other_readers_and_generators() {
    let place = place();
    let own = "reader = [{ embed = 8 }, { recurrent = 'gru', units = 16, last = true }]";
    for (reader, generator) in [("gru-8", "transformer"), ("transformer-8", "recurrent")] {
        place.write(
            "other.toml",
            SETTINGS.replace(own, &format!("reader = '{reader}'\ngenerator = '{generator}'")),
        );
        place.ok(&["train", "other.toml", "--files", "texts", "--steps", "20", "--out", generator]);
        assert!(place.json(&format!("{generator}/report.json"))["held_out"]["chosen"].is_number());
    }
}

#[test]
fn killed_and_resumed_with_the_same_bits() {
    let place = place();
    ends_alike(&place, &TRAIN, 5);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = place();
    let train = |more: &[&'static str]| -> Vec<&'static str> { [&TRAIN[..], more, &["--out", "x"]].concat() };
    place.refused(&["train", "settings.toml", "--out", "x"], &["texts.files", "--files"]);
    place.refused(&train(&["--test", "texts/01.txt"]), &["01.txt", "must be others"]);
    place.write("other.txt", "xyz\n".repeat(30));
    place.refused(
        &train(&["--test", "other.txt", "--set", "texts.unit=characters"]),
        &["other.txt, line 1", "'x'", "texts.unit = \"bytes\""],
    );
    place.write("two/a.txt", "ab".repeat(50));
    place.write("two/b.txt", "cd".repeat(50));
    place.refused(
        &["train", "settings.toml", "--files", "two", "--out", "x"],
        &["two", "2 texts", "A file is a text"],
    );
    place.refused(&train(&["--set", "texts.held_out=39"]), &["40 texts", "39"]);
    place.refused(&train(&["--set", "texts.held_out=3", "--test", "other.txt"]), &["texts.held_out"]);
    place.refused(&train(&["--set", "texts.length=1"]), &["texts.length", "2 to 65536"]);
    place.refused(&train(&["--task", "texts", "--csv", "a.csv"]), &["--csv", "'texts'"]);
    place.refused(&train(&["--set", "eval.shots=50"]), &["40 of 40 texts have fewer than", "00.txt"]);
    let reader = |layers: &str| SETTINGS.replace("units = 16, last = true }]", layers);
    place.write("norm.toml", reader("units = 16, last = true }, { batch_norm = 'batch' }]"));
    place.refused(&["train", "norm.toml", "--files", "texts", "--out", "x"], &["model.reader", "layer_norm"]);
    place.write("set.toml", format!("{}[[model.set]]\nset_attention = 2\n", SETTINGS));
    place.refused(&["train", "set.toml", "--files", "texts", "--out", "x"], &["model.set", "attention_pool"]);
    place.refused(
        &train(&["--set", "model.generator={ kind = \"transformer\", width = 5, heads = 2 }"]),
        &["model.generator", "2 heads"],
    );
    place.refused(
        &train(&["--set", "model.generator={ kind = \"recurrent\", tile = 0 }"]),
        &["tile = 0", "1 to"],
    );
}
