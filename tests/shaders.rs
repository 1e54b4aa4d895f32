//! Every shader against its row in `kernel::ALL`, and through naga to SPIR-V, MSL and HLSL. No device needed.
#![cfg(feature = "gpu")]

mod support;

use std::collections::{BTreeSet, HashMap};

use hyperloom::graph::Graph;
use hyperloom::graph::conv::{Conv, Wrt};
use hyperloom::graph::op::{Binary, Dist, Func, Num};
use hyperloom::kernel::{
    self, ALL, AdamW, Advance, CopyKernel, CrossEntropy, Fill, Gather, Kernel, KernelInfo, LogSoftmax, Map,
    MatMul, Random, RowRead, RowWrite, ScatterAdd, Select, Sgd, SpdLogdet, SpdSolve, SumTo, Zip,
};
use hyperloom::plan::{Arg, Caps, KEEP, Launch, Program, SlotId, lower};
use hyperloom::region::wgsl;
use hyperloom::region::{GroupCaps, RegionCaps};
use hyperloom::run::gpu::DeviceClass;
use hyperloom::run::gpu::shader::{Access, SHARED, Shader, Source};
use hyperloom::spec::Activation;
use hyperloom::view::View;
use support::learning::{Shape, learning};

fn functions() -> Vec<Func> {
    let mut all: Vec<Func> =
        Activation::ALL.into_iter().flat_map(|a| (0..=3).map(move |k| Func::Act(a, k))).collect();
    all.extend([Func::Affine(Num(2.0), Num(1.0)), Func::Exp, Func::Log, Func::Sqrt, Func::Rsqrt]);
    all.extend([Func::Recip, Func::IsFinite]);
    let sloped = [Activation::Tanh, Activation::Sigmoid, Activation::Relu, Activation::LeakyRelu];
    all.extend(sloped.map(Func::Slope));
    all
}

/// Launches of a shader that between them ask for every constant it knows. The views matter to the constants
/// of `sum_to`, and to which shader a product takes.
fn launches(name: &str) -> Vec<Launch> {
    let info = KernelInfo::find(name).expect("a row");
    if info.kernel == "matmul" {
        return products(name);
    }
    if name == "conv" {
        return convolutions();
    }
    let kernels: Vec<Kernel> = match name {
        "map" => functions().into_iter().map(|func| Kernel::Map(Map { func })).collect(),
        "zip" => {
            use Binary::*;
            let ops = [Add, Sub, Mul, Div, Max, Less, GreaterEq, Equal];
            let plain = ops.into_iter().map(|op| Kernel::Zip(Zip { op, pre: None }));
            plain.chain(functions().into_iter().map(|f| Kernel::Zip(Zip { op: Mul, pre: Some(f) }))).collect()
        }
        "select" => vec![Kernel::Select(Select)],
        "sum_to" => [true, false].map(|dot| Kernel::SumTo(SumTo { dot })).to_vec(),
        "copy" => vec![Kernel::Copy(CopyKernel)],
        "fill" => vec![Kernel::Fill(Fill { value: 1.0 })],
        "gather" => vec![Kernel::Gather(Gather)],
        "scatter_add" => vec![Kernel::ScatterAdd(ScatterAdd)],
        "log_softmax" => vec![Kernel::LogSoftmax(LogSoftmax)],
        "spd_solve" => vec![Kernel::SpdSolve(SpdSolve)],
        "spd_logdet" => vec![Kernel::SpdLogdet(SpdLogdet)],
        "cross_entropy" => vec![Kernel::CrossEntropy(CrossEntropy)],
        "random" => [Dist::Bits, Dist::Uniform, Dist::Normal]
            .map(|dist| Kernel::Random(Random { dist, stream: 1, per_task: 4, first_task: 0 }))
            .to_vec(),
        "adamw" => vec![Kernel::AdamW(AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.0 })],
        "sgd" => vec![Kernel::Sgd(Sgd { momentum: 0.9, decay: 0.0 })],
        "row_read" => vec![Kernel::RowRead(RowRead)],
        "row_write" => vec![Kernel::RowWrite(RowWrite { column: 0 })],
        "advance" => vec![Kernel::Advance(Advance)],
        other => panic!("no launches of kernel '{other}' are listed here"),
    };
    let args = |n: usize, shape: &[usize]| {
        let arg = |i| Arg { slot: SlotId(i), view: View::contiguous(shape, 0) };
        (0..n).map(arg).collect::<Vec<_>>()
    };
    let mut out = Vec::new();
    for kernel in kernels {
        for shape in [[4usize, 4], [4, 256]] {
            let least = if name.starts_with("spd") { 2 } else { 1 };
            for writes in least..=info.writes.len() {
                let result = if name == "sum_to" { [4, 1] } else { shape };
                let (reads, writes) = (args(info.reads.len(), &shape), args(writes, &result));
                out.push(Launch::new(kernel.clone(), reads, writes, name));
            }
        }
    }
    out
}

