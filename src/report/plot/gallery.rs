//! Pictures and series side by side, each with a line or two of text below.

use super::canvas::{Align, BLUE, GREY, Pen, Type, fitted, page};
use super::frame::{NORMAL, SMALL, title};
use crate::error::{Error, Result};
use std::path::Path;

/// What is shown in a tile.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Shown {
    /// A picture: height and width, channels (1 or 3), and pixels from the top left, channels last.
    Picture([usize; 2], usize, Vec<u8>),
    /// A series, as a line.
    Series(Vec<f32>),
    /// Nothing.
    Empty,
}

/// A tile of a gallery.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// What is shown.
    pub shown: Shown,
    /// Lines of text below.
    pub lines: Vec<String>,
}

/// A tile's side, pixels.
const SIDE: f64 = 96.0;
const GAP: f64 = 14.0;
const LINE: f64 = 13.0;

/// Tiles in rows of `columns`.
///
/// # Errors
/// [`Error::Shape`] when a picture has not as many pixels as its size says; [`Error::Io`] when the file cannot be written.
pub fn gallery(path: &Path, name: &str, columns: usize, tiles: &[Tile]) -> Result<()> {
    for tile in tiles {
        if let Shown::Picture([h, w], channels, pixels) = &tile.shown
            && (pixels.len() != h * w * channels || ![1, 3].contains(channels))
        {
            let n = pixels.len();
            return Err(Error::Shape(format!(
                "a picture of {w} by {h} and {channels} channels has {n} numbers"
            )));
        }
    }
    let lines = tiles.iter().map(|t| t.lines.len()).max().unwrap_or(0);
    let (columns, rows) = (columns.max(1), tiles.len().div_ceil(columns.max(1)));
    let (wide, high) = (SIDE + GAP, SIDE + LINE * lines as f64 + GAP);
    let (width, top) = ((columns as f64 * wide + GAP).max(360.0), 48.0);
    let left = (width - columns as f64 * wide + GAP) / 2.0;
    page(path, width, top + rows.max(1) as f64 * high + 8.0, |canvas| {
        title(canvas, name, width);
        if tiles.is_empty() {
            canvas.text("nothing to show", width / 2.0, top + SIDE / 2.0, Type::new(NORMAL, Align::Middle));
        }
        for (i, tile) in tiles.iter().enumerate() {
            let (x, y) = (left + (i % columns) as f64 * wide, top + (i / columns) as f64 * high);
            match &tile.shown {
                Shown::Picture([h, w], channels, pixels) => {
                    // The longer side fills the tile.
                    let scale = SIDE / (*h).max(*w).max(1) as f64;
                    let (pw, ph) = (*w as f64 * scale, *h as f64 * scale);
                    canvas.picture(
                        x + (SIDE - pw) / 2.0,
                        y + (SIDE - ph) / 2.0,
                        [ph, pw],
                        ([*h, *w], *channels, pixels),
                    );
                }
                Shown::Series(values) => series(canvas, (x, y), values),
                Shown::Empty => {}
            }
            for (l, text) in tile.lines.iter().enumerate() {
                let at = y + SIDE + LINE * (l as f64 + 0.7);
                let text = fitted(text, SMALL, SIDE + GAP - 4.0);
                canvas.text(&text, x + SIDE / 2.0, at, Type::new(SMALL, Align::Middle));
            }
        }
    })
}

fn series(canvas: &mut super::canvas::Canvas<'_>, (x, y): (f64, f64), values: &[f32]) {
    let rim = [(x, y), (x + SIDE, y), (x + SIDE, y + SIDE), (x, y + SIDE), (x, y)];
    canvas.line(&rim, Pen::new(GREY, 0.8));
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let (low, high) = finite().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)));
    let span = f64::from(high - low).max(1e-9);
    let place = |(i, v): (usize, &f32)| {
        let across = (i as f64 + 0.5) / values.len() as f64;
        (x + SIDE * across, y + 4.0 + (SIDE - 8.0) * f64::from(high - v) / span)
    };
    let points: Vec<_> = values.iter().enumerate().filter(|(_, v)| v.is_finite()).map(place).collect();
    canvas.line(&points, Pen::new(BLUE, 1.4));
}
