//! The tables as diesel sees them: the same for each database, by the SQL types of `types.rs`.

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Bool, Integer, Nullable, Text};
    use crate::types::{JsonType, StatusType, TimeType, UuidType};

    tasks (id) {
        id -> UuidType,
        kind -> Text,
        status -> StatusType,
        owner -> Nullable<UuidType>,
        idempotency_key -> Nullable<Text>,
        content_sha256 -> Nullable<Binary>,
        created -> TimeType,
        input -> JsonType,
        content -> Nullable<Binary>,
        blob_check -> Nullable<BigInt>,
        published_at -> Nullable<TimeType>,
        sweep_at -> TimeType,
        attempt -> BigInt,
        tries -> Integer,
        worker -> Nullable<UuidType>,
        started -> Nullable<TimeType>,
        cancel_requested -> Bool,
        finished -> Nullable<TimeType>,
        result -> Nullable<JsonType>,
        error_code -> Nullable<Text>,
        error_detail -> Nullable<Text>,
        logged_at -> Nullable<TimeType>,
        next_attempt -> Nullable<TimeType>,
        retried_from -> Nullable<UuidType>,
    }
}

diesel::table! {
    use diesel::sql_types::{Bool, Text};
    use crate::types::{TimeType, UuidType};

    workers (id) {
        id -> UuidType,
        name -> Text,
        seen_at -> TimeType,
        lease_until -> TimeType,
        draining -> Bool,
    }
}

diesel::table! {
    use diesel::sql_types::Text;
    use crate::types::TimeType;

    pauses (kind) {
        kind -> Text,
        since -> TimeType,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Integer, Text};

    log_head (log) {
        log -> Text,
        generation -> Integer,
        dev -> BigInt,
        ino -> BigInt,
        committed -> BigInt,
        tail_check -> BigInt,
    }
}

// Of PostgreSQL. SQLite's feed has a row for each task, which is numbered from the beginning.
diesel::table! {
    use diesel::sql_types::{Array, BigInt, Nullable};
    use crate::types::{TimeType, UuidType};

    feed (batch) {
        batch -> BigInt,
        no -> Nullable<BigInt>,
        appended -> TimeType,
        tasks -> Array<UuidType>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool};

    feed_end (is_only) {
        is_only -> Bool,
        no -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{Array, BigInt, Text};
    use crate::types::{TimeType, UuidType};

    followers (name) {
        name -> Text,
        kind -> Text,
        location -> Text,
        version -> BigInt,
        dev -> BigInt,
        ino -> BigInt,
        committed -> BigInt,
        tail_check -> BigInt,
        no -> BigInt,
        within -> BigInt,
        ahead -> Array<UuidType>,
        seen_at -> TimeType,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::TimeType;

    retention (subject) {
        subject -> Text,
        no -> BigInt,
        within -> BigInt,
        until -> Nullable<TimeType>,
    }
}

diesel::table! {
    use crate::types::{JsonType, UuidType};

    progress (task) {
        task -> UuidType,
        state -> JsonType,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Text};
    use crate::types::{JsonType, TimeType};

    stats (minute, kind) {
        minute -> TimeType,
        kind -> Text,
        accepted -> BigInt,
        succeeded -> BigInt,
        failed -> BigInt,
        cancelled -> BigInt,
        waits -> JsonType,
        works -> JsonType,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool};

    stats_place (is_only) {
        is_only -> Bool,
        no -> BigInt,
        within -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{Bool, Text};

    deployment (is_only) {
        is_only -> Bool,
        id -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, SmallInt, Text};
    use crate::types::{TimeType, UuidType};

    records (seq) {
        seq -> BigInt,
        id -> UuidType,
        created -> TimeType,
        ip -> Text,
        method -> Text,
        uri -> Text,
        status_code -> SmallInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::{TimeType, UuidType};

    attempts (task, attempt) {
        task -> UuidType,
        attempt -> BigInt,
        worker -> Nullable<UuidType>,
        started -> Nullable<TimeType>,
        ended -> TimeType,
        error_code -> Text,
        error_detail -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable};
    use crate::types::{TimeType, UuidType};

    paid_calls (task, attempt) {
        task -> UuidType,
        attempt -> BigInt,
        at -> TimeType,
        free_blocked_until -> Nullable<TimeType>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Nullable, SmallInt};
    use crate::types::{JsonType, TimeType, UuidType};

    table_rows (task, number) {
        task -> UuidType,
        number -> BigInt,
        attempt -> BigInt,
        at -> TimeType,
        input -> JsonType,
        status -> Nullable<SmallInt>,
        reply -> JsonType,
        failed -> Bool,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::{TimeType, UuidType};

    users (id) {
        id -> UuidType,
        username -> Text,
        password_hash -> Text,
        created -> TimeType,
        sessions -> BigInt,
        disabled -> Nullable<TimeType>,
    }
}

diesel::table! {
    use diesel::sql_types::Text;
    use crate::types::UuidType;

    user_rights (user_id, right_name) {
        user_id -> UuidType,
        right_name -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Text};
    use crate::types::{TimeType, UuidType};

    api_keys (id) {
        id -> UuidType,
        user_id -> UuidType,
        name -> Text,
        created -> TimeType,
        key_sha256 -> Binary,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::{TimeType, UuidType};

    audit (id) {
        id -> BigInt,
        at -> TimeType,
        user_id -> Nullable<UuidType>,
        who -> Text,
        act -> Text,
        target -> Text,
        detail -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::Integer;
    use crate::types::TimeType;

    readiness (id) {
        id -> Integer,
        at -> TimeType,
    }
}

diesel::allow_tables_to_appear_in_same_query!(pauses, tasks, workers);
diesel::allow_tables_to_appear_in_same_query!(api_keys, tasks, user_rights, users);
