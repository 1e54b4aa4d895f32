//! Equations with symmetric positive definite matrices, by elimination below each pivot and substitution from the last row up, which is as exact as the Cholesky factor that the CPU
//! path takes (Higham 2002, "Accuracy and stability of numerical algorithms", chapter 10). Of A the lower triangle counts; where a pivot is not positive there is no answer but NaN.

use super::emit::{Block, Place, Writer};
use super::index::{At, Index, counted};
use crate::error::Result;
use crate::graph::Value;

impl Writer<'_> {
    /// `X = A⁻¹ B` for stacks A `[.., n, n]` and B `[.., n, m]`.
    pub(super) fn solved(&mut self, b: &mut Block<'_>, [a, right]: [Value; 2], to: &Place) -> Result<()> {
        let shape = b.graph.shape(right).to_vec();
        let rank = shape.len();
        let (n, m) = (shape[rank - 2], shape[rank - 1]);
        let wide = n + m;
        let room = self.room(n * wide);
        self.over(&shape[..rank - 2], vec![], &mut |w, lead| {
            w.symmetric(b, a, lead, [n, wide], &room)?;
            let there = |i: &Index, j: &Index| [lead, &[i.clone(), j.clone()]].concat();
            w.looped(n, |w, i| {
                w.looped(m, |w, j| {
                    let formula = w.element(b, right, &At::Axes(there(&i, &j)));
                    let to = w.place(&room, i.times(wide).plus(&j).shifted(n));
                    w.set(&to, &formula);
                    Ok(())
                })
            })?;
            w.eliminated([n, wide], &room)?;
            // From the last row up, in the place of the right side.
            w.looped(n, |w, up| {
                let i =
                    if n == 1 { Index::zero() } else { Index::of(format!("({} - {})", n - 1, up.text())) };
                w.looped(m, |w, j| {
                    let value = w.name("a");
                    let here = w.place(&room, i.times(wide).plus(&j).shifted(n));
                    w.variable(&value, &here);
                    w.between(&i.clone().shifted(1), &Index::zero().shifted(n), |w, k| {
                        let [factor, known] = [i.times(wide).plus(&k), k.times(wide).plus(&j).shifted(n)]
                            .map(|at| w.place(&room, at));
                        w.add(&value, &format!("-({factor} * {known})"));
                        Ok(())
                    })?;
                    let pivot = w.place(&room, i.times(wide + 1));
                    w.set(&here, &format!("{value} / {pivot}"));
                    let to = w.place(to, counted(&shape, &At::Axes(there(&i, &j))));
                    w.set(&to, &here);
                    Ok(())
                })
            })
        })?;
        self.returned(&room, n * wide);
        Ok(())
    }

    /// `ln |A|` for a stack A `[.., n, n]`.
    pub(super) fn logdet(&mut self, b: &mut Block<'_>, a: Value, to: &Place) -> Result<()> {
        let shape = b.graph.shape(a).to_vec();
        let (lead, n) = (&shape[..shape.len() - 2], shape[shape.len() - 1]);
        let room = self.room(n * n);
        self.over(lead, vec![], &mut |w, at| {
            w.symmetric(b, a, at, [n, n], &room)?;
            w.eliminated([n, n], &room)?;
            let sum = w.name("a");
            w.variable(&sum, "0.0");
            w.looped(n, |w, i| {
                let pivot = w.place(&room, i.times(n + 1));
                w.add(&sum, &format!("logarithm({pivot})"));
                Ok(())
            })?;
            let to = w.place(to, counted(lead, &At::Axes(at.to_vec())));
            w.set(&to, &sum);
            Ok(())
        })?;
        self.returned(&room, n * n);
        Ok(())
    }

    /// The matrix whose lower triangle is given, in rows of so many numbers.
    fn symmetric(
        &mut self,
        b: &Block<'_>,
        a: Value,
        lead: &[Index],
        [n, wide]: [usize; 2],
        room: &Place,
    ) -> Result<()> {
        self.looped(n, |w, i| {
            w.looped(n, |w, j| {
                w.when(&format!("{} <= {}", j.text(), i.text()), |w| {
                    let formula = w.element(b, a, &At::Axes([lead, &[i.clone(), j.clone()]].concat()));
                    let value = w.name("a");
                    w.variable(&value, &formula);
                    for [row, column] in [[&i, &j], [&j, &i]] {
                        let to = w.place(room, row.times(wide).plus(column));
                        w.set(&to, &value);
                    }
                    Ok(())
                })
            })
        })
    }

    /// Every row below each of the first `n`, so that nothing is left of their columns below the diagonal.
    fn eliminated(&mut self, [n, wide]: [usize; 2], room: &Place) -> Result<()> {
        self.looped(n, |w, k| {
            let pivot = w.place(room, k.times(wide + 1));
            // Nothing is added but NaN, where there is no logarithm.
            w.set(&pivot, &format!("{pivot} + 0.0 * logarithm({pivot})"));
            w.between(&k.clone().shifted(1), &Index::zero().shifted(n), |w, i| {
                let first = w.place(room, i.times(wide).plus(&k));
                let factor = w.name("a");
                w.variable(&factor, &format!("-({first} / {pivot})"));
                w.between(&k, &Index::zero().shifted(wide), |w, j| {
                    let [to, from] = [&i, &k].map(|row| w.place(room, row.times(wide).plus(&j)));
                    w.add(&to, &format!("{factor} * {from}"));
                    Ok(())
                })
            })
        })
    }
}
