//! Networks written out as WGSL, run by plain wgpu on a device with WebGPU's default limits.

use hyperloom::export::{ROWS_OF_A_WORKGROUP, Wgsl};
use wgpu::util::DeviceExt as _;

use super::exported::{Case, ROWS, cases};
use super::gpu;
use super::runner::plain_device;

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn ran(device: &wgpu::Device, queue: &wgpu::Queue, case: &Case) -> Vec<f32> {
    let program = &case.program;
    let text = program.text(&Wgsl).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(&case.name),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some(&format!("{}_predict", case.name)),
        compilation_options: Default::default(),
        cache: None,
    });
    let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let buffer = |contents: &[u8], usage| {
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
    };
    let workspace = program.workspace().expect("a size").max(1);
    let buffers = [
        buffer(&bytes(&case.x), storage),
        buffer(&bytes(&vec![f32::NAN; case.want.len()]), storage),
        buffer(&bytes(&program.weights), storage),
        buffer(&bytes(&vec![f32::NAN; ROWS * workspace]), storage),
        buffer(&(ROWS as u32).to_le_bytes(), wgpu::BufferUsages::UNIFORM),
    ];
    let back = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4 * case.want.len() as u64,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    // A binding that a network does not use is not in the layout.
    let used: Vec<usize> = (0..5).filter(|k| *k != 3 || program.workspace().is_ok_and(|s| s > 0)).collect();
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &used
            .iter()
            .map(|k| wgpu::BindGroupEntry { binding: *k as u32, resource: buffers[*k].as_entire_binding() })
            .collect::<Vec<_>>(),
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(ROWS.div_ceil(ROWS_OF_A_WORKGROUP) as u32, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&buffers[1], 0, &back, 0, None);
    queue.submit([encoder.finish()]);
    back.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("mapped"));
    device.poll(wgpu::PollType::wait_indefinitely()).expect("done");
    let mapped = back.get_mapped_range(..).expect("mapped");
    mapped.chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Of nets with loops in loops a software driver makes machine code for a minute each: their texts are checked below, and are made of the same statements.
const QUICK: &[&str] = &[
    "dense",
    "single",
    "functions",
    "upwards",
    "series",
    "branches",
    "nodes",
    "one_hot",
    "classes",
    "several_classes",
    "several_values",
];

#[test]
fn wgsl_says_what_the_cpu_path_says() {
    let Some(gpu) = gpu(true) else { return };
    let (device, queue) = plain_device(&gpu);
    let quick: Vec<Case> = cases().into_iter().filter(|c| QUICK.contains(&c.name.as_str())).collect();
    assert_eq!(quick.len(), QUICK.len());
    for case in quick {
        case.compare("WGSL", &ran(&device, &queue, &case));
    }
}

#[test]
fn wgsl_of_every_net_is_valid() {
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    for case in cases() {
        let text = case.program.text(&Wgsl).expect("a text");
        let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
        validator.validate(&module).unwrap_or_else(|e| panic!("{}: {e:?}", case.name));
    }
}
