//! Ways of adaptation from outside: trained, compared, refused where they make no sense; joint training, transfer, pictures.

use std::io::Write as _;

use crate::*;

/// Every way trains in a blink, and they are compared in one table.
#[test]
fn every_way_in_one_table() {
    let text = SINE.replace("[adapt]\nsteps = [0, 1, 3]\n", "");
    let place = Place::with([("sine.toml", text.as_str())]);
    let ways = ["fine-tune", "maml", "fomaml", "reptile", "anil", "cavia", "meta-sgd", "ridge"];
    for way in ways {
        place.ok(&["train", "sine.toml", "--method", way, "--out", way]);
        let report = place.json(&format!("{way}/report.json"));
        assert!(report["held_out"]["chosen"].as_f64().unwrap().is_finite(), "{way}");
        // Of a task the network is written, adapted and used.
        place.write("support.csv", "x,y\n0,0.1\n1,0.9\n-1,-0.8\n");
        place.write("query.csv", "x\n0\n0.5\n");
        let (net, out) = (format!("{way}.safetensors"), format!("{way}.csv"));
        place.ok(&["adapt", way, "--support", "support.csv", "--out", &net, "--device", "cpu"]);
        place.ok(&["predict", &net, "--query", "query.csv", "--out", &out, "--device", "cpu"]);
        let both = format!("{way}-2.csv");
        let args = ["predict", way, "--support", "support.csv", "--query", "query.csv", "--device", "cpu"];
        place.ok(&[&args[..], &["--out", &both, "--interval", "0.8"]].concat());
        let (a, b) = (columns(&place.read(&out)), columns(&place.read(&both)));
        for (a, b) in a["prediction"].iter().zip(&b["prediction"]) {
            let (a, b): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
            assert!((a - b).abs() <= 1e-4 * (1.0 + a.abs()), "{way}: {a} by its network, {b} by the run");
        }
        for row in 0..2 {
            let [low, y, high] = ["low", "prediction", "high"].map(|c| b[c][row].parse::<f64>().unwrap());
            assert!(low < y && y < high, "{way}: {low} {y} {high}");
        }
    }
    let words = place.ok(&[&["eval"], &ways[..], &["--shots", "2,4", "--device", "cpu"]].concat());
    for part in ["2 shots", "4 shots", "meta-sgd", "cavia", "fine-tune/compare.json"] {
        assert!(words.contains(part), "{part} is not in {words}");
    }
    let table = place.json("fine-tune/compare.json");
    assert_eq!(table.as_array().unwrap().len(), ways.len());
    assert_eq!(table[7]["found"][1]["by_steps"].as_object().unwrap().keys().collect::<Vec<_>>(), ["0", "1"]);
    assert!(place.read("fine-tune/compare.svg").contains("reptile (reptile)"));
    // A run on other tasks is judged by something else.
    place.write("lines.toml", SETTINGS);
    place.write("lines.csv", lines_csv());
    let lines = ["train", "lines.toml", "--csv", "lines.csv", "--group", "site", "--target", "height"];
    place.ok(&[&lines[..], &["--out", "lines"]].concat());
    place.refused(
        &["eval", "maml", "lines", "--device", "cpu"],
        &["lines", "csv of lines.csv", "sine, seed 3", "same tasks"],
    );
}

