//! Batches that several trainers share: the tasks of a range are those of the whole batch, and the sum of the shares is its
//! step. (`tests/gpu/shards.rs` asks a GPU the same.)

mod support;

use std::ops::Range;
use std::sync::Arc;

use hyperloom::data::grouped::Grouped;
use hyperloom::data::images::ImageSet;
use hyperloom::data::shapes::Shapes;
use hyperloom::data::staged::{Maker, Staged};
use hyperloom::data::ways::Ways;
use hyperloom::data::{CsvSpec, Groups};
use hyperloom::graph::{Graph, Value};
use hyperloom::meta::outer::{Learner, Trainer};
use hyperloom::meta::shard::ShardTrainer;
use hyperloom::plan::lower;
use hyperloom::task::{Task, TaskFamily, TaskShape};
use hyperloom::{Device, Error};
use support::shards;

/// Every family that there is, with its name.
fn families() -> Vec<(&'static str, Box<dyn TaskFamily>)> {
    let shape = TaskShape::new([2], 1, 4, 3);
    let draw = Maker::Draw(Arc::new(|rng, n| {
        let slope = rng.range(-1.0, 1.0) as f32;
        let x: Vec<f32> = (0..2 * n).map(|_| rng.range(-1.0, 1.0) as f32).collect();
        let y = x.chunks(2).map(|x| slope * x[0] - x[1]).collect();
        (x, y)
    }));
    let task = |t: usize| {
        let x: Vec<f32> = (0..2 * (4 + t % 5)).map(|i| (i * (t + 1) % 7) as f32).collect();
        let y = x.chunks(2).map(|x| x[0] * t as f32).collect();
        Task::from_support(x, y)
    };
    let list = Maker::List(Arc::new((0..9).map(task).collect()));
    let staged = |maker| Staged { maker, shape: shape.clone(), min_shots: 2, seed: 5 };
    let csv = CsvSpec {
        path: "examples/growth.csv".into(),
        group: "plant".into(),
        target: "height".into(),
        inputs: vec![],
        drop: vec![],
        shots: 4,
        splits: None,
        seed: 0,
        kind: None,
        series: None,
        order: None,
        categories: vec![],
    };
    let groups = Arc::new(Groups::load(&csv).expect("the example is there"));
    let picture = |i: usize| (0..16).map(|p| (p * (i + 3) % 11) as u8 * 20).collect::<Vec<u8>>();
    let set = ImageSet {
        shape: [4, 4, 1],
        classes: (0..5).map(|c| format!("class {c}")).collect(),
        images: (0..5).map(|c| (0..6).map(|i| picture(7 * c + i)).collect()).collect(),
    };
    let train = groups.split.train.clone();
    vec![
        ("sine", Box::new(shards::FAMILY)),
        ("shapes", Box::new(Shapes { shots: 8, min_shots: 3, query: 6, seed: 2 })),
        ("drawn", Box::new(staged(draw))),
        ("listed", Box::new(staged(list))),
        ("csv", Box::new(Grouped { groups, train, shots: 4, query: 5, descriptor: true, seed: 9 })),
        (
            "pictures",
            Box::new(Ways {
                set: Arc::new(set),
                classes: (0..5).collect(),
                ways: 3,
                shots: 2,
                query: 2,
                rotations: true,
                shifts: true,
                flips: true,
                seed: 4,
            }),
        ),
    ]
}

/// All values of the episodes of these tasks in one step, a row a task.
fn episodes(family: &dyn TaskFamily, tasks: Range<usize>) -> Vec<Vec<Vec<f32>>> {
    let mut g = Graph::new();
    let key = g.step_u32("key", &[2]);
    let e = family.episodes(&mut g, tasks.clone(), key);
    let s = e.support;
    let mut values: Vec<Value> = vec![s.x, s.y, s.rows, s.count, e.xq, e.yq];
    values.extend(e.query_rows.into_iter().chain(e.descriptor));
    if let Some(task) = e.task {
        // A number in a table of numbers is itself.
        let table = g.data("numbers", &[1000, 1]);
        values.push(g.gather(table, task));
    }
    for (i, v) in values.iter().enumerate() {
        let v = g.scale(*v, 1.0);
        g.output(&format!("value {i}"), v);
    }
    let mut session =
        Device::Cpu.prepare(lower(&g, Device::Cpu.caps(1)).expect("it fits")).expect("prepared");
    family.upload(&mut session).expect("uploaded");
    if session.has_input("numbers") {
        session.write("numbers", &(0..1000).map(|i| i as f32).collect::<Vec<_>>()).expect("written");
    }
    session.set_step_u32(0, "key", &[3, 5]).expect("staged");
    family.stage(&mut session, 0, 5, tasks.clone()).expect("staged");
    session.run(1).expect("run");
    let rows = |i: usize| {
        let values = session.read(&format!("value {i}")).expect("read");
        values.chunks(values.len() / tasks.len()).map(<[f32]>::to_vec).collect()
    };
    (0..values.len()).map(rows).collect()
}

