//! What the README and the book say can be done, is done: every command in their `sh` blocks runs, in order, in a folder of its
//! own, shortened by a configuration file.
#![cfg(all(feature = "cli", feature = "gpu"))]

#[allow(dead_code, reason = "its main reads arguments, which here are the test harness's")]
#[path = "../examples/adapt_in_app.rs"]
mod adapt_in_app;

use std::path::Path;
use std::process::{Command, Output};

use hyperloom::Device;

/// The README, and the chapters of the book in the order in which it lists them.
const CHAPTERS: [(&str, &str); 12] = [
    ("README.md", include_str!("../README.md")),
    ("book/own-data.md", include_str!("../book/own-data.md")),
    ("book/adaptation.md", include_str!("../book/adaptation.md")),
    ("book/pictures.md", include_str!("../book/pictures.md")),
    ("book/search.md", include_str!("../book/search.md")),
    ("book/texts.md", include_str!("../book/texts.md")),
    ("book/policies.md", include_str!("../book/policies.md")),
    ("book/continual.md", include_str!("../book/continual.md")),
    ("book/settings.md", include_str!("../book/settings.md")),
    ("book/devices.md", include_str!("../book/devices.md")),
    ("book/application.md", include_str!("../book/application.md")),
    ("book/measured.md", include_str!("../book/measured.md")),
];

/// Settings that make a run short.
const TRAIN: &str = "steps = 20\npooled_steps = 15\n";
const REST: &str = "[model]\nmembers = 2\n[adapt]\nsteps = [0, 1]\n[eval]\ntasks = 12\n";

/// The contents of all blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    let of = |text: &'static str| text.split(&open).skip(1).filter_map(|rest| rest.split("```").next());
    CHAPTERS.iter().flat_map(|(_, text)| of(text)).map(String::from).collect()
}

/// Whether one of them tells this.
fn told(what: &str) -> bool {
    CHAPTERS.iter().any(|(_, text)| text.contains(what))
}

/// Every link leads to a file that is there, and the README to every chapter.
#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, text) in CHAPTERS {
        let folder = root.join(name).parent().expect("a folder").to_path_buf();
        let [links, pictures] = ["](", "<img src=\""].map(|open| text.split(open).skip(1));
        for rest in links.chain(pictures) {
            let to = rest.split([')', '#', '"']).next().expect("a target");
            assert!(to.starts_with("https://") || folder.join(to).exists(), "{name}: {to} is not there");
        }
        let linked = CHAPTERS[0].1.contains(&format!("]({name})"));
        assert!(linked || name == "README.md", "the README does not lead to {name}");
    }
    for entry in std::fs::read_dir(root.join("book")).expect("the book") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let known = CHAPTERS.iter().any(|(of, _)| *of == format!("book/{name}")) || name == "pictures";
        assert!(known, "book/{name} is not among the chapters");
    }
}

fn hyperloom(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyperloom"));
    let (arguments, input) = match arguments {
        [before @ .., "<", file] => (before, std::fs::File::open(folder.join(file)).expect("a file").into()),
        all => (all, std::process::Stdio::null()),
    };
    command.args(arguments).stdin(input).current_dir(folder).output().expect("the command starts")
}

/// The arguments of a short version of a command.
fn short(arguments: &str) -> Vec<&str> {
    let mut words: Vec<&str> = arguments.split_whitespace().collect();
    for (flag, less) in [("--net", "conv4-4"), ("--epochs", "2")] {
        let of = words.iter().position(|w| *w == flag).map(|at| at + 1);
        if let Some(at) = of.filter(|at| flag != "--net" || words[*at].starts_with("conv4-")) {
            words[at] = less;
        }
    }
    match words[0] {
        // Neither a file of its own nor that of a run that goes on.
        "train" if !words.contains(&"--resume") && !words.iter().any(|w| w.ends_with(".toml")) => {
            let any = |of: &[&str]| words.iter().any(|w| of.contains(w));
            let short = match (any(&["bandit-5", "navigation"]), any(&["cartpole", "pendulum"])) {
                _ if words.contains(&"continual") => "tasks.toml",
                (true, _) => "trials.toml",
                (_, true) => "policy.toml",
                _ => "short.toml",
            };
            words.insert(1, short);
        }
        "joint" | "sweep" => words.insert(1, "short.toml"),
        "search" => {
            words.insert(1, "search.toml");
            if let Some(at) = words.iter().position(|w| *w == "--budget") {
                words[at + 1] = "6";
            }
        }
        "check" if !words.contains(&"--lockstep") => words.extend(["--kernel", "map"]),
        _ => {}
    }
    words
}

