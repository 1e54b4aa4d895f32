//! Values of sixteen tasks side by side, one a SIMD lane: what blocks of task regions work on, on the CPU.

mod product;

use pulp::Simd;

pub(crate) use product::{LaneProduct, Source};

use super::simd::{V, WIDEST};

/// Tasks that are computed at once: a register of the widest processors, several of others.
pub(crate) const LANES: usize = WIDEST;

/// One element of sixteen tasks.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lane(pub(crate) [f32; LANES]);

impl Lane {
    pub(crate) const ZERO: Lane = Lane([0.0; LANES]);
}

/// An operand: vectors, or numbers for all lanes.
#[derive(Clone, Copy)]
pub(crate) struct LaneOperand {
    pub(crate) lanes: *mut Lane,
    pub(crate) shared: *const f32,
    pub(crate) is_shared: bool,
}

impl LaneOperand {
    /// The lanes from `lane` on of an element.
    ///
    /// # Safety
    /// The element exists.
    #[inline(always)]
    pub(crate) unsafe fn get<S: Simd>(self, simd: S, at: usize, lane: usize) -> V<S> {
        // SAFETY: promised by the caller.
        let x = unsafe {
            if self.is_shared {
                simd.splat_f32s(*self.shared.add(at))
            } else {
                self.lanes.add(at).cast::<f32>().add(lane).cast::<S::f32s>().read_unaligned()
            }
        };
        V { simd, x }
    }

    /// # Safety
    /// The element exists and is not shared.
    #[inline(always)]
    pub(crate) unsafe fn put<S: Simd>(self, at: usize, lane: usize, v: V<S>) {
        // SAFETY: promised by the caller.
        unsafe { self.lanes.add(at).cast::<f32>().add(lane).cast::<S::f32s>().write_unaligned(v.x) }
    }

    /// An element of one lane.
    ///
    /// # Safety
    /// The element exists.
    #[inline(always)]
    pub(crate) unsafe fn element(self, at: usize, lane: usize) -> f32 {
        // SAFETY: promised by the caller.
        unsafe {
            if self.is_shared { *self.shared.add(at) } else { *self.lanes.add(at).cast::<f32>().add(lane) }
        }
    }

    /// The same of u32 words, whose bits lie there.
    ///
    /// # Safety
    /// The element exists.
    #[inline(always)]
    pub(crate) unsafe fn word(self, at: usize, lane: usize) -> u32 {
        // SAFETY: promised by the caller; numbers and words are of one size.
        unsafe {
            if self.is_shared {
                *self.shared.add(at).cast::<u32>()
            } else {
                *self.lanes.add(at).cast::<u32>().add(lane)
            }
        }
    }

    /// # Safety
    /// The element exists and is not shared.
    #[inline(always)]
    pub(crate) unsafe fn put_element(self, at: usize, lane: usize, x: f32) {
        // SAFETY: promised by the caller.
        unsafe { *self.lanes.add(at).cast::<f32>().add(lane) = x }
    }

    pub(crate) fn source(self, at: usize, (row, col): (usize, usize)) -> Source {
        let (lanes, shared) = (self.lanes.wrapping_add(at).cast_const(), self.shared.wrapping_add(at));
        Source { lanes, shared, is_shared: self.is_shared, row, col }
    }
}
