//! `start_response(status, headers, exc_info=None)` and the `write` it returns.
//!
//! Runs where applications run; one instance a request, made by `run`.

use super::call::Call;
use super::hop_by_hop::Dropped;
use super::response::{check_header, check_status};
use super::send::send;
use crate::python::class::{Class, Native};
use crate::python::error::{Exc, raise};
use crate::python::object::Result;
use crate::python::{Attached, Exception, Object, Raised};
use crate::request::{EnvironBuilder, Head, LARGEST_HEAD, MOST_HEADERS};
use std::borrow::Cow;
use std::ffi::CStr;
use std::sync::Arc;

pub struct StartResponse {
    pub call: Arc<Call>,
    pub write: Arc<Class<Write>>,
}

/// The `write(data)` that `start_response` returns.
pub struct Write(Arc<Call>);

impl Native for Write {
    const NAME: &'static CStr = c"mod_wsgi.Write";
    const CALLABLE: bool = true;

    fn call(&self, py: Attached<'_>, arguments: &Object, _named: Option<&Object>) -> Result {
        if arguments.length(py)? != 1 {
            return Err(raise(py, Exc::Type, "write() takes one argument, the data"));
        }
        send(py, &self.0, &arguments.sequence_item(py, 0)?)?;
        Ok(Object::none(py))
    }
}

impl Native for StartResponse {
    const NAME: &'static CStr = c"mod_wsgi.StartResponse";
    const CALLABLE: bool = true;

    fn call(&self, py: Attached<'_>, arguments: &Object, named: Option<&Object>) -> Result {
        let [status, headers, exc_info] = parameters(py, arguments, named)?;
        let (Some(status), Some(headers)) = (status, headers) else { return Err(wrong_arguments(py)) };
        let exc_info = exc_info.filter(|info| !info.is_none(py));
        let replace = exc_info.is_some();
        self.check_order(py, exc_info.as_ref())?;
        let record = self.call.transaction.record();
        if let Some(record) = record {
            record.response_started(py, &status, &headers, exc_info)?;
        }
        let (head, content_length, dropped) = read_head(py, &status, &headers)?;
        record.inspect(|record| record.tally.answers(&head.status));
        let started = {
            let mut response = self.call.response.lock();
            let started = response.start(head, content_length, replace);
            if started && !dropped.is_empty() {
                response.leave_out(dropped);
            }
            started
        };
        if !started {
            let text = "start_response() was called again while its arguments were read";
            return Err(raise(py, Exc::Assertion, text));
        }
        self.write.instance(py, Write(Arc::clone(&self.call)))
    }
}

impl StartResponse {
    /// PEP 3333: a second call needs `exc_info`, and after the head was sent it re-raises.
    fn check_order(&self, py: Attached<'_>, exc_info: Option<&Object>) -> Result<()> {
        let (started, head_sent) = {
            let response = self.call.response.lock();
            (response.started(), response.head_sent())
        };
        let Some(exc_info) = exc_info else {
            if started {
                let text = "start_response() was called a second time without exc_info";
                return Err(raise(py, Exc::Assertion, text));
            }
            return Ok(());
        };
        if !exc_info.is_tuple(py) || exc_info.length(py)? != 3 {
            let text = "exc_info of start_response() must be the tuple that sys.exc_info() returns";
            return Err(raise(py, Exc::Type, text));
        }
        let value = exc_info.sequence_item(py, 1)?;
        if value.is_none(py) && !head_sent {
            // What sys.exc_info() gives where nothing is being handled.
            return Ok(());
        }
        if !value.is_exception(py) {
            let text =
                format!("exc_info of start_response() holds no exception but {}", value.class_name(py));
            return Err(raise(py, Exc::Type, &text));
        }
        if head_sent {
            let with_traceback = value.attribute(py, c"with_traceback")?;
            let exception = with_traceback.call(py, [exc_info.sequence_item(py, 2)?])?;
            return Err(exception.raise(py));
        }
        Ok(())
    }
}

