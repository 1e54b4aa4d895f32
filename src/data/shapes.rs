//! Shapes: each task is the signed-distance field of one random shape on the square [-1, 1]².
//!
//! A field can be looked at: its zero line is the shape's outline, so pictures show at once what a
//! hypernetwork has understood and what adaptation adds. Coordinates and distances share one unit, half
//! the side of the square; distances are negative inside.
//!
//! Training episodes are computed on the host and staged a step at a time, unlike [`super::sine`]'s, which
//! are drawn inside the plan: a distance to a polygon branches by shape and loops over edges, which would
//! be many operations of the graph for little work. What is staged depends on the seed, the step and the
//! task's number alone; held-out tasks have streams of their own.

use std::f32::consts::{PI, TAU};
use std::fmt;
use std::ops::Range;

use glam::{Affine2, Vec2};

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::rng::Rng;
use crate::run::Session;
use crate::task::{Batch, Loss, Rows, Task, TaskFamily, TaskShape};

/// The encoder sees inputs and targets multiplied by this. Both are of order one as they are, but its first
/// layer starts without biases: further from the origin its units tell places apart better. 4 rather than 1
/// lowered the held-out error by a sixth.
pub const SCALE: f64 = 4.0;

/// One point in this many is drawn near the outline, the others anywhere in the square.
const NEAR_EVERY: usize = 4;
/// How far points near the outline lie from it at most, along each axis.
const NEAR: f32 = 0.1;
/// Shapes keep this distance from the square's sides, so that the whole outline can be seen.
const MARGIN: f32 = 0.05;

/// A primitive of signed distance about the origin, before it is placed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Primitive {
    /// A disc.
    Circle {
        /// Its radius.
        radius: f32,
    },
    /// A rectangle with sides along the axes.
    Box {
        /// Half its width and half its height.
        half: Vec2,
    },
    /// A polygon whose edges do not cross. One without corners is infinitely far from everywhere.
    Polygon {
        /// Its corners, in either direction around it.
        corners: Vec<Vec2>,
    },
    /// A star with tips at distance 1 from the origin, the first of them at (1, 0).
    Star {
        /// Number of tips, at least 2.
        points: usize,
        /// Distance of the notches between the tips from the origin, between 0 and 1.
        notch: f32,
    },
}

impl Primitive {
    /// A shape that fits the unit circle: each kind with the same probability.
    pub fn random(rng: &mut Rng) -> Primitive {
        match rng.below(4) {
            0 => Primitive::Circle { radius: 1.0 },
            1 => {
                // Corners on the unit circle; the sides' ratio is at most 1 : 3.
                let angle = range(rng, (1.0f32 / 3.0).atan(), 3.0f32.atan());
                Primitive::Box { half: Vec2::from_angle(angle) }
            }
            2 => {
                let n = 3 + rng.below(5);
                // Irregular corners stay in order around the origin, less than half a turn apart even in a
                // triangle (1.4 thirds of a turn): then no edges cross.
                let (turn, pull) = if rng.below(2) == 0 { (0.0, 0.0) } else { (0.2, 0.4) };
                let corner = |i| {
                    let angle = TAU * (i as f32 + range(rng, -turn, turn)) / n as f32;
                    Vec2::from_angle(angle) * (1.0 - range(rng, 0.0, pull))
                };
                Primitive::Polygon { corners: (0..n).map(corner).collect() }
            }
            _ => Primitive::Star { points: 5 + rng.below(3), notch: range(rng, 0.4, 0.7) },
        }
    }

    /// Signed distance from a point to the outline, negative inside.
    pub fn distance(&self, p: Vec2) -> f32 {
        match self {
            Primitive::Circle { radius } => p.length() - radius,
            Primitive::Box { half } => {
                // Mirrored into the first quadrant only one corner remains. `beyond` says how far past each
                // of its two sides the point is: inside, the nearer side counts.
                let beyond = p.abs() - *half;
                beyond.max(Vec2::ZERO).length() + beyond.max_element().min(0.0)
            }
            Primitive::Polygon { corners } => to_polygon(corners, p),
            Primitive::Star { points, notch } => {
                // Turned and mirrored until it lies between a tip and the notch that follows, a point has
                // the one edge there as its nearest: anything beyond that wedge has an image in it, and
                // the image is nearer.
                let sector = TAU / *points as f32;
                let turns = (p.to_angle() / sector).round();
                let p = Vec2::from_angle(-turns * sector).rotate(p);
                let p = Vec2::new(p.x, p.y.abs());
                let (tip, notch) = (Vec2::X, *notch * Vec2::from_angle(0.5 * sector));
                let distance = to_segment(p, tip, notch).sqrt();
                // Within the wedge, inside is where the origin is: left of the way from tip to notch.
                if (notch - tip).perp_dot(p - tip) > 0.0 { -distance } else { distance }
            }
        }
    }

