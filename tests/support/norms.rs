//! What normalisation by the support promises, on any device.

use hyperloom::adapt::{Adapter, Fast, Member, Rule, StartFrom};
use hyperloom::hyper::{ConditionSpec, HyperSpec, SetEncoder};
use hyperloom::meta::objective::MetaSpec;
use hyperloom::net::Net;
use hyperloom::spec::Activation::Tanh;
use hyperloom::task::{Likelihood, Loss};
use hyperloom::{Device, Error, Model, Task};

use super::buckets::{params, task};

/// Every way in which a network that normalises by the support adapts, with its name.
pub(crate) fn ways() -> Vec<(&'static str, MetaSpec)> {
    let net = Net::rows([2]).dense(5).batch_norm_of_support().tanh().dense(4).batch_norm_of_support();
    let mut shared = MetaSpec::from(HyperSpec::shared(net.clone().dense(1)));
    (shared.adaptation.rate, shared.steps) = (0.1, 2);
    let change = |change: &dyn Fn(&mut MetaSpec)| {
        let mut meta = shared.clone();
        change(&mut meta);
        meta
    };
    let support = Some(SetEncoder::new(3, vec![5], 0.5));
    let condition = ConditionSpec { support, ..ConditionSpec::default() };
    let generated = HyperSpec::new(condition, vec![4], Tanh, shared.hyper.target.clone());
    let context = Net::rows([2]).context(2).dense(5).tanh().batch_norm_of_support().dense(1);
    vec![
        ("generated", change(&|m| m.hyper = generated.clone())),
        ("head", change(&|m| m.adaptation.fast = Fast::Head)),
        (
            "ridge",
            change(&|m| (m.adaptation.rule, m.adaptation.fast, m.steps) = (Rule::Ridge, Fast::Head, 1)),
        ),
        (
            "context",
            change(&|m| {
                (m.hyper, m.adaptation.fast) = (HyperSpec::shared(context.clone()), Fast::Context);
            }),
        ),
        ("all", shared.clone()),
    ]
}

/// To the bit, what is predicted for a query row depends on no other: not on their values, and not on their number.
pub(crate) fn a_query_row_alone_is_as_among_others(device: &Device) {
    for (name, meta) in ways() {
        let params = params(&meta);
        let pooled = params[..meta.hyper.target.layout().len()].to_vec();
        let member = Member { pooled, hyper: params };
        let predict = |tasks: &[Task]| {
            let mut adapter =
                Adapter::new(device, &meta.hyper, Loss::Mse, meta.adaptation, tasks).expect("prepared");
            let found = adapter.predict(&member, StartFrom::Generated(1.0), tasks, &[0, meta.steps]);
            found.expect("predicted")
        };
        // Tasks with supports of different sizes may be asked about together.
        let tasks = [task(1, 5, 3), task(2, 7, 3)];
        let among = predict(&tasks);
        assert!(among[0].predictions != among[1].predictions, "{name}: the steps change something");
        for row in 0..3 {
            let alone = tasks.clone().map(|t| {
                let (x, y) = (t.xq[2 * row..][..2].to_vec(), t.yq[row..=row].to_vec());
                t.with_query(x, y)
            });
            for (alone, among) in predict(&alone).iter().zip(&among) {
                for (alone, among) in alone.predictions.iter().zip(&among.predictions) {
                    assert_eq!(alone[0].to_bits(), among[row].to_bits(), "{name}, row {row}");
                }
            }
        }
        // Not so with the statistics of the batch, or the test could not fail: here they would be those of one row.
        let mut other = tasks.clone();
        other[0].xs[0] += 0.5;
        let other = predict(&other);
        assert!(other[0].predictions[0] != among[0].predictions[0], "{name}: the support counts");
        assert_eq!(other[0].predictions[1], among[0].predictions[1], "{name}: that of another task does not");
    }
}

/// A model's network for a task goes on without the support, predicts what the model predicts, and is saved and read; what has no
/// support is refused.
pub(crate) fn networks_do_without_the_support(device: &Device) {
    for (name, meta) in ways() {
        let likelihood = Likelihood::values(1);
        let model =
            Model::new(meta.hyper.clone(), likelihood, meta.adaptation, params(&meta)).expect("it fits");
        let task = task(1, 5, 4);
        let network = model.adapt(device, &task, Some(meta.steps)).expect("adapted");
        assert!(meta.hyper.target.reads_support() && !network.spec.reads_support(), "{name}");
        let y = network.predict(device, &task.xq).expect("predicted");
        let found = model.predict(device, std::slice::from_ref(&task), Some(meta.steps)).expect("predicted");
        for (a, b) in y.iter().zip(&found[0].values) {
            // Gains and shifts of two norms round in another order: `tests/norms.rs` has the derived bound.
            assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{name}: {a} and {b}");
        }
        let refused = |e: Error| {
            let text = e.to_string();
            assert!(matches!(e, Error::Shape(_)) && text.contains("support rows"), "{name}: {text}");
        };
        let mut without = task.clone();
        (without.xs, without.ys) = (vec![], vec![]);
        refused(model.predict(device, &[without], Some(0)).expect_err("no support"));
        if meta.hyper.is_shared() {
            refused(model.pooled().predict(device, &task.xq).expect_err("no support"));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("model.safetensors");
        model.save(&file).expect("saved");
        let read = Model::open(&file).expect("read");
        assert_eq!(read, model);
        assert_eq!(read.adapt(device, &task, Some(meta.steps)).expect("adapted"), network, "{name}");
    }
}
