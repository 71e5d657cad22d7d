//! The variables that `env-file=` gives a process.
//!
//! Called by the supervisor (`spawn`) before each start, with its own rights: the files need not
//! be readable for the group's user, and what is changed in them counts from the next process on.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::config::env_file;
use crate::config::process_group::ProcessGroup;
use crate::log::{Code, Message, wording};

/// Far more than a process's environment may have.
const LARGEST: u64 = 1 << 20;

/// Of all files in order, so that the last one of a name wins.
pub fn of_files(group: &ProcessGroup) -> Result<Vec<(OsString, OsString)>, Message> {
    let mut variables = Vec::new();
    for file in &group.env_files {
        let mistake = |what: String| {
            let text = format!("the file of env-file= cannot be used: {what}; correct the file or env-file=");
            Message::new(Code::EnvFileUnusable, text)
        };
        let text =
            read(file, group).map_err(|error| mistake(format!("{}: {}", file.display(), wording(&error))))?;
        let read = env_file::parse(&text)
            .map_err(|wrong| mistake(format!("{}:{}: {}", file.display(), wrong.line, wrong.what)))?;
        variables.extend(read);
    }
    Ok(variables)
}

/// Reads a file with root's rights. So the group's user could read it as well, or only root can change it and
/// its directories: any other user might put a link to a secret in its place. Does not wait, as reading a
/// pipe would.
fn read(path: &Path, group: &ProcessGroup) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let own = group.identity.as_ref().is_none_or(|identity| identity.uid == found.uid());
    let safe = own || (found.uid() == 0 && is_in_roots_hands(path)?);
    if !safe {
        return Err(io::Error::other(
            "neither does it belong to the group's user, nor are it and all directories above it root's, with nobody \
             else writing there: chown or chmod them",
        ));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it has more than {LARGEST} bytes")));
    }
    Ok(bytes)
}

/// Whether only root can change what this path leads to.
fn is_in_roots_hands(path: &Path) -> io::Result<bool> {
    let real = fs::canonicalize(path)?;
    let mut places = path.ancestors().chain(real.ancestors()).filter(|place| !place.as_os_str().is_empty());
    places.try_fold(true, |so_far, place| {
        let found = fs::symlink_metadata(place)?;
        let by_others = found.mode() & 0o002 != 0 || (found.mode() & 0o020 != 0 && found.gid() != 0);
        let sticky = found.is_dir() && found.mode() & 0o1000 != 0;
        Ok(so_far && found.uid() == 0 && (found.is_symlink() || !by_others || sticky))
    })
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
        let names: Vec<_> = of_files(&group).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["A", "B", "B"]);
        fs::write(folder.join("two"), "B=2\nsecret").unwrap();
        let Message { code, text, .. } = of_files(&group).unwrap_err();
        assert!(
            code == Code::EnvFileUnusable && text.contains("/two:2: ") && !text.contains("secret"),
            "{text}"
        );
        fs::write(folder.join("two"), [b'#'; LARGEST as usize + 1]).unwrap();
        assert!(of_files(&group).unwrap_err().text.contains("more than 1048576 bytes"));
        group.env_files = vec![folder.clone()];
        assert!(of_files(&group).unwrap_err().text.contains("not a file"));
        fs::remove_dir_all(folder).unwrap();
        assert!(of_files(&group).unwrap_err().text.contains("No such file"));
    }
}
