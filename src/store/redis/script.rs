//! Scripts, and calls of them.
//!
//! A script is named by the hash of its text, so releases with different scripts work side by
//! side. Each begins with `#!lua`: a server that is out of memory then refuses it before its first
//! write, and a cluster refuses keys that are not named.
//!
//! # Invariants
//! - A script checks everything before its first write: what was written before an error stays.
//! - Every key that a script touches is in its `KEYS`.
//! - No quantity is a Lua number: those are floats.

use std::fmt;
use std::sync::OnceLock;

use redis::Cmd;

/// A script.
pub(super) struct Script {
    name: &'static str,
    parts: &'static [&'static str],
    text: OnceLock<Text>,
}

struct Text {
    code: String,
    hash: String,
}

impl Script {
    /// A script with the name that errors give it, made of parts: the first begins with `#!lua`.
    pub(super) const fn new(name: &'static str, parts: &'static [&'static str]) -> Self {
        Self { name, parts, text: OnceLock::new() }
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    fn text(&self) -> &Text {
        self.text.get_or_init(|| {
            let code = self.parts.concat();
            let hash = redis::Script::new(&code).get_hash().to_owned();
            Text { code, hash }
        })
    }

    /// The command that makes a server know the script.
    pub(super) fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(&self.text().code);
        command
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// One run of a script.
#[derive(Debug)]
pub(super) struct Call {
    script: &'static Script,
    keys: Vec<String>,
    args: Vec<Vec<u8>>,
}

/// As errors name it: the script and its first key.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.script.name, self.first_key())
    }
}

impl Call {
    /// A run without keys and arguments so far.
    pub(super) const fn of(script: &'static Script) -> Self {
        Self { script, keys: Vec::new(), args: Vec::new() }
    }

    /// The same run with one more of `KEYS`.
    #[must_use]
    pub(super) fn key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// The same run with one more of `ARGV`.
    #[must_use]
    pub(super) fn arg(mut self, arg: impl Into<Vec<u8>>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds one of `KEYS`; answers its number, by which the script finds it.
    pub(super) fn push_key(&mut self, key: impl Into<String>) -> usize {
        self.keys.push(key.into());
        self.keys.len()
    }

    /// Adds one of `ARGV`.
    pub(super) fn push_arg(&mut self, arg: impl Into<Vec<u8>>) {
        self.args.push(arg.into());
    }

    /// The script that is run.
    pub(super) const fn script(&self) -> &'static Script {
        self.script
    }

    /// The key that says to which hash slot the run goes.
    pub(super) fn first_key(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }

    /// The command that runs it.
    pub(super) fn command(&self) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.script.text().hash).arg(self.keys.len()).arg(&self.keys).arg(&self.args);
        command
    }
}
