//! Between httpd's request record and whoever runs the application: the environ out, the answer in.
//!
//! Runs in httpd children, called by `hooks::handler`: `environ` says what the application gets to
//! see, `gather` may take its body beforehand, `run` sends the request to its process group and has `relay` pass the
//! answer on, `run_here` runs it in this process. Both drive an `answer`, which reads the `body`.

pub mod answer;
mod body;
mod environ;
mod gather;
mod here;
mod relay;
mod stock;

pub use environ::{Facts, environ};
pub use gather::gather;
pub use here::run as run_here;
pub use stock::Stock;

use crate::apache::Request;
use crate::apache::log;
use crate::apache::module::Flow;
use crate::client::{Client, Trouble};
use crate::config::settings::Settings;
use crate::log::{Level, Message};
use crate::request::Request as WsgiRequest;
use answer::Answer;
use body::ClientBody;

/// Sends the request to its process group and the answer to the client. `stock` is what was gathered of its body.
pub fn run(
    request: &Request<'_>,
    stock: Stock,
    client: &Client,
    wsgi: &WsgiRequest<'_>,
    settings: &Settings,
) -> Flow {
    let mut body = ClientBody::new(request, wsgi.body, stock);
    let first = body.first(wsgi.body);
    match client.open(wsgi, &first, &mut body) {
        Ok(conversation) => {
            drop(first);
            relay::relay(Answer::new(request, body, settings, &client.response), conversation)
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
