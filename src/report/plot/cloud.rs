//! Points coloured by a number: the map of conditions.

use super::axis::{Axis, range, short, whole};
use super::canvas::{GREY, ORANGE, Pen, VERMILLION, page};
use super::frame::{BELOW_TITLE, Frame, Legend, Sign, title, y_labels_width};
use crate::error::Result;
use plotters::style::RGBColor;
use std::path::Path;

const SIDE: f64 = 400.0;

/// Colours of rings.
const RINGS: [RGBColor; 2] = [VERMILLION, ORANGE];

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

/// What colours points, and which of them have a ring.
#[derive(Clone, Copy, Debug)]
pub struct Colouring<'a> {
    /// What the attribute of points is.
    pub by: &'a str,
    /// The names of levels, where attributes are their numbers; none: they are numbers themselves.
    pub levels: &'a [String],
    /// What rings stand for, and where they are.
    pub rings: &'a [(&'a str, &'a [(f64, f64)])],
}

/// Levels that the legend names at most.
const MOST_LEVELS: usize = 12;

/// Points (x, y, attribute) with axes of the same kind; the attribute colours them.
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn cloud(
    path: &Path,
    name: &str,
    (x_label, y_label): (&str, &str),
    colouring: &Colouring<'_>,
    points: &[(f64, f64, f64)],
) -> Result<()> {
    let there = |p: &(f64, f64, f64)| p.0.is_finite() && p.1.is_finite();
    let shown: Vec<_> = points.iter().copied().filter(there).collect();
    let x = Axis::linear(range(shown.iter().map(|p| p.0)), 0.06, 5);
    let y = Axis::linear(range(shown.iter().map(|p| p.1)), 0.06, 5);
    let left = y_labels_width(&y) + 44.0;
    let width = left + SIDE + 30.0;
    let mut frame = Frame { left, top: 0.0, width: SIDE, height: SIDE, x, y };
    let limits = match colouring.levels.len() {
        0 => range(shown.iter().map(|p| p.2)),
        levels => Some((0.0, levels as f64 - 1.0)),
    };
    let of_value = |v: f64| match limits {
        _ if !v.is_finite() => GREY,
        Some((lo, hi)) if hi > lo => colour((v - lo) / (hi - lo)),
        _ => colour(0.5),
    };
    let by = colouring.by;
    let mut entries: Vec<(Sign, String)> = match limits {
        Some(_) if !colouring.levels.is_empty() => (colouring.levels.iter().enumerate().take(MOST_LEVELS))
            .map(|(i, level)| (Sign::Dot(of_value(i as f64)), format!("{by} {level}")))
            .collect(),
        Some((lo, hi)) => [0.0, 0.5, 1.0]
            .iter()
            .map(|s| (Sign::Dot(colour(*s)), format!("{by} {}", short(lo + s * (hi - lo)))))
            .collect(),
        None => vec![],
    };
    if colouring.levels.len() > MOST_LEVELS {
        entries.push((Sign::Nothing, format!("(and {} more)", whole(colouring.levels.len() - MOST_LEVELS))));
    }
    let unknown = shown.iter().filter(|p| !p.2.is_finite()).count();
    if unknown > 0 {
        entries.push((Sign::Dot(GREY), format!("{by} not known")));
    }
    if shown.len() < points.len() {
        entries.push((Sign::Nothing, format!("({} not finite)", whole(points.len() - shown.len()))));
    }
    let rings = || colouring.rings.iter().enumerate().map(|(i, ring)| (RINGS[i % RINGS.len()], ring));
    entries.extend(rings().map(|(colour, ring)| (Sign::Ring(colour), ring.0.to_string())));
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
            canvas.dot(frame.at((p.0, p.1)), 4.0, Pen::new(of_value(p.2), 0.0).opacity(0.85));
        }
        for (colour, (_, places)) in rings() {
            for at in places.iter().filter(|p| p.0.is_finite() && p.1.is_finite()) {
                canvas.ring(frame.at(*at), 7.0, Pen::new(colour, 2.0));
            }
        }
    })
}