/// A target network of layers of several kinds, written out in the file; its head is adapted like that of a dense one.
#[test]
fn layers_of_the_target_in_the_file() {
    let text = SINE.replace("[adapt]\nsteps = [0, 1, 3]\n", "");
    let net = "\n[[model.net]]\ndense = 8\nactivation = \"tanh\"\n[[model.net]]\nresidual = [{ dense = 8, activation = \"sin\" }, { dense = 8 }]\n";
    let place = Place::with([("net.toml", format!("{text}{net}").as_str())]);
    for way in ["maml", "anil", "cavia", "ridge"] {
        place.ok(&["train", "net.toml", "--method", way, "--out", way]);
        let report = place.json(&format!("{way}/report.json"));
        // Of cavia five context parameters are read by the first dense layer, too.
        let more = if way == "cavia" { 5 * 8 } else { 0 };
        assert_eq!(report["target_weights"], 8 + 8 + 2 * (64 + 8) + 8 + 1 + more, "{way}");
        place.write("support.csv", "x,y\n0,0.1\n1,0.9\n-1,-0.8\n");
        place.write("query.csv", "x\n0\n0.5\n");
        let out = format!("{way}.csv");
        let args = ["predict", way, "--support", "support.csv", "--query", "query.csv", "--device", "cpu"];
        place.ok(&[&args[..], &["--out", &out]].concat());
        place.ok(&["eval", way, "--shots", "3", "--device", "cpu"]);
        let config = place.read(&format!("{way}/config.toml"));
        assert!(config.contains("residual") && !config.contains("\ntarget ="), "{config}");
    }
    place.write("wrong.toml", format!("{text}\n[[model.net]]\nresidual = [{{ dense = 3 }}]\n"));
    place.refused(&["train", "wrong.toml", "--out", "w"], &["model.net", "layer 1", "both must be the same"]);
    place.write("unknown.toml", format!("{text}\n[[model.net]]\ndens = 3\n"));
    place.refused(
        &["train", "unknown.toml", "--out", "w"],
        &["unknown.toml", "dens", "there are dense, activation", "did you mean 'dense'"],
    );
    // Each with the line of its own header.
    let lines = text.lines().count();
    place.write(
        "second.toml",
        format!("{text}\n[[model.net]]\ndense = 3\n\n[[model.net]]\nconv = 3\nkernal = 3\n"),
    );
    let line = format!("line {}", lines + 5);
    place.refused(
        &["train", "second.toml", "--out", "w"],
        &["second.toml", &line, "entry 2", "`kernal`", "did you mean `kernel`"],
    );
}

/// A target that is normalised by the support, over tasks with supports of different sizes; its network goes on alone.
#[test]
fn a_target_normalised_by_the_support() {
    let net = "\n[[model.net]]\ndense = 8\n[[model.net]]\nbatch_norm = \"support\"\nactivation = \"tanh\"\n";
    let settings = SINE.replace("task = 'sine'\n", "").replace("[train]\n", "[train]\nmin_shots = 1\n");
    let place = Place::with([
        ("sine.toml", format!("task = 'sine'\n{settings}{net}").as_str()),
        ("settings.toml", format!("{}{net}", settings.replace("min_shots = 1\n", "")).as_str()),
        ("lines.csv", lines_csv().as_str()),
        ("new.csv", "x,mood,height\n0,calm,1100\n1,wild,1110\n-1,calm,1090\n"),
        ("ahead.csv", "x,mood\n0.5,calm\n2,wild\n"),
        ("one.csv", "x,mood\n2,wild\n"),
    ]);
    for way in ["maml", "fine-tune"] {
        place.ok(&["train", "sine.toml", "--method", way, "--out", way]);
        assert!(place.read(&format!("{way}/config.toml")).contains("support"));
    }
    // The default of a table: pooled networks, the last layer in closed form, networks weighed by the evidence.
    place.ok(&train(&LINES, "run"));
    let predict = |query: &str, out: &str| {
        place.ok(&["predict", "run", "--support", "new.csv", "--query", query, "--out", out]);
        place.read(out)
    };
    let (both, one) = (predict("ahead.csv", "both.csv"), predict("one.csv", "one-out.csv"));
    assert_eq!(both.lines().last(), one.lines().last(), "a row alone is predicted as beside another");
    place.ok(&["adapt", "run", "--support", "new.csv", "--out", "net.safetensors"]);
    place.ok(&["predict", "net.safetensors", "--query", "ahead.csv", "--out", "alone.csv"]);
    let last = |text: &str| text.lines().last().unwrap().rsplit(',').next().unwrap().parse::<f64>().unwrap();
    let (alone, beside) = (last(&place.read("alone.csv")), last(&both));
    assert!((alone - beside).abs() < 1e-4 * beside.abs(), "{alone} and {beside}");
    place.refused(&["predict", "run", "--query", "ahead.csv", "--out", "x.csv"], &["support rows"]);
}

