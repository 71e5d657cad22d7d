//! The page of a process group: a few words of memory that all processes around the group share.
//!
//! Mapped by the httpd parent (which makes it with the listening socket and keeps both across
//! restarts), its children, the supervisors of all generations and that group's own daemons. Every
//! process that maps it can write it, and daemons run the site's code: nothing read here is trusted with more
//! than the group's own service. Its size is sealed, so that no mapping can be made to fault.

#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, fence};
use std::time::Duration;

use crate::os::{self, SharedMemory};

/// Processes that one group can have at a time, all generations together.
pub const SLOTS: usize = 512;

/// Longest reason of a failure, in bytes; what is longer is cut.
const REASON: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    Starting = 1,
    Ready = 2,
    Draining = 3,
}

/// One process. A cache line each, since busy daemons write their own all the time.
#[repr(C, align(64))]
struct Slot {
    /// 0 is free, -1 claimed for a process that is about to be forked.
    pid: AtomicI32,
    state: AtomicU32,
    generation: AtomicU64,
    waiting: AtomicI32,
    /// Configured scripts that it has loaded.
    loaded: AtomicU32,
    /// How many processes have had the slot before.
    times: AtomicU32,
    /// Since when a script is being loaded, in milliseconds; 0 when none is.
    loading_since: AtomicU64,
}

#[repr(C, align(64))]
struct Page {
    /// One more than the highest slot that was ever claimed, so that counting looks at few.
    used: AtomicU32,
    retired: AtomicU32,
    newest_ready: AtomicU64,
    /// One more than the generation that fails; 0 when none does.
    failing: AtomicU64,
    /// Odd while the reason is being written.
    reason_version: AtomicU32,
    reason_length: AtomicU32,
    reason: [AtomicU8; REASON],
    apart: AtomicU32,
    slots: [Slot; SLOTS],
}

pub struct GroupPage {
    fd: OwnedFd,
    memory: SharedMemory,
}

fn for_how_long(slot: &Slot) -> Option<Duration> {
    let since = slot.loading_since.load(Relaxed);
    (since > 0).then(|| Duration::from_millis(os::milliseconds_now().saturating_sub(since)))
}

impl GroupPage {
    /// A new page: no process, nothing failed.
    pub fn create() -> io::Result<GroupPage> {
        GroupPage::from_fd(os::shared_memory(c"mod_wsgi_rs-group", mem::size_of::<Page>())?)
    }

