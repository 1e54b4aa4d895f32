//! Views: where the elements of a value lie in a slot.
//!
//! Part of the engine: public for tests and tools, without a promise of stability.
//!
//! ```
//! use hyperloom::view::View;
//!
//! // Rows of three, looked at as columns: nothing is moved.
//! let columns = View::contiguous(&[2, 3], 0).permute(&[1, 0]);
//! assert_eq!(columns.at(&[0, 0, 0, 0, 2, 1]), 5);
//! ```

use smallvec::SmallVec;

use crate::spec::MAX_RANK;

/// Offset and strides, in elements, over axes aligned to the right: a shape `[n, k]` fills the last
/// two axes, the others have length 1 and stride 0. A stride of 0 repeats elements (broadcast).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// First element.
    pub offset: usize,
    /// Lengths of the axes.
    pub dims: [usize; MAX_RANK],
    /// Distance between neighbours along each axis.
    pub strides: [usize; MAX_RANK],
}

/// A shape, aligned to the right.
pub fn aligned(shape: &[usize]) -> [usize; MAX_RANK] {
    let mut dims = [1; MAX_RANK];
    dims[MAX_RANK - shape.len()..].copy_from_slice(shape);
    dims
}

/// Axis of the rows of a matrix.
pub(crate) const ROW: usize = MAX_RANK - 2;
/// Axis of the columns of a matrix.
pub(crate) const COLUMN: usize = MAX_RANK - 1;

impl View {
    /// The same elements without axes of length 1 between the others.
    pub(crate) fn squeezed(&self) -> View {
        let mut out = View { dims: [1; MAX_RANK], strides: [0; MAX_RANK], ..*self };
        let axes = (0..MAX_RANK).rev().filter(|&i| self.dims[i] > 1);
        for (to, from) in (0..MAX_RANK).rev().zip(axes) {
            (out.dims[to], out.strides[to]) = (self.dims[from], self.strides[from]);
        }
        out
    }

    /// The view with rows and columns exchanged.
    pub(crate) fn transposed(mut self) -> View {
        self.dims.swap(ROW, COLUMN);
        self.strides.swap(ROW, COLUMN);
        self
    }

    /// All elements of a shape, in row-major order from `offset`.
    pub fn contiguous(shape: &[usize], offset: usize) -> View {
        let dims = aligned(shape);
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for i in (0..MAX_RANK).rev() {
            if dims[i] > 1 {
                strides[i] = step;
            }
            step *= dims[i];
        }
        View { offset, dims, strides }
    }

    /// Number of elements seen (repeated ones counted).
    pub fn count(&self) -> usize {
        self.dims.iter().product()
    }

    /// One past the largest element touched.
    pub fn end(&self) -> usize {
        self.offset + self.dims.iter().zip(&self.strides).map(|(d, s)| (d - 1) * s).sum::<usize>() + 1
    }

    /// Whether two views of one buffer have no element in common: they lie one after the other, or one takes turns with the other,
    /// as the even and the odd columns of a matrix do. `false` where that cannot be told.
    pub(crate) fn apart(&self, other: &View) -> bool {
        let both = [self, other];
        // Of a view, what it covers of each stretch of `m` elements: from where, and how much further.
        let covered = |v: &View, m: usize| {
            let inner = v.dims.iter().zip(&v.strides).filter(|(_, s)| *s % m != 0);
            (v.offset % m, inner.map(|(d, s)| (d - 1) * s).sum::<usize>())
        };
        let turns = |m: usize| {
            let [(a, a_more), (b, b_more)] = both.map(|v| covered(v, m));
            a.max(b) + if a < b { b_more } else { a_more } < m
                && if a < b { a + a_more < b } else { b + b_more < a }
        };
        let after = self.end() <= other.offset || other.end() <= self.offset;
        after || both.iter().any(|v| v.strides.iter().any(|m| *m > 1 && turns(*m)))
    }

    /// Whether the elements are row-major without gaps.
    pub fn is_contiguous(&self) -> bool {
        *self == View { offset: self.offset, ..View::contiguous(&self.dims, 0) }
    }

