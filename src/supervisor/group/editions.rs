//! The editions of a group, and the roll-out from one to the next.
//!
//! Part of `supervisor::group`, in the supervisor. `rollout` decides when one begins and what comes of it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Scripts whose last tried version is remembered; a group does not have that many.
const REMEMBERED: usize = 4096;

/// A roll-out that has taken longer than this makes room for a newer version.
const LONG: Duration = Duration::from_secs(10);

pub struct Rollout {
    pub edition: u32,
    /// For messages: what has changed.
    pub path: String,
    pub since: Instant,
}

/// A version of a script: its path, and when it was modified.
pub type Version = (String, i64);

/// The editions of a group, and the roll-out from one to the next.
#[derive(Default)]
pub struct Editions {
    /// The edition that serves.
    edition: u32,
    /// The last number that was given: what is left of a failed roll-out is not taken for the next one's.
    newest: u32,
    running: Option<Rollout>,
    /// A version that was reported while a roll-out ran.
    pending: Option<Version>,
    /// The newest version of each script that a roll-out was made for.
    tried: HashMap<String, i64>,
}

impl Editions {
    /// The edition that serves.
    pub fn edition(&self) -> u32 {
        self.edition
    }

    /// The edition of processes that start now.
    pub fn next_edition(&self) -> u32 {
        self.running.as_ref().map_or(self.edition, |rollout| rollout.edition)
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Ends the roll-out without an outcome.
    pub fn cancel(&mut self) -> Option<Rollout> {
        self.running.take()
    }

    pub fn begin(&mut self, path: String, now: Instant) {
        self.newest += 1;
        self.running = Some(Rollout { edition: self.newest, path, since: now });
    }

    /// The edition of the running roll-out serves from now on, before it is there: the old one makes way.
    pub fn serve_newest(&mut self) -> u32 {
        self.edition = self.newest;
        self.edition
    }

    /// Whether a roll-out is to be made for this version. One that comes while another roll-out runs is kept
    /// for later.
    pub fn admit(&mut self, version: Version, now: Instant) -> Option<Version> {
        if self.tried.get(&version.0) == Some(&version.1) {
            return None;
        }
        if self.running.as_ref().is_some_and(|rollout| now.saturating_duration_since(rollout.since) <= LONG) {
            self.pending = Some(version);
            return None;
        }
        Some(version)
    }

    pub fn note_tried(&mut self, path: &str, modified: i64) {
        if self.tried.len() >= REMEMBERED {
            self.tried.clear();
        }
        self.tried.insert(path.to_owned(), modified);
    }

    /// Takes the running roll-out if it is that of this edition.
    pub fn take(&mut self, edition: u32) -> Option<Rollout> {
        self.running.take_if(|rollout| rollout.edition == edition)
    }

    /// This edition serves from now on.
    pub fn serve(&mut self, edition: u32) {
        self.edition = edition;
    }

    /// The version that was reported while the roll-out ran.
    pub fn take_pending(&mut self) -> Option<Version> {
        self.pending.take()
    }
}
