//! Which shared libpython a child of httpd may load: asked of the interpreter itself.
//!
//! Runs in httpd children, which have dropped their privileges, before `python::library` loads anything:
//! an interpreter that cannot even start by itself would end the child.

use super::library_place;
use super::options::Options;
use crate::log::{Code, Message, wording};
use crate::os;
use crate::site::interpreter;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = include_str!("probe.py");

/// How long an interpreter may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Python {
    pub executable: PathBuf,
    pub library: PathBuf,
}

/// Finds the configured interpreter and asks it.
pub fn probe(options: &Options) -> Result<Python, Message> {
    let executable = interpreter::find(&options.group)?;
    let said = ask(&executable, &options.flags).map_err(|why| {
        let text = format!(
            "{} cannot be used: {why}. Correct WSGIPythonHome, or the installation it names",
            executable.display()
        );
        Message::new(Code::PythonUnusable, text)
    })?;
    let mut lines = said.lines();
    let version = lines.next().unwrap_or_default();
    check_version(&executable, version)?;
    let library = library_place::choose(&executable, lines.map(Path::new))
        .map_err(|why| Message::new(Code::LibraryMistrusted, why))?;
    let library = library.ok_or_else(|| {
        let short = version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        let text = format!(
            "{} is Python {version} without a shared library, which embedded mode needs. Daemon mode \
             (WSGIDaemonProcess and WSGIProcessGroup) works with it as it is; for embedded mode install \
             libpython{short} ('apt-get install libpython{short}' on Debian and Ubuntu, 'dnf install \
             python3-libs' on Fedora), or build Python with --enable-shared",
            executable.display()
        );
        Message::new(Code::LibraryMissing, text)
    })?;
    Ok(Python { library, executable })
}

fn check_version(executable: &Path, version: &str) -> Result<(), Message> {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    if (numbers.next(), numbers.next()) >= (Some(3), Some(9)) {
        return Ok(());
    }
    let text = format!(
        "{} is Python {version}, and the oldest that can be used is 3.9; name a newer one with WSGIPythonHome",
        executable.display()
    );
    Err(Message::new(Code::PythonTooOld, text))
}

/// What the probe prints, or why it printed nothing. It prints to a socket: another process of httpd's user could
/// open a pipe through /proc, and write there too.
fn ask(executable: &Path, flags: &[String]) -> Result<String, String> {
    let mut command = Command::new(executable);
    command.args(flags).arg("-c").arg(PROGRAM).env_remove("PYTHONHOME").env_remove("__PYVENV_LAUNCHER__");
    let (printed, output) = UnixStream::pair().map_err(|error| wording(&error))?;
    command.stdin(Stdio::null()).stdout(OwnedFd::from(output)).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| wording(&error))?;
    // It has an end of the socket too.
    drop(command);
    let pipes = [Some(OwnedFd::from(printed)), child.stderr.take().map(OwnedFd::from)];
    let read = read_all(pipes.map(|pipe| pipe.map(File::from)));
    if read.is_none() {
        // Ended already is as good.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| wording(&error))?;
    let Some([printed, complaint]) = read else {
        return Err(format!("it said nothing within {} s", PATIENCE.as_secs()));
    };
    if status.success() {
        return Ok(String::from_utf8_lossy(&printed).into_owned());
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let lines: Vec<&str> = complaint.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(4)..].join(" | ");
    Err(format!("it ends with {status}{}{last}", if last.is_empty() { "" } else { ": " }))
}

/// What it prints and its errors, each to the end; None when that takes too long.
fn read_all(pipes: [Option<File>; 2]) -> Option<[Vec<u8>; 2]> {
    let deadline = Instant::now() + PATIENCE;
    let mut read = [Vec::new(), Vec::new()];
    let mut open: Vec<(usize, File)> =
        pipes.into_iter().enumerate().filter_map(|(index, pipe)| Some((index, pipe?))).collect();
    while !open.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds: Vec<_> = open.iter().map(|(_, pipe)| os::PollFd::reading(pipe.as_fd())).collect();
        if left.is_zero() || os::poll(&mut fds, Some(left)).is_err() {
            return None;
        }
        let ready: Vec<bool> = fds.iter().map(os::PollFd::is_ready).collect();
        drop(fds);
        let mut turn = ready.into_iter();
        open.retain_mut(|(index, pipe)| {
            let mut buffer = [0; 4096];
            if turn.next() != Some(true) {
                return true;
            }
            match pipe.read(&mut buffer) {
                Ok(count) if count > 0 => {
                    read[*index].extend_from_slice(&buffer[..count]);
                    true
                }
                Ok(_) | Err(_) => false,
            }
        });
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_is_asked_or_its_complaint_repeated() {
        let said = ask(Path::new("/bin/echo"), &["3.11.2".to_string()]).unwrap();
        assert!(said.starts_with("3.11.2 -c"));
        assert!(ask(Path::new("/bin/false"), &[]).unwrap_err().contains("exit status: 1"));
        let shell = ask(Path::new("/bin/sh"), &[]).unwrap_err();
        assert!(shell.contains("exit status") && shell.contains(" | "), "{shell}");
        assert!(ask(Path::new("/nonexistent"), &[]).unwrap_err().contains("No such file"));
    }

    #[test]
    fn old_versions_are_refused() {
        for (version, good) in
            [("3.8.18", false), ("2.7.18", false), ("", false), ("3.9.0", true), ("3.15.0a1", true)]
        {
            assert_eq!(check_version(Path::new("python"), version).is_ok(), good, "{version}");
        }
    }
}
