//! The target of one request: process group, interpreter, script and callable.
//!
//! Runs in httpd children. The handler hands in the merged settings of the request (the options of its
//! `WSGIScriptAlias` as the last layer) and what is known about the request.

use crate::config::global::{GlobalConfig, GroupKind, GroupUse};
use crate::config::group_name::{GroupName, RequestFacts};
use crate::config::script_use::ScriptUse;
use crate::config::settings::Settings;
use crate::log::{Code, Message};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub script: String,
    /// Empty for embedded mode.
    pub process_group: String,
    /// Number of the group in the registry; None for embedded mode.
    pub group: Option<usize>,
    /// Empty for the main interpreter.
    pub application_group: String,
    pub callable: String,
}

/// Why a request may not run where its configuration sends it; always the administrator's to mend,
/// and answered with 500.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// `WSGIRestrictProcess` does not name the group.
    Restricted {
        process_group: String,
    },
    Undefined {
        process_group: String,
        suggestion: String,
    },
    /// The group was defined in a virtual host with another `ServerName`.
    Foreign {
        process_group: String,
        owner: String,
    },
    /// `WSGIRestrictEmbedded On`, and no process group.
    EmbeddedForbidden,
}

/// The target of a request in the virtual host `facts.server_name()`.
pub fn select(
    script: &str,
    settings: &Settings,
    global: &GlobalConfig,
    facts: &dyn RequestFacts,
) -> Result<Target, Refusal> {
    let process_group = settings.process_group().expand(facts);
    if !settings.allows_process_group(&process_group) {
        return Err(Refusal::Restricted { process_group });
    }
    if process_group.is_empty() && global.restrict_embedded {
        return Err(Refusal::EmbeddedForbidden);
    }
    let group = find_group(&process_group, global, facts)?;
    let application_group = match &settings.application_group {
        Some(name) => name.expand(facts),
        None if group.and_then(|index| global.groups.sole_script(index)) == Some(script) => String::new(),
        None => GroupName::Resource.expand(facts),
    };
    let callable = match &settings.callable_object {
        Some(name) => name.expand(facts),
        None => "application".to_string(),
    };
    Ok(Target { script: script.to_string(), process_group, group, application_group, callable })
}

/// The target of a question for a script. `WSGIRestrictEmbedded` and `WSGIRestrictProcess` are about
/// applications, but the first also keeps scripts that `.htaccess` files name out of httpd.
pub fn of_question(
    script: &ScriptUse,
    global: &GlobalConfig,
    facts: &dyn RequestFacts,
) -> Result<Target, Refusal> {
    let expand = |name: &Option<GroupName>| name.as_ref().map(|name| name.expand(facts)).unwrap_or_default();
    let process_group = expand(&script.process_group);
    if script.in_htaccess && global.restrict_embedded {
        return Err(Refusal::EmbeddedForbidden);
    }
    let group = find_group(&process_group, global, facts)?;
    Ok(Target {
        script: script.script.clone(),
        process_group,
        group,
        application_group: expand(&script.application_group),
        callable: String::new(),
    })
}

fn find_group(name: &str, global: &GlobalConfig, facts: &dyn RequestFacts) -> Result<Option<usize>, Refusal> {
    let process_group = || name.to_string();
    match global.groups.find(name) {
        _ if name.is_empty() => Ok(None),
        None => Err(Refusal::Undefined {
            process_group: process_group(),
            suggestion: global.groups.suggestion(name),
        }),
        Some((index, group)) => match &group.server_name {
            Some(owner) if !group.open_to(facts.server_name()) => {
                Err(Refusal::Foreign { process_group: process_group(), owner: owner.clone() })
            }
            _ => Ok(Some(index)),
        },
    }
}

/// ` (WSGIProcessGroup at site.conf:3)`: the lines that have the name.
pub fn named_at(name: &GroupName, uses: &[GroupUse]) -> String {
    const MOST_NAMED: usize = 3;
    let same = uses.iter().filter(|one| one.kind == GroupKind::Process && one.name == *name);
    let places: Vec<String> =
        same.map(|one| format!("{} at {}", one.directive, one.origin)).take(MOST_NAMED).collect();
    if places.is_empty() { String::new() } else { format!(" ({})", places.join(", ")) }
}

