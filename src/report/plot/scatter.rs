//! Predicted against true values, for tasks with too many inputs to draw a curve.

use super::axis::{Axis, range, short, whole};
use super::canvas::{BLUE, GREY, ORANGE, Pen, page};
use super::frame::{BELOW_TITLE, Frame, Legend, Sign, title, y_labels_width};
use crate::error::Result;
use std::path::Path;

const SIDE: f64 = 400.0;
/// More dots hide each other and swell the file.
const MOST_DOTS: usize = 2000;

/// Predicted against true values of query rows, before and after adaptation, with the line on which
/// a prediction is right. `before` and `after` are (true, predicted), both in `unit`. The legend tells the
/// root of the mean square error of each.
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn predicted_against_true(
    path: &Path,
    name: &str,
    unit: &str,
    before: &[(f64, f64)],
    after: &[(f64, f64)],
) -> Result<()> {
    let finite = |points: &[(f64, f64)]| -> Vec<_> {
        points.iter().copied().filter(|(t, p)| t.is_finite() && p.is_finite()).collect()
    };
    let clouds = [("before", finite(before), ORANGE), ("after", finite(after), BLUE)];
    let all = || clouds.iter().flat_map(|(_, points, _)| points);
    let limits = limits(all().copied());
    let (x, y) = (Axis::linear(limits, 0.04, 5), Axis::linear(limits, 0.04, 5));
    let left = y_labels_width(&y) + 44.0;
    let width = left + SIDE + 30.0;
    let mut frame = Frame { left, top: 0.0, width: SIDE, height: SIDE, x, y };

    let mut entries = Vec::new();
    for (when, points, color) in &clouds {
        let sign = if *when == "before" { Sign::Ring(*color) } else { Sign::Dot(*color) };
        let error = if points.is_empty() {
            "no values".to_string()
        } else {
            format!("RMSE {} {unit}", short(rmse(points))).trim_end().to_string()
        };
        entries.push((sign, format!("{when} adaptation, {error}")));
    }
    let shown: Vec<Vec<_>> = clouds
        .iter()
        .map(|(_, points, _)| {
            points.iter().step_by(points.len().div_ceil(MOST_DOTS).max(1)).copied().collect()
        })
        .collect();
    let (total, kept) = (all().count(), shown.iter().map(Vec::len).sum::<usize>());
    let beyond = all().filter(|p| !frame.holds(frame.at(**p))).count();
    let left_out = before.len() + after.len() - total;
    let mut remarks = Vec::new();
    if kept < total {
        remarks.push(format!("{} of {} points shown", whole(kept), whole(total)));
    }
    if beyond > 0 {
        remarks.push(format!("{} beyond the frame", whole(beyond)));
    }
    if left_out > 0 {
        remarks.push(format!("{} not finite", whole(left_out)));
    }
    if !remarks.is_empty() {
        entries.push((Sign::Nothing, format!("({})", remarks.join(", "))));
    }
    let legend = Legend::new(entries, width - 20.0);
    frame.top = BELOW_TITLE + legend.height() + 10.0;

    let label = |word: &str| if unit.is_empty() { word.to_string() } else { format!("{word} [{unit}]") };
    page(path, width, frame.top + SIDE + 50.0, |canvas| {
        title(canvas, name, width);
        legend.draw(canvas, width / 2.0, BELOW_TITLE);
        frame.draw(canvas, &label("true value"), &label("predicted value"));
        let corner = (frame.left, frame.top + SIDE);
        canvas.line(&[corner, (frame.left + SIDE, frame.top)], Pen::new(GREY, 1.2).dashed(6.0, 4.0));
        if total == 0 {
            frame.say_empty(canvas);
        }
        for ((when, _, color), points) in clouds.iter().zip(&shown) {
            for at in points.iter().map(|p| frame.at(*p)).filter(|at| frame.holds(*at)) {
                if *when == "before" {
                    canvas.ring(at, 2.6, Pen::new(*color, 1.0).opacity(0.7));
                } else {
                    canvas.dot(at, 2.6, Pen::new(*color, 0.0).opacity(0.6));
                }
            }
        }
    })
}

