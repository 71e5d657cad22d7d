//! The table of directives, and the way from httpd's argument text into a row's action.
//!
//! `module` makes httpd's command table from `TABLE` and applies each directive: in the httpd parent for the
//! configuration files, in a child for `.htaccess` files (with a scratch `ServerConfig` and `GlobalConfig`,
//! which the directives allowed there do not touch).

use std::ffi::CStr;

use crate::config::actions::{self, Action};
use crate::config::context::Context;
use crate::config::{without_effect, words};
use crate::log::{Code, Message};

/// Where a directive may stand; each includes those before it, but for `.htaccess` files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The main server only.
    Global,
    Server,
    ServerOrDirectory,
    /// `.htaccess` too, with `AllowOverride FileInfo`.
    FileInfo,
    /// Sections, and `.htaccess` with `AllowOverride AuthConfig`.
    AuthConfig,
}

pub struct Directive {
    pub name: &'static CStr,
    pub scope: Scope,
    /// Fewest and most words.
    pub words: (usize, usize),
    /// What httpd shows with `-L`, and what an error about the number of words repeats.
    pub usage: &'static CStr,
    action: Action,
}

const ANY: usize = usize::MAX;

/// Those that may stand in a `<WSGIInterpreterOptions>` section.
const OF_INTERPRETERS: [&str; 7] = [
    "WSGIPythonPath",
    "WSGISwitchInterval",
    "WSGIPerInterpreterGIL",
    "WSGIFreeThreading",
    "WSGIRestrictStdin",
    "WSGIRestrictStdout",
    "WSGIRestrictSignal",
];

