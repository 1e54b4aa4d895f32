//! What every chart shares: the title, a frame with axes, a grid and descriptions, lines cut at the frame,
//! and a legend that stands beside the data, never on it.

use super::axis::Axis;
use super::canvas::{Align, BLACK, Canvas, GREY, GRID, Pen, Type, WHITE, text_width};
use plotters::style::RGBColor;

/// Size of tick labels, pixels.
pub(super) const SMALL: f64 = 11.0;
/// Size of descriptions and legends, pixels.
pub(super) const NORMAL: f64 = 12.5;
/// Height of a row of the legend, pixels.
const LEGEND_ROW: f64 = 19.0;
/// Where the legend begins, below the title.
pub(super) const BELOW_TITLE: f64 = 38.0;

/// A rectangle in pixels that shows a stretch of two axes.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

/// The sign before a legend's text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sign {
    Line(Pen),
    /// A line with dots on it.
    DottedLine(Pen),
    Dot(RGBColor),
    Ring(RGBColor),
    /// Text alone, in grey: a remark.
    Nothing,
}

/// The title over the page, smaller where it would not fit.
pub(super) fn title(canvas: &mut Canvas, text: &str, page_width: f64) {
    let size = (16.0 * (page_width - 24.0) / text_width(text, 17.0).max(1.0)).clamp(8.0, 16.0);
    canvas.text(text, page_width / 2.0, 20.0, Type::new(size, Align::Middle).bold());
}

impl Frame {
    /// The grid, the axes and their descriptions. Drawn before the data.
    pub(super) fn draw(&self, canvas: &mut Canvas, x_label: &str, y_label: &str) {
        let (bottom, right) = (self.top + self.height, self.left + self.width);
        let at_x = |place: f64| self.left + place * self.width;
        let at_y = |place: f64| bottom - place * self.height;
        let faint = Pen::new(GRID, 0.5).opacity(0.7);
        for place in &self.x.minor {
            canvas.line(&[(at_x(*place), self.top), (at_x(*place), bottom)], faint);
        }
        for place in &self.y.minor {
            canvas.line(&[(self.left, at_y(*place)), (right, at_y(*place))], faint);
        }
        let (light, tick) = (Pen::new(GRID, 0.8), Pen::new(GREY, 0.8));
        for (place, label) in &self.x.ticks {
            let x = at_x(*place);
            canvas.line(&[(x, self.top), (x, bottom)], light);
            canvas.line(&[(x, bottom), (x, bottom + 4.0)], tick);
            canvas.text(label, x, bottom + 13.0, Type::new(SMALL, Align::Middle));
        }
        for (place, label) in &self.y.ticks {
            let y = at_y(*place);
            canvas.line(&[(self.left, y), (right, y)], light);
            canvas.line(&[(self.left - 4.0, y), (self.left, y)], tick);
            canvas.text(label, self.left - 7.0, y, Type::new(SMALL, Align::Right));
        }
        canvas.line(&[(self.left, self.top), (self.left, bottom), (right, bottom)], Pen::new(GREY, 1.0));
        canvas.text(x_label, self.left + self.width / 2.0, bottom + 32.0, Type::new(NORMAL, Align::Middle));
        let (x, y) = (self.left - y_labels_width(&self.y) - 18.0, self.top + self.height / 2.0);
        canvas.text(y_label, x, y, Type::new(NORMAL, Align::Middle).upwards());
    }

    /// Says that there is nothing to show.
    pub(super) fn say_empty(&self, canvas: &mut Canvas) {
        let (x, y) = (self.left + self.width / 2.0, self.top + self.height / 2.0);
        canvas.text("no finite values to show", x, y, Type::new(NORMAL, Align::Middle).color(GREY));
    }

