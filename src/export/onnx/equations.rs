//! Equations with positive definite matrices, by elimination below each pivot and substitution from the last row up, a row a repetition.

use super::proto::{self, Message};
use super::writer::{Axis, Writer, inner};
use crate::spec::count;

impl Writer<'_> {
    /// `A⁻¹ B`
    pub(super) fn solved(&mut self, shape: &[usize], of: &[String]) -> String {
        let rank = shape.len();
        let n = shape[rank - 2];
        // Of A the lower triangle counts.
        let a = self.symmetric(n, rank, &of[0]);
        let both = self.node("Concat", &[a, of[1].clone()], &[proto::int("axis", rank as i64 - 1)]);
        let (left, _) = self.eliminated(n, &[&shape[..rank - 1], &[n + shape[rank - 1]]].concat(), both);
        self.substituted(shape, &left)
    }

    /// The solution `[.., n, m]` of equations `[.., n, n + m]` with nothing below the diagonal.
    fn substituted(&mut self, shape: &[usize], equations: &str) -> String {
        let rank = shape.len();
        let (n, m) = (shape[rank - 2], shape[rank - 1]);
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        let zeros = self.constant(&format!("zeros/{}", sizes.join("x")), shape, vec![0.0; count(shape)]);
        let unit = self.unit(n, n);
        let units = self.constant(&format!("columns/{n}x{n}"), &[n, n, 1], unit);
        // Rows of the equations and units, the last first.
        let mut order: Vec<usize> = (0..rank).collect();
        order.remove(rank - 2);
        order.insert(0, rank - 2);
        let rows = self.permuted(equations.into(), &order);
        let rows = self.turned(&rows, n, 0);
        let units = self.turned(&units, n, 0);
        let [state, row, one] = ["solved", "row", "one"].map(|name| self.name(name));
        let label = self.begin();
        let axes: Vec<usize> = [&shape[..rank - 2], &[1, n + m]].concat();
        let wide: Vec<Axis> = axes.iter().map(|n| Axis::Fixed(*n)).collect();
        let whole = self.reshaped(row.clone(), &wide);
        let [factors, right] =
            [(0, n), (n, n + m)].map(|(from, to)| self.sliced(whole.clone(), rank - 1, from, to));
        let pivot = self.node("MatMul", &[factors.clone(), one.clone()], &[]);
        let known = self.node("MatMul", &[factors, state.clone()], &[]);
        let rest = self.node("Sub", &[right, known], &[]);
        let value = self.node("Div", &[rest, pivot], &[]);
        let part = self.node("MatMul", &[one.clone(), value], &[]);
        let next = self.name("next");
        self.push("Add", &[state.clone(), part], std::slice::from_ref(&next), &[]);
        let nodes = self.end(label);
        let fixed = |shape: &[usize]| shape.iter().map(|n| Axis::Fixed(*n)).collect::<Vec<_>>();
        let body = Message::default()
            .messages(1, &nodes)
            .text(2, "substitute")
            .message(11, &inner(&state, &fixed(shape)))
            .message(11, &inner(&row, &fixed(&[&shape[..rank - 2], &[n + m]].concat())))
            .message(11, &inner(&one, &fixed(&[n, 1])))
            .message(12, &inner(&next, &fixed(shape)));
        let attributes = [proto::graph("body", &body), proto::int("num_scan_inputs", 2)];
        let solved = self.name("solved");
        self.push("Scan", &[zeros, rows, units], std::slice::from_ref(&solved), &attributes);
        solved
    }

    fn unit(&self, n: usize, len: usize) -> Vec<f32> {
        (0..n * len).map(|i| if i / len == i % len { 1.0 } else { 0.0 }).collect()
    }

    /// The pivots of A, one after another along a further first axis: `[n, .., 1, 1]`.
    pub(super) fn pivots(&mut self, shape: &[usize], a: &str) -> String {
        let n = shape[shape.len() - 1];
        let a = self.symmetric(n, shape.len(), a);
        self.eliminated(n, shape, a).1
    }

    /// The matrix whose lower triangle is given.
    fn symmetric(&mut self, n: usize, rank: usize, a: &str) -> String {
        let of =
            |f: fn(usize, usize) -> bool| (0..n * n).map(|i| f32::from(u8::from(f(i / n, i % n)))).collect();
        let lower = self.constant(&format!("lower/{n}"), &[n, n], of(|i, j| j <= i));
        let upper = self.constant(&format!("upper/{n}"), &[n, n], of(|i, j| j > i));
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(rank - 2, rank - 1);
        let mirrored = self.permuted(a.into(), &order);
        let parts = [(a.to_string(), lower), (mirrored, upper)];
        let [lower, upper] = parts.map(|(m, mask)| self.node("Mul", &[m, mask], &[]));
        self.node("Add", &[lower, upper], &[])
    }

    /// A matrix `[.., n, ..]` with nothing left below the diagonal of its first columns, and the pivots. NaN where one of them is not positive.
    fn eliminated(&mut self, n: usize, shape: &[usize], m: String) -> (String, String) {
        let width = shape[shape.len() - 1];
        // Row k of each picks row and column k, and the rows below.
        let (rows, columns) = (self.unit(n, n), self.unit(n, width));
        let row_of = self.constant(&format!("rows/{n}"), &[n, 1, n], rows);
        let column_of = self.constant(&format!("columns/{n}x{width}"), &[n, width, 1], columns);
        let below = (0..n * n).map(|i| f32::from(u8::from(i % n > i / n))).collect();
        let below_of = self.constant(&format!("below/{n}"), &[n, n, 1], below);
        let [state, row, column, below] = ["matrix", "row", "column", "below"].map(|name| self.name(name));
        let label = self.begin();
        let across = self.node("MatMul", &[row.clone(), state.clone()], &[]);
        let down = self.node("MatMul", &[state.clone(), column.clone()], &[]);
        let pivot = self.node("MatMul", &[across.clone(), column.clone()], &[]);
        // Nothing is added but NaN, where there is no logarithm.
        let (nothing, log) = (self.number(0.0), self.node("Log", std::slice::from_ref(&pivot), &[]));
        let nothing = self.node("Mul", &[log, nothing], &[]);
        let pivot = self.node("Add", &[pivot, nothing], &[]);
        let down = self.node("Div", &[down, pivot.clone()], &[]);
        let down = self.node("Mul", &[down, below.clone()], &[]);
        let part = self.node("MatMul", &[down, across], &[]);
        let [next, given] = ["next", "pivot"].map(|name| self.name(name));
        self.push("Sub", &[state.clone(), part], std::slice::from_ref(&next), &[]);
        self.named(pivot, &given);
        let nodes = self.end(label);
        let fixed = |shape: &[usize]| shape.iter().map(|n| Axis::Fixed(*n)).collect::<Vec<_>>();
        let rank = shape.len();
        let one_each = [&shape[..rank - 2], &[1, 1]].concat();
        let body = Message::default()
            .messages(1, &nodes)
            .text(2, "eliminate")
            .message(11, &inner(&state, &fixed(shape)))
            .message(11, &inner(&row, &fixed(&[1, n])))
            .message(11, &inner(&column, &fixed(&[width, 1])))
            .message(11, &inner(&below, &fixed(&[n, 1])))
            .message(12, &inner(&next, &fixed(shape)))
            .message(12, &inner(&given, &fixed(&one_each)));
        let attributes = [proto::graph("body", &body), proto::int("num_scan_inputs", 3)];
        let [left, pivots] = ["reduced", "pivots"].map(|name| self.name(name));
        self.push("Scan", &[m, row_of, column_of, below_of], &[left.clone(), pivots.clone()], &attributes);
        (left, pivots)
    }
}
