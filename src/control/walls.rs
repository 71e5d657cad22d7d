//! The walls around process groups (`private-tmp=`, `protect-home=`): one namespace of mounts for each group
//! that asks.
//!
//! Built in the httpd parent when it has read its configuration, and kept by it across restarts, so that all
//! processes of a group and their successors share one /tmp. The supervisor gives it to each process, which
//! enters it before it drops its rights (`spawn::privileges`); httpd's children close their copies. Where
//! walls cannot be built, the group has no process until the next restart, and the supervisor says why.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, chroot};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::process_group::ProcessGroup;
use crate::config::walls::{HOMES, ProtectHome, TEMPORARY, TmpSize, is_below_homes};
use crate::log::{Code, Message, wording};
use crate::os::{self, NoNamespace};

/// How long the building of all may take: homes may lie on a file system that does not answer.
const LONGEST: Duration = Duration::from_secs(10);

/// What is left for each when that time is over.
const SHORTEST: Duration = Duration::from_millis(50);

/// None where the group asks for no walls.
pub type Built = Option<Result<OwnedFd, Message>>;

#[derive(Default)]
pub struct Registry {
    walls: Vec<Walled>,
}

struct Walled {
    group: String,
    /// What the walls depend on: with another one they are built anew.
    plan: String,
    built: Result<OwnedFd, Message>,
}

impl Registry {
    /// Builds what the groups of a new configuration ask for, and keeps what stands already.
    pub fn renew<'a>(&mut self, groups: impl Iterator<Item = &'a ProcessGroup>) {
        let mut before = std::mem::take(&mut self.walls);
        let end = Instant::now() + LONGEST;
        for group in groups.filter(|group| group.walls.any()) {
            let plan = plan(group);
            let same = |walled: &Walled| walled.group == group.name && walled.plan == plan;
            let kept = before.iter().position(|walled| same(walled) && walled.built.is_ok());
            let walled = kept.map(|index| before.swap_remove(index));
            let anew = || Walled { group: group.name.clone(), plan, built: build(group, end) };
            self.walls.push(walled.unwrap_or_else(anew));
        }
    }

    /// Moves a group's walls out: for the supervisor, whose copy of the registry is its own.
    pub fn take(&mut self, group: &str) -> Built {
        let index = self.walls.iter().position(|walled| walled.group == group)?;
        Some(self.walls.swap_remove(index).built)
    }
}

fn plan(group: &ProcessGroup) -> String {
    format!("{:?} {} {:?}", group.walls, group.runs_as(), user_home(group))
}

fn user_home(group: &ProcessGroup) -> Option<&Path> {
    group.identity.as_ref().map(|identity| identity.user_home.as_path())
}

fn build(group: &ProcessGroup, end: Instant) -> Result<OwnedFd, Message> {
    let longest = end.saturating_duration_since(Instant::now()).max(SHORTEST);
    os::mount_namespace(longest, || prepare(group)).map_err(|failure| {
        let failure = match failure {
            NoNamespace::Prepare(text) => text,
            NoNamespace::System(error) => format!("a namespace of mounts cannot be made: {}", wording(&error)),
            NoNamespace::Stuck => "a file system did not answer in time".into(),
        };
        let options = group.walls.options();
        let text = format!(
            "what {options} asks for cannot be had: {failure}; httpd must be started by root with CAP_SYS_ADMIN, which \
             containers and hardened services have only where it is given to them: give it, or mend what is named, and \
             restart httpd; or remove {options}"
        );
        Message::new(Code::WallsNotBuilt, text)
    })
}

/// In the new namespace, as root.
fn prepare(group: &ProcessGroup) -> Result<(), String> {
    os::set_umask(0o022);
    if let Some(root) = &group.chroot {
        // From here on a link leads to where it leads the group's processes.
        let moved = chroot(root).and_then(|()| std::env::set_current_dir("/"));
        moved.map_err(|error| format!("chroot to {}: {}", root.display(), wording(&error)))?;
    }
    match group.walls.protect_home {
        ProtectHome::Off => Ok(()),
        ProtectHome::ReadOnly => each(&HOMES, read_only),
        ProtectHome::On => each(&HOMES, hide),
        ProtectHome::Others => {
            let own = user_home(group).filter(|home| is_below_homes(home) && home.is_dir());
            each(&HOMES, |place| match own.filter(|own| own.starts_with(place)) {
                Some(own) => hide_all_but(own, place),
                None => hide(place),
            })
        }
    }?;
    match group.walls.private_tmp {
        None => Ok(()),
        Some(size) => own_temporary(size),
    }
}

/// One directory, at both places.
fn own_temporary(size: TmpSize) -> Result<(), String> {
    let [first, second] = TEMPORARY.map(Path::new);
    if !first.is_dir() {
        return Err(format!("there is no directory {}: create it", first.display()));
    }
    each(&TEMPORARY[..1], |place| own_directory(place, size))?;
    // It may be a link to the first.
    let is_there = device(second).ok() == device(first).ok();
    if is_there { Ok(()) } else { each(&TEMPORARY[1..], |place| os::mount_again(first, place)) }
}

/// Does it with all of the directories that are there.
fn each(places: &[&str], wall: impl Fn(&Path) -> io::Result<()>) -> Result<(), String> {
    let places = places.iter().map(PathBuf::from).filter(|place| place.is_dir());
    places.into_iter().try_for_each(|place| {
        let before = device(&place);
        let walled = wall(&place);
        let verified = walled.and_then(|()| match device(&place)? != before? || os::is_read_only(&place)? {
            true => Ok(()),
            false => Err(io::Error::other("it had no effect")),
        });
        verified.map_err(|error| format!("{}: {}", place.display(), wording(&error)))
    })
}

