//! The variables that `env-file=` gives a process.
//!
//! Called by `spawn` in the forked process, before it gives root's rights away: the files need not be readable
//! for the group's user, and what is changed in them counts from the next process on. A file system that does
//! not answer keeps that process only.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::env_file;
use crate::config::process_group::ProcessGroup;
use crate::config::walk;
use crate::log::{Code, Message, wording};
use crate::os::{self, FileRights};

/// Far more than a process's environment may have.
const LARGEST: u64 = 1 << 20;

/// With which a process that is still root's looks at files.
pub struct Rights {
    pub of_group: FileRights,
    pub of_root: FileRights,
}

/// Of all files in order, so that the last one of a name wins. `rights` are None where the process has the
/// group's own already.
pub fn of_files(group: &ProcessGroup, rights: Option<&Rights>) -> Result<Vec<(OsString, OsString)>, Message> {
    let mut variables = Vec::new();
    for file in &group.env_files {
        let mistake = |what: String| {
            let text = format!("the file of env-file= cannot be used: {what}; correct the file or env-file=");
            Message::new(Code::EnvFileUnusable, text)
        };
        let text = read(file, group, rights)
            .map_err(|error| mistake(format!("{}: {}", file.display(), wording(&error))))?;
        let read = env_file::parse(&text)
            .map_err(|wrong| mistake(format!("{}:{}: {}", file.display(), wrong.line, wrong.what)))?;
        variables.extend(read);
    }
    Ok(variables)
}

/// The group's user could read it as well, or only root can change it and its directories: any other user might
/// put a link to a secret in its place. Root's rights come last, when no directory on the way is another's.
fn read(path: &Path, group: &ProcessGroup, rights: Option<&Rights>) -> io::Result<Vec<u8>> {
    let file = match rights {
        None => os::open_regular(path)?,
        Some(rights) => rights.open(path)?,
    };
    let (mut bytes, owner) = (Vec::new(), file.metadata()?.uid());
    let own = group.identity.as_ref().is_none_or(|identity| identity.uid == owner);
    let safe = own || (owner == 0 && is_in_roots_hands(path)?);
    if !safe {
        return Err(not_safe());
    }
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it has more than {LARGEST} bytes")));
    }
    Ok(bytes)
}

impl Rights {
    fn open(&self, path: &Path) -> io::Result<File> {
        self.of_group.take()?;
        let opened = os::open_regular(path);
        self.of_root.take()?;
        match opened {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
            Err(_) if !is_in_roots_hands(path)? => Err(not_safe()),
            Err(_) => os::open_regular(path),
            opened => opened,
        }
    }
}

fn not_safe() -> io::Error {
    io::Error::other(
        "neither does it belong to the group's user, nor do it and all directories above it belong to root and let \
         no other user write there: chown or chmod them",
    )
}

/// Whether only root can change which file this path leads to. What another user could change is not even looked
/// into. Whose the file itself is, is seen when it is open.
fn is_in_roots_hands(path: &Path) -> io::Result<bool> {
    let (mut waiting, mut here, mut links) = (walk::steps(path), PathBuf::from("/"), 0);
    while let Some(step) = waiting.pop() {
        let Some(step) = step else {
            here = PathBuf::from("/");
            continue;
        };
        if !is_roots(&fs::symlink_metadata(&here)?) {
            return Ok(false);
        }
        if step == ".." {
            here.pop();
            continue;
        }
        let next = here.join(step);
        let found = fs::symlink_metadata(&next)?;
        if !found.is_symlink() {
            here = next;
            continue;
        }
        links += 1;
        if found.uid() != 0 || links > walk::MOST_LINKS {
            return Ok(false);
        }
        waiting.extend(walk::steps(&fs::read_link(&next)?));
    }
    let file = fs::symlink_metadata(&here)?;
    Ok(file.uid() != 0 || is_roots(&file))
}

fn is_roots(found: &Metadata) -> bool {
    let by_others = found.mode() & 0o002 != 0 || (found.mode() & 0o020 != 0 && found.gid() != 0);
    let sticky = found.is_dir() && found.mode() & 0o1000 != 0;
    found.uid() == 0 && (!by_others || sticky)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::process_group::Origin;

    #[test]
    fn files_add_up_and_mistakes_have_a_place() {
        let folder = std::env::temp_dir().join(format!("wsgi-env-file-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let mut group = ProcessGroup::new("blog", Origin::default());
        for (name, text) in [("one", "A=1\nB=1"), ("two", "B=2")] {
            fs::write(folder.join(name), text).unwrap();
            group.env_files.push(folder.join(name));
        }
        let names: Vec<_> = of_files(&group, None).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["A", "B", "B"]);
        fs::write(folder.join("two"), "B=2\nsecret").unwrap();
        let Message { code, text, .. } = of_files(&group, None).unwrap_err();
        assert!(
            code == Code::EnvFileUnusable && text.contains("/two:2: ") && !text.contains("secret"),
            "{text}"
        );
        fs::write(folder.join("two"), [b'#'; LARGEST as usize + 1]).unwrap();
        assert!(of_files(&group, None).unwrap_err().text.contains("more than 1048576 bytes"));
        group.env_files = vec![folder.clone()];
        assert!(of_files(&group, None).unwrap_err().text.contains("not a file"));
        fs::remove_dir_all(folder).unwrap();
        assert!(of_files(&group, None).unwrap_err().text.contains("No such file"));
    }
}
