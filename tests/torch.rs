//! Networks as PyTorch modules: parameters go there and come back; `sh scripts/torch.sh` installs PyTorch and has it run the modules.

#[path = "support/exported.rs"]
mod exported;

use std::process::Command;

use exported::{NETS, ROWS, compare, net_of, of_fewer_bytes_network};
use hyperloom::checkpoint::save_tensors;
use hyperloom::export::{StateDict, TorchNet, torch_of};
use hyperloom::net::{Compression, Net, Numbers};
use hyperloom::rng::Rng;
use hyperloom::task::Likelihood;
use hyperloom::{Device, Network};
use serde_json::{Value, json};

/// Nets that have no counterpart there.
const NOT_THERE: [&str; 3] = ["hyper_lstm", "lstm", "nodes"];

fn has_counterpart(name: &str) -> bool {
    !NOT_THERE.contains(&name) && !["attention", "learned_places"].contains(&name)
}

/// Networks of all nets that go there, and such as several members and eight bits make.
fn networks() -> Vec<(String, Network)> {
    let mut rng = Rng::new(8, 0);
    let mut drawn = |net: &Net| -> Vec<f32> {
        net.layout().init(&mut rng).into_iter().map(|w| w + (0.1 * rng.normal()) as f32).collect()
    };
    let mut all = vec![];
    for (name, ..) in NETS.iter().filter(|net| has_counterpart(net.0)) {
        let net = net_of(name);
        let (weights, likelihood) = (drawn(&net), Likelihood::values(net.outputs()));
        all.push(((*name).to_string(), Network::of(net, likelihood, weights).expect("a network")));
    }
    let more: [(&str, &str); 4] = [
        (
            "transformer",
            r#"{"input": [6, 8], "layers": [{"position": "learned"}, {"residual": [{"layer_norm": true}, {"attention": 2, "causal": true}]},
            {"residual": [{"layer_norm": true}, {"attention": 2}]}, {"flatten": true}, {"dense": 2}]}"#,
        ),
        (
            "last_states",
            r#"{"input": [5, 2], "layers": [{"recurrent": "lstm", "units": 4}, {"recurrent": "gru", "units": 3, "bidirectional": true, "last": true}, {"dense": 2}]}"#,
        ),
        (
            "causal",
            r#"{"input": [9, 4], "layers": [{"conv": 6, "kernel": 3, "padding": "causal", "dilation": 2, "groups": 2}, {"recurrent": "lstm", "units": 3, "last": true}, {"dense": 2}]}"#,
        ),
        (
            "strided",
            r#"{"input": [7, 6, 3], "layers": [{"conv": 4, "kernel": 3, "stride": 2, "activation": "relu"}, {"avg_pool": 2, "stride": 1, "padding": "same"},
            {"flatten": true}, {"activation": "tanh"}, {"dense": 3}]}"#,
        ),
    ];
    for (name, text) in more {
        let net: Net = serde_json::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        net.check().unwrap_or_else(|e| panic!("{name}: {e}"));
        let (weights, likelihood) = (drawn(&net), Likelihood::values(net.outputs()));
        all.push((name.into(), Network::of(net, likelihood, weights).expect("a network")));
    }
    let net = Net::rows([2]).dense(6).tanh().dense(3);
    for (name, members) in [("one_of_classes", 1), ("several_of_classes", 3)] {
        let members: Vec<Vec<f32>> = (0..members).map(|_| drawn(&net)).collect();
        let mut network =
            Network::of(net.clone(), Likelihood::classes(3), members[0].clone()).expect("a network");
        network.shares = (0..members.len()).map(|_| 1.0 / members.len() as f64).collect();
        network.members = members;
        all.push((name.into(), network));
    }
    let (network, _) = of_fewer_bytes_network("pictures", Compression::new(Numbers::Int8, 0.0), true);
    all.push(("of_eight_bits".into(), network));
    all
}

fn rows(name: &str, network: &Network) -> Vec<f32> {
    let mut rng = Rng::new(9, name.len() as u64);
    let whole = ["symbols", "one_hot"].contains(&name);
    let number = |rng: &mut Rng| if whole { rng.below(4) as f32 } else { (1.5 * rng.normal()) as f32 };
    (0..ROWS * network.spec.inputs()).map(|_| number(&mut rng)).collect()
}

