//! What supervisor, daemons and httpd share: what the supervisor starts a daemon with, its orders, their
//! reports, the pages of shared memory, the listening sockets and the generations of the configuration.

pub mod generation;
pub mod walls;

pub mod listener;
pub mod module_file;
pub mod scoreboard_page;

pub mod group_page;

pub mod channel;

pub mod activity_page;
pub mod launch;

pub mod secret;

pub mod message;

pub mod reason;
