//! Programs in C and C++ against the header and the library: they say what the Rust library says, under valgrind where it is there
//! (HYPERLOOM_VALGRIND=require: it has to be).
#![cfg(unix)] // compilers and linkers are called as they are there

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use hyperloom::data::Table;
use hyperloom::experiment::files::Trained;
use hyperloom::{Config, Device, Experiment, RunStatus, Silent, Task};

/// The folder of the library that was built with this test.
fn libraries() -> PathBuf {
    env::current_exe().expect("this test").parent().expect("its folder").to_path_buf()
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a command printed, which has to end well. Of libraries it finds those of this test, not what another build has left beside them.
fn ran(command: &mut Command) -> String {
    let done =
        command.env("LD_LIBRARY_PATH", libraries()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = [&done.stdout, &done.stderr].map(|s| String::from_utf8_lossy(s));
    assert!(done.status.success(), "{command:?}: {}", said.join("\n"));
    String::from_utf8(done.stdout).expect("text")
}

/// A short run in a folder.
fn train(folder: &Path, config: &str) -> PathBuf {
    let config = Config::parse(config, "config", None).expect("a configuration");
    let mut run = Experiment::open(&config, &Device::Cpu, folder, false).expect("a run");
    assert!(matches!(run.run(&mut Silent).expect("trained"), RunStatus::Finished(_)));
    folder.to_path_buf()
}

/// A program from a file of `examples` or `tests`, in every language standard that it is meant for.
fn compile(source: &str, out: &Path) {
    let cpp = source.ends_with(".cpp");
    let compilers = if cpp { ["g++", "clang++"] } else { ["gcc", "clang"] };
    let standards = if cpp { &["-std=c++17"][..] } else { &["-std=c99", "-std=c11"] };
    let there = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    let compilers: Vec<&str> = compilers.into_iter().filter(there).collect();
    assert!(!compilers.is_empty(), "there is no compiler of C or C++");
    for (compiler, standard) in compilers.iter().flat_map(|c| standards.iter().map(move |s| (c, s))) {
        let mut command = Command::new(compiler);
        command.args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-pthread", "-I"]);
        command.arg(here().join("include")).arg(here().join(source)).arg("-o").arg(out);
        command.arg("-L").arg(libraries()).args(["-lhyperloom_c", "-lm"]);
        command.arg(format!("-Wl,-rpath,{}", libraries().display()));
        ran(&mut command);
    }
}

/// What a program prints; under valgrind it loses no memory and reads none that is not its own.
fn run(program: &Path, arguments: &[&Path]) -> String {
    let valgrind = Command::new("valgrind").arg("--version").output().is_ok_and(|o| o.status.success());
    let required = env::var("HYPERLOOM_VALGRIND").is_ok_and(|v| v == "require");
    assert!(valgrind || !required, "there is no valgrind");
    if !valgrind {
        println!("there is no valgrind: {} runs without", program.display());
        return ran(Command::new(program).args(arguments));
    }
    let mut command = Command::new("valgrind");
    // Optimised code looks ahead at what an enum's other variants would hold, and then takes no notice of it.
    command.args(["-q", "--error-exitcode=99", "--undef-value-errors=no"]);
    command.args(["--leak-check=full", "--errors-for-leak-kinds=definite"]);
    ran(command.arg(program).args(arguments))
}

#[test]
fn a_program_in_c_predicts_a_table() {
    let dir = tempfile::tempdir().expect("a folder");
    let growth = here().join("../examples/growth.csv");
    let run_folder = train(
        &dir.path().join("run"),
        &format!(
            "task = \"csv\"\n[csv]\nfile = {:?}\ngroup = \"plant\"\ntarget = \"height\"\norder = \"week\"\n\
             [model]\nencoder = [8]\ntrunk = [8]\ntarget = [8]\nmembers = 2\n[train]\nsteps = 30\npooled_steps = 30\n",
            growth.display().to_string()
        ),
    );
    let [known, asked] = ["growth_new.csv", "growth_ahead.csv"].map(|f| here().join("../examples").join(f));
    let program = dir.path().join("adapt");
    compile("examples/adapt.c", &program);
    let printed = run(&program, &[&run_folder, &known, &asked]);

    let trained = Trained::load(&run_folder).expect("the run");
    let adapted = trained.adapt(&Device::Cpu, &Table::read(&known).expect("rows"), None).expect("a network");
    let asked = Table::read(&asked).expect("rows");
    let found = adapted.predict(&Device::Cpu, &asked).expect("predictions");
    let csv = adapted.format.predictions(&asked, &found.values, None, &[]).expect("a table");
    let (mean, std) = adapted.format.target_scale();
    let first = mean + std * f64::from(found.values[0]);
    let (table, last) = printed.split_once("the first once more: ").expect("two parts");
    assert_eq!(table, String::from_utf8(csv).expect("text"));
    let last: f64 = last.trim().parse().expect("a number");
    assert!((last - first).abs() < 1e-4 * first.abs(), "{last} and {first}");
}

#[test]
fn a_program_in_cpp_makes_networks_for_many_users() {
    let dir = tempfile::tempdir().expect("a folder");
    let run_folder = train(
        &dir.path().join("run"),
        "[model]\nencoder = [8]\ntrunk = [8]\ntarget = [8]\n[train]\nsteps = 30\npooled_steps = 30\n[eval]\ntasks = 10\n[adapt]\nsteps = [0, 1]\n",
    );
    let program = dir.path().join("users");
    compile("examples/users.cpp", &program);
    let printed = run(&program, &[&run_folder, Path::new("20")]);

    let model = hyperloom::Model::load(&run_folder).expect("the run");
    let x: Vec<f32> = (0..10).map(|i| i as f32 - 4.5).collect();
    let of_user =
        |u: usize| Task::from_support(x.clone(), x.iter().map(|x| 3.0 * (x + u as f32).sin()).collect());
    let users: Vec<Task> = (0..20).map(of_user).collect();
    let networks = model.adapt_many(&Device::Cpu, &users, None).expect("networks");
    let said: Vec<f32> = printed.lines().map(|l| l.parse().expect("a number")).collect();
    assert_eq!(said.len(), 20);
    for (said, network) in said.iter().zip(&networks) {
        let want = network.predict(&Device::Cpu, &[0.5]).expect("a value")[0];
        // Libraries of C have sines of their own.
        assert!((said - want).abs() <= 1e-4 * want.abs().max(1.0), "{said} and {want}");
    }
}

/// What `install.sh` installs is found by pkg-config, as a build of one's own finds it.
#[test]
fn an_installed_library_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    ran(Command::new("sh").arg(here().join("install.sh")).arg(dir.path()).arg(libraries()));
    let there = Command::new("pkg-config").arg("--version").output().is_ok_and(|o| o.status.success());
    let flags = match there {
        true => {
            let mut ask = Command::new("pkg-config");
            ask.env("PKG_CONFIG_PATH", dir.path().join("lib/pkgconfig"));
            ran(ask.args(["--cflags", "--libs", "hyperloom_c"]))
        }
        false => {
            println!("there is no pkg-config: its file is read without");
            fs::read_to_string(dir.path().join("lib/pkgconfig/hyperloom_c.pc")).expect("the file");
            format!("-I{0}/include -L{0}/lib -lhyperloom_c", dir.path().display())
        }
    };
    let program = dir.path().join("adapt");
    let mut command = Command::new("cc");
    command.arg(here().join("examples/adapt.c")).arg("-o").arg(&program).args(flags.split_whitespace());
    ran(&mut command);
    let done =
        Command::new(&program).env("LD_LIBRARY_PATH", dir.path().join("lib")).output().expect("a program");
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert_eq!(String::from_utf8_lossy(&done.stderr).trim(), "adapt RUN KNOWN.csv ASKED.csv");
}

/// Not under valgrind: what looks for drivers reads as it likes.
#[test]
fn a_device_that_is_not_there_is_refused() {
    let mut device = std::ptr::null_mut();
    // SAFETY: a text, and a place that can be written.
    let status = unsafe { hyperloom_c::device::hl_device_open(c"gpu:9999".as_ptr(), &raw mut device) };
    assert_eq!(status, hyperloom_c::failure::Status::Device);
    assert!(device.is_null());
}

/// Whatever a program gets wrong is refused with a message.
#[test]
fn a_program_that_gets_it_wrong_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let run_folder = train(
        &dir.path().join("run"),
        "[model]\nencoder = [8]\ntrunk = [8]\ntarget = [8]\n[train]\nsteps = 5\npooled_steps = 5\n[eval]\ntasks = 10\n[adapt]\nsteps = [0, 1]\n",
    );
    fs::write(dir.path().join("no_run"), "nothing").expect("a file");
    let program = dir.path().join("refusals");
    compile("tests/refusals.c", &program);
    let printed =
        run(&program, &[&run_folder, &dir.path().join("no_run"), &dir.path().join("saved.safetensors")]);
    assert_eq!(printed.lines().last(), Some("all as it should be"), "{printed}");
    let program = dir.path().join("forked");
    compile("tests/forked.c", &program);
    ran(Command::new(&program).arg(&run_folder));
}
