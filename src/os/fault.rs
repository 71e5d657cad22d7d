//! Has a system call fail where a test asks for it: with the feature `fault-injection` only, else this is
//! nothing.
//!
//! Each function of `os` that the httpd children and the supervisor use passes `gate` with the name of the
//! call that it is about to make. WSGI_FAULTS names a folder: a call that is made for the first time in a
//! process leaves a file `ROLE:CALL` below `seen/`, and the file `plan` says what is to fail. `once ROLE CALL
//! ERROR NTH` lets the nth such call fail once, by whichever process comes first, which removes the plan.
//! `random ROLE SEED ONE_IN` lets one in so many of all calls fail. An error is the system's number, or
//! `short` for a call that moves one byte.
//!
//! A process that has no role passes at once: the httpd parent, and daemons with their signal handlers.

#[cfg(not(feature = "fault-injection"))]
mod absent {
    #[inline(always)]
    pub fn play(_: &'static str) {}

    #[inline(always)]
    pub fn gate(_: &'static str) -> rustix::io::Result<()> {
        Ok(())
    }

    #[inline(always)]
    pub fn length(_: &'static str, whole: usize) -> usize {
        whole
    }
}

#[cfg(feature = "fault-injection")]
mod present {
    use std::collections::HashSet;
    use std::fs;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use once_cell::sync::Lazy;
    use parking_lot::{Mutex, RwLock};
    use rustix::io::Errno;

    /// Which process this is for the plan; empty for those whose calls never fail.
    static ROLE: RwLock<&str> = RwLock::new("");

    static FOLDER: Lazy<Option<PathBuf>> = Lazy::new(|| std::env::var_os("WSGI_FAULTS").map(PathBuf::from));

    static SEEN: Lazy<Mutex<HashSet<&str>>> = Lazy::new(Default::default);

    /// Calls so far that a plan with a number is about.
    static MET: AtomicU64 = AtomicU64::new(0);

    /// State of the random numbers; 0 before the first.
    static RANDOM: AtomicU64 = AtomicU64::new(0);

    /// What each call may be told; `short` is told by `length`.
    const ERRORS: [Errno; 4] = [Errno::INTR, Errno::AGAIN, Errno::MFILE, Errno::NOMEM];

    /// From now on the process is this one for the plan.
    pub fn play(role: &'static str) {
        SEEN.lock().clear();
        *ROLE.write() = role;
    }

    /// The error that the call is to fail with.
    pub fn gate(call: &'static str) -> rustix::io::Result<()> {
        let Some(fault) = fault(call, false) else { return Ok(()) };
        let error = fault.parse().map_or(Errno::NOMEM, Errno::from_raw_os_error);
        Err(error)
    }

    /// How much of its bytes the call is to move.
    pub fn length(call: &'static str, whole: usize) -> usize {
        if fault(call, true).is_some() { whole.min(1) } else { whole }
    }

    fn fault(call: &'static str, short: bool) -> Option<String> {
        let role = *ROLE.read();
        let folder = FOLDER.as_ref().filter(|_| !role.is_empty())?;
        if !short && SEEN.lock().insert(call) {
            // A user that may not write there has been seen before.
            let _ = fs::write(folder.join("seen").join(format!("{role}:{call}")), "");
        }
        let plan = fs::read_to_string(folder.join("plan")).ok()?;
        let words: Vec<&str> = plan.split_whitespace().collect();
        match words[..] {
            ["once", planned, of, error, nth]
                if planned == role && of == call && (error == "short") == short =>
            {
                if MET.fetch_add(1, Relaxed) + 1 < nth.parse().ok()? {
                    return None;
                }
                MET.store(0, Relaxed);
                fs::remove_file(folder.join("plan")).ok().map(|()| error.to_string())
            }
            ["random", planned, seed, one_in] if planned == role => {
                let number = random(seed.parse().ok()?);
                let hits = number % one_in.parse::<u64>().ok()?.max(1) == 0;
                let error = ERRORS[(number >> 32) as usize % ERRORS.len()];
                // Only streams move a part of their bytes, and the supervisor has none.
                (hits && !(short && role != "child")).then(|| error.raw_os_error().to_string())
            }
            _ => None,
        }
    }

    /// The next number of the sequence that belongs to the seed (splitmix64).
    fn random(seed: u64) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut number = RANDOM.fetch_add(step, Relaxed).wrapping_add(step).wrapping_add(seed);
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }
}

#[cfg(not(feature = "fault-injection"))]
pub use absent::{gate, length, play};
#[cfg(feature = "fault-injection")]
pub use present::{gate, length, play};
