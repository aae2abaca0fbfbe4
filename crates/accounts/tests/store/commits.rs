//! An answer is given only after its commit: a failed commit is an error of each method that writes, and leaves nothing.

use accounts::audit::Act;
use accounts::user::Right;
use accounts::{ApiKeys, Audit, Users};
use test_kit::Late;

use crate::api_keys::new_key;
use crate::audit::entry;
use crate::users::new_user;

/// The methods that only read. Every other one of the ports must be tried here.
const READS: [&str; 6] = ["account", "accounts", "entries", "keys_of", "login", "user_of_key"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_is_an_error_of_each_method_that_writes() {
    let mut late = Late::new().await;

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

    late.writes("add_entry", async |store| store.add_entry(entry(Act::Pause)).await).await;

    late.has_tried_all_but(&READS, &["crates/accounts/src/store"]);
}