    /// Whether no two index tuples share an element: needed of everything that is written.
    pub fn is_injective(&self) -> bool {
        // On the stack: whoever checks launches as they run allocates nothing.
        let mut axes: [(usize, usize); MAX_RANK] = std::array::from_fn(|i| (self.strides[i], self.dims[i]));
        axes.sort_unstable();
        let mut reach = 0;
        axes.iter().filter(|(_, d)| *d > 1).all(|&(s, d)| {
            let ok = s > reach;
            reach += s * (d - 1);
            ok
        })
    }

    /// The same elements with another (right-aligned) shape, where that needs no copy.
    pub fn reshape(&self, shape: &[usize]) -> Option<View> {
        let new = aligned(shape);
        // Walk both shapes from the right, matching runs of equal size.
        let mut strides = [0; MAX_RANK];
        let (mut i, mut j) = (MAX_RANK, MAX_RANK);
        loop {
            while i > 0 && self.dims[i - 1] == 1 {
                i -= 1;
            }
            while j > 0 && new[j - 1] == 1 {
                j -= 1;
            }
            if i == 0 || j == 0 {
                break;
            }
            let (i0, j0) = (i, j);
            let (mut from, mut to) = (self.dims[i - 1], new[j - 1]);
            (i, j) = (i - 1, j - 1);
            while from != to {
                if from < to {
                    i -= 1;
                    from *= self.dims[i];
                } else {
                    j -= 1;
                    to *= new[j];
                }
            }
            // Old axes i..i0 become new axes j..j0: the old ones must be one even run.
            let mut run = self.strides[i0 - 1];
            let base = run;
            for k in (i..i0).rev() {
                if self.dims[k] > 1 {
                    if self.strides[k] != run {
                        return None;
                    }
                    run *= self.dims[k];
                }
            }
            let mut step = base;
            for k in (j..j0).rev() {
                if new[k] > 1 {
                    strides[k] = step;
                }
                step *= new[k];
            }
        }
        Some(View { offset: self.offset, dims: new, strides })
    }

    /// Broadcast to a (right-aligned) shape.
    pub fn expand(&self, shape: &[usize]) -> View {
        let dims = aligned(shape);
        let mut strides = self.strides;
        for i in 0..MAX_RANK {
            if self.dims[i] == 1 {
                strides[i] = 0;
            }
        }
        View { offset: self.offset, dims, strides }
    }

    /// Axes in another order; `order` has the rank of the value.
    pub fn permute(&self, order: &[usize]) -> View {
        let base = MAX_RANK - order.len();
        let mut v = *self;
        for (i, &o) in order.iter().enumerate() {
            v.dims[base + i] = self.dims[base + o];
            v.strides[base + i] = self.strides[base + o];
        }
        v
    }

    /// `len` elements from `start` along `axis` of a value of rank `rank`.
    pub fn slice(&self, rank: usize, axis: usize, start: usize, len: usize) -> View {
        let k = MAX_RANK - rank + axis;
        let mut v = *self;
        v.offset += start * v.strides[k];
        v.dims[k] = len;
        if len == 1 {
            v.strides[k] = 0;
        }
        v
    }

    /// Where the element at right-aligned `index` lies.
    pub fn at(&self, index: &[usize; MAX_RANK]) -> usize {
        self.offset + index.iter().zip(&self.strides).map(|(i, s)| i * s).sum::<usize>()
    }
}

/// Merges neighbouring axes over which all views (of the same shape) step evenly, so that kernels loop
/// over as few axes as possible. `from..to` are the axes that may be merged.
pub fn collapse<const N: usize>(views: [View; N]) -> [View; N] {
    let dims = views[0].dims;
    let mut axes = SmallVec::<[(usize, [usize; N]); MAX_RANK]>::new();
    for k in 0..MAX_RANK {
        if dims[k] == 1 {
            continue;
        }
        let s: [usize; N] = std::array::from_fn(|v| views[v].strides[k]);
        match axes.last_mut() {
            Some((d, outer)) if (0..N).all(|v| outer[v] == s[v] * dims[k]) => {
                *d *= dims[k];
                *outer = s;
            }
            _ => axes.push((dims[k], s)),
        }
    }
    let base = MAX_RANK - axes.len();
    std::array::from_fn(|v| {
        let mut view = View { offset: views[v].offset, dims: [1; MAX_RANK], strides: [0; MAX_RANK] };
        for (i, (d, s)) in axes.iter().enumerate() {
            view.dims[base + i] = *d;
            view.strides[base + i] = s[v];
        }
        view
    })
}

