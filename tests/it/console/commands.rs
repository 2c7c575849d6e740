//! The read commands.

use std::sync::Arc;

use serde_json::{Value, json};
use storekeeper::broker::{Broker, BrokerError};
use storekeeper::cli::output::Output;
use storekeeper::cli::{
    self, DeadLettersCommand, DeadLettersListArgs, ExitStatus, Format, OrdersCommand,
    PolicyCommand, StockCommand, StockListArgs,
};
use storekeeper::clock::PastTime;
use storekeeper::domain::{ProposedPolicy, Site, SourceRules, Timestamp};
use storekeeper::store::Store;

use super::{Backends, given};

/// What a command printed, without styles.
#[derive(Default)]
pub(super) struct Printed {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Printed {
    pub(super) fn output(&mut self, format: Format) -> Output<'_> {
        Output { out: &mut self.out, err: &mut self.err, format, width: None }
    }

    pub(super) fn out(&self) -> String {
        String::from_utf8(anstream::adapter::strip_bytes(&self.out).into_vec()).unwrap()
    }

    pub(super) fn err(&self) -> String {
        String::from_utf8(self.err.clone()).unwrap()
    }

    /// Whether something stands out in colour.
    fn is_coloured(&self) -> bool {
        String::from_utf8_lossy(&self.out).contains("\u{1b}[38;")
    }

    /// A field of each object that was printed; nothing for a table.
    pub(super) fn lines_or_nothing(&self, field: &str) -> Vec<String> {
        let objects = self.out();
        let objects = objects.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        objects.map(|object| object[field].as_str().unwrap().to_owned()).collect()
    }

