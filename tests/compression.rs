//! Networks of fewer bytes: pruned and rounded as known answers say, the same on the host and in graphs, known to adaptation, and read back from files to the bit.

mod support;
#[path = "support/ways.rs"]
mod ways;

use hyperloom::adapt::Adaptation;
use hyperloom::checkpoint::{Checkpoint, Tensor, TensorData, read_safetensors};
use hyperloom::data::format::Format;
use hyperloom::experiment::run_folder::{load_network, save_network};
use hyperloom::graph::Graph;
use hyperloom::net::{Among, Compression, Init, Net, Numbers, ParamLayout, Quantised, Weights};
use hyperloom::rng::Rng;
use hyperloom::task::{Likelihood, Task};
use hyperloom::{Device, Model, Network, Result};
use support::interpret::Array;
use support::{Feed, close, data, run_lowered, run_plan, with_regions};
use ways::{model_and_task, ways};

fn golden(name: &str) -> Checkpoint {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/compression");
    read_safetensors(path.join(format!("{name}.safetensors"))).expect("the file is there")
}

fn floats(file: &Checkpoint, name: &str) -> (Vec<usize>, Vec<f64>) {
    match &file.tensors[name] {
        Tensor { shape, data: TensorData::F64(v) } => (shape.clone(), v.clone()),
        other => panic!("{name}: {other:?}"),
    }
}