/// Calls `visit` with the element positions of each view for every index, in row-major order.
#[inline]
pub fn for_each<const N: usize>(views: [&View; N], mut visit: impl FnMut([usize; N])) {
    let dims = views[0].dims;
    let mut at: [usize; N] = std::array::from_fn(|v| views[v].offset);
    let mut index = [0usize; MAX_RANK];
    let last = MAX_RANK - 1;
    loop {
        let mut inner = at;
        for _ in 0..dims[last] {
            visit(inner);
            for v in 0..N {
                inner[v] += views[v].strides[last];
            }
        }
        let mut k = last;
        loop {
            if k == 0 {
                return;
            }
            k -= 1;
            index[k] += 1;
            for v in 0..N {
                at[v] += views[v].strides[k];
            }
            if index[k] < dims[k] {
                break;
            }
            for v in 0..N {
                at[v] -= views[v].strides[k] * dims[k];
            }
            index[k] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(v: &View) -> Vec<usize> {
        let mut out = Vec::new();
        for_each([v], |[i]| out.push(i));
        out
    }

    #[test]
    fn views_that_take_turns_are_apart() {
        // Matrices [2, 6, 4]: even and odd rows of each, halves of its columns, and what meets them.
        let all = View::contiguous(&[2, 6, 4], 0);
        let rows = |k: usize| View { offset: 4 * k, ..View::contiguous(&[2, 3, 2, 4], 0).slice(4, 2, 0, 1) };
        let columns = |k: usize| all.slice(3, 2, 2 * k, 2);
        assert!(rows(0).apart(&rows(1)) && rows(1).apart(&rows(0)));
        assert!(columns(0).apart(&columns(1)));
        assert!(!rows(0).apart(&rows(0)) && !rows(0).apart(&columns(1)) && !all.apart(&rows(1)));
        assert!(all.slice(3, 0, 0, 1).apart(&all.slice(3, 0, 1, 1)));
        // By counting, for many pairs.
        let mut told = 0;
        let view = |(dims, strides): ([usize; 2], [usize; 2]), offset| View {
            offset,
            dims: [1, 1, 1, 1, dims[0], dims[1]],
            strides: [0, 0, 0, 0, strides[0], strides[1]],
        };
        let shapes =
            [([3, 2], [4, 1]), ([2, 3], [8, 4]), ([4, 2], [4, 2]), ([2, 2], [6, 5]), ([2, 3], [6, 1])];
        for (a, b) in shapes.iter().flat_map(|a| shapes.map(|b| (*a, b))) {
            for offset in 0..8 {
                let (a, b) = (view(a, offset), view(b, 3));
                let common = elements(&a).iter().any(|i| elements(&b).contains(i));
                assert!(!(common && a.apart(&b)), "{a:?} {b:?}");
                told += usize::from(a.apart(&b));
            }
        }
        assert!(told > 20, "{told}");
    }

    #[test]
    fn reshape_slice_permute() {
        let v = View::contiguous(&[3, 4, 5], 2);
        assert!(v.is_contiguous() && v.is_injective());
        let w = v.reshape(&[12, 5]).expect("contiguous");
        assert_eq!(elements(&v), elements(&w));
        let t = v.permute(&[0, 2, 1]);
        assert_eq!(elements(&t)[..4], [2, 7, 12, 17]);
        assert!(t.reshape(&[15, 4]).is_none());
        assert!(t.reshape(&[3, 5, 2, 2]).is_some());
        let s = v.slice(3, 1, 1, 2);
        assert_eq!(elements(&s)[0], 7);
        // Rows of a wider matrix: columns split without a copy.
        let rows = View::contiguous(&[3, 100], 0).slice(2, 1, 10, 6);
        let split = rows.reshape(&[3, 2, 3]).expect("columns split");
        assert_eq!(elements(&rows), elements(&split));
        assert!(rows.reshape(&[18]).is_none());
        assert_eq!(split.end(), rows.end());
    }

    #[test]
    fn collapse_merges_even_axes() {
        let a = View::contiguous(&[3, 4, 5], 0);
        let b = View::contiguous(&[5], 0).expand(&[3, 4, 5]);
        let [a2, b2] = collapse([a, b]);
        assert_eq!(a2.dims, [1, 1, 1, 1, 12, 5]);
        assert_eq!(b2.strides, [0, 0, 0, 0, 0, 1]);
        assert!(!b.is_injective());
    }
}
