//! What crosses between an httpd child and a daemon. Pure: bytes in, values out.

pub mod codec;
pub mod frame;
pub mod request;