#[test]
#[ignore = "needs PyTorch: sh scripts/torch.sh"]
fn modules_say_what_the_cpu_path_says() {
    let python = std::env::var("HYPERLOOM_TORCH").expect("HYPERLOOM_TORCH: run scripts/torch.sh");
    let (dir, all) = (tempfile::tempdir().expect("a folder"), networks());
    for (name, network) in &all {
        let (text, state) = torch_of(&["A test.".into()], network).unwrap_or_else(|e| panic!("{name}: {e}"));
        let path = |ending: &str| dir.path().join(format!("{name}.{ending}"));
        std::fs::write(path("py"), text).expect("a file");
        save_tensors(&path("safetensors"), &state, &[("format", "pt")]).expect("a file");
        let given = json!({ "x": rows(name, network), "row": network.spec.input(), "rows": ROWS });
        std::fs::write(path("json"), given.to_string()).expect("a file");
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/run_torch.py");
    let done = Command::new(python).arg(script).arg(dir.path()).output().expect("Python runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    for (name, network) in &all {
        let want = network.predict(&Device::Cpu, &rows(name, network)).expect("predictions");
        let numbers = said[name].as_array().unwrap_or_else(|| panic!("{name}"));
        let got: Vec<f32> = numbers.iter().map(|v| v.as_f64().unwrap_or(f64::NAN) as f32).collect();
        compare(&format!("PyTorch, {name}"), &want, &got);
    }
}

#[test]
fn parameters_come_back() {
    let (mut tried, mut refused) = (0, 0);
    for (name, network) in networks() {
        let torch = TorchNet::of(&network.spec).unwrap_or_else(|e| panic!("{name}: {e}"));
        for weights in &network.members {
            let state = torch.state_dict(weights);
            assert_eq!(torch.weights(&state).as_ref(), Ok(weights), "{name}");
            // The same by names of another program's modules.
            let mut other = StateDict::new();
            for (name, tensor) in &state {
                other.insert(format!("body.block{name}"), tensor.clone());
            }
            other.insert("body.block1.num_batches_tracked".into(), (vec![], vec![3.0]));
            assert_eq!(torch.weights(&other).as_ref(), Ok(weights), "{name}");
            let (first, rest) = (torch.params[0].name.clone(), state.len() - 1);
            let mut less = state.clone();
            less.remove(&first);
            assert_eq!(less.len(), rest);
            assert!(torch.weights(&less).is_err_and(|e| e.contains("for layer 0 of the network")), "{name}");
            tried += 1;
        }
    }
    for name in NOT_THERE {
        refused += usize::from(
            TorchNet::of(&net_of(name)).is_err_and(|e| e.to_string().contains("no counterpart in PyTorch")),
        );
    }
    // Modules whose names say nothing of their order.
    let torch = TorchNet::of(&Net::rows([4]).dense(4).tanh().dense(4).dense(1)).expect("it goes there");
    let named = |names: [&str; 3]| -> StateDict {
        let layers = names.iter().zip([4, 4, 1]);
        let each = layers.flat_map(|(name, n)| {
            [
                (format!("{name}.weight"), (vec![n, 4], vec![0.5; 4 * n])),
                (format!("{name}.bias"), (vec![n], vec![0.0; n])),
            ]
        });
        each.collect()
    };
    assert!(
        torch
            .weights(&named(["layer_one", "layer_two", "a_head"]))
            .is_err_and(|e| e.contains("'layer_one' and 'layer_two'"))
    );
    assert!(torch.weights(&named(["layer9", "layer10", "a_head"])).is_ok());
    assert!(torch.weights(&named(["layer9", "layer10", "layer11"])).is_ok());
    assert!(tried > 15 && refused == NOT_THERE.len(), "{tried} nets, {refused} refused");
}

/// Two biases that are added up are one here: their sum.
#[test]
fn biases_are_added_up() {
    let net: Net = serde_json::from_str(r#"{"input": [3, 1], "layers": [{"recurrent": "rnn", "units": 1}]}"#)
        .expect("a net");
    let torch = TorchNet::of(&net).expect("it goes there");
    let tensor = |shape: &[usize], value: f32| (shape.to_vec(), vec![value]);
    let state: StateDict = [
        ("rnn.weight_ih_l0", tensor(&[1, 1], 1.0)),
        ("rnn.weight_hh_l0", tensor(&[1, 1], 2.0)),
        ("rnn.bias_ih_l0", tensor(&[1], 3.0)),
        ("rnn.bias_hh_l0", tensor(&[1], 4.0)),
    ]
    .map(|(name, tensor)| (name.to_string(), tensor))
    .into();
    let named: StateDict = state.iter().map(|(name, t)| (name.replace("rnn", "0"), t.clone())).collect();
    for state in [&state, &named] {
        assert_eq!(torch.weights(state), Ok(vec![1.0, 2.0, 7.0]));
    }
}
