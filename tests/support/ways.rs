//! Every way of adaptation, for models that are small.

use hyperloom::Model;
use hyperloom::adapt::{Fast, Rates, Rule};
use hyperloom::graph::{Graph, Value};
use hyperloom::hyper::{
    self, Chunked, ConditionSpec, Embedding, Generator, HyperInit, HyperSpec, Noise, SetEncoder, Static,
    Transformer,
};
use hyperloom::meta::objective::{MetaSpec, Through};
use hyperloom::net::{
    Attention, AttentionPool, Cell, HyperLstm, Init, Layer, LayerWeights, LogSoftmax, Net, OwnLayer,
    ParamLayout, Places, Position, Recurrent, Reshape, SetAttention, Variational,
};
use hyperloom::rng::Rng;
use hyperloom::spec::Activation;
use hyperloom::task::{Batch, Likelihood, Loss, Rows, Task};

use crate::support::interpret::Array;
use crate::support::{Feed, data, numbers, words};

pub(crate) const SUPPORT: usize = 4;
pub(crate) const QUERY: usize = 3;

/// A small model of every kind that a way of adaptation may need.
pub(crate) fn spec(generated: bool, kind: Loss, context: usize) -> MetaSpec {
    let outputs = if kind == Loss::Mse { 1 } else { 3 };
    let target = Net::mlp_in_context(&[2, 4, 3, outputs], Activation::Tanh, context);
    let mut hyper = HyperSpec::shared(target);
    if generated {
        let condition = ConditionSpec {
            support: Some(SetEncoder::new(2 + outputs, vec![3], 0.7)),
            embedding: Some(Embedding { tasks: 5, width: 2 }),
            ..ConditionSpec::default()
        };
        hyper = HyperSpec::new(condition, vec![3], Activation::Silu, hyper.target);
    }
    let mut meta = MetaSpec::from(hyper);
    meta.through = Through::Second;
    meta.steps = 2;
    meta.adaptation.rate = 0.3;
    meta
}

/// `x + c sin x`, c learned.
#[derive(Debug)]
struct Ripple;

impl OwnLayer for Ripple {
    fn name(&self) -> &str {
        "ripple"
    }

    fn output(&self, row: &[usize]) -> Result<Vec<usize>, String> {
        Ok(row.to_vec())
    }

    fn params(&self, _: &[usize]) -> ParamLayout {
        let mut layout = ParamLayout::default();
        layout.push("c", &[1, 1], Init::Constant(0.7));
        layout
    }

    fn apply(&self, g: &mut Graph, weights: &LayerWeights<'_>, x: Value) -> Value {
        let c = weights.get(g, "c");
        let e = g.expr();
        let (c, x) = (e.of(c), e.of(x));
        (x + c * x.sin()).value()
    }
}

