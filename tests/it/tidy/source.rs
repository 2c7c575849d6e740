//! The repository's files as texts, and the little of Rust that the rules need to read in them.

use std::fs;
use std::path::Path;

/// What is no part of the project, by the name of the folder.
const NOT_OURS: [&str; 5] = [".git", "target", "data", "corpus", "artifacts"];

/// A file of the repository.
#[derive(Debug)]
pub(super) struct Source {
    /// Its path from the repository's root, with `/`.
    pub path: String,
    /// Its content; what is not UTF-8 is replaced.
    pub text: String,
}

/// The files that a rule looks at.
#[derive(Debug)]
pub(super) struct Tree(Vec<Source>);

impl Tree {
    /// The repository that this test belongs to.
    pub(super) fn of_repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        collect(root, root, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(
            files.iter().any(|file| file.path == "src/lib.rs"),
            "no sources at {}",
            root.display()
        );
        Self(files)
    }

    /// An invented repository.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let source = |(path, text): &(&str, &str)| Source {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self(files.iter().map(source).collect())
    }

    /// The files whose path starts so.
    pub(super) fn under<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a Source> {
        self.0.iter().filter(move |file| file.path.starts_with(folder))
    }

    /// The Rust files whose path starts so.
    pub(super) fn rust<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a Source> {
        self.under(folder).filter(|file| has_ending(&file.path, "rs"))
    }

    /// The text of one file; empty if it is missing, so that a rule about it finds fault.
    pub(super) fn text(&self, path: &str) -> &str {
        self.0.iter().find(|file| file.path == path).map_or("", |file| &file.text)
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("the repository can be read") {
        let path = entry.expect("the repository can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !NOT_OURS.contains(&name) {
                collect(root, &path, files);
            }
            continue;
        }
        let relative = path.strip_prefix(root).expect("the walk starts at the root");
        let relative = relative.to_string_lossy().replace('\\', "/");
        let text = fs::read(&path).expect("the repository can be read");
        files.push(Source { path: relative, text: String::from_utf8_lossy(&text).into_owned() });
    }
}

/// Whether a path ends in a dot and this.
pub(super) fn has_ending(path: &str, ending: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == ending)
}

impl Source {
    /// The code that ships: without comments and without the tests at the file's end.
    pub(super) fn code(&self) -> String {
        if self.path.ends_with("/tests.rs") || self.path.contains("/tests/") {
            return String::new();
        }
        let lines: Vec<&str> = self.text.lines().collect();
        let is_tests = |pair: &[&str]| matches!(pair, ["#[cfg(test)]", module] if module.contains("mod ") && module.ends_with('{'));
        let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
        let code: Vec<&str> = lines.iter().take(end).map(|line| without_comment(line)).collect();
        code.join("\n")
    }

    /// The top-level module of `src` that the file belongs to.
    pub(super) fn module(&self) -> &str {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        path.split('/').next().map_or(path, |first| first.strip_suffix(".rs").unwrap_or(first))
    }
}

/// A line up to its `//`, unless that is inside a text.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let mut before = ' ';
    for (place, found) in line.char_indices() {
        match found {
            '"' if before != '\\' && before != '\'' => quoted = !quoted,
            '/' if !quoted && before == '/' => return line.get(..place - 1).unwrap_or_default(),
            _ => {}
        }
        before = found;
    }
    line
}

/// Whether a word stands in a text by itself.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text.get(..start).and_then(|before| before.chars().next_back());
        let after = text.get(start + word.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// The names that follow `root::` in code, also in braces: `root::{a, b::c}` gives a and b.
pub(super) fn names_under(code: &str, root: &str) -> Vec<String> {
    let start = format!("{root}::");
    let mut names = Vec::new();
    for (place, _) in code.match_indices(&start) {
        let rest = code.get(place + start.len()..).unwrap_or_default();
        if let Some(list) = rest.strip_prefix('{') {
            names.extend(names_in_braces(list));
        } else {
            names.push(leading_name(rest));
        }
    }
    names
}

fn names_in_braces(list: &str) -> Vec<String> {
    let mut depth = 1;
    let mut names = Vec::new();
    let mut item = String::new();
    for found in list.chars() {
        match found {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && found == ',') {
            names.push(leading_name(item.trim()));
            item.clear();
        } else {
            item.push(found);
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn leading_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
