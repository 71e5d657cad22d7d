//! Between httpd's request record and the process that runs the application: the environ out, the answer in.
//!
//! Runs in httpd children. `environ` makes what the application gets to see; `gather` may take the body
//! beforehand. `run` sends the request to its process group and has `relay` pass the answer on; `run_here`
//! runs it in this process. Both drive an `answer`, which reads the `body`.

mod here;
mod relay;

mod environ;
mod gather;

pub mod answer;

mod body;

mod stock;

pub use environ::{Facts, environ};
pub use gather::gather;
pub use here::run as run_here;
pub use stock::Stock;

use crate::apache::Request;
use crate::apache::log;
use crate::apache::module::Flow;
use crate::client::Client;
use crate::config::settings::Settings;
use crate::request::Request as WsgiRequest;
use answer::Answer;
use body::ClientBody;

/// Sends the request to its process group and the answer to the client. `stock` is what was gathered of its
/// body.
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
            let (status, message) = relay::describe(&trouble, &client.group);
            log::request_message(request, &message);
            Flow::Status(status)
        }
    }
}
