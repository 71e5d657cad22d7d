//! What the supervisor left open for its daemon, by the numbers that `control::launch` gives.
//!
//! Each is taken once, and kept from the processes that the site's code starts.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use once_cell::sync::OnceCell;

use crate::control::activity_page::Activity;
use crate::control::channel::ControlDaemon;
use crate::control::group_page::StatusPage;
use crate::control::launch::{ACTIVITY_FD, BOARD_FD, CONTROL_FD, LISTENER_FD, REPORT_FD, STATUS_FD};
use crate::control::scoreboard_page::Board;
use crate::os;

/// What a daemon finds open.
pub struct Inherited {
    pub control: ControlDaemon,
    pub listener: OwnedFd,
    pub status: StatusPage,
    pub activity: Activity,
}

/// In the daemon: takes what the supervisor left open, for this process alone and not for those that the
/// site's code will start. An error if called twice, or in a process that was not started by `spawn`.
pub fn inherited() -> io::Result<Inherited> {
    static TAKEN: OnceCell<()> = OnceCell::new();
    TAKEN.set(()).map_err(|()| io::Error::from(io::ErrorKind::AlreadyExists))?;
    let activity = Activity::from_fd(take(ACTIVITY_FD)?.as_fd())?;
    let control = ControlDaemon::new(take(CONTROL_FD)?, take(REPORT_FD)?);
    let (listener, status) = (take(LISTENER_FD)?, StatusPage::from_fd(take(STATUS_FD)?)?);
    Ok(Inherited { control, listener, status, activity })
}

/// The same for the board, where the launch says that there is one. Once.
pub fn inherited_board() -> io::Result<Board> {
    let board = take(BOARD_FD)?;
    os::keep_from_copies(board.as_fd());
    Ok(Board::from_fd(board))
}

fn take(number: i32) -> io::Result<OwnedFd> {
    let fd = os::adopt_descriptor(number)?;
    os::set_close_on_exec(fd.as_fd())?;
    Ok(fd)
}
