//! What a run leaves to read: metrics that survive a stop at any byte, and pictures of whatever numbers.

use hyperloom::error::{Error, Result};
use hyperloom::report::metrics::{self, MetricsRow, MetricsWriter};
use hyperloom::report::plot::*;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

fn row(step: u64) -> MetricsRow {
    let x = step as f64;
    MetricsRow {
        step,
        loss: 1.0 / (x + 3.0),
        grad_norm: x.exp(),
        learning_rate: 1e-3,
        tasks_per_second: 0.1 + 0.2 * x,
        accuracy: 0.5,
    }
}

fn written(path: &Path, rows: &[MetricsRow]) {
    let mut writer = MetricsWriter::create(path).unwrap();
    writer.append(rows).unwrap();
    writer.flush().unwrap();
}

#[test]
fn metrics_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.csv");
    let mut rows: Vec<_> = (0..100).map(row).collect();
    rows[7].loss = f64::from_bits(0x3fb9_9999_9999_999b);
    rows[8] = MetricsRow {
        step: u64::MAX,
        loss: f64::INFINITY,
        grad_norm: f64::MIN_POSITIVE / 2.0,
        learning_rate: -0.0,
        tasks_per_second: f64::MAX,
        accuracy: 0.5,
    };
    written(&path, &rows);
    assert_eq!(metrics::read(&path).unwrap(), rows);
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .starts_with("step,loss,grad_norm,learning_rate,accuracy,tasks_per_second\n0,")
    );
    // A run does not write over another's numbers.
    let error = MetricsWriter::create(&path).unwrap_err();
    assert!(matches!(error, Error::Io { action: "create", .. }), "{error}");
    assert!(MetricsWriter::create(&folder.path().join("missing/metrics.csv")).is_err());

    let path = folder.path().join("nan.csv");
    written(&path, &[MetricsRow { loss: f64::NAN, ..row(1) }]);
    assert!(metrics::read(&path).unwrap()[0].loss.is_nan());
}

#[test]
fn metrics_resume() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.csv");
    written(&path, &(0..10).map(row).collect::<Vec<_>>());
    let mut writer = MetricsWriter::resume(&path, 6).unwrap();
    writer.append(&[row(20)]).unwrap();
    writer.flush().unwrap();
    let steps: Vec<_> = metrics::read(&path).unwrap().iter().map(|r| r.step).collect();
    assert_eq!(steps, [0, 1, 2, 3, 4, 5, 6, 20]);
    // A missing file is a new one.
    let new = folder.path().join("new.csv");
    MetricsWriter::resume(&new, 6).unwrap();
    assert!(metrics::read(&new).unwrap().is_empty());
}

#[test]
fn metrics_torn_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.csv");
    let rows: Vec<_> = (0..4).map(row).collect();
    written(&path, &rows);
    let bytes = fs::read(&path).unwrap();
    for length in 0..=bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let whole = bytes[..length].iter().filter(|b| **b == b'\n').count().saturating_sub(1);
        assert_eq!(metrics::read(&path).unwrap(), rows[..whole], "{length}");
        let mut writer = MetricsWriter::resume(&path, 2).unwrap();
        writer.append(&[row(3)]).unwrap();
        writer.flush().unwrap();
        let expected: Vec<_> = rows[..whole.min(3)].iter().cloned().chain([row(3)]).collect();
        assert_eq!(metrics::read(&path).unwrap(), expected, "{length}");
    }
}

