//! The case table: every kernel with the operands that are likely to break it. One table drives the check
//! of any runner against the error-bounded reference (`check::bounds`) and the benches, so that a kernel is
//! described once. It is no test itself and knows no runner.
//!
//! A case is one launch over slots that are larger than the views. What surrounds a view that is read is
//! NaN (or an index far beyond any table), so that a stray read shows in the result; what surrounds a view
//! that is written is [`SENTINEL`], gaps between strided elements included, and must survive.

mod choices;
mod convs;
mod optimisers;
mod pointwise;
mod products;
mod rows;
mod sums;

use crate::kernel::Kernel;
use crate::plan::{Arg, Launch, Plan, Slot, SlotId, SlotRole};
use crate::rng::threefry2x32;
use crate::spec::DType;
use crate::view::View;

/// Bits that fill written slots beside their views: a finite float, and an unlikely word.
pub const SENTINEL: u32 = 0xC0DE_CAFE;
/// Bits that fill float slots beside the views that are read: NaN.
const POISON: u32 = 0x7FC0_0BAD;
/// The same for u32 slots.
const POISON_WORD: u32 = 0xFFFF_FFF0;

/// Contents of a slot before the launch.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    /// Element type.
    pub dtype: DType,
    /// One word an element; floats by their bits.
    pub words: Vec<u32>,
}

/// A kernel with operands.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it; unique within the table, together with the kernel.
    pub name: String,
    /// The kernel with its parameters.
    pub kernel: Kernel,
    /// Contents of each slot: those read, then those written.
    pub slots: Vec<Contents>,
    /// Operands read, in the kernel's order.
    pub reads: Vec<Arg>,
    /// Operands written, in the kernel's order.
    pub writes: Vec<Arg>,
    /// Plain arithmetic on ordinary numbers: the normalised mean square error is limited too.
    pub arithmetic: bool,
}

impl Case {
    /// The shader that a GPU computes it with.
    pub fn shader(&self) -> &'static str {
        self.plan().launches[0].shader()
    }

    /// The plan of this one launch.
    pub fn plan(&self) -> Plan {
        let written = |i: usize| self.writes.iter().any(|w| w.slot.0 == i);
        let slots = self.slots.iter().enumerate().map(|(i, c)| Slot {
            role: if written(i) { SlotRole::State } else { SlotRole::Data },
            dtype: c.dtype,
            len: c.words.len(),
            label: format!("operand {i}"),
        });
        let (reads, writes) = (self.reads.clone(), self.writes.clone());
        let launch = Launch::new(self.kernel.clone(), reads, writes, self.name.clone());
        Plan { slots: slots.collect(), launches: vec![launch], window: 1, ..Plan::default() }
    }
}

/// The whole table.
pub fn cases() -> Vec<Case> {
    let mut table = Vec::new();
    pointwise::cases(&mut table);
    choices::cases(&mut table);
    sums::cases(&mut table);
    products::cases(&mut table);
    convs::cases(&mut table);
    rows::cases(&mut table);
    optimisers::cases(&mut table);
    table
}

/// How the elements of an operand lie in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Row-major without gaps.
    Dense,
    /// Every second element along the last axis, with gaps between rows too.
    Strided,
    /// Rows of a wider matrix.
    Columns,
    /// The last two axes swapped in memory.
    Transposed,
    /// One element for all.
    Scalar,
    /// Repeated along this axis.
    Repeated(usize),
}

/// Elements before the first one of a view.
const LEAD: usize = 5;
/// Elements after its last one.
const TAIL: usize = 9;

impl Layout {
    fn view(self, shape: &[usize]) -> View {
        let rank = shape.len();
        let wider = |last: usize| {
            let mut s: Vec<usize> = shape.iter().map(|d| d + 1).collect();
            if let Some(d) = s.last_mut() {
                *d = last;
            }
            let mut v = View::contiguous(&s, LEAD);
            for (axis, d) in shape.iter().enumerate().take(rank.saturating_sub(1)) {
                v = v.slice(rank, axis, 0, *d);
            }
            v
        };
        match self {
            Layout::Dense => View::contiguous(shape, LEAD),
            Layout::Strided if rank > 0 => {
                let n = shape[rank - 1];
                // Two interleaved rows: take one of them.
                let mut split = shape.to_vec();
                split[rank - 1] = 2 * n + 3;
                let mut v = wider(2 * n + 3).slice(rank, rank - 1, 1, 2 * n);
                let last = v.dims.len() - 1;
                v.dims[last] = n;
                v.strides[last] = if n > 1 { 2 } else { 0 };
                v
            }
            Layout::Columns if rank > 0 => {
                let n = shape[rank - 1];
                wider(n + 3).slice(rank, rank - 1, 2, n)
            }
            Layout::Transposed if rank > 1 => {
                let mut order: Vec<usize> = (0..rank).collect();
                order.swap(rank - 2, rank - 1);
                let swapped: Vec<usize> = order.iter().map(|&o| shape[o]).collect();
                View::contiguous(&swapped, LEAD).permute(&order)
            }
            Layout::Scalar => View::contiguous(&[], LEAD).expand(shape),
            Layout::Repeated(axis) => {
                let mut s = shape.to_vec();
                s[axis] = 1;
                View::contiguous(&s, LEAD).expand(shape)
            }
            _ => View::contiguous(shape, LEAD),
        }
    }
}

