//! The promises of the Store.
//!
//! A case is a function over a [`Harness`]. `keeps_every_promise!` makes a test of each case for
//! a backend; a case that is not in its list is dead code, and the build fails.

#![deny(dead_code, reason = "a promise that no backend is held to is none")]

mod audits;
mod big;
mod changes;
mod closing;
mod commits;
mod dead_letter_changes;
mod dead_letters;
pub(crate) mod deciding;
mod given;
mod links;
mod listed;
mod lists;
mod names;
mod repairs;
mod service;
mod stock;
mod whole;

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use storekeeper::store::Store;
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::redis::{RedisMode, RedisOptions, RedisStore};
use uuid::Uuid;

use crate::servers::redis_user::documented_rights;
use crate::servers::{shared_cluster, shared_redis};

/// Writes a state in place of another.
type ReplaceState = dyn Fn(&[u8]) + Send + Sync;

/// A backend of its own for one case.
struct Harness {
    open: Box<dyn Fn() -> Arc<dyn Store> + Send + Sync>,
    /// Reads the stored state of the one order that a case has committed.
    stored_state: Box<dyn Fn() -> Vec<u8> + Send + Sync>,
    /// Replaces that state and the order's revision, as another release would.
    replace_state: Box<ReplaceState>,
    /// A state of a newer format.
    newer: Vec<u8>,
    /// A state that nobody writes, with somebody's address in it.
    damaged: Vec<u8>,
}

impl Harness {
    /// The embedded backend in a fresh directory.
    fn embedded() -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let file = directory.path().join("store.db");
        let replaced_file = file.clone();
        Self {
            open: Box::new(move || Arc::new(EmbeddedStore::open(directory.path()).unwrap())),
            stored_state: Box::new(move || {
                let find = "SELECT CAST(state AS BLOB) FROM orders";
                connect(&file).query_row(find, (), |row| row.get(0)).unwrap()
            }),
            replace_state: Box::new(move |state| {
                let replace = "UPDATE orders SET state = CAST(?1 AS TEXT), rev = random()";
                assert_eq!(connect(&replaced_file).execute(replace, (state,)).unwrap(), 1);
            }),
            newer: br#"{"format":3,"state":{"policy":"of another kind"}}"#.to_vec(),
            damaged: br#"{"format":2,"state":{"policy":"jane@example.com"}}"#.to_vec(),
        }
    }

    /// A prefix of its own in the Redis that all cases share, by a user with no more rights than
    /// `deploy/README.md` names.
    fn redis() -> Self {
        let server = shared_redis();
        server.set_user(&documented_rights("~*"));
        Self::in_redis(RedisOptions::single(&server.url_of_user()), || vec![server.connection()])
    }

    /// A prefix of its own in the cluster that all cases share.
    fn cluster() -> Self {
        let cluster = shared_cluster();
        let mode = RedisMode::Cluster;
        let options = RedisOptions { mode, ..RedisOptions::single(&cluster.url()) };
        Self::in_redis(options, || cluster.connections())
    }

    fn in_redis(
        options: RedisOptions,
        nodes: impl Fn() -> Vec<::redis::Connection> + Copy + Send + Sync + 'static,
    ) -> Self {
        let prefix = format!("sk-{}", Uuid::now_v7().simple());
        let order = format!("{prefix}:*:order:*");
        let replaced_order = order.clone();
        let options = RedisOptions { prefix, allow_volatile: true, ..options };
        Self {
            open: Box::new(move || Arc::new(RedisStore::start(&options).unwrap())),
            stored_state: Box::new(move || {
                let (mut node, key) = the_key(nodes(), &order);
                ::redis::cmd("HGET").arg(key).arg("state").query(&mut node).unwrap()
            }),
            replace_state: Box::new(move |state| {
                let (mut node, key) = the_key(nodes(), &replaced_order);
                let mut replace = ::redis::cmd("HSET");
                replace.arg(key).arg("state").arg(state).arg("rev").arg(7);
                assert_eq!(replace.query::<u32>(&mut node).unwrap(), 0);
            }),
            newer: b"\x03of another kind".to_vec(),
            damaged: b"\x02jane@example.com".to_vec(),
        }
    }

    /// Opens the Store, with everything that was committed before.
    fn open(&self) -> Arc<dyn Store> {
        (self.open)()
    }

    /// Lets go of the Store without closing it, as a process that is killed does.
    fn crash_and_reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        self.open()
    }
}

