//! Writing a file so that a reader finds either all of the old content or all of the new. Checkpoints,
//! metrics and pictures share it: each may be read, or the machine may stop, while it is being written.

use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes `bytes` to `path` in one step: to a temporary file beside it, forced to the disk, renamed over it.
///
/// A link at `path` is replaced, not followed.
///
/// # Errors
/// [`Error::Io`] naming `path` when its folder is missing, the disk is full or the system refuses. The
/// temporary file is gone then, and a file that stood at `path` is as it was.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let (mut file, temporary) = create_beside(path).map_err(Error::io("create", path))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    // Closed before the rename: Windows does not rename a file that is open.
    drop(file);
    if let Err(source) = written.and_then(|()| fs::rename(&temporary, path)) {
        // What stopped the write may stop the removal too; the first error is the one that tells why.
        let _ = fs::remove_file(&temporary);
        return Err(Error::Io { path: path.to_path_buf(), action: "write", source });
    }
    sync_folder(folder_of(path)).map_err(Error::io("write", path))
}

/// Whether a file is one that [`write_atomically`] was writing.
pub(crate) fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    name.starts_with(".hyperloom-") && name.ends_with(".tmp")
}

/// Removes what killed processes were writing in `folder`. One that cannot be removed does no harm.
pub(crate) fn remove_temporaries(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_temporary(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The folder a path lies in; a bare name lies in the current one.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A new file with a name that no other writer takes, in the same folder because a rename cannot cross disks.
fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    if path.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a file name"));
    }
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "a folder stands there"));
    }
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Short whatever the target is called: the longest name allowed must not overflow here.
        let temporary = folder_of(path).join(format!(".hyperloom-{}-{count}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((file, temporary)),
            // Left behind by a process that was killed and whose number came round again.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

/// Forces the rename itself to the disk.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|f| f.sync_all()) {
        // Some network file systems cannot sync a folder, and some folders may be written but not read.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Other systems offer no way to sync a folder.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn new_content_replaces_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"newer").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn failure_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("a.txt");
        let message = write_atomically(&path, b"x").unwrap_err().to_string();
        assert!(message.contains("missing") && message.contains("create"), "{message}");
        // A folder cannot be renamed over.
        let blocked = folder.path().join("blocked");
        fs::create_dir(&blocked).unwrap();
        assert!(write_atomically(&blocked, b"x").is_err());
        assert!(write_atomically(Path::new("/"), b"x").is_err());
        assert_eq!(names(folder.path()), ["blocked"]);
    }

    #[test]
    fn a_bare_name_lies_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("a.txt")), Path::new("."));
        assert_eq!(folder_of(Path::new("b/a.txt")), Path::new("b"));
    }

    #[test]
    fn many_writers_of_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::thread::scope(|scope| {
            for i in 0..4u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..10 {
                        write_atomically(path, &vec![b'0' + i; 4096]).unwrap();
                    }
                });
            }
        });
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() == 4096 && bytes.iter().all(|b| *b == bytes[0]));
        assert_eq!(names(folder.path()), ["a.txt"]);
    }
}
