//! Training on the GPU path: the same steps as on the CPU, nothing allocated and nothing read back a step,
//! and every launch of a step in lockstep.

use hyperloom::experiment::config::{Config, Method, TaskKind};
use hyperloom::experiment::setup::Setup;
use hyperloom::experiment::{settings, starting_trainer};
use hyperloom::meta::outer::{Learner, training_plan};
use hyperloom::run::Device;
use hyperloom::run::gpu::GpuRunner;
use hyperloom::task::WINDOW;

use super::gpu;

fn small(task: TaskKind) -> Config {
    let mut c = Config::of(task);
    c.model.target = vec![12, 12];
    c.model.encoder = vec![16, 16];
    c.model.trunk = vec![16];
    c.train.tasks = 6;
    c
}

#[test]
fn losses_follow_the_cpu_path() {
    let Some(gpu) = gpu(false) else { return };
    for task in [TaskKind::Sine, TaskKind::Shapes] {
        let config = small(task);
        let losses = |device: &Device| {
            starting_trainer(&config, device, |t| t.advance(20))
                .expect("20 steps")
                .iter()
                .map(|r| r.loss)
                .collect::<Vec<f64>>()
        };
        let (cpu, gpu) = (losses(&Device::Cpu), losses(&Device::Gpu(gpu.clone())));
        assert_eq!(cpu.len(), 20);
        // The first step differs by rounding alone; later ones as far as training amplifies that.
        assert!((cpu[0] - gpu[0]).abs() <= 1e-5 * cpu[0].abs(), "{} and {}", cpu[0], gpu[0]);
        for (a, b) in cpu.iter().zip(&gpu) {
            assert!((a - b).abs() <= 1e-2 * a.abs(), "{a} and {b}");
        }
    }
}

#[test]
fn every_launch_of_a_training_step_is_within_its_bound() {
    let Some(gpu) = gpu(true) else { return };
    for task in [TaskKind::Sine, TaskKind::Shapes] {
        let report = starting_trainer(&small(task), &Device::Cpu, |t| t.lockstep(&gpu, 2)).expect("lockstep");
        assert!(report.divergence.is_none(), "{:?}", report.divergence);
        assert!(report.launches > 50 && report.elements > 1000, "{} launches", report.launches);
    }
}

#[test]
fn a_window_of_training_allocates_and_reads_nothing() {
    let Some(gpu) = gpu(false) else { return };
    let config = small(TaskKind::Sine);
    let setup = Setup::load(&config).expect("sine");
    let learner = Learner::Hyper(setup.meta().into());
    let caps = Device::Gpu(gpu.clone()).caps(WINDOW);
    let plan = training_plan(setup.source().family(0).as_ref(), &learner, &settings(&config, 0, true), caps)
        .expect("plan");
    let mut runner = GpuRunner::prepare(&gpu, &plan).expect("prepared");
    let before = runner.stats();
    runner.run(WINDOW).expect("a window of steps");
    runner.wait().expect("done");
    let after = runner.stats();
    assert_eq!(after.steps - before.steps, WINDOW);
    assert_eq!(after.buffers_created, before.buffers_created);
    assert_eq!(after.bind_groups_created, before.bind_groups_created);
    assert_eq!(after.readbacks, before.readbacks);
    assert!(
        after.submits - before.submits < WINDOW,
        "{} submits for {WINDOW} steps",
        after.submits - before.submits
    );
}

#[test]
fn every_way_of_adaptation_is_within_its_bounds() {
    let Some(gpu) = gpu(true) else { return };
    for method in [
        Method::Maml,
        Method::Fomaml,
        Method::Reptile,
        Method::Anil,
        Method::Cavia,
        Method::MetaSgd,
        Method::Ridge,
    ] {
        let mut config = Config::with_method(TaskKind::Sine, method);
        config.train = small(TaskKind::Sine).train;
        config.model.target = vec![6, 6];
        config.model.encoder = vec![8];
        config.model.trunk = vec![8];
        config.adapt.train_steps = config.adapt.train_steps.min(2);
        config.eval.shots = 5;
        config.eval.query = 4;
        let report = starting_trainer(&config, &Device::Cpu, |t| t.lockstep(&gpu, 2)).expect("lockstep");
        assert!(report.divergence.is_none(), "{method:?}: {:?}", report.divergence);
        assert!(report.launches > 20 && report.elements > 500, "{method:?}: {} launches", report.launches);
    }
}

