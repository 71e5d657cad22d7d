//! The registry of listeners as bytes, for httpd to keep while it unloads and loads its modules.
//!
//! Part of `control::listener`, in the httpd parent. The descriptors stay open under their numbers; all else
//! is written out, since the module that reads it may be another build at another place in memory.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::socket::{Listener, ListenerKey};
use crate::control::group_page::GroupPage;
use crate::control::secret::Secret;
use crate::os;
use crate::wire::codec::{Decoder, Encoder, Malformed};

/// First in what is kept across a restart; another number when the form of the rest changes.
pub const FORM: u32 = 4;

/// Leaves the descriptors open under their numbers.
pub fn encode(next_id: u32, listeners: Vec<Listener>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out);
    encoder.u32(FORM);
    encoder.u32(next_id);
    encoder.u32(listeners.len() as u32);
    for listener in listeners {
        encoder.bytes(listener.key.group.as_bytes());
        encoder.bytes(listener.key.prefix.as_os_str().as_bytes());
        encoder.u32(listener.key.backlog);
        encoder.i64(listener.key.owner.map_or(-1, i64::from));
        encoder.bytes(listener.key.runs_as.as_bytes());
        encoder.bytes(listener.key.version.as_bytes());
        encoder.bytes(listener.path.as_os_str().as_bytes());
        encoder.bytes(listener.secret.bytes());
        let page = listener.page.fd().try_clone_to_owned().map_or(-1, IntoRawFd::into_raw_fd);
        encoder.i64(i64::from(page));
        encoder.i64(i64::from(listener.place.into_raw_fd()));
        encoder.i64(i64::from(listener.socket.into_raw_fd()));
    }
    out
}

/// The next id and the listeners, whose descriptors are taken back: once. An error where a module of another
/// form has written them.
pub fn decode(retained: &[u8]) -> Result<(u32, Vec<Listener>), Malformed> {
    let (next_id, records) = read(retained)?;
    let mut listeners = Vec::new();
    for Record { key, path, secret, page, place, socket } in records {
        let page = adopt(page).and_then(|fd| GroupPage::from_fd(fd).ok());
        match (adopt(place), adopt(socket), page) {
            (Some(place), Some(socket), Some(page)) => {
                listeners.push(Listener { key, path, place, socket, secret, page: Arc::new(page) });
            }
            // Made by a build with another group page: no process would ever remove the file.
            _ => drop(fs::remove_file(path)),
        }
    }
    Ok((next_id, listeners))
}

/// A listener as it is written; its descriptors are numbers.
pub struct Record {
    key: ListenerKey,
    path: PathBuf,
    secret: Secret,
    page: i32,
    place: i32,
    socket: i32,
}

/// All of it is read before any of it is acted upon.
pub fn read(retained: &[u8]) -> Result<(u32, Vec<Record>), Malformed> {
    let mut decoder = Decoder::new(retained);
    if decoder.u32()? != FORM {
        return Err(Malformed);
    }
    Ok((decoder.u32()?, decoder.list(record)?))
}

fn record(decoder: &mut Decoder<'_>) -> Result<Record, Malformed> {
    let key = ListenerKey {
        group: decoder.string()?,
        prefix: path(decoder.bytes()?),
        backlog: decoder.u32()?,
        owner: u32::try_from(decoder.i64()?).ok(),
        runs_as: decoder.string()?,
        version: decoder.string()?,
    };
    let path = path(decoder.bytes()?);
    let secret = Secret::from_bytes(decoder.bytes()?).ok_or(Malformed)?;
    let mut number = || i32::try_from(decoder.i64()?).map_err(|_| Malformed);
    Ok(Record { key, path, secret, page: number()?, place: number()?, socket: number()? })
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

fn adopt(number: i32) -> Option<OwnedFd> {
    os::adopt_descriptor(number).ok()
}
