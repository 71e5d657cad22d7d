//! Which program's memory a process has: whether it is a fork of another that never executed a program.
//!
//! The supervisor uses it. At each exec the kernel lays out program, heap and stack anew, at random places,
//! and a fork keeps them; so what has a daemon's places is a fork of it, or of its forks. What executes a
//! program loses them, be it the same interpreter.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

/// Where in memory the program begins, the stack, and the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Image([u64; 3]);

/// Of a process that executes the program itself, or is a fork of one. None where the kernel does not tell.
pub fn image(pid: i32) -> Option<Image> {
    look(pid)?.image
}

/// Forks with one of these images that are below this process: its children, their children and so on.
pub fn forks_below(images: &[Image]) -> io::Result<Vec<i32>> {
    let numbers = fs::read_dir("/proc")?.flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let all: HashMap<i32, Look> = pids.filter_map(|pid| Some((pid, look(pid)?))).collect();
    let known = |look: &Look| look.is_fork && look.image.is_some_and(|image| images.contains(&image));
    let parents = all.iter().map(|(pid, look)| (*pid, look.parent));
    let below = below(std::process::id() as i32, parents);
    Ok(below.into_iter().filter(|pid| all.get(pid).is_some_and(known)).collect())
}

/// The children of a process, their children and so on, of processes with their parents. A site says how
/// many there are and how deep they stand, so that each is met once.
fn below(ancestor: i32, parents: impl Iterator<Item = (i32, i32)>) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, parent) in parents {
        children.entry(parent).or_default().push(pid);
    }
    let mut found = children.remove(&ancestor).unwrap_or_default();
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        next += 1;
        found.extend(children.remove(pid).unwrap_or_default());
    }
    found
}

struct Look {
    parent: i32,
    is_fork: bool,
    image: Option<Image>,
}

/// PF_FORKNOEXEC of the kernel's `task->flags`, the "F" of ps(1).
const FORKED_AND_NOT_EXECUTED: u64 = 0x40;

/// The fields of proc_pid_stat(5). Addresses are told to the process's own user only, where a container's
/// root lacks CAP_SYS_PTRACE; so it is read as that user.
fn look(pid: i32) -> Option<Look> {
    let place = format!("/proc/{pid}");
    let owner = fs::metadata(&place).ok()?;
    let (group, user) = (setfsgid(Gid::from_raw(owner.gid())), setfsuid(Uid::from_raw(owner.uid())));
    let text = fs::read(format!("{place}/stat"));
    setfsuid(user);
    setfsgid(group);
    let text = String::from_utf8_lossy(&text.ok()?).into_owned();
    // The second field is the name, which may hold anything; the third follows its parenthesis.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    let number = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let places = [number(26)?, number(28)?, number(47)?];
    Some(Look {
        parent: i32::try_from(number(4)?).ok()?,
        is_fork: number(9)? & FORKED_AND_NOT_EXECUTED != 0,
        image: places.iter().all(|place| *place > 1).then_some(Image(places)),
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::os::{fork_for_test, kill, wait_for_test};

    #[test]
    fn what_is_below_is_found_in_one_pass() {
        // 1 - 10 - 11, 12; 2 - 20; 30 and 31 are each other's parents, as pids that were read at two times may be.
        let few = [(10, 1), (11, 10), (12, 10), (20, 2), (30, 31), (31, 30), (1, 0)];
        let mut found = below(1, few.into_iter());
        found.sort_unstable();
        assert_eq!((found, below(20, few.into_iter())), (vec![10, 11, 12], vec![]));
        // A chain: to walk up from each process would take minutes.
        let begun = Instant::now();
        assert_eq!(below(1, (1..300_000).map(|pid| (pid + 1, pid))).len(), 299_999);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_fork_has_the_image_and_a_program_has_not() {
        let pid = fork_for_test(|| {
            let own = image(std::process::id() as i32).unwrap();
            let copy = fork_for_test(|| {
                loop {
                    std::thread::park();
                }
            });
            let mut program = Command::new("sleep").arg("60").spawn().unwrap();
            assert_eq!(forks_below(&[own]).unwrap(), [copy]);
            assert_eq!(forks_below(&[]).unwrap(), []);
            assert_ne!(image(program.id() as i32), Some(own));
            kill(copy, libc::SIGKILL).unwrap();
            wait_for_test(copy);
            assert_eq!(forks_below(&[own]).unwrap(), []);
            program.kill().unwrap();
            program.wait().unwrap();
        });
        assert_eq!(wait_for_test(pid), crate::os::Exit::Status(0));
    }
}
