//! The life of a group, driven with made-up events and a made-up clock.

mod overlap_tests;
mod renewal_tests;

use std::time::Duration;

use super::*;
use crate::log::{Code, Level};

struct Story {
    group: Group,
    now: Instant,
    /// Processes that were started, in order.
    started: Vec<ProcessId>,
    actions: Vec<Action>,
}

impl Story {
    fn new(processes: usize) -> Self {
        let group = Group::new(GroupSettings {
            name: "blog".into(),
            place: "blog.conf:12".into(),
            processes,
            graceful_timeout: Duration::from_secs(15),
            eviction_timeout: Some(Duration::from_secs(7)),
            shutdown_timeout: Duration::from_secs(5),
            startup_timeout: Some(Duration::from_secs(60)),
            apart: Apart::Never,
        });
        Story { group, now: Instant::now(), started: Vec::new(), actions: Vec::new() }
    }

    fn begun(processes: usize) -> Self {
        let mut story = Story::new(processes);
        story.on(Event::Begin);
        story
    }

    /// All its processes are ready.
    fn serving(processes: usize) -> Self {
        let mut story = Story::begun(processes);
        let mut next = 0;
        while next < story.started.len() {
            story.ready(story.started[next], true);
            next += 1;
        }
        assert_eq!(story.started.len(), processes);
        story
    }

    fn on(&mut self, event: Event) {
        self.actions = self.group.on(event, self.now);
        for action in &self.actions {
            if let Action::Start(process) = action {
                self.started.push(*process);
                self.group.started(*process, 1000 + *process as i32);
            }
        }
    }

    fn ready(&mut self, process: ProcessId, able: bool) {
        self.on(Event::Ready { process, able, is: "Python 3.9.2".to_string() });
    }

    fn exits(&mut self, process: ProcessId, exit: Exit) {
        self.on(Event::Exited { process, exit, output: String::new() });
    }

    fn reload(&mut self, modified: i64) {
        self.on(Event::Reload { path: "/srv/blog.py".into(), modified });
    }

    fn after(&mut self, time: Duration) {
        self.now += time;
        self.on(Event::Tick);
    }

    fn did(&self, action: Action) -> bool {
        self.actions.contains(&action)
    }

    fn drains(&self, process: ProcessId, reason: Reason) -> bool {
        self.did(Action::Drain(process, reason))
    }

    fn stops(&self, process: ProcessId, reason: Reason) -> bool {
        self.did(Action::Stop(process, reason))
    }

    fn renew(&mut self, process: ProcessId, reason: Reason) {
        self.on(Event::Renew(process, reason));
    }

    fn said(&self) -> Vec<(Level, u16)> {
        let said = |action: &Action| match action {
            Action::Record(message) => Some((message.level, message.code.number())),
            _ => None,
        };
        self.actions.iter().filter_map(said).collect()
    }
}

#[test]
fn a_group_starts_serves_and_supersedes() {
    let mut story = Story::begun(2);
    assert_eq!(story.started, [1, 2]);
    story.ready(1, true);
    assert!(story.did(Action::Serve(1)) && !story.did(Action::Supersede));
    story.ready(2, true);
    assert!(story.did(Action::Serve(2)) && story.did(Action::Supersede));
    assert_eq!(story.said(), [(Level::Info, 320)]);
    assert_eq!(story.group.deadline(), None);
}

#[test]
fn a_group_that_cannot_start_makes_at_most_ten_attempts_in_a_minute_and_says_so_once() {
    let mut story = Story::begun(8);
    let begun = story.now;
    let (mut errors, mut next) = (0, 0);
    loop {
        while next < story.started.len() {
            story.exits(story.started[next], Exit::Status(1));
            errors += story.said().iter().filter(|(level, _)| *level == Level::Error).count();
            next += 1;
        }
        let deadline = story.group.deadline().unwrap();
        if deadline > begun + Duration::from_secs(60) {
            break;
        }
        story.now = deadline;
        story.on(Event::Tick);
        assert!(story.group.holds_output(*story.started.last().unwrap()));
    }
    assert_eq!((story.started.len(), errors), (9, 1));
    story.now += Duration::from_secs(31);
    story.on(Event::Tick);
    let probe = *story.started.last().unwrap();
    assert_eq!(story.started.len(), 10);
    story.ready(probe, true);
    assert_eq!(story.said(), [(Level::Info, 320), (Level::Notice, 321)]);
    assert!(story.did(Action::Recovered));
    assert_eq!(story.started.len(), 14, "four of the seven that are missing start now");
}

