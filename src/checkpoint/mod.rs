//! Checkpoints: named tensors and a few words about them in one safetensors file, which other tools read
//! too. Apart from training, because a checkpoint comes back from outside, perhaps years later and through a
//! bad disk: every length is checked before it is believed, and every byte is covered by a hash.
//!
//! Layout of the metadata (`__metadata__` of the safetensors header), beside the caller's own entries:
//!
//! | key | value |
//! |---|---|
//! | `format` | `hyperloom-checkpoint` |
//! | `version` | `1` |
//! | `hashes` | JSON object: tensor name → SHA-256 of its bytes, in hex |
//! | `header_hash` | SHA-256 over all other metadata and each tensor's name, type and shape, in hex |
//!
//! ```
//! use hyperloom::checkpoint::{Checkpoint, Tensor};
//!
//! let mut c = Checkpoint::default();
//! c.tensors.insert("w".into(), Tensor::f32(&[2, 1], vec![1.0, -1.0]));
//! c.metadata.insert("about".into(), "a small one".into());
//! let file = std::env::temp_dir().join(format!("hyperloom-doc-{}.safetensors", std::process::id()));
//! c.save(&file)?;
//! let read = Checkpoint::load(&file)?;
//! assert_eq!(read.f32("w", &[2, 1])?, [1.0, -1.0]);
//! assert!(read.f32("w", &[3]).is_err_and(|e| e.to_string().contains("expected F32 [3]")));
//! # std::fs::remove_file(&file).map_err(hyperloom::Error::io("remove", &file))?;
//! # Ok::<(), hyperloom::Error>(())
//! ```

use crate::error::{Error, Result, nearest};
use crate::files::write_atomically;
use half::f16;
use safetensors::tensor::Metadata;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use tensor::element_count;

mod tensor;
pub use tensor::{Tensor, TensorData};

const FORMAT: &str = "hyperloom-checkpoint";
const VERSION: u64 = 1;
/// Metadata keys that this module writes and a caller may not.
const RESERVED: [&str; 4] = ["format", "version", "hashes", "header_hash"];
/// The bytes of the header's length, which open the file.
const LENGTH_BYTES: usize = 8;
/// What the safetensors format allows for a header.
const LARGEST_HEADER: u64 = 100_000_000;
/// Larger than any checkpoint of ours can be; keeps a wrong path from filling the memory.
const LARGEST_FILE: u64 = 64 << 30;
const WAY_OUT: &str = "use an earlier checkpoint or train again";

/// Named tensors and metadata, as a file holds them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// The caller's own words about them, without the keys that the format adds.
    pub metadata: BTreeMap<String, String>,
}

/// The numbers of a tensor that has to be of this type and shape.
macro_rules! numbers {
    ($checkpoint:ident, $name:ident, $shape:ident, $dtype:ident) => {
        match $checkpoint.tensor($name)? {
            Tensor { shape, data: TensorData::$dtype(v) } if shape == $shape => Ok(v),
            found => Err(mismatch($name, found, stringify!($dtype), $shape)),
        }
    };
}

