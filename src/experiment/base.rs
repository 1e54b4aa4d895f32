//! Weights of one's own that every task's network is a correction to (`model.base`): those of a network, of a run's pooled network, or of a file with the target's
//! parameters by name.

use std::path::Path;

use super::run_folder::{OWN_NETWORK, RunFolder, load_network};
use crate::checkpoint::{Checkpoint, Tensor, TensorData, read_safetensors};
use crate::data::format::Format;
use crate::error::{Error, Result};
use crate::export::{StateDict, TorchNet};
use crate::net::{Net, Param};

/// The weights `[P]` of member `member`.
///
/// # Errors
/// [`Error::Config`] where the network is another than the target, or reads files another way, and those of reading a file.
pub(super) fn base_weights(path: &Path, member: usize, target: &Net, format: &Format) -> Result<Vec<f32>> {
    let fail = |message: String| Error::config("model.base", format!("{} {message}", path.display()));
    let own_network = path.join(OWN_NETWORK);
    if path.is_dir() && !own_network.is_file() {
        let (model, theirs) = RunFolder::open(path)?.model()?;
        same(&model.spec.target, target, &theirs, format).map_err(&fail)?;
        return Ok(model.members[member % model.members.len()].pooled.clone());
    }
    let file = if path.is_dir() { &own_network } else { path };
    let unreadable = |e: Error| match e {
        Error::Checkpoint { message, .. } => fail(format!("cannot be read: {message}")),
        other => other,
    };
    let checkpoint = read_safetensors(file).map_err(unreadable)?;
    if !checkpoint.metadata.contains_key("network") {
        return by_name(&checkpoint, target).map_err(fail);
    }
    let (network, theirs) = load_network(file).map_err(unreadable)?;
    same(&network.spec, target, &theirs, format).map_err(&fail)?;
    match &network.members[..] {
        [weights] => Ok(weights.clone()),
        members => Err(fail(format!(
            "has {} networks (members of a model, or draws of noise), whose predictions are averaged, and one network can be corrected: name the run folder, whose members are taken one for one",
            members.len()
        ))),
    }
}

/// Weights `[P]` that networks start with, from a file of parameters by name, of a network, or of a run (`model.initial`).
///
/// # Errors
/// Those of [`base_weights`].
pub(super) fn initial_weights(path: &Path, target: &Net, format: &Format) -> Result<Vec<f32>> {
    base_weights(path, 0, target, format).map_err(|e| match e {
        Error::Config { message, .. } => Error::config("model.initial", message),
        other => other,
    })
}

/// Refuses another network, and one that knows rows by other numbers.
fn same(theirs: &Net, target: &Net, format: &Format, own: &Format) -> std::result::Result<(), String> {
    let shown =
        |p: Option<&Param>| p.map_or("nothing".to_string(), |p| format!("'{}' {:?}", p.name, p.shape));
    let (a, b) = (theirs.layout(), target.layout());
    for i in 0..a.params.len().max(b.params.len()) {
        let (a, b) = (a.params.get(i), b.params.get(i));
        if a.map(|p| (&p.name, &p.shape)) != b.map(|p| (&p.name, &p.shape)) {
            return Err(format!(
                "has {} where the target has {}: model.target or model.net has to be that network",
                shown(a),
                shown(b)
            ));
        }
    }
    if theirs.layers() != target.layers() {
        return Err("has the weights of the target, but other activations or layers without weights: model.activation or model.net has to be that network's".into());
    }
    if !format.agrees(own) {
        return Err("reads and scales rows in another way than this run: it has to be trained on the same file, with the same columns and the same split (--seed or --splits)".into());
    }
    Ok(())
}

/// What metadata of a file say of how its parameters lie.
const FORMAT: &str = "format";