#[test]
fn another_reason_is_said_again_and_the_output_shown() {
    let mut story = Story::begun(1);
    story.exits(1, Exit::Status(1));
    assert!(story.did(Action::ReleaseOutput { process: 1, show: true }));
    story.after(Duration::from_secs(1));
    story.exits(2, Exit::Status(1));
    assert!(story.did(Action::ReleaseOutput { process: 2, show: false }));
    assert_eq!(story.said(), [(Level::Info, 322)]);
    story.after(Duration::from_secs(2));
    story.on(Event::Exited { process: 3, exit: Exit::Status(1), output: "No module\nnamed x\n".into() });
    assert_eq!(story.said(), [(Level::Error, 322)]);
    assert!(story.did(Action::ReleaseOutput { process: 3, show: true }));
    let reason =
        "the process ended with exit status 1 before it was ready; the last it wrote: No module | named x";
    assert!(story.did(Action::Fail(reason.into())));
}

#[test]
fn what_a_process_reports_is_the_reason_for_its_end() {
    let mut story = Story::begun(1);
    story.on(Event::Failed(1, Message::new(Code::ScriptStillFailing, "no such locale")));
    assert_eq!(story.actions, []);
    story.exits(1, Exit::Status(78));
    assert_eq!(story.said(), [(Level::Error, 402)]);
}

#[test]
fn a_crashed_process_is_replaced_at_once() {
    let mut story = Story::serving(2);
    story.now += Duration::from_secs(5);
    story.exits(1, Exit::Signal(9));
    assert_eq!(story.said(), [(Level::Error, 323)]);
    assert_eq!(story.started, [1, 2, 3]);
}

#[test]
fn quick_crashes_in_a_row_have_to_wait_from_the_third_on() {
    let mut story = Story::serving(1);
    for process in [1, 2] {
        story.exits(process, Exit::Signal(11));
        assert_eq!(story.started.len() as u32, process + 1);
        story.ready(process + 1, true);
    }
    story.exits(3, Exit::Signal(11));
    assert_eq!(story.said(), [(Level::Error, 323), (Level::Error, 324)]);
    assert_eq!(story.started.len(), 3);
    story.after(Duration::from_secs(1));
    assert_eq!(story.started.len(), 4);
    story.ready(4, true);
    story.now += Duration::from_secs(10);
    story.exits(4, Exit::Signal(11));
    assert_eq!((story.said(), story.started.len()), (vec![(Level::Error, 323)], 5));
}

#[test]
fn a_roll_out_replaces_the_whole_group_when_all_are_ready() {
    let mut story = Story::serving(2);
    story.reload(7);
    assert_eq!(story.started, [1, 2, 3, 4]);
    story.reload(7);
    story.ready(3, true);
    assert!(!story.did(Action::Serve(3)), "it waits for the other");
    story.ready(4, true);
    let drain = |process| Action::Drain(process, Reason::ScriptReload);
    let order: Vec<&Action> =
        story.actions.iter().filter(|a| matches!(a, Action::Serve(_) | Action::Drain(..))).collect();
    assert_eq!(order, [&Action::Serve(3), &Action::Serve(4), &drain(1), &drain(2)]);
    assert_eq!(story.said(), [(Level::Info, 320), (Level::Notice, 331)]);
    story.exits(1, Exit::Status(0));
    story.exits(2, Exit::Status(0));
    assert_eq!((story.said(), story.started.len()), (vec![], 4));
    story.reload(8);
    assert_eq!(story.started.len(), 6, "the next change makes the next roll-out");
}

