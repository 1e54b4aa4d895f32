//! Kernels: one name, four places. `shaders/NAME.wgsl`, `src/kernel/NAME.rs` (parameters, group count,
//! CPU function), a row in [`ALL`], a row in the case table of the tests. A kernel may have several shaders
//! for different shapes (`shaders/NAME_TIER.wgsl`), with one CPU function.
//!
//! Every kernel has a plain `reference`, generic over [`Real`]; the few heavy ones also have a fast f32
//! version that the CPU runner prefers.
//!
//! Part of the engine: public for tests and tools, without a promise of stability.
//!
//! ```
//! let product = hyperloom::kernel::ALL.iter().find(|k| k.name == "matmul");
//! assert!(product.is_some_and(|k| k.wgsl.contains("@compute")));
//! ```

pub mod pointwise;
pub mod real;
pub mod uniform;

mod adamw;
mod advance;
pub(crate) mod block;
mod cholesky;
mod conv;
mod copy;
mod cross_entropy;
mod fill;
mod gather;
pub(crate) mod lanes;
mod log_softmax;
pub(crate) mod map;
mod matmul;
pub mod nest;
mod optimiser;
pub(crate) mod parallel;
mod random;
mod row_read;
mod row_write;
mod scatter_add;
mod select;
mod sgd;
pub(crate) mod simd;
mod spd_logdet;
mod spd_solve;
mod sum_to;
pub(crate) mod wgsl;
mod zip;

pub use adamw::AdamW;
pub use advance::Advance;
pub use conv::Conv;
pub use copy::Copy as CopyKernel;
pub use cross_entropy::CrossEntropy;
pub use fill::Fill;
pub use gather::Gather;
pub use log_softmax::LogSoftmax;
pub use map::Map;
pub use matmul::{FILL, MatMul, Tier, parts, tier};
pub use random::Random;
pub use real::{Bounded, Real};
pub use row_read::RowRead;
pub use row_write::RowWrite;
pub use scatter_add::ScatterAdd;
pub use select::Select;
pub use sgd::Sgd;
pub use spd_logdet::SpdLogdet;
pub use spd_solve::SpdSolve;
pub use sum_to::{SumTo, sum_parts};
pub use zip::Zip;

use pulp::Simd;

use crate::spec::DType;
use crate::view::View;
#[cfg(feature = "gpu")]
use block::OwnText;
use block::{LaneBlock, OwnBlock};
use nest::{Family, Nest};

/// Contents of a slot on the CPU.
#[derive(Clone, Debug, PartialEq)]
pub enum Buffer<T> {
    /// Floats, in the number type of the run.
    F(Vec<T>),
    /// u32 words.
    U(Vec<u32>),
}

impl<T: Real> Buffer<T> {
    /// `len` zeros.
    pub fn zeros(dtype: DType, len: usize) -> Buffer<T> {
        match dtype {
            DType::F32 => Buffer::F(vec![T::zero(); len]),
            DType::U32 => Buffer::U(vec![0; len]),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Buffer::F(x) => x.len(),
            Buffer::U(x) => x.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An operand that a kernel reads.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a, T> {
    /// The slot's contents.
    pub buffer: &'a Buffer<T>,
    /// The operand's elements in it.
    pub view: View,
}

impl<'a, T> Read<'a, T> {
    /// The floats of the slot (`plan::verify` has checked the type).
    #[track_caller]
    pub fn f(&self) -> &'a [T] {
        match self.buffer {
            Buffer::F(x) => x,
            Buffer::U(_) => panic!("a u32 slot is read as floats"),
        }
    }

    /// The words of the slot.
    #[track_caller]
    pub fn u(&self) -> &'a [u32] {
        match self.buffer {
            Buffer::U(x) => x,
            Buffer::F(_) => panic!("a float slot is read as u32"),
        }
    }
}

/// An operand that a kernel writes.
#[derive(Debug)]
pub struct Write<'a, T> {
    /// The slot's contents.
    pub buffer: &'a mut Buffer<T>,
    /// The operand's elements in it.
    pub view: View,
}

