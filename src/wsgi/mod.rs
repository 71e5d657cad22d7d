//! PEP 3333: running an application for a request, whoever carries it.
//!
//! Runs in daemons, called by `daemon::worker`, and in httpd children, called by `embedded`. Nothing in
//! here knows where the process stands: a request comes as a `Request`, body and answer go through `Body`
//! and `Reply`.

pub mod run;

mod environ;
mod iterable;

pub mod protocol;

mod input;
mod start_response;

mod send;

mod call;

mod response;

mod hop_by_hop;

mod chunks;
