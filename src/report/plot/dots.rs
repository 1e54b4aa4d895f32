//! Named values below one another, each with how sure it is.

use std::path::Path;

use super::axis::{Axis, range};
use super::canvas::{BLUE, GREY, ORANGE, Pen, fitted, page};
use super::frame::{BELOW_TITLE, Frame, Legend, NORMAL, Sign, title, y_labels_width};
use crate::error::Result;

/// A named value.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DotRow<'a> {
    /// Its name.
    pub name: &'a str,
    /// The value.
    pub value: f64,
    /// Its standard error.
    pub error: Option<f64>,
    /// A second value beside it.
    pub beside: Option<f64>,
}

impl<'a> DotRow<'a> {
    /// A value alone.
    pub fn new(name: &'a str, value: f64) -> DotRow<'a> {
        DotRow { name, value, error: None, beside: None }
    }

    /// The same with a standard error.
    #[must_use]
    pub fn with_error(self, error: Option<f64>) -> DotRow<'a> {
        DotRow { error, ..self }
    }

    /// The same with a second value.
    #[must_use]
    pub fn with_beside(self, beside: Option<f64>) -> DotRow<'a> {
        DotRow { beside, ..self }
    }
}

/// Height of a row, pixels.
const ROW: f64 = 24.0;
/// Width of the frame, pixels.
const WIDTH: f64 = 430.0;
/// Width of a name at most, pixels.
const NAME: f64 = 360.0;

/// Rows of named values from the top, on one axis `label`, which is logarithmic where they span more than a decade; `names` are what the values and those beside
/// them are called.
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn dots(path: &Path, name: &str, label: &str, names: [&str; 2], rows: &[DotRow<'_>]) -> Result<()> {
    let values = |row: &DotRow<'_>| {
        let error = row.error.unwrap_or(0.0);
        [row.value - error, row.value, row.value + error, row.beside.unwrap_or(row.value)]
    };
    let all = range(rows.iter().flat_map(values));
    let x = match all {
        Some((lo, hi)) if lo > 0.0 && hi > 10.0 * lo => Axis::log(all, 5),
        _ => Axis::linear(all, 0.06, 5),
    };
    // From the top: the axis counts from below.
    let y = Axis::names(rows.iter().rev().map(|row| fitted(row.name, NORMAL, NAME)));
    let left = y_labels_width(&y) + 30.0;
    let (width, height) = (left + WIDTH + 30.0, ROW * rows.len().max(1) as f64 + 10.0);
    let has_error = rows.iter().any(|row| row.error.is_some());
    let what = if has_error { format!("{} ± standard error", names[0]) } else { names[0].to_string() };
    let mut entries = vec![(Sign::Dot(BLUE), what)];
    if rows.iter().any(|row| row.beside.is_some()) {
        entries.push((Sign::Ring(ORANGE), names[1].to_string()));
    }
    let legend = Legend::new(entries, width - 20.0);
    let top = BELOW_TITLE + legend.height() + 10.0;
    let frame = Frame { left, top, width: WIDTH, height, x, y };
    page(path, width, top + height + 50.0, |canvas| {
        title(canvas, name, width);
        legend.draw(canvas, width / 2.0, BELOW_TITLE);
        frame.draw(canvas, label, "");
        if all.is_none() {
            frame.say_empty(canvas);
        }
        for (i, row) in rows.iter().rev().enumerate() {
            let at = |v: f64| Some(frame.at((v, i as f64))).filter(|at| v.is_finite() && frame.holds(*at));
            if let (Some(error), Some(_)) = (row.error.filter(|e| e.is_finite()), at(row.value)) {
                let ends = [row.value - error, row.value + error].map(|v| (v, i as f64));
                frame.line(canvas, &ends, Pen::new(GREY, 1.4));
            }
            if let Some(at) = at(row.value) {
                canvas.dot(at, 3.6, Pen::new(BLUE, 0.0));
            }
            if let Some(at) = row.beside.and_then(at) {
                canvas.ring(at, 3.6, Pen::new(ORANGE, 1.4));
            }
        }
    })
}
