//! What a trained policy does in one world.

use std::path::Path;

use super::config::{PolicyConfig, PolicySource};
use super::{STATE, saved};
use crate::error::{Error, Result};
use crate::policy::{Behaviour, Setting, Trajectory, Worlds, environment};
use crate::run::Device;

/// So many steps of the policy of a run in one world (0: one trial at most, which is an episode but of a policy with a memory), whose context has these numbers (`length=0.7`; what else differs in the run is in the middle of its
/// range, a sign 1): what it saw and did. The run is read alone.
///
/// # Errors
/// A run that is not trained, a context that is none, and what the device refuses.
pub fn roll_out(
    device: &Device,
    run: &Path,
    (context, how): (&str, Behaviour),
    steps: usize,
    seed: u64,
) -> Result<Trajectory> {
    let config = PolicyConfig::read(run)?;
    let file = run.join(STATE);
    if !file.is_file() {
        return Err(Error::checkpoint(
            run,
            "holds no trained policy yet: go on with hyperloom train --resume",
        ));
    }
    let c = saved(&file, &config)?;
    if config.weights == PolicySource::Own {
        let message =
            "a run whose tasks have networks of their own says of no other context what to do in it";
        return Err(Error::config("--context", message));
    }
    let found = environment(&config.environment, "environment")?;
    let varied = Worlds::varied(&*found, &config.context, "context")?;
    let given = Worlds::parse(&*found, context, "--context")?;
    for g in &given {
        let name = &found.context()[g.column].name;
        if g.range[0] < g.range[1] {
            let message = format!("a roll-out has one {name}, not a range of them");
            return Err(Error::config("--context", message));
        }
        let trained = varied.iter().find(|v| v.column == g.column).map(|v| v.range);
        if let Some([low, high]) = trained.filter(|[low, high]| !(low..=high).contains(&&g.range[0])) {
            log::warn!("{name} {} is outside of {low}..{high}, where the policy was trained", g.range[0]);
        }
    }
    let given: Vec<(usize, f64)> = given.iter().map(|g| (g.column, g.range[0])).collect();
    let world = Worlds::one(found, varied, &given);
    let (policy, learning) = (config.policy(&world), config.learning());
    let params = c.f32("weights", &[policy.layout().len()])?;
    let setting = Setting { worlds: &world, policy: &policy, learning: &learning };
    let many = if steps == 0 { setting.horizon() } else { steps };
    let mut all = setting.trajectory(device, params, how, many, seed)?;
    if steps == 0 {
        all.cut(all.over.iter().position(|e| *e).map_or(many, |at| at + 1));
    }
    Ok(all)
}