impl<T> Write<'_, T> {
    /// The floats of the slot.
    #[track_caller]
    pub fn f(&mut self) -> &mut [T] {
        match self.buffer {
            Buffer::F(x) => x,
            Buffer::U(_) => panic!("a u32 slot is written as floats"),
        }
    }

    /// The words of the slot.
    #[track_caller]
    pub fn u(&mut self) -> &mut [u32] {
        match self.buffer {
            Buffer::U(x) => x,
            Buffer::F(_) => panic!("a float slot is written as u32"),
        }
    }
}

/// Work and traffic of one launch, for the roofline.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes read and written, each operand once.
    pub bytes: f64,
}

/// How a launch goes to a GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// Contents of the uniform at binding 0.
    pub uniform: Vec<u8>,
    /// Override constants of the shader.
    pub constants: Vec<(&'static str, f64)>,
    /// Workgroups.
    pub groups: [u32; 3],
}

macro_rules! kernels {
    (@text $name:literal) => { None };
    (@text $name:literal own) => { Some(include_str!(concat!("../../shaders/region/", $name, ".wgsl"))) };
    (@own $k:ident, $reads:ident, $writes:ident) => { None };
    (@own $k:ident, $reads:ident, $writes:ident own) => { Some(own_text($k, $reads, $writes)) };
    (@lanes $k:ident, $simd:ident, $block:ident) => {{
        let _ = $k;
        panic!("it has no block of its own")
    }};
    (@lanes $k:ident, $simd:ident, $block:ident own) => {
        // SAFETY: promised by the caller.
        unsafe { $k.lanes($simd, $block) }
    };
    (@row $shader:literal, $kernel:literal, $ty:ty, [$($read:ident),*], [$($write:ident),*], $block:expr) => {
        KernelInfo {
            block: $block,
            name: $shader,
            kernel: $kernel,
            wgsl: include_str!(concat!("../../shaders/", $shader, ".wgsl")),
            reads: &[$(Holds::$read),*],
            writes: &[$(Holds::$write),*],
            fields: <$ty>::FIELDS,
            uniform_size: <$ty>::SIZE,
        }
    };
    ($($variant:ident($ty:ty) = $name:literal $(+ $other:literal)*, $reads:tt, $writes:tt $(, $own:ident)?;)*) => {
        /// A kernel with its scalar parameters.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Kernel {
            $(#[doc = concat!("`", $name, "`")] $variant($ty),)*
        }

        /// Every shader: its name and its WGSL, with imports not yet expanded.
        pub const ALL: &[KernelInfo] = &[
            $(
                kernels!(@row $name, $name, $ty, $reads, $writes, kernels!(@text $name $($own)?)),
                $(kernels!(@row $other, $name, $ty, $reads, $writes, None),)*
            )*
        ];

        impl Kernel {
            /// The kernel's name: that of its shader file, or of the first where it has several.
            pub fn name(&self) -> &'static str {
                match self { $(Kernel::$variant(_) => $name,)* }
            }

            /// Computes a launch in any number type, by plain loops.
            pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
                match self {
                    $(Kernel::$variant(k) => k.reference(reads, writes),)*
                }
            }

            /// Computes a launch in f32 the way the CPU path does it.
            pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
                match self {
                    $(Kernel::$variant(k) => k.fast(reads, writes),)*
                }
            }

            /// The uniform, constants and workgroups of a launch over these operands.
            pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
                match self {
                    $(Kernel::$variant(k) => k.dispatch(reads, writes),)*
                }
            }

            /// The loops of a launch over these operands; `None` for a kernel that is always a launch of its own.
            pub fn nest(&self, reads: &[View], writes: &[View]) -> Option<Nest> {
                match self {
                    $(Kernel::$variant(k) => k.nest(reads, writes),)*
                }
            }

            /// How a region makes it.
            pub fn family(&self) -> Family {
                match self {
                    $(Kernel::$variant(_) => <$ty>::FAMILY,)*
                }
            }

            /// The texts of a kernel that is a block of its own kind.
            #[cfg(feature = "gpu")]
            pub(crate) fn own_text(&self, reads: &[View], writes: &[View]) -> Option<OwnText> {
                match self {
                    $(Kernel::$variant(k) => {
                        let _ = k;
                        kernels!(@own k, reads, writes $($own)?)
                    })*
                }
            }

            /// Computes a block of its own kind for sixteen tasks.
            ///
            /// # Safety
            /// As for [`OwnBlock::lanes`].
            #[inline(always)]
            pub(crate) unsafe fn lanes<S: Simd>(&self, simd: S, block: &LaneBlock<'_>) {
                match self {
                    $(Kernel::$variant(k) => kernels!(@lanes k, simd, block $($own)?),)*
                }
            }

            /// Floating-point operations of a launch over these operands.
            pub fn flops(&self, reads: &[View], writes: &[View]) -> f64 {
                match self {
                    $(Kernel::$variant(k) => k.flops(reads, writes),)*
                }
            }
        }
    };
}

