//! A python-home in which there is no Python: which directory was meant, or what became of it.
//!
//! Runs in the httpd parent, in the check of the configuration, and in the supervisor and httpd's children
//! when they look for the interpreter. Nothing is executed.

use crate::config::process_group::ProcessGroup;
use crate::log::Code;
use std::path::{Path, PathBuf};

/// Links that are followed; more lead in a circle.
const MOST_LINKS: usize = 20;

/// The file system as the httpd parent sees it.
pub trait Files {
    fn exists(&self, path: &Path) -> bool;
    fn is_dir(&self, path: &Path) -> bool;
    fn is_executable(&self, path: &Path) -> bool;
    /// What a symbolic link has written in it.
    fn link(&self, path: &Path) -> Option<PathBuf>;
    /// Whether Python can import from it. It is opened with the rights of `reader`, if there is one.
    fn is_zip(&self, path: &Path, reader: Option<&User>) -> bool;
    /// Whether this process may not look at it.
    fn is_hidden(&self, path: &Path) -> bool;
    /// What its directory says of it, a link being one; None where it cannot be known.
    fn entry(&self, path: &Path) -> Option<Entry>;
    /// What is in a small file, opened as by `is_zip`.
    fn text(&self, path: &Path, reader: Option<&User>) -> Option<String>;
}

/// Whose way to a file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    /// All groups.
    pub gids: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Directory,
    Link,
    File,
}

/// What a directory has under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Whether it has an access control list, which may allow more than the mode, or less.
    pub has_acl: bool,
}

pub struct Mistake {
    pub code: Code,
    pub what: String,
    pub cure: String,
}

/// How an environment is made where there is none. Its `bin` or its interpreter may have been named in its place.
pub fn creation(home: &Path) -> String {
    let interpreter = home.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python"));
    let folder =
        if interpreter { home.parent().filter(|folder| folder.ends_with("bin")) } else { Some(home) };
    match folder.filter(|folder| folder.ends_with("bin")).and_then(Path::parent) {
        Some(whole) => format!("python3 -m venv {0}, and write python-home={0}", whole.display()),
        None => format!("python3 -m venv {}", home.display()),
    }
}

/// None where the directory is simply not there, or is none of an environment.
pub fn mistake(group: &ProcessGroup, files: &dyn Files) -> Option<Mistake> {
    match (&group.python, &group.python_home) {
        (Some(python), _) => is_home(python, group, files).then(|| {
            let python = python.display();
            another_place(
                format!("python= names the interpreter, and {python} is an environment"),
                format!("write python-home={python} in place of python={python}"),
            )
        }),
        (None, Some(home)) => part_of_a_home(home, group, files).or_else(|| dangling(home, group, files)),
        (None, None) => None,
    }
}

fn is_home(home: &Path, group: &ProcessGroup, files: &dyn Files) -> bool {
    let executable = |name| files.is_executable(&group.seen_from_outside(&home.join(name)));
    executable("bin/python") || executable("bin/python3")
}

/// The interpreter in an environment, its `bin`, or where it has its packages.
fn part_of_a_home(home: &Path, group: &ProcessGroup, files: &dyn Files) -> Option<Mistake> {
    let is_meant = |whole: &&Path| {
        let part = home.strip_prefix(whole).unwrap_or(home).to_string_lossy();
        let packages = part.strip_prefix("lib64/").or(part.strip_prefix("lib/")).unwrap_or_default();
        let belongs = part == "bin" || part.starts_with("bin/python") || packages.starts_with("python3");
        (belongs || part == "pyvenv.cfg" || part == "lib") && is_home(whole, group, files)
    };
    let whole = home.ancestors().skip(1).find(is_meant)?.display();
    Some(another_place(
        format!("the home {} is a part of the Python environment {whole}", home.display()),
        format!("name the environment, by python-home={whole} or WSGIPythonHome {whole}"),
    ))
}

fn another_place(what: String, cure: String) -> Mistake {
    Mistake { code: Code::PythonHomeMisnamed, what, cure }
}

/// An environment whose interpreter is a link to a Python that is there no more.
fn dangling(home: &Path, group: &ProcessGroup, files: &dyn Files) -> Option<Mistake> {
    // In a root of its own, links that lead out of a directory cannot be followed from here.
    if group.chroot.is_some() {
        return None;
    }
    let mut links = ["bin/python", "bin/python3"].into_iter().map(|name| home.join(name));
    let (first, end) = links.find_map(|link| Some((link.clone(), end_of(link, files)?)))?;
    let (home, first) = (home.display(), first.display());
    Some(Mistake {
        code: Code::PythonHomeDangling,
        what: format!(
            "{first} leads to {}, which is not there: that Python was removed or upgraded",
            end.display()
        ),
        cure: format!(
            "build the environment anew with a Python that is there (python3 -m venv --clear {home}) and install its \
             packages again, or bring that Python back"
        ),
    })
}

/// Where a chain of links leads, if nothing is there.
fn end_of(link: PathBuf, files: &dyn Files) -> Option<PathBuf> {
    let mut place = link;
    for followed in 0..MOST_LINKS {
        match files.link(&place) {
            Some(target) => place = place.parent()?.join(target),
            None => return (followed > 0 && !files.exists(&place)).then_some(place),
        }
    }
    None
}