/// Many known tasks with learned embeddings; a new one by fitting its embedding, with all else as it is.
#[test]
fn embeddings_of_known_tasks() {
    let place = Place::with([("settings.toml", SETTINGS), ("lines.csv", lines_csv().as_str())]);
    let sets = [
        "model.embedding=4",
        "model.encoder=[]",
        "adapt.fast=embedding",
        "adapt.rate=0.5",
        "adapt.steps=[0, 20]",
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|s| ["--set", s]).collect();
    place.ok(&[&train(&LINES, "run")[..], &["--steps", "400"], &sets[..]].concat());
    let held_out = &place.json("run/report.json")["held_out"];
    let after = |k: &str| held_out["by_steps"][k].as_f64().unwrap();
    assert!(after("20") < 0.9 * after("0"), "{held_out}");
    place.write("support.csv", "x,mood,height\n-1,calm,1041\n0,wild,1050\n1,calm,1059\n");
    place.ok(&["adapt", "run", "--support", "support.csv", "--out", "n.safetensors", "--device", "cpu"]);
    let query = ["--query", "support.csv", "--device", "cpu", "--out"];
    place.ok(&[&["predict", "n.safetensors"], &query[..], &["a.csv"]].concat());
    place.ok(&[&["predict", "run", "--support", "support.csv"], &query[..], &["b.csv"]].concat());
    let (a, b) = (columns(&place.read("a.csv")), columns(&place.read("b.csv")));
    for (a, b) in a["prediction"].iter().zip(&b["prediction"]) {
        let (a, b): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
        assert!((a - b).abs() < 0.01, "{a} by its network, {b} by the run");
    }
}

/// A file with values takes the closed form where nothing is said of adaptation; a run's own file another way by --method.
#[test]
fn defaults_and_other_ways() {
    let settings = SETTINGS.replace("[adapt]\nsteps = [0, 1, 3]\n", "");
    let place = Place::with([("settings.toml", settings.as_str()), ("lines.csv", lines_csv().as_str())]);
    place.ok(&train(&LINES, "run"));
    let config = place.read("run/config.toml");
    assert!(config.contains("method = \"ridge\"") && config.contains("gate = true"), "{config}");
    let report = place.json("run/report.json");
    assert_eq!(report["held_out"]["by_steps"].as_object().unwrap().keys().collect::<Vec<_>>(), ["0", "1"]);

    // A gate that is put into the checkpoint by hand: the network of a task and the run say the same.
    let path = place.path("run/checkpoint.safetensors");
    let mut c = Checkpoint::load(&path).unwrap();
    let model = c.metadata["model"].clone();
    let mut about: Value = serde_json::from_str(&model).unwrap();
    about["choice"]["gate"] = serde_json::json!({"prior": -0.5, "temperature": 0.2, "noise": 0.3});
    c.metadata.insert("model".into(), about.to_string());
    c.save(&path).unwrap();
    place.write("support.csv", "x,mood,height\n-1,calm,1041\n0,wild,1050\n1,calm,1059\n");
    place.ok(&["adapt", "run", "--support", "support.csv", "--out", "n.safetensors", "--device", "cpu"]);
    let query = ["--query", "support.csv", "--device", "cpu", "--out"];
    place.ok(&[&["predict", "n.safetensors"], &query[..], &["a.csv"]].concat());
    place.ok(&[&["predict", "run", "--support", "support.csv"], &query[..], &["b.csv"]].concat());
    let steps = ["predict", "run", "--support", "support.csv", "--steps", "1"];
    place.ok(&[&steps[..], &query[..], &["c.csv"]].concat());
    let [a, b, c] = ["a.csv", "b.csv", "c.csv"].map(|name| {
        let y = &columns(&place.read(name))["prediction"];
        y.iter().map(|v| v.parse::<f64>().unwrap()).collect::<Vec<_>>()
    });
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.01), "{a:?} {b:?}");
    assert!(b.iter().zip(&c).any(|(b, c)| (b - c).abs() > 0.01), "the gate weighs nothing: {b:?} {c:?}");

    // Settings that are the way's own give way to those of the new one; others stay.
    place.ok(&["train", "run/config.toml", "--method", "fine-tune", "--out", "other"]);
    let config = place.read("other/config.toml");
    assert!(config.contains("method = \"fine-tune\"") && config.contains("rule = \"sgd\""), "{config}");
    assert!(config.contains("gate = false") && config.contains("tasks = 8"), "{config}");
    place.ok(&["plan", "other/config.toml", "--set", "train.optimiser.decay=1e-4"]);
    place.refused(&["plan", "--set", "train.freeze=[\"encoder\", \"trunk\", \"head\"]"], &["train.freeze"]);
}