#[test]
fn a_roll_out_that_cannot_load_keeps_the_old_processes() {
    let mut story = Story::serving(2);
    story.reload(7);
    story.ready(3, true);
    story.ready(4, false);
    assert!(story.stops(4, Reason::ScriptReload) && !story.did(Action::Serve(4)));
    story.exits(4, Exit::Status(0));
    assert_eq!(story.said(), [(Level::Error, 332)]);
    assert!(story.stops(3, Reason::ScriptReload));
    story.exits(3, Exit::Status(0));
    story.reload(7);
    assert_eq!(story.started.len(), 4, "this version was tried");
    story.reload(8);
    assert_eq!(story.started.len(), 6);
    story.ready(5, true);
    story.ready(6, true);
    assert!(story.drains(1, Reason::ScriptReload) && story.drains(2, Reason::ScriptReload));
}

#[test]
fn a_roll_out_that_hangs_makes_room_for_the_next_version() {
    let mut story = Story::serving(1);
    story.reload(7);
    story.after(Duration::from_secs(5));
    story.reload(8);
    assert_eq!((story.started.len(), story.actions.len()), (2, 0), "that may just take a while");
    story.after(Duration::from_secs(6));
    story.reload(8);
    assert!(story.did(Action::Terminate(2)) && story.started.len() == 3);
    story.exits(2, Exit::Signal(15));
    assert_eq!(story.said(), []);
    story.ready(3, true);
    assert!(story.did(Action::Serve(3)) && story.drains(1, Reason::ScriptReload));
}

#[test]
fn a_group_that_falls_asleep_forgets_what_failed() {
    let mut story = Story::serving(1);
    story.renew(1, Reason::MaximumRequests);
    story.exits(2, Exit::Status(1));
    assert_eq!(story.said(), [(Level::Error, 322)]);
    story.on(Event::Want(0));
    assert!(story.did(Action::Recovered) && story.drains(1, Reason::MaximumRequests));
    story.exits(1, Exit::Status(0));
    story.on(Event::Want(1));
    assert_eq!(story.started.len(), 3, "nothing is to be waited for");
    story.on(Event::Want(0));
    story.exits(3, Exit::Status(1));
    assert!(!story.actions.iter().any(|action| matches!(action, Action::Fail(_))));
}

#[test]
fn a_roll_out_whose_processes_fail_together_fails_once() {
    let mut story = Story::serving(2);
    story.reload(7);
    story.ready(3, false);
    story.ready(4, false);
    story.exits(3, Exit::Status(0));
    assert_eq!(story.said(), [(Level::Error, 332)]);
    story.exits(4, Exit::Status(0));
    assert_eq!(story.said(), []);
    assert!(story.group.deadline().is_none() && story.started.len() == 4);
}

#[test]
fn a_roll_out_that_fails_leaves_the_edition_and_each_has_a_number_of_its_own() {
    let mut story = Story::serving(1);
    let old = story.group.edition_of(1).unwrap();
    story.reload(7);
    let failed = story.group.edition_of(2).unwrap();
    story.exits(2, Exit::Status(1));
    assert!(story.group.edition_of(1) == Some(old) && story.group.starts(old) && !story.group.starts(failed));
    story.exits(1, Exit::Signal(9));
    assert_eq!(story.group.edition_of(3), Some(old), "it is replaced by one of the code that serves");
    story.ready(3, true);
    story.reload(8);
    let next = story.group.edition_of(4).unwrap();
    assert!(next != old && next != failed);
}

#[test]
fn a_change_during_a_roll_out_that_fails_is_tried_next() {
    let mut story = Story::serving(1);
    story.reload(7);
    story.reload(8);
    story.exits(2, Exit::Status(1));
    assert_eq!(story.said(), [(Level::Error, 332)]);
    assert_eq!(story.started, [1, 2, 3]);
    story.ready(3, true);
    assert!(story.drains(1, Reason::ScriptReload));
}

#[test]
fn a_script_that_wants_to_be_loaded_anew_is_once_a_second() {
    let mut story = Story::serving(2);
    let wishes = |story: &mut Story, process| {
        story.on(Event::ReloadRequired(process, "/srv/blog.py".into()));
        story.started.len()
    };
    assert_eq!(wishes(&mut story, 1), 4);
    story.now += Duration::from_millis(500);
    assert_eq!(wishes(&mut story, 2), 4, "it is under way");
    story.ready(3, true);
    story.ready(4, true);
    assert_eq!(story.said(), [(Level::Info, 320), (Level::Notice, 331)]);
    assert_eq!(wishes(&mut story, 2), 4, "of the old code");
    assert_eq!(wishes(&mut story, 3), 4, "too early");
    story.now += Duration::from_millis(500);
    assert_eq!((wishes(&mut story, 2), wishes(&mut story, 3)), (4, 6));
}