/// Several networks of each task: the energy score of values, the likelihood of classes under their mixture.
#[test]
fn networks_drawn_by_noise_are_within_their_bounds() {
    let Some(gpu) = gpu(true) else { return };
    let waves = "task = 'sine'\n[train]\ntasks = 3\n[model]\ntarget = [6]\nencoder = [8]\ntrunk = [8]\nnoise = 2\ndraws = 3\n\
                 [adapt]\nthrough = 'second'\ntrain_steps = 2\n[eval]\nshots = 4\nquery = 3\n";
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("rows.csv");
    let row = |i: usize| {
        format!("g{},{},{}\n", i / 12, i * 37 % 21, ["low", "high"][(i * 37 % 21 > i / 12) as usize])
    };
    let rows: String = (0..240).map(row).collect();
    std::fs::write(&file, format!("group,x,kind\n{rows}")).expect("a file");
    let classes = format!(
        "task = 'csv'\n[train]\ntasks = 3\n[model]\ntarget = [6]\nencoder = [8]\ntrunk = [8]\nnoise = 2\ndraws = 3\nmembers = 1\n\
         [adapt]\nmethod = 'fine-tune'\nthrough = 'second'\ntrain_steps = 2\n[eval]\nshots = 4\nquery = 3\n[csv]\nfile = '{}'\n\
         group = 'group'\ntarget = 'kind'\n",
        file.display()
    );
    for text in [waves, &classes] {
        let config = Config::parse(text, "test", None).expect("settings");
        let report = starting_trainer(&config, &Device::Cpu, |t| t.lockstep(&gpu, 2)).expect("lockstep");
        assert!(report.divergence.is_none(), "{:?}: {:?}", config.task, report.divergence);
        assert!(report.launches > 20 && report.elements > 500, "{} launches", report.launches);
    }
}

/// Colours in three classes, as PNG files of 10 x 12 pixels.
fn pictures() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for class in ["red", "blue", "green"] {
        let folder = dir.path().join(class);
        std::fs::create_dir(&folder).expect("a folder");
        for k in 0..9 {
            let pixel = |i: usize| match (i % 3, class) {
                (0, "red") | (2, "blue") | (1, "green") => 120 + (i * 7 + k * 31) % 90,
                _ => (i * 11 + k * 17) % 80,
            };
            let pixels = (0..10 * 12 * 3).map(|i| pixel(i) as u8).collect();
            let picture = hyperloom::data::picture::Picture { size: [10, 12], channels: 3, pixels };
            picture.write(&folder.join(format!("{k}.png"))).expect("a file");
        }
    }
    dir
}

