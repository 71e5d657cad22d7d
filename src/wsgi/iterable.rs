//! What the application returns: a list, a file, or any other iterable of bytes.
//!
//! Runs on the thread that serves the request. A list is sent at once, a file goes to httpd as a descriptor,
//! and each item of another iterable is on its way before the next is asked for (PEP 3333, "Buffering and
//! Streaming").

use super::call::Call;
use super::protocol::Wsgi;
use super::send::{Incomplete, push, queue};
use crate::python::error::{Exc, raise};
use crate::python::{Attached, Exception, Object, Raised};
use crate::request::FilePart;

/// All of the iterable, PEP 3333's "buffering and streaming" included.
pub fn send_all(
    py: Attached<'_>,
    wsgi: &Wsgi,
    call: &Call,
    iterable: &Object,
) -> std::result::Result<(), Incomplete> {
    if iterable.is_plain_sequence(py) {
        return send_sequence(py, call, iterable);
    }
    if iterable.is_of(py, &wsgi.file_wrapper)
        && !call.response.lock().may_have_chunks()
        && let Some(part) = file_part(py, wsgi, iterable)
    {
        return send_file(py, call, part);
    }
    let iterator = iterable.iter(py).inspect_err(|_| refuse_non_iterable(py, wsgi, iterable))?;
    while let Some(data) = iterator.next(py)? {
        queue(py, call, &data)?;
        push(py, call)?;
        if call.response.lock().is_exceeded() {
            break;
        }
    }
    Ok(())
}

/// What `wsgi.file_wrapper` holds, from where it stands to its end, if that is a regular file. A file
/// object that refuses a question is iterated instead.
fn file_part(py: Attached<'_>, wsgi: &Wsgi, wrapper: &Object) -> Option<FilePart> {
    let answer = wsgi.file_position.call(py, [wrapper.clone_ref(py)]);
    let answer = answer.unwrap_or_else(|Raised| {
        drop(Exception::fetch(py));
        Object::none(py)
    });
    if answer.is_none(py) {
        return None;
    }
    let number = |index| answer.sequence_item(py, index).and_then(|item| item.to_i64(py)).ok();
    let descriptor = i32::try_from(number(0)?).ok()?;
    let (offset, size) = (u64::try_from(number(1)?).ok()?, u64::try_from(number(2)?).ok()?);
    Some(FilePart { descriptor, offset, length: size.saturating_sub(offset) })
}

/// The file goes to httpd as a descriptor: no byte of it passes through this process.
fn send_file(py: Attached<'_>, call: &Call, mut part: FilePart) -> std::result::Result<(), Incomplete> {
    let piece = {
        let mut response = call.response.lock();
        response.derive_content_length(usize::try_from(part.length).unwrap_or(usize::MAX));
        response.piece(usize::try_from(part.length).unwrap_or(usize::MAX))
    };
    let Some(piece) = piece else {
        return Err(raise(py, Exc::Assertion, "data was returned before start_response() was called").into());
    };
    part.length = piece.length as u64;
    let _writing = call.transaction.record().map(|record| record.tally.writing(0, part.length));
    let sent = call.transaction.with_detached(py, |reply| {
        if let Some(head) = piece.head {
            reply.head(head);
        }
        if part.length == 0 { Ok(()) } else { reply.file(&part) }
    });
    sent.unwrap_or(Ok(())).map_err(|_| Incomplete::Disconnected)
}

/// The items of a list are all there: they share a write, and a single one gives Content-Length.
fn send_sequence(py: Attached<'_>, call: &Call, sequence: &Object) -> std::result::Result<(), Incomplete> {
    if sequence.length(py)? == 1 {
        let data = sequence.sequence_item(py, 0)?;
        if data.is_bytes(py) {
            call.response.lock().derive_content_length(data.as_bytes(py)?.len());
        }
    }
    let mut index = 0;
    while index < sequence.length(py)? {
        queue(py, call, &sequence.sequence_item(py, index)?)?;
        index += 1;
    }
    Ok(())
}

/// Says it in PEP 3333's words where an object is no iterable; what its own `__iter__` raises stays.
fn refuse_non_iterable(py: Attached<'_>, wsgi: &Wsgi, iterable: &Object) {
    let exception = Exception::fetch(py);
    let has = |name| iterable.optional_attribute(py, name).is_some();
    if has(&wsgi.name_iter) || has(&wsgi.name_getitem) {
        exception.restore(py);
        return;
    }
    let what = match iterable.is_none(py) {
        true => "None".to_string(),
        false => format!("an object of class {}", iterable.class_name(py)),
    };
    let text = format!("the application returned {what}; it must return an iterable of bytes (PEP 3333)");
    raise(py, Exc::Type, &text);
}
