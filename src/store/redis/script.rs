//! Scripts, and calls of them.
//!
//! A script is named by the hash of its text, so releases with different scripts work side by
//! side. Each begins with `#!lua`: a server that is out of memory then refuses it before its first
//! write, and a cluster refuses keys that are not named.
//!
//! # Invariants
//! - A script checks everything before its first write: what was written before an error stays.
//! - Every key that a script touches is in its `KEYS`.
//! - No quantity is a Lua number of more than 15 digits: those are floats.

use std::fmt;
use std::sync::OnceLock;

use redis::{Arg, Cmd, RedisWrite};

/// A script.
pub(super) struct Script {
    name: &'static str,
    parts: &'static [&'static str],
    text: OnceLock<ScriptText>,
}

struct ScriptText {
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

    fn text(&self) -> &ScriptText {
        self.text.get_or_init(|| {
            let code = self.parts.concat();
            let hash = redis::Script::new(&code).get_hash().to_owned();
            ScriptText { code, hash }
        })
    }

    /// The command that loads the script into a server.
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
    // A command is the client library's list of words in one piece of memory: a run has dozens.
    keys: Cmd,
    args: Cmd,
}

/// As errors name it: the script and its first key.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.script.name, self.first_key())
    }
}

impl Call {
    /// A run without keys and arguments so far.
    pub(super) fn of(script: &'static Script) -> Self {
        Self { script, keys: Cmd::new(), args: Cmd::new() }
    }

    /// The same run with one more of `KEYS`.
    #[must_use]
    pub(super) fn key(mut self, key: impl AsRef<str>) -> Self {
        self.push_key(key);
        self
    }

    /// The same run with one more of `ARGV`.
    #[must_use]
    pub(super) fn arg(mut self, arg: impl AsRef<[u8]>) -> Self {
        self.push_arg(arg);
        self
    }

    /// Adds one of `KEYS`; returns its number, by which the script finds it.
    pub(super) fn push_key(&mut self, key: impl AsRef<str>) -> usize {
        self.keys.write_arg(key.as_ref().as_bytes());
        self.keys.args_iter().len()
    }

    /// Adds one of `ARGV`.
    pub(super) fn push_arg(&mut self, arg: impl AsRef<[u8]>) {
        self.args.write_arg(arg.as_ref());
    }

    /// Adds one of `ARGV`: what is shown as its text.
    pub(super) fn push_shown(&mut self, arg: &dyn fmt::Display) {
        self.args.write_arg_fmt(arg);
    }

    /// The script that is run.
    pub(super) const fn script(&self) -> &'static Script {
        self.script
    }

    /// The key that decides the hash slot of the run.
    pub(super) fn first_key(&self) -> &str {
        let first = words(&self.keys).next().and_then(|key| std::str::from_utf8(key).ok());
        first.unwrap_or_default()
    }

    /// The command that runs it.
    pub(super) fn command(&self) -> Cmd {
        let hash = &self.script.text().hash;
        let (keys, args) = (self.keys.args_iter().len(), self.args.args_iter().len());
        let bytes = words(&self.keys).chain(words(&self.args)).map(<[u8]>::len).sum::<usize>();
        // The name of the command and the count of keys are short.
        let mut command = Cmd::with_capacity(3 + keys + args, bytes + hash.len() + 32);
        command.arg("EVALSHA").arg(hash).arg(keys);
        for word in words(&self.keys).chain(words(&self.args)) {
            command.arg(word);
        }
        command
    }
}

fn words(list: &Cmd) -> impl Iterator<Item = &[u8]> {
    list.args_iter().filter_map(|word| if let Arg::Simple(word) = word { Some(word) } else { None })
}
