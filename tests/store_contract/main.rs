//! What every store promises, asked of both databases.
//!
//! PostgreSQL is looked for where `GREENROOM_TEST_POSTGRES_URL` says; without it those tests fail.

mod deploys;
mod inbox;
mod lanes;
#[path = "../support/postgres.rs"]
mod postgres_server;
mod restart;
mod sample;
mod stages;

use std::path::PathBuf;
use std::sync::Arc;

use greenroom::port::Store;
use tempfile::TempDir;

/// A database of one test.
pub(crate) struct Place {
    url: String,
    folder: Option<TempDir>,
}

impl Place {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { url: format!("sqlite://{}/greenroom.db", folder.path().display()), folder: Some(folder) }
    }

    async fn postgres() -> Self {
        Self { url: postgres_server::fresh_database().await, folder: None }
    }

    /// A file of the SQLite database.
    fn file(&self, name: &str) -> PathBuf {
        self.folder.as_ref().expect("SQLite's place has a folder").path().join(name)
    }

    /// A store on this database; more than one may be open.
    async fn open(&self) -> Arc<dyn Store> {
        greenroom::store::open(&self.url).await.expect("the store opens")
    }
}

macro_rules! contract {
    ($($module:ident::$test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                crate::$module::$test(crate::Place::sqlite()).await.expect("no call fails");
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                crate::$module::$test(crate::Place::postgres().await).await.expect("no call fails");
            })+
        }
    };
}

contract![
    inbox::a_delivery_is_taken_once,
    inbox::a_known_body_under_another_id_is_a_duplicate,
    inbox::a_row_that_failed_is_taken_again,
    inbox::many_at_once_are_all_told_apart,
    inbox::events_come_back_whole_and_in_order,
    inbox::handled_rows_are_forgotten_in_time,
    lanes::a_ring_makes_a_lane_due_once,
    lanes::the_longest_due_is_claimed_first,
    lanes::an_expired_lease_can_be_claimed_and_its_holder_is_stale,
    lanes::a_ring_during_the_work_is_not_lost,
    lanes::a_released_lane_keeps_its_wish_and_its_attempts,
    lanes::a_lane_is_at_rest_once_all_that_was_asked_is_looked_at,
    lanes::never_two_holders_of_one_lane,
    stages::intake_is_all_or_nothing_and_fenced,
    stages::goal_and_status_have_one_writer_each,
    stages::surfaces_are_kept_by_their_key,
    stages::a_stale_holder_touches_nothing,
    stages::texts_from_outside_come_back,
    deploys::a_running_deploy_is_opened_once,
    deploys::the_log_keeps_its_order_and_refuses_a_taken_number,
    deploys::one_bad_write_spoils_no_other,
    deploys::the_end_of_a_deploy_is_one_write,
    restart::everything_acknowledged_is_there_after_a_restart,
    restart::a_server_that_starts_finds_lanes_free_only_where_it_is_alone,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_files_holds_what_was_acknowledged() {
    restart::a_copy_of_the_files_holds_what_was_acknowledged().await.expect("no call fails");
}
