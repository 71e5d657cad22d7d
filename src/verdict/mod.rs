//! Questions to scripts: access control and dispatch, in any process.
//!
//! Runs in daemons and in httpd children with embedded mode. A question comes as a `Request` whose purpose
//! names the function, the answer goes back as a `Verdict`. It is the second protocol beside `wsgi`.

pub mod ask;

mod environ;
