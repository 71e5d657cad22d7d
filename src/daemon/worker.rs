//! A daemon's worker threads: they wait together, and the one that wakes serves the request to its end.
//!
//! Runs in daemons. All threads wait in one epoll set that holds the listening socket and every idle
//! connection (one-shot), so there is no dispatcher and no hand-over. A thread receives a request detached,
//! runs it attached in one piece, and sends its answer detached.

use super::connection::{Connection, Meeting};
use super::roster::Roster;
use crate::control::channel::ControlDaemon;
use crate::control::group_page::GroupPage;
use crate::control::launch::{Launch, bound};
use crate::control::message::Report;
use crate::control::reason::Reason;
use crate::interpreter::interpreters::{Interpreters, ThreadStates, status_without};
use crate::interpreter::process_log::write_message;
use crate::interpreter::script::Change;
use crate::interpreter::transaction::Transaction;
use crate::log::{Code, Message, wording};
use crate::os::{self, Epoll};
use crate::question::Purpose;
use crate::request::{EnvironBuilder, Outcome, Reply, Request, now};
use crate::site::owner;
use crate::verdict::ask;
use crate::wire::request::decode_request;
use crate::wsgi::run;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

const LISTENER: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;

/// Connections whose other end has not shown yet that it is httpd's.
const MOST_UNMET: usize = 64;

/// Milliseconds between two messages about the same trouble.
const COMPLAINTS: u64 = 5000;

const READABLE: u32 = libc::EPOLLIN as u32;
const ONCE: u32 = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLONESHOT) as u32;
const HUNG_UP: u32 = libc::EPOLLRDHUP as u32;
/// Of several processes that wait for the same listening socket, one is woken.
const EXCLUSIVE: u32 = READABLE | libc::EPOLLEXCLUSIVE as u32;

/// What the threads of a daemon share.
pub struct Workers {
    pub interpreters: Interpreters,
    epoll: Epoll,
    listener: OwnedFd,
    wake: OwnedFd,
    control: Arc<ControlDaemon>,
    pub roster: Roster,
    page: Arc<GroupPage>,
    pub launch: Launch,
    /// Threads that wait for a request.
    waiting: AtomicU32,
    /// Idle connections by their links' numbers. A thread takes its connection out while it serves it.
    idle: Mutex<HashMap<u64, Box<Connection>>>,
    /// It was told to take requests: in a roll-out that fails it never is.
    accepting: AtomicBool,
    /// Accept no more, end when nothing runs.
    draining: AtomicBool,
    /// Threads that have ended, and the event that tells of each (see `take_end_event`).
    ended: AtomicU32,
    end: OwnedFd,
    /// When the process last said that it cannot accept connections.
    complained: AtomicU64,
}

/// What a daemon was started with.
pub struct Equipment {
    pub listener: OwnedFd,
    pub control: Arc<ControlDaemon>,
    pub page: Arc<GroupPage>,
    pub roster: Roster,
    pub launch: Launch,
}

impl Workers {
    pub fn new(interpreters: Interpreters, equipment: Equipment) -> io::Result<Workers> {
        let (epoll, wake, end) = (Epoll::new()?, os::eventfd()?, os::eventfd()?);
        epoll.add(wake.as_fd(), WAKE, READABLE)?;
        for fd in [epoll.as_fd(), wake.as_fd(), end.as_fd()] {
            os::keep_from_copies(fd);
        }
        Ok(Workers {
            interpreters,
            epoll,
            listener: equipment.listener,
            wake,
            control: equipment.control,
            roster: equipment.roster,
            page: equipment.page,
            launch: equipment.launch,
            waiting: AtomicU32::new(0),
            idle: Mutex::default(),
            accepting: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            ended: AtomicU32::new(0),
            end,
            complained: AtomicU64::new(0),
        })
    }

    /// Begins to take requests.
    pub fn accept(&self) {
        self.accepting.store(true, Ordering::SeqCst);
        if let Err(error) = self.epoll.add(self.listener.as_fd(), LISTENER, EXCLUSIVE) {
            write_message(&Message::new(
                Code::WaitFailed,
                format!("the listening socket cannot be waited for: {}", wording(&error)),
            ));
        }
    }

