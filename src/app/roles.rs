//! Which roles a process has: all of them, or one beside processes that have the others.

/// A part of the work that can be a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes webhooks. Needs the queue only, so it goes on while the state is away.
    Ingress,
    /// Turns webhooks into counts, and parks dead letters.
    Worker,
    /// Shows counts and queues to operators.
    Console,
    /// Does what is due now and then, unless another process does.
    Leader,
}

impl Role {
    pub(super) const ALL: [Self; 4] = [Self::Ingress, Self::Worker, Self::Console, Self::Leader];

    /// Its name, as that of its command.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Worker => "worker",
            Self::Console => "console",
            Self::Leader => "leader",
        }
    }
}

/// The roles of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roles {
    /// Every one, in one process.
    All,
    /// One; other processes on the same directory have the others.
    Only(Role),
}

impl Roles {
    /// Whether the process has a role.
    pub fn has(self, role: Role) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only == role,
        }
    }

    /// The name of the command that runs them.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::All => "serve",
            Self::Only(role) => role.as_str(),
        }
    }

    /// Whether one of the roles reads or writes the state.
    pub(super) fn need_store(self) -> bool {
        self.has(Role::Worker) || self.has(Role::Console) || self.has(Role::Leader)
    }
}
