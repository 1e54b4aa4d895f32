//! Where an element of a sequence stands, added to it: attention sees no order otherwise. `"sine"`: `sin(l / 10000^(2i/c))` in channel
//! 2i, the cosine in the next one (Vaswani et al. 2017); `"learned"`: a parameter `weight [length, c]`.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
use super::layout::Init;
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// How a place is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Places {
    /// By sines and cosines of ever longer waves.
    Sine,
    /// By learned vectors.
    Learned,
}

/// The place of each element of a sequence, added to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Position {
    /// How it is told.
    #[serde(rename = "position")]
    pub places: Places,
}

/// Deviation that learned places are drawn with, as GPT-2 has it.
const DEVIATION: f64 = 0.02;

impl Position {
    /// Told so.
    #[must_use]
    pub fn new(places: Places) -> Position {
        Position { places }
    }
}

/// Sines and cosines of places, `[length, channels]`.
fn sines(length: usize, channels: usize) -> Vec<f64> {
    let one = |i: usize| {
        let (l, c) = (i / channels, i % channels);
        let angle = l as f64 / 10_000f64.powf((c / 2 * 2) as f64 / channels as f64);
        if c % 2 == 0 { angle.sin() } else { angle.cos() }
    };
    (0..length * channels).map(one).collect()
}

impl Kind for Position {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        match row {
            [_, _] => Ok(row.to_vec()),
            _ => Err(format!("places are those of sequences [length, channels], not of rows {row:?}")),
        }
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        if self.places == Places::Learned {
            let (name, role) = (to.layer(), to.role);
            to.layout.push(format!("{name}.weight"), row, Init::Normal(DEVIATION)).role = role;
        }
    }

    fn is_causal(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let row = g.shape(x)[f.lead..].to_vec();
        if self.places == Places::Sine {
            let places = g.constants(&row, &sines(row[0], row[1]));
            return g.add(x, places);
        }
        let name = f.layer();
        let weight = f.weights.get(g, &format!("{name}.weight"));
        let weight = match f.weights.per_task(g) {
            true => {
                let t = g.shape(weight)[0];
                g.reshape(weight, &[&[t, 1], &row[..]].concat())
            }
            false => weight,
        };
        let y = g.add(x, weight);
        f.gave(y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_by_sines() {
        let all = sines(3, 4);
        assert_eq!(all[..4], [0.0, 1.0, 0.0, 1.0]);
        let (second, third): (f64, f64) = (1.0, 2.0 / 100.0);
        assert_eq!(all[4..6], [second.sin(), second.cos()]);
        assert!((all[10] - third.sin()).abs() < 1e-15 && (all[11] - third.cos()).abs() < 1e-15, "{all:?}");
    }
}