    /// Takes no more requests and lets the threads end after what they are running. Connections are
    /// closed as they fall idle; a request that is on its way in one of them is not read, so the
    /// child sees a reset and sends it to another process, as it does with those that are given back.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        // The set may not hold the listener yet; that is as good.
        let _ = self.epoll.delete(self.listener.as_fd());
        self.idle.lock().clear();
        self.roster.give_back();
        // Level-triggered and never read: every thread wakes and sees `draining`.
        let _ = os::event(self.wake.as_fd());
    }

    /// Whether all threads have ended, which they do after `drain` when they have nothing to serve. Threads
    /// whose requests no client waits for do not count.
    pub fn have_ended(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
            && self.ended.load(Ordering::SeqCst) + self.roster.abandoned() >= self.launch.group.threads
    }

    /// Waits for the last requests of a process that does nothing else any more.
    pub fn let_requests_end(&self, latest: Instant) {
        while !self.have_ended() && Instant::now() < latest {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// After a thread has ended, or a request has come while it was about to.
    pub fn take_end_event(&self) {
        os::clear_event(self.end.as_fd());
        if self.draining.load(Ordering::SeqCst) {
            self.roster.give_back();
        }
    }

    /// Readable once there is one to take.
    pub fn end_event(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }

    /// The loop of one thread.
    pub fn work(&self, thread_id: u32) {
        let mut thread = Worker {
            workers: self,
            states: ThreadStates::new(self.interpreters.main().state),
            thread_id,
            abandoned: false,
            payload: Vec::new(),
            allowed: Vec::new(),
        };
        // Before the states are cleared, which needs the GIL.
        let _end = ThreadEnd(self);
        while !self.draining.load(Ordering::SeqCst) {
            thread.abandoned = false;
            self.begin_to_wait();
            let event = self.epoll.wait(None);
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match event {
                Ok(Some((LISTENER, _))) => {
                    self.claim();
                    thread.guarded(Worker::accept);
                }
                Ok(Some((WAKE, _))) | Ok(None) => self.claim(),
                Ok(Some((token, events))) => {
                    let connection = self.idle.lock().remove(&token);
                    // A child that has closed its end has given the request up, or is gone.
                    let connection = connection.filter(|_| events & HUNG_UP == 0);
                    let chosen = connection.as_ref().is_some_and(|connection| connection.is_met());
                    if self.launch.group.maximum_processes == 1 || !chosen {
                        self.claim();
                    }
                    thread.guarded(|thread| connection.map(|connection| thread.serve(connection, true)));
                }
                Err(error) => {
                    write_message(&Message::new(
                        Code::WaitFailed,
                        format!("waiting for requests failed: {}", wording(&error)),
                    ));
                    return;
                }
            }
        }
        // The listener may have woken this thread for a connection of which no other process was told.
        if self.accepting.load(Ordering::SeqCst) && !self.runs_once() && !thread.abandoned {
            thread.guarded(Worker::accept);
        }
    }

    /// Counts the thread in the hint by which httpd's children choose among a group's processes. A
    /// child that chooses this process takes one off; what a child took and never used comes back
    /// when all threads wait.
    fn begin_to_wait(&self) {
        let (hint, threads) = (self.page.waiting(self.slot()), self.launch.group.threads);
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        if waiting == threads {
            hint.store(threads as i32, Ordering::Relaxed);
        } else {
            hint.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes the thread out of the hint where no child did.
    fn claim(&self) {
        self.page.waiting(self.slot()).fetch_sub(1, Ordering::Relaxed);
    }

    /// One request and no other: what `wsgi.run_once` says.
    pub fn runs_once(&self) -> bool {
        self.launch.group.runs_once()
    }

    /// A trouble that many threads have many times is said every few seconds only.
    fn may_complain(&self) -> bool {
        let now = os::milliseconds_now();
        let last = self.complained.load(Ordering::Relaxed);
        let due = last == 0 || now - last >= COMPLAINTS;
        due && self.complained.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The process's slot on the group page.
    fn slot(&self) -> usize {
        self.launch.slot as usize
    }

    fn ask_for_renewal(&self) {
        // Without a supervisor no other process can replace this one.
        let _ = self.control.send(&Report::Renew(Reason::MaximumRequests));
        if self.runs_once() {
            self.drain();
        }
    }

    /// Puts a connection back to wait for its next request.
    fn rest(&self, connection: Box<Connection>, known: bool) {
        let token = connection.stream().number();
        let mut idle = self.idle.lock();
        if self.draining.load(Ordering::SeqCst) {
            return;
        }
        let fd = connection.as_fd();
        let armed = match known {
            true => self.epoll.modify(fd, token, ONCE),
            false => self.epoll.add(fd, token, ONCE),
        };
        // Inserted under the lock, so the thread that the event wakes finds it.
        if armed.is_ok() {
            if !connection.is_met() {
                let_go_of_unmet(&mut idle);
            }
            idle.insert(token, connection);
        }
    }
}

/// A child sends the secret as soon as it has connected, and tries again where that was not soon enough. So
/// of many that wait the one that has waited longest is closed.
fn let_go_of_unmet(idle: &mut HashMap<u64, Box<Connection>>) {
    let unmet = || idle.iter().filter(|(_, connection)| !connection.is_met()).map(|(token, _)| *token);
    if unmet().count() >= MOST_UNMET
        && let Some(oldest) = unmet().min()
    {
        idle.remove(&oldest);
    }
}

/// Counts a thread's end, even when it ends by a panic.
struct ThreadEnd<'a>(&'a Workers);

impl Drop for ThreadEnd<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
        // The counter of an event cannot overflow with so few threads.
        let _ = os::event(self.0.end.as_fd());
    }
}

struct Worker<'a> {
    workers: &'a Workers,
    states: ThreadStates,
    thread_id: u32,
    /// No client waited for the request that it had since it last waited itself: the process may end without
    /// this thread, so it takes no other.
    abandoned: bool,
    /// The request frame being served; kept for its memory.
    payload: Vec<u8>,
    /// The last script that was found to belong to `script-user=` or `script-group=`.
    allowed: Vec<u8>,
}

