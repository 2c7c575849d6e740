//! Commands that are given the name of a site: a mistyped one is told, and is no empty shop.

use storekeeper::cli::audit::AuditArgs;
use storekeeper::cli::changes::ChangesArgs;
use storekeeper::cli::orders::OrdersListArgs;
use storekeeper::cli::{self, ExitStatus, Format, OrdersCommand, StockCommand, StockListArgs};
use storekeeper::clock;
use storekeeper::domain::Site;
use storekeeper::store::Store;

use super::commands::{Printed, no_broker};
use super::{Backends, given};

fn site(name: &str) -> Site {
    Site::parse(name).unwrap()
}

/// What every command that is given this site says; each must have found nothing.
async fn said(store: &dyn Store, name: &str, format: Format) -> Vec<String> {
    let stock = async |command: StockCommand| {
        let mut printed = Printed::default();
        let status =
            cli::stock::run(store, no_broker, &command, &mut printed.output(format)).await.unwrap();
        (status, printed)
    };
    let audit = async {
        let mut printed = Printed::default();
        let args = AuditArgs { site: Some(site(name)), ..AuditArgs::default() };
        let status = cli::audit::run(store, &args, &mut printed.output(format)).await.unwrap();
        (status, printed)
    };
    let changes = async {
        let mut printed = Printed::default();
        let args = ChangesArgs { site: Some(site(name)), ..ChangesArgs::default() };
        let status = cli::changes::run(store, &args, clock::now(), &mut printed.output(format))
            .await
            .unwrap();
        (status, printed)
    };
    let order = async {
        let mut printed = Printed::default();
        let show = OrdersCommand::Show { site: site(name), name: "1001".to_owned() };
        let output = &mut printed.output(format);
        let status = cli::orders::run(store, &show, clock::now(), output).await.unwrap();
        (status, printed)
    };
    let orders = async {
        let mut printed = Printed::default();
        let args = OrdersListArgs { site: Some(site(name)), ..OrdersListArgs::default() };
        let output = &mut printed.output(format);
        let list = OrdersCommand::List(args);
        let status = cli::orders::run(store, &list, clock::now(), output).await.unwrap();
        (status, printed)
    };
    let show = StockCommand::Show { site: site(name), key: "S-1".to_owned() };
    let all = [
        stock(StockCommand::List(StockListArgs {
            site: Some(site(name)),
            ..StockListArgs::default()
        }))
        .await,
        stock(show).await,
        order.await,
        orders.await,
        audit.await,
        changes.await,
    ];
    let sentences = all.into_iter().map(|(status, printed)| {
        assert_eq!((status, printed.out().as_str()), (ExitStatus::NotHeld, ""));
        printed.err()
    });
    sentences.collect()
}

#[tokio::test]
async fn a_mistyped_site_is_not_found_and_the_known_ones_are_named() {
    let backends = Backends::open();
    let store = &*backends.store;
    let sentence = "no such site: shpo; a site is known from its first webhook or receipt on\n";
    assert_eq!(said(store, "shpo", Format::Table).await, [sentence; 6]);
    given::shop(store).await;
    given::goods(store, "another", "sku:1", 1).await;
    let sentence = "no such site: shpo; there are: another, shop";
    assert_eq!(said(store, "shpo", Format::Table).await, [&*format!("{sentence}\n"); 6]);
    for said in said(store, "shpo", Format::Json).await {
        let problem: serde_json::Value = serde_json::from_str(&said).unwrap();
        let expected = ("site.unknown", sentence);
        assert_eq!(
            (&problem["code"], &problem["detail"]),
            (&expected.0.into(), &expected.1.into())
        );
    }
    for number in 0..11 {
        given::goods(store, &format!("shop-{number:02}"), "sku:1", 1).await;
    }
    for sentence in said(store, "shpo", Format::Table).await {
        assert!(sentence.ends_with("shop-06, shop-07, and 3 more\n"), "{sentence}");
    }
}

#[tokio::test]
async fn a_site_without_stock_is_known_and_its_lists_are_empty() {
    let backends = Backends::open();
    given::product(&*backends.store, "shop", "mug", "Blue mug").await;
    let mut printed = Printed::default();
    let list =
        StockCommand::List(StockListArgs { site: Some(site("shop")), ..StockListArgs::default() });
    let output = &mut printed.output(Format::Table);
    let status = cli::stock::run(&*backends.store, no_broker, &list, output).await.unwrap();
    assert_eq!((status, printed.out().as_str()), (ExitStatus::Done, ""));
    assert!(printed.err().starts_with("No stock items. "));
}
