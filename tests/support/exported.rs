//! Networks to be written out in other languages, and what the CPU path says by them.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use hyperloom::export::{Program, program_of, program_of_network};
use hyperloom::net::{Compression, Net, Numbers};
use hyperloom::rng::Rng;
use hyperloom::task::Likelihood;
use hyperloom::{Device, Network};

/// Rows that are asked about.
pub(crate) const ROWS: usize = 3;

/// Nets by name: shape of a row, layers.
pub(crate) const NETS: &[(&str, &str, &str)] = &[
    (
        "dense",
        "[2]",
        r#"[{"dense": 8, "activation": "tanh"}, {"dense": 5, "activation": "relu"}, {"dense": 3}]"#,
    ),
    ("single", "[3]", r#"[{"dense": 1}]"#),
    (
        "functions",
        "[6]",
        r#"[{"dense": 9, "activation": "sin"}, {"dense": 9, "activation": "softplus"}, {"dense": 9, "activation": "silu"},
            {"dense": 9, "activation": "gelu"}, {"dense": 9, "activation": "leaky_relu"}, {"dense": 4, "activation": "sigmoid"}]"#,
    ),
    (
        "pictures",
        "[7, 6, 2]",
        r#"[{"conv": 4, "kernel": 3, "activation": "relu"}, {"group_norm": 2}, {"max_pool": 2}, {"conv": 6, "kernel": [2, 3], "stride": 2,
            "dilation": 1, "padding": "valid"}, {"flatten": true}, {"dense": 3}]"#,
    ),
    (
        "groups",
        "[6, 5, 4]",
        r#"[{"conv": 8, "kernel": 3, "groups": 2, "bias": false, "dilation": 2}, {"avg_pool": [2, 1]}, {"layer_norm": true}, {"conv": 4, "kernel": 1},
            {"global_pool": true}]"#,
    ),
    (
        "upwards",
        "[3]",
        r#"[{"dense": 12}, {"reshape": [2, 2, 3]}, {"conv_transpose": 4, "kernel": 4, "stride": 2, "activation": "tanh"},
            {"conv_transpose": 2, "kernel": 3, "stride": 1}, {"flatten": true}]"#,
    ),
    (
        "series",
        "[9, 2]",
        r#"[{"conv": 5, "kernel": 3, "activation": "relu"}, {"max_pool": 2}, {"flatten": true}, {"dense": 2}]"#,
    ),
    (
        "rnn",
        "[5, 2]",
        r#"[{"recurrent": "rnn", "units": 4}, {"recurrent": "gru", "units": 3, "bidirectional": true}, {"flatten": true}, {"dense": 2}]"#,
    ),
    ("lstm", "[5, 2]", r#"[{"recurrent": "lstm", "units": 4, "norm": true, "last": true}, {"dense": 2}]"#),
    (
        "hyper_lstm",
        "[4, 2]",
        r#"[{"hyper_lstm": 4, "hyper": 3, "embedding": 2, "norm": true, "last": true}, {"dense": 2}]"#,
    ),
    (
        "attention",
        "[6, 3]",
        r#"[{"dense": 8}, {"position": "sine"}, {"residual": [{"layer_norm": true}, {"attention": 2, "causal": true}]},
            {"residual": [{"layer_norm": true}, {"attention": 2, "causal": false, "rotary": true}]}, {"flatten": true}, {"dense": 2}]"#,
    ),
    (
        "learned_places",
        "[4, 3]",
        r#"[{"position": "learned"}, {"set_attention": 2, "heads": 1}, {"attention_pool": 1, "heads": 1}, {"dense": 2}]"#,
    ),
    (
        "branches",
        "[4]",
        r#"[{"residual": [{"dense": 6, "activation": "tanh"}, {"dense": 4}]}, {"parallel": [[{"dense": 2}], [{"scale": 0.5}, {"dense": 3, "activation": "sin"}]]},
            {"dense": 2}]"#,
    ),
    (
        "nodes",
        "[3]",
        r#"[{"nodes": [{"inputs": [{"from": 0, "layers": [{"dense": 4}]}]}, {"inputs": [{"from": 0, "layers": [{"dense": 4}]}, {"from": 1, "layers": [{"activation": "relu"}]}], "layers": [{"dense": 2}]}]}]"#,
    ),
    (
        "symbols",
        "[4]",
        r#"[{"embed": 3, "symbols": 5}, {"recurrent": "gru", "units": 4}, {"dense": 5}, {"log_softmax": true}]"#,
    ),
    ("one_hot", "[3]", r#"[{"one_hot": 4}, {"flatten": true}, {"dense": 2}]"#),
];

