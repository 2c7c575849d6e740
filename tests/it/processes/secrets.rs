//! Secrets that are replaced while a process runs.

use std::path::Path;

use storekeeper::ingress::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER, sign};
use tempfile::TempDir;

use crate::harness::{Server, eventually};

/// A volume as Kubernetes makes it of a Secret: the files are links into a directory that is itself
/// a link, and is replaced as a whole.
struct Volume {
    directory: TempDir,
    made: u32,
}

impl Volume {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut volume = Self { directory: tempfile::tempdir().unwrap(), made: 0 };
        volume.replace(files);
        for (name, _) in files {
            let link = volume.path().join(name);
            std::os::unix::fs::symlink(format!("..data/{name}"), link).unwrap();
        }
        volume
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).to_str().unwrap().to_owned()
    }

    fn replace(&mut self, files: &[(&str, &str)]) {
        self.made += 1;
        let made = format!("..made-{}", self.made);
        std::fs::create_dir(self.path().join(&made)).unwrap();
        for (name, content) in files {
            std::fs::write(self.path().join(&made).join(name), content).unwrap();
        }
        let link = self.path().join("..data-new");
        std::os::unix::fs::symlink(&made, &link).unwrap();
        std::fs::rename(link, self.path().join("..data")).unwrap();
    }
}

/// Posts a webhook signed with a secret; returns the status.
async fn post(server: &Server, secret: &[u8]) -> u16 {
    let (body, now) = ("{}", storekeeper::clock::now().millis().to_string());
    let request = reqwest::Client::new().post(server.webhooks()).body(body);
    let request = request.header(SIGNATURE_HEADER, sign(secret, &now, body.as_bytes()));
    request.header(TIMESTAMP_HEADER, now).send().await.unwrap().status().as_u16()
}

/// Lists sites with a token; returns the status.
async fn ask(server: &Server, token: &str) -> u16 {
    let request = reqwest::Client::new().get(server.console("/v1/sites")).bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

async fn metric(server: &Server, name: &str) -> Option<String> {
    let url = format!("http://{}/metrics", server.addresses.probes);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned))
}

const OLD: (&str, &[u8]) =
    ("b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xkLW9sZC0=", b"old-old-old-old-old-old-old-old-");
const NEW: (&str, &[u8]) =
    ("bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldy0=", b"new-new-new-new-new-new-new-new-");
const OLD_TOKEN: &str = "old-token-old-token-old-token-old-token";
const NEW_TOKEN: &str = "new-token-new-token-new-token-new-token";

#[tokio::test]
async fn secrets_are_replaced_without_a_restart_and_wrong_ones_leave_the_old_in_use() {
    let tokens = |token| format!("operate:{token}\n");
    let (old, new) = (tokens(OLD_TOKEN), tokens(NEW_TOKEN));
    let mut volume = Volume::new(&[("secrets", OLD.0), ("tokens", &old)]);
    let directory = tempfile::tempdir().unwrap();
    let (secrets, tokens) = (volume.file("secrets"), volume.file("tokens"));
    let settings = [
        ("STOREKEEPER__INGRESS__SECRETS_FILE", secrets.as_str()),
        ("STOREKEEPER__CONSOLE__TOKENS_FILE", tokens.as_str()),
    ];
    let server = Server::start(directory.path(), &settings).await;
    assert_eq!((post(&server, OLD.1).await, post(&server, NEW.1).await), (200, 401));
    assert_eq!((ask(&server, OLD_TOKEN).await, ask(&server, NEW_TOKEN).await), (200, 401));

    volume.replace(&[("secrets", NEW.0), ("tokens", &new)]);
    eventually("the new secrets are in use", async || {
        (post(&server, NEW.1).await == 200 && ask(&server, NEW_TOKEN).await == 200).then_some(())
    })
    .await;
    assert_eq!((post(&server, OLD.1).await, ask(&server, OLD_TOKEN).await), (401, 401));
    assert_eq!(metric(&server, "storekeeper_secrets_outdated").await.as_deref(), Some("0"));

    // What cannot be used is said, and changes nothing.
    for wrong in [("secrets", "no base64!"), ("nothing", "")] {
        volume.replace(&[wrong, ("tokens", &old)]);
        eventually("the wrong secrets are noticed", async || {
            let outdated = metric(&server, "storekeeper_secrets_outdated").await;
            (outdated.as_deref() == Some("1")).then_some(())
        })
        .await;
        assert_eq!((post(&server, NEW.1).await, ask(&server, OLD_TOKEN).await), (200, 401));
        volume.replace(&[("secrets", NEW.0), ("tokens", &new)]);
        eventually("the right secrets are back", async || {
            let outdated = metric(&server, "storekeeper_secrets_outdated").await;
            (outdated.as_deref() == Some("0")).then_some(())
        })
        .await;
    }
    let log = std::fs::read_to_string(directory.path().join("serve.log")).unwrap();
    for said in ["ingress.secrets: item 1 is not base64", "STOREKEEPER__INGRESS__SECRETS_FILE"] {
        assert!(log.contains(said), "{said} is not in\n{log}");
    }
    for secret in [OLD.0, NEW.0, OLD_TOKEN, NEW_TOKEN, "no base64!"] {
        assert!(!log.contains(secret), "{secret} is in\n{log}");
    }
}
