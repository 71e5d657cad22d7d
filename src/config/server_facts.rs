//! What httpd says about itself: the module `apache` shows it to applications.
//!
//! Asked for in the httpd parent and its children (`apache::server`); a daemon has it from its launch.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    pub version: [u32; 3],
    /// As in `Apache/2.4.62 (Debian)`, with what modules have added, whatever `ServerTokens` says.
    pub description: String,
    /// Such as `event`.
    pub mpm_name: String,
    pub build_date: String,
    /// How many children the MPM may have at once.
    pub processes: u32,
    /// How many threads in each.
    pub threads: u32,
}
