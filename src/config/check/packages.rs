//! Directories that Python is to import from and that cannot be meant: packages of another version, and relative
//! paths to nowhere; and environments whose own packages are of another version.
//!
//! Runs in the httpd parent.

use crate::config::global::GlobalConfig;
use crate::config::process_group::{Origin, ProcessGroup};
use crate::config::surroundings::Surroundings;
use crate::config::version::{self, Version};
use crate::log::{Code, Message};
use std::path::{Path, PathBuf};

pub fn check(global: &GlobalConfig, surroundings: &Surroundings<'_>) -> Vec<Message> {
    let mut notes = Vec::new();
    for group in global.groups.groups() {
        let label = format!("WSGIDaemonProcess {} at {}: python-path", group.name, group.origin);
        let beside = surroundings.working_directory(group);
        notes.extend(of_path(&label, group, &group.python_path, &beside, surroundings));
        let label = format!("WSGIDaemonProcess {} at {}", group.name, group.origin);
        notes.extend(outdated(&label, group, surroundings));
    }
    let mut embedded = ProcessGroup::new("", Origin::default());
    embedded.python_home.clone_from(&global.python.home);
    if embedded.python_home.is_some() {
        notes.extend(outdated("WSGIPythonHome", &embedded, surroundings));
    }
    let path = &global.python.path;
    notes.extend(of_path("WSGIPythonPath:", &embedded, path, Path::new("/"), surroundings));
    notes
}

fn of_path(
    label: &str,
    group: &ProcessGroup,
    path: &[PathBuf],
    working_directory: &Path,
    surroundings: &Surroundings<'_>,
) -> Vec<Message> {
    if path.is_empty() {
        return Vec::new();
    }
    let python = (surroundings.python)(group);
    let (files, reader) = (surroundings.files, surroundings.reader(group));
    let own =
        python.and_then(|python| version::of(&group.seen_from_outside(&python), files, reader.as_ref()));
    let other = |entry: &PathBuf| another_version(label, entry, own.as_ref()?);
    let nowhere = |entry: &PathBuf| {
        let place = group.seen_from_outside(&working_directory.join(entry));
        let missing = entry.is_relative() && !files.exists(&place);
        missing.then(|| relative(label, entry, &working_directory.join(entry)))
    };
    path.iter().filter_map(|entry| other(entry).or_else(|| nowhere(entry))).collect()
}

/// An environment that was made by another version of Python than its `bin/python` is now.
fn outdated(label: &str, group: &ProcessGroup, surroundings: &Surroundings<'_>) -> Option<Message> {
    const MINOR_VERSIONS: std::ops::Range<u32> = 3..50;
    let (python, files) = ((surroundings.python)(group)?, surroundings.files);
    let home = python.parent()?.parent()?;
    let outside = group.seen_from_outside(home);
    let reader = surroundings.reader(group);
    let own = version::of(&group.seen_from_outside(&python), files, reader.as_ref())?;
    let has_packages = |name: &str| files.is_dir(&outside.join("lib").join(name).join("site-packages"));
    let of_own = |suffix: &str| has_packages(&format!("python{}.{}{suffix}", own.major, own.minor));
    if !files.exists(&outside.join("pyvenv.cfg")) || of_own("") || of_own("t") {
        return None;
    }
    let theirs = MINOR_VERSIONS.rev().map(|minor| format!("3.{minor}"));
    let theirs = theirs.into_iter().find(|version| has_packages(&format!("python{version}")))?;
    let home = home.display();
    let text = format!(
        "{label}: the environment {home} has its packages in lib/python{theirs}, and its bin/python is Python {own} now, \
         which does not find them: build it anew (python3 -m venv --clear {home}) and install its packages again, or \
         bring Python {theirs} back"
    );
    Some(Message::new(Code::PackagesNotFound, text))
}

fn another_version(label: &str, path: &Path, own: &Version) -> Option<Message> {
    let mut names = path.iter().map(|name| name.to_string_lossy());
    let theirs = names.find_map(|name| version::in_name(&name))?;
    let follows = names.next().is_some_and(|name| name == "site-packages" || name == "dist-packages");
    if !follows || (theirs.major, theirs.minor) == (own.major, own.minor) {
        return None;
    }
    let text = format!(
        "{label} {} has the packages of Python {theirs}, and Python {own} runs here, for which its extension modules \
         are not built: name the environment by python-home=, which finds its own packages, or install them for \
         Python {own}",
        path.display()
    );
    Some(Message::new(Code::PackagesOfAnother, text))
}

fn relative(label: &str, path: &Path, found: &Path) -> Message {
    let text = format!(
        "{label} {} does not begin with /, and {}, where Python looks for it then, is not there: write the whole path",
        path.display(),
        found.display()
    );
    Message::new(Code::PythonPathRelative, text)
}
