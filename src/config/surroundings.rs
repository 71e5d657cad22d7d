//! What the check of the configuration may ask of the machine: its files, its accounts, and the lines of other
//! modules.
//!
//! `hooks::parent` fills it in. Unit tests of the check make it up.

use crate::config::home::{Files, User};
use crate::config::options::{Account, Accounts};
use crate::config::process_group::{Origin, ProcessGroup};
use std::path::{Path, PathBuf};

pub struct Surroundings<'a> {
    pub files: &'a dyn Files,
    pub accounts: &'a dyn Accounts,
    /// The interpreter that a group runs on; None where there is none.
    pub python: &'a dyn Fn(&ProcessGroup) -> Option<PathBuf>,
    /// What httpd serves by itself: the targets of `Alias` and `DocumentRoot`.
    pub served: &'a [Served],
}

/// A file or directory that httpd serves by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// As it is written, without the path: `Alias /static`.
    pub directive: String,
    pub path: PathBuf,
    pub origin: Origin,
}

impl Surroundings<'_> {
    /// Who a group's processes run as; None where httpd does not run as root, and cannot know who will start
    /// it.
    pub fn user_of(&self, group: &ProcessGroup) -> Option<User> {
        let identity = group.identity.as_ref()?;
        let gids = match &identity.supplementary_groups {
            Some(gids) => gids.clone(),
            None => self.accounts.groups_of(&identity.user_name, identity.gid),
        };
        let gids = gids.into_iter().chain([identity.gid]).collect();
        Some(User { name: named(&identity.user_name, identity.uid), uid: identity.uid, gids })
    }

    /// Who httpd's children run as.
    pub fn httpd_user(&self) -> Option<User> {
        let Account { uid, gid, name, .. } =
            self.accounts.running_as_root().then(|| self.accounts.httpd_user())?;
        let gids = self.accounts.groups_of(&name, gid).into_iter().chain([gid]).collect();
        Some(User { name: named(&name, uid), uid, gids })
    }

    /// With whose rights a group's own files are opened; None where all are this process's. A group without a
    /// user stands for embedded mode.
    pub fn reader(&self, group: &ProcessGroup) -> Option<User> {
        self.user_of(group).or_else(|| self.httpd_user())
    }

    /// Name of a user, or its number.
    pub fn owner(&self, uid: u32) -> String {
        let account = self.accounts.user(&format!("#{uid}"));
        named(&account.map(|account| account.name).unwrap_or_default(), uid)
    }

    /// Where a group's processes are when they begin (`spawn::privileges`).
    pub fn working_directory(&self, group: &ProcessGroup) -> PathBuf {
        let own = group.identity.as_ref().filter(|identity| identity.uid != self.accounts.httpd_user().uid);
        let of_user = own.map(|identity| identity.user_home.clone());
        let of_user = of_user.filter(|home| home.is_absolute() && self.is_dir(home, group));
        group.home.clone().or(of_user).unwrap_or_else(|| "/".into())
    }

    fn is_dir(&self, path: &Path, group: &ProcessGroup) -> bool {
        self.files.is_dir(&group.seen_from_outside(path))
    }
}

fn named(name: &str, uid: u32) -> String {
    if name.is_empty() { format!("#{uid}") } else { name.to_string() }
}
