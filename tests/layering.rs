//! What the compiler does not check: where `unsafe` may stand, and that every message, module and command is where
//! the documentation says. Who may use whom is checked by order.rs.
//!
//! Reads the sources as text, without comments and strings, and knows no more of Rust than that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where `unsafe` may stand; a name with a slash at its end is a folder.
const UNSAFE: [&str; 7] =
    ["sys/", "apache/", "python/", "module.rs", "os/", "spawn/mod.rs", "control/group_page.rs"];

/// Messages that are written in more than one place, and in how many: each time the same thing has happened.
const REPEATED: [(&str, usize); 6] = [
    ("DirectiveInvalid", 3),
    ("StartStepFailed", 3),
    ("SupervisorFailed", 2),
    ("PythonTooOld", 2),
    ("WaitFailed", 2),
    ("StartPanicked", 2),
];

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
fn every_message_is_documented_under_its_number() {
    let page = read("docs/messages.md");
    let (entries, retired) = page.split_once("## Numbers no longer used").expect("the page has this list");
    let documented: BTreeMap<u32, &str> = entries
        .split("### WSGI")
        .skip(1)
        .filter_map(|entry| Some((leading_number(entry)?, entry[3..].trim_start())))
        .collect();
    let headings = entries.split("### WSGI").skip(1).filter_map(leading_number);
    assert!(
        headings.is_sorted_by(|one, next| one < next),
        "docs/messages.md is in order, without repetition"
    );
    let retired: BTreeSet<u32> = retired.split("* WSGI").skip(1).filter_map(leading_number).collect();
    let table = table();
    assert!(table.is_sorted_by(|one, next| one.number < next.number), "the table is in order");
    let mut wrong = Vec::new();
    for Row { name, number, level, .. } in &table {
        if retired.contains(number) {
            wrong.push(format!("{name} has the number {number}, which is no longer used"));
        }
        let Some(entry) = documented.get(number) else {
            wrong.push(format!("docs/messages.md lacks WSGI{number} ({name})"));
            continue;
        };
        let of_configuration = *number < 200 && *number != 101 && level != "Info";
        let named = if of_configuration || entry.starts_with("A warning") { "Warning" } else { level };
        if level != named || entry.starts_with("Information") != (level == "Info") {
            wrong.push(format!(
                "WSGI{number} ({name}) is of level {level}, and docs/messages.md says another"
            ));
        }
    }
    let numbers: BTreeSet<u32> = table.iter().map(|row| row.number).collect();
    let unknown = documented.keys().filter(|number| !numbers.contains(number));
    wrong.extend(unknown.map(|number| format!("docs/messages.md has WSGI{number}, which the table has not")));
    assert_none(wrong);
}

#[test]
fn every_message_is_written_by_its_name() {
    let (rust, table) = (sources("rs"), table());
    let mut wrong = Vec::new();
    let mut uses = BTreeMap::<&str, usize>::new();
    let ships: Vec<&Source> = shipped(&rust).filter(|source| source.name != TABLE).collect();
    for source in &ships {
        let code = source.shipped_code().replace("== Code::", "");
        for row in &table {
            let times = words_after(&code, "Code::").filter(|name| *name == row.name).count();
            *uses.entry(&row.name).or_default() += times;
        }
        if source.strings.split("WSGI").skip(1).any(|text| leading_number(text).is_some()) {
            wrong.push(format!("{} has the number of a message in a text", source.name));
        }
    }
    let python = messages_of_python();
    for row in &table {
        let there: Vec<_> = python.iter().filter(|(number, ..)| *number == row.number).collect();
        let files: Vec<&str> = there.iter().map(|(_, file, _)| &file[..]).collect();
        if files != Vec::from_iter(row.file.as_deref()) {
            wrong.push(format!("{} is written in {files:?}, and the table says {:?}", row.name, row.file));
        }
        if there.iter().any(|(.., level)| level.as_ref().is_some_and(|level| *level != row.level)) {
            wrong.push(format!("{} has another level in {files:?} than in the table", row.name));
        }
        let found = uses[&row.name[..]] + there.len();
        let expected = REPEATED.iter().find(|(name, _)| *name == row.name).map_or(1, |(_, times)| *times);
        if found != expected {
            wrong.push(format!("{} is written in {found} places, not {expected}", row.name));
        }
    }
    let unknown = python.iter().filter(|(number, ..)| !table.iter().any(|row| row.number == *number));
    wrong.extend(unknown.map(|(number, file, _)| format!("{file} writes {number}, which the table has not")));
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
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("https://")) {
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

/// The file below src/ that has the table of messages.
const TABLE: &str = "log/code.rs";

/// A row of the table of messages.
struct Row {
    name: String,
    number: u32,
    level: String,
    /// The Python file that writes it.
    file: Option<String>,
}

fn table() -> Vec<Row> {
    let text = read(&format!("src/{TABLE}"));
    let (_, rows) = text.split_once("\nmessages! {").expect("the table is there");
    let lines = rows.lines().map(str::trim).filter(|line| line.ends_with(';'));
    let row = |line: &str| {
        let (name, rest) = line.trim_end_matches(';').split_once(" = ")?;
        let mut parts = rest.split(", ");
        let (number, level) = (parts.next()?.parse().ok()?, parts.next()?.to_string());
        let file = parts.next().map(|file| file.trim_start_matches("in ").trim_matches('"').to_string());
        Some(Row { name: name.to_string(), number, level, file })
    };
    lines.map(|line| row(line).unwrap_or_else(|| panic!("no row of the table: {line}"))).collect()
}

/// What Python code writes: the number, the file, and the level where the code says it.
fn messages_of_python() -> Vec<(u32, String, Option<String>)> {
    let mut found = Vec::new();
    for source in sources("py") {
        let in_texts = source.text.split("\"mod_wsgi_rs: WSGI").collect::<Vec<_>>();
        for pair in in_texts.windows(2) {
            if let Some(number) = leading_number(pair[1]) {
                let level = pair[0].rsplit(".log(").next().map(str::trim);
                found.push((number, source.name.clone(), level.map(level_of_number)));
            }
        }
        let reported = source.code.split("refuse(").skip(1).filter_map(leading_number);
        found.extend(reported.map(|number| (number, source.name.clone(), None)));
        let all = source.strings.split("WSGI").skip(1).filter_map(leading_number).count();
        let known = in_texts.iter().skip(1).filter_map(|text| leading_number(text)).count();
        assert_eq!(all, known, "{}: a message begins with mod_wsgi_rs: WSGI", source.name);
    }
    found
}

/// The level whose number at httpd stands before a comma.
fn level_of_number(number: &str) -> String {
    let level = match number {
        "3," => "Error",
        "4," => "Warning",
        other => panic!("no level that a message of Python code has: {other}"),
    };
    level.to_string()
}

/// Sources without those of unit tests.
fn shipped(sources: &[Source]) -> impl Iterator<Item = &Source> {
    let test_modules = words_after_all(sources, "#[cfg(test)]\nmod ");
    sources.iter().filter(move |source| {
        let stem = source.name.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        !stem.ends_with("_tests") && !test_modules.contains(stem)
    })
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

impl Source {
    /// Without the unit tests at its end.
    fn shipped_code(&self) -> &str {
        self.code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }
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
