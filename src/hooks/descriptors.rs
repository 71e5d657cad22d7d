//! How many descriptors the process groups take, and the limit that leaves them room.
//!
//! Runs in the httpd parent, before it makes the groups' sockets; its children and the supervisor inherit
//! the limit. Daemons get back the soft limit that httpd was started with (`spawn::privileges`), since
//! some programs cannot deal with large numbers.

use std::fs;

use crate::config::process_group::ProcessGroup;
use crate::log::{Code, Message};
use crate::os::{self, Resource};

/// Of each group in the parent: its socket, the place of that, its page.
const OF_GROUP: u64 = 3;

/// Of a group that has walls (`control::walls`).
const OF_WALLS: u64 = 1;

/// Of each process in the supervisor: its control socket, reports, two pipes of output, and the line to its
/// reader. A roll-out doubles the processes.
const OF_PROCESS: u64 = 2 * 5;

/// What httpd itself opens later in one of its processes: clients, and files for them.
const OF_HTTPD: u64 = 256;

/// Without so many more than the groups' own the parent cannot go on.
const OF_PARENT: u64 = 16;

/// The numbers of descriptors that count.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Need {
    groups: u64,
    /// For the sockets to be made.
    least: u64,
    /// For all processes of all groups to run.
    all: u64,
    /// What the groups take of it.
    ours: u64,
}

impl Need {
    /// `open` are the parent's descriptors now, those of `kept` groups among them.
    fn of(open: u64, kept: u64, wanted: impl Iterator<Item = (u32, bool)>) -> Need {
        let (mut groups, mut ours) = (0u64, 0);
        for (processes, walled) in wanted {
            groups += 1;
            ours += OF_GROUP + OF_PROCESS * u64::from(processes) + OF_WALLS * u64::from(walled);
        }
        let least = open + OF_GROUP * groups.saturating_sub(kept) + OF_PARENT;
        let all = open.saturating_sub(OF_GROUP * kept) + ours + OF_HTTPD;
        Need { groups, least, all: all.max(least), ours }
    }
}

/// Makes room for these groups; `kept` have their descriptors already. Returns the soft limit that was in
/// force before, if it was raised.
pub fn make_room<'a>(
    groups: impl Iterator<Item = &'a ProcessGroup>,
    kept: usize,
    log: impl Fn(Message),
) -> Result<Option<u64>, Message> {
    // Without /proc the rest is still the most of it.
    let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    let need = Need::of(open, kept as u64, groups.map(|group| (group.maximum_processes, group.walls.any())));
    let Ok((soft, hard)) = os::resource_limit(Resource::Descriptors) else { return Ok(None) };
    if need.all <= soft {
        return Ok(None);
    }
    // What httpd has for itself stays as much as before.
    let raised = need.all.max(soft.saturating_add(need.ours)).min(hard);
    let raised = os::limit_resource(Resource::Descriptors, raised, hard).map_or(soft, |()| raised);
    if raised < need.least {
        return Err(Message::new(
            Code::DescriptorsTooFew,
            too_low(&need, raised, "their sockets cannot be made"),
        ));
    }
    if raised < need.all {
        log(Message::new(
            Code::DescriptorsScarce,
            too_low(&need, raised, "not all of them can run at a time"),
        ));
    }
    let before = (raised > soft).then_some(soft);
    if before.is_some() {
        let text = format!(
            "the soft limit of open descriptors was raised from {soft} to {raised}, for {} process groups; their \
             processes keep {soft}",
            need.groups
        );
        log(Message::new(Code::DescriptorsRaised, text));
    }
    Ok(before)
}

fn too_low(need: &Need, limit: u64, what_follows: &str) -> String {
    let Need { groups, all, .. } = need;
    format!(
        "the {groups} process groups need up to {all} open descriptors, and the system allows {limit}, so that \
         {what_follows}: raise the hard limit to {all} or more, by LimitNOFILE={all} in the [Service] section of the \
         systemd unit, by APACHE_ULIMIT_MAX_FILES='ulimit -n {all}' in /etc/apache2/envvars where Debian's apache2ctl \
         starts httpd, or by 'ulimit -n {all}' in front of what does"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::process_group::Origin;

    #[test]
    fn groups_and_their_processes_are_counted() {
        let need = Need::of(40, 0, [(1, false), (4, false)].into_iter());
        assert_eq!(need, Need { groups: 2, least: 40 + 6 + 16, all: 40 + 6 + 50 + 256, ours: 56 });
        let after_a_restart = Need::of(46, 2, [(1, false), (4, false)].into_iter());
        assert_eq!(Need::of(40, 0, [(1, true), (4, false)].into_iter()).ours, 57);
        assert_eq!(after_a_restart, Need { least: 46 + 16, ..need });
        assert_eq!(Need::of(40, 0, std::iter::empty()).ours, 0);
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_can_be() {
        let in_a_process_with =
            |soft: u64, hard: u64, count: usize, check: fn(Result<Option<u64>, Message>, u64)| {
                let pid = os::fork_for_test(|| {
                    os::limit_resource(Resource::Descriptors, soft, hard).unwrap();
                    let groups = vec![ProcessGroup::new("blog", Origin::default()); count];
                    let result = make_room(groups.iter(), 0, |_| ());
                    check(result, os::resource_limit(Resource::Descriptors).unwrap().0);
                });
                assert_eq!(os::wait_for_test(pid), os::Exit::Status(0));
            };
        in_a_process_with(1024, 2048, 3, |result, limit| assert!(result == Ok(None) && limit == 1024));
        in_a_process_with(1024, 8192, 400, |result, limit| {
            assert!(result == Ok(Some(1024)) && limit == 1024 + 5200)
        });
        in_a_process_with(1024, 2048, 400, |result, limit| {
            assert!(result == Ok(Some(1024)) && limit == 2048)
        });
        in_a_process_with(1024, 1100, 400, |result, _| {
            let message = result.unwrap_err();
            assert!(message.code == Code::DescriptorsTooFew && message.text.contains("LimitNOFILE="));
        });
    }
}
