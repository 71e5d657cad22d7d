//! Scripts that a group's processes have loaded beside the configured ones.
//!
//! Runs in the supervisor. The group's next processes load them before they serve.

use crate::script::Preload;

/// Scripts that a group remembers; the names of some of their interpreters come from clients.
const MOST: usize = 16;

#[derive(Default)]
pub struct Learned(Vec<Preload>);

impl Learned {
    pub fn learn(&mut self, configured: &[Preload], script: String, application_group: String) {
        let is_it = |other: &Preload| other.script == script && other.application_group == application_group;
        let known = configured.iter().chain(&self.0).any(is_it);
        if !known && self.0.len() < MOST {
            self.0.push(Preload { script, application_group, callable: None });
        }
    }

    /// One that is there no more makes room for others.
    pub fn forget(&mut self, script: &str) {
        self.0.retain(|known| known.script != script);
    }

    pub fn scripts(&self) -> &[Preload] {
        &self.0
    }
}
