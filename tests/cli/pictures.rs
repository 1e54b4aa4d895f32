//! One task of rows with classes: pictures and series, trained directly and with generated kernels.

use crate::resume::ends_alike;
use crate::*;

/// A small network with everything that is treated apart: a norm by its support, convolutions with three sizes of kernels, a shortcut.
const NET: &str = "[[net]]\nconv = 4\nkernel = 3\nbias = false\n[[net]]\nbatch_norm = 'support'\nactivation = 'relu'\n\
    [[net]]\nresidual = [{ conv = 6, kernel = 3, stride = 2 }]\nshortcut = [{ conv = 6, kernel = 1, stride = 2 }]\n\
    [[net]]\nglobal_pool = true\n";

const SETTINGS: &str = "device = 'cpu'\n[train]\nsteps = 60\nwarmup = 5\nlearning_rate = 0.01\n\
    [model]\ngenerator = { kind = 'static', block = 4, embedding = 6, features = 5 }\n[pictures]\nbatch = 16\n";

/// Writes `each` pictures of three classes: bars that lie, bars that stand, in colour.
fn draw(place: &Place, folder: &str, each: usize, shift: usize) {
    for (class, name) in ["lying", "standing", "none"].into_iter().enumerate() {
        for k in 0..each {
            let path = place.path(&format!("{folder}/{name}/{k}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 12, 12);
            encoder.set_color(png::ColorType::Rgb);
            let (at, noise) = (2 + (k + shift) % 8, |i: usize| ((i * 37 + k * 101 + shift) % 23) as u8);
            let on = |x: usize, y: usize| (class == 0 && y == at) || (class == 1 && x == at);
            let pixels: Vec<u8> = (0..12 * 12 * 3)
                .map(|i| if on(i / 3 % 12, i / 36) { 200 + noise(i) } else { 20 + noise(i) })
                .collect();
            encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        }
    }
}

fn place() -> Place {
    let place = Place::with([("net.toml", NET), ("settings.toml", SETTINGS)]);
    draw(&place, "train", 40, 0);
    draw(&place, "test", 12, 5);
    place
}

const TRAIN: [&str; 8] =
    ["train", "settings.toml", "--train", "train", "--test", "test", "--net", "net.toml"];

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[test]
fn directly_and_with_generated_kernels() {
    let place = place();
    let words = place.ok(&[&TRAIN[..], &["--out", "direct"]].concat());
    assert!(words.contains("36 test rows") && words.contains("trained directly"), "{words}");
    let words = place.ok(&[&TRAIN[..], &["--generated", "--out", "generated"]].concat());
    assert!(words.contains("kernels generated") && words.contains("trained directly"), "{words}");
    for run in ["direct", "generated"] {
        let (report, test) =
            (place.json(&format!("{run}/report.json")), &place.json(&format!("{run}/report.json"))["test"]);
        assert_eq!((&report["task"], &report["held_out"]), (&"pictures".into(), &Value::Null));
        assert!(number(&test["accuracy"]) > 0.7 && number(&test["loss"]) < 0.8, "{run}: {test}");
        assert_eq!(test["rows"], 36);
        assert_eq!(test["classes"], serde_json::json!(["lying", "none", "standing"]));
        let all: f64 = (0..9).map(|i| number(&test["confusion"][i / 3][i % 3])).sum();
        let right: f64 = (0..3).map(|i| number(&test["confusion"][i][i])).sum();
        assert!(all == 36.0 && (right / all - number(&test["accuracy"])).abs() < 1e-9);
        let curve = test["validation"].as_array().unwrap();
        assert_eq!((curve.len(), &curve[19]["step"]), (20, &60.into()));
        // 108 of 120 rows are trained on, in 60 batches of 16.
        assert!((number(&test["epochs"]) - 960.0 / 108.0).abs() < 1e-9);
        for name in ["loss", "accuracy", "confusion", "mistakes", "calibration"] {
            let svg = place.read(&format!("{run}/{name}.svg"));
            assert!(
                svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("NaN"),
                "{run}/{name}"
            );
        }
        // Layers with kernels are looked at, too.
        assert_eq!(report["instruments"]["activations"].as_array().unwrap().len(), 5);
    }
    // 3·3·3·4 + 8 + 3·3·4·6 + 6 + 4·6 + 6 + 6·3 + 3 weights; of them kernels 108 + 216 + 24.
    let (direct, generated) =
        (&place.json("direct/report.json")["test"], &place.json("generated/report.json")["test"]);
    assert_eq!((&direct["parameters"], &direct["kernels"]), (&389.into(), &serde_json::json!([348, 348])));
    // Blocks 1 + 2 + 2 of 6 numbers; 6·20 + 20; of 9 taps 5·36 + 36, of one 5·4 + 4; 41 that are no kernels.
    assert_eq!(
        (&generated["parameters"], &generated["kernels"]),
        (&451.into(), &serde_json::json!([410, 348]))
    );
    // What is trained directly beside generated kernels is what is trained alone.
    for what in ["accuracy", "loss"] {
        let apart = (number(&generated["direct"][what]) - number(&direct[what])).abs();
        assert!(apart < if what == "loss" { 0.2 } else { 0.06 }, "{what}: {apart}");
    }

    place.ok(&["eval", "direct", "generated", "--out", "both"]);
    let both = place.json("both/compare.json");
    assert_eq!((&both[0]["test"], &both[1]["test"]), (direct, generated));

    // The network of a run sorts pictures of any size; the classes are known.
    draw(&place, "new", 1, 3);
    place.ok(&["predict", "direct", "--query", "new", "--out", "sorted.csv", "--device", "cpu"]);
    let sorted = columns(&place.read("sorted.csv"));
    assert_eq!(sorted["file"], ["lying/0.png", "none/0.png", "standing/0.png"]);
    assert_eq!(sorted["prediction"], ["lying", "none", "standing"]);
    // Fine-tuned on a few of one class; norms stay as they were trained.
    fs::create_dir(place.path("few")).unwrap();
    fs::rename(place.path("new/lying"), place.path("few/lying")).unwrap();
    let adapt = ["adapt", "direct", "--support", "few", "--device", "cpu", "--out"];
    place.ok(&[&adapt[..], &["same.safetensors", "--steps", "0"]].concat());
    let weights = |file: &str| Checkpoint::load(&place.path(file)).unwrap().tensors["member.0"].clone();
    assert!(weights("same.safetensors") == weights("direct/network.safetensors"));
    place.ok(&[&adapt[..], &["tuned.safetensors", "--steps", "20"]].concat());
    assert!(weights("tuned.safetensors") != weights("direct/network.safetensors"));
    place.ok(&["predict", "tuned.safetensors", "--query", "few", "--out", "few.csv", "--device", "cpu"]);
    let (before, after) =
        (&sorted["probability_lying"][0], &columns(&place.read("few.csv"))["probability_lying"][0]);
    assert!(after.parse::<f64>().unwrap() > before.parse::<f64>().unwrap(), "{before} {after}");

    let line = place.refused(&[&adapt[..], &["x"]].concat(), &["--steps"]);
    assert!(line.contains("gradient descent"), "{line}");
    place.refused(&["predict", "direct", "--support", "few", "--query", "few", "--out", "x"], &["--support"]);
    fs::rename(place.path("few/lying"), place.path("few/slanted")).unwrap();
    place.refused(&[&adapt[..], &["x", "--steps", "1"]].concat(), &["'slanted'", "lying, none, standing"]);
    place.refused(&["eval", "direct", "--shots", "3"], &["--shots"]);
}

#[test]
fn series_of_a_table() {
    let place = Place::with([("settings.toml", SETTINGS)]);
    let mut text = (0..12).fold("kind".to_string(), |text, i| format!("{text},x{i}"));
    for k in 0..90 {
        let (up, at) = (k % 2 == 0, 2 + k / 2 % 7);
        let wave = |i: usize| if i == at { if up { 1.0 } else { -1.0 } } else { 0.01 * ((i * k) % 7) as f64 };
        text += if up { "\nup" } else { "\ndown" };
        (0..12).for_each(|i| text += &format!(",{}", wave(i)));
    }
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
    place.write("waves.csv.gz", packed.finish().unwrap());
    place.write("waves.csv", &text);
    let train = ["train", "settings.toml", "--train", "waves.csv.gz", "--label", "kind", "--epochs", "15"];
    place.ok(&[&train[..], &["--net", "cnn-4", "--set", "pictures.shifts=true", "--out", "run"]].concat());
    let test = &place.json("run/report.json")["test"];
    // No file to be judged on is given: a sixth is held back, of the rest a tenth is validated by.
    assert_eq!((&test["rows"], &test["classes"]), (&16.into(), &serde_json::json!(["down", "up"])));
    assert!(number(&test["accuracy"]) > 0.9, "{test}");
    assert_eq!(place.json("run/report.json")["steps"], (15 * 66u64).div_ceil(16));
    assert!(place.read("run/mistakes.svg").contains("<svg"));
    place.ok(&["predict", "run", "--query", "waves.csv", "--out", "sorted.csv", "--device", "cpu"]);
    let sorted = columns(&place.read("sorted.csv"));
    let right = sorted["kind"].iter().zip(&sorted["prediction"]).filter(|(a, b)| a == b).count();
    assert!(right > 80, "{right}");
    place.ok(&[
        "adapt",
        "run",
        "--support",
        "waves.csv",
        "--steps",
        "2",
        "--out",
        "n.safetensors",
        "--device",
        "cpu",
    ]);
    place.ok(&[&train[..], &["--net", "mlp-8", "--out", "dense"]].concat());
    place.refused(
        &["train", "settings.toml", "--train", "waves.csv", "--out", "x"],
        &["pictures.label", "--label"],
    );
    place.refused(
        &[&train[..], &["--test", "other.png", "--out", "x"]].concat(),
        &["other.png", "no CSV file"],
    );
    place.refused(
        &["train", "settings.toml", "--train", "waves.csv", "--label", "sort", "--out", "x"],
        &["sort"],
    );
    // A flag wins over the file, whatever says how long training takes.
    let config = place.read("run/config.toml");
    place.write("again.toml", config);
    place.ok(&["train", "again.toml", "--steps", "7", "--out", "short"]);
    assert_eq!(place.json("short/report.json")["steps"], 7);
    place.ok(&[&train[..], &["--drop", "x11", "--net", "mlp-8", "--out", "dropped"]].concat());
    for (cell, line) in [("hello", "line 3"), ("", "line 3"), ("nan", "line 3")] {
        place.write("bad.csv", text.replacen("\ndown,0", &format!("\ndown,{cell}"), 1));
        let bad = ["train", "settings.toml", "--train", "bad.csv", "--label", "kind", "--out", "x"];
        place.refused(&bad, &["bad.csv", line, "'x0'", "no number", "--drop"]);
    }
    for (more, parts) in [
        (&["--generated", "--net", "mlp-8"][..], &["no convolution", "--generated"][..]),
        (&["--shots", "3"], &["--shots", "support"]),
        (&["--group", "kind"], &["--group", "no groups"]),
        (&["--labels", "waves.csv"], &["IDX", "pictures.label"]),
        (&["--test", "./waves.csv.gz"], &["others"]),
    ] {
        place.refused(&[&train[..], more, &["--out", "x"]].concat(), parts);
    }
    place.refused(
        &["train", "--task", "sine", "--epochs", "3", "--out", "x"],
        &["--epochs", "--task pictures"],
    );
    place.write("one.csv", "kind,x\nup,1\nup,2\n");
    place.refused(
        &["train", "settings.toml", "--train", "one.csv", "--label", "kind", "--out", "x"],
        &["one.csv", "kind"],
    );
}

#[test]
fn killed_and_resumed_with_the_same_bits() {
    let place = place();
    ends_alike(&place, &[&TRAIN[..], &["--generated", "--steps", "400"]].concat(), 3);
    let network =
        |run: &str| Checkpoint::load(&place.path(&format!("{run}/network.safetensors"))).unwrap().tensors;
    assert!(network("whole") == network("run"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = place();
    let with = |more: &[&'static str]| -> Vec<&'static str> { [&TRAIN[..6], more, &["--out", "x"]].concat() };
    for (more, parts) in [
        (&["--method", "maml"][..], &["adapt.method", "many tasks", "--images"][..]),
        (&["--generated", "--set", "model.generator=linear"], &["model.generator", "static"]),
        (&["--set", "train.tasks=4"], &["train.tasks", "pictures.batch"]),
        (&["--set", "pictures.batch=1"], &["pictures.batch", "2 to 65536"]),
        (&["--set", "pictures.validation=0.9"], &["pictures.validation", "0.5"]),
        (&["--set", "pictures.size=0"], &["pictures.size", "1 to 1024"]),
        (&["--set", "pictures.epochs=0"], &["pictures.epochs"]),
        (&["--label", "kind"], &["pictures.label", "CSV"]),
        (&["--set", "model.net=conv4-4"], &["model.net", "pictures are 12 by 12; pictures.size"]),
        (
            &["--set", "model.net=conv4-4-batch", "--set", "pictures.size=16"],
            &["model.net", "\"support\"", "-batch"],
        ),
        (
            &["--set", "model.generator={kind='static',block=0}", "--generated"],
            &["model.generator", "blocks of 0"],
        ),
    ] {
        place.refused(&with(more), parts);
    }
    place.refused(&["train", "--task", "pictures", "--out", "x"], &["pictures.train", "--train"]);
    place.refused(&["train", "--train", "missing", "--out", "x"], &["missing", "not there"]);
    place.refused(&["train", "--train", "train", "--test", "train", "--out", "x"], &["train", "others"]);
    place.refused(&["train", "--train", "train", "--test", "./test/../train", "--out", "x"], &["others"]);
    place.refused(&["train", "--train", ".", "--test", "test", "--out", "x"], &["lies in it"]);
    place.refused(&with(&["--images", "train"]), &["--train", "the task is 'images'"]);
    place.write("odd.toml", format!("{NET}[train]\nsteps = 3\n"));
    place.refused(&[&TRAIN[..6], &["--net", "odd.toml", "--out", "x"]].concat(), &["odd.toml", "'train'"]);
    fs::rename(place.path("test/none"), place.path("test/some")).unwrap();
    place.refused(&with(&[]), &["test", "'some'", "lying, none, standing"]);
    fs::remove_dir_all(place.path("test/some")).unwrap();
    fs::remove_dir_all(place.path("train/none")).unwrap();
    fs::remove_dir_all(place.path("train/standing")).unwrap();
    place.refused(&with(&[]), &["'lying'", "alone"]);
    place.refused(&["joint", "--train", "train", "--out", "x"], &["model.weights"]);
}
