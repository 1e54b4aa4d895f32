//! Models that an application keeps ready: what they make of tasks is what models make of them, again and again.

#[path = "support/small.rs"]
mod small;
mod support;
#[path = "support/ways.rs"]
mod ways;

use hyperloom::adapt::Gate;
use hyperloom::{Device, Prepared, PreparedSizes, Result};
use small::small;
use ways::{QUERY, model_and_task, ways};

/// By every way of adaptation, three tasks side by side and one alone.
#[test]
fn it_makes_of_tasks_what_the_model_makes_of_them() -> Result<()> {
    for (i, (name, meta, kind)) in ways().into_iter().enumerate() {
        let (mut model, first) = model_and_task(&meta, kind, 3);
        let mut steps = Some(if i % 2 == 0 { 2 } else { 0 });
        if name.contains("ridge") && !name.contains("noise") {
            model.choice.gate = Some(Gate { prior: -0.5, temperature: 0.3, noise: 0.2 });
            (model.choice.steps, steps) = (1, None);
        }
        // Another task with fewer rows.
        let (_, mut other) = model_and_task(&meta, kind, 2);
        other.descriptor.clone_from(&first.descriptor);
        let tasks = [first.clone(), other, first];
        for many in [3, 1] {
            let sizes = PreparedSizes { tasks: many, support_rows: 4, rows: QUERY };
            let mut ready = Prepared::new(&Device::Cpu, &model, sizes, steps)?;
            let asked: Vec<f32> = tasks[..many].iter().flat_map(|t| t.xq.clone()).collect();
            let mut said = vec![0.0; many * QUERY * model.likelihood.outputs];
            // Twice, of which the second has nothing of the first.
            for order in [[2, 1, 0], [0, 1, 2]] {
                let support: Vec<(&[f32], &[f32])> =
                    order[..].iter().take(many).map(|t| (&tasks[*t].xs[..], &tasks[*t].ys[..])).collect();
                let descriptors: Vec<f32> =
                    order.iter().take(many).flat_map(|t| tasks[*t].descriptor.clone()).collect();
                ready.adapt_all(&support, &descriptors)?;
                ready.predict(&asked, &mut said)?;
            }
            for (task, got) in tasks.iter().zip(said.chunks(said.len() / many)) {
                let want = model.adapt(&Device::Cpu, task, steps)?.predict(&Device::Cpu, &task.xq)?;
                let largest = want.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
                let off = want.iter().zip(got).map(|(a, b)| (a - b).abs() / largest).fold(0.0, f32::max);
                assert!(off <= 2e-5, "{name}, {many} tasks: off by {off:.1e}");
            }
        }
    }
    Ok(())
}

#[test]
fn networks_are_kept_and_put_back() -> Result<()> {
    let mut ready = Prepared::new(&Device::Cpu, &small(), PreparedSizes::default(), Some(5))?;
    let mut said = [[0.0]; 3];
    ready.adapt(&[0.1, 0.2], &[0.7], &[])?;
    ready.predict(&[0.3, 0.4], &mut said[0])?;
    let kept = ready.networks()?;
    assert_eq!(kept.len(), ready.network_numbers());
    ready.adapt(&[0.1, 0.2], &[-0.7], &[])?;
    ready.predict(&[0.3, 0.4], &mut said[1])?;
    ready.set_networks(&kept)?;
    ready.predict(&[0.3, 0.4], &mut said[2])?;
    assert!(said[0] == said[2] && said[0] != said[1], "{said:?}");
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let new = |sizes| Prepared::new(&Device::Cpu, &small(), sizes, Some(1));
    let said = |sizes| new(sizes).err().map_or(String::new(), |e| e.to_string());
    let sizes = PreparedSizes::default();
    assert!(said(PreparedSizes { tasks: 0, ..sizes }).contains("at least one of each"));
    assert!(said(PreparedSizes { support_rows: 0, ..sizes }).contains("1 to 10000 are possible"));
    let mut ready = new(sizes)?;
    let mut refused = |xs: &[f32], ys: &[f32], d: &[f32]| {
        ready.adapt(xs, ys, d).err().map_or(String::new(), |e| e.to_string())
    };
    assert!(refused(&[0.0; 3], &[0.0], &[]).contains("task 0 has 3 and 1 numbers: 1 to 16 rows"));
    assert!(refused(&[0.0; 34], &[0.0; 17], &[]).contains("1 to 16 rows"));
    assert!(refused(&[], &[], &[]).contains("1 to 16 rows"));
    assert!(refused(&[0.0, f32::NAN], &[0.0], &[]).contains("not finite"));
    assert!(refused(&[0.0; 2], &[0.0], &[1.0]).contains("1 numbers of descriptors"));
    let mut room = [0.0; 2];
    assert!(ready.predict(&[0.0; 2], &mut room).is_err_and(|e| e.to_string().contains("room for 2 numbers")));
    assert!(
        ready
            .predict(&[f32::INFINITY; 2], &mut room[..1])
            .is_err_and(|e| e.to_string().contains("not finite"))
    );
    assert!(ready.predict(&[0.0; 3], &mut room[..1]).is_err());
    Ok(())
}
