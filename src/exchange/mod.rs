//! Between httpd's request record and the process that runs the application: the environ out, the answer in.
//!
//! Runs in httpd children. `environ` makes what the application gets to see; `gather` may take the body
//! beforehand. `run` sends the request to its process group and has `relay` pass the answer on, or has `here`
//! run it in this process. Both drive an `answer`, which reads the `body`. `ask` puts a question to a script.

mod question;

mod here;
mod relay;

mod environ;
mod gather;
mod ssl_variables;

pub mod proxy;

pub mod hops;

mod told;

pub mod answer;

mod body;

mod stock;

pub use environ::{RecordFacts, environ, environ_of_question};
pub use gather::gather;
pub use stock::Stock;

use crate::apache::RequestRec;
use crate::apache::log;
use crate::apache::module::Flow;
use crate::client::Client;
use crate::config::settings::Settings;
use crate::embedded::Embedded;
use crate::log::Message;
use crate::question::Verdict;
use crate::request::Request;
use answer::Answer;
use body::ClientBody;

/// Who runs the application.
pub enum Runner {
    /// A process of its group.
    Daemon(&'static Client),
    /// This very process.
    Here(&'static Embedded),
}

/// Has the application run and gives its answer to the client. `stock` is what was gathered of its body.
pub fn run(
    request: &RequestRec<'_>,
    stock: Stock,
    runner: Runner,
    wsgi: &Request<'_>,
    settings: &Settings,
) -> Flow {
    match runner {
        Runner::Daemon(client) => run_in_daemon(request, stock, client, wsgi, settings),
        Runner::Here(python) => here::run(request, stock, python, wsgi, settings),
    }
}

/// Asks a script. Without a verdict the reason is the message, or in the log already.
pub fn ask(
    request: &RequestRec<'_>,
    runner: Runner,
    question: &Request<'_>,
) -> Result<Verdict, Option<Message>> {
    let said = match runner {
        Runner::Daemon(client) => question::ask_daemon(request, client, question)?,
        Runner::Here(python) => here::ask(request, python, question)?,
    };
    question::checked(question, said)
}

fn run_in_daemon(
    request: &RequestRec<'_>,
    stock: Stock,
    client: &Client,
    wsgi: &Request<'_>,
    settings: &Settings,
) -> Flow {
    let mut body = ClientBody::new(request, wsgi.body, stock);
    let first = body.first(wsgi.body);
    match client.open(wsgi, &first, &mut body) {
        Ok(conversation) => {
            drop(first);
            let answer = Answer::new(request, body, settings, &client.group.response);
            relay::relay(answer, conversation, wsgi)
        }
        Err(trouble) => {
            let (status, message) = relay::describe(&trouble, &client.group.name);
            log::request_message(request, &message);
            Flow::Status(status)
        }
    }
}
