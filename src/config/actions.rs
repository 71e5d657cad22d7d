//! The effect of each directive, in the order of the table in `directives`, which calls these functions.
//!
//! Runs in the httpd parent, and in its children for `.htaccess` files. An action checks its words and
//! stores values. It never asks the file system, and it never knows other directives' values, since the
//! order of directives does not matter.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::alias::{Alias, Pattern};
use crate::config::context::Context;
use crate::config::global::{GroupKind, GroupUse, HashSeed, Import};
use crate::config::group_name::GroupName;
use crate::config::interpreter::{Section, Setting};
use crate::config::nearest::suggestion;
use crate::config::network::Network;
use crate::config::options::{self, Reader};
use crate::config::proxy_headers;
use crate::config::script_use::{HandlerScript, ScriptUse};
use crate::config::settings::{Chunked, MapHead, Settings};
use crate::config::values::{float_seconds, identifier, integer, on_off, size};
use crate::config::words;
use crate::log::Code;

/// Gets the directive's name and at least as many words as its row asks for.
pub type Action = fn(&mut Context<'_>, &'static str, &[String]) -> Result<(), String>;

type Outcome = Result<(), String>;

const ALIAS_OPTIONS: &[&str] =
    &["process-group", "application-group", "callable-object", "pass-authorization"];

pub fn script_alias(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    if !words[0].starts_with('/') {
        let text = format!(
            "{directive} at {}: the URL path '{}' does not begin with / and will never match: write '/{0}'",
            c.origin, words[0]
        );
        c.note(Code::UrlPathWithoutSlash, text);
    }
    let target = (c.resolve_path)(&words[1]);
    add_alias(c, directive, Pattern::Prefix(words[0].clone()), target, &words[2..])
}

pub fn script_alias_match(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    let text: Arc<str> = words[0].as_str().into();
    let slot = c.global.patterns.len();
    c.global.patterns.push(text.clone());
    // A template may begin with a capture, which is a whole path then.
    let target = match words[1].starts_with(['$', '&']) {
        true => words[1].clone(),
        false => (c.resolve_path)(&words[1]),
    };
    add_alias(c, directive, Pattern::Regex { text, slot }, target, &words[2..])
}

fn add_alias(
    c: &mut Context<'_>,
    directive: &'static str,
    pattern: Pattern,
    target: String,
    options: &[String],
) -> Outcome {
    let options = script_options(c, directive, options, ALIAS_OPTIONS)?;
    c.server.aliases.push(Alias { pattern, target, options, origin: c.origin.clone() });
    Ok(())
}

/// The `option=value` words of a script directive.
fn script_options(
    c: &mut Context<'_>,
    directive: &'static str,
    words: &[String],
    known: &[&'static str],
) -> Result<Settings, String> {
    let mut settings = Settings::default();
    for what in options::repeated(words, &[]) {
        c.repeated(directive, &what);
    }
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            _ if !known.contains(&name) || !word.contains('=') => {
                let known_options = known.join(", ");
                let near = suggestion(name, known.iter().copied());
                return Err(format!(
                    "'{word}' is no option{near}: the options are {known_options}, as option=value"
                ));
            }
            "process-group" => {
                settings.process_group = Some(used(c, directive, GroupKind::Process, value, None));
            }
            "application-group" => {
                settings.application_group = Some(used(c, directive, GroupKind::Application, value, None));
            }
            "callable-object" => settings.callable_object = Some(callable(c, directive, value)),
            _ => {
                let flag = on_off(value).map_err(|error| format!("option '{name}': {error}"))?;
                settings.pass_authorization = Some(flag);
            }
        }
    }
    Ok(settings)
}

/// Parses the name of a group and remembers who said it, for `check` and `plan`.
fn used(
    c: &mut Context<'_>,
    directive: &'static str,
    kind: GroupKind,
    text: &str,
    section: Option<String>,
) -> GroupName {
    let name = GroupName::parse(text);
    let origin = c.origin.clone();
    c.server.uses.push(GroupUse { kind, name: name.clone(), directive, origin, section });
    name
}

fn callable(c: &mut Context<'_>, directive: &'static str, text: &str) -> GroupName {
    let name = GroupName::parse(text);
    if let GroupName::Literal(literal) = &name
        && let Err(error) = identifier(literal)
    {
        let text =
            format!("{directive} at {}: {error}; every request for it will get 500: correct it", c.origin);
        c.note(Code::CallableNameInvalid, text);
    }
    name
}

