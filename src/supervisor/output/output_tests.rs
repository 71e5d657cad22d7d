//! The supervisor's end of a daemon's two pipes.

use std::io::Write;
use std::time::Duration;

use super::*;
use crate::log::Level;
use crate::os;

struct Scene {
    output: Output,
    group: Allowance,
    now: Instant,
}

struct Writers {
    output: File,
    error: File,
}

fn scene() -> (Scene, Writers) {
    let pipe = || {
        let (reader, writer) = os::pipe().unwrap();
        os::set_nonblocking(reader.as_fd(), true).unwrap();
        (reader, File::from(writer))
    };
    let (output, error) = (pipe(), pipe());
    let pipes = Pipes { output: output.0, error: error.0 };
    let scene = Scene { output: Output::new(pipes), group: Allowance::default(), now: Instant::now() };
    (scene, Writers { output: output.1, error: error.1 })
}

impl Scene {
    /// In a turn of its own.
    fn read(&mut self, hold: bool) -> Vec<Vec<u8>> {
        self.group.turn = Turn::default();
        let lines = self.output.read(hold, &mut self.group, self.now);
        lines.into_iter().map(|line| line.text).collect()
    }
}

#[test]
fn output_is_shown_or_held_back_and_its_end_kept() {
    let (mut scene, mut writers) = scene();
    writers.error.write_all(b"1\n2\n3\n").unwrap();
    assert_eq!(scene.read(false).len(), 3);
    writers.error.write_all(b"4\n5\n6").unwrap();
    assert!(scene.read(true).is_empty() && scene.output.fds().count() == 2);
    let held: Vec<_> = scene.output.release().into_iter().map(|line| line.text).collect();
    assert_eq!(held, [b"4", b"5"]);
    drop(writers);
    assert_eq!(scene.read(false), [b"6"]);
    assert!(!scene.output.is_open() && scene.output.fds().count() == 0 && scene.read(false).is_empty());
    assert_eq!(scene.output.last_lines(), "3\n4\n5\n6");
    assert_eq!(scene.output.deadline(), None);
}

#[test]
fn both_streams_have_levels_of_their_own() {
    let (mut scene, mut writers) = scene();
    writers.output.write_all(b"progress\n").unwrap();
    writers.error.write_all(b"failure\n").unwrap();
    let lines = scene.output.read(false, &mut scene.group, scene.now);
    let levels: Vec<Level> = lines.iter().map(|line| line.level).collect();
    assert_eq!(levels, [Level::Info, Level::Error]);
    assert_eq!(scene.output.last_lines(), "progress\nfailure");
}

#[test]
fn a_flood_is_read_at_a_bounded_pace_and_never_without_a_pause() {
    let (mut scene, mut writers) = scene();
    os::set_nonblocking(writers.output.as_fd(), true).unwrap();
    let (begun, mut turns, mut read) = (scene.now, 0, 0);
    while scene.now - begun < Duration::from_secs(2) {
        // The pipe is always full.
        read += writers.output.write(&b"y\n".repeat(AT_ONCE / 2)).unwrap_or(0);
        scene.read(false);
        turns += 1;
        let waits = scene.output.fds().next().is_none();
        scene.now =
            if waits { scene.output.deadline().unwrap() } else { scene.now + Duration::from_micros(50) };
    }
    assert!((25 << 20..40 << 20).contains(&read), "{read}");
    assert!(turns < 700, "{turns}");
}

#[test]
fn last_words_are_read_whatever_the_group_wrote() {
    let (mut scene, mut writers) = scene();
    scene.group.read.count(scene.now);
    scene.group.read.take(1 << 30);
    writers.error.write_all(b"killed\n").unwrap();
    drop(writers);
    assert!(scene.read(false).is_empty() && scene.output.fds().count() == 0);
    let rest = scene.output.read_rest(false, &mut scene.group, scene.now);
    assert_eq!(rest, [Line { level: Level::Error, text: b"killed".into() }]);
    assert!(!scene.output.is_open());
}

#[test]
fn a_turn_takes_a_bounded_part_and_the_next_one_goes_on() {
    let (mut scene, mut writers) = scene();
    writers.error.write_all(&b"x\n".repeat(2000)).unwrap();
    let (mut turns, mut lines) = (0, 0);
    while turns == 0 || scene.output.deadline().is_some_and(|deadline| deadline <= scene.now) {
        assert!(turns == 0 || scene.output.fds().count() == 1, "what waits is not polled");
        let read = scene.read(false).len();
        assert!(read <= 512, "{read}");
        (turns, lines) = (turns + 1, lines + read);
    }
    assert_eq!((turns, lines), (4, 2000));
    writers.error.write_all(&b"x\n".repeat(600)).unwrap();
    writers.error.write_all(b"reason").unwrap();
    drop(writers);
    scene.group.turn = Turn::default();
    let rest = scene.output.read_rest(false, &mut scene.group, scene.now);
    assert!(rest.len() == 512 && scene.output.is_open());
    assert!(scene.output.last_lines().ends_with("x\nreason"));
    assert!(scene.read(false).len() == 89 && !scene.output.is_open());
}
