//! Models in files: what they are as JSON, their weights as tensors (safetensors).

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::model::{Choice, Model, layout_in_files};
use super::packed;
use crate::adapt::{Adaptation, Member};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::hyper::HyperSpec;
use crate::net::{Compression, Net, Own, ParamLayout};
use crate::task::Likelihood;

/// The most steps of adaptation.
pub(crate) const MAX_STEPS: usize = 100_000;

/// What a checkpoint says about its model beside the weights.
#[derive(Serialize, Deserialize)]
struct About {
    spec: HyperSpec,
    #[serde(alias = "judge")]
    likelihood: Likelihood,
    adaptation: Adaptation,
    fine_tuning: Adaptation,
    choice: Choice,
    members: usize,
    #[serde(default, skip_serializing_if = "Compression::is_none")]
    stored: Compression,
    /// What the weights of the target are, where layers of a program's own say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layout: Option<ParamLayout>,
}

impl Model {
    /// Writes the model to a file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut c = Checkpoint::default();
        self.put(&mut c);
        c.save(path.as_ref())
    }

    /// The model in a file that [`Model::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming what does not fit and what would be right.
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        Model::open_with(path, &[])
    }

    /// The same of a model whose target has layers of a program's own, of which the file holds only the names.
    ///
    /// # Errors
    /// Those of [`Model::open`]; also where a layer is missing, or has other parameters than that which was saved.
    pub fn open_with(path: impl AsRef<Path>, own: &[Own]) -> Result<Model> {
        Model::get(path.as_ref(), &Checkpoint::load(path.as_ref())?, own, |_| (true, true))
    }

    /// Puts all that it is into a checkpoint.
    pub(crate) fn put(&self, c: &mut Checkpoint) {
        let (hyper, target) = (self.layout_in_files(), self.spec.target.layout());
        for (i, m) in self.members.iter().enumerate() {
            for (name, layout, w) in [("pooled", &target, &m.pooled), ("hyper", &hyper, &m.hyper)] {
                if !w.is_empty() {
                    packed::put(c, &format!("member.{i}.{name}"), layout, w, &self.stored);
                }
            }
        }
        let about = About {
            spec: self.spec.clone(),
            likelihood: self.likelihood,
            adaptation: self.adaptation,
            fine_tuning: self.fine_tuning,
            choice: self.choice.clone(),
            members: self.members.len(),
            stored: self.stored,
            layout: own_layout(&self.spec.target),
        };
        c.metadata.insert("model".into(), json(&about));
    }

    /// Reads it back; `trained` says of a member whether its pooled network and its hypernetwork are there.
    pub(crate) fn get(
        path: &Path,
        c: &Checkpoint,
        own: &[Own],
        trained: impl Fn(usize) -> (bool, bool),
    ) -> Result<Model> {
        let mut about: About = parse(path, c, "model")?;
        about.spec.target.hand_over(own);
        check_net(path, &about.spec.target, about.likelihood.outputs, about.layout.as_ref())?;
        check_about(path, &about)?;
        let target = about.spec.target.layout();
        let hyper = layout_in_files(&about.adaptation.layout(&about.spec), &target);
        let mut members = Vec::new();
        for i in 0..about.members {
            // What is trained must be there, and only that.
            let get = |name: &str, layout: &ParamLayout, trained: bool| -> Result<Vec<f32>> {
                if !trained {
                    return Ok(vec![]);
                }
                packed::get(c, &format!("member.{i}.{name}"), layout, &about.stored)
                    .map_err(|e| Error::checkpoint(path, e.to_string()))
            };
            let (has_pooled, has_hyper) = trained(i);
            members.push(Member {
                pooled: get("pooled", &target, has_pooled)?,
                hyper: get("hyper", &hyper, has_hyper)?,
            });
        }
        Ok(Model {
            spec: about.spec,
            likelihood: about.likelihood,
            adaptation: about.adaptation,
            fine_tuning: about.fine_tuning,
            members,
            choice: about.choice,
            stored: about.stored,
            ready: Default::default(),
        })
    }
}

