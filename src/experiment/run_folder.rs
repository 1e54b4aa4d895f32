//! The run folder: what a run leaves on disk, and how it is read back.
//!
//! | file | what |
//! |---|---|
//! | `config.toml` | the resolved configuration |
//! | `checkpoint.safetensors` | weights, optimiser state, position, configuration, data encoding |
//! | `metrics.csv` | a row a step |
//! | `report.json` | the result ([`super::Report`]) |
//! | `network.safetensors` | of one task: its network, as `predict` reads it |
//! | `loss.svg`, `tasks.svg`, `steps.svg` | the loss curve, unseen tasks, error by adaptation steps |

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::single::CurvePoint;
use crate::checkpoint::{Checkpoint, Tensor};
use crate::data::format::Format;
use crate::error::{Error, Result};
use crate::files::{is_temporary, remove_temporaries, write_atomically};
use crate::hyper::HyperSpec;
use crate::meta::model::{Model, Network, layout_to_freeze};
use crate::meta::packed;
use crate::meta::store::{check_net, field, impossible, json, own_layout, parse};
use crate::net::{Compression, Net, Own, ParamLayout};
use crate::task::Likelihood;

/// The network of a run of a single task.
pub const OWN_NETWORK: &str = "network.safetensors";

/// A run's folder.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFolder {
    path: PathBuf,
    /// Layers of a program's own, which files hold only the names of.
    own: Vec<Own>,
}

/// Where an unfinished run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Position {
    /// Member being trained.
    pub member: usize,
    /// Whether its pooled network is done and its hypernetwork is being trained.
    pub hyper: bool,
    /// Steps of that training done.
    pub step: u64,
    /// Whether everything is trained.
    pub trained: bool,
    /// Milliseconds of training so far.
    pub millis: u64,
}

/// Everything a checkpoint holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Saved {
    /// The resolved configuration.
    pub config: Config,
    /// Where the run stands.
    pub position: Position,
    /// The model as far as it is trained: finished members, then the one in progress.
    pub model: Model,
    /// Parameters and moments of the training in progress.
    pub state: Vec<f32>,
    /// Parameters that the training in progress holds as they are.
    pub frozen: Vec<f32>,
    /// How support and query files are read.
    pub format: Format,
    /// The validation curve so far, of a source that is one task.
    pub curve: Vec<CurvePoint>,
}

/// What a network file says beside the weights.
#[derive(Serialize, Deserialize)]
struct AboutNetwork {
    spec: Net,
    #[serde(alias = "judge")]
    likelihood: Likelihood,
    shares: Vec<f64>,
    /// Networks that noise made of each member; 0: there was none.
    #[serde(default, skip_serializing_if = "one_at_most")]
    draws: usize,
    #[serde(default, skip_serializing_if = "Compression::is_none")]
    compression: Compression,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layout: Option<ParamLayout>,
}

fn one_at_most(draws: &usize) -> bool {
    *draws <= 1
}

impl RunFolder {
    /// A folder that is to be made: nothing is written before [`RunFolder::ensure`], so that a run that is
    /// refused leaves nothing behind.
    ///
    /// # Errors
    /// [`Error::Config`] where it exists and holds something: nothing is overwritten.
    pub fn fresh(path: &Path) -> Result<RunFolder> {
        let kept = |entry: std::io::Result<std::fs::DirEntry>| !entry.is_ok_and(|e| is_temporary(&e.path()));
        let used = path.is_file() || std::fs::read_dir(path).is_ok_and(|mut d| d.any(kept));
        if used {
            return Err(Error::config(
                path.display().to_string(),
                "the run folder exists: go on with --resume, or name another with --out",
            ));
        }
        Ok(RunFolder { path: path.to_path_buf(), own: vec![] })
    }

    /// Makes the folder where it is missing, and clears it of what a killed process was writing.
    pub fn ensure(&self) -> Result<()> {
        std::fs::create_dir_all(&self.path).map_err(Error::io("create", &self.path))?;
        remove_temporaries(&self.path);
        Ok(())
    }

    /// Opens a folder that exists.
    pub fn open(path: &Path) -> Result<RunFolder> {
        if !path.is_dir() {
            return Err(Error::checkpoint(
                path,
                "there is no such run folder; `hyperloom train --out DIR` makes one",
            ));
        }
        Ok(RunFolder { path: path.to_path_buf(), own: vec![] })
    }

