//! What the processes of one session share: the terminal, the scheduler's autogroup and, unless one of them
//! has joined another, the kernel's session keyring.
//!
//! The supervisor leaves httpd's session, and its forked child the supervisor's, between fork and exec.

#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::ptr;

use super::fault::gate;

/// The process begins a session of its own. A terminal's Ctrl-C reaches it no more; what it says in
/// /proc/self/autogroup (sched(7)) concerns only itself and its children, and so does a signal to its process
/// group.
pub fn new_session() -> io::Result<()> {
    gate("setsid")?;
    rustix::process::setsid()?;
    Ok(())
}

/// Has the kernel prefer all of the process's session as a nice value does one process. The nice value itself
/// counts only among processes of one session. An error where the kernel groups no sessions.
pub fn set_session_priority(nice: i32) -> io::Result<()> {
    fs::write("/proc/self/autogroup", nice.to_string())
}

/// The process has a session keyring of its own, an empty one (session-keyring(7)). It counts as the calling
/// user's, and is possessed by the process whichever user that becomes. An error where the kernel has no keys,
/// or a container may not use them.
pub fn new_session_keyring() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    gate("keyctl")?;
    // SAFETY: the call takes a name, and no name is allowed. (rustix and nix have no keyctl.)
    let serial =
        unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, ptr::null::<libc::c_char>()) };
    if serial < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{Exit, fork_for_test, wait_for_test};

    #[test]
    fn a_new_session_is_led_by_the_process() {
        let pid = fork_for_test(|| {
            new_session().unwrap();
            let own = rustix::process::getpid();
            assert_eq!(rustix::process::getsid(None).unwrap(), own);
            assert!(new_session().is_err(), "it is the leader already");
        });
        assert_eq!(wait_for_test(pid), Exit::Status(0));
    }
}
