//! What was answered is committed: a commit that fails is an error of each method that writes, and leaves nothing.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use access_log::Records;
use accounts::user::Right;
use accounts::{ApiKeys, Users};
use database::Postgres;
use shared_log::Head;
use task_data::store::{Leases, NewTask, Outcomes, PaidCalls, StoreError, TableRows, Tasks, Upkeep};
use task_data::task::WorkerId;

use crate::api_keys::new_key;
use crate::records::new_records;
use crate::samples::*;
use crate::support::{psql, servers};
use crate::table_rows::{sent, unkept};
use crate::users::{added, new_user};

/// The methods that only read. Every other one of the ports must be tried here.
const READS: [&str; 29] = [
    "account",
    "accounts",
    // It ends connections.
    "close",
    "count_records",
    "find",
    "free_bytes",
    "holdings",
    "kept_numbers",
    "kept_rows",
    "keyed",
    "keys_of",
    "last_attempt",
    "list",
    "live_leases",
    "log_head",
    "login",
    "newer_kinds",
    "now",
    "pending",
    "published_before",
    "record_place",
    "record_span",
    "records",
    "stats",
    "stuck",
    "table_progress",
    "unlogged",
    "unqueued",
    "user_of_key",
];

/// A trigger on each table lets the commit fail when it is armed.
const TRIGGERS: &str = "
    CREATE TABLE late_failure (armed bool);
    INSERT INTO late_failure VALUES (false);
    CREATE FUNCTION fail_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF (SELECT armed FROM late_failure) THEN RAISE EXCEPTION 'too late' USING ERRCODE = 'disk_full'; END IF;
        RETURN NULL;
    END $$;
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables
            WHERE schemaname = 'public' AND tablename NOT IN ('late_failure', '__diesel_schema_migrations') LOOP
            EXECUTE format('CREATE CONSTRAINT TRIGGER fails_late AFTER INSERT OR UPDATE OR DELETE ON %I \
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail_late()', name);
        END LOOP;
    END $$";

/// The rows of all tables, in one text.
const ROWS: &str = "SELECT string_agg(query_to_xml(format('TABLE %I', tablename), true, true, '')::text, '' ORDER BY tablename) \
    FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'late_failure'";

struct Late {
    url: String,
    store: Postgres,
    tried: BTreeSet<String>,
}

impl Late {
    fn rows(&self) -> String {
        psql(&self.url, ROWS)
    }

