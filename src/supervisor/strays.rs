//! Processes that an application has forked and left behind: they end with their generation.
//!
//! Runs in the supervisor, which is their parent once their own is gone. They run the site's code of an old
//! configuration, hold its files, and no other process of httpd's knows of them. What an application has
//! started as a program of its own lives on.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use crate::os::{self, Image};

/// Images that are kept whatever becomes of their processes.
const KEPT: usize = 512;

/// To look which are of use is to look at all processes of the machine, those that a site makes included.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);

/// Between SIGTERM and SIGKILL.
const PATIENCE: Duration = Duration::from_millis(500);

/// What cannot be killed by then, such as a process that waits for a disk, is left.
const LONGEST: Duration = Duration::from_secs(1);

const PAUSE: Duration = Duration::from_millis(5);

/// The images of the daemons that the generation has had.
#[derive(Default)]
pub struct Images {
    images: Vec<Image>,
    /// So many make it worth while to look which are still of use.
    enough: usize,
    looked: Option<Instant>,
}

impl Images {
    /// To be called once for a process, when it has said something; one that has not executed its program yet has the
    /// supervisor's own.
    pub fn note(&mut self, pid: i32) {
        let (image, own) = (os::image(pid), os::image(std::process::id() as i32));
        let Some(image) = image.filter(|image| own != Some(*image) && !self.images.contains(image)) else {
            return;
        };
        self.images.push(image);
        let soon = self.looked.is_some_and(|looked| looked.elapsed() < BETWEEN_LOOKS);
        if self.images.len() > self.enough.max(KEPT) && !soon {
            // The newest are of processes that are there.
            let newest = self.images.split_off(self.images.len() - KEPT / 2);
            let forks = os::forks_below(&self.images).unwrap_or_default();
            let used: HashSet<Image> = forks.into_iter().filter_map(os::image).collect();
            self.images.retain(|image| used.contains(image));
            self.images.extend(newest);
            self.enough = self.images.len() + KEPT / 2;
            self.looked = Some(Instant::now());
        }
    }

    /// Ends the forks of daemons that are gone; how many there were.
    pub fn end_forks(&self) -> usize {
        let (begun, mut told) = (Instant::now(), HashSet::new());
        loop {
            while os::reap().is_some() {}
            let forks = os::forks_below(&self.images).unwrap_or_default();
            if forks.is_empty() || begun.elapsed() > LONGEST {
                return told.len();
            }
            for pid in forks {
                let first = told.insert(pid);
                // It can only have ended in the meantime.
                if begun.elapsed() > PATIENCE {
                    let _ = os::kill(pid, libc::SIGKILL);
                } else if first {
                    let _ = os::kill(pid, libc::SIGTERM);
                }
            }
            thread::sleep(PAUSE);
        }
    }
}
