//! This module's own file, as httpd has loaded it: open from then on, so that a package upgrade that replaces
//! or removes it changes nothing for those who run.
//!
//! Opened once by the httpd parent and inherited by all other processes. Daemons import the open file
//! (`spawn`), so that they are of the same build as their supervisor and httpd's children,
//! however much later they are started. An open file rather than a copy in memory: daemons share its pages
//! with httpd, whose own mapping an overwriting in place would spoil just the same.

use std::fs::{File, Metadata};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub struct ModuleFile {
    /// Its name to the loader, which gives what it has loaded already to those who ask for the same name.
    pub loaded_as: PathBuf,
    /// Where it was, links followed: for those who cannot reach an open file, without `/proc`.
    pub path: PathBuf,
    /// None where it could not be opened.
    file: Option<File>,
    state: Option<FileVersion>,
}

/// What changes when a file is replaced, removed or overwritten.
#[derive(PartialEq)]
struct FileVersion {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
}

impl ModuleFile {
    pub fn open(loaded_as: &Path) -> ModuleFile {
        let file = File::open(loaded_as).ok();
        let state = file.as_ref().and_then(|file| file.metadata().ok()).as_ref().map(FileVersion::of);
        let path = std::fs::canonicalize(loaded_as).unwrap_or_else(|_| loaded_as.to_path_buf());
        ModuleFile { loaded_as: loaded_as.to_path_buf(), path, file, state }
    }

    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(File::as_fd)
    }

    /// Whether what httpd would load today is what it has loaded.
    pub fn is_still_there(&self) -> bool {
        self.loaded_as.metadata().ok().as_ref().map(FileVersion::of) == self.state
    }
}

impl FileVersion {
    fn of(file: &Metadata) -> FileVersion {
        let modified = (file.mtime(), file.mtime_nsec());
        FileVersion { file: (file.dev(), file.ino()), length: file.len(), modified }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use super::*;

    #[test]
    fn a_file_stays_open_and_what_became_of_its_name_is_seen() {
        let path = std::env::temp_dir().join(format!("wsgi-module-file-{}", std::process::id()));
        fs::write(&path, "old").unwrap();
        let module = ModuleFile::open(&path);
        assert!(module.is_still_there());
        fs::remove_file(&path).unwrap();
        assert!(!module.is_still_there());
        fs::write(&path, "new").unwrap();
        assert!(!module.is_still_there());
        let mut text = String::new();
        File::from(module.fd().unwrap().try_clone_to_owned().unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "old");
        fs::remove_file(path).unwrap();
        let missing = ModuleFile::open(Path::new("/nowhere/module.so"));
        assert!(missing.fd().is_none() && missing.is_still_there());
    }
}