    /// The objects of what was printed, one a line.
    pub(super) fn lines(&self) -> Vec<Value> {
        self.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The broker of commands that do without.
pub(super) async fn no_broker() -> Result<Arc<dyn Broker>, BrokerError> {
    Err(BrokerError::Blocked)
}

fn site() -> Site {
    Site::parse("shop").unwrap()
}

async fn stock(store: &dyn Store, command: StockCommand, format: Format) -> (ExitStatus, Printed) {
    let mut printed = Printed::default();
    let status =
        cli::stock::run(store, no_broker, &command, &mut printed.output(format)).await.unwrap();
    (status, printed)
}

async fn order(store: &dyn Store, name: &str, format: Format) -> (ExitStatus, Printed) {
    let command = OrdersCommand::Show { site: site(), name: name.to_owned() };
    let mut printed = Printed::default();
    let output = &mut printed.output(format);
    let now = Timestamp::from_millis(given::START_MS);
    let status = cli::orders::run(store, &command, now, output).await.unwrap();
    (status, printed)
}

async fn dead_letters(
    store: &dyn Store,
    command: DeadLettersCommand,
    format: Format,
) -> (ExitStatus, Printed) {
    let now = Timestamp::from_millis(given::START_MS + 3 * 3_600_000);
    let mut printed = Printed::default();
    let output = &mut printed.output(format);
    let status =
        cli::dead_letters::run(store, &SourceRules::default(), no_broker, &command, now, output)
            .await
            .unwrap();
    (status, printed)
}

async fn policy(store: &dyn Store, format: Format) -> (ExitStatus, Printed) {
    let mut printed = Printed::default();
    let output = &mut printed.output(format);
    let status = cli::policy::run(store, &PolicyCommand::Show, &ProposedPolicy::default(), output)
        .await
        .unwrap();
    (status, printed)
}

fn all() -> DeadLettersListArgs {
    DeadLettersListArgs { reason: None, site: None, older_than: None, id: Vec::new() }
}

#[tokio::test]
async fn stock_list_prints_a_table_of_all_sites() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    given::goods(&*backends.store, "alpha", "variation:V1", 1000).await;
    let list = StockCommand::List(StockListArgs::default());
    let (status, printed) = stock(&*backends.store, list, Format::Table).await;
    assert_eq!(status, ExitStatus::Done);
    insta::assert_snapshot!(printed.out(), @r#"
    SITE   KEY           NAME      RECEIVED  COMMITTED  FULFILLED  ON HAND  AVAILABLE
    alpha  variation:V1  -             1000          0          0     1000       1000
    shop   product:mug   Blue mug        10         12          0       10         -2
    shop   sku:S-1       -                3          0          0        3          3
    "#);
}

#[tokio::test]
async fn what_is_not_tracked_says_so_in_lists_and_is_no_oversale() {
    let backends = Backends::open();
    let store = &*backends.store;
    given::policy(store).await;
    let gift = json!({"id": "gift", "name": "Gift card", "managed_inventory": false});
    given::hook(store, "ECOMM_PRODUCT_CREATED", (1, 0), &gift).await;
    given::order(store, "shop", "9", "gift", 3).await;
    let list = StockCommand::List(StockListArgs::default());
    let (_, printed) = stock(store, list, Format::Table).await;
    let row = printed.out().lines().nth(1).unwrap().to_owned();
    assert!(row.ends_with("-3  not tracked"), "{row}");
    assert!(!printed.is_coloured(), "{}", printed.out());
    let show = StockCommand::Show { site: site(), key: "gift".to_owned() };
    let (_, printed) = stock(store, show, Format::Table).await;
    assert!(printed.out().contains("tracked                   no"), "{}", printed.out());
}

#[tokio::test]
async fn json_lists_are_the_apis_items_one_a_line() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    given::dead_letters(&*backends.store).await;
    let console = backends.serve_console().await;
    let list = StockCommand::List(StockListArgs { site: Some(site()), ..StockListArgs::default() });
    let (_, printed) = stock(&*backends.store, list, Format::Json).await;
    let answered = console.json("/v1/sites/shop/stock").await;
    assert_eq!(&printed.lines(), answered["items"].as_array().unwrap());
    let list = DeadLettersCommand::List(all());
    let (_, printed) = dead_letters(&*backends.store, list, Format::Json).await;
    let answered = console.json("/v1/dead-letters").await;
    assert_eq!(&printed.lines(), answered["items"].as_array().unwrap());
}

#[tokio::test]
async fn a_list_goes_on_past_one_page() {
    let backends = Backends::open();
    for number in 0..501 {
        given::goods(&*backends.store, "shop", &format!("sku:{number:03}"), 1).await;
    }
    let list =
        || StockCommand::List(StockListArgs { site: Some(site()), ..StockListArgs::default() });
    let (_, printed) = stock(&*backends.store, list(), Format::Json).await;
    assert_eq!(printed.lines().len(), 501);
    let (_, printed) = stock(&*backends.store, list(), Format::Table).await;
    assert_eq!(printed.out().lines().count(), 502, "one head, and all items");
}

#[tokio::test]
async fn an_exported_name_is_no_formula() {
    let backends = Backends::open();
    given::product(&*backends.store, "shop", "mug", "=HYPERLINK(\"x\")").await;
    given::goods(&*backends.store, "shop", "product:mug", 1).await;
    let (_, printed) = stock(&*backends.store, StockCommand::Export, Format::Table).await;
    let row = printed.out().lines().nth(1).unwrap().to_owned();
    assert_eq!(row, r#"shop,product:mug,"'=HYPERLINK(""x"")",1,0,0,1,1"#);
}

#[tokio::test]
async fn an_empty_list_is_no_failure_and_says_so() {
    let backends = Backends::open();
    let list = StockCommand::List(StockListArgs::default());
    let (status, printed) = stock(&*backends.store, list, Format::Table).await;
    assert_eq!((status, printed.out().as_str()), (ExitStatus::Done, ""));
    assert!(printed.err().starts_with("No stock items. An item appears with the first order"));
}

#[tokio::test]
async fn stock_show_prints_the_item_and_its_holds() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let show = || StockCommand::Show { site: site(), key: "product:mug".to_owned() };
    let (status, printed) = stock(&*backends.store, show(), Format::Table).await;
    assert_eq!(status, ExitStatus::Done);
    insta::assert_snapshot!(printed.out(), @r#"
    site                      shop
    key                       product:mug
    name                      Blue mug
    received                  10
    committed                 12
    fulfilled                 0
    on hand                   10
    available                 -2
    closed orders             0, fulfilled 0
    queued, all sites         not known
    retrying, all sites       not known
    dead letters of the site  0

    Received by
    REFERENCE   ADDS  AS       AT                        BY  REASON
    delivery-1   +10  receipt  2023-11-14T22:13:20.000Z  -   -

    Held by
    ORDER    COMMITTED  FULFILLED  STATUS     WHY
    id:1001         12          0  PROCESSED  promised

    Last changes
    AT                        DUE TO      RECEIVED  COMMITTED  FULFILLED  ON HAND AFTER  AVAILABLE AFTER
    2023-11-14T22:13:20.250Z  id:1001            0        +12          0             10               -2
    2023-11-14T22:13:20.000Z  delivery-1       +10          0          0             10               10
    "#);
    let console = backends.serve_console().await;
    let mut answered = console.json("/v1/sites/shop/stock/product:mug").await;
    let (_, printed) = stock(&*backends.store, show(), Format::Json).await;
    // Nobody answers the command for the broker.
    answered["pending"]["queued"] = Value::Null;
    answered["pending"]["retrying"] = Value::Null;
    assert_eq!(printed.lines(), [answered]);
}

#[tokio::test]
async fn orders_show_prints_holds_lines_and_timeline() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let (status, printed) = order(&*backends.store, "id:1001", Format::Table).await;
    assert_eq!(status, ExitStatus::Done);
    let out = printed.out();
    let shown: Vec<&str> = out.lines().filter(|line| !line.starts_with("revision")).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    site      shop
    order     id:1001
    status    PROCESSED
    mode      LIVE
    left      no
    The goods have not left yet, so the order's lines are committed.
    1 line has no stock key and holds nothing

    Holds
    KEY          COMMITTED  FULFILLED
    product:mug         12          0

    Lines as of 2023-11-14T22:13:20.000Z
    KEY          QUANTITY  NAME  NAMES
    -                   1  -
    product:mug        12  -     id=L1 product_id=mug

    Timeline, highest version first
    EVENT TIME                RECEIVED                  EVENT                STATUS     OUTCOME  MESSAGE
    2023-11-14T22:13:20.000Z  2023-11-14T22:13:20.250Z  ECOMM_ORDER_UPDATED  PROCESSED  applied  00000000-0000-0000-0000-000000000001
    "#);
    let console = backends.serve_console().await;
    let (_, printed) = order(&*backends.store, "id:1001", Format::Json).await;
    assert_eq!(printed.lines(), [console.json("/v1/sites/shop/orders/id:1001").await]);
}

#[tokio::test]
async fn an_order_that_waits_for_its_first_snapshot_says_so() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let (_, printed) = order(&*backends.store, "store-order:77/5", Format::Table).await;
    let out = printed.out();
    assert!(out.contains("waits for its first snapshot"), "{out}");
    assert!(out.contains("status    PAID AWAITING_PROCESSING"), "{out}");
    assert!(out.contains("Holds\nnothing\n"), "{out}");
}

