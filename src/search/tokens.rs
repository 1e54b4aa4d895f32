//! An architecture as its hypernetwork reads it: a token for each layer that may have weights, and how far each is from each.

use super::architecture::{Architecture, Operation};
use super::masked::Masked;
use crate::spec::Activation;

/// Nodes of a cell that tokens tell apart.
const NODES: usize = super::architecture::MAX_NODES;
/// Kinds of layers: in front of a stage, each operation, the head.
const KINDS: usize = 2 + Operation::ALL.len();
/// Distances along connections that are told apart, in one direction.
const FAR: usize = 5;

/// Numbers of a token.
pub(super) const FEATURES: usize = KINDS + 2 * NODES + Activation::ALL.len() + 5;
/// Kinds of distances: itself, so many connections ahead or back, and neither.
pub(super) const DISTANCES: usize = 2 * FAR + 2;

/// The tokens of an architecture, in the order of the weights of a [`Masked`] network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tokens {
    /// `[N, FEATURES]`
    pub(super) features: Vec<f32>,
    /// Which of them are there, `[N]`.
    pub(super) there: Vec<f32>,
    /// The kind of distance from each to each, one-hot, `[N, N, DISTANCES]`.
    pub(super) distances: Vec<f32>,
    /// By what the weights of each are scaled: `√(gain / fan-in)`, `[N]`.
    pub(super) scales: Vec<f32>,
}

/// A token in the making.
struct Token {
    there: bool,
    /// Where it stands: cells count through all stages.
    from: (usize, usize),
    to: (usize, usize),
}

/// How many tokens an architecture has.
pub(super) fn many(masked: &Masked) -> usize {
    masked.stages().map(|s| 1 + s.cells() * s.pairs().len()).sum::<usize>() + 1
}

impl Tokens {
    /// The tokens of an architecture of the space.
    pub(super) fn of(masked: &Masked, architecture: &Architecture) -> Tokens {
        let mut all: Vec<Token> = Vec::new();
        let (mut features, mut scales) = (Vec::new(), Vec::new());
        let mut push = |kind: usize, nodes: [usize; 2], activation: Activation, numbers: [f64; 5]| {
            let mut f = vec![0.0f32; FEATURES];
            f[kind] = 1.0;
            f[KINDS + nodes[0]] = 1.0;
            f[KINDS + NODES + nodes[1]] = 1.0;
            if let Some(i) = Activation::ALL.iter().position(|a| *a == activation) {
                f[KINDS + 2 * NODES + i] = 1.0;
            }
            for (f, n) in f[FEATURES - 5..].iter_mut().zip(numbers) {
                *f = n as f32;
            }
            features.extend(f);
        };
        let depth = architecture.stages.len();
        let mut inputs = masked.channels();
        // Values are numbered: the row is 0, what stands in front of a stage and each cell writes the next.
        let mut value = 0;
        for (i, s) in masked.stages().enumerate() {
            let stage = architecture.stages.get(i);
            let width = stage.map_or(0, |s| s.width);
            let log = |n: usize| (n.max(1) as f64).log2() / 8.0;
            let [place, cells] = [(i + 1) as f64 / 4.0, stage.map_or(0, |s| s.cells) as f64 / 4.0];
            let activation = stage.map_or(Activation::Identity, |s| s.activation);
            let norm = f64::from(u8::from(stage.is_some_and(|s| s.norm)));
            let gain = activation.gain();
            let there = stage.is_some();
            push(0, [0, 0], activation, [log(width), log(inputs), place, cells, norm]);
            scales.push((gain / (s.stem_taps(masked.axes()) * inputs) as f64).sqrt() as f32);
            all.push(Token { there, from: (value, 0), to: (value + 1, 0) });
            value += usize::from(there);
            let mut own = stage.cloned();
            if let Some(own) = &mut own {
                s.space().spread(own);
            }
            for cell in 0..s.cells() {
                let here = stage.is_some_and(|s| cell < s.cells);
                for &(from, to) in s.pairs() {
                    let connections = own.as_ref().map_or(&[][..], |o| &o.cell);
                    let found = connections.iter().find(|c| here && (c.from, c.to) == (from, to));
                    let kind = found.and_then(|c| Operation::ALL.iter().position(|o| *o == c.operation));
                    push(
                        kind.map_or(0, |k| 1 + k),
                        [from, to],
                        activation,
                        [log(width), log(inputs), place, (cell + 1) as f64 / 4.0, norm],
                    );
                    let beside = connections.iter().filter(|c| c.to == to).count().max(1);
                    let taps = found.map_or(1, |c| {
                        let taps = c.operation.kernel().unwrap_or(1).pow(masked.axes() as u32 - 1);
                        if matches!(c.operation, Operation::Depthwise(_)) { taps } else { taps * width }
                    });
                    scales.push((gain / (taps * beside) as f64).sqrt() as f32);
                    // The last node of a cell is the input of what comes after it.
                    let last = s.space().nodes - 1;
                    let place = |node: usize| if node == last { (value + 1, 0) } else { (value, node) };
                    all.push(Token { there: found.is_some(), from: place(from), to: place(to) });
                }
                value += usize::from(here);
            }
            if there {
                inputs = width;
            }
        }
        push(
            KINDS - 1,
            [0, 0],
            Activation::Identity,
            [
                (masked.outputs() as f64).log2() / 8.0,
                (inputs as f64).log2() / 8.0,
                depth as f64 / 4.0,
                0.0,
                0.0,
            ],
        );
        scales.push((1.0 / inputs as f64).sqrt() as f32);
        all.push(Token { there: true, from: (value, 0), to: (value + 1, 0) });
        let there = all.iter().map(|t| f32::from(u8::from(t.there))).collect();
        Tokens { features, there, distances: distances(&all), scales }
    }
}

