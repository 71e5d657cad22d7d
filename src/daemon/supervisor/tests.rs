//! Real supervisors with real processes: a small Python program stands in for the daemon's own.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::config::process_group::{Identity, Origin};
use crate::daemon::generation::{self, GenerationHolder};
use crate::daemon::listener::{ListenerKey, Registry};
use crate::daemon::os::{Exit, fork_for_test, wait_for_test};

/// Speaks the control protocol, and does what the file `mode` or a request says.
const STUB: &str = r#"
import grp, json, os, select, signal, socket, struct, sys, time
control, listener = socket.socket(fileno=3), socket.socket(fileno=4)
os.fstat(5)
launch = control.recv(70000)
assert launch[:1] == b"L", launch
scratch = os.environ["SCRATCH"]
mode = open(scratch + "/mode").read()
if mode == "exit":
    sys.stderr.write("no module named\nblog")
    sys.exit(3)
if mode == "fail":
    text = b"cannot serve"
    control.send(b"F" + struct.pack("<II", 401, len(text)) + text)
    sys.exit(78)
print("started", flush=True)
control.send(b"R" + (b"\0" if mode == "unloaded" else b"\1"))
serving = False
while True:
    ready = select.select([control] + [listener] * serving, [], [])[0]
    if control in ready:
        order = control.recv(16)
        if order == b"G":
            serving = True
        else:
            sys.exit(0)
    if listener in ready:
        try:
            peer = listener.accept()[0]
        except BlockingIOError:
            continue
        peer.setblocking(True)
        request = peer.recv(100).decode().split()
        if request[0] == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if request[0] == "reload":
            path = b"/srv/blog.py"
            control.send(b"C" + struct.pack("<qI", int(request[1]), len(path)) + path)
        status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines())
        peer.send(json.dumps({
            "pid": os.getpid(), "ids": [os.getresuid(), os.getresgid(), sorted(os.getgroups())],
            "nnp": status["NoNewPrivs"], "umask": status["Umask"], "cwd": os.getcwd(), "env": dict(os.environ),
            "fds": sorted(os.listdir("/proc/self/fd"), key=int), "mask": status["SigBlk"], "mode": mode,
        }).encode())
        peer.close()
"#;

struct Scene {
    scratch: PathBuf,
    registry: Registry,
}

