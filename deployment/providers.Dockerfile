# Stand-ins for the outside services; also runs by itself: `docker run -p 2197:2197 IMAGE`. Built from the repository's root.
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
COPY --from=build /coatcheck /usr/local/bin/coatcheck
ENV FREE_LISTEN=0.0.0.0:2197 PAID_LISTEN=0.0.0.0:2198 THIRD_PARTY_LISTEN=0.0.0.0:2199 LOG_FORMAT=json
USER 10001:10001
EXPOSE 2197 2198 2199
CMD ["coatcheck", "providers", "free"]
