//! The networks of the tasks as files, which `predict` takes.

use crate::continual::{Learner, Sequence};
use crate::data::format::Format;
use crate::error::Result;
use crate::experiment::run_folder::{RunFolder, save_network};
use crate::meta::model::Network;
use crate::net::Net;
use crate::task::Likelihood;

/// A class of another task: its logit.
const NEVER: f32 = -30.0;

/// Where a task's classes lie among all classes of the file that it was made of, and how many these are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Among {
    pub(super) first: usize,
    pub(super) classes: usize,
}

/// Writes `networks/task-N.safetensors` for each task: its network, which tells all classes of the file apart, those of other tasks as never meant.
pub(super) fn save(
    folder: &RunFolder,
    learner: &mut Learner<'_>,
    sequence: &Sequence,
    (format, places): (&Format, &[Among]),
) -> Result<()> {
    let to = folder.file("networks");
    std::fs::create_dir_all(&to).map_err(crate::error::Error::io("create", &to))?;
    for (task, among) in places.iter().enumerate() {
        let (net, weights, own) = learner.network(task)?;
        let all = if sequence.has_classes() { among.classes } else { 1 };
        let head = net.expect_head();
        let (body, last) = weights.split_at(head.range.start);
        let (matrix, bias) = last.split_at(head.features * head.outputs);
        let place =
            |class: usize| class.checked_sub(among.first).filter(|c| *c < own.len()).map(|c| own.start + c);
        let mut flat = body.to_vec();
        for row in matrix.chunks(head.outputs) {
            flat.extend((0..all).map(|class| place(class).map_or(0.0, |at| row[at])));
        }
        flat.extend((0..all).map(|class| place(class).map_or(NEVER, |at| bias[at])));
        let layers = net.layers();
        let spec =
            Net::rows(net.input().to_vec()).with_all(layers[..layers.len() - 1].iter().cloned()).dense(all);
        let likelihood =
            if sequence.has_classes() { Likelihood::classes(all) } else { Likelihood::values(1) };
        let network = Network::of(spec, likelihood, flat)?;
        save_network(&to.join(format!("task-{}.safetensors", task + 1)), &network, format)?;
    }
    Ok(())
}