    /// The point of the outline a fraction `along` (0 to 1) of the way around, by length.
    pub fn outline(&self, along: f32) -> Vec2 {
        match self {
            Primitive::Circle { radius } => *radius * Vec2::from_angle(TAU * along),
            Primitive::Box { half } => {
                let Vec2 { x, y } = *half;
                on_closed_line(
                    &[Vec2::new(-x, -y), Vec2::new(x, -y), Vec2::new(x, y), Vec2::new(-x, y)],
                    along,
                )
            }
            Primitive::Polygon { corners } => on_closed_line(corners, along),
            Primitive::Star { points, notch } => {
                // All edges are equally long; even corners are tips, each followed by a notch.
                let at = along * (2 * points) as f32;
                let corner = |i: usize| {
                    let radius = if i.is_multiple_of(2) { 1.0 } else { *notch };
                    radius * Vec2::from_angle(i as f32 * PI / *points as f32)
                };
                let edge = at as usize;
                corner(edge).lerp(corner(edge + 1), at - edge as f32)
            }
        }
    }
}

impl fmt::Display for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Primitive::Circle { .. } => f.write_str("circle"),
            Primitive::Box { half } => write!(f, "box {:.1} : 1", half.max_element() / half.min_element()),
            Primitive::Polygon { corners } => write!(f, "polygon with {} corners", corners.len()),
            Primitive::Star { points, .. } => write!(f, "star with {points} points"),
        }
    }
}

/// Squared distance from `p` to the segment from `a` to `b`.
fn to_segment(p: Vec2, a: Vec2, b: Vec2) -> f32 {
    let (edge, from_a) = (b - a, p - a);
    // The least length keeps a segment that is a point from dividing 0 by 0.
    let along = from_a.dot(edge) / edge.length_squared().max(f32::MIN_POSITIVE);
    let along = along.clamp(0.0, 1.0);
    from_a.distance_squared(along * edge)
}

/// Edges of a closed line, from each corner to the next.
fn edges(corners: &[Vec2]) -> impl Iterator<Item = (Vec2, Vec2)> {
    corners.iter().copied().zip(corners.iter().copied().cycle().skip(1))
}

fn to_polygon(corners: &[Vec2], p: Vec2) -> f32 {
    let (mut nearest, mut inside) = (f32::INFINITY, false);
    for (a, b) in edges(corners) {
        nearest = nearest.min(to_segment(p, a, b));
        // A ray from p towards +x that crosses the outline an odd number of times comes from inside. An
        // edge owns its lower end only, so that a corner on the ray counts once.
        if (a.y > p.y) != (b.y > p.y) {
            let left_of_edge = (b - a).perp_dot(p - a) > 0.0;
            inside ^= left_of_edge == (b.y > a.y);
        }
    }
    if inside { -nearest.sqrt() } else { nearest.sqrt() }
}

fn on_closed_line(corners: &[Vec2], along: f32) -> Vec2 {
    let total: f32 = edges(corners).map(|(a, b)| a.distance(b)).sum();
    let mut left = along * total;
    let mut last = Vec2::ZERO;
    for (a, b) in edges(corners) {
        let length = a.distance(b);
        if left < length {
            return a.lerp(b, left / length);
        }
        left -= length;
        // Rounding may leave a little after the last edge.
        last = b;
    }
    last
}

/// A shape scaled, turned and moved. The scale is the same along both axes: distances remain distances.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    shape: Primitive,
    /// From the shape's own coordinates to the square's.
    transform: Affine2,
    /// From the square's to the shape's own.
    inverse: Affine2,
    scale: f32,
}

impl Placed {
    /// Places a shape: scaled by `scale`, turned by `angle` (radians, counter-clockwise), its origin moved
    /// to `center`.
    ///
    /// # Panics
    /// When the scale is not a positive number.
    #[track_caller]
    pub fn new(shape: Primitive, scale: f32, angle: f32, center: Vec2) -> Placed {
        assert!(scale.is_normal() && scale > 0.0, "a shape cannot be scaled by {scale}");
        let transform = Affine2::from_scale_angle_translation(Vec2::splat(scale), angle, center);
        Placed { shape, transform, inverse: transform.inverse(), scale }
    }

