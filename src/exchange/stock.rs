//! The part of a request's body that the httpd child holds: in memory, and beyond a bound in a file without
//! a name.
//!
//! Runs in httpd children. `gather` fills it before the child looks for a process; `body` fills it with what
//! the client sends before the application asks. It is emptied in the order in which it was filled.

use crate::log::wording;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// The most bytes that are held in memory for one request.
const IN_MEMORY: usize = 256 * 1024;

#[derive(Default)]
pub struct Stock {
    memory: Vec<u8>,
    /// How much of it was taken.
    start: usize,
    /// The bytes after those in memory, and how many of them are left.
    file: Option<(File, u64)>,
    /// The length of a body that was gathered to its end.
    whole: Option<u64>,
}

impl Stock {
    /// The length of the body where all of it was gathered.
    pub fn whole(&self) -> Option<u64> {
        self.whole
    }

    pub fn mark_whole(&mut self, length: u64) {
        self.whole = Some(length);
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.memory.len() && self.file.is_none()
    }

    /// How much more fits into memory, to be appended to what `memory` gives.
    pub fn room(&self) -> usize {
        match self.file {
            Some(_) => 0,
            None => IN_MEMORY.saturating_sub(self.memory.len() - self.start),
        }
    }

    pub fn memory(&mut self) -> &mut Vec<u8> {
        self.memory.drain(..self.start);
        self.start = 0;
        &mut self.memory
    }

    /// Adds to the file, which is made now, in that folder, if there is none.
    pub fn spill(&mut self, bytes: &[u8], folder: impl FnOnce() -> io::Result<PathBuf>) -> io::Result<()> {
        if self.file.is_none() {
            let folder = folder()?;
            let in_folder = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {}", folder.display(), wording(&error)))
            };
            self.file = Some((create_unnamed(&folder).map_err(in_folder)?, 0));
        }
        if let Some((file, length)) = &mut self.file {
            file.write_all(bytes)?;
            *length += bytes.len() as u64;
        }
        Ok(())
    }

    /// What was spilled is read from its beginning.
    pub fn rewind(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |(file, _)| file.rewind())
    }

    /// Moves up to `most` bytes out of it.
    pub fn take(&mut self, most: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let count = most.min(self.memory.len() - self.start);
        into.extend_from_slice(&self.memory[self.start..self.start + count]);
        self.start += count;
        if self.start < self.memory.len() {
            return Ok(());
        }
        self.memory.clear();
        self.start = 0;
        let Some((file, left)) = &mut self.file else { return Ok(()) };
        let wanted = ((most - count) as u64).min(*left);
        let read = file.take(wanted).read_to_end(into)? as u64;
        if read < wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *left -= read;
        if *left == 0 {
            self.file = None;
        }
        Ok(())
    }
}

/// A file that only this process can reach.
fn create_unnamed(folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    // Not every file system can do without a name.
    if let Ok(file) = options.clone().custom_flags(libc::O_TMPFILE | libc::O_EXCL).open(folder) {
        return Ok(file);
    }
    let path = free_name(folder);
    let file = options.create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Taken by another process or not, it is refused if it exists.
fn free_name(folder: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    folder.join(format!("wsgi-body-{}-{number}-{}", std::process::id(), now.as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out_in_its_order() {
        let mut stock = Stock::default();
        stock.memory().extend_from_slice(b"abcdef");
        stock.spill(b"ghi", || Ok(std::env::temp_dir())).unwrap();
        stock.spill(b"jk", || unreachable!()).unwrap();
        stock.rewind().unwrap();
        let mut out = Vec::new();
        for most in [4, 4, 1, 10] {
            stock.take(most, &mut out).unwrap();
            out.push(b'|');
        }
        assert_eq!(out, b"abcd|efgh|i|jk|");
        assert!(stock.is_empty());
    }

    #[test]
    fn room_is_what_was_taken_and_more() {
        let mut stock = Stock::default();
        stock.memory().extend_from_slice(&[0; IN_MEMORY]);
        assert_eq!(stock.room(), 0);
        stock.take(1000, &mut Vec::new()).unwrap();
        assert_eq!(stock.room(), 1000);
        stock.memory().extend_from_slice(&[1; 1000]);
        assert_eq!(stock.room(), 0);
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error() {
        let error = Stock::default().spill(b"x", || Ok("/nowhere/at/all".into())).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/at/all: "), "{error}");
    }
}
