//! PEP 3333: running an application for a request, whoever carries it.
//!
//! Runs in daemons, called by `daemon::worker`, and in httpd children, called by `embedded`. Nothing in
//! here knows where the process stands: a request comes as a `Request`, body and answer go through `Body`
//! and `Reply`.

pub mod chunks;
pub mod environ;
pub mod held;
pub mod hop_by_hop;
pub mod input;
pub mod interpreters;
pub mod log_stream;
pub mod preload;
mod refused_signals;
pub mod response;
pub mod run;
pub mod scoreboard;
pub mod script;
pub mod send;
pub mod service;
pub mod start_response;
pub mod transaction;
pub mod world;
