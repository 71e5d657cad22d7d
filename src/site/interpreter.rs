//! Which Python a process group runs on, and whether it is there.
//!
//! Called before each start by `spawn`, in the forked process, so that an interpreter which is installed
//! later is used then. What the configuration check can say before that is in `config::check`.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use crate::config::home::{self, Files, Mistake};
use crate::config::process_group::ProcessGroup;
use crate::log::{Code, Message, wording};

/// Where a Python that nothing was said about is looked for, before `PATH`.
const USUAL: [&str; 2] = ["/usr/bin/python3", "/usr/local/bin/python3"];

/// The program to execute: `python=`, the Python of the python-home, or whatever Python there is.
pub fn find(group: &ProcessGroup) -> Result<PathBuf, Message> {
    let candidates = group.interpreters();
    let Some(first) = candidates.first() else { return anywhere(group) };
    if let Some(found) = candidates.iter().find(|candidate| missing(group, candidate).is_none()) {
        return Ok(found.clone());
    }
    if let Some(Mistake { what, cure, .. }) = home::mistake(group, &Disk) {
        return Err(no_python(first, &what, &cure));
    }
    let why = missing(group, first).unwrap_or_default();
    let cure = match (&group.python, &group.python_home) {
        (None, Some(home)) => format!(
            "create a virtual environment there ({}), or correct python-home= or WSGIPythonHome, \
             which name the directory of a virtual environment or the prefix of a Python installation",
            home::creation(home)
        ),
        _ => "correct python= or install it there".to_owned(),
    };
    Err(no_python(first, &why, &cure))
}

/// For who is about to execute it: one that the process may not even look at is refused by the system, which says
/// why.
pub fn to_execute(group: &ProcessGroup) -> Result<PathBuf, Message> {
    let is_hidden = |candidate: &PathBuf| Disk.is_hidden(&group.seen_from_outside(candidate));
    find(group).or_else(|missing| group.interpreters().into_iter().find(is_hidden).ok_or(missing))
}

fn anywhere(group: &ProcessGroup) -> Result<PathBuf, Message> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path =
        env::split_paths(&path).filter(|entry| entry.is_absolute()).map(|entry| entry.join("python3"));
    let mut candidates = USUAL.iter().map(PathBuf::from).chain(on_path);
    candidates.find(|candidate| missing(group, candidate).is_none()).ok_or_else(|| {
        let cure = "install Python, or name one with python-home= or python=";
        no_python(Path::new(USUAL[0]), "nor is there one on PATH", cure)
    })
}

/// Why this cannot be executed; None if it looks as if it could.
fn missing(group: &ProcessGroup, program: &Path) -> Option<String> {
    let Some(root) = &group.chroot else { return missing_here(program) };
    // Links lead elsewhere inside: that something is there must do.
    let found = fs::symlink_metadata(group.seen_from_outside(program));
    found.err().map(|error| format!("{} (below chroot= {})", wording(&error), root.display()))
}

fn missing_here(program: &Path) -> Option<String> {
    match fs::metadata(program) {
        Ok(meta) if !meta.is_file() => Some("it is not a file".to_owned()),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => Some("it is not executable".to_owned()),
        Ok(_) => None,
        Err(error) => match fs::read_link(program) {
            Ok(target) => Some(format!("it is a link to {}: {}", target.display(), wording(&error))),
            Err(_) => Some(wording(&error)),
        },
    }
}

fn no_python(program: &Path, why: &str, cure: &str) -> Message {
    Message::new(Code::PythonMissing, format!("no Python at {}: {why}; {cure}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::process_group::Origin;

    #[test]
    fn an_interpreter_is_found_or_missed_with_a_cure() {
        let mut group = ProcessGroup::new("blog", Origin::default());
        group.python = Some("/bin/sh".into());
        assert_eq!(find(&group), Ok(PathBuf::from("/bin/sh")));
        group.python = Some("/etc/passwd".into());
        let error = find(&group).unwrap_err();
        assert_eq!(error.code.number(), 310);
        assert!(error.text.contains("it is not executable") && error.text.contains("python="));
        group.python = Some("/etc".into());
        assert!(find(&group).unwrap_err().text.contains("it is not a file"));
        group.python = None;
        group.python_home = Some("/nonexistent".into());
        assert!(find(&group).unwrap_err().text.contains("python3 -m venv /nonexistent"));
    }

    #[test]
    fn a_broken_link_says_where_it_leads() {
        let link = env::temp_dir().join(format!("wsgi-link-{}", std::process::id()));
        std::os::unix::fs::symlink("/nonexistent/python3.1", &link).unwrap();
        let mut group = ProcessGroup::new("blog", Origin::default());
        group.python = Some(link.clone());
        assert!(find(&group).unwrap_err().text.contains("a link to /nonexistent/python3.1"));
        fs::remove_file(link).unwrap();
    }

    #[test]
    fn what_is_below_a_root_is_looked_for_there() {
        let mut group = ProcessGroup::new("blog", Origin::default());
        group.chroot = Some("/etc".into());
        group.python = Some("/passwd".into());
        assert_eq!(find(&group), Ok(PathBuf::from("/passwd")));
        group.python = Some("/shadowy".into());
        assert!(find(&group).unwrap_err().text.contains("below chroot= /etc"));
    }
}
