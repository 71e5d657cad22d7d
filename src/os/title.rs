//! The names of a process: what `ps`, `top` and /proc show.
//!
//! The supervisor and each daemon call it for themselves.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs;
use std::io;
use std::ptr;

use super::fault::gate;

/// What `ps` shows of this process: writes the title over the memory of its arguments, never beyond, and sets
/// the short name. A daemon's arguments are long enough for every title (its start program is one of them);
/// where httpd's are not, the title is cut. The main thread calls it.
pub fn set_title(title: &str) -> io::Result<()> {
    gate("set_title")?;
    set_process_name(title)?;
    let (start, end) = argument_area()?;
    let mut text = vec![0u8; end - start];
    if let Some(last) = text.len().checked_sub(1) {
        let length = title.len().min(last);
        text[..length].copy_from_slice(&title.as_bytes()[..length]);
        // With anything but NUL in the last byte the kernel shows only what is before the first
        // NUL, not the whole area.
        if length < last {
            text[last] = b'.';
        }
    }
    let area = ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: the kernel put the program's arguments there, in writable memory of exactly this
    // length; Python and httpd have taken their copies when they started.
    unsafe { ptr::copy_nonoverlapping(text.as_ptr(), area, text.len()) };
    Ok(())
}

/// Where the kernel keeps the program's arguments: fields 48 and 49 of proc_pid_stat(5).
fn argument_area() -> io::Result<(usize, usize)> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is the name, which may hold anything; the third follows its parenthesis.
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split_ascii_whitespace());
    let numbers = fields.into_iter().flatten().skip(45).take(2).map(str::parse::<usize>);
    match numbers.collect::<Result<Vec<_>, _>>().as_deref() {
        Ok(&[start, end]) if start != 0 && start < end => Ok((start, end)),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// The short name of the calling thread, of the process when it is the main one; the kernel keeps
/// fifteen bytes.
fn set_process_name(name: &str) -> io::Result<()> {
    Ok(rustix::thread::set_name(&CString::new(name)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{Exit, fork_for_test, kill, wait_for_test};

    #[test]
    fn a_title_is_all_that_is_shown() {
        let pid = fork_for_test(|| {
            set_title("(wsgi:a-rather-long-name)").unwrap();
            std::thread::sleep(std::time::Duration::from_secs(10));
        });
        let shown = || fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        for _ in 0..1000 {
            if shown().starts_with(b"(wsgi:") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let (line, name) = (shown(), fs::read_to_string(format!("/proc/{pid}/comm")).unwrap());
        kill(pid, libc::SIGKILL).unwrap();
        assert_eq!(wait_for_test(pid), Exit::Signal(libc::SIGKILL));
        assert_eq!(String::from_utf8_lossy(&line), "(wsgi:a-rather-long-name)\0");
        assert_eq!(name, "(wsgi:a-rather-\n");
    }

    #[test]
    fn the_arguments_of_this_process_are_found() {
        let (start, end) = argument_area().unwrap();
        let length: usize = std::env::args().map(|argument| argument.len() + 1).sum();
        assert_eq!(end - start, length);
    }
}
