//! Which of the libraries that the probe has named is loaded into a child of httpd.
//!
//! Runs in httpd children. Another process of httpd's user can reach into the probe and have it say anything: so
//! only what root or the owner of the configured Python has put there, and what no other user can change, is the
//! code that the administrator has named.

use crate::apache::accounts::{SystemAccounts, effective_ids};
use crate::config::options::Accounts;
use crate::log::wording;
use crate::os;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const BY_GROUP: u32 = 0o020;
const BY_OTHERS: u32 = 0o002;

/// The first that may be loaded, without links; None where none is there. Or why none of them may be.
pub fn choose<'a>(
    executable: &Path,
    named: impl Iterator<Item = &'a Path>,
) -> Result<Option<PathBuf>, String> {
    let hands = Hands::of(executable)
        .map_err(|error| format!("{} cannot be looked at: {}", executable.display(), wording(&error)))?;
    let mut refused = None;
    for library in named.filter_map(|place| place.canonicalize().ok()).filter(|place| is_python(place)) {
        match hands.refuse(&library) {
            None => return Ok(Some(library)),
            Some(why) => refused = refused.or(Some(why)),
        }
    }
    refused.map_or(Ok(None), Err)
}

fn is_python(library: &Path) -> bool {
    let name = library.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b"libpython") && library.is_file()
}

/// Who may have made a library: root, and who can exchange the configured Python itself.
struct Hands {
    /// The configured Python, without links.
    executable: PathBuf,
    owners: Vec<u32>,
    groups: Vec<u32>,
}

impl Hands {
    fn of(executable: &Path) -> io::Result<Hands> {
        let executable = executable.canonicalize()?;
        let found = [fs::metadata(&executable)?, fs::metadata(executable.parent().unwrap_or(&executable))?];
        let owners = found.iter().map(Metadata::uid).chain([0]).collect();
        let writing = found.iter().filter(|found| found.mode() & BY_GROUP != 0).map(Metadata::gid);
        let groups = writing.chain(private_group(found[0].uid())?).chain([0]).collect();
        Ok(Hands { executable, owners, groups })
    }

    /// Why it may not be loaded. Directories that the Python itself is in were named with it.
    fn refuse(&self, library: &Path) -> Option<String> {
        let above = library.ancestors().skip(2).take_while(|place| !self.executable.starts_with(place));
        let places = library.ancestors().take(2).map(|place| (place, false));
        let mut places = places.chain(above.map(|place| (place, true)));
        places.find_map(|(place, is_above)| {
            let why = match fs::metadata(place) {
                Ok(found) => self.wrong(&found, is_above)?,
                Err(error) => wording(&error),
            };
            Some(format!(
                "{} would be loaded into httpd, and {}: {why}. Have root or the owner of {} (user {}) own it, and let \
                 no other user write there (chown, chmod go-w)",
                library.display(),
                place.display(),
                self.executable.display(),
                self.owners[0]
            ))
        })
    }

    fn wrong(&self, found: &Metadata, is_above: bool) -> Option<String> {
        let (uid, gid, mode) = (found.uid(), found.gid(), found.mode());
        if !self.owners.contains(&uid) {
            return Some(format!("belongs to user {uid}"));
        }
        // In a sticky directory other users do not move what is not theirs.
        let is_sticky = is_above && mode & 0o1000 != 0;
        let by_group = mode & BY_GROUP != 0 && !self.groups.contains(&gid);
        ((mode & BY_OTHERS != 0 || by_group) && !is_sticky)
            .then(|| format!("lets others write (group {gid}, mode {:04o})", mode & 0o7777))
    }
}

