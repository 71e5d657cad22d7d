//! The name that a mistyped name was probably meant to be.
//!
//! Runs in the httpd parent, for messages about unknown options, process groups and `%{...}` forms, and
//! never while a request is served.

use strsim::levenshtein;

/// The candidate closest to `name`, if it is close enough to be worth suggesting.
/// Letters to insert, remove or replace are counted; case does not matter.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ` (did you mean 'x'?)`, or nothing when no candidate is near.
pub fn suggestion<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(name, candidates) {
        Some(candidate) => format!(" (did you mean '{candidate}'?)"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        let names = ["processes", "threads", "python-home", "python-path"];
        assert_eq!(nearest("thread", names), Some("threads"));
        assert_eq!(nearest("Procesess", names), Some("processes"));
        assert_eq!(nearest("python_path", names), Some("python-path"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(suggestion("treads", names), " (did you mean 'threads'?)");
        assert_eq!(suggestion("x", names), "");
    }

    #[test]
    fn counts_edits() {
        assert_eq!(nearest("abc", [""]), None, "3 of 1");
        assert_eq!(nearest("kitten", ["sitting"]), None, "3 of 2");
        assert_eq!(nearest("kitten", ["sitten", "mitting"]), Some("sitten"));
        assert_eq!(nearest("same", ["some", "same"]), Some("same"));
    }
}