/// What a way needs and the model lacks is named, with what to change.
#[test]
fn ways_that_make_no_sense() {
    let place = Place::with([("sine.toml", SINE)]);
    for (settings, parts) in [
        (&["adapt.method=mamml"][..], &["mamml", "did you mean `maml`"][..]),
        (&["adapt.fast=context"], &["model.context", "model.context = 5"]),
        (&["adapt.fast=embedding"], &["model.embedding", "model.embedding = 8"]),
        (&["adapt.rule=ridge"], &["adapt.fast", "head"]),
        (&["adapt.rule=ridge", "adapt.fast=head"], &["adapt.through", "second"]),
        (&["adapt.method=ridge", "adapt.steps=[0, 5]"], &["adapt.steps", "[0, 1]"]),
        (&["adapt.method=ridge", "adapt.steps=[0, 1]", "adapt.rates=weight"], &["adapt.rates", "fixed"]),
        (&["adapt.method=reptile", "adapt.fast=head"], &["adapt.fast", "all"]),
        (&["adapt.rates=layer"], &["adapt.rates", "adapt.through"]),
        (&["adapt.per_step=0.5"], &["adapt.per_step", "adapt.through"]),
        (&["adapt.per_step=2"], &["adapt.per_step", "from 0 to 1"]),
        (&["adapt.method=maml", "train.joint_lambda=0.5"], &["train.joint_lambda", "generated"]),
        (&["model.weights=shared"], &["adapt.through", "generated"]),
        (&["adapt.gate=true"], &["adapt.gate", "ridge"]),
        (&["train.freeze=[\"trnk\"]"], &["train.freeze", "did you mean 'trunk'", "encoder"]),
        (&["train.freeze=[\"encoder\", \"trunk\", \"head\"]"], &["train.freeze", "nothing would be left"]),
        (&["train.from=nowhere"], &["nowhere", "no such run folder"]),
        (&["adapt.rate"], &["adapt.rate", "KEY=VALUE"]),
        (&["adapt.rat=1"], &["rat", "did you mean `rate`"]),
    ] {
        let sets: Vec<&str> = settings.iter().flat_map(|s| ["--set", s]).collect();
        place.refused(&[&["train", "sine.toml", "--out", "run"], &sets[..]].concat(), parts);
    }
    place.ok(&["train", "sine.toml", "--out", "run"]);
    place.refused(&["train", "--resume", "--out", "run", "--method", "maml"], &["--method", "--resume"]);
    let args = ["predict", "run", "--query", "sine.toml", "--out", "p.csv", "--interval", "2"];
    place.refused(&args, &["--interval", "from .1 to .95"]);
}

