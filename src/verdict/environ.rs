//! The `environ` dictionary of a question, and the variables of mod_ssl that go with it.
//!
//! Runs where scripts run; called by `ask`. Both come as one list of variables from httpd's child, which marks
//! those of mod_ssl by a prefix.

use crate::interpreter::world::{World, version_tuple};
use crate::python::object::Result;
use crate::python::{Attached, Object};
use crate::question::SSL_VARIABLE;
use crate::request::Environ;

/// Everything but `wsgi.errors`, and the variables of mod_ssl.
pub fn build(py: Attached<'_>, world: &World, variables: Environ<'_>) -> Result<(Object, Object)> {
    let (environ, ssl) = (Object::dict(py)?, Object::dict(py)?);
    for (name, value) in variables {
        match name.strip_prefix(SSL_VARIABLE) {
            Some(name) => ssl.dict_set(py, &Object::latin1(py, name)?, &Object::latin1(py, value)?)?,
            None => environ.dict_set(py, &world.name(py, name)?, &convert(py, name, value)?)?,
        }
    }
    environ.dict_set(py, &world.name(py, b"mod_wsgi.version")?, &version_tuple(py)?)?;
    Ok((environ, ssl))
}

fn convert(py: Attached<'_>, name: &[u8], value: &[u8]) -> Result {
    match name {
        b"DOCUMENT_ROOT" | b"SCRIPT_FILENAME" => Object::filesystem(py, value),
        b"mod_wsgi.process_group" | b"mod_wsgi.application_group" => {
            Object::text(py, &String::from_utf8_lossy(value))
        }
        b"apache.version" => {
            let mut numbers = value.split(|byte| *byte == b'.').map(|number| {
                let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
                Object::int(py, number.unwrap_or(0))
            });
            let mut next = || numbers.next().unwrap_or_else(|| Object::int(py, 0));
            Object::tuple(py, [next()?, next()?, next()?])
        }
        _ => Object::latin1(py, value),
    }
}
