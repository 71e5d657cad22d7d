//! Which version an interpreter has, by what is written on the disk.
//!
//! Runs in the httpd parent, in the check of the configuration and for the list of all that runs. Nothing is
//! executed: the parent is root as a rule, and another user may have written the interpreter.

use crate::config::home::{Files, User};
use std::fmt;
use std::path::{Path, PathBuf};

/// Links that are followed; more lead in a circle.
const MOST_LINKS: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    /// `3.11.4`, or `3.11` where the third number is unknown.
    text: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The file that a link to an interpreter leads to has the version in its name, and the `pyvenv.cfg` of an
/// environment has it too, read with the rights of `reader`. That may be the version of a Python that was upgraded since.
pub fn of(interpreter: &Path, files: &dyn Files, reader: Option<&User>) -> Option<Version> {
    let environment = interpreter.parent().and_then(Path::parent);
    let noted = environment.and_then(|home| files.text(&home.join("pyvenv.cfg"), reader));
    let noted = noted.and_then(|text| of_environment(&text));
    let real = real(interpreter, files);
    let named = real.file_name().and_then(|name| in_name(&name.to_string_lossy()));
    match (named, noted) {
        (Some(named), Some(noted)) if (named.major, named.minor) == (noted.major, noted.minor) => Some(noted),
        (named, noted) => named.or(noted),
    }
}

/// `python3.11`, `python3.13t`.
pub fn in_name(name: &str) -> Option<Version> {
    let digits = name.strip_prefix("python")?;
    parse(digits.trim_end_matches(|c: char| c.is_ascii_lowercase()))
}

/// `version = 3.11.4` as venv writes it, `version_info = 3.11.4.final.0` as others do.
fn of_environment(text: &str) -> Option<Version> {
    let values = text.lines().filter_map(|line| line.split_once('='));
    let mut versions = values.filter(|(name, _)| matches!(name.trim(), "version" | "version_info"));
    versions.find_map(|(_, version)| parse(version.trim()))
}

fn parse(text: &str) -> Option<Version> {
    let numbers: Vec<u32> = text.split('.').map_while(|part| part.parse().ok()).take(3).collect();
    let [major, minor, ..] = numbers[..] else { return None };
    let text = numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    Some(Version { major, minor, text })
}

/// Where a chain of links ends.
fn real(path: &Path, files: &dyn Files) -> PathBuf {
    let mut place = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match (files.link(&place), place.parent()) {
            (Some(target), Some(folder)) => place = folder.join(target),
            _ => break,
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::walk::tests::Tree;

    fn version(lines: &[&str], interpreter: &str) -> Option<String> {
        of(Path::new(interpreter), &Tree::new(lines), None).map(|version| version.to_string())
    }

    #[test]
    fn of_names_links_and_environments() {
        let link = "l /venv/bin/python -> python3";
        let to = "l /venv/bin/python3 -> /usr/bin/python3.11";
        let cfg = "-rw-r--r-- 0 0 /venv/pyvenv.cfg home = /usr/bin;version = 3.11.4";
        let copied = "-rwxr-xr-x 0 0 /venv/bin/python";
        let other = "-rw-r--r-- 0 0 /venv/pyvenv.cfg version_info = 3.9.2.final.0";
        let of = |lines: &[&str]| version(lines, "/venv/bin/python");
        assert_eq!(of(&[link, to, cfg]).as_deref(), Some("3.11.4"));
        assert_eq!(of(&[link, to]).as_deref(), Some("3.11"));
        assert_eq!(of(&[link, to, other]).as_deref(), Some("3.11"));
        assert_eq!(of(&[copied, other]).as_deref(), Some("3.9.2"));
        assert_eq!(of(&[copied]), None);
        assert_eq!(version(&[], "/opt/bin/python3.13t").as_deref(), Some("3.13"));
        assert_eq!(version(&["l /ring -> ring"], "/ring"), None);
    }

    #[test]
    fn other_names_have_none() {
        for name in ["python", "python3", "python3.x", "pypy3.10", "python3.11-config"] {
            assert_eq!(in_name(name), None, "{name}");
        }
        assert_eq!(in_name("python3.9").map(|version| (version.major, version.minor)), Some((3, 9)));
    }
}
