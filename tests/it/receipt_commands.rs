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
        run(directory.path(), &[&asked[..], &["--create", "--format", "json"]].concat())
    };
    let (status, printed, said) = receive("12.5");
    assert_eq!((status, said.as_str()), (Some(0), ""));
    let first = json_of(&printed);
    assert_eq!((&first["state"], &first["received"]), (&json!("applied"), &json!("12.5")));
    assert_eq!(
        (&first["before"]["on_hand"], &first["after"]["on_hand"]),
        (&json!("0"), &json!("12.5"))
    );
    let (status, printed, said) = receive("12.50");
    assert_eq!((status, &json_of(&printed)["message_id"]), (Some(0), &first["message_id"]));
    assert_eq!(said, "counted before; nothing was added\n");
    let (status, printed, said) = receive("13");
    assert_eq!((status, printed.as_str()), (Some(1), ""));
    let problem = json_of(&said);
    assert_eq!(problem["code"], "receipt.reference_reused");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("the reference is taken: R was 12.5, this says 13;"), "{detail}");
    let count = ["stock", "count", "shop", "sku:A", "10", "--reference", "C"];
    let (status, printed, _) = run(directory.path(), &count);
    assert_eq!(status, Some(0));
    assert!(printed.contains("difference               -2.5\n"), "{printed}");
    let after = printed.lines().last().unwrap();
    assert_eq!(after.split_whitespace().collect::<Vec<_>>(), ["after", "10", "0", "0", "10", "10"]);
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
    let receive = ["stock", "receive", "shop", "sku:A", "1", "--reference", "R", "--create"];
    let hasty = [&receive[..], &["--timeout", "1ms"]].concat();
    let (status, printed, said) = run(directory.path(), &hasty);
    assert_eq!(status, Some(1));
    assert!(printed.contains("state      queued\n"), "{printed}");
    assert!(said.contains("queued, and not counted yet"), "{said}");
    let _server = Server::start(directory.path(), &[]).await;
    let (status, printed, _) = run(directory.path(), &receive);
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
    std::fs::write(&file, format!("{rows}shop,sku:x,many,opening\nshop,,1,opening\n")).unwrap();
    let import = ["stock", "import", "goods.csv", "--create", "--format", "json"];
    let import = || run(directory.path(), &import);
    let (status, printed, said) = import();
    assert_eq!((status, printed.as_str()), (Some(2), ""));
    assert!(said.contains("line 302: quantity: is not a number\n"), "{said}");
    assert!(said.contains("line 303: key: is empty\n"), "{said}");
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
    assert!(
        said.starts_with("line 9: the reference is taken: opening was 7.5, this says 8;"),
        "{said}"
    );
    // The same from stdin.
    let mut import = command(directory.path(), &[]);
    import
        .args(["stock", "import", "-", "--create", "--format", "json"])
        .stdin(File::open(&file).unwrap());
    let piped = import.output().unwrap();
    assert_eq!(json_of(str::from_utf8(&piped.stdout).unwrap()), summary(0, 300, 1));
    let after = listed();
    let kept: Vec<&str> = after.lines().filter(|line| !line.contains("sku:new")).collect();
    assert_eq!(kept, before.lines().collect::<Vec<_>>());
}