/// Products of shapes between which every tier occurs: those that take the shader `name`.
fn products(name: &str) -> Vec<Launch> {
    let mut out = Vec::new();
    let shapes = [
        [1, 1, 100, 300],
        [1, 100, 2, 300],
        [1, 2, 2, 30],
        [1, 9, 9, 2],
        [512, 3, 5, 9],
        [600, 40, 12, 64],
        [1, 15, 200, 9],
        [1, 40, 300, 30],
        [2, 600, 600, 30],
        [40, 200, 300, 30],
    ];
    for [batch, m, n, k] in shapes {
        for act in Activation::ALL {
            for (bias, save) in [(false, false), (true, true)] {
                let arg =
                    |slot, shape: [usize; 3]| Arg { slot: SlotId(slot), view: View::contiguous(&shape, 0) };
                let result = [batch, m, n];
                let mut writes = vec![arg(3, result)];
                writes.extend(save.then(|| arg(4, result)));
                let reads = vec![arg(0, [batch, m, k]), arg(1, [batch, k, n]), arg(2, result)];
                out.push(Launch::new(Kernel::MatMul(MatMul { bias, act }), reads, writes, name));
            }
        }
    }
    out.retain(|l| l.shader() == name);
    assert!(!out.is_empty(), "no product takes {name}");
    out
}

/// The three convolutions with everything that they may take along.
fn convolutions() -> Vec<Launch> {
    let geometry = Conv::square(3, 1).same([4, 4]);
    let mut out = Vec::new();
    for wrt in [Wrt::Output, Wrt::Input, Wrt::Kernels] {
        for act in Activation::ALL {
            for (bias, save) in [(false, false), (true, true)] {
                let arg =
                    |slot, shape: [usize; 5]| Arg { slot: SlotId(slot), view: View::contiguous(&shape, 0) };
                let (image, kernels) = ([2, 3, 4, 4, 5], [2, 3, 3, 5, 5]);
                let [a, b, y] = match wrt {
                    Wrt::Output | Wrt::Input => [image, kernels, image],
                    Wrt::Kernels => [image, image, kernels],
                };
                let mut writes = vec![arg(3, y)];
                writes.extend(save.then(|| arg(4, y)));
                let kernel = Kernel::Conv(kernel::Conv { geometry, wrt, bias, act });
                let reads = vec![arg(0, a), arg(1, b), arg(2, y)];
                out.push(Launch::new(kernel, reads, writes, "conv"));
            }
        }
    }
    out
}

