//! Equations with positive definite matrices, by Gauss and Jordan, a row a repetition.

use super::proto::{self, Message};
use super::writer::{Axis, Writer, inner};

impl Writer<'_> {
    /// `A⁻¹ B`
    pub(super) fn solved(&mut self, shape: &[usize], of: &[String]) -> String {
        let rank = shape.len();
        let n = shape[rank - 2];
        // Of A the lower triangle counts.
        let a = self.symmetric(n, rank, &of[0]);
        let both = self.node("Concat", &[a, of[1].clone()], &[proto::int("axis", rank as i64 - 1)]);
        let (left, _) = self.eliminated(n, &[&shape[..rank - 1], &[n + shape[rank - 1]]].concat(), both);
        self.sliced(left, rank - 1, n, n + shape[rank - 1])
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

    /// A matrix `[.., n, ..]` after it was reduced to the identity in its first columns, and the pivots. NaN where one of them is not positive.
    fn eliminated(&mut self, n: usize, shape: &[usize], m: String) -> (String, String) {
        let width = shape[shape.len() - 1];
        let unit = |len: usize| {
            (0..n * len).map(|i| if i / len == i % len { 1.0 } else { 0.0 }).collect::<Vec<f32>>()
        };
        // Row k of each picks row and column k.
        let row_of = self.constant(&format!("rows/{n}"), &[n, 1, n], unit(n));
        let column_of = self.constant(&format!("columns/{n}x{width}"), &[n, width, 1], unit(width));
        let [state, row, column] = ["matrix", "row", "column"].map(|name| self.name(name));
        let label = self.begin();
        let across = self.node("MatMul", &[row.clone(), state.clone()], &[]);
        let down = self.node("MatMul", &[state.clone(), column.clone()], &[]);
        let pivot = self.node("MatMul", &[across.clone(), column.clone()], &[]);
        // Nothing is added but NaN, where there is no logarithm.
        let (nothing, log) = (self.number(0.0), self.node("Log", std::slice::from_ref(&pivot), &[]));
        let nothing = self.node("Mul", &[log, nothing], &[]);
        let pivot = self.node("Add", &[pivot, nothing], &[]);
        let across = self.node("Div", &[across, pivot.clone()], &[]);
        let one = self.node("Transpose", std::slice::from_ref(&row), &[proto::ints("perm", [1, 0])]);
        let down = self.node("Sub", &[down, one], &[]);
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
            .message(12, &inner(&next, &fixed(shape)))
            .message(12, &inner(&given, &fixed(&one_each)));
        let attributes = [proto::graph("body", &body), proto::int("num_scan_inputs", 2)];
        let [left, pivots] = ["reduced", "pivots"].map(|name| self.name(name));
        self.push("Scan", &[m, row_of, column_of], &[left.clone(), pivots.clone()], &attributes);
        (left, pivots)
    }
}