impl Refusal {
    /// `said` is which line has said so, in brackets.
    pub fn message(&self, said: &str) -> Message {
        match self {
            Refusal::Restricted { process_group } => {
                let name = if process_group.is_empty() { "%{GLOBAL}" } else { process_group };
                let text = format!(
                    "WSGIRestrictProcess does not allow the process group '{name}'{said} here: add it there, or \
                     choose another with WSGIProcessGroup"
                );
                Message::new(Code::RequestGroupRestricted, text)
            }
            Refusal::Undefined { process_group, suggestion } => {
                let text = format!(
                    "there is no process group '{process_group}'{said}{suggestion}: add WSGIDaemonProcess \
                     {process_group}, or correct WSGIProcessGroup or process-group="
                );
                Message::new(Code::RequestGroupUndefined, text)
            }
            Refusal::Foreign { process_group, owner } => {
                let text = format!(
                    "the process group '{process_group}'{said} belongs to the virtual host {owner}: move its \
                     WSGIDaemonProcess out of <VirtualHost>, or give both hosts the same ServerName"
                );
                Message::new(Code::RequestGroupForeign, text)
            }
            Refusal::EmbeddedForbidden => {
                let text = format!(
                    "no process group is configured for this script{said}, and WSGIRestrictEmbedded forbids to run \
                     it inside httpd: add WSGIProcessGroup or process-group="
                );
                Message::new(Code::EmbeddedForbidden, text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::directives::tests::Site;
    use crate::config::global::ConfiguredServer;
    use crate::config::group_name::tests::{Request, request};
    use crate::config::options::tests::TestAccounts;

    /// The target of a request for /a.py with these lines at server level.
    fn select_with(lines: &[&str], request: &Request) -> Result<Target, Refusal> {
        let (mut site, mut global) = (Site::default(), GlobalConfig::default());
        for line in lines {
            site.read(&mut global, line).unwrap();
        }
        complete(&mut global, &site, "blog.example");
        let options = site.server.aliases.first().map(|alias| alias.options.clone()).unwrap_or_default();
        select("/a.py", &Settings::merge(&site.settings, &options), &global, request)
    }

    fn complete(global: &mut GlobalConfig, site: &Site, name: &str) {
        let (config, settings) = (&site.server, &site.settings);
        let servers = [ConfiguredServer { name, virtual_host: site.virtual_host, config, settings }];
        global.complete(&servers, &TestAccounts { root: false }).unwrap();
    }

    fn groups(lines: &[&str]) -> (String, String) {
        let target = select_with(lines, &request()).unwrap();
        (target.process_group, target.application_group)
    }

    fn pair(process: &str, application: &str) -> (String, String) {
        (process.to_string(), application.to_string())
    }

    const BLOG: &str = "WSGIDaemonProcess blog";

    #[test]
    fn defaults() {
        let target = select_with(&[], &request()).unwrap();
        assert_eq!((target.group, target.callable.as_str()), (None, "application"));
        assert_eq!(groups(&[]), pair("", "blog.example|/App"));
        assert_eq!(groups(&[BLOG, "WSGIProcessGroup blog"]), pair("blog", "blog.example|/App"));
    }

    #[test]
    fn the_sole_script_of_a_group_gets_the_main_interpreter() {
        let alias = "WSGIScriptAlias / /a.py process-group=blog";
        assert_eq!(groups(&[alias, BLOG]), pair("blog", ""));
        assert_eq!(groups(&[alias, BLOG, "WSGIApplicationGroup x"]), pair("blog", "x"));
        let explicit = groups(&[alias, BLOG, "WSGIApplicationGroup %{RESOURCE}"]);
        assert_eq!(explicit, pair("blog", "blog.example|/App"));
        let second = "WSGIScriptAlias /b /b.py process-group=blog";
        assert_eq!(groups(&[alias, BLOG, second]), pair("blog", "blog.example|/App"));
        let other = "WSGIScriptAlias / /other.py process-group=blog";
        assert_eq!(groups(&[other, BLOG]), pair("blog", "blog.example|/App"));
    }

    #[test]
    fn options_of_the_alias_win() {
        let lines = [
            BLOG,
            "WSGIDaemonProcess shop",
            "WSGIProcessGroup blog",
            "WSGICallableObject one",
            "WSGIScriptAlias / /a.py process-group=shop application-group=x callable-object=%{ENV:SITE}",
        ];
        let target = select_with(&lines, &Request { variable: Some("two"), ..request() }).unwrap();
        assert_eq!((target.group, target.process_group.as_str()), (Some(1), "shop"));
        assert_eq!((target.application_group.as_str(), target.callable.as_str()), ("x", "two"));
    }

    #[test]
    fn refusals_have_numbers_and_cures() {
        let refused = |lines: &[&str]| select_with(lines, &request()).unwrap_err().message("");
        let restricted = refused(&[BLOG, "WSGIProcessGroup blog", "WSGIRestrictProcess shop"]);
        assert_eq!((restricted.code.number(), restricted.text.contains("'blog'")), (201, true));
        assert!(refused(&["WSGIRestrictProcess blog"]).text.contains("'%{GLOBAL}'"));
        let undefined = refused(&[BLOG, "WSGIProcessGroup bloog"]);
        assert_eq!((undefined.code.number(), undefined.text.contains("did you mean 'blog'?")), (202, true));
        assert_eq!(refused(&["WSGIRestrictEmbedded On"]).code.number(), 204);
        assert_eq!(refused(&["WSGIProcessGroup %{ENV:SITE}"]).code.number(), 202);
    }

    #[test]
    fn a_group_of_another_host_is_foreign() {
        let mut global = GlobalConfig::default();
        let mut site = Site { virtual_host: true, ..Site::default() };
        site.read(&mut global, BLOG).unwrap();
        site.read(&mut global, "WSGIProcessGroup blog").unwrap();
        complete(&mut global, &site, "BLOG.example");
        assert!(select("/a.py", &site.settings, &global, &request()).is_ok());
        complete(&mut global, &site, "shop.example");
        let refusal = select("/a.py", &site.settings, &global, &request()).unwrap_err();
        assert_eq!(refusal.message("").code.number(), 203);
        assert!(refusal.message("").text.contains("virtual host shop.example"));
    }
}