#[test]
fn metrics_of_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.csv");
    let good = "step,loss,grad_norm,learning_rate,accuracy,tasks_per_second\n";
    for (text, expected) in [
        ("a,b\n1,2\n".to_string(), "line 1"),
        ("a photograph".to_string(), "line 1"),
        (format!("{good}1,2,3,4,5,6\n1,x,3,4,5,6\n2,2,3,4,5,6\n"), "line 3"),
        (format!("{good}1,2,3\n"), "line 2"),
        (format!("{good}-1,2,3,4,5,6\n"), "line 2"),
    ] {
        fs::write(&path, &text).unwrap();
        let message = metrics::read(&path).unwrap_err().to_string();
        assert!(message.contains("metrics.csv") && message.contains(expected), "{message}");
        // What cannot be read is not written over.
        assert!(MetricsWriter::resume(&path, 1).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    assert!(metrics::read(&folder.path().join("missing.csv")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_metrics_do_not_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..5)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        written(&path, &(0..3).map(row).collect::<Vec<_>>());
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        fs::write(&path, bytes).unwrap();
        let read = metrics::read(&path);
        prop_assert_eq!(read.is_ok(), MetricsWriter::resume(&path, 1).is_ok());
    }
}

/// Every tag is closed by its own, and no `<`, `>` or stray `&` stands in text.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        assert!(!text.contains('>') && tag.matches('"').count() % 2 == 0, "{part}");
        for entity in text.split('&').skip(1) {
            assert!(["lt;", "gt;", "amp;", "quot;", "apos;"].iter().any(|e| entity.starts_with(e)), "{part}");
        }
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if !tag.ends_with('/') => open.push(tag.split(' ').next().unwrap()),
            None => {}
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// Draws twice; checks that the picture is whole, the same both times, and has its title.
fn picture(title: &str, draw: impl Fn(&Path, &str) -> Result<()>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.svg", "b.svg"].map(|name| {
        let path = folder.path().join(name);
        draw(&path, title).unwrap();
        fs::read_to_string(path).unwrap()
    });
    assert_eq!(a, b);
    assert!(a.starts_with("<svg") && a.ends_with("</svg>"), "{title}");
    assert!(a.contains(title), "{title}");
    assert!(!a.contains("NaN") && !a.contains("inf,"), "{title}");
    assert_well_formed(&a);
    // A page without a folder to stand in is an error that names it.
    let message = draw(&folder.path().join("missing/a.svg"), title).unwrap_err().to_string();
    assert!(message.contains("missing"), "{message}");
    a
}

/// Points that plots have to live with.
fn point_sets() -> Vec<(&'static str, Vec<(f64, f64)>)> {
    let nan = f64::NAN;
    vec![
        ("many", (0..5000).map(|i| (f64::from(i), 1.0 / (1.0 + f64::from(i)))).collect()),
        ("empty", vec![]),
        ("one", vec![(3.0, 0.5)]),
        ("one zero", vec![(0.0, 0.0)]),
        ("nothing finite", vec![(1.0, nan), (nan, 1.0), (nan, nan)]),
        (
            "partly finite",
            vec![(1.0, 1.0), (2.0, nan), (3.0, f64::INFINITY), (4.0, -f64::INFINITY), (5.0, 2.0)],
        ),
        ("huge", vec![(0.0, f64::MIN), (f64::MAX, f64::MAX), (f64::MIN, 0.0), (1.0, 1e-320)]),
        ("huge positive", vec![(0.0, 1e-320), (1.0, f64::MAX)]),
        ("tiny", vec![(1e-320, 1e-320), (2e-320, -1e-320)]),
        ("almost equal", vec![(1e16, 1.0), (1e16 + 2.0, 1.0 + 1e-15)]),
        ("level", (0..100).map(|i| (f64::from(i), 7.0)).collect()),
    ]
}

#[test]
fn plots_of_points() {
    for (name, points) in point_sets() {
        picture(name, |path, title| loss_curve(path, title, &points));
        picture(name, |path, title| predicted_against_true(path, title, "kg", &points, &points));
        picture(name, |path, title| predicted_against_true(path, title, "", &[], &points));
        for log in [false, true] {
            let lines = [Curve { label: "a", points: &points }, Curve { label: "b", points: &[(0.0, 1.0)] }];
            picture(name, |path, title| curves(path, title, "x", "y", log, &lines));
        }
        for truth_is_points in [false, true] {
            let one = |truth: &[(f64, f64)]| TaskPanel {
                title: "task".into(),
                support: points.clone(),
                truth: truth.to_vec(),
                before: points.clone(),
                after: points.iter().map(|(x, y)| (*x, -y)).collect(),
                each: vec![points.clone(), truth.to_vec()],
                interval: [points.clone(), truth.to_vec()],
                truth_is_points,
            };
            let panels = [one(&points), one(&[]), one(&[(0.0, 0.0), (1.0, 1.0)])];
            for n in 0..=3 {
                picture(name, |path, title| task_panels(path, title, "x", "y", &panels[..n]));
            }
        }
        let values: Vec<_> = points.iter().take(12).map(|p| p.1).enumerate().collect();
        let series = vec![("5 shots".to_string(), values); 8];
        let baselines: Vec<_> = points.iter().take(4).map(|p| ("level".to_string(), p.1)).collect();
        picture(name, |path, title| error_by_steps(path, title, "MSE", &series, &baselines));
        picture(name, |path, title| error_by_steps(path, title, "MSE", &[], &[]));
    }
}