impl Worker<'_> {
    /// A panic outside of the application costs the connection, not the thread.
    fn guarded<R>(&mut self, work: impl FnOnce(&mut Self) -> R) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            write_message(&Message::new(
                Code::ConnectionPanicked,
                "a panic while a connection was served; please report the lines above",
            ));
        }
    }

    fn accept(&mut self) {
        let workers = self.workers;
        let stream = match os::accept(workers.listener.as_fd()) {
            Ok(Some(stream)) => stream,
            Ok(None) => return,
            Err(error) => {
                if workers.may_complain() {
                    let text =
                        format!("connections cannot be accepted, and wait in the queue: {}", wording(&error));
                    write_message(&Message::new(Code::AcceptFailed, text));
                }
                // Out of descriptors: the connection stays queued, the loop must not spin.
                std::thread::sleep(Duration::from_millis(50));
                return;
            }
        };
        // One that waited in the queue for too long was given up by its child.
        if !os::has_hung_up(stream.as_fd())
            && let Some(connection) = self.admit(stream)
        {
            self.serve(connection, false);
        }
    }

    /// Only this httpd's children may talk to a daemon. Which user a process runs as is looked at first, and
    /// is not enough (`meet`).
    fn admit(&self, stream: UnixStream) -> Option<Box<Connection>> {
        let peer = os::peer_credentials(stream.as_fd()).ok()?;
        if peer.uid != self.workers.launch.httpd_uid && peer.uid != 0 {
            if !self.workers.may_complain() {
                return None;
            }
            let text = format!(
                "refused a connection from uid {} (process {}): only uid {} and root may send requests; where an MPM \
                 of httpd changes the user for each request (AssignUserID of mpm_itk), name that user with \
                 socket-user= of WSGIDaemonProcess",
                peer.uid, peer.pid, self.workers.launch.httpd_uid
            );
            write_message(&Message::new(Code::StrangerRefused, text));
            return None;
        }
        // Reading needs no limit: the child has one for its client, and when it ends the kernel tells.
        stream.set_write_timeout(bound(self.workers.launch.socket_timeout)).ok()?;
        Some(Box::new(Connection::new(stream)))
    }

    /// The connection comes back unless a stranger is at its other end. No thread waits for one that says
    /// nothing.
    fn meet(&self, mut connection: Box<Connection>) -> Option<Box<Connection>> {
        let workers = self.workers;
        match connection.meet(&workers.launch.secret).ok()? {
            Meeting::Httpd => {
                let (page, slot) = (&workers.page, workers.slot());
                connection.hello(slot as u32, page.times(slot)).ok()?;
            }
            Meeting::Later => {}
            Meeting::Stranger => {
                if workers.may_complain() {
                    let peer = os::peer_credentials(connection.as_fd()).ok()?;
                    let text = format!(
                        "refused a connection of process {} (uid {}): it runs as httpd does and does not know the \
                         secret of the group's socket, so it is none of httpd's children",
                        peer.pid, peer.uid
                    );
                    write_message(&Message::new(Code::SecretWrong, text));
                }
                return None;
            }
        }
        Some(connection)
    }

    /// `known` says that the connection is in the epoll set already.
    fn serve(&mut self, connection: Box<Connection>, known: bool) {
        let met = if connection.is_met() { Some(connection) } else { self.meet(connection) };
        let served = met.and_then(|connection| match connection.is_met() {
            true => self.serve_request(connection),
            false => Some(connection),
        });
        if let Some(mut connection) = served {
            connection.settle();
            self.workers.rest(connection, known);
        }
    }

    /// Serves one request; the connection comes back if it can take another.
    fn serve_request(&mut self, mut connection: Box<Connection>) -> Option<Box<Connection>> {
        let mut payload = std::mem::take(&mut self.payload);
        let received = connection.incoming.receive_request(&mut payload);
        let served = match received {
            Ok(true) => self.run(connection, &payload),
            // Closed by the child, as when it ends; or broken, which the child reports.
            Ok(false) | Err(_) => None,
        };
        payload.shrink_to(64 * 1024);
        self.payload = payload;
        served
    }

    fn run(&mut self, mut connection: Box<Connection>, payload: &[u8]) -> Option<Box<Connection>> {
        let (request, first) = decode_request(payload).ok()?;
        let workers = self.workers;
        workers.roster.receive(self.thread_id, connection.stream(), &request);
        if workers.draining.load(Ordering::SeqCst) {
            // `drain` may not have seen it: the main thread gives it back if it does not begin at once.
            let _ = os::event(workers.end.as_fd());
        }
        connection.incoming.begin(request.body, first);
        let connection = self.answer(connection, request);
        let left = workers.roster.leave(self.thread_id);
        self.abandoned = left.abandoned;
        if workers.launch.group.limits.maximum_requests == Some(left.served) {
            workers.ask_for_renewal();
        }
        connection
    }

    fn answer(&mut self, mut connection: Box<Connection>, request: Request<'_>) -> Option<Box<Connection>> {
        let mut environ = EnvironBuilder::with_capacity(request.environ.0.len() + 64);
        environ.append(request.environ);
        let begun = now();
        connection.outgoing.begin(begun, request.takes_files);
        if request.purpose == Purpose::Application {
            environ.push(b"mod_wsgi.daemon_start", begun.to_string().as_bytes());
        }
        let request = Request { environ: environ.environ(), ..request };
        if !self.run_in_interpreter(&mut connection, &request) {
            return None;
        }
        match connection.flush() {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                let text = "an answer was cut: httpd did not take it within socket-timeout, as when the \
                            client reads too slowly";
                write_message(&Message::new(Code::AnswerNotTaken, text));
            }
            // The child is gone, or has closed because its client is.
            Err(_) => {}
        }
        connection.is_clean().then_some(connection)
    }

    /// The child has looked too, for each request; what has got into a child is not to choose a script.
    fn may_run(&mut self, script: &[u8]) -> Result<(), Message> {
        let group = &self.workers.launch.group;
        if group.script_user.or(group.script_group).is_some() && self.allowed != script {
            owner::check(Path::new(OsStr::from_bytes(script)), group)?;
            self.allowed = script.to_vec();
        }
        Ok(())
    }

    /// False if the request was given back.
    fn run_in_interpreter(&mut self, connection: &mut Connection, request: &Request<'_>) -> bool {
        if let Err(message) = self.may_run(request.script) {
            connection.outgoing.log(message.level, message.to_string().as_bytes());
            connection.outgoing.end(Outcome::Failed(403));
            return true;
        }
        let main = self.workers.interpreters.main().state;
        let group = String::from_utf8_lossy(request.application_group);
        let interpreter = match self.workers.interpreters.get(&self.states.main(), &group) {
            Ok(interpreter) => interpreter,
            Err(message) => {
                connection.outgoing.log(message.level, message.to_string().as_bytes());
                connection.outgoing.end(Outcome::Failed(status_without(&message)));
                return true;
            }
        };
        let thread_id = self.thread_id;
        let state = self.states.of(&interpreter, main);
        let Connection { incoming, outgoing, .. } = connection;
        let roster = &self.workers.roster;
        let waits = interpreter.world.events.wait_begins();
        let ran = Transaction::conduct(incoming, outgoing, request.body, waits, |transaction| {
            interpreter.in_turn(&state, |py| {
                transaction.attached();
                let ours = roster.start(py, thread_id, &interpreter);
                let ran = ours.then(|| match request.purpose {
                    Purpose::Application => run::run(py, &interpreter, request, thread_id, transaction),
                    _ => ask::run(py, &interpreter, request, transaction),
                });
                roster.finish(py, thread_id);
                ran
            })
        });
        if let Some(Some(change)) = &ran {
            self.report_change(request.script, change);
        }
        ran.is_some()
    }

    fn report_change(&self, script: &[u8], change: &Change) {
        let path = String::from_utf8_lossy(script).into_owned();
        let report = match change {
            Change::Modified(time) => {
                let modified = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Report::Reload { path, modified: i64::try_from(modified.as_nanos()).unwrap_or(i64::MAX) }
            }
            Change::Required => Report::ReloadRequired { path },
        };
        // Without a supervisor no other process can replace this one.
        let _ = self.workers.control.send(&report);
    }
}
