//! The process that reads what a daemon writes and reports, in the supervisor's place.
//!
//! Into a pipe a site can put a page of a file (splice(2)) of a file system that is a program of its own. A
//! read waits for that page as long as the program likes, be the pipe non-blocking, and no signal ends the
//! wait. So the supervisor reads no pipe that a site can write to. A reader does, one for each daemon: it
//! copies the bytes into pipes that only it can write to. One that stands still keeps the words of its own
//! daemon.
//!
//! A reader is a fork of the supervisor with nothing open but those pipes, and without root's capabilities. It
//! ends when all of the pipes have ended, or with the supervisor.

use std::fs::File;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use crate::os::{self, PollFd};

/// Standard output, standard error, reports.
pub type Three = [OwnedFd; 3];
type Ends<'a> = [BorrowedFd<'a>; 3];

/// Read at one go: what a pipe that can be written to takes as one piece (PIPE_BUF), and the longest report.
const PIECE: usize = 4096;

/// Pieces of one pipe, and reports, before the others have their turn.
const AT_ONCE: usize = 32;

/// Between two turns: single bytes that come without end become pieces.
const PAUSE: Duration = Duration::from_millis(1);

/// After the end of a daemon, for what its pipes can hold at most (1 MB), and less than the supervisor waits.
const LAST_TURNS: u32 = 200;

/// Above the numbers that the pipes have in the process.
const SAFE_NUMBER: i32 = 16;

/// The process as the supervisor knows it.
pub struct Reader {
    pub pid: i32,
    /// It is told by a byte to begin, and by the end that the daemon has ended; it closes its own end when it
    /// has handed over the last words.
    line: UnixStream,
}

impl Reader {
    /// Starts the process for the reading ends of a daemon's pipes, which are non-blocking; what is to be
    /// read in their place. It has the writing ends, too, until it begins: the last process to close one may
    /// have to wait.
    pub fn start(group: &str, from: Ends<'_>, writers: Ends<'_>) -> io::Result<(Reader, Three)> {
        let ((output, to_output), (error, to_error)) = (os::pipe()?, os::pipe()?);
        let ((reports, to_reports), (line, its_line)) = (os::message_pipe()?, UnixStream::pair()?);
        let to = [to_output, to_error, to_reports];
        for end in to.iter().chain([&output, &error]) {
            os::set_nonblocking(end.as_fd(), true)?;
        }
        let supervisor = std::process::id() as i32;
        let title = format!("(wsgi:supervisor) output of {group}");
        let pid = os::fork_process(|| {
            os::play("");
            let _ = os::set_title(&title);
            // An httpd that root did not start has none.
            let _ = os::drop_capabilities();
            if os::die_with_parent(libc::SIGKILL).is_ok()
                && os::parent_pid() == supervisor
                && let Ok([from, to, [line, ..], writers]) = alone_with(from, &to, its_line.as_fd(), writers)
                && matches!(os::receive(line.as_fd(), &mut [0]), Ok(1))
            {
                drop(writers);
                copy(Stream::of(from, to), line);
            }
        })?;
        Ok((Reader { pid, line }, [output, error, reports]))
    }

    /// The supervisor has closed its copies of the writing ends.
    pub fn begin(&self) {
        // One that has gone shows at its pipes.
        let _ = (&self.line).write_all(b"b");
    }

    /// The daemon has ended.
    pub fn hurry(&self) {
        let _ = self.line.shutdown(Shutdown::Write);
    }

    /// What to wait for then.
    pub fn line(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }

    /// Whether the last words are there.
    pub fn is_done(&self) -> bool {
        os::readable(self.line(), Some(Duration::ZERO)).unwrap_or(false)
    }
}

/// Closes all else: a daemon sees by its control socket that the supervisor has gone.
fn alone_with(from: Ends<'_>, to: &Three, line: BorrowedFd<'_>, writers: Ends<'_>) -> io::Result<[Three; 4]> {
    let nothing = File::open("/dev/null")?;
    let line = [line, nothing.as_fd(), nothing.as_fd()];
    let kept = [[nothing.as_fd(); 3], from, to.each_ref().map(AsFd::as_fd), line, writers];
    let above = |fd: &BorrowedFd<'_>| os::duplicate_above(*fd, SAFE_NUMBER);
    let above = kept.as_flattened().iter().map(above).collect::<io::Result<Vec<_>>>()?;
    for (number, fd) in above.iter().enumerate() {
        os::place_descriptor(fd.as_fd(), number as i32)?;
    }
    let first_free = above.len() as i32;
    // The numbers are others' now: what had them in the supervisor is not used here, and never dropped.
    std::mem::forget((nothing, above));
    os::close_from(first_free)?;
    let three = |first: i32| -> io::Result<Three> {
        Ok([os::adopt_descriptor(first)?, os::adopt_descriptor(first + 1)?, os::adopt_descriptor(first + 2)?])
    };
    Ok([three(3)?, three(6)?, three(9)?, three(12)?])
}

