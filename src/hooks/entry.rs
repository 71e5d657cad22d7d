//! How a request has come to a script: by an alias, by a handler of `WSGIHandlerScript`, or by the handler that
//! its file has.
//!
//! Runs in httpd children; called by `handler`.

use crate::apache::RequestRec;
use crate::config::alias::Pattern;
use crate::config::group_name::GroupName;
use crate::config::script_use::{HANDLER_FUNCTION, ScriptUse};
use crate::config::settings::Settings;
use crate::hooks::ask::modified;
use crate::hooks::runner::HttpError;
use crate::hooks::translate;
use crate::log::{Code, Message};
use std::borrow::Cow;

/// The script and what is set for it.
pub struct Entry<'r> {
    pub script: Cow<'r, str>,
    settings: Cow<'r, Settings>,
    /// When the script's file was modified, in microseconds.
    pub modified: u64,
    /// The script of `WSGIHandlerScript`; empty for others.
    pub handler_script: &'r str,
    /// It answers for URLs that are not known beforehand.
    pub any_url: bool,
}

impl Entry<'_> {
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

pub fn find<'r>(request: &'r RequestRec<'_>) -> Result<Entry<'r>, HttpError> {
    let base = request.settings();
    if let Some(script) = base.handler_script(request.handler()) {
        return of_handler(request, base, script);
    }
    let alias = translate::alias_of(request);
    check_script(request, alias.is_some())?;
    Ok(Entry {
        script: String::from_utf8_lossy(request.filename()),
        settings: match alias {
            Some(alias) => Cow::Owned(Settings::merge(base, &alias.options)),
            None => Cow::Borrowed(base),
        },
        modified: request.file_modified(),
        handler_script: "",
        any_url: alias.is_some_and(|alias| matches!(alias.pattern, Pattern::Regex { .. })),
    })
}

/// The request is for any resource; the script is the administrator's.
fn of_handler<'r>(
    request: &RequestRec<'_>,
    base: &Settings,
    script: &'r ScriptUse,
) -> Result<Entry<'r>, HttpError> {
    check_path_info(request)?;
    let options = Settings {
        process_group: script.process_group.clone(),
        application_group: script.application_group.clone(),
        pass_authorization: script.pass_authorization,
        callable_object: Some(GroupName::Literal(HANDLER_FUNCTION.into())),
        ..Settings::default()
    };
    Ok(Entry {
        script: Cow::Borrowed(&script.script),
        settings: Cow::Owned(Settings::merge(base, &options)),
        modified: modified(script)?,
        handler_script: &script.script,
        any_url: true,
    })
}

/// The file must be there, be a file, and be allowed to run where no alias says so.
fn check_script(request: &RequestRec<'_>, aliased: bool) -> Result<(), HttpError> {
    let script = || String::from_utf8_lossy(request.filename()).into_owned();
    if !request.file_exists() {
        let text = format!("there is no WSGI script '{}': check the path of WSGIScriptAlias", script());
        return Err(HttpError::new(404, Message::new(Code::RequestScriptMissing, text)));
    }
    if request.file_is_directory() {
        let text = format!(
            "'{}' is a directory, not a WSGI script: name a script in it (a WSGIScriptAlias target that ends \
             with / takes the script's name from the URL)",
            script()
        );
        return Err(HttpError::new(403, Message::new(Code::RequestScriptIsDirectory, text)));
    }
    if !aliased && !request.allows_exec_cgi() {
        let text = format!(
            "'{}' may not run here: add Options +ExecCGI for its directory, or map it with WSGIScriptAlias",
            script()
        );
        return Err(HttpError::new(403, Message::new(Code::ExecCgiMissing, text)));
    }
    check_path_info(request)
}

fn check_path_info(request: &RequestRec<'_>) -> Result<(), HttpError> {
    if request.path_info_refused() {
        let file = String::from_utf8_lossy(request.filename());
        let text = format!("AcceptPathInfo Off refuses what follows the script '{file}' in the URL");
        return Err(HttpError::new(404, Message::new(Code::PathInfoRefused, text)));
    }
    Ok(())
}
