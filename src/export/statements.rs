//! What an operation fills a value by.

use super::emit::{Block, Place, Writer};
use super::index::{At, Index, counted};
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::graph::op::Op;
use crate::spec::count;

impl Writer<'_> {
    /// The loops that fill a value.
    pub(super) fn statement(&mut self, b: &mut Block<'_>, v: Value, to: &Place) -> Result<()> {
        let node = b.graph.node(v);
        let shape = node.shape.clone();
        let inputs = node.inputs.clone();
        let to_at = |w: &Self, at: &[Index]| w.place(to, counted(&shape, &At::Axes(at.to_vec())));
        match node.op.clone() {
            Op::Map(_) | Op::Zip(_) | Op::Select => {
                self.copy(b, v, to);
                Ok(())
            }
            Op::MatMul { ta, tb } => self.product(b, (inputs[0], ta), (inputs[1], tb), &shape, to),
            Op::Conv(conv, wrt) => self.conv(b, &conv, wrt, [inputs[0], inputs[1]], v, to),
            Op::SumTo => {
                let x = inputs[0];
                let from = b.graph.shape(x).to_vec();
                let missing = from.len() - shape.len();
                let mut whole = vec![1; missing];
                whole.extend(&shape);
                let summed: Vec<usize> =
                    from.iter().zip(&whole).map(|(n, m)| if m == n { 1 } else { *n }).collect();
                self.over(&whole, vec![], &mut |w, at| {
                    let sum = w.name("a");
                    w.variable(&sum, "0.0");
                    w.over(&summed, vec![], &mut |w, inner| {
                        let both = at.iter().zip(inner).map(|(a, i)| a.clone().plus(i)).collect();
                        let formula = w.element(b, x, &At::Axes(both));
                        w.add(&sum, &formula);
                        Ok(())
                    })?;
                    let to = to_at(w, &at[missing..]);
                    w.set(&to, &sum);
                    Ok(())
                })
            }
            Op::Pad { axis, start } => {
                self.fill(to, count(&shape))?;
                let from = b.graph.shape(inputs[0]).to_vec();
                self.over(&from, vec![], &mut |w, at| {
                    let mut there = at.to_vec();
                    there[axis].known += start;
                    let (to, formula) = (to_at(w, &there), w.element(b, inputs[0], &At::Axes(at.to_vec())));
                    w.set(&to, &formula);
                    Ok(())
                })
            }
            Op::Concat { axis } => {
                let mut start = 0;
                for x in inputs {
                    let from = b.graph.shape(x).to_vec();
                    self.over(&from, vec![], &mut |w, at| {
                        let mut there = at.to_vec();
                        there[axis].known += start;
                        let (to, formula) = (to_at(w, &there), w.element(b, x, &At::Axes(at.to_vec())));
                        w.set(&to, &formula);
                        Ok(())
                    })?;
                    start += from[axis];
                }
                Ok(())
            }
            Op::LogSoftmax => {
                let (lead, classes) = shape.split_at(shape.len() - 1);
                let x = inputs[0];
                self.over(lead, vec![], &mut |w, at| {
                    let place = |i: &Index| [at, std::slice::from_ref(i)].concat();
                    let [most, sum] = w.log_sum(b, x, at, classes[0])?;
                    w.looped(classes[0], |w, i| {
                        let each = w.element(b, x, &At::Axes(place(&i)));
                        let to = to_at(w, &place(&i));
                        w.set(&to, &format!("({each} - {most}) - logarithm({sum})"));
                        Ok(())
                    })
                })
            }
            Op::CrossEntropy => {
                let (lead, classes) = (shape.clone(), b.graph.shape(inputs[0]).last().copied().unwrap_or(1));
                self.over(&lead, vec![], &mut |w, at| {
                    let place = |i: &Index| [at, std::slice::from_ref(i)].concat();
                    let [most, sum] = w.log_sum(b, inputs[0], at, classes)?;
                    let total = w.name("a");
                    w.variable(&total, "0.0");
                    w.looped(classes, |w, i| {
                        let [logit, share] = [0, 1].map(|k| w.element(b, inputs[k], &At::Axes(place(&i))));
                        w.add(&total, &format!("{share} * (logarithm({sum}) - ({logit} - {most}))"));
                        Ok(())
                    })?;
                    let to = to_at(w, at);
                    w.set(&to, &total);
                    Ok(())
                })
            }
            Op::Gather => {
                let index = match b.graph.node(inputs[1]).op {
                    Op::Input(k) => self.indices.get(&b.graph.inputs()[k].name),
                    _ => None,
                };
                let index = index.ok_or_else(|| {
                    Error::Shape("rows of a table are read by numbers that are not known".into())
                })?;
                let table = b.graph.shape(inputs[0]).to_vec();
                let width = count(&table[1..]);
                for (to_row, row) in index.iter().enumerate() {
                    let row = (*row as usize).min(table[0] - 1);
                    self.looped(width, |w, i| {
                        let from = At::Counted(i.clone().shifted(row * width));
                        let formula = w.element(b, inputs[0], &from);
                        let to = w.place(to, i.shifted(to_row * width));
                        w.set(&to, &formula);
                        Ok(())
                    })?;
                }
                Ok(())
            }
            Op::SpdSolve => self.solved(b, [inputs[0], inputs[1]], to),
            Op::SpdLogdet => self.logdet(b, inputs[0], to),
            op => Err(Error::Shape(format!(
                "'{}' ({}) is not written out in other languages yet",
                op.name(),
                node.label
            ))),
        }
    }

    /// Variables with the largest of so many logits behind a place, and the sum of their exponentials less that one.
    fn log_sum(&mut self, b: &Block<'_>, x: Value, at: &[Index], classes: usize) -> Result<[String; 2]> {
        let place = |i: &Index| At::Axes([at, std::slice::from_ref(i)].concat());
        let (most, sum) = (self.name("a"), self.name("a"));
        let first = self.element(b, x, &place(&Index::zero()));
        self.variable(&most, &first);
        self.looped(classes, |w, i| {
            let each = w.element(b, x, &place(&i));
            w.set(&most, &format!("larger({most}, {each})"));
            Ok(())
        })?;
        self.variable(&sum, "0.0");
        self.looped(classes, |w, i| {
            let each = w.element(b, x, &place(&i));
            w.add(&sum, &format!("exponential({each} - {most})"));
            Ok(())
        })?;
        Ok([most, sum])
    }
}
