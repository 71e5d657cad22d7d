//! Unit tests of `options`, and the accounts that the tests of other files use.

use super::*;
use crate::config::limits::Limits;
use crate::config::words::split;

/// Two users, bob (1001) and root; httpd is www-data (33).
pub struct TestAccounts {
    pub root: bool,
}

impl Accounts for TestAccounts {
    fn user(&self, name: &str) -> Option<Account> {
        let (uid, name) = match name {
            "root" | "#0" => (0, "root"),
            "bob" | "#1001" => (1001, "bob"),
            "#4242" => (4242, ""),
            _ => return None,
        };
        Some(Account { uid, gid: uid, name: name.to_string(), home: format!("/home/{name}").into() })
    }

    fn group(&self, name: &str) -> Option<u32> {
        match name {
            "staff" => Some(50),
            "bob" | "#1001" => Some(1001),
            number => number.strip_prefix('#')?.parse().ok(),
        }
    }

    fn groups_of(&self, user_name: &str, gid: u32) -> Vec<u32> {
        if user_name == "bob" { vec![gid, 50] } else { vec![gid] }
    }

    fn running_as_root(&self) -> bool {
        self.root
    }

    fn httpd_user(&self) -> Account {
        Account { uid: 33, gid: 33, name: "www-data".to_string(), home: "/var/www".into() }
    }
}

pub fn define(line: &str) -> Result<Definition, String> {
    let resolve_path = |path: &str| match path.starts_with('/') {
        true => path.to_string(),
        false => format!("/etc/httpd/{path}"),
    };
    let reader = Reader { accounts: &TestAccounts { root: true }, resolve_path: &resolve_path };
    parse(&split(line)?, Origin { file: "site.conf".to_string(), line: 3 }, &reader)
}

fn parsed(options: &str) -> ProcessGroup {
    define(&format!("blog {options}")).unwrap().group
}

fn error(options: &str) -> String {
    define(&format!("blog {options}")).err().unwrap()
}

#[test]
fn defaults() {
    let group = parsed("");
    assert_eq!((group.processes, group.threads, group.listen_backlog), (1, 15, 100));
    assert_eq!(group.display_name, "(wsgi:blog)");
    assert_eq!(group.connect_timeout, Duration::from_secs(15));
    assert_eq!(group.shutdown_timeout, Duration::from_secs(5));
    assert_eq!(group.graceful_timeout, Duration::from_secs(15));
    assert_eq!(group.limits, Limits::default());
    assert_eq!(group.limits.deadlock, Some(Duration::from_secs(300)));
    assert_eq!(group.origin.to_string(), "site.conf:3");
}

