//! What the tests of the supervisor play on: a group with a socket, a log that can be read, and a small
//! Python program that stands in for the daemon's own.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::{GroupPlan, Plan, Start, run};
use crate::config::interpreter::{InterpreterOptions, Layers};
use crate::config::process_group::{Origin, ProcessGroup};
use crate::config::server_facts::ServerFacts;
use crate::control::generation::{self, GenerationHolder, GenerationWatch};
use crate::control::listener::{Listener, ListenerKey, Registry};
use crate::control::module_file::ModuleFile;
use crate::log::{Journal, Level, Message};
use crate::os::{self, fork_for_test};
use crate::spawn::Launcher;

/// Speaks the control protocol, postcard by hand, and does what the file `mode` or a request says.
const STUB: &str = r#"
import grp, json, os, select, signal, socket, sys, time
control, listener = socket.socket(fileno=3), socket.socket(fileno=4)
os.fstat(5), os.fstat(7)
launch = control.recv(70000)
assert launch[:1] == b"L", launch
scratch = os.environ["SCRATCH"]
mode = open(scratch + "/mode").read()
if mode == "exit":
    sys.stderr.write("no module named\nblog")
    sys.exit(3)
if mode == "fail":
    text = b"cannot serve"
    os.write(7, b"\x05\x91\x03" + bytes([len(text)]) + text)  # Report::Failed with 401
    sys.exit(78)
print("started", flush=True)
os.write(7, bytes([0, mode != "unloaded", mode == "unloaded", 0, 3, 9, 2]))  # Report::Ready
serving = False
while True:
    ready = select.select([control] + [listener] * serving, [], [])[0]
    if control in ready:
        order = control.recv(16)
        if order == b"\0":  # Order::Serve
            serving = True
        elif not order:
            time.sleep(100)  # the kernel has to end it
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
            os.write(7, b"\x03" + bytes([len(path)]) + path + bytes([2 * int(request[1])]))  # Report::Reload
        status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines())
        peer.send(json.dumps({
            "pid": os.getpid(), "ids": [os.getresuid(), os.getresgid(), sorted(os.getgroups())],
            "nnp": status["NoNewPrivs"], "umask": status["Umask"], "cwd": os.getcwd(), "env": dict(os.environ),
            "fds": sorted(os.listdir("/proc/self/fd"), key=int), "mask": status["SigBlk"], "mode": mode,
        }).encode())
        peer.close()
"#;

pub struct Scene {
    pub scratch: PathBuf,
    pub registry: Registry,
    /// None is the daemon's own start program.
    pub program: Option<String>,
}

