//! Compares what a runner made of a launch with the error-bounded reference: every element within its
//! derived bound, every other bit of the slots unchanged. Kept apart from the tests because the command
//! `hyperloom check` and the lockstep debugger ask the same question of launches of their own.

use serde::Serialize;

use super::cases::Case;
use crate::error::{Error, Result};
use crate::kernel::{Bounded, Buffer};
use crate::plan::{Launch, Plan, SlotId};
use crate::run::cpu::{CpuRunner, run_launch};
use crate::spec::DType;
use crate::view::for_each;

/// Largest normalised mean square error of plain arithmetic.
pub const NMSE_LIMIT: f64 = 1e-10;

/// What a comparison found.
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    /// The kernel's name: that of the shader, where it has several.
    pub kernel: &'static str,
    /// The case's name, or the label of the launch.
    pub case: String,
    /// Number of elements written and compared.
    pub elements: usize,
    /// Largest error in units of its bound; at most 1 where nothing failed.
    pub worst: f64,
    /// Mean square error over the finite elements, divided by their mean square.
    pub nmse: Option<f64>,
    /// The first element that is wrong.
    pub failure: Option<Failure>,
}

impl CaseReport {
    /// Whether every element is within its bound and the mean error within its limit.
    pub fn passed(&self) -> bool {
        self.failure.is_none() && self.nmse.is_none_or(|x| x <= NMSE_LIMIT)
    }
}

impl std::fmt::Display for CaseReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ({}): {} elements, worst {:.3} of its bound",
            self.kernel, self.case, self.elements, self.worst
        )?;
        if let Some(nmse) = self.nmse {
            write!(f, ", NMSE {nmse:.1e}")?;
        }
        match &self.failure {
            Some(failure) => write!(f, "; {failure}"),
            None => Ok(()),
        }
    }
}

/// How an element can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A result outside its bound.
    Result,
    /// Bits beside the results changed.
    Beside,
    /// An operand that is only read changed.
    Operand,
}

/// An element that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// In which way.
    pub fault: Fault,
    /// Its slot.
    pub slot: usize,
    /// Its position in the slot.
    pub index: usize,
    /// What the runner left there.
    pub got: f64,
    /// What the reference says.
    pub expected: f64,
    /// How far from it a correct result may lie.
    pub bound: f64,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.fault {
            Fault::Result => "a result is outside its bound",
            Fault::Beside => "an element beside the results changed",
            Fault::Operand => "an operand that is only read changed",
        };
        write!(
            f,
            "{what}: slot {}, element {}: {:e}, not {:e} ± {:e}",
            self.slot, self.index, self.got, self.expected, self.bound
        )
    }
}

/// A word of a slot as a number.
fn number(dtype: DType, word: u32) -> f64 {
    match dtype {
        DType::F32 => f32::from_bits(word) as f64,
        DType::U32 => word as f64,
    }
}

fn bounded(dtype: DType, words: &[u32]) -> Buffer<Bounded> {
    match dtype {
        DType::F32 => Buffer::F(words.iter().map(|w| Bounded::exact(f32::from_bits(*w) as f64)).collect()),
        DType::U32 => Buffer::U(words.to_vec()),
    }
}

/// Runs a launch with error bounds; the written slots. `before` holds a slot's words at its number; slots
/// that the launch does not touch may be empty.
pub fn reference(plan: &Plan, launch: &Launch, before: &[Vec<u32>]) -> Vec<(SlotId, Buffer<Bounded>)> {
    let touched = |i: usize| launch.reads.iter().chain(&launch.writes).any(|a| a.slot.0 == i);
    let mut slots: Vec<Buffer<Bounded>> = (0..plan.slots.len())
        .map(|i| bounded(plan.slots[i].dtype, if touched(i) { &before[i] } else { &[] }))
        .collect();
    run_launch(launch, &mut slots);
    let take =
        |w: SlotId, slots: &mut Vec<Buffer<Bounded>>| std::mem::replace(&mut slots[w.0], Buffer::U(vec![]));
    launch.writes.iter().map(|w| (w.slot, take(w.slot, &mut slots))).collect()
}

