//! PostgreSQL behind PgBouncer: it works in session mode, and is rejected otherwise.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use database::Postgres;
use task_data::store::StoreError;
use tempfile::TempDir;

use crate::sql_states::append;
use test_kit::{eventually, servers};

/// A PgBouncer that listens on a socket in a folder of its own.
struct Bouncer {
    process: Child,
    folder: TempDir,
    database: String,
}

impl Bouncer {
    async fn before(database_url: &str, pool_mode: &str) -> Self {
        let (server, database) = database_url.rsplit_once('/').unwrap();
        let (user, address) = server.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
        let (host, port) = address.split_once(':').unwrap();
        let folder = tempfile::tempdir().unwrap();
        // It changes to another user if it is started as root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let path = folder.path().display();
        let settings = format!(
            "[databases]\n* = host={host} port={port} user={user}\n\
             [pgbouncer]\nlisten_addr =\nunix_socket_dir = {path}\nlisten_port = 6432\nauth_type = any\npool_mode = {pool_mode}\n"
        );
        fs::write(folder.path().join("ini"), settings).unwrap();
        let mut command = Command::new("/usr/sbin/pgbouncer");
        if nix::unistd::geteuid().is_root() {
            command.args(["-u", "postgres"]);
        }
        let process = command.arg(folder.path().join("ini")).stderr(Stdio::null()).spawn().unwrap();
        let socket = folder.path().join(".s.PGSQL.6432");
        eventually("PgBouncer listens", async || UnixStream::connect(&socket).ok()).await;
        Self { process, folder, database: database.to_owned() }
    }

    fn url(&self) -> String {
        format!("postgres:///{}?host={}&port=6432&user=any", self.database, self.folder.path().display())
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_transactions_share_are_refused_and_nothing_is_left_in_them() {
    let url = servers().database();
    for pool_mode in ["transaction", "statement"] {
        let bouncer = Bouncer::before(&url, pool_mode).await;

        for _ in 0..2 {
            let outcome = Postgres::new(&bouncer.url()).unwrap().migrate().await;

            let Err(StoreError::Internal(cause)) = outcome else { panic!("{pool_mode}: {outcome:?}") };
            assert!(cause.to_string().contains("pool_mode to session"), "{cause}");
        }
        // While it still has its connections to the server.
        Postgres::new(&url).unwrap().migrate().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_our_own_serve_behind_a_pooler_too() {
    let url = servers().database();
    let bouncer = Bouncer::before(&url, "session").await;
    let store = Postgres::new(&bouncer.url()).unwrap();

    store.migrate().await.unwrap();
    append(&store).await.unwrap();

    Postgres::new(&url).unwrap().migrate().await.unwrap();
    drop(store);
}
