//! The way to a file with a user's rights: which directory keeps the user out.
//!
//! Runs in the httpd parent, for the check of the configuration. It goes by what is written at each place
//! (owner, group and mode), since the parent cannot ask the kernel on behalf of another user. What it cannot
//! know counts as open: a place that cannot be looked at, or that has an access control list.

use crate::config::home::{Entry, Files, Kind, User};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Links that are followed; more lead in a circle.
pub const MOST_LINKS: usize = 40;

const READ: u32 = 0o4;
const EXECUTE: u32 = 0o1;

/// What is to be done at the end of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: only the directories above it count.
    Reach,
    /// To be in the directory.
    Enter,
    /// To read a file, or to list and use a directory.
    Read,
    Execute,
}

/// The first place that the user cannot pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// As the process sees it.
    pub place: PathBuf,
    /// "enter", "read" or "execute".
    pub what: &'static str,
    pub entry: Entry,
}

impl User {
    fn may(&self, entry: &Entry, wanted: u32) -> bool {
        let granted = match entry.uid {
            uid if uid == self.uid => entry.mode >> 6,
            _ if self.gids.contains(&entry.gid) => entry.mode >> 3,
            _ => entry.mode,
        };
        self.uid == 0 || entry.has_acl || granted & wanted == wanted
    }
}

/// None: the user gets there, as far as can be known. `root` is where the process has its root directory.
pub fn closed(path: &Path, need: Need, user: &User, root: &Path, files: &dyn Files) -> Option<Closed> {
    let outside = |place: &Path| root.join(place.strip_prefix("/").unwrap_or(place));
    let pass = |place: &Path, entry: Entry, what: &'static str, wanted: u32| {
        (!user.may(&entry, wanted)).then(|| Closed { place: place.to_path_buf(), what, entry })
    };
    let (mut waiting, mut here, mut links) = (steps(path), PathBuf::from("/"), 0);
    while let Some(step) = waiting.pop() {
        let Some(step) = step else {
            here = PathBuf::from("/");
            continue;
        };
        let directory = files.entry(&outside(&here)).filter(|entry| entry.kind == Kind::Directory)?;
        if let Some(closed) = pass(&here, directory, "enter", EXECUTE) {
            return Some(closed);
        }
        if step == ".." {
            here.pop();
            continue;
        }
        let next = here.join(step);
        if files.entry(&outside(&next))?.kind != Kind::Link {
            here = next;
            continue;
        }
        links += 1;
        waiting.extend(steps(&files.link(&outside(&next)).filter(|_| links <= MOST_LINKS)?));
    }
    let entry = files.entry(&outside(&here))?;
    match (need, entry.kind) {
        (Need::Reach, _) => None,
        (Need::Read, Kind::Directory) => pass(&here, entry, "read", READ | EXECUTE),
        (Need::Read, _) => pass(&here, entry, "read", READ),
        (Need::Enter, _) => pass(&here, entry, "enter", EXECUTE),
        (Need::Execute, _) => pass(&here, entry, "execute", EXECUTE),
    }
}

/// The components of a path, the last one first; None is the root directory.
pub fn steps(path: &Path) -> Vec<Option<OsString>> {
    let steps = path.components().rev().filter_map(|component| match component {
        Component::RootDir => Some(None),
        Component::Normal(name) => Some(Some(name.to_os_string())),
        Component::ParentDir => Some(Some("..".into())),
        Component::CurDir | Component::Prefix(_) => None,
    });
    steps.collect()
}

#[cfg(test)]
#[path = "walk_tests.rs"]
pub mod tests;