/// Compares slots before and after a launch, each at its number and as words, with the reference; slots
/// that the launch does not touch may be empty, those only read may be empty in `after`.
pub fn compare_launch(plan: &Plan, launch: &Launch, before: &[Vec<u32>], after: &[Vec<u32>]) -> CaseReport {
    let mut report = CaseReport {
        kernel: launch.shader(),
        case: launch.label.clone(),
        elements: 0,
        worst: 0.0,
        nmse: None,
        failure: None,
    };
    let (mut error2, mut square) = (0.0, 0.0);
    let mut fail = |fault, slot: usize, index, got, expected: f64, bound| {
        report.failure.get_or_insert(Failure { fault, slot, index, got, expected, bound });
    };
    for (k, ((slot, expected), write)) in
        reference(plan, launch, before).iter().zip(&launch.writes).enumerate()
    {
        // What a region puts aside is nobody's result.
        if launch.scratch() == Some(k) {
            continue;
        }
        let (i, dtype) = (slot.0, plan.slots[slot.0].dtype);
        let mut beside = vec![true; before[i].len()];
        for_each([&write.view], |[at]| {
            beside[at] = false;
            let got = after[i].get(at).copied().unwrap_or(0);
            let (value, bound, right) = match expected {
                Buffer::F(x) => (x[at].v, x[at].e, x[at].admits(f32::from_bits(got))),
                Buffer::U(x) => (x[at] as f64, 0.0, x[at] == got),
            };
            let got = number(dtype, got);
            report.elements += 1;
            report.worst = report.worst.max(relative(got, value, bound));
            if !right {
                fail(Fault::Result, i, at, got, value, bound);
            }
            if value.is_finite() && got.is_finite() && bound.is_finite() {
                error2 += (got - value) * (got - value);
                square += value * value;
            }
        });
        for at in (0..beside.len()).filter(|&at| beside[at]) {
            let (old, new) = (before[i][at], after[i].get(at).copied());
            if new != Some(old) {
                fail(Fault::Beside, i, at, number(dtype, new.unwrap_or(0)), number(dtype, old), 0.0);
            }
        }
    }
    for read in &launch.reads {
        let i = read.slot.0;
        let changed = after[i].iter().zip(&before[i]).position(|(a, b)| a != b);
        if let Some(at) = changed {
            let dtype = plan.slots[i].dtype;
            fail(Fault::Operand, i, at, number(dtype, after[i][at]), number(dtype, before[i][at]), 0.0);
        }
    }
    report.nmse = Some(if square > 0.0 { error2 / square } else { error2 });
    report
}

/// An error in units of its bound.
fn relative(got: f64, value: f64, bound: f64) -> f64 {
    if got == value || (got.is_nan() && value.is_nan()) || bound.is_infinite() {
        0.0
    } else if bound > 0.0 && (got - value).is_finite() {
        (got - value).abs() / bound
    } else {
        f64::INFINITY
    }
}

/// Runs a case and compares. `run` is given the plan and the contents of its slots, and returns the
/// contents after one step, all as words.
///
/// # Errors
/// Those of `run`, and [`Error::Shape`] where it returns another number of slots.
pub fn check_case(
    case: &Case,
    mut run: impl FnMut(&Plan, &[Vec<u32>]) -> Result<Vec<Vec<u32>>>,
) -> Result<CaseReport> {
    let plan = case.plan();
    let before: Vec<Vec<u32>> = case.slots.iter().map(|c| c.words.clone()).collect();
    let after = run(&plan, &before)?;
    if after.len() != before.len() {
        return Err(Error::Shape(format!("a runner returned {} slots of {}", after.len(), before.len())));
    }
    let report = compare_launch(&plan, &plan.launches[0], &before, &after);
    Ok(CaseReport { nmse: report.nmse.filter(|_| case.arithmetic), ..report })
}

/// One step of a plan on the CPU's fast path, from and to words: the `run` of [`check_case`].
///
/// # Errors
/// Those of [`CpuRunner::run`].
pub fn run_cpu(plan: &Plan, slots: &[Vec<u32>]) -> Result<Vec<Vec<u32>>> {
    let mut runner = CpuRunner::<f32>::prepare(plan);
    for (i, words) in slots.iter().enumerate() {
        *runner.slot_mut(SlotId(i)) = match plan.slots[i].dtype {
            DType::F32 => Buffer::F(words.iter().map(|w| f32::from_bits(*w)).collect()),
            DType::U32 => Buffer::U(words.clone()),
        };
    }
    runner.run(1)?;
    let words = |i| match runner.slot(SlotId(i)) {
        Buffer::F(x) => x.iter().map(|v| v.to_bits()).collect(),
        Buffer::U(x) => x.clone(),
    };
    Ok((0..slots.len()).map(words).collect())
}
