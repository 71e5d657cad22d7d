//! The file system as the checks of the configuration see it.
//!
//! Used in the httpd parent for the whole configuration, and by the supervisor and httpd's children when they
//! look for an interpreter. What this process may not look at counts as there.

use crate::config::home::{Entry, Files, Kind};
use crate::os;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub struct Disk;

impl Files for Disk {
    fn exists(&self, path: &Path) -> bool {
        let error = fs::metadata(path).err().map(|error| error.kind());
        !matches!(error, Some(ErrorKind::NotFound | ErrorKind::NotADirectory))
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn is_executable(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    }

    fn link(&self, path: &Path) -> Option<PathBuf> {
        path.read_link().ok()
    }

    fn is_zip(&self, path: &Path) -> bool {
        has_zip_directory(path).unwrap_or(false)
    }

    fn is_hidden(&self, path: &Path) -> bool {
        fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        let found = fs::symlink_metadata(path).ok()?;
        let kind = match found.file_type() {
            kind if kind.is_symlink() => Kind::Link,
            kind if kind.is_dir() => Kind::Directory,
            _ => Kind::File,
        };
        let (mode, uid, gid) = (found.mode(), found.uid(), found.gid());
        Some(Entry { kind, mode, uid, gid, has_acl: os::has_acl(path) })
    }

    fn text(&self, path: &Path) -> Option<String> {
        const MOST: u64 = 0xffff;
        let (file, _) = open(path).ok().filter(|(_, length)| *length <= MOST)?;
        let mut text = String::new();
        file.take(MOST).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

/// Opens a regular file, and says how long it is.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = os::open_regular(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Looks where Python does: the directory of a zip file is at its end, with a comment of up to 64 KB after
/// it.
fn has_zip_directory(path: &Path) -> io::Result<bool> {
    const MOST: u64 = 22 + 0xffff;
    let ((mut file, length), mut end) = (open(path)?, Vec::new());
    file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
    file.take(MOST).read_to_end(&mut end)?;
    Ok(end.windows(4).any(|window| window == b"PK\x05\x06"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zip_file_is_known_by_its_end() {
        let path = std::env::temp_dir().join(format!("wsgi-zip-{}", std::process::id()));
        for (content, zip) in [
            (&b"#!/bin/sh\n"[..], false),
            (b"#!/usr/bin/python3\nPK\x03\x04 data PK\x01\x02 PK\x05\x06 and eighteen bytes", true),
            (b"", false),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(Disk.is_zip(&path), zip);
        }
        fs::remove_file(&path).unwrap();
        assert!(!Disk.is_zip(&path) && !Disk.is_zip(Path::new("/")) && !Disk.is_zip(Path::new("/dev/zero")));
        assert!(
            !Disk.exists(&path)
                && !Disk.exists(Path::new("/etc/passwd/below"))
                && Disk.exists(Path::new("/"))
        );
    }
}
