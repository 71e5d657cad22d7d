//! Which descriptors httpd may read for an answer: reading and closing them must end soon, whatever the process
//! that has passed them does.
//!
//! Used where `WSGIEnableSendfile` is On: in daemons, which read all other files themselves and send what they
//! hold, and in httpd children, which take no other from a daemon. A read from FUSE waits for a program of the
//! site's own, one from NFS for another machine, a socket may linger when it is closed.

use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use rustix::fs::{FileType, OFlags};

/// Local file systems, by what fstatfs says (statfs(2)); `memfd_create` makes files of tmpfs.
const LOCAL: [i64; 20] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x2fc1_2fc1, // zfs
    0xf2f5_2010, // f2fs
    0xca45_1a4e, // bcachefs
    0x3153_464a, // jfs
    0x5265_4973, // reiserfs
    0x3434,      // nilfs2
    0x7371_7368, // squashfs
    0xe0f5_e1e2, // erofs
    0x9660,      // iso9660
    0x1501_3346, // udf
    0x4d44,      // vfat
    0x2011_bab0, // exfat
    0x7366_746e, // ntfs3
    0x2405_1905, // ubifs
    0x72b6,      // jffs2
];

const OVERLAY: i64 = 0x794c_7630;

/// Of an overlay that `/` lies on, as in a container: its device.
static TRUSTED: OnceLock<Option<u64>> = OnceLock::new();

/// Files of the overlay that `/` lies on count as local. Any user can make another one, above FUSE. Not to be
/// called after chroot, where `/` is not the `/` of httpd.
pub fn trust_overlay_of_root() {
    TRUSTED.get_or_init(|| {
        let overlay = rustix::fs::statfs("/").is_ok_and(|root| magic(root.f_type) == OVERLAY);
        let root = rustix::fs::stat("/").ok()?;
        overlay.then_some(root.st_dev)
    });
}

/// Whether it is a regular file of a local file system, open for reading.
pub fn is_servable(fd: BorrowedFd<'_>) -> bool {
    let Ok(status) = rustix::fs::fstat(fd) else { return false };
    let Ok(flags) = rustix::fs::fcntl_getfl(fd) else { return false };
    let readable = !flags.contains(OFlags::PATH) && flags & OFlags::RWMODE != OFlags::WRONLY;
    if !readable || FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return false;
    }
    match rustix::fs::fstatfs(fd).map(|system| magic(system.f_type)) {
        Ok(OVERLAY) => TRUSTED.get().is_some_and(|trusted| *trusted == Some(status.st_dev)),
        Ok(kind) => LOCAL.contains(&kind),
        Err(_) => false,
    }
}

/// The kernel's word is as wide as the machine's, and the numbers have 32 bits.
#[allow(clippy::unnecessary_cast)]
fn magic(word: rustix::fs::FsWord) -> i64 {
    i64::from(word as u32)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::os::fd::AsFd;
    use std::os::unix::fs::OpenOptionsExt;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::os;

    #[test]
    fn only_regular_files_that_can_be_read_are_servable() {
        assert!(is_servable(os::memfd(c"served", 10).unwrap().as_fd()));
        for path in ["/dev/zero", "/dev/null", "/proc/self/status", "/tmp"] {
            assert!(!is_servable(File::open(path).unwrap().as_fd()), "{path}");
        }
        assert!(!is_servable(os::pipe().unwrap().0.as_fd()));
        assert!(!is_servable(UnixStream::pair().unwrap().0.as_fd()));
        assert!(!is_servable(os::eventfd().unwrap().as_fd()));
        let path = std::env::temp_dir().join(format!("wsgi-served-{}", std::process::id()));
        let written = OpenOptions::new().write(true).create(true).truncate(true).open(&path).unwrap();
        let place = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!is_servable(written.as_fd()) && !is_servable(place.as_fd()));
    }
}
