//! What a kernel says of itself that a region makes by a text of its own, and not by its family.
//!
//! It has two texts: one for workgroups, `shaders/region/NAME.wgsl`, and one for sixteen tasks side by side,
//! [`OwnBlock::lanes`].

use pulp::Simd;

use super::lanes::LaneOperand;
use crate::spec::Activation;
use crate::view::View;

/// A kernel with texts of its own as a block of a region; its row of the table of kernels says `own`.
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "texts of workgroups"))]
pub(crate) trait OwnBlock {
    /// The operands, those read first: the name `X` of each in the workgroups' text, and the number of the last axes of its
    /// view that positions are made of. The text finds `X_at(i, j, …)`, the position of an element; `X_get(position)`; of what
    /// is written also `X_put(position, value)`, which does nothing where a launch leaves the result out. With [`ALL`] axes
    /// `X_at(i)` is the position of the `i`-th element of all.
    const OPERANDS: &'static [(&'static str, usize)];

    /// Sizes that the workgroups' text has as constants.
    fn sizes(&self, reads: &[View], writes: &[View]) -> Vec<(&'static str, usize)>;

    /// What the workgroups' text finds as `act(x)`.
    fn activation(&self) -> Activation {
        Activation::Identity
    }

    /// Computes the block for sixteen tasks.
    ///
    /// # Safety
    /// All elements of the operands exist, and results overlap no other operand.
    unsafe fn lanes<S: Simd>(&self, simd: S, block: &LaneBlock<'_>);
}

/// In place of a number of axes: elements are counted over all of them.
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "texts of workgroups"))]
pub(crate) const ALL: usize = 0;

/// A block of sixteen tasks.
pub(crate) struct LaneBlock<'b> {
    /// The operands, those read first, from their first elements on.
    pub(crate) operands: &'b [LaneOperand],
    /// Their views, relative to these: offsets are 0.
    pub(crate) views: &'b [View],
    /// Number of the first task.
    pub(crate) task: usize,
}

/// The texts of a kernel of its own, as far as they do not depend on the processor.
#[cfg(feature = "gpu")]
pub(crate) struct OwnText {
    /// See [`OwnBlock::OPERANDS`].
    pub(crate) operands: &'static [(&'static str, usize)],
    /// See [`OwnBlock::sizes`].
    pub(crate) sizes: Vec<(&'static str, usize)>,
    /// See [`OwnBlock::activation`].
    pub(crate) activation: Activation,
}
