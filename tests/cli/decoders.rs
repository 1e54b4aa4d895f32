//! Decoders that are written from a few pictures of a class: trained, judged, drawn with, and refused.

use hyperloom::data::picture::Picture;

use crate::explain::explained;
use crate::resume::ends_alike;
use crate::*;

const SETTINGS: &str = "task = 'decoders'\ndevice = 'cpu'\n[train]\nsteps = 300\ntasks = 8\npooled_steps = 300\nwarmup = 5\n\
    learning_rate = 0.01\n[model]\nencoder = [16]\ntrunk = [16]\n[adapt]\nsteps = [0, 2]\n[eval]\nshots = 3\nquery = 5\n\
    [decoders]\ncode = 2\nmoves = false\n";

/// Writes classes of pictures: a cross at a place that is the class's own, with arms of lengths that differ from picture to picture.
fn draw(place: &Place, folder: &str, classes: usize, each: usize, side: usize) {
    for class in 0..classes {
        let (cx, cy) = (1 + class * 3 % (side - 2), 1 + class * 5 % (side - 2));
        for k in 0..each {
            let on = |x: usize, y: usize| {
                (y == cy && x.abs_diff(cx) <= k % 4) || (x == cx && y.abs_diff(cy) <= k / 2 % 4)
            };
            let pixels = (0..side * side).map(|i| if on(i % side, i / side) { 230 } else { 15 }).collect();
            let path = place.path(&format!("{folder}/{class}/{k}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            Picture { size: [side; 2], channels: 1, pixels }.write(&path).unwrap();
        }
    }
}

fn place() -> Place {
    let place = Place::with([("settings.toml", SETTINGS)]);
    draw(&place, "crosses", 30, 8, 8);
    place
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

const TRAIN: [&str; 4] = ["train", "settings.toml", "--images", "crosses"];

#[test]
fn trained_and_drawn_with() {
    let place = place();
    let words = place.ok(&[&TRAIN[..], &["--out", "run"]].concat());
    assert!(words.contains("bits_per_dimension on 6 unseen tasks, 3 shots"), "{words}");
    explained(&place, "run");
    let report = place.json("run/report.json");
    let held_out = &report["held_out"];
    let (own, baselines) = (number(&held_out["chosen"]), &held_out["baselines"]);
    // The place of the cross is known from the support: the code has to say less.
    assert!(own > 0.0 && own < 0.8 * number(&baselines["pooled"]), "{held_out}");
    assert!(own < number(&baselines["support_mean"]), "{held_out}");
    assert!(held_out["coverage"].as_array().unwrap().is_empty());
    // Three that are known, six by a decoder of its own and two by the pooled one, of six classes.
    assert_eq!(place.read("run/tasks.svg").matches("<image ").count(), 6 * (3 + 6 + 2));
    assert!(place.read("run/map.svg").contains("mean target"));
    // The code's layer and the decoder are written: of this 2·64 + 64 of a dense layer to [2, 2, 16], and three kernels.
    let written = 256 * 4 + 4 + 192 + (16 * 16 * 16 + 16) + (16 * 16 * 8 + 8) + (9 * 8 + 1);
    let weights = 64 * 256 + 256 + written;
    assert_eq!(number(&report["target_weights"]) as usize, weights);
    assert_eq!(number(&report["written_weights"]) as usize, written);
    assert!(words.contains(&format!("writes {written} of {weights} weights a task")), "{words}");
    let hyper = 64 * 16 + 16 + 17 * 16 + 16 + 16 * written + weights;
    assert_eq!(number(&report["hyper_parameters"]) as usize, hyper);
    let sensitive = report["instruments"]["sensitivity"].as_array().unwrap();
    let moved: Vec<bool> = sensitive.iter().map(|s| number(&s["relative"]) > 0.0).collect();
    assert!(moved[..2].iter().all(|m| !m) && moved[2..].iter().all(|m| *m), "{sensitive:?}");

    // More of a class, bright where its cross is.
    let cross = |name: &str, class: usize| {
        let p = Picture::read(&place.path(name)).unwrap();
        let (cx, cy) = (1 + class * 3 % 6, 1 + class * 5 % 6);
        // Four pictures side by side, two in a line.
        assert_eq!((p.size, p.channels), ([17, 17], 1));
        let at = |i: usize| f64::from(p.pixels[(i / 2 * 9 + cy) * 17 + i % 2 * 9 + cx]);
        (0..4).map(at).sum::<f64>() / 4.0
    };
    for class in ["2", "3"] {
        let (support, out) = (format!("crosses/{class}"), format!("{class}.png"));
        let words = place.ok(&[
            "sample",
            "run",
            "--support",
            &support,
            "--count",
            "4",
            "--out",
            &out,
            "--device",
            "cpu",
        ]);
        assert!(words.contains("4 pictures of 8 by 8 pixels"), "{words}");
    }
    assert!(cross("2.png", 2) > 150.0 && cross("3.png", 3) > 150.0, "{}", cross("2.png", 2));
    assert!(cross("2.png", 3) < 100.0, "{}", cross("2.png", 3));
    // A network that was kept draws the same.
    place.ok(&["adapt", "run", "--support", "crosses/2", "--out", "n.safetensors", "--device", "cpu"]);
    let sample = ["sample", "n.safetensors", "--count", "4", "--device", "cpu", "--out"];
    place.ok(&[&sample[..], &["again.png"]].concat());
    place.ok(&[&sample[..], &["other.png", "--seed", "1"]].concat());
    let bytes = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(bytes("again.png") == bytes("2.png") && bytes("again.png") != bytes("other.png"));

    place.ok(&["eval", "run", "--device", "cpu", "--shots", "1,3"]);
    let eval = place.json("run/eval.json");
    assert_eq!(eval[1], *held_out);

    place.refused(&["sample", "run", "--out", "x.png"], &["--support", "known pictures"]);
    place.refused(&["sample", "run", "--support", "crosses/2", "--out", "x.jpg"], &["x.jpg", ".png"]);
    place.refused(&["sample", "run", "--support", "nowhere", "--out", "x.png"], &["nowhere"]);
    place.refused(
        &["sample", "run", "--support", "crosses", "--out", "x.png"],
        &["several folders", "'0', '1'"],
    );
    place.refused(
        &["adapt", "run", "--support", "settings.toml", "--out", "x"],
        &["settings.toml", "PNG or JPEG", "one class"],
    );
    let diverged = ["--set", "train.learning_rate=1e30", "--steps", "5", "--out", "wild"];
    let done = place.run(&[&TRAIN[..], &diverged[..]].concat());
    assert!(done.code == Some(2) && done.err.contains("training diverged"), "{done:?}");
    place.refused(
        &["sample", "wild", "--support", "crosses/2", "--out", "x.png", "--device", "cpu"],
        &["no finite number", "learning_rate"],
    );
    place.refused(&[&sample[..4], &["--out", "2.png"]].concat(), &["2.png", "not overwritten"]);
    place.refused(&["sample", "n.safetensors", "--count", "0", "--out", "x.png"], &["--count", "1 to 10000"]);
    place.refused(
        &["sample", "n.safetensors", "--support", "crosses/2", "--out", "x.png"],
        &["--support", "adapted already"],
    );
    place.refused(&["predict", "run", "--query", "crosses/2", "--out", "x"], &["sample"]);
    place.refused(&["encode", "run", "--image", "crosses/2/0.png", "--out", "x"], &["--task fields"]);
}

#[test]
fn killed_and_resumed_with_the_same_bits() {
    let place = place();
    ends_alike(&place, &TRAIN, 7);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = place();
    draw(&place, "few", 2, 8, 8);
    draw(&place, "short", 30, 3, 8);
    draw(&place, "odd", 5, 8, 9);
    let train = |more: &[&'static str]| -> Vec<&'static str> { [&TRAIN[..], more, &["--out", "x"]].concat() };
    let on = |folder: &'static str| vec!["train", "settings.toml", "--images", folder, "--out", "x"];
    place.refused(&["train", "settings.toml", "--out", "x"], &["decoders.train", "--images"]);
    place.refused(&on("few"), &["classes are 2", "3 at least"]);
    place.refused(&on("short"), &["eval.shots", "3 shots", "has 3 pictures"]);
    place.refused(&train(&["--test-images", "odd"]), &["odd", "decoders.size"]);
    place.refused(&train(&["--test-images", "crosses"]), &["crosses", "must be others"]);
    place.refused(&train(&["--set", "decoders.code=0"]), &["decoders.code", "1 to 1024"]);
    place.refused(&train(&["--net", "conv4"]), &["model.net", "variational"]);
    place.refused(&train(&["--set", "model.head=true"]), &["model.head"]);
    let layer = |decoder: &str, side: usize| {
        format!(
            "{SETTINGS}[[model.net]]\nvariational = 2\nrow = [{side}, {side}, 1]\nencoder = [{{ flatten = true }}]\ndecoder = [{decoder}]\n"
        )
    };
    for (name, text, said) in [
        ("row.toml", layer("{ dense = 81 }", 9), &["row = [9, 9, 1]", "[8, 8, 1]", "decoders.size"][..]),
        ("end.toml", layer("{ dense = 64, activation = 'sigmoid' }", 8), &["'sigmoid'", "logits"]),
        (
            "code.toml",
            layer("{ dense = 64 }", 8).replace("code = 2", "code = 3"),
            &["decoders.code", "is 3", "code of 2"],
        ),
    ] {
        place.write(name, text.as_bytes());
        place.refused(&["train", name, "--images", "crosses", "--out", "x"], said);
    }
    place.refused(&train(&["--set", "images.ways=3"]), &["settings of the task 'images'", "leave them out"]);
    place.refused(
        &train(&["--method", "anil"]),
        &["adapt.fast = \"head\"", "no dense layer", "adapt.fast = \"all\""],
    );
    place.refused(
        &train(&["--set", "model.writes=['decodr']"]),
        &["model.writes", "'decodr'", "body, code, decoder"],
    );
    place.refused(
        &["train", "--task", "sine", "--set", "decoders.code=3", "--out", "x"],
        &["decoders", "--task decoders"],
    );
    place.refused(&train(&["--method", "ridge"]), &["adapt.steps", "closed form"]);
    // Sides that are no multiples of four have a dense decoder.
    place.ok(&train(&["--set", "decoders.size=7", "--steps", "5"]));
}
