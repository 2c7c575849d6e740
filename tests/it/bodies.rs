//! The bodies under `fixtures/`, and where in them which value stands.
//!
//! Values are replaced in the text, not in a parsed tree: repeated keys, odd numbers and odd
//! whitespace are what these tests are about, and a tree would lose them.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How deep places are looked for; what lies deeper is one value.
const DEPTH_MAX: usize = 10;

/// A file under `fixtures/`.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    /// The file's name.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

/// The files of a folder, given from the repository's root, by name.
pub(crate) fn bodies(folder: &str) -> Vec<Body> {
    let mut bodies: Vec<_> = entries(folder)
        .into_iter()
        .map(|path| Body { name: file_name(&path), bytes: fs::read(&path).unwrap() })
        .collect();
    bodies.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!bodies.is_empty(), "{folder} has no files");
    bodies
}

/// The webhooks that must be taken; each is text.
pub(crate) fn webhooks() -> Vec<(String, String)> {
    let text = |body: Body| (body.name, String::from_utf8(body.bytes).unwrap());
    bodies("fixtures/webhooks").into_iter().map(text).collect()
}

/// The bodies that must be refused, each with the code that its folder names.
pub(crate) fn rejected() -> Vec<(String, Body)> {
    let mut folders: Vec<_> =
        entries("fixtures/rejected").iter().map(|path| file_name(path)).collect();
    folders.sort();
    let of_folder = |code: String| {
        let found = bodies(&format!("fixtures/rejected/{code}"));
        found.into_iter().map(move |body| (code.clone(), body))
    };
    folders.into_iter().flat_map(of_folder).collect()
}

fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Where a value stands in a body.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its path, without the numbers of list elements: `data.items[].id`.
    pub(crate) path: String,
    /// The value's text.
    pub(crate) value: Range<usize>,
    /// What is to be cut out, so that the value is missing and the rest is still JSON.
    pub(crate) cut: Range<usize>,
    /// Whether the same key, or one that it stands under, comes again later and counts instead.
    pub(crate) shadowed: bool,
}

impl Place {
    /// The body with another text in this place.
    pub(crate) fn replace(&self, body: &str, by: &str) -> String {
        splice(body, &self.value, by)
    }

    /// The body without this place.
    pub(crate) fn remove(&self, body: &str) -> String {
        splice(body, &self.cut, "")
    }
}

fn splice(body: &str, range: &Range<usize>, by: &str) -> String {
    let (before, after) = (body.get(..range.start).unwrap(), body.get(range.end..).unwrap());
    [before, by, after].concat()
}

/// Every place of a body that is JSON.
pub(crate) fn places(body: &str) -> Vec<Place> {
    let mut scanner = Scanner { body, at: 0, places: Vec::new() };
    let mark = '\u{feff}';
    scanner.at = if body.starts_with(mark) { mark.len_utf8() } else { 0 };
    scanner.value("", false, 0);
    scanner.places
}

/// Reads JSON that is known to be valid.
struct Scanner<'a> {
    body: &'a str,
    at: usize,
    places: Vec<Place>,
}

/// A member of an object or list: its key, and where it begins and ends.
struct Member {
    key: String,
    span: Range<usize>,
    value: Range<usize>,
}

impl Scanner<'_> {
    fn peek(&mut self) -> u8 {
        let rest = self.body.as_bytes().iter().skip(self.at);
        self.at += rest.take_while(|byte| byte.is_ascii_whitespace()).count();
        self.body.as_bytes().get(self.at).copied().unwrap_or_default()
    }

    fn value(&mut self, path: &str, shadowed: bool, depth: usize) {
        match self.peek() {
            b'{' | b'[' if depth > DEPTH_MAX => self.skip(),
            b'{' => self.members(path, b'}', shadowed, depth),
            b'[' => self.members(path, b']', shadowed, depth),
            b'"' => drop(self.string()),
            _ => {
                let end = |byte: &u8| b",]}".contains(byte) || byte.is_ascii_whitespace();
                let rest = self.body.as_bytes().iter().skip(self.at);
                self.at += rest.take_while(|byte| !end(byte)).count();
            }
        }
    }

    /// Passes over an object or list, however deep.
    fn skip(&mut self) {
        let mut open = 0_usize;
        loop {
            match self.peek() {
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                b'"' => {
                    drop(self.string());
                    continue;
                }
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return;
            }
        }
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.at += 1;
        loop {
            match self.body.as_bytes().get(self.at) {
                Some(b'\\') => self.at += 2,
                Some(b'"') | None => break,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        self.body.get(start..self.at).unwrap().to_owned()
    }

    fn members(&mut self, path: &str, close: u8, shadowed: bool, depth: usize) {
        let first_own = self.places.len();
        let mut found = Vec::new();
        self.at += 1;
        while self.peek() != close {
            let start = self.at;
            let key = if close == b'}' {
                let key = self.string();
                // Half of a surrogate pair is no text, and nobody's name.
                let key = serde_json::from_str(&key).unwrap_or(key);
                self.peek();
                self.at += 1;
                if path.is_empty() { key } else { format!("{path}.{key}") }
            } else {
                format!("{path}[]")
            };
            self.peek();
            let value = self.at;
            self.value(&key, shadowed, depth + 1);
            found.push(Member { key, span: start..self.at, value: value..self.at });
            if self.peek() == b',' {
                self.at += 1;
                self.peek();
            }
        }
        self.at += 1;
        self.note(&found, close == b'}', first_own, shadowed);
    }

    /// Adds the members' own places to those of what they hold.
    fn note(&mut self, members: &[Member], keyed: bool, first_own: usize, shadowed: bool) {
        for (place, member) in members.iter().enumerate() {
            let next = members.get(place + 1);
            let before = place.checked_sub(1).and_then(|place| members.get(place));
            let cut = match (next, before) {
                (Some(next), _) => member.span.start..next.span.start,
                (None, Some(before)) => before.span.end..member.span.end,
                (None, None) => member.span.clone(),
            };
            let again =
                keyed && members.iter().skip(place + 1).any(|later| later.key == member.key);
            if again {
                let within = |inner: &&mut Place| member.value.contains(&inner.value.start);
                self.places
                    .iter_mut()
                    .skip(first_own)
                    .filter(within)
                    .for_each(|inner| inner.shadowed = true);
            }
            let (path, value) = (member.key.clone(), member.value.clone());
            self.places.push(Place { path, value, cut, shadowed: shadowed || again });
        }
    }
}

#[test]
fn places_are_found_with_their_text() {
    let body = r#"{ "a" : [1, {"b":"x\"}"}] , "c":null,"a":[] }"#;
    let found: Vec<_> = places(body)
        .iter()
        .map(|place| format!("{}={}", place.path, body.get(place.value.clone()).unwrap()))
        .collect();
    let expected = r#"a[].b="x\"}" a[]=1 a[]={"b":"x\"}"} a=[1, {"b":"x\"}"}] c=null a=[]"#;
    assert_eq!(found.join(" "), expected);
    for place in places(body) {
        let shorter = place.remove(body);
        serde_json::from_str::<serde_json::Value>(&shorter).unwrap();
        assert_eq!(place.shadowed, place.value.start < 30, "{}", place.path);
    }
}
