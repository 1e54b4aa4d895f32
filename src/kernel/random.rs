//! Counter-based random numbers: Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random
//! numbers: as easy as 1, 2, 3").
//!
//! The key is (seed + stream · 0x9E3779B9, step), the counter (global task, element within the task): a
//! number depends on what it is for, never on the thread or the split that draws it. Words and uniform
//! numbers agree bit for bit on every runner.

use multiversion::multiversion;

use pulp::Simd;

use super::block::{ALL, LaneBlock, OwnBlock};
use super::lanes::LANES;
use super::nest::{Family, Nest};
use super::uniform::{GpuView, WG, axes, grid, params};
use super::{Buffer, Dispatch, Read, Real, Write};
use crate::graph::op::Dist;
use crate::rng::{threefry2x32, threefry2x32_several};
use crate::spec::DType;
use crate::view::{COLUMN, View, for_each};

/// Parameters of a draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Random {
    /// What to draw.
    pub dist: Dist,
    /// Numbers of different streams are independent.
    pub stream: u32,
    /// Elements of one task.
    pub per_task: usize,
    /// Number of the first task, where a batch is split.
    pub first_task: u32,
}

params!(Random {
    dims: GpuView,
    y: GpuView,
    stream: u32,
    per_task: u32,
    first_task: u32,
    key: u32,
    key_step: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
});

impl Random {
    pub(super) const FAMILY: Family = Family::Own;

    pub(super) fn nest(&self, _: &[View], writes: &[View]) -> Option<Nest> {
        // The numbers of a task are not divided, and words are drawn by a launch.
        let whole = writes.first()?.count().is_multiple_of(self.per_task);
        (whole && self.dtype() == DType::F32).then(Nest::drawn)
    }

    /// What task `task` of a region draws, which has so many numbers.
    pub(super) fn of_task(&self, task: usize, results: &View) -> Random {
        let tasks = task * (results.count() / self.per_task);
        Random { first_task: self.first_task.wrapping_add(tasks as u32), ..*self }
    }

    /// The key of this stream, from the operand (seed, step) that lies so.
    fn key(&self, view: &View, word: impl Fn(usize) -> u32) -> [u32; 2] {
        let [seed, step] = [0, view.strides[COLUMN]].map(|i| word(view.offset + i));
        [seed.wrapping_add(self.stream.wrapping_mul(0x9E37_79B9)), step]
    }

    /// What is drawn: words, or floats.
    pub(super) fn dtype(&self) -> DType {
        match self.dist {
            Dist::Bits => DType::U32,
            Dist::Uniform | Dist::Normal => DType::F32,
        }
    }

    fn counter(&self, i: usize) -> [u32; 2] {
        [self.first_task.wrapping_add((i / self.per_task) as u32), (i % self.per_task) as u32]
    }

    /// The number of two words.
    fn number<T: Real>(&self, w: [u32; 2]) -> T {
        let unit = |w: u32| (w >> 8) as f64 / 16_777_216.0;
        match self.dist {
            Dist::Normal => {
                // Box and Muller; 1 - u is in (0, 1], so that the logarithm exists.
                let radius = (T::of(-2.0) * T::of(1.0 - unit(w[0])).ln()).sqrt();
                radius * (T::of(std::f32::consts::TAU as f64) * T::of(unit(w[1]))).sin_quarter(1)
            }
            _ => T::of(unit(w[0])),
        }
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let (key, view) = (self.key(&reads[0].view, |at| reads[0].u()[at]), writes[0].view);
        let mut i = 0;
        match &mut *writes[0].buffer {
            Buffer::U(y) => for_each([&view], |[at]| {
                y[at] = threefry2x32(key, self.counter(i))[0];
                i += 1;
            }),
            Buffer::F(y) => for_each([&view], |[at]| {
                let w = threefry2x32(key, self.counter(i));
                y[at] = self.number(w);
                i += 1;
            }),
        }
    }

    /// Computes the launch in f32: uniform numbers that lie one after another, several at a time.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let view = writes[0].view;
        match &mut *writes[0].buffer {
            Buffer::F(y) if matches!(self.dist, Dist::Uniform) && view.is_contiguous() => {
                uniform(
                    self,
                    self.key(&reads[0].view, |at| reads[0].u()[at]),
                    &mut y[view.offset..view.offset + view.count()],
                );
            }
            _ => self.reference(reads, writes),
        }
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let y = &writes[0];
        let params = Params {
            dims: GpuView::dims(y),
            y: y.into(),
            stream: self.stream,
            per_task: self.per_task as u32,
            first_task: self.first_task,
            key: reads[0].offset as u32,
            key_step: reads[0].strides[COLUMN] as u32,
            pad0: 0,
            pad1: 0,
            pad2: 0,
        };
        let dist = match self.dist {
            Dist::Bits => 0.0,
            Dist::Uniform => 1.0,
            Dist::Normal => 2.0,
        };
        Dispatch {
            uniform: bytemuck::bytes_of(&params).to_vec(),
            constants: vec![("DIST", dist), axes([y])],
            groups: grid(y.count().div_ceil(WG)),
        }
    }

    /// Twenty rounds of three operations a number.
    pub fn flops(&self, _: &[View], writes: &[View]) -> f64 {
        70.0 * writes[0].count() as f64
    }
}

impl OwnBlock for Random {
    const OPERANDS: &'static [(&'static str, usize)] = &[("key", 1), ("y", ALL)];

    fn sizes(&self, _: &[View], writes: &[View]) -> Vec<(&'static str, usize)> {
        let count = writes[0].count();
        vec![
            ("STREAM", self.stream as usize),
            ("COUNT", count),
            ("FIRST", self.first_task as usize),
            ("TASKS", count / self.per_task),
            ("PER_TASK", self.per_task),
            ("NORMAL", usize::from(self.dist == Dist::Normal)),
        ]
    }

    #[inline(always)]
    unsafe fn lanes<S: Simd>(&self, _: S, b: &LaneBlock<'_>) {
        let ([key, y], [vk, vy]) = ([b.operands[0], b.operands[1]], [&b.views[0], &b.views[1]]);
        // SAFETY: promised by the caller.
        let key = self.key(vk, |at| unsafe { key.word(at, 0) });
        let tasks: [Random; LANES] = std::array::from_fn(|lane| self.of_task(b.task + lane, vy));
        let mut i = 0;
        for_each([vy], |[at]| {
            let counters: [[u32; 2]; LANES] = std::array::from_fn(|lane| tasks[lane].counter(i));
            let [first, second] = threefry2x32_several(key, [0, 1].map(|k| counters.map(|c| c[k])));
            for lane in 0..LANES {
                // SAFETY: promised by the caller.
                unsafe { y.put_element(at, lane, self.number([first[lane], second[lane]])) };
            }
            i += 1;
        });
    }
}

/// Numbers in [0, 1), several at a time.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn uniform(random: &Random, key: [u32; 2], y: &mut [f32]) {
    const TOGETHER: usize = 16;
    for (c, chunk) in y.chunks_mut(TOGETHER).enumerate() {
        let mut counters = [[0; TOGETHER]; 2];
        for n in 0..chunk.len() {
            [counters[0][n], counters[1][n]] = random.counter(c * TOGETHER + n);
        }
        let [words, _] = threefry2x32_several(key, counters);
        for (y, w) in chunk.iter_mut().zip(words) {
            *y = (w >> 8) as f32 / 16_777_216.0;
        }
    }
}
