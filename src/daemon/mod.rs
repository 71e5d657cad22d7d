//! Daemon mode: the processes that run the sites, the supervisor that keeps them, and the httpd
//! child's way to them. In reading order: what a child does, what crosses, what a daemon does, how
//! daemons live.

pub mod client;

pub mod connection;
pub mod serve;
pub mod service;
pub mod template;

pub mod ending;
mod heartbeat;
pub mod loads;
mod main_thread;
pub mod roster;
pub mod signals;
pub mod worker;

pub mod activity;
pub mod control;
pub mod launch;
pub mod reason;

pub mod backoff;
pub mod board;
pub mod descriptors;
pub mod disk;
pub mod environment;
pub mod generation;
pub mod group;
pub mod interpreter;
pub mod listener;
pub mod module_file;
pub mod output;
pub mod owner;
pub mod privileges;
pub mod spawn;
pub mod status;
pub mod supervisor;
