//! The words of a directive's argument text.
//!
//! Runs in the httpd parent, and in its children for `.htaccess` files. httpd hands the text after the
//! directive's name over unsplit, since its own word rules know quotes only at the start of a word, while
//! `env="GREETING=hello world"` has them after the `=`.

use std::iter::Peekable;
use std::str::Chars;

/// Splits at white space. A word in double or single quotes ends with its closing quote; inside
/// quotes a backslash protects the quote and the backslash. Quotes directly after a `=` inside a
/// word protect white space as well and are dropped.
pub fn split(args: &str) -> Result<Vec<String>, String> {
    let mut chars = args.chars().peekable();
    let mut words = Vec::new();
    loop {
        while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        match chars.peek() {
            None => return Ok(words),
            Some(&quote @ ('"' | '\'')) => {
                let mut word = String::new();
                quoted(&mut chars, quote, &mut word)?;
                words.push(word);
            }
            Some(_) => words.push(bare(&mut chars)?),
        }
    }
}

fn bare(chars: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut word = String::new();
    while let Some(&c) = chars.peek() {
        match c {
            c if c.is_ascii_whitespace() => break,
            '"' | '\'' if word.ends_with('=') => quoted(chars, c, &mut word)?,
            _ => {
                chars.next();
                if c == '\\' {
                    chars.next_if_eq(&'\\');
                }
                word.push(c);
            }
        }
    }
    Ok(word)
}

/// Appends the text between the next quote and its partner.
fn quoted(chars: &mut Peekable<Chars<'_>>, quote: char, word: &mut String) -> Result<(), String> {
    chars.next();
    let start = word.len();
    while let Some(c) = chars.next() {
        if c == quote {
            return Ok(());
        }
        let protected = c == '\\' && chars.peek().is_some_and(|n| *n == quote || *n == '\\');
        word.push(if protected { chars.next().unwrap_or(c) } else { c });
    }
    Err(format!(
        "the quote {quote} before '{}' is not closed: add a {quote} where the value ends, or write \
         \\{quote} for a quote that belongs to the value",
        &word[start..]
    ))
}

#[cfg(test)]
mod tests {
    use super::split;

    fn words(args: &str) -> Vec<String> {
        split(args).unwrap()
    }

    #[test]
    fn splits_like_httpd() {
        assert_eq!(words("  /app   /srv/app.wsgi\t"), ["/app", "/srv/app.wsgi"]);
        assert_eq!(words(r#"/app "/srv/my app.wsgi""#), ["/app", "/srv/my app.wsgi"]);
        assert_eq!(words("'a b' c"), ["a b", "c"]);
        assert_eq!(words(r#""a""b" """#), ["a", "b", ""]);
        assert_eq!(words(""), Vec::<String>::new());
    }

    #[test]
    fn backslashes() {
        assert_eq!(words(r#""say \"hi\" \\ \n""#), [r#"say "hi" \ \n"#]);
        assert_eq!(words(r"^/a\.b/(\d+) c\\d"), [r"^/a\.b/(\d+)", r"c\d"]);
    }

    #[test]
    fn quotes_around_and_inside_an_option_mean_the_same() {
        let expected = ["env=GREETING=hello big = world", "threads=2"];
        assert_eq!(words(r#""env=GREETING=hello big = world" threads=2"#), expected);
        assert_eq!(words(r#"env="GREETING=hello big = world" threads=2"#), expected);
        assert_eq!(words("env=GREETING='hello big = world' threads=2"), expected);
        assert_eq!(words(r#"python-path="/a b":/c"#), ["python-path=/a b:/c"]);
        assert_eq!(words("display-name=it's"), ["display-name=it's"]);
    }

    #[test]
    fn an_open_quote_is_an_error_with_its_cure() {
        for args in [r#""a b"#, r#"env="a b"#, "x 'y"] {
            let error = split(args).unwrap_err();
            assert!(error.contains("is not closed: add a"), "{error}");
        }
    }
}
