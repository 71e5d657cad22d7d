//! The vocabulary of questions: what httpd asks a script beside having it answer a request.
//!
//! The hooks of an httpd child ask (access, password, realm hash, groups, dispatch); `verdict` calls the
//! script's functions where the script runs, in both modes. A verdict is normalized: it is what the child may
//! rely on, whatever Python objects the script has returned.

use std::fmt;

/// What the name of a variable of mod_ssl begins with in the environ of a question on its way to the script.
pub const SSL_VARIABLE: &[u8] = b"mod_ssl.variable:";

/// What a request wants of its script. The texts are bytes as httpd has them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// The answer for the client, from an application.
    Application,
    /// `allow_access(environ, host)`.
    Access { host: &'a [u8] },
    /// `check_password(environ, user, password)`.
    Password { user: &'a [u8], password: &'a [u8] },
    /// `get_realm_hash(environ, user, realm)`.
    RealmHash { user: &'a [u8], realm: &'a [u8] },
    /// `groups_for_user(environ, user)`.
    Groups { user: &'a [u8] },
    /// `process_group(environ)`, `application_group(environ)` and `callable_object(environ)`, where the script
    /// has them.
    Dispatch,
}

impl<'a> Purpose<'a> {
    /// The function that a script must have; None where it may have some of several.
    pub fn function(&self) -> Option<&'static str> {
        match self {
            Purpose::Application | Purpose::Dispatch => None,
            Purpose::Access { .. } => Some("allow_access"),
            Purpose::Password { .. } => Some("check_password"),
            Purpose::RealmHash { .. } => Some("get_realm_hash"),
            Purpose::Groups { .. } => Some("groups_for_user"),
        }
    }

    /// What the function gets after the environ.
    pub fn arguments(&self) -> Vec<&'a [u8]> {
        match *self {
            Purpose::Application | Purpose::Dispatch => vec![],
            Purpose::Access { host } => vec![host],
            Purpose::Password { user, password } => vec![user, password],
            Purpose::RealmHash { user, realm } => vec![user, realm],
            Purpose::Groups { user } => vec![user],
        }
    }
}

/// Without the arguments, one of which may be a password.
impl fmt::Debug for Purpose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function().unwrap_or("application or dispatch"))
    }
}

/// What a script's function has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// None: others decide.
    Undecided,
    Refused,
    Granted,
    /// A name under which access is granted, or a realm hash.
    Text(Vec<u8>),
    /// Groups of a user.
    Names(Vec<Vec<u8>>),
    /// Process group, application group and callable; None where the configuration's stays.
    Target([Option<Vec<u8>>; 3]),
}

impl Verdict {
    /// Whether a function of this purpose may say so.
    pub fn answers(&self, purpose: Purpose<'_>) -> bool {
        use Verdict::*;
        match purpose {
            Purpose::Application => false,
            Purpose::Access { .. } => matches!(self, Undecided | Refused | Granted),
            Purpose::Password { .. } => match self {
                Text(user) => !user.is_empty(),
                verdict => matches!(verdict, Undecided | Refused | Granted),
            },
            Purpose::RealmHash { .. } => match self {
                Text(hash) => hash.len() == 32,
                verdict => matches!(verdict, Undecided),
            },
            Purpose::Groups { .. } => matches!(self, Names(_)),
            Purpose::Dispatch => matches!(self, Target(_)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_answers_its_own_purpose_only() {
        let text = || Verdict::Text(b"x".to_vec());
        let password = Purpose::Password { user: b"u", password: b"p" };
        for verdict in [Verdict::Undecided, Verdict::Refused, Verdict::Granted, text()] {
            assert!(verdict.answers(password), "{verdict:?}");
            assert!(!verdict.answers(Purpose::Application) && !verdict.answers(Purpose::Dispatch));
            assert!(!verdict.answers(Purpose::Groups { user: b"u" }));
        }
        assert!(!Verdict::Text(Vec::new()).answers(password));
        assert!(!text().answers(Purpose::Access { host: b"h" }));
        let hash = Purpose::RealmHash { user: b"u", realm: b"r" };
        assert!(!Verdict::Granted.answers(hash) && !text().answers(hash));
        assert!(Verdict::Text(vec![b'a'; 32]).answers(hash));
        assert!(!Verdict::Names(Vec::new()).answers(password));
        assert!(Verdict::Target([None, None, None]).answers(Purpose::Dispatch));
    }

    #[test]
    fn no_password_is_shown() {
        let purpose = Purpose::Password { user: b"alice", password: b"s3cret" };
        assert_eq!(format!("{purpose:?}"), "check_password");
    }
}
