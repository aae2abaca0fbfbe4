# A worker: claims tasks and does them. Built from the repository's root.
# The first stage is identical in each Dockerfile of ours: the first image builds it, the others reuse it.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /source
COPY . .
# Libraries stay built between builds. Our own sources are built each time: a file may be older than the build of its predecessor,
# and cargo compares times.
RUN --mount=type=cache,id=coatcheck-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=coatcheck-target,target=/source/target,sharing=locked \
    find . -path ./target -prune -o -type f -exec touch {} + \
    && deployment/package/compile \
    && cp target/dist/coatcheck /coatcheck

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
# An empty volume gets the owner of the folder that it is mounted on.
RUN install --directory --owner=10001 --group=10001 --mode=700 /data /data/blobs /data/logs
COPY --from=build /coatcheck /usr/local/bin/coatcheck
ENV BLOB_URL=file:/data/blobs OUTCOME_LOG=/data/logs/outcomes.log LOG_FORMAT=json \
    METRICS_LISTEN=0.0.0.0:9001
USER 10001:10001
WORKDIR /data
EXPOSE 9001
CMD ["coatcheck", "worker"]
