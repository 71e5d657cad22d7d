//! `not_send!(T)` does not compile where `T` is `Send`.
//!
//! For the types of this border whose soundness rests on it: `detached` and `attached` let nothing through
//! that is not `Send`.

/// A type that is `Send` has both implementations of `Asserted`, so that the compiler cannot choose one.
macro_rules! not_send {
    ($type:ty) => {
        const _: fn() = || {
            trait Asserted<A> {
                fn holds() {}
            }
            impl<T> Asserted<()> for T {}
            impl<T: Send> Asserted<u8> for T {}
            let _ = <$type>::holds;
        };
    };
}
pub(super) use not_send;
