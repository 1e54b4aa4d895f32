//! Signed-distance fields in two dimensions, side by side: the shape as it is, as the network drew it before
//! adaptation, and after.

use super::axis::short;
use super::canvas::{Align, BLACK, BLUE, Canvas, GREY, ORANGE, Pen, Type, fitted, page};
use super::contour::zero_lines;
use super::frame::{BELOW_TITLE, Legend, NORMAL, SMALL, Sign, example, title};
use crate::error::{Error, Result};
use plotters::style::RGBColor;
use std::path::Path;

/// One task: three fields on the square from -1 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldPanel {
    /// What stands over the row.
    pub title: String,
    /// Values along each side.
    pub size: usize,
    /// The true field, `size * size` values, row-major, the row of y = -1 first; negative inside.
    pub truth: Vec<f32>,
    /// The field before adaptation, of the same size.
    pub before: Vec<f32>,
    /// The field after adaptation, of the same size.
    pub after: Vec<f32>,
    /// Where the examples were taken, as (x, y).
    pub support: Vec<(f32, f32)>,
}

/// A field's side, pixels: a multiple of 64, so that cells of common sizes fill whole pixels.
const SIDE: f64 = 192.0;
const COLUMN_GAP: f64 = 16.0;
const ROW_GAP: f64 = 34.0;
const LEFT: f64 = 20.0;
/// Most rectangles a field; with the colours below that keeps six tasks under a megabyte.
const MOST_RECTANGLES: usize = 650;
/// Coarser and coarser ways to draw a field: bands of colour on each side of zero, and how
/// many times fewer cells along each side.
const COARSENESS: [(i32, usize); 6] = [(6, 1), (4, 1), (4, 2), (2, 2), (2, 4), (1, 8)];

/// Fields as maps, a row a task: truth, before, after. Blue is inside (negative), orange outside; the bold
/// line is the surface (zero), the dots on the true field the examples that the task was learnt from. One
/// scale of colours holds for all.
///
/// # Errors
/// [`Error::Shape`] when a field does not have `size * size` values; [`Error::Io`] when the file cannot be
/// written.
pub fn fields(path: &Path, name: &str, panels: &[FieldPanel]) -> Result<()> {
    for panel in panels {
        for (which, field) in [("truth", &panel.truth), ("before", &panel.before), ("after", &panel.after)] {
            if Some(field.len()) != panel.size.checked_mul(panel.size) {
                let (found, n) = (field.len(), panel.size);
                let text = format!("field '{which}' of '{}' has {found} values, not {n} x {n}", panel.title);
                return Err(Error::Shape(text));
            }
        }
    }
    let largest = |values: &mut dyn Iterator<Item = &f32>| {
        values.filter(|v| v.is_finite()).fold(0.0f32, |m, v| m.max(v.abs()))
    };
    // The scale is the truth's; predictions far off it are drawn in the last colour.
    let of_truth = largest(&mut panels.iter().flat_map(|p| &p.truth));
    let of_all = largest(&mut panels.iter().flat_map(|p| p.truth.iter().chain(&p.before).chain(&p.after)));
    let scale = [of_truth, of_all, 1.0].into_iter().find(|s| *s > 0.0).map_or(1.0, f64::from);

    let entries = vec![
        (Sign::Line(Pen::new(BLACK, 2.0)), "surface (zero)".to_string()),
        (Sign::Dot(BLACK), "examples learnt from".to_string()),
    ];
    let width = LEFT + 3.0 * SIDE + 2.0 * COLUMN_GAP + 96.0;
    let legend = Legend::new(entries, width - 20.0);
    let top = BELOW_TITLE + legend.height() + 48.0;
    let rows = panels.len().max(1) as f64;
    page(path, width, top + rows * (SIDE + ROW_GAP) - ROW_GAP + 24.0, |canvas| {
        title(canvas, name, width);
        legend.draw(canvas, width / 2.0, BELOW_TITLE);
        let left = |column: usize| LEFT + column as f64 * (SIDE + COLUMN_GAP);
        for (column, text) in ["truth", "before adaptation", "after adaptation"].iter().enumerate() {
            canvas.text(text, left(column) + SIDE / 2.0, top - 30.0, Type::new(NORMAL, Align::Middle).bold());
        }
        for (row, panel) in panels.iter().enumerate() {
            let y = top + row as f64 * (SIDE + ROW_GAP);
            let text = fitted(&panel.title, SMALL, 3.0 * SIDE);
            canvas.text(&text, LEFT, y - 10.0, Type::new(SMALL, Align::Left));
            for (column, field) in [&panel.truth, &panel.before, &panel.after].into_iter().enumerate() {
                draw(canvas, (left(column), y), field, panel.size, scale);
            }
            for (x, y_up) in &panel.support {
                if x.abs() <= 1.0 && y_up.abs() <= 1.0 {
                    let place = |v: f64| (v + 1.0) / 2.0 * SIDE;
                    example(
                        canvas,
                        (left(0) + place(f64::from(*x)), y + SIDE - place(f64::from(*y_up))),
                        2.3,
                    );
                }
            }
        }
        if panels.is_empty() {
            canvas.text(
                "no fields to show",
                left(1) + SIDE / 2.0,
                top + SIDE / 2.0,
                Type::new(NORMAL, Align::Middle),
            );
        } else {
            color_bar(canvas, left(2) + SIDE + 24.0, top, scale);
        }
    })
}

