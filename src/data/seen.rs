//! How a picture or a series is seen in training: turned, mirrored, moved.

use crate::rng::Rng;

/// How a picture is seen; a series is one line of one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// By how many quarters it is turned; only square pictures are.
    pub(super) quarters: usize,
    /// Whether left and right are exchanged.
    pub(super) mirrored: bool,
    /// Pixels to the right and down.
    pub(super) shift: [i32; 2],
}

impl Seen {
    /// Moved by up to a twelfth of its sides with `shifts`, mirrored half the time with `flips`.
    pub(super) fn drawn(
        rng: &mut Rng,
        [h, w]: [usize; 2],
        quarters: usize,
        shifts: bool,
        flips: bool,
    ) -> Seen {
        let mut within = |side: usize| match (shifts, side / 12) {
            (true, most) if most > 0 => rng.below(2 * most + 1) as i32 - most as i32,
            _ => 0,
        };
        let shift = [within(w), within(h)];
        Seen { quarters, mirrored: flips && rng.below(2) == 1, shift }
    }

    /// Numbers of the pixels that are seen, row by row from the top left.
    pub(super) fn pixels(self, [h, w]: [usize; 2]) -> impl Iterator<Item = usize> {
        let (h, w) = (h as i32, w as i32);
        (0..h).flat_map(move |y| (0..w).map(move |x| (x, y))).map(move |(x, y)| {
            let (x, y) = (x - self.shift[0], y - self.shift[1]);
            let (u, v) = match self.quarters {
                0 => (x, y),
                1 => (y, w - 1 - x),
                2 => (w - 1 - x, h - 1 - y),
                _ => (w - 1 - y, x),
            };
            let u = if self.mirrored { w - 1 - u } else { u };
            let inside = (0..w).contains(&u) && (0..h).contains(&v);
            // What is not in the picture is like its corner.
            if inside { (v * w + u) as usize } else { 0 }
        })
    }
}
