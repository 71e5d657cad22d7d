//! mod_wsgi_rs

mod module;

mod hooks;

mod exchange;
mod process;
mod target;

mod daemon;

mod wsgi;

mod config;
mod request;
mod wire;

mod apache;
mod python;

mod log;
mod sys;