const QUESTION_OPTIONS: &[&str] = &["process-group", "application-group"];
const HANDLER_OPTIONS: &[&str] = &["process-group", "application-group", "pass-authorization"];

pub fn access_script(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    c.settings.access_script = Some(question_script(c, directive, words)?);
    Ok(())
}

pub fn auth_user_script(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    c.settings.auth_user_script = Some(question_script(c, directive, words)?);
    Ok(())
}

pub fn auth_group_script(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    c.settings.auth_group_script = Some(question_script(c, directive, words)?);
    Ok(())
}

pub fn dispatch_script(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    c.settings.dispatch_script = Some(question_script(c, directive, words)?);
    Ok(())
}

pub fn handler_script(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    let script = script_use(c, directive, &words[1..], HANDLER_OPTIONS, None)?;
    let row = HandlerScript { handler: words[0].clone(), script };
    let others = c.settings.handler_scripts.as_deref().unwrap_or_default();
    let others = others.iter().filter(|other| other.handler != row.handler).cloned();
    c.settings.handler_scripts = Some(others.chain([row.clone()]).collect());
    Ok(())
}

/// A script that is asked: in embedded mode and in the main interpreter unless its line says otherwise.
fn question_script(
    c: &mut Context<'_>,
    directive: &'static str,
    words: &[String],
) -> Result<Arc<ScriptUse>, String> {
    script_use(c, directive, words, QUESTION_OPTIONS, Some(GroupName::Global))
}

/// A script with its options. `place` is for groups that it does not name.
fn script_use(
    c: &mut Context<'_>,
    directive: &'static str,
    words: &[String],
    known: &[&'static str],
    place: Option<GroupName>,
) -> Result<Arc<ScriptUse>, String> {
    let options = script_options(c, directive, &words[1..], known)?;
    if c.in_htaccess && options.process_group.is_some() {
        return Err(
            "process-group= may not stand in .htaccess, whose script would run as any site's user: put the \
                    directive into a <Directory> section of the configuration"
                .to_string(),
        );
    }
    let script = Arc::new(ScriptUse {
        directive,
        script: (c.resolve_path)(&words[0]),
        process_group: options.process_group.or(place.clone()),
        application_group: options.application_group.or(place),
        pass_authorization: options.pass_authorization,
        in_htaccess: c.in_htaccess,
        origin: c.origin.clone(),
    });
    c.server.scripts.push(Arc::clone(&script));
    Ok(script)
}

pub fn daemon_process(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    let reader = Reader { accounts: c.accounts, resolve_path: c.resolve_path };
    let mut definition = options::parse(words, c.origin.clone(), &reader)?;
    let name = definition.group.name.clone();
    for option in &definition.unneeded {
        c.no_effect(&format!("process group '{name}': {option}"), "remove it");
    }
    for what in &definition.repeated {
        c.repeated(&format!("WSGIDaemonProcess {name}"), what);
    }
    for option in definition.without_root(c.accounts) {
        let text = format!(
            "process group '{name}' at {}: {option}= has no effect, since httpd was not started as root; the \
             daemons run as httpd's own user: start httpd as root, or remove {option}=",
            c.origin
        );
        c.note(Code::NotRoot, text);
    }
    c.global.groups.define(definition)?;
    c.server.defined.push(name);
    Ok(())
}

pub fn import_script(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    let options = script_options(c, directive, &words[1..], &["process-group", "application-group"])?;
    let fixed = |name: &Option<GroupName>, option: &str| match name.as_ref().map(GroupName::fixed) {
        Some(Some(name)) => Ok(name.to_string()),
        Some(None) => Err(format!(
            "{option} depends on a request, but the script is loaded before any request: name a fixed group"
        )),
        None => Err(format!("{option} is missing: add {option}=name (%{{GLOBAL}} for the main one)")),
    };
    let process_group = fixed(&options.process_group, "process-group")?;
    let application_group = fixed(&options.application_group, "application-group")?;
    let (script, origin) = ((c.resolve_path)(&words[0]), c.origin.clone());
    c.global.imports.push(Import { script, process_group, application_group, origin });
    Ok(())
}

pub fn process_group(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    let section = c.section.clone();
    c.settings.process_group = Some(used(c, directive, GroupKind::Process, &words[0], section));
    Ok(())
}

pub fn application_group(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    let section = c.section.clone();
    c.settings.application_group = Some(used(c, directive, GroupKind::Application, &words[0], section));
    Ok(())
}

pub fn restrict_process(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    let name = |word: &String| GroupName::parse(word).fixed().unwrap_or(word).to_string();
    c.settings.restrict_process = Some(words.iter().map(name).collect());
    Ok(())
}

pub fn callable_object(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    c.settings.callable_object = Some(callable(c, directive, &words[0]));
    Ok(())
}

fn set<T>(slot: &mut T, value: Result<T, String>) -> Outcome {
    *slot = value?;
    Ok(())
}

fn flag(words: &[String]) -> Result<Option<bool>, String> {
    on_off(&words[0]).map(Some)
}

pub fn pass_authorization(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    set(&mut c.settings.pass_authorization, flag(words))
}

/// The lines of one section add up, as those of `WSGITrustedProxies`.
pub fn trusted_proxy_headers(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    let mut listed = c.settings.proxy_headers.as_deref().unwrap_or_default().to_vec();
    let unknown: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| proxy_headers::find(word).is_none()).collect();
    listed.extend(words.iter().filter_map(|word| proxy_headers::find(word)));
    if !unknown.is_empty() {
        let text = format!("{directive} at {}: {}", c.origin, proxy_headers::unknown(&unknown));
        c.note(Code::ProxyHeaderUnknown, text);
    }
    c.settings.proxy_headers = Some(listed.into());
    Ok(())
}

