//! From a target to what runs it: a process group's client, or the Python in this child.
//!
//! Runs in httpd children, for requests (`handler`) and for questions to scripts (`ask`).

use crate::apache::RequestRec;
use crate::apache::log;
use crate::config::process_group::ProcessGroup;
use crate::exchange::Runner;
use crate::log::{Code, Message};
use crate::process::{CHILD, Child};
use crate::site::owner;
use crate::target::Target;
use std::borrow::Cow;
use std::path::Path;

/// A request that is answered by httpd itself, and why.
pub struct HttpError {
    pub status: u16,
    /// None where httpd has logged the reason.
    pub message: Option<Message>,
}

impl HttpError {
    pub fn new(status: u16, message: Message) -> HttpError {
        HttpError { status, message: Some(message) }
    }
}

/// This child, once it is prepared; that it is not goes to the log.
pub fn child(request: &RequestRec<'_>) -> Option<&'static Child> {
    let child = CHILD.get();
    if child.is_none() {
        let text = "this httpd child could not be prepared (the reason is in the main error log)";
        log::request_message(request, &Message::new(Code::ChildNotPrepared, text));
    }
    child
}

/// What runs the target, and where that finds the script.
pub fn find<'t>(child: &'static Child, target: &'t Target) -> Result<(Runner, Cow<'t, Path>), HttpError> {
    let script = Path::new(&target.script);
    let Some(group) = target.group else { return Ok((Runner::Here(&child.embedded), script.into())) };
    let defined = &child.configuration.global.groups.groups()[group];
    owner::check(script, defined).map_err(|why| HttpError::new(403, why))?;
    let script = defined.seen_from_inside(script).ok_or_else(|| outside(target, defined))?;
    let client = child.clients[group].as_ref().ok_or_else(|| no_threads(target))?;
    Ok((Runner::Daemon(client), script))
}

fn no_threads(target: &Target) -> HttpError {
    let text = format!(
        "the process group '{}' has no worker threads (threads=0): it executes service \
         scripts and serves no requests: choose another group, or give it threads=",
        target.process_group
    );
    HttpError::new(500, Message::new(Code::RequestGroupWithoutThreads, text))
}

fn outside(target: &Target, group: &ProcessGroup) -> HttpError {
    let text = format!(
        "the script '{}' is not below the chroot= of process group '{}' (WSGIDaemonProcess at {}): move it there, \
         and name it as httpd sees it",
        target.script, group.name, group.origin
    );
    HttpError::new(403, Message::new(Code::RequestScriptOutsideChroot, text))
}
