//! What the module does when httpd calls: once at start, once in each child, and for each request.

pub mod lifecycle;

pub mod handler;
mod plan;

mod descriptors;
pub mod translate;
