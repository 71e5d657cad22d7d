//! Lines of one stream, as they come in pieces and in floods.

use super::*;
use crate::supervisor::output::budget::Allowance;

struct Scene {
    lines: Lines,
    group: Allowance,
    last: Last,
    now: Instant,
}

impl Scene {
    fn new(kind: StreamKind) -> Scene {
        Scene {
            lines: Lines::new(kind),
            group: Allowance::default(),
            last: Last::default(),
            now: Instant::now(),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        self.lines.push(bytes, &mut self.group.logged[0], &mut { usize::MAX }, &mut self.last, self.now)
    }

    fn report(&mut self) -> Option<String> {
        let line = self.lines.report(self.now, false)?;
        Some(String::from_utf8(line.text).unwrap())
    }
}

fn texts(pieces: &[&[u8]]) -> Vec<String> {
    let mut scene = Scene::new(StreamKind::Output);
    let mut all: Vec<Line> = pieces.iter().flat_map(|piece| scene.push(piece)).collect();
    all.extend(scene.lines.finish(&mut scene.last));
    all.into_iter().map(|line| String::from_utf8(line.text).unwrap()).collect()
}

#[test]
fn lines_are_whole_whatever_the_pieces() {
    let expected = ["one", "two", "three"];
    assert_eq!(texts(&[b"one\ntwo\r\n\nthree"]), expected);
    assert_eq!(texts(&[b"o", b"ne\ntw", b"o\r", b"\n", b"\nthr", b"ee"]), expected);
    assert!(texts(&[b"", b"\n"]).is_empty());
}

#[test]
fn a_level_is_that_of_the_stream_or_of_the_line() {
    let mut error = Scene::new(StreamKind::Error);
    let lines = error.push(b"Fatal Python error\n\x1e4careful\n");
    let of = |level, text: &[u8]| Line { level, text: text.to_vec() };
    assert_eq!(lines, [of(Level::Error, b"Fatal Python error"), of(Level::Info, b"careful")]);
    assert_eq!(Scene::new(StreamKind::Output).push(b"progress\n")[0].level, Level::Info);
}

#[test]
fn of_a_long_line_the_beginning_is_logged_and_the_rest_counted() {
    let mut scene = Scene::new(StreamKind::Output);
    let long = vec![b'x'; LONGEST_LINE];
    assert!(scene.push(&long).is_empty());
    assert_eq!(scene.push(b"\nnext\n").len(), 2);
    assert_eq!(scene.lines.due(), None);
    scene.push(&long);
    assert_eq!(scene.push(b"yy").len(), 1);
    assert!(scene.push(b"zz").is_empty());
    let next = scene.push(b"\nnext\n");
    assert_eq!(next, [Line { level: Level::Info, text: b"next".into() }]);
    assert_eq!(scene.report(), None);
    scene.now += QUIET;
    assert!(scene.report().unwrap().contains("WSGI344: of the standard output"));
    assert_eq!(scene.report(), None);
}

#[test]
fn a_flood_is_cut_to_its_budget_and_said_once() {
    for (pattern, lines) in
        [(&b"\0"[..], 1), (b"y\n", 2 << 20), (b"\n", 4 << 20), (b"\xc3\xa4\x07\n", 1 << 20)]
    {
        let mut scene = Scene::new(StreamKind::Error);
        let piece = pattern.repeat((64 << 10) / pattern.len());
        let (mut written, mut logged) = (0, 0);
        for _ in 0..64 {
            for line in scene.push(&piece) {
                written += cost(&line.text);
                logged += 1;
            }
            scene.now += Duration::from_millis(1);
        }
        assert!(written <= 1_500_000, "{pattern:?}: {written}");
        assert_eq!(scene.report(), None);
        scene.now += QUIET;
        let said = scene.report().unwrap();
        let numbers: Vec<usize> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
        let (bytes, dropped) = (numbers[0], numbers[1]);
        assert!(bytes > 2 << 20 && bytes <= 4 << 20, "{said}");
        if pattern != b"\n" && pattern != b"\0" {
            assert_eq!(dropped + logged, lines, "{said}");
        }
        assert_eq!(scene.report(), None);
    }
}

#[test]
fn a_flood_that_goes_on_is_said_now_and_then() {
    let mut scene = Scene::new(StreamKind::Output);
    let piece = b"yes\n".repeat(2 << 10);
    let mut said = 0;
    for _ in 0..700 {
        scene.push(&piece);
        scene.now += Duration::from_millis(100);
        said += usize::from(scene.report().is_some());
    }
    assert_eq!(said, 2);
}

#[test]
fn an_ordinary_storm_gets_through() {
    let mut scene = Scene::new(StreamKind::Error);
    let traceback = b"  File \"/srv/site/views.py\", line 7, in view\n".repeat(20);
    for _ in 0..200 {
        assert_eq!(scene.push(&traceback).len(), 20);
        scene.now += Duration::from_millis(10);
    }
    assert_eq!(scene.lines.due(), None);
}

#[test]
fn the_end_of_a_flood_is_known_though_it_is_not_logged() {
    let mut scene = Scene::new(StreamKind::Error);
    let flood = b"y\n".repeat(1 << 16);
    scene.push(&flood);
    assert!(scene.push(b"Traceback\nOSError: no\n").is_empty());
    assert!(scene.last.text().ends_with("y\nTraceback\nOSError: no"));
}

#[test]
fn one_process_cannot_have_all_that_a_group_may_log() {
    let mut scene = Scene::new(StreamKind::Error);
    let flood = b"y\n".repeat(1 << 16);
    for _ in 0..3 {
        scene.lines = Lines::new(StreamKind::Error);
        assert!(!scene.push(&flood).is_empty());
    }
    for _ in 0..2 {
        scene.lines = Lines::new(StreamKind::Error);
        scene.push(&flood);
    }
    scene.lines = Lines::new(StreamKind::Error);
    assert!(scene.push(&flood).is_empty());
}
