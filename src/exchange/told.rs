//! What httpd's logs can say of a request's way: notes for `LogFormat`, and a line at level debug.
//!
//! Runs in httpd children, once for each request that was run.

use crate::apache::RequestRec;
use crate::apache::log;
use crate::log::Level;
use crate::request::{Request, Run};

/// `%{wsgi-queue-us}n` and the like in a `LogFormat`, and the line of `LogLevel wsgi:debug`. `group` is empty for
/// embedded mode.
pub fn tell(request: &RequestRec<'_>, group: &str, wsgi: &Request<'_>, run: Run) {
    request.note(c"wsgi-process-group", group.as_bytes());
    let numbers = [
        (c"wsgi-pid", u64::from(run.pid)),
        (c"wsgi-queue-us", run.queue),
        (c"wsgi-connect-us", run.connect),
        (c"wsgi-application-us", run.application),
    ];
    for (name, number) in numbers {
        request.note(name, number.to_string().as_bytes());
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
