//! `hyperloom kernels`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use hyperloom::check::cases::cases;
use hyperloom::experiment::setup::Setup;
use hyperloom::files::write_atomically;
use hyperloom::kernel::KernelInfo;
use hyperloom::plan::Launch;
use hyperloom::run::gpu::DeviceClass;
use hyperloom::run::gpu::shader::Source;
use hyperloom::{Error, Result};

use super::plan::training_plan_of;
use super::profile::What;
use super::{no_regions, say};

/// Arguments of `kernels`.
#[derive(Args, Debug)]
pub(super) struct KernelsArgs {
    /// The folder to write to: NAME.wgsl, NAME.2.wgsl and so on, one for each function that a kernel is made for, and beside
    /// it NAME.constants.json with each set of override constants in use.
    #[arg(long)]
    out: PathBuf,
    /// The shaders of this plan, task regions among them, instead of all kernels as tests use them: the training step of a
    /// run folder or of a TOML file of settings, or a workload of `bench`. May be given several times.
    #[arg(long, value_name = "RUN|CONFIG|WORKLOAD")]
    of: Vec<String>,
    /// The device that the plan is made for: portable (WebGPU's default limits, 16 KiB of workgroup memory), desktop (32
    /// KiB) or datacentre (48 KiB).
    #[arg(long, default_value_t = DeviceClass::Desktop)]
    device_class: DeviceClass,
}

/// A shader under the name of its file, with the sets of constants in use.
struct Written<'p> {
    name: String,
    source: Source,
    sets: Vec<BTreeMap<&'p str, f64>>,
}

/// All shaders, each once.
#[derive(Default)]
struct Shaders<'p> {
    all: Vec<Written<'p>>,
}

impl Shaders<'_> {
    /// Adds the shader of a launch; `region` is what its file is called if it is a region.
    fn add(&mut self, launch: &Launch, region: &str) -> Result<()> {
        let source = Source::of(launch)?;
        let set = launch.dispatch().constants.into_iter().collect();
        let base = if launch.region().is_some() { region } else { source.name };
        let known = self.all.iter_mut().find(|s| s.source == source);
        if let Some(shader) = known {
            if !shader.sets.contains(&set) {
                shader.sets.push(set);
            }
            return Ok(());
        }
        let same = self.all.iter().filter(|s| s.name.split('.').next() == Some(base)).count();
        let name = if same == 0 { base.to_string() } else { format!("{base}.{}", same + 1) };
        self.all.push(Written { name, source, sets: vec![set] });
        Ok(())
    }
}

pub(super) fn run(args: &KernelsArgs) -> Result<ExitCode> {
    std::fs::create_dir_all(&args.out).map_err(Error::io("create", &args.out))?;
    let mut shaders = Shaders::default();
    if args.of.is_empty() {
        for case in cases() {
            shaders.add(&case.plan().launches[0], "region")?;
        }
    }
    let caps = |window| {
        let caps = args.device_class.caps(window);
        if no_regions() { caps.without_regions() } else { caps }
    };
    for name in &args.of {
        let plan = match What::of(name)? {
            What::Training(config) => {
                let setup = Setup::load(&config)?;
                setup.check_size()?;
                training_plan_of(&setup, caps)?
            }
            What::Workload(w) => w.plan(w.default_tasks(), caps(1))?,
        };
        let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
        for launch in &plan.launches {
            shaders.add(launch, &format!("{stem}-region"))?;
        }
    }
    for shader in &shaders.all {
        let wgsl = shader.source.shader()?.wgsl;
        write_atomically(&args.out.join(format!("{}.wgsl", shader.name)), wgsl.as_bytes())?;
        let json = serde_json::to_string_pretty(&shader.sets).unwrap_or_default() + "\n";
        write_atomically(&args.out.join(format!("{}.constants.json", shader.name)), json.as_bytes())?;
    }
    let (files, kernels) =
        (shaders.all.len(), shaders.all.iter().filter(|s| KernelInfo::find(s.source.name).is_some()).count());
    say(format_args!("{}: {files} shaders, {} of them task regions\n", args.out.display(), files - kernels));
    Ok(ExitCode::SUCCESS)
}
