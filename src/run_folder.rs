//! The run folder: what a run leaves on disk, and how it is read back.
//!
//! | file | what |
//! |---|---|
//! | `config.toml` | the resolved configuration |
//! | `checkpoint.safetensors` | weights, optimiser state, position, configuration, data encoding |
//! | `metrics.csv` | a row a step |
//! | `report.json` | the result ([`crate::meta::experiment::Report`]) |
//! | `loss.svg`, `tasks.svg`, `steps.svg` | the loss curve, unseen tasks, error by adaptation steps |

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Tensor};
use crate::config::Config;
use crate::data::format::Format;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::hyper::HyperSpec;
use crate::meta::adapt::Adaptation;
use crate::meta::evaluate::Judge;
use crate::meta::model::{Choice, Member, Model, Network};
use crate::spec::DenseSpec;

/// A run's folder.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFolder {
    path: PathBuf,
}

/// Where an unfinished run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct Saved {
    /// The resolved configuration.
    pub config: Config,
    /// Where the run stands.
    pub position: Position,
    /// The model as far as it is trained: finished members, then the one in progress.
    pub model: Model,
    /// Parameters and moments of the training in progress.
    pub state: Vec<f32>,
    /// How support and query files are read.
    pub format: Format,
}

/// What a checkpoint says about its model beside the weights.
#[derive(Serialize, Deserialize)]
struct About {
    spec: HyperSpec,
    judge: Judge,
    adaptation: Adaptation,
    choice: Choice,
    members: usize,
}

/// What a network file says beside the weights.
#[derive(Serialize, Deserialize)]
struct AboutNetwork {
    spec: DenseSpec,
    judge: Judge,
    members: usize,
}

impl RunFolder {
    /// A folder that is to be made: nothing is written before [`RunFolder::ensure`], so that a run that is
    /// refused leaves nothing behind.
    ///
    /// # Errors
    /// [`Error::Config`] where it exists and holds something: nothing is overwritten.
    pub fn fresh(path: &Path) -> Result<RunFolder> {
        let used = path.is_file() || std::fs::read_dir(path).is_ok_and(|mut d| d.next().is_some());
        if used {
            return Err(Error::config(
                path.display().to_string(),
                "the run folder exists: go on with --resume, or name another with --out",
            ));
        }
        Ok(RunFolder { path: path.to_path_buf() })
    }

    /// Makes the folder where it is missing.
    pub fn ensure(&self) -> Result<()> {
        std::fs::create_dir_all(&self.path).map_err(Error::io("create", &self.path))
    }

    /// Opens a folder that exists.
    pub fn open(path: &Path) -> Result<RunFolder> {
        if !path.is_dir() {
            return Err(Error::checkpoint(
                path,
                "there is no such run folder; `hyperloom train --out DIR` makes one",
            ));
        }
        Ok(RunFolder { path: path.to_path_buf() })
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
        for (i, m) in s.model.members.iter().enumerate() {
            for (name, w) in [("pooled", &m.pooled), ("hyper", &m.hyper)] {
                if !w.is_empty() {
                    c.tensors.insert(format!("member.{i}.{name}"), Tensor::f32(&[w.len()], w.clone()));
                }
            }
        }
        if !s.state.is_empty() {
            c.tensors.insert("state".into(), Tensor::f32(&[s.state.len()], s.state.clone()));
        }
        let about = About {
            spec: s.model.spec.clone(),
            judge: s.model.judge,
            adaptation: s.model.adaptation,
            choice: s.model.choice,
            members: s.model.members.len(),
        };
        c.metadata.insert("config".into(), s.config.to_toml()?);
        c.metadata.insert("position".into(), json(&s.position));
        c.metadata.insert("model".into(), json(&about));
        c.metadata.insert("format_of_files".into(), json(&s.format));
        c.save(&self.file("checkpoint.safetensors"))
    }

