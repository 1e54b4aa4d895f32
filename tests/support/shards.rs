//! What shards of a batch promise, on any device.

use hyperloom::Device;
use hyperloom::data::sine::Sine;
use hyperloom::hyper::{ConditionSpec, HyperSpec, SetEncoder};
use hyperloom::meta::objective::{MetaSpec, Through};
use hyperloom::meta::outer::{Learner, OuterSettings, Trainer, training_graph};
use hyperloom::meta::shard::{GradientShare, ShardTrainer};
use hyperloom::net::Net;
use hyperloom::optim::Schedule;
use hyperloom::plan::lower;
use hyperloom::rng::Rng;
use hyperloom::spec::Activation::Tanh;
use hyperloom::task::TaskFamily;

const TASKS: usize = 16;
const STEPS: u64 = 4;

/// Support sets of several sizes, so that staged numbers differ, too.
pub(crate) const FAMILY: Sine = Sine { shots: 6, min_shots: 3, query: 5, seed: 7 };

pub(crate) fn settings() -> OuterSettings {
    let mut settings = OuterSettings::new(TASKS, Schedule::new(1e-2, STEPS));
    settings.seed = 11;
    settings
}

/// A learner of every kind, with its name and its first parameters.
pub(crate) fn learners() -> Vec<(&'static str, Learner, Vec<f32>)> {
    let mut rng = Rng::new(1, 2);
    let target = Net::mlp(&[1, 8, 1], Tanh);
    let base = target.layout().init(&mut rng);
    let mut maml = MetaSpec::from(HyperSpec::shared(target.clone()));
    (maml.through, maml.steps, maml.per_step) = (Through::Second, 2, 0.5);
    let support = Some(SetEncoder::new(2, vec![8], 0.2));
    let condition = ConditionSpec { support, ..ConditionSpec::default() };
    let mut hyper = MetaSpec::from(HyperSpec::new(condition, vec![8], Tanh, target.clone()));
    hyper.freeze = vec!["encoder".into()];
    let mut of = |spec: MetaSpec| {
        let params = spec.init(&mut rng, &base);
        (Learner::Hyper(Box::new(spec)), params)
    };
    let ((maml, m), (hyper, h)) = (of(maml), of(hyper));
    vec![("maml", maml, m), ("hyper, encoder frozen", hyper, h), ("pooled", Learner::Pooled(target), base)]
}

/// Weights that a batch in two parts, which is one plan, has after all steps, and its losses.
fn in_two_parts(device: &Device, learner: &Learner, params: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let s = settings();
    let plan = lower(&training_graph(&FAMILY, learner, &s, 2), device.caps(STEPS as usize)).expect("it fits");
    let mut session = device.prepare(plan).expect("prepared");
    FAMILY.upload(&mut session).expect("uploaded");
    // By way of a trainer: what it starts with, and what it stages, are its own.
    let mut trainer = Trainer::new(device, &FAMILY, learner.clone(), s, params).expect("prepared");
    session.write("learner", &trainer.state().expect("read")).expect("written");
    if session.has_input("frozen") {
        session.write("frozen", trainer.frozen()).expect("written");
    }
    for step in 0..STEPS {
        let row = step as usize;
        let control = s.optimiser.control(step, s.schedule.rate(step));
        session.set_step(row, "control", &control).expect("staged");
        session.set_step_u32(row, "key", &[s.seed as u32, row as u32]).expect("staged");
        if let Learner::Hyper(spec) = learner
            && spec.reads_step_weights()
        {
            let weights = spec.step_weights(step as f64 / STEPS as f64);
            session.set_step(row, "step_weights", &weights).expect("staged");
        }
        FAMILY.stage(&mut session, row, step, 0..TASKS).expect("staged");
    }
    let records = session.run(STEPS as usize).expect("run");
    (session.read("learner").expect("read"), records.iter().map(|r| r[0]).collect())
}

/// Whether two lists are the same: to the bit, or to rounding, which steps of Adam magnify, where a compiler joins products
/// and sums in one shader as it does not in another.
fn same(a: &[f32], b: &[f32], to_the_bit: bool) -> bool {
    if to_the_bit {
        return a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()));
    }
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|v| v * v).sum::<f64>().sqrt();
    let off = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
    a.len() == b.len() && off <= 1e-4 * norm(&mut b.iter().map(|b| f64::from(*b)))
}

/// Two shards whose gradients are added by the host end as one plan does that has the same two parts and adds them itself.
pub(crate) fn two_shards_are_one_batch_in_two_parts(device: &Device, to_the_bit: bool) {
    for (name, learner, params) in learners() {
        let (want, losses) = in_two_parts(device, &learner, &params);
        let shard = |tasks| {
            ShardTrainer::new(device, &FAMILY, learner.clone(), settings(), tasks, &params).expect("prepared")
        };
        let mut shards = [shard(0..TASKS / 2), shard(TASKS / 2..TASKS)];
        for (step, loss) in losses.iter().enumerate() {
            let shares: Vec<GradientShare> =
                shards.iter_mut().map(|s| s.gradient().expect("a gradient")).collect();
            let mut sum = shares[0].clone();
            sum.add(&shares[1]);
            assert!(shares[0].gradient != shares[1].gradient, "{name}: the tasks are others");
            for s in &mut shards {
                let record = s.update(&sum).expect("a step");
                assert!(
                    record.step == step as u64 && record.accepted() && record.grad_norm > 0.0,
                    "{record:?}"
                );
                let found = record.loss as f32;
                assert!(same(&[found], &[*loss], to_the_bit), "{name}, step {step}: {found}, not {loss}");
            }
        }
        for s in &mut shards {
            let state = s.state().expect("read");
            assert!(same(&state, &want, to_the_bit), "{name}, shard {:?}", s.tasks());
            assert_eq!(s.step(), STEPS);
            assert!(s.gradient().is_err(), "the schedule is over");
        }
        assert_eq!(shards[0].params().expect("read"), shards[1].params().expect("read"));
    }
}