#[tokio::test]
async fn what_is_not_there_is_not_held() {
    let backends = Backends::open();
    let store = &*backends.store;
    given::goods(store, "shop", "sku:S-1", 3).await;
    let show = StockCommand::Show { site: site(), key: "sku:none".to_owned() };
    let letter = DeadLettersCommand::Show { id: given::message(1) };
    for ((status, printed), sentence) in [
        (stock(store, show, Format::Table).await, "sku:none of shop was never counted"),
        (
            order(store, "id:1", Format::Table).await,
            "no event of the order \"id:1\" of shop was applied",
        ),
        (
            dead_letters(store, letter, Format::Table).await,
            "no message 00000000-0000-0000-0000-000000000001 is parked",
        ),
        (
            policy(store, Format::Json).await,
            "no policy is in force yet; the first `storekeeper serve` records its own",
        ),
    ] {
        assert_eq!((status, printed.out().as_str()), (ExitStatus::NotHeld, ""));
        assert_eq!(printed.err(), format!("{sentence}\n"));
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_for_a_program() {
    let backends = Backends::open();
    let store = &*backends.store;
    given::goods(store, "shop", "sku:S-1", 3).await;
    let show = StockCommand::Show { site: site(), key: "sku:none".to_owned() };
    let letter = DeadLettersCommand::Show { id: given::message(1) };
    for ((status, printed), code) in [
        (stock(store, show, Format::Json).await, "stock.unknown"),
        (order(store, "id:1", Format::Json).await, "order.unknown"),
        (dead_letters(store, letter, Format::Json).await, "dead_letter.unknown"),
    ] {
        assert_eq!((status, printed.out().as_str()), (ExitStatus::NotHeld, ""));
        let problem: Value = serde_json::from_str(&printed.err()).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &404.into()));
        assert_eq!(
            (&problem["type"], &problem["title"]),
            (&"about:blank".into(), &"Not Found".into())
        );
    }
}

