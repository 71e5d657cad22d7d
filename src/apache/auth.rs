//! The providers by which httpd asks who a user is and what the user may do.
//!
//! Used in httpd children; `apache::module` registers them. As at every door here, a panic is caught: it refuses
//! access.

#![allow(unsafe_code)]

use super::log;
use super::request::RequestRec;
use super::table::{api, bytes, copy};
use crate::sys::httpd::*;
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// What a provider says of a user's password, or knows of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    Granted,
    Denied,
    /// Another provider may know the user.
    Unknown,
    /// The hash of a user, for digests.
    Found(Vec<u8>),
    /// 500; the reason is in the log.
    Failed,
}

/// What a provider says of a `Require` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization {
    Granted,
    Denied,
    /// The client has not said who it is.
    NoUser,
    /// 500; the reason is in the log.
    Failed,
}

/// Who answers.
pub trait AccessControl {
    fn check_password(request: &RequestRec<'_>, user: &[u8], password: &[u8]) -> Authentication;
    fn realm_hash(request: &RequestRec<'_>, user: &[u8], realm: &[u8]) -> Authentication;
    /// `Require wsgi-group` with these words.
    fn require_group(request: &RequestRec<'_>, words: &[u8]) -> Authorization;
    /// Why these words cannot follow `Require wsgi-group`.
    fn check_groups(words: &[u8]) -> Result<(), String>;
}

struct Providers<A>(std::marker::PhantomData<A>);

impl<A: AccessControl> Providers<A> {
    const USERS: authn_provider = authn_provider {
        check_password: Some(check_password::<A>),
        get_realm_hash: Some(get_realm_hash::<A>),
    };
    const GROUPS: authz_provider = authz_provider {
        check_authorization: Some(check_authorization::<A>),
        parse_require_line: Some(parse_require_line::<A>),
    };
    const STATIC_USERS: &'static authn_provider = &Self::USERS;
    const STATIC_GROUPS: &'static authz_provider = &Self::GROUPS;
}

/// To be called while httpd registers hooks.
pub(super) fn register<A: AccessControl>(pool: *mut apr_pool_t) {
    let per_conf = AP_AUTH_INTERNAL_PER_CONF as c_int;
    let users = ptr::from_ref(Providers::<A>::STATIC_USERS).cast::<c_void>();
    let groups = ptr::from_ref(Providers::<A>::STATIC_GROUPS).cast::<c_void>();
    // SAFETY: httpd is registering hooks; the providers are of the kinds that their groups have, and live for
    // ever, as the names do.
    unsafe {
        api().ap_register_auth_provider(
            pool,
            AUTHN_PROVIDER_GROUP.as_ptr().cast(),
            c"wsgi".as_ptr(),
            AUTHN_PROVIDER_VERSION.as_ptr().cast(),
            users,
            per_conf,
        );
        api().ap_register_auth_provider(
            pool,
            AUTHZ_PROVIDER_GROUP.as_ptr().cast(),
            c"wsgi-group".as_ptr(),
            AUTHZ_PROVIDER_VERSION.as_ptr().cast(),
            groups,
            per_conf,
        );
    }
}

unsafe extern "C" fn check_password<A: AccessControl>(
    request: *mut request_rec,
    user: *const c_char,
    password: *const c_char,
) -> authn_status {
    let request = RequestRec::new(&request);
    let (user, password) = (text(&request, user), text(&request, password));
    match guarded(&request, || A::check_password(&request, user, password)) {
        Some(Authentication::Granted) => authn_status_AUTH_GRANTED,
        Some(Authentication::Denied) => authn_status_AUTH_DENIED,
        Some(Authentication::Unknown) => authn_status_AUTH_USER_NOT_FOUND,
        Some(Authentication::Found(_) | Authentication::Failed) | None => authn_status_AUTH_GENERAL_ERROR,
    }
}

unsafe extern "C" fn get_realm_hash<A: AccessControl>(
    request: *mut request_rec,
    user: *const c_char,
    realm: *const c_char,
    hash: *mut *mut c_char,
) -> authn_status {
    let request = RequestRec::new(&request);
    let (user, realm) = (text(&request, user), text(&request, realm));
    match guarded(&request, || A::realm_hash(&request, user, realm)) {
        Some(Authentication::Found(found)) => {
            // SAFETY: httpd hands in where to put it; the copy is in the request's pool.
            unsafe { *hash = copy(request.pool(), &found) };
            authn_status_AUTH_USER_FOUND
        }
        Some(Authentication::Unknown) => authn_status_AUTH_USER_NOT_FOUND,
        _ => authn_status_AUTH_GENERAL_ERROR,
    }
}

unsafe extern "C" fn check_authorization<A: AccessControl>(
    request: *mut request_rec,
    words: *const c_char,
    _parsed: *const c_void,
) -> authz_status {
    let request = RequestRec::new(&request);
    match guarded(&request, || A::require_group(&request, text(&request, words))) {
        Some(Authorization::Granted) => authz_status_AUTHZ_GRANTED,
        Some(Authorization::Denied) => authz_status_AUTHZ_DENIED,
        Some(Authorization::NoUser) => authz_status_AUTHZ_DENIED_NO_USER,
        Some(Authorization::Failed) | None => authz_status_AUTHZ_GENERAL_ERROR,
    }
}

unsafe extern "C" fn parse_require_line<A: AccessControl>(
    parameters: *mut cmd_parms,
    words: *const c_char,
    _parsed: *mut *const c_void,
) -> *const c_char {
    // SAFETY: httpd hands in live parameters for the length of the call.
    let parameters = unsafe { &*parameters };
    let words = bytes(parameters, words).unwrap_or_default();
    match catch_unwind(|| A::check_groups(words)) {
        Ok(Ok(())) => ptr::null(),
        Ok(Err(text)) => copy(parameters.pool, text.as_bytes()),
        Err(_) => c"a panic while the line was read; please report it".as_ptr(),
    }
}

/// A string that httpd hands in for the length of the call.
fn text<'a>(request: &'a RequestRec<'_>, string: *const c_char) -> &'a [u8] {
    request.text(string).unwrap_or_default()
}

fn guarded<R>(request: &RequestRec<'_>, ask: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(ask)).inspect_err(|_| log::request_panicked(request)).ok()
}

/// Has mod_authn_socache, where `AuthnCacheProvideFor wsgi` asks for it, remember a password that was right.
/// It is kept as a salted hash, of httpd's own kind.
pub fn remember_password(request: &RequestRec<'_>, user: &[u8], password: &[u8]) {
    let Some(store) = cache_store() else { return };
    let Some(hash) = salted_hash(request, password) else { return };
    remember(request, store, user, ptr::null(), hash.as_ptr());
}

/// The same for the hash of a user in a realm.
pub fn remember_hash(request: &RequestRec<'_>, user: &[u8], realm: &[u8], hash: &[u8]) {
    let Some(store) = cache_store() else { return };
    let (realm, hash) = (copy(request.pool(), realm), copy(request.pool(), hash));
    remember(request, store, user, realm, hash);
}

type CacheStore =
    unsafe extern "C" fn(*mut request_rec, *const c_char, *const c_char, *const c_char, *const c_char);

/// mod_authn_socache's function, where that module is loaded.
fn cache_store() -> Option<CacheStore> {
    // SAFETY: the name is a C string; the result is NULL or the module's function.
    let function = unsafe { api().apr_dynamic_fn_retrieve(c"ap_authn_cache_store".as_ptr()) }?;
    // SAFETY: httpd declares `ap_authn_cache_store` with this signature (mod_auth.h).
    Some(unsafe { std::mem::transmute::<unsafe extern "C" fn(), CacheStore>(function) })
}

fn remember(
    request: &RequestRec<'_>,
    store: CacheStore,
    user: &[u8],
    realm: *const c_char,
    value: *const c_char,
) {
    let user = copy(request.pool(), user);
    // SAFETY: the record is alive; the function copies the strings, of which the realm may be NULL.
    unsafe { store(request.as_ptr(), c"wsgi".as_ptr(), user, realm, value) }
}

/// As `htpasswd` makes it (`$apr1$`): 1000 rounds of MD5 with a salt.
fn salted_hash(request: &RequestRec<'_>, password: &[u8]) -> Option<CString> {
    const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let (mut salt, mut hash) = ([0u8; 9], [0u8; 120]);
    // SAFETY: APR fills the first eight bytes.
    if unsafe { api().apr_generate_random_bytes(salt.as_mut_ptr(), 8) } != 0 {
        return None;
    }
    for byte in &mut salt[..8] {
        *byte = DIGITS[usize::from(*byte % 64)];
    }
    let password = copy(request.pool(), password);
    // SAFETY: password and salt are C strings; APR writes no more than the buffer holds, with a NUL.
    let status =
        unsafe { api().apr_md5_encode(password, salt.as_ptr().cast(), hash.as_mut_ptr().cast(), hash.len()) };
    let hash = CStr::from_bytes_until_nul(&hash).ok()?;
    (status == 0).then(|| hash.into())
}
