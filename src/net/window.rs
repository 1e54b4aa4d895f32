//! Windows that pools look through: how many there are, and their elements joined two by two.

use super::spatial::{Padding, Sizes, row_like, spatial, taps};
use crate::graph::conv::Window;
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// Windows along height and width. What is left over at the end is dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pooling {
    windows: [Window; 2],
    counts: [usize; 2],
    extent: [usize; 2],
}

impl Pooling {
    pub(super) fn new(size: Sizes, stride: Option<Sizes>, row: &[usize]) -> Result<Pooling, String> {
        Pooling::padded(size, stride, Padding::Valid, row)
    }

    /// The same over rows with zeros around them.
    pub(super) fn padded(
        size: Sizes,
        stride: Option<Sizes>,
        padding: Padding,
        row: &[usize],
    ) -> Result<Pooling, String> {
        let (extent, _) = spatial(row, "a pool")?;
        let (size, stride) = (size.over(row)?, stride.unwrap_or(size).over(row)?);
        let (mut windows, mut counts) = ([Window::new(1); 2], [0; 2]);
        for i in 0..2 {
            let window = Window { stride: stride[i], ..Window::new(size[i]) };
            if padding == Padding::Valid && window.valid(extent[i]).is_none() {
                return Err(format!("windows of {size:?} elements do not lie inside rows {row:?}"));
            }
            (windows[i], counts[i]) = padding.lay(window, extent[i])?;
        }
        Ok(Pooling { windows, counts, extent })
    }

    /// The row behind the pool.
    pub(super) fn output(&self, row: &[usize]) -> Result<Shape, String> {
        let (_, channels) = spatial(row, "a pool")?;
        Ok(row_like(row, self.counts, channels))
    }

    /// Elements of a window.
    pub(super) fn elements(&self) -> usize {
        self.windows.iter().map(|w| w.size).product()
    }

    /// Joins the elements of each window, those of a line first, from the first on; rows begin at axis `lead`.
    pub(super) fn reduce(
        &self,
        g: &mut Graph,
        x: Value,
        lead: usize,
        join: impl Fn(&mut Graph, Value, Value) -> Value,
    ) -> Value {
        // Channels come last, width before them, height first where there is one.
        let width = g.shape(x).len() - 2;
        let mut y = x;
        for (axis, i) in [(width, 1), (lead, 0)] {
            let (window, count) = (self.windows[i], self.counts[i]);
            if window.size == 1 && window.stride == 1 {
                continue;
            }
            let padded = (count - 1) * window.stride + window.size;
            if padded > self.extent[i] || window.before > 0 {
                y = g.pad(y, axis, window.before, padded.max(window.before + self.extent[i]));
            }
            let all = taps(g, y, axis, window.size, window.stride);
            y = all.into_iter().reduce(|a, b| join(g, a, b)).unwrap_or(y);
        }
        y
    }
}
