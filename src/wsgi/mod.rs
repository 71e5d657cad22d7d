//! PEP 3333: running an application for a request, in any process.
//!
//! Runs in daemons and in httpd children with embedded mode. Nothing in here knows which of the two it is: a
//! request comes as a `Request`, body and answer go through `Body` and `Reply`.

pub mod answer_check;
pub mod run;

mod environ;
mod events;
mod iterable;

pub mod protocol;

mod input;
mod start_response;

mod send;

mod call;

pub mod response;

mod hop_by_hop;

pub mod chunks;
