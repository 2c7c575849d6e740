//! The tokens of the operator API.

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{self, REDACTED};

/// One of `console.tokens`, written `read:<token>` or `operate:<token>`.
#[derive(Debug, Clone)]
pub struct ConsoleToken {
    /// What its bearer is allowed to do.
    pub role: Role,
    /// The secret.
    pub token: SecretString,
}

/// What a caller of the operator API is allowed to do; a greater role includes the lesser one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read counts, orders, queues and the list of dead letters.
    Read,
    /// Change things, and read the bodies of dead letters.
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

/// The role is not secret.
impl Serialize for ConsoleToken {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{}:{REDACTED}", self.role.as_str()))
    }
}