impl Scene {
    fn new(name: &str) -> Self {
        let scratch = std::env::temp_dir().join(format!("wsgi-supervisor-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir(&scratch).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&scratch, open).unwrap();
        let mut registry = Registry::default();
        let key = ListenerKey::new("blog", &scratch.join("wsgi"), 50, None);
        registry.renew(&[(key, Origin::default())]).unwrap();
        let scene = Scene { scratch, registry };
        scene.mode("serve");
        scene
    }

    fn mode(&self, mode: &str) {
        fs::write(self.scratch.join("mode"), mode).unwrap();
    }

    fn group(&self, processes: u32) -> ProcessGroup {
        let seconds = Duration::from_secs;
        ProcessGroup {
            name: "blog".into(),
            origin: Origin { file: "blog.conf".into(), line: 12 },
            server_name: None,
            processes,
            threads: 2,
            identity: None,
            umask: None,
            chroot: None,
            home: None,
            lang: None,
            locale: None,
            env: vec![("SCRATCH".into(), self.scratch.to_str().unwrap().into())],
            python_home: None,
            python: Some(python()),
            python_path: Vec::new(),
            python_eggs: None,
            switch_interval: None,
            display_name: "(wsgi:blog)".into(),
            stack_size: None,
            listen_backlog: 50,
            connect_timeout: seconds(15),
            socket_timeout: None,
            shutdown_timeout: seconds(5),
            graceful_timeout: seconds(15),
            send_buffer_size: None,
            receive_buffer_size: None,
            socket_user: None,
            cpu_priority: None,
            memory_limit: None,
            virtual_memory_limit: None,
        }
    }

    /// A supervisor as httpd's parent forks it; it serves until the holder is dropped.
    fn supervise(&self, group: ProcessGroup, generation: u64) -> (i32, GenerationHolder) {
        let (watch, holder) = generation::pipe().unwrap();
        let parent = std::process::id() as i32;
        (self.fork(group, generation, watch, parent), holder)
    }

    fn fork(&self, group: ProcessGroup, generation: u64, watch: GenerationWatch, parent: i32) -> i32 {
        let listener = self.registry.get("blog").unwrap();
        let listener = Listener {
            key: listener.key.clone(),
            path: listener.path.clone(),
            socket: listener.socket.try_clone().unwrap(),
            status: listener.status.clone(),
        };
        let journal = Log(self.scratch.join("log"));
        fork_for_test(|| {
            keep_only(&[watch.as_fd(), listener.socket.as_fd(), listener.status.fd()]);
            let launcher = Launcher {
                flags: vec!["-S".into()],
                module: "/nowhere/mod_wsgi_rs.so".into(),
                default_home: None,
                environment: vec![("PYTHONHASHSEED".into(), "7".into())],
                httpd_uid: 0,
                program: Some(STUB.into()),
            };
            let groups = vec![GroupPlan { index: 3, group, listener, preload: Vec::new() }];
            let (httpd_version, socket_timeout) = ([2, 4, 57], Duration::from_secs(60));
            run(
                Plan { groups, generation, watch, launcher, httpd_version, socket_timeout, parent },
                &journal,
            );
        })
    }

    fn status(&self) -> &crate::daemon::status::StatusPage {
        &self.registry.get("blog").unwrap().status
    }

    fn request(&self, text: &str) -> String {
        let path = &self.registry.get("blog").unwrap().path;
        let mut stream = os::connect(path, Duration::from_secs(10)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        // A process that crashes resets the connection.
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn pid(&self) -> i32 {
        let answer = self.request("who");
        let digits = answer.strip_prefix("{\"pid\": ").and_then(|rest| rest.split_once(',')).unwrap().0;
        digits.parse().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.scratch.join("log")).unwrap_or_default()
    }

    fn count(&self, code: &str) -> usize {
        self.log().matches(code).count()
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(20), "{what}; the log is:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn until_ready(&self, processes: usize) {
        let ready =
            || self.status().ready_processes() == processes && self.status().starting_processes() == 0;
        self.until(&format!("{processes} ready"), ready);
    }

    fn ends(&self, supervisor: i32) {
        self.until("the supervisor ends", || {
            let stat = fs::read_to_string(format!("/proc/{supervisor}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
        assert_eq!(self.count("342 Info"), 1, "{}", self.log());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// A journal that a test can read: number, level and text, or pid and line.
struct Log(PathBuf);

impl Log {
    fn write(&self, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

impl Journal for Log {
    fn record(&self, group: Option<usize>, level: Level, message: &Message) {
        assert!(group.is_none_or(|group| group == 3));
        self.write(&format!("{} {level:?} {}\n", message.code, message.text));
    }

    fn output(&self, group: usize, pid: i32, line: &[u8]) {
        assert!(group == 3 && pid > 0);
        self.write(&format!("output {}\n", String::from_utf8_lossy(line)));
    }
}

/// The interpreter itself; what is on PATH may be a script of a version manager.
fn python() -> PathBuf {
    let program = "import os, sys; print(os.path.realpath(sys.executable))";
    let output = Command::new("python3").args(["-c", program]).output().expect("the tests need python3");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Closes what the test runner's other threads had open when this process was forked: the other tests'
/// ends of their generation pipes above all.
fn keep_only(fds: &[BorrowedFd<'_>]) {
    let kept = |number: &i32| *number <= 2 || fds.iter().any(|fd| fd.as_raw_fd() == *number);
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    open.into_iter().filter(|number| !kept(number)).for_each(|number| drop(os::adopt_descriptor(number)));
}

fn is_root() -> bool {
    os::Ids::current().unwrap().users[1] == 0
}

fn is_gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[test]
fn a_group_serves_until_its_generation_ends() {
    let scene = Scene::new("serves");
    let (supervisor, holder) = scene.supervise(scene.group(2), 1);
    scene.until_ready(2);
    assert_eq!((scene.count("output started"), scene.count("320 Info")), (2, 2));
    assert_eq!(scene.status().newest_ready(), 1);
    let answer = scene.request("who");
    // 6 is the listing itself, 7 the connection that asks.
    for expected in [
        "\"PYTHONHASHSEED\": \"7\"",
        "\"0\", \"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\"]",
        "\"0000000000000000\"",
        "\"cwd\": \"/\"",
    ] {
        assert!(answer.contains(expected), "{expected} in {answer}");
    }
    let pid = scene.pid();
    drop(holder);
    scene.ends(supervisor);
    assert_eq!(wait_for_test(supervisor), Exit::Status(0));
    assert!(is_gone(pid) && scene.status().ready_processes() == 0);
    assert!(scene.registry.get("blog").unwrap().path.exists(), "it is the living parent's");
}

#[test]
fn a_crashed_daemon_is_replaced() {
    let scene = Scene::new("crash");
    let (supervisor, holder) = scene.supervise(scene.group(1), 1);
    scene.until_ready(1);
    scene.request("crash");
    scene.until("said", || scene.count("323 Error") == 1);
    scene.until_ready(1);
    assert!(scene.log().contains("was killed by signal 11 (SIGSEGV, segmentation fault)"));
    drop(holder);
    scene.ends(supervisor);
    wait_for_test(supervisor);
}

#[test]
fn a_python_that_is_missing_is_named_once_and_used_when_it_comes() {
    let scene = Scene::new("missing");
    let mut group = scene.group(8);
    group.python = None;
    group.python_home = Some(scene.scratch.join("venv"));
    let (supervisor, holder) = scene.supervise(group, 1);
    scene.until("tried again", || scene.count("310 Info") == 1);
    assert_eq!(scene.count("310 Error"), 1);
    assert!(scene.status().failure().unwrap().contains("python3 -m venv"));
    assert!(scene.log().contains("blog.conf:12"));
    fs::create_dir_all(scene.scratch.join("venv/bin")).unwrap();
    std::os::unix::fs::symlink(python(), scene.scratch.join("venv/bin/python")).unwrap();
    scene.until_ready(8);
    assert_eq!((scene.count("321 Notice"), scene.status().failure()), (1, None));
    drop(holder);
    scene.ends(supervisor);
    wait_for_test(supervisor);
}

#[test]
fn why_a_daemon_cannot_start_is_said_once() {
    let scene = Scene::new("fails");
    scene.mode("exit");
    let (supervisor, holder) = scene.supervise(scene.group(1), 1);
    scene.until("tried again", || scene.count("322 Info") == 1);
    assert_eq!((scene.count("322 Error"), scene.count("output")), (1, 2));
    assert!(
        scene.log().contains("exit status 3 before it was ready; the last it wrote: no module named | blog")
    );
    scene.mode("fail");
    scene.until("said", || scene.count("401 Error") == 1);
    assert_eq!(scene.status().failure().as_deref(), Some("cannot serve"));
    scene.mode("serve");
    scene.until_ready(1);
    drop(holder);
    scene.ends(supervisor);
    wait_for_test(supervisor);
}

#[test]
fn a_change_is_rolled_out_or_not_at_all() {
    let scene = Scene::new("rollout");
    let (supervisor, holder) = scene.supervise(scene.group(2), 1);
    scene.until_ready(2);
    scene.mode("unloaded");
    scene.request("reload 5");
    scene.until("said", || scene.count("332 Error") == 1);
    scene.until_ready(2);
    scene.request("reload 5");
    assert!(scene.request("who").contains("\"mode\": \"serve\""));
    scene.mode("new");
    scene.request("reload 6");
    scene.until("said", || scene.count("331 Notice") == 1);
    scene.until_ready(2);
    assert!(scene.request("who").contains("\"mode\": \"new\""));
    assert_eq!(scene.count("332 Error"), 1, "a version is tried once");
    drop(holder);
    scene.ends(supervisor);
    wait_for_test(supervisor);
}

#[test]
fn a_newer_generation_takes_over() {
    let scene = Scene::new("newer");
    let (old, old_holder) = scene.supervise(scene.group(1), 1);
    scene.until_ready(1);
    let pid = scene.pid();
    old_holder.announce_newer();
    let (new, new_holder) = scene.supervise(scene.group(2), 2);
    scene.until("superseded", || scene.status().newest_ready() == 2 && is_gone(pid));
    scene.until_ready(2);
    assert!(!is_gone(old), "its generation has not ended");
    drop(old_holder);
    scene.ends(old);
    assert!(scene.pid() > 0);
    drop(new_holder);
    wait_for_test(old);
    wait_for_test(new);
}

#[test]
fn the_daemons_of_a_killed_supervisor_are_gone_at_once() {
    let scene = Scene::new("killed");
    let (supervisor, _holder) = scene.supervise(scene.group(1), 1);
    scene.until_ready(1);
    let pid = scene.pid();
    os::kill(supervisor, libc::SIGKILL).unwrap();
    wait_for_test(supervisor);
    scene.until("gone", || is_gone(pid));
}

#[test]
fn a_killed_parent_leaves_no_process_and_no_file() {
    let scene = Scene::new("orphan");
    let (watch, holder) = generation::pipe().unwrap();
    let parent = fork_for_test(|| {
        let listener = scene.registry.get("blog").unwrap();
        keep_only(&[watch.as_fd(), listener.socket.as_fd(), listener.status.fd()]);
        scene.fork(scene.group(1), 1, watch, std::process::id() as i32);
        std::thread::sleep(Duration::from_secs(60));
    });
    scene.until_ready(1);
    let (pid, path) = (scene.pid(), scene.registry.get("blog").unwrap().path.clone());
    os::kill(parent, libc::SIGKILL).unwrap();
    wait_for_test(parent);
    // A child of httpd that lives on: the test itself holds the generation.
    scene.until("ended", || scene.count("342 Info") == 1);
    assert!(is_gone(pid) && !path.exists() && scene.count("341 Notice") == 1);
    drop(holder);
}

#[test]
fn a_retired_socket_is_removed_with_its_last_generation() {
    let scene = Scene::new("retired");
    let (supervisor, _holder) = scene.supervise(scene.group(1), 1);
    scene.until_ready(1);
    scene.status().retire();
    os::kill(supervisor, libc::SIGTERM).unwrap();
    scene.ends(supervisor);
    assert!(!scene.registry.get("blog").unwrap().path.exists());
    wait_for_test(supervisor);
}

#[test]
fn a_daemon_is_its_user_and_nothing_else() {
    if !is_root() {
        return;
    }
    let scene = Scene::new("user");
    let mut group = scene.group(1);
    group.umask = Some(0o027);
    group.cpu_priority = Some(5);
    group.memory_limit = Some(1 << 30);
    group.python = Some(PathBuf::from("/usr/bin/python3")).filter(|python| python.exists());
    group.identity = Some(Identity {
        uid: 4711,
        gid: 4712,
        user_name: "somebody".into(),
        user_home: "/nonexistent".into(),
        supplementary_groups: Some(vec![4713, 4714]),
    });
    if !reachable(group.python.as_deref()) {
        return;
    }
    let (supervisor, holder) = scene.supervise(group, 1);
    scene.until_ready(1);
    let answer = scene.request("who");
    for expected in [
        "[[4711, 4711, 4711], [4712, 4712, 4712], [4713, 4714]]",
        "\"nnp\": \"1\"",
        "\"umask\": \"0027\"",
        "\"cwd\": \"/\"",
        "\"USER\": \"somebody\"",
        "\"HOME\": \"/nonexistent\"",
    ] {
        assert!(answer.contains(expected), "{expected} in {answer}");
    }
    let pid = scene.pid();
    os::kill(supervisor, libc::SIGKILL).unwrap();
    wait_for_test(supervisor);
    scene.until("the signal survived the change of the user", || is_gone(pid));
    drop(holder);
}

/// Whether any user may execute this Python.
fn reachable(python: Option<&Path>) -> bool {
    use std::os::unix::fs::MetadataExt;
    let open = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o005 == 0o005);
    python.is_some_and(|python| fs::canonicalize(python).is_ok_and(|python| python.ancestors().all(open)))
}

#[test]
fn a_step_that_fails_is_named_with_its_option() {
    let scene = Scene::new("step");
    let mut group = scene.group(1);
    group.home = Some("/nonexistent/home".into());
    let (supervisor, holder) = scene.supervise(group, 1);
    scene.until("said", || scene.count("312 Error") == 1);
    assert!(scene.log().contains("'home='") && scene.log().contains("/nonexistent/home"));
    drop(holder);
    scene.ends(supervisor);
    wait_for_test(supervisor);
}
