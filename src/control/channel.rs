//! What a supervisor and one of its daemons tell each other: orders on a socket, reports on a pipe.
//!
//! The supervisor's ends are `ControlSupervisor`, the daemon's `ControlDaemon` (its descriptors 3 and 7). The
//! first message is the `Launch`, sent before the daemon is even forked; what follows is small. When one side
//! is gone the other sees end-of-file: for a daemon that means to stop. The socket takes nothing from the
//! daemon, which runs a site's code: with a descriptor that takes hours to close it could keep the
//! supervisor.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use serde::Serialize;

use super::launch::{Launch, NoLaunch};
use super::message::{LONGEST_REPORT, Order, Report};
use crate::os;

/// Longest message that is sent as such; a longer launch travels in a memfd.
const LONGEST: usize = 64 * 1024;

/// Messages that carry a descriptor.
const FORK: &[u8] = b"K";
const DESCRIPTOR: &[u8] = b"O";
const LAUNCH: &[u8] = b"M";

/// The reading ends of a daemon's standard output and error, or the writing ends.
pub struct Pipes {
    pub output: OwnedFd,
    pub error: OwnedFd,
}

pub struct ControlSupervisor {
    orders: OwnedFd,
    reports: File,
}

pub struct ControlDaemon {
    orders: OwnedFd,
    reports: File,
}

pub fn pair() -> io::Result<(ControlSupervisor, ControlDaemon)> {
    let (supervisor, daemon) = os::seqpacket_pair()?;
    os::refuse_input(supervisor.as_fd())?;
    let (reader, writer) = os::message_pipe()?;
    os::make_room_for_messages(writer.as_fd());
    let supervisor = ControlSupervisor { orders: supervisor, reports: reader.into() };
    Ok((supervisor, ControlDaemon::new(daemon, writer)))
}

impl ControlSupervisor {
    /// From now on reports come through this pipe; another process reads the daemon's own.
    pub fn hear_through(&mut self, pipe: OwnedFd) {
        self.reports = pipe.into();
    }

    /// Never waits: the socket is empty when the launch is sent.
    pub fn send_launch(&self, launch: &Launch) -> io::Result<()> {
        let bytes = launch.encode()?;
        if bytes.len() < LONGEST {
            let mut message = vec![b'L'];
            message.extend_from_slice(&bytes);
            return os::send_now(self.orders.as_fd(), &message).map(drop);
        }
        let mut memory = File::from(os::memfd(c"mod_wsgi_rs-launch", 0)?);
        memory.write_all(&bytes)?;
        memory.rewind()?;
        os::send_with_fd_now(self.orders.as_fd(), LAUNCH, memory.as_fd()).map(drop)
    }

    /// To a template: fork, and let the new process have this.
    pub fn send_fork(&self, control: &ControlDaemon) -> io::Result<()> {
        os::send_with_fd_now(self.orders.as_fd(), FORK, control.orders.as_fd())?;
        os::send_with_fd_now(self.orders.as_fd(), DESCRIPTOR, control.reports.as_fd()).map(drop)
    }

    /// What a process that is forked from a template gets after its launch, since it inherits other ones.
    pub fn send_equipment(&self, output: &Pipes, activity: BorrowedFd<'_>) -> io::Result<()> {
        for descriptor in [output.output.as_fd(), output.error.as_fd(), activity] {
            os::send_with_fd_now(self.orders.as_fd(), DESCRIPTOR, descriptor)?;
        }
        Ok(())
    }

    /// A daemon that reads no orders is not waited for; the supervisor's timers deal with it.
    pub fn send(&self, order: Order) -> io::Result<()> {
        os::send_now(self.orders.as_fd(), &encoded(&order)?).map(drop)
    }

