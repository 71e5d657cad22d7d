//! What httpd's logs can say of a request's way: notes for `LogFormat`, and a line at level debug.
//!
//! Runs in httpd children, once for each request that was run.

use crate::apache::RequestRec;
use crate::apache::log;
use crate::log::Level;
use crate::request::{Request, Run};
use std::fmt::Write;

/// `%{wsgi-queue-us}n` and the like in a `LogFormat`, and the line of `LogLevel wsgi:debug`. `group` is empty for
/// embedded mode.
pub fn tell(request: &RequestRec<'_>, group: &str, wsgi: &Request<'_>, run: Run) {
    let names =
        [c"wsgi-process-group", c"wsgi-pid", c"wsgi-queue-us", c"wsgi-connect-us", c"wsgi-application-us"];
    let mut values = String::with_capacity(group.len() + 48);
    let Run { pid, queue, connect, application } = run;
    let written = write!(values, "{group}\0{pid}\0{queue}\0{connect}\0{application}");
    if written.is_ok() {
        request.notes(names, values.as_bytes());
    }
    if log::shows(request, Level::Debug) {
        let place = |name: &[u8], none: &str| match name {
            [] => none.to_string(),
            name => format!("'{}'", String::from_utf8_lossy(name)),
        };
        let line = format!(
            "{} {} ran in process group {}, process {}, interpreter {}, script '{}': queue {} us (connect {} us), application \
             {} us",
            String::from_utf8_lossy(request.method()),
            String::from_utf8_lossy(request.uri()),
            place(group.as_bytes(), "%{GLOBAL}"),
            run.pid,
            place(wsgi.application_group, "%{GLOBAL}"),
            String::from_utf8_lossy(wsgi.script),
            run.queue,
            run.connect,
            run.application
        );
        log::request(request, Level::Debug, line.as_bytes());
    }
}
