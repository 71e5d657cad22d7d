//! The client's body on its way to the application: first the part that the child holds, then the rest as it
//! comes.
//!
//! Runs in httpd children; `answer` reads it when the application asks. While the child waits for a daemon
//! it takes what the client sends as it comes, up to a bound. mod_reqtimeout times the client from the first
//! look at its body on, even while only the application takes its time.

use super::stock::Stock;
use crate::apache::RequestRec;
use crate::apache::brigade::InputFilters;
use crate::client::Beside;
use crate::log::wording;
use crate::request::{BodyError, BodyLength};
use std::io;
use std::os::fd::BorrowedFd;

/// A body up to this size travels with the request if it has arrived.
const TRAVELLING: usize = 64 * 1024;

pub struct ClientBody<'a, 'r> {
    request: &'a RequestRec<'r>,
    input: InputFilters<'a, 'r>,
    stock: Stock,
    /// There may be more in httpd's filters that no look at the client's socket would show.
    filtered: bool,
}

impl<'a, 'r> ClientBody<'a, 'r> {
    /// `stock` is what was gathered.
    pub fn new(request: &'a RequestRec<'r>, length: BodyLength, stock: Stock) -> Self {
        let mut input = InputFilters::new(request);
        if length == BodyLength::Known(0) || stock.whole().is_some() {
            input.end();
        }
        ClientBody { request, input, stock, filtered: false }
    }

    /// What of it travels with the request.
    pub fn first(&mut self, length: BodyLength) -> Vec<u8> {
        let mut first = Vec::new();
        let small = matches!(length, BodyLength::Known(length) if length > 0 && length <= TRAVELLING as u64);
        if !self.stock.is_empty() || (small && !self.request.expects_continue()) {
            // A body that breaks here breaks again when the application reads it.
            let _ = self.read_ready(TRAVELLING, &mut first);
        }
        first
    }

    /// Appends what is here already, up to `most` bytes in all. Bytes that came before a break count.
    pub fn read_ready(&mut self, most: usize, into: &mut Vec<u8>) -> Result<(), BodyError> {
        let start = into.len();
        if !self.stock.is_empty() {
            self.stock.take(most, into).map_err(|error| lost(&error))?;
        }
        let taken = into.len() - start;
        if taken == most || !self.stock.is_empty() {
            return Ok(());
        }
        let read = self.input.read_ready(most - taken, into);
        self.filtered = into.len() - start == most;
        if taken > 0 { Ok(()) } else { read }
    }

    /// Appends between 1 and `most` bytes, waiting for the client; 0 at the end. For when nothing is here.
    pub fn read(&mut self, most: usize, into: &mut Vec<u8>) -> Result<usize, BodyError> {
        self.filtered = true;
        self.input.read(most, into)
    }

    /// Reads what the client still has to send, and forgets it.
    pub fn discard(&mut self) -> Result<(), BodyError> {
        self.input.discard()
    }

    /// Takes what an earlier read has left in httpd's filters.
    pub fn read_on(&mut self) {
        if self.filtered && self.room() > 0 {
            self.take();
        }
    }

    /// How much may be taken before the application asks.
    fn room(&self) -> usize {
        // Who waits to be told to send the body is told when the application asks for it.
        if self.input.is_over() || self.request.expects_continue() { 0 } else { self.stock.room() }
    }
}

impl Beside for ClientBody<'_, '_> {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        if self.room() > 0 { self.request.client_descriptor() } else { None }
    }

    fn take(&mut self) -> bool {
        let (room, before) = (self.room(), self.stock.memory().len());
        // What fails now fails when the application asks.
        let _ = self.input.read_ready(room, self.stock.memory());
        let taken = self.stock.memory().len() - before;
        self.filtered = taken == room;
        taken > 0 || self.input.is_over()
    }
}

fn lost(error: &io::Error) -> BodyError {
    BodyError { status: 500, reason: format!("what httpd held of it could not be read: {}", wording(error)) }
}
