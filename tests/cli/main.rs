//! The `hyperloom` command from outside: its main jobs, interrupted and resumed runs, every bad input's message,
//! and (through the library) mutated files. Each test works in a folder of its own.

mod bad_data;
mod bad_files;
mod bad_settings;
mod base;
mod bench;
mod compress;
mod continual;
mod decoders;
mod explain;
mod export;
mod fields;
mod jobs;
mod methods;
mod mutated;
mod noise;
mod pairs;
mod pictures;
mod policies;
mod resume;
mod search;
mod series;
mod shell;
mod simulators;
mod streams;
mod sweep;
mod text;
mod texts;
mod told;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use hyperloom::checkpoint::{Checkpoint, Tensor};
use serde_json::Value;

/// A configuration that trains in a blink.
const SINE: &str = "task = 'sine'\ndevice = 'cpu'\nseed = 3\n\
    [train]\nsteps = 60\ntasks = 4\npooled_steps = 20\nwarmup = 2\n\
    [model]\ntarget = [8]\nencoder = [8]\ntrunk = [8]\n\
    [adapt]\nsteps = [0, 1, 3]\n\
    [eval]\nshots = 4\nquery = 4\ntasks = 3\nsweep = [2, 4]\n";

/// The same for the families of tasks that read or need more.
const SHAPES: &str = "task = 'shapes'\ndevice = 'cpu'\n\
    [train]\nsteps = 20\ntasks = 4\npooled_steps = 10\nwarmup = 2\n\
    [model]\ntarget = [8]\nencoder = [8]\ntrunk = [8]\n\
    [adapt]\nsteps = [0, 1]\n\
    [eval]\nshots = 6\nquery = 6\ntasks = 2\nsweep = [4]\n";

const SETTINGS: &str = "device = 'cpu'\n\
    [train]\nsteps = 60\ntasks = 8\npooled_steps = 60\nwarmup = 5\npooled_rate = 0.01\n\
    [model]\ntarget = [8]\nencoder = [8]\ntrunk = [8]\nmembers = 2\n\
    [adapt]\nsteps = [0, 1, 3]\n\
    [eval]\nshots = 3\nquery = 4\nsweep = [1, 3]\n";

/// A folder of a test's own, in which the command runs.
struct Place(tempfile::TempDir);

/// How a command ended.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    /// A folder with these files in it.
    fn with<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Place {
        let place = Place::new();
        files.into_iter().for_each(|(name, text)| place.write(name, text));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// The command, quiet but for errors.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hyperloom"));
        command
            .args(args)
            .current_dir(self.0.path())
            .env("RUST_LOG", "error")
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Done {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// Runs what must go well; what it printed.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, Some(0), "{args:?}: {done:?}");
        assert!(!done.err.contains("error:") && !done.err.contains("panicked"), "{args:?}: {done:?}");
        done.out
    }

    /// Runs what must be refused: quickly, with exit status 2 and one line that holds all `parts`, and with
    /// every file and folder left as it was. The line.
    #[track_caller]
    fn refused(&self, args: &[&str], parts: &[&str]) -> String {
        let before = tree(self.0.path());
        let start = Instant::now();
        let done = self.run(args);
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        assert_eq!(done.out, "", "{args:?}");
        let line = done.err.strip_suffix('\n').unwrap_or(&done.err);
        assert!(line.starts_with("error: ") && !line.contains('\n') && line.len() < 800, "{args:?}: {line}");
        for part in parts {
            assert!(line.contains(part), "{args:?}: {part:?} is not in {line:?}");
        }
        assert!(seconds < 20.0, "{args:?} took {seconds} s to be refused");
        let after = tree(self.0.path());
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{args:?}: {line}");
        for (name, bytes) in &before {
            assert!(after[name] == *bytes, "{args:?} changed {name}");
        }
        line.to_string()
    }
}

/// Every file with its bytes and every folder (with none) below `root`, by path.
fn tree(root: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_dir() {
                all.insert(name, None);
                folders.push(path);
            } else {
                all.insert(name, Some(fs::read(path).unwrap()));
            }
        }
    }
    all
}

/// The same files in another folder.
fn plant(files: &BTreeMap<String, Option<Vec<u8>>>) -> Place {
    let place = Place::new();
    for (name, bytes) in files {
        match bytes {
            Some(bytes) => place.write(name, bytes),
            None => fs::create_dir_all(place.path(name)).unwrap(),
        }
    }
    place
}

/// Eight groups of eight rows: a line with its own slope and height, in units of about a thousand.
fn lines_csv() -> String {
    let mut text = String::from("site,x,mood,height\n");
    for i in 0..64 {
        let (g, r) = (i / 8, i % 8);
        let x = r as f64 / 2.0 - 2.0;
        let height = 1000.0 + 10.0 * g as f64 + (3.0 + g as f64) * x;
        writeln!(text, "g{g},{x},{},{height}", ["calm", "wild", "\"so, so\""][r % 3]).unwrap();
    }
    text
}

/// Eight groups of eight rows whose class is whether x is beyond the group's threshold.
fn classes_csv() -> String {
    let mut text = String::from("site,x,state\n");
    for i in 0..64 {
        let (g, r) = (i / 8, i % 8);
        let state = if r > 2 + g % 3 { "warm" } else { "cold" };
        writeln!(text, "g{g},{r},{state}").unwrap();
    }
    text
}

const LINES: [&str; 8] =
    ["settings.toml", "--csv", "lines.csv", "--group", "site", "--target", "height", "--out"];
const CLASSES: [&str; 8] =
    ["settings.toml", "--csv", "classes.csv", "--group", "site", "--target", "state", "--out"];

/// `train` with these arguments and this folder.
fn train<'a>(args: &[&'a str], out: &'a str) -> Vec<&'a str> {
    let mut all = vec!["train"];
    all.extend(args);
    all.push(out);
    all
}

type Files = BTreeMap<String, Option<Vec<u8>>>;

fn trained(files: &[(&str, String)], args: &[&str]) -> Files {
    let place = Place::with(files.iter().map(|(n, t)| (*n, t.as_str())));
    place.ok(args);
    tree(place.0.path())
}

/// A finished run `run` of the sine family, beside its `sine.toml`.
static SINE_RUN: LazyLock<Files> =
    LazyLock::new(|| trained(&[("sine.toml", SINE.into())], &["train", "sine.toml", "--out", "run"]));
/// A finished run `run` on `lines.csv`.
static LINES_RUN: LazyLock<Files> = LazyLock::new(|| {
    trained(&[("settings.toml", SETTINGS.into()), ("lines.csv", lines_csv())], &train(&LINES, "run"))
});
/// A finished run `run` on `classes.csv`.
static CLASSES_RUN: LazyLock<Files> = LazyLock::new(|| {
    trained(&[("settings.toml", SETTINGS.into()), ("classes.csv", classes_csv())], &train(&CLASSES, "run"))
});

/// The weights of a run's checkpoint.
fn weights(folder: &Path) -> BTreeMap<String, Tensor> {
    Checkpoint::load(&folder.join("checkpoint.safetensors")).unwrap().tensors
}

/// The rows of a CSV file as columns by name.
fn columns(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_string).collect();
    let mut columns: BTreeMap<String, Vec<String>> = names.iter().map(|n| (n.clone(), vec![])).collect();
    for record in reader.records() {
        for (name, cell) in names.iter().zip(&record.unwrap()) {
            columns.get_mut(name).unwrap().push(cell.to_string());
        }
    }
    columns
}

/// Waits for a process to end, or panics after a minute.
fn wait(child: &mut std::process::Child) -> std::process::ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            panic!("the process did not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
