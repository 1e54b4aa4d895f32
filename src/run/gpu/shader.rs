//! From a shader's file to what a pipeline needs: imports expanded, the text checked by naga, bindings and
//! the layout of `Params` read off it. Kept apart from the device, so that it works (and is tested)
//! without one.
//!
//! The only preprocessing is a line `#import NAME`, which stands for `shaders/shared/NAME.wgsl`, once per
//! shader however often it is asked for; `chosen` stands for the functions that a launch is made for. WGSL lets declarations stand in any order, so that an import may
//! use names of the file that imports it.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, StorageAccess, TypeInner};

use crate::error::{Error, Result};
use crate::kernel::KernelInfo;
use crate::plan::{Launch, Program};
use crate::region::wgsl;

macro_rules! shared {
    ($($name:literal),*) => {
        &[$(($name, include_str!(concat!("../../../shaders/shared/", $name, ".wgsl")))),*]
    };
}

/// Files that kernels import: name and text.
pub const SHARED: &[(&str, &str)] = shared![
    "binary",
    "bits",
    "cholesky",
    "chosen",
    "elements",
    "exponential",
    "grid",
    "index",
    "log_sum_exp",
    "one_of",
    "pointwise",
    "product",
    "sine",
    "threefry",
    "view",
    "window"
];

/// What a kernel may do with a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A uniform.
    Uniform,
    /// Storage that is only read.
    Read,
    /// Storage that is read and written.
    Write,
}

/// A kernel's text and what naga found in it.
#[derive(Clone, Debug)]
pub struct Shader {
    /// The text with imports expanded, as wgpu gets it.
    pub wgsl: String,
    /// Access of binding 0, 1, ... of group 0.
    pub bindings: Vec<Access>,
    /// Members of `Params` with their offsets in bytes.
    pub params: Vec<(String, usize)>,
    /// Size of `Params` in bytes.
    pub params_size: usize,
    /// Names of the override constants.
    pub overrides: Vec<String>,
}

/// What the shader of a launch is made from: a kernel's file and the functions that the launch is made for, or a region.
/// Launches of equal sources share a shader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Name of the kernel's shader, or `region`.
    pub name: &'static str,
    /// Of a kernel [`crate::kernel::Kernel::chosen`], of a region all its text.
    text: String,
}

impl Source {
    /// That of a launch.
    ///
    /// # Errors
    /// [`Error::Shape`] for a region that was not lowered for a GPU.
    pub fn of(launch: &Launch) -> Result<Source> {
        let name = launch.shader();
        let text = match &launch.program {
            Program::Chunks(_) => {
                let what = "chunks of tasks are for the CPU: lower the plan for the caps of the GPU";
                return Err(Error::Shape(what.into()));
            }
            Program::Region(r) if r.layout.is_none() => {
                let what = "the plan was lowered for the CPU: lower it for the caps of the GPU";
                return Err(Error::Shape(what.into()));
            }
            Program::Region(r) => wgsl::stitch(r, launch.reads.len()).text,
            Program::Kernel(k) => k.chosen(),
        };
        Ok(Source { name, text })
    }

    /// The shader made from it.
    ///
    /// # Errors
    /// As for [`Shader::from_parts`].
    pub fn shader(&self) -> Result<Shader> {
        let Some(kernel) = KernelInfo::find(self.name) else {
            return Shader::from_parts("region/region", &self.text, SHARED);
        };
        let given = |&(name, text)| (name, if name == "chosen" { self.text.as_str() } else { text });
        let shared: Vec<(&str, &str)> = SHARED.iter().map(given).collect();
        Shader::from_parts(kernel.name, kernel.wgsl, &shared)
    }
}

/// A text under expansion, with the file and line that each of its lines comes from.
#[derive(Default)]
struct Expansion {
    text: String,
    lines: Vec<(String, usize)>,
    imported: Vec<String>,
}

impl Expansion {
    fn add(&mut self, file: &str, text: &str, shared: &[(&str, &str)]) -> Result<()> {
        for (i, line) in text.lines().enumerate() {
            let Some(name) = line.strip_prefix("#import") else {
                self.text.push_str(line);
                self.text.push('\n');
                self.lines.push((file.to_string(), i + 1));
                continue;
            };
            let name = name.trim();
            if self.imported.iter().any(|n| n == name) {
                continue;
            }
            let Some((_, import)) = shared.iter().find(|(n, _)| *n == name) else {
                let near = crate::error::nearest(name, shared.iter().map(|(n, _)| *n));
                let hint = near.map_or(String::new(), |n| format!("; '{n}' exists"));
                return Err(Error::Device(format!(
                    "{file}, line {}: no shader to import as '{name}'{hint}",
                    i + 1
                )));
            };
            self.imported.push(name.to_string());
            self.add(&format!("shaders/shared/{name}.wgsl"), import, shared)?;
        }
        Ok(())
    }

