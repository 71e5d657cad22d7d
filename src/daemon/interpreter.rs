//! Which Python a process group runs on, and whether it is there.
//!
//! Called by the supervisor before each start (`daemon::spawn`), so that an interpreter which is installed
//! later is used then, and by the httpd parent for its warning at configtest.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::process_group::ProcessGroup;
use crate::log::Message;

/// Where a Python that nothing was said about is looked for, before `PATH`.
const USUAL: [&str; 2] = ["/usr/bin/python3", "/usr/local/bin/python3"];

/// The program to execute. `default_home` is `WSGIPythonHome`.
pub fn find(group: &ProcessGroup, default_home: Option<&Path>) -> Result<PathBuf, Message> {
    let root = group.chroot.as_deref();
    if let Some(python) = &group.python {
        return match missing(root, python) {
            None => Ok(python.clone()),
            Some(why) => Err(no_python(python, &why, "correct python= or install it there")),
        };
    }
    let (home, setting) = match (&group.python_home, default_home) {
        (Some(home), _) => (home.as_path(), "python-home="),
        (None, Some(home)) => (home, "WSGIPythonHome"),
        (None, None) => return anywhere(root),
    };
    let candidates = ["bin/python3", "bin/python"].map(|name| home.join(name));
    if let Some(found) = candidates.iter().find(|candidate| missing(root, candidate).is_none()) {
        return Ok(found.clone());
    }
    let why = missing(root, &candidates[0]).unwrap_or_default();
    let cure = format!(
        "create a virtual environment there (python3 -m venv {}), or correct {setting}, which names the directory \
         of a virtual environment or the prefix of a Python installation",
        home.display()
    );
    Err(no_python(&candidates[0], &why, &cure))
}

fn anywhere(root: Option<&Path>) -> Result<PathBuf, Message> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path =
        env::split_paths(&path).filter(|entry| entry.is_absolute()).map(|entry| entry.join("python3"));
    let mut candidates = USUAL.iter().map(PathBuf::from).chain(on_path);
    candidates.find(|candidate| missing(root, candidate).is_none()).ok_or_else(|| {
        let cure = "install Python, or name one with python-home= or python=";
        no_python(Path::new(USUAL[0]), "nor is there one on PATH", cure)
    })
}

/// Why this cannot be executed; None if it looks as if it could.
fn missing(root: Option<&Path>, program: &Path) -> Option<String> {
    let Some(root) = root else { return missing_here(program) };
    // Links lead elsewhere inside: that something is there must do.
    let inside = root.join(program.strip_prefix("/").unwrap_or(program));
    let found = fs::symlink_metadata(inside);
    found.err().map(|error| format!("{error} (below chroot= {})", root.display()))
}

fn missing_here(program: &Path) -> Option<String> {
    match fs::metadata(program) {
        Ok(meta) if !meta.is_file() => Some("it is not a file".to_owned()),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => Some("it is not executable".to_owned()),
        Ok(_) => None,
        Err(error) => match fs::read_link(program) {
            Ok(target) => Some(format!("it is a link to {}: {error}", target.display())),
            Err(_) => Some(error.to_string()),
        },
    }
}

fn no_python(program: &Path, why: &str, cure: &str) -> Message {
    Message::new(310, format!("no Python at {}: {why}; {cure}", program.display()))
}