#[rustfmt::skip]
pub const TABLE: &[Directive] = &[
    row(c"WSGIScriptAlias", Scope::Server, (2, ANY), c"url-path script-or-directory/ [process-group=name] [application-group=name] [callable-object=name] [pass-authorization=On|Off]", actions::script_alias),
    row(c"WSGIScriptAliasMatch", Scope::Server, (2, ANY), c"regex script-with-$1 [process-group=name] [application-group=name] [callable-object=name] [pass-authorization=On|Off]", actions::script_alias_match),
    row(c"WSGIDaemonProcess", Scope::Server, (1, ANY), c"name [option=value ...]", actions::daemon_process),
    row(c"WSGIImportScript", Scope::Server, (1, ANY), c"script process-group=name application-group=name", actions::import_script),
    row(c"WSGIHandlerScript", Scope::ServerOrDirectory, (2, ANY), c"handler-name script [process-group=name] [application-group=name] [pass-authorization=On|Off]", actions::handler_script),
    row(c"WSGIDispatchScript", Scope::ServerOrDirectory, (1, ANY), c"script [process-group=name] [application-group=name]", actions::dispatch_script),
    row(c"WSGIAccessScript", Scope::AuthConfig, (1, ANY), c"script [process-group=name] [application-group=name]", actions::access_script),
    row(c"WSGIAuthUserScript", Scope::AuthConfig, (1, ANY), c"script [process-group=name] [application-group=name]", actions::auth_user_script),
    row(c"WSGIAuthGroupScript", Scope::AuthConfig, (1, ANY), c"script [process-group=name] [application-group=name]", actions::auth_group_script),
    row(c"WSGIProcessGroup", Scope::ServerOrDirectory, (1, 1), c"name|%{GLOBAL}|%{ENV:variable}|%{SERVER}|%{HOST}|%{RESOURCE}", actions::process_group),
    row(c"WSGIApplicationGroup", Scope::ServerOrDirectory, (1, 1), c"name|%{GLOBAL}|%{RESOURCE}|%{SERVER}|%{HOST}|%{ENV:variable}", actions::application_group),
    row(c"WSGIRestrictProcess", Scope::ServerOrDirectory, (1, ANY), c"name|%{GLOBAL} ...", actions::restrict_process),
    row(c"WSGICallableObject", Scope::FileInfo, (1, 1), c"name|%{ENV:variable}", actions::callable_object),
    row(c"WSGIPassAuthorization", Scope::FileInfo, (1, 1), c"On|Off", actions::pass_authorization),
    row(c"WSGIScriptReloading", Scope::FileInfo, (1, 1), c"On|Off", actions::script_reloading),
    row(c"WSGIErrorOverride", Scope::FileInfo, (1, 1), c"On|Off", actions::error_override),
    row(c"WSGIChunkedRequest", Scope::FileInfo, (1, 1), c"On|Off|Buffered", actions::chunked_request),
    row(c"WSGIBufferedRequest", Scope::FileInfo, (1, 1), c"size|Off", actions::buffered_request),
    row(c"WSGIMapHEADToGET", Scope::FileInfo, (1, 1), c"Off|On|Auto", actions::map_head_to_get),
    row(c"WSGIEnableSendfile", Scope::FileInfo, (1, 1), c"On|Off", actions::enable_sendfile),
    row(c"WSGIIgnoreActivity", Scope::FileInfo, (1, 1), c"On|Off", actions::ignore_activity),
    row(c"WSGIPassApacheRequest", Scope::ServerOrDirectory, (1, 1), c"On|Off", actions::pass_apache_request),
    row(c"WSGITrustedProxyHeaders", Scope::FileInfo, (1, ANY), c"header ...", actions::trusted_proxy_headers),
    row(c"WSGITrustedProxies", Scope::FileInfo, (1, ANY), c"address|network ...", actions::trusted_proxies),
    row(c"WSGIRestrictEmbedded", Scope::Global, (1, 1), c"On|Off", actions::restrict_embedded),
    row(c"WSGIServerMetrics", Scope::Global, (1, 1), c"On|Off", actions::server_metrics),
    row(c"WSGICaseSensitivity", Scope::Global, (1, 1), c"On|Off", actions::case_sensitivity),
    row(c"WSGISocketPrefix", Scope::Global, (1, 1), c"path-prefix", actions::socket_prefix),
    row(c"WSGISocketRotation", Scope::Global, (1, 1), c"On|Off", without_effect::flag),
    row(c"WSGIAcceptMutex", Scope::Global, (1, 1), c"default|flock|fcntl|sysvsem|posixsem|pthread", without_effect::accept_mutex),
    row(c"WSGIPythonHome", Scope::Global, (1, 1), c"directory", actions::python_home),
    row(c"WSGIPythonPath", Scope::Global, (1, 1), c"directory[:directory...]", actions::python_path),
    row(c"WSGIPythonEggs", Scope::Global, (1, 1), c"directory", actions::python_eggs),
    row(c"WSGIPythonWarnings", Scope::Global, (1, 1), c"filter", actions::python_warnings),
    row(c"WSGIPythonOptimize", Scope::Global, (1, 1), c"0|1|2", actions::python_optimize),
    row(c"WSGIPythonHashSeed", Scope::Global, (1, 1), c"random|0...4294967295", actions::python_hash_seed),
    row(c"WSGIDontWriteBytecode", Scope::Global, (1, 1), c"On|Off", actions::dont_write_bytecode),
    row(c"WSGISwitchInterval", Scope::Global, (1, 1), c"seconds", actions::switch_interval),
    row(c"WSGIDestroyInterpreter", Scope::Global, (1, 1), c"On|Off", actions::destroy_interpreter),
    row(c"<WSGIInterpreterOptions", Scope::Global, (0, ANY), c"[process-group=name] [application-group=name]>", actions::interpreter_options),
    row(c"WSGIPerInterpreterGIL", Scope::Global, (1, 1), c"On|Off", actions::interpreter_flag),
    row(c"WSGIFreeThreading", Scope::Global, (1, 1), c"On|Off", actions::interpreter_flag),
    row(c"WSGIRestrictStdin", Scope::Global, (1, 1), c"On|Off", actions::interpreter_flag),
    row(c"WSGIRestrictStdout", Scope::Global, (1, 1), c"On|Off", actions::interpreter_flag),
    row(c"WSGIRestrictSignal", Scope::Global, (1, 1), c"On|Off", actions::interpreter_flag),
    row(c"WSGITelemetryService", Scope::Global, (1, 2), c"unix:/path [interval=seconds]", without_effect::telemetry_service),
    row(c"WSGISlowRequests", Scope::Global, (1, 1), c"seconds", without_effect::slow_requests),
    row(c"WSGITelemetryOptions", Scope::Global, (1, ANY), c"None|All|[+|-]CaptureUserAgent ...", without_effect::telemetry_options),
    row(c"WSGIVerboseDebugging", Scope::Global, (1, 1), c"On|Off", without_effect::flag),
    row(c"WSGILazyInitialization", Scope::Global, (1, 1), c"On|Off", without_effect::flag),
    row(c"WSGIPy3kWarningFlag", Scope::Global, (1, 1), c"On|Off", without_effect::flag),
    row(c"WSGIPythonExecutable", Scope::Global, (1, 1), c"file", without_effect::python_executable),
    row(c"WSGINewRelicConfigFile", Scope::Global, (1, 1), c"file", without_effect::new_relic),
    row(c"WSGINewRelicEnvironment", Scope::Global, (1, 1), c"name", without_effect::new_relic),
    row(c"WSGIReloadMechanism", Scope::FileInfo, (1, 1), c"Module|Interpreter|Process", without_effect::reload_mechanism),
    row(c"WSGIOutputBuffering", Scope::FileInfo, (1, 1), c"On|Off", without_effect::flag),
    row(c"WSGIApacheExtensions", Scope::FileInfo, (1, 1), c"On|Off", without_effect::flag),
    row(c"WSGIGroupAuthoritative", Scope::AuthConfig, (1, 1), c"On|Off", without_effect::flag),
];