impl Scene {
    pub fn new(name: &str) -> Self {
        let scratch = std::env::temp_dir().join(format!("wsgi-supervisor-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir(&scratch).unwrap();
        open_to_all(&scratch, 0o755);
        let mut registry = Registry::default();
        let group = ProcessGroup::new("blog", Origin::default());
        let key = ListenerKey::new(&group, &scratch.join("wsgi"), None);
        registry.renew(&[(key, Origin::default())]).unwrap();
        let scene = Scene { scratch, registry, program: Some(STUB.into()) };
        scene.mode("serve");
        scene
    }

    pub fn mode(&self, mode: &str) {
        let file = self.scratch.join("mode");
        fs::write(&file, mode).unwrap();
        open_to_all(&file, 0o644);
    }

    pub fn group(&self, processes: u32) -> ProcessGroup {
        let origin = Origin { file: "blog.conf".into(), line: 12 };
        ProcessGroup {
            processes,
            threads: 2,
            env: vec![("SCRATCH".into(), self.scratch.to_str().unwrap().into())],
            python: Some(python()),
            ..ProcessGroup::new("blog", origin)
        }
    }

    /// A supervisor as httpd's parent forks it; it serves until the holder is dropped.
    pub fn supervise(&self, group: ProcessGroup, generation: u64) -> (i32, GenerationHolder) {
        let (watch, holder) = generation::pair().unwrap();
        let parent = std::process::id() as i32;
        (self.fork(group, generation, watch, parent), holder)
    }

    pub fn fork(&self, group: ProcessGroup, generation: u64, watch: GenerationWatch, parent: i32) -> i32 {
        let listener = self.registry.get("blog").unwrap();
        let listener = Listener {
            key: listener.key.clone(),
            path: listener.path.clone(),
            place: listener.place.try_clone().unwrap(),
            socket: listener.socket.try_clone().unwrap(),
            page: listener.page.clone(),
            secret: listener.secret.clone(),
        };
        let journal = Log(self.scratch.join("log"));
        fork_for_test(|| {
            let place = listener.place.as_fd();
            let kept = [place, listener.socket.as_fd(), listener.page.fd()];
            keep_only(&watch.fds().chain(kept).collect::<Vec<_>>());
            let launcher = Launcher {
                flags: vec!["-S".into()],
                module: Box::leak(Box::new(ModuleFile::open(Path::new("/nowhere/mod_wsgi_rs.so")))),
                environment: vec![("PYTHONHASHSEED".into(), "7".into())],
                descriptors: None,
                finish: true,
                httpd_uid: 0,
                program: self.program.clone(),
            };
            let groups = vec![GroupPlan {
                walls: None,
                index: 3,
                group,
                listener,
                preload: Vec::new(),
                interpreters: Layers::default().resolve("", &InterpreterOptions::default()),
            }];
            let start = Start {
                launcher,
                server: ServerFacts::default(),
                socket_timeout: Duration::from_secs(60),
                scoreboard: || None,
            };
            run(Plan { groups, generation, watch, start, parent }, &journal);
        })
    }

    pub fn page(&self) -> &crate::control::group_page::GroupPage {
        &self.registry.get("blog").unwrap().page
    }

    pub fn request(&self, text: &str) -> String {
        let place = os::descriptor_path(self.registry.get("blog").unwrap().place.as_fd());
        let mut stream = os::connect(&place, Duration::from_secs(10)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        // A process that crashes resets the connection.
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    pub fn pid(&self) -> i32 {
        let answer = self.request("who");
        let digits = answer.strip_prefix("{\"pid\": ").and_then(|rest| rest.split_once(',')).unwrap().0;
        digits.parse().unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.join("log")).unwrap_or_default()
    }

    pub fn count(&self, code: &str) -> usize {
        self.log().matches(code).count()
    }

    pub fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(20), "{what}; the log is:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn until_ready(&self, processes: usize) {
        let ready = || self.page().ready_processes() == processes && self.page().starting_processes() == 0;
        self.until(&format!("{processes} ready"), ready);
    }

    pub fn ends(&self, supervisor: i32) {
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
    pub fn write(&self, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

impl Journal for Log {
    fn record(&self, group: Option<usize>, message: &Message) {
        assert!(group.is_none_or(|group| group == 3));
        self.write(&format!("{} {:?} {}\n", message.code.number(), message.level, message.text));
    }

    fn output(&self, group: usize, pid: i32, _level: Level, line: &[u8]) {
        assert!(group == 3 && pid > 0);
        self.write(&format!("output {}\n", String::from_utf8_lossy(line)));
    }
}

/// Another test's socket may just be made under another umask, which is that of the whole test runner.
fn open_to_all(path: &Path, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(path, mode).unwrap();
}

/// The interpreter itself; what is on PATH may be a script of a version manager.
pub fn python() -> PathBuf {
    let program = "import os, sys; print(os.path.realpath(sys.executable))";
    let output = Command::new("python3").args(["-c", program]).output().expect("the tests need python3");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Closes what the test runner's other threads had open when this process was forked: the other tests'
/// ends of their generation pipes above all.
pub fn keep_only(fds: &[BorrowedFd<'_>]) {
    let kept = |number: &i32| *number <= 2 || fds.iter().any(|fd| fd.as_raw_fd() == *number);
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    open.into_iter().filter(|number| !kept(number)).for_each(|number| drop(os::adopt_descriptor(number)));
}

pub fn is_root() -> bool {
    os::Ids::current().unwrap().users[1] == 0
}

pub fn is_gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

/// Whether any user may execute this Python.
pub fn reachable(python: Option<&Path>) -> bool {
    use std::os::unix::fs::MetadataExt;
    let open = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o005 == 0o005);
    python.is_some_and(|python| fs::canonicalize(python).is_ok_and(|python| python.ancestors().all(open)))
}