/// Classes of pictures, a bar in a place of its own each.
fn made_up_pictures(folder: &Path, classes: usize) {
    for class in 0..classes {
        let place = folder.join(class.to_string());
        std::fs::create_dir_all(&place).expect("a folder");
        for k in 0..6 {
            let file = std::fs::File::create(place.join(format!("{k}.png"))).expect("a file");
            let mut encoder = png::Encoder::new(file, 20, 20);
            encoder.set_color(png::ColorType::Grayscale);
            let pixel = |i: usize| if i % 20 == class || i / 20 == k { 255 } else { 0 };
            let pixels: Vec<u8> = (0..400).map(pixel).collect();
            encoder.write_header().and_then(|mut w| w.write_image_data(&pixels)).expect("a picture");
        }
    }
}

/// Settings of a search that takes a second.
const SEARCH: &str = "device = 'cpu'\nround = 3\nbest = 1\nseeds = 1\nchecked = 1\n[hypernetwork]\nsteps = 4\narchitectures = 2\nbatch = 8\n\
    [train]\nsteps = 3\nbatch = 8\n";

#[test]
fn every_command_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    std::fs::create_dir(path.join("examples")).expect("a folder");
    for entry in std::fs::read_dir(&examples).expect("the examples") {
        let name = entry.expect("an example").file_name();
        if !name.to_string_lossy().ends_with(".csv") {
            continue;
        }
        std::fs::copy(examples.join(&name), path.join("examples").join(&name))
            .expect("a file of the repository");
    }
    std::fs::write(path.join("short.toml"), format!("[train]\n{TRAIN}{REST}")).expect("a file");
    let [layers, chunked, pictures, kernels, decoder, space, text, toml] = &blocks("toml")[..] else {
        panic!("the chapters have eight configuration files")
    };
    hyperloom::Config::parse(kernels, "book/pictures.md", None).expect("settings");
    // All of them are the defaults.
    let texts = hyperloom::Config::parse(text, "book/texts.md", None).expect("settings");
    assert_eq!(texts, hyperloom::Config::parse("task = 'text'", "x", None).expect("settings"));
    let shorter = toml.replace("steps = 2000\n", TRAIN).replace("[eval]\n", "[eval]\ntasks = 12\n");
    assert_ne!(&shorter, toml, "the file of the settings was not shortened");
    std::fs::write(path.join("shapes.toml"), shorter).expect("a file");

    std::fs::write(path.join("space.toml"), space).expect("a file");
    std::fs::write(path.join("search.toml"), SEARCH).expect("a file");
    std::fs::write(path.join("policy.toml"), "frames = 4096\ndevice = 'cpu'\n[test]\nepisodes = 2\n")
        .expect("a file");
    let tasks = "task = 'continual'\ndevice = 'cpu'\n[learning]\nsteps = 20\n";
    std::fs::write(path.join("tasks.toml"), tasks).expect("a file");
    let trials = "frames = 2048\ndevice = 'cpu'\ntasks = 16\nworlds = 2\n[test]\ntasks = 8\n";
    std::fs::write(path.join("trials.toml"), trials).expect("a file");

    // Layers of a target, and its weights in chunks, as a run of their own.
    let generator = chunked.replace("[model]\n", "");
    let rest = REST.replace("[model]\n", &format!("[model]\n{generator}"));
    std::fs::write(path.join("net.toml"), format!("task = \"sine\"\n[train]\n{TRAIN}\n{rest}\n{layers}"))
        .expect("a file");
    let output = hyperloom(path, &["train", "net.toml", "--device", "cpu", "--out", "runs/net"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // Layers over pictures, on some that are made up.
    for (name, classes) in [("pictures", 20), ("folder", 20), ("few", 4), ("new", 4)] {
        made_up_pictures(&path.join(name), classes);
    }
    let settings = "task = \"images\"\n[train]\nsteps = 20\n[eval]\nshots = 2\nquery = 3\ntasks = 6\n[images]\nways = 2\n";
    std::fs::write(path.join("pictures.toml"), format!("{settings}{pictures}")).expect("a file");
    let output = hyperloom(
        path,
        &["train", "pictures.toml", "--images", "pictures", "--device", "cpu", "--out", "runs/pictures"],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let book: String = (0..600).map(|i| format!("The {} and the {}.\n", i % 7, i * i % 11)).collect();
    std::fs::write(path.join("book.txt"), book).expect("a file");
    std::fs::create_dir(path.join("languages")).expect("a folder");
    for i in 0..12 {
        let words: String = (0..400).map(|k| format!("{}{} ", i % 5, k * i % 7)).collect();
        std::fs::write(path.join(format!("languages/{i}.txt")), words).expect("a file");
    }
    std::fs::write(path.join("new.txt"), "The 1 and the 2. ".repeat(30)).expect("a file");
    let pairs: String = (0..60).map(|i| format!("Wort {}\tword {}\n", i % 9, i % 9)).collect();
    std::fs::write(path.join("phrases.tsv"), format!("de\ten\n{pairs}")).expect("a file");
    let name = |i: usize| format!("l{}\tland {}\tLand{} {}\n", i / 30, i % 30, i / 30 % 3, i % 30);
    let names: String = (0..360).map(name).collect();
    std::fs::write(path.join("names.tsv"), format!("language\tenglish\tname\n{names}")).expect("a file");
    std::fs::write(path.join("words.txt"), "Wort 3\nWort 5\n").expect("a file");

    // A decoder that is written out.
    let settings = "task = \"decoders\"\n[train]\nsteps = 5\npooled_steps = 5\n[eval]\nshots = 2\n";
    std::fs::write(path.join("decoder.toml"), format!("{settings}{decoder}")).expect("a file");
    let output = hyperloom(
        path,
        &["train", "decoder.toml", "--images", "pictures", "--device", "cpu", "--out", "runs/decoder"],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut ran = 0;
    for line in blocks("sh").concat().lines().filter(|l| !l.is_empty()) {
        let command = line.strip_prefix("cargo run --release -- ").or(line.strip_prefix("hyperloom "));
        let Some(arguments) = command else {
            // The other commands; the examples run below, in tests/own_tasks.rs and in tests/own_layer.rs.
            assert!(
                [
                    "sh scripts/test.sh",
                    "cargo run --release --example adapt_in_app",
                    "cargo run --release --example own_family",
                    "cargo run --release --example own_layer",
                    "cargo run --release --example generated_gan",
                ]
                .contains(&line),
                "this test does not know how to run: {line}"
            );
            continue;
        };
        let words = short(arguments);
        let output = hyperloom(path, &words);
        let error = String::from_utf8_lossy(&output.stderr);
        let no_gpu = words.contains(&"--lockstep")
            && error.contains("and there is none")
            && std::env::var("HYPERLOOM_GPU").is_ok_and(|v| v != "require");
        assert!(output.status.success() || no_gpu, "{line}\n{error}");
        assert!(!output.stdout.is_empty() || no_gpu, "{line} says nothing");
        ran += 1;
    }
    assert!(ran >= 10, "only {ran} commands were found");
    for file in ["runs/sine/loss.svg", "runs/shapes/tasks.svg", "runs/growth/eval.svg", "plant.safetensors"] {
        assert!(path.join(file).is_file(), "{file} is missing");
    }
    let ahead = std::fs::read_to_string(path.join("ahead.csv")).expect("predictions");
    assert!(ahead.starts_with("soil,week,prediction\n") && ahead.trim().lines().count() == 6, "{ahead}");

    // The tables of the run folder and of report.json are complete.
    for entry in std::fs::read_dir(path.join("runs/growth")).expect("a run folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        assert!(told(&format!("`{name}`")), "no chapter tells what {name} is");
    }
    let report = std::fs::read_to_string(path.join("runs/growth/report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let keys = |v: &serde_json::Value| -> Vec<String> {
        v.as_object().map_or(vec![], |o| o.keys().cloned().collect())
    };
    let held_out = &report["held_out"];
    let nested = keys(&held_out["baselines"]).into_iter().chain(keys(held_out));
    for key in keys(&report).into_iter().chain(nested).filter(|k| k != "held_out") {
        assert!(
            told(&format!("`{key}`")) || told(&format!("`held_out.{key}`")),
            "no chapter tells what '{key}' of report.json is"
        );
    }
}

#[test]
fn the_example_runs() {
    adapt_in_app::run(&Device::Cpu, None).expect("adapts and predicts");
}
