//! Workloads with inputs that any other program can make too (`benches/peers`), and their timing.
//!
//! Inputs come from an integer hash of (stream, element), so that results can be compared before
//! anything is timed.

mod fields;
mod generators;
mod heads;
mod pictures;
mod policies;
mod profile;
mod search;
mod sequences;
mod timing;
mod workload;

pub use profile::{Ceilings, LaunchProfile, Profile};
pub use timing::{Row, measure, measure_sine};
pub use workload::{Prepared, Workload};

/// Element `i` of a stream, uniform in [-1, 1): the finaliser "lowbias32" of C. Wellons over `i + stream · 0x9E3779B9`, 24 bits.
pub fn number(stream: u32, i: u32) -> f32 {
    let u = word(stream, i) >> 8;
    2.0 * (u as f32 / 16_777_216.0) - 1.0
}

/// The 32 bits behind [`number`].
pub fn word(stream: u32, i: u32) -> u32 {
    let mut x = i.wrapping_add(stream.wrapping_mul(0x9E37_79B9));
    x ^= x >> 16;
    x = x.wrapping_mul(0x7FEB_352D);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

/// `len` elements of a stream, times `scale`.
pub fn numbers(stream: u32, scale: f32, len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| scale * number(stream, i)).collect()
}
