//! Python as a process of a site has it, whatever protocol its requests follow: the interpreters of the
//! application groups, the scripts that are loaded there, one request's two directions, and where its output
//! goes.
//!
//! Runs in daemons, and in httpd children with embedded mode.

pub mod preload;
pub mod running;
pub mod service;

pub mod interpreters;

mod gil_turns;

pub mod script;

pub mod world;

pub mod hints;

mod fork_watch;
pub mod log_stream;
mod recorder;
mod refused_signals;

pub mod transaction;

pub mod events;

pub mod held;
pub mod metrics;
pub mod process_log;
pub mod server_metrics;
mod tally;

mod sent_later;
