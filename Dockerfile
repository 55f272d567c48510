# Four images of one build: `redis`, `coordinator`, `monitor` (the coordinator's, with places for tokens), and `worker`
# (the coordinator's, with Claude Code).
# Any of docker's builders makes them. PIP_INDEX_URL and the like are taken as build arguments.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm
ARG REDIS_IMAGE=redis:7-bookworm

FROM ${REDIS_IMAGE} AS redis
COPY docker/redis/redis.conf docker/redis/users.acl /etc/redis/coord/
COPY docker/redis/start /usr/local/bin/coord-redis
# A login's file gets the group of its folder: that of the one role that may read it.
RUN chmod 755 /usr/local/bin/coord-redis && chmod 644 /etc/redis/coord/* \
 && mkdir -p /logins/coordinator /logins/worker /logins/monitor /data \
 && chown 999:999 /data && chown 999:10001 /logins/coordinator && chown 999:10002 /logins/worker \
 && chown 999:10003 /logins/monitor \
 && chmod 2750 /logins/*
USER 999:999
WORKDIR /data
ENTRYPOINT ["coord-redis"]
CMD []

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/venv
# What coord stands on changes less often than coord.
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
      > requirements.txt \
 && /opt/venv/bin/pip install -r requirements.txt
COPY . .
RUN /opt/venv/bin/pip install --no-deps .

FROM ${PYTHON_IMAGE} AS claude
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
# The wheel carries the whole program; the rest of it is not needed.
ARG CLAUDE_AGENT_SDK=claude-agent-sdk==0.2.186
RUN pip install --no-cache-dir --no-deps --target /opt/sdk "${CLAUDE_AGENT_SDK}" \
 && mkdir /opt/claude && mv /opt/sdk/claude_agent_sdk/_bundled/claude /opt/claude/claude

FROM ${PYTHON_IMAGE} AS coordinator
COPY --from=build /opt/venv /opt/venv
COPY docker/coordinator-health /usr/local/bin/
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp COORD_HOME=/tmp/coord
USER 10001:10001
WORKDIR /tmp
CMD ["coord", "serve"]

FROM coordinator AS monitor
USER 0:0
COPY docker/coord-monitor docker/monitor-health /usr/local/bin/
# What workers may read, their group (10002) may.
RUN mkdir -p /var/lib/monitor /run/report \
 && chown 10003:10003 /var/lib/monitor && chmod 700 /var/lib/monitor \
 && chown 10003:10002 /run/report && chmod 2750 /run/report
USER 10003:10003
EXPOSE 5050
CMD ["coord-monitor"]

FROM coordinator AS worker
USER 0:0
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl git jq less openssh-client procps ripgrep \
 && rm -rf /var/lib/apt/lists/*
COPY --from=claude /opt/claude /opt/claude
# Group-writable, because POOL_USER may be any user: it is given the group 10002. (The tmpfs that is mounted as
# HOME takes the mode of the folder below it, and root for its owner.)
RUN ln -s /opt/claude/claude /usr/local/bin/claude \
 && mkdir -p /var/lib/coord /home/worker /work/project \
 && chown -R 10002:10002 /var/lib/coord /work && chmod 2770 /var/lib/coord /work/project && chmod 1777 /home/worker
ENV HOME=/home/worker COORD_HOME=/var/lib/coord COORD_PROJECT=/work/project
USER 10002:10002
WORKDIR /work/project
CMD ["coord", "worker", "run"]
