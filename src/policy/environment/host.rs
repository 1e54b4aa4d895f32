//! Environments on the host: simulators that are no graph code.

use std::fmt::Debug;

use super::{ActionSpace, ContextNumber, Environment, Moment, Transition, Widths};
use crate::error::{Error, Result};
use crate::graph::expr::Expr;

/// A simulator of one's own that runs on the host, many worlds at a time. [`OnHost`] makes an [`Environment`] of it, for the same learners; only those that
/// differentiate through physics need graph code. Agents act on the device, step by step, and learn there.
///
/// ```
/// use std::sync::Arc;
/// use hyperloom::{Device, Result};
/// use hyperloom::policy::{
///     ActionSpace, ContextNumber, HostEnvironment, HostStep, HostWorlds, Learning, OnHost, Policy, PolicyTrainer, Worlds,
/// };
///
/// /// A cart on a line that is to be kept at a place.
/// #[derive(Debug)]
/// struct Line;
///
/// impl HostEnvironment for Line {
///     fn name(&self) -> &str {
///         "line"
///     }
///     fn observation(&self) -> usize {
///         1
///     }
///     fn action(&self) -> ActionSpace {
///         ActionSpace::Continuous(vec![[-0.1, 0.1]])
///     }
///     fn context(&self) -> &[ContextNumber] {
///         static PLACE: [ContextNumber; 1] = [ContextNumber::new("place", 0.0, [-1.0, 1.0])];
///         &PLACE
///     }
///     fn horizon(&self) -> usize {
///         20
///     }
///     fn worlds(&self, many: usize) -> Result<Box<dyn HostWorlds>> {
///         Ok(Box::new(Lines { at: vec![0.0; many], place: vec![0.0; many] }))
///     }
/// }
///
/// #[derive(Debug)]
/// struct Lines {
///     at: Vec<f32>,
///     place: Vec<f32>,
/// }
///
/// impl HostWorlds for Lines {
///     fn meet(&mut self, contexts: &[f32], _seed: u64) -> Result<()> {
///         self.place.copy_from_slice(contexts);
///         Ok(())
///     }
///     fn start(&mut self, which: &[bool], seen: &mut [f32]) -> Result<()> {
///         for i in (0..which.len()).filter(|i| which[*i]) {
///             self.at[i] = 0.5;
///             seen[i] = self.at[i];
///         }
///         Ok(())
///     }
///     fn step(&mut self, actions: &[f32], found: HostStep<'_>) -> Result<()> {
///         for (i, action) in actions.iter().enumerate() {
///             self.at[i] += action;
///             found.seen[i] = self.at[i];
///             found.reward[i] = -(self.at[i] - self.place[i]).powi(2);
///         }
///         Ok(())
///     }
/// }
///
/// let worlds = Worlds::usual(Arc::new(OnHost(Line)), 1, 8);
/// let policy = Policy::shared(&worlds, &[16], 0);
/// let mut trainer = PolicyTrainer::new(&Device::Cpu, worlds, policy, Learning::new(1_024), 0)?;
/// let found = trainer.advance(1)?;
/// assert_eq!(found[0].frames, 1_024);
/// # Ok::<(), hyperloom::Error>(())
/// ```
pub trait HostEnvironment: Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Where it comes from, for errors.
    fn origin(&self) -> String {
        self.name().into()
    }

    /// Numbers of an observation.
    fn observation(&self) -> usize;

    /// What an agent may do.
    fn action(&self) -> ActionSpace;

    /// The numbers that may differ from world to world, in the order of the context's columns; none where nothing does.
    fn context(&self) -> &[ContextNumber] {
        &[]
    }

    /// As [`Environment::picture`].
    fn picture(&self) -> Option<[usize; 3]> {
        None
    }

    /// As [`Environment::is_family`].
    fn is_family(&self) -> bool {
        false
    }

    /// Steps after which an episode is cut off.
    fn horizon(&self) -> usize;

    /// As [`Environment::trial`].
    fn trial(&self) -> Vec<usize> {
        vec![self.horizon(); 2]
    }

    /// As [`Environment::reward_scale`].
    fn reward_scale(&self) -> f64 {
        1.0
    }

    /// So many worlds side by side. They are told what they are ([`HostWorlds::meet`]) before an episode begins in them.
    ///
    /// # Errors
    /// What keeps them from being there.
    fn worlds(&self, many: usize) -> Result<Box<dyn HostWorlds>>;
}

