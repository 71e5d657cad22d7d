//! What a supervisor and one of its daemons tell each other, on a socket pair that keeps messages apart.
//!
//! The supervisor's end is `ControlSupervisor`, the daemon's `ControlDaemon` (its descriptor 3). The
//! first message is the `Launch`, sent before the daemon is even forked; what follows is small. When one
//! end is gone the other sees end-of-file: for a daemon that means to stop.

mod message;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::launch::Launch;
use super::os;
use crate::wire::codec::Malformed;
use crate::wire::scoreboard::Scoreboard;
pub use message::{Loads, Order, Report, Work};

/// Longest message that is sent as such; a longer launch travels in a memfd.
const LONGEST: usize = 64 * 1024;

/// Messages that carry a descriptor.
const FORK: &[u8] = b"K";
const DESCRIPTOR: &[u8] = b"O";
const LAUNCH: &[u8] = b"M";
const SCOREBOARD: &[u8] = b"A";

pub struct ControlSupervisor(OwnedFd);

pub struct ControlDaemon(OwnedFd);

pub fn pair() -> io::Result<(ControlSupervisor, ControlDaemon)> {
    let (supervisor, daemon) = os::seqpacket_pair()?;
    Ok((ControlSupervisor(supervisor), ControlDaemon(daemon)))
}

impl ControlSupervisor {
    /// Never waits: the socket is empty when the launch is sent.
    pub fn send_launch(&self, launch: &Launch) -> io::Result<()> {
        let bytes = launch.encode();
        if bytes.len() < LONGEST {
            let mut message = vec![b'L'];
            message.extend_from_slice(&bytes);
            return os::send_now(self.0.as_fd(), &message).map(drop);
        }
        send_memory(self.0.as_fd(), LAUNCH, &bytes)
    }

    /// To a template: fork, and let the new process have this control socket.
    pub fn send_fork(&self, control: &ControlDaemon) -> io::Result<()> {
        os::send_with_fd_now(self.0.as_fd(), FORK, control.as_fd()).map(drop)
    }

    /// What a process that is forked from a template gets after its launch, since it inherits other ones.
    pub fn send_equipment(&self, output: BorrowedFd<'_>, activity: BorrowedFd<'_>) -> io::Result<()> {
        for descriptor in [output, activity] {
            os::send_with_fd_now(self.0.as_fd(), DESCRIPTOR, descriptor)?;
        }
        Ok(())
    }

    /// A daemon that reads no orders is not waited for; the supervisor's timers deal with it.
    pub fn send(&self, order: Order) -> io::Result<()> {
        os::send_now(self.0.as_fd(), &order.encode()).map(drop)
    }