/// A network to write out, rows for it, and what the CPU path says of them.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) program: Program,
    pub(crate) x: Vec<f32>,
    pub(crate) want: Vec<f32>,
}

fn case(name: &str, net: Net, likelihood: Likelihood, members: usize) -> Case {
    let mut rng = Rng::new(5, name.len() as u64);
    let weights: Vec<Vec<f32>> = (0..members)
        .map(|_| net.layout().init(&mut rng).into_iter().map(|w| w + (0.1 * rng.normal()) as f32).collect())
        .collect();
    let shares: Vec<f64> = (1..=members).map(|k| 2.0 * k as f64 / (members * (members + 1)) as f64).collect();
    let whole = ["symbols", "one_hot"].contains(&name);
    let x: Vec<f32> = (0..ROWS * net.inputs())
        .map(|_| if whole { rng.below(4) as f32 } else { (1.5 * rng.normal()) as f32 })
        .collect();
    let mut network = Network::of(net.clone(), likelihood, weights[0].clone()).expect("a network");
    (network.members, network.shares) = (weights.clone(), shares.clone());
    let want = network.predict(&Device::Cpu, &x).expect("predictions");
    let program = program_of_network(name, &net, &likelihood, &weights, &shares).expect("a program");
    Case { name: name.into(), program, x, want }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = NETS
        .iter()
        .map(|(name, _, _)| {
            let net = net_of(name);
            let outputs = net.outputs();
            case(name, net, Likelihood::values(outputs), 1)
        })
        .collect();
    let dense = || Net::rows([2]).dense(6).tanh().dense(3);
    all.push(case("classes", dense(), Likelihood::classes(3), 1));
    all.push(case("several_classes", dense(), Likelihood::classes(3), 3));
    all.push(case("several_values", dense(), Likelihood::values(3), 2));
    all.extend(
        ["dense", "pictures", "branches"]
            .map(|name| of_fewer_bytes(name, Compression::new(Numbers::Int8, 0.0), true)),
    );
    all.push(of_fewer_bytes("series", Compression::new(Numbers::Int8Tensor, 0.5), false));
    all.push(of_fewer_bytes("attention", Compression::new(Numbers::Int8, 0.0), false));
    all
}

/// One of the nets with weights of eight bits, and with what its dense layers and convolutions read rounded to as many.
pub(crate) fn of_fewer_bytes(name: &str, compression: Compression, activations: bool) -> Case {
    let (network, x) = of_fewer_bytes_network(name, compression, activations);
    let want = network.predict(&Device::Cpu, &x).expect("predictions");
    let name = format!("{name}_of_fewer_bytes");
    let program = program_of(&name, &network).expect("a program");
    Case { name, program, x, want }
}

/// The network, and rows for it.
pub(crate) fn of_fewer_bytes_network(
    name: &str,
    compression: Compression,
    activations: bool,
) -> (Network, Vec<f32>) {
    let net = net_of(name);
    let mut rng = Rng::new(6, name.len() as u64);
    let x: Vec<f32> = (0..ROWS * net.inputs()).map(|_| (1.5 * rng.normal()) as f32).collect();
    let (weights, likelihood) = (net.layout().init(&mut rng), Likelihood::values(net.outputs()));
    let network = Network::of(net, likelihood, weights).and_then(|n| n.compressed(compression));
    let mut network = network.expect("a network");
    if activations {
        network = network.calibrated(&Device::Cpu, &x).expect("scales");
    }
    (network, x)
}

pub(crate) fn net_of(name: &str) -> Net {
    let (_, input, layers) = NETS.iter().find(|net| net.0 == name).expect("a net");
    let text = format!("{{\"input\": {input}, \"layers\": {layers}}}");
    let net: Net = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
    net.check().unwrap_or_else(|e| panic!("{name}: {e}"));
    net
}

impl Case {
    /// Refuses what is not what the CPU path says.
    pub(crate) fn compare(&self, by: &str, got: &[f32]) {
        compare(&format!("{by}, {}", self.name), &self.want, got);
    }
}

/// Refuses numbers that are off by more than a little of the largest one that the CPU path says.
pub(crate) fn compare(what: &str, want: &[f32], got: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (got - want).abs();
        let near = off <= 1e-5 * largest.max(1e-3);
        assert!(near, "{what}: output {i} is {got}, and {want} by the CPU path");
    }
}
