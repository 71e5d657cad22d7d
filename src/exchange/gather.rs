//! Gathering a body in the httpd child before it looks for a process (`WSGIBufferedRequest`,
//! `WSGIChunkedRequest Buffered`).
//!
//! Runs in httpd children. A client that sends slowly then holds no thread of a process group, and a chunked
//! body gets a length, which many frameworks need.

use super::stock::Stock;
use crate::apache::brigade::InputFilters;
use crate::apache::log;
use crate::apache::request::RequestRec;
use crate::config::settings::{Chunked, Settings};
use crate::log::{Code, Message, wording};
use crate::request::{BodyError, BodyLength};
use std::io;

/// How many bytes are asked for at a time.
const PIECE: usize = 64 * 1024;

enum Fault {
    Client(BodyError),
    Disk(io::Error),
}

/// What of the body is to be gathered. The error is a status; of 413 nothing is logged yet.
pub fn gather(request: &RequestRec<'_>, settings: &Settings, length: BodyLength) -> Result<Stock, u16> {
    let mut stock = Stock::default();
    let most = most_to_gather(request, settings, length);
    if most == 0 {
        return Ok(stock);
    }
    match fill(&mut stock, request, most) {
        Ok(()) => Ok(stock),
        Err(Fault::Client(error)) => {
            if error.status != 413 {
                let text = format!("the request's body could not be gathered: {error}");
                log::request_message(request, &Message::new(Code::BodyNotGathered, text));
            }
            Err(if error.status == 0 { 400 } else { error.status })
        }
        Err(Fault::Disk(error)) => {
            let text = format!(
                "the request's body could not be kept in a temporary file: {}: give the disk room, or name \
                 another folder that httpd's User may write to by TMPDIR in httpd's environment",
                wording(&error)
            );
            log::request_message(request, &Message::new(Code::BodyNotStored, text));
            Err(500)
        }
    }
}

/// The largest body that is gathered here; one that turns out to be larger is passed on as it comes.
fn most_to_gather(request: &RequestRec<'_>, settings: &Settings, length: BodyLength) -> u64 {
    match length {
        BodyLength::Known(length) if length == 0 || length > settings.buffered_request() => 0,
        BodyLength::Chunked if request.is_chunked() => match settings.chunked_request() {
            Chunked::Buffered => u64::MAX,
            Chunked::Off | Chunked::On => 0,
        },
        _ => settings.buffered_request(),
    }
}

fn fill(stock: &mut Stock, request: &RequestRec<'_>, most: u64) -> Result<(), Fault> {
    let mut input = InputFilters::new(request);
    let (limit, mut length, mut piece) = (request.body_limit(), 0, Vec::new());
    while length <= most {
        let wanted = PIECE.min(stock.room());
        let read = if wanted > 0 {
            input.read(wanted, stock.memory()).map_err(Fault::Client)?
        } else {
            piece.clear();
            let read = input.read(PIECE, &mut piece).map_err(Fault::Client)?;
            stock.spill(&piece, || request.temporary_folder()).map_err(Fault::Disk)?;
            read
        };
        if read == 0 {
            stock.mark_whole(length);
            break;
        }
        length += read as u64;
        if limit.is_some_and(|limit| length > limit) {
            let reason = "it is larger than LimitRequestBody allows".to_string();
            return Err(Fault::Client(BodyError { status: 413, reason }));
        }
    }
    stock.rewind().map_err(Fault::Disk)
}
