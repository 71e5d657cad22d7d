//! The variables that `env-file=` gives a process.
//!
//! Called by the supervisor (`daemon::spawn`) before each start, with its own rights: the files need not be
//! readable for the group's user, and what is changed in them counts from the next process on.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use crate::config::env_file;
use crate::config::process_group::ProcessGroup;
use crate::log::Message;

/// Of all files in order, so that the last one of a name wins.
pub fn of_files(group: &ProcessGroup) -> Result<Vec<(OsString, OsString)>, Message> {
    let mut variables = Vec::new();
    for file in &group.env_files {
        let mistake = |what: String| {
            let text = format!("the file of env-file= cannot be used: {what}; correct the file or env-file=");
            Message::new(360, text)
        };
        let text = read(file).map_err(|error| mistake(format!("{}: {error}", file.display())))?;
        let read = env_file::parse(&text)
            .map_err(|wrong| mistake(format!("{}:{}: {}", file.display(), wrong.line, wrong.what)))?;
        variables.extend(read);
    }
    Ok(variables)
}

/// Waits for nobody, as reading a pipe would.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    fs::read(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::process_group::Origin;

    #[test]
    fn files_add_up_and_mistakes_have_a_place() {
        let folder = std::env::temp_dir().join(format!("wsgi-env-file-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let mut group = ProcessGroup::new("blog", Origin::default());
        for (name, text) in [("one", "A=1\nB=1"), ("two", "B=2")] {
            fs::write(folder.join(name), text).unwrap();
            group.env_files.push(folder.join(name));
        }
        let names: Vec<_> = of_files(&group).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["A", "B", "B"]);
        fs::write(folder.join("two"), "B=2\nsecret").unwrap();
        let Message { code, text } = of_files(&group).unwrap_err();
        assert!(code == 360 && text.contains("/two:2: ") && !text.contains("secret"), "{text}");
        group.env_files = vec![folder.clone()];
        assert!(of_files(&group).unwrap_err().text.contains("not a file"));
        fs::remove_dir_all(folder).unwrap();
        assert!(of_files(&group).unwrap_err().text.contains("No such file"));
    }
}
