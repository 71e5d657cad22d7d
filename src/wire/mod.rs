//! What crosses between httpd's processes and a daemon. Pure: bytes in, values out.

pub mod codec;
pub mod frame;
pub mod request;
pub mod scoreboard;
