//! Unix sockets: what std's `UnixStream` does not offer.
//!
//! The httpd children use it (connect, send, receive), the daemons' workers (accept, peer credentials,
//! descriptors in messages) and the supervisor (control sockets). Nothing here raises SIGPIPE, and every
//! descriptor that comes out is close-on-exec. A signal interrupts no call.

#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, sockopt,
};

use super::call::{retry, unless_it_would_block};
use super::fault::{gate, length};
use super::message::{Passed, receive_message, receive_whole_message, send_message};

/// The process at the other end of a connection, as the kernel noted when the connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// 0 where the process is in another pid namespace.
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

/// The next connection of a non-blocking listener; None when another thread was faster.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<Option<UnixStream>> {
    let accept = || gate("accept").and_then(|()| rustix::net::accept_with(listener, SocketFlags::CLOEXEC));
    match retry(accept) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(None),
        result => Ok(unless_it_would_block(result)?.map(UnixStream::from)),
    }
}

/// Pid and effective ids of the peer at the time of its `connect`.
pub fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<Credentials> {
    gate("getsockopt")?;
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    let (level, option, start) = (libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut peer).cast());
    // SAFETY: `peer` is as large as `size` says, and both outlive the call. (rustix has no value for pid 0.)
    Errno::result(unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, start, &raw mut size) })?;
    Ok(Credentials { pid: peer.pid, uid: peer.uid, gid: peer.gid })
}

/// Connects to a listening socket; while its backlog is full, waits no longer than `timeout` and then
/// fails with `WouldBlock`. The write timeout of the stream is `timeout` until the caller sets another.
pub fn connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let address = unix_address(path)?;
    let stream = UnixStream::from(stream_socket(SocketFlags::CLOEXEC)?);
    stream.set_write_timeout(Some(timeout.max(Duration::from_millis(1))))?;
    retry(|| gate("connect").and_then(|()| rustix::net::connect(&stream, &address)))?;
    Ok(stream)
}

/// A non-blocking socket that listens at this path; the caller sets the umask.
pub fn bind_listener(path: &Path, backlog: u32) -> io::Result<OwnedFd> {
    let address = unix_address(path)?;
    let listener = stream_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    rustix::net::bind(&listener, &address)?;
    rustix::net::listen(&listener, i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(listener)
}

/// Two connected ends that keep messages apart.
pub fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    gate("socketpair")?;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None)?)
}

/// Takes nothing from the other end any more, which sees that as soon as it sends.
pub fn refuse_input(socket: BorrowedFd<'_>) -> io::Result<()> {
    gate("shutdown")?;
    Ok(rustix::net::shutdown(socket, Shutdown::Read)?)
}

/// Sends all of it, however many calls that takes; a time-out of the socket is an error.
pub fn send_all(socket: BorrowedFd<'_>, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let sent = send_message(socket, parts, None, SendFlags::empty())?;
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut parts, sent);
    }
    Ok(())
}

/// The same without the socket's own time-out: when no more has room, `wait` waits until there is, or says
/// that it has waited in vain.
pub fn send_all_waiting(
    socket: BorrowedFd<'_>,
    mut parts: &mut [IoSlice<'_>],
    mut wait: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match unless_it_would_block(send_message(socket, parts, None, SendFlags::DONTWAIT))? {
            Some(0) => return Err(io::ErrorKind::WriteZero.into()),
            Some(sent) => IoSlice::advance_slices(&mut parts, sent),
            None => wait()?,
        }
    }
    Ok(())
}

/// Whether the peer has yet to read any of what was sent.
pub fn is_unread(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(unread(socket)? > 0)
}

