//! A roll-out as an animated picture: SVG whose shapes move.

use std::fmt::Write as _;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::policy::{Ink, Scene, Shape};

/// Width of the picture, pixels.
const WIDTH: f64 = 480.0;
/// Its height at most.
const HEIGHT: f64 = 480.0;
/// Height of what stands over it, and of the bar of time below it.
const TITLE: f64 = 30.0;
const BAR: f64 = 4.0;
/// Moments a second, seconds at least, and moments at most.
const RATE: f64 = 25.0;
const SECONDS: f64 = 4.0;
const MOST: usize = 500;

/// Writes moments of a world as a picture that plays them again and again.
///
/// # Errors
/// What can't be written.
pub(super) fn film(path: &Path, name: &str, scenes: &[Scene]) -> Result<()> {
    let Some(first) = scenes.first() else {
        return Err(Error::Shape("a film of no moments".into()));
    };
    let seconds = (scenes.len() as f64 / RATE).max(SECONDS);
    let every = scenes.len().div_ceil(MOST);
    let shown: Vec<&Scene> = scenes.iter().step_by(every).collect();
    let [[left, right], [bottom, top]] = first.view;
    let scale = (WIDTH / (right - left)).min(HEIGHT / (top - bottom));
    let (wide, high) = ((right - left) * scale, (top - bottom) * scale);
    let aside = (WIDTH - wide) / 2.0;
    let at = |[x, y]: [f64; 2]| [aside + (x - left) * scale, TITLE + (top - y) * scale];
    let height = TITLE + high + BAR + 4.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         stroke-linejoin=\"round\">\n<rect width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"#fff\"/>\n<text x=\"{}\" y=\"20\" \
         font-family=\"sans-serif\" font-size=\"14\" text-anchor=\"middle\">{}</text>\n",
        WIDTH / 2.0,
        escaped(name)
    );
    let moving = |name: &str, values: &[String]| match values.iter().all(|v| *v == values[0]) {
        true => String::new(),
        false => format!(
            "<animate attributeName=\"{name}\" values=\"{}\" dur=\"{seconds:.2}s\" calcMode=\"discrete\" repeatCount=\"indefinite\"/>",
            values.join(";")
        ),
    };
    let _ = writeln!(
        svg,
        "<clipPath id=\"v\"><rect x=\"{aside:.1}\" y=\"{TITLE}\" width=\"{wide:.1}\" height=\"{high:.1}\"/></clipPath>\n<g clip-path=\"url(#v)\">"
    );
    for (i, shape) in first.shapes.iter().enumerate() {
        match shape {
            Shape::Line { width, ink, .. } => {
                let points: Vec<String> = shown.iter().map(|s| places(&s.shapes[i], at)).collect();
                let _ = writeln!(
                    svg,
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{:.1}\">{}</polyline>",
                    points[0],
                    color(*ink),
                    width * scale,
                    moving("points", &points)
                );
            }
            Shape::Disc { ink, .. } => {
                let each = |number: &dyn Fn([f64; 2], f64) -> f64| -> Vec<String> {
                    let of = |s: &&Scene| match &s.shapes[i] {
                        Shape::Disc { at, radius, .. } => format!("{:.1}", number(*at, *radius)),
                        Shape::Line { .. } => "0".into(),
                    };
                    shown.iter().map(of).collect()
                };
                let columns = [
                    ("cx", each(&|p, _| at(p)[0])),
                    ("cy", each(&|p, _| at(p)[1])),
                    ("r", each(&|_, r| r * scale)),
                ];
                let fixed: String = columns.iter().map(|(name, v)| format!(" {name}=\"{}\"", v[0])).collect();
                let moved: String = columns.iter().map(|(name, v)| moving(name, v)).collect();
                let _ = writeln!(svg, "<circle{fixed} fill=\"{}\">{moved}</circle>", color(*ink));
            }
        }
    }
    let _ = writeln!(
        svg,
        "</g>\n<rect y=\"{:.1}\" width=\"{WIDTH}\" height=\"{BAR}\" fill=\"#0072b2\"><animate attributeName=\"width\" from=\"0\" \
         to=\"{WIDTH}\" dur=\"{seconds:.2}s\" repeatCount=\"indefinite\"/></rect>\n</svg>",
        TITLE + high + 2.0
    );
    write_atomically(path, svg.as_bytes())
}

/// The points of a line.
fn places(shape: &Shape, at: impl Fn([f64; 2]) -> [f64; 2]) -> String {
    let Shape::Line { points, .. } = shape else { return String::new() };
    let text = |p: &[f64; 2]| {
        let [x, y] = at(*p);
        format!("{x:.1},{y:.1}")
    };
    points.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn color(ink: Ink) -> &'static str {
    match ink {
        Ink::Agent => "#0072b2",
        Ink::Body => "#e69f00",
        Ink::Goal => "#009e73",
        Ink::Thing => "#d55e00",
        Ink::World => "#777777",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