#[test]
fn every_file_has_a_row_and_every_row_a_file() {
    let names = |folder: &str| -> BTreeSet<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders").join(folder);
        let entries = std::fs::read_dir(folder).expect("shaders").map(|e| e.expect("entry").path());
        entries
            .filter(|p| p.extension().is_some_and(|e| e == "wgsl"))
            .map(|p| p.file_stem().expect("stem").to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(names(""), ALL.iter().map(|k| k.name.to_string()).collect());
    let own = ALL.iter().filter(|k| k.block.is_some()).map(|k| k.name);
    assert_eq!(names("region"), wgsl::BLOCKS.iter().copied().chain(own).map(String::from).collect());
    assert_eq!(names("shared"), SHARED.iter().map(|(n, _)| n.to_string()).collect());
    let used: String = ALL.iter().map(|k| k.wgsl).chain(SHARED.iter().map(|(_, s)| *s)).collect();
    for (name, _) in SHARED {
        assert!(
            used.contains(&format!("#import {name}\n")),
            "shaders/shared/{name}.wgsl is imported nowhere"
        );
    }
}

#[test]
fn uniforms_and_bindings_match_the_rust_side() {
    for k in ALL {
        let s = Shader::of(k).unwrap_or_else(|e| panic!("{e}"));
        let twin: Vec<(String, usize)> = k.fields.iter().map(|(n, o)| (n.to_string(), *o)).collect();
        assert_eq!(s.params, twin, "members of Params in {}", k.name);
        assert_eq!(s.params_size, k.uniform_size, "size of Params in {}", k.name);
        let mut access = vec![Access::Uniform];
        access.extend(std::iter::repeat_n(Access::Read, k.reads.len()));
        access.extend(std::iter::repeat_n(Access::Write, k.writes.len()));
        assert_eq!(s.bindings, access, "bindings of {}", k.name);
        assert!(k.wgsl.starts_with("// "), "{} opens with its formula", k.name);
        assert!(k.wgsl.lines().count() < 400);
    }
}

#[test]
fn constants_exist_and_every_one_is_set() {
    for k in ALL {
        let s = Shader::of(k).unwrap_or_else(|e| panic!("{e}"));
        let known: BTreeSet<&str> = s.overrides.iter().map(String::as_str).collect();
        for l in launches(k.name) {
            let d = l.dispatch();
            assert_eq!(d.constants.iter().map(|(n, _)| *n).collect::<BTreeSet<_>>(), known, "{}", k.name);
            assert_eq!(d.uniform.len(), k.uniform_size, "{}", k.name);
            assert!(d.groups.iter().all(|g| (1..=65_535).contains(g)), "{}", k.name);
        }
    }
}

#[test]
fn every_kernel_translates() {
    for k in ALL {
        let mut seen: HashMap<Source, Vec<Vec<(&str, u64)>>> = HashMap::new();
        for l in launches(k.name) {
            let constants = l.dispatch().constants;
            let key: Vec<(&str, u64)> = constants.iter().map(|(n, v)| (*n, v.to_bits())).collect();
            let source = Source::of(&l).expect("a kernel of its own");
            let sets = seen.entry(source.clone()).or_default();
            if !sets.contains(&key) {
                let s = source.shader().unwrap_or_else(|e| panic!("{e}"));
                let module = naga::front::wgsl::parse_str(&s.wgsl).expect("parsed before");
                translate(k.name, &module, &constants);
                sets.push(key);
            }
        }
    }
}

/// The functions that a launch is made for.
fn chosen(l: &Launch) -> String {
    match &l.program {
        Program::Kernel(k) => k.chosen(),
        Program::Region(_) | Program::Chunks(_) => String::new(),
    }
}

/// What is called by its name is the function itself, and none of the others.
#[test]
fn a_pipeline_has_the_functions_that_it_is_made_for() {
    for name in ["map", "zip", "conv", "matmul", "matmul_thin", "matmul_small", "matmul_large"] {
        let info = KernelInfo::find(name).expect("a row");
        let imports = |text: &str| text.contains("#import chosen\n");
        let product = SHARED.iter().any(|(n, text)| *n == "product" && imports(text));
        assert!(imports(info.wgsl) || product && info.wgsl.contains("#import product\n"), "{name}");
        let plain = Shader::of(info).unwrap_or_else(|e| panic!("{e}"));
        let mut functions = BTreeSet::new();
        for l in launches(name) {
            let s = Source::of(&l).and_then(|s| s.shader()).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(
                (&s.bindings, &s.params, &s.overrides),
                (&plain.bindings, &plain.params, &plain.overrides),
                "{name}"
            );
            assert!(s.wgsl.contains(&chosen(&l)), "{name}");
            functions.insert(chosen(&l));
        }
        assert!(functions.len() >= Activation::ALL.len(), "{name}: {functions:?}");
    }
    for k in ALL.iter().filter(|k| !matches!(k.kernel, "map" | "zip" | "conv" | "matmul")) {
        assert!(launches(k.name).iter().all(|l| chosen(l).is_empty()), "{}", k.name);
    }
}

/// Regions of inner learning of every activation and loss, with much memory and with little.
#[test]
fn regions_translate() {
    let mut seen = 0;
    for seed in 0..20 {
        let (g, _) = learning(Shape::random(seed), seed, true);
        for bytes in [48 << 10, 512] {
            let group = Some(GroupCaps { bytes, threads: 256, operands: 64, passes: 256, loop_passes: 256 });
            let regions = Some(RegionCaps { least_tasks: 2, bytes: 1 << 20, fast_memory: 1 << 20, group });
            let plan = lower(&g, Caps { regions, ..Caps::cpu(1) }).expect("the plan fits");
            for l in &plan.launches {
                let Some(r) = l.region() else { continue };
                let shader = Source::of(l).and_then(|s| s.shader());
                let shader = shader.unwrap_or_else(|e| panic!("{e}\n{r:?}"));
                let mut access = vec![Access::Read; l.reads.len()];
                access.extend(vec![Access::Write; l.writes.len()]);
                access.extend((!l.dispatch().uniform.is_empty()).then_some(Access::Uniform));
                assert_eq!(shader.bindings, access);
                let module = naga::front::wgsl::parse_str(&shader.wgsl).expect("parsed before");
                translate("region", &module, &[]);
                seen += 1;
            }
        }
    }
    assert!(seen >= 40, "only {seen} regions");
}

/// A sweep over rates compiles once: they are data of a launch.
#[test]
fn another_rate_is_the_same_shader() {
    let launches = |rate: f64| {
        let (mut g, t) = (Graph::new(), 4);
        g.keep(KEEP);
        let (w, x, y) = (g.data("w", &[t, 8, 3]), g.data("x", &[t, 5, 8]), g.data("y", &[t, 5, 3]));
        let (last, _) = g.scan(3, &[w], &[x, y], &[], |g, a| {
            let z = g.matmul(a.constants[0], a.carried[0]);
            let error = g.sub(z, a.constants[1]);
            let square = g.mul(error, error);
            let loss = g.sum_to(square, &[]);
            let d = g.grad(loss, &[a.carried[0]])[0];
            let step = g.scale(d, rate);
            (vec![g.sub(a.carried[0], step)], vec![])
        });
        g.output("w", last[0]);
        lower(&g, DeviceClass::Portable.caps(1)).expect("the plan fits").launches
    };
    let (a, b) = (launches(0.1), launches(0.025));
    assert!(a.iter().any(|l| l.region().is_some()), "no region");
    let source = |l: &Launch| Source::of(l).expect("a shader");
    assert!(a.iter().map(source).eq(b.iter().map(source)), "another rate is another shader");
    let numbers = |l: &Launch| l.dispatch().uniform;
    assert!(a.iter().map(numbers).ne(b.iter().map(numbers)), "the rate is in no uniform");
}

fn translate(name: &str, module: &naga::Module, constants: &[(&str, f64)]) {
    use naga::back::{hlsl, msl, pipeline_constants::process_overrides, spv};
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    let what = |back: &str| format!("{name} {constants:?} to {back}");
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(module).expect("valid");
    let values: HashMap<String, f64> = constants.iter().map(|(n, v)| (n.to_string(), *v)).collect();
    let entry = (naga::ShaderStage::Compute, "main");
    let (module, info) =
        process_overrides(module, &info, Some(entry), &values.into_iter().collect()).expect("overrides");

    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let pipeline = spv::PipelineOptions { shader_stage: entry.0, entry_point: "main".into() };
    let words = spv::write_vec(&module, &info, &options, Some(&pipeline));
    assert!(words.unwrap_or_else(|e| panic!("{}: {e}", what("SPIR-V"))).len() > 100);

    let mut options =
        msl::Options { lang_version: (2, 0), fake_missing_bindings: true, ..Default::default() };
    options.zero_initialize_workgroup_memory = false;
    let pipeline = msl::PipelineOptions { entry_point: Some((entry.0, "main".into())), ..Default::default() };
    let (text, _) = msl::write_string(&module, &info, &options, &pipeline)
        .unwrap_or_else(|e| panic!("{}: {e}", what("MSL")));
    assert!(text.contains("kernel void"), "{}", what("MSL"));

    let options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
    let pipeline = hlsl::PipelineOptions { entry_point: Some((entry.0, "main".into())) };
    let mut text = String::new();
    hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(&module, &info, None)
        .unwrap_or_else(|e| panic!("{}: {e}", what("HLSL")));
    let threads: usize = module.entry_points[0].workgroup_size.iter().map(|x| *x as usize).product();
    assert!(text.contains("numthreads(") && (1..=256).contains(&threads), "{}", what("HLSL"));
}