/// The target's parameters from a file that has them by name: as they are called and laid out here, or as PyTorch has them. The file's metadata may say which (`format`: `pt` or
/// `hyperloom`); where they do not, shapes do, and where these do not, it is refused.
pub(super) fn by_name(file: &Checkpoint, target: &Net) -> std::result::Result<Vec<f32>, String> {
    let mut state = StateDict::new();
    for (name, Tensor { shape, data }) in &file.tensors {
        let values = match data {
            TensorData::F32(v) => v.clone(),
            TensorData::F64(v) => v.iter().map(|v| *v as f32).collect(),
            TensorData::F16(v) => v.iter().map(|v| v.to_f32()).collect(),
            // What counts batches, and the like.
            _ => continue,
        };
        state.insert(name.clone(), (shape.clone(), values));
    }
    let by_torch = || TorchNet::of(target).map_err(|e| e.to_string())?.weights(&state);
    let own = by_own_name(file, target);
    match file.metadata.get(FORMAT).map(String::as_str) {
        Some("pt") => by_torch(),
        Some(format) if format.starts_with("hyperloom") => own,
        _ => match (own, by_torch()) {
            (Ok(own), Ok(torch)) if own != torch => Err(format!(
                "has square matrices alone, so that they may be [inputs, outputs] or, as PyTorch has them, [outputs, inputs]: say so by the metadata {FORMAT} = \"hyperloom\" or \"pt\" \
                 (save_file(..., metadata={{\"format\": \"pt\"}}))"
            )),
            (Ok(weights), _) | (Err(_), Ok(weights)) => Ok(weights),
            // What is most like a file of ours is refused as such.
            (Err(own), Err(torch)) => {
                let layout = target.layout();
                let matrices = || layout.params.iter().filter(|p| p.fans().is_some());
                let fits = |p: &Param| file.tensors.get(&p.name).is_some_and(|t| t.shape == p.shape);
                Err(if matrices().any(fits) { own } else { torch })
            }
        },
    }
}

fn by_own_name(file: &Checkpoint, target: &Net) -> std::result::Result<Vec<f32>, String> {
    let layout = target.layout();
    let mut weights = Vec::with_capacity(layout.len());
    for p in &layout.params {
        let Some(found) = file.tensors.get(&p.name) else {
            let names: Vec<String> =
                layout.params.iter().map(|p| format!("{} {:?}", p.name, p.shape)).collect();
            let there: Vec<&str> = file.tensors.keys().map(String::as_str).take(8).collect();
            return Err(format!(
                "has no '{}': the target needs {}, and there are {}",
                p.name,
                names.join(", "),
                there.join(", ")
            ));
        };
        let values = match file.f64(&p.name, &p.shape) {
            Ok(values) => Ok(values.iter().map(|v| *v as f32).collect()),
            Err(_) => file.f32(&p.name, &p.shape).map(<[f32]>::to_vec),
        };
        match values {
            Ok(values) if values.iter().all(|v| v.is_finite()) => weights.extend(values),
            Ok(_) => return Err(format!("has a number in '{}' that is not finite", p.name)),
            Err(_) => {
                return Err(format!(
                    "has '{}' as {} {:?}: F32 or F64 {:?} is needed",
                    p.name,
                    found.data.dtype(),
                    found.shape,
                    p.shape
                ));
            }
        }
    }
    match file.tensors.keys().find(|name| layout.get(name).is_none()) {
        Some(name) => {
            Err(format!("has '{name}', which the target has no parameter for: is it another network?"))
        }
        None => Ok(weights),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Activation;

    #[test]
    fn square_matrices_are_refused_unless_it_is_said_how_they_lie() {
        let target = Net::mlp(&[2, 2, 2], Activation::Tanh);
        let mut file = Checkpoint::default();
        for p in &target.layout().params {
            let numbers = p.range().map(|i| i as f32).collect();
            file.tensors.insert(p.name.clone(), Tensor::f32(&p.shape, numbers));
        }
        assert!(by_name(&file, &target).is_err_and(|e| e.contains("square matrices alone")));
        let mut said = |format: &str| {
            file.metadata.insert("format".into(), format.into());
            by_name(&file, &target).map(|w| w[..4].to_vec())
        };
        assert_eq!(said("hyperloom"), Ok(vec![0.0, 1.0, 2.0, 3.0]));
        assert_eq!(said("pt"), Ok(vec![0.0, 2.0, 1.0, 3.0]));
    }
}