/// Worlds on the host, `many` side by side.
pub trait HostWorlds: Debug + Send {
    /// Other contexts, `[many, context]`; what went on in the worlds is over. What is random in them is to follow from `seed` alone, so that runs can be repeated.
    ///
    /// # Errors
    /// Contexts that can't be.
    fn meet(&mut self, contexts: &[f32], seed: u64) -> Result<()>;

    /// Begins an episode in each world that `which` names, and writes what is seen there into its row of `seen` `[many, observation]`.
    ///
    /// # Errors
    /// What keeps it from beginning.
    fn start(&mut self, which: &[bool], seen: &mut [f32]) -> Result<()>;

    /// A step in every world by these actions, `[many, action]`, as [`ActionSpace`] has them; continuous ones lie within their ranges.
    ///
    /// # Errors
    /// What keeps it from being done.
    fn step(&mut self, actions: &[f32], found: HostStep<'_>) -> Result<()>;

    /// All that a later [`HostWorlds::restore`] needs to go on with the same numbers, always as many; `None` where the simulator can't say: a run that is
    /// resumed then begins new episodes.
    ///
    /// # Errors
    /// What keeps it from being said.
    fn save(&mut self) -> Result<Option<Vec<f32>>> {
        Ok(None)
    }

    /// Goes on from what was saved.
    ///
    /// # Errors
    /// What was not saved by such worlds.
    fn restore(&mut self, _saved: &[f32]) -> Result<()> {
        Ok(())
    }
}

/// What a step is to be written into; everything is 0 or false before.
#[derive(Debug)]
pub struct HostStep<'a> {
    /// What is seen after it, `[many, observation]`.
    pub seen: &'a mut [f32],
    /// What it gave, `[many]`.
    pub reward: &'a mut [f32],
    /// Whether the episode ended by itself, `[many]`; time limits are not the worlds' business.
    pub terminated: &'a mut [bool],
}

/// A [`HostEnvironment`] as an [`Environment`].
#[derive(Debug)]
pub struct OnHost<H>(pub H);

impl<H: HostEnvironment> Environment for OnHost<H> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn widths(&self) -> Widths {
        Widths { state: 0, observation: self.0.observation(), noise: 1 }
    }

    fn action(&self) -> ActionSpace {
        self.0.action()
    }

    fn context(&self) -> &[ContextNumber] {
        self.0.context()
    }

    fn picture(&self) -> Option<[usize; 3]> {
        self.0.picture()
    }

    fn is_family(&self) -> bool {
        self.0.is_family()
    }

    fn horizon(&self) -> usize {
        self.0.horizon()
    }

    fn trial(&self) -> Vec<usize> {
        self.0.trial()
    }

    fn reward_scale(&self) -> f64 {
        self.0.reward_scale()
    }

    fn host(&self) -> Option<&dyn HostEnvironment> {
        Some(&self.0)
    }

    /// # Panics
    /// It has no graph code.
    fn start<'g>(&self, _context: Expr<'g>, _noise: Expr<'g>) -> Expr<'g> {
        panic!("{} runs on the host", self.name())
    }

    /// # Panics
    /// It has no graph code.
    fn step<'g>(&self, _moment: Moment<'g>) -> Transition<'g> {
        panic!("{} runs on the host", self.name())
    }

    /// # Panics
    /// It has no graph code.
    fn observe<'g>(&self, _state: Expr<'g>, _context: Expr<'g>) -> Expr<'g> {
        panic!("{} runs on the host", self.name())
    }
}

/// Refuses what learners need and the host has not.
pub(in crate::policy) fn refuse_host(environment: &dyn Environment, key: &str, what: &str) -> Result<()> {
    if environment.host().is_none() {
        return Ok(());
    }
    let message =
        format!("{what} needs an environment that is graph code: {} runs on the host", environment.name());
    Err(Error::config(key, message))
}