/// What both axes show: all true values, and predictions save those that are among the farthest two in
/// a thousand or far off all true values, since a few wild ones must not shrink all others to a dot.
fn limits(points: impl Iterator<Item = (f64, f64)>) -> Option<(f64, f64)> {
    let (truth, mut predicted): (Vec<_>, Vec<_>) = points.unzip();
    predicted.sort_by(f64::total_cmp);
    let wild = predicted.len() / 1000;
    let (below, above) = range(predicted[wild..predicted.len() - wild].iter().copied())?;
    let (lo, hi) = range(truth)?;
    let room = 0.5 * (hi - lo).max(1e-6 * hi.abs().max(lo.abs()));
    Some((below.max(lo - room).min(lo), above.min(hi + room).max(hi)))
}

/// The root of the mean square difference. The largest difference is taken out, so that no square overflows.
fn rmse(points: &[(f64, f64)]) -> f64 {
    let largest = points.iter().map(|(t, p)| (p - t).abs()).fold(0.0, f64::max);
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    let squares = points.iter().map(|(t, p)| ((p - t) / largest).powi(2)).sum::<f64>();
    largest * (squares / points.len() as f64).sqrt()
}

/// Points with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Marked<'a> {
    /// What they are.
    pub label: &'a str,
    /// Where they are.
    pub points: Vec<(f64, f64)>,
}

/// Places of the points that no other is both left of and above, from the left (the Pareto front where less of x and more of y is better).
pub fn pareto_front(points: &[(f64, f64)]) -> Vec<usize> {
    let finite = |i: &usize| points[*i].0.is_finite() && points[*i].1.is_finite();
    let mut order: Vec<usize> = (0..points.len()).filter(finite).collect();
    order.sort_by(|a, b| points[*a].0.total_cmp(&points[*b].0).then(points[*b].1.total_cmp(&points[*a].1)));
    let mut most = f64::NEG_INFINITY;
    order.retain(|i| {
        let better = points[*i].1 > most;
        most = most.max(points[*i].1);
        better
    });
    order
}

/// Sets of points, the later ones over the earlier, and where they are costs, `front`, the steps of their Pareto front, on a logarithmic x axis.
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn marked(
    path: &Path,
    name: &str,
    (x_label, y_label): (&str, &str),
    front: bool,
    sets: &[Marked<'_>],
) -> Result<()> {
    let finite = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite();
    let shown: Vec<Vec<(f64, f64)>> =
        sets.iter().map(|s| s.points.iter().filter(finite).copied().collect()).collect();
    let all = || shown.iter().flatten();
    let across = range(all().map(|p| p.0));
    let x = match front && across.is_some_and(|(low, _)| low > 0.0) {
        true => Axis::log(across, 6),
        false => Axis::linear(across, 0.04, 6),
    };
    let y = Axis::linear(range(all().map(|p| p.1)), 0.06, 6);
    let left = y_labels_width(&y) + 44.0;
    let width = left + 1.3 * SIDE + 30.0;
    let mut frame = Frame { left, top: 0.0, width: 1.3 * SIDE, height: 0.8 * SIDE, x, y };
    let colors = [BLUE, ORANGE];
    let mut entries: Vec<(Sign, String)> =
        sets.iter().enumerate().map(|(i, s)| (Sign::Dot(colors[i % 2]), s.label.to_string())).collect();
    let line = Pen::new(GREY, 1.2).dashed(5.0, 4.0);
    if front {
        entries.push((Sign::Line(line), "none is smaller and better".into()));
    }
    let legend = Legend::new(entries, width - 20.0);
    frame.top = BELOW_TITLE + legend.height() + 10.0;
    page(path, width, frame.top + frame.height + 50.0, |canvas| {
        title(canvas, name, width);
        legend.draw(canvas, width / 2.0, BELOW_TITLE);
        frame.draw(canvas, x_label, y_label);
        if front {
            let points: Vec<(f64, f64)> = all().copied().collect();
            let corners: Vec<(f64, f64)> = pareto_front(&points).into_iter().map(|i| points[i]).collect();
            let steps: Vec<(f64, f64)> = corners
                .iter()
                .enumerate()
                .flat_map(|(i, p)| [*p, (corners.get(i + 1).map_or(p.0, |next| next.0), p.1)])
                .collect();
            frame.line(canvas, &steps, line);
        }
        if all().next().is_none() {
            frame.say_empty(canvas);
        }
        for (i, points) in shown.iter().enumerate() {
            for at in points.iter().map(|p| frame.at(*p)).filter(|at| frame.holds(*at)) {
                canvas.dot(at, 3.4, Pen::new(colors[i % 2], 0.0).opacity(0.8));
            }
        }
    })
}
