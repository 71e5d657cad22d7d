//! Access control lists of files.
//!
//! The httpd parent asks for them when it checks who gets where: with one, a file's mode does not tell all.

use std::path::Path;

/// Whether a file or directory has one beside its mode.
pub fn has_acl(path: &Path) -> bool {
    let none: &mut [u8] = &mut [];
    rustix::fs::lgetxattr(path, "system.posix_acl_access", none).is_ok_and(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_files_have_none() {
        assert!(
            !has_acl(Path::new("/")) && !has_acl(Path::new("/etc/passwd")) && !has_acl(Path::new("/nowhere"))
        );
    }
}
