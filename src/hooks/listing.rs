//! The list of what runs where, for `httpd -t -D DUMP_WSGI`.
//!
//! Runs in the httpd parent when it was started to test its configuration, after `check_config`.

use super::parent::{configured, surroundings};
use crate::apache::define;
use crate::apache::server::{Server, servers};
use crate::config::listing::listing;
use crate::process::BUILDING;

pub fn test_config() {
    if !define::is_defined(c"DUMP_WSGI") {
        return;
    }
    let all: Vec<(String, Server)> = servers().map(|server| (server.name(), server)).collect();
    let building = BUILDING.lock();
    define::print(&listing(&building.global, &configured(&all), &surroundings(&[])));
}