    /// A random shape, of radius 0.3 to 0.7, anywhere in the square [-1, 1]² where it fits.
    pub fn random(rng: &mut Rng) -> Placed {
        let shape = Primitive::random(rng);
        let scale = range(rng, 0.3, 0.7);
        let angle = range(rng, 0.0, TAU);
        let room = 1.0 - MARGIN - scale;
        let center = Vec2::new(range(rng, -room, room), range(rng, -room, room));
        Placed::new(shape, scale, angle, center)
    }

    /// The shape before it was placed.
    pub fn shape(&self) -> &Primitive {
        &self.shape
    }

    /// From the shape's own coordinates to those of the square.
    pub fn transform(&self) -> Affine2 {
        self.transform
    }

    /// Signed distance from a point of the square to the outline, negative inside.
    pub fn distance(&self, p: Vec2) -> f32 {
        // Measured in the shape's own coordinates, where lengths are 1/scale of those in the square.
        self.scale * self.shape.distance(self.inverse.transform_point2(p))
    }

    /// The point of the outline a fraction `along` (0 to 1) of the way around, by length.
    pub fn outline(&self, along: f32) -> Vec2 {
        self.transform.transform_point2(self.shape.outline(along))
    }

    /// Draws the `i`-th of the points that a task shows: three of four uniform in the square, the fourth
    /// near the outline, where a few hundredths decide what a picture looks like.
    fn draw(&self, rng: &mut Rng, i: usize) -> Vec2 {
        if i % NEAR_EVERY != NEAR_EVERY - 1 {
            return in_square(rng);
        }
        let on = self.outline(rng.uniform() as f32);
        (on + NEAR * in_square(rng)).clamp(Vec2::NEG_ONE, Vec2::ONE)
    }

    /// Appends `n` drawn points `[n, 2]` and their distances `[n]`.
    fn draw_rows(&self, rng: &mut Rng, n: usize, x: &mut Vec<f32>, y: &mut Vec<f32>) {
        for i in 0..n {
            let p = self.draw(rng, i);
            x.extend([p.x, p.y]);
            y.push(self.distance(p));
        }
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Vec2 { x, y } = self.transform.translation;
        write!(f, "{}, radius {:.2}, at ({x:.2}, {y:.2})", self.shape, self.scale)
    }
}

fn range(rng: &mut Rng, low: f32, high: f32) -> f32 {
    rng.range(low as f64, high as f64) as f32
}

/// Uniform on (-1, 1)². One draw is cut into two coordinates of 16 bits: random bits are what most of the
/// time of a step would go to, and a grid of 65536² points is finer than any feature of a shape.
fn in_square(rng: &mut Rng) -> Vec2 {
    let bits = rng.bits();
    let unit = |half: u32| (half as f32 + 0.5) / 32_768.0 - 1.0;
    Vec2::new(unit(bits & 0xffff), unit(bits >> 16))
}

/// What the streams of random numbers are for; the highest byte of a stream's number.
#[derive(Clone, Copy)]
enum Purpose {
    Training = 0xd1,
    /// Shapes and support rows of held-out tasks.
    HeldOut = 0xd2,
    /// Their query rows: apart, so that they stay when the number of support rows changes.
    HeldOutQuery = 0xd3,
}

/// The numbers of one task of one step (held-out tasks: step 0). 2²⁴ tasks a step, 2³² steps.
fn stream(seed: u64, purpose: Purpose, step: u64, task: usize) -> Rng {
    Rng::new(seed, (purpose as u64) << 56 | (step & 0xffff_ffff) << 24 | (task as u64 & 0xff_ffff))
}

/// The family of signed-distance fields of random shapes: 2 inputs, 1 output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shapes {
    /// Largest number of support rows.
    pub shots: usize,
    /// Fewest support rows of a training episode.
    pub min_shots: usize,
    /// Query rows of a training episode.
    pub query: usize,
    /// Seed of the training episodes.
    pub seed: u64,
}

impl Default for Shapes {
    fn default() -> Shapes {
        Shapes { shots: 32, min_shots: 8, query: 64, seed: 0 }
    }
}