#[tokio::test]
async fn dead_letters_list_prints_what_the_filters_select() {
    let backends = Backends::open();
    given::dead_letters(&*backends.store).await;
    let age = PastTime::parse("1h").unwrap();
    let list = DeadLettersCommand::List(DeadLettersListArgs { older_than: Some(age), ..all() });
    let (status, printed) = dead_letters(&*backends.store, list, Format::Table).await;
    assert_eq!(status, ExitStatus::Done);
    insta::assert_snapshot!(printed.out(), @r#"
    FAILED                    ID                                    REASON           SITE  EVENT  ORDER  ATTEMPTS  REPLAYS  EDITED  DETAIL
    2023-11-14T23:13:21.000Z  00000000-0000-0000-0000-000000000001  decode.not_json  -     -      -             1        0  -       line 1 column 9: unexpected end
    "#);
}

#[tokio::test]
async fn dead_letters_groups_counts_those_of_a_kind() {
    let backends = Backends::open();
    let groups = || DeadLettersCommand::Groups;
    let (_, printed) = dead_letters(&*backends.store, groups(), Format::Table).await;
    let none = "No dead letters: every webhook so far was applied or is still queued.\n";
    assert_eq!((printed.out().as_str(), printed.err().as_str()), ("", none));
    given::dead_letters(&*backends.store).await;
    let (_, printed) = dead_letters(&*backends.store, groups(), Format::Table).await;
    insta::assert_snapshot!(printed.out(), @r#"
    DEAD LETTERS  REASON                   SITE  EVENT                FIRST FAILED              LAST FAILED
               2  decode.not_json          -     -                    2023-11-14T23:13:21.000Z  2023-11-15T01:13:21.000Z
               1  decode.invalid_quantity  shop  ECOMM_ORDER_CREATED  2023-11-15T00:13:21.000Z  2023-11-15T00:13:21.000Z
    "#);
    let console = backends.serve_console().await;
    let (_, printed) = dead_letters(&*backends.store, groups(), Format::Json).await;
    let answered = console.json("/v1/dead-letters/groups").await;
    assert_eq!(&printed.lines(), answered["items"].as_array().unwrap());
}

#[tokio::test]
async fn a_dry_run_says_that_nothing_would_be_added() {
    let backends = Backends::open();
    given::dead_letters(&*backends.store).await;
    let replay = DeadLettersCommand::Replay(cli::DeadLettersReplayArgs {
        selection: all(),
        all: true,
        dry_run: true,
        rate: None,
        ramp: None,
        abort_after: None,
    });
    let (_, printed) = dead_letters(&*backends.store, replay, Format::Table).await;
    let out = printed.out();
    assert!(out.ends_with("What it would add to the stock\nnothing\n"), "{out}");
}

#[tokio::test]
async fn dead_letters_show_prints_a_body_that_cannot_steer_the_terminal() {
    let backends = Backends::open();
    given::dead_letters(&*backends.store).await;
    let show = |number| DeadLettersCommand::Show { id: given::message(number) };
    let (_, printed) = dead_letters(&*backends.store, show(2), Format::Table).await;
    insta::assert_snapshot!(printed.out(), @r#"
    id           00000000-0000-0000-0000-000000000002
    reason       decode.invalid_quantity
    detail       data.items[0].quantity: found a list
    site         shop
    event        ECOMM_ORDER_CREATED
    order        id:9
    failed       2023-11-15T00:13:21.000Z
    attempts     1
    replays      0
    type         duda.webhook
    received     2023-11-15T00:13:20.000Z
    source       duda
    traceparent  -

    Body, 21 bytes
    {"name": "�[31mJane"}
    "#);
    let (_, printed) = dead_letters(&*backends.store, show(3), Format::Table).await;
    assert!(printed.out().ends_with("Body, 2 bytes, as base64\n//4=\n"), "{}", printed.out());
    let console = backends.serve_console().await;
    let (_, printed) = dead_letters(&*backends.store, show(2), Format::Json).await;
    let path = format!("/v1/dead-letters/{}", given::message(2));
    assert_eq!(printed.lines(), [console.json(&path).await]);
}

#[tokio::test]
async fn policy_show_prints_the_policy_by_its_settings() {
    let backends = Backends::open();
    given::policy(&*backends.store).await;
    let (status, printed) = policy(&*backends.store, Format::Table).await;
    assert_eq!(status, ExitStatus::Done);
    insta::assert_snapshot!(printed.out(), @r#"
    revision              1
    put in force by       anna
    put in force at       2023-11-14T22:13:20.000Z
    stock.key_precedence  variation, product, external-variation, external-product, sku, line
    orders.test_mode      ignore
    orders.cancelled      release-unless-shipped
    orders.deleted        release-unless-shipped
    refunds.restock       unshipped
    "#);
    let (_, printed) = policy(&*backends.store, Format::Json).await;
    assert_eq!(printed.lines()[0]["orders.cancelled"], "release-unless-shipped");
}