struct Stream {
    /// From the daemon, and to the supervisor. None once no more can come, or the supervisor has closed its
    /// end.
    pipes: Option<(OwnedFd, OwnedFd)>,
    /// There was no room in the supervisor's pipe.
    full: bool,
    /// All that could write have closed it.
    ended: bool,
}

fn copy([mut output, mut error, mut reports]: [Stream; 3], line: OwnedFd) {
    let (mut line, mut last_turns) = (Some(line), LAST_TURNS);
    while [&output, &error, &reports].iter().any(|stream| stream.pipes.is_some()) {
        let streams = [&output, &error, &reports];
        let mut fds: Vec<PollFd<'_>> = streams.iter().flat_map(|stream| stream.waits_for()).collect();
        let told = line
            .as_ref()
            .is_some_and(|line| os::readable(line.as_fd(), Some(Duration::ZERO)).unwrap_or(false));
        fds.extend(line.as_ref().filter(|_| !told).map(|line| PollFd::reading(line.as_fd())));
        let patience = told.then_some(PAUSE);
        if os::poll(&mut fds, patience).is_err() {
            // The kernel has no memory for it now.
            thread::sleep(PAUSE);
            continue;
        }
        // What a daemon has written before it reports comes before the report.
        for stream in [&mut output, &mut error, &mut reports] {
            stream.copy();
        }
        for stream in [&mut output, &mut error].into_iter().filter(|stream| stream.ended) {
            stream.close();
        }
        let has_more = output.has_more() || error.has_more();
        if reports.ended && !has_more {
            reports.close();
        }
        // Others may write on without end.
        last_turns -= u32::from(told);
        if told && (last_turns == 0 || !has_more && !reports.has_more()) {
            line = None;
        }
        thread::sleep(PAUSE);
    }
}

impl Stream {
    fn of(from: Three, to: Three) -> [Stream; 3] {
        let ([a, b, c], [d, e, f]) = (from, to);
        [(a, d), (b, e), (c, f)].map(|pipes| Stream { pipes: Some(pipes), full: false, ended: false })
    }

    fn waits_for(&self) -> impl Iterator<Item = PollFd<'_>> {
        let to = self.pipes.as_ref().map(|(_, to)| to.as_fd());
        let room = to.map(|to| if self.full { PollFd::writing(to) } else { PollFd::hanging_up(to) });
        let from = self.pipes.as_ref().filter(|_| !self.full && !self.ended);
        room.into_iter().chain(from.map(|(from, _)| PollFd::reading(from.as_fd())))
    }

    /// Whether something waits that there was no room or no time for.
    fn has_more(&self) -> bool {
        let readable = |from: &OwnedFd| os::readable(from.as_fd(), Some(Duration::ZERO)).unwrap_or(false);
        self.pipes.as_ref().is_some_and(|(from, _)| readable(from))
    }

    fn copy(&mut self) {
        let mut piece = [0; PIECE];
        for _ in 0..AT_ONCE {
            let Some((from, to)) = &self.pipes else { return };
            if os::has_hung_up(to.as_fd()) {
                return self.close();
            }
            self.full = !os::writable(to.as_fd(), Some(Duration::ZERO)).unwrap_or(false);
            if self.full || self.ended {
                return;
            }
            match os::read_now(from.as_fd(), &mut piece) {
                Ok(None) => return,
                Ok(Some(0)) | Err(_) => self.ended = true,
                // There is room for a piece.
                Ok(Some(size)) => drop(os::write_now(to.as_fd(), &piece[..size])),
            }
        }
    }

    /// The supervisor's first: it need not wait for the other.
    fn close(&mut self) {
        if let Some((from, to)) = self.pipes.take() {
            drop(to);
            drop(from);
        }
    }
}
