//! What is said at every place of a plane: maps of colours with axes, side by side.

use super::axis::Axis;
use super::canvas::{Align, BLACK, Canvas, GREY, Pen, SERIES, Type, page};
use super::frame::{BELOW_TITLE, Frame, Legend, SMALL, Sign, title, y_labels_width};
use crate::error::{Error, Result};
use plotters::style::RGBColor;
use std::path::Path;

/// One map.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanePanel {
    /// What stands over it.
    pub title: String,
    /// `size * size` numbers, a row for each place on the second axis, the lowest first: of choices which one, else a number from −1 to 1.
    pub values: Vec<f32>,
}

/// A map's side, pixels.
const SIDE: f64 = 240.0;
const GAP: f64 = 30.0;

/// Maps over a plane with these axes (a label, and from where to where), and a line of places through each of them. `choices` are the names of what is chosen from;
/// where there are none, numbers are shown: blue is −1, white 0, orange 1. A jump across the plane is no line.
///
/// # Errors
/// [`Error::Shape`] when a map does not have `size * size` numbers; [`Error::Io`] when the file cannot be written.
pub fn planes(
    path: &Path,
    name: &str,
    axes: [(&str, [f64; 2]); 2],
    (size, panels): (usize, &[PlanePanel]),
    choices: &[String],
    way: &[(f64, f64)],
) -> Result<()> {
    if let Some(panel) = panels.iter().find(|p| p.values.len() != size * size) {
        let text = format!("map '{}' has {} values, not {size} x {size}", panel.title, panel.values.len());
        return Err(Error::Shape(text));
    }
    let axis = |[low, high]: [f64; 2]| Axis::linear(Some((low, high)), 0.0, 5);
    let (x, y) = (axis(axes[0].1), axis(axes[1].1));
    let left = y_labels_width(&y) + 44.0;
    let each = left + SIDE;
    let width = (panels.len().max(1) as f64 * each + GAP).max(360.0);
    let mut entries: Vec<(Sign, String)> =
        choices.iter().enumerate().map(|(i, c)| (Sign::Dot(SERIES[i % SERIES.len()]), c.clone())).collect();
    if choices.is_empty() {
        let signs = [Sign::Dot(mixed(-1.0)), Sign::Ring(GREY), Sign::Dot(mixed(1.0))];
        entries.extend(signs.into_iter().zip(["-1", "0", "1"]).map(|(sign, text)| (sign, text.to_string())));
    }
    if way.len() > 1 {
        entries.push((Sign::Line(Pen::new(BLACK, 1.5)), "a roll-out".into()));
    }
    let legend = Legend::new(entries, width - 24.0);
    let top = BELOW_TITLE + legend.height() + 26.0;
    page(path, width, top + SIDE + 50.0, |canvas| {
        title(canvas, name, width);
        legend.draw(canvas, width / 2.0, BELOW_TITLE);
        for (i, panel) in panels.iter().enumerate() {
            let at = left + i as f64 * each;
            let frame = Frame { left: at, top, width: SIDE, height: SIDE, x: x.clone(), y: y.clone() };
            canvas.text(&panel.title, at + SIDE / 2.0, top - 12.0, Type::new(SMALL, Align::Middle));
            frame.draw(canvas, axes[0].0, axes[1].0);
            colored(canvas, (at, top), size, &panel.values, !choices.is_empty());
            for pair in way.windows(2) {
                // A jump across the plane is a new episode, or a turn.
                let [a, b] = [pair[0], pair[1]].map(|p| frame.at(p));
                if (a.0 - b.0).hypot(a.1 - b.1) < SIDE / 3.0 {
                    frame.line(canvas, pair, Pen::new(BLACK, 1.5));
                }
            }
        }
    })
}

/// The map itself: runs of one colour in a row as rectangles.
fn colored(canvas: &mut Canvas, (left, top): (f64, f64), size: usize, values: &[f32], chosen: bool) {
    let cell = SIDE / size as f64;
    let of = |v: f32| match chosen {
        true => SERIES[(v.max(0.0) as usize) % SERIES.len()],
        // In sixteenths, so that neighbours are one rectangle.
        false => mixed((f64::from(v).clamp(-1.0, 1.0) * 16.0).round() / 16.0),
    };
    for (row, values) in values.chunks(size).enumerate() {
        let y = top + SIDE - (row + 1) as f64 * cell;
        // A little more to the right and down: no seam shows between neighbours.
        let below = if row > 0 { 0.5 } else { 0.0 };
        let mut start = 0;
        while start < size {
            let color = of(values[start]);
            let many = values[start..].iter().take_while(|v| of(**v) == color).count();
            let overlap = if start + many < size { 0.5 } else { 0.0 };
            canvas.rect(left + start as f64 * cell, y, many as f64 * cell + overlap, cell + below, color);
            start += many;
        }
    }
}

/// From blue (−1) over white to orange (1).
fn mixed(v: f64) -> RGBColor {
    let full = if v < 0.0 { SERIES[0] } else { SERIES[4] };
    let mix = |to: u8| (255.0 + (f64::from(to) - 255.0) * v.abs()).round() as u8;
    RGBColor(mix(full.0), mix(full.1), mix(full.2))
}
