//! A daemon: the process that runs a site. In reading order: how it starts and what its main thread does, the
//! workers, what it says of itself, the connections of httpd's children.

pub mod serve;

mod service;
mod template;

mod ending;
mod inherited;
mod loads;

mod main_thread;

mod beat;
mod signals;

mod worker;

mod connection;
mod roster;

mod heartbeat;
