//! The queries of lists, by the words of the indexes. A macro, because each database's boxed queries have their own type.

/// Defines `walked`, the tasks on the way along an index, and `listed`, those of them that also pass the rest of the filter. The words are
/// how the database compares texts by their bytes, with an index.
macro_rules! walked {
    ($backend:ty, $at_least:literal, $below:literal) => {
        fn walked(walk: &Walk) -> tasks::BoxedQuery<'static, $backend> {
            let mut query = tasks::table.into_boxed::<$backend>();
            for (place, compared) in walk.ends() {
                let id = SqlUuid::from(place.id);
                let finished = place.finished.map(|finished| SqlTime(finished.0));
                let ends = |columns: &str| sql::<Bool>(&format!("({columns}) {compared} ("));
                query = match &walk.lead {
                    Lead::Owner(owner) => query.filter(
                        ends("owner, id")
                            .bind::<UuidType, _>(SqlUuid(owner.0))
                            .sql(", ")
                            .bind::<UuidType, _>(id)
                            .sql(")"),
                    ),
                    Lead::Ended(status) => query.filter(
                        ends("status, id")
                            .sql(&format!("'{}', ", status.name()))
                            .bind::<UuidType, _>(id)
                            .sql(")"),
                    ),
                    Lead::Code(code) => query.filter(
                        ends("error_code, id")
                            .bind::<Text, _>(code.clone())
                            .sql(", ")
                            .bind::<UuidType, _>(id)
                            .sql(")"),
                    ),
                    Lead::Finished => query.filter(
                        ends("finished, id")
                            .bind::<Nullable<TimeType>, _>(finished)
                            .sql(", ")
                            .bind::<UuidType, _>(id)
                            .sql(")"),
                    ),
                    Lead::OwnerFinished(owner) => query.filter(
                        ends("owner, finished, id")
                            .bind::<UuidType, _>(SqlUuid(owner.0))
                            .sql(", ")
                            .bind::<Nullable<TimeType>, _>(finished)
                            .sql(", ")
                            .bind::<UuidType, _>(id)
                            .sql(")"),
                    ),
                    Lead::Pending => query,
                    // With an end that excludes no task, SQLite takes all owners' index for an owner's.
                    Lead::Digest(..) if place.id.0.is_nil() || place.id.0.is_max() => query,
                    Lead::Id | Lead::Digest(..) => {
                        query.filter(sql::<Bool>(&format!("id {compared} ")).bind::<UuidType, _>(id))
                    }
                    // Not by the index of ids.
                    Lead::Running(_) | Lead::Name(_) => query.filter(
                        sql::<Bool>(&format!("coalesce(id, id) {compared} ")).bind::<UuidType, _>(id),
                    ),
                };
            }
            // In the words of the indexes, which have some of the rows only.
            match &walk.lead {
                Lead::Id => query,
                Lead::Owner(_) => query.filter(sql::<Bool>("owner IS NOT NULL")),
                Lead::Ended(_) => query.filter(sql::<Bool>("status IN ('failed', 'cancelled')")),
                Lead::Code(_) => query.filter(sql::<Bool>("status = 'failed' AND error_code IS NOT NULL")),
                Lead::Finished => query.filter(sql::<Bool>("finished IS NOT NULL")),
                Lead::OwnerFinished(_) => {
                    query.filter(sql::<Bool>("owner IS NOT NULL AND finished IS NOT NULL"))
                }
                Lead::Running(None) => query.filter(queries::in_status(Status::Running)),
                Lead::Running(Some(worker)) => query
                    .filter(queries::in_status(Status::Running))
                    .filter(tasks::worker.eq(SqlUuid::from(*worker))),
                Lead::Pending => query.filter(queries::in_status(Status::Pending)),
                Lead::Name(start) => {
                    const NAME: &str = "substr(input ->> 'filename', 1, 32)";
                    let query = query.filter(
                        sql::<Bool>(&format!("input ->> 'filename' IS NOT NULL AND {NAME} {} ", $at_least))
                            .bind::<Text, _>(start.clone()),
                    );
                    match lists::after_all(start) {
                        Some(end) => {
                            query.filter(sql::<Bool>(&format!("{NAME} {} ", $below)).bind::<Text, _>(end))
                        }
                        None => query,
                    }
                }
                Lead::Digest(digest, owner) => {
                    let query = query.filter(queries::has_digest(*digest));
                    match owner {
                        Some(owner) => query.filter(tasks::owner.eq(SqlUuid(owner.0))),
                        None => query,
                    }
                }
            }
        }

        fn listed(walk: &Walk) -> tasks::BoxedQuery<'static, $backend> {
            let mut query = walked(walk);
            if !walk.with_newer {
                query = query.filter(queries::is_known());
            }
            for condition in walk.rest.clone() {
                query = match condition {
                    Rest::Kinds(kinds) => {
                        query.filter(lists::one_of("kind", kinds.into_iter().map(Kind::name)))
                    }
                    Rest::Statuses(statuses) => {
                        query.filter(lists::one_of("status", statuses.into_iter().map(Status::name)))
                    }
                    Rest::Created(Period { from, before }) => {
                        let mut query = query;
                        if let Some(from) = from {
                            query = query.filter(tasks::created.ge(SqlTime(from.0)));
                        }
                        if let Some(before) = before {
                            query = query.filter(tasks::created.lt(SqlTime(before.0)));
                        }
                        query
                    }
                    Rest::Worker(worker) => query.filter(queries::stands(Status::Running)).filter(
                        sql::<Bool>("coalesce(worker, worker) = ").bind::<UuidType, _>(SqlUuid::from(worker)),
                    ),
                    Rest::Code(code) => query
                        .filter(queries::stands(Status::Failed))
                        .filter(sql::<Bool>("coalesce(error_code, '') = ").bind::<Text, _>(code)),
                    Rest::Name(name) => query.filter(
                        sql::<Bool>(&format!(
                            "substr(coalesce(input ->> 'filename', ''), 1, {}) = ",
                            name.chars().count()
                        ))
                        .bind::<Text, _>(name),
                    ),
                };
            }
            query
        }
    };
}
pub(super) use walked;
