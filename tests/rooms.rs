//! The rooms of the library (the modules directly under `src`), and which of them may use which: ARCHITECTURE.md, "Layers".
//!
//! Reads every `crate::` path in the code of `src`, tests aside. An arrow that the table lacks fails with file and line, and
//! so does an arrow of the table that nobody uses any more; arrows that would close a circle are exceptions with a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each room with the rooms that it may use, from the bottom up.
const ROOMS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("files", &["error"]),
    ("protobuf", &[]),
    ("spec", &[]),
    ("view", &["spec"]),
    ("rng", &[]),
    ("graph", &["spec"]),
    ("kernel", &["graph", "rng", "spec", "view"]),
    ("region", &["graph", "kernel", "spec", "view"]),
    ("plan", &["error", "graph", "kernel", "region", "spec", "view"]),
    ("checkpoint", &["error", "files"]),
    ("run", &["error", "kernel", "plan", "region", "spec", "view"]),
    ("net", &["error", "graph", "rng", "spec"]),
    ("task", &["error", "graph", "run", "spec"]),
    ("data", &["error", "files", "graph", "rng", "run", "spec", "task"]),
    ("optim", &["graph"]),
    ("hyper", &["graph", "net", "rng", "spec", "task"]),
    ("adapt", &["error", "graph", "hyper", "net", "optim", "plan", "run", "spec", "task"]),
    (
        "check",
        &[
            "checkpoint",
            "error",
            "graph",
            "hyper",
            "kernel",
            "net",
            "plan",
            "rng",
            "run",
            "spec",
            "task",
            "view",
        ],
    ),
    (
        "meta",
        &[
            "adapt",
            "check",
            "checkpoint",
            "error",
            "graph",
            "hyper",
            "net",
            "optim",
            "plan",
            "rng",
            "run",
            "spec",
            "task",
        ],
    ),
    ("policy", &["check", "error", "graph", "hyper", "net", "optim", "plan", "rng", "run", "spec"]),
    ("report", &["error", "files", "protobuf"]),
    ("export", &["error", "graph", "meta", "net", "plan", "protobuf", "run", "spec", "task"]),
    (
        "continual",
        &["check", "data", "error", "graph", "hyper", "net", "optim", "plan", "rng", "run", "spec", "task"],
    ),
    ("search", &["data", "error", "graph", "net", "optim", "plan", "rng", "run", "spec", "task"]),
    (
        "experiment",
        &[
            "adapt",
            "checkpoint",
            "continual",
            "data",
            "error",
            "export",
            "files",
            "graph",
            "hyper",
            "meta",
            "net",
            "optim",
            "plan",
            "policy",
            "report",
            "rng",
            "run",
            "search",
            "spec",
            "task",
        ],
    ),
    (
        "bench",
        &["error", "experiment", "graph", "hyper", "net", "optim", "plan", "policy", "run", "spec", "task"],
    ),
];

/// Arrows that close a circle: from, to, and why they are still there.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Names that the root gives on, and the room that they come from.
const ROOT: &[(&str, &str)] = &[("Error", "error"), ("Result", "error")];

/// Where one room uses another.
type Arrows = BTreeMap<(String, String), Vec<String>>;

#[test]
fn rooms_use_only_what_the_table_says() {
    let found = arrows();
    let table: BTreeSet<(String, String)> =
        allowed().chain(EXCEPTIONS.iter().map(|(a, b, _)| (a.to_string(), b.to_string()))).collect();
    let mut faults = Vec::new();
    for (arrow, places) in &found {
        if !table.contains(arrow) {
            let places = places.join("\n    ");
            faults.push(format!("{} may not use {}:\n    {places}", arrow.0, arrow.1));
        }
    }
    for (a, b) in table.iter().filter(|arrow| !found.contains_key(arrow)) {
        faults.push(format!("the table lets {a} use {b}, and nobody does: take it out"));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_table_has_no_circle() {
    let uses: BTreeMap<&str, &[&str]> = ROOMS.iter().map(|(room, uses)| (*room, *uses)).collect();
    assert_eq!(uses.len(), ROOMS.len(), "a room stands twice in the table");
    let (mut below, mut left) = (BTreeSet::new(), uses.clone());
    while !left.is_empty() {
        let next: Vec<&str> =
            left.iter().filter(|(_, uses)| uses.iter().all(|u| below.contains(u))).map(|(r, _)| *r).collect();
        assert!(!next.is_empty(), "a circle (or a room that the table lacks) among {:?}", left.keys());
        for room in next {
            left.remove(room);
            below.insert(room);
        }
    }
    for (from, to, why) in EXCEPTIONS {
        assert!(uses.contains_key(from) && uses.contains_key(to) && !why.is_empty(), "{from} and {to}");
        assert!(!uses[from].contains(to), "{from} may use {to} anyway: it is no exception");
    }
}

fn allowed() -> impl Iterator<Item = (String, String)> {
    ROOMS.iter().flat_map(|(room, uses)| uses.iter().map(|u| (room.to_string(), u.to_string())))
}

/// Every arrow in the code, with its places.
fn arrows() -> Arrows {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    list(&src, &mut files);
    let rooms: BTreeSet<&str> = ROOMS.iter().map(|r| r.0).collect();
    let mut found = Arrows::new();
    for file in files {
        let inside = file.strip_prefix(&src).expect("a file of src");
        let parts: Vec<String> = inside.iter().map(|p| p.to_string_lossy().replace(".rs", "")).collect();
        // The root, and the command, which uses the library like any other program.
        if ["lib", "main", "cli"].contains(&parts[0].as_str()) {
            continue;
        }
        assert!(rooms.contains(parts[0].as_str()), "src/{}: no room of the table", parts[0]);
        let depth = parts.len() - 1 - usize::from(parts.last().is_some_and(|p| p == "mod"));
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        for (number, line) in code(&text) {
            let place = format!("src/{}:{number}: {}", inside.display(), line.trim());
            for word in after(line, "crate::") {
                let room = ROOT.iter().find(|(name, _)| *name == word).map_or(word, |(_, room)| *room);
                assert!(rooms.contains(room), "{place}: 'crate::{word}' names no room");
                if room != parts[0] {
                    found.entry((parts[0].clone(), room.to_string())).or_default().push(place.clone());
                }
            }
            let up = line.matches("super::").count();
            let leaves = line.contains(&"super::".repeat(depth + 1)) && !line.starts_with([' ', '\t']);
            assert!(!(leaves && up > 0), "{place}: leaves its room through super; say crate::");
        }
    }
    found
}

/// Lines of code with their numbers: no comments, nothing after the tests begin.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("\n#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..end].lines().enumerate().map(|(i, line)| (i + 1, line.split("//").next().unwrap_or_default()))
}

/// The identifiers that follow `prefix` in a line.
fn after<'l>(line: &'l str, prefix: &'l str) -> impl Iterator<Item = &'l str> {
    line.match_indices(prefix).map(move |(at, _)| {
        let rest = &line[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

fn list(folder: &Path, to: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            list(&path, to);
        } else if path.extension().is_some_and(|e| e == "rs") {
            to.push(path);
        }
    }
    to.sort();
}
