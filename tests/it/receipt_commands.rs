//! `stock receive`, `count`, `import` and `export` of the real binary, beside a running server.

use std::fmt::Write;
use std::fs::File;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::harness::{Server, command};

fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        command(directory, &[]).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn json_of(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap()
}

#[tokio::test]
async fn goods_and_counts_are_counted_beside_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _, said) =
        run(directory.path(), &["stock", "receive", "shop", "sku:A", "1", "--reference", "R"]);
    assert_eq!(status, Some(3), "there is nothing to count in: {said}");
    let _server = Server::start(directory.path(), &[]).await;
    let receive = |quantity: &str| {
        let asked = ["stock", "receive", "shop", "sku:A", quantity, "--reference", "R"];
        run(directory.path(), &[&asked[..], &["--format", "json"]].concat())
    };
    let (status, printed, said) = receive("12.5");
    assert_eq!((status, said.as_str()), (Some(0), ""));
    let first = json_of(&printed);
    assert_eq!((&first["state"], &first["received"]), (&json!("applied"), &json!("12.5")));
    let (status, printed, said) = receive("12.50");
    assert_eq!((status, json_of(&printed)), (Some(0), first));
    assert_eq!(said, "counted before; nothing was added\n");
    let (status, printed, said) = receive("13");
    assert_eq!((status, printed.as_str()), (Some(1), ""));
    assert!(said.contains("the reference is taken"), "{said}");
    let count = ["stock", "count", "shop", "sku:A", "10", "--reference", "C"];
    let (status, printed, _) = run(directory.path(), &count);
    assert_eq!(status, Some(0));
    assert!(printed.contains("difference               -2.5\n"), "{printed}");
    let (_, exported, _) = run(directory.path(), &["stock", "export"]);
    assert_eq!(
        exported,
        "site,key,name,received,committed,fulfilled,on_hand,available\n\
         shop,sku:A,,10,0,0,10,10\n"
    );
    let (_, exported, _) = run(directory.path(), &["stock", "export", "--format", "json"]);
    let (_, listed, _) = run(directory.path(), &["stock", "list", "--format", "json"]);
    assert_eq!(exported, listed);
}

#[tokio::test]
async fn what_nobody_counts_is_queued_and_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &[]).await;
    server.signal("TERM");
    assert!(server.ended().await.success());
    let receive =
        ["stock", "receive", "shop", "sku:A", "1", "--reference", "R", "--timeout", "1ms"];
    let (status, printed, said) = run(directory.path(), &receive);
    assert_eq!(status, Some(1));
    assert!(printed.contains("state      queued\n"), "{printed}");
    assert!(said.contains("queued, and not counted yet"), "{said}");
    let _server = Server::start(directory.path(), &[]).await;
    let (status, printed, _) =
        run(directory.path(), &["stock", "receive", "shop", "sku:A", "1", "--reference", "R"]);
    assert_eq!(status, Some(0));
    assert!(printed.contains("state      applied\n"), "{printed}");
    let (_, exported, _) = run(directory.path(), &["stock", "export"]);
    assert!(exported.ends_with("shop,sku:A,,1,0,0,1,1\n"), "once: {exported}");
}

#[tokio::test]
async fn an_import_is_counted_whole_or_not_at_all_and_only_once() {
    let directory = tempfile::tempdir().unwrap();
    let _server = Server::start(directory.path(), &[]).await;
    let file = directory.path().join("goods.csv");
    let mut rows = "site,key,quantity,reference\n".to_owned();
    for number in 0..300 {
        writeln!(rows, "shop,sku:{number},{number}.5,opening").unwrap();
    }
    std::fs::write(&file, format!("{rows}shop,sku:x,many,opening\nshop,x,1,opening\n")).unwrap();
    let import = || run(directory.path(), &["stock", "import", "goods.csv", "--format", "json"]);
    let (status, printed, said) = import();
    assert_eq!((status, printed.as_str()), (Some(2), ""));
    assert!(said.contains("line 302: quantity: is not a number\n"), "{said}");
    assert!(said.contains("line 303: key: is not of the form kind:identifier\n"), "{said}");
    let listed = || run(directory.path(), &["stock", "list", "--format", "json"]).1;
    assert_eq!(listed(), "", "nothing was counted");
    let summary = |applied, repeated, reused| {
        json!({
            "rows": applied + repeated + reused, "applied": applied, "repeated": repeated,
            "queued": 0, "reused": reused, "dead": 0,
        })
    };
    std::fs::write(&file, &rows).unwrap();
    let (status, printed, said) = import();
    assert_eq!((status, said.as_str()), (Some(0), ""));
    assert_eq!(json_of(&printed), summary(300, 0, 0));
    let before = listed();
    assert_eq!(before.lines().count(), 300);
    // Another row, one that says something else, and everything again.
    let rows = rows.replace("shop,sku:7,7.5,", "shop,sku:7,8,") + "shop,sku:new,1,opening\n";
    std::fs::write(&file, rows).unwrap();
    let (status, printed, said) = import();
    assert_eq!(status, Some(1));
    assert_eq!(json_of(&printed), summary(1, 299, 1));
    assert!(said.starts_with("line 9: the reference is taken"), "{said}");
    // The same from stdin.
    let mut import = command(directory.path(), &[]);
    import.args(["stock", "import", "-", "--format", "json"]).stdin(File::open(&file).unwrap());
    let piped = import.output().unwrap();
    assert_eq!(json_of(str::from_utf8(&piped.stdout).unwrap()), summary(0, 300, 1));
    let after = listed();
    let kept: Vec<&str> = after.lines().filter(|line| !line.contains("sku:new")).collect();
    assert_eq!(kept, before.lines().collect::<Vec<_>>());
}
