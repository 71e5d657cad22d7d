//! One listening socket of a process group, and what it is known by.
//!
//! Made in the httpd parent: a unix socket below `WSGISocketPrefix`, its file for its user alone, with the page of
//! its group.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::process_group::{Origin, ProcessGroup};
use crate::control::group_page::GroupPage;
use crate::control::secret::Secret;
use crate::log::{Code, Message, wording};
use crate::os;

/// What sockaddr_un holds beside the NUL at its end.
const LONGEST_PATH: usize = 107;

/// A socket is used again by the next configuration if all of this is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerKey {
    pub group: String,
    /// `WSGISocketPrefix`, absolute.
    pub prefix: PathBuf,
    pub backlog: u32,
    /// Who may connect beside root: `socket-user=` or httpd's `User`; None when httpd is not root.
    pub owner: Option<u32>,
    /// Who serves it. What is left of processes of another user must not get the new one's requests.
    pub runs_as: String,
    /// Of this module: both ends of a connection are always the same build.
    pub(super) version: String,
}

pub struct Listener {
    pub key: ListenerKey,
    pub path: PathBuf,
    /// The file that had that path, open as a place only: the children reach the socket by it. Its name is
    /// removed at once; only where httpd has no /proc it stays.
    pub place: OwnedFd,
    pub socket: OwnedFd,
    pub secret: Secret,
    pub page: Arc<GroupPage>,
}

impl ListenerKey {
    pub fn new(group: &ProcessGroup, prefix: &Path, owner: Option<u32>) -> Self {
        ListenerKey {
            group: group.name.clone(),
            prefix: prefix.to_owned(),
            backlog: group.listen_backlog,
            owner,
            runs_as: group.runs_as(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Listener {
    /// A new socket. `id` makes its name unique among those of this process.
    pub(super) fn create(key: &ListenerKey, origin: &Origin, id: u32) -> Result<Listener, Message> {
        let mut path = key.prefix.clone().into_os_string();
        path.push(format!(".{}.{}.sock", std::process::id(), id));
        let path = PathBuf::from(path);
        let length = path.as_os_str().len();
        if length > LONGEST_PATH {
            return Err(Message::new(
                Code::SocketPathTooLong,
                format!(
                    "the socket of process group '{}' (WSGIDaemonProcess at {}) cannot be created: its path {} \
                     has {length} bytes and the system allows {LONGEST_PATH}; set WSGISocketPrefix to a shorter path",
                    key.group,
                    origin,
                    path.display(),
                ),
            ));
        }
        let failure = |error: io::Error| bind_failure(key, origin, &path, &error);
        let (page, secret) = (GroupPage::create().map_err(failure)?, Secret::random().map_err(failure)?);
        let socket = bind(&path, key.backlog).map_err(failure)?;
        let place = os::open_place(&path).map_err(failure);
        let place = place.and_then(|place| {
            // What has the name is the socket itself, or it is given to no user.
            let has_proc = leads_to(place.as_fd(), socket.as_fd()).map_err(failure)?;
            give_to_owner(key, origin, &path, place.as_fd())?;
            Ok((place, has_proc))
        });
        if !matches!(place, Ok((_, false))) {
            // Of no name a process can ask for it.
            let _ = fs::remove_file(&path);
        }
        let (place, _) = place?;
        Ok(Listener { key: key.clone(), path, place, socket, secret, page: Arc::new(page) })
    }
}

/// Whether the children can connect to the place, for which they need /proc. An error where another socket
/// has come to the name, as in a directory in which others may write.
fn leads_to(place: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> io::Result<bool> {
    let _connection = match os::connect(&os::descriptor_path(place), Duration::ZERO) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        connected => connected?,
    };
    while let Some(accepted) = os::accept(socket)? {
        if os::peer_credentials(accepted.as_fd())?.pid == std::process::id() as i32 {
            return Ok(true);
        }
    }
    Err(io::Error::other("another process has put a file of its own into its place"))
}

fn bind(path: &Path, backlog: u32) -> io::Result<OwnedFd> {
    // The name holds our own pid: what has it was left behind by an earlier process of that number.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let umask = os::set_umask(0o077);
    let socket = os::bind_listener(path, backlog);
    os::set_umask(umask);
    socket
}

fn bind_failure(key: &ListenerKey, origin: &Origin, path: &Path, error: &io::Error) -> Message {
    let directory = path.parent().unwrap_or(Path::new("/")).display();
    let (code, cure) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (
            Code::SocketDirectoryMissing,
            format!("create the directory {directory}, or set WSGISocketPrefix to a path in one that exists"),
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            Code::SocketDirectoryClosed,
            format!(
                "let the user that starts httpd write to {directory}, or set WSGISocketPrefix to another path"
            ),
        ),
        _ => (
            Code::SocketNotCreated,
            "free what the system lacks, or set WSGISocketPrefix to another path".to_owned(),
        ),
    };
    Message::new(
        code,
        format!(
            "the socket {} of process group '{}' (WSGIDaemonProcess at {}) cannot be created: {}; {cure}",
            path.display(),
            key.group,
            origin,
            wording(error),
        ),
    )
}

fn give_to_owner(
    key: &ListenerKey,
    origin: &Origin,
    path: &Path,
    place: BorrowedFd<'_>,
) -> Result<(), Message> {
    let Some(owner) = key.owner else { return Ok(()) };
    os::give_to(place, owner).map_err(|error| {
        Message::new(
            Code::SocketNotGiven,
            format!(
                "the socket {} of process group '{}' (WSGIDaemonProcess at {}) cannot be given to the user with \
                 number {owner}: {}; httpd must be started by root for socket-user= and for a User of its own",
                path.display(),
                key.group,
                origin,
                wording(&error),
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn what_has_come_to_a_sockets_name_is_not_taken_for_it_and_given_to_no_user() {
        let directory = std::env::temp_dir().join(format!("wsgi-place-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let (path, another) = (directory.join("wsgi.sock"), directory.join("another"));
        fs::write(&another, "").unwrap();
        let socket = bind(&path, 5).unwrap();
        let place = os::open_place(&path).unwrap();
        assert!(leads_to(place.as_fd(), socket.as_fd()).unwrap());

        fs::remove_file(&path).unwrap();
        symlink(&another, &path).unwrap();
        assert!(leads_to(os::open_place(&path).unwrap().as_fd(), socket.as_fd()).is_err());
        if os::Ids::current().unwrap().users[1] == 0 {
            os::give_to(place.as_fd(), 1).unwrap();
            assert_eq!(fs::metadata(&another).unwrap().uid(), 0);
            assert_eq!(fs::metadata(os::descriptor_path(place.as_fd())).unwrap().uid(), 1);
        }

        let _theirs = bind(&path, 5).unwrap();
        assert!(leads_to(os::open_place(&path).unwrap().as_fd(), socket.as_fd()).is_err());
        fs::remove_dir_all(directory).unwrap();
    }
}
