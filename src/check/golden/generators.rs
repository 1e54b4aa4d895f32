//! Files of generators: a hypernetwork reads the support of tasks and writes a dense network for each; what it writes, predictions, their
//! loss and its gradient by every parameter.

use super::layers::BLOCK;
use super::{File, Job, Named, Outcome};
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::hyper::{Condition, ConditionSpec, Film, Generator, HyperSpec, LowRank, SetEncoder, Transformer};
use crate::net::{Net, Weights};
use crate::plan::KEEP;
use crate::spec::{Activation, count};
use crate::task::Rows;

impl File<'_> {
    /// The hypernetwork of a file, and its parameters in the order of the layout; `None` for another file.
    fn generator(&self, kind: &str) -> Result<Option<(HyperSpec, Vec<String>)>> {
        match kind {
            "hypernet_transformer" => {}
            "hypernet_film" | "hypernet_lowrank" => return self.modulating(kind).map(Some),
            _ => return Ok(None),
        }
        let size =
            |name: &str| -> Result<usize> { Ok(self.tensor(name)?.shape.last().copied().unwrap_or(0)) };
        let (blocks, heads): (usize, usize) = (self.setting("blocks")?, self.setting("heads")?);
        let dims: Vec<usize> = self.setting("dims")?;
        let generator = Transformer {
            width: size("be")?,
            heads,
            blocks,
            hidden: size("b0_b1")?,
            ..Transformer::default()
        };
        let support = SetEncoder::new(size("xs")? + size("ys")?, vec![], 1.0);
        let condition = ConditionSpec { support: Some(support), ..ConditionSpec::default() };
        let target = Net::mlp(&dims, Activation::Tanh);
        let mut hyper = HyperSpec::new(condition, vec![], Activation::Identity, target);
        hyper.generator = Generator::Transformer(generator);
        let mut names: Vec<String> = ["we", "be", "layer_token"].map(String::from).into();
        for b in 0..blocks {
            names.extend(BLOCK.map(|part| format!("b{b}_{part}")));
        }
        names.extend(["lnf_gain", "lnf_shift"].map(String::from));
        for what in ["w", "b"] {
            names.extend((0..dims.len() - 1).map(|l| format!("head_{what}{l}")));
        }
        Ok(Some((hyper, names)))
    }

    /// A hypernetwork that reads a descriptor `z` through one layer, and changes weights that tasks share.
    fn modulating(&self, kind: &str) -> Result<(HyperSpec, Vec<String>)> {
        let dims: Vec<usize> = self.setting("dims")?;
        let last =
            |name: &str| -> Result<usize> { Ok(self.tensor(name)?.shape.last().copied().unwrap_or(0)) };
        let condition = ConditionSpec { descriptor: last("z")?, ..ConditionSpec::default() };
        let (low_rank, layers) = (kind == "hypernet_lowrank", 0..dims.len() - 1);
        let activation = if low_rank { Activation::Gelu } else { Activation::Relu };
        let target = Net::mlp(&dims, Activation::Tanh);
        let mut hyper = HyperSpec::new(condition, vec![last("b1")?], activation, target);
        let mut names: Vec<String> = ["w1", "b1"].map(String::from).into();
        if low_rank {
            hyper.generator =
                Generator::LowRank(LowRank { rank: self.setting("rank")?, scale: self.setting("alpha")? });
            names.extend(
                layers.clone().flat_map(|l| ["a", "ab", "b", "bb"].map(|of| format!("head_{of}{l}"))),
            );
        } else {
            hyper.generator = Generator::Film(Film {});
            names.extend(["w2", "b2"].map(String::from));
        }
        names.extend(layers.flat_map(|l| ["w", "b"].map(|of| format!("base_{of}{l}"))));
        Ok((hyper, names))
    }

    /// Whether this is a file of a generator.
    pub(super) fn is_of_generators(kind: &str) -> bool {
        ["hypernet_transformer", "hypernet_film", "hypernet_lowrank"].contains(&kind)
    }

    /// What a generator writes and what comes of it.
    pub(super) fn generated(
        &self,
        kind: &str,
        run: &mut dyn FnMut(&Job) -> Result<Outcome>,
    ) -> Result<Named> {
        let Some((hyper, names)) = self.generator(kind)? else {
            return Err(Error::checkpoint(self.path, format!("'{kind}' is no kind of generator")));
        };
        hyper.check().map_err(|e| Error::checkpoint(self.path, e))?;
        let mut job = Job { steps: vec![vec![]], ..Job::default() };
        job.graph.keep(KEEP);
        let mut all = |names: &[&str]| -> Result<Vec<Value>> {
            names.iter().map(|name| self.data(&mut job, name)).collect()
        };
        // What is read of tasks: support rows, or a descriptor.
        let reads_rows = hyper.condition.support.is_some();
        let rows = all(if reads_rows { &["xs", "ys", "xq", "yq"] } else { &["z", "xq", "yq"] })?;
        let parts = all(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let g = &mut job.graph;
        let (support, descriptor, xq, yq) = match rows[..] {
            [xs, ys, xq, yq] => (Some(Rows::alike(g, xs, ys)), None, xq, yq),
            [z, xq, yq] => (None, Some(z), xq, yq),
            _ => return Err(Error::checkpoint(self.path, "rows are missing")),
        };
        let t = g.shape(xq)[0];
        let flats: Vec<Value> = parts.iter().map(|v| g.reshape(*v, &[count(g.shape(*v))])).collect();
        let layout = hyper.layout();
        let params = Weights { flat: g.concat(&flats, 0), layout: &layout };
        let available = Condition { support, task: None, descriptor, noise: None };
        let read = hyper.condition(g, params, &available);
        let weights = hyper.generate(g, params, read, t);
        let target = hyper.target.layout();
        // Through the factors, where there are some; what is written is held against the file, too.
        let y = match hyper.predict_by_factors(g, params, read.as_ref(), xq) {
            Some(y) => y,
            None => hyper.target.apply(g, Weights { flat: weights, layout: &target }, xq),
        };
        let d = g.sub(y, yq);
        let square = g.mul(d, d);
        let mean = g.mean(square);
        let mut outputs = vec![
            ("weights".to_string(), weights),
            ("pred".to_string(), y),
            ("loss".to_string(), g.reshape(mean, &[1])),
        ];
        let gradients = g.grad(mean, &parts);
        outputs.extend(names.iter().zip(gradients).map(|(name, v)| (format!("grad_{name}"), v)));
        let outputs: Vec<(&str, Value)> = outputs.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        self.outputs(run, job, &outputs)
    }
}