/// One field with its surface and a rim.
fn draw(canvas: &mut Canvas, (left, top): (f64, f64), values: &[f32], size: usize, scale: f64) {
    let boxes = COARSENESS
        .iter()
        .map(|(bands, skip)| (*bands, *skip, rectangles(values, size, scale, *bands, *skip)));
    let mut boxes = boxes.skip_while(|(_, skip, found)| found.len() > MOST_RECTANGLES && *skip < 8);
    if let Some((bands, skip, found)) = boxes.next() {
        let n = size.div_ceil(skip).max(1);
        let edge = |i: usize| (i as f64 * SIDE / n as f64).min(SIDE);
        for b in found {
            // Row 0 is the lowest on the page. A little more than its share, to the right and down: what is
            // drawn later covers it, and no seam shows between neighbours.
            let (x, y) = (edge(b.column), SIDE - edge(b.row + b.rows));
            let w = (edge(b.column + b.columns) + 0.5).min(SIDE) - x;
            let h = (SIDE - edge(b.row) + 0.5).min(SIDE) - y;
            canvas.rect(
                left + x,
                top + y,
                w,
                h,
                b.band.map_or(RGBColor(0xDD, 0xDD, 0xDD), |k| color(k, bands)),
            );
        }
    }
    // Values stand in the middle of their cells.
    let place = |i: f64| (i + 0.5) * SIDE / size as f64;
    // A field of noise has no surface worth its bytes.
    let lines = zero_lines(values, size);
    if lines.iter().map(Vec::len).sum::<usize>() <= 12 * size {
        for line in lines {
            let line: Vec<_> = line.iter().map(|(c, r)| (left + place(*c), top + SIDE - place(*r))).collect();
            canvas.line(&line, Pen::new(BLACK, 2.0));
        }
    }
    let (right, bottom) = (left + SIDE, top + SIDE);
    let rim = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
    canvas.line(&rim, Pen::new(GREY, 0.8));
}

/// Cells of one colour, in units of the grid, upwards from the lowest row.
struct Rectangle {
    column: usize,
    row: usize,
    columns: usize,
    rows: usize,
    /// `None` where the value is not finite.
    band: Option<i32>,
}

/// The field as few rectangles: runs of one colour in a row, joined with the same run in the row above it.
fn rectangles(values: &[f32], size: usize, scale: f64, bands: i32, skip: usize) -> Vec<Rectangle> {
    let n = size.div_ceil(skip);
    let band = |row: usize, column: usize| band(values[row * skip * size + column * skip], scale, bands);
    let mut done = Vec::new();
    let mut open: Vec<Rectangle> = Vec::new();
    // From the top of the page down, the order in which they cover each other's rims.
    for row in (0..n).rev() {
        let mut runs: Vec<Rectangle> = Vec::new();
        for column in 0..n {
            let band = band(row, column);
            match runs.last_mut() {
                Some(run) if run.band == band => run.columns += 1,
                _ => runs.push(Rectangle { column, row, columns: 1, rows: 1, band }),
            }
        }
        let (mut kept, mut above) = (Vec::new(), open.into_iter().peekable());
        for mut run in runs {
            while let Some(old) = above.next_if(|old| old.column < run.column) {
                done.push(old);
            }
            let same =
                |old: &Rectangle| (old.column, old.columns, old.band) == (run.column, run.columns, run.band);
            if let Some(old) = above.next_if(same) {
                run.rows += old.rows;
            }
            kept.push(run);
        }
        done.extend(above);
        open = kept;
    }
    done.extend(open);
    done.sort_by_key(|b| (std::cmp::Reverse(b.row + b.rows), b.column));
    done
}

/// The band of a value: 1 and up outside, -1 and down inside.
fn band(value: f32, scale: f64, bands: i32) -> Option<i32> {
    if !value.is_finite() {
        return None;
    }
    let steps = (f64::from(value.abs()) / scale * f64::from(bands)).ceil().clamp(1.0, f64::from(bands));
    Some(if value < 0.0 { -(steps as i32) } else { steps as i32 })
}

/// Blue inside, orange outside, paler towards the surface.
fn color(band: i32, bands: i32) -> RGBColor {
    let full = if band < 0 { BLUE } else { ORANGE };
    let t = 0.12 + 0.78 * (f64::from(band.abs()) - 0.5) / f64::from(bands);
    let mix = |to: u8| (255.0 + (f64::from(to) - 255.0) * t).round() as u8;
    RGBColor(mix(full.0), mix(full.1), mix(full.2))
}

/// The scale of colours at the right of the first row.
fn color_bar(canvas: &mut Canvas, left: f64, top: f64, scale: f64) {
    let bands = COARSENESS[0].0;
    let step = SIDE / f64::from(2 * bands);
    for (i, k) in (1..=bands).rev().chain((1..=bands).map(|k| -k)).enumerate() {
        canvas.rect(
            left,
            top + i as f64 * step,
            14.0,
            step + if k == -bands { 0.0 } else { 0.5 },
            color(k, bands),
        );
    }
    let middle = top + SIDE / 2.0;
    canvas.line(&[(left, middle), (left + 14.0, middle)], Pen::new(BLACK, 2.0));
    let how = Type::new(SMALL, Align::Left);
    for (y, text) in [(top, short(scale)), (middle, "0".into()), (top + SIDE, short(-scale))] {
        canvas.text(&text, left + 19.0, y, how);
    }
    canvas.text("outside", left + 19.0, top + SIDE / 4.0, how.color(GREY));
    canvas.text("inside", left + 19.0, top + SIDE * 0.75, how.color(GREY));
}
