//! Questions to scripts, and what follows from their verdicts: access, users, groups, and dispatch.
//!
//! Runs in httpd children. httpd asks through the hook of `WSGIAccessScript` and through the providers that
//! `AuthBasicProvider wsgi`, `AuthDigestProvider wsgi` and `Require wsgi-group` name; `handler` asks for
//! `WSGIDispatchScript`. A question that gets no verdict refuses access, with 500 and the reason in the log.

use crate::apache::RequestRec;
use crate::apache::auth::{self, Authentication, Authorization};
use crate::apache::log;
use crate::apache::module::Flow;
use crate::apache::tree::lines_without;
use crate::config::script_use::ScriptUse;
use crate::config::words;
use crate::exchange::{self, RecordFacts};
use crate::hooks::choice::Choice;
use crate::hooks::runner::{self, HttpError};
use crate::log::{Code, Message, wording};
use crate::process::{CHILD, Child};
use crate::question::{Purpose, Verdict};
use crate::request::{BodyLength, Request};
use crate::target::{self, Target};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

/// `WSGIAccessScript`.
pub fn check_access(request: &RequestRec<'_>) -> Flow {
    let Some(script) = &request.settings().access_script else { return Flow::Declined };
    match verdict(request, script, Purpose::Access { host: request.client_host() }) {
        Some(Verdict::Granted) => Flow::Done,
        Some(Verdict::Undecided) => Flow::Declined,
        Some(_) => {
            let text = format!(
                "access to '{}' refused by allow_access() of {} '{}'",
                String::from_utf8_lossy(request.uri()),
                script.directive,
                script.script
            );
            log::request_message(request, &Message::new(Code::AccessRefused, text));
            Flow::Status(403)
        }
        None => Flow::Status(500),
    }
}

/// `AuthBasicProvider wsgi`, and whatever else asks a provider for passwords.
pub fn check_password(request: &RequestRec<'_>, user: &[u8], password: &[u8]) -> Authentication {
    let Some(script) = user_script(request) else { return Authentication::Failed };
    match verdict(request, script, Purpose::Password { user, password }) {
        // The script was given it as Latin-1; what follows is to see one name for one user.
        Some(Verdict::Granted) if str::from_utf8(user).is_err() => {
            let name: String = user.iter().copied().map(char::from).collect();
            request.set_user(name.as_bytes());
            Authentication::Granted
        }
        Some(Verdict::Granted) => {
            if remembers_users() {
                auth::remember_password(request, user, password);
            }
            Authentication::Granted
        }
        // The cache does not know of another name, so it is not told.
        Some(Verdict::Text(name)) => {
            request.set_user(&name);
            Authentication::Granted
        }
        Some(Verdict::Undecided) => Authentication::Unknown,
        Some(_) => Authentication::Denied,
        None => Authentication::Failed,
    }
}

/// `AuthDigestProvider wsgi`.
pub fn realm_hash(request: &RequestRec<'_>, user: &[u8], realm: &[u8]) -> Authentication {
    let Some(script) = user_script(request) else { return Authentication::Failed };
    match verdict(request, script, Purpose::RealmHash { user, realm }) {
        Some(Verdict::Text(hash)) => {
            if remembers_users() {
                auth::remember_hash(request, user, realm, &hash);
            }
            Authentication::Found(hash)
        }
        Some(_) => Authentication::Unknown,
        None => Authentication::Failed,
    }
}

/// `Require wsgi-group`. As with httpd's own `Require group`, upper and lower case are the same.
pub fn require_group(request: &RequestRec<'_>, line: &[u8]) -> Authorization {
    let Some(user) = request.user() else { return Authorization::NoUser };
    let Some(script) = &request.settings().auth_group_script else {
        let text = format!(
            "'Require wsgi-group' needs a script that knows the groups of users: add WSGIAuthGroupScript to its \
             section{}",
            places("WSGIAuthGroupScript", &["Require"], "wsgi-group", line.trim_ascii())
        );
        log::request_message(request, &Message::new(Code::GroupScriptMissing, text));
        return Authorization::Failed;
    };
    let Some(Verdict::Names(groups)) = verdict(request, script, Purpose::Groups { user }) else {
        return Authorization::Failed;
    };
    let wanted = words::split(&String::from_utf8_lossy(line)).unwrap_or_default();
    let is = |group: &[u8], wanted: &str| group.eq_ignore_ascii_case(wanted.as_bytes());
    if wanted.iter().any(|wanted| groups.iter().any(|group| is(group, wanted))) {
        return Authorization::Granted;
    }
    let text = format!(
        "the user '{}' is in none of the groups of 'Require wsgi-group {}'",
        String::from_utf8_lossy(user),
        wanted.join(" ")
    );
    log::request_message(request, &Message::new(Code::NoGroupMatches, text));
    Authorization::Denied
}

