//! The generation's pair of sockets: how a supervisor learns that no process is left to serve.
//!
//! The httpd parent makes a pair for each generation of its configuration. The parent and that generation's
//! children alone hold one end, so end-of-file at the supervisor's end means that they are all gone, in
//! whatever way: stop, graceful, graceful-stop or a killed parent.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::os;

/// The parent's and the children's end. Closing it, or ending, is all that a child does with it.
pub struct GenerationHolder(OwnedFd);

/// The supervisor's end.
pub struct GenerationWatch(OwnedFd);

/// What the supervisor finds at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tidings {
    Nothing,
    /// A newer configuration is coming: look whether its processes are ready.
    NewerComing,
    /// No process is left that could send a request.
    Ended,
}

/// A pair of sockets rather than a pipe: writing to it when the supervisor is gone raises no signal. The
/// parent keeps a copy of the watch for the case that it has to start another supervisor.
pub fn pair() -> io::Result<(GenerationWatch, GenerationHolder)> {
    let (watch, holder) = os::seqpacket_pair()?;
    Ok((GenerationWatch(watch), GenerationHolder(holder)))
}

impl GenerationHolder {
    /// In a child: what applications fork there does not prolong the generation.
    pub fn keep_from_copies(&self) {
        os::keep_from_copies(self.0.as_fd());
    }

    /// Called by the parent before it starts the next generation. A supervisor that is gone, or has
    /// not read the last announcement yet, needs no other.
    pub fn announce_newer(&self) {
        let _ = os::send_now(self.0.as_fd(), b"n");
    }
}

impl GenerationWatch {
    /// For a supervisor, whose parent keeps its own in case it has to start another.
    pub fn try_clone(&self) -> io::Result<GenerationWatch> {
        self.0.try_clone().map(GenerationWatch)
    }

    pub fn read(&self) -> io::Result<Tidings> {
        match os::receive_now(self.0.as_fd(), &mut [0; 1])? {
            None => Ok(Tidings::Nothing),
            Some(0) => Ok(Tidings::Ended),
            Some(_) => Ok(Tidings::NewerComing),
        }
    }
}

impl AsFd for GenerationWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_lives_until_its_last_holder_goes() {
        let (watch, holder) = pair().unwrap();
        let child = GenerationHolder(holder.0.try_clone().unwrap());
        assert_eq!(watch.read().unwrap(), Tidings::Nothing);
        holder.announce_newer();
        assert_eq!(watch.read().unwrap(), Tidings::NewerComing);
        assert_eq!(watch.read().unwrap(), Tidings::Nothing);
        drop(holder);
        assert_eq!(watch.read().unwrap(), Tidings::Nothing);
        drop(child);
        assert_eq!(watch.read().unwrap(), Tidings::Ended);
    }
}