/// Every way of adaptation that training sees, with its name.
pub(crate) fn ways() -> Vec<(String, MetaSpec, Loss)> {
    let mut all = Vec::new();
    for kind in [Loss::Mse, Loss::CrossEntropy] {
        for generated in [false, true] {
            let mut add = |name: &str, change: &dyn Fn(&mut MetaSpec)| {
                let mut meta = spec(generated, kind, if name.starts_with("context") { 2 } else { 0 });
                change(&mut meta);
                all.push((format!("{name}, {kind:?}, generated: {generated}"), meta, kind));
            };
            add("maml", &|_| {});
            add("momentum", &|m| m.adaptation.rule = Rule::Momentum);
            add("adam", &|m| {
                (m.adaptation.rule, m.adaptation.rate, m.adaptation.clip) = (Rule::Adam, 0.05, 1e6);
            });
            add("clipped", &|m| m.adaptation.clip = 0.05);
            add("head", &|m| m.adaptation.fast = Fast::Head);
            add("context", &|m| m.adaptation.fast = Fast::Context);
            add("context, all layers", &|m| {
                let outputs = m.hyper.target.outputs();
                m.hyper.target = Net::modulated_mlp(&[2, 4, 3, outputs], Activation::Tanh, 2);
                m.adaptation.fast = Fast::Context;
            });
            add("rate a layer", &|m| m.adaptation.rates = Rates::Layer);
            add("rate a weight", &|m| m.adaptation.rates = Rates::Weight);
            add("every step", &|m| m.per_step = 0.5);
            add("ridge", &|m| (m.adaptation.rule, m.adaptation.fast, m.steps) = (Rule::Ridge, Fast::Head, 1));
            if kind == Loss::CrossEntropy {
                add("prototypes", &|m| {
                    (m.adaptation.rule, m.adaptation.fast, m.steps) = (Rule::Prototypes, Fast::Head, 1);
                });
            }
            // Layers of every kind, over rows of two axes.
            let net = |m: &mut MetaSpec| {
                let outputs = m.hyper.target.outputs();
                m.hyper.target = Net::rows([2, 1])
                    .dense(2)
                    .tanh()
                    .flatten()
                    .residual(|branch| branch.dense(3).sin().dense(4))
                    .parallel([|a| a.dense(2).tanh(), |b| b.scale(0.5)])
                    .dense(outputs);
            };
            add("net", &net);
            add("net, head", &|m| {
                net(m);
                m.adaptation.fast = Fast::Head;
            });
            add("net, ridge", &|m| {
                net(m);
                (m.adaptation.rule, m.adaptation.fast, m.steps) = (Rule::Ridge, Fast::Head, 1);
            });
            // Sequences of two elements.
            let sequences = |m: &mut MetaSpec| {
                let outputs = m.hyper.target.outputs();
                let mut both = Recurrent::last(Cell::Gru, 2);
                both.bidirectional = true;
                let net = Net::rows([2, 1]).recurrent(Recurrent::new(Cell::Lstm, 2));
                m.hyper.target = net.recurrent(both).dense(outputs);
            };
            add("sequences", &sequences);
            add("sequences, head", &|m| {
                sequences(m);
                m.adaptation.fast = Fast::Head;
            });
            add("sequences, ridge", &|m| {
                sequences(m);
                (m.adaptation.rule, m.adaptation.fast, m.steps) = (Rule::Ridge, Fast::Head, 1);
            });
            // Norms of few numbers bend sharply: wider, and slower.
            for norm in [false, true].into_iter().filter(|_| kind == Loss::Mse && !generated) {
                add(&format!("sequences of changing weights, normed: {norm}"), &|m| {
                    (m.adaptation.rate, m.steps) = if norm { (0.01, 1) } else { (0.05, 2) };
                    let mut hyper = HyperLstm::new(3);
                    (hyper.hyper, hyper.embedding, hyper.norm) = (3, 2, norm);
                    let mut plain = Recurrent::last(Cell::Lstm, 3);
                    plain.norm = norm;
                    let net = Net::rows([2, 1]).with(Layer::HyperLstm(hyper));
                    m.hyper.target = net.recurrent(plain).dense(1);
                });
            }
            add("attention", &|m| {
                m.adaptation.rate = 0.05;
                let outputs = m.hyper.target.outputs();
                let mut attention = Attention::causal(2);
                attention.width = 2;
                let net = Net::rows([2, 1]).dense(4).with(Layer::Position(Position::new(Places::Learned)));
                let net = net.residual(|b| b.layer_norm().with(Layer::Attention(attention)));
                m.hyper.target = net.flatten().dense(outputs);
            });
            // A layer of a program's own among others.
            add("own", &|m| {
                let outputs = m.hyper.target.outputs();
                m.hyper.target = Net::rows([2]).dense(3).own(Ripple).dense(outputs);
            });
            // Layers over pictures.
            let pictures = |m: &mut MetaSpec| {
                m.adaptation.rate = 0.05;
                let outputs = m.hyper.target.outputs();
                let net = Net::image([3, 4, 1]).conv(2, [2, 3]).tanh().avg_pool([1, 2]).group_norm(1);
                m.hyper.target = net.residual(|b| b.conv(2, 2).sin()).flatten().dense(outputs);
                if let Some(encoder) = &mut m.hyper.condition.support {
                    encoder.example = 12 + outputs;
                }
            };
            add("pictures", &pictures);
            add("pictures, ridge", &|m| {
                pictures(m);
                (m.adaptation.rule, m.adaptation.fast, m.steps) = (Rule::Ridge, Fast::Head, 1);
            });
            // Normalised by the support, over rows and over pictures.
            let by_support = |m: &mut MetaSpec| {
                let outputs = m.hyper.target.outputs();
                let net = Net::rows([2]).dense(3).batch_norm_of_support().tanh();
                m.hyper.target = net.residual(|b| b.dense(3).batch_norm_of_support()).dense(outputs);
            };
            add("by the support", &by_support);
            add("by the support, head", &|m| {
                by_support(m);
                m.adaptation.fast = Fast::Head;
            });
            add("by the support, ridge", &|m| {
                by_support(m);
                (m.adaptation.rule, m.adaptation.fast, m.steps) = (Rule::Ridge, Fast::Head, 1);
            });
            add("context, by the support", &|m| {
                let outputs = m.hyper.target.outputs();
                let net = Net::rows([2]).context(2).dense(3).tanh().batch_norm_of_support();
                (m.hyper.target, m.adaptation.fast) = (net.dense(outputs), Fast::Context);
            });
            add("pictures, by the support", &|m| {
                pictures(m);
                let outputs = m.hyper.target.outputs();
                let net = Net::image([3, 4, 1]).conv(2, [2, 3]).batch_norm_of_support().tanh();
                m.hyper.target = net.flatten().dense(outputs);
            });
            if generated {
                add("none, by the support", &|m| {
                    by_support(m);
                    m.through = Through::None;
                });
                add("embedding, by the support", &|m| {
                    by_support(m);
                    m.adaptation.fast = Fast::Embedding;
                });
                add("joint, by the support", &|m| {
                    by_support(m);
                    m.joint_lambda = 0.3;
                });
                add("embedding", &|m| m.adaptation.fast = Fast::Embedding);
                // Chunks that do not part the weights evenly.
                let chunked = |m: &mut MetaSpec| {
                    m.hyper.generator = Generator::Chunked(Chunked { chunk: 10, embedding: 2, base: true });
                };
                add("chunked", &chunked);
                add("chunked, embedding", &|m| {
                    chunked(m);
                    m.adaptation.fast = Fast::Embedding;
                });
                // Layers that are written one after another, in tiles that do not part them evenly.
                add("walked", &|m| {
                    m.hyper.generator =
                        Generator::Recurrent(hyper::Recurrent { units: 3, embedding: 2, tile: 5 });
                });
                add("walked, head", &|m| {
                    m.hyper.generator =
                        Generator::Recurrent(hyper::Recurrent { units: 3, embedding: 2, tile: 5 });
                    (m.hyper.writes, m.adaptation.fast) = (vec!["head".into()], Fast::Head);
                });
                // A network of its own for each task at first.
                add("drawn, walked, head", &|m| {
                    m.hyper.generator =
                        Generator::Recurrent(hyper::Recurrent { units: 3, embedding: 2, tile: 5 });
                    m.hyper.init = HyperInit::HyperfanOut;
                    (m.hyper.writes, m.adaptation.fast) = (vec!["head".into()], Fast::Head);
                });
                add("drawn, chunked, refined", &|m| {
                    chunked(m);
                    m.hyper.init = HyperInit::HyperfanIn;
                    m.hyper = m.hyper.clone().refined(1);
                });
                // Changes of weights that tasks share, and networks that are mixed.
                for (name, generator) in [
                    ("low rank", Generator::LowRank(hyper::LowRank { rank: 2, scale: 1.0 })),
                    ("film", Generator::Film(hyper::Film {})),
                    ("masked", Generator::Masked(hyper::Masked { chunk: 10, embedding: 2 })),
                    ("mixed", Generator::Mixture(hyper::Mixture { networks: 3 })),
                    (
                        "chunked, all there is",
                        Generator::Chunked(Chunked { chunk: 10, embedding: 2, base: false }),
                    ),
                ] {
                    add(name, &|m| m.hyper.generator = generator.clone());
                }
                add("low rank of pictures, head", &|m| {
                    pictures(m);
                    m.hyper.generator = Generator::LowRank(hyper::LowRank { rank: 1, scale: 2.0 });
                    m.adaptation.fast = Fast::Head;
                });
                // Through the factors: no task's matrix is ever whole.
                add("low rank, none", &|m| {
                    m.hyper.generator = Generator::LowRank(hyper::LowRank { rank: 2, scale: 1.0 });
                    m.through = Through::None;
                });
                add("film of pictures", &|m| {
                    pictures(m);
                    m.hyper.generator = Generator::Film(hyper::Film {});
                });
                let tokens = |m: &mut MetaSpec| {
                    m.adaptation.rate = 0.05;
                    let sizes = Transformer { width: 4, heads: 2, blocks: 1, hidden: 3, tile: 7 };
                    m.hyper.generator = Generator::Transformer(sizes);
                    m.hyper.trunk.clear();
                };
                add("tokens", &tokens);
                // Weights that are refined by what the network gets wrong.
                let refined = |m: &mut MetaSpec, rounds: usize| m.hyper = m.hyper.clone().refined(rounds);
                add("refined", &|m| refined(m, 2));
                add("refined, none", &|m| {
                    refined(m, 1);
                    m.through = Through::None;
                });
                add("refined, chunked, some", &|m| {
                    chunked(m);
                    refined(m, 2);
                    m.hyper.writes = vec!["head".into(), "0.bias".into()];
                });
                add("refined, tokens", &|m| {
                    tokens(m);
                    refined(m, 1);
                });
                // Examples read by layers, and a set of them by attention.
                add("read by layers", &|m| {
                    pictures(m);
                    let encoder = m.hyper.condition.support.as_mut().expect("a support is read");
                    let reader = Net::rows([3, 4, 1]).conv(2, [2, 3]).tanh().global_pool();
                    encoder.reader = reader.layers().to_vec();
                    encoder.row = vec![3, 4, 1];
                    encoder.example = 2 + m.hyper.target.outputs();
                });
                add("a set", &|m| {
                    m.adaptation.rate = 0.05;
                    let encoder = m.hyper.condition.support.as_mut().expect("a support is read");
                    encoder.widths = vec![4];
                    let (mut points, mut pool) = (SetAttention::new(2), AttentionPool::new(1));
                    (points.heads, pool.heads) = (2, 2);
                    encoder.set = vec![Layer::SetAttention(points), Layer::AttentionPool(pool)];
                });
                // Kernels in blocks that are cut at their rims.
                let fixed = |m: &mut MetaSpec| {
                    pictures(m);
                    m.hyper.generator = Generator::Static(Static { block: 3, embedding: 2, features: 2 });
                    m.hyper.condition = ConditionSpec::default();
                    m.hyper.trunk.clear();
                };
                add("static", &fixed);
                add("static, head", &|m| {
                    fixed(m);
                    m.adaptation.fast = Fast::Head;
                });
                add("static, none", &|m| {
                    fixed(m);
                    m.through = Through::None;
                });
                add("chunked, no trunk", &|m| {
                    chunked(m);
                    m.hyper.trunk.clear();
                });
                // Several networks of each task, by draws of noise.
                let noise = |m: &mut MetaSpec| m.hyper.condition.noise = Some(Noise::new(2, 3));
                add("noise", &noise);
                add("noise, none", &|m| {
                    noise(m);
                    m.through = Through::None;
                });
                add("noise, embedding", &|m| {
                    noise(m);
                    m.adaptation.fast = Fast::Embedding;
                });
                add("noise, low rank, none", &|m| {
                    noise(m);
                    m.hyper.generator = Generator::LowRank(hyper::LowRank { rank: 2, scale: 1.0 });
                    m.through = Through::None;
                });
                add("noise, tokens, joint", &|m| {
                    noise(m);
                    tokens(m);
                    (m.joint_lambda, m.weight_penalty, m.diversity) = (0.3, 0.01, 0.02);
                });
                add("noise, refined, some", &|m| {
                    noise(m);
                    refined(m, 1);
                    m.hyper.writes = vec!["head".into()];
                });
                if kind == Loss::CrossEntropy {
                    add("noise, ridge", &|m| {
                        noise(m);
                        (m.adaptation.rule, m.adaptation.fast, m.steps) = (Rule::Ridge, Fast::Head, 1);
                    });
                }
                add("none", &|m| m.through = Through::None);
                add("joint", &|m| (m.joint_lambda, m.weight_penalty, m.diversity) = (0.3, 0.01, 0.02));
            }
        }
    }
    // Autoencoders whose decoder alone is written, or that are all learned through; codes come with a divergence.
    for generated in [false, true] {
        let mut meta = spec(generated, Loss::Mse, 0);
        let encoder = Net::rows([2, 2, 1]).conv(2, 2).tanh().flatten();
        let decoder = Net::rows([2]).dense(4).tanh().with(Layer::Reshape(Reshape::new([2, 2, 1]))).conv(1, 2);
        let layer = Variational::new(2, [2, 2, 1], encoder.into(), decoder.into());
        meta.hyper.target = Net::rows([6]).variational(layer);
        if let Some(encoder) = &mut meta.hyper.condition.support {
            encoder.example = 4; // The picture, without noise and target.
            meta.through = Through::None;
            let mut names = meta.clone();
            names.hyper.writes = vec!["0".into(), "3.bias".into()];
            names.hyper.generator = Generator::Chunked(Chunked { chunk: 3, embedding: 2, base: true });
            all.push(("variational, by name".into(), names, Loss::Elbo));
            meta.hyper.writes = vec!["decoder".into()];
        }
        all.push((format!("variational, generated: {generated}"), meta, Loss::Elbo));
    }
    // Sequences of symbols: a distribution of three for each of two places.
    for generated in [false, true] {
        let mut meta = spec(generated, Loss::Mse, 0);
        let net = Net::rows([2, 1]).recurrent(Recurrent::new(Cell::Rnn, 3)).dense(3);
        meta.hyper.target = net.with(Layer::LogSoftmax(LogSoftmax::on()));
        if let Some(encoder) = &mut meta.hyper.condition.support {
            encoder.example = 2 + 6;
        }
        if generated {
            let mut refined = meta.clone();
            refined.hyper = refined.hyper.refined(1);
            all.push(("symbols, refined".into(), refined, Loss::Symbols));
        }
        all.push((format!("symbols, generated: {generated}"), meta, Loss::Symbols));
    }
    all
}

