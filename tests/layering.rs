//! What the compiler does not check: where `unsafe` may stand, and that every message, module and command is where
//! the documentation says. Who may use whom is checked by order.rs.
//!
//! Reads the sources as text, without comments and strings, and knows no more of Rust than that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where `unsafe` may stand; a name with a slash at its end is a folder.
const UNSAFE: [&str; 7] =
    ["sys/", "apache/", "python/", "module.rs", "os/", "supervisor/spawn.rs", "control/group_page.rs"];

/// Messages that are written in more than one place, and in how many: each time the same thing has happened.
const REPEATED: [(u32, usize); 6] = [(101, 3), (312, 3), (340, 2), (351, 2), (381, 2), (393, 2)];

/// Numbers from 101 to 399 that are no messages, and the file that may have them (any, where it is empty): sizes,
/// and the longest path of a socket.
const OTHER_NUMBERS: [(u32, &str); 3] = [(128, ""), (256, ""), (107, "control/listener.rs")];

/// What stands before the number of a message from 400 on, which could be an HTTP status elsewhere.
const MAKERS: [&str; 2] = ["Message::new(", "record("];

#[test]
fn unsafe_stands_only_where_it_may() {
    let allowed = |name: &str| {
        UNSAFE.iter().any(|place| if place.ends_with('/') { name.starts_with(place) } else { name == *place })
    };
    let sources = sources("rs");
    let strangers = sources.iter().filter(|source| !allowed(&source.name));
    let wrong = strangers.filter(|source| {
        let mut words = source.code.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| word == "unsafe" || word == "unsafe_code")
    });
    assert_none(wrong.map(|source| format!("unsafe in {}", source.name)).collect());
}

#[test]
fn every_file_begins_by_saying_what_it_is_for() {
    let sources = sources("rs");
    let test_modules = words_after_all(&sources, "#[cfg(test)]\nmod ");
    let wrong = sources.iter().filter_map(|source| {
        let stem = source.name.rsplit('/').next()?.trim_end_matches(".rs");
        let index_or_tests = stem == "mod" || stem.ends_with("_tests") || test_modules.contains(stem);
        let wanted = if index_or_tests { 1 } else { 3 };
        let lines = source.text.lines().take_while(|line| line.starts_with("//!")).count();
        (lines < wanted).then(|| format!("{} begins with {lines} lines of //!, wanted {wanted}", source.name))
    });
    assert_none(wrong.collect());
}

#[test]
fn every_message_is_documented_and_has_a_number_of_its_own() {
    let page = read("docs/messages.md");
    let headings: Vec<u32> =
        page.lines().filter_map(|line| line.strip_prefix("### WSGI")?.parse().ok()).collect();
    assert!(
        headings.is_sorted_by(|one, next| one < next),
        "docs/messages.md is in order, without repetition"
    );
    let documented: BTreeSet<u32> = headings.into_iter().collect();
    let places = messages();
    let mut wrong = Vec::new();
    for (number, files) in &places {
        if !documented.contains(number) {
            wrong.push(format!("docs/messages.md lacks WSGI{number}, of {files:?} (or is it no message?)"));
        }
        let expected =
            REPEATED.iter().find(|(repeated, _)| repeated == number).map_or(1, |(_, times)| *times);
        if files.len() != expected {
            wrong.push(format!("{number} is used in {} places, not {expected}: {files:?}", files.len()));
        }
    }
    let unused = documented.iter().filter(|number| !places.contains_key(number));
    wrong.extend(unused.map(|number| format!("docs/messages.md has WSGI{number}, which nothing writes")));
    assert_none(wrong);
}

#[test]
fn the_readme_knows_every_module_and_only_commands_that_exist() {
    let (readme, makefile) = (read("README.md"), read("Makefile"));
    let (_, map) = readme.split_once("## The code").expect("README.md has a map of src/");
    let missing = modules()
        .into_iter()
        .filter(|name| !map.contains(&format!("`{name}.rs`")) && !map.contains(&format!("`{name}/`")));
    let mut wrong: Vec<String> = missing.map(|name| format!("README.md's map lacks {name}")).collect();
    let after_make = readme.split("make ").skip(1).filter(|_| readme.contains("`make"));
    for command in after_make.filter_map(|text| text.split(|c: char| !c.is_ascii_lowercase()).next()) {
        if !command.is_empty() && !makefile.contains(&format!("\n{command}:")) {
            wrong.push(format!("README.md says 'make {command}', which is not in the Makefile"));
        }
    }
    assert_none(wrong);
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = vec!["README.md".to_string()];
    pages.extend(files_below("docs", "md").iter().map(|path| format!("docs/{}", path.display())));
    let mut wrong = Vec::new();
    for page in pages {
        let text = read(&page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = root().join(&page).parent().unwrap().join(file);
            let text =
                if file.is_empty() { text.clone() } else { fs::read_to_string(target).unwrap_or_default() };
            let heading =
                |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-") == anchor;
            if text.is_empty() || !(anchor.is_empty() || text.lines().any(heading)) {
                wrong.push(format!("{page}: {link} leads nowhere"));
            }
        }
    }
    assert_none(wrong);
}

