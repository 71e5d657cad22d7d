//! What `supervisor::group` says: the texts and numbers of a group's life.
//!
//! Used in the supervisor, by the other files of the group; `Group::record` puts the group's name and
//! place before all of them.

use std::time::{Duration, Instant};

use super::member::{Member, MemberState};
use crate::control::reason::Reason;
use crate::log::{Code, Level, Message};
use crate::os::Exit;
use crate::script::{Holder, Holding};

pub fn ready(member: &Member, is: &str, now: Instant) -> Message {
    let took = now.saturating_duration_since(member.started).as_millis();
    Message::new(Code::DaemonReady, format!("process {} is ready in {took} ms ({is})", member.pid))
}

/// `failure` is why there could be none: crashes after the start are no news once they stop.
pub fn recovered(failure: &Message) -> Message {
    let message = Message::new(Code::GroupRecovered, "processes can be started again");
    if failure.code == Code::CrashLoop { message.at(Level::Info) } else { message }
}

/// A process that ended without saying why.
pub fn exited_early(exit: Exit, output: &str) -> Message {
    let output = match output.trim() {
        "" => "it wrote nothing; run its Python by hand, as its user, to see more".to_owned(),
        output => format!("the last it wrote: {}", output.replace('\n', " | ")),
    };
    Message::new(Code::EndedBeforeReady, format!("the process {exit} before it was ready; {output}"))
}

/// A reason that was not given before.
pub fn cannot_start(reason: &Message) -> Message {
    let text = format!(
        "no process can be started: {}; attempts go on, after pauses that grow to 30 s, without further errors \
         while the reason is the same",
        reason.text
    );
    Message::new(reason.code, text).at(Level::Error)
}

pub fn still_cannot_start(reason: &Message, pause: Duration) -> Message {
    let text = format!("still no process can be started; next attempt in {} s", pause.as_secs());
    Message::new(reason.code, text).at(Level::Info)
}

/// A process may end by itself with status 0, for instance because a script calls `sys.exit`.
pub fn crashed(member: &Member, exit: Exit) -> Message {
    let text = format!(
        "process {} {exit} without being told to; only the requests it was working on are lost, another \
         process takes its place",
        member.pid
    );
    let message = Message::new(Code::ProcessCrashed, text);
    if exit == Exit::Status(0) { message.at(Level::Notice) } else { message }
}

pub fn drained_badly(member: &Member, exit: Exit) -> Message {
    let text = format!(
        "process {} {exit} while it was finishing its requests before its end; those it still had are lost",
        member.pid
    );
    Message::new(Code::CrashedAtItsEnd, text)
}

pub fn crash_loop(exit: Exit) -> Message {
    let text = format!(
        "processes end within a second after they are ready, several in a row; the last one {exit}; look for \
         the cause in its own output above and in the code that runs right after the start"
    );
    Message::new(Code::CrashLoop, text)
}

pub fn killed(member: &Member) -> Message {
    let text = match member.state {
        MemberState::Stopping => {
            format!("process {} did not end within shutdown-timeout and was killed", member.pid)
        }
        _ => format!("process {} was killed", member.pid),
    };
    Message::new(Code::ProcessKilled, text)
}

/// A limit that is reached in the ordinary course of things is information only.
pub fn leaving(member: &Member, reason: Reason, apart: bool) -> Message {
    let text = format!(
        "process {} is replaced because of {}; {}",
        member.pid,
        reason.cause(),
        match apart {
            true => "it finishes what it has and ends, then its successor starts (overlap)",
            false => "it serves until its successor is ready, and finishes what it has",
        }
    );
    let message = Message::new(Code::ProcessReplaced, text);
    if reason.is_urgent() { message.at(Level::Notice) } else { message }
}

pub fn unresponsive(member: &Member) -> Message {
    let text = format!(
        "process {} does not do as it is told, as when it is suspended (SIGSTOP), and was killed; only the \
         requests it was working on are lost",
        member.pid
    );
    Message::new(Code::ProcessUnresponsive, text)
}

pub fn starts_too_slowly(patience: Duration) -> Message {
    let text = format!(
        "the process was not ready within startup-timeout ({} s); look for what its scripts wait for when they \
         are imported, or raise the timeout",
        patience.as_secs_f64()
    );
    Message::new(Code::StartupTimeout, text)
}

pub fn wanted(before: usize, now: usize) -> Message {
    let text = match (before, now) {
        (0, _) => "a request has come, processes are started".to_owned(),
        (_, 0) => "no request for idle-timeout, its processes end until the next one comes".to_owned(),
        _ if now > before => format!("all threads are busy, {now} processes instead of {before}"),
        _ => format!("{now} processes are enough, instead of {before}"),
    };
    Message::new(Code::ProcessesWanted, text)
}

pub fn rolled_out(path: &str, processes: usize, apart: bool, took: Duration) -> Message {
    let took = took.as_millis();
    let text = format!(
        "{path} changed: {processes} new {} ready in {took} ms, {}",
        if processes == 1 { "process is" } else { "processes are" },
        match apart {
            true => "in which the old ended first (overlap) and requests waited",
            false => "the old finish their requests and end",
        }
    );
    Message::new(Code::RolledOut, text)
}

pub fn not_rolled_out(path: &str, reason: &Message) -> Message {
    let text = format!(
        "{path} changed, but a process with the new code failed: {}; the processes with the old code keep serving \
         until the file changes again",
        reason.text
    );
    Message::new(Code::NotRolledOut, text)
}

pub fn not_loaded() -> Message {
    let text = "a script could not be loaded, the reason is in the log above; processes that have it loaded \
                keep serving";
    Message::new(Code::ScriptNotLoaded, text)
}

/// The script's new process makes room for its old one's end.
pub fn goes_apart(script: &str, holding: &Holding) -> Message {
    let text = format!(
        "the script {script} could not be loaded in a new process, since {}; so the old process ends first now, \
         requests wait, and then a new one loads it. That is how processes are replaced from now on (overlap=Auto); \
         overlap=Off says so from the start",
        held_by(holding)
    );
    Message::new(Code::OverlapFound, text)
}

pub fn held(script: &str, holding: &Holding, apart: bool) -> Message {
    let cure = match holding.by {
        Holder::Itself => "the process is replaced",
        Holder::Other(_) | Holder::Stranger => "end that process, or have the script use something else",
        Holder::OfGroup(_) | Holder::Unknown if apart => "it is tried again",
        Holder::OfGroup(_) | Holder::Unknown => {
            "with overlap=Off of WSGIDaemonProcess old processes end before new ones load; two processes of one \
             group cannot have it together in any case"
        }
    };
    let text = format!("the script {script} could not be loaded, since {}; {cure}", held_by(holding));
    Message::new(Code::ScriptHeld, text)
}

pub fn waits_for_older() -> Message {
    let text = "the processes of the old configuration finish their requests and end, then new ones start (overlap); \
                requests wait meanwhile";
    Message::new(Code::WaitsForOlder, text)
}

fn held_by(holding: &Holding) -> String {
    let by = match holding.by {
        Holder::Unknown => ", by another process".to_owned(),
        Holder::Itself => ", by an earlier attempt in the same process".to_owned(),
        Holder::OfGroup(pid) => format!(", by process {pid}, an old one of this group"),
        Holder::Other(pid) => format!(", by process {pid}, which is none of this group"),
        Holder::Stranger => ", by a process of another user".to_owned(),
    };
    format!("it needs what is held{by}: {}", holding.what)
}
