//! Which class was taken for which: the confusion matrix as a heat map.

use super::axis::{fixed, whole};
use super::canvas::{Align, BLACK, BLUE, GREY, Pen, Type, WHITE, fitted, page, text_width};
use super::frame::{NORMAL, SMALL, title};
use crate::error::{Error, Result};
use plotters::style::RGBColor;
use std::path::Path;

/// The longest label of a class, pixels.
const LONGEST_LABEL: f64 = 150.0;

/// A confusion matrix: `counts[a][b]` examples of class `a` were taken for class `b`. Cells are shaded by
/// their share of the row, so that rare classes show as much as frequent ones; the share of the diagonal in
/// all stands below the title.
///
/// # Errors
/// [`Error::Shape`] when `counts` is not as long and as wide as `classes`; [`Error::Io`] when the file cannot
/// be written.
pub fn confusion(path: &Path, name: &str, classes: &[String], counts: &[Vec<usize>]) -> Result<()> {
    let n = classes.len();
    if let Some(row) = counts.iter().find(|row| row.len() != n) {
        return Err(Error::Shape(format!(
            "a row of the confusion matrix has {} counts for {n} classes",
            row.len()
        )));
    }
    if counts.len() != n {
        return Err(Error::Shape(format!("the confusion matrix has {} rows for {n} classes", counts.len())));
    }
    let cell = (460.0 / n.max(1) as f64).floor().clamp(6.0, 84.0);
    // Too small for text, the shades must do.
    let label_size = (cell * 0.8).clamp(5.0, SMALL + 0.5);
    let stride = if cell >= 8.0 { 1 } else { 2 };
    let labels: Vec<_> = classes.iter().map(|c| fitted(c, label_size, LONGEST_LABEL)).collect();
    let longest = labels.iter().map(|l| text_width(l, label_size)).fold(0.0, f64::max);
    // Labels of columns stand upright if one is wider than its column.
    let upright = longest > cell - 4.0;
    let below = if upright { longest } else { label_size };
    let left = 40.0 + longest + 8.0;
    let side = if n == 0 { 200.0 } else { cell * n as f64 };
    let (width, top) = ((left + side + 40.0).max(360.0), 64.0);
    let left = left + (width - (left + side + 40.0)) / 2.0;
    let height = top + side + below + 46.0;

    let total: u128 = counts.iter().flatten().map(|c| *c as u128).sum();
    let right: u128 = (0..n).map(|i| counts[i][i] as u128).sum();
    let summary = match total {
        0 => "no examples".to_string(),
        _ => {
            let share = 100.0 * right as f64 / total as f64;
            format!("accuracy {share:.1} % of {} examples", fixed(total as f64, 0))
        }
    };
    page(path, width, height, |canvas| {
        title(canvas, name, width);
        canvas.text(&summary, width / 2.0, 43.0, Type::new(NORMAL, Align::Middle).color(GREY));
        for (i, row) in counts.iter().enumerate() {
            let sum: u128 = row.iter().map(|c| *c as u128).sum();
            let y = top + cell * i as f64;
            for (j, count) in row.iter().enumerate() {
                let x = left + cell * j as f64;
                let share = if sum == 0 { 0.0 } else { *count as f64 / sum as f64 };
                // A thin gap keeps pale cells apart.
                canvas.rect(x, y, cell - 1.0, cell - 1.0, shade(share));
                let text = whole(*count);
                let size = (cell * 0.4).min(13.0).min(13.0 * (cell - 3.0) / text_width(&text, 13.0));
                if *count > 0 && size >= 5.5 {
                    let color = if share > 0.55 { WHITE } else { BLACK };
                    canvas.text(
                        &text,
                        x + cell / 2.0,
                        y + cell / 2.0,
                        Type::new(size, Align::Middle).color(color),
                    );
                }
            }
        }
        let rim = Pen::new(GREY, 1.0);
        let (x1, y1) = (left + side, top + side);
        canvas.line(&[(left, top), (x1, top), (x1, y1), (left, y1), (left, top)], rim);
        for (i, label) in labels.iter().enumerate().step_by(stride) {
            let along = cell * (i as f64 + 0.5);
            canvas.text(label, left - 7.0, top + along, Type::new(label_size, Align::Right));
            let (x, y) = (left + along, y1 + 7.0);
            if upright {
                canvas.text(label, x, y, Type::new(label_size, Align::Right).upwards());
            } else {
                canvas.text(label, x, y + label_size / 2.0, Type::new(label_size, Align::Middle));
            }
        }
        let how = Type::new(NORMAL, Align::Middle);
        canvas.text("predicted class", left + side / 2.0, height - 16.0, how);
        canvas.text("true class", left - longest - 24.0, top + side / 2.0, how.upwards());
        if n == 0 {
            canvas.text("no classes", left + side / 2.0, top + side / 2.0, how.color(GREY));
        }
    })
}

/// White to blue; what is small but not nothing is still told from white.
pub(super) fn shade(share: f64) -> RGBColor {
    let t = if share > 0.0 { 0.06 + 0.94 * share } else { 0.0 };
    let mix = |to: u8| (255.0 + (f64::from(to) - 255.0) * t).round() as u8;
    RGBColor(mix(BLUE.0), mix(BLUE.1), mix(BLUE.2))
}
