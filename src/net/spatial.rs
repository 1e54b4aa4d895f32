//! What layers over pictures and series share: sizes along their axes, padding, and rows as images.

use serde::{Deserialize, Serialize};

use super::layer::Forward;
use crate::graph::conv::Window;
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// A size along both axes of a picture, or along each; along the one axis of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "sizes along axes are a whole number, as 3, or one for each axis, as [3, 5]")]
pub enum Sizes {
    /// The same along every axis.
    Both(usize),
    /// Along height and width.
    Each([usize; 2]),
}

impl From<usize> for Sizes {
    fn from(size: usize) -> Sizes {
        Sizes::Both(size)
    }
}

impl From<[usize; 2]> for Sizes {
    fn from(sizes: [usize; 2]) -> Sizes {
        Sizes::Each(sizes)
    }
}

impl Sizes {
    pub(super) fn one() -> Sizes {
        Sizes::Both(1)
    }

    pub(super) fn is_one(&self) -> bool {
        *self == Sizes::one()
    }

    /// Along height and width of images; a series is an image of one line.
    pub(crate) fn over(&self, row: &[usize]) -> Result<[usize; 2], String> {
        let sizes = match (*self, row.len()) {
            (Sizes::Both(n), 2) => [1, n],
            (Sizes::Both(n), _) => [n, n],
            (Sizes::Each(sizes), 3) => sizes,
            (Sizes::Each(sizes), _) => {
                return Err(format!("two sizes {sizes:?} for rows {row:?} of one axis beside the channels"));
            }
        };
        match sizes.iter().all(|n| (1..=4096).contains(n)) {
            true => Ok(sizes),
            false => Err(format!("a kernel, stride, dilation or pool of {sizes:?}: 1 to 4096 are possible")),
        }
    }
}

/// Zeros around rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Padding {
    /// As many that there are `⌈length / stride⌉` windows, the odd one last.
    #[default]
    Same,
    /// None: windows lie inside.
    Valid,
    /// All before: a window sees nothing that comes after its last tap (series).
    Causal,
}

impl Padding {
    /// A window over `len` elements, with how many there are.
    pub(crate) fn lay(self, window: Window, len: usize) -> Result<(Window, usize), String> {
        check_stride(window.stride, len)?;
        // What lies further from a window's middle than the ends from one another meets nothing, ever.
        if len > 1 && self != Padding::Valid && window.span() > 2 * len - 1 {
            let span = window.span();
            return Err(format!(
                "windows of {span} elements over {len}: beyond {} they meet zeros alone",
                2 * len - 1
            ));
        }
        match self {
            Padding::Same => Ok((window.same(len), len.div_ceil(window.stride))),
            Padding::Causal => {
                Ok((Window { before: window.span() - 1, ..window }, len.div_ceil(window.stride)))
            }
            Padding::Valid => match window.valid(len) {
                Some(count) => Ok((window, count)),
                None => Err(format!("windows of {} elements do not lie inside {len}", window.span())),
            },
        }
    }
}

/// Refuses a stride that would read the first of several elements alone.
pub(super) fn check_stride(stride: usize, len: usize) -> Result<(), String> {
    match len > 1 && stride > len {
        true => {
            Err(format!("a stride of {stride} over {len} elements reads the first window alone: up to {len}"))
        }
        false => Ok(()),
    }
}

pub(super) fn one() -> usize {
    1
}

/// Height and width, and the channels, of rows that are pictures or series.
pub(super) fn spatial(row: &[usize], what: &str) -> Result<([usize; 2], usize), String> {
    match *row {
        [h, w, c] => Ok(([h, w], c)),
        [l, c] => Ok(([1, l], c)),
        _ => Err(format!("{what} reads rows [height, width, channels] or [length, channels], not {row:?}")),
    }
}

/// The row behind a layer over rows like `row`: of this extent, of these channels.
pub(super) fn row_like(row: &[usize], [h, w]: [usize; 2], channels: usize) -> Shape {
    if row.len() == 2 { vec![w, channels] } else { vec![h, w, channels] }
}

/// The shape of kernels over rows like `row`: a series' have one axis of taps.
pub(super) fn kernels_like(row: &[usize], windows: &[Window; 2], channels: [usize; 2]) -> Shape {
    windows.iter().map(|w| w.size).skip(3 - row.len()).chain(channels).collect()
}

/// Refuses numbers of output channels beyond any use.
pub(super) fn check_channels(channels: usize) -> Result<(), String> {
    match (1..=65_536).contains(&channels) {
        true => Ok(()),
        false => Err(format!("a convolution of {channels} channels: 1 to 65536 are possible")),
    }
}

/// Numbers of shared kernels, once a task, up to which tasks take part with gradients of their own: 64 MiB.
const MAX_APART: usize = 1 << 24;

/// Rows as images `[b, n, h, w, c]`, to go through so many numbers of kernels: b counts tasks, also where they share their weights, so that
/// work is parted between tasks; it is 1 where rows belong to none, and where shared kernels are so many that gradients of each task
/// would take much memory.
pub(super) fn images(g: &mut Graph, x: Value, row: &[usize], f: &Forward<'_>, kernels: usize) -> Value {
    let ([h, w], c) = spatial(row, "an image").unwrap_or_else(|e| panic!("{e}"));
    let lead = &g.shape(x)[..f.lead];
    let [b, n] = match lead {
        &[t, n] if f.weights.per_task(g) || t * kernels <= MAX_APART => [t, n],
        lead => [1, lead.iter().product()],
    };
    g.reshape(x, &[b, n, h, w, c])
}

/// The taps of windows along `axis`: for each tap the elements that it reads, of as many windows as lie inside.
pub(super) fn taps(g: &mut Graph, x: Value, axis: usize, size: usize, stride: usize) -> Vec<Value> {
    let mut shape = g.shape(x).to_vec();
    let len = shape[axis];
    let count = (len - size) / stride + 1;
    if stride == 1 {
        return (0..size).map(|k| g.slice(x, axis, k, count)).collect();
    }
    // The axis as whole strides; what is added or cut at the end no window reads.
    let strides = count + (size - 1) / stride;
    let whole = strides * stride;
    let x = if whole > len { g.pad(x, axis, 0, whole) } else { g.slice(x, axis, 0, whole) };
    shape[axis] = strides;
    let split = [&shape[..=axis], &[stride], &shape[axis + 1..]].concat();
    let x = g.reshape(x, &split);
    shape[axis] = count;
    (0..size)
        .map(|k| {
            let tap = g.slice(x, axis, k / stride, count);
            let tap = g.slice(tap, axis + 1, k % stride, 1);
            g.reshape(tap, &shape)
        })
        .collect()
}