/// Every place of a message's number in code that ships.
fn messages() -> BTreeMap<u32, Vec<String>> {
    let (mut places, rust) = (BTreeMap::<u32, Vec<String>>::new(), sources("rs"));
    let test_modules = words_after_all(&rust, "#[cfg(test)]\nmod ");
    let ships = |source: &&Source| {
        let stem = source.name.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        !stem.ends_with("_tests") && !test_modules.contains(stem)
    };
    for source in rust.iter().filter(ships).chain(&sources("py")) {
        let code = source.code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let other = |number: u32| {
            OTHER_NUMBERS.iter().any(|(n, file)| *n == number && (file.is_empty() || *file == source.name))
        };
        let mut found: Vec<u32> = numbers(code).filter(|number| *number < 400 && !other(*number)).collect();
        for maker in MAKERS {
            let arguments = code.split(maker).skip(1).map(str::trim_start);
            found.extend(arguments.filter_map(leading_number).filter(|number| *number >= 400));
        }
        found.extend(source.strings.split("WSGI").skip(1).filter_map(leading_number));
        for number in found {
            places.entry(number).or_default().push(source.name.clone());
        }
    }
    places
}

/// Decimal numbers of three digits that end in no zeros.
fn numbers(code: &str) -> impl Iterator<Item = u32> {
    let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    words
        .filter(|word| word.len() == 3)
        .filter_map(|word| word.parse().ok())
        .filter(|n| *n > 100 && n % 100 != 0)
}

fn leading_number(text: &str) -> Option<u32> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|_| digits.len() == 3)
}

/// The modules of lib.rs, in its order.
fn modules() -> Vec<String> {
    let lib = read("src/lib.rs");
    let names = lib.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    names.map(str::to_string).collect()
}

/// The identifiers that follow `before`; what is no identifier gives an empty one.
fn words_after<'a>(code: &'a str, before: &str) -> impl Iterator<Item = &'a str> {
    code.split(before)
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next())
}

fn words_after_all<'a>(sources: &'a [Source], before: &str) -> BTreeSet<&'a str> {
    sources.iter().flat_map(|source| words_after(&source.code, before)).collect()
}

struct Source {
    /// Below src/.
    name: String,
    text: String,
    /// Without comments and strings.
    code: String,
    strings: String,
}

fn sources(extension: &str) -> Vec<Source> {
    let read_one = |path: &PathBuf| {
        let text = fs::read_to_string(root().join("src").join(path)).expect("sources are UTF-8");
        let (code, strings) = taken_apart(&text, if extension == "py" { "#" } else { "//" });
        Source { name: path.display().to_string(), text, code, strings }
    };
    files_below("src", extension).iter().map(read_one).collect()
}

/// Code and strings of a source file; comments are dropped. Block comments are not known.
fn taken_apart(text: &str, comment: &str) -> (String, String) {
    let (mut code, mut strings) = (String::new(), String::new());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if rest.starts_with(comment) {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if let Some(quote) = ["'\"'", "'\\\"'"].into_iter().find(|quote| rest.starts_with(quote)) {
            rest = &rest[quote.len()..];
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            let end = raw.find("\"#").unwrap_or(raw.len());
            strings.push_str(&raw[..end]);
            rest = raw[end..].strip_prefix("\"#").unwrap_or_default();
        } else if next == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let end = end.map_or(rest.len(), |end| end + 2);
            strings.push_str(&rest[..end]);
            code.push_str("\"\"");
            rest = &rest[end..];
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    (code, strings)
}

fn files_below(folder: &str, extension: &str) -> Vec<PathBuf> {
    let (top, mut found, mut folders) = (root().join(folder), Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path.strip_prefix(&top).expect("it is below").to_path_buf());
            }
        }
    }
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
