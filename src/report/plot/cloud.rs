//! Points coloured by a number: the map of conditions.

use super::axis::{Axis, range, short, whole};
use super::canvas::{Pen, page};
use super::frame::{BELOW_TITLE, Frame, Legend, Sign, title, y_labels_width};
use crate::error::Result;
use plotters::style::RGBColor;
use std::path::Path;

const SIDE: f64 = 400.0;

/// From the least to the greatest: dark blue over green to yellow, even in lightness.
const SCALE: [(u8, u8, u8); 5] = [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)];

/// The colour of `share`, from 0 to 1.
fn colour(share: f64) -> RGBColor {
    let at = share.clamp(0.0, 1.0) * (SCALE.len() - 1) as f64;
    let i = (at as usize).min(SCALE.len() - 2);
    let mix = |a: u8, b: u8| (a as f64 + (b as f64 - a as f64) * (at - i as f64)).round() as u8;
    let (a, b) = (SCALE[i], SCALE[i + 1]);
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// Points (x, y, attribute) with axes of the same kind; the attribute colours them.
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn cloud(
    path: &Path,
    name: &str,
    (x_label, y_label): (&str, &str),
    attribute: &str,
    points: &[(f64, f64, f64)],
) -> Result<()> {
    let shown: Vec<_> =
        points.iter().copied().filter(|p| p.0.is_finite() && p.1.is_finite() && p.2.is_finite()).collect();
    let x = Axis::linear(range(shown.iter().map(|p| p.0)), 0.06, 5);
    let y = Axis::linear(range(shown.iter().map(|p| p.1)), 0.06, 5);
    let left = y_labels_width(&y) + 44.0;
    let width = left + SIDE + 30.0;
    let mut frame = Frame { left, top: 0.0, width: SIDE, height: SIDE, x, y };
    let limits = range(shown.iter().map(|p| p.2));
    let mut entries: Vec<(Sign, String)> = match limits {
        Some((lo, hi)) => [0.0, 0.5, 1.0]
            .iter()
            .map(|s| (Sign::Dot(colour(*s)), format!("{attribute} {}", short(lo + s * (hi - lo)))))
            .collect(),
        None => vec![],
    };
    if shown.len() < points.len() {
        entries.push((Sign::Nothing, format!("({} not finite)", whole(points.len() - shown.len()))));
    }
    let legend = Legend::new(entries, width - 20.0);
    frame.top = BELOW_TITLE + legend.height() + 10.0;
    page(path, width, frame.top + SIDE + 50.0, |canvas| {
        title(canvas, name, width);
        legend.draw(canvas, width / 2.0, BELOW_TITLE);
        frame.draw(canvas, x_label, y_label);
        if shown.is_empty() {
            frame.say_empty(canvas);
        }
        for p in &shown {
            let share = limits.map_or(0.5, |(lo, hi)| if hi > lo { (p.2 - lo) / (hi - lo) } else { 0.5 });
            canvas.dot(frame.at((p.0, p.1)), 4.0, Pen::new(colour(share), 0.0).opacity(0.85));
        }
    })
}
