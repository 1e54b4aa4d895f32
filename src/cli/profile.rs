//! `hyperloom profile`

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use hyperloom::bench::{Ceilings, Profile, Workload};
use hyperloom::experiment::config::Config;
use hyperloom::experiment::run_folder::RunFolder;
use hyperloom::experiment::starting_trainer;
use hyperloom::{Error, Result};

use super::{figure, open_device, say};

/// Arguments of `profile`.
#[derive(Args, Debug)]
pub(super) struct ProfileArgs {
    /// A run folder or a TOML file of settings, whose training step is timed; or the name of a workload of `bench`.
    what: String,
    /// Tasks of a workload.
    #[arg(long)]
    tasks: Option<usize>,
    /// Steps to take the median of.
    #[arg(long, default_value_t = 20)]
    steps: u64,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// What a plan is made of.
pub(super) enum What {
    /// A step of this configuration's training.
    Training(Box<Config>),
    /// A call of a workload.
    Workload(Workload),
}

impl What {
    pub(super) fn of(name: &str) -> Result<What> {
        let path = Path::new(name);
        let file = match path.is_dir() {
            true => RunFolder::open(path)?.file("config.toml"),
            false => path.to_path_buf(),
        };
        if path.exists() {
            let config = Config::read(&file, None)?;
            config.validate()?;
            return Ok(What::Training(Box::new(config)));
        }
        let workload: Result<Workload> = name.parse();
        workload.map(What::Workload).map_err(|_| {
            let names: Vec<&str> = Workload::ALL.iter().map(|(n, _)| *n).collect();
            let what = format!("'{name}' is no run folder, no file and none of {}", names.join(", "));
            Error::config("plan", what)
        })
    }
}

pub(super) fn run(args: &ProfileArgs) -> Result<ExitCode> {
    if !(1..=50).contains(&args.steps) {
        return Err(Error::config(
            "--steps",
            format!("{} is out of range: it must lie from 1 to 50", args.steps),
        ));
    }
    let what = What::of(&args.what)?;
    let device = open_device(&args.device)?;
    let blind = || Error::Device(format!("{} cannot time launches", device.name()));
    let ceilings = Ceilings::measure(&device)?.ok_or_else(blind)?;
    let profile = match &what {
        What::Training(config) => starting_trainer(config, &device, |t| {
            t.advance(5)?;
            let seconds = t.time_launches(args.steps)?.ok_or_else(blind)?;
            Ok(Profile::new(t.plan(), &seconds, ceilings))
        })?,
        What::Workload(workload) => {
            let mut p = workload.prepare(args.tasks.unwrap_or(workload.default_tasks()), &device)?;
            p.call()?;
            let seconds = p.time_launches(args.steps as usize)?.ok_or_else(blind)?;
            Profile::new(p.plan(), &seconds, ceilings)
        }
    };
    if profile.ms <= 0.0 {
        let what = format!(
            "{} gave one timestamp for all launches: its driver cannot time this plan",
            device.name()
        );
        return Err(Error::Device(what));
    }
    if args.json {
        let text =
            serde_json::to_string_pretty(&profile).map_err(|e| Error::config("profile", e.to_string()))?;
        say(format_args!("{text}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!(
        "{}: {} GFLOP/s in a product of 1024 x 1024, {} GB/s in a copy\n\n",
        device.name(),
        figure(ceilings.gflops),
        figure(ceilings.gbytes)
    ));
    say(format_args!(
        "{:<15} {:>9} {:>6} {:>9} {:>9} {:>9}  {}\n",
        "launch", "ms", "share", "GFLOP/s", "GB/s", "roofline", "from"
    ));
    for l in &profile.launches {
        say(format_args!(
            "{:<15} {:>9} {:>5.1}% {:>9} {:>9} {:>8.1}%  {}\n",
            l.kernel,
            figure(l.ms),
            100.0 * l.ms / profile.ms,
            figure(l.gflops),
            figure(l.gbytes),
            100.0 * l.roofline,
            l.label
        ));
    }
    say(format_args!("{} launches, {} ms\n", profile.launches.len(), figure(profile.ms)));
    Ok(ExitCode::SUCCESS)
}