fn device(place: &Path) -> io::Result<u64> {
    place.metadata().map(|found| found.dev())
}

fn own_directory(place: &Path, size: TmpSize) -> io::Result<()> {
    /// Each takes about a kilobyte of the kernel's memory.
    const FEWEST_FILES: u64 = 100_000;
    let (size, files) = match size {
        TmpSize::Tenth => ("10%".to_string(), FEWEST_FILES),
        TmpSize::Bytes(bytes) => (bytes.to_string(), (bytes >> 14).max(FEWEST_FILES)),
    };
    let options = CString::new(format!("mode=1777,size={size},nr_inodes={files}"))?;
    os::mount_memory(place, &options, false)
}

fn hide(place: &Path) -> io::Result<()> {
    os::mount_memory(place, c"mode=000,size=4k,nr_inodes=2", true)
}

fn hide_all_but(own: &Path, place: &Path) -> io::Result<()> {
    let tree = os::detached_tree(own)?;
    os::mount_memory(place, c"mode=755,size=64k,nr_inodes=64", false)?;
    fs::create_dir_all(own)?;
    os::attach_tree(tree.as_fd(), own)?;
    os::make_read_only(place, false)
}

fn read_only(place: &Path) -> io::Result<()> {
    os::mount_again(place, place)?;
    os::make_read_only(place, true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::process_group::{Identity, Origin};
    use crate::config::walls::Walls;

    /// A root of its own, below which /var/tmp is a link, with the homes of two users.
    fn group(name: &str) -> ProcessGroup {
        let root = std::env::temp_dir().join(format!("wsgi-walls-{name}-{}", std::process::id()));
        for place in ["tmp", "var", "home/bob", "home/eve"] {
            fs::create_dir_all(root.join(place)).unwrap();
        }
        symlink("/tmp", root.join("var/tmp")).unwrap();
        fs::write(root.join("tmp/outside"), "").unwrap();
        let (user_name, user_home) = ("bob".into(), "/home/bob".into());
        let identity = Identity { uid: 1001, gid: 1001, user_name, user_home, supplementary_groups: None };
        let walls = Walls { private_tmp: Some(TmpSize::Bytes(1 << 20)), protect_home: ProtectHome::Others };
        let origin = Origin { file: "blog.conf".into(), line: 12 };
        ProcessGroup {
            chroot: Some(root),
            identity: Some(identity),
            walls,
            ..ProcessGroup::new(name, origin)
        }
    }

    fn names(place: PathBuf) -> Vec<String> {
        let entries = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name().into_string());
        entries.map(Result::unwrap).collect()
    }

    /// Runs this in a process that has entered the walls of `blog`; false where the kernel builds none.
    fn inside(registry: &mut Registry, look: fn(&Path)) -> bool {
        let Some(Ok(walls)) = registry.walls.first().map(|walled| walled.built.as_ref()) else {
            return false;
        };
        let root = std::env::temp_dir().join(format!("wsgi-walls-blog-{}", std::process::id()));
        let pid = os::fork_for_test(|| {
            os::enter_mount_namespace(walls.as_fd()).unwrap();
            assert!(os::is_in_mount_namespace(walls.as_fd()).unwrap());
            look(&root);
        });
        assert_eq!(os::wait_for_test(pid), os::Exit::Status(0));
        true
    }

    #[test]
    fn walls_stand_below_the_root_of_a_group_and_are_kept() {
        let (blog, mut registry) = (group("blog"), Registry::default());
        registry.renew([&blog, &ProcessGroup::new("shop", Origin::default())].into_iter());
        let built = inside(&mut registry, |root| {
            assert_eq!(names(root.join("tmp")), [""; 0]);
            assert_eq!(names(root.join("home")), ["bob"]);
            fs::write(root.join("tmp/kept"), "").unwrap();
            fs::write(root.join("home/bob/file"), "").unwrap();
        });
        if built {
            let root = blog.chroot.clone().unwrap();
            assert_eq!(
                (names(root.join("tmp")), names(root.join("home/bob"))),
                (vec!["outside".into()], vec!["file".into()])
            );
            registry.renew([&blog].into_iter());
            assert!(inside(&mut registry, |root| assert_eq!(names(root.join("tmp")), ["kept"])));
            let mut other = blog.clone();
            other.identity.as_mut().unwrap().uid = 1002;
            registry.renew([&other].into_iter());
            assert!(inside(&mut registry, |root| assert_eq!(names(root.join("tmp")), [""; 0])));
            assert!(
                registry.take("shop").is_none() && registry.take("blog").is_some_and(|built| built.is_ok())
            );
        }
        fs::remove_dir_all(blog.chroot.unwrap()).unwrap();
    }

    #[test]
    fn a_failure_names_option_reason_and_cure() {
        let mut group = group("broken");
        fs::remove_dir_all(group.chroot.as_ref().unwrap().join("tmp")).unwrap();
        let message = build(&group, Instant::now() + LONGEST).unwrap_err();
        assert_eq!(message.code.number(), 367);
        let asked = "what private-tmp= and protect-home= asks for cannot be had: ";
        assert!(
            message.text.starts_with(asked) && message.text.contains("CAP_SYS_ADMIN"),
            "{}",
            message.text
        );
        if message.text.contains("no directory") {
            assert!(message.text.contains("there is no directory /tmp: create it"), "{}", message.text);
        }
        fs::remove_dir_all(group.chroot.take().unwrap()).unwrap();
    }
}
