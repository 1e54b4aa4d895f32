//! Whole models to be written out in other languages, one of every way of adaptation, and what the CPU path says by them.

use hyperloom::Device;
use hyperloom::adapt::{Gate, Member};
use hyperloom::export::{Program, program_of_model};
use hyperloom::meta::objective::Through;
use hyperloom::net::{Compression, Numbers};

use crate::ways::{QUERY, model_and_task, ways};

/// Support rows that there is room for, and those that are there.
pub(crate) const SHOTS: usize = 5;
pub(crate) const THERE: usize = 3;

/// A model to write out, a task for it, and what the CPU path says.
pub(crate) struct ModelCase {
    /// Its name as that of files.
    pub(crate) name: String,
    /// The way of adaptation.
    pub(crate) way: String,
    pub(crate) program: Program,
    pub(crate) support_x: Vec<f32>,
    pub(crate) support_y: Vec<f32>,
    pub(crate) x: Vec<f32>,
    pub(crate) want: Vec<f32>,
}

/// Rows of queries of every case.
pub(crate) const ROWS: usize = QUERY;

pub(crate) fn model_cases() -> Vec<ModelCase> {
    let mut all = vec![];
    for (i, (way, meta, kind)) in ways().into_iter().enumerate() {
        let steps = if meta.through == Through::None { 0 } else { meta.steps };
        let (mut model, task) = model_and_task(&meta, kind, THERE);
        let mut steps = Some(steps);
        // What is chosen on validation tasks: a part of the correction, sharper classes, networks that are weighed.
        if i % 3 == 1 && model.members[0].pooled.len() == model.spec.target.layout().len() {
            model.choice.correction = 0.75;
        }
        model.choice.sharpness = 1.5;
        if way.contains("ridge") && !way.contains("noise") {
            let Member { pooled, hyper } = &model.members[0];
            let changed = |values: &[f32]| values.iter().map(|v| 0.9 * v).collect();
            model.members.push(Member { pooled: changed(pooled), hyper: changed(hyper) });
            model.choice.gate = Some(Gate { prior: -0.5, temperature: 0.3, noise: 0.2 });
            (model.choice.steps, steps) = (1, None);
        }
        // Networks of fewer bytes.
        if i % 4 == 2 {
            let numbers = [Numbers::Int8, Numbers::Int4, Numbers::Int8Tensor, Numbers::F32][i / 4 % 4];
            let prune = if i / 4 % 4 > 1 { 0.4 } else { 0.0 };
            let networks = Compression::new(numbers, prune);
            model = model.compressed(Compression::default(), networks).expect("it can be compressed");
        }
        let network = model.adapt(&Device::Cpu, &task, steps).expect("a network");
        let want = network.predict(&Device::Cpu, &task.xq).expect("predictions");
        let name = format!("way{i}");
        let program = program_of_model(&name, &model, SHOTS, steps).unwrap_or_else(|e| panic!("{way}: {e}"));
        // Rows that do not count may hold anything.
        let padded = |rows: &[f32]| {
            let mut rows = rows.to_vec();
            rows.resize(rows.len() / THERE * SHOTS, 7.0);
            rows
        };
        let (support_x, support_y) = (padded(&task.xs), padded(&task.ys));
        all.push(ModelCase { name, way, program, support_x, support_y, x: task.xq, want });
    }
    assert!(all.len() > 100, "{} ways", all.len());
    all
}

impl ModelCase {
    /// What is not what the CPU path says.
    pub(crate) fn fault(&self, got: &[f32]) -> Option<String> {
        let largest = self.want.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        let off = self.want.iter().zip(got).map(|(a, b)| (a - b).abs() / largest);
        let off = off.fold(0.0f32, |m, v| if v.is_nan() || v > m { v } else { m });
        (off.is_nan() || off > 1e-5 || got.len() != self.want.len())
            .then(|| format!("{} ({}): off by {off:.1e}: {got:?}, {:?}", self.way, self.name, self.want))
    }
}