pub fn trusted_proxies(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    let mut networks = c.settings.proxies.as_deref().unwrap_or_default().to_vec();
    for word in words {
        networks.push(Network::parse(word)?);
    }
    c.settings.proxies = Some(networks.into());
    Ok(())
}

pub fn script_reloading(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    set(&mut c.settings.script_reloading, flag(words))
}

pub fn error_override(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    set(&mut c.settings.error_override, flag(words))
}

pub fn chunked_request(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    let value = match on_off(&words[0]) {
        _ if words[0].eq_ignore_ascii_case("buffered") => Ok(Chunked::Buffered),
        Ok(on) => Ok(if on { Chunked::On } else { Chunked::Off }),
        Err(_) => Err(format!("expected On, Off or Buffered, found '{}'", words[0])),
    };
    set(&mut c.settings.chunked_request, value.map(Some))
}

pub fn buffered_request(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    let value = match on_off(&words[0]) {
        Ok(false) => Ok(0),
        _ => size(&words[0]).map_err(|error| format!("{error}, or Off")),
    };
    set(&mut c.settings.buffered_request, value.map(Some))
}

pub fn map_head_to_get(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    let map = match on_off(&words[0]) {
        Ok(true) => MapHead::On,
        Ok(false) => MapHead::Off,
        Err(_) if words[0].eq_ignore_ascii_case("auto") => MapHead::Auto,
        Err(_) => return Err(format!("expected Off, On or Auto, found '{}'", words[0])),
    };
    c.settings.map_head_to_get = Some(map);
    Ok(())
}

pub fn enable_sendfile(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    let on = on_off(&words[0])?;
    c.settings.enable_sendfile = Some(on);
    // A descriptor can hold up the child that takes it: a site does not ask for that itself.
    if !(on && c.in_htaccess) {
        c.settings.takes_files = Some(on);
    }
    Ok(())
}

pub fn ignore_activity(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    set(&mut c.settings.ignore_activity, flag(words))
}

pub fn pass_apache_request(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    set(&mut c.settings.pass_apache_request, flag(words))
}

pub fn restrict_embedded(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    set(&mut c.global.restrict_embedded, on_off(&words[0]))
}

pub fn server_metrics(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    set(&mut c.global.server_metrics, on_off(&words[0]))
}

pub fn case_sensitivity(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    set(&mut c.global.case_sensitive, on_off(&words[0]))
}

pub fn socket_prefix(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    c.global.socket_prefix = Some((PathBuf::from((c.resolve_path)(&words[0])), c.origin.clone()));
    Ok(())
}