const fn row(
    name: &'static CStr,
    scope: Scope,
    words: (usize, usize),
    usage: &'static CStr,
    action: Action,
) -> Directive {
    Directive { name, scope, words, usage, action }
}

/// The row of a directive; names are compared as httpd compares them.
pub fn find(name: &str) -> Option<&'static Directive> {
    TABLE.iter().find(|directive| directive.name().eq_ignore_ascii_case(name))
}

impl Directive {
    pub fn name(&self) -> &'static str {
        self.name.to_str().expect("the table is ASCII")
    }

    fn usage(&self) -> &'static str {
        self.usage.to_str().expect("the table is ASCII")
    }

    /// Carries out one directive; the error is ready to be handed to httpd, which adds the line.
    pub fn apply(&self, context: &mut Context<'_>, args: &str) -> Result<(), String> {
        self.run(context, args).map_err(|error| {
            Message::new(Code::DirectiveInvalid, format!("{}: {error}", self.name())).to_string()
        })
    }

    fn run(&self, context: &mut Context<'_>, args: &str) -> Result<(), String> {
        if self.scope == Scope::Global && context.inside_virtual_host {
            return Err("it applies to the whole server: move it out of <VirtualHost>".to_string());
        }
        if context.interpreters.is_some() && !OF_INTERPRETERS.contains(&self.name()) {
            return Err(format!(
                "it has no place in <WSGIInterpreterOptions>, which takes {}: move it out",
                OF_INTERPRETERS.join(", ")
            ));
        }
        let words = words::split(args)?;
        let (least, most) = self.words;
        if words.len() < least || words.len() > most {
            let number = match (least, most) {
                (1, 1) => "one argument".to_string(),
                (_, ANY) => format!("at least {least} argument(s)"),
                _ => format!("{least} to {most} arguments"),
            };
            return Err(format!(
                "expected {number}, found {}: write {} {}",
                words.len(),
                self.name(),
                self.usage()
            ));
        }
        (self.action)(context, self.name(), &words)
    }
}

#[cfg(test)]
#[path = "directives_tests.rs"]
pub mod tests;
