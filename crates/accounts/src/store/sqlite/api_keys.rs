//! API keys in SQLite.

use async_trait::async_trait;
use database::schema::api_keys;
use database::sqlite::clock;
use database::{Sqlite, StoreError};
use diesel::dsl::insert_into;
use diesel::prelude::*;

use super::super::api_keys::{
    self as queries, ApiKeys, KeyRow, NewKey, NewKeyRow, UserRow, into_holder, into_key,
};
use crate::api_key::{ApiKey, KeyHash, KeyId};
use crate::user::{User, UserId};

#[async_trait]
impl ApiKeys for Sqlite {
    async fn add_key(&self, new: NewKey, most: i64) -> Result<Option<ApiKey>, StoreError> {
        self.write(move |connection| {
            let NewKey { id, user, name, .. } = new.clone();
            if queries::count(user).get_result::<i64>(connection)? >= most {
                return Ok(None);
            }
            let created = clock(connection)?;
            insert_into(api_keys::table).values(NewKeyRow::new(new, created)).execute(connection)?;
            Ok(Some(ApiKey { id, name, created }))
        })
        .await
    }

    async fn keys_of(&self, user: UserId) -> Result<Vec<ApiKey>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<KeyRow> = queries::of_user(user).load(connection)?;
            rows.into_iter().map(into_key).collect()
        })
        .await
    }

    async fn remove_key(&self, user: UserId, id: KeyId) -> Result<bool, StoreError> {
        self.write(move |connection| Ok(queries::remove(user, id).execute(connection)? > 0)).await
    }

    async fn user_of_key(&self, hash: KeyHash) -> Result<Option<User>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<UserRow> = queries::user_of(hash).load(connection)?;
            Ok(into_holder(rows))
        })
        .await
    }
}
