//! Convolution: three operations that are each other's gradients.
//!
//! With x `[b, n, h, w, c]`, kernels k `[b, i, j, c/g, o]` and y `[b, n, p, q, o]`, all three are the derivatives of one
//! trilinear form `Σ x[b, n, s p + d i - z, .., c] k[b, i, j, c, o] y[b, n, p, q, o]` by y (the convolution), by x (what carries
//! gradients back to the input; forwards it is transposed convolution) and by k. So any order of derivative stays among them.

use super::op::Op;
use super::{Graph, Value};
use crate::spec::{DType, Shape};

/// How windows lie along one spatial axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Taps of the kernel.
    pub size: usize,
    /// Distance of two windows.
    pub stride: usize,
    /// Distance of two taps.
    pub dilation: usize,
    /// Zeros before the first element.
    pub before: usize,
}

impl Window {
    /// Windows of neighbouring elements, one at each, without padding.
    pub fn new(size: usize) -> Window {
        Window { size, stride: 1, dilation: 1, before: 0 }
    }

    /// Elements that a window spans.
    pub fn span(&self) -> usize {
        (self.size - 1) * self.dilation + 1
    }

    /// With as many zeros around `len` elements that there are `⌈len / stride⌉` windows, the odd one after them ("same").
    pub fn same(self, len: usize) -> Window {
        let windows = len.div_ceil(self.stride);
        let zeros = ((windows - 1) * self.stride + self.span()).saturating_sub(len);
        Window { before: zeros / 2, ..self }
    }

    /// Windows that lie inside `len` elements ("valid"); `None` where not even one does.
    pub fn valid(&self, len: usize) -> Option<usize> {
        Some(len.checked_sub(self.span())? / self.stride + 1)
    }

    /// The element that tap `tap` of window `at` reads, of `len`; `None` in the padding.
    pub fn element(&self, at: usize, tap: usize, len: usize) -> Option<usize> {
        (at * self.stride + tap * self.dilation).checked_sub(self.before).filter(|i| *i < len)
    }

    /// The window in which tap `tap` reads element `i`, of `windows`.
    pub fn window(&self, i: usize, tap: usize, windows: usize) -> Option<usize> {
        let at = (i + self.before).checked_sub(tap * self.dilation)?;
        Some(at / self.stride).filter(|w| at.is_multiple_of(self.stride) && *w < windows)
    }
}

/// Windows along both spatial axes, and in how many groups channels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Along h and w.
    pub windows: [Window; 2],
    /// Groups of channels: outputs of a group read its inputs only.
    pub groups: usize,
}

/// By which of its three values the trilinear form is derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrt {
    /// The result: operands x and k.
    Output,
    /// The input: operands y and k.
    Input,
    /// The kernels: operands x and y.
    Kernels,
}

impl Conv {
    /// Square windows of `size`, `stride` apart, without padding.
    pub fn square(size: usize, stride: usize) -> Conv {
        Conv { windows: [Window { stride, ..Window::new(size) }; 2], groups: 1 }
    }

    /// Zeros around images of `h x w` so that a stride of 1 keeps their size.
    pub fn same(self, [h, w]: [usize; 2]) -> Conv {
        Conv { windows: [self.windows[0].same(h), self.windows[1].same(w)], ..self }
    }
}

impl Graph {
    /// `y[b, n, p, q, o] = Σ x[b, n, s p + d i - z, .., c] k[b, i, j, c, o]`: x `[b, n, h, w, c]`, k `[b, i, j, c / groups, o]`,
    /// result `[b, n, p, q, o]` with `[p, q]` windows. No kernel is flipped; what lies outside is 0.
    #[track_caller]
    pub fn conv(&mut self, conv: Conv, x: Value, k: Value, [p, q]: [usize; 2]) -> Value {
        let [sx, sk] = [x, k].map(|v| self.shape(v).to_vec());
        let y = match (&sx[..], &sk[..]) {
            (&[b, n, ..], &[.., o]) if sx.len() == 5 && sk.len() == 5 => vec![b, n, p, q, o],
            _ => vec![],
        };
        self.check_conv(&conv, &sx, &sk, &y);
        self.f32("conv", &[x, k]);
        self.push(Op::Conv(conv, Wrt::Output), &[x, k], y, DType::F32)
    }

