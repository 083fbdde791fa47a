# syntax=docker/dockerfile:1
# Two stages of one base: the first installs the locked packages, the second carries the result and nothing else.
FROM python:3.13-slim AS build
WORKDIR /opt/mirrorgate
COPY requirements.txt ./
COPY scripts/setup scripts/setup
RUN PYTHON=/usr/local/bin/python scripts/setup --runtime-only
COPY addons addons
COPY config config
# Compiled once here: at run time the file system may be read-only.
RUN .venv/bin/python -m compileall -q addons

FROM python:3.13-slim
LABEL org.opencontainers.image.title="mirrorgate" \
      org.opencontainers.image.description="An inference gateway that says whether the candidate is safe to promote"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin mirrorgate
# Owned by root: what runs cannot change its own code.
COPY --from=build /opt/mirrorgate /opt/mirrorgate
ENV PATH=/opt/mirrorgate/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/mirrorgate
USER 10001:10001
# 8080: the quickstart's listener; 9901: admin. For Gateways on ports below 1024 add `--port-offset 8000` wherever the
# runtime does not let an unprivileged user bind them (Docker does).
EXPOSE 8080 9901
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9901/ready', timeout=2)"]
# What follows the image's name is added: manifests (`docker run ... mirrorgate /config`), or options that override these.
ENTRYPOINT ["mirrorgate", "run", "--bind", "0.0.0.0", "--admin", "0.0.0.0:9901"]