/// Widths and numbers of layers as a configuration may have them; no size computed from them overflows.
fn sound_widths(widths: &[usize]) -> bool {
    widths.len() <= 66 && widths.iter().all(|w| (1..=65_536).contains(w))
}

/// Checks what a checkpoint says about its model: nothing in it may lead outside an array, or to an allocation
/// that its own size does not account for.
fn check_about(path: &Path, about: &About) -> Result<()> {
    let HyperSpec { condition, trunk, .. } = &about.spec;
    let support = condition
        .support
        .as_ref()
        .is_none_or(|s| sound_widths(&s.widths) && !s.widths.is_empty() && s.scale.is_finite());
    let embedding = condition
        .embedding
        .as_ref()
        .is_none_or(|e| (1..=1 << 31).contains(&e.tasks) && (1..=65_536).contains(&e.width));
    let sound = support
        && embedding
        && about.stored.check_share().is_ok()
        && sound_widths(trunk)
        && about.spec.check().is_ok()
        && (about.choice.gate.is_none() || about.adaptation.rule.has_evidence())
        && about.adaptation.fits(&about.spec)
        && about.fine_tuning.fits(&about.spec)
        && about
            .choice
            .intervals
            .as_ref()
            .is_none_or(|i| i.factors.len() <= 100 && i.growth.len() <= 100_000)
        && condition.descriptor <= 65_536
        && (1..=100).contains(&about.members)
        && about.choice.steps <= MAX_STEPS;
    match sound {
        true => Ok(()),
        false => Err(impossible(path, "model")),
    }
}

/// A checkpoint that contradicts itself.
pub(crate) fn impossible(path: &Path, what: &str) -> Error {
    let message =
        format!("what it says about its {what} is not possible; use an earlier checkpoint or train again");
    Error::checkpoint(path, message)
}

/// What the weights of a net are, to be stored beside it: only layers of a program's own may come to mean another thing.
pub(crate) fn own_layout(net: &Net) -> Option<ParamLayout> {
    (!net.own_layers().is_empty()).then(|| net.layout())
}

/// Refuses a net that is not possible, or that does not mean what it meant when it was stored with `layout`.
pub(crate) fn check_net(path: &Path, net: &Net, outputs: usize, layout: Option<&ParamLayout>) -> Result<()> {
    net.check().map_err(|e| Error::checkpoint(path, format!("its network is not possible: {e}")))?;
    if let Some(stored) = layout {
        let shapes = |l: &ParamLayout| -> Vec<String> {
            l.params.iter().map(|p| format!("'{}' {:?}", p.name, p.shape)).collect()
        };
        let (then, now) = (shapes(stored), shapes(&net.layout()));
        if then != now {
            let message = format!(
                "its network had the parameters {}, and with the layers that were handed over it has {}",
                then.join(", "),
                now.join(", ")
            );
            return Err(Error::checkpoint(path, message));
        }
    }
    if net.outputs() != outputs {
        let message = format!("a network of {} outputs where {outputs} are needed", net.outputs());
        return Err(Error::checkpoint(path, message));
    }
    Ok(())
}

pub(crate) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

pub(crate) fn field<'c>(path: &Path, c: &'c Checkpoint, key: &str) -> Result<&'c str> {
    c.metadata.get(key).map(String::as_str).ok_or_else(|| {
        Error::checkpoint(path, format!("the metadata lack '{key}': this is no checkpoint of that kind"))
    })
}

pub(crate) fn parse<T: for<'d> Deserialize<'d>>(path: &Path, c: &Checkpoint, key: &str) -> Result<T> {
    serde_json::from_str(field(path, c, key)?)
        .map_err(|e| Error::checkpoint(path, format!("the metadata '{key}' cannot be read: {e}")))
}
