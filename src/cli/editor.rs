//! Lets a person edit a text in the editor of their choice.

use std::io::{Read, Write};
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// The variables that name the editor; the first one that is set wins.
const VARIABLES: [&str; 2] = ["VISUAL", "EDITOR"];

/// What is in the text once the editor has ended. The text may hold personal data: the file is the
/// user's alone, and is removed.
pub(super) fn edit(text: &[u8], bytes_max: usize) -> anyhow::Result<Vec<u8>> {
    let mut editors = VARIABLES.into_iter().filter_map(std::env::var_os);
    let Some(editor) = editors.find(|editor| !editor.is_empty()) else {
        bail!("no editor is set; set EDITOR, or give the new body with --body FILE");
    };
    let failure = "cannot write a file for the editor";
    let directory = tempfile::tempdir().context(failure)?;
    let path = directory.path().join("body.json");
    let mut file = std::fs::File::create_new(&path).context(failure)?;
    file.write_all(text).context(failure)?;
    drop(file);
    let shown = editor.to_string_lossy().into_owned();
    // As git does: the variable may have options of the editor in it.
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shown} \"$1\"")).arg("sh").arg(&path);
    let status = command.status().with_context(|| format!("cannot start the editor {shown}"))?;
    ensure!(status.success(), "the editor {shown} failed ({status}); nothing was changed");
    let failure = "cannot read what the editor has written";
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut edited = Vec::new();
    let file = std::fs::File::open(&path).context(failure)?;
    file.take(most).read_to_end(&mut edited).context(failure)?;
    ensure!(edited.len() <= bytes_max, "the body is larger than {bytes_max} bytes");
    Ok(edited)
}
