//! Two groups that share a user, where one of them has another user's name.
//!
//! Runs in the httpd parent. It looks like a line that was copied, with its user= left as it was; it may well be
//! meant, so this is information. Groups that leave their user to httpd are no subject.

use crate::config::global::GlobalConfig;
use crate::config::process_group::ProcessGroup;
use crate::config::surroundings::Surroundings;
use crate::log::{Code, Message};

pub fn check(global: &GlobalConfig, surroundings: &Surroundings<'_>) -> Vec<Message> {
    let groups = global.groups.groups();
    let explicit = |index: &usize| global.groups.has_user(*index);
    let named: Vec<&ProcessGroup> = (0..groups.len()).filter(explicit).map(|index| &groups[index]).collect();
    let notes = named.iter().filter_map(|group| {
        let identity = group.identity.as_ref()?;
        let shares = |other: &&&ProcessGroup| {
            other.name != group.name && other.identity.as_ref().is_some_and(|own| own.uid == identity.uid)
        };
        let other = named.iter().find(shares)?;
        let namesake = surroundings.accounts.user(&group.name).filter(|user| user.uid != identity.uid)?;
        let text = format!(
            "process group '{}' at {} runs as {}, as '{}' at {} does, and there is a user {}: if that one is meant, \
             correct user=",
            group.name, group.origin, identity.user_name, other.name, other.origin, namesake.name
        );
        Some(Message::new(Code::UserShared, text))
    });
    notes.collect()
}
