//! What the disk says about a site: its interpreter, the owners of its scripts, the files with its
//! environment.

pub mod environment;
pub mod interpreter;
pub mod owner;

pub mod disk;