impl Checkpoint {
    /// Writes the checkpoint to `path` in one step (see [`write_atomically`]). The same content gives the
    /// same bytes.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a shape that does not fit its numbers, a tensor called `__metadata__` or a
    /// metadata key that the format keeps for itself; [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes().map_err(|message| Error::checkpoint(path, message))?;
        write_atomically(path, &bytes)
    }

    /// Reads a checkpoint that [`Checkpoint::save`] wrote, and proves that it is unchanged.
    ///
    /// # Errors
    /// [`Error::Io`] when the file is missing or cannot be read; [`Error::Checkpoint`] when it is not a
    /// checkpoint, of a version that this program does not know, cut off or changed.
    pub fn load(path: &Path) -> Result<Checkpoint> {
        read_file(path)?.verified().map_err(|message| Error::checkpoint(path, message))
    }

    /// The tensor called `name`, of any type and shape.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is none, with the nearest name that there is.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| {
            let hint = match nearest(name, self.tensors.keys().map(String::as_str)) {
                Some(near) => format!("; did you mean '{near}'?"),
                None => String::new(),
            };
            Error::Shape(format!("the checkpoint has no tensor '{name}'{hint}"))
        })
    }

    /// The 32-bit floats of tensor `name`, row-major, if it has this shape.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the tensor, the type and shape found, and those asked for.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        numbers!(self, name, shape, F32)
    }

    /// The 32-bit unsigned integers of tensor `name`; as [`Checkpoint::f32`].
    pub fn u32(&self, name: &str, shape: &[usize]) -> Result<&[u32]> {
        numbers!(self, name, shape, U32)
    }

    /// The 64-bit floats of tensor `name`; as [`Checkpoint::f32`].
    pub fn f64(&self, name: &str, shape: &[usize]) -> Result<&[f64]> {
        numbers!(self, name, shape, F64)
    }

    /// The 64-bit integers of tensor `name`; as [`Checkpoint::f32`].
    pub fn i64(&self, name: &str, shape: &[usize]) -> Result<&[i64]> {
        numbers!(self, name, shape, I64)
    }

    /// The 16-bit floats of tensor `name`; as [`Checkpoint::f32`].
    pub fn f16(&self, name: &str, shape: &[usize]) -> Result<&[f16]> {
        numbers!(self, name, shape, F16)
    }

    /// The 8-bit integers of tensor `name`; as [`Checkpoint::f32`].
    pub fn i8(&self, name: &str, shape: &[usize]) -> Result<&[i8]> {
        numbers!(self, name, shape, I8)
    }

    /// The bytes of tensor `name`; as [`Checkpoint::f32`].
    pub fn u8(&self, name: &str, shape: &[usize]) -> Result<&[u8]> {
        numbers!(self, name, shape, U8)
    }

    /// The whole file. The header is put together here and not by the safetensors crate, which orders
    /// metadata by a random hash: the bytes would differ from one save to the next.
    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        if let Some(key) = RESERVED.iter().find(|key| self.metadata.contains_key(**key)) {
            return Err(format!("the metadata key '{key}' belongs to the format; use another"));
        }
        self.check_shapes()?;
        let hashes: serde_json::Map<String, serde_json::Value> = self
            .tensors
            .iter()
            .map(|(name, tensor)| (name.clone(), sha256(&tensor.data.bytes()).into()))
            .collect();
        let mut metadata = self.metadata.clone();
        metadata.insert("format".into(), FORMAT.into());
        metadata.insert("version".into(), VERSION.to_string());
        metadata.insert("hashes".into(), serde_json::Value::from(hashes).to_string());
        metadata.insert("header_hash".into(), header_hash(&metadata, &self.tensors));
        Ok(self.laid_out(&metadata))
    }

    /// Refuses tensors that no safetensors file can hold.
    fn check_shapes(&self) -> Result<(), String> {
        for (name, tensor) in &self.tensors {
            if name == "__metadata__" {
                return Err("no tensor can be called '__metadata__' in a safetensors file".into());
            }
            if element_count(&tensor.shape) != Some(tensor.data.len()) {
                let (found, count) = (tensor.describe(), tensor.data.len());
                return Err(format!("tensor '{name}' is {found} but holds {count} numbers"));
            }
        }
        Ok(())
    }

    /// The bytes of a file with these metadata.
    fn laid_out(&self, metadata: &BTreeMap<String, String>) -> Vec<u8> {
        // Wide numbers first, so that every tensor starts at a multiple of its own width.
        let mut order: Vec<_> = self.tensors.iter().collect();
        order.sort_by_key(|(name, tensor)| (std::cmp::Reverse(tensor.data.width()), *name));
        let mut header = serde_json::Map::new();
        header.insert("__metadata__".into(), serde_json::json!(metadata));
        let mut end = 0;
        for (name, tensor) in &order {
            let start = end;
            end += tensor.data.len() * tensor.data.width();
            let (dtype, shape) = (tensor.data.dtype(), &tensor.shape);
            let entry = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
            header.insert(name.to_string(), entry);
        }
        let mut header = serde_json::Value::from(header).to_string().into_bytes();
        // The format asks for spaces up to a multiple of eight.
        header.resize(header.len().next_multiple_of(LENGTH_BYTES), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.append(&mut header);
        bytes.reserve_exact(end);
        for (_, tensor) in &order {
            bytes.extend_from_slice(&tensor.data.bytes());
        }
        bytes
    }

    /// Checks and removes what `to_bytes` added to the metadata.
    fn verified(mut self) -> Result<Checkpoint, String> {
        match self.metadata.get("format").map(String::as_str) {
            Some(FORMAT) => {}
            Some(other) => return Err(format!("its format is '{other}', not '{FORMAT}'")),
            None => {
                return Err(format!(
                    "a safetensors file, but not a checkpoint of this program (no format '{FORMAT}')"
                ));
            }
        }
        let version = self.metadata.get("version").map_or("none", String::as_str);
        match version.parse::<u64>() {
            Ok(VERSION) => {}
            Ok(newer) if newer > VERSION => {
                return Err(format!(
                    "version {newer}, but this program reads version {VERSION}; use a newer hyperloom"
                ));
            }
            _ => return Err(format!("version '{version}' is unknown; this program reads version {VERSION}")),
        }
        let recorded =
            self.metadata.remove("header_hash").ok_or("damaged: no header_hash in the metadata")?;
        if recorded != header_hash(&self.metadata, &self.tensors) {
            return Err(format!("damaged: the header does not match its hash; {WAY_OUT}"));
        }
        let hashes = self.metadata.remove("hashes").ok_or("damaged: no hashes in the metadata")?;
        let mut hashes: BTreeMap<String, String> = serde_json::from_str(&hashes)
            .map_err(|e| format!("damaged: the hashes in the metadata are not JSON ({e}); {WAY_OUT}"))?;
        for (name, tensor) in &self.tensors {
            let recorded = hashes
                .remove(name)
                .ok_or_else(|| format!("damaged: tensor '{name}' has no hash; {WAY_OUT}"))?;
            if recorded != sha256(&tensor.data.bytes()) {
                return Err(format!("damaged: tensor '{name}' does not match its hash; {WAY_OUT}"));
            }
        }
        if let Some(name) = hashes.keys().next() {
            return Err(format!("damaged: tensor '{name}' is missing; {WAY_OUT}"));
        }
        self.metadata.remove("format");
        self.metadata.remove("version");
        Ok(self)
    }
}

