//! What a process group asks to be kept apart by: `private-tmp=` and `protect-home=`.
//!
//! Read in the httpd parent with the other options. `control::walls` builds it once for each group, and
//! every process of the group enters it before it drops its rights (`spawn::privileges`).

use std::path::Path;

use crate::config::values::{expected, size};

/// The directories that `private-tmp=` is about.
pub const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// The directories that `protect-home=` is about.
pub const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Walls {
    pub private_tmp: Option<TmpSize>,
    pub protect_home: ProtectHome,
}

/// How much a group's own /tmp holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TmpSize {
    /// A tenth of the machine's memory.
    Tenth,
    Bytes(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProtectHome {
    #[default]
    Off,
    ReadOnly,
    /// Nothing is there but the home directory of the group's own user.
    Others,
    /// Nothing is there.
    On,
}

impl Walls {
    pub fn any(&self) -> bool {
        *self != Walls::default()
    }

    /// The options that ask for them, as they may stand in a message.
    pub fn options(&self) -> &'static str {
        match (self.private_tmp, self.protect_home) {
            (Some(_), ProtectHome::Off) => "private-tmp=",
            (Some(_), _) => "private-tmp= and protect-home=",
            (None, _) => "protect-home=",
        }
    }

    /// The option that keeps the group's processes from what httpd has at this path.
    pub fn hides(&self, path: &Path, user_home: &Path) -> Option<&'static str> {
        let below = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
        let home = match self.protect_home {
            ProtectHome::Off | ProtectHome::ReadOnly => false,
            ProtectHome::Others => {
                below(&HOMES) && !(path.starts_with(user_home) && is_below_homes(user_home))
            }
            ProtectHome::On => below(&HOMES),
        };
        match self.private_tmp {
            Some(_) if below(&TEMPORARY) => Some("private-tmp="),
            _ => home.then_some("protect-home="),
        }
    }
}

/// Whether this is a home that `Others` can leave in its place.
pub fn is_below_homes(home: &Path) -> bool {
    HOMES.iter().any(|place| home.starts_with(place) && home != Path::new(place))
}

pub fn private_tmp(value: &str) -> Result<Option<TmpSize>, String> {
    match value {
        _ if value.eq_ignore_ascii_case("on") => Ok(Some(TmpSize::Tenth)),
        _ if value.eq_ignore_ascii_case("off") => Ok(None),
        _ => match size(value) {
            Ok(bytes) if bytes >= 1 << 20 => Ok(Some(TmpSize::Bytes(bytes))),
            _ => Err(expected("On, Off, or a size of at least 1M", value)),
        },
    }
}

pub fn protect_home(value: &str) -> Result<ProtectHome, String> {
    let known = [
        ("off", ProtectHome::Off),
        ("read-only", ProtectHome::ReadOnly),
        ("others", ProtectHome::Others),
        ("on", ProtectHome::On),
    ];
    let found = known.into_iter().find(|(name, _)| value.eq_ignore_ascii_case(name));
    found.map(|(_, meaning)| meaning).ok_or_else(|| expected("Off, read-only, others or On", value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!(private_tmp("On"), Ok(Some(TmpSize::Tenth)));
        assert_eq!((private_tmp("off"), private_tmp("2M")), (Ok(None), Ok(Some(TmpSize::Bytes(2 << 20)))));
        assert!(["", "1", "yes", "512K", "10%"].iter().all(|wrong| private_tmp(wrong).is_err()));
        assert_eq!(protect_home("read-only"), Ok(ProtectHome::ReadOnly));
        assert_eq!(
            (protect_home("Others"), protect_home("on")),
            (Ok(ProtectHome::Others), Ok(ProtectHome::On))
        );
        assert!(protect_home("").unwrap_err().contains("expected Off, read-only, others or On"));
    }

    #[test]
    fn what_is_hidden() {
        let walls = |protect_home| Walls { private_tmp: Some(TmpSize::Tenth), protect_home };
        let hides = |walls: Walls, path: &str| walls.hides(Path::new(path), Path::new("/home/bob"));
        assert_eq!(hides(Walls::default(), "/tmp/site.wsgi"), None);
        assert_eq!(hides(walls(ProtectHome::On), "/var/tmp/site.wsgi"), Some("private-tmp="));
        assert_eq!(hides(walls(ProtectHome::On), "/home/bob/site.wsgi"), Some("protect-home="));
        assert_eq!(hides(walls(ProtectHome::Others), "/home/bob/site.wsgi"), None);
        assert_eq!(hides(walls(ProtectHome::Others), "/home/bobby/site.wsgi"), Some("protect-home="));
        assert_eq!(hides(walls(ProtectHome::ReadOnly), "/home/bobby/site.wsgi"), None);
        let homeless = walls(ProtectHome::Others).hides(Path::new("/home/x"), Path::new("/"));
        assert_eq!(homeless, Some("protect-home="));
    }

    #[test]
    fn the_options_that_ask() {
        let of = |private_tmp, protect_home| Walls { private_tmp, protect_home }.options();
        assert_eq!(of(Some(TmpSize::Tenth), ProtectHome::Off), "private-tmp=");
        assert_eq!(of(Some(TmpSize::Tenth), ProtectHome::On), "private-tmp= and protect-home=");
        assert_eq!(of(None, ProtectHome::Others), "protect-home=");
        assert!(
            !Walls::default().any() && Walls { private_tmp: Some(TmpSize::Tenth), ..Walls::default() }.any()
        );
    }
}
