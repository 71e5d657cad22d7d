//! What happens in a fork of this process that another library or the application makes.
//!
//! Called by `os::copies` in daemons and httpd children, and by a template (`daemon::template`) before it
//! forks a daemon. The functions run in the fork, where other threads may have held a lock: they allocate and
//! lock nothing (pthread_atfork(3)).

#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::process::die_with_parent;

type AtFork = extern "C" fn();

/// From now on these run at each fork: before it, after it in the parent, and in the child. They stay for as
/// long as the process, as this library does.
pub(super) fn at_fork(before: Option<AtFork>, in_parent: Option<AtFork>, in_child: Option<AtFork>) {
    let [before, in_parent, in_child] = [before, in_parent, in_child]
        .map(|function| function.map(|function| function as unsafe extern "C" fn()));
    // SAFETY: they are functions of this library, which is never unloaded, and need no arguments. (rustix and
    // nix have no pthread_atfork.)
    unsafe { libc::pthread_atfork(before, in_parent, in_child) };
}

/// The next process that is forked here ends with this one. What that process forks itself does not end with
/// it. This comes before the at-fork functions of Python, in which a process can get stuck.
pub fn die_with_parent_after_next_fork() {
    static REGISTERED: Once = Once::new();
    static NEXT: AtomicBool = AtomicBool::new(false);
    extern "C" fn in_parent() {
        NEXT.store(false, Ordering::Relaxed);
    }
    extern "C" fn in_child() {
        if NEXT.swap(false, Ordering::Relaxed) {
            // It cannot fail with a signal that exists.
            let _ = die_with_parent(libc::SIGKILL);
        }
    }
    REGISTERED.call_once(|| at_fork(None, Some(in_parent), Some(in_child)));
    NEXT.store(true, Ordering::Relaxed);
}
