//! `hyperloom rollout`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use hyperloom::experiment::policies::{RollOutOptions, roll_out};
use hyperloom::files::write_atomically;
use hyperloom::policy::Behaviour;
use hyperloom::{Error, Result};

use super::{figure, open_device, say};

/// Arguments of `rollout`.
#[derive(Args, Debug)]
pub(super) struct RolloutArgs {
    /// A run folder of a policy.
    run: PathBuf,
    /// The world's context, as length=0.7,sign=-1 (not given: the middle of each range that the run was trained in, a sign of 1).
    #[arg(long, value_name = "NAME=NUMBER,…", default_value = "")]
    context: String,
    /// One of the worlds that the run was trained in, from 0: of a run with --weights own with the network of that one (0 where not given).
    #[arg(long, value_name = "NUMBER", conflicts_with = "context")]
    world: Option<usize>,
    /// How actions are chosen.
    #[arg(long, value_enum, default_value = "greedy")]
    actions: Actions,
    /// Steps, in as many episodes as these are (not given: one episode; of a policy with a memory one trial).
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: Option<u64>,
    /// Seed of what is drawn.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Where what the policy does in every state is drawn, of environments whose states are two numbers.
    #[arg(long, value_name = "FILE.svg")]
    map: Option<PathBuf>,
    /// The file to write, a line a step; beside it an animated picture, where the environment can be drawn.
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
}

/// How actions are chosen.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Actions {
    /// The likeliest.
    Greedy,
    /// Drawn from the policy.
    Drawn,
    /// Evenly from all.
    Random,
}

pub(super) fn run(args: &RolloutArgs) -> Result<ExitCode> {
    let how = match args.actions {
        Actions::Greedy => Behaviour::Greedy,
        Actions::Drawn => Behaviour::Drawn,
        Actions::Random => Behaviour::Random,
    };
    let device = open_device(&args.device)?;
    let picture = args.out.with_extension("svg");
    let refuse = |flag: &str, message: String| Err(Error::config(flag, message));
    // However they are written.
    let place = |path: &Path| {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::canonicalize(folder).unwrap_or_default().join(path.file_name().unwrap_or_default())
    };
    if args.out == picture {
        let message =
            format!("{} is where the animated picture goes: the table is a .csv", picture.display());
        return refuse("--out", message);
    }
    if let Some(map) = &args.map
        && [&args.out, &picture].iter().any(|p| place(p) == place(map))
    {
        return refuse(
            "--map",
            format!("{} is the table or the animated picture: a map is another .svg", map.display()),
        );
    }
    for (flag, path) in [("--out", Some(&args.out)), ("--out", Some(&picture)), ("--map", args.map.as_ref())]
    {
        let own =
            ["metrics.csv", "returns.svg", "eval.svg", "compare.svg"].map(|name| place(&args.run.join(name)));
        if let Some(path) = path.filter(|p| own.contains(&place(p))) {
            return refuse(
                flag,
                format!("{} is a file of the run itself: another name keeps it", path.display()),
            );
        }
    }
    let options = RollOutOptions {
        context: args.context.clone(),
        world: args.world,
        how,
        steps: args.steps.unwrap_or(0) as usize,
        seed: args.seed,
    };
    let rolled = roll_out(&device, &args.run, &options)?;
    if let Some(map) = &args.map {
        rolled.map(&device, map)?;
    }
    let found = &rolled.trajectory;
    let steps = found.reward.len();
    let (seen, act) = (found.seen.len() / steps, found.action.len() / steps);
    let names = |what: &str, n: usize| (0..n).map(|i| format!("{what}_{i}")).collect::<Vec<_>>();
    let columns = [vec!["step".to_string()], names("seen", seen), names("action", act)].concat();
    let mut text = format!("{},reward,terminated,truncated\n", columns.join(","));
    for i in 0..steps {
        let _ = write!(text, "{i}");
        for x in found.seen[i * seen..][..seen].iter().chain(&found.action[i * act..][..act]) {
            // A zero has no sign.
            let _ = write!(text, ",{}", x + 0.0);
        }
        let [ended, itself] = [found.ended[i], found.terminated[i]];
        let _ =
            writeln!(text, ",{},{},{}", found.reward[i] + 0.0, u8::from(itself), u8::from(ended && !itself));
    }
    write_atomically(&args.out, text.as_bytes())?;
    let also = match rolled.film(&picture)? {
        true => format!(", {}", picture.display()),
        false => String::new(),
    };
    let total: f64 = found.reward.iter().map(|r| f64::from(*r)).sum();
    let ends = found.ended.iter().filter(|e| **e).count();
    say(format_args!(
        "{steps} steps, {ends} of them the end of an episode, rewards {}: {}{also}\n",
        figure(total),
        args.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}