/// Episodes of `t` tasks as inputs; the last support row of every second task does not count.
pub(crate) fn episodes(
    g: &mut Graph,
    feed: &mut Feed,
    rng: &mut Rng,
    meta: &MetaSpec,
    kind: Loss,
    t: usize,
) -> Batch {
    let (i, o) = (meta.hyper.target.inputs(), meta.hyper.target.outputs());
    let mut rows = |name: &str, g: &mut Graph, feed: &mut Feed, n: usize| {
        let x = numbers(rng, &[t, n, i], -1.5, 1.5);
        let mut y = numbers(rng, &[t, n, o], -1.0, 1.0);
        if kind == Loss::CrossEntropy {
            for (r, row) in y.data.chunks_mut(o).enumerate() {
                row.iter_mut()
                    .enumerate()
                    .for_each(|(c, v)| *v = f64::from(u8::from(c == (r * 7 + r / 3) % o)));
            }
        }
        if kind == Loss::Symbols {
            // At some places nothing is asked.
            for (place, row) in y.data.chunks_mut(3).enumerate() {
                row.iter_mut().enumerate().for_each(|(c, v)| *v = f64::from(u8::from(c == place * 7 % 4)));
            }
        }
        (data(g, feed, &format!("x {name}"), x), data(g, feed, &format!("y {name}"), y))
    };
    let (x, y) = rows("support", g, feed, SUPPORT);
    let (xq, yq) = rows("query", g, feed, QUERY);
    let count = |task: usize| SUPPORT - task % 2;
    let weight = |task: usize, row: usize| if row < count(task) { 1.0 / count(task) as f64 } else { 0.0 };
    let weights = (0..t * SUPPORT).map(|at| weight(at / SUPPORT, at % SUPPORT)).collect();
    let weights = data(g, feed, "rows", Array { shape: vec![t, SUPPORT], data: weights });
    let counts = (0..t).map(|task| count(task) as f64).collect();
    let count = data(g, feed, "count", Array { shape: vec![t, 1], data: counts });
    let task = meta.hyper.condition.embedding.is_some().then(|| words(g, feed, "task", &[t], &vec![2; t]));
    let mut batch = Batch::new(Rows::new(x, y, weights, count), xq, yq);
    batch.task = task;
    batch.noise = meta
        .hyper
        .condition
        .noise
        .map(|noise| data(g, feed, "noise", numbers(rng, &[t, noise.draws, noise.width], -1.5, 1.5)));
    batch
}

