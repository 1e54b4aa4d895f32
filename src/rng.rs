//! Random numbers on the host, from the same counter-based generator as in plans: a number is a function
//! of (seed, stream, index), so that a resumed run draws what an uninterrupted one would have.
//!
//! [`Rng`] is for programs; [`threefry2x32`] belongs to the engine and is public for tests and tools, without a promise of stability.
//!
//! ```
//! use hyperloom::rng::Rng;
//!
//! let (mut a, mut b, mut other) = (Rng::new(7, 1), Rng::new(7, 1), Rng::new(7, 2));
//! let drawn = a.uniform();
//! assert!((0.0..1.0).contains(&drawn) && drawn == b.uniform() && drawn != other.uniform());
//! ```

/// Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): words for a key and a
/// counter.
pub fn threefry2x32(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    threefry2x32_several(key, counter.map(|c| [c])).map(|[x]| x)
}

/// [`threefry2x32`] of several counters side by side.
#[inline(always)]
pub(crate) fn threefry2x32_several<const N: usize>(key: [u32; 2], counters: [[u32; N]; 2]) -> [[u32; N]; 2] {
    const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
    let keys = [key[0], key[1], 0x1BD1_1BDA ^ key[0] ^ key[1]];
    let [mut a, mut b] = counters;
    for n in 0..N {
        (a[n], b[n]) = (a[n].wrapping_add(keys[0]), b[n].wrapping_add(keys[1]));
    }
    for round in 0..20 {
        for n in 0..N {
            a[n] = a[n].wrapping_add(b[n]);
            b[n] = b[n].rotate_left(ROTATIONS[round % 8]) ^ a[n];
        }
        if round % 4 == 3 {
            let i = round / 4 + 1;
            for n in 0..N {
                a[n] = a[n].wrapping_add(keys[i % 3]);
                b[n] = b[n].wrapping_add(keys[(i + 1) % 3]).wrapping_add(i as u32);
            }
        }
    }
    [a, b]
}

/// A stream of random numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Rng {
    key: [u32; 2],
    index: u64,
}

impl Rng {
    /// The numbers of one purpose (`stream`) under a seed.
    pub fn new(seed: u64, stream: u64) -> Rng {
        let mixed = threefry2x32([seed as u32, (seed >> 32) as u32], [stream as u32, (stream >> 32) as u32]);
        Rng { key: mixed, index: 0 }
    }

    /// 32 random bits.
    pub fn bits(&mut self) -> u32 {
        let x = threefry2x32(self.key, [self.index as u32, (self.index >> 32) as u32]);
        self.index += 1;
        x[0]
    }

    /// Uniform on [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 8) as f64 / 16_777_216.0
    }

    /// Uniform on [low, high).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform on 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.bits() as u64 * n as u64) >> 32) as usize
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// `k` different numbers of 0..n in random order (all of them where k ≥ n).
    pub fn choose(&mut self, n: usize, k: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for i in 0..k.min(n) {
            let j = i + self.below(n - i);
            all.swap(i, j);
        }
        all.truncate(k);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // Vectors published with the Random123 library.
        assert_eq!(threefry2x32([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry2x32([u32::MAX; 2], [u32::MAX; 2]), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(
            threefry2x32([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]),
            [0xc492_3a9c, 0x483d_f7a0]
        );
    }
}
