//! The directives that load and do nothing: existing configurations have them, and there is nothing to switch
//! here.
//!
//! Runs in the httpd parent, and in its children for `.htaccess` files. The table in `directives` calls these
//! functions. Their words are checked all the same, and one line of information says what to use instead.

use crate::config::context::Context;
use crate::config::values::{on_off, seconds};

type Outcome = Result<(), String>;

const SLOW: &str =
    "to learn of slow requests, set request-timeout= of WSGIDaemonProcess, or write %D in a LogFormat";
const NEW_RELIC: &str =
    "call newrelic.agent.initialize(file, environment) in the script, before it imports anything else";

pub fn flag(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    on_off(&words[0])?;
    let cure = match directive {
        "WSGIApacheExtensions" => "write WSGIPassApacheRequest",
        _ => "remove it",
    };
    c.no_effect(directive, cure);
    Ok(())
}

pub fn accept_mutex(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    one_of(c, directive, words, &["default", "flock", "fcntl", "sysvsem", "posixsem", "pthread"])
}

pub fn reload_mechanism(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    one_of(c, directive, words, &["Module", "Interpreter", "Process"])
}

fn one_of(c: &mut Context<'_>, directive: &'static str, words: &[String], known: &[&str]) -> Outcome {
    if !known.iter().any(|word| word.eq_ignore_ascii_case(&words[0])) {
        let known = known.join(", ");
        return Err(format!(
            "expected one of {known}, found '{}': remove the line, it is not needed",
            words[0]
        ));
    }
    c.no_effect(directive, "remove it");
    Ok(())
}

pub fn python_executable(c: &mut Context<'_>, directive: &'static str, _: &[String]) -> Outcome {
    c.no_effect(directive, "write WSGIPythonHome, or python= of WSGIDaemonProcess");
    Ok(())
}

pub fn new_relic(c: &mut Context<'_>, directive: &'static str, _: &[String]) -> Outcome {
    c.no_effect(directive, NEW_RELIC);
    Ok(())
}

pub fn telemetry_service(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    if words[0].strip_prefix("unix:").is_none_or(str::is_empty) {
        return Err(format!("expected unix:/path of a socket, found '{}'", words[0]));
    }
    if let Some(word) = words.get(1) {
        let interval = word
            .strip_prefix("interval=")
            .ok_or_else(|| format!("'{word}' is no option: the only one is interval=seconds"))?;
        if seconds(interval).map_err(|error| format!("option 'interval': {error}"))? < 0.5 {
            return Err(format!("option 'interval': expected at least 0.5 seconds, found '{interval}'"));
        }
    }
    let cure = "figures are at hand in applications (mod_wsgi.request_metrics) and in httpd's mod_status";
    c.no_effect(directive, cure);
    Ok(())
}

pub fn slow_requests(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    seconds(&words[0])?;
    c.no_effect(directive, SLOW);
    Ok(())
}

/// `None`, `All`, or flags to add and to take away.
pub fn telemetry_options(c: &mut Context<'_>, directive: &'static str, words: &[String]) -> Outcome {
    let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
    let signed = words.iter().filter(|word| word.starts_with(['+', '-'])).count();
    if signed != 0 && signed != words.len() {
        return Err("words with + or - and words without exclude each other: write either kind".to_string());
    }
    for word in words {
        let name = word.strip_prefix(['+', '-']).unwrap_or(word);
        if !is(name, "CaptureUserAgent") && (signed != 0 || !(is(name, "None") || is(name, "All"))) {
            return Err(format!(
                "expected None, All, +CaptureUserAgent or -CaptureUserAgent, found '{word}'"
            ));
        }
    }
    c.no_effect(directive, "remove it, as WSGITelemetryService");
    Ok(())
}
