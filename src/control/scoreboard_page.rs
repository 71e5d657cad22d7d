//! httpd's scoreboard as the processes of a group see it that may (`server-metrics=`): memory that the
//! supervisor writes when one of them asks.
//!
//! Made by the supervisor, one for a group, and found open by its daemons. They could write there too, and
//! would deceive only themselves; its size is sealed, so they can make it no larger. The supervisor writes
//! through memory that it has mapped: a call that writes to the file would wait for one that a site makes last.

use crate::os::{self, SharedMemory};
use crate::scoreboard::Scoreboard;
use crate::wire::scoreboard::{decode_scoreboard, encode_scoreboard};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;
use std::time::{Duration, Instant};

/// Version and length, a word each, before the bytes. The version is odd while they are being written.
const HEADER: usize = 2 * WORD;
const WORD: usize = size_of::<u64>();

/// Room for what one worker, and one process, can take at most.
const OF_WORKER: usize = 256;
const OF_PROCESS: usize = 64;

/// How often a daemon looks for the answer.
const LOOK: Duration = Duration::from_millis(1);

/// The supervisor's.
pub struct ScoreboardPage {
    file: OwnedFd,
    memory: SharedMemory,
}

/// A daemon's.
pub struct ScoreboardView(File);

impl ScoreboardPage {
    /// Large enough for every later scoreboard of this httpd.
    pub fn create(scoreboard: &Scoreboard) -> io::Result<ScoreboardPage> {
        let number = |limit: i64| usize::try_from(limit).unwrap_or(0);
        let process = OF_PROCESS + number(scoreboard.thread_limit) * OF_WORKER;
        let size = HEADER + OF_PROCESS + number(scoreboard.server_limit) * process;
        let file = os::shared_memory(c"mod_wsgi_rs-scoreboard", size.next_multiple_of(WORD))?;
        let memory = SharedMemory::map(file.as_fd())?;
        memory.keep_from_forks();
        Ok(ScoreboardPage { file, memory })
    }

    pub fn show(&self, scoreboard: &Scoreboard) -> io::Result<()> {
        let bytes = encode_scoreboard(scoreboard);
        let [version, length, room @ ..] = self.memory.words() else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if bytes.len() > size_of_val(room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // Whatever a site has written there.
        let before = version.load(Relaxed) & !1;
        version.store(before.wrapping_add(1), Relaxed);
        fence(Release);
        for (word, bytes) in room.iter().zip(bytes.chunks(WORD)) {
            let mut whole = [0; WORD];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(whole), Relaxed);
        }
        length.store(bytes.len() as u64, Relaxed);
        version.store(before.wrapping_add(2), Release);
        Ok(())
    }
}

impl AsFd for ScoreboardPage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl ScoreboardView {
    pub fn from_fd(fd: OwnedFd) -> ScoreboardView {
        ScoreboardView(File::from(fd))
    }

    /// What is shown after `ask`, if that is soon.
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
            fence(Acquire);
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
        fence(Acquire);
        let (version, length) = header.split_at(WORD);
        let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        Ok((number(version), usize::try_from(number(length)).unwrap_or(usize::MAX)))
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

    fn page_and_view() -> (ScoreboardPage, ScoreboardView) {
        let page = ScoreboardPage::create(&full(0)).unwrap();
        let view = ScoreboardView::from_fd(page.as_fd().try_clone_to_owned().unwrap());
        (page, view)
    }

    #[test]
    fn what_is_seen_was_shown_after_the_question() {
        let (page, view) = page_and_view();
        page.show(&full(1)).unwrap();
        for time in [2, 3] {
            let ask = || page.show(&full(time));
            assert_eq!(view.see(ask, Duration::from_secs(10)).unwrap(), full(time));
        }
        let unanswered = view.see(|| Ok(()), Duration::from_millis(5)).unwrap_err();
        assert_eq!(unanswered.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn it_is_whole_however_often_it_is_written() {
        let (page, view) = page_and_view();
        thread::scope(|scope| {
            scope.spawn(|| (1..500).for_each(|time| page.show(&full(time)).unwrap()));
            for _ in 0..20 {
                // Each is one that was shown, or nothing is written any more.
                let seen = view.see(|| Ok(()), Duration::from_millis(50));
                assert!(seen.is_err() || seen.is_ok_and(|seen| seen == full(seen.current_time)));
            }
        });
    }
}
