//! The `environ` dictionary of a question, and the variables of mod_ssl that go with it.
//!
//! Runs where scripts run; called by `ask`. Both come as one list of variables from httpd's child, which marks
//! those of mod_ssl by a prefix.

use crate::interpreter::world::World;
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
    // Whatever SetEnv says.
    for (name, value) in &world.own_variables {
        environ.dict_set(py, name, value)?;
    }
    Ok((environ, ssl))
}

fn convert(py: Attached<'_>, name: &[u8], value: &[u8]) -> Result {
    match name {
        b"DOCUMENT_ROOT" | b"SCRIPT_FILENAME" => Object::filesystem(py, value),
        _ => Object::latin1(py, value),
    }
}
