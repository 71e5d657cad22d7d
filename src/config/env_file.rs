//! The file of `env-file=`: one `NAME=value` a line, as variables.
//!
//! Pure: the supervisor reads the file (`site::environment`) and hands its text in. An error names the line
//! and the mistake, but never the value, since such files hold secrets.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    pub what: &'static str,
}

/// The variables in the file's order. Blank lines and those that begin with `#` are passed over, and so
/// is `export` before a name. Quotes around a whole value are taken away; nothing in it is expanded.
pub fn parse(text: &[u8]) -> Result<Vec<(OsString, OsString)>, Mistake> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let wanted = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"));
    wanted.map(|(index, line)| variable(line).map_err(|what| Mistake { line: index + 1, what })).collect()
}

fn variable(line: &[u8]) -> Result<(OsString, OsString), &'static str> {
    let equals = line.iter().position(|byte| *byte == b'=').ok_or("it has no =: write NAME=value")?;
    let (name, value) = (without_export(&line[..equals]), &line[equals + 1..]);
    let in_names = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if name.is_empty() || !name.iter().all(in_names) {
        return Err("what stands before the = is no name: write NAME=value, without blanks around the =");
    }
    let value = unquoted(value.trim_ascii_start())?;
    if value.contains(&0) {
        return Err("the value contains a NUL byte: remove it");
    }
    Ok((OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())))
}

fn without_export(name: &[u8]) -> &[u8] {
    match name.strip_prefix(b"export") {
        Some(rest) if rest.starts_with(b" ") || rest.starts_with(b"\t") => rest.trim_ascii_start(),
        _ => name,
    }
}

fn unquoted(value: &[u8]) -> Result<&[u8], &'static str> {
    let [quote @ (b'"' | b'\''), rest @ ..] = value else { return Ok(value) };
    match rest.iter().position(|byte| byte == quote) {
        Some(end) if end + 1 == rest.len() => Ok(&rest[..end]),
        Some(_) => {
            Err("something follows the closing quote: put the whole value in quotes of the other kind")
        }
        None => Err("the quote that the value begins with is not closed: add it at the end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(text: &str) -> Vec<(String, String)> {
        let text_of = |word: OsString| word.into_string().unwrap();
        parse(text.as_bytes()).unwrap().into_iter().map(|(n, v)| (text_of(n), text_of(v))).collect()
    }

    fn mistake(text: &str) -> (usize, &'static str) {
        let Mistake { line, what } = parse(text.as_bytes()).unwrap_err();
        (line, what)
    }

    #[test]
    fn lines_become_variables_in_order() {
        let text = "# secrets\n\nA=1\r\n  export\tB = \n".replace(" = ", "=two words ");
        let pairs = [("A", "1"), ("B", "two words")].map(|(n, v)| (n.to_string(), v.to_string()));
        assert_eq!(variables(&text), pairs);
        assert_eq!(variables("A=1\nA=2").len(), 2);
        assert_eq!(variables("exported=1")[0].0, "exported");
        assert_eq!(variables(""), []);
    }

    #[test]
    fn values_are_taken_as_they_are_but_for_quotes_around_them() {
        let value = |line: &str| variables(line)[0].1.clone();
        assert_eq!(value(r#"A=" kept # $HOME \n ""#), r" kept # $HOME \n ");
        assert_eq!(value(r#"A='{"a": "b"}'"#), r#"{"a": "b"}"#);
        assert_eq!(value("A=$B # all of it"), "$B # all of it");
        assert_eq!(value("A=it's=\"so\""), "it's=\"so\"");
        assert_eq!((value("A="), value("A=''")), (String::new(), String::new()));
        assert_eq!(parse(b"A=\xff").unwrap()[0].1, OsString::from_vec(vec![0xff]));
    }

    #[test]
    fn mistakes_name_the_line_and_no_value() {
        assert_eq!(mistake("A=1\n\nsecret").0, 3);
        for text in ["=secret", "A B=secret", "A =secret", "export =secret", "\"A\"=secret"] {
            assert!(mistake(text).1.contains("no name"), "{text}");
        }
        assert!(mistake("A='secret").1.contains("not closed"));
        assert!(mistake("A=\"secret\" # why").1.contains("follows the closing quote"));
        assert!(mistake("A=sec\0ret").1.contains("NUL"));
    }
}
