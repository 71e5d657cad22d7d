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
    let names =
        [c"wsgi-process-group", c"wsgi-pid", c"wsgi-queue-us", c"wsgi-connect-us", c"wsgi-application-us"];
    let mut values = Vec::with_capacity(group.len() + 48);
    values.extend_from_slice(group.as_bytes());
    for number in [u64::from(run.pid), run.queue, run.connect, run.application] {
        values.push(0);
        append_number(&mut values, number);
    }
    request.notes(names, &values);
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

/// With decimal digits: for each request, for which `format!` is slow.
fn append_number(values: &mut Vec<u8>, mut number: u64) {
    let start = values.len();
    loop {
        values.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    values[start..].reverse();
}

#[cfg(test)]
mod tests {
    use super::append_number;

    #[test]
    fn numbers_are_written_as_format_does() {
        for number in [0, 7, 10, 4_294_967_296, u64::MAX] {
            let mut values = b"x".to_vec();
            append_number(&mut values, number);
            assert_eq!(values, format!("x{number}").into_bytes());
        }
    }
}
