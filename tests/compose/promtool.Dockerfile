# promtool, with the alert rules and what they are tested with.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends prometheus \
    && rm -rf /var/lib/apt/lists/*
COPY . /rules
CMD ["sh", "-c", "promtool check rules /rules/deployment/alerts.yml && promtool test rules /rules/tests/compose/alerts.test.yml"]
