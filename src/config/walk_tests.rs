//! A file tree that is made up of lines, and unit tests of the way through it.

use super::*;
use std::collections::BTreeMap;

/// Places by path, as `ls -l` tells them: `drwxr-xr-x 0 0 /srv`, `-rw------- 0 33 /srv/a.py`,
/// `l /python -> /usr/bin/python3.11`. A `+` after the mode is an access control list.
#[derive(Default)]
pub struct Tree {
    places: BTreeMap<PathBuf, (Entry, String)>,
}

impl Tree {
    pub fn new(lines: &[&str]) -> Tree {
        let mut tree = Tree::default();
        tree.add("drwxr-xr-x 0 0 /");
        lines.iter().for_each(|line| tree.add(line));
        tree
    }

    fn add(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut entry =
            Entry { kind: Kind::Link, mode: 0o777, uid: 0, gid: 0, has_acl: words[0].ends_with('+') };
        if let ["l", link, "->", target] = words[..] {
            self.places.insert(link.into(), (entry, target.to_string()));
            return;
        }
        let bits = words[0].trim_end_matches('+');
        entry.kind = if bits.starts_with('d') { Kind::Directory } else { Kind::File };
        entry.mode = bits[1..].chars().fold(0, |mode, bit| mode << 1 | u32::from(bit != '-'));
        (entry.uid, entry.gid) = (words[1].parse().unwrap(), words[2].parse().unwrap());
        self.places.insert(words[3].into(), (entry, words[4..].join(" ")));
    }
}

impl Files for Tree {
    fn exists(&self, path: &Path) -> bool {
        self.places.contains_key(path)
    }
    fn is_dir(&self, path: &Path) -> bool {
        self.entry(path).is_some_and(|entry| entry.kind == Kind::Directory)
    }
    fn is_executable(&self, path: &Path) -> bool {
        self.entry(path).is_some_and(|entry| entry.kind != Kind::Directory && entry.mode & 0o111 != 0)
    }
    fn link(&self, path: &Path) -> Option<PathBuf> {
        let (entry, target) = self.places.get(path)?;
        (entry.kind == Kind::Link).then(|| target.into())
    }
    fn is_zip(&self, _: &Path, _: Option<&User>) -> bool {
        false
    }
    fn is_hidden(&self, _: &Path) -> bool {
        false
    }
    fn entry(&self, path: &Path) -> Option<Entry> {
        self.places.get(path).map(|(entry, _)| *entry)
    }
    /// What follows the path of a file, with `;` for the ends of lines.
    fn text(&self, path: &Path, _: Option<&User>) -> Option<String> {
        self.places.get(path).map(|(_, text)| text.replace(';', "\n"))
    }
}

fn bob() -> User {
    User { name: "bob".into(), uid: 1001, gids: vec![1001, 50] }
}

fn stopped(tree: &Tree, path: &str, need: Need) -> Option<(String, &'static str)> {
    let closed = closed(Path::new(path), need, &bob(), Path::new("/"), tree)?;
    Some((closed.place.to_string_lossy().into_owned(), closed.what))
}

fn at(place: &str, what: &'static str) -> Option<(String, &'static str)> {
    Some((place.to_string(), what))
}

#[test]
fn owner_group_and_others_have_their_own_bits() {
    for (mode, uid, gid, open) in [
        ("drwx------", 1001, 0, true),
        ("drwx------", 0, 1001, false),
        ("d---rwxrwx", 1001, 50, false),
        ("drwxr-x---", 0, 50, true),
        ("drwx---r-x", 0, 50, false),
        ("drwx-----x", 0, 0, true),
        ("drwxr-xr--", 0, 0, false),
        ("drwx------+", 0, 0, true),
    ] {
        let tree = Tree::new(&[&format!("{mode} {uid} {gid} /home"), "-rw-r--r-- 0 0 /home/a.py"]);
        let expected = if open { None } else { at("/home", "enter") };
        assert_eq!(stopped(&tree, "/home/a.py", Need::Read), expected, "{mode} {uid} {gid}");
    }
    let root = User { name: "root".into(), uid: 0, gids: vec![0] };
    let tree = Tree::new(&["d--------- 1 1 /home", "---------- 1 1 /home/a.py"]);
    assert_eq!(closed(Path::new("/home/a.py"), Need::Read, &root, Path::new("/"), &tree), None);
}

#[test]
fn what_is_wanted_at_the_end() {
    let tree = Tree::new(&["drwxr-x--x 0 0 /srv", "-rwx-----x 0 0 /srv/run", "-rw-r----- 0 0 /srv/a.py"]);
    assert_eq!(stopped(&tree, "/srv", Need::Enter), None);
    assert_eq!(stopped(&tree, "/srv", Need::Read), at("/srv", "read"));
    assert_eq!(stopped(&tree, "/srv/run", Need::Execute), None);
    assert_eq!(stopped(&tree, "/srv/run", Need::Read), at("/srv/run", "read"));
    assert_eq!(stopped(&tree, "/srv/a.py", Need::Execute), at("/srv/a.py", "execute"));
    assert_eq!(stopped(&tree, "/srv/a.py", Need::Reach), None);
    assert_eq!(stopped(&tree, "/srv/missing", Need::Read), None);
    assert_eq!(stopped(&tree, "/srv/a.py/below", Need::Read), None);
}

#[test]
fn links_lead_through_other_directories() {
    let tree = Tree::new(&[
        "drwxr-xr-x 0 0 /venv",
        "l /venv/python -> python3",
        "l /venv/python3 -> /root/bin/../bin/python3.11",
        "drwx------ 0 0 /root",
        "drwxr-xr-x 0 0 /root/bin",
        "-rwxr-xr-x 0 0 /root/bin/python3.11",
        "l /ring -> ring",
    ]);
    assert_eq!(stopped(&tree, "/venv/python", Need::Execute), at("/root", "enter"));
    assert_eq!(stopped(&tree, "/venv/../venv/./python", Need::Execute), at("/root", "enter"));
    assert_eq!(stopped(&tree, "/ring", Need::Read), None);
}

#[test]
fn a_root_of_its_own_has_its_own_links() {
    let tree = Tree::new(&[
        "drwx------ 0 0 /jail",
        "drwxr-xr-x 0 0 /jail/srv",
        "drwx------ 0 0 /srv",
        "l /jail/app -> /srv/a.py",
        "-rw------- 0 0 /jail/srv/a.py",
    ]);
    let closed = |path: &str| closed(Path::new(path), Need::Read, &bob(), Path::new("/jail"), &tree);
    assert_eq!(closed("/app").unwrap().place, Path::new("/"));
    let open = Tree::new(&[
        "drwxr-xr-x 0 0 /jail",
        "drwxr-xr-x 0 0 /jail/srv",
        "l /jail/app -> /srv/a.py",
        "-rw------- 0 0 /jail/srv/a.py",
    ]);
    let stop = super::closed(Path::new("/app"), Need::Read, &bob(), Path::new("/jail"), &open).unwrap();
    assert_eq!((stop.place.as_path(), stop.what), (Path::new("/srv/a.py"), "read"));
}
