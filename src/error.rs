//! The one error type. Everything that comes from outside (files, configuration, devices, checkpoints)
//! ends here with a message that names the place, the problem and what would be right.
//!
//! A wrong shape in code that builds a graph is the programmer's mistake and panics instead
//! (see [`crate::graph::Graph`]).

use std::path::{Path, PathBuf};

/// `Result` with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with input from outside.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb phrase ("read", "write", "create").
        action: &'static str,
        /// The system's own error.
        source: std::io::Error,
    },
    /// A data file holds something that cannot be used.
    #[error("{}{at}: {message}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// Where in it (`""`, `", line 7"`, `", line 7, column 'weight'"`).
        at: String,
        /// The problem and what would be right.
        message: String,
    },
    /// A setting is unknown, of the wrong type, out of range or in conflict with another.
    #[error("{origin}: {message}")]
    Config {
        /// Where the setting stands (`"config.toml, line 3"`, `"--steps"`, `"train.steps"`).
        origin: String,
        /// The problem and what would be right.
        message: String,
    },
    /// A checkpoint or run folder cannot be used.
    #[error("{}: {message}", path.display())]
    Checkpoint {
        /// The file or folder.
        path: PathBuf,
        /// The problem and what would be right.
        message: String,
    },
    /// A device is missing, lost, or lacks something.
    #[error("device: {0}")]
    Device(String),
    /// A plan does not fit the memory or the limits of the device.
    #[error("memory: {0}")]
    Memory(String),
    /// Training produced NaN or infinity again and again.
    #[error("training diverged: {0}")]
    Diverged(String),
    /// An environment does what can't be learned from.
    #[error("environment '{name}': {message}")]
    Environment {
        /// Its name.
        name: String,
        /// The problem and what would be right.
        message: String,
    },
    /// Arrays handed to the library do not have the shapes the model needs.
    #[error("shape: {0}")]
    Shape(String),
}

impl Error {
    /// An [`Error::Io`] from its parts; for `map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, action, source }
    }

    /// An [`Error::Data`] about a whole file (`at` empty) or a place in it.
    pub fn data(path: impl AsRef<Path>, at: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Data { path: path.as_ref().to_path_buf(), at: at.into(), message: message.into() }
    }

    /// An [`Error::Config`].
    pub fn config(origin: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Config { origin: origin.into(), message: message.into() }
    }

    /// An [`Error::Checkpoint`]. What a foreign file says may stand in the message: control characters are escaped, and it stays one line.
    pub fn checkpoint(path: impl AsRef<Path>, message: impl Into<String>) -> Error {
        let mut line = String::new();
        for c in message.into().chars() {
            match c.is_control() {
                true => line.extend(c.escape_default()),
                false => line.push(c),
            }
        }
        Error::Checkpoint { path: path.as_ref().to_path_buf(), message: line }
    }
}

/// The known name nearest to `word`, for "did you mean" in messages; `None` when nothing is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(&word.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(d, k)| *d <= 1 + k.len().max(word.len()) / 3)
        // Something has to be alike.
        .filter(|(d, k)| *d < k.chars().count().max(word.chars().count()))
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_checkpoint_says_is_one_line() {
        let e = Error::checkpoint("a", "unknown field `i\nput\u{1b}`");
        assert_eq!(e.to_string(), "a: unknown field `i\\nput\\u{1b}`");
    }

    #[test]
    fn nearest_names() {
        assert_eq!(nearest("stesp", ["steps", "seed"]), Some("steps"));
        assert_eq!(nearest("zzzzzz", ["steps", "seed"]), None);
    }
}
