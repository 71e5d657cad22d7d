//! Looking at sites' places beside httpd's parent.
//!
//! The check of the configuration looks at scripts, environments and home directories. A file system that does not
//! answer, such as one whose server has gone, would keep the parent for as long, and with it every restart. So a
//! process of its own looks, which the parent waits for only so long.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::log::{Code, Level, Message, wording};
use crate::os;

/// A check takes milliseconds where all file systems answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Number, level and text of each message.
type Notes = Vec<(u16, u8, String)>;

/// What `check` says, or that it has not come to an end.
pub fn notes(check: impl Fn() -> Vec<Message>) -> Vec<Message> {
    match looked(&check) {
        Ok(Some(notes)) => notes.into_iter().filter_map(message).collect(),
        Ok(None) => {
            let seconds = PATIENCE.as_secs();
            vec![unchecked(&format!(
                "a file system has not answered within {seconds} s; see `df` and `mount` for one whose server has gone. \
                 httpd goes on, and so do the sites elsewhere"
            ))]
        }
        // The parent does not look itself: it keeps its rights to files for as long as it lives.
        Err(error) => vec![unchecked(&format!(
            "there is no process to look at them: {}; see the limits of the service that starts httpd (TasksMax, \
             LimitNPROC)",
            wording(&error)
        ))],
    }
}

fn looked(check: &impl Fn() -> Vec<Message>) -> std::io::Result<Option<Notes>> {
    let (reader, writer) = os::pipe()?;
    let mut writer = Some(writer);
    let pid = os::fork_process(|| {
        let _ = os::die_with_parent(libc::SIGKILL);
        let notes: Notes =
            check().into_iter().map(|note| (note.code.number(), note.level as u8, note.text)).collect();
        if let (Some(writer), Ok(bytes)) = (writer.take(), postcard::to_allocvec(&notes)) {
            // A parent that has given up reads no more.
            let _ = File::from(writer).write_all(&bytes);
        }
    })?;
    drop(writer.take());
    let notes = read(reader).and_then(|bytes| postcard::from_bytes(&bytes).ok());
    if notes.is_none() {
        // What waits for a file system ends when that answers.
        let _ = os::kill(pid, libc::SIGKILL);
    }
    let deadline = Instant::now() + Duration::from_secs(1);
    while !os::has_ended(pid) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(notes)
}

/// All that comes; None where that takes too long.
fn read(pipe: OwnedFd) -> Option<Vec<u8>> {
    let (deadline, mut bytes, mut pipe) = (Instant::now() + PATIENCE, Vec::new(), File::from(pipe));
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if !os::readable(pipe.as_fd(), Some(left)).ok()? {
            return None;
        }
        match pipe.read(&mut buffer).ok()? {
            0 => return Some(bytes),
            size => bytes.extend_from_slice(&buffer[..size]),
        }
    }
}

fn message((number, level, text): (u16, u8, String)) -> Option<Message> {
    let (code, level) = Code::from_number(number.into()).zip(Level::from_number(level))?;
    Some(Message { code, level, text })
}

fn unchecked(why: &str) -> Message {
    let text = format!("the places that the configuration names were not checked: {why}");
    Message::new(Code::CheckUnanswered, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_as_they_are_and_a_panic_says_so() {
        let note = || Message::new(Code::HomeMissing, "no home").at(Level::Info);
        assert_eq!(notes(|| vec![note(), note()]), [note(), note()]);
        assert_eq!(notes(Vec::new), []);
        assert_eq!(notes(|| panic!("in the check"))[0].code, Code::CheckUnanswered);
    }
}
