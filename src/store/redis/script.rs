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
use std::io::Write;
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

/// Words behind each other: a run has dozens, and each would be a piece of memory by itself.
#[derive(Debug)]
struct Words {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Words {
    const NONE: Self = Self { bytes: Vec::new(), ends: Vec::new() };

    fn push(&mut self, word: &[u8]) {
        self.bytes.extend_from_slice(word);
        self.ends.push(self.bytes.len());
    }

    fn push_shown(&mut self, word: &dyn fmt::Display) {
        write!(self.bytes, "{word}").expect("memory takes every byte");
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let bounds = starts.zip(self.ends.iter().copied());
        bounds.map(|(start, end)| self.bytes.get(start..end).unwrap_or_default())
    }
}

/// One run of a script.
#[derive(Debug)]
pub(super) struct Call {
    script: &'static Script,
    keys: Words,
    args: Words,
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
        Self { script, keys: Words::NONE, args: Words::NONE }
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

    /// Adds one of `KEYS`; answers its number, by which the script finds it.
    pub(super) fn push_key(&mut self, key: impl AsRef<str>) -> usize {
        self.keys.push(key.as_ref().as_bytes());
        self.keys.ends.len()
    }

    /// Adds one of `ARGV`.
    pub(super) fn push_arg(&mut self, arg: impl AsRef<[u8]>) {
        self.args.push(arg.as_ref());
    }

    /// Adds one of `ARGV`: what is shown as its text.
    pub(super) fn push_shown(&mut self, arg: &dyn fmt::Display) {
        self.args.push_shown(arg);
    }

    /// The script that is run.
    pub(super) const fn script(&self) -> &'static Script {
        self.script
    }

    /// The key that says to which hash slot the run goes.
    pub(super) fn first_key(&self) -> &str {
        self.keys.iter().next().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default()
    }

    /// The command that runs it.
    pub(super) fn command(&self) -> Cmd {
        let hash = &self.script.text().hash;
        let (keys, args) = (&self.keys, &self.args);
        let bytes = hash.len() + keys.bytes.len() + args.bytes.len();
        // The name of the command and the count of keys are short.
        let mut command = Cmd::with_capacity(3 + keys.ends.len() + args.ends.len(), bytes + 32);
        command.arg("EVALSHA").arg(hash).arg(keys.ends.len());
        for word in keys.iter().chain(args.iter()) {
            command.arg(word);
        }
        command
    }
}
