//! The border to httpd: every call into it goes through here, as safe functions.
//!
//! Used in the httpd parent, its children and the supervisor (which is a fork of the parent).
//! `module` is the one door through which httpd calls us.

pub mod module;
pub mod scoreboard;

pub mod auth;
pub mod process;
pub mod regex;

pub mod brigade;
pub mod log;
pub mod turns;

mod ssl;

pub mod request;

pub mod define;
pub mod tree;

pub mod accounts;
pub mod server;

mod vector;

mod index;
mod magic;
mod table;

pub use request::RequestRec;
pub use server::Server;