/// Writes tensors of 32-bit floats, shapes and numbers by their names, as a safetensors file for other programs, with these metadata and no hashes.
///
/// # Errors
/// [`Error::Checkpoint`] for a shape that does not fit its numbers; [`Error::Io`] when the file cannot be written.
pub fn save_tensors(
    path: &Path,
    tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    metadata: &[(&str, &str)],
) -> Result<()> {
    let tensors: BTreeMap<String, Tensor> = tensors
        .iter()
        .map(|(name, (shape, data))| (name.clone(), Tensor::f32(shape, data.clone())))
        .collect();
    let metadata = metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let c = Checkpoint { tensors, metadata };
    let bytes = c.check_shapes().map(|()| c.laid_out(&c.metadata));
    write_atomically(path, &bytes.map_err(|message| Error::checkpoint(path, message))?)
}

/// Reads a safetensors file that need not be a checkpoint of ours: no format marker and no hash is looked
/// for, and all metadata is kept as it stands.
///
/// # Errors
/// As [`Checkpoint::load`], and for a tensor of a type that is not read.
pub fn read_safetensors(path: impl AsRef<Path>) -> Result<Checkpoint> {
    read_file(path.as_ref())
}

/// Reads a file and takes it apart, believing no length before it is checked.
fn read_file(path: &Path) -> Result<Checkpoint> {
    let refuse = |message: String| Error::checkpoint(path, message);
    // Asked before it is opened: opening a pipe would wait for ever.
    let about = fs::metadata(path).map_err(Error::io("read", path))?;
    if about.is_dir() {
        return Err(refuse("a folder, not a file; name the checkpoint file inside it".into()));
    }
    if !about.is_file() {
        return Err(refuse("not a regular file".into()));
    }
    if about.len() > LARGEST_FILE {
        let (size, most) = (thousands(about.len()), thousands(LARGEST_FILE));
        return Err(refuse(format!("{size} bytes, too large for a checkpoint (at most {most})")));
    }
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(about.len() as usize)
        .map_err(|_| refuse(format!("no memory for its {} bytes", thousands(about.len()))))?;
    // No further than was promised, should something be writing to it.
    (&mut file).take(about.len()).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    parse(&bytes).map_err(refuse)
}