pub fn python_home(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    // "prefix:exec-prefix" names the same installation twice.
    let home = words[0].split(':').next().unwrap_or_default();
    c.global.python.home = Some(PathBuf::from((c.resolve_path)(home)));
    Ok(())
}

pub fn python_path(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    let paths = options::paths(&words[0]);
    match section(c)? {
        Some(section) => {
            let paths = paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
            c.global.interpreters.push(section, Setting::PythonPath(paths));
        }
        None => {
            if !c.global.python.path.is_empty() {
                c.repeated(
                    directive,
                    "it takes the place of one before it: join the directories with ':' in one line",
                );
            }
            c.global.python.path = paths;
        }
    }
    Ok(())
}

pub fn python_eggs(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    c.global.python.eggs = Some(PathBuf::from((c.resolve_path)(&words[0])));
    Ok(())
}

pub fn python_warnings(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    c.global.python.warnings.push(words[0].clone());
    Ok(())
}

pub fn python_optimize(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    set(&mut c.global.python.optimize, integer(&words[0], 0, 2))
}

pub fn python_hash_seed(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    let seed = match words[0].as_str() {
        "random" => Ok(HashSeed::Random),
        number => {
            integer(number, 0, u32::MAX).map(HashSeed::Fixed).map_err(|error| format!("{error}, or random"))
        }
    };
    set(&mut c.global.python.hash_seed, seed.map(Some))
}

pub fn dont_write_bytecode(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    set(&mut c.global.python.write_bytecode, on_off(&words[0]).map(|flag| !flag))
}

pub fn switch_interval(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    let seconds = float_seconds(&words[0])?;
    match section(c)? {
        Some(section) => c.global.interpreters.push(section, Setting::SwitchInterval(seconds)),
        None => c.global.python.switch_interval = Some(seconds),
    }
    Ok(())
}

/// `<WSGIInterpreterOptions>` itself; each directive in it looks at the section around it.
pub fn interpreter_options(_: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    if !words.last().is_some_and(|word| word.ends_with('>')) {
        return Err("the line has no closing '>': write one at its end".to_string());
    }
    section_of(words).map(drop)
}

/// A switch for interpreters, for all of them or for those of the section around it.
pub fn interpreter_flag(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    let on = on_off(&words[0])?;
    let section = section(c)?.unwrap_or_default();
    let setting = match directive {
        "WSGIPerInterpreterGIL" => Setting::OwnGil(on),
        "WSGIFreeThreading" => Setting::FreeThreading(on),
        "WSGIRestrictStdin" => Setting::RestrictStdin(on),
        "WSGIRestrictStdout" => Setting::RestrictStdout(on),
        _ => Setting::RestrictSignal(on),
    };
    if setting == Setting::FreeThreading(on) && section.application_group.is_some() {
        let text = format!(
            "{directive} at {} is ignored: whether there is a GIL is decided for a whole process; leave \
             application-group= out of the section",
            c.origin
        );
        c.note(Code::FreeThreadingInSection, text);
        return Ok(());
    }
    c.global.interpreters.push(section, setting);
    Ok(())
}

/// The `<WSGIInterpreterOptions>` section that a directive stands in.
fn section(c: &Context<'_>) -> Result<Option<Section>, String> {
    c.interpreters.as_deref().map(|words| section_of(&words::split(words)?)).transpose()
}

fn section_of(words: &[String]) -> Result<Section, String> {
    let mut section = Section::default();
    for word in words.iter().map(|word| word.trim_end_matches('>')).filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let slot = match name {
            "process-group" => &mut section.process_group,
            "application-group" => &mut section.application_group,
            _ => {
                return Err(format!(
                    "'{word}' is no option of <WSGIInterpreterOptions>: write process-group=name, \
                     application-group=name or both"
                ));
            }
        };
        let group = GroupName::parse(value);
        let fixed = group.fixed().filter(|_| !value.is_empty()).ok_or_else(|| {
            format!("{name} must be a fixed name (%{{GLOBAL}} for embedded mode or the main interpreter)")
        })?;
        *slot = Some(fixed.to_string());
    }
    Ok(section)
}

pub fn destroy_interpreter(c: &mut Context<'_>, _: &'static str, words: &[String]) -> Outcome {
    set(&mut c.global.python.destroy_interpreter, on_off(&words[0]))
}