fn whole(file: &Checkpoint, name: &str) -> Vec<i64> {
    match &file.tensors[name].data {
        TensorData::I64(v) => v.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

fn narrow(v: &[f64]) -> Vec<f32> {
    v.iter().map(|x| *x as f32).collect()
}

#[test]
fn whole_numbers_and_scales_are_those_of_the_known_answers() {
    for (name, numbers) in [
        ("quantise-channel", Numbers::Int8),
        ("quantise-conv_channel", Numbers::Int8),
        ("quantise-tensor", Numbers::Int8Tensor),
        ("quantise-tensor_halves", Numbers::Int8Tensor),
    ] {
        let file = golden(name);
        let ((shape, w), (_, scales)) = (floats(&file, "w"), floats(&file, "scale"));
        let (q, dequantised) = (whole(&file, "q"), floats(&file, "dequantised").1);
        let (n, s) = (w.len() / shape[0], scales.len() / shape[0]);
        for t in 0..shape[0] {
            let of = t * n..(t + 1) * n;
            let found = Quantised::of(numbers, &narrow(&w[of.clone()]), &shape[1..]).expect("whole numbers");
            assert_eq!(
                found.whole.iter().map(|q| i64::from(*q)).collect::<Vec<_>>(),
                q[of.clone()],
                "{name}"
            );
            let near = |a: f32, b: f64| (f64::from(a) - b).abs() <= 1e-6 * b.abs();
            assert!(found.scales.iter().zip(&scales[t * s..]).all(|(a, b)| near(*a, *b)), "{name}");
            assert!(found.values().iter().zip(&dequantised[of]).all(|(a, b)| near(*a, *b)), "{name}");
        }
    }
}

#[test]
fn the_smallest_numbers_of_matrices_and_of_networks_are_those_of_the_known_answers() {
    let file = golden("prune-magnitude");
    let names = ["w0", "w1", "w2"];
    let weights: Vec<_> = names.iter().map(|name| floats(&file, name)).collect();
    for t in 0..3 {
        let mut layout = ParamLayout::default();
        let mut flat = vec![];
        for (name, (shape, values)) in names.iter().zip(&weights) {
            layout.push(*name, &shape[1..], Init::Constant(0.0));
            let n = values.len() / 3;
            flat.extend(narrow(&values[t * n..(t + 1) * n]));
        }
        for percent in [50, 80, 95] {
            for (among, way) in [(Among::Matrix, "layer"), (Among::Network, "global")] {
                let mut compression = Compression::new(Numbers::F32, f64::from(percent) / 100.0);
                compression.among = among;
                let mut pruned = flat.clone();
                layout.compress(&compression, &mut pruned);
                let masks = names.iter().flat_map(|name| {
                    let mask = whole(&file, &format!("{way}_{percent}_{name}"));
                    let n = mask.len() / 3;
                    mask[t * n..(t + 1) * n].to_vec()
                });
                for (i, mask) in masks.enumerate() {
                    assert_eq!(
                        pruned[i],
                        if mask == 1 { flat[i] } else { 0.0 },
                        "{way} {percent}, number {i}"
                    );
                }
            }
        }
    }
}

/// What a compressed dense layer gives, and the gradient of its weights, are those of the rounded weights.
#[test]
fn gradients_go_straight_through() {
    let file = golden("quantise-channel");
    let ((shape, w), (_, x)) = (floats(&file, "w"), floats(&file, "x"));
    let [t, i, o] = shape[..] else { panic!("{shape:?}") };
    let n = x.len() / t / i;
    let want = floats(&file, "dequantised").1;
    let net = Net::rows([i]).dense(o).compressed(Compression::new(Numbers::Int8, 0.0));
    let layout = net.layout();
    let (mut g, mut feed) = (Graph::new(), Feed::default());
    let with_bias: Vec<f64> = w.chunks(i * o).flat_map(|w| [w, &vec![0.25; o]].concat()).collect();
    let flat = data(&mut g, &mut feed, "w", Array { shape: vec![t, layout.len()], data: with_bias });
    let rows = data(&mut g, &mut feed, "x", Array { shape: vec![t, n, i], data: x.clone() });
    let y = net.apply(&mut g, Weights { flat, layout: &layout }, rows);
    let square = g.mul(y, y);
    let loss = g.sum_to(square, &[]);
    let gradient = g.grad(loss, &[flat])[0];
    g.output("y", y);
    g.output("gradient", gradient);
    let found = run_plan::<f64>(&g, &feed).values;
    let found = [&found["y"], &found["gradient"]];
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
    for t in 0..t {
        for r in 0..n {
            for c in 0..o {
                let product = |k: usize| x[(t * n + r) * i + k] * want[(t * i + k) * o + c];
                let y = 0.25 + (0..i).map(product).sum::<f64>();
                assert!(near(found[0][(t * n + r) * o + c], y));
            }
        }
        for k in 0..i {
            for c in 0..o {
                let part = |r: usize| 2.0 * found[0][(t * n + r) * o + c] * x[(t * n + r) * i + k];
                let gradient: f64 = (0..n).map(part).sum();
                assert!(near(found[1][t * (i + 1) * o + k * o + c], gradient));
            }
        }
    }
}

/// How the ways of adaptation are tried: everything, and what is least like it.
const TRIED: [(Numbers, f64); 4] =
    [(Numbers::Int8, 0.0), (Numbers::Int8Tensor, 0.5), (Numbers::Int4, 0.0), (Numbers::F32, 0.6)];

/// By every way of adaptation a compressed model predicts as the networks do that it makes, these are compressed, and files hold both to the bit.
#[test]
fn every_way_of_adaptation_knows() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    for (i, (name, meta, kind)) in ways().into_iter().enumerate() {
        let (numbers, prune) = TRIED[i % TRIED.len()];
        let networks = Compression::new(numbers, prune);
        let (model, task) = model_and_task(&meta, kind, 4);
        let stored = Compression::new([Numbers::Int8, Numbers::F16, Numbers::Int4][i % 3], 0.0);
        let model = model.compressed(stored, networks)?;
        let tasks = [task.clone()];
        let said = model.predict(&Device::Cpu, &tasks, Some(2))?;
        let network = model.adapt(&Device::Cpu, &task, Some(2))?;
        let alone = network.predict(&Device::Cpu, &task.xq)?;
        let largest = alone.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        let apart = said[0].values.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // A mean that is far from 0 beside the deviation is taken off before, or after.
        let most = if meta.hyper.target.reads_support() { 5e-4 } else { 2e-5 };
        assert!(apart <= most * largest, "{name}: {apart} of {largest}");
        assert_eq!(network.compression, networks);
        let again = network.compressed(networks)?;
        assert_eq!(again.members, network.members, "{name}: what was rounded once");
        let file = folder.path().join(format!("{i}.safetensors"));
        model.save(&file)?;
        if meta.hyper.target.own_layers().is_empty() && !model.members[0].pooled.is_empty() {
            assert_eq!(Model::open(&file)?, model, "{name}");
        }
    }
    Ok(())
}

/// Steps of learning with compressed networks are the same as task regions and launch by launch.
#[test]
fn regions_learn_the_same() {
    for (numbers, prune) in TRIED {
        let net = Net::rows([6, 6, 2]).conv(4, 3).relu().max_pool(2).flatten().dense(5).tanh().dense(1);
        let net = net.compressed(Compression::new(numbers, prune));
        let layout = net.layout();
        let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(5, 0));
        let weights = (0..3).flat_map(|_| layout.init(&mut rng)).map(f64::from).collect();
        let flat = data(&mut g, &mut feed, "w", Array { shape: vec![3, layout.len()], data: weights });
        let x = data(&mut g, &mut feed, "x", support::numbers(&mut rng, &[3, 4, 72], -1.0, 1.0));
        let (learned, _) = g.scan(3, &[flat], &[x], &[], |g, args| {
            let (flat, x) = (args.carried[0], args.constants[0]);
            let y = net.apply(g, Weights { flat, layout: &layout }, x);
            let square = g.mul(y, y);
            let loss = g.sum_to(square, &[]);
            let gradient = g.grad(loss, &[flat])[0];
            let step = g.scale(gradient, -0.01);
            (vec![g.add(flat, step)], vec![])
        });
        g.output("learned", learned[0]);
        let plan = with_regions(&g, &feed);
        assert!(plan.launches.len() < 5, "a region each: {}", plan.launches.len());
        let regions = run_lowered::<f64>(&plan, &feed);
        let launches = run_plan::<f64>(&g, &feed);
        assert!(close(&regions.values["learned"], &launches.values["learned"], 1e-12), "{numbers:?}");
    }
}

