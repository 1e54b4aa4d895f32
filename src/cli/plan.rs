//! `hyperloom plan`

use std::process::ExitCode;

use clap::Args;
use hyperloom::Result;
use hyperloom::experiment::config::Config;
use hyperloom::experiment::settings;
use hyperloom::experiment::setup::Setup;
use hyperloom::meta::outer::{Learner, training_graph, training_plan};
use hyperloom::plan::{Caps, Plan};

use super::{Settings, open_device, say};

/// Arguments of `plan`.
#[derive(Args, Debug)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    settings: Settings,
    /// Show the graph that the plan was lowered from, too.
    #[arg(long)]
    graph: bool,
}

pub(super) fn run(args: &PlanArgs) -> Result<ExitCode> {
    let config = args.settings.resolve()?;
    let device = open_device(&config.device)?;
    if args.graph {
        let setup = Setup::load(&config)?;
        setup.check_size()?;
        let settings = settings(setup.config(), 0, true);
        let (family, learner) = (setup.source().family(0), Learner::Hyper(setup.meta().into()));
        say(format_args!("{}\n", training_graph(family.as_ref(), &learner, &settings, 1)));
    }
    say(format_args!("{}", training_plan_of(&config, |window| device.caps(window))?));
    Ok(ExitCode::SUCCESS)
}

/// The plan of a training step, for what `caps` says for a window of so many steps.
pub(super) fn training_plan_of(config: &Config, caps: impl Fn(usize) -> Caps) -> Result<Plan> {
    let setup = Setup::load(config)?;
    setup.check_size()?;
    let settings = settings(setup.config(), 0, true);
    let (family, learner) = (setup.source().family(0), Learner::Hyper(setup.meta().into()));
    training_plan(family.as_ref(), &learner, &settings, caps(family.window(settings.tasks)))
}
