//! What a daemon is doing, written by it and read by its supervisor without its help: a few words of shared
//! memory for each process.
//!
//! A daemon that stands still, in C code or waiting for a lock, cannot tell; so the supervisor looks here.
//! The site's code could write anything, which would concern its own process only: what is read here is a moment
//! that has been. Times are milliseconds of
//! `os::milliseconds_now`, 0 stands for never.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::message::Work;
use crate::os::{self, SharedMemory, milliseconds_now};

/// Where each word stands. Behind them, two words for each thread: which request it is at, and since when.
const LAST: usize = 0;
const ATTACHING: usize = 1;
const LOADING: usize = 2;
const THREADS: usize = 3;

pub struct ActivityPage {
    memory: SharedMemory,
}

/// A request that is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    pub work: Work,
    pub since: u64,
}

/// The memory for a process with so many threads.
pub fn create(threads: u32) -> io::Result<OwnedFd> {
    let words = THREADS + 2 * threads as usize;
    os::shared_memory(c"mod_wsgi_rs-activity", words * size_of::<AtomicU64>())
}

impl ActivityPage {
    pub fn from_fd(memory: BorrowedFd<'_>) -> io::Result<ActivityPage> {
        let memory = SharedMemory::map(memory.as_fd())?;
        if memory.size() < THREADS * size_of::<AtomicU64>() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(ActivityPage { memory })
    }

    /// In a daemon: what the application forks cannot write here.
    pub fn keep_from_copies(&self) {
        self.memory.keep_from_copies();
    }

    /// In a supervisor, whose other daemons are not to have it for the moment until they are executed.
    pub fn keep_from_forks(&self) {
        self.memory.keep_from_forks();
    }

    /// The thread (numbers count from 1) takes a request; `active` says that this keeps the process from
    /// counting as idle.
    pub fn begin(&self, work: Work, active: bool) {
        let now = milliseconds_now();
        let place = self.place(work.thread);
        self.word(place).store(work.number.into(), Relaxed);
        // Rounded up, so that its time is over for the child that sent it when it is for the supervisor.
        self.word(place + 1).store(now + 1, Release);
        if active {
            self.word(LAST).store(now, Relaxed);
        }
    }

    pub fn end(&self, thread: u32, active: bool) {
        self.word(self.place(thread) + 1).store(0, Release);
        if active {
            self.word(LAST).store(milliseconds_now(), Relaxed);
        }
    }

    /// When a request last began or ended; 0 before its first request.
    pub fn last(&self) -> u64 {
        moment(self.word(LAST).load(Relaxed))
    }

    /// A thread waits to be attached to an interpreter, or has been.
    pub fn attaching(&self, yes: bool) {
        self.word(ATTACHING).store(if yes { milliseconds_now() } else { 0 }, Relaxed);
    }

    pub fn attaching_since(&self) -> u64 {
        moment(self.word(ATTACHING).load(Relaxed))
    }

    /// A script is being loaded, or could not be; the first moment counts.
    pub fn loading(&self) {
        // Another thread may have been first, which is as good.
        let _ = self.word(LOADING).compare_exchange(0, milliseconds_now(), Relaxed, Relaxed);
    }

    pub fn loaded(&self) {
        self.word(LOADING).store(0, Relaxed);
    }

    pub fn loading_since(&self) -> u64 {
        moment(self.word(LOADING).load(Relaxed))
    }

    pub fn running(&self) -> impl Iterator<Item = Running> {
        (1..).zip(self.memory.words()[THREADS..].chunks_exact(2)).filter_map(|(thread, words)| {
            let since = moment(words[1].load(Acquire));
            let number = words[0].load(Relaxed) as u32;
            (since != 0).then_some(Running { work: Work { thread, number }, since })
        })
    }

    fn place(&self, thread: u32) -> usize {
        THREADS + 2 * (thread as usize - 1)
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        &self.memory.words()[index]
    }
}

/// A moment that has been: whatever the site's code has written, none is reckoned with that is still to come.
/// `begin` writes the next millisecond.
fn moment(word: u64) -> u64 {
    word.min(milliseconds_now() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_sees_what_runs() {
        let memory = create(3).unwrap();
        let daemon = ActivityPage::from_fd(memory.as_fd()).unwrap();
        let supervisor = ActivityPage::from_fd(memory.as_fd()).unwrap();
        assert_eq!((supervisor.running().count(), supervisor.last()), (0, 0));
        let work = Work { thread: 3, number: 7 };
        daemon.begin(work, false);
        let running: Vec<_> = supervisor.running().collect();
        assert!(running.len() == 1 && running[0].work == work && running[0].since <= milliseconds_now() + 1);
        assert_eq!(supervisor.last(), 0);
        daemon.end(3, true);
        assert!(supervisor.running().next().is_none() && supervisor.last() > 0);
        daemon.loading();
        daemon.attaching(true);
        assert!(supervisor.loading_since() > 0 && supervisor.attaching_since() > 0);
        daemon.loaded();
        daemon.attaching(false);
        assert_eq!((supervisor.loading_since(), supervisor.attaching_since()), (0, 0));
    }

    #[test]
    fn no_word_is_taken_for_a_moment_to_come() {
        let memory = create(2).unwrap();
        let page = ActivityPage::from_fd(memory.as_fd()).unwrap();
        for word in page.memory.words() {
            word.store(u64::MAX, Relaxed);
        }
        let latest = || milliseconds_now() + 1;
        let read = [page.last(), page.attaching_since(), page.loading_since()];
        assert!(read.iter().all(|moment| *moment <= latest()));
        assert!(page.running().count() == 2 && page.running().all(|running| running.since <= latest()));
    }

    #[test]
    fn something_else_is_not_taken_for_it() {
        assert!(ActivityPage::from_fd(os::shared_memory(c"small", 8).unwrap().as_fd()).is_err());
    }
}
