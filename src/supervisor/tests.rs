//! Real supervisors with real processes.

use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use super::scene::{Scene, is_gone, is_root, keep_only, python, reachable};
use crate::config::process_group::Identity;
use crate::control::generation;
use crate::os::{self, Exit, fork_for_test, wait_for_test};

#[test]
fn a_group_serves_until_its_generation_ends() {
    let scene = Scene::new("serves");
    let (supervisor, holder) = scene.supervise(scene.group(2), 1);
    scene.until_ready(2);
    scene.until("said", || (scene.count("output started"), scene.count("320 Info")) == (2, 2));
    assert_eq!(scene.page().newest_ready(), 1);
    let answer = scene.request("who");
    // 8 is the listing itself, 9 the connection that asks.
    for expected in [
        "\"PYTHONHASHSEED\": \"7\"",
        "\"0\", \"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\", \"8\", \"9\"]",
        "\"0000000000000000\"",
        "\"cwd\": \"/\"",
    ] {
        assert!(answer.contains(expected), "{expected} in {answer}");
    }
    let pid = scene.pid();
    drop(holder);
    scene.ends(supervisor);
    assert_eq!(wait_for_test(supervisor), Exit::Status(0));
    assert!(is_gone(pid) && scene.page().ready_processes() == 0);
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
    scene.until("tried again", || scene.count("310 Info") >= 2);
    assert_eq!(scene.count("310 Error"), 1);
    assert!(scene.page().failure().unwrap().contains("python3 -m venv"));
    assert!(scene.log().contains("blog.conf:12"));
    fs::create_dir_all(scene.scratch.join("venv/bin")).unwrap();
    std::os::unix::fs::symlink(python(), scene.scratch.join("venv/bin/python")).unwrap();
    scene.until_ready(8);
    scene.until("said", || (scene.count("321 Notice"), scene.page().failure()) == (1, None));
    drop(holder);
    scene.ends(supervisor);
    wait_for_test(supervisor);
}

#[test]
fn why_a_daemon_cannot_start_is_said_once() {
    let scene = Scene::new("fails");
    scene.mode("exit");
    let (supervisor, holder) = scene.supervise(scene.group(1), 1);
    scene.until("tried again", || scene.count("322 Info") >= 1);
    scene.until("shown once", || (scene.count("322 Error"), scene.count("output")) == (1, 2));
    assert!(
        scene.log().contains("exit status 3 before it was ready; the last it wrote: no module named | blog")
    );
    scene.mode("fail");
    scene.until("said", || scene.count("401 Error") == 1);
    assert_eq!(scene.page().failure().as_deref(), Some("cannot serve"));
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
    scene.until("superseded", || scene.page().newest_ready() == 2 && is_gone(pid));
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
    let (watch, holder) = generation::pair().unwrap();
    let parent = fork_for_test(|| {
        let listener = scene.registry.get("blog").unwrap();
        let place = listener.place.as_fd();
        let kept = [place, listener.socket.as_fd(), listener.page.fd()];
        keep_only(&watch.fds().chain(kept).collect::<Vec<_>>());
        scene.fork(scene.group(1), 1, watch, std::process::id() as i32);
        std::thread::sleep(Duration::from_secs(60));
    });
    scene.until_ready(1);
    let pid = scene.pid();
    os::kill(parent, libc::SIGKILL).unwrap();
    wait_for_test(parent);
    // A child of httpd that lives on: the test itself holds the generation.
    scene.until("ended", || scene.count("342 Info") == 1);
    assert!(is_gone(pid) && scene.count("341 Notice") == 1);
    drop(holder);
}

#[test]
fn a_retired_socket_is_removed_with_its_last_generation() {
    let scene = Scene::new("retired");
    let (supervisor, _holder) = scene.supervise(scene.group(1), 1);
    scene.until_ready(1);
    scene.page().retire();
    os::kill(supervisor, libc::SIGTERM).unwrap();
    scene.ends(supervisor);
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
    group.no_new_privileges = true;
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

#[test]
fn the_start_program_says_why_it_cannot_load_the_module() {
    let mut scene = Scene::new("program");
    scene.program = None;
    let (supervisor, holder) = scene.supervise(scene.group(1), 1);
    scene.until("said", || scene.count("352 Error") == 1);
    assert!(scene.log().contains("/nowhere/mod_wsgi_rs.so") && scene.count("output") == 0);
    drop(holder);
    scene.ends(supervisor);
    wait_for_test(supervisor);
}
