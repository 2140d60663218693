//! What every store promises, asked of both databases, and of a state in an object and in a folder.
//!
//! PostgreSQL is looked for where `GREENROOM_TEST_POSTGRES_URL` says, and MiniStack where
//! `GREENROOM_TEST_MINISTACK` does; without them those tests fail.

mod audit;
mod deploys;
#[cfg(feature = "aws")]
#[path = "../support/hang.rs"]
mod hang;
mod inbox;
mod lanes;
#[cfg(feature = "aws")]
#[path = "../support/ministack.rs"]
mod ministack;
mod moved;
#[path = "../support/objects.rs"]
mod objects;
#[cfg(feature = "aws")]
mod on_aws;
#[path = "../support/postgres.rs"]
mod postgres_server;
mod receipts;
mod restart;
mod sample;
mod slots;
mod stages;
mod state;
mod turns;
mod walls;
mod witnesses;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use greenroom::model::{RepoId, StateLocation};
use greenroom::port::{Objects, Store};
use greenroom::store::{OpenError, StateSettings};
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions as _, Executor as _};
use tempfile::TempDir;

/// Where a state lies in these tests.
pub(crate) const BUCKET: &str = "s3://greenroom-state-1-eu-west-1/some/where";
pub(crate) const REPO: RepoId = RepoId(774);
pub(crate) const KEY: &str = "some/where/774.db";

/// A store over a state in these objects.
pub(crate) async fn open_object(objects: Arc<dyn Objects>) -> Result<Arc<dyn Store>, OpenError> {
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let writer = format!("writer-{}", OPENED.fetch_add(1, Ordering::Relaxed));
    let location = BUCKET.parse().expect("a place");
    greenroom::store::open_state(StateSettings { location, repo: REPO, objects: Some(objects), writer, scratch: None })
        .await
}

/// A database of one test.
pub(crate) struct Place {
    url: String,
    folder: Option<TempDir>,
    state: Option<State>,
}

/// A database that is a state.
enum State {
    Object(Arc<dyn Objects>),
    Folder,
}

impl Place {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { url: format!("sqlite://{}/greenroom.db", folder.path().display()), folder: Some(folder), state: None }
    }

    fn object() -> Self {
        Self { url: String::new(), folder: None, state: Some(State::Object(Arc::<objects::Memory>::default())) }
    }

    fn folder() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/states/{}.db", folder.path().display(), REPO.0);
        Self { url, folder: Some(folder), state: Some(State::Folder) }
    }

    async fn postgres() -> Self {
        Self { url: postgres_server::fresh_database().await, folder: None, state: None }
    }

    /// A file of the SQLite database.
    fn file(&self, name: &str) -> PathBuf {
        self.folder.as_ref().expect("SQLite's place has a folder").path().join(name)
    }

    /// The database itself, for what no call does.
    async fn by_hand(&self) -> AnyConnection {
        let options: AnyConnectOptions = self.url.parse().expect("an address");
        options.connect().await.expect("the database answers")
    }

    /// Ends every connection that others have to it, and waits until they are gone.
    async fn cut_connections(&self) {
        let cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.by_hand().await.execute(cut).await.expect("its owner may do that");
    }

    /// A store on this database; more than one may be open.
    async fn open(&self) -> Arc<dyn Store> {
        let opened = match &self.state {
            None => greenroom::store::open(&self.url).await,
            Some(State::Object(objects)) => open_object(Arc::clone(objects)).await,
            Some(State::Folder) => {
                let location = StateLocation::Folder(self.file("states"));
                let settings =
                    StateSettings { location, repo: REPO, objects: None, writer: String::new(), scratch: None };
                greenroom::store::open_state(settings).await
            }
        };
        opened.expect("the store opens")
    }
}

/// Each list on some kinds of places.
macro_rules! contract {
    ($($kind:ident: $place:expr),+; $tests:tt) => {
        $(mod $kind {
            use super::*;
            on! { $place; $tests }
        })+
    };
}

macro_rules! on {
    ($place:expr; [$($module:ident::$test:ident),+ $(,)?]) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            crate::$module::$test($place).await.expect("no call fails");
        })+
    };
}

/// What is promised wherever the store lies.
macro_rules! promises {
    ($($module:ident::$test:ident),+ $(,)?) => {
        contract! {
            sqlite: Place::sqlite(), postgres: Place::postgres().await, object: Place::object(), folder: Place::folder();
            [$($module::$test),+]
        }

        #[cfg(feature = "aws")]
        const PROMISES: &[(&str, on_aws::Promise)] =
            &[$((stringify!($test), |place| Box::pin(crate::$module::$test(place)))),+];
    };
}