#[test]
fn plots_of_confusion() {
    for n in [0, 1, 2, 5, 20, 120] {
        let classes: Vec<_> = (0..n).map(|i| format!("a class with a long name, number {i}")).collect();
        let counts: Vec<Vec<usize>> =
            (0..n).map(|i| (0..n).map(|j| if i == j { usize::MAX } else { (i * j) % 7 }).collect()).collect();
        picture("confusion", |path, title| confusion(path, title, &classes, &counts));
        let nothing = vec![vec![0; n]; n];
        picture("nothing", |path, title| confusion(path, title, &classes, &nothing));
    }
}

/// Rings of different widths, as a signed distance.
fn field(size: usize, k: usize) -> Vec<f32> {
    let at = |i: usize| (i as f32 + 0.5) / size as f32 * 2.0 - 1.0;
    let value = |x: f32, y: f32| x.hypot(y) - 0.5 - 0.1 * ((k + 3) as f32 * y.atan2(x)).sin();
    (0..size * size).map(|i| value(at(i % size), at(i / size))).collect()
}

#[test]
fn plots_of_fields() {
    let panel = |size, values: Vec<f32>| FieldPanel {
        title: "shape".into(),
        size,
        truth: values.clone(),
        before: values.iter().map(|v| v + 0.1).collect(),
        after: values,
        support: vec![(0.0, 0.0), (f32::NAN, 0.0), (7.0, 0.0), (-1.0, 1.0)],
    };
    let shapes: Vec<_> = (0..6).map(|k| panel(64, field(64, k))).collect();
    let svg = picture("shapes", |path, title| fields(path, title, &shapes));
    assert!(svg.len() < 1_000_000, "{} bytes", svg.len());
    // Noise has no large areas of one colour; the bound holds all the same.
    let noise: Vec<f32> =
        (0..64u32 * 64).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8e6 - 1.0).collect();
    let svg = picture("noise", |path, title| fields(path, title, &vec![panel(64, noise.clone()); 6]));
    assert!(svg.len() < 1_000_000, "{} bytes", svg.len());

    for (size, value) in
        [(0, 0.0), (1, 1.0), (2, -1.0), (5, f32::NAN), (5, f32::INFINITY), (5, 0.0), (5, f32::MAX)]
    {
        picture("odd", |path, title| fields(path, title, &[panel(size, vec![value; size * size])]));
    }
    picture("odd sizes", |path, title| {
        fields(path, title, &[panel(7, field(7, 1)), panel(130, field(130, 2))])
    });
    picture("none", |path, title| fields(path, title, &[]));
}

#[test]
fn wrong_lengths_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.svg");
    let short = FieldPanel { size: 3, truth: vec![0.0; 8], ..FieldPanel::default() };
    let overflow = FieldPanel { size: usize::MAX, ..FieldPanel::default() };
    let classes = ["a".to_string(), "b".to_string()];
    let errors = [
        fields(&path, "t", &[short]),
        fields(&path, "t", &[overflow]),
        confusion(&path, "t", &classes, &[vec![1, 2]]),
        confusion(&path, "t", &classes, &[vec![1, 2], vec![1]]),
    ];
    for error in errors {
        assert!(matches!(error, Err(Error::Shape(_))));
    }
    assert!(!path.exists());
}

#[test]
fn text_is_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.svg");
    loss_curve(&path, "a < b & \"c\" \u{0} opacity=\"1\"", &[]).unwrap();
    let svg = fs::read_to_string(&path).unwrap();
    assert!(svg.contains("a &lt; b &amp; &quot;c&quot;   opacity=&quot;1&quot;"));
}

#[test]
fn lines_pass_where_they_should() {
    let svg = picture("line", |path, title| {
        let points = [(0.0, 0.0), (5.0, 0.0), (10.0, 10.0)];
        curves(path, title, "x", "y", false, &[Curve { label: "a", points: &points }])
    });
    let numbers =
        |text: &str| -> Vec<f64> { text.split([',', ' ']).filter_map(|n| n.parse().ok()).collect() };
    let line = |l: &&str| l.contains("#0072B2") && numbers(l.split('"').rev().nth(1).unwrap()).len() == 6;
    let line = svg.lines().find(line).unwrap();
    let [x0, y0, x1, y1, x2, y2] = numbers(line.split('"').rev().nth(1).unwrap())[..] else {
        panic!("{line}")
    };
    // To the right by equal steps; level at first, then up.
    assert!((x1 - x0 - (x2 - x1)).abs() <= 1.0 && x1 > x0 + 1000.0, "{line}");
    assert!(y0 == y1 && y2 < y1 - 1000.0, "{line}");
    // The label of a tick stands below its value.
    let ten = svg.split("<text ").find(|t| t.contains(">\n10\n") && t.contains("middle")).unwrap();
    assert!(ten.contains(&format!("x=\"{x2}\"")), "{ten}");
}
