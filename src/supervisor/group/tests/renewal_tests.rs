//! Renewals, growth and sleep of a group, driven like the rest of its life.
//!
//! Part of the unit tests of `supervisor::group`, whose `Story` is the stage.

use super::*;

#[test]
fn a_process_at_its_limit_serves_until_its_successor_is_ready_and_the_next_waits() {
    let mut story = Story::serving(2);
    story.renew(1, Reason::MaximumRequests);
    assert_eq!((story.said(), story.started.len()), (vec![(Level::Info, 334)], 3));
    story.renew(2, Reason::MaximumRequests);
    story.renew(2, Reason::MaximumRequests);
    assert_eq!((story.said(), story.started.len()), (vec![], 3));
    story.now += Duration::from_millis(100);
    story.ready(3, true);
    assert!(story.did(Action::Serve(3)) && story.drains(1, Reason::MaximumRequests));
    assert_eq!(story.started.len(), 3, "starting processes must not take all of the machine's time");
    story.exits(1, Exit::Status(0));
    assert_eq!(story.group.deadline(), Some(story.now + Duration::from_millis(1200)));
    story.after(Duration::from_millis(1200));
    assert_eq!(story.started.len(), 4);
    story.ready(4, true);
    assert!(story.drains(2, Reason::MaximumRequests));
}

#[test]
fn what_has_gone_wrong_does_not_wait_for_its_turn() {
    let mut story = Story::serving(3);
    story.renew(1, Reason::MaximumRequests);
    story.renew(2, Reason::RequestTimeout);
    story.renew(3, Reason::MaximumMemory);
    story.renew(3, Reason::DeadlockTimeout);
    assert_eq!(story.started.len(), 6);
    story.ready(4, true);
    story.ready(5, true);
    assert!(!story.drains(1, Reason::MaximumRequests), "all three are still needed");
    story.ready(6, true);
    assert!(story.drains(1, Reason::MaximumRequests) && story.drains(2, Reason::RequestTimeout));
    assert!(story.stops(3, Reason::DeadlockTimeout));
}

#[test]
fn a_successor_that_cannot_start_leaves_the_old_process_in_service() {
    let mut story = Story::serving(1);
    story.renew(1, Reason::RestartInterval);
    story.exits(2, Exit::Status(1));
    assert_eq!((story.said(), story.started.len()), (vec![(Level::Error, 322)], 2));
    story.after(Duration::from_secs(1));
    story.ready(3, false);
    assert!(story.stops(3, Reason::ScriptReload));
    story.exits(3, Exit::Status(0));
    story.after(Duration::from_secs(2));
    story.ready(4, true);
    assert!(story.drains(1, Reason::RestartInterval));
}

#[test]
fn a_process_that_leaves_by_itself_has_not_crashed() {
    let mut story = Story::serving(1);
    for process in 1..5 {
        story.renew(process, Reason::Shutdown);
        story.exits(process, Exit::Status(0));
        assert_eq!((story.said(), story.started.len() as u32), (vec![], process + 1));
        story.ready(process + 1, true);
    }
}

#[test]
fn new_code_and_a_limit_at_the_same_time() {
    let mut story = Story::serving(1);
    story.renew(1, Reason::MaximumRequests);
    story.reload(7);
    assert_eq!(story.started, [1, 2, 3]);
    story.ready(2, true);
    assert!(story.did(Action::Serve(2)), "it is of the old edition, which serves");
    story.ready(3, true);
    assert!(story.did(Action::Serve(3)));
    assert!(story.drains(1, Reason::MaximumRequests) && story.drains(2, Reason::ScriptReload));
    story.exits(1, Exit::Status(0));
    story.exits(2, Exit::Status(0));
    assert_eq!((story.said(), story.started.len()), (vec![], 3));
}

#[test]
fn sigusr1_has_a_patience_of_its_own() {
    let mut story = Story::serving(1);
    story.renew(1, Reason::EvictionSignal);
    story.ready(2, true);
    assert!(story.drains(1, Reason::EvictionSignal));
    story.after(Duration::from_secs(7));
    assert_eq!(story.actions, [Action::Stop(1, Reason::EvictionSignal)]);
}

#[test]
fn a_start_takes_no_longer_than_startup_timeout() {
    let mut story = Story::begun(1);
    story.after(Duration::from_secs(60));
    assert_eq!(story.actions, [Action::Terminate(1)]);
    story.exits(1, Exit::Signal(15));
    assert_eq!(story.said(), [(Level::Error, 327)]);
}

#[test]
fn a_process_that_does_not_listen_is_killed_and_replaced() {
    let mut story = Story::serving(1);
    story.renew(1, Reason::RequestTimeout);
    story.on(Event::Unresponsive(1));
    assert!(story.did(Action::Kill(1)) && story.started.len() == 2);
    story.exits(1, Exit::Signal(9));
    assert_eq!((story.said(), story.started.len()), (vec![], 2));
}

#[test]
fn a_group_grows_shrinks_sleeps_and_wakes() {
    let mut story = Story::serving(1);
    story.on(Event::Want(3));
    assert_eq!((story.said(), story.started.len()), (vec![(Level::Info, 338)], 3));
    story.ready(2, true);
    story.ready(3, true);
    story.on(Event::Want(2));
    assert!(story.drains(3, Reason::Idle));
    story.exits(3, Exit::Status(0));
    story.on(Event::Want(0));
    assert!(story.drains(1, Reason::Idle) && story.drains(2, Reason::Idle));
    story.exits(1, Exit::Status(0));
    story.exits(2, Exit::Status(0));
    assert!(story.group.is_empty() && story.group.deadline().is_none());
    story.on(Event::Want(1));
    assert_eq!(story.started.len(), 4);
}

#[test]
fn a_group_that_nobody_needs_yet_supersedes_older_generations_at_once() {
    let story = Story::begun(0);
    assert!(story.did(Action::Supersede) && story.started.is_empty());
}