promises! {
    slots::the_lowest_free_number_is_leased_and_kept,
    walls::a_repository_keeps_its_key_and_gives_it_to_nobody,
    walls::what_is_heard_in_passing_moves_no_name,
    walls::a_name_that_came_back_is_noticed,
    walls::many_at_once_on_two_stores_agree_on_who_is_who,
    walls::a_host_is_one_stages_until_that_gives_it_back,
    walls::many_who_want_one_host_get_one_owner,
    slots::many_at_once_on_two_stores_get_different_numbers,
    inbox::a_delivery_is_taken_once,
    inbox::an_equal_body_under_another_id_rings_as_well,
    inbox::a_row_that_failed_is_taken_again,
    inbox::many_at_once_are_all_told_apart,
    inbox::events_come_back_whole_and_in_order,
    inbox::handled_rows_are_forgotten_in_time,
    lanes::a_ring_makes_a_lane_due_once,
    lanes::the_longest_due_is_claimed_first,
    lanes::a_claim_among_some_takes_none_of_the_others,
    lanes::an_expired_lease_can_be_claimed_and_its_holder_is_stale,
    lanes::a_ring_during_the_work_is_not_lost,
    lanes::a_released_lane_keeps_its_wish_and_its_attempts,
    lanes::a_lane_is_at_rest_once_all_that_was_asked_is_looked_at,
    lanes::never_two_holders_of_one_lane,
    turns::thirty_pull_requests_leave_another_repository_its_turn,
    turns::who_holds_the_fewest_goes_first_and_then_who_has_waited_longest,
    turns::a_repository_holds_no_more_than_its_share_whichever_server_asks,
    turns::a_lease_that_is_over_takes_no_share,
    turns::the_server_s_own_duties_each_have_their_turn,
    turns::nobody_waits_for_ever,
    stages::intake_is_all_or_nothing_and_fenced,
    stages::goal_and_status_have_one_writer_each,
    stages::a_lock_on_a_repository_is_its_own_lanes_to_change,
    stages::surfaces_are_kept_by_their_key,
    stages::a_stale_holder_touches_nothing,
    stages::texts_from_outside_come_back,
    witnesses::the_first_sighting_counts_and_a_head_can_come_back,
    witnesses::who_pushed_a_head_is_kept_also_where_it_was_seen_before,
    witnesses::only_the_repositorys_own_lane_witnesses,
    witnesses::old_heads_are_forgotten_but_never_the_newest,
    audit::entries_come_back_with_their_places_in_the_chain,
    audit::two_servers_never_continue_from_the_same_entry,
    receipts::a_comment_has_one_receipt_and_a_repeat_changes_nothing,
    receipts::what_is_due_is_shown_once_and_then_waits_for_its_stage,
    receipts::only_who_holds_the_repository_writes_receipts,
    receipts::settled_receipts_are_forgotten_in_time,
    deploys::a_running_deploy_is_opened_once,
    deploys::the_log_keeps_its_order_and_refuses_a_taken_number,
    deploys::an_intent_is_written_only_while_nobody_rings,
    deploys::one_bad_write_spoils_no_other,
    deploys::the_end_of_a_deploy_is_one_write,
    restart::everything_acknowledged_is_there_after_a_restart,
}

/// What somebody does by hand wants a database to lay hands on.
mod by_hand {
    use super::Place;

    contract! { sqlite: Place::sqlite(), postgres: Place::postgres().await, folder: Place::folder(); [
        walls::hosts_of_before_are_taken_down_once_whoever_comes_first,
        walls::a_stage_is_named_by_its_key_also_when_its_row_is_broken,
        lanes::a_claim_takes_no_more_than_it_answers,
        audit::what_was_done_by_hand_is_found_and_named,
        audit::what_was_done_by_hand_is_not_covered_by_what_comes_after,
        audit::what_an_older_version_wrote_is_taken_into_the_chain,
        audit::what_receipts_noted_shows_a_record_that_was_cut,
    ] }
}

mod servers {
    use super::Place;

    contract! { sqlite: Place::sqlite(), postgres: Place::postgres().await; [
        restart::a_server_that_starts_finds_lanes_free_only_where_it_is_alone,
    ] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_files_holds_what_was_acknowledged() {
    restart::a_copy_of_the_files_holds_what_was_acknowledged().await.expect("no call fails");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_are_replaced() {
    restart::lost_connections_are_replaced().await.expect("no call fails");
}
