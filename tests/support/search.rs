//! Networks of different shape with the weights that a graph hypernetwork writes, as a graph with its inputs.

use hyperloom::graph::op::Op;
use hyperloom::graph::{Graph, Node, Value};
use hyperloom::rng::Rng;
use hyperloom::search::{
    Architecture, ChoiceGradient, GeneratorSettings, GradientSettings, GraphHypernetwork, Masked, Reading,
    Space,
};
use hyperloom::spec::count;
use hyperloom::task::Loss;

use super::interpret::Array;
use super::{Feed, data, numbers};

/// Small spaces that have every operation, norm and depth: over numbers, series and pictures.
pub(crate) const SPACES: [(&str, &str, &[usize]); 3] = [
    (
        "numbers",
        "depths = [1, 2]\n[[stages]]\nwidths = [3, 4]\nactivations = ['tanh', 'sin']\n[[stages]]\nwidths = [4]\nactivations = ['tanh']\n\
         norms = [true, false]\ncells = [0, 1]\nnodes = 3\noperations = ['none', 'skip', 'dense']",
        &[3],
    ),
    (
        "series",
        "[[stages]]\nwidths = [3, 4]\nactivations = ['tanh', 'softplus']\nnorms = [true, false]\ncells = [1, 2]\nnodes = 3\nstride = 2\n\
         operations = ['none', 'skip', 'conv1', 'conv3', 'depthwise3', 'pool']",
        &[6, 1],
    ),
    (
        "pictures",
        "[[stages]]\nwidths = [2]\nactivations = ['silu']\ncells = [1]\nnodes = 3\noperations = ['none', 'skip', 'conv3', 'pool']\n\
         [[stages]]\nwidths = [2, 3]\nactivations = ['tanh']\nhalved = true",
        &[4, 4, 2],
    ),
];

/// A hypernetwork that is small enough for differences.
pub(crate) fn small(space: &Space, row: &[usize], reading: Reading, steps: u64) -> GraphHypernetwork {
    let masked = Masked::new(space, row, 2).expect("it is a network");
    let mut settings = GeneratorSettings::default();
    (settings.reading, settings.width, settings.heads) = (reading, 4, 2);
    (settings.blocks, settings.hidden, settings.tile) = (1, 2, 2);
    (settings.architectures, settings.batch, settings.steps) = (3, 16, steps);
    settings.rate = 0.01;
    GraphHypernetwork::new(masked, settings, 1)
}

/// Architectures of a space.
pub(crate) fn drawn(space: &Space, many: usize, seed: u64) -> Vec<Architecture> {
    let mut rng = Rng::new(seed, 6);
    (0..many).map(|_| space.sample(&mut rng)).collect()
}

/// Losses of mixtures of a space's choices, on rows to choose by and to train on, by the logits and the weights.
pub(crate) fn mixture(
    text: &str,
    row: &[usize],
    settings: GradientSettings,
) -> (Graph, Feed, [Value; 2], [Value; 2]) {
    let space: Space = toml::from_str(text).expect("a space");
    let masked = Masked::new(&space, row, 2).expect("it is a network");
    let of = ChoiceGradient::new(masked, settings, 3);
    let (mut g, mut feed) = (Graph::new(), Feed::default());
    let mut rng = Rng::new(4, 4);
    let [p, d] = of.state().map(|s| s.len() / 3);
    let start = of.state()[0][..p].iter().map(|v| 1.5 * f64::from(*v)).collect();
    let w = data(&mut g, &mut feed, "w", Array { shape: vec![1, p], data: start });
    let logits = numbers(&mut rng, &[1, d], -1.0, 1.0);
    let a = data(&mut g, &mut feed, "a", logits);
    let rate = data(&mut g, &mut feed, "rate", Array { shape: vec![1], data: vec![0.5] });
    let losses = of.losses(&mut g, [w, a, rate], (Loss::CrossEntropy, [4, 5]), false);
    let same = of.inputs();
    feed_rows(&g, &mut feed, &mut rng, |name| {
        let (_, values) = same.iter().find(|(n, _)| *n == name)?;
        Some(values.iter().map(|v| f64::from(*v)).collect())
    });
    (g, feed, losses, [w, a])
}

/// Feeds what is not fed yet: what is given, else random numbers, and classes as targets.
fn feed_rows(g: &Graph, feed: &mut Feed, rng: &mut Rng, given: impl Fn(&str) -> Option<Vec<f64>>) {
    for (at, input) in g.inputs().to_vec().into_iter().enumerate() {
        if feed.inputs.contains_key(&input.name) {
            continue;
        }
        let of = |n: &&Node| n.op == Op::Input(at);
        let shape = g.nodes().iter().find(of).map(|n| n.shape.clone()).unwrap_or_default();
        let values = match (given(&input.name), input.name.ends_with('y')) {
            (Some(data), _) => Array { shape, data },
            (None, true) => Array {
                data: (0..count(&shape)).map(|i| f64::from(u8::from(i % 4 % 3 == 0))).collect(),
                shape,
            },
            (None, false) => numbers(rng, &shape, -1.0, 1.0),
        };
        feed.inputs.insert(input.name.clone(), values);
    }
}

/// The loss of generated networks by the hypernetwork's parameters.
pub(crate) fn generated(text: &str, row: &[usize], reading: Reading) -> (Graph, Feed, Value, Value) {
    let space: Space = toml::from_str(text).expect("a space");
    let hypernetwork = small(&space, row, reading, 1);
    let all = drawn(&space, 3, 8);
    let (mut g, mut feed) = (Graph::new(), Feed::default());
    let p = hypernetwork.parameters();
    let state: Vec<f64> = hypernetwork.state()[..p].iter().map(|v| f64::from(*v)).collect();
    let params = data(&mut g, &mut feed, "params", Array { shape: vec![p], data: state });
    let loss = hypernetwork.loss(&mut g, params, (Loss::CrossEntropy, 4), false);
    let mut rng = Rng::new(2, 2);
    let given = hypernetwork.inputs(&all);
    feed_rows(&g, &mut feed, &mut rng, |name| {
        let (_, values) = given.iter().find(|(n, _)| *n == name)?;
        Some(values.iter().map(|v| f64::from(*v)).collect())
    });
    (g, feed, loss, params)
}
