//! Whole files: how cells are written, every bad file's message, and the real ones.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hyperloom::data::table::MAX_COLUMNS;
use hyperloom::data::{CsvSpec, Encoder, Groups, TargetKind};

use crate::{consistent, fit, good, load, parse, says, spec};

#[test]
fn cells_as_written() {
    let t = parse("\u{feff}a,\"b, c\" ,d\r\n\r\n\" x\ny\",\"say \"\"hi\"\"\", 5\" \r\n\n1,2,3").unwrap();
    assert_eq!(t.columns(), ["a", "b, c", "d"]);
    assert_eq!((t.rows(), t.cell(0, 0), t.cell(0, 1), t.cell(0, 2)), (2, "x\ny", "say \"hi\"", "5\""));
    assert_eq!([t.line_of(0), t.line_of(1)], [3, 6]);
    let t = parse("a,b\r1,2\r3,4\r").unwrap();
    assert_eq!((t.rows(), t.line_of(1), t.cell(1, 1)), (2, 3, "4"));
}

#[test]
fn bad_files_are_refused_with_their_place() {
    says(parse(""), &["t.csv", "empty"]);
    says(parse("\n \n\n"), &["t.csv", "header"]);
    says(parse("g,a,y\n"), &["t.csv", "only a header"]);
    says(parse("g,a,g\n1,2,3\n"), &["line 1", "columns 1 and 3", "'g'"]);
    says(parse("g,a,y\n1,2,3\n\n1,2\n"), &["line 4", "2 cells", "3 columns"]);
    says(parse("g,a,y\n1,2,3,\n"), &["line 2", "4 cells", "3 columns"]);
    says(parse("g,a,y\n1,\"2,3\n4,5,6\n"), &["line 2", "never closed"]);
    says(parse("g,a,y\n1,2,3\n1,\"2\"x,3\n"), &["line 3", "after a closing quote"]);
    says(parse("g,a,y\n1,2,3\n1, \"2\",3\n"), &["line 3", "blank before an opening quote"]);
    says(parse(b"g,a,y\n1,2,3\n1,\xff,3\n"), &["line 3", "UTF-8"]);
    says(parse("g,a,y\n1,2\0,3\n"), &["line 2", "NUL"]);
    let noise: Vec<u8> =
        (0..100_000u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8).collect();
    says(parse(&noise), &["t.csv", "line"]);

    says(load(&good(5, 4), |s| s.target = "Sexx".into()), &["t.csv", "'Sexx'", "did you mean 'sex'"]);
    says(load(&good(5, 4), |s| s.group = "patient".into()), &["'patient'", "'rownames', 'g', 'a'"]);
    says(load(&good(5, 4), |s| s.drop = vec!["bb".into()]), &["'bb'", "did you mean 'b'"]);
    says(load(&good(5, 4).replace(',', ";"), |_| {}), &["'g'", "only column", "commas"]);
    says(fit("g,a,y\n1,1,1\n1,-Inf,2\n2,3,3\n"), &["line 3", "'a'", "'-Inf'", "finite"]);
    says(fit("g,a,y\n1,1,1\n1,1e999,2\n2,3,3\n"), &["line 3", "'a'", "'1e999'", "finite"]);
    says(fit("g,a,y\n1,NaN,1\n1,NA,2\n2,,3\n"), &["no input column"]);

    let mut names = String::from("g,a,y\n");
    (0..300).for_each(|i| writeln!(names, "{},n{i},{i}", i / 10).unwrap());
    says(fit(&names), &["'a'", "256", "drop"]);
    // Half of them text.
    says(fit(&names.replace("0,n", "0,")), &["'a'", "256", "mend the cells"]);
    // Nearly all of them numbers: what is written otherwise is a mistake, or the column holds codes.
    for (cell, what) in [
        ("1y", "text"),
        ("\"1,5\"", "comma"),
        ("\"1,025\"", "comma"),
        ("$105", "currency"),
        ("48%", "percent"),
        ("\u{2212}3", "minus"),
        ("1 000", "blanks"),
    ] {
        let text = names.replace(",n", ",").replacen(",17,", &format!(",{cell},"), 1);
        let plain = cell.trim_matches('"');
        says(fit(&text), &["line 19", "'a'", plain, what, "299 of 300", "csv.categories=[\"a\"]"]);
    }
    let table = parse(names.replace(",n", ",")).unwrap();
    let classes = CsvSpec { kind: Some(TargetKind::Classification), ..spec("g", "y") };
    says(
        Encoder::fit(&table, &classes, &(0..300).collect::<Vec<_>>()),
        &["'y'", "256 classes", "regression"],
    );
    says(Encoder::fit(&table, &classes, &[]), &["no training rows"]);

    let folder = tempfile::tempdir().unwrap();
    let io = |path: &Path| Groups::load(&CsvSpec { path: path.into(), ..spec("g", "y") });
    says(io(&folder.path().join("none.csv")), &["none.csv", "cannot read"]);
    says(io(folder.path()), &["cannot read"]);
}

