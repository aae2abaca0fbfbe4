# The proxy: one published address for any number of API containers.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends haproxy \
    && rm -rf /var/lib/apt/lists/*
COPY deployment/haproxy.cfg /etc/haproxy/haproxy.cfg
COPY deployment/problems /etc/haproxy/problems
USER haproxy
EXPOSE 9000 8000 8301
# Finish requests in progress; SIGTERM would cut them.
STOPSIGNAL SIGUSR1
CMD ["haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"]
