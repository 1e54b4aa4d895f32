//! Pictures as fields: each task is one picture, a function from a place to a colour. A row is a pixel: its place `(x, y)` in `[-1, 1]²`, x to
//! the right and y down, and its channels in `[-1, 1]`.
//!
//! An episode shows some pixels of each picture, the same as support and as query: what is learned is to fit a picture in few
//! steps (Tancik et al. 2021, "Learned initializations"; Dupont et al. 2022, "COIN++").

use std::ops::Range;
use std::sync::Arc;

use super::images::ImageSet;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::rng::Rng;
use crate::run::Session;
use crate::task::{Batch, Task, TaskFamily, TaskShape, window_of};

/// Pictures to fit.
#[derive(Clone, Debug)]
pub struct PictureFields {
    /// The pictures, whatever their classes.
    pub set: Arc<ImageSet>,
    /// Those to draw from: class and number.
    pub among: Vec<(usize, usize)>,
    /// Pixels of an episode.
    pub points: usize,
    /// Seed of the episodes.
    pub seed: u64,
}

/// Places of all pixels of pictures of this height and width, `[h · w, 2]`.
pub fn places([h, w]: [usize; 2]) -> Vec<f32> {
    let at = |i: usize, n: usize| (2.0 * i as f32 + 1.0) / n as f32 - 1.0;
    (0..h * w).flat_map(|i| [at(i % w, w), at(i / w, h)]).collect()
}

/// Channels of pixels, -1 to 1.
pub fn colours(pixels: &[u8]) -> impl Iterator<Item = f32> + '_ {
    pixels.iter().map(|p| f32::from(*p) / 127.5 - 1.0)
}

/// Pixels whose channels are -1 to 1; what lies outside is brought to the nearest end.
pub fn pixels(colours: &[f32]) -> Vec<u8> {
    colours.iter().map(|v| ((v + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8).collect()
}

impl PictureFields {
    /// The picture of this number as a task: `shots` of its pixels, drawn by `rng` where these are not all, to learn from, and all to be
    /// judged on.
    pub fn task(&self, number: usize, shots: usize, rng: &mut Rng) -> Task {
        let [h, w, channels] = self.set.shape;
        let (class, k) = self.among[number];
        let (xq, yq) = (places([h, w]), colours(&self.set.images[class][k]).collect::<Vec<f32>>());
        let (xs, ys) = match shots < h * w {
            true => chosen(&rng.choose(h * w, shots), &xq, &yq, channels),
            false => (xq.clone(), yq.clone()),
        };
        let name = match &self.set.classes[class][..] {
            "" => format!("picture {}", k + 1),
            class => format!("{class}: {}", k + 1),
        };
        Task::from_support(xs, ys).with_query(xq, yq).with_name(name)
    }

    /// Up to `count` pictures as tasks, the same in every call.
    pub fn held_out(&self, count: usize, shots: usize, stream: u64) -> Vec<Task> {
        let task = |i: usize| self.task(i, shots, &mut Rng::new(self.seed, stream ^ (i as u64) << 20));
        (0..count.min(self.among.len())).map(task).collect()
    }
}

/// Some pixels' places and colours.
fn chosen(pixels: &[usize], places: &[f32], colours: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let pick = |from: &[f32], n: usize| -> Vec<f32> {
        pixels.iter().flat_map(|p| from[p * n..(p + 1) * n].iter().copied()).collect()
    };
    (pick(places, 2), pick(colours, channels))
}

impl TaskFamily for PictureFields {
    fn shape(&self) -> TaskShape {
        TaskShape::new([2], self.set.shape[2], self.points, self.points)
    }

    fn rows_are_even(&self) -> bool {
        true
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, _key: Value) -> Batch {
        g.scope("pixels", |g| {
            let (t, n, channels) = (tasks.len(), self.points, self.set.shape[2]);
            let (x, y) = (g.step("x", &[t, n, 2]), g.step("y", &[t, n, channels]));
            Batch::same(g, x, y)
        })
    }

    fn window(&self, tasks: usize) -> usize {
        let step = tasks * self.points * (2 + self.set.shape[2]);
        window_of(step)
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let [h, w, channels] = self.set.shape;
        let all = places([h, w]);
        let (mut xs, mut ys) = (vec![], vec![]);
        for t in tasks {
            let mut rng = Rng::new(self.seed, 0xf1e1_0000_0000_0000 ^ step << 20 ^ t as u64);
            let (class, k) = self.among[rng.below(self.among.len())];
            let colours: Vec<f32> = colours(&self.set.images[class][k]).collect();
            let (x, y) = chosen(&rng.choose(h * w, self.points), &all, &colours, channels);
            xs.extend(x);
            ys.extend(y);
        }
        session.set_step(row, "x", &xs)?;
        session.set_step(row, "y", &ys)
    }
}
