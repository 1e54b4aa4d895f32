//! Grouped CSV files: the rules of encoding and splitting, every bad input's message, real files, and (here)
//! mutated ones. Real files are read from HYPERLOOM_DATA, or a folder beside the checkout, and skipped without.

mod encoding;
mod files;
mod splitting;

use std::fmt::Write as _;

use hyperloom::data::{CsvSpec, Encoder, Groups, Table, TargetKind};
use hyperloom::error::Result;
use proptest::prelude::*;

fn spec(group: &str, target: &str) -> CsvSpec {
    CsvSpec {
        path: "t.csv".into(),
        group: group.into(),
        target: target.into(),
        inputs: vec![],
        drop: vec![],
        shots: 2,
        splits: None,
        seed: 0,
        kind: None,
        series: None,
        order: None,
        categories: vec![],
    }
}

fn parse(text: impl AsRef<[u8]>) -> Result<Table> {
    Table::parse("t.csv", text.as_ref())
}

/// Fits on all rows of a table with columns `g`, `y` and others.
fn fit(text: &str) -> Result<Encoder> {
    let table = parse(text)?;
    Encoder::fit(&table, &spec("g", "y"), &(0..table.rows()).collect::<Vec<_>>())
}

/// `groups` groups of `rows` rows: a number, a number that is sometimes missing, a text, a constant of the group.
fn good(groups: usize, rows: usize) -> String {
    let mut text = String::from("rownames,g,a,b,sex,home,y\n");
    for i in 0..groups * rows {
        let (g, r) = (i / rows, i % rows);
        let b = if i % 5 == 0 { "NA".to_string() } else { format!("{}", i * i % 7) };
        let sex = ["f", "m", "\"x, y\""][i % 3];
        writeln!(text, "{i},g{g},{r},{b},{sex},{},{}.5", g % 4, i * 7 % 11 + g).unwrap();
    }
    text
}

fn load(text: &str, change: impl FnOnce(&mut CsvSpec)) -> Result<Groups> {
    let mut spec = spec("g", "y");
    change(&mut spec);
    Groups::load_table(&parse(text)?, &spec)
}

/// The message of an error, which must be one line and hold all `parts`.
#[track_caller]
fn says<T: std::fmt::Debug>(result: Result<T>, parts: &[&str]) {
    let message = result.expect_err("should have been refused").to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    assert!(!message.contains('\n') && message.len() < 700, "{message}");
}

fn consistent(g: &Groups) {
    let rows = g.table_rows.len();
    assert_eq!((g.x.len(), g.y.len()), (rows * g.encoder.inputs(), rows * g.encoder.outputs()));
    assert!(g.x.iter().chain(&g.y).all(|v| v.is_finite()));
    assert_eq!(g.encoder.input_names().len(), g.encoder.inputs());
    let mut end = 0;
    for group in &g.groups {
        assert_eq!(group.rows.start, end);
        // A row to learn from and one to be judged on.
        assert!(group.rows.len() >= 2);
        end = group.rows.end;
    }
    assert_eq!(end, rows);
    let s = &g.split;
    let mut all: Vec<_> = [&s.train, &s.validation, &s.test].into_iter().flatten().copied().collect();
    all.sort();
    assert_eq!(all, (0..g.groups.len()).collect::<Vec<_>>(), "every group is in one part");
    assert!(!s.train.is_empty() && !s.validation.is_empty() && !s.test.is_empty());
    g.encoder.validate("m").unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to a good file, it is read or refused, and what is read is finite and of the right size.
    #[test]
    fn mutated_files_never_panic(
        shape in (3usize..7, 3usize..7),
        // Few, so that about a quarter of the files stay readable.
        edits in prop::collection::vec((0u8..6, any::<prop::sample::Index>(), any::<u8>()), 0..5),
        seed in 0u64..4,
        class in any::<bool>(),
    ) {
        let mut bytes = good(shape.0, shape.1).into_bytes();
        for (what, at, byte) in edits {
            let i = at.index(bytes.len().max(1));
            let common = b"0123456789,,,\"\n\r-+.eNA? gfm\xff\0"[byte as usize % 29];
            match what {
                _ if i >= bytes.len() => bytes.push(byte),
                0 => bytes[i] ^= 1 << (byte % 8),
                1 => bytes[i] = common,
                2 => drop(bytes.remove(i)),
                3 => bytes.insert(i, common),
                4 if byte < 64 => bytes.truncate(i),
                _ => {
                    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
                    let line = lines[at.index(lines.len())].clone();
                    lines.insert(byte as usize % (lines.len() + 1), line);
                    bytes = lines.concat();
                }
            }
        }
        let spec = CsvSpec { seed, kind: class.then_some(TargetKind::Classification), ..spec("g", "y") };
        match Table::parse("t.csv", &bytes).and_then(|table| Groups::load_table(&table, &spec)) {
            Ok(groups) => consistent(&groups),
            Err(e) => prop_assert!(e.to_string().starts_with("t.csv"), "{}", e),
        }
    }
}