/// What an operand's elements are.
#[derive(Clone, Copy, Debug)]
enum Fill<'a> {
    /// Floats, uniform on an interval.
    Range(f32, f32),
    /// These floats, again and again.
    Floats(&'a [f32]),
    /// Words below a limit.
    Below(u32),
    /// These words, again and again.
    Words(&'a [u32]),
}

impl Fill<'_> {
    fn dtype(self) -> DType {
        match self {
            Fill::Range(..) | Fill::Floats(_) => DType::F32,
            Fill::Below(_) | Fill::Words(_) => DType::U32,
        }
    }
}

/// Ordinary numbers.
const ORDINARY: Fill<'static> = Fill::Range(-2.0, 2.0);

/// Terms of long sums: of one sign, since a sum that cancels is small against its bound.
const POSITIVE: Fill<'static> = Fill::Range(0.25, 1.75);

/// Puts a case together.
#[derive(Debug)]
struct Build {
    key: u32,
    slots: Vec<Contents>,
    reads: Vec<Arg>,
    writes: Vec<Arg>,
}

impl Build {
    /// Contents depend on `key` alone.
    fn new(key: u32) -> Build {
        Build { key, slots: Vec::new(), reads: Vec::new(), writes: Vec::new() }
    }

    fn slot(&mut self, view: View, dtype: DType, around: u32, fill: Option<Fill<'_>>) -> Arg {
        let slot = self.slots.len();
        let mut words = vec![around; view.end() + TAIL];
        if let Some(fill) = fill {
            let mut i = 0;
            crate::view::for_each([&view], |[at]| {
                let random = threefry2x32([self.key, slot as u32], [i as u32, 0])[0];
                words[at] = match fill {
                    Fill::Range(lo, hi) => (lo + (hi - lo) * (random >> 8) as f32 / 16_777_216.0).to_bits(),
                    Fill::Floats(x) => x[i % x.len()].to_bits(),
                    Fill::Below(n) => random % n,
                    Fill::Words(w) => w[i % w.len()],
                };
                i += 1;
            });
        }
        self.slots.push(Contents { dtype, words });
        Arg { slot: SlotId(slot), view }
    }

    fn read(mut self, shape: &[usize], layout: Layout, fill: Fill<'_>) -> Build {
        let around = if fill.dtype() == DType::F32 { POISON } else { POISON_WORD };
        let arg = self.slot(layout.view(shape), fill.dtype(), around, Some(fill));
        self.reads.push(arg);
        self
    }

    /// Reads an operand once more: kernels with an unused operand are given another one again.
    fn again(mut self, i: usize) -> Build {
        self.reads.push(self.reads[i]);
        self
    }

    fn write(mut self, shape: &[usize], layout: Layout, dtype: DType) -> Build {
        let arg = self.slot(layout.view(shape), dtype, SENTINEL, None);
        self.writes.push(arg);
        self
    }

    /// An operand that is changed in place.
    fn change(mut self, shape: &[usize], layout: Layout, fill: Fill<'_>) -> Build {
        let arg = self.slot(layout.view(shape), fill.dtype(), SENTINEL, Some(fill));
        self.writes.push(arg);
        self
    }

    fn case(self, name: impl Into<String>, kernel: Kernel, arithmetic: bool) -> Case {
        let Build { slots, reads, writes, .. } = self;
        Case { name: name.into(), kernel, slots, reads, writes, arithmetic }
    }
}

/// Lengths around the sizes of workgroups and vectors.
const LENGTHS: [usize; 5] = [1, 63, 64, 65, 1757];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_views_end_inside_their_slots() {
        let mut seen = std::collections::HashSet::new();
        for case in cases() {
            assert!(seen.insert((case.kernel.name(), case.name.clone())), "{} twice", case.name);
            for arg in case.reads.iter().chain(&case.writes) {
                assert!(arg.view.end() <= case.slots[arg.slot.0].words.len(), "{}", case.name);
            }
            for w in &case.writes {
                assert!(
                    w.view.is_injective() && case.reads.iter().all(|r| r.slot != w.slot),
                    "{}",
                    case.name
                );
            }
        }
    }
}
