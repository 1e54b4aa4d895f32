//! The loop nests of products and convolutions.

use super::emit::{Block, Place, Writer};
use super::index::{At, Index, counted};
use crate::error::Result;
use crate::graph::Value;
use crate::graph::conv::{Conv, Wrt};
use crate::spec::count;

impl Writer<'_> {
    /// A batched product, a row of the result at a time: numbers that lie side by side are added to side by side.
    pub(super) fn product(
        &mut self,
        b: &mut Block<'_>,
        (x, ta): (Value, bool),
        (y, tb): (Value, bool),
        shape: &[usize],
        to: &Place,
    ) -> Result<()> {
        let rank = shape.len();
        let (sx, sy) = (b.graph.shape(x).to_vec(), b.graph.shape(y).to_vec());
        let terms = if ta { sx[sx.len() - 2] } else { sx[sx.len() - 1] };
        // Batch axes broadcast.
        let operand = |shape: &[usize], lead: &[Index], [i, j]: [&Index; 2]| {
            let batch = &shape[..shape.len() - 2];
            let missing = lead.len() - batch.len();
            let axis =
                |(k, n): (usize, &usize)| if *n == 1 { Index::zero() } else { lead[k + missing].clone() };
            let mut at: Vec<Index> = batch.iter().enumerate().map(axis).collect();
            at.extend([i.clone(), j.clone()]);
            At::Axes(at)
        };
        let (lead, [rows, columns]) = (&shape[..rank - 2], [shape[rank - 2], shape[rank - 1]]);
        let lead_and_rows = [lead, &[rows]].concat();
        self.over(&lead_and_rows, vec![], &mut |w, at| {
            let (batch, i) = (&at[..rank - 2], &at[rank - 2]);
            let x_at = |k: &Index| operand(&sx, batch, if ta { [k, i] } else { [i, k] });
            let y_at = |k: &Index, j: &Index| operand(&sy, batch, if tb { [j, k] } else { [k, j] });
            let row = |w: &Self, j: &Index| {
                let mut there = at.to_vec();
                there.push(j.clone());
                w.place(to, counted(shape, &At::Axes(there)))
            };
            if tb || columns == 1 {
                return w.looped(columns, |w, j| {
                    let sum = w.name("a");
                    w.variable(&sum, "0.0");
                    w.looped(terms, |w, k| {
                        let (p, q) = (w.element(b, x, &x_at(&k)), w.element(b, y, &y_at(&k, &j)));
                        w.add(&sum, &format!("{p} * {q}"));
                        Ok(())
                    })?;
                    let to = row(w, &j);
                    w.set(&to, &sum);
                    Ok(())
                });
            }
            w.looped(columns, |w, j| {
                let to = row(w, &j);
                w.set(&to, "0.0");
                Ok(())
            })?;
            w.looped(terms, |w, k| {
                let factor = w.name("a");
                let p = w.element(b, x, &x_at(&k));
                w.variable(&factor, &p);
                w.looped(columns, |w, j| {
                    let (to, q) = (row(w, &j), w.element(b, y, &y_at(&k, &j)));
                    w.add(&to, &format!("{factor} * {q}"));
                    Ok(())
                })
            })
        })
    }

    /// One of the three convolutions: all terms of the trilinear form, each added where it belongs.
    pub(super) fn conv(
        &mut self,
        b: &mut Block<'_>,
        conv: &Conv,
        wrt: Wrt,
        operands: [Value; 2],
        v: Value,
        to: &Place,
    ) -> Result<()> {
        let shape = b.graph.shape(v).to_vec();
        self.fill(to, count(&shape))?;
        // The two operands and the result as x, k and y.
        let [first, second] = operands.map(|x| (Some(x), b.graph.shape(x).to_vec()));
        let result = (None, shape);
        let [x, k, y] = match wrt {
            Wrt::Output => [first, second, result],
            Wrt::Input => [result, second, first],
            Wrt::Kernels => [first, result, second],
        };
        let (batch, images) = (y.1[0].max(x.1[0]).max(k.1[0]), y.1[1]);
        let [p, q] = [y.1[2], y.1[3]];
        let [h, wide] = [x.1[2], x.1[3]];
        let [di, dj] = conv.windows.map(|w| w.size);
        let (groups, c, o) = (conv.groups, k.1[3], k.1[4] / conv.groups);
        self.over(&[batch, images, p, q, di, dj, groups], vec![], &mut |w, at| {
            let [at_b, n, at_p, at_q, i, j, group] = at else { unreachable!("seven loops") };
            // The element that a tap reads, and where there is one.
            let tap = |axis: usize, at: &Index, tap: &Index, len: usize| {
                let window = conv.windows[axis];
                let place = at.times(window.stride).plus(&tap.times(window.dilation));
                let (before, text) = (window.before, place.text());
                let last = (y.1[2 + axis] - 1) * window.stride + (window.size - 1) * window.dilation;
                let low = (before > 0).then(|| format!("{text} >= {before}"));
                let high = (last >= len + before).then(|| format!("{text} < {}", len + before));
                let index = match before {
                    0 => place,
                    _ => Index::of(format!("({text} - {before})")),
                };
                (index, [low, high])
            };
            let (row, inside_h) = tap(0, at_p, i, h);
            let (column, inside_w) = tap(1, at_q, j, wide);
            let conditions: Vec<String> = inside_h.into_iter().chain(inside_w).flatten().collect();
            w.when(&conditions.join(" && "), |w| {
                w.looped(c, |w, channel| {
                    let own = |n: usize| if n == 1 { Index::zero() } else { at_b.clone() };
                    let from = channel.clone().plus(&group.times(c));
                    let at_x = [own(x.1[0]), n.clone(), row.clone(), column.clone(), from].to_vec();
                    let at_k = |out: &Index| {
                        [own(k.1[0]), i.clone(), j.clone(), channel.clone(), out.clone()].to_vec()
                    };
                    let at_y = |out: &Index| {
                        [own(y.1[0]), n.clone(), at_p.clone(), at_q.clone(), out.clone()].to_vec()
                    };
                    w.looped(o, |w, out| {
                        let out = out.plus(&group.times(o));
                        let of = |w: &mut Self, (v, _): &(Option<Value>, Vec<usize>), at: Vec<Index>| {
                            v.map(|v| w.element(b, v, &At::Axes(at)))
                        };
                        let parts = [of(w, &x, at_x.clone()), of(w, &k, at_k(&out)), of(w, &y, at_y(&out))];
                        let (there, shape) = match wrt {
                            Wrt::Output => (at_y(&out), &y.1),
                            Wrt::Input => (at_x.clone(), &x.1),
                            Wrt::Kernels => (at_k(&out), &k.1),
                        };
                        let to = w.place(to, counted(shape, &At::Axes(there)));
                        let factors: Vec<String> = parts.into_iter().flatten().collect();
                        w.add(&to, &factors.join(" * "));
                        Ok(())
                    })
                })
            })
        })
    }
}