    /// With the layers of a program's own that the run's target has: files hold only their names.
    #[must_use]
    pub fn with_own(mut self, own: &[Own]) -> RunFolder {
        self.own = own.to_vec();
        self
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file whole or not at all.
    pub fn write(&self, name: &str, contents: &str) -> Result<()> {
        write_atomically(&self.file(name), contents.as_bytes())
    }

    /// Whether there is a checkpoint to go on from.
    pub fn has_checkpoint(&self) -> bool {
        self.file("checkpoint.safetensors").exists()
    }

    /// Stores everything that the run needs to go on, or to be used.
    pub fn save(&self, s: &Saved) -> Result<()> {
        let mut c = Checkpoint::default();
        s.model.put(&mut c);
        if !s.state.is_empty() {
            c.tensors.insert("state".into(), Tensor::f32(&[s.state.len()], s.state.clone()));
        }
        if !s.frozen.is_empty() {
            c.tensors.insert("frozen".into(), Tensor::f32(&[s.frozen.len()], s.frozen.clone()));
        }
        c.metadata.insert("config".into(), s.config.to_toml()?);
        c.metadata.insert("position".into(), json(&s.position));
        c.metadata.insert("format_of_files".into(), json(&s.format));
        if !s.curve.is_empty() {
            c.metadata.insert("curve".into(), json(&s.curve));
        }
        c.save(&self.file("checkpoint.safetensors"))
    }

    /// Reads a checkpoint back.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming what does not fit and what would be right.
    pub fn load(&self) -> Result<Saved> {
        let path = self.file("checkpoint.safetensors");
        if !path.exists() {
            let message = match self.file("config.toml").exists() {
                true => "there is no checkpoint yet; go on with `hyperloom train --resume`",
                false => {
                    "the folder holds no run (no config.toml, no checkpoint); `hyperloom train --out DIR` makes one"
                }
            };
            return Err(Error::checkpoint(&self.path, message));
        }
        let c = Checkpoint::load(&path)?;
        let config = Config::parse(field(&path, &c, "config")?, &path.display().to_string(), None)?;
        config.validate().map_err(|e| Error::checkpoint(&path, e.to_string()))?;
        let position: Position = parse(&path, &c, "position")?;
        let format: Format = parse(&path, &c, "format_of_files")?;
        // Finished members, then the one in progress.
        let model = Model::get(&path, &c, &self.own, |i| {
            let done = i < position.member;
            (done || (i == position.member && position.hyper), done)
        })?;
        let curve = if c.metadata.contains_key("curve") { parse(&path, &c, "curve")? } else { vec![] };
        let (members, inputs) = (model.members.len(), model.spec.target.inputs());
        let trained = position.member == members;
        if position.member > members || position.trained != trained || (trained && position.hyper) {
            return Err(impossible(&path, "position"));
        }
        format.validate(&path, inputs, model.likelihood.outputs)?;
        check_descriptor(&path, &model.spec, &format)?;
        let vector = |name: &str| match c.tensors.get(name) {
            Some(t) => c
                .f32(name, &[t.shape.iter().product()])
                .map(<[f32]>::to_vec)
                .map_err(|e| Error::checkpoint(&path, e.to_string())),
            None => Ok(vec![]),
        };
        // The first version called them held.
        let frozen = if c.tensors.contains_key("held") { "held" } else { "frozen" };
        let (state, frozen) = (vector("state")?, vector(frozen)?);
        let names = config.frozen();
        let frozen_segments =
            layout_to_freeze(model.adaptation.layout(&model.spec), &model.spec, &names).segments(&names);
        let frozen_len: usize = frozen_segments.iter().filter(|s| s.1).map(|s| s.0.len()).sum();
        let (len, steps) = match position.hyper {
            true => (model.adaptation.layout(&model.spec).len() - frozen_len, config.train.steps),
            false => (model.spec.target.layout().len(), config.train.pooled_steps),
        };
        let rows = config.train.optimiser.rows();
        let kept = if position.hyper && !state.is_empty() { frozen_len } else { 0 };
        let whole = if state.is_empty() { position.step == 0 } else { state.len() == rows * len };
        let whole = whole && frozen.len() == kept;
        if !whole || position.step > steps {
            return Err(Error::checkpoint(
                &path,
                format!(
                    "step {} of {steps} with {} numbers of state, where {rows} times {len} are needed: the file contradicts itself",
                    position.step,
                    state.len()
                ),
            ));
        }
        Ok(Saved { config, position, model, state, frozen, format, curve })
    }

    /// What a finished run left.
    ///
    /// # Errors
    /// Those of [`RunFolder::load`]; also where the run is not finished.
    pub fn finished(&self) -> Result<Saved> {
        let saved = self.load()?;
        if !saved.position.trained {
            return Err(Error::checkpoint(
                &self.path,
                "the run is not finished; go on with `hyperloom train --resume --out` and this folder",
            ));
        }
        Ok(saved)
    }

    /// The trained model of a finished run, and how its files are read.
    pub fn model(&self) -> Result<(Model, Format)> {
        let saved = self.finished()?;
        Ok((saved.model, saved.format))
    }
}

impl Model {
    /// The trained model in a run folder, or in a file that [`Model::save`] wrote. For the way its CSV files are encoded, see
    /// [`RunFolder::model`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the folder holds no finished run.
    pub fn load(path: impl AsRef<Path>) -> Result<Model> {
        Model::load_with(path, &[])
    }

