//! Access control lists of files.
//!
//! The httpd parent asks for them when it checks who gets where: with one, a file's mode does not tell all.

use std::path::Path;

/// Whether a file or directory has one beside its mode.
pub fn has_acl(path: &Path) -> bool {
    rustix::fs::lgetxattr_query(path, "system.posix_acl_access").is_ok_and(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_beside_the_mode_is_seen() {
        let file = std::env::temp_dir().join(format!("wsgi-acl-{}", std::process::id()));
        std::fs::write(&file, "").unwrap();
        assert!(!has_acl(&file) && !has_acl(Path::new("/nowhere")));
        // Version 2; tag, rights and id of the owner, user 1, the group, the mask and others.
        let entries =
            [(1u16, 6u16, u32::MAX), (2, 4, 1), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
        let entries = entries.iter().flat_map(|(tag, rights, id)| {
            [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
        });
        let list: Vec<u8> = 2u32.to_le_bytes().into_iter().chain(entries).collect();
        let name = "system.posix_acl_access";
        let given = rustix::fs::setxattr(&file, name, &list, rustix::fs::XattrFlags::empty());
        // Not every file system has them.
        assert_eq!(has_acl(&file), given.is_ok());
        std::fs::remove_file(file).unwrap();
    }
}
