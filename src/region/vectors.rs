//! Which values of a region a workgroup can keep in vectors of four elements.
//!
//! A WGSL vector is one memory location: two threads must not write parts of the same one. So a local lies in vectors
//! only where every block that writes it writes whole ones. The last vector of a local may go beyond its end: what is
//! written there has no meaning, and nobody else's element is there.

use super::passes::split;
use super::{Block, Operand, Region};
use crate::kernel::nest::Family;
use crate::spec::MAX_RANK;
use crate::view::{COLUMN, ROW, View, collapse};

/// Whether all axes but `along`, which steps by one, step by whole vectors.
fn even(v: &View, along: usize) -> bool {
    let whole = |i: usize| v.dims[i] == 1 || v.strides[i].is_multiple_of(4);
    (v.dims[along] == 1 || v.strides[along] == 1) && (0..MAX_RANK).all(|i| i == along || whole(i))
}

/// Whether four elements that follow one another along `along`, from a multiple of four on, are a vector; `v` is the
/// view of the operand, or one of the same elements.
pub(crate) fn reads_along(o: &Operand, v: &View, along: usize) -> bool {
    v.offset.is_multiple_of(4) && o.steps.iter().all(|s| s % 4 == 0) && even(v, along)
}

/// Whether four results that follow one another, row after row, are a vector: rows are of whole vectors, or there is only
/// one.
pub(crate) fn in_rows(o: &Operand, v: &View) -> bool {
    let one_row = v.dims[..COLUMN].iter().all(|d| *d == 1);
    reads_along(o, v, COLUMN) && (one_row || v.dims[COLUMN].is_multiple_of(4))
}

/// Whether results of a view lie in whole vectors of a local of `len` elements.
fn writes_whole(o: &Operand, v: &View, len: usize) -> bool {
    let last = !o.moves() && v.end() == len;
    in_rows(o, v) && (v.dims[COLUMN].is_multiple_of(4) || last)
}

/// Whether a product is made with rows and columns exchanged, since its results follow one another along the rows.
pub(crate) fn exchanged(y: &View) -> bool {
    y.dims[COLUMN] == 1 && y.dims[ROW] > 1 || y.strides[COLUMN] != 1 && y.strides[ROW] == 1
}

/// Whether a result of a pass, a local of `len` elements, is written in whole vectors; the pass goes over the results of its
/// `first` block.
fn whole(first: &Block, o: &Operand, len: usize) -> bool {
    match first.kernel.family() {
        Family::Product if exchanged(&first.writes[0].view) => writes_whole(o, &o.view.transposed(), len),
        Family::Product => writes_whole(o, &o.view, len),
        Family::Pointwise | Family::Sum => writes_whole(o, &collapse([o.view])[0], len),
        // Element by element.
        Family::Own | Family::Opaque => false,
    }
}

impl Region {
    /// For each local, whether it can lie in vectors.
    pub(super) fn vectors(&self, joined: &[bool]) -> Vec<bool> {
        let mut vectors = vec![true; self.locals.len()];
        for pass in split(&self.blocks(), joined) {
            for o in pass.iter().flat_map(|p| &p.block.writes) {
                if let Some(l) = o.local() {
                    vectors[l] &= whole(pass[0].block, o, self.locals[l].len);
                }
            }
        }
        vectors
    }
}