/// The main network's own loss, traded for the hypernetwork's.
#[test]
fn joint() {
    let place = Place::with([("sine.toml", SINE)]);
    let words = place.ok(&["joint", "sine.toml", "--lambda", "0,0.5,1", "--out", "joint"]);
    assert!(words.contains("main network") && words.contains("λ"), "{words}");
    let table = place.json("joint/joint.json");
    let rows = table.as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        for name in ["main_network", "main_network_fine_tuned", "generated", "chosen"] {
            assert!(row[name].as_f64().unwrap().is_finite(), "{row}");
        }
    }
    // With the main loss alone the hypernetwork learns nothing: it writes the main network for every task.
    assert_eq!(rows[2]["main_network"], rows[2]["generated"]);
    assert_ne!(rows[0]["main_network"], rows[0]["generated"]);
    // Runs that are there are not run again.
    assert_eq!(place.ok(&["joint", "sine.toml", "--lambda", "0,0.5,1", "--out", "joint"]), words);
    place.refused(&["joint", "sine.toml", "--lambda", "2", "--out", "other"], &["--lambda", "from 0 to 1"]);
}

/// What is frozen stays bit for bit, also over a stop; what is transferred is where training starts.
#[test]
fn transfer_and_freezing() {
    let place = Place::with([("sine.toml", SINE)]);
    place.ok(&["train", "sine.toml", "--out", "first"]);
    let more = ["--set", "train.from=first", "--set", "train.freeze=[\"encoder\", \"trunk.0.bias\"]"];
    let start = ["train", "sine.toml", "--seed", "9", "--out"];
    place.ok(&[&start[..], &["second"], &more[..]].concat());
    let hyper = |run: &str| {
        let c = Checkpoint::load(&place.path(run).join("checkpoint.safetensors")).unwrap();
        c.f32("member.0.hyper", &c.tensor("member.0.hyper").unwrap().shape).unwrap().to_vec()
    };
    let (a, b) = (hyper("first"), hyper("second"));
    // Encoder: 2 to 8 with biases; trunk: 9 to 8, then biases.
    let (encoder, weight, bias) = (0..24, 24..96, 96..104);
    assert!(a[encoder.clone()] == b[encoder] && a[bias.clone()] == b[bias]);
    assert!(a[weight.clone()] != b[weight] && a[104..] != b[104..]);
    place.ok(&[&start[..], &["alone"], &["--set", "train.from=first"]].concat());
    assert!(hyper("alone")[..24] != a[..24]);

    let other = SINE.replace("encoder = [8]", "encoder = [9]");
    place.write("other.toml", other);
    let args = ["train", "other.toml", "--out", "third", "--set", "train.from=first"];
    place.refused(&args, &["train.from", "'encoder.0.weight' [2, 8]", "'encoder.0.weight' [2, 9]"]);
}

/// An IDX file of `classes` classes with `each` pictures of 4 by 4, gzipped or not, and its labels.
fn idx(classes: u8, each: u8, gzipped: bool) -> (Vec<u8>, Vec<u8>) {
    let n = classes as u32 * each as u32;
    let mut images = [&[0, 0, 8, 3][..], &n.to_be_bytes(), &4u32.to_be_bytes(), &4u32.to_be_bytes()].concat();
    let mut labels = [&[0, 0, 8, 1][..], &n.to_be_bytes()].concat();
    for class in 0..classes {
        for k in 0..each {
            // The bits of the class, with a spot that moves.
            images.extend((0..16).map(|p| {
                let bit = class >> (p % 8) & 1;
                if p == k % 16 { 128 } else { 255 * bit }
            }));
            labels.push(class);
        }
    }
    if gzipped {
        let mut pack = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        pack.write_all(&images).unwrap();
        images = pack.finish().unwrap();
    }
    (images, labels)
}

const PICTURES: &str = "device = 'cpu'\n[train]\nsteps = 40\ntasks = 3\nwarmup = 2\n\
    [model]\ntarget = [16, 8]\n[eval]\nshots = 2\nquery = 3\ntasks = 20\nsweep = [1, 2]\n[images]\nways = 3\n";

