//! The command line of dunlin.
fn main() {}
