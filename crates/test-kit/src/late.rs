//! Commits that fail: an answer is given only after its commit, and a failed commit is an error and leaves nothing.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use database::{Postgres, StoreError};

use crate::{psql, servers};

/// Triggers, one on each table, that make the commit fail while armed.
const TRIGGERS: &str = "
    CREATE TABLE late_failure (armed bool);
    INSERT INTO late_failure VALUES (false);
    CREATE FUNCTION fail_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF (SELECT armed FROM late_failure) THEN RAISE EXCEPTION 'too late' USING ERRCODE = 'disk_full'; END IF;
        RETURN NULL;
    END $$;
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables
            WHERE schemaname = 'public' AND tablename <> 'late_failure' AND tablename NOT LIKE '%_schema_migrations' LOOP
            EXECUTE format('CREATE CONSTRAINT TRIGGER fails_late AFTER INSERT OR UPDATE OR DELETE ON %I \
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail_late()', name);
        END LOOP;
    END $$";

/// A query for the rows of all tables, in one text.
const ROWS: &str = "SELECT string_agg(query_to_xml(format('TABLE %I', tablename), true, true, '')::text, '' ORDER BY tablename) \
    FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'late_failure'";

/// A database whose commits fail on demand.
pub struct Late {
    url: String,
    /// The database.
    pub store: Postgres,
    tried: BTreeSet<String>,
}

impl Late {
    /// Makes such a database.
    pub async fn new() -> Self {
        let url = servers().database();
        let store = Postgres::new(&url).unwrap();
        store.migrate().await.unwrap();
        psql(&url, TRIGGERS);
        Self { url, store, tried: BTreeSet::new() }
    }

    fn rows(&self) -> String {
        psql(&self.url, ROWS)
    }

    /// Tries a method with a commit that fails, then with one that succeeds; checks that only the second writes.
    pub async fn writes<T: Debug>(
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

    /// Checks that each method of the ports in these files and folders, given from the workspace's folder, was tried or is listed as
    /// read-only.
    pub fn has_tried_all_but(&self, reads: &[&str], paths: &[&str]) {
        let reads: BTreeSet<String> = reads.iter().map(|&name| name.to_owned()).collect();
        assert!(self.tried.is_disjoint(&reads));
        let known = &self.tried | &reads;
        assert_eq!(known, methods(paths), "a method is neither tried here nor known to read only");
    }
}

/// Returns all methods of the ports, from their source.
fn methods(paths: &[&str]) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let files_of = |path: PathBuf| match std::fs::read_dir(&path) {
        Ok(folder) => folder.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => vec![path],
    };
    let files = paths.iter().flat_map(|path| files_of(root.join(path)));
    let mut methods = BTreeSet::new();
    // The adapters' methods have the same names.
    for path in files.filter(|path| path.is_file()) {
        let source = std::fs::read_to_string(path).unwrap();
        let names = source.lines().filter_map(|line| line.trim_start().strip_prefix("async fn "));
        methods.extend(names.filter_map(|name| Some(name.split_once('(')?.0.to_owned())));
    }
    methods
}
