//! How good learners were on each task behind each task: heat maps side by side.

use std::path::Path;

use super::canvas::{Align, BLACK, GREY, Pen, Type, WHITE, fitted, page, text_width};
use super::confusion::shade;
use super::frame::{NORMAL, SMALL, title};
use crate::error::Result;

/// The matrix of one learner.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MatrixPanel<'a> {
    /// What it is called.
    pub name: &'a str,
    /// `[i][j]`: how good it was on task j behind task i.
    pub values: &'a [Vec<f64>],
}

impl<'a> MatrixPanel<'a> {
    /// A panel.
    pub fn new(name: &'a str, values: &'a [Vec<f64>]) -> MatrixPanel<'a> {
        MatrixPanel { name, values }
    }
}

/// Panels in a row, at most.
const IN_A_ROW: usize = 4;
/// Width of a matrix, pixels.
const SIDE: f64 = 168.0;

/// Heat maps of `panels`, in rows of four: tasks from the top in the order in which they were learned, and behind each how good the learner was on all. Shares of 1 where
/// `errors` is not set, and darker is better; of errors darker is worse, up to the largest of a panel.
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn matrices(path: &Path, name: &str, errors: bool, panels: &[MatrixPanel<'_>]) -> Result<()> {
    let columns = panels.len().clamp(1, IN_A_ROW);
    let rows = panels.len().div_ceil(IN_A_ROW).max(1);
    let (gap, top, head) = (34.0, 56.0, 26.0);
    let width = 30.0 + columns as f64 * (SIDE + gap);
    let height = top + rows as f64 * (SIDE + head + 34.0);
    page(path, width, height, |canvas| {
        title(canvas, name, width);
        for (at, panel) in panels.iter().enumerate() {
            let left = 44.0 + (at % IN_A_ROW) as f64 * (SIDE + gap);
            let y0 = top + head + (at / IN_A_ROW) as f64 * (SIDE + head + 34.0);
            let label = fitted(panel.name, NORMAL, SIDE);
            canvas.text(&label, left + SIDE / 2.0, y0 - 12.0, Type::new(NORMAL, Align::Middle));
            let n = panel.values.len().max(1);
            let cell = SIDE / n as f64;
            let all = panel.values.iter().flatten().copied().filter(|v| v.is_finite());
            let most = if errors { all.fold(0.0f64, f64::max).max(1e-12) } else { 1.0 };
            for (i, row) in panel.values.iter().enumerate() {
                for (j, value) in row.iter().enumerate() {
                    let (x, y) = (left + cell * j as f64, y0 + cell * i as f64);
                    let share = if value.is_finite() { (value / most).clamp(0.0, 1.0) } else { 0.0 };
                    let gap = if cell > 4.0 { 1.0 } else { 0.0 };
                    canvas.rect(x, y, cell - gap, cell - gap, shade(share));
                    let text = short(*value, errors);
                    let size = (cell * 0.4).min(SMALL).min(SMALL * (cell - 3.0) / text_width(&text, SMALL));
                    if size >= 5.5 {
                        let color = if share > 0.55 { WHITE } else { BLACK };
                        let how = Type::new(size, Align::Middle).color(color);
                        canvas.text(&text, x + cell / 2.0, y + cell / 2.0, how);
                    }
                }
            }
            let (x1, y1) = (left + SIDE, y0 + SIDE);
            canvas.line(&[(left, y0), (x1, y0), (x1, y1), (left, y1), (left, y0)], Pen::new(GREY, 1.0));
            let how = Type::new(SMALL, Align::Middle).color(GREY);
            canvas.text("judged on task", left + SIDE / 2.0, y1 + 12.0, how);
            if at % IN_A_ROW == 0 {
                canvas.text("behind task", left - 14.0, y0 + SIDE / 2.0, how.upwards());
            }
        }
    })
}

/// A share in hundredths, or an error in two digits.
fn short(value: f64, errors: bool) -> String {
    match errors {
        _ if !value.is_finite() => "?".into(),
        false => format!("{:.0}", 100.0 * value),
        true if value >= 100.0 => format!("{value:.0e}"),
        true if value >= 1.0 => format!("{value:.1}"),
        true => format!("{value:.3}").trim_start_matches('0').into(),
    }
}
