//! Who runs a command, as it is kept with what they change.

use clap::Args;

use crate::domain::Identifier;

/// The source that the envelopes name.
pub(super) const SOURCE: &str = "cli";
/// Variables in which a system names its user, the first of which counts.
const VARIABLES: [&str; 2] = ["USER", "LOGNAME"];

/// `--as`
#[derive(Debug, Clone, Default, Args)]
pub struct ActorArgs {
    /// Who does this; kept with the change, and shown. Without it, the user who runs the command.
    #[arg(long = "as", value_name = "NAME", value_parser = Identifier::parse)]
    pub actor: Option<Identifier>,
}

impl ActorArgs {
    /// The name that is kept.
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
