//! The file system as the checks of the configuration see it.
//!
//! Used in the httpd parent for the whole configuration, and by the supervisor and httpd's children when they
//! look for an interpreter. What this process may not look at counts as there.

use crate::config::home::{Entry, Files, Kind, User};
use crate::os::{self, FileRights, Ids};
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

    fn is_zip(&self, path: &Path, reader: Option<&User>) -> bool {
        has_zip_directory(path, reader).unwrap_or_else(|error| error.kind() == ErrorKind::PermissionDenied)
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

    fn text(&self, path: &Path, reader: Option<&User>) -> Option<String> {
        const MOST: u64 = 0xffff;
        let (file, _) = open(path, reader).ok().filter(|(_, length)| *length <= MOST)?;
        let mut text = String::new();
        file.take(MOST).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

/// Opens a regular file, and says how long it is. What a site can change may be a link to what root alone may read:
/// the kernel decides whether the reader may.
fn open(path: &Path, reader: Option<&User>) -> io::Result<(File, u64)> {
    let file = match reader {
        None => os::open_regular(path)?,
        Some(User { uid, gids, .. }) => {
            let ids = Ids::current()?;
            let own = FileRights { uid: ids.users[1], gid: ids.groups[1], groups: os::current_groups()? };
            // Which of the groups is the first makes no difference to what may be read.
            let gid = *gids.first().ok_or(ErrorKind::PermissionDenied)?;
            FileRights { uid: *uid, gid, groups: gids.clone() }.take()?;
            let opened = os::open_regular(path);
            own.take()?;
            opened?
        }
    };
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Looks where Python does: the directory of a zip file is at its end, with a comment of up to 64 KB after
/// it.
fn has_zip_directory(path: &Path, reader: Option<&User>) -> io::Result<bool> {
    const MOST: u64 = 22 + 0xffff;
    let ((mut file, length), mut end) = (open(path, reader)?, Vec::new());
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
            assert_eq!(Disk.is_zip(&path, None), zip);
        }
        fs::remove_file(&path).unwrap();
        assert!(
            !Disk.is_zip(&path, None)
                && !Disk.is_zip(Path::new("/"), None)
                && !Disk.is_zip(Path::new("/dev/zero"), None)
        );
        assert!(
            !Disk.exists(&path)
                && !Disk.exists(Path::new("/etc/passwd/below"))
                && Disk.exists(Path::new("/"))
        );
    }
}
