//! The values of headers to which each proxy on the way adds a part: lists, and those of `Forwarded`.
//!
//! Runs in httpd children, for `proxy`. What stands on the left of such a value may come from the client, so
//! nothing there changes how the parts of the proxies on the right are read.

use std::net::IpAddr;

/// The entries of a list; empty ones are left out (RFC 9110, section 5.6.1).
pub fn entries(value: &[u8]) -> Vec<&[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()).collect()
}

/// The elements of `Forwarded` (RFC 7239, section 4): a comma in quotes separates none. They are looked for
/// from the right, where a quote that a client left open has no effect.
pub fn elements(value: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut end, mut quoted) = (Vec::new(), value.len(), false);
    for (index, byte) in value.iter().enumerate().rev() {
        match byte {
            b'"' if !(quoted && is_escaped(value, index)) => quoted = !quoted,
            b',' if !quoted => {
                found.push(value[index + 1..end].trim_ascii());
                end = index;
            }
            _ => {}
        }
    }
    found.push(value[..end].trim_ascii());
    found.retain(|element| !element.is_empty());
    found.reverse();
    found
}

/// Whether an odd number of backslashes stands before this byte.
fn is_escaped(value: &[u8], index: usize) -> bool {
    value[..index].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The first parameter of this name in an element of `Forwarded`, without its quotes.
pub fn parameter(element: &[u8], name: &str) -> Option<Vec<u8>> {
    let (mut part, mut quoted, mut bytes) = (Vec::new(), false, element.iter());
    loop {
        match bytes.next() {
            Some(b'\\') if quoted => part.extend(bytes.next()),
            Some(b'"') => quoted = !quoted,
            Some(byte) if quoted || *byte != b';' => part.push(*byte),
            end => {
                let equals = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
                if part[..equals].trim_ascii().eq_ignore_ascii_case(name.as_bytes()) {
                    return part.get(equals + 1..).map(|value| value.trim_ascii().to_vec());
                }
                end?;
                part.clear();
            }
        }
    }
}

/// The address of a hop, which may have a port: `192.0.2.7`, `192.0.2.7:80`, `[2001:db8::7]:80`.
pub fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let alone = || text.parse().ok();
    let bracketed = || text.strip_prefix('[')?.split_once(']')?.0.parse().map(IpAddr::V6).ok();
    let with_port = || text.rsplit_once(':')?.0.parse().map(IpAddr::V4).ok();
    alone().or_else(bracketed).or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(parts: Vec<&[u8]>) -> Vec<&str> {
        parts.into_iter().map(|part| std::str::from_utf8(part).unwrap()).collect()
    }

    #[test]
    fn lists() {
        assert_eq!(texts(entries(b" a ,,b,")), ["a", "b"]);
        assert!(entries(b"").is_empty() && entries(b" , ").is_empty());
    }

    #[test]
    fn elements_are_separated_by_commas_outside_of_quotes() {
        let split = |value: &'static str| texts(elements(value.as_bytes()));
        assert_eq!(split("for=a , for=b;proto=https,,"), ["for=a", "for=b;proto=https"]);
        assert_eq!(split(r#"for="a,b", for=c"#), [r#"for="a,b""#, "for=c"]);
        assert_eq!(
            split(r#"for="a\", for="b\\", for="c\"d,e""#),
            [r#"for="a\""#, r#"for="b\\""#, r#"for="c\"d,e""#]
        );
        assert!(split(" , ").is_empty());
    }

    #[test]
    fn what_a_client_leaves_open_hides_no_proxy() {
        for client in [r#"for=6.6.6.6;x=""#, r#"for="6.6.6.6"#, r#"for=6.6.6.6;x="\"#, r#"""#, r#"x="\""#] {
            for proxy in ["for=192.0.2.7", r#"for="[2001:db8::7]:80";host="a,b""#] {
                let value = format!("{client}, {proxy}");
                assert_eq!(texts(elements(value.as_bytes())).last(), Some(&proxy), "{value}");
            }
        }
    }

    #[test]
    fn parameters() {
        let element = br#"For="[2001:db8::7]:80"; PROTO = https ;host="a\"b;c";for=second;flag"#;
        let find = |name| parameter(element, name).map(|value| String::from_utf8(value).unwrap());
        assert_eq!(find("for").as_deref(), Some("[2001:db8::7]:80"));
        assert_eq!(find("proto").as_deref(), Some("https"));
        assert_eq!(find("host").as_deref(), Some("a\"b;c"));
        assert_eq!((find("flag"), find("by")), (None, None));
        assert_eq!(parameter(br#"for="open\"#, "for").as_deref(), Some(&b"open"[..]));
    }

    #[test]
    fn addresses() {
        let found = |text: &str| address(text.as_bytes()).map(|address| address.to_string());
        for (text, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:80", "192.0.2.7"),
            ("192.0.2.7:", "192.0.2.7"),
            ("2001:DB8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:80", "2001:db8::7"),
        ] {
            assert_eq!(found(text).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["", "unknown", "_hidden", "999.1.1.1", "[192.0.2.7]", "2001:db8::7%eth0", "192.0.2.7/8", "1.2.3"]
        {
            assert_eq!(found(text), None, "{text}");
        }
        assert_eq!(address(b"\xff"), None);
    }
}
