//! `hyperloom plan`

use std::process::ExitCode;

use clap::Args;
use hyperloom::Result;
use hyperloom::experiment::settings;
use hyperloom::experiment::setup::Setup;
use hyperloom::meta::outer::{Learner, training_graph, training_plan};
use hyperloom::plan::{Caps, Plan, bytes, lower};

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
    let setup = Setup::load(&config)?;
    setup.check_size()?;
    if args.graph {
        let settings = settings(setup.config(), 0, true);
        let (family, learner) = (setup.source().family(0), Learner::Hyper(setup.meta().into()));
        say(format_args!("{}\n", training_graph(family.as_ref(), &learner, &settings, 1)));
    }
    let plan = training_plan_of(&setup, |window| device.caps(window))?;
    say(format_args!("{}", hypernetwork(&setup)?));
    say(format_args!("{plan}"));
    Ok(ExitCode::SUCCESS)
}

/// What the hypernetwork is made of, and what it takes to write a task's network.
fn hypernetwork(setup: &Setup) -> Result<String> {
    let hyper = setup.hyper();
    let (layout, target) = (hyper.layout(), hyper.target.layout().len());
    if hyper.is_shared() {
        return Ok(format!(
            "network\n  {target} weights from {} parameters, the same for all tasks\n",
            layout.len()
        ));
    }
    let mut parts: Vec<(&str, usize)> = vec![];
    for p in &layout.params {
        // Weights that what is written corrects lie with the head's by name.
        let part = if p.name == "head.bias" { "base" } else { p.name.split('.').next().unwrap_or_default() };
        match parts.iter_mut().find(|(name, _)| *name == part) {
            Some((_, n)) => *n += p.range().len(),
            None => parts.push((part, p.range().len())),
        }
    }
    let parts: Vec<String> = parts.iter().map(|(name, n)| format!("{name} {n}")).collect();
    let flops = lower(&hyper.writing_graph(setup.config().eval.shots), Caps::cpu(1))?.cost().total.flops;
    let noise = hyper.condition.noise.map_or(String::new(), |noise| {
        format!("  {} networks of each task, by {} random numbers each\n", noise.draws, noise.width)
    });
    let each = if noise.is_empty() { "task" } else { "network" };
    Ok(format!(
        "hypernetwork\n  {} parameters, {}: {}\n  writes {} of {target} weights, {} a {each}, in {:.3} MFLOP\n{noise}",
        layout.len(),
        bytes(4 * layout.len() as u64),
        parts.join(", "),
        hyper.written(),
        bytes(4 * hyper.written() as u64),
        flops / 1e6,
    ))
}

/// The plan of a training step, for what `caps` says for a window of so many steps.
pub(super) fn training_plan_of(setup: &Setup, caps: impl Fn(usize) -> Caps) -> Result<Plan> {
    let settings = settings(setup.config(), 0, true);
    let (family, learner) = (setup.source().family(0), Learner::Hyper(setup.meta().into()));
    training_plan(family.as_ref(), &learner, &settings, caps(family.window(settings.tasks)))
}
