//! What a dispatch script chooses for a request, and whether it may.
//!
//! Runs in httpd children: `ask` makes a choice of the script's verdict, and `handler` checks it with the target
//! that follows. A script inside httpd may choose everything. What a daemon says is its site's word, which counts
//! for the site's own process group, and for groups that the administrator lists.

use crate::config::group_name::GroupName;
use crate::config::script_use::ScriptUse;
use crate::config::settings::Settings;
use crate::log::{Code, Message};
use crate::target::Target;

/// What stands in the place of the configuration's names.
#[derive(Debug)]
pub struct Choice<'s> {
    pub names: Settings,
    script: &'s ScriptUse,
    /// The process group whose daemon has chosen; None where the script runs inside httpd.
    daemon: Option<String>,
}

impl<'s> Choice<'s> {
    /// From process group, application group and callable as the script has returned them. A daemon does not learn
    /// by a name what variables of httpd or of other modules hold.
    pub fn new(
        script: &'s ScriptUse,
        chosen: [Option<Vec<u8>>; 3],
        daemon: Option<String>,
    ) -> Result<Choice<'s>, Message> {
        let names = chosen.map(|name| name.map(|name| GroupName::parse(&String::from_utf8_lossy(&name))));
        let variable = names.iter().flatten().find(|name| matches!(name, GroupName::Env(_)));
        if let Some((variable, daemon)) = variable.zip(daemon.as_ref()) {
            let why = format!(
                "and may not choose {variable}, since variables hold what is not of that site: have its function return \
                 the name itself"
            );
            return Err(refused(script, daemon, &why));
        }
        let [process_group, application_group, callable_object] = names;
        let names = Settings { process_group, application_group, callable_object, ..Settings::default() };
        Ok(Choice { names, script, daemon })
    }

    /// Whether the script has a say about this target. `settings` are those of the request, with the choice.
    pub fn check(&self, target: &Target, settings: &Settings) -> Result<(), Message> {
        let Some(daemon) = self.daemon.as_ref().filter(|_| self.names != Settings::default()) else {
            return Ok(());
        };
        let group = &target.process_group;
        let listed = settings.restrict_process.is_some() && settings.allows_process_group(group);
        if group == daemon || (listed && target.group.is_some()) {
            return Ok(());
        }
        let (elsewhere, cure) = match target.group {
            Some(_) => (
                format!("in the process group '{group}'"),
                format!("list the groups that it may choose (WSGIRestrictProcess {daemon} {group})"),
            ),
            None => ("inside httpd".to_string(), "choose a process group for the request".to_string()),
        };
        let why = format!(
            "and decides about that one only; it may choose nothing for this request, which would run {elsewhere}: \
             {cure}, or correct the script's functions"
        );
        Err(refused(self.script, daemon, &why))
    }
}

fn refused(script: &ScriptUse, daemon: &str, why: &str) -> Message {
    let ScriptUse { directive, origin, .. } = script;
    let text = format!("{directive} at {origin} runs its script in the process group '{daemon}' {why}");
    Message::new(Code::DispatchRefused, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::process_group::Origin;
    use std::sync::Arc;

    fn script() -> ScriptUse {
        ScriptUse {
            directive: "WSGIDispatchScript",
            script: "/srv/dispatch.py".to_string(),
            process_group: None,
            application_group: None,
            pass_authorization: None,
            in_htaccess: false,
            origin: Origin::default(),
        }
    }

    /// Whether a script in `daemon` that chooses `names` may have the request run in `group` (empty: inside httpd),
    /// where WSGIRestrictProcess lists `listed`.
    fn may(daemon: &str, names: [&str; 3], group: &str, listed: &[&str]) -> bool {
        let (script, chosen) = (script(), names.map(|name| (name != "-").then(|| name.as_bytes().to_vec())));
        let daemon = Some(daemon.to_string()).filter(|daemon| !daemon.is_empty());
        let Ok(choice) = Choice::new(&script, chosen, daemon) else { return false };
        let target = Target {
            script: String::new(),
            process_group: group.to_string(),
            group: (!group.is_empty()).then_some(0),
            application_group: String::new(),
            callable: String::new(),
        };
        let listed: Arc<[String]> = listed.iter().map(ToString::to_string).collect();
        let restrict_process = Some(listed).filter(|listed| !listed.is_empty());
        choice.check(&target, &Settings { restrict_process, ..Settings::default() }).is_ok()
    }

    #[test]
    fn a_daemon_decides_about_its_own_group_and_listed_ones() {
        assert!(may("alice", ["alice", "any", "other"], "alice", &[]));
        assert!(may("alice", ["-", "%{HOST}", "-"], "alice", &[]));
        assert!(may("alice", ["bob", "-", "-"], "bob", &["alice", "bob"]));
        assert!(!may("alice", ["bob", "-", "-"], "bob", &[]));
        assert!(!may("alice", ["bob", "-", "-"], "bob", &["alice"]));
        for names in [["-", "any", "-"], ["-", "-", "other"], ["-", "%{GLOBAL}", "-"]] {
            assert!(!may("alice", names, "bob", &[]), "{names:?}");
        }
        assert!(may("alice", ["-", "-", "-"], "bob", &[]), "the configuration decides");
    }

    #[test]
    fn a_daemon_never_decides_about_what_runs_inside_httpd() {
        assert!(!may("alice", ["%{GLOBAL}", "-", "-"], "", &[]));
        assert!(!may("alice", ["%{GLOBAL}", "-", "-"], "", &["alice", ""]));
        assert!(!may("alice", ["-", "any", "-"], "", &["alice", ""]));
        assert!(may("alice", ["-", "-", "-"], "", &[]), "the configuration decides");
    }

    #[test]
    fn a_daemon_names_no_variable_and_a_script_inside_httpd_anything() {
        for names in [["%{ENV:X}", "-", "-"], ["-", "%{ENV:X}", "-"], ["-", "-", "%{ENV:X}"]] {
            assert!(!may("alice", names, "alice", &["alice"]), "{names:?}");
            assert!(may("", names, "bob", &[]) && may("", names, "", &[]), "{names:?}");
        }
    }
}
