//! The directory of the sockets: no user but root, httpd's own and the one that starts httpd may change
//! what is in it or above it.
//!
//! Part of `control::listener`, in the httpd parent, when it has read its configuration. A site that could
//! change the directory might put a link or a socket of its own where the parent makes one.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::log::{Code, Message};

const BY_GROUP: u32 = 0o020;
const BY_OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Those who may, each by uid and gid. `named_by` is the directive, with its place.
pub fn check(prefix: &Path, named_by: &str, trusted: &[(u32, u32)]) -> Result<(), Message> {
    // One that is missing has a message of its own when the sockets are made.
    let Some(Ok(directory)) = prefix.parent().map(fs::canonicalize) else { return Ok(()) };
    let mut places = directory.ancestors().filter_map(|place| Some((place, fs::metadata(place).ok()?)));
    let found = places.find_map(|(place, found)| Some((place, who_may_write(&found, trusted)?)));
    let Some((place, who)) = found else { return Ok(()) };
    let text = format!(
        "{named_by}: the sockets of the process groups cannot be made in {}, since {who} may write to {}: give it to \
         root with the mode 0755 (chown root, chmod 0755), or set WSGISocketPrefix to a path in a directory that \
         only root may change",
        directory.display(),
        place.display()
    );
    Err(Message::new(Code::SocketDirectoryOpen, text))
}

/// In a sticky directory each user may remove what is his own only.
fn who_may_write(found: &Metadata, trusted: &[(u32, u32)]) -> Option<String> {
    let (mode, sticky) = (found.mode(), found.mode() & STICKY != 0);
    if !trusted.iter().any(|(uid, _)| *uid == found.uid()) {
        return Some(format!("its owner, the user with number {},", found.uid()));
    }
    if mode & BY_OTHERS != 0 && !sticky {
        return Some("every user".to_string());
    }
    let own_group = trusted.iter().any(|(_, gid)| *gid == found.gid());
    (mode & BY_GROUP != 0 && !sticky && !own_group).then(|| format!("the group with number {}", found.gid()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_trusted_users_may_write_there() {
        let directory = std::env::temp_dir().join(format!("wsgi-directory-{}", std::process::id()));
        fs::create_dir_all(directory.join("run")).unwrap();
        let own = fs::metadata(&directory).unwrap();
        let (us, root) = ((own.uid(), own.gid()), (0, 0));
        let check = |mode: u32, trusted: &[(u32, u32)]| {
            fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
            check(&directory.join("run/wsgi"), "WSGISocketPrefix at a.conf:1", trusted).err().map(|m| m.text)
        };
        assert_eq!(check(0o755, &[us, root]), None);
        assert_eq!(check(0o1777, &[us, root]), None);
        assert_eq!(check(0o775, &[us, root]), None);
        assert!(check(0o777, &[us, root]).unwrap().contains("every user may write to /"));
        assert!(check(0o775, &[(us.0, us.1 + 1), (0, us.1 + 1)]).unwrap().contains("the group with number"));
        let other = check(0o755, &[(us.0 + 1, us.1)]).unwrap();
        assert!(other.contains("its owner, the user") && other.contains("WSGISocketPrefix at a.conf:1"));
        fs::remove_dir_all(directory).unwrap();
    }
}
