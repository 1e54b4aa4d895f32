//! How much the elements of a sequence look at one another.

use super::canvas::{Align, GREY, Pen, Type, fitted, page, text_width};
use super::confusion::shade;
use super::frame::{NORMAL, SMALL, title};
use crate::error::{Error, Result};
use std::path::Path;

/// One layer's attention.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionPanel {
    /// The layer.
    pub title: String,
    /// `[elements, elements]`: a row for each that looks, a column for each that is looked at, each row summing to one.
    pub weights: Vec<f64>,
}

/// Longest label of an element, pixels.
const LONGEST: f64 = 60.0;
const GAP: f64 = 26.0;

/// A square a layer, side by side, over elements with these labels: the darker a cell, the more of its row looks there.
///
/// # Errors
/// [`Error::Shape`] where weights are not as many as pairs of elements; [`Error::Io`] when the file cannot be written.
pub fn attention(path: &Path, name: &str, elements: &[String], panels: &[AttentionPanel]) -> Result<()> {
    let n = elements.len();
    if let Some(panel) = panels.iter().find(|p| p.weights.len() != n * n) {
        let message = format!("{} weights of attention for {n} elements", panel.weights.len());
        return Err(Error::Shape(message));
    }
    let cell = (380.0 / n.max(1) as f64).floor().clamp(4.0, 40.0);
    let size = (cell * 0.8).clamp(5.0, SMALL);
    let labels: Vec<String> = elements.iter().map(|e| fitted(e, size, LONGEST)).collect();
    let longest = labels.iter().map(|l| text_width(l, size)).fold(0.0, f64::max);
    let side = cell * n.max(1) as f64;
    let stride = if cell >= 7.0 { 1 } else { (7.0 / cell).ceil() as usize };
    let (top, wide) = (72.0, side + GAP + longest + 10.0);
    let all = longest + 46.0 + wide * panels.len().max(1) as f64;
    let width = all.max(520.0);
    let left = longest + 46.0 + (width - all) / 2.0;
    page(path, width, top + side + longest + 44.0, |canvas| {
        title(canvas, name, width);
        for (p, panel) in panels.iter().enumerate() {
            let x0 = left + wide * p as f64;
            let head = Type::new(NORMAL, Align::Middle).color(GREY);
            canvas.text(&panel.title, x0 + side / 2.0, top - 14.0, head);
            for (i, row) in panel.weights.chunks(n.max(1)).enumerate() {
                for (j, weight) in row.iter().enumerate().filter(|(_, w)| **w > 0.002) {
                    let (x, y) = (x0 + cell * j as f64, top + cell * i as f64);
                    canvas.rect(x, y, cell, cell, shade(weight.clamp(0.0, 1.0)));
                }
            }
            let (x1, y1) = (x0 + side, top + side);
            let rim = [(x0, top), (x1, top), (x1, y1), (x0, y1), (x0, top)];
            canvas.line(&rim, Pen::new(GREY, 1.0));
            for (i, label) in labels.iter().enumerate().step_by(stride) {
                let along = cell * (i as f64 + 0.5);
                canvas.text(label, x0 - 6.0, top + along, Type::new(size, Align::Right));
                canvas.text(label, x0 + along, y1 + 6.0, Type::new(size, Align::Right).upwards());
            }
        }
        let below = "columns: what is looked at; rows: what looks";
        canvas.text(below, width / 2.0, top + side + longest + 28.0, Type::new(NORMAL, Align::Middle));
    })
}
