//! The table of commands. To add one, write `command/NAME.rs` with a `struct Args` (clap's `Args`, an example in
//! `after_help`) and `impl Args { pub(crate) fn run(self) -> anyhow::Result<()> }`, and add a `mod` and a line below. Tests
//! hold that it has a golden help (`UPDATE_GOLDEN=1 cargo test -p dunlin --test help`) and a place, with all its options, in
//! `docs/reference/commands.md`.

use clap::Subcommand;

mod attributes;
mod backup;
mod bootstrap;
mod check;
mod client;
mod create;
mod credential;
mod decode;
mod delete;
mod demo;
mod discover;
mod events;
mod execute;
mod fleet;
mod knocks;
mod list;
mod object;
mod observe;
mod profile;
mod read;
mod requests;
mod restore;
mod serve;
mod token;
mod write;

macro_rules! commands {
    ($($variant:ident $module:ident)+) => {
        /// What can be asked for.
        #[derive(Subcommand)]
        pub(crate) enum Command {
            $($variant($module::Args),)+
        }

        impl Command {
            /// Does it. An error is one line that says what to do.
            pub(crate) fn run(self) -> anyhow::Result<()> {
                match self {
                    $(Command::$variant(args) => args.run(),)+
                }
            }
        }
    };
}

// In the order in which `dunlin --help` shows them.
commands! {
    Serve serve
    Demo demo
    List list
    Read read
    Write write
    Execute execute
    Create create
    Delete delete
    Discover discover
    Attributes attributes
    Observe observe
    Events events
    Requests requests
    Knocks knocks
    Object object
    Credential credential
    Profile profile
    Bootstrap bootstrap
    Token token
    Client client
    Fleet fleet
    Decode decode
    Check check
    Backup backup
    Restore restore
}