#[cfg(feature = "gpu")]
fn own_text<K: OwnBlock>(kernel: &K, reads: &[View], writes: &[View]) -> OwnText {
    OwnText { operands: K::OPERANDS, sizes: kernel.sizes(reads, writes), activation: kernel.activation() }
}

/// Elements of a view in memory, repeated ones counted once.
pub(crate) fn touched(v: &View) -> f64 {
    v.dims.iter().zip(&v.strides).map(|(d, s)| if *s == 0 { 1.0 } else { *d as f64 }).product()
}

kernels! {
    MatMul(MatMul) = "matmul" + "matmul_thin" + "matmul_small" + "matmul_large", [F, F, F], [F, F];
    Conv(Conv) = "conv", [F, F, F], [F, F], own;
    Map(Map) = "map", [F], [F];
    Zip(Zip) = "zip", [F, F], [F];
    Select(Select) = "select", [F, F, F], [F];
    SumTo(SumTo) = "sum_to", [F, F], [F];
    Copy(CopyKernel) = "copy", [Any], [Any];
    Fill(Fill) = "fill", [], [F];
    Gather(Gather) = "gather", [Any, U], [Any], own;
    ScatterAdd(ScatterAdd) = "scatter_add", [F, U], [F];
    LogSoftmax(LogSoftmax) = "log_softmax", [F], [F], own;
    CrossEntropy(CrossEntropy) = "cross_entropy", [F, F], [F], own;
    SpdSolve(SpdSolve) = "spd_solve", [F, F], [F, F], own;
    SpdLogdet(SpdLogdet) = "spd_logdet", [F], [F, F], own;
    Random(Random) = "random", [U], [Any], own;
    AdamW(AdamW) = "adamw", [F, F, F], [F];
    Sgd(Sgd) = "sgd", [F, F, F], [F];
    RowRead(RowRead) = "row_read", [Any, U], [Any];
    RowWrite(RowWrite) = "row_write", [F, U], [F];
    Advance(Advance) = "advance", [], [U];
}

impl Kernel {
    /// Operations and traffic of a launch over these operands.
    pub fn work(&self, reads: &[View], writes: &[View]) -> Work {
        let each: f64 = reads.iter().chain(writes).map(touched).sum();
        Work { flops: self.flops(reads, writes), bytes: 4.0 * each }
    }

    /// The element type that the `k`-th operand must have, those read first; `None` where any will do.
    pub fn dtype(&self, k: usize) -> Option<DType> {
        let info = KernelInfo::find(self.name())?;
        match (info.reads.iter().chain(info.writes).nth(k)?, self) {
            (Holds::F, _) => Some(DType::F32),
            (Holds::U, _) => Some(DType::U32),
            (Holds::Any, Kernel::Random(r)) => Some(r.dtype()),
            (Holds::Any, _) => None,
        }
    }

    /// Whether the last operand that is written is room that the launch uses for itself alone.
    pub fn has_scratch(&self) -> bool {
        matches!(self, Kernel::SpdSolve(_) | Kernel::SpdLogdet(_))
    }

