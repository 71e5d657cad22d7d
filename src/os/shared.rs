//! Memory that several processes have mapped, as `control::group_page` and `control::activity_page` use it.
//!
//! The httpd parent and the supervisor make it; they, the httpd children and the daemons map it. Its size is
//! sealed when it is made, so that no process can make a mapping fault (F_SEAL_SHRINK, memfd_create(2)).

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::copies::keep_memory_from_copies;
use super::descriptor::{memfd, seal_size};
use super::fault::gate;

pub struct SharedMemory {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: the mapping belongs to no thread, and its contents are reached through atomics only.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

/// New shared memory of this size in bytes, all zero.
pub fn shared_memory(name: &CStr, size: usize) -> io::Result<OwnedFd> {
    let memory = memfd(name, size as u64)?;
    seal_size(memory.as_fd())?;
    Ok(memory)
}

impl SharedMemory {
    /// Maps all of what `shared_memory` made, here or in another process.
    pub fn map(memory: BorrowedFd<'_>) -> io::Result<SharedMemory> {
        gate("mmap")?;
        let size = usize::try_from(rustix::fs::fstat(memory)?.st_size);
        let size = size.map_err(|_| io::ErrorKind::InvalidData)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses touches no memory in use.
        let start = unsafe { rustix::mm::mmap(ptr::null_mut(), size, access, MapFlags::SHARED, memory, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(SharedMemory { start, size })
    }

    /// What the application forks gets memory of its own in its place. For memory that stays until the
    /// process ends.
    pub fn keep_from_copies(&self) {
        keep_memory_from_copies(self.start.as_ptr(), self.size);
    }

    /// What this process forks has nothing in its place. A fork is then not slower for the memory, nor does it
    /// wait for another process that has it, and that keeps the kernel busy with it.
    pub fn keep_from_forks(&self) {
        // SAFETY: mapped by `map` with this size; the advice changes nothing in this process.
        let advised =
            unsafe { rustix::mm::madvise(self.start.as_ptr().cast(), self.size, Advice::LinuxDontFork) };
        // Advice that is not taken costs time only.
        let _ = advised;
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The beginning of a page, and so aligned for everything.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The memory as words that other processes may write at any time.
    pub fn words(&self) -> &[AtomicU64] {
        let count = self.size / size_of::<AtomicU64>();
        // SAFETY: mapped for as long as `self` lives, aligned, of this size and never resized; atomics have
        // no invalid values, whatever another process writes.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), count) }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this size; no reference into it outlives `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.size) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::os::{Exit, fork_for_test, wait_for_test};

    #[test]
    fn a_fork_has_none_of_it() {
        let memory = SharedMemory::map(shared_memory(c"of-one-process", 4096).unwrap().as_fd()).unwrap();
        let is_mapped = || std::fs::read_to_string("/proc/self/maps").unwrap().contains("of-one-process");
        memory.keep_from_forks();
        let pid = fork_for_test(|| assert!(!is_mapped()));
        assert_eq!(wait_for_test(pid), Exit::Status(0));
        assert!(is_mapped());
    }

    #[test]
    fn two_mappings_are_the_same_memory() {
        let memory = shared_memory(c"test", 4096).unwrap();
        let (ours, theirs) =
            (SharedMemory::map(memory.as_fd()).unwrap(), SharedMemory::map(memory.as_fd()).unwrap());
        drop(memory);
        ours.words()[511].store(7, Relaxed);
        assert_eq!((theirs.words()[511].load(Relaxed), theirs.words().len()), (7, 512));
    }
}
