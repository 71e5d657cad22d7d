//! System calls as safe functions: descriptors in and out as owned or borrowed, errors as `io::Error`.
//!
//! Every process of the module uses it where it needs more of the kernel than std offers. Each file has one
//! family: `descriptor` (pipes, memory, poll), `epoll`, `socket` and `message`, `shared` (mapped memory),
//! `copies`, `link`, `fork` and `fork_watch` (what a fork copies and does), `process` (signals, children), `session`, `image`,
//! `signal_event` and `mask`, `title`, `clock`, `usage`, `build`, `fault` (has a call fail for a test), `identity`
//! (the rights and limits of a process), and `mount` (what it sees of the file system).
//!
//! The calls are those of rustix, which makes them itself: they change no errno and, as used here, allocate
//! nothing, so they may stand between fork and exec and in a signal handler. nix has what needs the C
//! library: users and groups, which are each thread's own to the kernel, signal sets and limits. A call by
//! hand says why neither has it. Outside the three borders and `sys`, `unsafe` stands only in
//! `spawn`, `control::group_page` and the crate's entry points (`module`).

mod mount;

mod shared;
mod socket;
mod title;

mod epoll;
mod identity;
mod link;
mod message;

mod copies;
mod fork_watch;

mod fork;
mod mask;
mod served;
mod signal_event;

mod descriptor;
mod image;
mod process;
mod session;

mod acl;
mod build;
mod call;
mod clock;
mod fault;
mod usage;

pub use acl::has_acl;
pub use build::build;
pub use clock::{milliseconds_now, thread_time};
pub use copies::{Host, keep_from_copies, put_away_in_copies};
pub use descriptor::{
    PollFd, adopt_descriptor, clear_event, close_from, close_on_exec_from, descriptor_path, duplicate,
    duplicate_above, event, eventfd, fill_with_random, give_to, has_hung_up, make_room_for_messages, memfd,
    message_pipe, open_place, open_regular, pipe, place_descriptor, poll, read_now, readable,
    set_close_on_exec, set_nonblocking, writable, write_now,
};
pub use epoll::Epoll;
pub use fault::{gate, play};
pub use fork::die_with_parent_after_next_fork;
pub use fork_watch::{fork_begins, fork_has_returned, watch_forks};
pub use identity::{
    FileRights, Ids, Resource, current_groups, groups_of_user, limit_resource, priority, resource_limit,
    set_gids, set_groups, set_priority, set_uids,
};
pub use image::{Image, forks_below, image};
pub use link::Link;
pub use mask::SignalMask;
pub use message::Passed;
pub use mount::{
    NoNamespace, attach_tree, detached_tree, enter_mount_namespace, is_in_mount_namespace, is_read_only,
    make_read_only, mount_again, mount_memory, mount_namespace,
};
pub use process::{
    Exit, SignalFd, adopt_orphans, default_signal, die_with_parent, drop_capabilities, exit_now,
    forbid_new_privileges, forbids_new_privileges, fork_process, has_ended, ignore_signal, kill,
    parent_and_user, parent_pid, pidfd, reap, reset_signals, resident_memory, set_umask,
};
pub use served::{is_servable, trust_overlay_of_root};
pub use session::{new_session, new_session_keyring, set_session_priority};
pub use shared::{SharedMemory, shared_memory};
pub use signal_event::SignalEvent;
pub use socket::{
    accept, bind_listener, connect, forget_linger, has_room, is_unread, let_descriptors_in, peer_credentials,
    receive, receive_now, receive_with_fd, receive_with_fds, receive_with_fds_now, refuse_input, send_all,
    send_all_waiting, send_now, send_with_fd, send_with_fd_now, seqpacket_pair, set_receive_buffer,
    set_send_buffer,
};

pub use title::set_title;
pub use usage::Usage;

#[cfg(test)]
pub use process::{fork_for_test, wait_for_test};