#[tokio::test]
async fn goods_are_adjusted_and_taken_back_by_any_name_of_the_item() {
    let directory = tempfile::tempdir().unwrap();
    let _server = Server::start(directory.path(), &[]).await;
    let change = |arguments: &[&str]| {
        run(directory.path(), &[&["stock"], arguments, &["--format", "json"]].concat())
    };
    let (status, printed, said) = change(&["receive", "shop", "sku:A", "5", "--reference", "R"]);
    assert_eq!((status, printed.as_str()), (Some(1), ""));
    assert!(said.contains("there is no site shop") && said.contains("--create"), "{said}");
    let receive = ["receive", "shop", "sku:A", "5", "--reference", "R", "--create"];
    assert_eq!(change(&receive).0, Some(0));
    let damage = ["--reference", "D", "--reason", "fell down", "--as", "anna"];
    let (status, printed, said) = change(&[&["adjust", "shop", "A", "-2"], &damage[..]].concat());
    assert_eq!((status, said.as_str()), (Some(0), ""));
    let adjusted = json_of(&printed);
    assert_eq!((&adjusted["key"], &adjusted["received"]), (&json!("sku:A"), &json!("-2")));
    let counts =
        |counts: &Value| json!([counts["received"], counts["on_hand"], counts["available"]]);
    assert_eq!(counts(&adjusted["before"]), json!(["5", "5", "5"]));
    assert_eq!(counts(&adjusted["after"]), json!(["3", "3", "3"]));
    let (status, _, said) =
        change(&["adjust", "shop", "B", "+2", "--reference", "D", "--reason", "x"]);
    assert_eq!(status, Some(1));
    assert!(said.contains(r#"has no item \"B\""#), "{said}");
    let (status, printed, _) = change(&["void", "shop", "A", "--reference", "R"]);
    assert_eq!(status, Some(0));
    let voided = json_of(&printed);
    assert_eq!(
        (&voided["void"], counts(&voided["after"])),
        (&json!(true), json!(["-2", "-2", "-2"]))
    );
    let (status, _, said) = change(&["void", "shop", "sku:A", "--reference", "R"]);
    assert_eq!((status, said.as_str()), (Some(0), "counted before; nothing was added\n"));
    // A void comes before its receipt, too.
    assert_eq!(change(&["void", "shop", "A", "--reference", "late"]).0, Some(0));
    let (status, _, said) = change(&["receive", "shop", "A", "9", "--reference", "late"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("the reference is void"), "{said}");
    // Nobody can receive what has no name but its line's.
    let line = ["receive", "shop", "line:l1", "9", "--reference", "line", "--create"];
    let (status, _, said) = change(&line);
    assert_eq!(status, Some(1));
    assert!(said.contains("its goods cannot be received"), "{said}");
    let (_, shown, _) = change(&["show", "shop", "A"]);
    assert_eq!(json_of(&shown)["received"], "-2");
}

#[tokio::test]
async fn an_import_finds_the_items_that_its_rows_mean_or_counts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let _server = Server::start(directory.path(), &[]).await;
    for (number, key) in ["sku:A", "sku:B", "product:B"].into_iter().enumerate() {
        let reference = number.to_string();
        let receive = ["stock", "receive", "shop", key, "1", "--reference", &reference, "--create"];
        assert_eq!(run(directory.path(), &receive).0, Some(0));
    }
    let import = |rows: &str, more: &[&str]| {
        let file = directory.path().join("goods.csv");
        std::fs::write(file, format!("site,key,quantity,reference\n{rows}")).unwrap();
        run(
            directory.path(),
            &[&["stock", "import", "goods.csv", "--format", "json"], more].concat(),
        )
    };
    let rows =
        "shop,A,1,I\nshop,B,1,I\nshop,C,1,I\nshop,sku:C,1,I\nother,sku:A,1,I\nshop,sku:A,2,I\n";
    let (status, printed, said) = import(rows, &[]);
    assert_eq!((status, printed.as_str()), (Some(1), ""));
    for line in [
        "line 3: key: \"B\" may be any of product:B, sku:B; name one of them\n",
        "line 4: key: site shop has no item \"C\"",
        "line 5: key: site shop has no item \"sku:C\"",
        "line 6: key: there is no site other",
        "line 7: line 2 has another quantity for this reference: 1, this one 2\n",
        "5 rows of the file do not name exactly one item; nothing was counted",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let summary = |rows, applied, repeated| {
        json!({
            "rows": rows, "applied": applied, "repeated": repeated, "queued": 0, "reused": 0,
            "dead": 0,
        })
    };
    let rows = "shop,A,1,I\nshop,sku:A,1.0,I\nshop,sku:C,1,I\nother,sku:A,1,I\n";
    let (status, printed, said) = import(rows, &["--create", "--reason", "opening"]);
    assert_eq!((status, said.as_str()), (Some(0), ""), "{printed}");
    assert_eq!(json_of(&printed), summary(4, 3, 1));
}

#[tokio::test]
async fn what_was_probably_meant_is_proposed_and_what_looks_like_a_mistake_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let receive = |site: &str, key: &str, quantity: &str, more: &[&str]| {
        let words = ["stock", "receive", site, key, quantity, "--reference", "R"];
        run(directory.path(), &[&words[..], more].concat())
    };
    assert_eq!(receive("north-shop", "sku:LANTERN", "5", &["--create"]).0, Some(0));
    let (status, _, said) = receive("nort-shop", "sku:LANTERN", "5", &[]);
    assert_eq!(status, Some(1));
    assert!(said.contains("no site nort-shop; did you mean north-shop? to make it"), "{said}");
    let (status, _, said) = receive("north-shop", "sku:LANTREN", "5", &[]);
    assert_eq!(status, Some(1));
    assert!(said.contains("did you mean sku:LANTERN? to make it, ask with `--create`"), "{said}");
    let (_, _, said) = receive("north-shop", "sku:LANTREN", "5", &["--format", "json"]);
    let problem = json_of(&said);
    assert_eq!(problem["code"], "stock.create_needed");
    assert_eq!(problem["candidates"], json!(["sku:LANTERN"]));
    // A void creates nothing, so that it proposes no option that it does not have.
    let void = ["stock", "void", "nort-shop", "sku:LANTERN", "--reference", "R"];
    let (status, _, said) = run(directory.path(), &void);
    assert!(status == Some(1) && !said.contains("--create"), "{said}");
    for (quantity, why) in [("0", "is zero"), ("1e3", "has an exponent"), ("1,5", "has a comma")] {
        let (status, _, said) = receive("north-shop", "sku:LANTERN", quantity, &[]);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
    // The API says the same.
    let path = "/v1/sites/north-shop/stock/sku:LANTREN/receipts";
    let post = async |body: Value| {
        let request = reqwest::Client::new().post(server.console(path)).json(&body);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let problem = post(json!({"quantity": "5", "reference": "R"})).await;
    assert_eq!(
        (&problem["code"], &problem["candidates"][0]),
        (&json!("stock.create_needed"), &json!("sku:LANTERN"))
    );
    let problem = post(json!({"quantity": "0", "reference": "R"})).await;
    assert!(problem["detail"].as_str().unwrap().contains("is zero"), "{problem}");
    let (_, listed, _) = run(directory.path(), &["stock", "list", "--format", "json"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
}

#[tokio::test]
async fn a_dry_run_of_an_import_shows_what_each_row_would_do_and_does_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let _server = Server::start(directory.path(), &[]).await;
    for (reference, quantity) in [("PO-1", "10"), ("PO-2", "3")] {
        let receive =
            ["stock", "receive", "shop", "sku:A", quantity, "--reference", reference, "--create"];
        assert_eq!(run(directory.path(), &receive).0, Some(0));
    }
    // As a spreadsheet in a country of decimal commas saves it.
    let rows = "Site;Key;Quantity;Reference\r\nshop;sku:A;2.5;PO-3\r\nshop;A;3;PO-2\r\n\
                shop;sku:A;11;PO-1\r\nshop;sku:A;1;PO-4\r\nshop;sku:B;1;PO-4\r\n";
    let utf_16 = "\u{feff}".encode_utf16().chain(rows.encode_utf16());
    let bytes: Vec<u8> = utf_16.flat_map(u16::to_le_bytes).collect();
    std::fs::write(directory.path().join("goods.csv"), bytes).unwrap();
    let import =
        |more: &[&str]| run(directory.path(), &[&["stock", "import", "goods.csv"], more].concat());
    let (status, printed, said) = import(&["--dry-run"]);
    assert_eq!(status, Some(1));
    let without_ids = printed.lines().map(|line| line.split("; choose").next().unwrap());
    insta::assert_snapshot!(without_ids.collect::<Vec<_>>().join("\n"), @r"
    LINE  SITE  KEY    QUANTITY  REFERENCE  WOULD   ON HAND  AFTER  REASON
       2  shop  sku:A       2.5  PO-3       count        13   15.5
       3  shop  sku:A         3  PO-2       repeat     15.5   15.5
       4  shop  sku:A        11  PO-1       refuse     15.5   15.5  the reference is taken: PO-1 was 10, this says 11
       5  shop  sku:A         1  PO-4       count      15.5   16.5
    ");
    assert!(
        said.contains("nothing was counted: 2 would be, 1 was counted before, 1 would be refused"),
        "{said}"
    );
    assert!(
        said.contains("line 6: key: site shop has no item \"sku:B\"; did you mean sku:A?"),
        "{said}"
    );
    let (status, printed, _) = import(&["--dry-run", "--create", "--format", "json"]);
    assert_eq!(status, Some(1));
    let row = json_of(printed.lines().last().unwrap());
    assert_eq!(
        (&row["key"], &row["would"], &row["after"]),
        (&json!("sku:B"), &json!("count"), &json!("1"))
    );
    let (_, listed, _) = run(directory.path(), &["stock", "export"]);
    assert!(listed.ends_with("\nshop,sku:A,,13,0,0,13,13\n"), "nothing was counted: {listed}");
    let (status, _, said) = import(&["--create"]);
    assert_eq!(status, Some(1), "the third row is refused: {said}");
    let (_, listed, _) = run(directory.path(), &["stock", "export"]);
    assert!(listed.contains("\nshop,sku:A,,16.5,0,0,16.5,16.5\nshop,sku:B,,1,"), "{listed}");
}
