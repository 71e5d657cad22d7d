//! The border to CPython: every call into an interpreter goes through here, as safe functions.
//!
//! Used where applications run: in daemons, where the site's own Python loaded this library, and in httpd
//! children with embedded mode, which load it themselves (`library`). The calling thread is attached to an
//! interpreter, and shows it by an `Attached`.

pub mod extension;
pub mod library;

pub mod class;

pub mod error;

pub mod object;

pub mod attach;

pub mod lent;

mod beyond;
mod not_send;
mod raised;

mod table;

pub use attach::Attached;
pub use error::Exception;
pub use object::{Kept, Object};
pub use raised::Raised;
