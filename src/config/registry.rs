//! The process groups of the whole server, by number and by name.
//!
//! Filled in the httpd parent while it reads its configuration, and completed at its end. The supervisor
//! then reads it, and the children do for each request (`target`). A group's number is its place in the
//! order of definition, the same in every process of a generation.

use std::collections::HashMap;

use crate::config::nearest::{nearest, suggestion};
use crate::config::options::{Accounts, Definition, RequestedIdentity};
use crate::config::process_group::{Identity, ProcessGroup};

#[derive(Default)]
pub struct Registry {
    groups: Vec<ProcessGroup>,
    requested: Vec<RequestedIdentity>,
    by_name: HashMap<String, usize>,
    sole_scripts: Vec<Option<String>>,
}

impl Registry {
    /// Adds a group; names are unique in the whole server, virtual hosts included.
    pub fn define(&mut self, definition: Definition) -> Result<(), String> {
        let group = definition.group;
        if let Some((_, first)) = self.find(&group.name) {
            return Err(format!(
                "process group '{}' is already defined at {}: give one of them another name",
                group.name, first.origin
            ));
        }
        self.by_name.insert(group.name.clone(), self.groups.len());
        self.groups.push(group);
        self.requested.push(definition.requested);
        Ok(())
    }

    pub fn groups(&self) -> &[ProcessGroup] {
        &self.groups
    }

    pub fn find(&self, name: &str) -> Option<(usize, &ProcessGroup)> {
        let index = *self.by_name.get(name)?;
        Some((index, &self.groups[index]))
    }

    /// The group that was probably meant by a name that no group has.
    pub fn nearest(&self, name: &str) -> Option<&ProcessGroup> {
        let near = nearest(name, self.groups.iter().map(|group| group.name.as_str()))?;
        self.find(near).map(|(_, group)| group)
    }

    /// ` (did you mean 'blog'?)`, or nothing.
    pub fn suggestion(&self, name: &str) -> String {
        suggestion(name, self.groups.iter().map(|group| group.name.as_str()))
    }

    /// Whether the group's own line says who its processes run as.
    pub fn has_user(&self, index: usize) -> bool {
        self.requested.get(index).is_some_and(|requested| requested.user.is_some())
    }

    /// Whether it says in which group they run.
    pub fn has_group(&self, index: usize) -> bool {
        self.requested.get(index).is_some_and(|requested| requested.gid.is_some())
    }

    /// The script of a group that serves exactly one, which therefore runs in the main interpreter.
    pub fn sole_script(&self, index: usize) -> Option<&str> {
        self.sole_scripts.get(index)?.as_deref()
    }

    pub fn set_sole_scripts(&mut self, sole_scripts: Vec<Option<String>>) {
        self.sole_scripts = sole_scripts;
    }

    /// Changes every group: for facts that are known only at the end of the configuration.
    pub fn for_each(&mut self, change: impl FnMut(&mut ProcessGroup)) {
        self.groups.iter_mut().for_each(change);
    }

    /// Says who the daemons run as: httpd's own user unless the group named one.
    pub fn set_identities(&mut self, accounts: &dyn Accounts) -> Result<(), String> {
        if !accounts.running_as_root() {
            return Ok(());
        }
        let httpd = accounts.httpd_user();
        for (group, requested) in self.groups.iter_mut().zip(&self.requested) {
            let user = requested.user.as_ref().unwrap_or(&httpd);
            if user.uid == 0 {
                return Err(format!(
                    "process group '{}' defined at {} would run as root (uid 0), since httpd's own User is \
                     root: add user= with an unprivileged user",
                    group.name, group.origin
                ));
            }
            group.identity = Some(Identity {
                uid: user.uid,
                gid: requested.gid.unwrap_or(httpd.gid),
                user_name: user.name.clone(),
                user_home: user.home.clone(),
                supplementary_groups: requested.supplementary_groups.clone(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::tests::{TestAccounts, define};

    fn registry() -> Registry {
        let mut registry = Registry::default();
        for line in ["blog user=bob", "shop group=staff"] {
            registry.define(define(line).unwrap()).unwrap();
        }
        registry
    }

    #[test]
    fn names_are_unique() {
        let mut registry = registry();
        let error = registry.define(define("blog").unwrap()).unwrap_err();
        assert!(error.contains("'blog' is already defined at site.conf:3"), "{error}");
        assert_eq!(registry.groups().len(), 2);
        assert_eq!(registry.find("shop").map(|(index, _)| index), Some(1));
        assert!(registry.find("Shop").is_none());
        assert_eq!(registry.suggestion("blug"), " (did you mean 'blog'?)");
    }

    #[test]
    fn httpds_user_unless_another_was_named() {
        let mut registry = registry();
        registry.set_identities(&TestAccounts { root: true }).unwrap();
        let ids: Vec<_> =
            registry.groups().iter().flat_map(|g| &g.identity).map(|i| (i.uid, i.gid)).collect();
        assert_eq!(ids, [(1001, 33), (33, 50)]);
        assert_eq!(registry.groups()[0].identity.as_ref().unwrap().user_home.to_str(), Some("/home/bob"));
    }

    #[test]
    fn without_root_there_is_no_choice() {
        let mut registry = registry();
        registry.set_identities(&TestAccounts { root: false }).unwrap();
        assert!(registry.groups().iter().all(|group| group.identity.is_none()));
    }

    #[test]
    fn root_is_refused_as_the_default_too() {
        struct RootOnly;
        impl Accounts for RootOnly {
            fn user(&self, _: &str) -> Option<crate::config::options::Account> {
                None
            }
            fn group(&self, _: &str) -> Option<u32> {
                None
            }
            fn groups_of(&self, _: &str, gid: u32) -> Vec<u32> {
                vec![gid]
            }
            fn running_as_root(&self) -> bool {
                true
            }
            fn httpd_user(&self) -> crate::config::options::Account {
                TestAccounts { root: true }.user("root").unwrap()
            }
        }
        let error = registry().set_identities(&RootOnly).unwrap_err();
        assert!(error.contains("'shop'") && error.contains("uid 0"), "{error}");
    }
}
