//! One sendmsg or recvmsg, with or without descriptors beside the bytes.
//!
//! Called by `os::socket`, which has the forms of them that the processes use.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, RecvMsg, ReturnFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::call::retry;
use super::fault::{gate, length};

/// The most that the kernel lets one message carry (SCM_MAX_FD).
const MOST_DESCRIPTORS: usize = 253;

/// A header and one descriptor: with room for two, a second one would come too, and have to be closed.
const ONE_DESCRIPTOR: usize = mem::size_of::<libc::cmsghdr>() + mem::size_of::<RawFd>();

/// Aligned as the header must be: where it is not, rustix leaves out the first bytes.
#[repr(C, align(8))]
struct OneDescriptor([MaybeUninit<u8>; ONE_DESCRIPTOR]);

/// Sends as many of these bytes as go at once, and returns their number. Raises no SIGPIPE.
pub fn send_message(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    fd: Option<BorrowedFd<'_>>,
    flags: SendFlags,
) -> io::Result<usize> {
    // More parts than the kernel takes at once simply stay for the caller's next round.
    let parts = &parts[..parts.len().min(libc::UIO_MAXIOV as usize)];
    let whole = parts.first().map_or(0, |part| part.len());
    let beginning = length("sendmsg", whole);
    let first = [IoSlice::new(parts.first().map_or(&[], |part| &part[..beginning]))];
    let parts = if beginning < whole { &first } else { parts };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if let Some(fd) = &fd {
        // There is room for it.
        ancillary.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(fd)));
    }
    retry(|| {
        gate("sendmsg")?;
        rustix::net::sendmsg(socket, parts, &mut ancillary, flags | SendFlags::NOSIGNAL)
    })
}

/// Receives what has arrived, at most a buffer full: the number of bytes, and the descriptor that came along,
/// close-on-exec.
pub fn receive_message(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = OneDescriptor([MaybeUninit::uninit(); ONE_DESCRIPTOR]);
    let mut ancillary = RecvAncillaryBuffer::new(&mut space.0);
    let received = receive_into(socket, buffer, flags, &mut ancillary)?;
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((received.bytes, fd))
}

fn receive_into(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: RecvFlags,
    ancillary: &mut RecvAncillaryBuffer<'_>,
) -> io::Result<RecvMsg> {
    let most = length("recvmsg", buffer.len());
    let mut parts = [IoSliceMut::new(&mut buffer[..most])];
    let received = retry(|| {
        gate("recvmsg")?;
        rustix::net::recvmsg(socket, &mut parts, ancillary, flags | RecvFlags::CMSG_CLOEXEC)
    })?;
    Ok(received)
}

/// Descriptors that came along with bytes.
#[derive(Default)]
pub struct Passed {
    pub fds: Vec<OwnedFd>,
    /// There were more, and this process has no room for another descriptor.
    pub lost: bool,
}

/// The same with all the descriptors that came along. The kernel would close those without room on this very
/// thread, for as long as closing them takes.
pub fn receive_whole_message(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: RecvFlags,
    passed: &mut Passed,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = receive_into(socket, buffer, flags, &mut ancillary)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            passed.fds.extend(rights);
        }
    }
    passed.lost |= received.flags.contains(ReturnFlags::CTRUNC);
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn all_descriptors_come_with_a_whole_message() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let (_reader, sent) = io::pipe().unwrap();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let (mut ancillary, fds) = (SendAncillaryBuffer::new(&mut space), [sent.as_fd(); MOST_DESCRIPTORS]);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        rustix::net::sendmsg(&ours, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::empty()).unwrap();
        let mut passed = Passed::default();
        let size = receive_whole_message(theirs.as_fd(), &mut [0; 8], RecvFlags::empty(), &mut passed);
        assert_eq!((size.unwrap(), passed.fds.len(), passed.lost), (1, MOST_DESCRIPTORS, false));
    }

    #[test]
    fn one_descriptor_comes_with_a_message_and_no_second_stays_open() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let ((mut first, sent), (mut second, sent_too)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let (mut ancillary, fds) = (SendAncillaryBuffer::new(&mut space), [sent.as_fd(), sent_too.as_fd()]);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        rustix::net::sendmsg(&ours, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::empty()).unwrap();
        drop((sent, sent_too));
        let (size, fd) = receive_message(theirs.as_fd(), &mut [0; 8], RecvFlags::empty()).unwrap();
        assert_eq!((size, second.read(&mut [0; 1]).unwrap()), (1, 0));
        drop(fd.unwrap());
        assert_eq!(first.read(&mut [0; 1]).unwrap(), 0);
    }
}
