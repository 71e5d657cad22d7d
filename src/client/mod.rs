//! The httpd child's way to a process group: pooled connections, and one conversation for each request.
//!
//! Runs in httpd children. A request that no process has read is sent again, on another connection; one that
//! a process has read is never sent twice. The kernel tells the two apart: it counts what was sent and not
//! read, and a unix socket whose peer closed it with unread data reports a reset, otherwise end-of-file.

mod conversation;
mod patience;

mod trouble;

mod beside;

mod state;

mod closing;
mod deadline;
mod log_budget;

use crate::control::group_page::SLOTS;
use crate::os;
use crate::request::{Request, now};
use crate::wire::frame::{self, HEADER, Kind};
use crate::wire::request as payload;
pub use beside::Beside;
use beside::{TICK, left_until};
pub use conversation::Conversation;
use deadline::Deadline;
pub use log_budget::LogTally;
use patience::Waited;
use state::Channel;
pub use state::Client;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use trouble::Failed;
pub use trouble::Trouble;

/// Idle connections kept for a group by one child.
const MOST_POOLED: usize = 256;

/// New connections that are tried without a pause, where each one's process gives the request back.
const AT_ONCE: u32 = 10;

impl Client {
    /// Sends the request, with `first` bytes of its body, and waits until a process answers; meanwhile
    /// `beside` is seen to.
    pub fn open(
        &self,
        request: &Request<'_>,
        first: &[u8],
        beside: &mut dyn Beside,
    ) -> Result<Conversation<'_>, Trouble> {
        self.give_up_if_full()?;
        let mut meta = vec![0; HEADER];
        payload::encode_request(&mut meta, request);
        let length = meta.len() - HEADER + request.environ.0.len() + first.len();
        meta[..HEADER].copy_from_slice(&frame::header(Kind::Request, length));
        let parts = [&meta[..], request.environ.0, first];
        let (begun, asked) = (Instant::now(), now());
        let mut connecting = Duration::ZERO;
        let queue_end = self.group.queue_timeout.map(|limit| Instant::now() + limit);
        let (mut unread, mut refused_since) = (0, None::<Instant>);

