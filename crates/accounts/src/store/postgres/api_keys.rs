//! API keys in PostgreSQL.

use async_trait::async_trait;
use database::postgres::{Session, answer};
use database::schema::api_keys;
use database::types::SqlTime;
use database::{Postgres, StoreError, now};
use diesel::dsl::insert_into;
use diesel::result::QueryResult;
use diesel::{QueryDsl, select};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::super::api_keys::{
    self as queries, ApiKeys, KeyRow, NewKey, NewKeyRow, UserRow, into_holder, into_key,
};
use super::super::users;
use crate::api_key::{ApiKey, KeyHash, KeyId};
use crate::user::{User, UserId};

#[async_trait]
impl ApiKeys for Postgres {
    async fn add_key(&self, new: NewKey, most: i64) -> Result<Option<ApiKey>, StoreError> {
        let mut connection = self.get().await?;
        let NewKey { id, user, name, .. } = new.clone();
        let add = (*connection).transaction(async |connection: &mut Session| {
            // A statement that adds another key at the same time waits here, and then counts this one.
            let _: String = users::username(user).for_no_key_update().get_result(connection).await?;
            if queries::count(user).get_result::<i64>(connection).await? >= most {
                return QueryResult::Ok(None);
            }
            let now: SqlTime = select(now()).get_result(connection).await?;
            insert_into(api_keys::table).values(NewKeyRow::new(new, now.into())).execute(connection).await?;
            Ok(Some(now))
        });
        Ok(answer(add).await?.map(|created| ApiKey { id, name, created: created.into() }))
    }

    async fn keys_of(&self, user: UserId) -> Result<Vec<ApiKey>, StoreError> {
        let mut connection = self.get().await?;
        let rows: Vec<KeyRow> = answer(queries::of_user(user).load(&mut connection)).await?;
        rows.into_iter().map(into_key).collect()
    }

    async fn remove_key(&self, user: UserId, id: KeyId) -> Result<bool, StoreError> {
        let mut connection = self.get().await?;
        Ok(answer(queries::remove(user, id).execute(&mut connection)).await? > 0)
    }

    async fn user_of_key(&self, hash: KeyHash) -> Result<Option<User>, StoreError> {
        let mut connection = self.get().await?;
        let rows: Vec<UserRow> = answer(queries::user_of(hash).load(&mut connection)).await?;
        Ok(into_holder(rows))
    }
}