#[test]
fn a_million_columns_are_refused_at_once() {
    let start = std::time::Instant::now();
    let header: Vec<String> = (0..1_000_000).map(|i| format!("c{i}")).collect();
    let text = header.join(",") + "\n" + &"1,".repeat(999_999) + "1\n";
    says(parse(&text), &["line 1", "1000000 columns", &MAX_COLUMNS.to_string()]);
    // As many as are allowed work, and asking for one that is not there is quick too.
    let text = header[..MAX_COLUMNS].join(",") + "\n" + &"1,".repeat(MAX_COLUMNS - 1) + "1\n";
    says(parse(&text).unwrap().column("target"), &["'target'"]);
    // Texts that would need more when encoded.
    let mut text = String::from("g,y") + &(0..200).fold(String::new(), |s, i| s + &format!(",c{i}")) + "\n";
    (0..200).for_each(|i| writeln!(text, "{},{i}{}", i / 9, format!(",t{i}").repeat(200)).unwrap());
    says(fit(&text), &["20000 numbers a row"]);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

/// The folder of real data, or `None` with the reason printed.
fn real() -> Option<PathBuf> {
    let near = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data"));
    let folder = std::env::var_os("HYPERLOOM_DATA").map_or(near, PathBuf::from);
    if !folder.join("grouped").is_dir() {
        println!(
            "skipped: no {}; set HYPERLOOM_DATA to the folder of real data",
            folder.join("grouped").display()
        );
        return None;
    }
    Some(folder)
}

#[test]
fn real_files_with_their_splits() {
    let Some(folder) = real() else { return };
    // Name, group, target, dropped, shots, encoded inputs, descriptor columns.
    let sets = [
        ("ChickWeight", "Chick", "weight", "", 5, vec!["Time", "Diet"], vec!["Diet"]),
        ("sleepstudy", "Subject", "Reaction", "", 5, vec!["Days"], vec![]),
        ("Oxboys", "Subject", "height", "", 5, vec!["age", "Occasion"], vec![]),
        (
            "Hsb82",
            "school",
            "mAch",
            "",
            5,
            vec!["minrty=No", "ses", "sx=Male", "cses"],
            vec!["meanses", "sector=Public", "sector=Catholic"],
        ),
        (
            "egsingle",
            "childid",
            "math",
            "schoolid",
            2,
            vec!["year", "grade", "retained"],
            vec!["female=Female", "black"],
        ),
        ("InstEval", "s", "y", "d", 2, vec!["studage", "lectage", "service", "dept"], vec![]),
    ];
    for (name, group, target, drop, shots, inputs, descriptor) in sets {
        for seed in 0..5 {
            let groups = Groups::load(&CsvSpec {
                path: folder.join(format!("grouped/{name}.csv")),
                drop: if drop.is_empty() { vec![] } else { vec![drop.into()] },
                shots,
                splits: Some(folder.join(format!("grouped/splits/{name}.json"))),
                seed,
                ..spec(group, target)
            })
            .unwrap();
            consistent(&groups);
            let (names, e) = (groups.encoder.input_names(), &groups.encoder);
            println!("{name} {seed}: {names:?} {:?} {:?}", e.descriptor_columns(), groups.warnings);
            assert!(inputs.iter().all(|n| names.iter().any(|m| m == n)), "{name}: {names:?}");
            let found: Vec<_> = e.descriptor_columns().iter().map(|&i| names[i].as_str()).collect();
            assert!(descriptor.iter().all(|n| found.contains(n)), "{name}: {found:?}");
            assert_eq!(e.kind(), TargetKind::Regression);
            assert_eq!(groups.split.draws.len(), groups.split.test.len());
            // Targets of the rows that are trained on or chosen by are standardised: every one but the test groups'.
            let split = &groups.split;
            let y: Vec<f64> = split
                .train
                .iter()
                .chain(&split.validation)
                .flat_map(|&g| &groups.y[groups.groups[g].rows.clone()])
                .map(|&y| y.into())
                .collect();
            let mean = y.iter().sum::<f64>() / y.len() as f64;
            let var = y.iter().map(|y| y * y).sum::<f64>() / y.len() as f64;
            assert!(mean.abs() < 1e-5 && (var - 1.0).abs() < 1e-5, "{name}: {mean} {var}");
        }
    }
}

#[test]
fn wisdm() {
    let Some(folder) = real() else { return };
    for seed in 0..5 {
        let groups = Groups::load(&CsvSpec {
            path: folder.join("wisdm/wisdm.csv"),
            drop: vec!["UNIQUE_ID".into()],
            shots: 10,
            seed,
            ..spec("user", "class")
        })
        .unwrap();
        consistent(&groups);
        let e = &groups.encoder;
        println!("{:?}", groups.warnings);
        assert_eq!((groups.groups.len(), groups.table_rows.len()), (36, 5418));
        assert_eq!(e.classes(), ["Downstairs", "Jogging", "Sitting", "Standing", "Upstairs", "Walking"]);
        assert!(groups.y.chunks(6).all(|y| y.iter().sum::<f32>() == 1.0));
        assert!(e.input_names().contains(&"XPEAK missing".into()));
    }
}