        while refused_since.is_none_or(|since| since.elapsed() < self.group.connect_timeout) {
            self.give_up_if_over(queue_end)?;
            let pooled = self.pooled();
            let is_new = pooled.is_none();
            let attempt = match pooled {
                Some(mut channel) => {
                    channel.begin(request.takes_files);
                    self.submit(channel, parts, queue_end, beside)
                }
                None => self
                    .connect(queue_end, beside)
                    .map_err(Failed::Trouble)
                    .inspect(|_| connecting = begun.elapsed())
                    .map(|stream| Channel::new(stream, request.takes_files, &self.closing))
                    .and_then(|channel| self.introduce(channel, parts, queue_end, beside)),
            };
            match attempt.and_then(unless_given_back) {
                Ok(channel) => {
                    let deadline = self.longest().and_then(Deadline::after);
                    return Ok(Conversation { client: self, channel, begun, asked, connecting, deadline });
                }
                Err(Failed::Trouble(trouble)) => return Err(self.why(trouble, begun)),
                // Its process has ended or is about to: others can take it. One that only gives back is asked at
                // once a few times, and then now and then.
                Err(Failed::Unread) if unread < AT_ONCE => unread += u32::from(is_new),
                Err(Failed::Unread) => thread::sleep(TICK),
                Err(Failed::Refused) => thread::sleep(TICK),
            }
            refused_since = refused_since.or_else(|| Some(Instant::now()));
        }
        Err(Trouble::Unavailable(format!(
            "the processes of group '{}' closed every connection before they had read the request",
            self.group.name
        )))
    }

    /// An idle connection to a process that can serve at once. Where there is one process only, its
    /// threads share a queue and any connection is as good.
    fn pooled(&self) -> Option<Channel> {
        let mut pool = self.pool.lock();
        if self.group.maximum_processes == 1 {
            return pool.pop();
        }
        let free = pool.iter().rposition(|channel| {
            self.page
                .waiting(channel.slot)
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                    (waiting > 0).then(|| waiting - 1)
                })
                .is_ok()
        });
        free.map(|index| pool.swap_remove(index))
    }

    /// Threads of all its processes together.
    fn threads(&self) -> usize {
        self.group.maximum_processes as usize * self.group.threads as usize
    }

    /// How long a request may take, with the time that interrupt-timeout leaves it.
    fn longest(&self) -> Option<Duration> {
        let limits = &self.group.limits;
        limits.request.map(|limit| limit.saturating_add(limits.interrupt.unwrap_or_default()))
    }

    /// Puts a connection back. With several processes, a child can use no more connections than the group has
    /// threads, and the process of the oldest connection may have ended.
    fn keep(&self, channel: Channel) {
        let most = if self.group.maximum_processes == 1 { MOST_POOLED } else { self.threads() };
        let mut pool = self.pool.lock();
        if pool.len() >= most {
            pool.remove(0);
        }
        pool.push(channel);
    }

    fn connect(&self, queue_end: Option<Instant>, beside: &mut dyn Beside) -> Result<UnixStream, Trouble> {
        self.give_up_if_failing()?;
        let in_queue = queue_end.map(left_until).filter(|left| *left <= self.group.connect_timeout);
        let limit = in_queue.unwrap_or(self.group.connect_timeout);
        let stream = beside::in_parts(limit, beside, |part| self.reach(part)).map_err(|error| {
            if in_queue.is_some() && error.kind() == io::ErrorKind::WouldBlock {
                return self.queued();
            }
            self.cannot_connect(&error)
        })?;
        let prepared = stream
            .set_read_timeout(Some(self.first_look()))
            .and_then(|()| stream.set_write_timeout(Some(self.socket_timeout)))
            .and_then(|()| {
                self.group.send_buffer_size.map_or(Ok(()), |size| os::set_send_buffer(stream.as_fd(), size))
            })
            .and_then(|()| {
                self.group
                    .receive_buffer_size
                    .map_or(Ok(()), |size| os::set_receive_buffer(stream.as_fd(), size))
            });
        prepared.map_err(|error| self.cannot_connect(&error))?;
        Ok(stream)
    }

    /// Connects to the very file that was made: another may have its name by now, or a directory above it may
    /// be closed to this user. Only without /proc the name has to do.
    fn reach(&self, timeout: Duration) -> io::Result<UnixStream> {
        let place = self.place.as_ref().map(|place| os::descriptor_path(place.as_fd()));
        match place.map(|place| os::connect(&place, timeout)) {
            Some(reached) if !matches!(&reached, Err(error) if error.kind() == io::ErrorKind::NotFound) => {
                reached
            }
            _ => os::connect(&self.path, timeout),
        }
    }

    /// Sends on a new connection, and waits to be accepted before the answer.
    fn introduce(
        &self,
        mut channel: Channel,
        parts: [&[u8]; 3],
        queue_end: Option<Instant>,
        beside: &mut dyn Beside,
    ) -> Result<Channel, Failed> {
        let [meta, environ, first] = parts;
        self.send(&channel, [&self.secret, meta, environ, first], queue_end)?;
        let deadline = Instant::now() + self.socket_timeout;
        let tick = || queue_end.map_or(TICK, |at| left_until(at).min(TICK));
        while !beside::readable(channel.fd(), tick(), beside).map_err(|error| self.broken(&error))? {
            self.give_up_if_failing().map_err(Failed::Trouble)?;
            self.give_up_if_over(queue_end).map_err(Failed::Trouble)?;
            if Instant::now() > deadline {
                return Err(Failed::Trouble(self.not_accepted()));
            }
        }
        let mut hello = None;
        while hello.is_none() {
            self.receive(&mut channel, beside).map_err(|failed| match failed {
                Failed::Unread => Failed::Refused,
                other => other,
            })?;
            let next = channel.inbox.next().map_err(|_| Failed::Trouble(no_greeting()))?;
            hello = next.map(|(kind, bytes)| (kind, greeting(bytes)));
        }
        let Some((Kind::Hello, Some([slot, times, pid]))) = hello else {
            return Err(Failed::Trouble(no_greeting()));
        };
        // The numbers come from a process that runs the site's code.
        channel.slot = (slot as usize).min(SLOTS - 1);
        (channel.times, channel.pid) = (Some(times), pid);
        if channel.inbox.is_empty() {
            self.receive(&mut channel, beside)?;
        }
        Ok(channel)
    }

    /// Sends on a connection that a process holds already.
    fn submit(
        &self,
        mut channel: Channel,
        parts: [&[u8]; 3],
        queue_end: Option<Instant>,
        beside: &mut dyn Beside,
    ) -> Result<Channel, Failed> {
        self.send(&channel, parts, queue_end)?;
        if let Some(at) = queue_end {
            self.wait_in_queue(&channel, at, beside)?;
        }
        self.receive(&mut channel, beside)?;
        Ok(channel)
    }

    /// Waits for the answer until the time in the queue is over, which is no matter once a thread has
    /// read the request.
    fn wait_in_queue(&self, channel: &Channel, end: Instant, beside: &mut dyn Beside) -> Result<(), Failed> {
        let fd = channel.fd();
        let mut waits = || {
            let waited = self.await_until(channel, end, |left| beside::readable(fd, left, beside))?;
            Ok(waited == Waited::InVain && os::is_unread(fd)?)
        };
        match waits() {
            Ok(false) => Ok(()),
            Ok(true) => Err(Failed::Trouble(self.queued())),
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn send<const PARTS: usize>(
        &self,
        channel: &Channel,
        parts: [&[u8]; PARTS],
        queue_end: Option<Instant>,
    ) -> Result<(), Failed> {
        // A request larger than the socket's buffer is sent only as a thread reads it.
        match self.send_all(channel, &mut parts.map(IoSlice::new), queue_end) {
            Ok(()) => Ok(()),
            Err(error) if queue_end.is_some() && error.kind() == io::ErrorKind::WouldBlock => {
                Err(Failed::Trouble(self.queued()))
            }
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Waits for more from the process, as long as socket-timeout allows.
    fn receive(&self, channel: &mut Channel, beside: &mut dyn Beside) -> Result<(), Failed> {
        let received = self.receive_patiently(channel, beside);
        match received.map_err(|error| self.silent(channel.slot, &error))? {
            0 => Err(self.ended(channel)),
            _ => channel.check_files().map_err(Failed::Trouble),
        }
    }

    /// Whether the process that is gone had read the whole request; it runs no request before that. Closing
    /// the last descriptor loses unread data, and then resets the connection.
    fn ended(&self, channel: &mut Channel) -> Failed {
        let unread = os::is_unread(channel.fd()).unwrap_or(false);
        if unread || channel.receive_now().is_err() { Failed::Unread } else { Failed::Trouble(Trouble::Died) }
    }

    fn give_up_if_full(&self) -> Result<(), Trouble> {
        if !self.closing.is_full() {
            return Ok(());
        }
        Err(Trouble::Unavailable(format!(
            "processes of group '{}' have sent descriptors that no answer needs, and that this process of httpd has not \
             been able to close; the group gets no requests of it until they are closed",
            self.group.name
        )))
    }

    fn give_up_if_failing(&self) -> Result<(), Trouble> {
        if self.page.ready_processes() > 0 {
            return Ok(());
        }
        match self.page.failure() {
            Some(reason) => Err(Trouble::Unavailable(format!(
                "no process of group '{}' is running: {reason}",
                self.group.name
            ))),
            None => Ok(()),
        }
    }

    fn give_up_if_over(&self, queue_end: Option<Instant>) -> Result<(), Trouble> {
        match queue_end {
            Some(at) if Instant::now() >= at => Err(self.queued()),
            _ => Ok(()),
        }
    }
}

fn no_greeting() -> Trouble {
    Trouble::Misbehaved("something else than the greeting of a new connection".to_string())
}

/// Slot, times and pid of a process.
fn greeting(bytes: &[u8]) -> Option<[u32; 3]> {
    let (numbers, []) = bytes.as_chunks::<4>() else { return None };
    numbers.iter().map(|number| u32::from_le_bytes(*number)).collect::<Vec<_>>().try_into().ok()
}

/// Whether a process really answers, or gives the request back.
fn unless_given_back(channel: Channel) -> Result<Channel, Failed> {
    if channel.inbox.begins_with(Kind::GiveBack) { Err(Failed::Unread) } else { Ok(channel) }
}