fn connect(file: &Path) -> Connection {
    Connection::open(file).unwrap()
}

/// The one key that matches, and the node that has it.
fn the_key(nodes: Vec<::redis::Connection>, pattern: &str) -> (::redis::Connection, String) {
    let found = nodes.into_iter().filter_map(|mut node| {
        let keys: Vec<String> = ::redis::cmd("KEYS").arg(pattern).query(&mut node).unwrap();
        assert!(keys.len() <= 1, "{keys:?}");
        keys.into_iter().next().map(|key| (node, key))
    });
    let found: Vec<_> = found.collect();
    let [found] = <[_; 1]>::try_from(found).unwrap_or_else(|found| panic!("{} keys", found.len()));
    found
}

macro_rules! cases {
    ($backend:ident; $($file:ident: $($case:ident),+;)+) => {
        mod $backend {
            $($(
                #[tokio::test]
                async fn $case() {
                    super::$file::$case(&super::Harness::$backend()).await;
                }
            )+)+
        }
    };
}

macro_rules! keeps_every_promise {
    ($backend:ident) => {
        cases! {
            $backend;
            whole:
                an_order_is_read_back_whole,
                catalogue_entries_and_receipts_are_read_back_whole,
                a_void_receipt_adds_nothing,
                entities_are_loaded_in_the_order_asked_for,
                what_was_answered_survives_a_crash,
                what_was_answered_survives_a_close,
                a_state_of_a_newer_format_is_refused_untouched,
                a_damaged_state_is_named_and_not_shown,
                the_first_policy_stays,
                a_store_that_works_says_so;
            commits:
                a_commit_on_a_stale_revision_changes_nothing,
                a_first_commit_with_a_revision_is_a_conflict,
                a_second_first_commit_is_a_conflict,
                every_commit_replaces_the_revision,
                of_racing_commits_exactly_one_is_written,
                commits_of_one_call_are_independent,
                an_ill_formed_commit_is_rejected,
                changes_of_one_item_are_told_by_their_causes,
                a_commit_compares_what_it_only_read,
                a_commit_of_several_entities_is_whole,
                an_entity_that_goes_is_absent,
                of_several_refusals_the_first_is_told,
                totals_reach_their_limit_and_do_not_pass_it,
                an_overflow_of_one_item_leaves_the_others_alone;
            links:
                links_are_read_in_the_order_asked_for,
                a_commit_compares_the_links_that_it_read,
                every_link_that_was_read_is_compared,
                a_link_that_is_removed_is_absent,
                a_link_is_read_back_as_it_was_written,
                commits_of_one_call_may_read_one_link,
                of_racing_commits_of_one_link_exactly_one_is_written,
                a_closing_compares_links_too,
                an_invoice_number_finds_all_who_bear_it;
            stock:
                a_released_hold_vanishes_and_the_item_stays,
                an_item_appears_with_its_first_commit,
                an_unknown_item_is_none,
                receipts_of_an_item_are_listed_on_pages,
                the_holds_of_an_item_add_up_to_its_counts,
                an_item_is_oversold_below_nothing,
                oversold_items_are_counted_at_the_limits,
                what_nobody_counts_is_never_oversold;
            changes:
                the_change_feed_has_no_gaps_in_any_site,
                changes_of_one_call_are_each_their_own,
                a_change_says_what_caused_it,
                what_changes_nothing_is_no_change,
                the_epoch_stays,
                a_trimmed_feed_says_where_it_begins,
                changes_of_an_item_and_since_a_time_are_found,
                a_young_change_keeps_the_old_ones_behind_it,
                a_long_feed_is_trimmed_whole,
                changes_of_one_item_follow_each_other,
                a_total_between_two_changes_is_checked,
                a_feed_is_read_from_the_middle_of_a_commit,
                a_commit_of_several_changes_is_trimmed_whole;
            lists:
                hostile_names_stay_apart,
                a_prefix_is_taken_literally,
                every_item_is_on_exactly_one_page,
                every_hold_is_on_exactly_one_page,
                every_catalogue_entry_is_on_exactly_one_page,
                every_item_of_a_prefix_is_on_exactly_one_page,
                every_link_is_on_exactly_one_page;
            listed:
                an_order_is_in_the_lists_that_its_commit_says,
                an_order_moves_in_its_lists_at_each_commit,
                an_order_that_leaves_a_list_is_gone_from_it,
                a_commit_changes_the_lists_of_all_that_it_writes,
                a_refused_commit_changes_no_list,
                every_listed_order_is_on_exactly_one_page,
                orders_of_one_time_are_listed_by_name,
                an_order_that_moves_while_pages_are_read_is_not_missed,
                a_cursor_of_another_list_is_rejected,
                the_lists_of_an_unknown_site_are_empty;
            names:
                items_are_shown_with_the_names_of_their_entries,
                names_follow_the_catalogue,
                a_prefix_of_a_name_finds_its_item_in_any_case,
                the_name_of_a_deleted_entry_gives_way,
                the_newest_name_of_a_line_is_shown_whatever_comes_first,
                the_name_of_a_line_gives_way_to_the_catalogues,
                hostile_names_of_lines_stay_whole,
                an_item_may_have_thousands_of_other_names,
                names_are_written_with_their_commit_or_not_at_all,
                items_are_found_by_their_other_names,
                every_item_with_a_lines_name_is_on_exactly_one_page;
            closing:
                a_closed_order_leaves_its_sums_and_nothing_else,
                a_closing_on_a_stale_revision_changes_nothing,
                a_closing_whose_sum_cannot_be_counted_changes_nothing,
                a_closed_order_stays_closed_and_the_watermark_rises,
                names_of_closed_orders_are_remembered_by_what_they_were,
                a_name_that_is_closed_twice_was_beside_an_id,
                a_commit_says_what_it_knows_of_its_new_names,
                of_racing_closings_exactly_one_is_written,
                a_closing_of_many_items_adds_to_each,
                an_order_is_closed_under_all_its_names;
            big:
                an_order_of_a_thousand_lines_becomes_another,
                an_order_of_sixty_four_second_names_is_one_order;
            audits:
                a_policy_is_replaced_under_the_next_revision,
                a_policy_says_who_put_it_in_force_and_when,
                an_order_of_another_policy_is_not_written,
                every_order_is_on_exactly_one_page,
                orders_are_audited_in_the_order_asked_for,
                every_hold_is_audited_beside_its_order,
                every_item_is_audited_beside_its_sums;
            repairs:
                a_repair_is_written_only_on_what_was_read,
                sums_that_were_spoiled_are_repaired_once,
                holds_become_what_their_orders_say,
                an_audit_goes_on_after_an_order_that_cannot_be_read;
            service:
                a_pause_stays_until_it_is_ended,
                the_last_heartbeat_of_each_process_is_read_back_whole,
                processes_that_are_not_heard_from_are_forgotten,
                of_too_many_processes_the_oldest_are_forgotten;
            dead_letters:
                a_parked_letter_is_read_back_byte_for_byte,
                a_letter_parked_twice_is_there_once,
                a_later_generation_takes_the_place_of_the_earlier,
                letters_are_selected_by_every_field,
                every_letter_is_on_exactly_one_page,
                an_impossible_selection_is_rejected,
                an_impossible_replay_is_rejected,
                letters_are_counted_by_reason_and_site;
            dead_letter_changes:
                an_ended_generation_is_never_parked_again,
                only_the_named_generation_and_earlier_ones_end,
                an_edit_keeps_the_first_body_whatever_comes_first,
                a_letter_that_comes_back_edited_keeps_its_first_body,
                a_letter_that_comes_back_is_as_old_as_its_first_failure,
                a_decision_that_a_replay_overtook_is_about_what_came_back,
                a_decision_about_a_letter_on_its_way_holds_when_it_comes_back,
                the_replay_of_a_letter_is_known_while_it_runs,
                a_later_edit_wins_although_a_restore_took_the_letter_back,
                letters_are_grouped,
                old_letters_expire_and_young_ones_and_replayed_ones_stay,
                a_replay_acts_on_what_was_selected_when_it_was_made,
                a_cancelled_replay_frees_what_was_not_sent,
                a_replay_counts_what_became_of_its_letters,
                a_replay_aborts_after_so_many_came_back,
                whoever_leads_no_longer_notes_nothing,
                a_new_leader_sends_again_what_has_no_outcome,
                what_was_sent_counts_although_it_is_noted_after_a_cancel,
                a_letter_on_its_way_does_not_expire_although_its_replay_is_over,
                an_edit_is_kept_as_long_as_its_letter,
                what_there_is_no_room_for_waits,
                replays_are_listed_by_age;
        }
    };
}

keeps_every_promise!(embedded);
keeps_every_promise!(redis);
keeps_every_promise!(cluster);
