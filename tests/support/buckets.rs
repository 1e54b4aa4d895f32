//! What buckets of sizes promise, on any device.

use hyperloom::adapt::{Adaptation, Adapter, Fast, Member, Rule, StartFrom};
use hyperloom::hyper::{ConditionSpec, HyperSpec, SetEncoder};
use hyperloom::meta::objective::MetaSpec;
use hyperloom::net::Net;
use hyperloom::rng::Rng;
use hyperloom::spec::Activation::Tanh;
use hyperloom::task::{Likelihood, Loss};
use hyperloom::{Device, Model, Task};

/// Ways of adaptation that read the support differently, with their names.
pub(crate) fn ways() -> Vec<(&'static str, MetaSpec)> {
    let target = Net::mlp(&[2, 6, 1], Tanh);
    let support = Some(SetEncoder::new(3, vec![5], 0.5));
    let condition = ConditionSpec { support, ..ConditionSpec::default() };
    let hyper = HyperSpec::new(condition, vec![4], Tanh, target.clone());
    let mut generated = MetaSpec::from(hyper);
    generated.steps = 2;
    let mut ridge = generated.clone();
    (ridge.adaptation.rule, ridge.adaptation.fast, ridge.steps) = (Rule::Ridge, Fast::Head, 1);
    let mut shared = MetaSpec::from(HyperSpec::shared(target));
    (shared.adaptation, shared.steps) = (Adaptation::fine_tuning(0.1, 10.0), 2);
    vec![("generated", generated), ("ridge", ridge), ("shared", shared)]
}

/// First parameters, with a hypernetwork that writes something.
pub(crate) fn params(meta: &MetaSpec) -> Vec<f32> {
    let mut rng = Rng::new(3, 4);
    let base = meta.hyper.target.layout().init(&mut rng);
    let mut params = meta.init(&mut rng, &base);
    if let Some(head) = meta.layout().get("head.weight") {
        params[head.range()].iter_mut().for_each(|w| *w = rng.range(-0.3, 0.3) as f32);
    }
    params
}

/// A task of so many support and query rows; one with more begins with those of one with fewer.
pub(crate) fn task(number: u64, support: usize, query: usize) -> Task {
    let rows = |stream: u64, n: usize| -> (Vec<f32>, Vec<f32>) {
        let mut rng = Rng::new(number, stream);
        let x: Vec<f32> = (0..2 * n).map(|_| rng.range(-1.0, 1.0) as f32).collect();
        let y = x.chunks(2).map(|x| (3.0 * x[0]).sin() + x[1] * number as f32).collect();
        (x, y)
    };
    let ((xs, ys), (xq, yq)) = (rows(1, support), rows(2, query));
    Task::from_support(xs, ys).with_query(xq, yq)
}

fn model(meta: &MetaSpec) -> Model {
    let likelihood = Likelihood::values(1);
    Model::new(meta.hyper.clone(), likelihood, meta.adaptation, params(meta)).expect("it fits")
}

/// Five to eight support rows are prepared for once, nine anew; so are five to eight tasks, and query rows.
pub(crate) fn sizes_of_a_bucket_prepare_once(device: &Device) {
    for (name, meta) in ways() {
        let model = model(&meta);
        let adapt = |rows: usize| model.adapt(device, &task(1, rows, 0), Some(meta.steps)).expect("adapted");
        let five = adapt(5);
        assert_eq!(model.prepared(), 1, "{name}");
        for rows in [6, 7, 8, 5] {
            let other = adapt(rows);
            assert_eq!(model.prepared(), 1, "{name}, {rows} rows");
            assert_eq!(other.members == five.members, rows == 5, "{name}: rows count, padding does not");
        }
        adapt(9);
        assert_eq!(model.prepared(), 2, "{name}");
        let predict = |tasks: u64, query: usize| {
            let tasks: Vec<Task> = (0..tasks).map(|t| task(t, 3, query)).collect();
            let found = model.predict(device, &tasks, Some(1)).expect("predicted");
            assert!(found.iter().all(|p| p.values.len() == query));
        };
        predict(5, 9);
        assert_eq!(model.prepared(), 3, "{name}");
        [(6, 10), (7, 9), (8, 10)].iter().for_each(|(tasks, query)| predict(*tasks, *query));
        assert_eq!(model.prepared(), 3, "{name}");
        // A clone has what its model has; another model has nothing, and settings that are changed are prepared for.
        let mut other = model.clone();
        assert!(other.prepared() == 3 && other == model);
        other.adaptation.clip *= 0.5;
        other.adapt(device, &task(1, 5, 0), Some(1)).expect("adapted");
        assert_eq!((other.prepared(), self::model(&meta).prepared()), (4, 0), "{name}");
    }
}

/// To the bit, what is found for a task is the same whatever tasks are asked about beside it, of whatever sizes in the bucket.
pub(crate) fn a_task_does_not_feel_those_beside_it(device: &Device) {
    for (name, meta) in ways() {
        let params = params(&meta);
        let member = Member {
            pooled: params[params.len() - 1..].repeat(meta.hyper.target.layout().len()),
            hyper: params,
        };
        let found = |tasks: &[Task]| {
            let mut adapter =
                Adapter::new(device, &meta.hyper, Loss::Mse, meta.adaptation, tasks).expect("prepared");
            let found = adapter.predict(&member, StartFrom::Generated(1.0), tasks, &[0, meta.steps]);
            let weights = adapter.adapt(&member, StartFrom::Generated(0.5), tasks, 1).expect("adapted");
            (found.expect("predicted"), weights)
        };
        let five: Vec<Task> = (0..5).map(|t| task(t, 5 + t as usize % 2, 3)).collect();
        let mut eight = five.clone();
        eight.extend((5..8).map(|t| task(t, 8, 4)));
        let ((few, few_weights), (many, many_weights)) = (found(&five), found(&eight));
        for (few, many) in few.iter().zip(&many) {
            assert_eq!(few.predictions, many.predictions[..5], "{name}");
            assert_eq!(few.variance, many.variance[..few.variance.len()], "{name}");
            assert_eq!(few.evidence, many.evidence[..few.evidence.len()], "{name}");
        }
        assert_eq!(few_weights, many_weights[..5], "{name}");
    }
}