/// The three parameters, by place or by name, and nothing else.
fn parameters(py: Attached<'_>, arguments: &Object, named: Option<&Object>) -> Result<[Option<Object>; 3]> {
    let given = arguments.length(py)?;
    let mut found = given;
    let mut parameter = |index: usize, name: &CStr| {
        if index < given {
            return arguments.sequence_item(py, index).map(Some);
        }
        let value = named.and_then(|named| named.dict_get(py, name));
        found += usize::from(value.is_some());
        Ok(value)
    };
    let parameters = [parameter(0, c"status")?, parameter(1, c"headers")?, parameter(2, c"exc_info")?];
    let passed = given + named.map_or(Ok(0), |named| named.length(py))?;
    if given > parameters.len() || found != passed { Err(wrong_arguments(py)) } else { Ok(parameters) }
}

fn wrong_arguments(py: Attached<'_>) -> Raised {
    raise(py, Exc::Type, "start_response() takes (status, headers, exc_info=None)")
}

fn read_head(py: Attached<'_>, status: &Object, headers: &Object) -> Result<(Head, Option<u64>, Dropped)> {
    let refuse = |text: String| raise(py, Exc::Value, &text);
    let status = latin1(py, status, || "status".into())?.into_owned();
    check_status(&status).map_err(refuse)?;
    if !headers.is_list(py) {
        let text = format!("headers must be a list of (name, value) tuples, not {}", headers.class_name(py));
        return Err(raise(py, Exc::Type, &text));
    }
    let count = headers.length(py)?;
    if count > MOST_HEADERS {
        return Err(refuse(format!("{count} headers; an answer may have {MOST_HEADERS}")));
    }
    let mut head = Head { status, headers: EnvironBuilder::with_capacity(64 * (count + 1)) };
    let (mut content_length, mut dropped) = (None, Dropped::default());
    let mut size = head.status.len();
    for index in 0..count {
        let pair = headers.sequence_item(py, index)?;
        if !pair.is_tuple(py) || pair.length(py)? != 2 {
            let text = format!("header {} is {}, not a (name, value) tuple", index + 1, pair.repr(py)?);
            return Err(raise(py, Exc::Type, &text));
        }
        let (name, value) = (pair.sequence_item(py, 0)?, pair.sequence_item(py, 1)?);
        let name = latin1(py, &name, || format!("the name of header {}", index + 1))?;
        let value =
            latin1(py, &value, || format!("the value of header {:?}", String::from_utf8_lossy(&name)))?;
        let length = check_header(&name, &value).map_err(refuse)?;
        size += name.len() + value.len() + 2 * size_of::<u32>();
        if size > LARGEST_HEAD {
            return Err(refuse(format!("status and headers are longer than {LARGEST_HEAD} bytes")));
        }
        if length.is_some() && content_length.is_some() && length != content_length {
            return Err(refuse("two Content-Length headers with different numbers".into()));
        }
        // The same number twice is one header.
        let again = length.is_some() && content_length.is_some();
        content_length = length.or(content_length);
        if !again && !dropped.takes(&name, &value) {
            head.headers.push(&name, &value);
        }
    }
    Ok((head, content_length, dropped))
}

/// The bytes of a native string: a `str` within Latin-1.
fn latin1<'o>(py: Attached<'_>, object: &'o Object, what: impl Fn() -> String) -> Result<Cow<'o, [u8]>> {
    if !object.is_str(py) {
        let text = format!("{} must be str, not {}", what(), object.class_name(py));
        return Err(raise(py, Exc::Type, &text));
    }
    if let Some(text) = object.as_ascii(py) {
        return Ok(Cow::Borrowed(text));
    }
    match object.to_latin1(py) {
        Ok(encoded) => Ok(Cow::Owned(encoded.as_bytes(py)?.to_vec())),
        Err(Raised) => {
            drop(Exception::fetch(py));
            let text = format!(
                "{} is {}: outside Latin-1; percent-encode it or use RFC 8187 parameters",
                what(),
                object.repr(py)?
            );
            Err(raise(py, Exc::Value, &text))
        }
    }
}
