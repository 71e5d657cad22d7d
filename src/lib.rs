mod sys;
mod log;
mod wire;
mod request;
mod config { pub mod process_group; }
mod python;
mod wsgi;
mod daemon { pub mod os; pub mod launch; pub mod control; pub mod status; pub mod connection; pub mod client; pub mod worker; pub mod serve;}