/// Why these words cannot follow `Require wsgi-group`.
pub fn check_groups(line: &[u8]) -> Result<(), String> {
    let text = str::from_utf8(line).map_err(|_| {
        "Require wsgi-group: the names are not UTF-8, so no group would match: save the file in UTF-8"
            .to_string()
    })?;
    let wanted = words::split(text).map_err(|error| format!("Require wsgi-group: {error}"))?;
    if wanted.is_empty() {
        return Err("Require wsgi-group: name at least one group".to_string());
    }
    Ok(())
}

/// `WSGIDispatchScript`: what it puts in the place of the configuration's names.
pub fn dispatch<'s>(
    request: &RequestRec<'_>,
    child: &'static Child,
    script: &'s ScriptUse,
) -> Result<Choice<'s>, HttpError> {
    let target = target_of(request, child, script)?;
    let Verdict::Target(chosen) = ask(request, child, script, &target, Purpose::Dispatch)? else {
        return Err(HttpError { status: 500, message: None });
    };
    let daemon = target.group.map(|_| target.process_group);
    Choice::new(script, chosen, daemon).map_err(|message| HttpError::new(500, message))
}

/// Making the hash of a password takes time, so it is made only where it is wanted.
fn remembers_users() -> bool {
    CHILD.get().is_some_and(|child| child.configuration.remembers_users)
}

fn user_script<'r>(request: &'r RequestRec<'_>) -> Option<&'r ScriptUse> {
    let script = request.settings().auth_user_script.as_deref();
    if script.is_none() {
        let text = format!(
            "the provider 'wsgi' of AuthBasicProvider or AuthDigestProvider needs a script that knows users: add \
             WSGIAuthUserScript to its section{}",
            places("WSGIAuthUserScript", &["AuthBasicProvider", "AuthDigestProvider"], "wsgi", b"")
        );
        log::request_message(request, &Message::new(Code::UserScriptMissing, text));
    }
    script
}

/// ` (Require at /etc/apache2/site.conf:7)`: lines that a message may be about, which lack another one beside
/// them. Lines of `.htaccess` files are not known.
fn places(missing: &str, directives: &[&str], word: &str, end: &[u8]) -> String {
    const MOST_NAMED: usize = 3;
    let places = directives.iter().flat_map(|directive| {
        let lines = lines_without(missing, directive, word, end).into_iter();
        lines.map(move |origin| format!("{directive} at {origin}"))
    });
    let places: Vec<String> = places.take(MOST_NAMED).collect();
    if places.is_empty() { String::new() } else { format!(" ({})", places.join(", ")) }
}

/// The verdict; None where there is none: the reason is in the log.
fn verdict(request: &RequestRec<'_>, script: &ScriptUse, purpose: Purpose<'_>) -> Option<Verdict> {
    let child = runner::child(request)?;
    target_of(request, child, script)
        .and_then(|target| ask(request, child, script, &target, purpose))
        .inspect_err(|error| {
            if let Some(message) = &error.message {
                log::request_message(request, message);
            }
        })
        .ok()
}

/// Where the script itself runs.
fn target_of(
    request: &RequestRec<'_>,
    child: &'static Child,
    script: &ScriptUse,
) -> Result<Target, HttpError> {
    let global = &child.configuration.global;
    let facts = RecordFacts::new(request, global.case_sensitive);
    target::of_question(script, global, &facts).map_err(|refusal| {
        let said = format!(" ({} at {})", script.directive, script.origin);
        HttpError::new(500, refusal.message(&said))
    })
}

fn ask(
    request: &RequestRec<'_>,
    child: &'static Child,
    script: &ScriptUse,
    target: &Target,
    purpose: Purpose<'_>,
) -> Result<Verdict, HttpError> {
    let modified = modified(script)?;
    let (runner, path) = runner::find(child, target)?;
    let settings = request.settings();
    let environ = exchange::environ_of_question(request, child, settings, purpose);
    let question = Request {
        purpose,
        script: path.as_os_str().as_bytes(),
        application_group: target.application_group.as_bytes(),
        callable: b"",
        modified: settings.script_reloading().then_some(modified),
        head: false,
        active: true,
        takes_files: false,
        body: BodyLength::Known(0),
        environ: environ.environ(),
        record: settings.pass_apache_request().then(|| request.address()).filter(|_| target.group.is_none()),
    };
    exchange::ask(request, runner, &question).map_err(|message| HttpError { status: 500, message })
}

/// When the script's file was modified, in microseconds.
pub fn modified(script: &ScriptUse) -> Result<u64, HttpError> {
    let metadata = fs::metadata(&script.script).map_err(|error| {
        let text = format!(
            "the script '{}' of {} (at {}) cannot be read: {}; correct its path, or the rights of the folders above it",
            script.script,
            script.directive,
            script.origin,
            wording(&error)
        );
        HttpError::new(500, Message::new(Code::QuestionScriptMissing, text))
    })?;
    let microseconds = metadata.mtime() * 1_000_000 + metadata.mtime_nsec() / 1000;
    Ok(u64::try_from(microseconds).unwrap_or(0))
}
