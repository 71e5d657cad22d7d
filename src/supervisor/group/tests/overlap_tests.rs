//! Groups whose old and new processes cannot be there together.

use super::*;
use crate::script::Holder;
use crate::script::Holding;

fn story(apart: Apart) -> Story {
    let mut story = Story::new(1);
    story.group.settings.apart = apart;
    story.on(Event::Begin);
    if apart == Apart::Always {
        assert!(story.did(Action::Supersede) && story.started.is_empty());
        story.on(Event::Alone);
    }
    story.ready(1, true);
    story
}

impl Story {
    fn held(&mut self, process: ProcessId, by: Holder) {
        let holding = Holding { what: "port 9100".into(), by };
        self.on(Event::Held { process, script: "/srv/blog.py".into(), holding });
    }

    fn looks(&self) -> bool {
        self.group.waits_to_be_alone()
    }
}

#[test]
fn the_old_process_ends_before_the_new_one_loads() {
    let mut story = story(Apart::Always);
    story.reload(7);
    assert!(story.drains(1, Reason::ScriptReload) && story.started == [1]);
    story.after(Duration::from_secs(1));
    assert!(story.started == [1] && !story.looks(), "it finishes a request");
    story.exits(1, Exit::Status(0));
    assert!(story.looks());
    story.on(Event::Alone);
    assert_eq!(story.started, [1, 2]);
    story.ready(2, true);
    assert_eq!(story.said(), [(Level::Info, 320), (Level::Notice, 331)]);
    assert!(story.did(Action::Serve(2)) && story.group.deadline().is_none());
}

#[test]
fn there_is_no_old_one_to_keep() {
    let mut story = story(Apart::Always);
    story.reload(7);
    story.exits(1, Exit::Status(0));
    story.on(Event::Alone);
    story.reload(8);
    story.exits(2, Exit::Status(1));
    assert_eq!(story.said(), [(Level::Error, 322)]);
    story.after(Duration::from_secs(1));
    assert_eq!(story.started, [1, 2, 3]);
}

#[test]
fn a_renewal_ends_first_too() {
    let mut story = story(Apart::Always);
    story.renew(1, Reason::GracefulSignal);
    assert!(story.drains(1, Reason::GracefulSignal) && story.started == [1]);
    story.exits(1, Exit::Status(0));
    assert_eq!(story.started, [1, 2], "it was alone already");
    story.ready(2, true);
    story.renew(2, Reason::MaximumRequests);
    assert!(story.drains(2, Reason::MaximumRequests) && story.started == [1, 2]);
}

#[test]
fn older_processes_are_told_to_go_and_waited_for_within_bounds() {
    let mut story = Story::new(2);
    story.group.settings.apart = Apart::Always;
    story.on(Event::Begin);
    assert!(story.did(Action::Supersede) && story.looks());
    let begun = story.now;
    let mut said = Vec::new();
    while story.started.is_empty() {
        let deadline = story.group.deadline().expect("it looks again");
        assert!(deadline > story.now || story.now == begun, "the supervisor does not spin");
        story.now = deadline.max(story.now + Duration::from_millis(1));
        story.on(Event::Tick);
        said.extend(story.said());
    }
    assert_eq!(said, [(Level::Info, 330)]);
    let waited = story.now - begun;
    assert!(waited > Duration::from_secs(20) && waited < Duration::from_secs(23), "{waited:?}");
    assert_eq!(story.started, [1, 2]);
}

#[test]
fn a_group_that_is_not_wanted_looks_for_nobody() {
    let mut story = Story::new(1);
    story.group.settings.apart = Apart::Always;
    story.on(Event::Begin);
    story.on(Event::Want(0));
    assert!(!story.looks() && story.group.deadline().is_none());
    story.on(Event::Want(1));
    assert!(story.looks());
    story.on(Event::Stop);
    assert!(story.group.deadline().is_none() && story.group.is_empty());
}

#[test]
fn what_an_old_process_holds_turns_the_roll_out_round_once_and_for_all() {
    let mut story = story(Apart::WhereHeld);
    story.reload(7);
    story.held(2, Holder::OfGroup(1001));
    story.ready(2, false);
    assert!(story.stops(2, Reason::ScriptReload) && story.drains(1, Reason::ScriptReload));
    assert!(story.did(Action::RememberApart));
    assert_eq!(story.said(), [(Level::Notice, 328), (Level::Info, 334)]);
    story.exits(2, Exit::Status(0));
    assert!(story.said().is_empty() && story.started == [1, 2]);
    story.exits(1, Exit::Status(0));
    story.on(Event::Alone);
    story.ready(3, true);
    assert_eq!(story.said(), [(Level::Info, 320), (Level::Notice, 331)]);
    story.reload(8);
    assert!(story.drains(3, Reason::ScriptReload) && story.started == [1, 2, 3]);
}

#[test]
fn a_renewal_and_a_new_configuration_are_turned_round_too() {
    let mut renewed = story(Apart::WhereHeld);
    renewed.renew(1, Reason::MaximumMemory);
    renewed.held(2, Holder::Unknown);
    renewed.ready(2, false);
    assert!(renewed.drains(1, Reason::MaximumMemory) && renewed.stops(2, Reason::ScriptReload));
    renewed.exits(2, Exit::Status(0));
    renewed.exits(1, Exit::Status(0));
    renewed.on(Event::Alone);
    assert_eq!(renewed.started, [1, 2, 3]);

    let mut newer = Story::new(1);
    newer.group.settings.apart = Apart::WhereHeld;
    newer.on(Event::Begin);
    newer.held(1, Holder::OfGroup(900));
    newer.ready(1, false);
    assert_eq!(newer.said(), [(Level::Notice, 328)]);
    newer.exits(1, Exit::Status(0));
    assert!(newer.did(Action::Supersede) && newer.looks());
    newer.on(Event::Alone);
    assert_eq!(newer.started, [1, 2]);
}

#[test]
fn any_other_failure_keeps_the_old_process() {
    for (apart, by) in [
        (Apart::WhereHeld, Some(Holder::Other(77))),
        (Apart::WhereHeld, Some(Holder::Stranger)),
        (Apart::WhereHeld, None),
        (Apart::Never, Some(Holder::OfGroup(1001))),
    ] {
        let mut story = story(apart);
        story.reload(7);
        by.into_iter().for_each(|by| story.held(2, by));
        story.ready(2, false);
        assert!(story.stops(2, Reason::ScriptReload) && !story.did(Action::RememberApart));
        story.exits(2, Exit::Status(0));
        assert_eq!(story.said(), [(Level::Error, 332)]);
        assert!(
            story.group.members.iter().all(|member| member.state == MemberState::Ready),
            "{apart:?} {by:?}"
        );
    }
}

#[test]
fn a_process_that_holds_up_itself_is_replaced() {
    let mut story = story(Apart::Always);
    story.held(1, Holder::OfGroup(900));
    assert!(story.actions.is_empty(), "it may be over when it is tried again");
    story.held(1, Holder::Itself);
    assert!(story.drains(1, Reason::ScriptReload));
}

#[test]
fn an_older_process_that_is_late_is_waited_for_with_pauses() {
    let mut story = Story::new(1);
    story.group.settings.apart = Apart::Always;
    story.on(Event::Begin);
    story.on(Event::Alone);
    story.held(1, Holder::OfGroup(900));
    story.ready(1, true);
    assert!(story.stops(1, Reason::ScriptReload));
    story.exits(1, Exit::Status(0));
    assert_eq!(story.said(), [(Level::Error, 329)]);
    story.after(Duration::from_secs(1));
    assert_eq!(story.started, [1, 2]);
}
