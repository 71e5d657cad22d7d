//! httpd's scoreboard as the processes of a group see it that may (`server-metrics=`): memory that the
//! supervisor writes when one of them asks.
//!
//! Made by the supervisor, one for a group, and found open by its daemons. They could write there too, and
//! would deceive only themselves; its size is sealed, so they can make it no larger.

use crate::os;
use crate::scoreboard::Scoreboard;
use crate::wire::scoreboard::{decode_scoreboard, encode_scoreboard};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Version and length, before the bytes. The version is odd while they are being written.
const HEADER: usize = 16;

/// Room for what one worker, and one process, can take at most.
const OF_WORKER: usize = 256;
const OF_PROCESS: usize = 64;

/// How often a daemon looks for the answer.
const LOOK: Duration = Duration::from_millis(1);

pub struct ScoreboardPage(File);

impl ScoreboardPage {
    /// Large enough for every later scoreboard of this httpd.
    pub fn create(scoreboard: &Scoreboard) -> io::Result<ScoreboardPage> {
        let number = |limit: i64| usize::try_from(limit).unwrap_or(0);
        let process = OF_PROCESS + number(scoreboard.thread_limit) * OF_WORKER;
        let size = HEADER + OF_PROCESS + number(scoreboard.server_limit) * process;
        os::shared_memory(c"mod_wsgi_rs-scoreboard", size).map(ScoreboardPage::from_fd)
    }

    pub fn from_fd(fd: OwnedFd) -> ScoreboardPage {
        ScoreboardPage(File::from(fd))
    }

    /// In the supervisor.
    pub fn show(&self, scoreboard: &Scoreboard) -> io::Result<()> {
        let bytes = encode_scoreboard(scoreboard);
        let version = self.header()?.0 & !1;
        self.write_header(version.wrapping_add(1), 0)?;
        self.0.write_all_at(&bytes, HEADER as u64)?;
        self.write_header(version.wrapping_add(2), bytes.len())
    }

    /// In a daemon: what is shown after `ask`, if that is soon.
    pub fn see(&self, ask: impl FnOnce() -> io::Result<()>, patience: Duration) -> io::Result<Scoreboard> {
        let (before, _) = self.header()?;
        ask()?;
        let latest = Instant::now() + patience;
        while Instant::now() < latest {
            std::thread::sleep(LOOK);
            let (version, length) = self.header()?;
            // What was being written when it was asked may be older than the question.
            let is_newer = version > before + before % 2 && version.is_multiple_of(2);
            let size = self.0.metadata()?.len();
            if !is_newer || length as u64 > size {
                continue;
            }
            let mut bytes = vec![0; length];
            self.0.read_exact_at(&mut bytes, HEADER as u64)?;
            if self.header()?.0 == version
                && let Ok(scoreboard) = decode_scoreboard(&bytes)
            {
                return Ok(scoreboard);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn header(&self) -> io::Result<(u64, usize)> {
        let mut header = [0; HEADER];
        self.0.read_exact_at(&mut header, 0)?;
        let (version, length) = header.split_at(size_of::<u64>());
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        Ok((number(version), usize::try_from(number(length)).unwrap_or(usize::MAX)))
    }

    fn write_header(&self, version: u64, length: usize) -> io::Result<()> {
        let header = [version.to_le_bytes(), (length as u64).to_le_bytes()].concat();
        self.0.write_all_at(&header, 0)
    }
}

impl AsFd for ScoreboardPage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoreboard::{ProcessScore, WorkerScore};
    use std::thread;

    fn full(current_time: i64) -> Scoreboard {
        let worker = WorkerScore {
            thread_num: 1,
            generation: 1,
            status: b'W',
            access_count: i64::MAX,
            bytes_served: 1,
            start_time: 1,
            stop_time: 1,
            last_used: 1,
            client: vec![b'c'; 64],
            request: vec![b'r'; 64],
            vhost: vec![b'v'; 32],
        };
        let process = ProcessScore { pid: 1, generation: 1, quiescing: true, workers: vec![worker; 64] };
        Scoreboard {
            server_limit: 16,
            thread_limit: 64,
            running_generation: 1,
            restart_time: 1,
            current_time,
            processes: vec![process; 16],
        }
    }

    #[test]
    fn what_is_seen_was_shown_after_the_question() {
        let page = ScoreboardPage::create(&full(0)).unwrap();
        page.show(&full(1)).unwrap();
        for time in [2, 3] {
            let ask = || page.show(&full(time));
            assert_eq!(page.see(ask, Duration::from_secs(10)).unwrap(), full(time));
        }
        let unanswered = page.see(|| Ok(()), Duration::from_millis(5)).unwrap_err();
        assert_eq!(unanswered.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn it_is_whole_however_often_it_is_written() {
        let page = ScoreboardPage::create(&full(0)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (1..500).for_each(|time| page.show(&full(time)).unwrap()));
            for _ in 0..20 {
                // Each is one that was shown, or nothing is written any more.
                let seen = page.see(|| Ok(()), Duration::from_millis(50));
                assert!(seen.is_err() || seen.is_ok_and(|seen| seen == full(seen.current_time)));
            }
        });
    }
}