/// What of the data sent waits, here or at the peer; with TCP, what the peer's kernel has not acknowledged.
fn unread(socket: BorrowedFd<'_>) -> io::Result<usize> {
    gate("ioctl")?;
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ, which is SIOCOUTQ, writes one int during the call. (rustix and nix have no SIOCOUTQ.)
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Whether so much can be sent over TCP without waiting: nothing else waits, or there is room for twice as
/// much, since the kernel counts its own records too.
pub fn has_room(socket: BorrowedFd<'_>, size: usize) -> bool {
    let room = || -> io::Result<bool> {
        let waits = unread(socket)?;
        Ok(waits == 0 || sockopt::socket_send_buffer_size(socket)? >= 2 * (waits + size))
    };
    // What is wrong with the connection shows when something is sent.
    room().unwrap_or(true)
}

/// Sends as much as goes without waiting; `WouldBlock` if that is nothing.
pub fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send_message(socket, &[IoSlice::new(bytes)], None, SendFlags::DONTWAIT)
}

/// Sends all of these bytes (at least one), the descriptor with the first of them.
pub fn send_with_fd(socket: BorrowedFd<'_>, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
    let sent = send_message(socket, &[IoSlice::new(bytes)], Some(fd), SendFlags::empty())?;
    send_all(socket, &mut [IoSlice::new(&bytes[sent..])])
}

/// Sends one message with a descriptor, without waiting, on a socket that keeps messages apart.
pub fn send_with_fd_now(socket: BorrowedFd<'_>, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<usize> {
    send_message(socket, &[IoSlice::new(bytes)], Some(fd), SendFlags::DONTWAIT)
}

/// SO_PASSRIGHTS, which the headers of older systems do not have.
const PASS_RIGHTS: libc::c_int = 83;

/// Whether the peer may pass descriptors at all. Linux before 6.16 does not know the option: a receiver that
/// has no room for them loses them, and they are closed on its thread.
pub fn let_descriptors_in(socket: BorrowedFd<'_>, may: bool) {
    if gate("setsockopt").is_err() {
        return;
    }
    let (value, size) = (libc::c_int::from(may), size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the kernel reads one int, which outlives the call.
    unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, PASS_RIGHTS, (&raw const value).cast(), size)
    };
}

/// What has arrived, at least one byte; 0 at the end of the stream.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    receive_bytes(socket, buffer, RecvFlags::empty())
}

/// The same without waiting; None when nothing has arrived.
pub fn receive_now(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    unless_it_would_block(receive_bytes(socket, buffer, RecvFlags::DONTWAIT))
}

/// Like `receive`, with the descriptor that came along.
pub fn receive_with_fd(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    receive_message(socket, buffer, RecvFlags::empty())
}

/// SO_SNDBUF, in bytes; the kernel bounds it silently.
pub fn set_send_buffer(socket: BorrowedFd<'_>, size: usize) -> io::Result<()> {
    gate("setsockopt")?;
    Ok(sockopt::set_socket_send_buffer_size(socket, int(size))?)
}

/// SO_RCVBUF, in bytes; the kernel bounds it silently.
pub fn set_receive_buffer(socket: BorrowedFd<'_>, size: usize) -> io::Result<()> {
    gate("setsockopt")?;
    Ok(sockopt::set_socket_recv_buffer_size(socket, int(size))?)
}

/// The kernel counts in an int.
fn int(size: usize) -> usize {
    size.min(i32::MAX as usize)
}

fn stream_socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    gate("socket")?;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// InvalidFilename for an empty path, one with a NUL, and one too long for a C string in an address.
fn unix_address(path: &Path) -> io::Result<SocketAddrUnix> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.contains(&0) || bytes.len() >= LONGEST_PATH {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    Ok(SocketAddrUnix::new(path)?)
}

/// In bytes, with the NUL at its end (unix(7)).
const LONGEST_PATH: usize = size_of::<libc::sockaddr_un>() - mem::offset_of!(libc::sockaddr_un, sun_path);

fn receive_bytes(socket: BorrowedFd<'_>, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
    let most = length("recv", buffer.len());
    let receive = || gate("recv").and_then(|()| rustix::net::recv(socket, &mut buffer[..most], flags));
    retry(receive).map(|(size, _)| size)
}

