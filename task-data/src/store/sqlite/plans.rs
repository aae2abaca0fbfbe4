//! The plans of lists in SQLite, which do not depend on the number of rows: each reads the index that leads to its tasks, and sorts only
//! where these are few.

use chrono::DateTime;
use database::{Sqlite, UserId};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::{debug_query, sql_query};
use tempfile::tempdir;

use super::*;
use crate::store::lists::Walk;
use crate::store::{ListOrder, Period};

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_list_reads_the_index_that_leads_to_its_tasks() {
    let folder = tempdir().unwrap();
    let sqlite = Sqlite::open(&folder.path().join("coatcheck.db")).unwrap();
    let owner = Some(UserId::random());
    let all = Filter { limit: 100, ..Filter::default() };
    let finished = Period { from: Some(Time(DateTime::UNIX_EPOCH)), before: None };
    let statuses = |status| Filter { statuses: vec![status], ..all.clone() };
    let digest = Some("900150983cd24fb0d6963f7d28e17f72".parse().unwrap());
    for (filter, index, is_sorted) in [
        (all.clone(), "sqlite_autoindex_tasks_1", false),
        (Filter { kinds: vec![Kind::Table], ..all.clone() }, "sqlite_autoindex_tasks_1", false),
        (statuses(Status::Pending), "sqlite_autoindex_tasks_1", false),
        (statuses(Status::Succeeded), "sqlite_autoindex_tasks_1", false),
        (statuses(Status::Failed), "tasks_unsuccessful", false),
        (Filter { kinds: vec![Kind::Md5], ..statuses(Status::Cancelled) }, "tasks_unsuccessful", false),
        (statuses(Status::Running), "tasks_running", true),
        (Filter { worker: Some(WorkerId::random()), ..all.clone() }, "tasks_running", true),
        (Filter { error_code: Some("io".to_owned()), ..all.clone() }, "tasks_error_code", false),
        (Filter { filename: Some("a".to_owned()), ..all.clone() }, "tasks_filename", true),
        (Filter { finished, ..all.clone() }, "tasks_finished", false),
        (Filter { finished, owner, ..all.clone() }, "tasks_owner_finished", false),
        (Filter { owner, ..all.clone() }, "tasks_owner", false),
        (Filter { owner, error_code: Some("io".to_owned()), ..all.clone() }, "tasks_owner", false),
        (Filter { owner, ..statuses(Status::Failed) }, "tasks_owner", false),
        (Filter { digest, ..all.clone() }, "tasks_md5", false),
        (Filter { digest, owner, ..all.clone() }, "tasks_owner_md5", false),
    ] {
        for order in [ListOrder::Newest, ListOrder::Oldest] {
            let walk = Walk::of(&Filter { order, ..filter.clone() });
            let query = listed(&walk).select(tasks::id).order(walk.lead.order(walk.order));
            let text = debug_query::<diesel::sqlite::Sqlite, _>(&query).to_string();
            let explained = format!("EXPLAIN QUERY PLAN {}", text.split(" -- binds").next().unwrap());

            let steps: Vec<Step> =
                sqlite.read(move |connection| Ok(sql_query(explained).load(connection)?)).await.unwrap();

            let plan: Vec<_> = steps.iter().map(|step| &*step.detail).collect();
            assert!(
                plan[0].contains(&format!("INDEX {index} (")) || plan[0].ends_with(&format!("INDEX {index}")),
                "{plan:?} of {text}"
            );
            // Of an index with an order, the range between two places is read.
            assert!(is_sorted || plan[0].starts_with("SEARCH tasks USING"), "{plan:?} of {text}");
            assert_eq!(plan.iter().any(|step| step.contains("TEMP B-TREE")), is_sorted, "{plan:?} of {text}");
        }
    }
}