/// A model of one way, and a task of `n` support rows.
pub(crate) fn model_and_task(meta: &MetaSpec, kind: Loss, n: usize) -> (Model, Task) {
    let (mut rng, o) = (Rng::new(11, 0), meta.hyper.target.outputs());
    let base = meta.hyper.target.layout().init(&mut rng);
    let mut params = meta.init(&mut rng, &base);
    let head = meta.layout().get("head.weight").map_or(0..0, |p| p.range());
    params[head].iter_mut().for_each(|w| *w = (0.3 * rng.normal()) as f32);
    let likelihood = match kind {
        Loss::CrossEntropy => Likelihood::classes(o),
        Loss::Symbols => Likelihood::symbols(2, 3),
        Loss::Elbo => Likelihood::binary(o - 1),
        _ => Likelihood::values(o),
    };
    let (mut g, mut feed) = (Graph::new(), Feed::default());
    let mut rng = Rng::new(12, n as u64);
    let mut rows = |n: usize| {
        let mut drawn = [vec![], vec![]];
        while drawn[1].len() < n * o {
            episodes(&mut g, &mut feed, &mut rng, meta, kind, 1);
            for (all, name) in drawn.iter_mut().zip(&["x support", "y support"]) {
                let array = &feed.inputs.iter().rev().find(|(n, _)| n.as_str() == *name).expect("drawn").1;
                all.extend(array.data.iter().map(|v| *v as f32));
            }
            (g, feed) = (Graph::new(), Feed::default());
        }
        drawn[0].truncate(n * meta.hyper.target.inputs());
        drawn[1].truncate(n * o);
        drawn
    };
    let ([xs, ys], [xq, yq]) = (rows(n), rows(QUERY));
    let model = Model::new(meta.hyper.clone(), likelihood, meta.adaptation, params).expect("a sound model");
    (model, Task::from_support(xs, ys).with_query(xq, yq))
}