    /// Reads a checkpoint back.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming what does not fit and what would be right.
    pub fn load(&self) -> Result<Saved> {
        let path = self.file("checkpoint.safetensors");
        if !path.exists() {
            return Err(Error::checkpoint(
                &path,
                "there is no checkpoint yet; go on with `hyperloom train --resume`",
            ));
        }
        let c = Checkpoint::load(&path)?;
        let config = Config::parse(field(&path, &c, "config")?, &path.display().to_string(), None)?;
        config.validate()?;
        let position: Position = parse(&path, &c, "position")?;
        let about: About = parse(&path, &c, "model")?;
        let format: Format = parse(&path, &c, "format_of_files")?;
        check_widths(&path, &about.spec.target, about.judge.outputs)?;
        format.validate(&path, about.spec.target.widths[0], about.judge.outputs)?;
        let (p, h) = (about.spec.target.layout().len(), about.spec.layout().len());
        let mut members = Vec::new();
        for i in 0..about.members {
            let get = |name: &str, len: usize| -> Result<Vec<f32>> {
                let key = format!("member.{i}.{name}");
                if !c.tensors.contains_key(&key) && !position.trained {
                    return Ok(vec![]);
                }
                Ok(c.f32(&key, &[len]).map_err(|e| Error::checkpoint(&path, e.to_string()))?.to_vec())
            };
            members.push(Member { pooled: get("pooled", p)?, hyper: get("hyper", h)? });
        }
        let state = match c.tensors.get("state") {
            Some(t) => c
                .f32("state", &[t.shape.iter().product()])
                .map_err(|e| Error::checkpoint(&path, e.to_string()))?
                .to_vec(),
            None => vec![],
        };
        let model = Model {
            spec: about.spec,
            judge: about.judge,
            adaptation: about.adaptation,
            members,
            choice: about.choice,
        };
        Ok(Saved { config, position, model, state, format })
    }

    /// The trained model of a finished run, and how its files are read.
    pub fn model(&self) -> Result<(Model, Format)> {
        let saved = self.load()?;
        if !saved.position.trained {
            return Err(Error::checkpoint(
                &self.path,
                "the run is not finished; go on with `hyperloom train --resume --out` and this folder",
            ));
        }
        Ok((saved.model, saved.format))
    }
}

impl Model {
    /// The trained model in a run folder. For the way its CSV files are encoded, see [`RunFolder::model`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the folder holds no finished run.
    pub fn load(folder: impl AsRef<Path>) -> Result<Model> {
        Ok(RunFolder::open(folder.as_ref())?.model()?.0)
    }
}

/// Writes one task's network.
pub fn save_network(path: &Path, network: &Network, format: &Format) -> Result<()> {
    let mut c = Checkpoint::default();
    for (i, w) in network.members.iter().enumerate() {
        c.tensors.insert(format!("member.{i}"), Tensor::f32(&[w.len()], w.clone()));
    }
    let about =
        AboutNetwork { spec: network.spec.clone(), judge: network.judge, members: network.members.len() };
    c.metadata.insert("network".into(), json(&about));
    c.metadata.insert("format_of_files".into(), json(format));
    c.save(path)
}

/// Reads one task's network.
pub fn load_network(path: &Path) -> Result<(Network, Format)> {
    let c = Checkpoint::load(path)?;
    let about: AboutNetwork = parse(path, &c, "network")?;
    check_widths(path, &about.spec, about.judge.outputs)?;
    let format: Format = parse(path, &c, "format_of_files")?;
    format.validate(path, about.spec.widths[0], about.judge.outputs)?;
    let p = about.spec.layout().len();
    let members = (0..about.members)
        .map(|i| {
            Ok(c.f32(&format!("member.{i}"), &[p])
                .map_err(|e| Error::checkpoint(path, e.to_string()))?
                .to_vec())
        })
        .collect::<Result<Vec<_>>>()?;
    if members.is_empty() {
        return Err(Error::checkpoint(path, "the file holds no network; `hyperloom adapt` writes one"));
    }
    Ok((Network { spec: about.spec, judge: about.judge, members }, format))
}

fn check_widths(path: &Path, spec: &DenseSpec, outputs: usize) -> Result<()> {
    let sound = spec.widths.len() >= 2 && spec.widths.iter().all(|w| (1..=1 << 20).contains(w));
    if !sound || spec.outputs() != outputs {
        return Err(Error::checkpoint(
            path,
            format!("widths {:?} with {outputs} outputs are no dense network", spec.widths),
        ));
    }
    Ok(())
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn field<'c>(path: &Path, c: &'c Checkpoint, key: &str) -> Result<&'c str> {
    c.metadata.get(key).map(String::as_str).ok_or_else(|| {
        Error::checkpoint(path, format!("the metadata lack '{key}': this is no checkpoint of that kind"))
    })
}

fn parse<T: for<'d> Deserialize<'d>>(path: &Path, c: &Checkpoint, key: &str) -> Result<T> {
    serde_json::from_str(field(path, c, key)?)
        .map_err(|e| Error::checkpoint(path, format!("the metadata '{key}' cannot be read: {e}")))
}
