//! Gradients of what a scan shares that are taken at once from rows of all repetitions, after it.

use std::collections::HashMap;

use super::op::Op;
use super::scan::Scan;
use super::{Graph, Value};
use crate::spec::{Shape, count};

/// A gradient of a constant that need not be added up from repetition to repetition: its parts are rows `[T, n, ..]` or `[n, ..]` of
/// each repetition, with the shapes that they are read in, and the rows of all repetitions can be taken at once. What is carried
/// stays small, and where all tasks share the constant, no repetition has to add up what they send.
#[derive(Debug)]
pub(super) enum Late {
    /// `aᵀ b` over the rows.
    Product((Value, Shape), (Value, Shape)),
    /// The sum over the rows, and over tasks where the shape, of the rank of what is summed, has one of them.
    Sum((Value, Shape), Shape),
}

impl Late {
    /// The values it is made of.
    pub(super) fn parts(&self) -> Vec<Value> {
        match self {
            Late::Product(a, b) => vec![a.0, b.0],
            Late::Sum(x, _) => vec![x.0],
        }
    }
}

/// Rows that are given to be added up later take at most so many times what the histories of carried values take.
const LATE: usize = 8;

impl Scan {
    /// Those of the gradients of constants, values of the way `back`, that can be taken late.
    pub(super) fn late(&self, back: &Graph, gradients: &[Value]) -> Vec<Option<Late>> {
        let peel = |mut v: Value| {
            while back.node(v).op == Op::Reshape {
                v = back.node(v).inputs[0];
            }
            v
        };
        let fixed = &self.inputs[self.carried..self.carried + self.constants];
        // Rows that stacking joins along the axis that is summed over: `[T, n, c]`, `[n, c]`, made of what has the same first axis.
        let rows = |v: Value| {
            let (shape, part) = (back.shape(v).to_vec(), peel(v));
            let joined = matches!(shape.len(), 2 | 3) && back.shape(part).first() == shape.first();
            (joined && !fixed.contains(&part)).then_some((part, shape))
        };
        let room =
            LATE * self.inputs[..self.carried].iter().map(|v| count(self.body.shape(*v))).sum::<usize>();
        let fits = |parts: &[&(Value, Shape)]| parts.iter().map(|p| count(&p.1)).sum::<usize>() <= room;
        let product = |v: Value| {
            let node = back.node(peel(v));
            let Op::MatMul { ta: true, tb: false } = node.op else { return None };
            let (a, b) = (rows(node.inputs[0])?, rows(node.inputs[1])?);
            (a.1.len() == b.1.len() && fits(&[&a, &b])).then_some(Late::Product(a, b))
        };
        let mut all: Vec<Option<Late>> = gradients.iter().map(|v| product(*v)).collect();
        // Sums of what is given anyway, and those for what all tasks share, which would have to meet in every repetition.
        let given: Vec<(Value, Shape)> = all
            .iter()
            .flatten()
            .filter_map(|l| if let Late::Product(_, b) = l { Some(b.clone()) } else { None })
            .collect();
        for (late, v) in all.iter_mut().zip(gradients) {
            let node = back.node(peel(*v));
            if late.is_some() || node.op != Op::SumTo {
                continue;
            }
            let x = peel(node.inputs[0]);
            // `[.., c]` to `[T, 1, c]` or `[c]`, whatever axes of length 1 are among them.
            let part = given.iter().find(|(part, shape)| *part == x && shape.last() == node.shape.last());
            // The last axis is all that is left.
            let vector = |shape: &Shape| {
                shape.last() == node.shape.last() && shape.last() == Some(&count(&node.shape))
            };
            let shared = || rows(node.inputs[0]).filter(|part| vector(&part.1) && fits(&[part]));
            let Some((part, shape)) = part.cloned().or_else(shared) else { continue };
            let (c, sums) = (shape[shape.len() - 1], count(&node.shape));
            let kept = match shape[..] {
                _ if sums == c => [vec![1; shape.len() - 1], vec![c]].concat(),
                [t, _, _] if sums == t * c && node.shape[0] == t => vec![t, 1, c],
                _ => continue,
            };
            *late = Some(Late::Sum((part, shape), kept));
        }
        all
    }
}

impl Graph {
    /// The sum over all repetitions of a [`Late`] gradient, from stacks of its parts.
    pub(super) fn take_late(
        &mut self,
        late: &Late,
        stacks: &HashMap<Value, Value>,
        shape: &[usize],
    ) -> Value {
        // Rows of all repetitions side by side: `[T, n, ..]` as `[T, repetitions · n, ..]`, `[n, ..]` as `[n · repetitions, ..]`.
        let longer = |g: &mut Graph, part: &(Value, Shape)| {
            let stack = stacks[&part.0];
            let n = g.shape(stack)[1];
            let mut shape = part.1.clone();
            let axis = shape.len() - 2;
            shape[axis] *= n;
            g.reshape(stack, &shape)
        };
        match late {
            Late::Product(a, b) => {
                let (a, b) = (longer(self, a), longer(self, b));
                let sum = self.matmul_t(a, true, b, false);
                self.reshape(sum, shape)
            }
            Late::Sum(part, kept) => {
                let x = longer(self, part);
                let sum = self.sum_to(x, kept);
                self.reshape(sum, shape)
            }
        }
    }
}
