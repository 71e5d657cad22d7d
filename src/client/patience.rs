//! Waiting for a daemon that does not answer at once, and noticing when it is gone.
//!
//! Runs in httpd children. When a process is killed, its connection stays open as long as any copy of the
//! process's end does, and the application may have forked some: the child would hear nothing until
//! socket-timeout. So a child that has waited for a while looks, less and less often, whether the process
//! still has its slot on the group page. A request that is answered sooner costs no look and no system call.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use super::beside::{self, Beside, left_until};
use super::state::{Channel, Client};
use crate::os;

/// The first look, and the longest pause between two.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Ready,
    InVain,
    /// The process has ended; what it sent before can be received.
    Gone,
}

impl Client {
    /// The time-out of the socket itself, after which `receive_patiently` looks.
    pub(super) fn first_look(&self) -> Duration {
        FIRST_LOOK.min(self.socket_timeout)
    }

    /// What has come, 0 bytes at the end of the connection or when its process has gone.
    pub(super) fn receive_patiently(
        &self,
        channel: &mut Channel,
        beside: &mut dyn Beside,
    ) -> io::Result<usize> {
        let mut left = self.socket_timeout;
        if beside.descriptor().is_none() {
            match channel.receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => left -= self.first_look(),
                received => return received,
            }
        }
        let readable = |left| beside::readable(channel.fd(), left, beside);
        let waited = self.await_until(channel, Instant::now() + left, readable)?;
        match channel.receive_now()? {
            Some(received) => Ok(received),
            None if waited == Waited::Gone => Ok(0),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Sends all of it, as long as the process takes some before `end`, or within socket-timeout each time.
    pub(super) fn send_all(
        &self,
        channel: &Channel,
        parts: &mut [IoSlice<'_>],
        end: Option<Instant>,
    ) -> io::Result<()> {
        os::send_all_waiting(channel.fd(), parts, || {
            let end = end.unwrap_or_else(|| Instant::now() + self.socket_timeout);
            let writable = |left| os::writable(channel.fd(), Some(left));
            match self.await_until(channel, end, writable)? {
                Waited::Ready => Ok(()),
                Waited::InVain => Err(io::ErrorKind::WouldBlock.into()),
                Waited::Gone => Err(io::ErrorKind::BrokenPipe.into()),
            }
        })
    }

    pub(super) fn await_until(
        &self,
        channel: &Channel,
        end: Instant,
        mut ready: impl FnMut(Duration) -> io::Result<bool>,
    ) -> io::Result<Waited> {
        let mut pause = FIRST_LOOK;
        loop {
            if channel.times.is_some_and(|times| times != self.page.times(channel.slot)) {
                return Ok(Waited::Gone);
            }
            let left = left_until(end);
            if ready(left.min(pause))? {
                return Ok(Waited::Ready);
            }
            if left.is_zero() {
                return Ok(Waited::InVain);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