    /// The next report, None when there is none yet; `UnexpectedEof` when the daemon's end is gone.
    pub fn receive(&self) -> io::Result<Option<Report>> {
        let mut buffer = [0; LONGEST_REPORT];
        match os::gate("read").map_err(io::Error::from).and_then(|()| (&self.reports).read(&mut buffer)) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(size) => postcard::from_bytes(&buffer[..size]).map(Some).map_err(|_| invalid()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for ControlSupervisor {
    /// Where reports come from.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }
}

impl ControlDaemon {
    pub fn new(orders: OwnedFd, reports: OwnedFd) -> Self {
        ControlDaemon { orders, reports: reports.into() }
    }

    /// What the application forks cannot report, and takes no orders.
    pub fn keep_from_copies(&self) {
        os::keep_from_copies(self.orders.as_fd());
        os::keep_from_copies(self.reports.as_fd());
    }

    /// The first message.
    pub fn receive_launch(&self) -> Result<Launch, NoLaunch> {
        let mut buffer = vec![0; LONGEST + 1];
        let (size, memory) = os::receive_with_fd(self.orders.as_fd(), &mut buffer)?;
        let bytes = match (buffer[..size].split_first(), memory) {
            (Some((b'L', bytes)), None) => bytes.to_vec(),
            (Some(_), Some(memory)) if &buffer[..size] == LAUNCH => {
                let mut bytes = Vec::new();
                File::from(memory).read_to_end(&mut bytes)?;
                bytes
            }
            (None, _) => return Err(NoLaunch::Lost(io::ErrorKind::UnexpectedEof.into())),
            _ => return Err(invalid().into()),
        };
        Launch::decode(&bytes)
    }

    /// In a template: what the process that is to be forked shall have. An error is the end.
    pub fn receive_fork(&self) -> io::Result<ControlDaemon> {
        let receive = |letter| receive_descriptor(self.as_fd(), letter);
        Ok(ControlDaemon::new(receive(FORK)?, receive(DESCRIPTOR)?))
    }

    /// In a process that was forked from one, after the launch: its output and its activity.
    pub fn receive_equipment(&self) -> io::Result<(Pipes, OwnedFd)> {
        let receive = || receive_descriptor(self.as_fd(), DESCRIPTOR);
        Ok((Pipes { output: receive()?, error: receive()? }, receive()?))
    }

    /// The next order; None when the time is over. `UnexpectedEof` when the supervisor is gone.
    pub fn receive(&self, timeout: Option<Duration>) -> io::Result<Option<Order>> {
        if !os::readable(self.orders.as_fd(), timeout)? {
            return Ok(None);
        }
        let mut buffer = [0; 16];
        match os::receive(self.orders.as_fd(), &mut buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(size) => postcard::from_bytes(&buffer[..size]).map(Some).map_err(|_| invalid()),
            Err(error) => Err(error),
        }
    }

    /// Of several threads each one's report arrives whole.
    pub fn send(&self, report: &Report) -> io::Result<()> {
        (&self.reports).write_all(&encoded(report)?)
    }

    pub fn reports(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }
}

impl AsFd for ControlDaemon {
    /// Where orders come from.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.orders.as_fd()
    }
}

fn receive_descriptor(socket: BorrowedFd<'_>, letter: &[u8]) -> io::Result<OwnedFd> {
    let mut buffer = [0; 16];
    match os::receive_with_fd(socket, &mut buffer)? {
        (size, Some(descriptor)) if &buffer[..size] == letter => Ok(descriptor),
        (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Err(invalid()),
    }
}

fn encoded(message: &impl Serialize) -> io::Result<Vec<u8>> {
    postcard::to_allocvec(message).map_err(|_| invalid())
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a message of this build")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::launch;
    use crate::control::message::{Loads, Work};
    use crate::control::reason::Reason;
    use crate::log::{Code, Message};
    use crate::script::Preload;
    use crate::script::{Holder, Holding};

    fn launch(preloads: usize) -> Launch {
        let preload = Preload {
            script: "/srv/blog/wsgi.py".into(),
            application_group: String::new(),
            callable: Some("application".into()),
        };
        Launch { preload: vec![preload; preloads], ..launch::tests::launch() }
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
        assert_eq!(supervisor.receive().unwrap(), None);
        let reports = [
            Report::Ready { loads: Loads { loaded: 3, failed: 1, forgotten: 2 }, python: [3, 9, 2] },
            Report::Loaded { script: "/srv/blog/wsgi.py".into(), application_group: "a".into(), loaded: 1 },
            Report::Held {
                script: "/srv/blog/wsgi.py".into(),
                holding: Holding { what: "port 9100".into(), by: Holder::OfGroup(4711) },
            },
            Report::Reload { path: "/srv/blog/wsgi.py".into(), modified: -1 },
            Report::ReloadRequired { path: "/srv/blog/wsgi.py".into() },
            Report::Failed(Message::new(Code::PythonTooOld, "too old")),
            Report::Renew(Reason::CpuTimeLimit),
            Report::Heard,
            Report::Born(4711),
            Report::AskScoreboard,
            Report::Vanished { script: "/srv/blog/old.py".into() },
        ];
        for report in &reports {
            daemon.send(report).unwrap();
        }
        for report in reports {
            assert_eq!(supervisor.receive().unwrap(), Some(report));
        }
        daemon.send(&Report::Failed(Message::new(Code::PythonTooOld, "é".repeat(100_000)))).unwrap();
        assert!(matches!(
            supervisor.receive(),
            Ok(Some(Report::Failed(Message { code: Code::PythonTooOld, .. })))
        ));
        drop(daemon);
        let gone = supervisor.receive().unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nothing_else_comes_from_a_daemon() {
        let (supervisor, daemon) = pair().unwrap();
        let sent = os::send_with_fd_now(daemon.as_fd(), FORK, daemon.as_fd());
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        supervisor.send(Order::Serve).unwrap();
        assert_eq!(daemon.receive(None).unwrap(), Some(Order::Serve));
        assert!(!os::has_hung_up(daemon.as_fd()));
    }

    #[test]
    fn last_words_are_heard_though_an_order_was_not() {
        let (supervisor, daemon) = pair().unwrap();
        supervisor.send_launch(&launch(1)).unwrap();
        daemon.send(&Report::Failed(Message::new(Code::StartStepFailed, "no such user"))).unwrap();
        drop(daemon);
        let report = supervisor.receive().unwrap().unwrap();
        assert_eq!(report, Report::Failed(Message::new(Code::StartStepFailed, "no such user")));
        assert_eq!(supervisor.receive().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
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
