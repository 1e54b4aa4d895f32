//! Unseen tasks of a regression with one input, a panel each: what the network predicts before and after it
//! has learnt from the examples.

use super::axis::{Axis, range};
use super::canvas::{Align, BLACK, BLUE, Canvas, GREY, ORANGE, Pen, Type, fitted, page};
use super::frame::{BELOW_TITLE, Frame, Legend, NORMAL, Sign, example, title, y_labels_width};
use crate::error::Result;
use std::path::Path;

/// One task. Points are (input, output), those of curves in the order of the input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskPanel {
    /// What stands over the panel.
    pub title: String,
    /// The examples that the task was learnt from.
    pub support: Vec<(f64, f64)>,
    /// The true curve, or true examples.
    pub truth: Vec<(f64, f64)>,
    /// The prediction before adaptation, as a curve.
    pub before: Vec<(f64, f64)>,
    /// The prediction after adaptation, as a curve.
    pub after: Vec<(f64, f64)>,
    /// What each of several networks of the task predicts after adaptation, as curves.
    pub each: Vec<Vec<(f64, f64)>>,
    /// Where the interval of the prediction after adaptation begins and ends, as curves.
    pub interval: [Vec<(f64, f64)>; 2],
    /// Whether `truth` is drawn as points and not as a curve.
    pub truth_is_points: bool,
}

const PANEL_WIDTH: f64 = 226.0;
const PANEL_HEIGHT: f64 = 160.0;
/// Between panels: room for the title of the next and the labels of the one above.
const ROW_GAP: f64 = 52.0;

fn truth_pen() -> Pen {
    Pen::new(GREY, 1.4)
}

fn before_pen() -> Pen {
    Pen::new(ORANGE, 1.7).dashed(6.0, 4.0)
}

fn after_pen() -> Pen {
    Pen::new(BLUE, 1.9)
}

fn each_pen() -> Pen {
    Pen::new(BLUE, 0.7).opacity(0.45)
}

fn interval_pen() -> Pen {
    Pen::new(BLUE, 0.8).dashed(2.0, 2.0)
}

/// What intervals in panels cover.
pub const INTERVAL: f64 = 0.8;

/// A grid of panels, one an unseen task: its examples, the truth, the prediction before and after adaptation.
/// Each panel has axes of its own; predictions far off the truth are cut at the frame.
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn task_panels(
    path: &Path,
    name: &str,
    x_label: &str,
    y_label: &str,
    panels: &[TaskPanel],
) -> Result<()> {
    // An empty picture still shows a panel.
    let nothing = [TaskPanel::default()];
    let panels = if panels.is_empty() { &nothing } else { panels };
    let columns = match panels.len() {
        n @ 1..=3 => n,
        4 => 2,
        n if n <= 12 => 3,
        _ => 4,
    };
    let axes: Vec<_> = panels.iter().map(axes).collect();
    let labels = axes.iter().map(|(_, y)| y_labels_width(y)).fold(0.0, f64::max);
    let left = labels + 44.0;
    let column_gap = labels + 22.0;
    let width = left + columns as f64 * (PANEL_WIDTH + column_gap) - column_gap + 20.0;

    let all_points = panels.iter().all(|p| p.truth_is_points);
    let truth = if all_points { Sign::Ring(GREY) } else { Sign::Line(truth_pen()) };
    let mut entries = vec![
        (truth, "truth".to_string()),
        (Sign::Dot(BLACK), "examples learnt from".to_string()),
        (Sign::Line(before_pen()), "before adaptation".to_string()),
        (Sign::Line(after_pen()), "after adaptation".to_string()),
    ];
    if panels.iter().any(|p| !p.each.is_empty()) {
        entries.push((Sign::Line(each_pen()), "each network".to_string()));
    }
    if panels.iter().any(|p| !p.interval[0].is_empty()) {
        entries.push((Sign::Line(interval_pen()), format!("{:.0} % interval", 100.0 * INTERVAL)));
    }
    let legend = Legend::new(entries, width - 30.0);
    let top = BELOW_TITLE + legend.height() + 28.0;
    let rows = panels.len().div_ceil(columns);
    let height = top + rows as f64 * (PANEL_HEIGHT + ROW_GAP) - ROW_GAP + 50.0;

    page(path, width, height, |canvas| {
        title(canvas, name, width);
        legend.draw(canvas, width / 2.0, BELOW_TITLE);
        // Descriptions stand once, for the whole grid.
        let how = Type::new(NORMAL, Align::Middle);
        canvas.text(x_label, (left + width - 20.0) / 2.0, height - 18.0, how);
        canvas.text(y_label, 20.0, (top + height - 50.0) / 2.0, how.upwards());
        for (i, (panel, (x, y))) in panels.iter().zip(axes).enumerate() {
            let (row, column) = (i / columns, i % columns);
            let frame = Frame {
                left: left + column as f64 * (PANEL_WIDTH + column_gap),
                top: top + row as f64 * (PANEL_HEIGHT + ROW_GAP),
                width: PANEL_WIDTH,
                height: PANEL_HEIGHT,
                x,
                y,
            };
            draw(canvas, &frame, panel);
        }
    })
}

fn draw(canvas: &mut Canvas, frame: &Frame, panel: &TaskPanel) {
    let how = Type::new(NORMAL, Align::Middle);
    let text = fitted(&panel.title, NORMAL, frame.width + 10.0);
    canvas.text(&text, frame.left + frame.width / 2.0, frame.top - 12.0, how);
    frame.draw(canvas, "", "");
    let everything = [&panel.support, &panel.truth, &panel.before, &panel.after];
    if !everything.iter().any(|points| points.iter().any(|(x, y)| x.is_finite() && y.is_finite())) {
        frame.say_empty(canvas);
        return;
    }
    let inside = |points: &[(f64, f64)]| -> Vec<_> {
        let finite = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        finite.map(|p| frame.at(*p)).filter(|p| frame.holds(*p)).collect()
    };
    if panel.truth_is_points {
        for at in inside(&panel.truth) {
            canvas.ring(at, 2.6, Pen::new(GREY, 1.0).opacity(0.85));
        }
    } else {
        frame.line(canvas, &panel.truth, truth_pen());
    }
    for network in &panel.each {
        frame.line(canvas, network, each_pen());
    }
    for end in &panel.interval {
        frame.line(canvas, end, interval_pen());
    }
    frame.line(canvas, &panel.before, before_pen());
    frame.line(canvas, &panel.after, after_pen());
    for at in inside(&panel.support) {
        example(canvas, at, 3.0);
    }
}

/// Axes that show all of the truth and, where it is not too far off, all of the predictions.
fn axes(panel: &TaskPanel) -> (Axis, Axis) {
    let predictions = || panel.before.iter().chain(&panel.after);
    let truth = || panel.truth.iter().chain(&panel.support);
    let x = range(truth().chain(predictions()).map(|p| p.0));
    let predicted = range(predictions().map(|p| p.1));
    let y = match (range(truth().map(|p| p.1)), predicted) {
        (Some((lo, hi)), Some((below, above))) => {
            let room = 0.4 * (hi - lo).max(1e-6 * hi.abs().max(lo.abs()));
            Some((below.max(lo - room).min(lo), above.min(hi + room).max(hi)))
        }
        (known, predicted) => known.or(predicted),
    };
    (Axis::linear(x, 0.02, 4), Axis::linear(y, 0.06, 4))
}