/// Takes the bytes of a file apart. The safetensors crate reads the header, but its own check of the header
/// against the length of the file can overflow on sizes near 2^64; hence the sums here.
fn parse(bytes: &[u8]) -> Result<Checkpoint, String> {
    let (header, body) = split_header(bytes)?;
    let header: Metadata = serde_json::from_slice(header)
        .map_err(|e| format!("damaged: the header is wrong ({e}); {WAY_OUT}"))?;
    let (promised, found) = (header.data_len(), body.len());
    if promised != found {
        let word = if promised > found { "truncated" } else { "damaged" };
        let before = (bytes.len() - found) as u64;
        let promised = thousands(before.saturating_add(promised as u64));
        let found = thousands(bytes.len() as u64);
        return Err(format!("{word}: the header promises {promised} bytes, the file has {found}; {WAY_OUT}"));
    }
    let mut tensors = BTreeMap::new();
    for (name, info) in header.tensors() {
        let (start, end) = info.data_offsets;
        let body =
            body.get(start..end).ok_or_else(|| format!("damaged: tensor '{name}' lies outside the file"))?;
        let data = TensorData::from_bytes(info.dtype, body).ok_or_else(|| {
            format!(
                "tensor '{name}' holds {}; only F32, F16, BF16, F64, I8, U8, U32 and I64 are read",
                info.dtype
            )
        })?;
        tensors.insert(name, Tensor { shape: info.shape.clone(), data });
    }
    let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(Checkpoint { tensors, metadata })
}

/// The header and what follows it, its length held against the file's before anything is parsed.
fn split_header(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let found = thousands(bytes.len() as u64);
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(format!(
            "truncated: a safetensors file has 8 bytes or more, this one {found}; {WAY_OUT}"
        ));
    };
    let length = u64::from_le_bytes(*length);
    // Text, an archive or a picture makes an absurd length of its first bytes.
    if length > LARGEST_HEADER || !matches!(rest.first(), Some(b'{') | None) {
        return Err("not a safetensors file (its first bytes are not the length of a header)".into());
    }
    rest.split_at_checked(length as usize).ok_or_else(|| {
        let promised = thousands(length + LENGTH_BYTES as u64);
        format!("truncated: the header alone ends at byte {promised}, the file has {found}; {WAY_OUT}")
    })
}

/// The hash over all that the hashes of the tensors do not cover. Each part is written as JSON on its own
/// line, so that no two different contents give the same text.
fn header_hash(metadata: &BTreeMap<String, String>, tensors: &BTreeMap<String, Tensor>) -> String {
    let mut hash = Sha256::new();
    for (key, value) in metadata {
        hash.update(format!("{}\n", serde_json::json!(["metadata", key, value])));
    }
    for (name, tensor) in tensors {
        let parts = serde_json::json!(["tensor", name, tensor.data.dtype(), tensor.shape]);
        hash.update(format!("{parts}\n"));
    }
    hex(hash.finalize().as_slice())
}

fn mismatch(name: &str, found: &Tensor, dtype: &str, shape: &[usize]) -> Error {
    Error::Shape(format!("tensor '{name}' is {}, expected {dtype} {shape:?}", found.describe()))
}

/// SHA-256 in hex.
fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `1234567` as `1,234,567`.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