    /// Tries a method with a commit that fails, then with one that doesn't: only that one writes something.
    async fn writes<T: Debug>(
        &mut self,
        method: &str,
        write: impl AsyncFn(&Postgres) -> Result<T, StoreError>,
    ) -> T {
        let before = self.rows();
        psql(&self.url, "UPDATE late_failure SET armed = true");
        let outcome = write(&self.store).await;
        psql(&self.url, "UPDATE late_failure SET armed = false");
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{method}: {outcome:?}");
        assert!(self.rows() == before, "{method} has left something");

        let answer = write(&self.store).await.unwrap();
        assert!(self.rows() != before, "{method} has written nothing");
        self.tried.insert(method.to_owned());
        answer
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All methods of the ports, as their source has them.
fn methods() -> BTreeSet<String> {
    let crates = ["task-data/src/store", "crates/accounts/src/store", "crates/access-log/src/store"];
    let mut files = vec![root().join("crates/database/src/upkeep.rs")];
    for folder in crates {
        files.extend(std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    let mut methods = BTreeSet::new();
    // The adapters' have the same names.
    for path in files.into_iter().filter(|path| path.is_file()) {
        let source = std::fs::read_to_string(path).unwrap();
        let names = source.lines().filter_map(|line| line.trim_start().strip_prefix("async fn "));
        methods.extend(names.filter_map(|name| Some(name.split_once('(')?.0.to_owned())));
    }
    methods
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_is_an_error_of_each_method_that_writes() {
    let url = servers().database();
    let store = Postgres::new(&url).unwrap();
    store.migrate().await.unwrap();
    psql(&url, TRIGGERS);
    let mut late = Late { url, store, tried: BTreeSet::new() };

    let new = new_task();
    late.writes("insert", async |store| store.insert(vec![new.clone()], NOW).await).await;
    late.writes("due", async |store| store.due(10, LATER).await).await;
    late.writes("due_again", async |store| store.due_again(vec![new.id]).await).await;
    late.writes("mark_published", async |store| store.mark_published(vec![ticket(new.id, 0)]).await).await;
    late.writes("cancel", async |store| store.cancel(new.id, RULES).await).await;

    let id = WorkerId::random();
    late.writes("register", async |store| store.register(id, "a worker".to_owned(), LATER).await).await;
    late.writes("beat", async |store| store.beat(id, LATER).await).await;
    let task = pending(&late.store).await;
    late.writes("claim", async |store| store.claim(vec![task], id).await).await;
    let bob = added(&late.store, "bob", &[Right::Paid]).await;
    let paid = NewTask { owner: Some(bob.id), ..new_task() };
    late.store.insert(vec![paid.clone()], NOW).await.unwrap();
    let held = claim(&late.store, paid.id, id).await;
    late.writes("record_paid_call", async |store| store.record_paid_call(held.id, held.attempt, None).await)
        .await;
    late.writes("withdraw_paid_call", async |store| store.withdraw_paid_call(held.id, held.attempt).await)
        .await;
    let row = unkept(&held, sent(1, Some(201)));
    late.writes("keep_rows", async |store| store.keep_rows(vec![row.clone()]).await).await;
    let back = charged_return(&held, LATER);
    late.writes("hand_back", async |store| store.hand_back(vec![back.clone()], RULES).await).await;
    let done = success(&running(&late.store).await);
    late.writes("complete", async |store| store.complete(vec![done.clone()], RULES).await).await;
    late.writes("retire", async |store| store.retire(id).await).await;
    late.writes("return_lost", async |store| store.return_lost(RULES).await).await;
    late.writes("begin_alone", async |store| store.begin_alone().await).await;

    let head = |committed| Head { generation: 1, dev: 0, ino: 0, committed, tail_check: 0 };
    let log = || "a.log".to_owned();
    late.writes("begin_log", async |store| store.begin_log(log(), None, head(0)).await).await;
    late.writes("commit_log", async |store| store.commit_log(log(), vec![done.id], head(1)).await).await;

    let records = new_records(&["127.0.0.1 GET / 200", "::1 GET / 200"]);
    late.writes("append_records", async |store| store.append_records(records.clone()).await).await;

    let ada = new_user("ada", &[Right::Admin]).await;
    late.writes("add_user", async |store| store.add_user(ada.clone()).await).await;
    late.writes("grant", async |store| store.grant(ada.user.id, Right::Paid).await).await;
    late.writes("revoke", async |store| store.revoke(ada.user.id, Right::Admin).await).await;
    let key = new_key(&ada.user, "a key");
    late.writes("add_key", async |store| store.add_key(key.clone(), 3).await).await;
    late.writes("remove_key", async |store| store.remove_key(ada.user.id, key.id).await).await;
    let hash = || ada.password_hash.clone();
    late.writes("set_password", async |store| store.set_password(ada.user.id, hash()).await).await;
    late.writes("end_sessions", async |store| store.end_sessions(ada.user.id).await).await;
    late.writes("set_disabled", async |store| store.set_disabled(ada.user.id, true).await).await;
    late.writes("remove_user", async |store| store.remove_user(ada.user.id).await).await;

    late.writes("try_write", async |store| store.try_write().await).await;

    let reads: BTreeSet<String> = READS.into_iter().map(str::to_owned).collect();
    assert!(late.tried.is_disjoint(&reads));
    assert_eq!(&late.tried | &reads, methods(), "a method is neither tried here nor known to read only");
}