    /// Where a point of the data lies, in pixels.
    pub(super) fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let bottom = self.top + self.height;
        (self.left + self.x.place(x) * self.width, bottom - self.y.place(y) * self.height)
    }

    /// Whether a point in pixels lies in the frame, its edge included.
    pub(super) fn holds(&self, (x, y): (f64, f64)) -> bool {
        let (right, bottom) = (self.left + self.width, self.top + self.height);
        (self.left - 0.01..=right + 0.01).contains(&x) && (self.top - 0.01..=bottom + 0.01).contains(&y)
    }

    /// A line through points of the data, broken at those that are not finite and cut at the frame.
    pub(super) fn line(&self, canvas: &mut Canvas, points: &[(f64, f64)], pen: Pen) {
        let finite = |p: &(f64, f64)| p.0.is_finite() && p.1.is_finite();
        let mut drawn: Vec<(f64, f64)> = Vec::new();
        for pair in points.windows(2) {
            let cut = match pair {
                [a, b] if finite(a) && finite(b) => self.cut(self.at(*a), self.at(*b)),
                _ => None,
            };
            match cut {
                Some((a, b)) => {
                    if drawn.last() != Some(&a) {
                        canvas.line(&drawn, pen);
                        drawn = vec![a];
                    }
                    drawn.push(b);
                }
                None => {
                    canvas.line(&drawn, pen);
                    drawn.clear();
                }
            }
        }
        canvas.line(&drawn, pen);
    }

    /// The part of a stretch that lies in the frame (Liang and Barsky).
    fn cut(&self, a: (f64, f64), b: (f64, f64)) -> Option<((f64, f64), (f64, f64))> {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let (mut from, mut to) = (0.0f64, 1.0f64);
        let sides = [
            (-dx, a.0 - self.left),
            (dx, self.left + self.width - a.0),
            (-dy, a.1 - self.top),
            (dy, self.top + self.height - a.1),
        ];
        for (slope, room) in sides {
            if slope == 0.0 {
                if room < -0.01 {
                    return None;
                }
            } else if slope < 0.0 {
                from = from.max(room / slope);
            } else {
                to = to.min(room / slope);
            }
        }
        let point =
            |t: f64, end: (f64, f64)| if t == 0.0 || t == 1.0 { end } else { (a.0 + t * dx, a.1 + t * dy) };
        (from <= to).then(|| (point(from, a), point(to, b)))
    }
}

/// Room that the labels of a y axis take, in pixels.
pub(super) fn y_labels_width(axis: &Axis) -> f64 {
    axis.ticks.iter().map(|(_, label)| text_width(label, SMALL)).fold(10.0, f64::max)
}

/// A small black dot with a white rim, for the examples of a task.
pub(super) fn example(canvas: &mut Canvas, at: (f64, f64), radius: f64) {
    canvas.dot(at, radius + 0.9, Pen::new(WHITE, 0.0));
    canvas.dot(at, radius, Pen::new(BLACK, 0.0));
}

/// Legends in rows, as many as the width asks for.
pub(super) struct Legend(Vec<Vec<(Sign, String)>>);

fn entry_width((sign, text): &(Sign, String)) -> f64 {
    let sign = match sign {
        Sign::Line(_) | Sign::DottedLine(_) => 32.0,
        Sign::Dot(_) | Sign::Ring(_) => 16.0,
        Sign::Nothing => 0.0,
    };
    sign + text_width(text, NORMAL) + 20.0
}

impl Legend {
    pub(super) fn new(entries: Vec<(Sign, String)>, width: f64) -> Legend {
        let mut rows: Vec<Vec<_>> = Vec::new();
        let mut left = 0.0;
        for entry in entries {
            let needs = entry_width(&entry);
            match rows.last_mut() {
                Some(row) if needs <= left => row.push(entry),
                _ => {
                    rows.push(vec![entry]);
                    left = width;
                }
            }
            left -= needs;
        }
        Legend(rows)
    }

    /// Pixels.
    pub(super) fn height(&self) -> f64 {
        self.0.len() as f64 * LEGEND_ROW
    }

    /// Draws the rows around the middle `x`, from `y` down.
    pub(super) fn draw(&self, canvas: &mut Canvas, middle: f64, y: f64) {
        for (row, y) in self.0.iter().zip((0..).map(|i| y + (f64::from(i) + 0.5) * LEGEND_ROW)) {
            let mut x = middle - (row.iter().map(entry_width).sum::<f64>() - 20.0) / 2.0;
            for entry in row {
                let text_at = x + entry_width(entry) - text_width(&entry.1, NORMAL) - 20.0;
                match entry.0 {
                    Sign::Line(pen) => canvas.line(&[(x, y), (x + 25.0, y)], pen),
                    Sign::DottedLine(pen) => {
                        canvas.line(&[(x, y), (x + 25.0, y)], pen);
                        canvas.dot((x + 12.5, y), 3.2, Pen::new(pen.color, 0.0));
                    }
                    Sign::Dot(color) => canvas.dot((x + 5.0, y), 3.2, Pen::new(color, 0.0)),
                    Sign::Ring(color) => canvas.ring((x + 5.0, y), 3.0, Pen::new(color, 1.2)),
                    Sign::Nothing => {}
                }
                let color = if matches!(entry.0, Sign::Nothing) { GREY } else { BLACK };
                canvas.text(&entry.1, text_at, y, Type::new(NORMAL, Align::Left).color(color));
                x += entry_width(entry);
            }
        }
    }
}