/// What dense layers and convolutions read is rounded by scales that have room for it; adaptation and files know.
#[test]
fn layers_read_eight_bits() -> Result<()> {
    let net = Net::rows([6, 6, 2]).conv(4, 3).relu().max_pool(2).flatten().dense(5).tanh().dense(1);
    let mut rng = Rng::new(5, 0);
    let weights = net.layout().init(&mut rng);
    let x: Vec<f32> = (0..8 * 72).map(|_| rng.normal() as f32).collect();
    let plain = Network::of(net.clone(), Likelihood::values(1), weights)?;
    let network = plain.compressed(Compression::new(Numbers::Int8, 0.0))?.calibrated(&Device::Cpu, &x)?;
    let scales = network.spec.input_scales();
    let most = x.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert_eq!(scales.len(), 3);
    assert!((scales[0] * 127.0 - f64::from(most)).abs() < 1e-6);
    let [said, eight] = [&plain, &network].map(|n| n.predict(&Device::Cpu, &x).expect("predictions"));
    let spread = said.iter().fold(0f32, |m, v| m.max(v.abs()));
    let apart = said.iter().zip(&eight).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(apart > 0.0 && apart < 0.05 * spread, "{apart} of {spread}");
    // A net that reads as many numbers, once more rounded, reads the same.
    let rounded: Vec<f32> =
        x.iter().map(|v| ((f64::from(*v) / scales[0]).round_ties_even() * scales[0]) as f32).collect();
    let again = network.predict(&Device::Cpu, &rounded)?;
    assert!(again.iter().zip(&eight).all(|(a, b)| (a - b).abs() <= 1e-5 * spread));
    let model = network.start(Adaptation::fine_tuning(0.05, 10.0))?;
    let task = Task::from_support(x.clone(), said.iter().map(|y| y + 0.3).collect());
    let learned = model.adapt(&Device::Cpu, &task, Some(20))?;
    let error = |network: &Network| -> Result<f64> {
        let y = network.predict(&Device::Cpu, &x)?;
        Ok(y.iter().zip(&task.ys).map(|(a, b)| f64::from(a - b).powi(2)).sum())
    };
    assert!(error(&learned)? < 0.3 * error(&network)?);
    assert_eq!((learned.spec.input_scales(), learned.compression), (scales, network.compression));
    let (folder, format) = (tempfile::tempdir().expect("a folder"), Format::plain(&[""; 72], &["y"]));
    let file = folder.path().join("n.safetensors");
    save_network(&file, &learned, &format)?;
    assert_eq!(load_network(&file)?.0, learned);
    let wrong = net.reading_eight_bits(vec![0.1; 2]).check();
    assert!(wrong.is_err_and(|e| e.contains("2 scales for what 3 dense layers and convolutions read")));
    Ok(())
}
