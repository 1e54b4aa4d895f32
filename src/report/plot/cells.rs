//! Networks of cells: each cell a small graph of nodes.

use std::path::Path;

use super::canvas::{Align, BLACK, BLUE, Canvas, GREY, Pen, SERIES, Type, WHITE, page, text_width};
use super::frame::{BELOW_TITLE, NORMAL, SMALL, title};
use crate::error::Result;

/// Equal cells one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct CellDrawing {
    /// What stands beside it: widths, functions, how many there are.
    pub label: String,
    /// Nodes of the cell; of none the stage is a single layer.
    pub nodes: usize,
    /// From a node to a later one, and what is done there.
    pub edges: Vec<(usize, usize, String)>,
}

/// Pixels between two nodes, and a node's radius.
const STEP: f64 = 130.0;
const RADIUS: f64 = 11.0;
/// Rise of an arc for each node that it passes.
const RISE: f64 = 46.0;
const LEFT: f64 = 60.0;

/// Stages below one another in the order in which rows go through them. Arcs are coloured by what is done on them, alike by the same name.
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn cells(path: &Path, name: &str, stages: &[CellDrawing]) -> Result<()> {
    let mut kinds: Vec<&str> = stages.iter().flat_map(|s| s.edges.iter().map(|e| e.2.as_str())).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let nodes = stages.iter().map(|s| s.nodes).max().unwrap_or(0).max(2);
    let labels = stages.iter().map(|s| text_width(&s.label, NORMAL)).fold(0.0, f64::max);
    let width = (2.0 * LEFT + STEP * (nodes - 1) as f64)
        .max(labels + 40.0)
        .max(text_width(name, 15.0) + 40.0)
        .max(360.0);
    // Arcs turn up where they start at an even node, else down.
    let reach = |s: &CellDrawing, up: bool| {
        let of = |(from, to, _): &&(usize, usize, String)| *to > from + 1 && (from % 2 == 0) == up;
        let longest = s.edges.iter().filter(of).map(|(from, to, _)| to - from - 1).max().unwrap_or(0);
        RISE * longest as f64 * 0.75 + 26.0
    };
    let height_of =
        |s: &CellDrawing| if s.nodes == 0 { 34.0 } else { 30.0 + reach(s, true) + reach(s, false) };
    let height = BELOW_TITLE + 20.0 + stages.iter().map(height_of).sum::<f64>() + 16.0;
    page(path, width, height, |canvas| {
        title(canvas, name, width);
        let mut y = BELOW_TITLE + 20.0;
        for stage in stages {
            canvas.text(&stage.label, width / 2.0, y + 6.0, Type::new(NORMAL, Align::Middle).bold());
            let middle = y + 30.0 + reach(stage, true);
            y += height_of(stage);
            if stage.nodes == 0 {
                continue;
            }
            let left = (width - STEP * (stage.nodes - 1) as f64) / 2.0;
            let at = |node: usize| (left + STEP * node as f64, middle);
            for (from, to, kind) in &stage.edges {
                let color = SERIES[kinds.iter().position(|k| k == kind).unwrap_or(0) % SERIES.len()];
                arc(
                    canvas,
                    at(*from),
                    at(*to),
                    if from % 2 == 0 { -1.0 } else { 1.0 },
                    kind,
                    Pen::new(color, 2.0),
                );
            }
            for node in 0..stage.nodes {
                let end = node == 0 || node + 1 == stage.nodes;
                canvas.dot(at(node), RADIUS, Pen::new(WHITE, 0.0));
                canvas.ring(at(node), RADIUS, Pen::new(if end { BLACK } else { GREY }, 1.5));
                canvas.text(&node.to_string(), at(node).0, middle, Type::new(SMALL, Align::Middle));
            }
        }
    })
}

/// From a node to another, past those between them, with what is done there on it.
fn arc(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64), side: f64, label: &str, pen: Pen) {
    let passed = ((to.0 - from.0) / STEP - 1.0).max(0.0);
    let rise = side * RISE * passed * 1.5;
    let at = |s: f64| {
        // A parabola through both, whose middle lies at half of `rise`.
        (from.0 + (to.0 - from.0) * s, from.1 + rise * 2.0 * s * (1.0 - s))
    };
    let points: Vec<(f64, f64)> = (0..=40).map(|i| at(f64::from(i) / 40.0)).collect();
    canvas.line(&points, pen);
    // A head where the arc meets the node.
    let far = |p: &&(f64, f64)| ((p.0 - to.0).powi(2) + (p.1 - to.1).powi(2)).sqrt() > RADIUS;
    let tip = points.iter().rev().find(far).copied().unwrap_or(from);
    let (dx, dy) = (to.0 - tip.0, to.1 - tip.1);
    let length = (dx * dx + dy * dy).sqrt().max(1e-9);
    let (dx, dy) = (dx / length, dy / length);
    let wing = |turn: f64| (tip.0 - 8.0 * dx + turn * 4.0 * dy, tip.1 - 8.0 * dy - turn * 4.0 * dx);
    canvas.line(&[wing(1.0), tip, wing(-1.0)], pen);
    let (x, y) = at(0.5);
    let wide = text_width(label, SMALL);
    canvas.rect(x - wide / 2.0 - 2.0, y - 8.0, wide + 4.0, 16.0, WHITE);
    canvas.text(
        label,
        x,
        y,
        Type::new(SMALL, Align::Middle).color(if label.is_empty() { BLUE } else { pen.color }),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_what_is_done_between_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cells.svg");
        let edges = vec![(0, 1, "conv3".to_string()), (0, 2, "skip".into()), (1, 2, "conv3".into())];
        let stages = [
            CellDrawing { label: "16 relu".into(), nodes: 0, edges: vec![] },
            CellDrawing { label: "24 tanh, two cells".into(), nodes: 3, edges },
        ];
        cells(&path, "A network", &stages).expect("it is written");
        let text = std::fs::read_to_string(&path).expect("it is there");
        assert_eq!(text.matches("conv3").count(), 2);
        assert!(text.contains("24 tanh, two cells") && text.contains("16 relu") && text.contains("skip"));
        // Three nodes, each a disc and a ring.
        assert_eq!(text.matches("<circle").count(), 6);
    }
}
