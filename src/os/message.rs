//! One sendmsg or recvmsg, with or without a descriptor beside the bytes.
//!
//! Called by `os::socket`, which has the forms of them that the processes use.

#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::call::{check_size, retry};
use super::descriptor::owned;

/// Room for one descriptor in a message's ancillary data, aligned as its header must be.
#[repr(C)]
struct OneDescriptor {
    header: libc::cmsghdr,
    fd: RawFd,
}

/// Exactly one fits: with room for two, one that nobody takes would stay open.
const ONE_DESCRIPTOR: usize = mem::offset_of!(OneDescriptor, fd) + mem::size_of::<RawFd>();

fn one_descriptor(fd: RawFd) -> OneDescriptor {
    // SAFETY: a cmsghdr is integers, for which all zero is a value.
    let mut header: libc::cmsghdr = unsafe { mem::zeroed() };
    header.cmsg_len = ONE_DESCRIPTOR as _;
    header.cmsg_level = libc::SOL_SOCKET;
    header.cmsg_type = libc::SCM_RIGHTS;
    OneDescriptor { header, fd }
}

fn message_header(parts: *mut libc::iovec, count: usize) -> libc::msghdr {
    // SAFETY: a msghdr is integers and pointers, for which all zero is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = parts;
    message.msg_iovlen = count as _;
    message
}

pub fn send_message(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    fd: Option<BorrowedFd<'_>>,
    flags: libc::c_int,
) -> io::Result<usize> {
    // More parts than the kernel takes at once simply stay for the caller's next round.
    let count = parts.len().min(libc::UIO_MAXIOV as usize);
    let mut message = message_header(parts.as_ptr().cast::<libc::iovec>().cast_mut(), count);
    let mut ancillary = one_descriptor(fd.map_or(-1, |fd| fd.as_raw_fd()));
    if fd.is_some() {
        message.msg_control = (&raw mut ancillary).cast();
        message.msg_controllen = ONE_DESCRIPTOR as _;
    }
    let flags = flags | libc::MSG_NOSIGNAL;
    // SAFETY: IoSlice is an iovec by its contract, the message's parts and its ancillary data outlive
    // the call, and the kernel only reads them.
    retry(|| check_size(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) }))
}

pub fn receive_message(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: libc::c_int,
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut ancillary = one_descriptor(-1);
    let flags = flags | libc::MSG_CMSG_CLOEXEC;
    let mut message = message_header(&raw mut part, 1);
    let size = retry(|| {
        message.msg_control = (&raw mut ancillary).cast();
        message.msg_controllen = ONE_DESCRIPTOR as _;
        // SAFETY: buffer and ancillary data are writable for the lengths given and outlive the call.
        check_size(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) })
    })?;
    let came = message.msg_controllen >= ONE_DESCRIPTOR as _
        && ancillary.header.cmsg_level == libc::SOL_SOCKET
        && ancillary.header.cmsg_type == libc::SCM_RIGHTS;
    Ok((size, if came { Some(owned(ancillary.fd)?) } else { None }))
}
