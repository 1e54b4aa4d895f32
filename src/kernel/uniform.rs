//! The Rust twins of WGSL structs, and the arithmetic of workgroup counts.
//!
//! A test reflects each shader's `Params` with naga and compares names, offsets and size with the
//! lists made here, so that no offset is kept in step by hand.

use bytemuck::{Pod, Zeroable};

use crate::spec::MAX_RANK;
use crate::view::View;

/// Threads of a workgroup in kernels that go row by row.
pub const WG: usize = 64;
/// Threads of a workgroup in kernels that go element by element.
pub const ELEMENTS: usize = 256;
/// The portable limit of workgroups along one axis.
pub const MAX_GROUPS: usize = 65_535;

/// `struct View` of `shaders/shared/view.wgsl`: strides of the six axes in `lo` and `hi.xy`, the offset in `hi.z`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct GpuView {
    /// Strides of axes 0 to 3.
    pub lo: [u32; 4],
    /// Strides of axes 4 and 5, offset, unused.
    pub hi: [u32; 4],
}

impl From<&View> for GpuView {
    fn from(v: &View) -> GpuView {
        // An axis of length 1 does not step: it may be broadcast over the result's axis.
        let s: [u32; MAX_RANK] =
            std::array::from_fn(|i| if v.dims[i] == 1 { 0 } else { v.strides[i] as u32 });
        GpuView { lo: [s[0], s[1], s[2], s[3]], hi: [s[4], s[5], v.offset as u32, 0] }
    }
}

impl GpuView {
    /// Lengths instead of strides, with their product in the place of the offset.
    pub fn dims(v: &View) -> GpuView {
        let d = v.dims.map(|x| x as u32);
        GpuView { lo: [d[0], d[1], d[2], d[3]], hi: [d[4], d[5], v.count() as u32, 0] }
    }
}

/// Workgroups for `n` of them in two axes: the shader's index is `x + y · groups.x`.
pub fn grid(n: usize) -> [u32; 3] {
    let n = n.max(1);
    let y = n.div_ceil(MAX_GROUPS);
    [n.div_ceil(y) as u32, y as u32, 1]
}

/// The constant AXES of `shaders/shared/index.wgsl` for these shapes: the last axes, from the first that is longer than 1 in one.
pub fn axes<const N: usize>(shapes: [&View; N]) -> (&'static str, f64) {
    let first = shapes.map(|v| v.dims.iter().position(|d| *d > 1).unwrap_or(MAX_RANK - 1));
    ("AXES", (MAX_RANK - first.into_iter().min().unwrap_or(0)) as f64)
}

/// Of `n` elements, those that a thread takes.
pub fn elements_each(n: usize) -> usize {
    if n >= 1 << 18 { 4 } else { 1 }
}

/// Workgroups of a kernel that goes over `n` elements, and the constant EACH of `shaders/shared/elements.wgsl`: an NVIDIA H200
/// starts 1.6 workgroups a nanosecond at most, and with an element a thread four fifths of its memory's bandwidth lie idle.
pub fn elements(n: usize) -> ([u32; 3], (&'static str, f64)) {
    let each = elements_each(n);
    (grid(n.div_ceil(ELEMENTS * each)), ("EACH", each as f64))
}

/// Defines a `#[repr(C)]` uniform with the list of its members, and ties it to a kernel.
macro_rules! params {
    ($kernel:ty { $($field:ident : $ty:ty),* $(,)? }) => {
        /// Twin of the shader's `Params`.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        struct Params { $($field: $ty),* }

        impl $kernel {
            /// Members of the uniform with their offsets in bytes.
            pub const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!(Params, $field))),*];
            /// Size of the uniform in bytes.
            pub const SIZE: usize = std::mem::size_of::<Params>();
        }
    };
}
pub(super) use params;