#[test]
fn options_with_an_effect() {
    let group = parsed(
        "processes=2 threads=4 umask=0027 home=/srv/blog lang=C.UTF-8 locale= chroot=/jail \
         python-home=venv python=/usr/bin/python3.13 python-path=/a:/b: switch-interval=0.01 \
         display-name='%{GROUP} live' stack-size=512K listen-backlog=7 connect-timeout=500ms \
         socket-timeout=0 queue-timeout=2 shutdown-timeout=1m graceful-timeout=30 send-buffer-size=64K \
         receive-buffer-size=0 response-socket-timeout=3 response-flush-delay=10 \
         response-buffer-size=64K socket-user=bob cpu-priority=-5 memory-limit=1G virtual-memory-limit=0",
    );
    assert_eq!((group.processes, group.threads, group.umask), (2, 4, Some(0o27)));
    assert_eq!(group.home, Some("/srv/blog".into()));
    assert_eq!((group.lang.as_deref(), group.locale), (Some("C.UTF-8"), None));
    assert_eq!(group.python_home, Some("/etc/httpd/venv".into()));
    assert_eq!(group.python_path, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(group.display_name, "(wsgi:blog) live");
    assert_eq!(group.stack_size, Some(512 << 10));
    assert_eq!(group.connect_timeout, Duration::from_millis(500));
    assert_eq!((group.socket_timeout, group.queue_timeout), (None, Some(Duration::from_secs(2))));
    assert_eq!(parsed("queue-timeout=0").queue_timeout, None);
    assert_eq!(group.shutdown_timeout, Duration::from_secs(60));
    assert_eq!((group.send_buffer_size, group.receive_buffer_size), (Some(64 << 10), None));
    assert_eq!(group.response.socket_timeout, Some(Duration::from_secs(3)));
    assert_eq!(group.response.flush_delay, Duration::from_millis(10));
    assert_eq!(
        (group.response.buffer_size, parsed("response-buffer-size=0").response.buffer_size),
        (65536, 8 << 20)
    );
    assert_eq!((group.socket_user, group.cpu_priority), (Some(1001), Some(-5)));
    assert_eq!((group.memory_limit, group.virtual_memory_limit), (Some(1 << 30), None));
}

#[test]
fn variables_keep_their_blanks_and_equal_signs() {
    let group = parsed(r#""env=GREETING=hello big = world" env=EMPTY= env=A="x y=z" env=A=again"#);
    let pairs: Vec<_> = group.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [("GREETING", "hello big = world"), ("EMPTY", ""), ("A", "x y=z"), ("A", "again")];
    assert_eq!(pairs, expected);
    let files = parsed("env-file=secrets env-file=/etc/more").env_files;
    assert_eq!(files, [PathBuf::from("/etc/httpd/secrets"), PathBuf::from("/etc/more")]);
    assert!(error("env-file=").contains("expected a path"));
    assert!(error("env=NOVALUE").contains("env=NAME=VALUE"));
    assert!(error("env==x").contains("env=NAME=VALUE"));
}

#[test]
fn limits_are_off_at_zero() {
    let second = Duration::from_secs(1);
    let limits = parsed(
        "maximum-requests=1000 maximum-memory=64M startup-timeout=1 deadlock-timeout=0 inactivity-timeout=2s \
         request-timeout=2m interrupt-timeout=500ms eviction-timeout=4 restart-interval=1h cpu-time-limit=1d",
    )
    .limits;
    let expected = Limits {
        maximum_requests: Some(1000),
        maximum_memory: Some(64 << 20),
        startup: Some(second),
        deadlock: None,
        inactivity: Some(2 * second),
        request: Some(120 * second),
        interrupt: Some(second / 2),
        eviction: Some(4 * second),
        restart_interval: Some(3600 * second),
        cpu_time: Some(86_400 * second),
    };
    assert_eq!(limits, expected);
    let off = "maximum-requests=0 maximum-memory=0 startup-timeout=0 inactivity-timeout=0 request-timeout=0 \
               interrupt-timeout=0 eviction-timeout=0 restart-interval=0 cpu-time-limit=0";
    assert_eq!(parsed(off).limits, Limits::default());
}

#[test]
fn the_number_of_processes_has_a_range() {
    let range = |options| {
        let group = parsed(options);
        (group.minimum_processes, group.processes, group.maximum_processes)
    };
    assert_eq!(range(""), (1, 1, 1));
    assert_eq!(range("processes=3"), (3, 3, 3));
    assert_eq!(range("maximum-processes=4"), (1, 1, 4));
    assert_eq!(range("minimum-processes=2"), (2, 2, 2));
    assert_eq!(range("minimum-processes=2 processes=3 maximum-processes=8"), (2, 3, 8));
    assert_eq!(range("processes=3 minimum-processes=1"), (1, 3, 3));
    for wrong in [
        "minimum-processes=3 maximum-processes=2",
        "minimum-processes=3 processes=2",
        "processes=3 maximum-processes=2",
    ] {
        assert!(error(wrong).contains("must not decrease"), "{wrong}");
    }
    let group = parsed("start=on-demand idle-timeout=5m");
    assert!(group.on_demand && group.idle_timeout == Duration::from_secs(300));
    assert!(!parsed("start=always").on_demand);
    let overlap = |value| parsed(&format!("overlap={value}")).overlap;
    assert_eq!(overlap("off"), Overlap::Off);
    assert_eq!((overlap("On"), overlap("Auto")), (Overlap::On, Overlap::Auto));
    assert!(error("overlap=1").contains("expected Auto, On or Off, found '1'"));
    assert!(error("start=later").contains("expected always or on-demand, found 'later'"));
    assert!(error("idle-timeout=0").contains("longer than zero"));
}

#[test]
fn options_without_need_are_checked_and_named() {
    let definition = define("blog header-buffer-size=8192 threads=1").unwrap();
    assert_eq!(definition.unneeded, ["header-buffer-size"]);
    assert!(error("header-buffer-size=8191").contains("expected 0 or a size of at least 8192"));
    assert!(define("blog header-buffer-size=0").is_ok());
}

#[test]
fn every_option_of_existing_configurations_is_known() {
    let known = "user group supplementary-groups processes threads umask chroot home lang locale \
        python-home python-path python-eggs switch-interval stack-size maximum-requests startup-timeout \
        shutdown-timeout deadlock-timeout inactivity-timeout request-timeout interrupt-timeout \
        graceful-timeout eviction-timeout restart-interval connect-timeout socket-timeout queue-timeout \
        listen-backlog display-name send-buffer-size receive-buffer-size header-buffer-size \
        response-buffer-size response-socket-timeout response-flush-delay socket-user script-user \
        script-group cpu-time-limit cpu-priority memory-limit virtual-memory-limit server-metrics";
    assert_eq!(known.split_whitespace().count(), 44);
    for name in known.split_whitespace() {
        assert!(OPTIONS.iter().any(|row| row.name == name), "{name}");
    }
}

#[test]
fn who_the_daemons_run_as() {
    let requested = define("blog user=bob group=staff supplementary-groups=staff,bob").unwrap().requested;
    assert_eq!(requested.user.map(|user| user.uid), Some(1001));
    assert_eq!(requested.gid, Some(50));
    assert_eq!(requested.supplementary_groups, Some(vec![50, 1001]));
    assert!(error("user=root").contains("uid 0"));
    assert!(error("user=#0").contains("unprivileged"));
    assert!(error("user=nosuch").contains("no user 'nosuch'"));
    assert!(error("group=nosuch").contains("no group 'nosuch'"));
    assert!(error("supplementary-groups=staff,nosuch").contains("no group 'nosuch'"));
    assert!(error("script-user=bob script-group=bob").contains("exclude each other"));
}

#[test]
fn walls() {
    use crate::config::walls::{ProtectHome, TmpSize, Walls};
    assert_eq!(parsed("private-tmp=Off protect-home=off").walls, Walls::default());
    let asked = parsed("private-tmp=64M protect-home=others").walls;
    assert_eq!(
        asked,
        Walls { private_tmp: Some(TmpSize::Bytes(64 << 20)), protect_home: ProtectHome::Others }
    );
    assert!(error("private-tmp=1").contains("option 'private-tmp': expected On, Off, or a size"));
    assert!(error("protect-home=1").contains("option 'protect-home': expected Off, read-only"));
}

#[test]
fn mistakes_name_option_value_and_cure() {
    assert_eq!(
        error("threads=5x"),
        "process group 'blog': option 'threads': expected a whole number from 0 to 65533, found '5x'"
    );
    for wrong in ["threads=65534", "processes=0", "processes=x", "umask=9", "home=srv", "connect-timeout=5x"]
    {
        assert!(error(wrong).contains("expected"), "{wrong}");
    }
    assert!(error("thread=5").contains("no option 'thread' (did you mean 'threads'?)"));
    assert!(error("colour=red").contains("no option 'colour':"));
    assert!(
        error("threads = 5").contains("option 'threads' has no value: write threads=VALUE, without blanks")
    );
    assert!(
        error("display-name=My site").contains("'site' is not of the form option=value: write no blanks")
    );
    assert!(error("send-buffer-size=100").contains("at least 512"));
    assert!(define("threads=5").err().unwrap().contains("name of the process group is missing"));
    assert!(define("").err().unwrap().contains("name of the process group is missing"));
    assert!(define("%{GLOBAL}").err().unwrap().contains("cannot name"));
}

/// The rows of the table in docs/directives.md: names, value, default, meaning.
fn documented() -> Vec<(&'static str, [&'static str; 3])> {
    let page = include_str!("../../docs/directives.md");
    let (_, options) = page.split_once("## WSGIDaemonProcess options").unwrap();
    let (options, _) = options.split_once("\n\nWith `preload=On`").unwrap();
    let rows = options.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.trim_end_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>());
    cells
        .flat_map(|cells| {
            let [names, value, default, meaning] = cells[..] else { panic!("four cells, not {cells:?}") };
            names.split(", ").map(move |name| (name.trim_matches('`'), [value, default, meaning]))
        })
        .collect()
}