/// The group that is this user's own, as it is with umask 002; None if httpd's user is in it too.
fn private_group(user: u32) -> io::Result<Option<u32>> {
    let (httpd, gid) = effective_ids();
    let own = SystemAccounts.user(&format!("#{user}")).map(|account| account.gid);
    let of_httpd = os::current_groups()?;
    Ok(own.filter(|own| user == httpd || (*own != gid && !of_httpd.contains(own))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    /// A Python below a directory of its own; `lib` beside its `bin`, and `elsewhere` beside all.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let place = Place(std::env::temp_dir().join(format!("wsgi-{name}-{}", std::process::id())));
            for folder in ["python/bin", "python/lib", "elsewhere/lib"] {
                fs::create_dir_all(place.0.join(folder)).unwrap();
            }
            for file in
                ["python/bin/python3", "python/lib/libpython3.so", "elsewhere/lib/libpython3.so", "other.so"]
            {
                fs::write(place.0.join(file), "").unwrap();
            }
            place.set("", 0o755);
            place
        }

        fn set(&self, path: &str, mode: u32) {
            fs::set_permissions(self.0.join(path), Permissions::from_mode(mode)).unwrap();
        }

        fn choose(&self, libraries: &[&str]) -> Result<Option<PathBuf>, String> {
            let libraries: Vec<PathBuf> = libraries.iter().map(|path| self.0.join(path)).collect();
            choose(&self.0.join("python/bin/python3"), libraries.iter().map(|path| path.as_path()))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const OWN: &str = "python/lib/libpython3.so";
    const ELSEWHERE: &str = "elsewhere/lib/libpython3.so";

    #[test]
    fn what_others_can_change_is_refused() {
        let place = Place::new("library-modes");
        for (path, mode) in [(OWN, 0o646), ("python/lib", 0o757), ("python/lib", 0o1777)] {
            let good = fs::metadata(place.0.join(path)).unwrap().permissions().mode();
            place.set(path, mode);
            let why = place.choose(&[OWN]).unwrap_err();
            assert!(why.contains("lets others write") && why.contains("chmod go-w"), "{why}");
            place.set(path, good);
            assert_eq!(place.choose(&[OWN]), Ok(Some(place.0.join(OWN))));
        }
        place.set("elsewhere", 0o757);
        assert!(place.choose(&[ELSEWHERE]).unwrap_err().contains("/elsewhere: lets others write"));
        assert_eq!(place.choose(&[ELSEWHERE, OWN]), Ok(Some(place.0.join(OWN))));
        place.set("elsewhere", 0o1777);
        assert!(place.choose(&[ELSEWHERE]).is_ok(), "nothing in it is moved");
        place.set("python", 0o757);
        assert!(place.choose(&[OWN]).is_ok(), "who changes it changes the Python");
    }

    #[test]
    fn links_are_followed_and_other_files_passed_over() {
        let place = Place::new("library-links");
        symlink("../elsewhere/lib/libpython3.so", place.0.join("python/libpython3.so")).unwrap();
        assert_eq!(place.choose(&["python/libpython3.so"]), Ok(Some(place.0.join(ELSEWHERE))));
        assert_eq!(place.choose(&["other.so", "none/libpython3.so", "python/lib"]), Ok(None));
        assert!(choose(Path::new("/nonexistent"), std::iter::empty()).unwrap_err().contains("No such file"));
    }

    #[test]
    fn root_and_the_owner_may_have_made_it() {
        let place = Place::new("library-owners");
        if effective_ids().0 != 0 {
            return;
        }
        let give = |path: &str, uid: u32, gid: u32| chown(place.0.join(path), Some(uid), Some(gid)).unwrap();
        give(OWN, 1, 1);
        assert!(place.choose(&[OWN]).unwrap_err().contains("belongs to user 1"));
        give("python/bin/python3", 1, 1);
        assert!(place.choose(&[OWN]).is_ok() && place.choose(&[ELSEWHERE]).is_ok());
        give(OWN, 2, 2);
        assert!(place.choose(&[OWN]).is_err());
        // Daemon's own group, and another.
        give("python/lib", 1, 1);
        give(OWN, 1, 1);
        place.set("python/lib", 0o775);
        assert!(place.choose(&[OWN]).is_ok());
        give("python/lib", 1, 2);
        assert!(place.choose(&[OWN]).unwrap_err().contains("group 2, mode 0775"));
        // As `staff` in /usr/local: that group can exchange the Python itself.
        give("python/bin", 0, 2);
        assert!(place.choose(&[OWN]).is_err());
        place.set("python/bin", 0o775);
        assert!(place.choose(&[OWN]).is_ok());
    }
}
