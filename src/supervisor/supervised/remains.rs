//! Output that can still come when its process has ended.
//!
//! Runs in the supervisor. Processes that the site's code started hold the pipes open.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use crate::supervisor::output::{Allowance, Line, Output};

/// Ended processes whose output is still read. Of more, those that ended first are given up.
const MOST: usize = 16;

#[derive(Default)]
pub struct Remains(Vec<(i32, Output)>);

impl Remains {
    /// Keeps the output of a process that has ended, where others still hold it open.
    pub fn keep(&mut self, pid: i32, output: Output) {
        if output.is_open() {
            self.0.push((pid, output));
            if self.0.len() > MOST {
                self.0.remove(0);
            }
        }
    }

    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().flat_map(|(_, output)| output.fds())
    }

    /// When to read again, whatever the pipes have.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|(_, output)| output.deadline()).min()
    }

    /// What has come, with the pid of the process that it is of.
    pub fn read(&mut self, allowance: &mut Allowance, now: Instant) -> Vec<(i32, Vec<Line>)> {
        let read = |(pid, output): &mut (i32, Output)| (*pid, output.read(false, allowance, now));
        let lines = self.0.iter_mut().map(read).collect();
        self.0.retain(|(_, output)| output.is_open());
        lines
    }
}
