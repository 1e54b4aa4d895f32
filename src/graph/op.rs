//! The closed set of operations a graph is made of.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::conv::{Conv, Wrt};
use super::scan::Scan;
use crate::spec::Activation;

/// An f64 constant inside an op; compared and hashed by its bits so that equal ops can be shared.
#[derive(Clone, Copy, Debug)]
pub struct Num(pub f64);

impl PartialEq for Num {
    fn eq(&self, other: &Num) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}
impl Eq for Num {}
impl Hash for Num {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// Pointwise functions of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Func {
    /// The k-th derivative of an activation, k from 0 to 3.
    Act(Activation, u8),
    /// The first derivative of tanh, sigmoid, relu or leaky_relu, from the function's value `y`: `1 - y²`, `y (1 - y)`, or by
    /// the sign of y. What backward passes take: it needs no exponential, and the argument is not kept.
    Slope(Activation),
    /// `a·x + b`
    Affine(Num, Num),
    /// `e^x`
    Exp,
    /// `ln x`
    Log,
    /// `√x`
    Sqrt,
    /// `1/√x`
    Rsqrt,
    /// `1/x`
    Recip,
    /// The largest whole number that is not larger; its gradient is 0.
    Floor,
    /// The nearest whole number, of two the even one; its gradient is 0.
    Round,
    /// The nearest of the whole numbers from -128 to 127 times this scale; its gradient is 0.
    EightBits(Num),
    /// 1 where x is finite, else 0 (tested on the bits); its gradient is 0.
    IsFinite,
}

/// Pointwise functions of two values; comparisons give 1 or 0 and have no gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a · b`
    Mul,
    /// `a / b`
    Div,
    /// The larger; ties go to `a`.
    Max,
    /// 1 where `a < b`, else 0.
    Less,
    /// 1 where `a >= b`, else 0.
    GreaterEq,
    /// 1 where `a == b`, else 0.
    Equal,
}

/// Distributions of [`Op::Random`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dist {
    /// Raw 32-bit words (a u32 value).
    Bits,
    /// Uniform on [0, 1), 24 bits.
    Uniform,
    /// Standard normal (Box and Muller).
    Normal,
}

/// A shared [`Scan`], compared by identity.
#[derive(Clone, Debug)]
pub struct ScanRef(pub Arc<Scan>);

impl PartialEq for ScanRef {
    fn eq(&self, other: &ScanRef) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for ScanRef {}
impl Hash for ScanRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// An operation; operands and result shape stand in the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A declared input, by its index in the graph's list.
    Input(usize),
    /// A scalar constant.
    Const(Num),
    /// Constants, in row-major order.
    Constants(Arc<[Num]>),
    /// Batched matrix product of the last two axes; batch axes broadcast.
    MatMul {
        /// Whether the first operand is transposed.
        ta: bool,
        /// Whether the second operand is transposed.
        tb: bool,
    },
    /// One of the three convolutions ([`super::conv`]).
    Conv(Conv, Wrt),
    /// Pointwise function.
    Map(Func),
    /// Pointwise function of two, with broadcasting.
    Zip(Binary),
    /// `c != 0 ? a : b`, same shapes after broadcasting.
    Select,
    /// Sum over the axes that the result lacks (or has as 1).
    SumTo,
    /// Broadcast to the result's shape.
    Expand,
    /// Same elements in row-major order, another shape.
    Reshape,
    /// Axes in another order: result axis i is operand axis `[i]`.
    Permute(Vec<usize>),
    /// Elements `start ..` along an axis; the length is the result's.
    Slice {
        /// The axis.
        axis: usize,
        /// First element.
        start: usize,
    },
    /// Zeros around the operand along an axis; the full length is the result's.
    Pad {
        /// The axis.
        axis: usize,
        /// Zeros before the operand.
        start: usize,
    },
    /// Operands one after another along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Rows of a table: `table[n, ..], index[..] -> [.., ..]`; indices are clamped.
    Gather,
    /// The transpose of gather: `src[.., ..], index[..] -> [n, ..]`, rows of equal index summed in order.
    ScatterAdd,
    /// `x - ln Σ e^x` over the last axis.
    LogSoftmax,
    /// `-Σ y · log_softmax(x)` over the last axis, which goes; operands x, y.
    CrossEntropy,
    /// `A⁻¹ B` of symmetric positive definite A `[.., n, n]` and B `[.., n, m]`.
    SpdSolve,
    /// `ln |A|` of symmetric positive definite A `[.., n, n]`: `[..]`.
    SpdLogdet,
    /// The operand, held constant by gradients.
    StopGradient,
    /// A body repeated over carried values; its results are taken out by [`Op::Result`].
    Scan(ScanRef),
    /// A result of a scan: the final carried values, then for each carried value the history of what it was at the
    /// start of each repetition, then the rows it gave.
    Result(usize),
    /// Counter-based random numbers; operand: key, u32 `[2]` (seed, step). The first axis is the task.
    Random {
        /// What to draw.
        dist: Dist,
        /// Numbers of different streams are independent.
        stream: u32,
        /// Number of the task that the first row belongs to.
        first_task: u32,
    },
    /// AdamW on a flat state `[3, p]` (weights, first and second moment); operands state, gradient `[p]`,
    /// control `[3]` (learning rate, 1/(1-β₁ᵗ), 1/(1-β₂ᵗ)), factor `[]` (gradients are multiplied by it; negative refuses the step).
    AdamW {
        /// β₁
        beta1: Num,
        /// β₂
        beta2: Num,
        /// ε
        eps: Num,
        /// Decoupled weight decay.
        decay: Num,
    },
    /// SGD with momentum on a flat state `[2, p]` (weights, velocity); operands as for `AdamW`, control `[3]` of which only the learning rate is read.
    Sgd {
        /// Momentum μ: `v ← μ v + g; w ← w - lr v`.
        momentum: Num,
        /// Decoupled weight decay.
        decay: Num,
    },
}

impl Op {
    /// Lower-case name, as shown by the graph and used as label of launches.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input(_) => "input",
            Op::Const(_) => "const",
            Op::Constants(_) => "constants",
            Op::MatMul { .. } => "matmul",
            Op::Conv(_, Wrt::Output) => "conv",
            Op::Conv(_, Wrt::Input) => "conv_input",
            Op::Conv(_, Wrt::Kernels) => "conv_kernels",
            Op::Map(_) => "map",
            Op::Zip(_) => "zip",
            Op::Select => "select",
            Op::SumTo => "sum_to",
            Op::Expand => "expand",
            Op::Reshape => "reshape",
            Op::Permute(_) => "permute",
            Op::Slice { .. } => "slice",
            Op::Pad { .. } => "pad",
            Op::Concat { .. } => "concat",
            Op::Gather => "gather",
            Op::ScatterAdd => "scatter_add",
            Op::LogSoftmax => "log_softmax",
            Op::CrossEntropy => "cross_entropy",
            Op::SpdSolve => "spd_solve",
            Op::SpdLogdet => "spd_logdet",
            Op::StopGradient => "stop_gradient",
            Op::Scan(_) => "scan",
            Op::Result(_) => "result",
            Op::Random { .. } => "random",
            Op::AdamW { .. } => "adamw",
            Op::Sgd { .. } => "sgd",
        }
    }
}
