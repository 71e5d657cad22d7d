//! The generation's pipes: how a supervisor learns that no process is left to serve.
//!
//! The httpd parent makes them for each generation of its configuration. The parent and that generation's
//! children alone hold the writing end of one, so end-of-file at the supervisor's end means that they are all
//! gone, in whatever way: stop, graceful, graceful-stop or a killed parent. Through the other the parent says
//! that a newer generation is coming. Pipes, since a process that runs a site's code could send descriptors
//! through a socket, and one that takes long to close would keep the supervisor.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::os::{self, PollFd};

/// The parent's and the children's end. Closing it, or ending, is all that a child does with it.
pub struct GenerationHolder {
    alive: OwnedFd,
    /// The parent's alone.
    announcer: Option<OwnedFd>,
}

/// The supervisor's end.
pub struct GenerationWatch {
    holders: OwnedFd,
    /// None once the parent has closed its end: it has announced what it had to.
    announcements: Option<OwnedFd>,
}

/// What the supervisor finds at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tidings {
    /// A newer configuration is coming: look whether its processes are ready.
    pub newer_is_coming: bool,
    /// No process is left that could send a request.
    pub ended: bool,
}

/// The parent keeps a copy of the watch for the case that it has to start another supervisor; so there is a
/// reader for what it writes, and no signal.
pub fn pair() -> io::Result<(GenerationWatch, GenerationHolder)> {
    let ((holders, alive), (announcements, announcer)) = (os::pipe()?, os::pipe()?);
    for end in [&holders, &announcements, &announcer] {
        os::set_nonblocking(end.as_fd(), true)?;
    }
    let watch = GenerationWatch { holders, announcements: Some(announcements) };
    Ok((watch, GenerationHolder { alive, announcer: Some(announcer) }))
}

impl GenerationHolder {
    /// In a child, which announces nothing. What applications fork there does not prolong the generation.
    pub fn leave_to_parent(&mut self) {
        self.announcer = None;
        os::keep_from_copies(self.alive.as_fd());
    }

    /// Called by the parent before it starts the next generation. A supervisor that is gone, or has
    /// not read the last announcement yet, needs no other.
    pub fn announce_newer(&self) {
        if let Some(announcer) = &self.announcer {
            let _ = os::write_now(announcer.as_fd(), b"n");
        }
    }
}

impl GenerationWatch {
    /// For a supervisor, whose parent keeps its own in case it has to start another.
    pub fn try_clone(&self) -> io::Result<GenerationWatch> {
        let announcements = self.announcements.as_ref().map(OwnedFd::try_clone).transpose()?;
        Ok(GenerationWatch { holders: self.holders.try_clone()?, announcements })
    }

    /// What to wait for.
    pub fn waits_for(&self) -> impl Iterator<Item = PollFd<'_>> {
        let announcements = self.announcements.as_ref().map(|pipe| PollFd::reading(pipe.as_fd()));
        [PollFd::hanging_up(self.holders.as_fd())].into_iter().chain(announcements)
    }

    #[cfg(test)]
    pub fn fds(&self) -> impl Iterator<Item = std::os::fd::BorrowedFd<'_>> {
        [Some(&self.holders), self.announcements.as_ref()].into_iter().flatten().map(AsFd::as_fd)
    }

    /// The holders first: who has gone had announced before what comes after.
    pub fn read(&mut self) -> io::Result<Tidings> {
        // It is not read: what a child may write there means nothing, and could keep the reader.
        let ended = os::has_hung_up(self.holders.as_fd());
        let announced = match &self.announcements {
            Some(announcements) => os::read_now(announcements.as_fd(), &mut [0; 16])?,
            None => None,
        };
        if announced == Some(0) {
            self.announcements = None;
        }
        Ok(Tidings { newer_is_coming: announced.is_some_and(|size| size > 0), ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_lives_until_its_last_holder_goes() {
        let tidings = |newer_is_coming, ended| Tidings { newer_is_coming, ended };
        let (mut watch, holder) = pair().unwrap();
        let mut child = GenerationHolder { alive: holder.alive.try_clone().unwrap(), announcer: None };
        assert_eq!(watch.read().unwrap(), tidings(false, false));
        holder.announce_newer();
        assert_eq!(watch.read().unwrap(), tidings(true, false));
        assert_eq!(watch.read().unwrap(), tidings(false, false));
        child.leave_to_parent();
        child.announce_newer();
        os::write_now(child.alive.as_fd(), b"n").unwrap();
        assert_eq!(watch.read().unwrap(), tidings(false, false), "a child announces nothing");
        holder.announce_newer();
        drop(holder);
        assert_eq!(watch.read().unwrap(), tidings(true, false));
        assert_eq!((watch.read().unwrap(), watch.fds().count()), (tidings(false, false), 1));
        drop(child);
        assert_eq!(watch.read().unwrap(), tidings(false, true));
    }

    #[test]
    fn an_announcement_that_is_not_read_keeps_no_one() {
        let (watch, holder) = pair().unwrap();
        (0..100_000).for_each(|_| holder.announce_newer());
        drop(watch);
    }
}
