//! What the module does when httpd calls: once at start, once in each child, and for each request.

mod descriptors;
pub mod handler;
pub mod lifecycle;
mod plan;
pub mod translate;