fn sorted(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn every_option_is_documented_and_no_other() {
    let table = documented();
    assert_eq!(sorted(table.iter().map(|(name, _)| *name)), sorted(OPTIONS.iter().map(|row| row.name)));
    for (name, cells) in table {
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{name}: {cells:?}");
    }
}

#[test]
fn the_documentation_says_which_values_are_times_and_sizes() {
    let page = include_str!("../../docs/directives.md");
    let (_, values) = page.split_once("**Values:**").unwrap();
    let (values, _) = values.split_once("\n\n").unwrap();
    assert!(
        values.contains("A *time* is a number of seconds")
            && values.contains("A *size* is a number of\nbytes")
    );
    let accepts = |name: &str, value: &str| define(&format!("blog {name}={value}")).is_ok();
    for (name, [value, ..]) in documented() {
        let has = |word: &str| value.split(|c: char| !c.is_alphanumeric()).any(|found| found == word);
        let (time, size) = (accepts(name, "5h"), accepts(name, "64G"));
        // What takes any text takes both.
        assert_eq!((has("time"), has("size")), (time && !size, size && !time), "{name}: {value}");
        if time && !size {
            let milliseconds = parsed(&format!("{name}=7")) == parsed(&format!("{name}=7ms"));
            assert_eq!(value.contains("a plain number is milliseconds"), milliseconds, "{name}: {value}");
        }
    }
}

#[test]
fn documented_defaults_are_those_in_force() {
    let mut seen = 0;
    for (name, [_, default, _]) in documented() {
        let value = default.split(',').next().unwrap();
        if value.starts_with(|c: char| c.is_ascii_digit()) || ["always", "Auto"].contains(&value) {
            assert_eq!(parsed(&format!("{name}={value}")), parsed(""), "{name}={value}");
            seen += 1;
        }
    }
    assert_eq!(seen, 25);
    assert_ne!(parsed("threads=16"), parsed(""));
}
