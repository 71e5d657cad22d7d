//! Values of directives and options as Rust values; every error says what was expected.
//!
//! Runs while httpd reads a configuration. The callers, `actions` and `options`, put the name of the
//! directive or option in front of an error. Text after a value is never ignored: `5m` is five minutes and
//! `5x` is an error.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The unit of a number that is written without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Milliseconds,
}

pub fn on_off(text: &str) -> Result<bool, String> {
    if text.eq_ignore_ascii_case("on") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("off") {
        Ok(false)
    } else {
        Err(expected("On or Off", text))
    }
}

pub fn integer<T>(text: &str, min: T, max: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    match text.parse::<T>() {
        Ok(number) if number >= min && number <= max => Ok(number),
        _ => Err(expected(&format!("a whole number from {min} to {max}"), text)),
    }
}

/// A file mode mask such as `0027`.
pub fn octal_mask(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mask) if mask <= 0o777 && !text.starts_with('+') => Ok(mask),
        _ => Err(expected("an octal number from 0 to 0777, such as 0027", text)),
    }
}

/// `30`, `30s`, `5m`, `2h`, `1d`, `500ms`; at most what fits in 32 bits of seconds (136 years).
pub fn duration(text: &str, plain: Unit) -> Result<Duration, String> {
    let example = match plain {
        Unit::Seconds => "a time such as 30 (seconds), 500ms, 5m, 2h or 1d",
        Unit::Milliseconds => "a time such as 5 (milliseconds), 500ms or 2s",
    };
    let (digits, unit) = number_and_unit(text);
    let milliseconds = match (unit, plain) {
        ("ms", _) | ("", Unit::Milliseconds) => Some(1),
        ("s", _) | ("", Unit::Seconds) => Some(1000),
        ("m", _) => Some(60 * 1000),
        ("h", _) => Some(3600 * 1000),
        ("d", _) => Some(24 * 3600 * 1000),
        _ => None,
    };
    milliseconds
        .and_then(|factor: u64| digits.parse::<u64>().ok()?.checked_mul(factor))
        .map(Duration::from_millis)
        .filter(|duration| duration.as_secs() <= u64::from(u32::MAX))
        .ok_or_else(|| expected(example, text))
}

/// `1048576`, `512K`, `64M`, `1G`: bytes, with powers of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = number_and_unit(text);
    let factor = match unit {
        "" => Some(1),
        "k" | "K" => Some(1 << 10),
        "m" | "M" => Some(1 << 20),
        "g" | "G" => Some(1 << 30),
        _ => None,
    };
    factor
        .and_then(|factor: u64| digits.parse::<u64>().ok()?.checked_mul(factor))
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| expected("a size such as 1048576 (bytes), 512K, 64M or 1G", text))
}

/// A size that is either zero (meaning the default) or at least `least`.
pub fn size_from(text: &str, least: u64) -> Result<u64, String> {
    match size(text)? {
        bytes if bytes == 0 || bytes >= least => Ok(bytes),
        _ => Err(expected(&format!("0 or a size of at least {least} bytes"), text)),
    }
}

pub fn float_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds > 0.0 => Ok(seconds),
        _ => Err(expected("seconds greater than zero, such as 0.005", text)),
    }
}

/// Zero or more, with a fraction or without.
pub fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(seconds),
        _ => Err(expected("seconds, such as 2 or 0.5", text)),
    }
}

pub fn absolute_directory(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        Ok(PathBuf::from(text))
    } else {
        Err(expected("a directory that begins with /", text))
    }
}

/// The name of a Python variable.
pub fn identifier(text: &str) -> Result<String, String> {
    let mut chars = text.chars();
    let starts = chars.next().is_some_and(|c| c == '_' || c.is_alphabetic());
    if starts && chars.all(|c| c == '_' || c.is_alphanumeric()) {
        Ok(text.to_string())
    } else {
        Err(expected("the name of a Python variable, such as application", text))
    }
}

fn number_and_unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

pub fn expected(what: &str, found: &str) -> String {
    format!("expected {what}, found '{found}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_numbers() {
        assert_eq!(on_off("oN"), Ok(true));
        assert_eq!(on_off("OFF"), Ok(false));
        assert_eq!(on_off("1"), Err("expected On or Off, found '1'".to_string()));
        assert_eq!(integer("65533", 0u32, 65533), Ok(65533));
        assert_eq!(integer("-20", -20i32, 19), Ok(-20));
        for wrong in ["", "5x", "65534", "-1", "1.5", " 1", "99999999999999999999"] {
            let error = integer(wrong, 0u32, 65533).unwrap_err();
            assert!(error.contains("a whole number from 0 to 65533"), "{error}");
        }
        assert_eq!(octal_mask("0027"), Ok(0o27));
        assert!(octal_mask("089").is_err() && octal_mask("1000").is_err());
        assert!(octal_mask("").is_err() && octal_mask("+7").is_err());
    }

    #[test]
    fn times_have_units() {
        let seconds = |text| duration(text, Unit::Seconds).map(|d| d.as_millis());
        assert_eq!(seconds("30"), Ok(30_000));
        assert_eq!(seconds("30s"), Ok(30_000));
        assert_eq!(seconds("5m"), Ok(300_000));
        assert_eq!(seconds("2h"), Ok(7_200_000));
        assert_eq!(seconds("1d"), Ok(86_400_000));
        assert_eq!(seconds("500ms"), Ok(500));
        assert_eq!(duration("5", Unit::Milliseconds), Ok(Duration::from_millis(5)));
        assert_eq!(duration("2s", Unit::Milliseconds), Ok(Duration::from_secs(2)));
        for wrong in ["", "s", "-1", "5 m", "5min", "1.5", "5M", "9999999999999", "99999999999d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("512K"), Ok(512 << 10));
        assert_eq!(size("64M"), Ok(64 << 20));
        assert_eq!(size("1g"), Ok(1 << 30));
        for wrong in ["", "M", "64MB", "-1", "1.5G", "9999999999999G", "18446744073709551615"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(size_from("0", 512), Ok(0));
        assert!(size_from("100", 512).unwrap_err().contains("at least 512"));
    }

    #[test]
    fn the_others() {
        assert_eq!(float_seconds("0.005"), Ok(0.005));
        assert!(float_seconds("0").is_err() && float_seconds("inf").is_err());
        assert!(float_seconds("-1").is_err() && float_seconds("5ms").is_err());
        assert_eq!((seconds("0"), seconds("2.5")), (Ok(0.0), Ok(2.5)));
        assert!(["-1", "5s", "nan", "inf", ""].iter().all(|wrong| seconds(wrong).is_err()));
        assert!(absolute_directory("/srv").is_ok() && absolute_directory("srv").is_err());
        assert_eq!(identifier("_app2"), Ok("_app2".to_string()));
        assert!(identifier("a.b").is_err() && identifier("2a").is_err() && identifier("").is_err());
    }
}
