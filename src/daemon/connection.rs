//! A daemon's end of a connection from an httpd child: frames in, frames out.
//!
//! Runs in daemons. `worker` owns the connections, and lends the two halves to a request's transaction. Each
//! is behind a lock of its own then: one thread of the application may write while another reads.

mod incoming;
mod outgoing;

use incoming::Incoming;
pub use incoming::Meeting;
use outgoing::Outgoing;

use crate::control::secret::Secret;
use crate::os::{self, Link};
use crate::request::Reply;
use crate::wire::frame::{self, Kind};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

pub struct Connection {
    stream: Arc<Link>,
    pub incoming: Incoming,
    pub outgoing: Outgoing,
    /// The other end has shown that it is a child of httpd.
    met: bool,
}

impl Connection {
    pub fn new(stream: UnixStream) -> Connection {
        let stream = Arc::new(Link::new(stream));
        let incoming = Incoming::new(Arc::clone(&stream));
        let outgoing = Outgoing::new(Arc::clone(&stream));
        Connection { stream, incoming, outgoing, met: false }
    }

    /// Looks whether a child of httpd is at the other end.
    pub fn meet(&mut self, secret: &Secret) -> io::Result<Meeting> {
        let meeting = self.incoming.meet(secret)?;
        self.met = meeting == Meeting::Httpd;
        Ok(meeting)
    }

    pub fn is_met(&self) -> bool {
        self.met
    }

    /// Tells the child that its connection was accepted, and by which process: its pid, and its slot, which it
    /// shares with no other as long as so many have had the slot.
    pub fn hello(&mut self, slot: u32, times: u32) -> io::Result<()> {
        let mut hello = Vec::new();
        frame::append(&mut hello, Kind::Hello, |out| {
            out.extend_from_slice(&slot.to_le_bytes());
            out.extend_from_slice(&times.to_le_bytes());
            out.extend_from_slice(&std::process::id().to_le_bytes());
        });
        os::send_all(self.stream.as_fd(), &mut [io::IoSlice::new(&hello)])
    }

    /// For the thread that may have to give the request back.
    pub fn stream(&self) -> &Arc<Link> {
        &self.stream
    }

    /// Sends the rest of an answer. An error says that the child did not take it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.outgoing.flush(&[])
    }

    /// Whether the connection can take another request: nothing is left over in either direction.
    pub fn is_clean(&self) -> bool {
        self.incoming.is_clean() && self.outgoing.is_clean()
    }

    /// Gives back what a large request needed.
    pub fn settle(&mut self) {
        self.incoming.settle();
        self.outgoing.settle();
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