    /// The next report, None when there is none yet; `UnexpectedEof` when the daemon's end is gone. A descriptor
    /// that comes along is taken only where it may.
    pub fn receive(&self, descriptors: bool) -> io::Result<Option<(Report, Option<OwnedFd>)>> {
        let mut buffer = vec![0; LONGEST];
        let mut received = || {
            if descriptors {
                return os::receive_with_fd_now(self.0.as_fd(), &mut buffer);
            }
            Ok(os::receive_now(self.0.as_fd(), &mut buffer)?.map(|size| (size, None)))
        };
        let received = match received() {
            // It ended with an order unread, which is told once, before what it said itself.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => received()?,
            other => other?,
        };
        match received {
            None => Ok(None),
            Some((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Some((size, descriptor)) => {
                let report = Report::decode(&buffer[..size]).map_err(invalid)?;
                Ok(Some((report, descriptor)))
            }
        }
    }
}

/// The supervisor's answer to `ControlDaemon::ask_scoreboard`. Who asked is not waited for.
pub fn send_scoreboard(to: BorrowedFd<'_>, scoreboard: &Scoreboard) -> io::Result<()> {
    send_memory(to, SCOREBOARD, &scoreboard.encode())
}

/// Bytes that are too many for a message.
fn send_memory(socket: BorrowedFd<'_>, letter: &[u8], bytes: &[u8]) -> io::Result<()> {
    use std::io::{Seek, Write};
    let mut memory = std::fs::File::from(os::memfd(c"mod_wsgi_rs-message", 0)?);
    memory.write_all(bytes)?;
    memory.rewind()?;
    os::send_with_fd_now(socket, letter, memory.as_fd()).map(drop)
}

fn read_memory(memory: OwnedFd) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::from(memory).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl AsFd for ControlSupervisor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl ControlDaemon {
    pub fn from_fd(fd: OwnedFd) -> Self {
        ControlDaemon(fd)
    }

    /// The first message.
    pub fn receive_launch(&self) -> io::Result<Launch> {
        let mut buffer = vec![0; LONGEST + 1];
        let (size, memory) = os::receive_with_fd(self.0.as_fd(), &mut buffer)?;
        let bytes = match (buffer[..size].split_first(), memory) {
            (Some((b'L', bytes)), None) => bytes.to_vec(),
            (Some(_), Some(memory)) if &buffer[..size] == LAUNCH => read_memory(memory)?,
            (None, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => return Err(invalid(Malformed)),
        };
        Launch::decode(&bytes).map_err(invalid)
    }

    /// In a template: the control socket of the process that is to be forked. An error is the end.
    pub fn receive_fork(&self) -> io::Result<ControlDaemon> {
        receive_descriptor(self.as_fd(), FORK).map(ControlDaemon)
    }

    /// In a process that was forked from one, after the launch: its output and its activity.
    pub fn receive_equipment(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        let receive = || receive_descriptor(self.as_fd(), DESCRIPTOR);
        Ok((receive()?, receive()?))
    }

    /// Any thread may ask: the answer comes by a socket of its own.
    pub fn ask_scoreboard(&self, patience: Duration) -> io::Result<Scoreboard> {
        let (ours, theirs) = os::seqpacket_pair()?;
        os::send_with_fd_now(self.0.as_fd(), &Report::AskScoreboard.encode(), theirs.as_fd())?;
        drop(theirs);
        if !os::readable(ours.as_fd(), Some(patience))? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let bytes = read_memory(receive_descriptor(ours.as_fd(), SCOREBOARD)?)?;
        Scoreboard::decode(&bytes).map_err(invalid)
    }

    /// The next order; None when the time is over. `UnexpectedEof` when the supervisor is gone.
    pub fn receive(&self, timeout: Option<Duration>) -> io::Result<Option<Order>> {
        if !os::readable(self.0.as_fd(), timeout)? {
            return Ok(None);
        }
        let mut buffer = [0; 16];
        match os::receive(self.0.as_fd(), &mut buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(size) => Order::decode(&buffer[..size]).map(Some).map_err(invalid),
            // The supervisor ended with a report unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Err(error) => Err(error),
        }
    }

    pub fn send(&self, report: &Report) -> io::Result<()> {
        os::send_all(self.0.as_fd(), &mut [io::IoSlice::new(&report.encode())])
    }

    /// The same where nobody can wait for a supervisor that has much to do.
    pub fn send_now(&self, report: &Report) -> io::Result<()> {
        os::send_now(self.0.as_fd(), &report.encode()).map(drop)
    }
}

impl AsFd for ControlDaemon {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn receive_descriptor(socket: BorrowedFd<'_>, letter: &[u8]) -> io::Result<OwnedFd> {
    let mut buffer = [0; 16];
    match os::receive_with_fd(socket, &mut buffer)? {
        (size, Some(descriptor)) if &buffer[..size] == letter => Ok(descriptor),
        (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Err(invalid(Malformed)),
    }
}

fn invalid(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed)
}

#[cfg(test)]
mod tests {
    use super::super::reason::Reason;
    use super::*;
    use crate::wsgi::preload::Preload;
    use std::thread;

    fn launch(preloads: usize) -> Launch {
        let preload = Preload {
            script: "/srv/blog/wsgi.py".into(),
            application_group: String::new(),
            callable: Some("application".into()),
        };
        Launch {
            group: "blog".into(),
            slot: 1,
            generation: 3,
            processes: 2,
            threads: 4,
            stack_size: 0,
            httpd_uid: 33,
            httpd_version: [2, 4, 57],
            display_name: "(wsgi:blog)".into(),
            home: String::new(),
            interpreters: Vec::new(),
            finish: true,
            shutdown_timeout_ms: 5_000,
            graceful_timeout_ms: 15_000,
            socket_timeout_ms: 60_000,
            deadlock_timeout_ms: 300_000,
            times_requests: true,
            server_metrics: false,
            maximum_requests: 1000,
            eviction: false,
            template: false,
            preload: vec![preload; preloads],
            learned: Vec::new(),
        }
    }

    #[test]
    fn a_launch_arrives_whatever_its_size() {
        for preloads in [1, 2_000, 100_000] {
            let (supervisor, daemon) = pair().unwrap();
            supervisor.send_launch(&launch(preloads)).unwrap();
            supervisor.send(Order::Serve).unwrap();
            assert_eq!(daemon.receive_launch().unwrap(), launch(preloads));
            assert_eq!(daemon.receive(None).unwrap(), Some(Order::Serve));
        }
    }

    #[test]
    fn orders_arrive_one_by_one() {
        let (supervisor, daemon) = pair().unwrap();
        let work = Work { thread: 3, number: u32::MAX };
        let orders = [
            Order::Serve,
            Order::Drain(Reason::MaximumRequests),
            Order::Stop(Reason::Shutdown),
            Order::Interrupt(work),
            Order::Expire(work),
            Order::ShowStacks,
        ];
        for order in orders {
            supervisor.send(order).unwrap();
        }
        for order in orders {
            assert_eq!(daemon.receive(None).unwrap(), Some(order));
        }
    }

    #[test]
    fn reports_arrive_one_by_one() {
        let (supervisor, daemon) = pair().unwrap();
        assert_eq!(supervisor.receive(false).unwrap().map(|_| ()), None);
        let reports = [
            Report::Ready(Loads { loaded: 3, failed: 1, forgotten: 2 }),
            Report::Loaded { script: "/srv/blog/wsgi.py".into(), application_group: "a".into(), loaded: 1 },
            Report::Reload { path: "/srv/blog/wsgi.py".into(), modified: -1 },
            Report::ReloadRequired { path: "/srv/blog/wsgi.py".into() },
            Report::Failed { code: 401, text: "too old".into() },
            Report::Renew(Reason::CpuTimeLimit),
            Report::Heard,
            Report::Born(4711),
            Report::AskScoreboard,
        ];
        for report in &reports {
            daemon.send(report).unwrap();
        }
        for report in reports {
            let (received, descriptor) = supervisor.receive(false).unwrap().unwrap();
            assert!(received == report && descriptor.is_none());
        }
        daemon.send(&Report::Failed { code: 1, text: "é".repeat(100_000) }).unwrap();
        assert!(matches!(supervisor.receive(false), Ok(Some((Report::Failed { code: 1, .. }, None)))));
        drop(daemon);
        let gone = supervisor.receive(false).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn the_scoreboard_comes_by_a_socket_of_its_own() {
        let empty = Scoreboard {
            server_limit: 1,
            thread_limit: 2,
            running_generation: 0,
            restart_time: 3,
            current_time: 4,
            processes: Vec::new(),
        };
        let (supervisor, daemon) = pair().unwrap();
        let long = Duration::from_secs(10);
        let allowed = |allowed| {
            thread::scope(|scope| {
                let asking = scope.spawn(|| daemon.ask_scoreboard(long));
                assert!(os::readable(supervisor.as_fd(), Some(long)).unwrap());
                let (report, to) = supervisor.receive(allowed).unwrap().unwrap();
                assert_eq!(report, Report::AskScoreboard);
                if let Some(to) = to {
                    send_scoreboard(to.as_fd(), &empty).unwrap();
                }
                asking.join().unwrap()
            })
        };
        assert_eq!(allowed(true).unwrap(), empty);
        // Its socket was not even taken, and so has been closed.
        assert_eq!(allowed(false).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let late = daemon.ask_scoreboard(Duration::from_millis(1)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn last_words_are_heard_though_an_order_was_not() {
        let (supervisor, daemon) = pair().unwrap();
        supervisor.send_launch(&launch(1)).unwrap();
        daemon.send(&Report::Failed { code: 312, text: "no such user".into() }).unwrap();
        drop(daemon);
        let (report, _) = supervisor.receive(false).unwrap().unwrap();
        assert_eq!(report, Report::Failed { code: 312, text: "no such user".into() });
        assert_eq!(supervisor.receive(false).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_daemon_sees_that_its_supervisor_is_gone() {
        let (supervisor, daemon) = pair().unwrap();
        let soon = Some(Duration::from_millis(1));
        assert_eq!(daemon.receive(soon).unwrap(), None);
        daemon.send(&Report::Heard).unwrap();
        drop(supervisor);
        let gone = daemon.receive(soon).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
        assert!(daemon.receive_launch().is_err());
    }
}