/// Like `receive`; all descriptors that came along are added to `passed`.
pub fn receive_with_fds(socket: BorrowedFd<'_>, buffer: &mut [u8], passed: &mut Passed) -> io::Result<usize> {
    receive_whole_message(socket, buffer, RecvFlags::empty(), passed)
}

/// The same without waiting; None when nothing has arrived.
pub fn receive_with_fds_now(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    passed: &mut Passed,
) -> io::Result<Option<usize>> {
    unless_it_would_block(receive_whole_message(socket, buffer, RecvFlags::DONTWAIT, passed))
}

/// Closing it does not wait until its peer has taken what was sent. Whatever is no socket stays as it is.
pub fn forget_linger(fd: BorrowedFd<'_>) {
    let _ = sockopt::set_socket_linger(fd, None);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_descriptor_travels_with_its_message() {
        let (ours, theirs) = seqpacket_pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        send_with_fd_now(ours.as_fd(), b"x", writer.as_fd()).unwrap();
        drop(writer);
        let mut buffer = [0; 8];
        let (size, fd) = receive_with_fd(theirs.as_fd(), &mut buffer).unwrap();
        assert_eq!(&buffer[..size], b"x");
        std::fs::File::from(fd.unwrap()).write_all(b"through").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert!(receive_with_fds_now(theirs.as_fd(), &mut buffer, &mut Passed::default()).unwrap().is_none());
        send_now(ours.as_fd(), b"y").unwrap();
        assert!(matches!(receive_with_fd(theirs.as_fd(), &mut buffer), Ok((1, None))));
    }

    #[test]
    fn everything_is_sent_over_a_slow_reader() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).unwrap();
            all.len()
        });
        let (head, body) = (vec![1; 10], vec![2; 3_000_000]);
        let mut parts = [IoSlice::new(&head), IoSlice::new(&[]), IoSlice::new(&body)];
        send_all(ours.as_fd(), &mut parts).unwrap();
        send_all(ours.as_fd(), &mut []).unwrap();
        drop(ours);
        assert_eq!(reader.join().unwrap(), 3_000_010);
    }

    #[test]
    fn what_the_peer_has_yet_to_read_is_known() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        assert!(!is_unread(ours.as_fd()).unwrap());
        let full = || Err(io::ErrorKind::TimedOut.into());
        send_all_waiting(ours.as_fd(), &mut [IoSlice::new(b"hello")], full).unwrap();
        theirs.read_exact(&mut [0; 4]).unwrap();
        assert!(is_unread(ours.as_fd()).unwrap());
        theirs.read_exact(&mut [0; 1]).unwrap();
        assert!(!is_unread(ours.as_fd()).unwrap());
        theirs.write_all(b"answer").unwrap();
        assert!(!is_unread(ours.as_fd()).unwrap());

        let large = vec![1; 3_000_000];
        let error = send_all_waiting(ours.as_fd(), &mut [IoSlice::new(&large)], full).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_gone_peer_is_an_error_not_a_signal() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let error = send_now(ours.as_fd(), b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(receive(ours.as_fd(), &mut [0; 4]).unwrap(), 0);
    }

    #[test]
    fn a_full_backlog_waits_no_longer_than_asked() {
        let path = std::env::temp_dir().join(format!("wsgi-os-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = bind_listener(&path, 0).unwrap();
        assert!(accept(listener.as_fd()).unwrap().is_none());
        let first = connect(&path, Duration::from_secs(1)).unwrap();
        let started = std::time::Instant::now();
        let error = connect(&path, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(started.elapsed() < Duration::from_secs(1));
        let accepted = accept(listener.as_fd()).unwrap().unwrap();
        let peer = peer_credentials(accepted.as_fd()).unwrap();
        assert_eq!(peer.pid as u32, std::process::id());
        drop((first, accepted));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_path_too_long_for_an_address_is_refused() {
        assert!(connect(Path::new(&"x".repeat(108)), Duration::ZERO).is_err());
        assert!(bind_listener(Path::new(""), 1).is_err());
    }
}