#[test]
fn wishes_whose_roll_outs_fail_have_to_wait_longer() {
    let mut story = Story::serving(1);
    let mut begun = Vec::new();
    for tenth in 0..100 {
        let before = story.started.len();
        story.on(Event::ReloadRequired(1, "/srv/blog.py".into()));
        if story.started.len() > before {
            begun.push(tenth);
            story.exits(*story.started.last().unwrap(), Exit::Status(1));
            assert_eq!(story.said(), [(Level::Error, 332)]);
        }
        story.now += Duration::from_millis(100);
    }
    assert_eq!(begun, [0, 10, 30, 70]);
}

#[test]
fn a_crash_of_the_old_processes_during_a_roll_out_leaves_nobody_waiting() {
    let mut story = Story::serving(2);
    story.reload(7);
    story.ready(3, true);
    story.exits(1, Exit::Signal(9));
    assert!(!story.did(Action::Serve(3)));
    story.exits(2, Exit::Signal(9));
    assert!(story.did(Action::Serve(3)));
    story.exits(4, Exit::Status(1));
    assert_eq!(story.said(), [(Level::Error, 322)], "the new edition is kept, and completed");
    story.after(Duration::from_secs(1));
    assert_eq!(story.started.len(), 5);
}

#[test]
fn a_replacement_that_cannot_load_does_not_serve_beside_one_that_has() {
    let mut story = Story::serving(2);
    story.now += Duration::from_secs(5);
    story.exits(1, Exit::Signal(9));
    story.ready(3, false);
    assert!(story.stops(3, Reason::ScriptReload) && !story.did(Action::Serve(3)));
    story.exits(3, Exit::Status(0));
    assert_eq!(story.said(), [(Level::Error, 333)]);
}

#[test]
fn a_generation_that_cannot_load_leaves_it_to_the_older_one() {
    let mut story = Story::begun(1);
    story.ready(1, false);
    assert!(story.stops(1, Reason::ScriptReload) && !story.did(Action::Supersede));
    story.exits(1, Exit::Status(0));
    assert_eq!(story.said(), [(Level::Error, 333)]);
    story.after(Duration::from_secs(1));
    story.ready(2, false);
    story.exits(2, Exit::Status(0));
    assert_eq!(story.said(), [(Level::Info, 333)], "the same reason is said once");
    story.after(Duration::from_secs(2));
    story.ready(3, true);
    assert!(story.did(Action::Serve(3)) && story.did(Action::Supersede) && story.did(Action::Recovered));
}

#[test]
fn draining_becomes_stopping_becomes_killing() {
    let mut story = Story::serving(1);
    story.on(Event::Superseded);
    assert_eq!(story.actions, [Action::Drain(1, Reason::Shutdown)]);
    story.after(Duration::from_secs(15));
    assert_eq!(story.actions, [Action::Stop(1, Reason::Shutdown)]);
    story.after(Duration::from_secs(5));
    assert!(story.did(Action::Kill(1)));
    assert_eq!(story.group.deadline(), None);
    story.exits(1, Exit::Signal(9));
    assert!(story.group.is_empty() && story.started.len() == 1);
}

#[test]
fn stop_ends_everything_whatever_its_state() {
    let mut story = Story::serving(1);
    story.reload(7);
    story.on(Event::Stop);
    assert_eq!(story.actions, [Action::Stop(1, Reason::Shutdown), Action::Terminate(2)]);
    story.exits(2, Exit::Signal(15));
    story.exits(1, Exit::Status(0));
    assert!(story.group.is_empty() && story.said().is_empty() && story.started.len() == 2);
}

#[test]
fn a_crash_while_draining_is_told() {
    let mut story = Story::serving(1);
    story.on(Event::Superseded);
    story.exits(1, Exit::Signal(11));
    assert_eq!(story.said(), [(Level::Warning, 326)]);
}
