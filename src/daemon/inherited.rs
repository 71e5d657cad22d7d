//! The descriptors that the supervisor left open for its daemon, by the numbers that `control::launch`
//! gives.
//!
//! Runs in daemons. A daemon takes each descriptor once, and keeps it from the processes that the site's
//! code starts.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use once_cell::sync::OnceCell;

use crate::control::activity_page::ActivityPage;
use crate::control::channel::ControlDaemon;
use crate::control::group_page::GroupPage;
use crate::control::launch::{
    ACTIVITY_PAGE_FD, CONTROL_FD, GROUP_PAGE_FD, LISTENER_FD, REPORT_FD, SCOREBOARD_PAGE_FD,
};
use crate::control::scoreboard_page::ScoreboardView;
use crate::os;

/// What a daemon finds open.
pub struct Inherited {
    pub control: ControlDaemon,
    pub listener: OwnedFd,
    pub page: GroupPage,
    pub activity: ActivityPage,
}

/// In the daemon: takes what the supervisor left open, for this process alone and not for those that the
/// site's code will start. An error if called twice, or in a process that was not started by `spawn`.
pub fn inherited() -> io::Result<Inherited> {
    static TAKEN: OnceCell<()> = OnceCell::new();
    TAKEN.set(()).map_err(|()| io::Error::from(io::ErrorKind::AlreadyExists))?;
    let activity = ActivityPage::from_fd(take(ACTIVITY_PAGE_FD)?.as_fd())?;
    let control = ControlDaemon::new(take(CONTROL_FD)?, take(REPORT_FD)?);
    let (listener, page) = (take(LISTENER_FD)?, GroupPage::from_fd(take(GROUP_PAGE_FD)?)?);
    Ok(Inherited { control, listener, page, activity })
}

/// The same for the scoreboard page, where the launch says that there is one. Once.
pub fn inherited_scoreboard() -> io::Result<ScoreboardView> {
    let page = take(SCOREBOARD_PAGE_FD)?;
    os::keep_from_copies(page.as_fd());
    Ok(ScoreboardView::from_fd(page))
}

fn take(number: i32) -> io::Result<OwnedFd> {
    let fd = os::adopt_descriptor(number)?;
    os::set_close_on_exec(fd.as_fd())?;
    Ok(fd)
}
