//! What a world looks like at a moment, for pictures.

/// A picture of a moment, in the world's own units; y goes upwards.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// What of it is shown, from left to right and from bottom to top.
    pub view: [[f64; 2]; 2],
    /// Shapes, later ones over earlier ones. At every moment of a world there are as many, in the same order.
    pub shapes: Vec<Shape>,
}

/// A shape of a scene.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Shape {
    /// A line through points, as many at every moment.
    Line {
        /// The points.
        points: Vec<[f64; 2]>,
        /// Its width.
        width: f64,
        /// What it is.
        ink: Ink,
    },
    /// A disc; of radius 0 where there is none now.
    Disc {
        /// Its middle.
        at: [f64; 2],
        /// Its radius.
        radius: f64,
        /// What it is.
        ink: Ink,
    },
}

/// What a shape is, which says its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ink {
    /// What the agent moves.
    Agent,
    /// What moves with it.
    Body,
    /// Where it is to go.
    Goal,
    /// What helps, or is in the way.
    Thing,
    /// What the world is made of.
    World,
}

impl Shape {
    /// A line.
    pub fn line(points: &[[f64; 2]], width: f64, ink: Ink) -> Shape {
        Shape::Line { points: points.to_vec(), width, ink }
    }

    /// A disc.
    pub fn disc(at: [f64; 2], radius: f64, ink: Ink) -> Shape {
        Shape::Disc { at, radius, ink }
    }
}
