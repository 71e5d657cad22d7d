//! Groups whose `user=` stands alone: their processes keep httpd's own group, as with mod_wsgi.
//!
//! Runs in the httpd parent. What another site has made readable for httpd by its group (mode 0640) is
//! readable for such a process too. It may well be meant, so this is information, in one message for all
//! groups.

use crate::config::global::GlobalConfig;
use crate::config::surroundings::Surroundings;
use crate::log::{Code, Message};

pub fn check(global: &GlobalConfig, surroundings: &Surroundings<'_>) -> Option<Message> {
    let groups = global.groups.groups();
    let httpd = surroundings.httpd_user()?;
    let alone = |index: &usize| global.groups.has_user(*index) && !global.groups.has_group(*index);
    let alone = (0..groups.len()).filter(alone).map(|index| &groups[index]);
    let alone = alone.filter_map(|group| Some((group, group.identity.as_ref()?)));
    let mut alone = alone.filter(|(_, identity)| identity.uid != httpd.uid);
    let (group, identity) = alone.next()?;
    let others: Vec<String> = alone.map(|(group, _)| format!("'{}'", group.name)).collect();
    let others = match &others[..] {
        [] => String::new(),
        names => format!(" (likewise {})", names.join(", ")),
    };
    let user = surroundings.owner(identity.uid);
    let text = format!(
        "process group '{}' at {} runs as {user}, and in httpd's own group, since group= is missing{others}: it may \
         read what other sites let httpd read by that group. Write user={user} group={}",
        group.name,
        group.origin,
        own_group(&user, surroundings)
    );
    Some(Message::new(Code::GroupOfHttpd, text))
}

/// As `group=` takes it: by name where the user's own group has the user's name.
fn own_group(user: &str, surroundings: &Surroundings<'_>) -> String {
    let Some(account) = surroundings.accounts.user(user) else { return user.to_string() };
    if surroundings.accounts.group(user) == Some(account.gid) {
        user.to_string()
    } else {
        format!("#{}", account.gid)
    }
}
