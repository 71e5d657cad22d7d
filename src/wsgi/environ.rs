//! The `environ` dictionary of a request.
//!
//! Runs where applications run; called by `run`. The constant part is copied from the prototype of the
//! application group; the rest comes as bytes from httpd and becomes Latin-1 text, as PEP 3333 has it.

use super::protocol::Wsgi;
use crate::interpreter::world::World;
use crate::python::object::Result;
use crate::python::{Attached, Object};
use crate::request::Environ;
use std::time::{SystemTime, UNIX_EPOCH};

/// Everything but `wsgi.input` and `wsgi.errors`.
pub fn build(py: Attached<'_>, world: &World, wsgi: &Wsgi, variables: Environ<'_>) -> Result {
    let environ = wsgi.prototype.dict_copy(py)?;
    for (name, value) in variables {
        environ.dict_set(py, &world.name(py, name)?, &convert(py, name, value)?)?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = world.name(py, b"mod_wsgi.application_start")?;
    environ.dict_set(py, &name, &Object::float(py, now.as_secs_f64())?)?;
    Ok(environ)
}

fn convert(py: Attached<'_>, name: &[u8], value: &[u8]) -> Result {
    match name {
        b"DOCUMENT_ROOT" | b"SCRIPT_FILENAME" => Object::filesystem(py, value),
        b"mod_wsgi.request_start" | b"mod_wsgi.queue_start" | b"mod_wsgi.daemon_start" => {
            let microseconds: u64 =
                std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
            Object::float(py, microseconds as f64 / 1e6)
        }
        _ => Object::latin1(py, value),
    }
}
