//! An Apache httpd module that runs Python WSGI applications, each site in processes of its own.
//!
//! This one file is loaded by two programs: by httpd as a module, and by a site's own Python as an
//! extension. It is linked against neither (`sys`). The life of a request:
//!
//! ```text
//!  httpd child                                      daemon process: the site's Python
//!  -----------                                      ---------------------------------
//!  hooks::translate   which alias, which script
//!  hooks::handler     may it run? with what
//!    settings? target: which process group,
//!    interpreter, script and callable
//!  exchange::gather   the body, where that is
//!    wanted; environ: the CGI variables
//!  client             a connection of the group,
//!    pooled or new; one frame   -- Request -->      daemon::worker  a waiting thread wakes and
//!                                                     reads the frame, not attached to Python
//!                                                   wsgi::run       environ, the application, its
//!  exchange::relay, answer                            iterable; attached to Python
//!    log lines, status and      <-- Log, Head --    daemon::connection  queues and sends frames
//!    headers, data to httpd's   <-- Data ------       for wsgi::run, detached
//!    output filters
//!    the client's body, when    <-- Want ------     wsgi::input     the application reads
//!    it is asked for            --- Body ----->
//!    complete, or cut           <-- End -------     the connection waits for its next request
//! ```
//!
//! In embedded mode there is no daemon: `exchange::here` hands the request to `embedded`, which calls the
//! very same `wsgi::run` on httpd's own thread, in the Python that it has started inside the child.
//!
//! Before all that, `hooks::parent` reads the configuration to its end, makes the sockets and has
//! `hooks::fork` fork the supervisor (`supervisor`), which executes the daemons (`spawn`,
//! `bootstrap.py`, `daemon::serve`). A daemon that is ready reports it; `supervised::reports` hears that,
//! `supervisor::group` decides what follows, and `supervisor::supervised` gives the order to serve.
//! `docs/architecture.md` tells how all these processes end, and `wire::frame` lists all frames.
//!
//! Reading order is module order: a module uses those below it, never one above, and so does a file within
//! each folder; `tests/order.rs` checks it. From the top: the doors and what httpd calls; where a request
//! goes; Python inside httpd; the three kinds of processes around daemon mode; what they share, and what the
//! disk says about a site; the application; the three borders, the only ones to call httpd, the system and
//! CPython; plain values and vocabulary; messages; the generated tables.

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;

mod module;

mod hooks;

mod exchange;
mod process;
mod target;

mod embedded;

mod client;
mod daemon;
mod supervisor;

mod spawn;

mod control;
mod site;

mod verdict;
mod wsgi;

mod interpreter;

mod apache;
mod os;
mod python;

mod config;
mod wire;

mod request;

mod question;
mod scoreboard;
mod script;

mod log;
mod sys;

/// For the examples in its documentation, one of which must not compile.
#[doc(hidden)]
pub use python::Attached;
