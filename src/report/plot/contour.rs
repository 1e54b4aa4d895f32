//! The line on which a field is zero, by marching squares, joined to long lines so that it is drawn smoothly
//! and takes little room in the file.

use std::collections::BTreeMap;

/// An edge between two neighbouring nodes of the grid: the lower node's number, and whether the edge goes to
/// the next node of its row (or of the next row).
type Edge = (usize, bool);

/// The lines on which `values` (`size * size`, row-major) change sign, as points (column, row) in units of
/// the grid. Squares with a corner that is not finite are passed over.
pub(super) fn zero_lines(values: &[f32], size: usize) -> Vec<Vec<(f64, f64)>> {
    let mut next: BTreeMap<Edge, Vec<Edge>> = BTreeMap::new();
    for row in 0..size.saturating_sub(1) {
        for column in 0..size - 1 {
            let at = row * size + column;
            let corners = [at, at + 1, at + size + 1, at + size].map(|i| values[i]);
            if !corners.iter().all(|v| v.is_finite()) {
                continue;
            }
            // Its edges in the order of the corners: below, right, above, left.
            let edges = [(at, true), (at + 1, false), (at + size, true), (at, false)];
            let crossed: Vec<Edge> = (0..4)
                .filter(|k| (corners[*k] < 0.0) != (corners[(*k + 1) % 4] < 0.0))
                .map(|k| edges[k])
                .collect();
            let mut join = |a: Edge, b: Edge| {
                next.entry(a).or_default().push(b);
                next.entry(b).or_default().push(a);
            };
            match crossed[..] {
                [a, b] => join(a, b),
                [a, b, c, d] => {
                    // A saddle: the mean decides which corners belong together.
                    let inside = corners.iter().map(|v| f64::from(*v)).sum::<f64>() < 0.0;
                    if inside == (corners[0] < 0.0) {
                        join(a, b);
                        join(c, d);
                    } else {
                        join(d, a);
                        join(b, c);
                    }
                }
                _ => {}
            }
        }
    }
    let mut lines = Vec::new();
    // Open lines from one end to the other first; what remains are closed ones.
    let ends: Vec<Edge> = next.iter().filter(|(_, to)| to.len() == 1).map(|(edge, _)| *edge).collect();
    let all: Vec<Edge> = next.keys().copied().collect();
    for start in ends.into_iter().chain(all) {
        let mut line = vec![start];
        let mut here = start;
        while let Some(to) = next.get_mut(&here).and_then(Vec::pop) {
            if let Some(back) = next.get_mut(&to) {
                // Removed, so that no stretch is walked twice.
                if let Some(i) = back.iter().position(|edge| *edge == here) {
                    back.remove(i);
                }
            }
            line.push(to);
            here = to;
        }
        if line.len() > 1 {
            lines.push(line.into_iter().map(|edge| crossing(values, size, edge)).collect());
        }
    }
    lines
}

/// Where on an edge the field is zero.
fn crossing(values: &[f32], size: usize, (at, along): Edge) -> (f64, f64) {
    let (column, row) = ((at % size) as f64, (at / size) as f64);
    let (a, b) = (f64::from(values[at]), f64::from(values[if along { at + 1 } else { at + size }]));
    let t = if a == b { 0.5 } else { (a / (a - b)).clamp(0.0, 1.0) };
    if along { (column + t, row) } else { (column, row + t) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_one_closed_line() {
        let size = 33;
        let value = |i: usize| ((i % size) as f32 - 16.0).hypot((i / size) as f32 - 16.0) - 10.0;
        let values: Vec<f32> = (0..size * size).map(value).collect();
        let lines = zero_lines(&values, size);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].first(), lines[0].last());
        for (x, y) in &lines[0] {
            assert!(((x - 16.0).hypot(y - 16.0) - 10.0).abs() < 0.05);
        }
    }

    #[test]
    fn lines_that_leave_the_grid_and_saddles() {
        let diagonal: Vec<f32> = (0..16).map(|i| (i % 4 + i / 4) as f32 - 2.5).collect();
        assert_eq!(zero_lines(&diagonal, 4).len(), 1);
        assert_eq!(zero_lines(&[-1.0, 1.0, 1.0, -1.0], 2).len(), 2);
        assert!(zero_lines(&[f32::NAN, 1.0, 1.0, -1.0], 2).is_empty());
        assert!(zero_lines(&[], 0).is_empty() && zero_lines(&[1.0], 1).is_empty());
    }
}
