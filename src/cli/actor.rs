//! The actor of a command: its name is recorded with every change.

use clap::Args;

use crate::domain::Identifier;

/// The source of the envelopes that commands publish.
pub(super) const SOURCE: &str = "cli";
/// Variables that hold the name of the system user; the first one that is set wins.
const VARIABLES: [&str; 2] = ["USER", "LOGNAME"];

/// `--as`
#[derive(Debug, Clone, Default, Args)]
pub struct ActorArgs {
    /// Your name, which is recorded with the change and shown; by default, the system user.
    #[arg(long = "as", value_name = "NAME", value_parser = Identifier::parse)]
    pub actor: Option<Identifier>,
}

impl ActorArgs {
    /// The name that is recorded.
    pub(super) fn name(&self) -> Identifier {
        self.actor.clone().unwrap_or_else(system_user)
    }
}

fn system_user() -> Identifier {
    let values = VARIABLES.into_iter().filter_map(std::env::var_os);
    let mut users = values.filter_map(|user| Identifier::parse(user.to_str()?).ok());
    users.next().unwrap_or_else(|| {
        let uid = rustix::process::getuid().as_raw();
        Identifier::parse(&uid.to_string()).expect("digits are a name")
    })
}