/// How far each token is from each: breadth first, along connections.
fn distances(all: &[Token]) -> Vec<f32> {
    let n = all.len();
    let next = |i: usize| (0..n).filter(move |j| all[*j].there && all[*j].from == all[i].to);
    let mut ahead = vec![usize::MAX; n * n];
    for i in (0..n).filter(|i| all[*i].there) {
        let (mut reached, mut step) = (vec![i], 0);
        ahead[i * n + i] = 0;
        while !reached.is_empty() {
            step += 1;
            let mut further = Vec::new();
            for j in reached.into_iter().flat_map(next) {
                if ahead[i * n + j] == usize::MAX {
                    ahead[i * n + j] = step;
                    further.push(j);
                }
            }
            reached = further;
        }
    }
    let mut one_hot = vec![0.0; n * n * DISTANCES];
    for i in 0..n {
        for j in 0..n {
            let kind = match (ahead[i * n + j], ahead[j * n + i]) {
                (0, _) => 0,
                (usize::MAX, usize::MAX) => DISTANCES - 1,
                (usize::MAX, back) => FAR + back.min(FAR),
                (ahead, _) => ahead.min(FAR),
            };
            one_hot[(i * n + j) * DISTANCES + kind] = 1.0;
        }
    }
    one_hot
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::search::{Connection, Space, Stage};

    #[test]
    fn tokens_follow_connections() {
        let space = Space::preset("cell-1d").expect("it is there");
        let masked = Masked::new(&space, &[40, 1], 10).expect("it is a network");
        let mut stage = Stage::new(8, Activation::Relu);
        stage.cells = 2;
        stage.cell = vec![
            Connection::new(0, 1, Operation::Conv(3)),
            Connection::new(1, 2, Operation::Skip),
            Connection::new(0, 2, Operation::Conv(5)),
        ];
        let tokens = Tokens::of(&masked, &Architecture::new(vec![stage]));
        let n = many(&masked);
        assert_eq!((n, tokens.there.len(), tokens.scales.len()), (20, 20, 20));
        assert_eq!((tokens.features.len(), tokens.distances.len()), (n * FEATURES, n * n * DISTANCES));
        // In front, three of each of two cells, the head.
        assert_eq!(tokens.there.iter().sum::<f32>(), 8.0);
        let kind = |i: usize, j: usize| {
            tokens.distances[(i * n + j) * DISTANCES..][..DISTANCES]
                .iter()
                .position(|d| *d == 1.0)
                .expect("one")
        };
        // Pairs: 0-1, 0-2, 1-2, 0-3, 1-3, 2-3; the last node of three is node 3 of four.
        let [stem, first, straight, second, head] = [0, 1, 4, 5, n - 1];
        assert_eq!(
            [kind(stem, stem), kind(stem, first), kind(stem, second), kind(second, stem)],
            [0, 1, 2, FAR + 2]
        );
        assert_eq!([kind(first, straight), kind(straight, head), kind(stem, head)], [DISTANCES - 1, 2, 3]);
        // Two connections into the last node, five taps of eight channels.
        assert!((f64::from(tokens.scales[straight]) - (2.0f64 / (5.0 * 8.0 * 2.0)).sqrt()).abs() < 1e-6);
        let mut rng = Rng::new(3, 3);
        for _ in 0..20 {
            let a = space.sample(&mut rng);
            let t = Tokens::of(&masked, &a);
            let connections: usize = a.stages.iter().map(|s| s.cells * s.cell.len()).sum();
            assert_eq!(t.there.iter().sum::<f32>() as usize, 2 + connections);
        }
    }
}