    /// The gradient of [`Graph::conv`] by its input of `[h, w]`: y `[b, n, p, q, o]` and k `[b, i, j, c / groups, o]` give
    /// `[b, n, h, w, c]`. Forwards it is transposed convolution.
    #[track_caller]
    pub fn conv_input(&mut self, conv: Conv, y: Value, k: Value, [h, w]: [usize; 2]) -> Value {
        let [sy, sk] = [y, k].map(|v| self.shape(v).to_vec());
        let x = match (&sy[..], &sk[..]) {
            (&[b, n, ..], &[_, _, _, c, _]) if sy.len() == 5 => vec![b, n, h, w, c * conv.groups],
            _ => vec![],
        };
        self.check_conv(&conv, &x, &sk, &sy);
        self.f32("conv_input", &[y, k]);
        self.push(Op::Conv(conv, Wrt::Input), &[y, k], x, DType::F32)
    }

    /// The gradient of [`Graph::conv`] by its kernels: x `[b, n, h, w, c]` and y `[b, n, p, q, o]` give `[b, i, j, c / groups, o]`.
    #[track_caller]
    pub fn conv_kernels(&mut self, conv: Conv, x: Value, y: Value) -> Value {
        let [sx, sy] = [x, y].map(|v| self.shape(v).to_vec());
        let k = match (&sx[..], &sy[..]) {
            (&[b, _, _, _, c], &[.., o]) if sy.len() == 5 => {
                vec![b, conv.windows[0].size, conv.windows[1].size, c / conv.groups.max(1), o]
            }
            _ => vec![],
        };
        self.check_conv(&conv, &sx, &k, &sy);
        self.f32("conv_kernels", &[x, y]);
        self.push(Op::Conv(conv, Wrt::Kernels), &[x, y], k, DType::F32)
    }

    /// Whether x, k and y fit one another.
    #[track_caller]
    fn check_conv(&self, conv: &Conv, x: &[usize], k: &[usize], y: &[usize]) {
        let fail = |why: &str| self.fail("conv", &[x, k, y], why);
        let (&[b, n, h, w, c], &[bk, i, j, ck, o], &[by, ny, p, q, oy]) = (x, k, y) else {
            fail("images are [b, n, h, w, c], kernels [b, i, j, c, o]")
        };
        if b != bk || b != by || n != ny || o != oy {
            fail("batches or channels differ")
        }
        let g = conv.groups;
        if g == 0 || ck * g != c || !o.is_multiple_of(g) {
            fail(&format!("{g} groups must part the channels evenly"))
        }
        for (window, size, len, windows) in [(conv.windows[0], i, h, p), (conv.windows[1], j, w, q)] {
            let Window { stride, dilation, before, .. } = window;
            if window.size != size || stride == 0 || dilation == 0 {
                fail(&format!("the kernels are not those of {window:?}"))
            }
            // The last window begins inside, and no window lies in the padding alone.
            if windows == 0 || before >= window.span() || (windows - 1) * stride >= len + before {
                fail(&format!("{windows} windows of {window:?} do not lie over {len} elements"))
            }
        }
    }

    /// Gradients of a convolution's operands, where they are wanted, for the cotangent `g` of its result.
    pub(super) fn conv_back(
        &mut self,
        conv: Conv,
        wrt: Wrt,
        [a, b]: [Value; 2],
        wants: [bool; 2],
        g: Value,
    ) -> [Option<Value>; 2] {
        let extent = |graph: &Graph, v: Value| -> [usize; 2] {
            let s: &Shape = &graph.node(v).shape;
            [s[2], s[3]]
        };
        let [first, second] = wants;
        match wrt {
            // a = x, b = k
            Wrt::Output => [
                first.then(|| {
                    let extent = extent(self, a);
                    self.conv_input(conv, g, b, extent)
                }),
                second.then(|| self.conv_kernels(conv, a, g)),
            ],
            // a = y, b = k
            Wrt::Input => [
                first.then(|| {
                    let extent = extent(self, a);
                    self.conv(conv, g, b, extent)
                }),
                second.then(|| self.conv_kernels(conv, g, a)),
            ],
            // a = x, b = y
            Wrt::Kernels => [
                first.then(|| {
                    let extent = extent(self, a);
                    self.conv_input(conv, b, g, extent)
                }),
                second.then(|| {
                    let extent = extent(self, b);
                    self.conv(conv, a, g, extent)
                }),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_zero_last() {
        assert_eq!(Window::new(3).same(7).before, 1);
        assert_eq!(Window { stride: 2, ..Window::new(3) }.same(6).before, 0);
        assert_eq!(Window { stride: 2, ..Window::new(1) }.same(6).before, 0);
        assert_eq!(Window { stride: 2, ..Window::new(3) }.valid(2), None);
    }

    #[test]
    fn windows_and_elements_are_inverse() {
        for window in [Window::new(3), Window { stride: 2, dilation: 2, before: 1, size: 3 }] {
            for at in 0..5 {
                for tap in 0..3 {
                    if let Some(i) = window.element(at, tap, 9) {
                        assert_eq!(window.window(i, tap, 5), Some(at));
                    }
                }
            }
        }
    }
}
