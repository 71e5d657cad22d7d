//! What a copy of this process must not have: an application's fork copies descriptors and shared memory that
//! mean something in the original only.
//!
//! Daemons and httpd children with Python inside use it. The at-fork function here runs in the copy, before
//! the application's code does, and may only do what is allowed in a signal handler (signal-safety(7)): it
//! allocates and locks nothing. Each number stays taken, by an event that no thread waits for: code in the
//! copy that still believes that it owns the number does no harm by closing it. A copy that was made without
//! at-fork functions (vfork, a bare system call) keeps everything; for it the two ends of a connection
//! (`Link`) never rely on the other's last descriptor being closed.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize};

use rustix::io::DupFlags;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::net::sockopt;

use super::descriptor::{eventfd, look_up};
use super::fork::at_fork;
use super::mask::SignalMask;
use super::process::default_signal;
use super::signal_event;

/// One bit for each descriptor; numbers beyond them are not kept from copies.
static DESCRIPTORS: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];

/// One bit for each listening socket of httpd's, which its end must free though a copy goes on.
static LISTENING: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// Shared memory: where, and how much. Size 0 is no memory.
static MEMORY: [(AtomicPtr<u8>, AtomicUsize); 4] =
    [const { (AtomicPtr::new(ptr::null_mut()), AtomicUsize::new(0)) }; 4];

/// What a fork copies is put away; false in the copy itself.
static ARMED: AtomicBool = AtomicBool::new(false);

/// Whose the process is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// A daemon: its handlers are those of `SignalEvent`.
    Daemon,
    /// A child of httpd, whose handlers and blocked signals are httpd's.
    Httpd,
}

/// From now on, what is forked here is a copy that the application makes.
pub fn put_away_in_copies(host: Host) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| match host {
        Host::Daemon => at_fork(None, None, Some(in_copy_of_daemon)),
        Host::Httpd => {
            at_fork(Some(before_copy_of_httpd), Some(after_copy_of_httpd), Some(in_copy_of_httpd));
        }
    });
    if host == Host::Httpd {
        note_listening_sockets();
    }
    ARMED.store(true, SeqCst);
}

/// This descriptor is the original's alone, until it is given free.
pub fn keep_from_copies(fd: BorrowedFd<'_>) {
    if let Some((word, bit)) = place(fd) {
        word.fetch_or(bit, Relaxed);
    }
}

/// To be called before it is closed: the number may be the application's next.
pub(super) fn give_free(fd: BorrowedFd<'_>) {
    if let Some((word, bit)) = place(fd) {
        word.fetch_and(!bit, Relaxed);
    }
}

fn place(fd: BorrowedFd<'_>) -> Option<(&'static AtomicU64, u64)> {
    let number = usize::try_from(fd.as_raw_fd()).ok()?;
    Some((DESCRIPTORS.get(number / 64)?, 1 << (number % 64)))
}

/// This memory is never unmapped. A copy gets pages of its own in its place.
pub(super) fn keep_memory_from_copies(start: *mut u8, size: usize) {
    let free = |(_, taken): &&(AtomicPtr<u8>, AtomicUsize)| taken.load(Relaxed) == 0;
    if let Some((place, taken)) = MEMORY.iter().find(free) {
        place.store(start, Relaxed);
        taken.store(size, SeqCst);
    }
}

extern "C" fn in_copy_of_daemon() {
    if ARMED.swap(false, SeqCst) {
        put_away();
        signal_event::reset_in_copy();
    }
}

thread_local! {
    /// What the thread that forks had blocked before.
    static BLOCKED: Cell<Option<SignalMask>> = const { Cell::new(None) };
}

/// A signal for the copy is not to come while that still has httpd's handlers.
extern "C" fn before_copy_of_httpd() {
    BLOCKED.set(Some(SignalMask::current()));
    SignalMask::all().set();
}

extern "C" fn after_copy_of_httpd() {
    if let Some(mask) = BLOCKED.take() {
        mask.set();
    }
}

extern "C" fn in_copy_of_httpd() {
    let blocked = BLOCKED.take();
    if ARMED.swap(false, SeqCst) {
        add_listening_sockets();
        put_away();
        // Handlers of httpd's: the application could have set none in this program.
        for signal in
            [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGWINCH]
        {
            default_signal(signal);
        }
        // httpd's threads leave signals to its main thread, which a copy does not have.
        SignalMask::none().set();
    } else if let Some(mask) = blocked {
        mask.set();
    }
}

