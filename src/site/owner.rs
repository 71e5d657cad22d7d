//! `script-user=` and `script-group=`: who must own the scripts that a process group runs.
//!
//! Runs in httpd children, called by the handler before a request is sent to such a group, in the supervisor,
//! before a process is told to load scripts, and in daemons, before a thread runs another script. A user
//! who may write somewhere below the site cannot have code of his own run as the site's user.

use crate::config::process_group::ProcessGroup;
use crate::log::{Code, Message, wording};
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const BY_GROUP: u32 = 0o020;
const BY_OTHERS: u32 = 0o002;

/// The file and its directory must belong to the user, and no other user may write there; or to the group,
/// and no user outside of it may.
pub fn check(script: &Path, group: &ProcessGroup) -> Result<(), Message> {
    let rule = match (group.script_user, group.script_group) {
        (Some(uid), _) => {
            Rule { option: "script-user", owner: uid, of: MetadataExt::uid, forbidden: BY_GROUP | BY_OTHERS }
        }
        (None, Some(gid)) => {
            Rule { option: "script-group", owner: gid, of: MetadataExt::gid, forbidden: BY_OTHERS }
        }
        (None, None) => return Ok(()),
    };
    let directory = script.parent().unwrap_or(script);
    [script, directory].into_iter().try_for_each(|path| rule.check(path, group))
}

struct Rule {
    option: &'static str,
    owner: u32,
    of: fn(&Metadata) -> u32,
    /// Who else must not write there.
    forbidden: u32,
}

impl Rule {
    fn check(&self, path: &Path, group: &ProcessGroup) -> Result<(), Message> {
        let why = match fs::metadata(path) {
            Err(error) => wording(&error),
            Ok(found) if (self.of)(&found) != self.owner => {
                format!("it belongs to {} and not to {}: chown or chgrp it", (self.of)(&found), self.owner)
            }
            Ok(found) if found.permissions().mode() & self.forbidden != 0 => {
                let whom = if self.forbidden & BY_GROUP != 0 { "its group or others" } else { "others" };
                format!("{whom} may write there (mode {:04o}): chmod it", found.mode() & 0o7777)
            }
            Ok(_) => return Ok(()),
        };
        let text = format!(
            "'{}' may not run in process group '{}', by its {}= (WSGIDaemonProcess at {}): {why}",
            path.display(),
            group.name,
            self.option,
            group.origin
        );
        Err(Message::new(Code::ScriptOwnerWrong, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::process_group::Origin;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn owner_and_mode_of_file_and_directory_count() {
        let directory = std::env::temp_dir().join(format!("wsgi-owner-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let script = directory.join("app.wsgi");
        fs::write(&script, "").unwrap();
        let own = fs::metadata(&script).unwrap();
        let mut group = ProcessGroup::new("blog", Origin::default());
        let mut refused = |change: &dyn Fn(&mut ProcessGroup), file: u32, folder: u32| {
            (group.script_user, group.script_group) = (None, None);
            change(&mut group);
            set_mode(&script, file);
            set_mode(&directory, folder);
            check(&script, &group).err().map(|message| message.text)
        };
        let user: &dyn Fn(&mut ProcessGroup) = &|group| group.script_user = Some(own.uid());
        let other: &dyn Fn(&mut ProcessGroup) = &|group| group.script_user = Some(own.uid() + 1);
        let by_group: &dyn Fn(&mut ProcessGroup) = &|group| group.script_group = Some(own.gid());
        assert_eq!(refused(&|_| (), 0o666, 0o777), None);
        assert_eq!(refused(user, 0o644, 0o755), None);
        assert!(refused(other, 0o644, 0o755).unwrap().contains("belongs to"));
        assert!(refused(user, 0o664, 0o755).unwrap().contains("mode 0664"));
        assert!(refused(user, 0o644, 0o775).unwrap().contains("its group or others may write"));
        assert_eq!(refused(by_group, 0o664, 0o775), None);
        assert!(refused(by_group, 0o666, 0o755).unwrap().contains("others may write"));
        fs::remove_dir_all(directory).unwrap();
    }
}
