//! What the module does when httpd calls: once at start, once in each child, and for each request.

pub mod listing;

pub mod parent;

pub mod child;
pub mod fork;
pub mod handler;

mod entry;

pub mod ask;

mod choice;
mod runner;

mod plan;

mod aside;
mod descriptors;
pub mod translate;