    /// The place that line `line` (from 1) of the expanded text comes from.
    fn place(&self, line: usize) -> String {
        let found = self.lines.get(line.wrapping_sub(1));
        found.map_or("end of shader".into(), |(file, line)| format!("{file}, line {line}"))
    }
}

impl Shader {
    /// The shader of a kernel.
    ///
    /// # Errors
    /// [`Error::Device`] with file, line and naga's message. The crate's own kernels never fail (tested).
    pub fn of(kernel: &KernelInfo) -> Result<Shader> {
        Shader::from_parts(kernel.name, kernel.wgsl, SHARED)
    }

    /// A shader from its text and the texts it may import.
    ///
    /// # Errors
    /// [`Error::Device`] with the file and line of an unknown import, or of text that is no valid WGSL.
    pub fn from_parts(name: &str, text: &str, shared: &[(&str, &str)]) -> Result<Shader> {
        let file = format!("shaders/{name}.wgsl");
        let mut source = Expansion::default();
        source.add(&file, text, shared)?;
        let module = naga::front::wgsl::parse_str(&source.text).map_err(|e| {
            let place =
                e.location(&source.text).map_or(file.clone(), |l| source.place(l.line_number as usize));
            Error::Device(format!("{place}: {}", e.message()))
        })?;
        Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).map_err(|e| {
            let place =
                e.location(&source.text).map_or(file.clone(), |l| source.place(l.line_number as usize));
            // naga's outer message says only which function is at fault; the causes say why.
            let mut message = e.as_inner().to_string();
            let mut cause = std::error::Error::source(e.as_inner());
            while let Some(c) = cause {
                message.push_str(&format!(": {c}"));
                cause = c.source();
            }
            Error::Device(format!("{place}: {message}"))
        })?;
        reflect(&file, source.text, &module)
    }
}

fn reflect(file: &str, wgsl: String, module: &naga::Module) -> Result<Shader> {
    let mut bindings: Vec<(u32, Access)> = Vec::new();
    let (mut params, mut params_size) = (Vec::new(), 0);
    for (_, v) in module.global_variables.iter() {
        let Some(binding) = v.binding.filter(|b| b.group == 0) else { continue };
        let access = match v.space {
            AddressSpace::Uniform => Access::Uniform,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Access::Write,
            AddressSpace::Storage { .. } => Access::Read,
            _ => continue,
        };
        if let (Access::Uniform, TypeInner::Struct { members, span }) = (access, &module.types[v.ty].inner) {
            params =
                members.iter().map(|m| (m.name.clone().unwrap_or_default(), m.offset as usize)).collect();
            params_size = *span as usize;
        }
        bindings.push((binding.binding, access));
    }
    bindings.sort_unstable_by_key(|(i, _)| *i);
    if bindings.iter().enumerate().any(|(i, (b, _))| *b as usize != i) {
        return Err(Error::Device(format!("{file}: bindings are not numbered 0, 1, 2, ...")));
    }
    let overrides = module.overrides.iter().filter_map(|(_, o)| o.name.clone()).collect();
    let bindings = bindings.into_iter().map(|(_, a)| a).collect();
    Ok(Shader { wgsl, bindings, params, params_size, overrides })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_file_and_line() {
        let shared = [("one", "fn one() -> u32 { return 1; }\n"), ("bad", "fn bad() {\n    oops;\n}\n")];
        let message = |text: &str| match Shader::from_parts("k", text, &shared) {
            Err(e) => e.to_string(),
            Ok(_) => String::new(),
        };
        assert!(
            message("// f\n#import two").contains("shaders/k.wgsl, line 2"),
            "{}",
            message("// f\n#import two")
        );
        let bad = message("// f\n#import one\n#import bad\n");
        assert!(bad.contains("shaders/shared/bad.wgsl, line 2"), "{bad}");
        let invalid = message("#import one\n\nfn f() -> f32 {\n    return one();\n}\n");
        assert!(invalid.contains("shaders/k.wgsl, line"), "{invalid}");
    }

    #[test]
    fn an_import_comes_once() {
        let shared = [("one", "fn one() -> u32 { return 1u; }\n"), ("two", "#import one\n")];
        let s = Shader::from_parts("k", "#import two\n#import one\nconst A = 1;\n", &shared).expect("valid");
        assert_eq!(s.wgsl.matches("fn one").count(), 1);
    }
}