/// At Python's start: what listens before any code of the application runs is httpd's.
fn note_listening_sockets() {
    for number in (0..64 * LISTENING.len()).filter(|number| listens(*number as RawFd)) {
        LISTENING[number / 64].fetch_or(1 << (number % 64), Relaxed);
    }
}

/// False for a number that is not open, or no socket.
fn listens(number: RawFd) -> bool {
    look_up(number, |fd| sockopt::socket_acceptconn(fd)).unwrap_or(false)
}

/// A child that ends closes its sockets early, and their numbers may be others' by now.
fn add_listening_sockets() {
    for (index, word) in LISTENING.iter().enumerate() {
        let (mut bits, mut listening) = (word.load(Relaxed), 0);
        while bits != 0 {
            let bit = bits & bits.wrapping_neg();
            bits &= bits - 1;
            if listens((index * 64) as RawFd + bit.trailing_zeros() as RawFd) {
                listening |= bit;
            }
        }
        DESCRIPTORS[index].fetch_or(listening, Relaxed);
    }
}

fn put_away() {
    let filler = eventfd();
    for (index, word) in DESCRIPTORS.iter().enumerate() {
        let mut bits = word.swap(0, Relaxed);
        while bits != 0 {
            let number = (index * 64) as RawFd + bits.trailing_zeros() as RawFd;
            bits &= bits - 1;
            // SAFETY: the number belongs to this module, and not to the application; its owner does not run
            // here.
            let mut taken = unsafe { OwnedFd::from_raw_fd(number) };
            match &filler {
                Ok(filler) if rustix::io::dup3(filler, &mut taken, DupFlags::CLOEXEC).is_ok() => {
                    // It stays open.
                    let _ = taken.into_raw_fd();
                }
                // Without a descriptor to replace it, that it is closed matters most.
                _ => drop(taken),
            }
        }
    }
    for (start, size) in &MEMORY {
        let (start, size) = (start.load(Relaxed), size.swap(0, Relaxed));
        if size > 0 {
            let (access, kind) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::FIXED);
            // SAFETY: a mapping of `SharedMemory` that is never unmapped is replaced by one of the same size,
            // whose zeros are as good as whatever another process could have written.
            let _ = unsafe { rustix::mm::mmap_anonymous(start.cast(), size, access, kind) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;
    use crate::os::{
        Exit, Link, SharedMemory, SignalEvent, fork_for_test, kill, pipe, shared_memory, wait_for_test,
    };

    #[test]
    fn a_copy_has_nothing_of_the_originals() {
        let pid = fork_for_test(|| {
            let (reader, writer) = pipe().unwrap();
            keep_from_copies(writer.as_fd());
            let memory = SharedMemory::map(shared_memory(c"test", 4096).unwrap().as_fd()).unwrap();
            memory.keep_from_copies();
            let signals = SignalEvent::new().unwrap();
            signals.watch(&[libc::SIGTERM]).unwrap();
            put_away_in_copies(Host::Daemon);
            let copy = fork_for_test(|| {
                // The number is taken, and leads nowhere.
                assert!(
                    std::fs::File::from(writer.as_fd().try_clone_to_owned().unwrap()).write(b"x").is_err()
                );
                memory.words()[0].store(7, SeqCst);
                loop {
                    std::thread::park();
                }
            });
            let mut state = [0; 1];
            drop(writer);
            assert_eq!(std::io::Read::read(&mut std::fs::File::from(reader), &mut state).unwrap(), 0);
            kill(copy, libc::SIGTERM).unwrap();
            assert_eq!(wait_for_test(copy), Exit::Signal(libc::SIGTERM));
            assert_eq!(memory.words()[0].load(SeqCst), 0);
            assert!(signals.take().is_empty());
        });
        assert_eq!(wait_for_test(pid), Exit::Status(0));
    }

    #[test]
    fn a_link_ends_though_others_hold_it() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let held = ours.try_clone().unwrap();
        drop(Link::new(ours));
        assert_eq!(std::io::Read::read(&mut &theirs, &mut [0; 1]).unwrap(), 0);
        drop(held);
    }
}