impl TaskFamily for Shapes {
    fn shape(&self) -> TaskShape {
        TaskShape {
            support: self.shots,
            query: self.query,
            row: vec![2],
            outputs: 1,
            descriptor: 0,
            known: 0,
            loss: Loss::Mse,
        }
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, _key: Value) -> Batch {
        g.scope("shapes", |g| {
            let (t, n, q) = (tasks.len(), self.shots, self.query);
            Batch {
                support: Rows {
                    x: g.step("support_x", &[t, n, 2]),
                    y: g.step("support_y", &[t, n, 1]),
                    rows: g.step("support_rows", &[t, n]),
                    count: g.step("support_count", &[t, 1]),
                },
                xq: g.step("query_x", &[t, q, 2]),
                yq: g.step("query_y", &[t, q, 1]),
                query_rows: None,
                descriptor: None,
                task: None,
                noise: None,
            }
        })
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let (t, n, q) = (tasks.len(), self.shots, self.query);
        let (mut xs, mut ys) = (Vec::with_capacity(2 * t * n), Vec::with_capacity(t * n));
        let (mut xq, mut yq) = (Vec::with_capacity(2 * t * q), Vec::with_capacity(t * q));
        let (mut rows, mut counts) = (Vec::with_capacity(t * n), Vec::with_capacity(t));
        let min_shots = self.min_shots;
        for task in 0..t {
            let mut rng = stream(self.seed, Purpose::Training, step, tasks.start + task);
            let placed = Placed::random(&mut rng);
            let k = min_shots + rng.below(n - min_shots + 1);
            placed.draw_rows(&mut rng, k, &mut xs, &mut ys);
            placed.draw_rows(&mut rng, q, &mut xq, &mut yq);
            // The rows after the k-th count nothing; zeros keep them finite.
            xs.resize(2 * n * (task + 1), 0.0);
            ys.resize(n * (task + 1), 0.0);
            rows.resize(n * task + k, 1.0 / k as f32);
            rows.resize(n * (task + 1), 0.0);
            counts.push(k as f32);
        }
        session.set_step(row, "support_x", &xs)?;
        session.set_step(row, "support_y", &ys)?;
        session.set_step(row, "support_rows", &rows)?;
        session.set_step(row, "support_count", &counts)?;
        session.set_step(row, "query_x", &xq)?;
        session.set_step(row, "query_y", &yq)
    }
}

impl Shapes {
    /// The placed shape of a held-out task. It depends on nothing but the seed and the task's number.
    pub fn held_out_shape(seed: u64, index: usize) -> Placed {
        Placed::random(&mut stream(seed, Purpose::HeldOut, 0, index))
    }

    /// `count` held-out tasks with `shots` support and `query` query rows, drawn as in training. More shots
    /// add rows to a task and change nothing else.
    pub fn held_out(seed: u64, count: usize, shots: usize, query: usize) -> Vec<Task> {
        let task = |index| {
            let (placed, mut task) = Shapes::with_support(seed, index, shots);
            let mut rng = stream(seed, Purpose::HeldOutQuery, 0, index);
            placed.draw_rows(&mut rng, query, &mut task.xq, &mut task.yq);
            task
        };
        (0..count).map(task).collect()
    }

    /// The held-out task of number `index` for a picture: name and support rows as in
    /// [`Shapes::held_out`], the query a grid of `size * size` points with the true distances, row-major,
    /// from (-1, -1) along x first. Points are the middles of the grid's cells, which is where
    /// [`fields`](crate::report::plot::fields) draws them.
    pub fn field(seed: u64, index: usize, shots: usize, size: usize) -> Task {
        let (placed, mut task) = Shapes::with_support(seed, index, shots);
        let middle = |cell: usize| (2 * cell + 1) as f32 / size as f32 - 1.0;
        for row in 0..size {
            for column in 0..size {
                let p = Vec2::new(middle(column), middle(row));
                task.xq.extend([p.x, p.y]);
                task.yq.push(placed.distance(p));
            }
        }
        task
    }

    /// A held-out task without query rows.
    fn with_support(seed: u64, index: usize, shots: usize) -> (Placed, Task) {
        let mut rng = stream(seed, Purpose::HeldOut, 0, index);
        let placed = Placed::random(&mut rng);
        let mut task = Task {
            name: placed.to_string(),
            xs: Vec::with_capacity(2 * shots),
            ys: Vec::with_capacity(shots),
            xq: vec![],
            yq: vec![],
            descriptor: vec![],
            known: None,
        };
        placed.draw_rows(&mut rng, shots, &mut task.xs, &mut task.ys);
        (placed, task)
    }
}
