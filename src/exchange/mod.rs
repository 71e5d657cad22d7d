//! Between httpd's request record and whoever runs the application: the environ out, the answer in.
//!
//! Runs in httpd children, called by `hooks::handler`: `environ` says what the application gets to
//! see, `run` sends the request to its process group and has `relay` pass the answer on, `run_here`
//! runs it in this process. Both drive an `answer`.

pub mod answer;
mod environ;
mod here;
mod relay;

pub use environ::{Facts, environ};
pub use here::run as run_here;

use crate::apache::Request;
use crate::apache::brigade::Input;
use crate::apache::log;
use crate::apache::module::Flow;
use crate::config::settings::Settings;
use crate::daemon::client::{Client, Trouble};
use crate::log::{Level, Message};
use crate::request::{BodyLength, Request as WsgiRequest};
use answer::Answer;

/// A body up to this size travels with the request if it has arrived.
const TRAVELLING_BODY: u64 = 64 * 1024;

/// Sends the request to its process group and the answer to the client.
pub fn run(request: &Request<'_>, client: &Client, wsgi: &WsgiRequest<'_>, settings: &Settings) -> Flow {
    let mut input = Input::new(request);
    let mut first = Vec::new();
    let travels = matches!(wsgi.body, BodyLength::Known(length) if length > 0 && length <= TRAVELLING_BODY);
    if travels && !request.expects_continue() {
        // A body that breaks here breaks again when the application reads it.
        let _ = input.read_ready(TRAVELLING_BODY as usize, &mut first);
    }
    match client.open(wsgi, &first) {
        Ok(conversation) => {
            relay::relay(Answer::new(request, input, settings, &client.response), conversation)
        }
        Err(trouble) => {
            let (status, message) = describe(&trouble, &client.group);
            log::request(request, Level::Error, message.to_string().as_bytes());
            Flow::Status(status)
        }
    }
}

fn describe(trouble: &Trouble, group: &str) -> (u16, Message) {
    match trouble {
        Trouble::Unavailable(text) => (503, Message::new(231, text.clone())),
        Trouble::TimedOut(text) => (504, Message::new(232, text.clone())),
        Trouble::Queued(text) => (504, Message::new(225, text.clone())),
        Trouble::Died => {
            let text = format!(
                "the process of group '{group}' that ran the request ended before the answer was complete; the \
                 reason is in the error log of the group's virtual host"
            );
            (502, Message::new(233, text))
        }
    }
}
