//! Pipelines: a shader's module and binding layout, made once a device, and one pipeline for every set of override
//! constants that a plan asks for.

use std::sync::Arc;
use std::time::Instant;

use super::device::Gpu;
use super::shader::{Access, Source};
use crate::error::Result;

/// What tells pipelines apart: the shader and its constants, by their bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(Source, Vec<(&'static str, u64)>);

impl Key {
    pub(super) fn new(source: Source, constants: &[(&'static str, f64)]) -> Key {
        Key(source, constants.iter().map(|(name, value)| (*name, value.to_bits())).collect())
    }

    pub(super) fn source(&self) -> &Source {
        &self.0
    }
}

/// What all pipelines of a shader share.
#[derive(Debug)]
pub(super) struct Layout {
    kernel: &'static str,
    module: wgpu::ShaderModule,
    /// Layout of group 0.
    pub(super) bindings: wgpu::BindGroupLayout,
    /// Access of each binding.
    pub(super) access: Vec<Access>,
    pipeline: wgpu::PipelineLayout,
}

impl Layout {
    pub(super) fn new(gpu: &Gpu, source: &Source) -> Result<Layout> {
        let (kernel, shader) = (source.name, source.shader()?);
        let entries: Vec<wgpu::BindGroupLayoutEntry> = shader
            .bindings
            .iter()
            .enumerate()
            .map(|(i, access)| wgpu::BindGroupLayoutEntry {
                binding: i as u32,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: match access {
                        Access::Uniform => wgpu::BufferBindingType::Uniform,
                        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                        Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let device = gpu.device();
        gpu.guarded(&format!("compiling kernel '{kernel}'"), || {
            let desc = wgpu::ShaderModuleDescriptor {
                label: Some(kernel),
                source: wgpu::ShaderSource::Wgsl(shader.wgsl.into()),
            };
            let module = if gpu.checked() {
                device.create_shader_module(desc)
            } else {
                // SAFETY: what the omitted checks would catch cannot happen: `Plan::check` has verified that
                // every view ends inside its slot, indices read from memory are clamped by the kernels,
                // loops run to bounds from uniforms, and every divisor is a length of at least 1.
                unsafe { device.create_shader_module_trusted(desc, wgpu::ShaderRuntimeChecks::unchecked()) }
            };
            let bindings = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(kernel),
                entries: &entries,
            });
            let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(kernel),
                bind_group_layouts: &[Some(&bindings)],
                immediate_size: 0,
            });
            Layout { kernel, module, bindings, access: shader.bindings, pipeline }
        })
    }
}

/// A compiled pipeline with its layout.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) layout: Arc<Layout>,
    pub(super) pipeline: wgpu::ComputePipeline,
}

impl Compiled {
    pub(super) fn new(gpu: &Gpu, layout: Arc<Layout>, constants: &[(&'static str, f64)]) -> Result<Compiled> {
        let what = format!("compiling kernel '{}' with {constants:?}", layout.kernel);
        let begun = Instant::now();
        let pipeline = gpu.guarded(&what, || {
            gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(layout.kernel),
                layout: Some(&layout.pipeline),
                module: &layout.module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants,
                    // Every kernel writes its workgroup memory before it reads it.
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            })
        })?;
        log::debug!("{what} took {:.1} ms", 1e3 * begun.elapsed().as_secs_f64());
        Ok(Compiled { layout, pipeline })
    }
}