    /// The same of a model whose target has layers of a program's own, of which files hold only the names.
    ///
    /// # Errors
    /// Those of [`Model::load`]; also where a layer is missing, or has other parameters than that which was saved.
    pub fn load_with(path: impl AsRef<Path>, own: &[Own]) -> Result<Model> {
        match path.as_ref().is_file() {
            true => Model::open_with(path, own),
            false => Ok(RunFolder::open(path.as_ref())?.with_own(own).model()?.0),
        }
    }
}

/// Writes one task's network.
pub fn save_network(path: &Path, network: &Network, format: &Format) -> Result<()> {
    let mut c = Checkpoint::default();
    let layout = network.spec.layout();
    for (i, w) in network.members.iter().enumerate() {
        packed::put(&mut c, &format!("member.{i}"), &layout, w, &network.compression);
    }
    let about = AboutNetwork {
        spec: network.spec.clone(),
        likelihood: network.likelihood,
        shares: network.shares.clone(),
        draws: network.draws,
        compression: network.compression,
        layout: own_layout(&network.spec),
    };
    c.metadata.insert("network".into(), json(&about));
    c.metadata.insert("format_of_files".into(), json(format));
    c.save(path)
}

/// Reads one task's network.
pub fn load_network(path: &Path) -> Result<(Network, Format)> {
    load_network_with(path, &[])
}

/// The network of a run of a single task, or of a file.
///
/// # Errors
/// [`Error::Config`] where there is none, and those of [`load_network`].
pub fn network_of(model: &Path) -> Result<(Network, Format)> {
    let inside = model.join(OWN_NETWORK);
    if inside.is_file() {
        return load_network(&inside);
    }
    if model.is_file() {
        return load_network(model);
    }
    let why = match model.exists() {
        true => {
            format!(
                "holds no {OWN_NETWORK}: `hyperloom train` writes it when a run of a single task is done; of other runs `hyperloom adapt` makes a network for a task"
            )
        }
        false => "there is no such run folder or network; `hyperloom train` makes them".into(),
    };
    Err(Error::config(model.display().to_string(), why))
}

/// Networks of a file: three of each draw of each member at most.
const MOST_NETWORKS: usize = 3 * 256 * 100;

/// The same of a network that has layers of a program's own.
pub fn load_network_with(path: &Path, own: &[Own]) -> Result<(Network, Format)> {
    let c = Checkpoint::load(path)?;
    if !c.metadata.contains_key("network") {
        let what = if c.metadata.contains_key("position") {
            "the checkpoint of a run: name its folder"
        } else {
            "of another kind"
        };
        return Err(Error::checkpoint(path, format!("holds no network, and is {what}")));
    }
    let mut about: AboutNetwork = parse(path, &c, "network")?;
    about.spec.hand_over(own);
    check_net(path, &about.spec, about.likelihood.outputs, about.layout.as_ref())?;
    let format: Format = parse(path, &c, "format_of_files")?;
    format.validate(path, about.spec.inputs(), about.likelihood.outputs)?;
    about.compression.check_share().map_err(|e| Error::checkpoint(path, e))?;
    let layout = about.spec.layout();
    let n = about.shares.len();
    if n > MOST_NETWORKS || !about.shares.iter().all(|s| (0.0..=1.0).contains(s)) {
        return Err(Error::checkpoint(path, format!("{n} members with shares that are no shares")));
    }
    let members = (0..n)
        .map(|i| {
            packed::get(&c, &format!("member.{i}"), &layout, &about.compression)
                .map_err(|e| Error::checkpoint(path, e.to_string()))
        })
        .collect::<Result<Vec<_>>>()?;
    if members.is_empty() {
        return Err(Error::checkpoint(path, "the file holds no network; `hyperloom adapt` writes one"));
    }
    let mut network = Network::new(about.spec, about.likelihood, members, about.shares);
    network.draws = about.draws.max(1);
    network.compression = about.compression;
    Ok((network, format))
}

/// Whether the descriptor that the model reads can be made from its files.
fn check_descriptor(path: &Path, spec: &HyperSpec, format: &Format) -> Result<()> {
    let (needed, there) = (spec.condition.descriptor, format.descriptors());
    if needed > there {
        let message = format!("the model reads a descriptor of {needed} numbers, but its files give {there}");
        return Err(Error::checkpoint(path, message));
    }
    Ok(())
}
