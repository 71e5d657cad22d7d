//! What WSGI has in each interpreter: the classes of its objects, interned names, and the environ's constant
//! part.
//!
//! Runs where applications run; one per interpreter, made with its `World`, which it lives in.

use super::hop_by_hop::Told;
use super::input::{self, Buffers, Input};
use super::start_response::{StartResponse, Write};
use crate::interpreter::world::{ProcessFacts, Protocol, Support, own_variables};
use crate::python::class::Class;
use crate::python::object::Result;
use crate::python::{Attached, Kept, Object};
use std::sync::Arc;

pub struct Wsgi {
    pub input: Class<Input>,
    pub start_response: Class<StartResponse>,
    pub write: Arc<Class<Write>>,
    /// Copied for every request.
    pub prototype: Kept,
    pub key_input: Kept,
    pub key_errors: Kept,
    pub key_thread_id: Kept,
    pub name_close: Kept,
    pub name_iter: Kept,
    pub name_getitem: Kept,
    pub file_wrapper: Kept,
    pub file_position: Kept,
    pub buffers: Arc<Buffers>,
    /// Which headers of a connection its scripts were told to leave alone.
    pub told: Told,
}

/// For the interpreter that the thread is attached to.
pub fn prepare(
    py: Attached<'_>,
    facts: &ProcessFacts,
    application_group: &str,
    support: &Support,
) -> Result<Box<dyn Protocol>> {
    let file_wrapper = support.function(py, c"FileWrapper");
    Ok(Box::new(Wsgi {
        input: input::define(py)?,
        start_response: Class::define(py)?,
        write: Arc::new(Class::define(py)?),
        prototype: prototype(py, facts, application_group, &file_wrapper)?.keep(),
        key_input: Object::interned(py, b"wsgi.input")?.keep(),
        key_errors: Object::interned(py, b"wsgi.errors")?.keep(),
        key_thread_id: Object::interned(py, b"mod_wsgi.thread_id")?.keep(),
        name_close: Object::interned(py, b"close")?.keep(),
        name_iter: Object::interned(py, b"__iter__")?.keep(),
        name_getitem: Object::interned(py, b"__getitem__")?.keep(),
        file_wrapper: file_wrapper.keep(),
        file_position: support.function(py, c"file_position").keep(),
        buffers: Arc::new(Buffers {
            view: support.function(py, c"view").keep(),
            fill: support.function(py, c"fill").keep(),
        }),
        told: Told::default(),
    }))
}

impl Protocol for Wsgi {
    fn types(&self, py: Attached<'_>) -> Vec<Object> {
        vec![self.input.object(py), self.start_response.object(py), self.write.object(py)]
    }
}

/// The part of environ that is the same for all requests of an application group.
fn prototype(
    py: Attached<'_>,
    facts: &ProcessFacts,
    application_group: &str,
    file_wrapper: &Object,
) -> Result {
    let environ = Object::dict(py)?;
    let set =
        |name: &str, value: Object| environ.dict_set(py, &Object::interned(py, name.as_bytes())?, &value);
    set("wsgi.version", Object::tuple(py, [Object::int(py, 1)?, Object::int(py, 0)?])?)?;
    set("wsgi.multithread", Object::bool(py, facts.threads > 1)?)?;
    set("wsgi.multiprocess", Object::bool(py, facts.processes > 1)?)?;
    set("wsgi.run_once", Object::bool(py, facts.run_once)?)?;
    set("wsgi.input_terminated", Object::bool(py, true)?)?;
    set("wsgi.file_wrapper", file_wrapper.clone_ref(py))?;
    for (name, value) in own_variables(py, facts, application_group)? {
        set(name, value)?;
    }
    Ok(environ)
}
