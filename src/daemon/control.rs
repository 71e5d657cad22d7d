//! What a supervisor and one of its daemons tell each other, on a socket pair that keeps messages apart.
//!
//! The supervisor's end is `ControlSupervisor`, the daemon's `ControlDaemon` (its descriptor 3). The
//! first message is the `Launch`, sent before the daemon is even forked; what follows is small. When one
//! end is gone the other sees end-of-file: for a daemon that means to stop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::launch::Launch;
use super::os;
use super::reason::Reason;
use crate::wire::codec::{Decoder, Encoder, Malformed};
use crate::wire::scoreboard::Scoreboard;

/// Longest message that is sent as such; a longer launch travels in a memfd.
const LONGEST: usize = 64 * 1024;

/// Longest text in a daemon's message: a traceback fits, a message stays below `LONGEST`.
const LONGEST_TEXT: usize = 32 * 1024;

/// Messages that carry a descriptor.
const FORK: &[u8] = b"K";
const DESCRIPTOR: &[u8] = b"O";
const LAUNCH: &[u8] = b"M";
const SCOREBOARD: &[u8] = b"A";

/// Supervisor to daemon, after the launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Accept requests: the answer to `Report::Ready`. Until then a daemon waits, since in a roll-out it
    /// serves only when all others of its group can.
    Serve,
    /// Accept no more, finish what is running, end with status 0.
    Drain(Reason),
    /// End now: requests that run get the shutdown timeout.
    Stop(Reason),
    /// Raise `mod_wsgi.RequestTimeout` in the thread, if it is still at this work.
    Interrupt(Work),
    /// This work has lasted too long: its client is let go, and the log gets the stacks of all threads. The answer is
    /// `Report::Heard`.
    Expire(Work),
    /// The log gets the stacks of all threads; likewise answered.
    ShowStacks,
}

/// A request that a process runs: the number of the thread, and which of its requests it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    pub thread: u32,
    pub number: u32,
}

/// What a process could load of what its launch names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loads {
    /// Of the scripts that the configuration names.
    pub loaded: u32,
    pub failed: u32,
    /// Those that processes before it have loaded, and it could not.
    pub forgotten: u32,
}

/// Daemon to supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It can accept requests.
    Ready(Loads),
    /// It has loaded another script, for a request; with how many of the configured ones it has now.
    Loaded { script: String, application_group: String, loaded: u32 },
    /// This script changed on disk and is still served as it was. `modified` is the new modification time
    /// in nanoseconds: the supervisor tries each version once, however often it is told.
    Reload { path: String, modified: i64 },
    /// The script says itself, by its `reload_required`, that it is to be loaded anew; said with every request
    /// for it from then on.
    ReloadRequired { path: String },
    /// It could not start and ends, for this reason: the number and the text of a message.
    Failed { code: u16, text: String },
    /// It is to be replaced; until its successor is ready it goes on.
    Renew(Reason),
    /// It has carried out an order that asks for this.
    Heard,
    /// It was forked from a template, and has this pid.
    Born(i32),
    /// It asks for httpd's scoreboard, to be sent to the socket that comes along.
    AskScoreboard,
}

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

impl Order {
    fn encode(self) -> Vec<u8> {
        let work = |letter: u8, work: Work| {
            let mut out = vec![letter];
            out.extend(work.thread.to_le_bytes());
            out.extend(work.number.to_le_bytes());
            out
        };
        match self {
            Order::Serve => vec![b'G'],
            Order::Drain(reason) => vec![b'D', reason.to_byte()],
            Order::Stop(reason) => vec![b'S', reason.to_byte()],
            Order::Interrupt(at) => work(b'I', at),
            Order::Expire(at) => work(b'E', at),
            Order::ShowStacks => vec![b'T'],
        }
    }

    fn decode(bytes: &[u8]) -> Result<Order, Malformed> {
        let mut decoder = Decoder::new(bytes);
        match decoder.u8()? {
            b'G' => Ok(Order::Serve),
            b'D' => Ok(Order::Drain(reason(&mut decoder)?)),
            b'S' => Ok(Order::Stop(reason(&mut decoder)?)),
            b'I' => Ok(Order::Interrupt(work(&mut decoder)?)),
            b'E' => Ok(Order::Expire(work(&mut decoder)?)),
            b'T' => Ok(Order::ShowStacks),
            _ => Err(Malformed),
        }
    }
}

fn work(decoder: &mut Decoder<'_>) -> Result<Work, Malformed> {
    Ok(Work { thread: decoder.u32()?, number: decoder.u32()? })
}

fn reason(decoder: &mut Decoder<'_>) -> Result<Reason, Malformed> {
    Reason::from_byte(decoder.u8()?).ok_or(Malformed)
}

impl Report {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        match self {
            Report::Ready(loads) => {
                encoder.u8(b'R');
                for count in [loads.loaded, loads.failed, loads.forgotten] {
                    encoder.u32(count);
                }
            }
            Report::Loaded { script, application_group, loaded } => {
                encoder.u8(b'L');
                encoder.u32(*loaded);
                encoder.bytes(cut(script).as_bytes());
                encoder.bytes(cut(application_group).as_bytes());
            }
            Report::Reload { path, modified } => {
                encoder.u8(b'C');
                encoder.i64(*modified);
                encoder.bytes(cut(path).as_bytes());
            }
            Report::ReloadRequired { path } => {
                encoder.u8(b'Q');
                encoder.bytes(cut(path).as_bytes());
            }
            Report::Failed { code, text } => {
                encoder.u8(b'F');
                encoder.u32(u32::from(*code));
                encoder.bytes(cut(text).as_bytes());
            }
            Report::Renew(reason) => {
                encoder.u8(b'N');
                encoder.u8(reason.to_byte());
            }
            Report::Heard => encoder.u8(b'H'),
            Report::Born(pid) => {
                encoder.u8(b'B');
                encoder.i64((*pid).into());
            }
            Report::AskScoreboard => encoder.u8(b'A'),
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Report, Malformed> {
        let mut decoder = Decoder::new(bytes);
        match decoder.u8()? {
            b'R' => {
                let (loaded, failed) = (decoder.u32()?, decoder.u32()?);
                Ok(Report::Ready(Loads { loaded, failed, forgotten: decoder.u32()? }))
            }
            b'L' => {
                let loaded = decoder.u32()?;
                let (script, application_group) = (decoder.string()?, decoder.string()?);
                Ok(Report::Loaded { script, application_group, loaded })
            }
            b'C' => Ok(Report::Reload { modified: decoder.i64()?, path: decoder.string()? }),
            b'Q' => Ok(Report::ReloadRequired { path: decoder.string()? }),
            b'F' => {
                let code = u16::try_from(decoder.u32()?).map_err(|_| Malformed)?;
                Ok(Report::Failed { code, text: decoder.string()? })
            }
            b'N' => Ok(Report::Renew(reason(&mut decoder)?)),
            b'H' => Ok(Report::Heard),
            b'B' => Ok(Report::Born(i32::try_from(decoder.i64()?).map_err(|_| Malformed)?)),
            b'A' => Ok(Report::AskScoreboard),
            _ => Err(Malformed),
        }
    }
}

/// The text, or as much of its beginning as a message holds.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

fn invalid(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn nonsense_is_an_error() {
        for bytes in [&b""[..], b"X", b"F\x01", b"F\xff\xff\xff\xff\0\0\0\0", b"C\x01\0\0\0\xff", b"N\xff"] {
            assert_eq!(Report::decode(bytes), Err(Malformed));
        }
    }
}