/// One task with a norm by its batch, trained directly and with kernels from a static hypernetwork; fields whose codes shift layers;
/// decoders that are written.
#[test]
fn pictures_are_within_their_bounds() {
    let Some(gpu) = gpu(true) else { return };
    let dir = pictures();
    let path = dir.path().display();
    let net = "model.net = [{ conv = 4, kernel = 3 }, { batch_norm = 'support', activation = 'relu' }, { max_pool = 2 }, { conv = 6, \
               kernel = 1, stride = 2 }, { global_pool = true }]\n";
    let one = format!("task = 'pictures'\n{net}[pictures]\ntrain = '{path}'\nbatch = 6\n");
    let fields = format!(
        "task = 'fields'\n[model]\ntarget = [8, 8]\ncontext = 4\n[train]\ntasks = 3\n[fields]\ntrain = '{path}'\npoints = 20\n"
    );
    let decoders = format!(
        "task = 'decoders'\n[model]\nencoder = [8]\ntrunk = [6]\n[train]\ntasks = 2\n[eval]\nshots = 2\nquery = 3\n\
         [decoders]\ntrain = '{path}'\nsize = 8\n"
    );
    std::fs::write(dir.path().join("text"), "to be or not to be, that is the question; ".repeat(20))
        .expect("a text");
    let text = format!(
        "task = 'text'\n[model]\nnet = 'gru-5'\n[text]\nfiles = ['{path}/text']\nlength = 9\nbatch = 6\n"
    );
    std::fs::create_dir(dir.path().join("texts")).expect("a folder");
    let pair = |i: usize| format!("{}\tword{}\tWort {}\n", i % 8, i / 8 % 5, i / 8 % 5);
    let pairs: String = (0..64).map(pair).collect();
    std::fs::write(dir.path().join("pairs.tsv"), format!("g\ts\tt\n{pairs}")).expect("pairs");
    for i in 0..8 {
        std::fs::write(dir.path().join(format!("texts/{i}")), format!("{i} and {i}, ").repeat(20))
            .expect("a text");
    }
    let reader = "[{ embed = 4 }, { recurrent = 'gru', units = 5, last = true }]";
    let small = format!(
        "[model]\nnet = [{{ embed = 4, tied = true }}, {{ recurrent = 'gru', units = 4 }}, {{ residual = [{{ attention = 2, causal = true, rotary = \
         true }}] }}]\nreader = {reader}\nencoder = [4]\ntrunk = [6]\n[train]\ntasks = 3\n[eval]\nshots = 2\nquery = 3\n"
    );
    let texts = format!(
        "task = 'texts'\n{small}[texts]\nfiles = ['{path}/texts']\nlength = 9\nunit = 'characters'\n"
    );
    let dictionaries = format!(
        "task = 'dictionaries'\n{small}[dictionaries]\nfile = '{path}/pairs.tsv'\ngroup = 'g'\nsource = 's'\ntarget = 't'\n"
    );
    let points: String = (0..60).map(|i| format!("{},{},{}\n", i / 10, i % 10, (i * i) % 17)).collect();
    std::fs::write(dir.path().join("series.csv"), format!("g,t,y\n{points}")).expect("series");
    let series = format!(
        "task = 'series'\n[model]\nnet = 'gru-4'\nreader = 'gru-5'\nencoder = [4]\ntrunk = [6]\n[train]\ntasks = 3\n[eval]\nshots = 5\n\
         query = 3\n[series]\nfile = '{path}/series.csv'\ngroup = 'g'\ntime = 't'\ntarget = 'y'\nlength = 4\n"
    );
    for (text, over) in [
        (&series, "series.season=3"),
        (&series, "model.rounds=2"),
        (&texts, "model.generator={ kind = 'recurrent', units = 5, embedding = 3, tile = 50 }"),
        (
            &dictionaries,
            "model.generator={ kind = 'transformer', width = 6, heads = 2, blocks = 1, hidden = 5, tile = 90 }",
        ),
        (&dictionaries, "model.set=[{ set_attention = 2, heads = 2 }, { attention_pool = 1, heads = 2 }]"),
        (&text, "text.test_length=20"),
        (&one, "model.weights=shared"),
        (&one, "model.weights=generated"),
        (&fields, "adapt.train_steps=2"),
        (&decoders, "decoders.code=3"),
    ] {
        let config = Config::parse_over(text, "test", None, &[over.to_string()]).expect("settings");
        let report = starting_trainer(&config, &Device::Cpu, |t| t.lockstep(&gpu, 2)).expect("lockstep");
        assert!(report.divergence.is_none(), "{over}: {:?}", report.divergence);
        assert!(report.launches > 20 && report.elements > 500, "{over}: {} launches", report.launches);
        let losses = |device: &Device| -> Vec<f64> {
            let records = starting_trainer(&config, device, |t| t.advance(10)).expect("10 steps");
            records.iter().map(|r| r.loss).collect()
        };
        let (cpu, gpu) = (losses(&Device::Cpu), losses(&Device::Gpu(gpu.clone())));
        for (a, b) in cpu.iter().zip(&gpu) {
            assert!((a - b).abs() <= 1e-2 * a.abs(), "{over}: {a} and {b}");
        }
    }
}
