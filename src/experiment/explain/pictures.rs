//! Pictures of what was found of a task.

use std::path::{Path, PathBuf};

use super::{Explanation, TaskWay, WayScores};
use crate::error::Result;
use crate::report::plot::{Colouring, Curve, DotRow, cloud, curves, dots};

/// Support rows that are shown, those that moved most.
const MOST_ROWS: usize = 40;
/// Tensors that are shown.
const MOST_TENSORS: usize = 60;

pub(super) fn draw(found: &Explanation, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![];
    let mut file = |name: &str| -> PathBuf {
        files.push(folder.join(name));
        folder.join(name)
    };
    let mut rows: Vec<_> = found.rows.iter().collect();
    rows.sort_by(|a, b| b.moved.total_cmp(&a.moved));
    let shown: Vec<DotRow<'_>> = (rows.iter().take(MOST_ROWS))
        .map(|row| DotRow::new(&row.row, row.moved).with_beside(row.moved_by_gradient))
        .collect();
    let title = match rows.len() {
        n if n > MOST_ROWS => {
            format!("Support rows of {}: the {MOST_ROWS} of {n} that move most", found.task)
        }
        _ => format!("Support rows of {}", named(&found.task)),
    };
    let unit = match found.unit {
        "value" => "change of predictions without the row, root mean square",
        "probability" => "change of the probability of what is said, root mean square",
        _ => "change of what is said without the row, root mean square",
    };
    dots(&file("rows.svg"), &title, unit, ["left out", "by the gradient"], &shown)?;
    if !found.tensors.is_empty() {
        let shown: Vec<DotRow<'_>> = (found.tensors.iter().take(MOST_TENSORS))
            .map(|t| DotRow::new(&t.tensor, t.this_task).with_beside(Some(t.known_tasks)))
            .collect();
        let label = "distance from the mean of known tasks, as a share of its size";
        dots(
            &file("tensors.svg"),
            "Weights that are the task's own",
            label,
            ["this task", "known tasks"],
            &shown,
        )?;
    }
    let map = &found.map;
    let points: Vec<(f64, f64, f64)> = map.tasks.iter().map(|p| (p.x, p.y, p.value)).collect();
    let near = |name: &str| map.tasks.iter().find(|p| p.task == name).map(|p| (p.x, p.y));
    let nearest: Vec<(f64, f64)> = found.nearest.iter().filter_map(|n| near(&n.task)).collect();
    let this: Vec<(f64, f64)> = map.tasks.last().map(|p| (p.x, p.y)).into_iter().collect();
    let colouring = Colouring {
        by: &map.by,
        levels: &map.levels,
        rings: &[("this task", &this), ("the nearest known", &nearest)],
    };
    let labels = ("first component", "second component");
    cloud(&file("map.svg"), "Tasks, by what is read of them", labels, &colouring, &points)?;
    if let Some(way) = &found.way {
        draw_way(&file("way.svg"), found, way)?;
        if !way.functions.is_empty() {
            let labels: Vec<String> =
                way.functions.iter().map(|(share, _)| format!("{:.0} % of the way", 100.0 * share)).collect();
            let lines: Vec<Curve<'_>> = (labels.iter().zip(&way.functions))
                .map(|(label, (_, points))| Curve { label, points })
                .collect();
            let title = format!("Networks between {} and {}", named(&found.task), named(&way.to));
            curves(&file("functions.svg"), &title, "input", "prediction", false, &lines)?;
        }
    }
    Ok(files)
}

/// A name, cut where a title has no room for it.
fn named(task: &str) -> String {
    const MOST: usize = 28;
    match task.chars().count() > MOST {
        true => task.chars().take(MOST - 1).chain(['…']).collect(),
        false => task.into(),
    }
}

/// How good networks on the way are.
fn draw_way(file: &Path, found: &Explanation, way: &TaskWay) -> Result<()> {
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = vec![];
    let mut add = |how: &str, scores: &WayScores| {
        let mut line = |on: &str, y: &[f64]| {
            lines.push((
                format!("{how}, on {on}"),
                way.shares.iter().copied().zip(y.iter().copied()).collect(),
            ));
        };
        if let Some(y) = &scores.this_task {
            line("this task", y);
        }
        line("the other", &scores.other_task);
    };
    if let Some(scores) = &way.conditions {
        add("what is read is mixed", scores);
    }
    add("weights are mixed", &way.weights);
    let lines: Vec<Curve<'_>> = lines.iter().map(|(label, points)| Curve { label, points }).collect();
    let title = format!("From {} to {}", named(&found.task), named(&way.to));
    curves(file, &title, "share of the way", &found.metric.replace('_', " "), false, &lines)
}
