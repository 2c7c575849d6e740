//! Who may ask the operator API.

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{self, REDACTED};

/// One of `console.tokens`, written `read:<token>` or `operate:<token>`.
#[derive(Debug, Clone)]
pub struct ConsoleToken {
    /// What its bearer may do.
    pub role: Role,
    /// What its bearer knows.
    pub token: SecretString,
}

/// What a caller of the operator API may do; a greater one may do all that a lesser one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See counts, orders, queues, and which dead letters there are.
    Read,
    /// Change things, and see what dead letters hold.
    Operate,
}

impl Role {
    /// The role's name in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

impl<'de> Deserialize<'de> for ConsoleToken {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        value::secret(from, |text| {
            let (role, token) = text.split_once(':').unwrap_or_default();
            let role = [Role::Read, Role::Operate].into_iter().find(|known| known.as_str() == role);
            let role = role.ok_or("must be \"read:<token>\" or \"operate:<token>\"")?;
            Ok(Self { role, token: token.into() })
        })
    }
}

/// The role is no secret.
impl Serialize for ConsoleToken {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{}:{REDACTED}", self.role.as_str()))
    }
}
