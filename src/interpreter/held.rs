//! A port, a lock or a database that a script needs and another process holds, so that the script could not
//! be loaded.
//!
//! Runs in daemons, after a script's exception. `held.py` does the looking, in Python and with the rights of
//! the site. The daemon tells the supervisor, which may have the old process of the group end before the new
//! one loads.

use crate::python::error::Exception;
use crate::python::object::Result;
use crate::python::{Attached, Object};
use crate::script::{Holder, Holding};
use std::ffi::CStr;

const HELD: &str = concat!(include_str!("held.py"), "\0");

/// None where the exception is of another kind. `companions` are the other processes of the group.
pub fn find(py: Attached<'_>, exception: &Exception, companions: &[i32]) -> Option<Holding> {
    let found = look(py, exception, companions);
    found.unwrap_or_else(|_raised| {
        // Then it is as any other failure.
        drop(Exception::fetch(py));
        None
    })
}

fn look(py: Attached<'_>, exception: &Exception, companions: &[i32]) -> Result<Option<Holding>> {
    let source = CStr::from_bytes_with_nul(HELD.as_bytes()).expect("one NUL, at the end");
    let globals = Object::dict(py)?;
    Object::execute(py, source, c"<mod_wsgi_rs>", &globals)?;
    let held = globals.dict_get(py, c"held").expect("held.py defines it");
    let companions: Result<Vec<Object>> =
        companions.iter().map(|pid| Object::int(py, (*pid).into())).collect();
    let arguments =
        [exception.value.clone_ref(py), exception.traceback.clone_ref(py), Object::list(py, &companions?)?];
    let found = held.call(py, arguments)?;
    if found.is_none(py) {
        return Ok(None);
    }
    let what = found.sequence_item(py, 0)?.to_text(py)?;
    let pid = i32::try_from(found.sequence_item(py, 2)?.to_i64(py)?).unwrap_or(0);
    let by = match found.sequence_item(py, 1)?.to_text(py)?.as_str() {
        "itself" => Holder::Itself,
        "group" => Holder::OfGroup(pid),
        "other" => Holder::Other(pid),
        "stranger" => Holder::Stranger,
        _ => Holder::Unknown,
    };
    Ok(Some(Holding { what, by }))
}