    /// The page that another process made; `InvalidData` if the descriptor holds none.
    pub fn from_fd(fd: OwnedFd) -> io::Result<GroupPage> {
        let memory = SharedMemory::map(fd.as_fd())?;
        if memory.size() != mem::size_of::<Page>() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a group page of this build"));
        }
        Ok(GroupPage { fd, memory })
    }

    /// For the daemon, which maps it on its own, and for httpd to keep it across a restart.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// In a daemon: what the application forks cannot write here.
    pub fn keep_from_copies(&self) {
        os::keep_from_copies(self.fd());
        self.memory.keep_from_copies();
    }

    /// In a supervisor, whose daemons map it on their own.
    pub fn keep_from_forks(&self) {
        self.memory.keep_from_forks();
    }

    /// A free slot, marked as starting; None when all are taken.
    pub fn claim_slot(&self, generation: u64) -> Option<usize> {
        let claim = |slot: &Slot| slot.pid.compare_exchange(0, -1, AcqRel, Relaxed).is_ok();
        let index = self.page().slots.iter().position(claim)?;
        let slot = &self.page().slots[index];
        slot.generation.store(generation, Relaxed);
        slot.waiting.store(0, Relaxed);
        slot.loaded.store(0, Relaxed);
        slot.loading_since.store(0, Relaxed);
        slot.state.store(SlotState::Starting as u32, Release);
        self.page().used.fetch_max(index as u32 + 1, AcqRel);
        Some(index)
    }

    pub fn set_pid(&self, slot: usize, pid: i32) {
        self.page().slots[slot].pid.store(pid, Release);
    }

    pub fn set_state(&self, slot: usize, state: SlotState) {
        self.page().slots[slot].state.store(state as u32, Release);
    }

    pub fn set_loaded(&self, slot: usize, scripts: u32) {
        self.page().slots[slot].loaded.store(scripts, Relaxed);
    }

    /// Whether the process is loading a script, as it says itself.
    pub fn set_loading(&self, slot: usize, loading: bool) {
        let since = if loading { os::milliseconds_now() } else { 0 };
        self.page().slots[slot].loading_since.store(since, Relaxed);
    }

    /// For how long a process has been loading a script by now.
    pub fn loading_for(&self, slot: usize) -> Option<Duration> {
        for_how_long(&self.page().slots[slot])
    }

    /// The same for the process of the group that has been at it longest.
    pub fn longest_loading(&self) -> Option<Duration> {
        self.used().iter().filter(|slot| slot.pid.load(Acquire) > 0).filter_map(for_how_long).max()
    }

    /// The most scripts that a process has loaded which accepts requests, of whatever generation. None where
    /// there is no such process.
    pub fn most_loaded(&self) -> Option<u32> {
        self.in_state(SlotState::Ready).map(|slot| slot.loaded.load(Relaxed)).max()
    }

    pub fn release_slot(&self, slot: usize) {
        let slot = &self.page().slots[slot];
        slot.state.store(0, Relaxed);
        slot.waiting.store(0, Relaxed);
        slot.times.fetch_add(1, Release);
        slot.pid.store(0, Release);
    }

    /// How many processes have had the slot before the one that has it now. The number changes when that has
    /// ended, which is how a child sees it where a connection does not tell: others may hold copies of it.
    pub fn times(&self, slot: usize) -> u32 {
        self.page().slots[slot].times.load(Acquire)
    }

    /// Gives back what a supervisor of this generation that was killed left behind.
    pub fn clear_generation(&self, generation: u64) {
        for index in 0..self.used().len() {
            if self.used()[index].generation.load(Acquire) == generation {
                self.release_slot(index);
            }
        }
    }

    /// Processes that accept requests, of whatever generation.
    pub fn ready_processes(&self) -> usize {
        self.in_state(SlotState::Ready).count()
    }

    /// Processes that have not said yet that they are ready.
    #[cfg(test)]
    pub fn starting_processes(&self) -> usize {
        self.in_state(SlotState::Starting).count()
    }

    /// Whether a process of another generation than this one has a slot.
    pub fn is_used_by_others(&self, generation: u64) -> bool {
        let taken = |slot: &&Slot| slot.pid.load(Acquire) != 0;
        self.used().iter().filter(taken).any(|slot| slot.generation.load(Relaxed) != generation)
    }

    /// The same for generations that are older than this one.
    pub fn is_used_by_older(&self, generation: u64) -> bool {
        let taken = |slot: &&Slot| slot.pid.load(Acquire) != 0;
        self.used().iter().filter(taken).any(|slot| slot.generation.load(Relaxed) < generation)
    }

    /// All processes, of whatever generation, as far as they have been born.
    pub fn pids(&self) -> impl Iterator<Item = i32> {
        self.used().iter().map(|slot| slot.pid.load(Acquire)).filter(|pid| *pid > 0)
    }

    /// Those of them that belong to older generations than this one.
    pub fn older_pids(&self, generation: u64) -> impl Iterator<Item = i32> {
        let older = self.used().iter().filter(move |slot| slot.generation.load(Relaxed) < generation);
        older.map(|slot| slot.pid.load(Acquire)).filter(|pid| *pid > 0)
    }

    /// It was found that old and new processes of the group cannot be there together; also for later
    /// generations.
    pub fn set_apart(&self) {
        self.page().apart.store(1, Release);
    }

    pub fn is_apart(&self) -> bool {
        self.page().apart.load(Acquire) != 0
    }

    /// A hint kept by the daemon and the children: worker threads of this process with nothing to do.
    pub fn waiting(&self, slot: usize) -> &AtomicI32 {
        &self.page().slots[slot].waiting
    }

    /// This generation cannot start its processes; the reason is for the log line of a request.
    pub fn fail(&self, generation: u64, reason: &str) {
        let page = self.page();
        page.reason_version.fetch_add(1, SeqCst);
        fence(Release);
        let length = reason.len().min(REASON);
        page.reason_length.store(length as u32, Relaxed);
        for (to, from) in page.reason.iter().zip(reason.bytes()) {
            to.store(from, Relaxed);
        }
        page.reason_version.fetch_add(1, SeqCst);
        page.failing.store(generation + 1, Release);
    }

    /// This generation has a process that is ready, or has ended: older failures are over too.
    pub fn recovered(&self, generation: u64) {
        let over = |failing| (failing != 0 && failing <= generation + 1).then_some(0);
        // An error means that there was nothing to take back.
        let _ = self.page().failing.fetch_update(AcqRel, Acquire, over);
    }

    /// Why no process can be started; None while that is not so.
    pub fn failure(&self) -> Option<String> {
        let page = self.page();
        if page.failing.load(Acquire) == 0 {
            return None;
        }
        // A writer takes microseconds; one that was killed half-way is not waited for.
        for _ in 0..100 {
            let before = page.reason_version.load(SeqCst);
            let text = self.reason();
            fence(Acquire);
            if before.is_multiple_of(2) && page.reason_version.load(SeqCst) == before {
                return Some(text);
            }
            std::hint::spin_loop();
        }
        Some(self.reason())
    }

    /// All processes of this generation are ready: those of older ones need accept no more.
    pub fn supersede(&self, generation: u64) {
        self.page().newest_ready.fetch_max(generation, AcqRel);
    }

    /// The newest generation whose processes were all ready; 0 before the first.
    pub fn newest_ready(&self) -> u64 {
        self.page().newest_ready.load(Acquire)
    }

    /// The configuration has no use for the socket any more: the last generation that uses it removes
    /// its file.
    pub fn retire(&self) {
        self.page().retired.store(1, Release);
    }

    pub fn is_retired(&self) -> bool {
        self.page().retired.load(Acquire) != 0
    }

    fn page(&self) -> &Page {
        // SAFETY: mapped for as long as `self` lives, of this size (see `from_fd`), aligned and never
        // resized; atomics have no invalid values, whatever another process writes.
        unsafe { self.memory.start().cast::<Page>().as_ref() }
    }

    fn used(&self) -> &[Slot] {
        let used = self.page().used.load(Acquire) as usize;
        &self.page().slots[..used.min(SLOTS)]
    }

    fn in_state(&self, state: SlotState) -> impl Iterator<Item = &Slot> {
        let is = move |slot: &&Slot| slot.pid.load(Acquire) != 0 && slot.state.load(Acquire) == state as u32;
        self.used().iter().filter(is)
    }

    fn reason(&self) -> String {
        let length = (self.page().reason_length.load(Relaxed) as usize).min(REASON);
        let bytes: Vec<u8> = self.page().reason[..length].iter().map(|byte| byte.load(Relaxed)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_see_the_same_processes() {
        let ours = GroupPage::create().unwrap();
        let theirs = GroupPage::from_fd(ours.fd().try_clone_to_owned().unwrap()).unwrap();
        let slot = ours.claim_slot(3).unwrap();
        ours.set_pid(slot, 4711);
        assert_eq!((theirs.starting_processes(), theirs.ready_processes()), (1, 0));
        theirs.set_state(slot, SlotState::Ready);
        theirs.waiting(slot).store(5, Relaxed);
        assert_eq!((ours.starting_processes(), ours.ready_processes()), (0, 1));
        assert_eq!(ours.waiting(slot).load(Relaxed), 5);
        assert!(ours.older_pids(4).eq([4711]) && ours.older_pids(3).next().is_none());
        assert!(ours.pids().eq([4711]) && !ours.is_apart());
        theirs.set_apart();
        assert!(ours.is_apart());
        ours.set_loaded(slot, 2);
        assert_eq!(theirs.most_loaded(), Some(2));
        assert!(ours.is_used_by_others(4) && !ours.is_used_by_others(3));
        let times = theirs.times(slot);
        ours.release_slot(slot);
        assert_eq!((theirs.ready_processes(), theirs.most_loaded()), (0, None));
        assert_ne!(theirs.times(slot), times, "that process has ended");
        assert_eq!(ours.claim_slot(3), Some(slot));
        ours.set_pid(slot, 4712);
        ours.set_state(slot, SlotState::Ready);
        assert_eq!(theirs.most_loaded(), Some(0), "it is another process");
    }

    #[test]
    fn slots_end_and_a_generation_gives_its_own_back() {
        let page = GroupPage::create().unwrap();
        for slot in 0..SLOTS {
            assert_eq!(page.claim_slot((slot % 2) as u64), Some(slot));
        }
        assert_eq!(page.claim_slot(2), None);
        page.clear_generation(1);
        assert_eq!(page.starting_processes(), SLOTS / 2);
        assert_eq!(page.claim_slot(2), Some(1));
    }

    #[test]
    fn a_failure_has_a_reason_until_its_generation_or_a_newer_one_recovers() {
        let page = GroupPage::create().unwrap();
        assert_eq!(page.failure(), None);
        page.fail(2, &"é".repeat(2000));
        assert!(page.failure().unwrap().starts_with("éé"));
        page.fail(2, "no Python");
        assert_eq!(page.failure().as_deref(), Some("no Python"));
        page.recovered(1);
        assert!(page.failure().is_some());
        page.recovered(2);
        assert_eq!(page.failure(), None);
    }

    #[test]
    fn the_newest_ready_generation_only_grows() {
        let page = GroupPage::create().unwrap();
        page.supersede(5);
        page.supersede(4);
        assert_eq!(page.newest_ready(), 5);
        assert!(!page.is_retired());
        page.retire();
        assert!(page.is_retired());
    }

    #[test]
    fn something_else_is_not_taken_for_a_page() {
        assert!(GroupPage::from_fd(os::memfd(c"small", 4096).unwrap()).is_err());
    }
}
