//! What a trained policy does in one world: step by step, as an animated picture, and at every place of a plane of states.

use std::path::Path;

use super::config::PolicySource;
use super::film::film;
use super::trained::Trained;
use crate::error::{Error, Result};
use crate::policy::{ActionSpace, Behaviour, Scene, Setting, Trajectory, Worlds, environment};
use crate::report::plot::{PlanePanel, planes};
use crate::run::Device;

/// What is rolled out.
#[derive(Clone, Debug, PartialEq)]
pub struct RollOutOptions {
    /// The world's numbers, as `length=0.7`; what else differs in the run is in the middle of its range, a sign 1.
    pub context: String,
    /// One of the worlds that the run was trained in, from 0, and no context; of a run whose tasks have networks of their own with the network of that one
    /// (not given: the first).
    pub world: Option<usize>,
    /// How actions are chosen.
    pub how: Behaviour,
    /// Steps (0: one trial at most, which is an episode but of a policy with a memory).
    pub steps: usize,
    /// Seed of what is drawn.
    pub seed: u64,
}

/// A roll-out, and who did it.
#[derive(Debug)]
pub struct RollOut {
    trained: Trained,
    world: Worlds,
    params: Vec<f32>,
    how: Behaviour,
    /// What was seen and done.
    pub trajectory: Trajectory,
}

/// Places along each axis of a map.
const PLACES: usize = 61;

/// Steps of the policy of a run in one world: what it saw and did. The run is read alone.
///
/// # Errors
/// A run that is not trained, a context that is none, and what the device refuses.
pub fn roll_out(device: &Device, run: &Path, options: &RollOutOptions) -> Result<RollOut> {
    let trained = Trained::read(run)?;
    let config = &trained.config;
    let found = environment(&config.environment, "environment")?;
    let given = trained.given(&options.context)?;
    if let Some(g) = given.iter().find(|g| g.range[0] < g.range[1]) {
        let message = format!("a roll-out has one {}, not a range of them", found.context()[g.column].name);
        return Err(Error::config("--context", message));
    }
    let varied = Worlds::varied(&*found, &config.context, "context")?;
    let own = config.weights == PolicySource::Own;
    let number = options.world.or(own.then_some(0));
    let given: Vec<(usize, f64)> = match number {
        Some(number) => trained.context_of(number)?.into_iter().enumerate().collect(),
        None => given.iter().map(|g| (g.column, g.range[0])).collect(),
    };
    let world = Worlds::one(found, varied, &given);
    let (policy, learning) = (config.policy(&world), config.learning());
    let mut params = trained.params(&policy)?;
    if let Some(number) = number.filter(|_| own) {
        let many = policy.layout().len();
        params = params[number * many..][..many].to_vec();
    }
    let setting = Setting { worlds: &world, policy: &policy, learning: &learning };
    let many = if options.steps == 0 { setting.horizon() } else { options.steps };
    let mut trajectory = setting.trajectory(device, &params, options.how, many, options.seed)?;
    if options.steps == 0 {
        trajectory.cut(trajectory.over.iter().position(|e| *e).map_or(many, |at| at + 1));
    }
    Ok(RollOut { trained, world, params, how: options.how, trajectory })
}

impl RollOut {
    /// Writes it as an animated picture, where the environment can be drawn; whether it can.
    ///
    /// # Errors
    /// What can't be written.
    pub fn film(&self, path: &Path) -> Result<bool> {
        let env = &self.world.environment;
        let context = self.world.numbers_of(0);
        let width = env.widths().state.max(1);
        let scenes: Option<Vec<Scene>> =
            self.trajectory.state.chunks(width).map(|state| env.scene(state, context)).collect();
        let Some(scenes) = scenes.filter(|s| !s.is_empty()) else { return Ok(false) };
        let total: f64 = self.trajectory.reward.iter().map(|r| f64::from(*r)).sum();
        let name = format!("{}, {} steps, rewards {total:.2}", env.name(), scenes.len());
        film(path, &name, &scenes)?;
        Ok(true)
    }

    /// Writes what the policy does in this world in every state of the environment's plane, and the way of the roll-out through it.
    ///
    /// # Errors
    /// Environments whose states are no plane, policies that act by what they remember, and what can't be written.
    pub fn map(&self, device: &Device, path: &Path) -> Result<()> {
        let env = &self.world.environment;
        let fail = |message: String| Err(Error::config("--map", message));
        if env.host().is_some() {
            return fail(format!(
                "is for states that are known: {} runs on the host, and says none",
                env.name()
            ));
        }
        let Some(axes) = env.plane() else {
            let all = crate::policy::environments();
            let names: Vec<&str> = all.iter().filter(|e| e.plane().is_some()).map(|e| e.name()).collect();
            return fail(format!("is for states of two numbers: {}, not {}", names.join(", "), env.name()));
        };
        let config = &self.trained.config;
        let policy = config.policy(&self.world);
        if policy.memory.is_some() {
            return fail(
                "is for policies that act by what they see: this one acts by what it remembers, too".into(),
            );
        }
        let place = |[low, high]: [f64; 2], i: usize| low + (high - low) * (i as f64 + 0.5) / PLACES as f64;
        let states: Vec<f32> = (0..PLACES * PLACES)
            .flat_map(|i| [place(axes[0].1, i % PLACES) as f32, place(axes[1].1, i / PLACES) as f32])
            .collect();
        let learning = config.learning();
        let setting = Setting { worlds: &self.world, policy: &policy, learning: &learning };
        let found = setting.at_states(device, &self.params, &states)?;
        let width = env.action().width();
        let column = |i: usize| found.iter().skip(i).step_by(width).copied();
        let (panels, choices) = match env.action() {
            ActionSpace::Continuous(_) => {
                let panel = |i| PlanePanel { title: format!("action_{i}"), values: column(i).collect() };
                ((0..width).map(panel).collect(), vec![])
            }
            _ => {
                let which = |row: &[f32]| row.iter().position(|x| *x == 1.0).unwrap_or(0) as f32;
                let values = found.chunks(width).map(which).collect();
                let panel = PlanePanel { title: "likeliest action".into(), values };
                (vec![panel], (0..width).map(|i| format!("action_{i}")).collect::<Vec<_>>())
            }
        };
        let way: Vec<(f64, f64)> = self.trajectory.state.chunks(2).map(|s| env.on_plane(s).into()).collect();
        let way = if self.how == Behaviour::Random { vec![] } else { way };
        let name = format!("{}: what the policy does", env.name());
        planes(path, &name, axes, (PLACES, &panels), &choices, &way)
    }
}