/// Tasks a..b of a batch get exactly what they get in the whole batch.
#[test]
fn a_range_of_tasks_is_drawn_as_in_the_whole_batch() {
    for (name, family) in families() {
        let all = episodes(family.as_ref(), 0..9);
        assert!(all[0][0] != all[0][4], "{name}: tasks differ");
        for range in [0..4, 4..9, 7..8, 0..9] {
            let some = episodes(family.as_ref(), range.clone());
            for (i, (all, some)) in all.iter().zip(&some).enumerate() {
                assert!(all[range.clone()] == some[..], "{name}: value {i} of tasks {range:?}");
            }
        }
    }
}

#[test]
fn two_shards_are_one_batch_in_two_parts() {
    for device in [Device::Cpu, Device::CpuByLaunch] {
        shards::two_shards_are_one_batch_in_two_parts(&device, true);
    }
}

/// One shard of all tasks is a trainer, and goes on where a trainer stopped.
#[test]
fn a_shard_of_all_tasks_is_a_trainer() {
    for (name, learner, params) in shards::learners() {
        let s = shards::settings();
        let mut whole =
            Trainer::new(&Device::Cpu, &shards::FAMILY, learner.clone(), s, &params).expect("prepared");
        let mut shard = ShardTrainer::new(&Device::Cpu, &shards::FAMILY, learner, s, 0..s.tasks, &params)
            .expect("prepared");
        whole.advance(2).expect("two steps");
        shard.restore(&whole.state().expect("read"), whole.frozen(), 2).expect("restored");
        let want = whole.advance(2).expect("two steps");
        for record in want {
            let share = shard.gradient().expect("a gradient");
            assert_eq!(share, shard.gradient().expect("the same again"));
            assert_eq!(shard.update(&share).expect("a step").grad_norm, record.grad_norm, "{name}");
        }
        assert_eq!(shard.state().expect("read"), whole.state().expect("read"), "{name}");
    }
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let (_, learner, params) = shards::learners().remove(1);
    let s = shards::settings();
    let refused = |learner: &Learner, tasks: Range<usize>, part: &str| {
        let made = ShardTrainer::new(&Device::Cpu, &shards::FAMILY, learner.clone(), s, tasks, &params);
        match made {
            Err(e @ Error::Shape(_)) => assert!(e.to_string().contains(part), "{e}"),
            other => panic!("{part}: {:?}", other.map(|_| ())),
        }
    };
    refused(&learner, 4..4, "4..4");
    refused(&learner, 8..s.tasks + 1, "no part of a batch of 16");
    let Learner::Hyper(mut spec) = learner else { panic!("a hypernetwork") };
    spec.diversity = 0.1;
    refused(&Learner::Hyper(spec), 0..4, "diversity");
}

/// A gradient that is not finite refuses the step on every shard alike.
#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    let (_, learner, params) = shards::learners().remove(0);
    let s = shards::settings();
    let mut shard =
        ShardTrainer::new(&Device::Cpu, &shards::FAMILY, learner, s, 0..4, &params).expect("prepared");
    let before = shard.state().expect("read");
    let mut share = shard.gradient().expect("a gradient");
    share.gradient[3] = f32::NAN;
    assert!(!shard.update(&share).expect("a refused step").accepted());
    assert_eq!((shard.state().expect("read"), shard.step()), (before, 1));
    share.gradient.pop();
    assert!(matches!(shard.update(&share), Err(Error::Shape(_))));
}
