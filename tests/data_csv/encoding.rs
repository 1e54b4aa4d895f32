//! From cells to numbers.

use hyperloom::data::{CsvSpec, Encoder, TargetKind};
use hyperloom::error::Result;

use crate::{fit, good, load, parse, says, spec};

#[test]
fn numbers_are_standardised_and_missing_ones_flagged() {
    let e = fit("g,a,b,c,y\n1,2,5,7,1\n1,4,NA,7,2\n2,6,?,7,3\n2,8, 7 ,7,4\n").unwrap();
    assert_eq!(e.input_names(), ["a", "b", "b missing"], "the constant c is left out");
    assert_eq!(e.columns().collect::<Vec<_>>(), ["a", "b"]);
    let table = parse("y,g,b,a,c\n9,7,,5,1\n9,7,7,null,1\n").unwrap();
    // a: mean 5, std √5; b: mean 6, std 1. Columns are found by name.
    assert_eq!(e.encode_inputs(&table).unwrap(), [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    let (mean, std) = e.target_scale();
    assert!((mean - 2.5).abs() < 1e-12 && (std - 1.25f64.sqrt()).abs() < 1e-12);
    assert_eq!((e.kind(), e.outputs(), e.classes().len()), (TargetKind::Regression, 1, 0));
    assert_eq!(e.encode_targets(&table).unwrap(), [((9.0 - mean) / std) as f32; 2]);
}

#[test]
fn text_is_one_hot() {
    let e = fit("g,a,f,y\n1,2,0.1,1\n1,x,0.1,2\n2,,0.1,3\n2,2,NaN,4\n").unwrap();
    assert_eq!(e.input_names(), ["a=2", "a=x", "a missing", "f=0.1", "f missing"]);
    let table = parse("g,a,f,y\n1,x,0.1,0\n1,new,nan,0\n").unwrap();
    assert_eq!(e.encode_inputs(&table).unwrap(), [0., 1., 0., 1., 0., 0., 0., 0., 0., 1.]);
}

#[test]
fn huge_and_tiny_numbers_stay_finite() {
    let e = fit("g,a,b,c,y\n1,1e300,1e-300,0.1,1\n1,-1e300,2e-300,0.1,2\n2,0,3e-300,0.1,4\n").unwrap();
    assert_eq!(e.input_names(), ["a", "b"], "0.1 three times has no spread");
    let table = parse("g,a,b,y\n1,1e300,3e-300,0\n").unwrap();
    assert!(e.encode_inputs(&table).unwrap().iter().all(|z| (z - 1.2247449).abs() < 1e-6));
    says(e.encode_inputs(&parse("g,a,b,y\n1,0,1,0\n").unwrap()), &["line 2", "'b'", "too far"]);
    says(fit("g,a,y\n1,1.7e308,1\n1,1.7e308,2\n1,-1.7e308,2\n"), &["'a'", "too large"]);
}

#[test]
fn kind_of_the_target() {
    let with = |y: [&str; 4], kind| {
        let text = format!("g,a,y\n1,1,{}\n1,2,{}\n2,3,{}\n2,4,{}\n", y[0], y[1], y[2], y[3]);
        let table = parse(text)?;
        Encoder::fit(&table, &CsvSpec { kind, ..spec("g", "y") }, &[0, 1, 2, 3])
    };
    assert_eq!(with(["1", "2", "3", "2"], None).unwrap().kind(), TargetKind::Regression);
    assert_eq!(with(["true", "false", "true", "true"], None).unwrap().kind(), TargetKind::Classification);
    let e = with(["10", "9", "10", "1"], Some(TargetKind::Classification)).unwrap();
    assert_eq!(
        (e.classes(), e.outputs(), e.target_scale()),
        (&["1", "9", "10"].map(String::from)[..], 3, (0.0, 1.0))
    );
    let table = parse("g,a,y\n1,1,9\n1,1,1\n").unwrap();
    assert_eq!(e.encode_targets(&table).unwrap(), [0., 1., 0., 1., 0., 0.]);
    says(
        e.encode_targets(&parse("g,a,y\n1,1,9\n1,1,5\n").unwrap()),
        &["line 3", "'y'", "'5'", "'9'", "training"],
    );
    says(with(["1", "2", "o", "3"], None), &["line 4", "'y'", "'o'", "classification"]);
    says(with(["a", "b", "c", "d"], Some(TargetKind::Regression)), &["line 2", "'a'", "not a number"]);
    says(with(["1", "2", "inf", "3"], None), &["line 4", "'y'", "'inf'"]);
    says(with(["1", "2", "", "3"], None), &["line 4", "'y'", "missing"]);
    says(with(["a", "NaN", "b", "b"], None), &["line 3", "'y'", "missing"]);
    says(with(["2", "2.0", "2", "2"], None), &["'y'", "equal"]);
    says(with(["u"; 4], None), &["'y'", "same"]);
    let g = load(&good(9, 4).replace(".5\n", "\n"), |s| s.target = "home".into());
    assert_eq!(g.unwrap().encoder.kind(), TargetKind::Regression);
}

#[test]
fn descriptor_is_what_never_changes_inside_a_group() {
    let e = fit("g,a,k,s,y\n1,1,5,u,1\n2,2,6,v,2\n1,3,5,u,3\n2,4,6,v,4\n").unwrap();
    let names = e.input_names();
    assert_eq!(e.descriptor_columns().iter().map(|&i| &names[i]).collect::<Vec<_>>(), ["k", "s=u", "s=v"]);
}

#[test]
fn encoder_survives_json_to_the_bit() {
    let e = load(&good(17, 6), |_| {}).unwrap().encoder;
    let text = serde_json::to_string(&e).unwrap();
    assert_eq!(serde_json::from_str::<Encoder>(&text).unwrap(), e);
    let damaged = text.replace("\"descriptor\":[", "\"descriptor\":[999,");
    says(serde_json::from_str::<Encoder>(&damaged).unwrap().validate("m.bin"), &["m.bin", "damaged"]);
    assert!(serde_json::from_str::<Encoder>(&text.replace("\"std\":\"", "\"std\":\"x")).is_err());
}

#[test]
fn only_training_groups_are_fitted() {
    let text = good(10, 5);
    let a = load(&text, |_| {}).unwrap();
    let test = &a.groups[a.split.test[0]].name;
    // Other inputs in a test group: the encoder does not notice. A text there is then no level.
    let changed: String = text
        .lines()
        .map(|l| if l.contains(&format!(",{test},")) { l.replace(",f,", ",new,") } else { l.into() } + "\n")
        .collect();
    assert_ne!(text, changed);
    let b = load(&changed, |_| {}).unwrap();
    assert_eq!(a.encoder, b.encoder);
    assert!(b.warnings.iter().any(|w| w.contains("'sex'") && w.contains("'new'") && w.contains("line")));
    // Missing where training never was: the mean, and a warning.
    let changed = text.replacen(&format!(",{test},0,"), &format!(",{test},,"), 1);
    let b = load(&changed, |_| {}).unwrap();
    assert!(b.warnings.iter().any(|w| w.contains("'a'") && w.contains("mean")), "{:?}", b.warnings);
    // No number where training had numbers only; a class that training never had.
    let changed = text.replacen(&format!(",{test},0,"), &format!(",{test},zero,"), 1);
    says(load(&changed, |_| {}), &["line", "'a'", "'zero'", "not a number"]);
    let classes = text.replace(".5\n", "c\n");
    let line = classes.lines().position(|l| l.contains(&format!(",{test},"))).unwrap();
    let mut lines: Vec<_> =
        classes.lines().map(|l| format!("{}{}\n", &l[..l.rfind(',').unwrap()], ",k")).collect();
    (1..lines.len()).for_each(|i| {
        if i % 2 == 0 {
            lines[i] = lines[i].replace(",k\n", ",other\n")
        }
    });
    lines[0] = "rownames,g,a,b,sex,home,y\n".into();
    assert_eq!(load(&lines.concat(), |_| {}).unwrap().encoder.classes(), ["k", "other"]);
    lines[line] = lines[line].replace(",k\n", ",rare\n").replace(",other\n", ",rare\n");
    says(load(&lines.concat(), |_| {}), &[&format!("line {}", line + 1), "'y'", "'rare'", "'k', 'other'"]);
}

#[test]
fn inputs_and_drop() {
    let names = |change: fn(&mut CsvSpec)| {
        load(&good(8, 4), change).map(|g| g.encoder.columns().map(String::from).collect())
    };
    let some: Result<Vec<String>> = names(|s| s.inputs = vec!["home".into(), "rownames".into()]);
    assert_eq!(some.unwrap(), ["home", "rownames"]);
    assert_eq!(names(|s| s.drop = vec!["b".into()]).unwrap(), ["a", "sex", "home"]);
    says(names(|s| s.inputs = vec!["y".into()]), &["inputs", "'y'"]);
    says(names(|s| s.inputs = vec!["a".into(), "a".into()]), &["inputs", "'a'", "twice"]);
    says(names(|s| s.drop = vec!["g".into()]), &["drop", "'g'"]);
    says(names(|s| s.drop = ["a", "b", "sex", "home"].map(String::from).to_vec()), &["no input"]);
    says(fit("g,a,y\n1,2,1\n1,2,3\n"), &["no input column"]);
    let unnamed = good(8, 4).replacen("rownames", "\"\"", 1);
    assert_eq!(load(&unnamed, |_| {}).unwrap().encoder.columns().next(), Some("a"));
}

/// The usual marks of what is missing are no levels; declared columns hold levels, also where these are numbers.
#[test]
fn marks_and_codes() {
    let doses = [1, 2, 5, 10, 20];
    let of = |mark: &str, categories: &[&str]| {
        let mut text = String::from("g,dose,y\n");
        for i in 0..30 {
            let dose = if i == 7 { mark.to_string() } else { doses[i % 5].to_string() };
            text += &format!("{},{dose},{i}\n", i / 5);
        }
        let table = parse(&text).unwrap();
        let categories = categories.iter().map(|c| c.to_string()).collect();
        let spec = CsvSpec { categories, ..spec("g", "y") };
        let all: Vec<usize> = (0..30).collect();
        Encoder::fit(&table, &spec, &all).map(|e| (e.input_names(), e.encode_inputs(&table).unwrap()))
    };
    for mark in ["", "N/A", "n/a", "#N/A", "<NA>", "NA", "None", "-", ".", "missing"] {
        let (names, x) = of(mark, &[]).unwrap();
        assert_eq!(names, ["dose", "dose missing"], "{mark}");
        assert_eq!(x[14..16], [0.0, 1.0], "{mark}");
    }
    let (names, _) = of("5", &["dose"]).unwrap();
    assert_eq!(names, ["dose=1", "dose=10", "dose=2", "dose=20", "dose=5"]);
    // Beside text it is a level like any other.
    let table = parse("g,a,y\n1,none,1\n1,low,2\n2,high,3\n2,-,4\n").unwrap();
    let names = Encoder::fit(&table, &spec("g", "y"), &[0, 1, 2, 3]).unwrap().input_names();
    assert_eq!(names, ["a=-", "a=high", "a=low", "a=none"]);
    let wrong = of("5", &["dosis"]).unwrap_err().to_string();
    assert!(wrong.contains("'dosis'") && wrong.contains("did you mean 'dose'"), "{wrong}");
}

/// Dates are numbers of days, with or without a time of day; where they are declared, or a cell is none, they are levels as any text.
#[test]
fn dates_are_days() {
    let days = "g,day,y\n1,2024-02-28,1\n1,2024-03-01,2\n2,2024-03-01T12:00,3\n2,n/a,4\n2,2024-03-04,5\n";
    let table = parse(days).unwrap();
    let all = [0, 1, 2, 3, 4];
    let e = Encoder::fit(&table, &spec("g", "y"), &all).unwrap();
    assert_eq!(e.input_names(), ["day", "day missing"]);
    let x = e.encode_inputs(&table).unwrap();
    // 2024 is a leap year: 0, 2, 2.5 and 5 days, of mean 2.375.
    let of = |days: f64| ((days - 2.375) / (12.6875f64 / 4.0).sqrt()) as f32;
    for (got, want) in x.iter().zip([of(0.0), 0.0, of(2.0), 0.0, of(2.5), 0.0, 0.0, 1.0, of(5.0), 0.0]) {
        assert!((got - want).abs() < 1e-6, "{x:?}");
    }
    // The same again from a file.
    let text = serde_json::to_string(&e).unwrap();
    assert_eq!(serde_json::from_str::<Encoder>(&text).unwrap(), e);
    let later = e.encode_inputs(&parse("g,day,y\n1,2024-03-09,0\n").unwrap()).unwrap();
    assert!((later[0] - of(10.0)).abs() < 1e-6, "a day that was never seen is a number, too: {later:?}");
    let wrong = parse("g,day,y\n1,9 March,0\n").unwrap();
    says(e.encode_inputs(&wrong), &["line 2", "'day'", "'9 March' is no date", "2024-05-31"]);
    let spec_of = |categories: &[&str]| CsvSpec {
        categories: categories.iter().map(|c| c.to_string()).collect(),
        ..spec("g", "y")
    };
    let declared = Encoder::fit(&table, &spec_of(&["day"]), &all).unwrap().input_names();
    assert_eq!(declared.len(), 5, "{declared:?}");
    let mixed = parse(days.replace("2024-03-04", "soon")).unwrap();
    let names = Encoder::fit(&mixed, &spec("g", "y"), &all).unwrap().input_names();
    assert!(names.contains(&"day=soon".to_string()) && names.len() == 5, "{names:?}");
}

/// A text of its own in each row tells nothing of others, which is said.
#[test]
fn names_of_rows_are_noticed() {
    let rows = |of: &dyn Fn(usize) -> String| -> String {
        (0..48).map(|i| format!("{},{},{}\n", i / 4, of(i), i % 5)).collect()
    };
    let warnings = |rows: String| load(&format!("g,x,who,y\n{rows}"), |_| {}).map(|g| g.warnings);
    let with_x = |of: &dyn Fn(usize) -> String| rows(&|i| format!("{},{}", i * i % 7, of(i)));
    let own = warnings(with_x(&|i| format!("p{i}"))).unwrap();
    assert!(own.iter().any(|w| w.contains("'who' has another text in each of the")), "{own:?}");
    let shared = warnings(with_x(&|i| format!("p{}", i % 12))).unwrap();
    assert!(!shared.iter().any(|w| w.contains("another text")), "{shared:?}");
}