    /// How a GPU that `fill` workgroups keep busy computes a launch over these operands, of kernels that have several shaders.
    pub fn tier(&self, reads: &[View], writes: &[View], fill: usize) -> Option<Tier> {
        match self {
            Kernel::MatMul(k) => Some(k.tier(reads, writes, fill)),
            _ => None,
        }
    }

    /// The uniform, constants and workgroups of a launch that is computed in a way that [`Kernel::tier`] chose.
    pub fn dispatch_by(&self, tier: Option<Tier>, reads: &[View], writes: &[View]) -> Dispatch {
        match (self, tier) {
            (Kernel::MatMul(k), Some(tier)) => k.dispatch_by(tier, reads, writes),
            (k, _) => k.dispatch(reads, writes),
        }
    }

    /// The shader that a GPU computes a launch with: its kernel's, or that of the tier which was chosen.
    pub fn shader(&self, tier: Option<Tier>) -> &'static str {
        tier.map_or(self.name(), Tier::shader)
    }

    /// The functions that the shader is made for: what stands in the place of `shaders/shared/chosen.wgsl`, which is
    /// imported where there are some.
    pub fn chosen(&self) -> String {
        match self {
            Kernel::Map(k) => k.chosen(),
            Kernel::Zip(k) => k.chosen(),
            Kernel::MatMul(k) => k.chosen(),
            Kernel::Conv(k) => k.chosen(),
            _ => String::new(),
        }
    }

    /// Whether it is mostly products of matrices, which is what tasks are put together for.
    pub(crate) fn is_product(&self) -> bool {
        self.family() == Family::Product || matches!(self, Kernel::Conv(_))
    }

    /// The same without its bias, if it has one.
    pub(crate) fn without_bias(&self) -> Kernel {
        match self {
            Kernel::MatMul(p) => Kernel::MatMul(MatMul { bias: false, ..*p }),
            Kernel::Conv(c) => Kernel::Conv(Conv { bias: false, ..*c }),
            other => other.clone(),
        }
    }

    /// Whether each element of the result is made of the operands' elements at the same place.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.family() == Family::Pointwise
    }

    /// The same for task `task` of a region, of whose results each task has the `i`-th part.
    pub(crate) fn of_task(&self, task: usize, results: &View) -> Kernel {
        match self {
            Kernel::Random(r) => Kernel::Random(r.of_task(task, results)),
            other => other.clone(),
        }
    }

    /// Whether the written operand is also read: its slot may hold the old contents on entry and the
    /// kernel touches only the elements it owns.
    pub fn in_place(&self) -> bool {
        matches!(self, Kernel::AdamW(_) | Kernel::Sgd(_) | Kernel::Advance(_) | Kernel::RowWrite(_))
    }
}

/// Rows as columns, in registers.
#[inline(always)]
pub(crate) fn transposed(block: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    glam::Mat4::from_cols_array_2d(&block).transpose().to_cols_array_2d()
}

/// What an operand holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Floats.
    F,
    /// Words.
    U,
    /// Either: bits are moved, or the kernel's parameters say which.
    Any,
}

/// A row of the table of shaders.
#[derive(Clone, Copy, Debug)]
pub struct KernelInfo {
    /// Name: that of the shader file.
    pub name: &'static str,
    /// The kernel that it computes: the same name, but for a kernel with several shaders.
    pub kernel: &'static str,
    /// The shader's text, imports not expanded.
    pub wgsl: &'static str,
    /// Operands read; they are bound from 1 on, after the uniform.
    pub reads: &'static [Holds],
    /// Operands written; they are bound after those read. The last may be left out where a kernel has several.
    pub writes: &'static [Holds],
    /// Members of the uniform's Rust twin with their offsets in bytes.
    pub fields: &'static [(&'static str, usize)],
    /// Size of the uniform's Rust twin in bytes.
    pub uniform_size: usize,
    /// The text of its block of a region, of a kernel that has one of its own: `shaders/region/NAME.wgsl`.
    pub block: Option<&'static str>,
}

impl KernelInfo {
    /// The shader called `name`.
    pub fn find(name: &str) -> Option<&'static KernelInfo> {
        ALL.iter().find(|k| k.name == name)
    }
}
