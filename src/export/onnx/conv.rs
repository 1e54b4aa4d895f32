//! Convolutions as `Conv` and `ConvTranspose`: there images are `[n, c, h, w]` and kernels `[o, c, i, j]`, and networks that lie side by side are groups of channels.

use super::proto;
use super::writer::{Axis, Writer};
use crate::error::{Error, Result};
use crate::graph::conv::{Conv, Window, Wrt};

/// How one convolution lies along an axis: by what it goes on, how far its taps are apart, zeros on both ends, and how much more than asked for it gives.
struct Along {
    stride: usize,
    dilation: usize,
    pads: [usize; 2],
    over: usize,
}

impl Along {
    /// `windows` of them over `len` elements.
    fn new(window: Window, windows: usize, len: usize) -> Along {
        let Window { stride, dilation, before, .. } = window;
        let end = (windows - 1) * stride + window.span();
        let after = end.saturating_sub(len + before);
        let given = (len + before + after - window.span()) / stride + 1;
        Along { stride, dilation, pads: [before, after], over: given - windows }
    }
}

impl Writer<'_> {
    /// One of the three convolutions.
    pub(super) fn conv(
        &mut self,
        conv: &Conv,
        wrt: Wrt,
        of: &[String],
        [first_axes, second_axes]: [Vec<Axis>; 2],
        result: &[Axis],
    ) -> Result<String> {
        match wrt {
            Wrt::Output => {
                let (x, k) = (self.images(&of[0], &first_axes)?, self.kernels(&of[1], &second_axes)?);
                let along = along(conv.windows, &result[2..4], &first_axes[2..4])?;
                let y = self.convolved(x, k, &along, conv.groups * known(first_axes[0])?);
                self.as_rows(y, result)
            }
            Wrt::Input => {
                let (y, k) = (self.images(&of[0], &first_axes)?, self.kernels(&of[1], &second_axes)?);
                let mut pads = [[0; 2]; 2];
                let mut missing = [0; 2];
                for axis in 0..2 {
                    let window = conv.windows[axis];
                    let (windows, len) = (known(first_axes[2 + axis])?, known(result[2 + axis])?);
                    let given = ((windows - 1) * window.stride + window.span()).saturating_sub(window.before);
                    pads[axis] = [window.before, given.saturating_sub(len)];
                    missing[axis] = len.saturating_sub(given);
                }
                let both = |of: fn(&Window) -> usize| conv.windows.iter().map(of).map(|n| n as i64);
                let attributes = [
                    proto::ints("kernel_shape", both(|w| w.size)),
                    proto::ints("strides", both(|w| w.stride)),
                    proto::ints("dilations", both(|w| w.dilation)),
                    proto::ints("pads", by_ends(pads)),
                    proto::int("group", (conv.groups * known(first_axes[0])?) as i64),
                ];
                let mut x = self.node("ConvTranspose", &[y, k], &attributes);
                if missing != [0; 2] {
                    let ends = self.integer_list(&[0, 0, 0, 0, 0, 0, missing[0], missing[1]]);
                    x = self.node("Pad", &[x, ends], &[]);
                }
                self.as_rows(x, result)
            }
            Wrt::Kernels => {
                let groups = conv.groups;
                let grouped = |axes: &[Axis]| -> Result<Vec<Axis>> {
                    let mut axes = axes.to_vec();
                    let channels = known(axes[4])?;
                    axes.splice(4.., [Axis::Fixed(groups), Axis::Fixed(channels / groups)]);
                    Ok(axes)
                };
                let (x_axes, y_axes) = (grouped(&first_axes)?, grouped(&second_axes)?);
                let batch = known(x_axes[0])?;
                let of_rows = |times: usize| times_rows(first_axes[1], times);
                // The rows are what is summed over: they become channels, and channels become rows.
                let x = self.reshaped(of[0].clone(), &x_axes);
                let x = self.permuted(x, &[5, 0, 4, 1, 2, 3]);
                let x = self.reshaped(x, &[x_axes[5], of_rows(batch * groups), x_axes[2], x_axes[3]]);
                let y = self.reshaped(of[1].clone(), &y_axes);
                let y = self.permuted(y, &[0, 4, 5, 1, 2, 3]);
                let outputs = Axis::Fixed(batch * known(second_axes[4])?);
                let y = self.reshaped(y, &[outputs, y_axes[1], y_axes[2], y_axes[3]]);
                // Taps and windows change their parts.
                let mut turned = conv.windows;
                for (window, taps) in turned.iter_mut().zip(&second_axes[2..4]) {
                    let Window { stride, dilation, before, .. } = *window;
                    *window = Window { size: known(*taps)?, stride: dilation, dilation: stride, before };
                }
                let along = along(turned, &result[1..3], &first_axes[2..4])?;
                let k = self.convolved(x, y, &along, batch * groups);
                let [i, j] = [result[1], result[2]];
                let k = self.reshaped(k, &[result[3], result[0], result[4], i, j]);
                Ok(self.permuted(k, &[1, 3, 4, 0, 2]))
            }
        }
    }

    fn convolved(&mut self, x: String, k: String, along: &[Along], groups: usize) -> String {
        let both = |of: fn(&Along) -> usize| along.iter().map(of).map(|n| n as i64);
        let attributes = [
            proto::ints("strides", both(|a| a.stride)),
            proto::ints("dilations", both(|a| a.dilation)),
            proto::ints("pads", by_ends([along[0].pads, along[1].pads])),
            proto::int("group", groups as i64),
        ];
        let mut y = self.node("Conv", &[x, k], &attributes);
        for (axis, along) in along.iter().enumerate().filter(|(_, a)| a.over > 0) {
            y = self.without_last(y, 2 + axis, along.over);
        }
        y
    }

    /// `[b, n, h, w, c]` as `[n, b · c, h, w]`.
    fn images(&mut self, x: &str, axes: &[Axis]) -> Result<String> {
        let channels = Axis::Fixed(known(axes[0])? * known(axes[4])?);
        let x = self.permuted(x.into(), &[1, 0, 4, 2, 3]);
        Ok(self.reshaped(x, &[axes[1], channels, axes[2], axes[3]]))
    }

    /// `[b, i, j, c, o]` as `[b · o, c, i, j]`.
    fn kernels(&mut self, k: &str, axes: &[Axis]) -> Result<String> {
        let outputs = Axis::Fixed(known(axes[0])? * known(axes[4])?);
        let k = self.permuted(k.into(), &[0, 4, 3, 1, 2]);
        Ok(self.reshaped(k, &[outputs, axes[3], axes[1], axes[2]]))
    }

    /// `[n, b · c, h, w]` as `[b, n, h, w, c]`, which are the axes.
    fn as_rows(&mut self, x: String, axes: &[Axis]) -> Result<String> {
        let x = self.reshaped(x, &[axes[1], axes[0], axes[4], axes[2], axes[3]]);
        Ok(self.permuted(x, &[1, 0, 3, 4, 2]))
    }
}

/// So many windows along both axes, over so many elements.
fn along(windows: [Window; 2], given: &[Axis], of: &[Axis]) -> Result<Vec<Along>> {
    let each = windows.into_iter().zip(given).zip(of);
    each.map(|((window, windows), len)| Ok(Along::new(window, known(*windows)?, known(*len)?))).collect()
}

/// Zeros before along both axes, then those after.
fn by_ends([h, w]: [[usize; 2]; 2]) -> [i64; 4] {
    [h[0], w[0], h[1], w[1]].map(|n| n as i64)
}

fn times_rows(axis: Axis, times: usize) -> Axis {
    match axis {
        Axis::Fixed(n) => Axis::Fixed(n * times),
        Axis::Rows(n) => Axis::Rows(n * times),
    }
}

/// The length of an axis that does not grow with the rows.
fn known(axis: Axis) -> Result<usize> {
    match axis {
        Axis::Fixed(n) => Ok(n),
        Axis::Rows(_) => Err(Error::Shape("a convolution runs along the rows".into())),
    }
}
