//! Closing what came from a process group, on a thread beside those that serve requests.
//!
//! Runs in httpd children, one for each group. Closing can take as long as a site likes: a file of FUSE asks a
//! program of the site's own, a socket may linger until its peer has read. So no thread of a request closes
//! a connection, in which descriptors may still wait, or a descriptor that no answer needs. Where a child takes
//! no descriptors, those that wait are lost with the connection: the kernel then asks no program. The thread
//! lives while there is something to close. A group for which too much waits gets no more requests of this
//! child.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::os::{self, Link, Passed, SignalMask};

/// With more connections and descriptors than that, a group is full.
const MOST_WAITING: usize = 512;

const STACK: usize = 64 * 1024;

#[derive(Default)]
pub struct Closing {
    waiting: Mutex<Waiting>,
    /// Connections and descriptors that are not closed yet.
    count: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    /// With the descriptors that came on a connection; None where none may come.
    things: Vec<(Link, Option<Vec<OwnedFd>>)>,
    /// A thread closes them, or is about to.
    attended: bool,
}

impl Closing {
    pub(super) fn close(self: &Arc<Self>, link: Link, files: Option<Vec<OwnedFd>>) {
        self.count.fetch_add(things(&files), Ordering::Relaxed);
        let mut waiting = self.waiting.lock();
        waiting.things.push((link, files));
        if !waiting.attended {
            let (closing, builder) = (Arc::clone(self), thread::Builder::new().name("wsgi-closing".into()));
            // Without a thread it waits for the next.
            waiting.attended = builder.stack_size(STACK).spawn(move || closing.run()).is_ok();
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.count.load(Ordering::Relaxed) > MOST_WAITING
    }

    fn run(&self) {
        // Signals are for the threads that httpd leaves them to.
        SignalMask::all().set();
        while let Some((link, files)) = self.next() {
            let count = things(&files);
            if let Some(files) = files {
                close_all(files);
                empty(&link);
            }
            drop(link);
            self.count.fetch_sub(count, Ordering::Relaxed);
        }
    }

    fn next(&self) -> Option<(Link, Option<Vec<OwnedFd>>)> {
        let mut waiting = self.waiting.lock();
        let next = waiting.things.pop();
        waiting.attended = next.is_some();
        next
    }
}

/// A connection and its descriptors.
fn things(files: &Option<Vec<OwnedFd>>) -> usize {
    1 + files.as_ref().map_or(0, Vec::len)
}

/// A socket that is received does not linger; one that is lost with its connection would.
fn empty(link: &Link) {
    let (mut buffer, mut files) = ([0; 4096], Passed::default());
    while let Ok(Some(1..)) = os::receive_with_fds_now(link.as_fd(), &mut buffer, &mut files) {
        close_all(std::mem::take(&mut files.fds));
    }
}

fn close_all(files: Vec<OwnedFd>) {
    for file in files {
        os::forget_linger(file.as_fd());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::*;

    fn waits_for(what: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !what() {
            assert!(Instant::now() < end);
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_is_given_away_is_closed_elsewhere() {
        let closing = Arc::new(Closing::default());
        for _ in 0..3 {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let (mut reader, writer) = os::pipe().map(|(r, w)| (std::fs::File::from(r), w)).unwrap();
            closing.close(Link::new(ours), Some(vec![writer]));
            assert_eq!((theirs.read(&mut [0]).unwrap(), reader.read(&mut [0]).unwrap()), (0, 0));
            waits_for(|| closing.count.load(Ordering::Relaxed) == 0);
        }
    }

    #[test]
    fn a_group_for_which_too_much_waits_is_full() {
        let closing = Arc::new(Closing::default());
        closing.waiting.lock().attended = true;
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let files = Some((0..MOST_WAITING).map(|_| os::eventfd().unwrap()).collect());
        closing.close(Link::new(ours), files);
        assert!(closing.is_full());
        closing.run();
        assert!(!closing.is_full());
    }
}
