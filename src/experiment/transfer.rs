//! Training that starts from the hypernetwork of a finished run.

use std::path::Path;

use super::run_folder::RunFolder;
use crate::error::{Error, Result};
use crate::meta::objective::MetaSpec;
use crate::net::Param;

/// Puts the parameters of a finished run's hypernetwork into `init`. Those of another way of adaptation stay as they are.
pub(super) fn transfer(from: &Path, member: usize, meta: &MetaSpec, init: &mut [f32]) -> Result<()> {
    let (source, _) = RunFolder::open(from)?.model()?;
    let (mine, theirs) = (meta.hyper.layout(), source.spec.layout());
    let shape = |p: Option<&Param>| match p {
        Some(p) => format!("'{}' {:?}", p.name, p.shape),
        None => "nothing".into(),
    };
    for i in 0..mine.params.len().max(theirs.params.len()) {
        let (a, b) = (mine.params.get(i), theirs.params.get(i));
        if a.map(|p| (&p.name, &p.shape)) != b.map(|p| (&p.name, &p.shape)) {
            return Err(Error::config(
                "train.from",
                format!(
                    "{} has {} where this run has {}: the shapes of both hypernetworks must be the same",
                    from.display(),
                    shape(b),
                    shape(a)
                ),
            ));
        }
    }
    let (mine_init, their_init) = (meta.hyper.init, source.spec.init);
    if mine_init != their_init {
        let name = |init| {
            serde_json::to_value(init).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default()
        };
        let (mine, theirs) = (name(mine_init), name(their_init));
        let message = format!(
            "what the head of {} gives is scaled by model.hyper_init = \"{theirs}\", and this run has \"{mine}\": take the same",
            from.display()
        );
        return Err(Error::config("train.from", message));
    }
    let weights = &source.members[member % source.members.len()].hyper;
    init[..mine.len()].copy_from_slice(&weights[..mine.len()]);
    let (mine, theirs) = (meta.layout(), source.adaptation.layout(&source.spec));
    for p in mine.params.iter().filter(|p| p.is_called("adapt")) {
        if let Some(q) = theirs.get(&p.name).filter(|q| q.shape == p.shape) {
            init[p.range()].copy_from_slice(&weights[q.range()]);
        }
    }
    Ok(())
}
