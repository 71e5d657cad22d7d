//! What crosses between httpd's processes and a daemon. Pure: bytes in, values out.

pub mod request;

pub mod question;
pub mod scoreboard;

pub mod frame;

pub mod codec;