#[test]
fn pictures_in_idx_files_and_folders() {
    let place = Place::with([("few.toml", PICTURES)]);
    let (images, labels) = idx(60, 6, true);
    place.write("images.gz", images);
    place.write("labels", labels);
    let args = ["train", "few.toml", "--images", "images.gz", "--labels", "labels", "--out"];
    place.ok(&[&args[..], &["run"]].concat());
    let report = place.json("run/report.json");
    assert_eq!((&report["task"], &report["held_out"]["metric"]), (&"images".into(), &"accuracy".into()));
    assert!(report["held_out"]["chosen"].as_f64().unwrap() > 0.5, "{report}");
    place.ok(&["eval", "run", "--shots", "1,3", "--device", "cpu"]);

    // The same as a folder of PNG files, to be judged on others.
    for class in 0..8u8 {
        for k in 0..5u8 {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
            encoder.set_color(png::ColorType::Grayscale);
            let pixels: Vec<u8> =
                (0..16).map(|p| if p == k { 128 } else { 255 * (class >> (p % 8) & 1) }).collect();
            encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
            place.write(&format!("folder/{class}/{k}.png"), bytes);
        }
    }
    place.ok(&[&args[..], &["run-2", "--test-images", "folder"]].concat());
    // A convolutional network, its last layer in closed form, all of it adapted, or the head alone.
    let layers = r#"model.net=[{conv = 4, kernel = 3}, {batch_norm = "batch", activation = "relu"}, {max_pool = 2}, {flatten = true}]"#;
    for method in ["ridge", "prototypes", "maml", "anil"] {
        let run = format!("conv-{method}");
        let set =
            ["--set", layers, "--method", method, "--set", "adapt.train_steps=1", "--set", "train.steps=20"];
        place.ok(&[&args[..], &[&run], &set[..]].concat());
        let report = place.json(&format!("{run}/report.json"));
        assert!(report["held_out"]["chosen"].as_f64().unwrap() > 0.2, "{method}: {report}");
        // A batch norm mixes the rows of a task: all are asked about at once.
        explain::explained(&place, &run);
    }
    // Pictures of classes that are made up on the spot are sorted, by a run and by a network that was adapted to them.
    let picture = |class: u8, k: u8| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 8, 8);
        encoder.set_color(png::ColorType::Rgb);
        let pixels: Vec<u8> =
            (0..64 * 3).map(|p| if p / 3 % 8 / 2 == class || p == k { 255 } else { 0 }).collect();
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        bytes
    };
    for (class, name) in [(0, "left, far"), (1, "middle"), (3, "right")] {
        (0..2).for_each(|k| place.write(&format!("known/{name}/{k}.png"), picture(class, k)));
        place.write(&format!("new/{class}.png"), picture(class, 7));
    }
    place.ok(&["predict", "conv-prototypes", "--support", "known", "--query", "new", "--out", "new.csv"]);
    let sorted = std::fs::read_to_string(place.path("new.csv")).unwrap();
    let lines: Vec<&str> = sorted.lines().collect();
    assert_eq!(lines[0], "file,prediction,\"probability_left, far\",probability_middle,probability_right");
    assert!(
        lines[1].starts_with("0.png,\"left, far\",") && lines[2].starts_with("1.png,middle,"),
        "{sorted}"
    );
    assert!(lines[3].starts_with("3.png,right,") && lines.len() == 4, "{sorted}");
    place.ok(&["adapt", "conv-maml", "--support", "known", "--out", "net.safetensors"]);
    // Pictures have the names of their files, and folders say what those that are asked about are.
    place.ok(&["explain", "conv-maml", "--support", "known", "--query", "known", "--out", "why"]);
    let why = place.json("why/explain.json");
    assert_eq!(
        (&why["rows"][0]["row"], &why["asked"][5]),
        (&"left, far/0.png".into(), &"right/1.png".into())
    );
    assert!(why["score"].as_f64().is_some() && why["rows"][0]["helps"].as_f64().is_some(), "{why}");
    place.ok(&["explain", "conv-maml", "--support", "known", "--query", "new", "--out", "why-2"]);
    assert!(place.json("why-2/explain.json")["score"].is_null());
    place.ok(&["predict", "net.safetensors", "--query", "new/3.png", "--out", "one.csv"]);
    let one = std::fs::read_to_string(place.path("one.csv")).unwrap();
    assert!(
        one.lines().count() == 2 && one.contains("probability_middle") && one.contains("3.png,"),
        "{one}"
    );
    let predict = ["predict", "conv-prototypes", "--query", "new", "--out", "x.csv"];
    place.refused(&predict, &["--support", "folders"]);
    place.refused(&[&predict[..], &["--support", "few.toml"]].concat(), &["few.toml", "is no folder"]);
    place.refused(&[&predict[..], &["--support", "nothing"]].concat(), &["nothing", "is no folder"]);
    place.refused(&[&predict[..], &["--support", "known/right"]].concat(), &["known/right"]);
    place.refused(&[&args[..], &["x", "--net", "conv4-4"]].concat(), &["model.net", "images.size"]);
    place.refused(&[&predict[..], &["--support", "folder"]].concat(), &["8 classes", "images.ways = 8"]);
    place.refused(&[&predict[..], &["--support", "known", "--interval", "0.8"]].concat(), &["--interval"]);
    // A net by its name, and from a file.
    place.write("own.toml", "[[net]]\nconv = 3\nkernel = 3\nactivation = 'relu'\n[[net]]\nflatten = true\n");
    for (net, layers) in [("mlp-8", 5), ("own.toml", 3)] {
        let run = format!("net-{layers}");
        let more = ["--net", net, "--method", "prototypes", "--set", "train.steps=5"];
        place.ok(&[&args[..], &[&run], &more[..]].concat());
        let written = std::fs::read_to_string(place.path(&format!("{run}/config.toml"))).unwrap();
        assert_eq!(written.matches("[[model.net]]").count(), layers, "{written}");
    }
    place.refused(&[&args[..], &["x", "--net", "con4"]].concat(), &["model.net", "did you mean 'conv4'"]);
    place.refused(&[&args[..], &["x", "--net", "few.toml"]].concat(), &["few.toml", "[[net]]"]);
    place.refused(
        &["train", "--task", "sine", "--method", "prototypes", "--out", "x"],
        &["adapt.rule", "values to predict", "ridge"],
    );
    // What is trained on is not what is judged by.
    place.refused(
        &["train", "few.toml", "--images", "folder", "--test-images", "folder", "--out", "x"],
        &["folder", "must be others"],
    );
    let uneven = r#"model.net=[{dense = 4}, {batch_norm = "batch"}]"#;
    place.refused(
        &["train", "--task", "sine", "--set", "train.min_shots=1", "--set", uneven, "--out", "x"],
        &["model.net", "different numbers of rows"],
    );
    assert_eq!(place.json("run-2/report.json")["held_out"]["tasks"], 20);

    // Labels that lie beside are found; without any it is refused.
    fs::create_dir(place.path("alone")).unwrap();
    fs::copy(place.path("images.gz"), place.path("alone/images.gz")).unwrap();
    place.refused(
        &["train", "few.toml", "--images", "alone/images.gz", "--out", "x"],
        &["images.gz", "labels"],
    );
    place.refused(
        &["train", "few.toml", "--images", "labels", "--labels", "labels", "--out", "x"],
        &["labels", "[360]", "[n, height, width]"],
    );
    place.refused(
        &["train", "few.toml", "--images", "few.toml", "--labels", "labels", "--out", "x"],
        &["few.toml", "no IDX file"],
    );
    place.refused(&[&args[..], &["x", "--set", "images.ways=50"]].concat(), &["images.ways", "50"]);
    place.refused(&[&args[..], &["x", "--shots", "6"]].concat(), &["eval.shots", "6 pictures"]);
    place.write("folder/7/broken.png", "no picture");
    place.refused(&[&args[..], &["x", "--test-images", "folder"]].concat(), &["broken.png", "PNG"]);
    place.refused(&["train", "--task", "images", "--out", "x"], &["images.train", "--images"]);
}
